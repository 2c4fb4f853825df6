//! Compares `docs/alerts.md` with the rules that exist. `UPDATE_GOLDEN=1` rewrites it.

use std::{fmt::Write, time::Duration};

use proxymeter::{
    alert::{
        promql::DIFFERENCES,
        rule::{KINDS, Kind, Steps},
    },
    model::Severity,
};

use crate::common::golden::assert_golden;

const PATH: &str = "docs/alerts.md";

const HEAD: &str = "# Alerts

All rules with their defaults. Rules are active by default, except those marked (off); `enabled = false` disables a rule.
A table `[alert.NAME]` changes only the keys that it contains. A table with another name and `rule = \"NAME\"` adds a
second rule of that kind. Its name becomes the label `rule`.

Each crossed step is a separate alert. A renewal, a top-up or a reset resolves all alerts of the subject.

`target_down`, `node_down` and `outbound_down` also fire for a subject that is up and down in turn: when more than half of
its reads within twice `for` failed, and at least six were made. They resolve when no read has failed for the whole of
`for`. The description of ProxymeterNodeDown includes the panel's own message about the node; the status page and the JSON
do not.

`user_expiry` and `user_quota` leave out active users whose next plan starts by itself; `renewing = true` includes them. If
such a user has expired, `user_expiry` fires ten minutes later, in case the panel has not started the next plan. A user whose
used bytes are set back at a given time runs out until then, so `user_quota` includes such users in any case.

`inbound_expiry` and `inbound_quota` leave out inbounds that the operator switched off. An inbound that the panel switched
off because it has expired or its quota is used up keeps its alert.

`outbound_down` asks about outbounds that the proxy core probes itself. An outbound that has not been probed for an hour is
no longer asked about.

`accounting_stalled` and `core_down` ask about the target itself and about each connected node. An alert about the target
has no subject and the kind `target`. A node is stalled if its traffic has been flat for ten minutes, and for three times its
longest pause before or for six hours more than that pause, of which at most a day counts. While the whole panel is stalled,
its nodes are not judged. A core is down if more than 30 percent of its answers within five
minutes say so, because a panel restarts a dying core within seconds.

`right_lost` fires for a part that the login could read before. A part that it could never read causes no alert. The alert
ends when the part is read again, or when the login in the configuration is changed by a reload. If the right is not meant to
come back, exclude the part: `[alert.right_lost] exclude = [\"nodes\"]`.

`credential_unavailable`, `credential_quota` and `credential_plan_expiry` leave out credentials that the operator switched
off. `credential_unavailable` also fires for a credential that is available and unavailable in turn, as `node_down` does; it
says why in words of proxymeter, never in the provider's. The subject of `credential_quota` is the credential, the model if
the quota is of one model, and the window, for example `work 5h`. The ratio is what the provider said in its last answer to
the credential. Until the window ends, the alert holds even if the server forgets that answer. If that answer did not say
when the window ends, the alert resolves after the length of the window, or after a day if the length is unknown.
`credential_plan_expiry` resolves when the plan is renewed. If the credential no longer has a plan, the alert resolves seven
days after the last known end of the plan.

`llm_error_ratio` fires if at least 20 attempts at a provider were made within ten minutes and at least 20 percent of them
failed. It resolves when a smaller share of the last ten minutes fails, or when there were no attempts for an hour. Attempts
that proxymeter read more than ten minutes after they ended, such as imported ones, do not count, and neither do those from
before it started. Times of attempts are by the server's clock.

`llm_token_budget` and `llm_cost_budget` need `budget` (tokens, or US dollars) and `period` (\"day\" or \"month\"). Each client
key that `subjects` matches, by its alias or its hash, has this budget for itself. Each step fires once per period, and the
next period resolves it. Client keys beyond the cap and requests without a key have no budget. Costs are a lower bound,
because attempts that were cut off carry no tokens.

`llm_usage_gap` fires for an hour after records were lost, or after another reader took some.

`login_refused` fires when the target refuses the login, or has locked the address of proxymeter out. It resolves when the
target accepts a login again. If that takes long, `target_down` follows and suppresses it.

`store_failing`, `reload_failed`, `heartbeat_withheld`, `receiver_failing` and `notifications_abandoned` are about proxymeter
itself. Their alerts have no target; `targets` does not apply to them. The last two are about a receiver. Only the `fallback`
receiver gets them, unless `receivers` of the rule names others, and a receiver never gets those about itself.
`receiver_failing` fires when a receiver has failed for `fallback_after` while notifications wait for it, or at once if it
refuses all messages. The next delivery resolves it. `notifications_abandoned` fires for an hour after a notification was
given up.

A firing alert suppresses others: a tighter step suppresses the wider steps of the same rule and subject,
`ProxymeterTargetDown` suppresses all other alerts of the target, `ProxymeterPartStale` suppresses the alerts that depend on
the part, and `ProxymeterRightLost` suppresses `ProxymeterPartStale` of the same part. A suppressed alert sends no
notification. It has `state=\"suppressed\"` in `proxymeter_alerts` and in the JSON, and is not counted as firing anywhere.
An alert in a mute window is counted as firing.

| Rule | Alert | Subject | Steps | For | Repeated | Meaning |
|---|---|---|---|---|---|---|
";

const TAIL: &str = "
## Alertmanager as a receiver

`[alertmanager.NAME]` sends the alerts of this page to a Prometheus Alertmanager (0.16 or newer), which groups, repeats, mutes
and sends the notifications:

```toml
[alertmanager.pair]
urls = [\"http://am-a.example.com:9093\", \"http://am-b.example.com:9093\"]

[users]
hash_key_file = \"/run/secrets/proxymeter-hash-key\"
```

- `urls` lists every replica of the cluster. Each gets every alert, and the cluster sends each notification once. A
  notification counts as delivered when one replica has accepted all alerts.
- All firing alerts are posted at the start, when an alert is new, and then every `resend` (1 minute). Alertmanager resolves an
  alert that has not been posted for four times as long, for example because every exporter is down.
- The end of an alert is posted after it has held for one `resend`, until each replica has had it for 15 minutes. A replica that
  was down when the alert ended gets the end when it is back, at most three days later.
- `group_by`, `group_wait`, `group_interval`, `repeat_interval`, `send_resolved` and `[mute.NAME]` have no effect here: configure
  grouping and muting in Alertmanager. `min_severity` and the `receivers` of a rule decide which alerts are posted.
- An alert that started longer ago than Alertmanager's `group_wait` does not wait for others. After a long outage of
  Alertmanager, the first notification may contain only some of the alerts, and the next one, after `group_interval`, all.
- If an alert is refused, the others of the same request are still accepted. It is logged once, counts as given up, and is posted
  again each hour. A replica that refuses all alerts fails.
- `timeout` must be shorter than `resend`.
- Without the table, or with `enabled = false` in `[alerting]`, nothing is posted any more: Alertmanager resolves what still fires
  after four times `resend`.

Use one source of alerts: either `[alertmanager.NAME]`, or the rules in [`alerts/`](../alerts) in Prometheus.

Two exporters that watch the same targets may post to the same Alertmanager. An alert of both is one alert and causes one
notification, because its labels are the same. If users are hashed, give both the same `hash_key_file`. Give both the same
`resend`, and keep both clocks right. Before an exporter posts an end, it asks the replica (`GET /api/v2/alerts`) whether another
exporter still posts the alert: the last one to notice the end posts it. A proxy before Alertmanager must allow this request as
well as `POST /api/v2/alerts`. Without an answer, which is logged, the exporter posts the end. An exporter that was down while an alert
ended posts the alert again until it has noticed the end, so that Alertmanager notifies of both once more.

Every crossed step is an alert of its own. Let a tighter step inhibit the wider ones, else a user whose account has expired has
four alerts. [`alertmanager.yml`](../packaging/prometheus/alertmanager.yml) has these rules and those about targets that are
down:

```yaml
inhibit_rules:
  - source_matchers: ['step = expired']
    target_matchers: ['step =~ \"1d|3d|7d\"']
    equal: &subject [alertname, target, kind, subject, rule]
  - source_matchers: ['step = 1d']
    target_matchers: ['step =~ \"3d|7d\"']
    equal: *subject
  - source_matchers: ['step = 3d']
    target_matchers: ['step = 7d']
    equal: *subject
  - source_matchers: ['step = \"100%\"']
    target_matchers: ['step =~ \"80%|95%\"']
    equal: *subject
  - source_matchers: ['step = \"95%\"']
    target_matchers: ['step =~ \"80%|85%|90%\"']
    equal: *subject
```

To test it, run `proxymeter test-notification pair`. It posts one alert to each replica and prints each answer. The alert ends
by itself.

## With Prometheus and Alertmanager

[`alerts/`](../alerts) contains rules for Prometheus 2.42 and newer. [`packaging/prometheus`](../packaging/prometheus) shows how
to load them, and how Alertmanager routes, mutes and inhibits their alerts. [`runbook.md`](runbook.md) says what to do about
each alert.

| File | Contents |
|---|---|
| `targets.rules.yml` | The alerts of this page, except those about single users, and alerts about the number of users that expire soon or are near their quota. |
| `users.rules.yml` | The alerts about single users. Load it only if Alertmanager may have an alert for each user. |
| `exporter.rules.yml` | Alerts about the exporter itself. They expect the scrape job to be named `proxymeter`. |
| `recording.rules.yml` | Use per hour, day and month, top talkers, error ratios and forecasts. |
| `marzban-exporter.rules.yml`, `3x-ui-exporter.rules.yml` | The metric names of other exporters, see [`migration.md`](migration.md). |

Use one source of alerts, otherwise each of them arrives twice:

- Prometheus: set `enabled = false` in `[alerting]`. proxymeter then sends nothing.
- proxymeter: do not load `targets.rules.yml` and `users.rules.yml`. `exporter.rules.yml` is still useful, because an exporter
  that is down cannot say so.

If the alerts of both reach one Alertmanager, remove the labels `job` and `cluster` from those of Prometheus, as
[`both-sources.yml`](../packaging/prometheus/both-sources.yml) does. All other labels of alerts about targets are the same, and
alerts with the same labels are one alert. Alerts about the exporter keep the label `instance` and arrive twice: disable
`store_failing`, `reload_failed`, `heartbeat_withheld`, `receiver_failing` and `notifications_abandoned`, or do not load
`exporter.rules.yml`.

`proxymeter rules --config.file=FILE` prints these rules for a configuration: with its own steps, times, severities and names,
without the rules that it disables, with those that it adds, and with `exporter.rules.yml` and `recording.rules.yml`. With
`--users` it also prints those about single users. Print them again after each change of the configuration.

Rules in Prometheus know what the metrics show. Names of users in `subjects` and `exclude` must be those of the metrics, so with
`labels = \"hash\"` they match the hashes, and users without series (`users.limit`, `labels = \"off\"`) have no alerts. After a
quota was topped up or reset, an alert stays for 15 minutes. Reasons are only in the built-in alerts. While the exporter is not
scraped for more than three minutes, alerts resolve, and fire again afterwards. The counts of users per target have fixed steps
and are left out if a rule has other steps or names of users. In some other cases the alert in Prometheus differs, too:

| Rule | The alert in Prometheus |
|---|---|
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for kind in &KINDS {
        let Kind { name, alertname, kind: subject, .. } = kind;
        let summary = kind.summary();
        let repeat = told(kind.repeat_interval, "never");
        let off = if kind.enabled { "" } else { " (off)" };
        let for_ = told(kind.for_, "at once");
        writeln!(
            text,
            "| `{name}`{off} | {alertname} | {subject} | {} | {for_} | {repeat} | {summary} |",
            steps(kind)
        )
        .unwrap();
    }
    text.push_str(TAIL);
    for (question, difference) in &DIFFERENCES {
        let kind = KINDS.iter().find(|kind| kind.question == *question).unwrap();
        writeln!(text, "| `{}` | {difference} |", kind.name).unwrap();
    }
    text
}

fn steps(kind: &Kind) -> String {
    let with = |step: String, severity: &Severity| format!("{step} {}", severity.label());
    let steps: Vec<_> = match kind.steps {
        Steps::None(severity) => return severity.label().to_owned(),
        Steps::Remaining(steps) => steps
            .iter()
            .map(|(secs, severity)| with(told(Duration::from_secs(*secs), "reached"), severity))
            .collect(),
        Steps::Ratio(steps) => {
            steps.iter().map(|(percent, severity)| with(format!("{percent}%"), severity)).collect()
        }
    };
    steps.join(", ")
}

fn told(duration: Duration, zero: &str) -> String {
    if duration.is_zero() { zero.to_owned() } else { humantime::format_duration(duration).to_string() }
}

#[test]
fn the_reference_lists_every_rule() {
    assert_golden(PATH, &reference());
}

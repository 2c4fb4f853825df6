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

`store_failing`, `reload_failed` and `heartbeat_withheld` are about proxymeter itself. Their alerts have no target; `targets`
does not apply to them. Failing receivers cause ProxymeterNotificationsFailing, which only the `fallback` receiver gets.

A firing alert suppresses others: a tighter step suppresses the wider steps of the same rule and subject,
`ProxymeterTargetDown` suppresses all other alerts of the target, `ProxymeterPartStale` suppresses the alerts that depend on
the part, and `ProxymeterRightLost` suppresses `ProxymeterPartStale` of the same part. A suppressed alert sends no
notification. It has `state=\"suppressed\"` in `proxymeter_alerts` and in the JSON, and is not counted as firing anywhere.
An alert in a mute window is counted as firing.

| Rule | Alert | Subject | Steps | For | Repeated | Meaning |
|---|---|---|---|---|---|---|
";

const TAIL: &str = "
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
`store_failing`, `reload_failed` and `heartbeat_withheld`, or do not load `exporter.rules.yml`.

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
        let Kind { name, alertname, kind: subject, summary, .. } = kind;
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

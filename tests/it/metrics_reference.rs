//! Compares `docs/metrics.md` with the metrics that exist. `UPDATE_GOLDEN=1` rewrites it, and gives new metrics the present
//! version. Those that are in it keep theirs.

use std::{collections::BTreeMap, fmt::Write, fs};

use proxymeter::{
    exposition::{Kind, alert_families, families},
    model::Reason,
    notify::SendReason,
    telemetry::Telemetry,
};

use crate::common::golden::assert_golden;

const PATH: &str = "docs/metrics.md";
const VERSION: &str = env!("CARGO_PKG_VERSION");

const HEAD: &str = "# Metrics

Every metric that proxymeter exports. Names, labels and meanings are public: a change to one is a breaking change.
Where there is no value, there is no series: a user that never expires has no expiry, an unlimited user has no limit.

Panel metrics are polled in the background; a scrape sends no request to a panel. They show the panel's last answer, and
`proxymeter_target_part_last_success_timestamp_seconds` shows its time. Values older than `stale_after` are dropped.

*Since* is the version of proxymeter in which a metric appeared.

## Targets, users, nodes, hosts, LLM proxies, alerts

| Metric | Type | Labels | Since | Meaning |
|---|---|---|---|---|
";

const LLM: &str = "
## LLM proxies

`proxymeter_llm_requests_total` counts attempts at providers, not requests of clients. A request that fails over to another
credential is two attempts, and each retry is one more. No attempt is made, and none is counted, for a request that is refused
because all credentials cool down, for an unknown model, for a wrong client key, and for the counting of tokens. A client that
hangs up causes one failed attempt (status code 499) with zero tokens, although the provider bills what it had sent. Tokens and
costs are therefore lower bounds.

Tokens have the provider's own meaning. For OpenAI, Codex and Gemini, input tokens include cached ones; for Claude they do not.
Reasoning tokens are part of the output tokens, except for Gemini. Do not add the kinds up; use `proxymeter_llm_tokens_total`.

The queue of a server is read once: a record that is taken is gone. `proxymeter_llm_usage_gaps_total` counts the times at
which records may have been lost: a poll that came later than the server keeps records, one that was cut off, and a restart
of the server.
`proxymeter_llm_usage_bypassed_total` grows while another program takes records from the same queue. In both cases the other
counters are too low from then on. Counters continue over restarts of proxymeter and of the server.

`api_key` is an alias from the configuration or a keyed hash, and empty for requests without a key. `credential` is an alias,
the server's index or a keyed hash. Beyond the caps, `api_key` and `model` are `_other`. Quota windows and cooldowns of
credentials name the first 100 models of a target by name; of the others, each credential shows the most used window and the
latest cooldown as `_other`. No label contains a key or an e-mail address.
";

/// The version in which a metric appeared: the one that `written` has, or for a new metric the present one.
fn since(name: &str, written: &str, changelog: &str) -> String {
    let released = |version: &str| changelog.contains(&format!("\n## [{version}]"));
    let row = format!("| `{name}` |");
    let Some(cells) = written.lines().find_map(|line| line.strip_prefix(&row)) else {
        assert!(
            !released(VERSION),
            "{name} is new, and {VERSION} is released: raise the version in Cargo.toml"
        );
        return VERSION.to_owned();
    };
    let version = cells.split('|').nth(2).unwrap_or_default().trim();
    assert!(
        version == VERSION || released(version),
        "{PATH}: {version:?} of {name} is no version in CHANGELOG.md"
    );
    version.to_owned()
}

fn reference(written: &str, changelog: &str) -> String {
    let since = |name: &str| since(name, written, changelog);
    let mut text = HEAD.to_owned();
    for family in families().chain(alert_families().iter().copied()) {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Info => "info",
            Kind::Histogram => "histogram",
        };
        let (name, labels) = (family.name, family.labels.join(", "));
        writeln!(text, "| `{name}` | {kind} | {labels} | {} | {} |", since(name), family.help).unwrap();
    }
    text.push_str(
        "\n## The daemon itself\n\n| Metric | Type | Labels | Since | Meaning |\n|---|---|---|---|---|\n",
    );
    for (name, [kind, labels, help]) in own() {
        writeln!(text, "| `{name}` | {kind} | {labels} | {} | {help} |", since(&name)).unwrap();
    }
    text.push_str(LLM);
    text.push_str("\nReasons of failed polls:");
    for reason in Reason::ALL.map(Reason::label) {
        write!(text, " `{reason}`").unwrap();
    }
    text.push_str(".\n\nReasons of failed notifications:");
    for reason in SendReason::ALL.map(SendReason::label) {
        write!(text, " `{reason}`").unwrap();
    }
    text.push_str(".\n");
    text
}

/// Type, labels and meaning of the daemon's own metrics, once each has a series.
fn own() -> BTreeMap<String, [String; 3]> {
    let telemetry = Telemetry::new();
    telemetry.declare_part("home", "system", &["timeout"]);
    telemetry.declare_path("/metrics");
    telemetry.declare_receiver("ops", &["timeout"]);
    telemetry.declare_suppressions(&["muted"]);
    telemetry.silences([("active", 1)]);
    telemetry.notification_queue("ops", 1, Some(1.0));
    telemetry.notification_last_success("ops", 1.0);
    telemetry.declare_heartbeat(&["timeout"], &["stuck"]);
    telemetry.heartbeat_last_success(1.0);
    let families = telemetry.gather();
    let rows = families.iter().map(|family| {
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let metric = &family.get_metric()[0];
        let labels: Vec<_> = metric.get_label().iter().map(|label| label.name().to_owned()).collect();
        (family.name().to_owned(), [kind, labels.join(", "), family.help().to_owned()])
    });
    rows.collect()
}

#[test]
fn the_reference_lists_every_metric() {
    let [written, changelog] = [PATH, "CHANGELOG.md"].map(|file| fs::read_to_string(file).unwrap());
    assert_golden(PATH, &reference(&written, &changelog));
}

#[test]
fn a_metric_keeps_the_version_in_which_it_appeared() {
    let written = "| `proxymeter_up` | gauge | target | 0.0.1 | Whether … |\n";
    assert_eq!(since("proxymeter_up", written, "\n## [0.0.1] - 2026-01-01\n"), "0.0.1");
    assert_eq!(since("proxymeter_new", written, "\n## [Unreleased]\n"), VERSION);
}

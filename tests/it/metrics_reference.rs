//! Compares `docs/metrics.md` with the metrics that exist. `UPDATE_GOLDEN=1` rewrites it.

use std::{collections::BTreeMap, fmt::Write};

use proxymeter::{
    exposition::{Kind, alert_families, families},
    model::Reason,
    notify::SendReason,
    telemetry::Telemetry,
};

use crate::common::golden::assert_golden;

const PATH: &str = "docs/metrics.md";

const HEAD: &str = "# Metrics

Every metric that proxymeter exports. Names, labels and meanings are public: a change to one is a breaking change.
Where there is no value, there is no series: a user that never expires has no expiry, an unlimited user has no limit.

Panel metrics are polled in the background; a scrape sends no request to a panel. They show the panel's last answer, and
`proxymeter_target_part_last_success_timestamp_seconds` shows its time. Values older than `stale_after` are dropped.

## Targets, users, nodes, hosts, alerts

| Metric | Type | Labels | Meaning |
|---|---|---|---|
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for family in families().chain(alert_families().iter().copied()) {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Info => "info",
            Kind::Histogram => "histogram",
        };
        let labels = family.labels.join(", ");
        writeln!(text, "| `{}` | {kind} | {labels} | {} |", family.name, family.help).unwrap();
    }
    text.push_str("\n## The daemon itself\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
    for (name, row) in own() {
        writeln!(text, "| `{name}` | {row} |").unwrap();
    }
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

/// The daemon's own metrics, once each has a series.
fn own() -> BTreeMap<String, String> {
    let telemetry = Telemetry::new();
    telemetry.declare_part("home", "system", &["timeout"]);
    telemetry.declare_path("/metrics");
    telemetry.declare_receiver("ops", &["timeout"]);
    telemetry.declare_suppressions(&["muted"]);
    telemetry.notification_queue("ops", 1, Some(1.0));
    telemetry.notification_last_success("ops", 1.0);
    telemetry.declare_heartbeat(&["timeout"], &["stuck"]);
    telemetry.heartbeat_last_success(1.0);
    let families = telemetry.gather();
    let rows = families.iter().map(|family| {
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let metric = &family.get_metric()[0];
        let labels: Vec<_> = metric.get_label().iter().map(|label| label.name().to_owned()).collect();
        (family.name().to_owned(), format!("{kind} | {} | {}", labels.join(", "), family.help()))
    });
    rows.collect()
}

#[test]
fn the_reference_lists_every_metric() {
    assert_golden(PATH, &reference());
}

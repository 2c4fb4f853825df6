//! The daemon's own metrics, as its registry gathered them.

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::{
    family::{Family, Kind},
    text::Text,
};

/// Writes what a registry gathered: all of it, or only the series with the label `target="{only}"`.
pub(super) fn write(text: &mut Text<'_>, families: &[MetricFamily], only: Option<&str>) {
    for family in families {
        let (name, metrics) = (family.name(), family.get_metric());
        let kind = match family.get_field_type() {
            MetricType::COUNTER => Kind::Counter,
            MetricType::HISTOGRAM => Kind::Histogram,
            _ if name.ends_with("_info") => Kind::Info,
            _ => Kind::Gauge,
        };
        // The metrics of a family have the same labels, in the same order.
        let labels: Vec<_> =
            metrics.iter().take(1).flat_map(Metric::get_label).map(LabelPair::name).collect();
        let family = Family { name, kind, labels: &labels, help: family.help() };
        let mut series = text.family(&family);
        for metric in metrics.iter().filter(|metric| concerns(metric, only)) {
            let labels: Vec<_> = metric.get_label().iter().map(LabelPair::value).collect();
            match kind {
                Kind::Counter => series.add(&labels, metric.get_counter().get_value()),
                Kind::Gauge | Kind::Info => series.add(&labels, metric.get_gauge().get_value()),
                Kind::Histogram => {
                    let histogram = metric.get_histogram();
                    let buckets = histogram.get_bucket().iter();
                    let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
                    series.add_histogram(
                        &labels,
                        buckets,
                        histogram.get_sample_sum(),
                        histogram.get_sample_count(),
                    );
                }
            }
        }
    }
}

fn concerns(metric: &Metric, only: Option<&str>) -> bool {
    let is_target = |label: &LabelPair, target| label.name() == "target" && label.value() == target;
    only.is_none_or(|target| metric.get_label().iter().any(|label| is_target(label, target)))
}

#[cfg(test)]
mod tests {
    use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

    use super::*;
    use crate::exposition::{Format, text::Sink};

    fn written(format: Format, only: Option<&str>) -> String {
        let registry = Registry::new();
        let polls = IntCounterVec::new(Opts::new("polls_total", "Say \"hi\"."), &["part", "target"]).unwrap();
        polls.with_label_values(&["a", "x"]).inc();
        polls.with_label_values(&["a", "y"]).inc_by(2);
        let flight = IntGauge::new("flight", "Now.").unwrap();
        let took = Histogram::with_opts(HistogramOpts::new("took_seconds", "Time.").buckets(vec![0.5, 1.0]));
        let took = took.unwrap();
        took.observe(0.7);
        registry.register(Box::new(polls)).unwrap();
        registry.register(Box::new(flight)).unwrap();
        registry.register(Box::new(took)).unwrap();
        let mut whole = Vec::new();
        let mut take = |text: &mut Vec<u8>| whole.append(text);
        let mut text = Text::new(format, 1000, Sink::Whole(&mut take));
        write(&mut text, &registry.gather(), only);
        text.finish();
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn a_registry_is_written_in_both_formats() {
        let samples = "flight 0\n";
        let polls = "polls_total{part=\"a\",target=\"x\"} 1\npolls_total{part=\"a\",target=\"y\"} 2\n";
        let took = "took_seconds_bucket{le=\"0.5\"} 0\ntook_seconds_bucket{le=\"1.0\"} 1\n\
            took_seconds_bucket{le=\"+Inf\"} 1\ntook_seconds_sum 0.7\ntook_seconds_count 1\n";
        assert_eq!(
            written(Format::Classic, None),
            format!(
                "# HELP flight Now.\n# TYPE flight gauge\n{samples}\
                # HELP polls_total Say \"hi\".\n# TYPE polls_total counter\n{polls}\
                # HELP took_seconds Time.\n# TYPE took_seconds histogram\n{took}"
            )
        );
        assert_eq!(
            written(Format::OpenMetrics, None),
            format!(
                "# HELP flight Now.\n# TYPE flight gauge\n{samples}\
                # HELP polls Say \\\"hi\\\".\n# TYPE polls counter\n{polls}\
                # HELP took_seconds Time.\n# TYPE took_seconds histogram\n# UNIT took_seconds seconds\n{took}"
            )
        );
    }

    #[test]
    fn one_target_has_only_its_own_series() {
        assert_eq!(
            written(Format::Classic, Some("y")),
            "# HELP polls_total Say \"hi\".\n# TYPE polls_total counter\npolls_total{part=\"a\",target=\"y\"} 2\n"
        );
        assert_eq!(written(Format::Classic, Some("z")), "");
    }
}

//! Creates and registers families of metrics, and removes series.

use std::collections::HashMap;

use prometheus::{
    IntCounterVec, Opts, Registry,
    core::{Collector, MetricVec, MetricVecBuilder},
    proto::MetricFamily,
};

pub(super) fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("proxymeter")
}

pub(super) fn counters(registry: &Registry, opts: Opts, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(opts, labels))
}

/// Removes every series whose label has this value.
pub(super) fn forget<B: MetricVecBuilder>(metrics: &MetricVec<B>, label: &str, value: &str) {
    for metric in metrics.collect().iter().flat_map(MetricFamily::get_metric) {
        let labels: HashMap<_, _> = metric.get_label().iter().map(|it| (it.name(), it.value())).collect();
        if labels.get(label) == Some(&value) {
            // It fails if another thread has removed it already.
            drop(metrics.remove(&labels));
        }
    }
}

/// Names, labels and texts are constants of this room, so they are either always valid or never.
pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> C {
    let metric = metric.expect("the metric's name and labels are valid");
    registry.register(Box::new(metric.clone())).expect("the metric is registered once");
    metric
}

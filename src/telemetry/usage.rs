use prometheus::{IntCounter, IntGauge, Registry};

use super::registry::{opts, register};

/// The file with the history of use.
#[derive(Debug)]
pub(super) struct UsageHistory {
    up: IntGauge,
    size: IntGauge,
    errors: IntCounter,
}

impl UsageHistory {
    pub(super) fn new(registry: &Registry) -> Self {
        let up = opts(
            "usage_history_up",
            "Whether the last write of the history of use (usage.db) succeeded. If not, what is used is kept in memory.",
        );
        let size = opts("usage_history_size_bytes", "Size of the history of use (usage.db).");
        let errors =
            opts("usage_history_errors_total", "Failed reads and writes of the history of use (usage.db).");
        UsageHistory {
            up: register(registry, IntGauge::with_opts(up)),
            size: register(registry, IntGauge::with_opts(size)),
            errors: register(registry, IntCounter::with_opts(errors)),
        }
    }

    pub(super) fn set(&self, up: bool, size_bytes: u64, errors: u64) {
        self.up.set(i64::from(up));
        self.size.set(i64::try_from(size_bytes).unwrap_or(i64::MAX));
        self.errors.inc_by(errors.saturating_sub(self.errors.get()));
    }
}

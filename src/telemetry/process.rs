use procfs::process::LimitValue;
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

/// The eight standard metrics of a process, read from `/proc`.
///
/// The `prometheus` crate has a collector for them that rounds CPU time to whole seconds and lacks two.
#[derive(Debug)]
pub(super) struct Process {
    process: procfs::process::Process,
    /// Seconds since the Unix epoch.
    started: Option<f64>,
}

impl Process {
    /// Absent where there is no `/proc` to read.
    pub(super) fn myself() -> Option<Self> {
        let process = procfs::process::Process::myself().ok()?;
        let started = process
            .stat()
            .ok()
            .and_then(|stat| Some(real(procfs::boot_time_secs().ok()?) + ticks(stat.starttime)));
        Some(Process { process, started })
    }

    /// The metrics that can be read; the others are left out.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        let mut families = Vec::with_capacity(8);
        if let Ok(stat) = self.process.stat() {
            let cpu = ticks(stat.utime + stat.stime);
            families.push(counter("process_cpu_seconds_total", "User and system CPU time spent.", cpu));
            let resident = real(stat.rss * procfs::page_size());
            families.push(gauge("process_resident_memory_bytes", "Resident memory size.", resident));
            families.push(gauge("process_virtual_memory_bytes", "Virtual memory size.", real(stat.vsize)));
            let threads = real(u64::try_from(stat.num_threads).unwrap_or_default());
            families.push(gauge("process_threads", "Number of threads.", threads));
        }
        if let Ok(limits) = self.process.limits() {
            let max = bound(limits.max_address_space.soft_limit);
            families.push(gauge("process_virtual_memory_max_bytes", "Maximum size of virtual memory.", max));
            let max = bound(limits.max_open_files.soft_limit);
            families.push(gauge("process_max_fds", "Maximum number of open file descriptors.", max));
        }
        if let Ok(open) = self.process.fd_count() {
            let open = real(u64::try_from(open).unwrap_or(u64::MAX));
            families.push(gauge("process_open_fds", "Number of open file descriptors.", open));
        }
        if let Some(started) = self.started {
            let help = "Unix time of the start of the process.";
            families.push(gauge("process_start_time_seconds", help, started));
        }
        families.sort_by(|a, b| a.name().cmp(b.name()));
        families
    }
}

/// Without a limit, the largest number, as the official exporters export it.
fn bound(limit: LimitValue) -> f64 {
    match limit {
        LimitValue::Unlimited => real(u64::MAX),
        LimitValue::Value(value) => real(value),
    }
}

fn ticks(ticks: u64) -> f64 {
    real(ticks) / real(procfs::ticks_per_second())
}

#[expect(clippy::cast_precision_loss, reason = "every sample is a floating-point number in the end")]
fn real(value: u64) -> f64 {
    value as f64
}

fn counter(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut sample = Counter::default();
    sample.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(sample);
    family(name, help, MetricType::COUNTER, metric)
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut sample = Gauge::default();
    sample.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(sample);
    family(name, help, MetricType::GAUGE, metric)
}

fn family(name: &str, help: &str, kind: MetricType, metric: Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_eight_are_read_and_plausible() {
        let families = Process::myself().unwrap().gather();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            let metric = &family.get_metric()[0];
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        assert_eq!(families.len(), 8);
        assert!(value("process_cpu_seconds_total") < 1e6);
        assert!((1.0..=value("process_max_fds")).contains(&value("process_open_fds")));
        assert!((1e5..1e12).contains(&value("process_resident_memory_bytes")));
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_virtual_memory_max_bytes") >= value("process_virtual_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        assert!((1.6e9..1e11).contains(&value("process_start_time_seconds")));
    }
}

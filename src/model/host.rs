/// The machine that the panel runs on. Absent: the panel does not report it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// 0 to 1 over all cores.
    pub cpu_usage: Option<f64>,
    pub cpu_cores: Option<u64>,
    /// Bytes.
    pub memory_used: Option<u64>,
    /// Bytes.
    pub memory_size: Option<u64>,
    /// Bytes.
    pub disk_used: Option<u64>,
    /// Bytes.
    pub disk_size: Option<u64>,
    /// Seconds.
    pub uptime: Option<f64>,
}

/// The proxy core that runs beside the panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Absent: the panel does not say.
    pub up: Option<bool>,
    pub version: Option<String>,
}

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
    /// Bytes.
    pub swap_used: Option<u64>,
    /// Bytes.
    pub swap_size: Option<u64>,
    /// Load averages of 1, 5 and 15 minutes.
    pub load: [Option<f64>; 3],
    /// Seconds.
    pub uptime: Option<f64>,
    /// Open TCP sockets of the whole machine.
    pub tcp_connections: Option<u64>,
    /// As `tcp_connections`, of UDP.
    pub udp_connections: Option<u64>,
    /// Bytes since boot by the machine's own counter, which falls when an interface goes away. Readers use
    /// [`Report::network_received`](super::Report::network_received).
    pub network_received: Option<u64>,
    /// As `network_received`, in the other direction.
    pub network_sent: Option<u64>,
}

/// The share of `size` that is used, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a share of bytes needs no more than 53 bits")]
pub fn share(used: Option<u64>, size: Option<u64>) -> Option<f64> {
    let (used, size) = used.zip(size.filter(|size| *size > 0))?;
    Some((used as f64 / size as f64).min(1.0))
}

/// The proxy core that runs beside the panel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Core {
    /// Absent: the panel does not say.
    pub up: Option<bool>,
    pub version: Option<String>,
    /// Seconds since the core was started.
    pub uptime: Option<f64>,
}

//! The data that answers are made from, and the part of it that a reload replaces.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::access::Access;
use crate::{
    board::Board,
    clock::{Beats, Clock},
    exposition::Options,
    model::{ActiveAlerts, SilenceChange, SilenceError},
    store::Usage,
    telemetry::Telemetry,
    wording::Voice,
};

/// What the answers are made from.
pub struct State {
    pub board: Board,
    pub clock: Clock,
    pub telemetry: Telemetry,
    /// A new value holds from the next request on.
    pub setup: watch::Receiver<Arc<Setup>>,
    /// Where the metrics are, e.g. `/metrics`, but not `/`; those of one target are one level below.
    pub telemetry_path: String,
    /// What users, admins, nodes and client keys use by day and month.
    pub usage: Usage,
    /// What is pending and firing.
    pub alerts: watch::Receiver<Arc<ActiveAlerts>>,
    /// Whether the daemon is ready.
    pub ready: watch::Receiver<bool>,
    /// Requests to reload the configuration.
    pub reload: mpsc::Sender<Reload>,
    /// Changes of silences.
    pub silences: mpsc::Sender<AskSilence>,
    /// The loops without which the daemon is not healthy.
    pub beats: Beats,
    /// As the status page shows it.
    pub version: &'static str,
}

/// The part of the answers that depends on the configuration. A reload replaces it as a whole.
#[derive(Clone, Debug)]
pub struct Setup {
    pub options: Options,
    /// As `/config` shows it, without secrets.
    pub config: String,
    /// The receivers of notifications: name and kind, sorted by name.
    pub receivers: Vec<(String, &'static str)>,
    /// How sentences about alerts are written.
    pub voice: Voice,
    /// Names by which a port on loopback may be reached without a password, beside addresses and localhost.
    pub names: Vec<String>,
    /// The targets that are LLM proxies: their use is in tokens.
    pub llms: Vec<String>,
    /// The address of dashboards; empty: there are none.
    pub dashboards: String,
    /// Whether alerting is enabled.
    pub alerting: bool,
    /// The checks of connections and requests.
    pub access: Arc<Access>,
}

/// A request to reload the configuration, and the way to answer it. The error says why the configuration cannot be
/// used.
pub type Reload = oneshot::Sender<Result<(), String>>;

/// A change of silences, and the way to answer it once it is on the disk.
pub type AskSilence = (SilenceChange, oneshot::Sender<Result<Arc<str>, SilenceError>>);

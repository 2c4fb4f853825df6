//! What a poster and the dispatcher say to each other.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{model::NoticeAlert, notify::SendError};

/// The alerts of an Alertmanager receiver at one moment.
#[derive(Debug, Default)]
pub struct Standing {
    pub firing: Vec<Arc<NoticeAlert>>,
    /// Until [`Ask::Over`] names them.
    pub ended: Vec<Arc<NoticeAlert>>,
}

/// What a poster says to the dispatcher.
#[derive(Debug)]
pub enum Ask {
    Standing(oneshot::Sender<Standing>),
    /// These events' ends need not be posted any more.
    Over(Vec<String>),
    /// So many alerts or ends were given up, which was logged.
    GivenUp(usize),
    /// How a round of posts went: it succeeded if one replica took everything.
    Outcome(Result<(), SendError>),
}

//! Mail.

pub mod config;

use super::SendError;
use crate::model::{Moment, Notice};

/// Sends mail to some addresses by one SMTP server.
#[derive(Debug)]
pub struct Email;

impl Email {
    pub(super) async fn send(
        &mut self,
        _notice: &Notice,
        _done: &mut Vec<String>,
        _now: Moment,
    ) -> Result<String, SendError> {
        std::future::pending().await
    }
}

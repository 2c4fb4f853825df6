//! A receiver that answers from a script, in tokio's time, for tests that pause it.

use std::{fmt, sync::Arc, time::Duration};

use super::SendError;
use crate::model::{Moment, Notice};

/// How long an attempt takes, and its outcome.
pub(crate) type Script =
    Box<dyn FnMut(&Notice, &mut Vec<String>, Moment) -> (Duration, Result<String, SendError>) + Send>;

pub struct Scripted(pub(crate) Script);

impl Scripted {
    pub(super) async fn send(
        &mut self,
        notice: Arc<Notice>,
        done: &mut Vec<String>,
        now: Moment,
    ) -> Result<String, SendError> {
        let (takes, answer) = (self.0)(&notice, done, now);
        tokio::time::sleep(takes).await;
        answer
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

//! Discord, not simulated yet.

use super::setup::{Setup, Taken};
use crate::simulator::http::{Answer, Asked};

#[derive(Debug, Default)]
pub(super) struct Discord;

impl Discord {
    #[expect(clippy::unused_self, reason = "not simulated yet")]
    pub(super) fn answer(&mut self, _setup: &Setup, _asked: &Asked<'_>, _now_ms: i64) -> Taken {
        Err(Answer::empty(501))
    }
}

use std::{sync::Arc, time::Duration};

use super::{mute::Mutes, silence::Silences};
use crate::model::{ActiveMute, Moment};

/// What operators do not want to be notified of: by the configuration at certain times, and by silences.
#[derive(Debug, Default)]
pub(in crate::alert) struct Quiet {
    pub(super) mutes: Mutes,
    pub(in crate::alert) silences: Silences,
    /// The mutes in force at the last [`Quiet::advance`].
    muted: Arc<[ActiveMute]>,
}

impl Quiet {
    pub(in crate::alert) fn new(mutes: Mutes, silences: Silences) -> Self {
        Quiet { mutes, silences, muted: Arc::default() }
    }

    /// Takes note of the time. Returns whether silences have changed since the last call, and whether anything that is
    /// shown has.
    pub(super) fn advance(&mut self, now: Moment) -> (bool, bool) {
        let silences = self.silences.advance(now);
        let muted: Vec<_> = self.mutes.active(now.wall).collect();
        let mutes = *muted != *self.muted;
        if mutes {
            self.muted = muted.into();
        }
        (silences, silences || mutes)
    }

    /// The uptime of the next change that is known.
    pub(super) fn due(&self) -> Option<Duration> {
        self.silences.due()
    }

    /// The mutes in force.
    pub(in crate::alert) fn muted(&self) -> Arc<[ActiveMute]> {
        Arc::clone(&self.muted)
    }
}

//! The panel's clock.

use tokio::time::Instant;

use crate::model::{Moment, Timestamp};

/// The panel's clock, by the dates of its answers.
#[derive(Debug, Default)]
pub(super) struct PanelClock {
    /// When the present step started, and when its first request was sent.
    step: Option<(Moment, Instant)>,
    /// By how much it is ahead of ours, in milliseconds.
    ahead: i64,
}

impl PanelClock {
    pub(super) fn begins(&mut self, now: Moment) {
        if self.step.is_none_or(|(step, _)| step != now) {
            self.step = Some((now, Instant::now()));
        }
    }

    /// Takes the date of an answer that arrived at `began`: that to a long list starts long after the request.
    pub(super) fn learn(&mut self, date: Option<Timestamp>, now: Moment, began: Instant) {
        if let Some(date) = date {
            let ours = now.wall.saturating_add(began.saturating_duration_since(self.began(now)));
            self.ahead = date.as_millis().saturating_sub(ours.as_millis());
        }
    }

    /// The moment that the step started at, by the panel's clock.
    pub(super) fn at(&self, now: Moment) -> Timestamp {
        now.wall.saturating_add_millis(self.ahead)
    }

    /// The present, by the panel's clock.
    pub(super) fn panel_now(&self, now: Moment) -> Timestamp {
        self.at(now).saturating_add(self.began(now).elapsed())
    }

    fn began(&self, now: Moment) -> Instant {
        self.step.filter(|(step, _)| *step == now).map_or_else(Instant::now, |(_, began)| began)
    }
}

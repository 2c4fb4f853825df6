//! What the status page and the JSON show, rendered at most once a second and away from the threads that serve scrapes.
//!
//! They use the same reports and alerts as the metrics. Of tens of thousands of users and alerts, one pass selects the few
//! that are shown, and only these are put into words.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Mutex;

use super::state::{Setup, State};
use crate::{
    board::View,
    model::{ActiveAlert, ActiveAlerts, Moment},
    store::Usage,
    telemetry::{ReceiverStatus, Telemetry},
    wording::{About, Told, Voice},
};

/// Ages and queues change without a new report on the board; pages show them at most so late.
const SHOWN_FOR: Duration = Duration::from_secs(1);

/// Everything that a page shows, at one moment.
pub(super) struct Seen {
    pub(super) view: View,
    pub(super) alerts: Arc<ActiveAlerts>,
    pub(super) setup: Arc<Setup>,
    pub(super) now: Moment,
    pub(super) usage: Usage,
    pub(super) telemetry: Telemetry,
    pub(super) telemetry_path: String,
    /// Of this program.
    pub(super) version: &'static str,
}

impl Seen {
    pub(super) fn now(state: &State) -> Self {
        Seen {
            view: state.board.view(),
            alerts: Arc::clone(&state.alerts.borrow()),
            setup: Arc::clone(&state.setup.borrow()),
            now: state.clock.now(),
            usage: state.usage.clone(),
            telemetry: state.telemetry.clone(),
            telemetry_path: state.telemetry_path.clone(),
            version: state.version,
        }
    }

    /// What is true of an alert that is pending or firing, about a subject that is called so.
    pub(super) fn sentence(&self, alert: &ActiveAlert, subject: &str, voice: &Voice) -> String {
        let ActiveAlert { alertname, kind, target, step, reading, active_since, .. } = alert;
        let about = About { alertname, kind, subject, target, step };
        let told = Told { reading, began: *active_since, ended: None, now: self.now.wall };
        voice.sentence(&about, &told)
    }

    pub(super) fn receiver(&self, name: &str) -> ReceiverStatus {
        self.telemetry.receiver(name)
    }
}

/// A page, written once for all clients within a second, unless what it shows changes. Of pages for different `Q`, the
/// last one is kept.
pub(super) struct SharedPage<Q = ()>(Arc<Mutex<Option<Page<Q>>>>);

impl<Q> Default for SharedPage<Q> {
    fn default() -> Self {
        SharedPage(Arc::default())
    }
}

struct Page<Q> {
    asked: Q,
    text: Bytes,
    made: Duration,
    version: u64,
    /// Weak, so that an old page keeps nothing in memory.
    alerts: Weak<ActiveAlerts>,
    setup: Weak<Setup>,
}

impl<Q: PartialEq> Page<Q> {
    fn shows(&self, seen: &Seen, asked: &Q) -> bool {
        self.asked == *asked
            && self.version == seen.view.version
            && Weak::ptr_eq(&self.alerts, &Arc::downgrade(&seen.alerts))
            && Weak::ptr_eq(&self.setup, &Arc::downgrade(&seen.setup))
            && seen.now.uptime < self.made + SHOWN_FOR
    }
}

impl<Q: PartialEq + Send + 'static> SharedPage<Q> {
    /// The page that `write` makes of what was asked for, away from the threads that serve others; absent: it could not be written.
    pub(super) async fn get<E: Send + 'static>(
        &self,
        state: &State,
        asked: Q,
        write: fn(&Seen, &Q) -> Result<Vec<u8>, E>,
    ) -> Option<Bytes> {
        // Held by the thread that writes the page: clients that want it meanwhile wait for it, and if they leave, it is
        // kept all the same.
        let mut kept = Arc::clone(&self.0).lock_owned().await;
        let seen = Seen::now(state);
        if let Some(page) = kept.as_ref().filter(|page| page.shows(&seen, &asked)) {
            return Some(page.text.clone());
        }
        *kept = None;
        let write = move || {
            let page = Page {
                text: write(&seen, &asked).ok()?.into(),
                asked,
                made: seen.now.uptime,
                version: seen.view.version,
                alerts: Arc::downgrade(&seen.alerts),
                setup: Arc::downgrade(&seen.setup),
            };
            Some(kept.insert(page).text.clone())
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(text) => text,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down; no answer is sent any more.
                Err(_) => None,
            },
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::{
        board::Board,
        clock::{Beats, Clock},
        exposition::{Options, UserLabels},
        model::{Report, Timestamp},
        server::{access::Access, config::AccessConfig},
        store::Usage,
        wording::{Language, Voice},
    };
    use jiff::tz::TimeZone;
    use tokio::sync::{mpsc, watch};

    pub(in crate::server) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    /// What a server sees whose board has these reports.
    pub(in crate::server) fn state(reports: &[Report], alerts: ActiveAlerts, labels: UserLabels) -> State {
        let board = Board::new(reports.iter().map(|report| &*report.target));
        for report in reports {
            board.publish(report.clone());
        }
        let telemetry = Telemetry::new();
        telemetry.config_loaded(NOW.as_secs_f64() - 90_000.0);
        let setup = Setup {
            options: Options { labels, limit: 10, inbounds: false, used_today: false, budgets: Vec::new() },
            config: "[users]\n".to_owned(),
            receivers: vec![("oncall".to_owned(), "webhook"), ("ops".to_owned(), "email")],
            voice: Voice::new(Language::En, TimeZone::UTC, "https://proxymeter.example.com"),
            names: Vec::new(),
            llms: vec!["llm".to_owned()],
            dashboards: "https://grafana.example.com/dashboards?orgId=1".to_owned(),
            alerting: true,
            access: Arc::new(Access::open(&AccessConfig::default(), &telemetry).unwrap()),
        };
        State {
            board,
            clock: Clock::starting_at(NOW),
            telemetry,
            setup: watch::channel(Arc::new(setup)).1,
            telemetry_path: "/metrics".to_owned(),
            usage: Usage::in_memory(&Clock::starting_at(NOW), TimeZone::UTC),
            alerts: watch::channel(Arc::new(alerts)).1,
            ready: watch::channel(true).1,
            beats: Beats::default(),
            reload: mpsc::channel(1).0,
            silences: mpsc::channel(1).0,
            version: "1.2.3",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::FutureExt;

    use super::{testing::state, *};
    use crate::{exposition::UserLabels, model::Report};

    #[expect(clippy::unnecessary_wraps, reason = "as what writes pages")]
    fn page(seen: &Seen, asked: &u8) -> Result<Vec<u8>, Infallible> {
        Ok(format!("{asked} {} {}", seen.view.version, seen.now.uptime.as_millis()).into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_written_once_a_second_and_when_something_is_new() {
        let mut state = state(&[Report::new("home")], ActiveAlerts::default(), UserLabels::Name);
        let shared = SharedPage::default();
        let both = tokio::join!(shared.get(&state, 1, page), shared.get(&state, 1, page));
        let first = both.0.unwrap();
        assert_eq!(first, both.1.unwrap());
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(shared.get(&state, 1, page).await.unwrap(), first);
        tokio::time::advance(Duration::from_millis(1)).await;
        let second = shared.get(&state, 1, page).await.unwrap();
        assert_ne!(second, first);

        tokio::time::advance(Duration::from_millis(1)).await;
        state.board.publish(Report { up: Some(true), ..Report::new("home") });
        let third = shared.get(&state, 1, page).await.unwrap();
        assert_ne!(third, second);
        tokio::time::advance(Duration::from_millis(1)).await;
        state.alerts = tokio::sync::watch::channel(Arc::default()).1;
        assert_ne!(shared.get(&state, 1, page).await.unwrap(), third);
    }

    #[tokio::test(start_paused = true)]
    async fn of_different_pages_the_last_is_kept() {
        let state = state(&[Report::new("home")], ActiveAlerts::default(), UserLabels::Name);
        let shared = SharedPage::default();
        for asked in [1, 2, 1, 1] {
            let text = shared.get(&state, asked, page).await.unwrap();
            assert!(text.starts_with(format!("{asked} ").as_bytes()));
            assert_eq!(shared.0.lock().await.as_ref().map(|page| page.asked), Some(asked));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_kept_when_its_client_leaves_before_it_is_written() {
        let state = state(&[Report::new("home")], ActiveAlerts::default(), UserLabels::Name);
        let shared = SharedPage::default();
        for round in 0..15 {
            // Polled once, which is seldom long enough.
            drop(shared.get(&state, 1, page).now_or_never());
            let text = shared.0.lock().await.as_ref().map(|page| page.text.clone());
            assert!(text.is_some(), "{round}");
            assert_eq!(shared.get(&state, 1, page).await, text);
            tokio::time::advance(SHOWN_FOR).await;
        }
    }
}

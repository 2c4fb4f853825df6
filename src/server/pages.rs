//! The rendered metrics of targets, cached by format and coding.
//!
//! A page is valid until a new report is on the board or [`Rendered::valid_until`] has come. Pages that were requested
//! lately are rendered again before anyone asks, unless an old page is still being sent: no page is held twice. The
//! daemon's own metrics are appended to each answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{self, OwnedMutexGuard, watch},
    time::{Instant, sleep},
};

use super::state::Setup;
use crate::{
    board::Board,
    clock::Clock,
    exposition::{self, Coding, Format, Rendered},
};

/// A page that was requested within this time is kept ready.
const LATELY: Duration = Duration::from_secs(180);
/// Answers of a panel that come within this time are rendered together.
const TOGETHER: Duration = Duration::from_millis(100);
/// After rendering, the task rests so many times as long as that took, so it uses a tenth of a core at most.
const REST: u32 = 9;

/// The metrics of targets as text, rendered once for all scrapers and again when it is outdated.
pub(super) struct Pages {
    board: Board,
    clock: Clock,
    setup: watch::Receiver<Arc<Setup>>,
    /// Held by the thread that writes a page. Scrapers that want the same page wait for it; if they leave, it is
    /// written to its end and kept all the same.
    kept: Arc<sync::Mutex<HashMap<Key, Page>>>,
    /// When each page was requested last, by the daemon's uptime.
    asked: Mutex<HashMap<Key, Duration>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    target: Option<Arc<str>>,
    format: Format,
    coding: Coding,
}

struct Page {
    /// Of the board.
    version: u64,
    setup: Arc<Setup>,
    text: Arc<Rendered>,
}

impl Page {
    fn valid(&self, version: u64, setup: &Arc<Setup>, uptime: Duration) -> bool {
        self.version == version && Arc::ptr_eq(&self.setup, setup) && uptime < self.text.valid_until()
    }
}

impl Pages {
    pub(super) fn new(board: Board, clock: Clock, setup: watch::Receiver<Arc<Setup>>) -> Self {
        Pages { board, clock, setup, kept: Arc::default(), asked: Mutex::default() }
    }

    /// The newest page of all targets or of one; absent: there is no target of that name.
    pub(super) async fn get(
        &self,
        target: Option<&str>,
        format: Format,
        coding: Coding,
    ) -> Option<Arc<Rendered>> {
        let view = self.board.view();
        if target.is_some_and(|target| view.reports.iter().all(|report| *report.target != *target)) {
            return None;
        }
        let key = Key { target: target.map(Arc::from), format, coding };
        // Before the wait, so that the page is made even if the scraper leaves meanwhile.
        self.asked().insert(key.clone(), self.clock.now().uptime);
        let kept = Arc::clone(&self.kept).lock_owned().await;
        self.newest(kept, key).await
    }

    /// Renders recently requested pages as soon as they are outdated, so that scrapers seldom wait.
    pub(super) async fn keep_ready(&self) {
        let mut views = self.board.watch();
        while views.changed().await.is_ok() {
            sleep(TOGETHER).await;
            views.mark_unchanged();
            let began = Instant::now();
            self.renew().await;
            sleep(began.elapsed() * REST).await;
        }
    }

    /// Renders the pages to be kept ready, and drops the others.
    async fn renew(&self) {
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        let now = self.clock.now().uptime;
        let wanted: Vec<_> = {
            let mut asked = self.asked();
            asked.retain(|_, at| now.saturating_sub(*at) < LATELY);
            kept.retain(|key, _| asked.contains_key(key));
            asked.keys().cloned().collect()
        };
        // Another page beside one that is still being sent would be a large page held twice.
        if kept.values().any(|page| page.text.is_being_sent()) {
            return;
        }
        drop(kept);
        for key in wanted {
            let kept = Arc::clone(&self.kept).lock_owned().await;
            self.newest(kept, key).await;
        }
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<Key, Duration>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page of `key`; written if the kept one is outdated.
    async fn newest(&self, mut kept: OwnedMutexGuard<HashMap<Key, Page>>, key: Key) -> Option<Arc<Rendered>> {
        // Taken under the lock, so that an older page never replaces a newer one.
        let view = self.board.view();
        let setup = Arc::clone(&self.setup.borrow());
        let now = self.clock.now();
        let reports = match &key.target {
            None => view.reports,
            Some(target) => {
                let report = view.reports.iter().find(|report| report.target == *target)?;
                Arc::new(vec![Arc::clone(report)])
            }
        };
        // Dropped before the new page is made: large pages are never held twice, unless one is still being sent.
        kept.retain(|_, page| page.valid(view.version, &setup, now.uptime));
        if let Some(page) = kept.get(&key) {
            return Some(Arc::clone(&page.text));
        }
        let write = move || {
            let text = exposition::render(&reports, now, &setup.options, key.format, key.coding);
            let text = Arc::new(text);
            kept.insert(key, Page { version: view.version, setup, text: Arc::clone(&text) });
            text
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(text) => Some(text),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down; no answer is sent any more.
                Err(_) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        exposition::Tail,
        model::{ActiveAlerts, Report, Timestamp},
    };

    fn pages() -> Pages {
        pages_and_setup().0
    }

    fn pages_and_setup() -> (Pages, watch::Sender<Arc<Setup>>) {
        let setup = Setup::clone(&crate::server::requests::tests::setup().borrow());
        let (sender, setup) = watch::channel(Arc::new(setup));
        let clock = Clock::starting_at(Timestamp::from_secs(30));
        (Pages::new(Board::new(["a", "b"]), clock, setup), sender)
    }

    async fn get(pages: &Pages, target: Option<&str>) -> Arc<Rendered> {
        pages.get(target, Format::Classic, Coding::Identity).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_shared_until_a_report_changes_or_the_minute_ends() {
        let pages = pages();
        let first = get(&pages, None).await;
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(Arc::ptr_eq(&first, &get(&pages, None).await));
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = get(&pages, None).await;
        assert!(!Arc::ptr_eq(&first, &second));

        pages.board.publish(Report { up: Some(true), ..Report::new("a") });
        let third = get(&pages, None).await;
        assert!(!Arc::ptr_eq(&second, &third));
        assert_eq!((second.size(), third.size() > 0), (0, true));
    }

    #[tokio::test]
    async fn another_configuration_makes_another_page() {
        let (pages, setup) = pages_and_setup();
        let first = get(&pages, None).await;
        assert!(Arc::ptr_eq(&first, &get(&pages, None).await));
        let other = Setup::clone(&setup.borrow());
        setup.send_replace(Arc::new(other));
        assert!(!Arc::ptr_eq(&first, &get(&pages, None).await));
    }

    #[tokio::test]
    async fn what_is_outdated_is_dropped() {
        let pages = pages();
        let first = get(&pages, None).await;
        assert_eq!(Arc::strong_count(&first), 2);
        pages.board.publish(Report::new("a"));
        get(&pages, Some("b")).await;
        assert_eq!(Arc::strong_count(&first), 1);
    }

    /// The version of the board that the page of all targets was written from, if it is kept.
    async fn written(pages: &Pages) -> Option<u64> {
        pages.kept.lock().await.values().next().map(|page| page.version)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_lately_is_kept_ready() {
        let pages = pages();
        let story = async {
            get(&pages, None).await;
            for version in 1..=37 {
                pages.board.publish(Report { up: Some(true), ..Report::new("a") });
                sleep(Duration::from_secs(5)).await;
                let expected = (version < 37).then_some(version);
                assert_eq!(written(&pages).await, expected, "after {version} reports");
            }
        };
        tokio::select! {
            () = pages.keep_ready() => unreachable!("the board is there"),
            () = story => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_is_being_sent_is_not_held_twice() {
        let pages = pages();
        pages.board.publish(Report { up: Some(true), ..Report::new("a") });
        let story = async {
            let tail = Tail { alerts: &ActiveAlerts::default(), own: &[] };
            let sent = get(&pages, None).await.complete(&tail, None);
            pages.board.publish(Report { up: Some(false), ..Report::new("a") });
            sleep(Duration::from_secs(5)).await;
            assert_eq!(written(&pages).await, Some(1));
            drop(sent);
            pages.board.publish(Report { up: Some(true), ..Report::new("a") });
            sleep(Duration::from_secs(5)).await;
            assert_eq!(written(&pages).await, Some(3));
        };
        tokio::select! {
            () = pages.keep_ready() => unreachable!("the board is there"),
            () = story => {}
        }
    }

    #[tokio::test]
    async fn a_page_is_kept_and_kept_ready_when_its_scraper_leaves_before_it_is_written() {
        let pages = pages();
        pages.board.publish(Report { up: Some(true), ..Report::new("a") });
        for version in 1..=15 {
            // Polled once, which is seldom long enough.
            drop(get(&pages, None).now_or_never());
            assert_eq!(written(&pages).await, Some(version));
            pages.board.publish(Report { up: Some(true), ..Report::new("a") });
        }
        pages.renew().await;
        assert_eq!(written(&pages).await, Some(16));
    }

    #[tokio::test]
    async fn a_page_is_made_when_its_scraper_leaves_while_another_page_is_written() {
        let pages = pages();
        let writing = Arc::clone(&pages.kept).lock_owned().await;
        for target in [None, Some("a"), Some("no such target")] {
            drop(pages.get(target, Format::OpenMetrics, Coding::Gzip).now_or_never());
        }
        drop(writing);
        pages.renew().await;
        let kept = pages.kept.lock().await;
        let mut targets: Vec<_> = kept.keys().map(|key| key.target.as_deref()).collect();
        targets.sort_unstable();
        assert_eq!(targets, [None, Some("a")]);
    }

    #[tokio::test]
    async fn a_page_is_of_its_target_and_form() {
        let pages = pages();
        pages.board.publish(Report { up: Some(true), ..Report::new("a") });
        assert!(get(&pages, Some("a")).await.size() > 0);
        assert_eq!(get(&pages, Some("b")).await.size(), 0);
        assert!(pages.get(Some("c"), Format::Classic, Coding::Identity).await.is_none());
        let open = pages.get(None, Format::OpenMetrics, Coding::Identity).await.unwrap();
        assert!(!Arc::ptr_eq(&open, &get(&pages, None).await));
    }

    #[tokio::test]
    async fn a_page_asked_for_by_many_at_once_is_written_once() {
        let pages = pages();
        let all = tokio::join!(get(&pages, None), get(&pages, None), get(&pages, None));
        assert!(Arc::ptr_eq(&all.0, &all.1) && Arc::ptr_eq(&all.1, &all.2));
    }
}

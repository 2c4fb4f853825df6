//! The metrics as text, kept by target, format and coding.
//!
//! Scrapers share a page until a report or an alert changes, or [`Page::valid_until`] has come. A small page is then written when
//! it is asked for. A large one takes a while: if it was requested lately, it is written again whenever it is outdated, and
//! until that is done, scrapers get it as it was; they wait neither for this nor for another form. Plain text of many
//! users is not kept at all, but written to each scraper.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use bytes::Bytes;
use prometheus::proto::MetricFamily;
use tokio::{
    sync::{self, Notify, watch},
    time::{Instant, sleep},
};

use super::{
    connections::Held,
    state::{Setup, State},
    stream::{Stream, Writer, lock},
};
use crate::{
    board::{Board, View},
    clock::Clock,
    exposition::{self, Chunks, Coding, Encoded, Format, Page, Piece, Plan, Shown, UserLabels},
    model::{ActiveAlerts, Moment},
    telemetry::{ConfigStatus, Telemetry},
};

/// A page that was requested within this time is kept ready.
const LATELY: Duration = Duration::from_secs(180);
/// Answers of a panel that come within this time are written together.
const TOGETHER: Duration = Duration::from_millis(100);
/// After writing, the task rests so many times as long as that took, so it uses a tenth of a core; but no longer than a page
/// may be behind.
const REST: u32 = 9;
const BEHIND: Duration = Duration::from_secs(5);
/// A page of so many bytes of text is written in some milliseconds, when a scraper asks for it.
const SMALL: usize = 1024 * 1024;
/// Plain text of more users is not kept. One has some 600 bytes.
const KEPT_USERS: usize = 25_000;
/// Bytes that a user of a report takes in memory, about.
const USER_SIZE: usize = 300;
/// The daemon's own metrics are gathered at most so often.
const GATHERED_FOR: Duration = Duration::from_secs(1);

/// The metrics as text, written once for all scrapers and again when it is outdated.
pub(super) struct Pages {
    board: Board,
    clock: Clock,
    telemetry: Telemetry,
    setup: watch::Receiver<Arc<Setup>>,
    alerts: watch::Receiver<Arc<ActiveAlerts>>,
    forms: Mutex<HashMap<Key, Arc<Form>>>,
    own: Mutex<Option<Own>>,
    /// A form that is kept ready is outdated.
    outdated: Notify,
}

/// What is sent to a scraper.
pub(super) enum Metrics {
    Ready(Vec<Bytes>),
    Written(Stream),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    target: Option<Arc<str>>,
    format: Format,
    coding: Coding,
}

/// The pages of one form, under one configuration.
struct Form {
    key: Key,
    setup: Arc<Setup>,
    /// When it was requested last, by the daemon's uptime.
    asked: Mutex<Duration>,
    newest: Mutex<Option<Arc<Made>>>,
    /// Held by the thread that writes the page. Scrapers that have none wait for it; if they leave, it is written to its end and
    /// kept all the same.
    chunks: Arc<sync::Mutex<Chunks>>,
    own: Mutex<Option<(Own, Arc<Encoded>)>>,
}

struct Made {
    /// Of the board.
    version: u64,
    /// Weak, so that what is outdated is not kept in memory.
    alerts: Weak<ActiveAlerts>,
    page: Page,
}

/// The daemon's own metrics, and when they were gathered.
#[derive(Clone)]
struct Own {
    at: Duration,
    /// After a reload, its outcome is shown at once.
    config: ConfigStatus,
    families: Arc<Vec<MetricFamily>>,
}

/// What a page is written from.
struct Inputs {
    view: View,
    alerts: Arc<ActiveAlerts>,
    now: Moment,
}

impl Inputs {
    fn shown<'a>(&'a self, setup: &'a Setup, only: Option<&'a str>) -> Shown<'a> {
        let Inputs { view, alerts, now } = self;
        Shown { reports: &view.reports, alerts, options: &setup.options, now: *now, only }
    }

    /// Whether the page has so many users that it is not kept.
    fn are_many(&self, key: &Key, setup: &Setup) -> bool {
        key.coding == Coding::Identity && self.users(setup) > KEPT_USERS
    }

    /// Users that have rows.
    fn users(&self, setup: &Setup) -> usize {
        if matches!(setup.options.labels, UserLabels::Off) {
            return 0;
        }
        let users = self.view.reports.iter().map(|report| report.users.list().len());
        users.map(|users| users.min(setup.options.limit)).sum()
    }
}

impl Made {
    fn is_large(&self) -> bool {
        self.page.length > SMALL
    }

    fn shows(&self, inputs: &Inputs) -> bool {
        self.version == inputs.view.version
            && Weak::ptr_eq(&self.alerts, &Arc::downgrade(&inputs.alerts))
            && inputs.now.uptime < self.page.valid_until
    }
}

impl Pages {
    pub(super) fn new(state: &State) -> Self {
        Pages {
            board: state.board.clone(),
            clock: state.clock.clone(),
            telemetry: state.telemetry.clone(),
            setup: state.setup.clone(),
            alerts: state.alerts.clone(),
            forms: Mutex::default(),
            own: Mutex::default(),
            outdated: Notify::new(),
        }
    }

    /// The metrics of all targets or of one; absent: there is no target of that name.
    pub(super) async fn get(&self, target: Option<&str>, format: Format, coding: Coding) -> Option<Metrics> {
        let key = Key { target: target.map(Arc::from), format, coding };
        let inputs = self.inputs(&key)?;
        let setup = Arc::clone(&self.setup.borrow());
        let own = self.own(inputs.now);
        if inputs.are_many(&key, &setup) {
            return Some(Metrics::Written(stream(inputs, setup, own, key)));
        }
        // Before the wait, so that the page is made even if the scraper leaves meanwhile.
        let form = self.form(&key, setup, inputs.now);
        let newest = lock(&form.newest).clone();
        let page = match newest {
            Some(made) if made.shows(&inputs) => made,
            Some(made)
                if made.is_large() && inputs.now.uptime < made.page.valid_until.saturating_add(BEHIND) =>
            {
                self.outdated.notify_one();
                made
            }
            _ => self.renew(&form).await?,
        };
        Some(Metrics::Ready(exposition::join(&[&page.page.text, &*form.own(own)])))
    }

    /// Writes large pages that were requested lately again as soon as they are outdated, so that scrapers never wait.
    pub(super) async fn keep_ready(&self) {
        let (mut views, mut alerts) = (self.board.watch(), self.alerts.clone());
        loop {
            tokio::select! {
                changed = views.changed() => if changed.is_err() { return },
                // Without the engine of alerts, these stay as they are.
                Ok(()) = alerts.changed() => {}
                () = self.outdated.notified() => {}
            }
            sleep(TOGETHER).await;
            views.mark_unchanged();
            alerts.mark_unchanged();
            let began = Instant::now();
            for form in self.kept_ready() {
                self.renew(&form).await;
            }
            sleep((began.elapsed() * REST).min(BEHIND)).await;
        }
    }

    /// The forms with large pages that were requested lately. The others that were not are dropped.
    fn kept_ready(&self) -> Vec<Arc<Form>> {
        let now = self.clock.now().uptime;
        let setup = Arc::clone(&self.setup.borrow());
        let is_wanted = |form: &Form| {
            Arc::ptr_eq(&form.setup, &setup)
                && now.saturating_sub(*lock(&form.asked)) < LATELY
                && self.inputs(&form.key).is_some_and(|inputs| !inputs.are_many(&form.key, &setup))
        };
        let mut forms = lock(&self.forms);
        forms.retain(|_, form| is_wanted(form));
        let is_large = |form: &&Arc<Form>| lock(&form.newest).as_ref().is_some_and(|made| made.is_large());
        forms.values().filter(is_large).cloned().collect()
    }

    /// The form of `key`, which is requested `now`.
    fn form(&self, key: &Key, setup: Arc<Setup>, now: Moment) -> Arc<Form> {
        let mut forms = lock(&self.forms);
        let known = forms.get(key).filter(|form| Arc::ptr_eq(&form.setup, &setup)).cloned();
        let form = known.unwrap_or_else(|| {
            let form = Arc::new(Form::new(key.clone(), setup));
            forms.insert(key.clone(), Arc::clone(&form));
            form
        });
        *lock(&form.asked) = now.uptime;
        form
    }

    /// What the page of `key` is written from; absent: there is no such target.
    fn inputs(&self, key: &Key) -> Option<Inputs> {
        let mut view = self.board.view();
        if let Some(target) = &key.target {
            let report = view.reports.iter().find(|report| report.target == *target)?;
            view.reports = Arc::new(vec![Arc::clone(report)]);
        }
        Some(Inputs { view, alerts: Arc::clone(&self.alerts.borrow()), now: self.clock.now() })
    }

    /// The page of a form, written if the newest is outdated.
    async fn renew(&self, form: &Arc<Form>) -> Option<Arc<Made>> {
        let mut chunks = Arc::clone(&form.chunks).lock_owned().await;
        // Taken under the lock, so that an older page never replaces a newer one.
        let inputs = self.inputs(&form.key)?;
        if let Some(made) = lock(&form.newest).as_ref().filter(|made| made.shows(&inputs)) {
            return Some(Arc::clone(made));
        }
        let form = Arc::clone(form);
        let write = move || {
            let page = chunks.page(&inputs.shown(&form.setup, form.key.target.as_deref()));
            let (version, alerts) = (inputs.view.version, Arc::downgrade(&inputs.alerts));
            let made = Arc::new(Made { version, alerts, page });
            *lock(&form.newest) = Some(Arc::clone(&made));
            made
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(made) => Some(made),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down; no answer is sent any more.
                Err(_) => None,
            },
        }
    }

    fn own(&self, now: Moment) -> Own {
        let mut own = lock(&self.own);
        let config = self.telemetry.config_status();
        let recent = own.take().filter(|own| now.uptime < own.at + GATHERED_FOR && own.config == config);
        let gather = || Own { at: now.uptime, config, families: Arc::new(self.telemetry.gather()) };
        own.insert(recent.unwrap_or_else(gather)).clone()
    }
}

impl Form {
    fn new(key: Key, setup: Arc<Setup>) -> Self {
        Form {
            setup,
            asked: Mutex::default(),
            newest: Mutex::default(),
            chunks: Arc::new(sync::Mutex::new(Chunks::new(key.format, key.coding))),
            own: Mutex::default(),
            key,
        }
    }

    /// The daemon's own metrics in this form.
    fn own(&self, own: Own) -> Arc<Encoded> {
        let mut kept = lock(&self.own);
        if let Some((_, text)) = kept.as_ref().filter(|(of, _)| Arc::ptr_eq(&of.families, &own.families)) {
            return Arc::clone(text);
        }
        let Key { target, format, coding } = &self.key;
        let text = Arc::new(exposition::own(&own.families, *format, *coding, target.as_deref()));
        *kept = Some((own, Arc::clone(&text)));
        text
    }
}

/// Plain text that is not kept.
fn stream(inputs: Inputs, setup: Arc<Setup>, own: Own, key: Key) -> Stream {
    let size = inputs.users(&setup).saturating_mul(USER_SIZE);
    let reports = Held { at: Arc::as_ptr(&inputs.view.reports).addr(), size };
    let plan = Plan::new(&inputs.shown(&setup, key.target.as_deref()), key.format);
    Stream::new(plan.pieces(), key.format, reports, Unkept { plan, inputs, setup, own, key })
}

/// Writes it.
struct Unkept {
    plan: Plan,
    inputs: Inputs,
    setup: Arc<Setup>,
    own: Own,
    key: Key,
}

impl Writer for Unkept {
    fn is_fast(&self, at: usize) -> bool {
        self.plan.is_fast(at)
    }

    fn write(&self, at: usize, buffer: Vec<u8>) -> Piece {
        let shown = self.inputs.shown(&self.setup, self.key.target.as_deref());
        self.plan.write(at, &shown, &self.own.families, buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Read};

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        model::{Counter, Outcome, Part, PartState, Report, User, Users},
        server::requests::tests::state,
    };

    const PLAIN: (Format, Coding) = (Format::Classic, Coding::Identity);
    const GZIP: (Format, Coding) = (Format::Classic, Coding::Gzip);

    fn pages() -> Pages {
        Pages::new(&state(["a", "b"]))
    }

    fn report(target: &str, up: bool) -> Report {
        Report { up: Some(up), ..Report::new(target) }
    }

    /// A target with so many users, who have used so much.
    fn with_users(users: usize, used: u64, now: Moment) -> Report {
        let user = |number: usize| User {
            used,
            traffic: Counter::new(used),
            read_at: now.wall,
            ..User::named(&format!("user{number:06}"))
        };
        let mut report = report("a", true);
        report.users = Arc::new(Users::restored((0..users).map(user).collect(), Some(now)));
        let state = PartState {
            outcome: Outcome::Up,
            last_success: Some(now),
            last_data: Some(now),
            duration: None,
            round: Duration::from_secs(30),
            stale_after: Duration::from_secs(600),
        };
        report.parts.insert(Part::Users, state);
        report
    }

    /// The text for a scraper, without the daemon's own metrics.
    async fn get(pages: &Pages, target: Option<&str>, (format, coding): (Format, Coding)) -> String {
        let pieces = match pages.get(target, format, coding).await.unwrap() {
            Metrics::Ready(pieces) => pieces,
            Metrics::Written(mut stream) => {
                let mut pieces = Vec::new();
                while let Some(piece) = poll_fn(|cx| stream.poll_next(cx)).await {
                    pieces.push(piece.unwrap());
                }
                pieces
            }
        };
        let mut text = String::new();
        match coding {
            Coding::Identity => text = String::from_utf8(pieces.concat()).unwrap(),
            Coding::Gzip => {
                let packed = pieces.concat();
                flate2::bufread::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
            }
        }
        let is_of_targets = |line: &&str| line.contains("{target=\"") && !line.contains("_scrape");
        text.lines().filter(is_of_targets).map(|line| format!("{line}\n")).collect()
    }

    fn is_up(text: &str, target: &str) -> Option<bool> {
        let line =
            text.lines().find(|line| line.starts_with(&format!("proxymeter_up{{target=\"{target}\"}}")));
        line.map(|line| line.ends_with(" 1"))
    }

    /// The newest page that is kept of all targets in this form.
    fn kept(pages: &Pages, (format, coding): (Format, Coding)) -> Option<Arc<Made>> {
        let form = lock(&pages.forms).get(&Key { target: None, format, coding }).cloned();
        form.and_then(|form| lock(&form.newest).clone())
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_page_shows_at_once_what_is_new() {
        let pages = pages();
        for form in [PLAIN, GZIP] {
            for up in [true, false] {
                pages.board.publish(report("a", up));
                assert_eq!(is_up(&get(&pages, None, form).await, "a"), Some(up));
                let made = kept(&pages, form).unwrap();
                get(&pages, None, form).await;
                assert!(Arc::ptr_eq(&made, &kept(&pages, form).unwrap()), "written once");
            }
            let made = kept(&pages, form).unwrap();
            tokio::time::advance(Duration::from_secs(60)).await;
            get(&pages, None, form).await;
            assert!(!Arc::ptr_eq(&made, &kept(&pages, form).unwrap()), "another minute");
        }
    }

    #[tokio::test]
    async fn alerts_and_another_configuration_make_another_page() {
        let mut state = state(["a"]);
        let (alerts, watched) = watch::channel(Arc::default());
        state.alerts = watched;
        let (setup, watched) = watch::channel(Arc::clone(&state.setup.borrow()));
        state.setup = watched;
        let pages = Pages::new(&state);
        let is_new = async || {
            let before = kept(&pages, PLAIN);
            get(&pages, None, PLAIN).await;
            !before.is_some_and(|before| Arc::ptr_eq(&before, &kept(&pages, PLAIN).unwrap()))
        };
        assert!(is_new().await && !is_new().await);
        alerts.send_replace(Arc::new(ActiveAlerts::default()));
        assert!(is_new().await && !is_new().await);
        let other = Setup::clone(&setup.borrow());
        setup.send_replace(Arc::new(other));
        assert!(is_new().await && !is_new().await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_lately_is_kept_ready() {
        let pages = pages();
        let large = with_users(5_000, 1, pages.clock.now());
        let story = async {
            pages.board.publish(large.clone());
            get(&pages, None, GZIP).await;
            for version in 2..=38 {
                pages.board.publish(large.clone());
                sleep(Duration::from_secs(5)).await;
                let expected = (version < 38).then_some(version);
                assert_eq!(kept(&pages, GZIP).map(|made| made.version), expected, "after {version} reports");
            }
        };
        tokio::select! {
            () = pages.keep_ready() => unreachable!("the board is there"),
            () = story => {}
        }
    }

    #[tokio::test]
    async fn a_large_page_is_served_as_it_was_until_the_next_is_ready() {
        let pages = pages();
        let used =
            |text: &str| text.lines().filter(|line| line.starts_with("proxymeter_user_used_bytes{")).count();
        let shows = |text: &str, value: &str| text.contains(&format!("user=\"user000007\"}} {value}\n"));
        for form in [PLAIN, GZIP] {
            pages.board.publish(with_users(10_000, 111, pages.clock.now()));
            // The first scraper has to wait for it.
            let first = get(&pages, None, form).await;
            assert!(used(&first) == 10_000 && shows(&first, "111"));
            pages.board.publish(with_users(10_000, 222, pages.clock.now()));
            let writing = {
                let form =
                    lock(&pages.forms).get(&Key { target: None, format: form.0, coding: form.1 }).cloned();
                Arc::clone(&form.unwrap().chunks).lock_owned().await
            };
            assert!(shows(&get(&pages, None, form).await, "111"), "it does not wait");
            drop(writing);
            for form in pages.kept_ready() {
                pages.renew(&form).await;
            }
            let second = get(&pages, None, form).await;
            assert!(used(&second) == 10_000 && shows(&second, "222"));
        }
    }

    #[tokio::test]
    async fn plain_text_of_many_users_is_not_kept_and_is_the_same() {
        let mut state = state(["a", "b"]);
        let mut setup = Setup::clone(&state.setup.borrow());
        setup.options.limit = 100_000;
        state.setup = watch::channel(Arc::new(setup)).1;
        let pages = Pages::new(&state);
        pages.board.publish(report("b", true));
        for users in [KEPT_USERS, KEPT_USERS + 1] {
            pages.board.publish(with_users(users, 333, pages.clock.now()));
            for form in pages.kept_ready() {
                pages.renew(&form).await;
            }
            let [plain, packed] = [get(&pages, None, PLAIN).await, get(&pages, None, GZIP).await];
            assert!(plain == packed && plain.lines().count() > 4 * users);
            let is_kept = kept(&pages, PLAIN).is_some_and(|made| made.version == pages.board.view().version);
            assert_eq!(is_kept, users == KEPT_USERS);
        }
        assert!(is_up(&get(&pages, Some("b"), PLAIN).await, "b").is_some());
    }

    #[tokio::test]
    async fn a_page_is_kept_when_its_scraper_leaves_before_it_is_written() {
        let pages = pages();
        for version in 1..=15 {
            pages.board.publish(report("a", true));
            // Polled once, which is seldom long enough.
            drop(get(&pages, None, PLAIN).now_or_never());
            let form = lock(&pages.forms).values().next().cloned().unwrap();
            drop(form.chunks.lock().await);
            assert_eq!(kept(&pages, PLAIN).map(|made| made.version), Some(version));
        }
    }

    #[tokio::test]
    async fn a_page_is_of_its_target() {
        let pages = pages();
        pages.board.publish(report("a", true));
        for form in [PLAIN, GZIP, (Format::OpenMetrics, Coding::Gzip)] {
            let text = get(&pages, Some("a"), form).await;
            assert_eq!((is_up(&text, "a"), is_up(&text, "b")), (Some(true), None));
            assert_eq!(is_up(&get(&pages, Some("b"), form).await, "a"), None);
        }
        assert!(pages.get(Some("c"), Format::Classic, Coding::Identity).await.is_none());
    }

    #[tokio::test]
    async fn a_page_asked_for_by_many_at_once_is_written_once() {
        let pages = pages();
        let made = async || {
            get(&pages, None, PLAIN).await;
            kept(&pages, PLAIN).unwrap()
        };
        let all = tokio::join!(made(), made(), made());
        assert!(Arc::ptr_eq(&all.0, &all.1) && Arc::ptr_eq(&all.1, &all.2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_daemons_own_metrics_are_gathered_once_a_second() {
        let pages = pages();
        let at = || pages.own(pages.clock.now()).families;
        let first = at();
        tokio::time::advance(Duration::from_millis(999)).await;
        assert!(Arc::ptr_eq(&first, &at()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!Arc::ptr_eq(&first, &at()));
    }
}

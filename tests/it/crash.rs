//! What the program promises when it is killed, when its receivers hang, when its panel lies and when its storage is
//! damaged, all of it held against the real program, a simulated panel and receivers on loopback.

mod clock;
mod digest;
mod disk;
mod meddled;
mod quiet;
mod silences;
mod statement;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    net::Ipv4Addr,
    process::Output,
    sync::{
        Arc, LazyLock, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use crate::common::mailbox::Mailbox;
use fastrand::Rng;
use proxymeter::simulator::{
    inbox::{self, Arrival},
    marzban::{Fault, Times},
};
use tokio::{net::TcpListener, sync::mpsc::unbounded_channel, time::Instant};

use crate::common::{
    daemon::{Daemon, Home, PATIENCE, email, value, wait_for, webhook},
    hook::{Event, Hook, Reply},
    simulated::{RUNTIME, Served},
};

const BY_USER: &str = r#"["target", "alertname", "subject"]"#;
const BY_RULE: &str = r#"["target", "alertname"]"#;
/// Held by the test that measures time, and shared by all others, which keep the machine busy.
static QUIET: RwLock<()> = RwLock::new(());
/// Lanes run beside each other, each with a panel, a storage folder and receivers of its own.
const LANES: u64 = 8;
/// Rounds of a lane: 25, or the number in the environment's `ROUNDS`.
static ROUNDS: LazyLock<usize> =
    LazyLock::new(|| env::var("ROUNDS").map_or(25, |rounds| rounds.parse().unwrap()));
/// A round in which nothing happens that it waits for ends after this.
const ROUND: Duration = Duration::from_millis(1500);

/// Two hundred rounds by default, each of the real program: users end and renew while it is down, it starts, and is killed at
/// some moment. In the end each of two webhooks and a mailbox has every event, each under one id; and no kill brought
/// more than one copy to a receiver.
#[test]
fn nothing_is_lost_when_killed_and_copies_are_recognised() {
    let _busy = QUIET.read();
    let lanes: Vec<_> = (0..LANES).map(|seed| thread::spawn(move || Lane::new(seed).run())).collect();
    let figures: Vec<Figures> = lanes.into_iter().map(|lane| lane.join().unwrap()).collect();
    let all = |figure: fn(&Figures) -> usize| figures.iter().map(figure).sum::<usize>();
    let (events, kills) = (all(|figures| figures.events), all(|figures| figures.kills));
    let (webhooks, mails) = (all(|figures| figures.copied_webhooks), all(|figures| figures.copied_mails));
    eprintln!(
        "{events} events for two webhooks and a mailbox each, {kills} kills, {webhooks} copies of webhooks and {mails} of \
         mails, none lost"
    );
    assert_eq!(kills, usize::try_from(LANES).unwrap() * *ROUNDS);
    assert!(
        webhooks > 0 && mails > 0,
        "no kill came between sending and writing that down, so that this test shows nothing"
    );
}

struct Figures {
    events: usize,
    kills: usize,
    copied_webhooks: usize,
    copied_mails: usize,
}

struct Lane {
    rng: Rng,
    panel: Served,
    hooks: [Hook; 2],
    mailbox: Mailbox,
    home: Home,
    trap: Arc<Trap>,
    sprung: Receiver<()>,
    /// Users that have ended, and of these, those that have renewed.
    ended: BTreeSet<String>,
    renewed: BTreeSet<String>,
}

/// Kills the daemon when a receiver comes to a certain point.
struct Trap {
    daemon: Mutex<Option<Arc<Daemon>>>,
    armed: Mutex<Option<Point>>,
    sprung: Mutex<Sender<()>>,
}

/// Where a daemon is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// So long after its start.
    Start(Duration),
    /// So long after it asked for the user list: before it is recorded, or before a receiver is asked.
    List(Duration),
    /// When a receiver has read a message and not answered.
    Read,
    /// So long after a receiver has answered: before that is written down, or after.
    Answered(Duration),
}

impl Trap {
    /// Also where to hear that it has sprung.
    fn new() -> (Arc<Trap>, Receiver<()>) {
        let (sender, sprung) = mpsc::channel();
        let trap = Trap { daemon: Mutex::default(), armed: Mutex::default(), sprung: Mutex::new(sender) };
        (Arc::new(trap), sprung)
    }

    /// Starts a daemon, and kills it when `wait` is over or the trap has sprung.
    fn kill(&self, home: &Home, point: Point, sprung: &Receiver<()>, wait: impl FnOnce()) {
        *self.armed.lock().unwrap() = Some(point);
        let daemon = Arc::new(home.start());
        *self.daemon.lock().unwrap() = Some(Arc::clone(&daemon));
        wait();
        *self.armed.lock().unwrap() = None;
        daemon.kill();
        *self.daemon.lock().unwrap() = None;
        while sprung.try_recv().is_ok() {}
    }

    /// Kills a daemon that sends something at once, each round at another point.
    fn kill_in_turn(&self, home: &Home, round: u64, sprung: &Receiver<()>) -> Point {
        let point = match round % 3 {
            0 => Point::Read,
            1 => Point::Answered(Duration::from_millis(round)),
            _ => Point::Start(Duration::from_millis(300 + 40 * round)),
        };
        self.kill(home, point, sprung, || match point {
            Point::Start(wait) => thread::sleep(wait),
            _ => drop(sprung.recv_timeout(ROUND * 4)),
        });
        point
    }

    fn spring(&self, is_point: impl Fn(Point) -> Option<Duration>) {
        let mut armed = self.armed.lock().unwrap();
        let Some(wait) = armed.and_then(is_point) else { return };
        *armed = None;
        drop(armed);
        thread::sleep(wait);
        if let Some(daemon) = &*self.daemon.lock().unwrap() {
            daemon.kill();
        }
        self.sprung.lock().unwrap().send(()).unwrap();
    }
}

impl Trap {
    fn spring_when_read(&self) {
        self.spring(|point| (point == Point::Read).then_some(Duration::ZERO));
    }

    fn spring_when_answered(&self) {
        self.spring(|point| match point {
            Point::Answered(wait) => Some(wait),
            _ => None,
        });
    }
}

impl Lane {
    fn new(seed: u64) -> Lane {
        let (trap, sprung) = Trap::new();
        let points = || {
            let (read, answered) = (Arc::clone(&trap), Arc::clone(&trap));
            (move || read.spring_when_read(), move || answered.spring_when_answered())
        };
        let hook = || {
            let (read, answered) = points();
            let reply = move || {
                read();
                Reply::Taken
            };
            Hook::with(reply, answered)
        };
        let hooks = [hook(), hook()];
        let (read, answered) = points();
        let mailbox = Mailbox::with(read, answered);
        let panel = Served::start();
        let tables = webhook("oncall", hooks[0].address)
            + &webhook("ops", hooks[1].address)
            + &email("mail", mailbox.address);
        let home = Home::new(panel.address, BY_USER, &tables);
        let (ended, renewed) = (BTreeSet::new(), BTreeSet::new());
        Lane { rng: Rng::with_seed(seed), panel, hooks, mailbox, home, trap, sprung, ended, renewed }
    }

    fn run(mut self) -> Figures {
        for round in 0..*ROUNDS {
            self.happen(round);
            self.live_and_die();
        }
        let events = self.ended.len() + self.renewed.len();
        let daemon = self.home.start();
        for (receiver, told) in ["oncall", "ops", "mail"].into_iter().enumerate() {
            wait_for("every event", || (self.events()[receiver].len() >= events).then_some(()));
            wait_for("an empty queue", || daemon.has_told_all(told).then_some(()));
        }
        assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());

        let copies = self.events().map(|told| self.check(&told));
        let mut mails = BTreeMap::new();
        for mail in self.mailbox.mails() {
            let first = mails.entry(mail.header("message-id")).or_insert_with(|| mail.clone());
            assert_eq!(*first, mail, "another mail under the same id");
        }
        Figures { events, kills: *ROUNDS, copied_webhooks: copies[0] + copies[1], copied_mails: copies[2] }
    }

    /// What each receiver was told.
    fn events(&self) -> [BTreeMap<Event, Vec<String>>; 3] {
        [self.hooks[0].events(), self.hooks[1].events(), self.mailbox.events()]
    }

    /// What happens in the panel while no daemon looks.
    fn happen(&mut self, round: usize) {
        for place in 0..self.rng.usize(1..=2) {
            let name = format!("user-{round:02}-{place}");
            self.panel.add_expired(&name);
            self.ended.insert(name);
        }
        // Someone who renews before anybody was told is rightly not told of.
        let [told, others @ ..] = self
            .events()
            .map(|events| events.into_keys().map(|event| event.subject).collect::<BTreeSet<_>>());
        let known_to_all = told
            .into_iter()
            .filter(|name| others.iter().all(|told| told.contains(name)) && !self.renewed.contains(name));
        if let Some(name) = self.rng.choice(known_to_all.collect::<Vec<_>>()) {
            self.panel.renew(&name);
            self.renewed.insert(name);
        }
    }

    fn live_and_die(&mut self) {
        let soon = Duration::from_micros(self.rng.u64(..15_000));
        let point = match self.rng.u8(..4) {
            0 => Point::Start(Duration::from_millis(self.rng.u64(..800))),
            1 => Point::List(soon * 4),
            2 => Point::Read,
            _ => Point::Answered(soon),
        };
        let lists = self.panel.wire.requests_to("/api/users");
        self.trap.kill(&self.home, point, &self.sprung, || match point {
            Point::Start(wait) => thread::sleep(wait),
            Point::List(wait) => {
                let start = Instant::now();
                while self.panel.wire.requests_to("/api/users") == lists && start.elapsed() < ROUND {
                    thread::sleep(Duration::from_millis(1));
                }
                thread::sleep(wait);
            }
            // When nothing was sent, the daemon is killed in its peace.
            Point::Read | Point::Answered(_) => drop(self.sprung.recv_timeout(ROUND)),
        });
    }

    /// Returns the copies that came beside the first.
    fn check(&self, events: &BTreeMap<Event, Vec<String>>) -> usize {
        let mut copies = 0;
        for (event, ids) in events {
            assert_eq!((&*event.alertname, &*event.target), ("ProxymeterUserExpiry", "home"), "{event:?}");
            let distinct: BTreeSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), 1, "copies of {event:?} cannot be told from new ones: {ids:?}");
            copies += ids.len() - 1;
        }
        let subjects = |status: &str| -> Vec<&str> {
            let of_status = events.keys().filter(|event| event.status == status);
            of_status.map(|event| &*event.subject).collect()
        };
        let sorted = |mut names: Vec<&str>| {
            names.sort_unstable();
            names.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        // As lists, so that nobody ended twice.
        assert_eq!(sorted(subjects("firing")), self.ended.iter().cloned().collect::<Vec<_>>());
        assert_eq!(sorted(subjects("resolved")), self.renewed.iter().cloned().collect::<Vec<_>>());
        assert!(copies <= *ROUNDS, "{copies} copies of {} kills", *ROUNDS);
        copies
    }
}

/// How long a notice took from when it was due to the receiver that answers, with `tables` beside it.
fn time_to_tell(tables: &str) -> (Duration, Home, Daemon, Hook, Served) {
    let (panel, hook) = (Served::start(), Hook::start());
    panel.add_expired("user");
    let home = Home::new(panel.address, BY_RULE, &(webhook("healthy", hook.address) + tables));
    let mut command = home.command();
    command.arg("--log.level=debug");
    let daemon = Daemon::run(command);
    let told = wait_for("the message", || hook.deliveries().first().cloned()).at;
    let due = wait_for("the log", || daemon.logged_at("a notification is composed"));
    (told.saturating_duration_since(due), home, daemon, hook, panel)
}

#[test]
fn a_receiver_that_hangs_holds_up_nothing() {
    let _quiet = QUIET.write();
    // Other work on the machine delays some notifications; a receiver that holds up others delays all of them. Measured
    // in turns, so that the other work is the same for both.
    let beside = || {
        // A hook for each daemon, because what an earlier daemon sent may still be on its way.
        let hanging = Hook::with(|| Reply::Hang, || {});
        (time_to_tell(&webhook("hanging", hanging.address)), hanging)
    };
    let (mut alone, mut times): (Vec<_>, Vec<_>) = (0..8).map(|_| (time_to_tell("").0, beside().0.0)).unzip();
    alone.push(time_to_tell("").0);
    let ((time, _home, daemon, hook, panel), hanging) = beside();
    times.push(time);
    alone.sort_unstable();
    times.sort_unstable();
    eprintln!("told after {alone:?} alone and {times:?} beside a receiver that hangs");
    assert!(times[4] < alone[4] + Duration::from_millis(100), "median of {times:?} instead of {alone:?}");
    wait_for("the other to hang", || hanging.deliveries().first().map(|_| ()));

    let asked = Instant::now();
    let metrics = daemon.metrics();
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(value(&metrics, "proxymeter_notification_queue_length{receiver=\"hanging\"}"), Some(1.0));
    let before = panel.wire.requests_to("/api/users");
    wait_for("the next poll", || (panel.wire.requests_to("/api/users") > before).then_some(()));
    let (code, took) = daemon.stop();
    eprintln!("stopped in {took:?} while a receiver hung");
    assert_eq!(code, Some(0), "{}", daemon.log());
    assert!(took <= Duration::from_secs(5), "{took:?}");
    assert_eq!((hook.deliveries().len(), hanging.deliveries().len()), (1, 1));
}

#[test]
fn a_damaged_database_is_put_aside_and_alerts_go_out() {
    let _busy = QUIET.read();
    let (panel, hook) = (Served::start(), Hook::start());
    panel.add_expired("user");
    let home = Home::new(panel.address, BY_RULE, &webhook("ops", hook.address));
    fs::create_dir_all(home.storage()).unwrap();
    let garbage = b"this is no database ".repeat(1000);
    fs::write(home.storage().join("proxymeter.db"), &garbage).unwrap();
    let daemon = home.start();
    wait_for("the message", || hook.deliveries().first().map(|_| ()));
    wait_for("the storage to be shown", || (daemon.value("proxymeter_store_up") == Some(1.0)).then_some(()));
    let names = fs::read_dir(home.storage()).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = names
        .map(|name| name.into_string().unwrap())
        .find(|name| name.starts_with("proxymeter.db.damaged-"))
        .unwrap();
    assert!(daemon.log().contains(&aside), "{}", daemon.log());
    assert_eq!(fs::read(home.storage().join(aside)).unwrap(), garbage);
}

#[test]
fn a_second_daemon_leaves_the_storage_alone() {
    let _busy = QUIET.read();
    let panel = Served::start();
    let home = Home::new(panel.address, BY_RULE, "");
    let first = home.start();
    first.metrics();
    let Output { status, stderr, .. } = home.command().output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    let folder = home.storage().display().to_string();
    assert!(said.contains(&folder) && said.contains("another"), "{said}");
    assert_eq!(first.stop().0, Some(0));
}

/// A panel with 60 users whose time is over, all told of.
fn sixty_told_of() -> (Served, Hook, Home, Daemon) {
    let (panel, hook) = (Served::start(), Hook::start());
    for user in 0..60 {
        panel.add_expired(&name_of_sixty(user));
    }
    let home = Home::new(panel.address, BY_RULE, &webhook("ops", hook.address));
    let daemon = home.start();
    wait_for("the message", || hook.deliveries().first().map(|_| ()));
    (panel, hook, home, daemon)
}

fn name_of_sixty(user: u64) -> String {
    format!("user-{user:02}")
}

#[test]
fn an_ailing_panel_is_no_panel_without_users() {
    let _busy = QUIET.read();
    let cases = [Fault::Status(500), Fault::Html, Fault::CutJson].map(|fault| {
        thread::spawn(move || {
            let (panel, hook, _home, daemon) = sixty_told_of();
            let read_at = daemon.users_read_at().unwrap();
            let asked = panel.wire.requests_to("/api/system");
            panel.wire.fail("/api/", fault.clone(), Times::Always);
            wait_for("two polls", || (panel.wire.requests_to("/api/system") >= asked + 2).then_some(()));
            assert_eq!(daemon.users_read_at(), Some(read_at), "{fault:?}");
            panel.wire.heal();
            daemon.wait_until_users_read_after(read_at);
            wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
            assert_eq!(hook.deliveries().len(), 1, "{fault:?}: {:#?}", hook.events());
            assert!(daemon.log().contains("polling fails"), "{fault:?}");
        })
    });
    for case in cases {
        case.join().unwrap();
    }
}

#[test]
fn a_list_without_most_users_ends_no_alert() {
    let _busy = QUIET.read();
    let cases = [0, 30].map(|left| {
        thread::spawn(move || {
            let (panel, hook, _home, daemon) = sixty_told_of();
            for user in left..60 {
                assert!(panel.remove_user(&name_of_sixty(user)));
            }
            let mut read_at = daemon.users_read_at().unwrap();
            for _ in 0..2 {
                read_at = daemon.wait_until_users_read_after(read_at);
            }
            for user in left..60 {
                panel.add_expired(&name_of_sixty(user));
            }
            daemon.wait_until_users_read_after(read_at);
            wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
            assert_eq!(hook.deliveries().len(), 1, "{left} left: {:#?}", hook.events());
        })
    });
    for case in cases {
        case.join().unwrap();
    }
}

/// Killed after a message was taken, or while it was: the end is told once, after the beginning.
#[test]
fn an_end_is_told_once_after_a_crash() {
    let _busy = QUIET.read();
    let refused = thread::spawn(an_end_that_was_refused_before_a_crash);
    let cases = [Reply::Taken, Reply::Hang].map(|first| {
        thread::spawn(move || {
            let answers = AtomicBool::new(first == Reply::Taken);
            let hook = Hook::with(
                move || if answers.swap(true, Ordering::SeqCst) { Reply::Taken } else { Reply::Hang },
                || {},
            );
            let panel = Served::start();
            panel.add_expired("user");
            let home = Home::new(panel.address, BY_RULE, &webhook("ops", hook.address));
            let daemon = home.start();
            wait_for("the beginning", || hook.deliveries().first().map(|_| ()));
            if first == Reply::Taken {
                wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
            }
            daemon.kill();
            panel.renew("user");
            let daemon = home.start();
            wait_for("the end", || (hook.resolved() > 0).then_some(()));
            let read_at = daemon.users_read_at().unwrap();
            daemon.wait_until_users_read_after(read_at);
            wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
            assert_eq!(hook.resolved(), 1);
            let copies: Vec<usize> = hook.events().values().map(Vec::len).collect();
            let begun = if first == Reply::Taken { 1 } else { 2 };
            assert_eq!(copies, [begun, 1], "{:#?}", hook.events());
            let ids: BTreeSet<String> = hook.deliveries().into_iter().map(|delivery| delivery.id).collect();
            assert_eq!(ids.len(), 2);
        })
    });
    for case in cases.into_iter().chain([refused]) {
        case.join().unwrap();
    }
}

/// Its receiver refuses the end in one life of the daemon, which is killed, and takes it in the next.
fn an_end_that_was_refused_before_a_crash() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let reply = move || if is_down.load(Ordering::SeqCst) { Reply::Unavailable } else { Reply::Taken };
    let (panel, hook) = (Served::start(), Hook::with(reply, || {}));
    panel.add_expired("user");
    let home = Home::new(panel.address, BY_RULE, &webhook("ops", hook.address));
    let daemon = home.start();
    wait_for("the beginning", || hook.deliveries().first().map(|_| ()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    daemon.kill();
    down.store(true, Ordering::SeqCst);
    panel.renew("user");
    let daemon = home.start();
    wait_for("the refusal", || daemon.logged_at("notification not delivered"));
    daemon.kill();
    down.store(false, Ordering::SeqCst);
    assert_eq!(hook.resolved(), 1);
    let daemon = home.start();
    wait_for("the end", || (hook.resolved() == 2).then_some(()));
    let read_at = daemon.users_read_at().unwrap();
    daemon.wait_until_users_read_after(read_at);
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    let deliveries = hook.deliveries();
    let [begun, refused, ended] = deliveries.as_slice() else { panic!("{deliveries:#?}") };
    assert_ne!(begun.id, ended.id);
    assert_eq!((&refused.id, &refused.alerts), (&ended.id, &ended.alerts));
}

#[test]
fn users_are_known_at_once_after_a_restart() {
    let _busy = QUIET.read();
    let panel = Served::start();
    panel.add_expired("carol");
    assert!(panel.use_traffic("carol", 123_456_789));
    let used = "proxymeter_user_used_bytes{target=\"home\",user=\"carol\"}";
    let home = Home::new(panel.address, BY_RULE, "");
    let daemon = home.start();
    wait_for("the user", || (daemon.value(used) == Some(123_456_789.0)).then_some(()));
    home.wait_until_users_are_kept();
    daemon.kill();
    panel.stop();
    // What was read after the last scrape would be news, but the panel is gone.
    let daemon = home.start();
    let metrics = daemon.metrics();
    assert_eq!(value(&metrics, used), Some(123_456_789.0), "{metrics}");
    let read_at = daemon.users_read_at().unwrap();
    let now = proxymeter::clock::Clock::system().now().wall.as_secs_f64();
    assert!(read_at < now && now - read_at < PATIENCE.as_secs_f64(), "read at {read_at}, and it is {now}");
}

#[test]
fn ten_thousand_ends_make_one_message() {
    let _busy = QUIET.read();
    const USERS: usize = 10_000;
    let panel = Served::start();
    let expire = proxymeter::clock::Clock::system().now().wall.as_millis() / 1000 - 3600;
    for user in 0..USERS {
        assert!(panel.add_user(&format!("user-{user:05}"), |user| user.expire = Some(expire)));
    }
    panel.advance(0);
    let bind = || RUNTIME.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let (smtp, http) = (bind(), bind());
    let (mail, hook) = (smtp.local_addr().unwrap(), http.local_addr().unwrap());
    let (sender, mut arrivals) = unbounded_channel();
    RUNTIME.spawn(inbox::serve(smtp, http, sender, std::future::pending()));
    let tables = webhook("hook", hook) + &email("mail", mail);
    let home = Home::new(panel.address, BY_RULE, &tables);
    let start = Instant::now();
    let daemon = home.start();
    let (mut webhooks, mut mails) = (Vec::new(), Vec::new());
    while webhooks.is_empty() || mails.is_empty() {
        match wait_for("a message", || arrivals.try_recv().ok()) {
            Arrival::Webhook { body, .. } => webhooks.push(body),
            mail @ Arrival::Mail { .. } => mails.push(mail),
            Arrival::Chat(_) => unreachable!("no chat receiver"),
        }
    }
    let took = start.elapsed();
    let body: serde_json::Value = serde_json::from_str(&webhooks[0]).unwrap();
    assert_eq!(body["alerts"].as_array().unwrap().len(), USERS);
    assert_eq!(body["truncatedAlerts"], 0);
    let text = mails[0].text();
    let rows: BTreeSet<_> = text
        .split(|c: char| !(c == '-' || c.is_ascii_alphanumeric()))
        .filter(|word| word.starts_with("user-"))
        .collect();
    assert_eq!(rows.len(), 50, "{text}");
    assert!(mails[0].header("subject").unwrap().contains("10000"), "{text}");
    assert!(text.contains("9950") || text.contains("9,950"), "{text}");

    for receiver in ["hook", "mail"] {
        wait_for("an empty queue", || daemon.has_told_all(receiver).then_some(()));
    }
    let read_at = daemon.users_read_at().unwrap();
    daemon.wait_until_users_read_after(read_at);
    assert!(daemon.has_told_all("hook") && daemon.has_told_all("mail"));
    assert!(arrivals.try_recv().is_err(), "a second message came");
    let peak = daemon.peak_memory();
    eprintln!("told after {took:?}, {} MiB at most", peak >> 20);
    assert!(peak < 300_000_000, "{peak} bytes");
}

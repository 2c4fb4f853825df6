//! The alert task and a receiver's queue, connected as in the daemon, in paused time.

mod walk;

use std::{
    collections::{HashMap, HashSet},
    fs::{self, OpenOptions},
    path::Path,
    process::Command,
    sync::{Arc, Mutex, mpsc as blocking},
    thread,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{Asked, Daemon, Keep, tasks::LAST_ATTEMPT};
use crate::{
    alert::{
        self, Wiring,
        config::AlertingConfig,
        engine::{Engine, Rows},
        group::Route,
    },
    board::Board,
    clock::{Beat, Clock},
    config::Config,
    model::{
        Expiry, Fact, Moment, Notice, NoticeStatus, Outcome, Part, PartState, Report, Severity, Timestamp,
        User, UserFacts, UserStatus, WalkEnd,
    },
    notify::{
        Receiver, Retry, SendError, SendReason,
        delivery::{self, HealthByReceiver, Left, Terms, Worker},
        scripted::Scripted,
    },
    store::Store,
    telemetry::Telemetry,
};

const START: Timestamp = Timestamp::from_secs(1_795_000_000);
const MINUTE: Duration = Duration::from_secs(60);

/// Notices that were accepted, and how many the receiver refused.
#[derive(Clone, Default)]
struct Told {
    taken: Arc<Mutex<Vec<Notice>>>,
    refused: Arc<Mutex<usize>>,
}

/// A user's plan has ended and is renewed after six minutes. In the minutes of `down`, the receiver answers 503.
async fn renewed_after_six_minutes(down: std::ops::Range<u32>) -> Told {
    let clock = Clock::starting_at(START);
    let begin = clock.now().uptime;
    let told = Told::default();
    let seen = told.clone();
    let script = move |notice: &Notice, _: &mut Vec<String>, now: Moment| {
        let since = now.uptime - begin;
        let answer = if since >= MINUTE * down.start && since < MINUTE * down.end {
            *seen.refused.lock().unwrap() += 1;
            Err(SendError { reason: SendReason::ServerError, detail: "503".into(), retry: Retry::Later })
        } else {
            seen.taken.lock().unwrap().push(notice.clone());
            Ok("taken".into())
        };
        (Duration::from_millis(10), answer)
    };

    // Time would jump while a store's thread works, so there is none: everything stays in memory.
    let store = Store::closed();
    let telemetry = Telemetry::new();
    let (notices, incoming) = mpsc::unbounded_channel();
    let worker = Worker::new(
        "ops".into(),
        Receiver::Scripted(Scripted(Box::new(script))),
        Left::default(),
        Terms { send_resolved: true, config: 0 },
        delivery::Wiring {
            store: store.clone(),
            telemetry: telemetry.clone(),
            clock: clock.clone(),
            others: watch::channel(delivery::Others::default()).1,
            health: HealthByReceiver::default(),
        },
        incoming,
    );
    let board = Board::new(["home"]);
    let (_reload, reloads) = mpsc::channel(1);
    let wiring = Wiring {
        view: board.watch(),
        reloads,
        notices: HashMap::from([("ops".to_owned(), notices)]),
        alerts: watch::channel(Arc::default()).0,
        pseudonym: None,
        reread: HashMap::new(),
        store,
        telemetry,
        clock: clock.clone(),
        beat: Beat::default(),
    };
    let (config, route) = config();
    let engine = Engine::new(&config, vec![route], &Rows::default(), clock.now()).unwrap();
    let poll = async {
        for half_minute in 0..180 {
            board.publish(report(half_minute >= 12, clock.now()));
            sleep(MINUTE / 2).await;
        }
    };
    tokio::select! {
        () = poll => {}
        () = alert::run(engine, wiring) => panic!("the alert task ended"),
        _ = worker.run() => panic!("the queue ended"),
    }
    told
}

fn config() -> (AlertingConfig, Route) {
    let config = AlertingConfig {
        enabled: true,
        group_by: vec!["target".into(), "alertname".into()],
        group_wait: MINUTE / 2,
        group_interval: MINUTE * 5,
        ..AlertingConfig::default()
    };
    let route = Route {
        receiver: "ops".into(),
        min_severity: Severity::Info,
        send_resolved: true,
        group_by: config.group_by.clone(),
        group_wait: config.group_wait,
        group_interval: config.group_interval,
        repeat_interval: None,
    };
    (config, route)
}

/// A panel with one user.
fn report(renewed: bool, now: Moment) -> Report {
    let mut report = Report::new("home");
    report.up = Some(true);
    report.history.up_was(true, now);
    for part in [Part::System, Part::Users] {
        let state = PartState {
            outcome: Outcome::Up,
            last_success: Some(now),
            last_data: Some(now),
            duration: None,
            round: MINUTE / 2,
            stale_after: MINUTE * 10,
        };
        report.parts.insert(part, state);
    }
    let (status, end) = if renewed {
        (UserStatus::Active, START.saturating_add(MINUTE * 60 * 24 * 90))
    } else {
        (UserStatus::Expired, START)
    };
    let user = User { status, expiry: Expiry::At(end), read_at: now.wall, ..User::named("alice") };
    let seen = HashSet::from([Arc::clone(&user.name)]);
    let end = WalkEnd { page: vec![user], seen, started: now, ..WalkEnd::default() };
    report.merge(Fact::Users(UserFacts::WalkEnd(end)), now);
    report
}

#[tokio::test(start_paused = true)]
async fn an_end_is_delivered_once_by_a_receiver_that_was_down_for_ten_minutes() {
    use NoticeStatus::{Firing, Resolved};
    // It accepted the start; or it refused the start as well, but may have received it.
    for (down, expected) in [(3..13, &[Firing, Resolved][..]), (0..10, &[Resolved])] {
        let told = renewed_after_six_minutes(down.clone()).await;
        let taken = told.taken.lock().unwrap();
        let statuses: Vec<_> =
            taken.iter().flat_map(|notice| &notice.alerts).map(|alert| alert.status).collect();
        assert_eq!(statuses, expected, "{down:?}: {taken:#?}");
        let end = taken.last().unwrap();
        assert_eq!(end.alerts[0].annotations["reason"], "renewed");
        let refused = *told.refused.lock().unwrap();
        assert!((3..=5).contains(&refused), "{down:?}: {refused} attempts in ten minutes");
    }
}

#[tokio::test]
async fn every_loop_is_watched() {
    let text = "web.listen = \"127.0.0.1:0\"\n[marzban.home]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n\
                [marzban.edge]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n";
    let config = Config::parse(text, Path::new("exporter.toml"), &|_| None).unwrap();
    let shown = config.shown().to_owned();
    let daemon = Daemon::build(config, "/metrics", Keep::Nothing).await.unwrap();
    assert_eq!(format!("{:?}", daemon.state.beats), r#"["store", "poll edge", "poll home", "alerts"]"#);
    assert_eq!(daemon.state.setup.borrow().config, shown);
}

#[test]
fn a_stop_does_not_wait_for_a_certificate_file_that_hangs() {
    const BEFORE: &str = "web.listen = \"127.0.0.1:0\"\n[webhook.kept]\nurl = \"http://127.0.0.1:9\"\n\
                          [marzban.home]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n";
    for added in [
        "[marzban.edge]\napi_key = \"key\"\nurl = \"https://127.0.0.1:9\"\n",
        "[webhook.ops]\nurl = \"https://127.0.0.1:9\"\n",
        "[heartbeat]\nurl = \"https://127.0.0.1:9\"\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let parse = |text: &str| Config::parse(text, Path::new("exporter.toml"), &|_| None).unwrap();
        let (ask, mut asks) = mpsc::unbounded_channel();
        let (loaded, is_loaded) = blocking::channel();
        let (end, ended) = blocking::channel();
        let loader = {
            let (file, text) = (file.clone(), format!("{BEFORE}{added}tls.ca_file = {file:?}\n"));
            move |_| {
                fs::write(&file, "").unwrap();
                let config = parse(&text);
                // The configuration was read in time. Now a pipe, which is opened and then not written to.
                fs::remove_file(&file).unwrap();
                assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
                loaded.send(()).unwrap();
                Ok(config)
            }
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(async {
                let daemon = Daemon::build(parse(BEFORE), "/metrics", Keep::Nothing).await.unwrap();
                daemon.run(async || asks.recv().await.unwrap(), Arc::new(loader)).await
            });
            runtime.shutdown_background();
            end.send(outcome).unwrap();
        });
        ask.send(Asked::Reload).unwrap();
        is_loaded.recv().unwrap();
        let _silent = OpenOptions::new().write(true).open(&file).unwrap();
        ask.send(Asked::Stop).unwrap();
        ended.recv_timeout(LAST_ATTEMPT).expect(added).unwrap();
    }
}

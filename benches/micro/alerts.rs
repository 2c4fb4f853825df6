//! Evaluating rules, and composing what is said of the alerts.

use std::{sync::Arc, time::Duration};

use divan::Bencher;
use proxymeter::{
    alert::{
        config::AlertingConfig,
        engine::{Engine, Rows},
        finding::{Findings, Judged, findings},
        group::{Pick, Route, Size},
        rule::Rules,
        state::State,
    },
    http::options::TlsOptions,
    model::{
        AlertState, Expiry, Identity, MOST_SILENCES, Moment, Named, Notice, Outcome, Part, PartState, Rates,
        Report, Severity, Silence, SilenceChange, System, Timestamp, User, Users,
    },
    notify::{
        email::{
            Email,
            config::{EmailConfig, ReceiverConfig, SmtpTls},
        },
        webhook::{
            Webhook,
            config::{WebhookConfig, WebhookFormat},
        },
    },
    wording::Voice,
};

const USERS: usize = 100_000;
/// Of a hundred users, 21 have an alert that fires. One of them has another, which that one suppresses.
const FIRING: usize = USERS / 100 * 21;
const SUPPRESSED: usize = USERS / 100;
/// How many users change from one poll to the next.
const CHANGED: usize = 100;
/// How many alerts are in the messages that are composed.
const TOLD: usize = 5_000;

const DAY: Duration = Duration::from_secs(86_400);
const NOW: Moment =
    Moment { wall: Timestamp::from_secs(1_795_000_000), uptime: Duration::from_secs(365 * 86_400) };

fn user(number: usize) -> User {
    let mut user = User::named(&format!("user-{number:06}"));
    let ends_in = |days: u32| Expiry::At(NOW.wall.saturating_add(DAY * days));
    (user.used, user.limit, user.expiry) = (20 << 30, Some(100 << 30), ends_in(30));
    user.read_at = NOW.wall;
    match number % 100 {
        0 => user.expiry = ends_in(2),
        1..11 => user.expiry = ends_in(5),
        11..21 => user.used = 85 << 30,
        _ => {}
    }
    user
}

/// The report of a panel, of whose users each is as `change` leaves it.
fn report(users: usize, change: impl Fn(usize, &mut User)) -> Arc<Report> {
    let mut report = Report::new("home");
    report.identity =
        Some(Identity { system: System::Marzban, version: "0.8.4".into(), generation: "0.8".into() });
    report.up = Some(true);
    for part in [Part::System, Part::Users] {
        let state = PartState {
            outcome: Outcome::Up,
            last_success: Some(NOW),
            last_data: Some(NOW),
            duration: None,
            round: Duration::from_secs(30),
            stale_after: DAY,
        };
        report.parts.insert(part, state);
    }
    let list = (0..users).map(|number| {
        let mut user = user(number);
        change(number, &mut user);
        user
    });
    report.users = Arc::new(Users::restored(list.collect(), Some(NOW)));
    Arc::new(report)
}

/// The same, after a hundred users with an alert bought more traffic.
fn topped_up(users: usize) -> Arc<Report> {
    let every = users / CHANGED;
    report(users, |number, user| {
        if number % every == 11 {
            user.limit = Some(200 << 30);
        }
    })
}

fn route(receiver: &str) -> Route {
    Route {
        receiver: receiver.into(),
        min_severity: Severity::Info,
        send_resolved: true,
        group_by: vec!["target".into(), "alertname".into()],
        group_wait: Duration::from_secs(30),
        group_interval: Duration::from_secs(300),
        repeat_interval: None,
        voice: Voice::default(),
        standing: false,
        digest: None,
        statements: Vec::new(),
    }
}

fn engine() -> Engine {
    let routes = vec![route("hook"), route("mail")];
    Engine::new(&AlertingConfig::default(), routes, &Rows::default(), NOW).unwrap()
}

fn later(secs: u64) -> Moment {
    NOW.after(Duration::from_secs(secs))
}

/// The rules' questions, put to a report.
#[divan::bench(name = "findings")]
fn questions(bencher: Bencher<'_, '_>) {
    let (rules, report) = (Rules::new(&AlertingConfig::default()).unwrap(), report(USERS, |_, _| {}));
    let crossings = |found: &Findings| {
        let of_users = found.scopes.iter().filter(|scope| matches!(scope.judged, Judged::Users(_)));
        of_users.map(|scope| scope.crossings().count()).sum::<usize>()
    };
    bencher.bench_local(|| assert_eq!(crossings(&findings(&rules, &report, NOW)), FIRING));
}

/// The same, where it is also known how fast each user uses the quota.
#[divan::bench]
fn findings_with_forecasts(bencher: Bencher<'_, '_>) {
    let (rules, report) = (Rules::new(&AlertingConfig::default()).unwrap(), report(USERS, |_, _| {}));
    let mut report = Report::clone(&report);
    let rates = report.users.list().iter().map(|user| (Arc::from(&*user.name), Some(1 << 30)));
    let mut rates = Rates::new(NOW.wall, rates);
    rates.share_names(report.users.list());
    report.rates = Some(Arc::new(rates));
    bencher.bench_local(|| {
        let found = findings(&rules, &report, NOW);
        assert!(found.scopes.iter().any(|scope| matches!(scope.judged, Judged::Forecasts { .. })));
        found
    });
}

/// A look at a target of which nothing has changed.
#[divan::bench]
fn advance_unchanged(bencher: Bencher<'_, '_>) {
    let (rules, report) = (Rules::new(&AlertingConfig::default()).unwrap(), report(USERS, |_, _| {}));
    let mut state = State::new(NOW);
    let events = state.advance(&findings(&rules, &report, NOW), NOW).events.len();
    assert_eq!(events, FIRING + SUPPRESSED);
    state.take_rows();
    bencher.bench_local(|| {
        assert_eq!(state.advance(&findings(&rules, &report, NOW), NOW).events, []);
        assert_eq!(state.take_rows(), []);
    });
}

/// A look at a target of which a hundred alerts end, or fire again.
#[divan::bench]
fn advance_changed(bencher: Bencher<'_, '_>) {
    let rules = Rules::new(&AlertingConfig::default()).unwrap();
    let reports = [topped_up(USERS), report(USERS, |_, _| {})];
    let mut state = State::new(NOW);
    state.advance(&findings(&rules, &reports[1], NOW), NOW);
    let mut reports = reports.iter().cycle();
    bencher.bench_local(|| {
        let report = reports.next().unwrap();
        assert_eq!(state.advance(&findings(&rules, report, NOW), NOW).events.len(), CHANGED);
        state.take_rows()
    });
}

/// A round of the engine after a read that changed no alert, with what pages show.
#[divan::bench]
fn round_unchanged(bencher: Bencher<'_, '_>) {
    let (mut engine, first) = (engine(), report(USERS, |_, _| {}));
    engine.observe_reports(&[Arc::clone(&first)], NOW);
    engine.take_output();
    bencher.with_inputs(|| Arc::new(Report::clone(&first))).bench_local_values(|report| {
        engine.observe_reports(&[report], NOW);
        engine.tick(NOW);
        assert_eq!(engine.take_output().alerts, []);
        let active = engine.active();
        let firing = active.list.iter().filter(|alert| alert.state == AlertState::Firing);
        assert_eq!(firing.count(), FIRING);
    });
}

/// A round of the engine after a read by which a hundred alerts end, or fire again.
#[divan::bench]
fn round_changed(bencher: Bencher<'_, '_>) {
    let reports = [topped_up(USERS), report(USERS, |_, _| {})];
    let mut engine = engine();
    engine.observe_reports(&[Arc::clone(&reports[1])], NOW);
    engine.take_output();
    let mut reports = reports.iter().cycle();
    bencher.bench_local(|| {
        engine.observe_reports(&[Arc::clone(reports.next().unwrap())], NOW);
        engine.tick(NOW);
        assert_eq!(engine.take_output().alerts.len(), CHANGED);
        engine.active()
    });
}

/// As many silences as there can be, each with an expression that fits no alert.
fn silenced() -> Engine {
    let mut engine = engine();
    for number in 0..MOST_SILENCES {
        let silence = Silence {
            id: "".into(),
            matchers: vec![format!("subject=~user-.*-{number}").parse().unwrap()],
            starts_at: NOW.wall,
            ends_at: NOW.wall.saturating_add(DAY),
            updated_at: NOW.wall,
            created_by: "ann".into(),
            comment: "the move".into(),
        };
        engine.change_silences(SilenceChange::Put(silence), NOW).unwrap();
    }
    engine
}

/// The round in which a tenth of the alerts are new to the silences.
#[divan::bench]
fn round_silenced_first(bencher: Bencher<'_, '_>) {
    let first = report(USERS / 10, |_, _| {});
    bencher.with_inputs(silenced).bench_local_values(|mut engine| {
        engine.observe_reports(&[Arc::clone(&first)], NOW);
        engine.tick(later(60));
        engine
    });
}

/// The same round as `round_changed`, with silences and a tenth of the alerts.
#[divan::bench]
fn round_silenced(bencher: Bencher<'_, '_>) {
    let reports = [topped_up(USERS / 10), report(USERS / 10, |_, _| {})];
    let mut engine = silenced();
    engine.observe_reports(&[Arc::clone(&reports[1])], NOW);
    engine.tick(NOW);
    engine.take_output();
    let mut reports = reports.iter().cycle();
    bencher.bench_local(|| {
        engine.observe_reports(&[Arc::clone(reports.next().unwrap())], NOW);
        engine.tick(NOW);
        assert_eq!(engine.take_output().alerts.len(), CHANGED);
        engine.active()
    });
}

/// Expired users, as many as there are: one group whose every alert fires.
fn expired() -> Engine {
    let mut engine = engine();
    let ended = Expiry::At(NOW.wall.saturating_add(DAY));
    engine.observe_reports(&[report(TOLD, |_, user| (user.expiry, user.used) = (ended, 0))], NOW);
    engine.take_output();
    engine.tick(later(60));
    engine
}

fn composed(engine: &mut Engine, receiver: &str, names: Named) -> Arc<Notice> {
    let size = Size { names, most: None };
    engine.next(receiver, Pick::Urgent, size, None, later(60)).unwrap().notice
}

/// A message of which every alert is put into words.
#[divan::bench]
fn compose_all(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(expired).bench_local_values(|mut engine| {
        let notice = composed(&mut engine, "hook", Named::All);
        assert_eq!(notice.alerts.len(), TOLD);
        (engine, notice)
    });
}

/// A message that names fifty alerts and counts the others.
#[divan::bench]
fn compose_some(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(expired).bench_local_values(|mut engine| {
        let notice = composed(&mut engine, "mail", Named::News(50));
        assert_eq!((notice.alerts.len(), notice.names(Named::News(50))), (TOLD, 50));
        (engine, notice)
    });
}

/// The request of a webhook with every alert.
#[divan::bench]
fn write_webhook(bencher: Bencher<'_, '_>) {
    let notice = composed(&mut expired(), "hook", Named::All);
    let config = WebhookConfig {
        url: "http://127.0.0.1:9/hook".into(),
        format: WebhookFormat::Alertmanager,
        secrets: Vec::new(),
        github_secret: None,
        authorization: None,
        headers: Vec::new(),
        proxy: None,
        tls: TlsOptions::default(),
        success: None,
        timeout: Duration::from_secs(10),
        max_alerts: 0,
        common: ReceiverConfig::default(),
    };
    let webhook = Webhook::new(&config, "").unwrap();
    bencher.bench_local(|| {
        let (_, body) = webhook.request(&notice, NOW).unwrap();
        assert!(body.len() > TOLD * 500);
        body
    });
}

/// A mail about as many.
#[divan::bench]
fn write_mail(bencher: Bencher<'_, '_>) {
    let notice = composed(&mut expired(), "mail", Named::News(50));
    let config = EmailConfig {
        host: "127.0.0.1".into(),
        port: 25,
        tls: SmtpTls::None,
        allow_cleartext: false,
        certificates: TlsOptions::default(),
        from: "meter@example.com".into(),
        to: vec!["ops@example.com".into()],
        login: None,
        hello: None,
        timeout: Duration::from_secs(10),
        common: ReceiverConfig::default(),
    };
    let email = Email::new(&config, Voice::default()).unwrap();
    bencher.bench_local(|| {
        let mail = email.mail(&notice).unwrap();
        assert_eq!(mail.windows(9).filter(|bytes| bytes == b"* User us").count(), 50);
        mail
    });
}

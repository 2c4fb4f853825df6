//! A panel is read for some days, and its use is written to the disk, until an alert says when a quota is used up.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use proxymeter::{
    alert::{
        config::AlertingConfig,
        engine::{Engine, Rows},
    },
    clock::Clock,
    model::{
        AlertState, Counter, Fact, Moment, Outcome, Part, PartState, Reading, Report, Timestamp, User,
        UserFacts, WholeList,
    },
    store::{Counted, Usage},
    wording::{About, Language, Told, Voice},
};

const HOUR: u64 = 3600;
const GIB: u64 = 1 << 30;
/// Monday, 23 November 2026, at six in the evening.
const BEGIN: Timestamp = Timestamp::from_secs(1_795_453_200);

/// An exporter in Berlin that reads its panel once an hour.
struct Exporter {
    clock: Clock,
    usage: Usage,
    report: Report,
    engine: Engine,
}

fn zone() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

impl Exporter {
    /// The moment by a clock that was never set.
    fn now(clock: &Clock) -> Moment {
        let wall = clock.now().wall;
        Moment { wall, uptime: Duration::from_secs(1000 * HOUR) + wall.since(BEGIN) }
    }

    fn start(folder: &Path, clock: &Clock) -> Self {
        let usage = Usage::open(folder, clock, zone()).unwrap().usage;
        let mut report = Report { up: Some(true), ..Report::new("home") };
        report.moves.collect(clock.now().wall);
        let engine =
            Engine::new(&AlertingConfig::default(), Vec::new(), &Rows::default(), Self::now(clock)).unwrap();
        Exporter { clock: clock.clone(), usage, report, engine }
    }

    /// Reads users, as a poll does, and evaluates the rules.
    async fn read(&mut self, users: Vec<User>) {
        let now = Self::now(&self.clock);
        let users = users.into_iter().map(|user| User { read_at: now.wall, ..user }).collect();
        let whole = WholeList { users, started: now, ..WholeList::default() };
        self.report.merge(Fact::Users(UserFacts::Whole(whole)), now);
        for part in [Part::System, Part::Users] {
            let state = PartState {
                outcome: Outcome::Up,
                last_success: Some(now),
                last_data: Some(now),
                duration: None,
                round: Duration::from_secs(HOUR),
                stale_after: Duration::from_secs(3 * HOUR),
            };
            self.report.parts.insert(part, state);
        }
        let usual = Duration::from_secs(3 * HOUR);
        self.usage.saw("home", Counted::Users, self.report.moves.take(), usual, now.wall);
        self.usage.write().await;
        if let Some(mut rates) = self.usage.take_rates("home") {
            rates.share_names(self.report.users.list());
            self.report.rates = Some(Arc::new(rates));
        }
        self.engine.observe_reports(&[Arc::new(self.report.clone())], now);
        self.engine.tick(now);
    }

    /// The forecasts that fire: the user and when the quota is used up.
    fn forecasts(&self) -> Vec<(String, Reading)> {
        let active = self.engine.active();
        let firing = active.iter().filter(|alert| alert.alertname == "ProxymeterQuotaForecast");
        let firing =
            firing.inspect(|alert| assert_eq!((alert.state, &*alert.step), (AlertState::Firing, "3d")));
        firing.map(|alert| (alert.subject.to_string(), alert.reading.clone())).collect()
    }

    fn sentence(&self, subject: &str, reading: &Reading) -> String {
        let alertname = "ProxymeterQuotaForecast";
        let about = About { alertname, kind: "user", subject, target: "home", step: "3d" };
        // At the full hour.
        let now = Timestamp::from_secs(self.clock.now().wall.as_secs() / 3600 * 3600);
        let told = Told { reading, began: now, ended: None, now };
        Voice::new(Language::En, zone(), "").sentence(&about, &told)
    }
}

/// Half a gibibyte in each hour, and twice as much: of all that they may use, and when.
fn users(hour: u64) -> Vec<User> {
    let user = |name: &str, bytes: u64, limit: u64| User {
        used: bytes,
        traffic: Counter::new(bytes),
        limit: Some(limit * GIB),
        ..User::named(name)
    };
    let half = hour * GIB / 2;
    vec![
        user("ann", half, 100),
        user("ben", half, 1000),
        // Used much in one hour, long before.
        user("cy", 60 * GIB * u64::from(hour > 2), 80),
        // Comes later, with much use.
        user("dan", hour.saturating_sub(60) * 2 * GIB, 100),
        User { limit: None, ..user("eve", half * 9, 1) },
    ]
}

#[tokio::test]
async fn a_quota_that_is_used_up_soon_is_told_with_its_day() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(BEGIN);
    let mut exporter = Exporter::start(folder.path(), &clock);
    let mut first: Vec<(String, u64, String)> = Vec::new();
    for hour in 0..192_u64 {
        let time = BEGIN.saturating_add(Duration::from_secs(hour * HOUR));
        clock.step(time.as_millis() - clock.now().wall.as_millis());
        if hour == 100 {
            // Another process knows the same, at once.
            exporter.usage.close().await;
            exporter = Exporter::start(folder.path(), &clock);
        }
        // Nothing is said of those who came to the quota.
        exporter.read(users(hour)).await;
        for (user, reading) in exporter.forecasts() {
            if !first.iter().any(|(known, ..)| *known == user) {
                first.push((user.clone(), hour, exporter.sentence(&user, &reading)));
            }
        }
    }
    let first: Vec<_> = first.iter().map(|(user, hour, said)| (&**user, *hour, &**said)).collect();
    assert_eq!(
        first,
        [
            (
                "dan",
                81,
                "At the rate of the last three days (19.7 GiB a day), user dan (home) uses up the data limit of 100 GiB in \
                 2 days 23 h, on 30 November 2026.",
            ),
            (
                "ann",
                127,
                "At the rate of the last three days (12.2 GiB a day), user ann (home) uses up the data limit of 100 GiB in \
                 3 days, on 2 December 2026.",
            ),
        ]
    );
    // At 95 % of it, other alerts say more.
    assert_eq!(exporter.forecasts(), []);
}

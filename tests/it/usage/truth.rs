//! A simulated year of users, whose use is counted twice: by the simulation, and by the history from what it reads of the
//! panel. The panel resets its counts by day, week and month; the exporter is stopped, killed and away; clocks change.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{Zoned, civil::Weekday, tz::TimeZone};
use proxymeter::{
    clock::Clock,
    model::{Counter, Extras, Fact, Marks, Moment, Report, Timestamp, User, UserFacts, Users, WholeList},
    store::{By, Counted, SubjectKind, Usage, UsageQuery},
};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);
/// The panel is read once an hour, and that is as much between two readings as the program takes for usual then.
const USUAL: Duration = Duration::from_secs(91 * 60);

/// How often the panel sets a user's count back to 0.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reset {
    Never,
    Daily,
    Weekly,
    Monthly,
}

/// A user of the panel.
struct Simulated {
    name: Arc<str>,
    reset: Reset,
    /// The reset is an hour before the end of the period, just after some use that was never read.
    is_early: bool,
    /// Hours of the year in which the user exists.
    lives: std::ops::Range<u64>,
    /// Hours in which the panel does not list the user.
    hidden: std::ops::Range<u64>,
    /// The day since which no list had the user.
    missing_since: Option<String>,
    /// In how many of 96 hours the user uses something.
    activity: u64,
    count: u64,
    /// The count when it was last read.
    seen: u64,
    /// The count that the history has.
    kept: u64,
    /// Bytes that could be seen.
    truth: Days,
    /// Those since the last reading. What a user used before it was deleted while nothing was read is not known.
    unread: Days,
    /// Those that were read since the last write.
    unwritten: Days,
    /// Those that a killed process had not written. The next one counts them if it reads the user again.
    unsure: Days,
}

/// Bytes by local day.
type Days = BTreeMap<String, u64>;

fn add(days: &mut Days, more: &Days) {
    more.iter().for_each(|(day, used)| *days.entry(day.clone()).or_default() += used);
}

impl Simulated {
    fn read(&mut self) {
        self.missing_since = None;
        let seen = std::mem::replace(&mut self.seen, self.count);
        let (unread, unsure) = (std::mem::take(&mut self.unread), std::mem::take(&mut self.unsure));
        // Of a count that is 0 before and after, nothing can be seen.
        if seen > 0 || self.count > 0 {
            for days in [&unread, &unsure] {
                add(&mut self.truth, days);
                add(&mut self.unwritten, days);
            }
        }
    }

    fn written(&mut self) {
        self.unwritten.clear();
        self.kept = self.seen;
    }

    /// What only the killed process has seen is seen again when the user is read again.
    fn killed(&mut self) {
        self.seen = self.kept;
        let unwritten = std::mem::take(&mut self.unwritten);
        unwritten.iter().for_each(|(day, used)| *self.truth.get_mut(day).unwrap() -= used);
        add(&mut self.unsure, &unwritten);
    }

    /// The user is not in the list any more. What was used before is seen when the user is back. If that takes long, its day is
    /// not kept until then, and cannot be marked: it counts as used on the next one.
    fn missed(&mut self, day: &str, next_day: &str) {
        let since = self.missing_since.get_or_insert_with(|| day.to_owned());
        if since == day && self.hidden.end - self.hidden.start > 30 * 24 {
            let used = [&mut self.unread, &mut self.unsure].map(std::mem::take);
            for used in used.iter().flat_map(Days::values) {
                *self.unread.entry(next_day.to_owned()).or_default() += used;
            }
        }
    }

    fn is_listed(&self, hour: u64) -> bool {
        self.lives.contains(&hour) && !self.hidden.contains(&hour)
    }

    fn resets_at(&self, local: &Zoned) -> bool {
        let hour = if self.is_early { 23 } else { 0 };
        let first = if self.is_early { local.tomorrow().unwrap() } else { local.clone() };
        local.hour() == hour
            && match self.reset {
                Reset::Never => false,
                Reset::Daily => true,
                Reset::Weekly => first.weekday() == Weekday::Monday,
                Reset::Monthly => first.day() == 1,
            }
    }
}

/// The exporter's side: a report and a history, in a folder.
struct Exporter {
    folder: tempfile::TempDir,
    usage: Usage,
    report: Report,
    started: Timestamp,
    /// The list that is saved for the next process, and when it was read.
    saved: Option<(Arc<Users>, Timestamp)>,
}

impl Exporter {
    fn start(
        folder: tempfile::TempDir,
        clock: &Clock,
        zone: &TimeZone,
        saved: Option<(Arc<Users>, Timestamp)>,
    ) -> Self {
        let opened = Usage::open(folder.path(), clock, zone.clone()).unwrap();
        assert_eq!(opened.problem, None);
        let mut report = Report::new("home");
        let now = clock.now();
        if let Some((users, read)) = &saved {
            let list = users.list().iter().cloned().collect();
            let read = Moment { wall: *read, uptime: now.uptime };
            report.users = Arc::new(Users::restored(list, Some(read)).with(Some(users.beside())));
        }
        report.moves.collect(now.wall);
        Exporter { folder, usage: opened.usage, report, started: now.wall, saved }
    }

    fn read(&mut self, users: Vec<User>, now: Moment) {
        let whole = WholeList { users, started: now, ..WholeList::default() };
        self.report.merge(Fact::Users(UserFacts::Whole(whole)), now);
        self.usage.saw("home", Counted::Users, self.report.moves.take(), USUAL, now.wall);
    }

    /// What a process that was killed leaves: the file as it is.
    fn killed(self, clock: &Clock, zone: &TimeZone) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for file in ["usage.db", "usage.db-wal"].map(PathBuf::from) {
            if self.folder.path().join(&file).exists() {
                fs::copy(self.folder.path().join(&file), copy.path().join(&file)).unwrap();
            }
        }
        Exporter::start(copy, clock, zone, self.saved)
    }

    async fn stopped(self, clock: &Clock, zone: &TimeZone) -> Self {
        self.usage.close().await;
        Exporter::start(self.folder, clock, zone, self.saved)
    }
}

fn size(folder: &Path) -> u64 {
    ["usage.db", "usage.db-wal"]
        .iter()
        .map(|file| fs::metadata(folder.join(file)).map_or(0, |file| file.len()))
        .sum()
}

/// Rows by name and period: what was used, and the marks.
type Rows = BTreeMap<(String, String), (u64, Marks)>;

fn rows(usage: &Usage, kind: SubjectKind, by: By) -> Rows {
    let mut query = UsageQuery {
        target: "home".into(),
        kind,
        name: None,
        by,
        periods: i32::MIN..=i32::MAX,
        after: None,
        limit: 10_000,
    };
    let mut all = Rows::new();
    loop {
        let rows = usage.rows(&query).unwrap();
        let Some(last) = rows.last() else { return all };
        query.after = Some(last.place);
        let rows = rows.into_iter().map(|row| ((row.name, by.name(row.place.period)), (row.used, row.marks)));
        all.extend(rows);
    }
}

async fn year(people: u64) {
    let mut random = fastrand::Rng::with_seed(people);
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let local =
        |at: Timestamp| jiff::Timestamp::from_millisecond(at.as_millis()).unwrap().to_zoned(zone.clone());
    let begin = "2026-01-01T00:00:00+01:00".parse::<jiff::Timestamp>().unwrap();
    let begin = Timestamp::from_millis(begin.as_millisecond());
    let clock = Clock::starting_at(begin);
    let mut users: Vec<_> = (0..people)
        .map(|number| Simulated {
            name: format!("user{number}").into(),
            reset: match number % 5 {
                0 | 1 => Reset::Never,
                2 => Reset::Daily,
                3 => Reset::Weekly,
                _ => Reset::Monthly,
            },
            is_early: number % 2 == 1,
            lives: match number % 40 {
                7 => 3000 + number..u64::MAX,
                9 => 0..5000 + number,
                _ => 0..u64::MAX,
            },
            hidden: match number % 40 {
                // Some of them come back before a list is believed that lacks them, and most after that.
                10 | 15 => 2003 + number..2003 + number * 2,
                _ => 0..0,
            },
            missing_since: None,
            activity: [1, 4, 16, 32, 48, 64][usize::try_from(number / 5 % 6).unwrap()],
            count: if number % 40 == 7 { 0 } else { random.u64(0..1 << 40) },
            seen: 0,
            kept: 0,
            truth: Days::new(),
            unread: Days::new(),
            unwritten: Days::new(),
            unsure: Days::new(),
        })
        .collect();
    let mut exporter = Exporter::start(tempfile::tempdir().unwrap(), &clock, &zone, None);
    // Away for some hours: within a day, over a night, over days, over the end of a month and where clocks change.
    let away = [
        (500, 8),
        (743, 2),
        (1400, 4),
        (1415, 1),
        (2040, 30),
        (2100, 70),
        (4330, 5),
        (5800, 14),
        (7120, 50),
        (8000, 200),
    ];
    let away = |hour: u64| away.iter().any(|(from, hours)| (*from..from + hours).contains(&hour));
    let mut events = Vec::new();
    let (mut writes, mut writing, mut slowest) = (0_u32, Duration::ZERO, Duration::ZERO);
    let (mut seen_days, mut months) = (Rows::new(), Rows::new());
    // Until the last reset of the year has been read.
    for hour in 0..365 * 24 + 3 {
        let now = begin.saturating_add(HOUR * u32::try_from(hour).unwrap());
        let at = local(now.saturating_add(HOUR / 4));
        let [day, next_day] = [&at, &at.tomorrow().unwrap()].map(|day| day.date().to_string());
        for user in users.iter_mut().filter(|user| user.lives.contains(&hour)) {
            let resets = user.resets_at(&at);
            if resets && !user.is_early {
                user.count = 0;
            }
            let used = if hour > 0 && random.u64(0..96) < user.activity { random.u64(1..1 << 30) } else { 0 };
            if used > 0 {
                *user.unread.entry(day.clone()).or_default() += used;
            }
            user.count += used;
            if resets && user.is_early {
                user.count = 0;
            }
        }
        let reads_at = now.saturating_add(HOUR * 3 / 4);
        clock.step(reads_at.as_millis() - clock.now().wall.as_millis());
        if !away(hour) {
            let read = clock.now();
            let next = |user: &Simulated| {
                let ahead =
                    (1..24 * 40).map(|hours| (hours, local(now.saturating_add(HOUR * hours + HOUR / 4))));
                let found = ahead.into_iter().find(|(_, at)| user.resets_at(at)).map(|(hours, _)| hours);
                found.map(|hours| now.saturating_add(HOUR * hours))
            };
            for user in &mut users {
                if user.is_listed(hour) { user.read() } else { user.missed(&day, &next_day) }
            }
            let mut cached: BTreeMap<(u8, bool), Option<Timestamp>> = BTreeMap::new();
            let list = users.iter().filter(|user| user.is_listed(hour)).map(|user| {
                let due = cached.entry((user.reset as u8, user.is_early)).or_insert_with(|| next(user));
                let extra = Extras { quota_reset: *due, ..Extras::default() }.into();
                User {
                    traffic: Counter::new(user.count),
                    extra,
                    owner: Some(format!("admin{}", user.name.len()).into()),
                    read_at: read.wall,
                    ..User::named(&user.name)
                }
            });
            exporter.read(list.collect(), read);
            // The history is written first, unless its disk is too slow.
            if hour % 5 == 0 {
                if random.u8(0..8) > 0 {
                    exporter.usage.write().await;
                    users.iter_mut().for_each(Simulated::written);
                    events.push(format!("{at} written and saved"));
                } else {
                    events.push(format!("{at} saved"));
                }
                exporter.saved = Some((Arc::clone(&exporter.report.users), read.wall));
            }
        }
        let end = random.u32(0..400);
        // One that is killed does not come to write what it has read, even at the end of a day.
        if end > 1 && (hour % 6 == 0 || at.hour() == 23) {
            let began = Instant::now();
            exporter.usage.write().await;
            let took = began.elapsed();
            (writes, writing, slowest) = (writes + 1, writing + took, slowest.max(took));
            users.iter_mut().for_each(Simulated::written);
            events.push(format!("{at} written"));
            assert!(exporter.usage.status().up, "hour {hour}");
        }
        // Days are kept for two months only.
        if at.date().day() == 1 && at.hour() == 23 {
            seen_days.extend(rows(&exporter.usage, SubjectKind::User, By::Day));
        }
        exporter = match end {
            0..2 => {
                users.iter_mut().for_each(Simulated::killed);
                events.push(format!("{at} killed"));
                exporter.killed(&clock, &zone)
            }
            2 | 3 => {
                users.iter_mut().for_each(Simulated::written);
                events.push(format!("{at} stopped {end}"));
                // The list is lost.
                if end == 3 {
                    exporter.saved = None;
                }
                exporter.stopped(&clock, &zone).await
            }
            _ => exporter,
        };
    }
    exporter.usage.write().await;
    assert!(exporter.started > begin);
    seen_days.extend(rows(&exporter.usage, SubjectKind::User, By::Day));
    months.extend(rows(&exporter.usage, SubjectKind::User, By::Month));
    check(&users, &seen_days, By::Day, &events);
    check(&users, &months, By::Month, &events);

    // Sums are those of the users.
    let mut sums = [(); 2].map(|()| BTreeMap::<String, u64>::new());
    for (rows, sums) in [&seen_days, &months].into_iter().zip(&mut sums) {
        rows.iter().for_each(|((_, period), (used, _))| *sums.entry(period.clone()).or_default() += used);
    }
    for (by, sums) in [(By::Day, &sums[0]), (By::Month, &sums[1])] {
        let mut marked = BTreeMap::<_, Marks>::new();
        for ((_, period), (_, marks)) in rows(&exporter.usage, SubjectKind::User, by) {
            *marked.entry(period).or_default() |= marks;
        }
        for kind in [SubjectKind::Target, SubjectKind::Admin] {
            let (mut found, mut marks_found) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, Marks>::new());
            for ((_, period), (used, marks)) in rows(&exporter.usage, kind, by) {
                *found.entry(period.clone()).or_default() += used;
                *marks_found.entry(period).or_default() |= marks;
            }
            for (period, marks) in &marked {
                let found = marks_found.get(period).copied().unwrap_or_default();
                assert_eq!(found | *marks, found, "{} {period}", kind.label());
            }
            assert!(!found.is_empty());
            for (period, used) in found {
                assert_eq!(Some(&used), sums.get(&period).or(Some(&0)), "{} {period}", kind.label());
            }
        }
    }
    eprintln!(
        "{people} users: {} rows of days, {} bytes on the disk, {writes} writes of {} ms on average and {} ms at most",
        seen_days.len(),
        size(exporter.folder.path()),
        (writing / writes).as_millis(),
        slowest.as_millis()
    );
}

/// Holds rows against the truth.
fn check(users: &[Simulated], rows: &Rows, by: By, events: &[String]) {
    // Of users without resets, with some, and with one each day.
    let (mut exact, mut marked) = ([0_u64; 3], [0_u64; 3]);
    for user in users {
        let mut truth = BTreeMap::<String, u64>::new();
        for (day, used) in &user.truth {
            let period = if by == By::Day { day.clone() } else { day.chars().take(7).collect() };
            *truth.entry(period).or_default() += used;
        }
        let name = user.name.to_string();
        let of_user = rows.range((name.clone(), String::new())..(name.clone(), "~".to_owned()));
        let found: BTreeMap<&str, (u64, Marks)> =
            of_user.map(|((_, period), row)| (&**period, *row)).collect();
        let resets = match user.reset {
            Reset::Never => 0,
            Reset::Weekly | Reset::Monthly => 1,
            Reset::Daily => 2,
        };
        for (period, (used, marks)) in &found {
            if marks.is_empty() {
                let said = || -> Vec<_> {
                    events.iter().filter(|event| event.as_str() >= *period).take(12).collect()
                };
                let expected = truth.get(*period).copied().unwrap_or(0);
                assert_eq!(
                    *used,
                    expected,
                    "{name} {period}: {:?}, then {:#?}",
                    found.range(*period..).nth(1),
                    said()
                );
                exact[resets] += 1;
            } else {
                marked[resets] += 1;
            }
        }
        // What is missing is seen later, with a mark.
        for (period, used) in
            truth.iter().filter(|(period, used)| **used > 0 && !found.contains_key(&***period))
        {
            let next = found.range(&**period..).next();
            assert!(
                next.is_some_and(|(_, (_, marks))| !marks.is_empty()),
                "{name} {period}: {used} bytes, then {next:?}"
            );
        }
        let sums = (found.values().map(|(used, _)| used).sum::<u64>(), truth.values().sum::<u64>());
        match user.reset {
            // To the byte, however it was missed.
            Reset::Never if user.lives.end == u64::MAX => assert_eq!(sums.0, sums.1, "{name}"),
            _ => assert!(sums.0 <= sums.1, "{name}: {sums:?}"),
        }
    }
    eprintln!(
        "{}: {exact:?} rows without a mark, {marked:?} with one, of users without and with resets",
        by.label()
    );
    // Several ends of months are missed.
    assert!(exact[0] > marked[0] * if by == By::Day { 10 } else { 1 }, "{exact:?} {marked:?}");
}

#[tokio::test]
async fn a_year_of_use_is_counted_to_the_byte() {
    year(300).await;
}

/// For `scripts/long`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_year_of_ten_thousand_users_is_counted_to_the_byte() {
    year(std::env::var("PEOPLE").map_or(10_000, |people| people.parse().unwrap())).await;
}

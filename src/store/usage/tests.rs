use std::{collections::BTreeMap, fs, path::Path};

use super::{open::Taken, *};
use crate::model::{Day, Marks, Month};

const NOON: Timestamp = Timestamp::from_secs(1_795_003_200);
const USUAL: Duration = Duration::from_secs(600);
const DAY: i64 = 86_400_000;

/// A history without a thread.
struct ByHand {
    clock: Clock,
    shared: Arc<Shared>,
    writer: Writer,
    door: Door,
    problem: Option<String>,
}

impl ByHand {
    fn open(folder: &Path, clock: &Clock) -> Self {
        let shared = Arc::new(Shared::new(Open::new(TimeZone::UTC), clock.clone()));
        let file = UsageFile::in_folder(folder);
        let door = file.door();
        let (writer, problem) = Writer::open(Arc::clone(&shared), file);
        ByHand { clock: clock.clone(), shared, writer, door, problem }
    }

    /// Reads the total of a user of `home`.
    fn saw(&self, name: &str, before: Option<u64>, total: u64) {
        let now = self.clock.now().wall;
        let last_read = before.map(|_| now.saturating_sub(Duration::from_secs(60)));
        let read = Move {
            name: name.into(),
            owner: Some("root".into()),
            before,
            was_missing: before == Some(0),
            total,
            last_read,
            ..Move::default()
        };
        self.shared.open().add("home", Counted::Users, vec![read], USUAL, now);
    }

    fn write(&mut self) -> bool {
        self.writer.write(|_| true);
        self.shared.health.status().up
    }

    fn rows(&self, kind: SubjectKind, name: Option<&str>, by: By) -> Vec<(String, String, u64, u8)> {
        let query = UsageQuery {
            target: "home".into(),
            kind,
            name: name.map(str::to_owned),
            by,
            periods: i32::MIN..=i32::MAX,
            after: None,
            limit: 1000,
        };
        let rows = self.door.read(|connection| read::rows(connection, &query)).unwrap();
        rows.into_iter()
            .map(|row| (by.name(row.place.period), row.name, row.used, row.marks.bits()))
            .collect()
    }

    fn days(&self, name: &str) -> Vec<(String, u64, u8)> {
        let rows = self.rows(SubjectKind::User, Some(name), By::Day);
        rows.into_iter().map(|(day, _, used, marks)| (day, used, marks)).collect()
    }
}

fn days(rows: &[(&str, u64, u8)]) -> Vec<(String, u64, u8)> {
    rows.iter().map(|(day, used, marks)| ((*day).to_owned(), *used, *marks)).collect()
}

#[test]
fn what_a_killed_process_had_not_written_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut first = ByHand::open(folder.path(), &clock);
    first.saw("ann", None, 1000);
    first.saw("ann", Some(1000), 1010);
    assert!(first.write());
    assert_eq!(first.days("ann"), days(&[("2026-11-18", 10, 0)]));
    // Lost with the process.
    first.saw("ann", Some(1010), 1015);
    drop(first);

    let mut second = ByHand::open(folder.path(), &clock);
    assert_eq!(second.problem, None);
    // The list that was saved is older, or newer, than the total in the file.
    second.saw("ann", Some(1005), 1016);
    second.saw("ann", Some(1016), 1020);
    assert!(second.write() && second.write());
    assert_eq!(second.days("ann"), days(&[("2026-11-18", 20, 0)]));
    for (kind, name) in [(SubjectKind::Target, ""), (SubjectKind::Admin, "root")] {
        let sums = second.rows(kind, None, By::Month);
        assert_eq!(sums, [("2026-11".to_owned(), name.to_owned(), 20, 0)]);
    }
    drop(second);

    clock.step(3 * DAY);
    let mut third = ByHand::open(folder.path(), &clock);
    let read = Move { name: "ann".into(), total: 1050, ..Move::default() };
    third.shared.open().add("home", Counted::Users, vec![read], USUAL, clock.now().wall);
    assert!(third.write());
    // Part of it was used on the day when it was last read, so that one is marked too.
    assert_eq!(third.days("ann"), days(&[("2026-11-18", 20, 1), ("2026-11-21", 30, 1)]));
    let months = third.rows(SubjectKind::User, Some("ann"), By::Month);
    assert_eq!(months, [("2026-11".to_owned(), "ann".to_owned(), 50, 0)]);
}

#[test]
fn a_user_who_was_missing_for_a_while_marks_the_last_day() {
    // Whether the next process is the first to see the user again, with a list from before the last write or without one.
    for (is_restarted, before) in [(false, Some(0)), (true, Some(0)), (true, None)] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(NOON);
        let mut history = ByHand::open(folder.path(), &clock);
        history.saw("ann", Some(0), 100);
        history.saw("bob", Some(0), 1);
        assert!(history.write());
        clock.step(3 * DAY);
        history.saw("bob", Some(1), 2);
        assert!(history.write());
        clock.step(30_000);
        if is_restarted {
            drop(history);
            history = ByHand::open(folder.path(), &clock);
        }
        history.saw("ann", before, 130);
        assert!(history.write());
        let expected = days(&[("2026-11-18", 100, 1), ("2026-11-21", 30, 1)]);
        assert_eq!(history.days("ann"), expected, "{is_restarted} {before:?}");
    }
}

#[test]
fn sums_have_the_marks_of_each_day() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    for user in ["ann", "bob"] {
        history.saw(user, Some(0), 100);
    }
    assert!(history.write());
    for total in [101, 102, 103] {
        clock.step(DAY);
        history.saw("bob", Some(total - 1), total);
        assert!(history.write());
    }
    // On the next day, one is back who was missing since the first, and the other was not read at midnight.
    clock.step(DAY);
    history.saw("ann", Some(0), 130);
    let now = clock.now().wall;
    let read = Move {
        name: "bob".into(),
        before: Some(103),
        total: 104,
        last_read: Some(now.saturating_sub(Duration::from_secs(18 * 3600))),
        ..Move::default()
    };
    history.shared.open().add("home", Counted::Users, vec![read], USUAL, now);
    assert!(history.write());
    let marked = |kind| -> Vec<_> {
        let rows = history.rows(kind, None, By::Day).into_iter();
        rows.filter(|(.., marks)| *marks > 0).map(|(day, ..)| day).collect()
    };
    let expected = ["2026-11-18", "2026-11-21", "2026-11-22"];
    assert_eq!(marked(SubjectKind::Target), expected);
}

#[test]
fn the_month_is_marked_of_a_day_that_is_not_kept_any_more() {
    for (between, is_kept) in [(1, true), (70, false)] {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(NOON);
        let mut history = ByHand::open(folder.path(), &clock);
        history.saw("ann", Some(0), 100);
        for total in 0..between {
            history.saw("bob", Some(total), total + 1);
            assert!(history.write());
            clock.step(70 * DAY / i64::try_from(between).unwrap());
        }
        history.saw("ann", Some(0), 130);
        assert!(history.write());
        let (first, last) = (("2026-11-18", 100, 1), ("2027-01-27", 30, 1));
        assert_eq!(history.days("ann"), if is_kept { days(&[first, last]) } else { days(&[last]) });
        let months = history.rows(SubjectKind::User, Some("ann"), By::Month);
        let months: Vec<_> = months.into_iter().map(|(month, _, used, marks)| (month, used, marks)).collect();
        assert_eq!(months, days(&[("2026-11", 100, 1), ("2027-01", 30, 1)]));
    }
}

#[test]
fn a_user_is_of_the_admin_that_had_it_last() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    for (user, owner, before, total) in [
        ("ann", Some("root"), 0, 5),
        ("bob", Some("root"), 0, 6),
        ("cy", None, 0, 7),
        ("ann", Some("ali"), 5, 15),
        // Its admin was deleted.
        ("bob", None, 6, 16),
        ("idle", Some("ali"), 0, 0),
    ] {
        let read = Move {
            name: user.into(),
            owner: owner.map(Into::into),
            before: Some(before),
            total,
            last_read: Some(clock.now().wall),
            ..Move::default()
        };
        history.shared.open().add("home", Counted::Users, vec![read], USUAL, clock.now().wall);
        assert!(history.write());
    }
    let of = |history: &ByHand, owner| {
        let of = ("home", SubjectKind::User);
        let months = i32::MIN..=i32::MAX;
        let sums = history.door.read(|file| read::sums(file, of, owner, By::Month, months, 9, |_| true));
        sums.unwrap().into_iter().map(|sum| (sum.name, sum.used)).collect::<Vec<_>>()
    };
    let used = |users: &[(&str, u64)]| -> Vec<_> {
        users.iter().map(|(user, used)| ((*user).to_owned(), *used)).collect()
    };
    assert_eq!(of(&history, None), used(&[("bob", 16), ("ann", 15), ("cy", 7)]));
    assert_eq!(of(&history, Some("root")), used(&[("bob", 16)]));
    assert_eq!(of(&history, Some("ali")), used(&[("ann", 15)]));
    assert_eq!(of(&history, Some("other")), []);
    let admins = history.rows(SubjectKind::Admin, None, By::Month);
    assert_eq!(admins.iter().map(|(_, _, used, _)| used).sum::<u64>(), 21);
    let read = history.door.read(|file| read::users_read(file, "home")).unwrap().unwrap();
    assert!(read >= NOON && read <= clock.now().wall);
    assert_eq!(
        history.door.read(|file| read::began(file, "home")).unwrap(),
        Some("2026-11-18".parse().unwrap())
    );
    assert_eq!(history.door.read(|file| read::began(file, "other")).unwrap(), None);
}

#[test]
fn a_file_of_the_version_before_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    history.saw("ann", Some(0), 5);
    history.saw("gone", Some(0), 3);
    assert!(history.write());
    drop(history);
    let first = Connection::open(folder.path().join("usage.db")).unwrap();
    first.execute_batch("ALTER TABLE subjects DROP COLUMN owner; PRAGMA user_version = 1").unwrap();
    drop(first);

    for _ in 0..2 {
        let mut history = ByHand::open(folder.path(), &clock);
        assert_eq!(history.problem, None);
        assert_eq!(history.days("ann"), days(&[("2026-11-18", 5, 0)]));
        // A process reads every user once, also one that is at rest.
        history.saw("ann", Some(5), 5);
        assert!(history.write());
        let of = ("home", SubjectKind::User);
        let months = i32::MIN..=i32::MAX;
        let of_root = |file: &Connection| read::sums(file, of, Some("root"), By::Month, months, 9, |_| true);
        let of_root = history.door.read(of_root).unwrap();
        assert_eq!(of_root.iter().map(|sum| &*sum.name).collect::<Vec<_>>(), ["ann"]);
        assert_eq!(history.rows(SubjectKind::User, None, By::Day).len(), 2);
    }
}

#[test]
fn pages_have_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    for day in 0..3 {
        for user in 0..10 {
            history.saw(&format!("user{user}"), Some(day * 5), day * 5 + 5);
        }
        assert!(history.write());
        clock.step(DAY);
    }
    let mut query = UsageQuery {
        target: "home".into(),
        kind: SubjectKind::User,
        name: None,
        by: By::Day,
        periods: i32::MIN..=i32::MAX,
        after: None,
        limit: 7,
    };
    let mut seen = Vec::new();
    loop {
        let rows = history.door.read(|connection| read::rows(connection, &query)).unwrap();
        let Some(last) = rows.last() else { break };
        query.after = Some(last.place);
        assert!(rows.len() <= 7);
        seen.extend(rows.into_iter().map(|row| (row.place.period, row.name)));
    }
    assert!(seen.is_sorted_by_key(|(period, _)| *period));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 30);
    // The order within a day is not that of the names.
    query.after = None;
    query.limit = 10;
    let rows = history.door.read(|connection| read::rows(connection, &query)).unwrap();
    assert!(!rows.is_sorted_by(|one, other| one.name < other.name));
    let sums = |most| {
        let of = ("home", SubjectKind::User);
        history
            .door
            .read(|connection| read::sums(connection, of, None, By::Day, i32::MIN..=i32::MAX, most, |_| true))
            .unwrap()
    };
    assert_eq!((sums(3).len(), sums(3)[0].used, sums(100).len()), (3, 15, 10));
    let found = |name: &'static str| {
        let of = ("home", SubjectKind::User);
        history.door.read(|connection| read::find_name(connection, of, |known| known == name)).unwrap()
    };
    assert_eq!((found("user3"), found("other")), (Some("user3".to_owned()), None));
}

#[test]
fn old_rows_go_and_a_clock_that_leaps_deletes_few() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    for day in 0..70 {
        history.saw("ann", Some(day), day + 1);
        assert!(history.write());
        clock.step(DAY);
    }
    // The last day is the 69th after the first.
    assert_eq!(history.days("ann").len(), 62);
    assert_eq!(history.days("ann")[0].0, "2026-11-26");
    // It is ahead by months for two days, and is set back.
    for (total, days, kept) in
        [(70, 400, "2026-11-27"), (71, 1, "2026-11-28"), (72, -400, "2026-11-28"), (73, 1, "2026-11-29")]
    {
        clock.step(days * DAY);
        history.saw("ann", Some(total), total + 1);
        assert!(history.write());
        let known = history.days("ann");
        assert_eq!(known[0].0, kept, "{days}");
        let months = history.rows(SubjectKind::User, Some("ann"), By::Month);
        assert!(months[0].0 == "2026-11" && months[0].2 == 13, "{months:?}");
    }
}

#[test]
fn what_was_used_yesterday_is_not_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.db");
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    *history.shared.today() = Some(BTreeMap::new());
    history.saw("ann", Some(0), 5);
    assert!(history.write());
    let today = |history: &ByHand| {
        let used = Arc::clone(&history.shared.today().as_ref().unwrap()["home"]);
        (used.of("ann"), used.is_past(clock.now().wall))
    };
    assert_eq!(today(&history), (5, false));
    // It cannot be written at midnight.
    clock.step(DAY / 2 - 60_000);
    assert_eq!(today(&history), (5, false));
    clock.step(60_000);
    let aside = folder.path().join("aside.db");
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(!history.write());
    assert_eq!(today(&history), (5, true));
    fs::remove_dir(&file).unwrap();
    fs::rename(&aside, &file).unwrap();
    history.saw("ann", Some(5), 7);
    assert!(history.write());
    assert_eq!(today(&history), (2, false));
    // The clock is set back.
    clock.step(-DAY);
    assert_eq!(today(&history), (2, true));
}

#[test]
fn a_target_that_left_is_forgotten_after_thirty_days() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    history.saw("ann", Some(0), 5);
    assert!(history.write());
    let retain = |history: &mut ByHand, ids: &[&str]| {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        history.shared.open().keep_only(ids, clock.now().wall);
        assert!(history.write());
    };
    retain(&mut history, &["edge"]);
    clock.step(29 * DAY);
    retain(&mut history, &["home"]);
    clock.step(29 * DAY);
    retain(&mut history, &["edge"]);
    assert_eq!(history.days("ann").len(), 1);
    clock.step(30 * DAY);
    assert!(history.write());
    assert_eq!(history.days("ann"), []);
    // It begins again.
    history.saw("ann", None, 9);
    history.saw("ann", Some(9), 10);
    assert!(history.write());
    assert_eq!(history.days("ann").len(), 1);
}

#[test]
fn a_file_that_cannot_be_used_is_renamed() {
    for (damage, word) in [
        (&(|file: &Path| fs::write(file, vec![b'x'; 8192]).unwrap()) as &dyn Fn(&Path), "damaged"),
        (
            &|file: &Path| {
                let connection = Connection::open(file).unwrap();
                connection.pragma_update(None, "user_version", 99).unwrap();
            },
            "newer",
        ),
        (
            &|file: &Path| {
                let connection = Connection::open(file).unwrap();
                connection.execute_batch("PRAGMA user_version = 1; CREATE TABLE other (a)").unwrap();
            },
            "damaged",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        damage(&folder.path().join("usage.db"));
        let clock = Clock::starting_at(NOON);
        let mut history = ByHand::open(folder.path(), &clock);
        let problem = history.problem.clone().unwrap();
        assert!(problem.contains("it was renamed to") && problem.contains(word), "{problem}");
        history.saw("ann", Some(0), 5);
        assert!(history.write());
        assert_eq!(history.days("ann").len(), 1);
        let aside = fs::read_dir(folder.path()).unwrap().any(|file| {
            file.unwrap().file_name().to_string_lossy().starts_with(&format!("usage.db.{word}-"))
        });
        assert!(aside, "{word}");
    }
}

#[test]
fn a_file_that_is_removed_or_damaged_meanwhile_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usage.db");
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    history.saw("ann", Some(0), 5);
    assert!(history.write());
    fs::remove_file(&file).unwrap();
    // The total before is known to who reads the target.
    history.saw("ann", Some(5), 7);
    assert!(history.write());
    assert_eq!(history.days("ann"), days(&[("2026-11-18", 2, 0)]));

    // A folder in its place: it cannot be written, and nothing is lost.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    history.saw("ann", Some(7), 10);
    assert!(!history.write());
    history.saw("ann", Some(10), 11);
    assert!(!history.write());
    fs::remove_dir(&file).unwrap();
    history.saw("ann", Some(11), 12);
    assert!(history.write());
    assert_eq!(history.days("ann"), days(&[("2026-11-18", 5, 0)]));
    assert!(history.shared.health.status().errors >= 2);
}

#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    history.saw("ann", Some(0), 5);
    assert!(history.write());
    let shared = Arc::clone(&history.shared);
    let read = |count: u64, total: u64| {
        let users = (0..count).map(|user| Move {
            name: format!("a user with a long name {user}").into(),
            before: Some(total),
            total: total + 1,
            ..Move::default()
        });
        shared.open().add("home", Counted::Users, users.collect(), USUAL, NOON);
    };
    read(5000, 0);
    let taken: Vec<Taken> = shared.open().take(|_| true).0;
    let full = history.writer.with(|connection| {
        connection.pragma_update(None, "max_page_count", 30).unwrap();
        write::write(connection, &taken[0])
    });
    assert!(matches!(full, Err(Fault::Unavailable(_))), "{full:?}");
    taken.into_iter().for_each(|taken| shared.open().put_back(taken));
    read(5000, 1);
    history
        .writer
        .with(|connection| Ok(connection.pragma_update(None, "max_page_count", 1_000_000)?))
        .unwrap();
    assert!(history.write());
    let users = history.rows(SubjectKind::User, None, By::Day);
    assert_eq!((users.len(), users.iter().map(|(_, _, used, _)| used).sum::<u64>()), (1000, 5 + 999 * 2));
}

#[test]
fn sums_stay_whole_whatever_a_panel_says() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    for round in 0..8 {
        for user in ["ann", "bob"] {
            history.saw(user, Some(0), if round % 2 == 0 { u64::MAX } else { 0 });
        }
        assert!(history.write(), "{round}");
    }
    let days = history.days("ann");
    assert!(days[0].1 >= u64::MAX / 4 && Marks::of_bits(days[0].2).has(Marks::RESET), "{days:?}");
}

#[tokio::test(start_paused = true)]
async fn each_target_is_written_when_it_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let mut history = ByHand::open(folder.path(), &clock);
    // Seconds since the last step, the target that is asked for, and whether `home` is written.
    let steps = [
        (1, None, true),
        (329, None, false),
        (1, None, true),
        (60, Some("other"), false),
        (1, Some("home"), true),
        (329, None, false),
        (1, None, true),
        // On the next day, everything is due.
        (43_200, Some("other"), true),
        (1, Some("other"), false),
    ];
    for (total, (seconds, asked, is_written)) in (0..).zip(steps) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        history.saw("ann", Some(total), total + 1);
        let now = clock.now();
        match asked {
            Some(asked) => history.writer.write(|target| target == asked),
            None => history.writer.look(),
        }
        let written = history.shared.written().get("home").copied();
        assert_eq!(
            written.is_some_and(|last| last.at.uptime >= now.uptime),
            is_written,
            "{seconds} {asked:?}"
        );
    }
}

#[tokio::test]
async fn a_thread_writes_what_is_asked_of_it_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(NOON);
    let read =
        |before: u64, total: u64| Move { name: "key".into(), before: Some(before), total, ..Move::default() };
    let query = UsageQuery {
        target: "llm".into(),
        kind: SubjectKind::Key,
        name: Some("key".into()),
        by: By::Month,
        periods: "2026-11".parse::<Month>().unwrap().number()..=i32::MAX,
        after: None,
        limit: 10,
    };
    for (usage, is_kept) in [
        (Usage::in_memory(&clock, TimeZone::UTC), false),
        (Usage::open(folder.path(), &clock, TimeZone::UTC).unwrap().usage, true),
    ] {
        assert_eq!(usage.today(), "2026-11-18".parse::<Day>().unwrap());
        usage.saw("llm", Counted::Keys, vec![read(0, 70)], USUAL, NOON);
        usage.write().await;
        assert_eq!(usage.rows(&query).unwrap()[0].used, 70);
        assert!(usage.as_of("llm").is_some() && usage.status().up);
        usage.saw("llm", Counted::Keys, vec![read(70, 77)], USUAL, NOON);
        usage.close().await;
        usage.write().await;
        if is_kept {
            let again = Usage::open(folder.path(), &clock, TimeZone::UTC).unwrap().usage;
            assert_eq!(again.rows(&query).unwrap()[0].used, 77);
        }
    }
}

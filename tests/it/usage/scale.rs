//! How large the history of use becomes, and how long it takes to write.

use std::{fs, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use proxymeter::{
    clock::Clock,
    model::{Move, Timestamp},
    store::{By, Counted, SubjectKind, Usage},
};
use tokio::time::Instant;

const USUAL: Duration = Duration::from_secs(600);
const DAY_MS: i64 = 86_400_000;

/// Of a number in the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().unwrap())
}

/// All of 100,000 users use something each day of a year. For `scripts/long`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_hundred_thousand_users_are_written_in_time() {
    let (people, days) = (number("PEOPLE_ON_DISK", 100_000), number("DAYS", 365));
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(Timestamp::from_secs(1_767_268_800));
    let usage = Usage::open(folder.path(), &clock, TimeZone::UTC).unwrap().usage;
    let names: Vec<Arc<str>> =
        (0..people).map(|number| format!("user{number:06}@example.com").into()).collect();
    let (mut reading, mut writes) = (Duration::ZERO, Vec::new());
    let mut size = 0;
    for day in 0..days {
        let now = clock.now().wall;
        let moves: Vec<_> = names
            .iter()
            .map(|name| Move {
                name: Arc::clone(name),
                before: Some(day << 30),
                total: (day + 1) << 30,
                last_read: Some(now),
                ..Move::default()
            })
            .collect();
        let began = Instant::now();
        usage.saw("home", Counted::Users, moves, USUAL, now);
        reading += began.elapsed();
        let began = Instant::now();
        usage.write().await;
        writes.push(began.elapsed());
        assert!(usage.status().up);
        clock.step(DAY_MS);
        let files = ["usage.db", "usage.db-wal"].map(|file| folder.path().join(file));
        let now = files.iter().map(|file| fs::metadata(file).map_or(0, |file| file.len())).sum::<u64>();
        size = size.max(now);
    }
    let began = Instant::now();
    let today = usage.today().number();
    let kept = today - 61..=today;
    let top = usage.sums(("home", SubjectKind::User), None, By::Day, kept.clone(), 10, |_| true).unwrap();
    let asked = began.elapsed();
    assert_eq!(top.len(), 10);
    let (first, rest) = writes.split_first().unwrap();
    let count = u32::try_from(rest.len().max(1)).unwrap();
    eprintln!(
        "{people} users, {days} days: {size} bytes on the disk at most; the first write {first:?}, the others {:?} on \
         average and {:?} at most; {:?} to take in a reading of all; {asked:?} for the ten who used most in 62 days",
        rest.iter().sum::<Duration>() / count,
        rest.iter().max(),
        reading / u32::try_from(days).unwrap(),
    );
    let row = size / (people * days.min(62) + people * (days / 30).clamp(1, 12));
    eprintln!("{row} bytes for each row of a day or month, with names and totals");
}

//! The program is killed while it takes records: what it has on disk is counted once, and what it may have lost is a gap.
//!
//! `KILLS` is how often; 12 by default.

use std::{
    collections::{BTreeSet, HashMap},
    env,
    sync::LazyLock,
    thread,
    time::Duration,
};

use fastrand::Rng;
use proxymeter::simulator::cliproxy::{Fault, Options, Pop, Times, Traffic};
use tokio::time::Instant;

use crate::common::{
    cliproxy::QUEUE,
    daemon::{Daemon, Home, wait_for},
    llm::{Proxy, Stored, sums},
};

/// Lanes run beside each other, each with a server and a storage of its own.
const LANES: usize = 4;
static KILLS: LazyLock<usize> =
    LazyLock::new(|| env::var("KILLS").map_or(12, |kills| kills.parse().unwrap()));
/// A life in which no records are asked for ends after this.
const LIFE: Duration = Duration::from_secs(10);
/// Attempts in a second: several batches have to be taken in each life.
const RATE: u32 = 1000;

#[test]
fn no_committed_record_is_lost_or_counted_twice_when_killed() {
    let lanes: Vec<_> =
        (0..LANES).map(|lane| thread::spawn(move || run(lane, KILLS.div_ceil(LANES)))).collect();
    let lanes: Vec<Figures> = lanes.into_iter().map(|lane| lane.join().unwrap()).collect();
    let all = |figure: fn(&Figures) -> u64| lanes.iter().map(figure).sum::<u64>();
    let (kills, lost) = (all(|lane| lane.kills), all(|lane| lane.lost_batches));
    eprintln!(
        "{kills} kills, {} batches of {} records, of which {lost} of {} were lost with their process, {} gaps",
        all(|lane| lane.batches),
        all(|lane| lane.records),
        all(|lane| lane.lost_records),
        all(|lane| lane.gaps),
    );
    assert!(
        kills < 100 || lost > 0 && lost < kills,
        "all kills came at the same point: this test shows little"
    );
}

struct Figures {
    kills: u64,
    batches: u64,
    records: u64,
    lost_batches: u64,
    lost_records: u64,
    gaps: u64,
}

/// When a daemon is killed.
enum Point {
    /// So long after its start.
    Start(Duration),
    /// So long after it asked for the next records.
    Asked(Duration),
}

fn run(lane: usize, kills: usize) -> Figures {
    let mut rng = Rng::with_seed(u64::try_from(lane).unwrap());
    let options = Options {
        seed: rng.u64(..),
        traffic: Traffic::Steady(RATE),
        // No record is lost but by a kill.
        retention_seconds: 3600,
        ..Options::default()
    };
    let proxy = Proxy::start(&options);
    let home = Home::of(&proxy.table("llm", "usage = \"queue\""));
    let busy = proxy.busy();
    let lives: Vec<Stored> = (0..kills)
        .map(|_| {
            live_and_die(&proxy, &home, &mut rng);
            Stored::of(&home)
        })
        .collect();
    drop(busy);
    proxy.wire.heal();
    let daemon = home.start();
    // One that is stopped before it has read what is on disk leaves it as it is.
    wait_for("the counters", || sums(&daemon).contains_key("requests_total").then_some(()));
    while proxy.queued() > 0 {
        let left = proxy.queued();
        wait_for("the next records", || (proxy.queued() < left).then_some(()));
    }
    // A life that was too short for anything left what the one before it had left.
    let cut_off = lives.iter().filter_map(|life| life.begun).collect::<BTreeSet<_>>().len();
    // The last batch is on disk before the next request, or before the end.
    assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
    let last = Stored::of(&home);
    assert_eq!(last.begun, None);
    assert_eq!(last.gaps, u64::try_from(cut_off).unwrap(), "one for each life that left a request behind");

    let pops = proxy.pops();
    let lost = lost_batches(&pops, lives.iter().chain([&last]));
    assert!(lost.len() <= cut_off);
    let counted = pops.iter().enumerate().filter(|(at, _)| !lost.contains(at)).map(|(_, pop)| pop);
    assert_eq!(last.sums, counted.map(of_pop).fold([0; 8], plus));
    assert_eq!(last.records, last.sums[0]);
    let unseen = proxy.unseen();
    assert_eq!((unseen.expired, unseen.stolen, unseen.lost, unseen.dropped), (0, 0, 0, 0));
    assert_eq!(proxy.recorded(), proxy.sent());

    // The next process shows what is on disk.
    let daemon = home.start();
    let shown = wait_for("the counters", || {
        let shown = sums(&daemon);
        shown.contains_key("requests_total").then_some(shown)
    });
    check_shown(&daemon, &shown, &last);
    let lost_records = lost.iter().map(|at| pops[*at].sums.attempts).sum();
    let count = |number: usize| u64::try_from(number).unwrap();
    Figures {
        kills: count(kills),
        batches: count(pops.len()),
        records: proxy.sent().all().attempts,
        lost_batches: count(lost.len()),
        lost_records,
        gaps: last.gaps,
    }
}

fn check_shown(daemon: &Daemon, shown: &HashMap<String, f64>, stored: &Stored) {
    const FAMILIES: [&str; 8] = [
        "requests_total",
        "requests_failed_total",
        "input_tokens_total",
        "output_tokens_total",
        "reasoning_tokens_total",
        "cached_tokens_total",
        "cache_write_tokens_total",
        "tokens_total",
    ];
    let value = |name: &str| format!("{:.0}", shown.get(name).copied().unwrap_or_default());
    for (family, sum) in FAMILIES.iter().zip(stored.sums) {
        assert_eq!(value(family), sum.to_string(), "{family} {}", daemon.log());
    }
    assert_eq!(value("usage_records_total"), stored.records.to_string());
    assert_eq!(value("usage_gaps_total"), stored.gaps.to_string());
}

fn live_and_die(proxy: &Proxy, home: &Home, rng: &mut Rng) {
    let (soon, later) =
        (Duration::from_micros(rng.u64(..60_000)), Duration::from_micros(rng.u64(..1_000_000)));
    let point = match rng.u8(..6) {
        0 => Point::Start(Duration::from_millis(rng.u64(..1500))),
        // In the middle of an answer that is on its way.
        1 | 2 => {
            let slowly = Fault::SlowDrip { bytes: 100_000, every: Duration::from_millis(10) };
            proxy.wire.fail(&format!("{QUEUE}?count=1"), slowly, Times::Count(rng.u32(1..4)));
            Point::Asked(soon * 2)
        }
        3 | 4 => Point::Asked(later),
        _ => Point::Asked(soon),
    };
    let (asked, batches) = (proxy.asked_for_records(), rng.usize(1..4));
    let daemon = home.start();
    match point {
        Point::Start(wait) => thread::sleep(wait),
        Point::Asked(wait) => {
            let start = Instant::now();
            while proxy.asked_for_records() < asked + batches && start.elapsed() < LIFE {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(wait);
        }
    }
    daemon.kill();
    proxy.wire.heal();
}

/// The places of the batches that no process counted. Each life counts the batches that it took in a row, and leaves at
/// most the last one uncounted, with the request for it on disk.
fn lost_batches<'a>(pops: &[Pop], lives: impl Iterator<Item = &'a Stored>) -> Vec<usize> {
    let (mut at, mut lost, mut before) = (0, Vec::new(), Stored::default());
    // Requests since the last batch that was counted.
    let mut left_behind = 0;
    for life in lives {
        assert!(life.records >= before.records && life.gaps >= before.gaps, "{life:?} after {before:?}");
        if life.records > before.records {
            let counts = |from: usize| {
                let (mut sums, mut to) = (before.sums, from);
                while sums[0] < life.sums[0] {
                    sums = plus(sums, of_pop(pops.get(to)?));
                    to += 1;
                }
                (sums == life.sums).then_some((from, to))
            };
            let counted = (at..=at + left_behind).find_map(counts);
            let (from, to) =
                counted.unwrap_or_else(|| panic!("these sums are of no batches: {before:?} {life:?}"));
            lost.extend(at..from);
            (at, left_behind) = (to, 0);
        }
        left_behind += usize::from(life.begun.is_some() && life.begun != before.begun);
        before = life.clone();
    }
    lost.extend(at..pops.len());
    assert!(pops.len() - at <= left_behind, "{} batches are not counted", pops.len() - at);
    lost
}

fn of_pop(pop: &Pop) -> [u64; 8] {
    let sums = &pop.sums;
    // The server tells what was read from a cache from what was written to it.
    let tokens = [sums.input, sums.output, sums.reasoning, sums.cache_read, sums.cache_creation, sums.total];
    let [input, output, reasoning, cached, cache_write, total] = tokens;
    [sums.attempts, sums.failed, input, output, reasoning, cached, cache_write, total]
}

fn plus(mut sums: [u64; 8], more: [u64; 8]) -> [u64; 8] {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    sums
}

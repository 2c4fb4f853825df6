//! What a long history and a busy queue cost the program. The server is simulated in this process, and the program is one of
//! its own, so that its memory and its time are its alone. Times are held only against a release build.

use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use procfs::process::{Process, Stat};
use proxymeter::{
    clock::Clock,
    simulator::cliproxy::{Generation, Options, Server, Traffic},
};
use tokio::{
    net::TcpListener,
    time::{Instant, interval},
};

use crate::common::{
    cliproxy::{KEY, USAGE},
    daemon::{Daemon, Home, PATIENCE, wait_for},
    simulated::RUNTIME,
};

/// How much the memory of the program may grow, in bytes, whatever the number of details.
const GROWTH: u64 = 8 * 1024 * 1024;
/// How many times as long as a download a reading may take.
const RATIO: f64 = 2.0;
const RECORDS_PER_SECOND: u32 = 500;
/// The share of one core that records at this rate may take.
const SHARE: f64 = 0.05;
const MONTH_MS: u64 = 30 * 24 * 3600 * 1000;
/// Readings and downloads, of whose times the median counts.
const TIMES: usize = if cfg!(debug_assertions) { 1 } else { 5 };

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |number| number.parse().unwrap())
}

/// Starts a server that counts attempts as its clock says.
fn serve(generation: Generation, traffic: Traffic) -> (Server, SocketAddr) {
    let clock = Clock::system();
    let options = Options { generation, key: KEY.to_owned(), traffic, ..Options::default() };
    let server = Server::new(&options, move || clock.now().wall.as_millis());
    let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    RUNTIME.spawn(server.clone().serve(listener, std::future::pending()));
    (server, address)
}

fn home(address: SocketAddr, usage: &str) -> Home {
    Home::of(&format!(
        "[poll]\ninterval = \"5s\"\nload = \"100%\"\n\
         [cliproxy.llm]\nurl = \"http://{address}\"\nmanagement_key = \"{KEY}\"\nusage = \"{usage}\"\n"
    ))
}

/// All attempts that the program has counted.
fn counted(metrics: &str) -> u64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix("proxymeter_llm_requests_total{"));
    series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

fn part(metrics: &str, metric: &str) -> Option<f64> {
    crate::common::daemon::value(
        metrics,
        &format!("proxymeter_target_part_{metric}{{target=\"llm\",part=\"usage\"}}"),
    )
}

/// Waits until the totals were read after `before`, and returns when that was, and how long it took.
fn wait_for_reading(daemon: &Daemon, before: f64) -> (f64, f64) {
    wait_for("the totals to be read", || {
        // Scrapes in a row would take time from the reading.
        thread::sleep(Duration::from_millis(100));
        let metrics = daemon.metrics();
        let at = part(&metrics, "last_success_timestamp_seconds").filter(|at| *at > before)?;
        Some((at, part(&metrics, "poll_duration_seconds").unwrap()))
    })
}

fn resident_memory(daemon: &Daemon) -> u64 {
    let status = Process::new(daemon.id().try_into().unwrap()).unwrap().status().unwrap();
    status.vmrss.unwrap() * 1024
}

/// Seconds that the program has computed.
fn processor_time(daemon: &Daemon) -> f64 {
    let Stat { utime, stime, .. } = Process::new(daemon.id().try_into().unwrap()).unwrap().stat().unwrap();
    Duration::from_millis((utime + stime) * 1000 / procfs::ticks_per_second()).as_secs_f64()
}

/// Downloads the totals and throws them away. Returns their size and the seconds that it took.
fn download(address: SocketAddr) -> (u64, f64) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {USAGE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let (mut buffer, mut size) = (vec![0; 64 * 1024], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return (size, began.elapsed().as_secs_f64()),
            read => size += read as u64,
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// `DETAILS` is the number of details; a million makes a quarter of a gigabyte.
#[test]
fn a_long_history_takes_little_memory_and_little_more_time_than_its_download() {
    let details = setting("DETAILS", 100_000);
    let (server, address) = serve(Generation::V6_9, Traffic::None);
    let home = home(address, "snapshot");
    let daemon = home.start();
    let (mut read_at, _) = wait_for_reading(&daemon, 0.0);
    let before = resident_memory(&daemon);
    server.import_usage(details, MONTH_MS);
    let all = server.recorded().all().attempts;
    assert_eq!(all, details);
    wait_for("all details to be counted", || (counted(&daemon.metrics()) == all).then_some(()));
    let (mut again, mut downloads, mut size) = (Vec::new(), Vec::new(), 0);
    for _ in 0..TIMES {
        let (at, took) = wait_for_reading(&daemon, read_at);
        read_at = at;
        again.push(took);
        let (bytes, took) = download(address);
        downloads.push(took);
        size = bytes;
    }
    let growth = daemon.peak_memory() - before;
    assert_eq!(counted(&daemon.metrics()), all);
    daemon.stop();
    let mut first = Vec::new();
    for _ in 0..TIMES {
        fs::remove_dir_all(home.storage()).unwrap();
        let daemon = home.start();
        let (_, took) = wait_for_reading(&daemon, 0.0);
        first.push(took);
        assert_eq!(counted(&daemon.metrics()), all);
        let (_, took) = download(address);
        downloads.push(took);
    }
    let (first, again, download) = (median(first), median(again), median(downloads));
    eprintln!(
        "{details} details, {size} bytes: memory grows by {growth} bytes; download {download:.3} s, first reading {first:.3} s \
         ({:.2} times), later ones {again:.3} s ({:.2} times)",
        first / download,
        again / download
    );
    assert!(growth < GROWTH, "{growth} bytes");
    assert!(cfg!(debug_assertions) || first.max(again) <= RATIO * download);
}

/// `QUEUE_SECONDS` is how long the server is busy.
#[test]
fn a_busy_queue_is_kept_up_with() {
    let seconds = setting("QUEUE_SECONDS", 5);
    let (server, address) = serve(Generation::V7_3, Traffic::Steady(RECORDS_PER_SECOND));
    let home = home(address, "queue");
    let daemon = home.start();
    wait_for_reading(&daemon, 0.0);
    let (before, began) = (processor_time(&daemon), Instant::now());
    RUNTIME.block_on(async {
        let mut ticks = interval(Duration::from_secs(1));
        for _ in 0..seconds {
            ticks.tick().await;
            server.advance(1000);
        }
    });
    let all = server.recorded().all().attempts;
    assert_eq!(all, u64::from(RECORDS_PER_SECOND) * seconds);
    wait_for("all records to be counted", || (counted(&daemon.metrics()) == all).then_some(()));
    let share = (processor_time(&daemon) - before) / began.elapsed().as_secs_f64();
    eprintln!("{all} records in {seconds} s take {:.1} % of a core", share * 100.0);
    assert_eq!(daemon.value("proxymeter_llm_usage_gaps_total{target=\"llm\"}"), Some(0.0));
    assert!(cfg!(debug_assertions) || share < SHARE);
}

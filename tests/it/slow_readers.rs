//! Clients that ask for a page that is larger than what a socket holds, and take their time.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use proxymeter::{
    clock::Clock,
    model::{
        Counter, Expiry, Fact, LastOnline, Outcome, Part, PartState, Report, Timestamp, User, UserFacts,
        UserNames, WalkEnd,
    },
    server::config::AccessConfig,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::common::port::Port;

/// Of a page that is kept, and of one that is written while it is sent.
const SIZES: [usize; 2] = [16_000, 26_000];

/// A server that knows many users.
async fn open(users: usize) -> Port {
    let port = Port::open(AccessConfig::default()).await;
    port.setup.send_modify(|setup| Arc::make_mut(setup).options.limit = users);
    port.board.publish(report(users));
    port
}

fn report(users: usize) -> Report {
    let now = Clock::starting_at(Timestamp::from_secs(1_790_000_000)).now();
    let users: Vec<_> = (0..users)
        .map(|number| User {
            used: 12_345_678_901,
            limit: Some(98_765_432_109),
            traffic: Counter::new(123_456_789_012),
            expiry: Expiry::At(now.wall.saturating_add(Duration::from_secs(86_400))),
            last_online: LastOnline::seen(now.wall),
            online: true,
            read_at: now.wall,
            ..User::named(&format!("a-user-with-a-name-of-usual-length-{number:05}"))
        })
        .collect();
    let seen: UserNames = users.iter().map(|user| Arc::clone(&user.name)).collect();
    let mut report = Report::new("home");
    report.up = Some(true);
    report.merge(
        Fact::Users(UserFacts::WalkEnd(WalkEnd { page: users, seen, started: now, ..WalkEnd::default() })),
        now,
    );
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

/// Asks for the metrics, and reads no further than the first line: its status, and the connection with the rest.
async fn ask(port: &Port) -> (String, TcpStream) {
    let mut stream = port.connect().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut line = [0; 15];
    stream.read_exact(&mut line).await.unwrap();
    (String::from_utf8_lossy(&line).into_owned(), stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_nothing_does_not_keep_scrapers_out() {
    for users in SIZES {
        let port = open(users).await;
        let silent = join_all((0..45).map(|_| ask(&port))).await;
        for _ in 0..3 {
            let mut stream = port.connect().await;
            let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert!(read.starts_with(b"HTTP/1.1 200 OK"));
            assert!(read.len() > 500 * users, "{} bytes are no more than sockets hold", read.len());
            let is_streamed = String::from_utf8_lossy(&read[..500]).contains("transfer-encoding: chunked");
            assert_eq!(is_streamed, read.ends_with(b"\r\n0\r\n\r\n"), "cut off");
            // The next page is another one.
            port.board.publish(report(users));
        }
        assert!(silent.iter().all(|(line, _)| line == "HTTP/1.1 200 OK"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_scrapers_at_once_are_answered() {
    for users in SIZES {
        let port = open(users).await;
        let all = join_all((0..100).map(|_| ask(&port))).await;
        assert!(all.iter().all(|(line, _)| line == "HTTP/1.1 200 OK"));
    }
}

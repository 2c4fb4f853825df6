use std::fmt::Write;

use jiff::tz::TimeZone;

use super::*;
use crate::upstream::cliproxy::{config::Caps, names::test_names};

const NOW: Timestamp = Timestamp::from_secs(1_795_640_000);
const ASKED: &str = "ck-canary";

/// A server that counts as 6.9 does, and the books of a client that reads it.
struct House {
    /// The details of its one list, oldest first, by the number of their attempt.
    details: Vec<u64>,
    /// How many of them were dropped.
    dropped: usize,
    /// Its clock, in seconds after [`NOW`], which is the number of the next attempt.
    clock: u64,
    books: Shared,
}

impl House {
    fn new() -> House {
        let ledger = Ledger::new(Caps::default(), Arc::default(), TimeZone::UTC);
        let books = Arc::new(Mutex::new(Books::new(ledger)));
        House { details: Vec::new(), dropped: 0, clock: 0, books }
    }

    /// Makes attempts happen, one a second.
    fn attempts(&mut self, count: u64) {
        self.details.extend(self.clock..self.clock + count);
        self.clock += count;
    }

    fn restart(&mut self) -> Vec<u64> {
        self.dropped = 0;
        std::mem::take(&mut self.details)
    }

    /// Drops all but the newest.
    fn cut(&mut self, most: usize) {
        let drop = self.details.len().saturating_sub(most);
        self.details.drain(..drop);
        self.dropped += drop;
    }

    fn text(&self) -> String {
        let mut details = String::new();
        for number in &self.details {
            let separator = if details.is_empty() { "" } else { "," };
            let time = jiff::Timestamp::from_second(NOW.as_secs() + i64::try_from(*number).unwrap()).unwrap();
            write!(
                details,
                r#"{separator}{{"timestamp":"{time}","latency_ms":5,"source":"a@example.com","auth_index":"0123456789abcdef",
                   "tokens":{{"input_tokens":{number},"output_tokens":1,"reasoning_tokens":0,"cached_tokens":0,"total_tokens":10}},
                   "failed":false}}"#
            )
            .unwrap();
        }
        let requests = self.details.len() + self.dropped;
        let tokens = requests * 10;
        format!(
            r#"{{"failed_requests":0,"usage":{{"total_requests":{requests},"apis":{{"{ASKED}":{{"total_requests":{requests},
               "models":{{"m":{{"total_requests":{requests},"total_tokens":{tokens},"details":[{details}]}}}}}}}},
               "requests_by_day":{{"2026-11-26":3}}}}}}"#
        )
    }

    /// Reads what the server answers, or its first bytes, and returns all attempts and tokens that were counted.
    fn poll(&mut self, bytes: Option<usize>) -> (u64, u64) {
        let text = self.text();
        let text = text.get(..bytes.unwrap_or(text.len())).unwrap();
        let reader = Reader { names: test_names(&[]), known: Known::default(), now: NOW };
        let mut scanner = Scanner::new(text.as_bytes(), DETAIL);
        let read = read_from(&mut scanner, &self.books, &reader, &OddFields::default());
        assert_eq!(read.is_ok(), bytes.is_none());
        if read.is_ok() {
            lock(&self.books).was_read(NOW.saturating_add(Duration::from_secs(self.clock)));
            self.clock += 10;
        }
        let usage = lock(&self.books).ledger.usage(|key| key.into(), NOW);
        usage.rows.iter().fold((0, 0), |sums, row| (sums.0 + row.requests, sums.1 + row.tokens.total))
    }

    fn counted(&mut self) -> u64 {
        let (requests, tokens) = self.poll(None);
        assert_eq!(tokens, requests * 10);
        requests
    }

    /// Another process goes on with what is stored.
    fn next_process(&mut self) {
        let changes = lock(&self.books).changes();
        let families: Vec<_> = changes.into_iter().map(|change| (change.family, change.rows)).collect();
        let next = House::new();
        let mut books = lock(&next.books);
        books.ledger.resume(&families);
        for (family, rows) in &families {
            if family == FAMILY {
                books.restore(rows);
            }
        }
        drop(books);
        self.books = next.books;
    }
}

#[test]
fn a_list_is_counted_once_over_polls_restarts_and_processes() {
    let mut house = House::new();
    assert_eq!(house.counted(), 0);
    house.attempts(5);
    assert_eq!((house.counted(), house.counted()), (5, 5));
    house.next_process();
    assert_eq!(house.counted(), 5);
    house.attempts(2);
    assert_eq!(house.counted(), 7);
    // The server restarts and has fewer details than before, and then more.
    house.restart();
    assert_eq!(house.counted(), 7);
    house.attempts(3);
    assert_eq!(house.counted(), 10);
    house.restart();
    house.attempts(100);
    assert_eq!(house.counted(), 110);
}

#[test]
fn an_import_is_counted_unless_it_was_counted_before_the_restart() {
    for polled_between in [false, true] {
        for exported in [1, 30, 50] {
            let mut house = House::new();
            house.attempts(50);
            assert_eq!(house.counted(), 50);
            let before = house.restart();
            house.attempts(2);
            if polled_between {
                assert_eq!(house.counted(), 52);
            }
            house.details.extend(&before[..exported]);
            house.attempts(1);
            assert_eq!(house.counted(), 53, "{exported} {polled_between}");
            house.attempts(1);
            assert_eq!(house.counted(), 54);
            // The list of this server, with what was imported into it, is imported into the next one.
            let before = house.restart();
            house.attempts(3);
            house.details.extend(before);
            assert_eq!(house.counted(), 57);
        }
    }
    // What an earlier server counted before it was ever read is new.
    let mut house = House::new();
    house.attempts(20);
    let before = house.restart();
    house.attempts(5);
    assert_eq!(house.counted(), 5);
    house.details.extend(before);
    assert_eq!(house.counted(), 25);
}

#[test]
fn an_import_before_anything_else_is_the_same_list() {
    let mut house = House::new();
    house.attempts(50);
    assert_eq!(house.counted(), 50);
    let before = house.restart();
    house.details.extend(&before[..40]);
    assert_eq!(house.counted(), 50);
    house.attempts(3);
    assert_eq!(house.counted(), 53);
}

#[test]
fn lists_whose_oldest_details_are_dropped_are_followed() {
    let mut house = House::new();
    house.attempts(15);
    assert_eq!(house.counted(), 15);
    let mut all = 15;
    // Attempts between two polls, of which the server keeps 20.
    for more in [5, 1, 3, 0, 19, 20, 50, 2] {
        house.attempts(more);
        house.cut(20);
        all += more;
        assert_eq!(house.counted(), all, "{more}");
        house.next_process();
        assert_eq!(house.counted(), all);
    }
    house.restart();
    house.attempts(4);
    assert_eq!(house.counted(), all + 4);
    // Never read before it was cut.
    let mut house = House::new();
    house.attempts(100);
    house.cut(20);
    assert_eq!(house.counted(), 100);
}

#[test]
fn an_answer_that_is_cut_off_is_continued_by_the_next_one() {
    let whole = {
        let mut house = House::new();
        house.attempts(20);
        house.text().len()
    };
    for bytes in (1..whole).step_by(97) {
        let mut house = House::new();
        house.attempts(20);
        house.poll(Some(bytes));
        assert_eq!(house.counted(), 20, "{bytes}");
        house.attempts(5);
        house.poll(Some(bytes));
        house.next_process();
        assert_eq!(house.counted(), 25, "{bytes}");
    }
}

#[test]
fn only_routes_and_providers_are_no_keys() {
    let names = test_names(&[]);
    for (api, key) in [
        ("POST /v1/chat/completions", ""),
        ("GET /v1/models", ""),
        ("gemini", ""),
        ("unknown", ""),
        ("", ""),
        ("sk-canary", &*names.hash("sk-canary")),
        ("POST", &*names.hash("POST")),
        ("geminI", &*names.hash("geminI")),
    ] {
        let api = Api::new(api, &names);
        assert_eq!(&*api.key, key);
        assert!(!api.label.contains("canary"));
    }
}

#[test]
fn what_is_stored_has_no_key_and_no_account() {
    let mut house = House::new();
    house.attempts(3);
    house.counted();
    let changes = format!("{:?}", lock(&house.books).changes());
    assert!(changes.contains(FAMILY) && !changes.contains("canary") && !changes.contains("example.com"));
    assert!(lock(&house.books).changes().is_empty());
}

#[test]
fn only_so_many_lists_are_followed() {
    let mut house = House::new();
    house.attempts(1);
    let text = house.text();
    let reader = Reader { names: test_names(&[]), known: Known::default(), now: NOW };
    for number in 0..LISTS + 10 {
        let text = text.replace("\"m\"", &format!("\"m{number}\""));
        read_from(&mut Scanner::new(text.as_bytes(), DETAIL), &house.books, &reader, &OddFields::default())
            .unwrap();
    }
    assert_eq!(lock(&house.books).lists.len(), LISTS);
}

#[test]
fn other_values_are_no_snapshot() {
    let house = House::new();
    let reader = Reader { names: test_names(&[]), known: Known::default(), now: NOW };
    let read = |text: &str| {
        read_from(&mut Scanner::new(text.as_bytes(), DETAIL), &house.books, &reader, &OddFields::default())
    };
    assert!(read(r#"{"usage":{"apis":{}}}"#).unwrap());
    assert!(read(r#"{"usage":null}"#).unwrap());
    assert!(read(r#"{"usage":{"apis":null}}"#).unwrap());
    assert!(!read(r#"{"success":true}"#).unwrap());
    for text in
        ["[]", r#"{"usage":[]}"#, r#"{"usage":{"apis":{"k":{"models":{"m":{"details":{}}}}}}}"#, "<html>"]
    {
        assert!(read(text).is_err(), "{text}");
    }
    let odd =
        r#"{"usage":{"apis":{"k":{"models":{"m":{"details":[5, {"timestamp": 7, "tokens": "no"}, {}]}}}}}}"#;
    assert!(read(odd).unwrap());
    let usage = lock(&house.books).ledger.usage(|key| key.into(), NOW);
    assert_eq!((usage.records, usage.rows[0].requests), (3, 2));
}

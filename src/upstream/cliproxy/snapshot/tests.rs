use std::{
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use jiff::tz::TimeZone;
use tokio::io::{AsyncWriteExt, BufReader};

use super::{books::LISTS, *};
use crate::{
    model::{CounterChange, CounterFamilies, OTHER, Timestamp},
    secret::HashKey,
    upstream::{
        cliproxy::{
            config::{Caps, test_config},
            ledger::Ledger,
            names::{Names, test_names},
            record::Known,
        },
        json,
    },
};

const NOW: Timestamp = Timestamp::from_secs(1_795_640_000);
const ASKED: &str = "ck-canary";

/// Reads an answer that is here already.
fn read_now(text: &str, books: &Shared, reader: &Reader, odd: &OddFields) -> serde_json::Result<bool> {
    json::at_once(read(text.as_bytes(), books, reader, odd))
}

/// A server that counts as 6.9 does, and the books of a client that reads it.
struct House {
    /// The details of its one list, oldest first, by the number of their attempt.
    details: Vec<u64>,
    /// How many of them were dropped.
    dropped: usize,
    /// It has 6.9.1 or a later version.
    has_latency: bool,
    names: Names,
    /// Its clock, in seconds after [`NOW`], which is the number of the next attempt.
    clock: u64,
    books: Shared,
    stored: CounterFamilies,
}

impl House {
    fn new() -> House {
        House::hashed(test_names(&[]))
    }

    fn hashed(names: Names) -> House {
        let ledger = Ledger::new(Caps::default(), Arc::default(), TimeZone::UTC);
        let books = Arc::new(Mutex::new(Books::new(ledger, &names)));
        House {
            details: Vec::new(),
            dropped: 0,
            has_latency: true,
            names,
            clock: 0,
            books,
            stored: Vec::new(),
        }
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
            let latency = if self.has_latency { r#""latency_ms":5,"# } else { "" };
            let time = jiff::Timestamp::from_second(NOW.as_secs() + i64::try_from(*number).unwrap()).unwrap();
            write!(
                details,
                r#"{separator}{{"timestamp":"{time}",{latency}"source":"a@example.com","auth_index":"0123456789abcdef",
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
        let is_read = self.read(text).is_some();
        assert_eq!(is_read, bytes.is_none());
        self.sums()
    }

    /// Reads an answer, and returns the number of lists that are not followed if it is whole.
    fn read(&mut self, text: &str) -> Option<usize> {
        let reader = Reader { names: self.names.clone(), known: Known::default(), now: NOW };
        read_now(text, &self.books, &reader, &OddFields::default()).ok()?;
        let at = NOW.saturating_add(Duration::from_secs(self.clock));
        self.clock += 10;
        Some(lock(&self.books).was_read(at, NOW))
    }

    /// All attempts and tokens that were counted.
    fn sums(&self) -> (u64, u64) {
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
        self.store();
        let next = House::hashed(self.names.clone());
        let mut books = lock(&next.books);
        books.ledger.resume(&self.stored);
        for (family, rows) in &self.stored {
            if family == FAMILY {
                books.restore(rows);
            }
        }
        drop(books);
        self.books = next.books;
    }

    fn store(&mut self) {
        for CounterChange { family, rows, gone } in lock(&self.books).changes() {
            if !self.stored.iter().any(|(known, _)| *known == family) {
                self.stored.push((family.clone(), Vec::new()));
            }
            let (_, stored) = self.stored.iter_mut().find(|(known, _)| *known == family).unwrap();
            let is_new = |labels: &str| rows.iter().any(|row| row.labels == labels);
            stored.retain(|row| !gone.contains(&row.labels) && !is_new(&row.labels));
            stored.extend(rows);
        }
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
fn an_import_before_anything_else_is_told_from_what_follows_it() {
    for exported in [1, 40, 49, 50] {
        for more in [0, 3, 10, 15, 100] {
            for (polled_between, next_process) in [(false, false), (true, false), (false, true)] {
                let mut house = House::new();
                house.attempts(50);
                assert_eq!(house.counted(), 50);
                let before = house.restart();
                house.details.extend(&before[..exported]);
                if polled_between {
                    assert_eq!(house.counted(), 50);
                }
                house.attempts(more);
                // Where the imported part ends may be found with the second poll only.
                let first = house.counted();
                assert!(first == 50 || first == 50 + more, "{exported} {more}: {first}");
                if next_process {
                    house.next_process();
                }
                house.attempts(2);
                assert_eq!(house.counted(), 52 + more, "{exported} {more} {polled_between}");
                house.attempts(1);
                assert_eq!(house.counted(), 53 + more);
            }
        }
    }
}

#[test]
fn an_import_is_recognised_by_a_later_version() {
    for own in [0, 2] {
        let mut house = House::new();
        house.has_latency = false;
        house.attempts(50);
        assert_eq!(house.counted(), 50);
        let before = house.restart();
        house.has_latency = true;
        house.attempts(own);
        house.details.extend(before);
        house.attempts(3);
        assert_eq!(house.counted(), 53 + own);
    }
}

#[test]
fn what_a_detail_is_known_by_is_what_the_server_knows_it_by() {
    let names = test_names(&[]);
    let print = |detail: &str| pass::print(detail.as_bytes(), &names);
    let tokens = r#""tokens":{"input_tokens":1,"output_tokens":2,"reasoning_tokens":0,"cached_tokens":0,"total_tokens":3}"#;
    let first = print(&format!(
        r#"{{"timestamp":"2026-03-24T20:00:00.1234567+08:00","source":"a\u0040example.com","auth_index":"01",{tokens},"failed":false}}"#
    ));
    for same in [
        format!(
            r#"{{"timestamp":"2026-03-24T12:00:00.123456700Z","latency_ms":0,"source":"a@example.com","auth_index":"01",{tokens},"failed":false}}"#
        ),
        format!(
            r#"{{"timestamp":"2026-03-24T12:00:00.1234567Z","source":"a@example.com","auth_index":"01",{tokens}}}"#
        ),
    ] {
        assert_eq!(print(&same), first, "{same}");
    }
    for other in [
        format!(r#"{{"timestamp":"2026-03-24T12:00:00.1234568Z","source":"a@example.com","auth_index":"01",{tokens},"failed":false}}"#),
        format!(r#"{{"timestamp":"2026-03-24T12:00:00.1234567Z","source":"b@example.com","auth_index":"01",{tokens},"failed":false}}"#),
        format!(r#"{{"timestamp":"2026-03-24T12:00:00.1234567Z","source":"a@example.com","auth_index":"02",{tokens},"failed":false}}"#),
        format!(r#"{{"timestamp":"2026-03-24T12:00:00.1234567Z","source":"a@example.com","auth_index":"01",{tokens},"failed":true}}"#),
        r#"{"timestamp":"2026-03-24T12:00:00.1234567Z","source":"a@example.com","auth_index":"01","failed":false}"#.to_owned(),
        "5".to_owned(),
    ] {
        assert_ne!(print(&other), first, "{other}");
    }
}

#[test]
fn another_key_of_hashes_counts_nothing_again() {
    for cut in [false, true] {
        let mut house = House::new();
        house.attempts(50);
        assert_eq!(house.counted(), 50);
        house.store();
        house.names = Names::new(&test_config(), HashKey::new(b"another"));
        house.next_process();
        house.attempts(3);
        if cut {
            let bytes = house.text().len() / 2;
            house.poll(Some(bytes));
            house.next_process();
        }
        assert_eq!(house.counted(), 53, "{cut}");
        house.next_process();
        house.attempts(2);
        assert_eq!(house.counted(), 55);
        let (_, rows) = house.stored.iter().find(|(family, _)| family == FAMILY).unwrap();
        assert_eq!(rows.len(), 3, "{rows:?}");
        // A model that is new is counted.
        let text = house.text().replace("\"m\"", "\"n\"");
        house.read(&text);
        assert_eq!(house.sums().0, 110);
    }
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
    // Nor is the first answer whole.
    for bytes in (1..house.text().len()).step_by(97) {
        let mut house = House::new();
        house.attempts(100);
        house.cut(20);
        house.poll(Some(bytes));
        assert_eq!(house.counted(), 100, "{bytes}");
    }
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

/// A client gives up, by its deadline or because it stops.
#[test]
fn an_answer_that_is_given_up_is_continued_by_the_next_one() {
    for counted in [0, 100] {
        let mut house = House::new();
        house.attempts(counted);
        assert_eq!(house.counted(), counted);
        house.attempts(41);
        let text = house.text();
        let arrived = text.rfind(r#"{"timestamp""#).unwrap();
        let (mut server, client) = tokio::io::duplex(text.len());
        let reader = Reader { names: house.names.clone(), known: Known::default(), now: NOW };
        let odd = OddFields::default();
        let reading = read(BufReader::new(client), &house.books, &reader, &odd);
        server.write_all(&text.as_bytes()[..arrived]).now_or_never().unwrap().unwrap();
        assert!(reading.now_or_never().is_none(), "the rest is still to come");
        assert_eq!(house.sums(), (counted + 40, (counted + 40) * 10));
        assert_eq!(house.counted(), counted + 41);
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

/// A snapshot with so many models, of each of which there are so many attempts with a token each.
fn many(models: std::ops::Range<usize>, attempts: u64) -> String {
    let details = vec!["{}"; usize::try_from(attempts).unwrap()].join(",");
    let model = |number| {
        format!(
            r#""m{number}":{{"total_requests":{attempts},"total_tokens":{attempts},"details":[{details}]}}"#
        )
    };
    let models: Vec<_> = models.map(model).collect();
    format!(r#"{{"usage":{{"apis":{{"{ASKED}":{{"models":{{{}}}}}}}}}}}"#, models.join(","))
}

#[test]
fn of_lists_that_are_not_followed_the_totals_are_counted() {
    let mut house = House::new();
    let all = LISTS + 10;
    assert_eq!(house.read(&many(0..all, 1)), Some(10));
    assert_eq!(house.sums().0, all as u64);
    let of_other = |house: &House| {
        let usage = lock(&house.books).ledger.usage(|key| key.into(), NOW);
        let rows = usage.rows.iter().filter(|row| &*row.api_key == OTHER);
        rows.map(|row| (row.requests, row.tokens.total)).collect::<Vec<_>>()
    };
    assert_eq!(of_other(&house), [(10, 10)]);
    let unpriced = |house: &House| {
        let usage = lock(&house.books).ledger.usage(|key| key.into(), NOW);
        let other = usage.rows.iter().filter(|row| &*row.api_key == OTHER).map(|row| row.unpriced_tokens);
        let budgets = usage.periods.iter().filter(|period| &*period.api_key == OTHER);
        (other.sum::<u64>(), budgets.map(|period| period.month.tokens).sum::<u64>())
    };
    assert_eq!(unpriced(&house), (10, 0), "they may be old");
    house.next_process();
    assert_eq!(house.read(&many(0..all, 3)), Some(10));
    assert_eq!(house.sums().0, 3 * all as u64);
    assert_eq!(of_other(&house), [(30, 30)]);
    // The server restarts.
    assert_eq!(house.read(&many(0..all, 1)), Some(10));
    assert_eq!(of_other(&house), [(40, 40)]);
}

#[test]
fn lists_of_former_servers_make_room() {
    let mut house = House::new();
    assert_eq!(house.read(&many(0..LISTS, 1)), Some(0));
    // Another server, of which half fit at first.
    assert_eq!(house.read(&many(LISTS / 2..LISTS + LISTS / 2, 2)), Some(LISTS / 2));
    assert_eq!(house.read(&many(LISTS / 2..LISTS + LISTS / 2, 2)), Some(0));
    house.next_process();
    assert_eq!(house.read(&many(LISTS / 2..LISTS + LISTS / 2, 2)), Some(0));
    assert_eq!(lock(&house.books).lists.len(), LISTS);
    let usage = lock(&house.books).ledger.usage(|key| key.into(), NOW);
    assert_eq!(usage.rows.iter().filter(|row| &*row.api_key == OTHER).count(), 0);
}

#[test]
fn implausible_totals_are_not_believed() {
    let mut house = House::new();
    let text = |requests: u64, tokens: u64| {
        format!(
            r#"{{"usage":{{"apis":{{"{ASKED}":{{"models":{{"m":{{"total_requests":{requests},"total_tokens":{tokens},"details":[]}}}}}}}}}}}}"#
        )
    };
    house.read(&text(9_000_000_000_000_000_000, 9_000_000_000_000_000_000));
    assert_eq!(house.sums(), (0, 0));
    // As many as a server can have had, at once.
    house.read(&text(9_000_000_000, 5_000));
    assert_eq!(house.sums(), (9_000_000_000, 5_000));
}

#[test]
fn a_detail_that_is_too_large_costs_only_itself() {
    for place in [0, 1, 2] {
        let mut house = House::new();
        house.attempts(3);
        let mut details: Vec<_> = house.text().match_indices("{\"timestamp\"").map(|(at, _)| at).collect();
        let at = details.remove(place);
        let long = format!(r#"{{"source":"{}"}},"#, "x".repeat(2 * DETAIL));
        for _ in 0..2 {
            let mut text = house.text();
            text.insert_str(at, &long);
            assert_eq!(house.read(&text), Some(0));
            let usage = lock(&house.books).ledger.usage(|key| key.into(), NOW);
            assert_eq!((usage.records, house.sums().0), (0, 3), "{place}");
        }
    }
}

#[test]
fn a_list_that_is_none_costs_only_itself() {
    for (odd, expected) in [
        (r#""x":5"#, "apis.api: a number where an object was expected"),
        (r#""x":{"models":"none"}"#, "api.models: a string where an object was expected"),
        (r#""x":{"models":{"m":[{}]}}"#, "models.model: a list where an object was expected"),
        (
            r#""x":{"models":{"m":{"details":{"0":[]},"total_requests":1}}}"#,
            "model.details: an object where a list was expected",
        ),
    ] {
        let mut house = House::new();
        house.attempts(3);
        let text = house.text();
        for text in [
            text.replacen(r#""apis":{"#, &format!(r#""apis":{{{odd},"#), 1),
            text.replacen("]}}}},", &format!("]}}}}}},{odd}}},"), 1),
        ] {
            let fields = OddFields::default();
            let reader = Reader { names: house.names.clone(), known: Known::default(), now: NOW };
            assert!(read_now(&text, &house.books, &reader, &fields).unwrap(), "{odd}");
            let found: Vec<_> = fields.take().into_keys().map(|field| field.to_string()).collect();
            assert_eq!((found, house.sums()), (vec![expected.to_owned()], (3, 30)), "{odd}");
        }
    }
}

#[test]
fn other_values_are_no_snapshot() {
    let house = House::new();
    let reader = Reader { names: test_names(&[]), known: Known::default(), now: NOW };
    let read = |text: &str| read_now(text, &house.books, &reader, &OddFields::default());
    assert!(read(r#"{"usage":{"apis":{}}}"#).unwrap());
    assert!(read(r#"{"usage":null}"#).unwrap());
    assert!(read(r#"{"usage":{"apis":null}}"#).unwrap());
    assert!(!read(r#"{"success":true}"#).unwrap());
    for text in ["[]", r#"{"usage":[]}"#, r#"{"usage":{"apis":[]}}"#, "<html>"] {
        assert!(read(text).is_err(), "{text}");
    }
    let odd =
        r#"{"usage":{"apis":{"k":{"models":{"m":{"details":[5, {"timestamp": 7, "tokens": "no"}, {}]}}}}}}"#;
    assert!(read(odd).unwrap());
    let usage = lock(&house.books).ledger.usage(|key| key.into(), NOW);
    assert_eq!((usage.records, usage.rows[0].requests), (0, 2));
}

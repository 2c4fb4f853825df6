//! Everything that the server counted since its start, up to 6.9: a list of details for each client key and model.
//!
//! A list only grows, in the order in which attempts end, until the server restarts. So how many of its details were counted
//! says which are new, and its first detail says whether it is still the same list. What an operator imports after a restart
//! stands behind newer details; a part of a former list is recognised by that list's first detail and is not counted again.
//! Lists that the server cuts (6.6.96) are followed by their totals.

use std::{
    collections::HashMap,
    io::BufRead,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    attempt::Attempt,
    ledger::Ledger,
    names::{self, Names, UNKNOWN},
    record::{Details, Known},
    scan::Scanner,
};
use crate::{
    http::Body,
    model::{CounterChange, CounterRow, LlmTokens, Timestamp},
    upstream::json::OddFields,
};

pub(super) const FAMILY: &str = "llm_snapshot";

/// The largest detail, in bytes. They take about 250.
const DETAIL: usize = 64 * 1024;
/// Client keys and models whose lists are followed. Clients can make up models.
const LISTS: usize = 10_000;
/// Former lists whose parts are recognised.
const FORMER: usize = 3;
/// The server's clock is known to the second.
const SECOND: Duration = Duration::from_secs(1);
/// The label of the row that holds when the lists were last read. Those of lists are JSON.
const READ: &str = "";

/// What was counted of usage. A thread that decodes a snapshot shares it.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) ledger: Ledger,
    lists: HashMap<String, List>,
    /// When the server was last read, by its clock.
    read: Option<Timestamp>,
    /// That is not stored.
    read_changed: bool,
}

/// How far a list was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    /// Details counted, those that the server has cut off included.
    count: u64,
    /// Stands for the first detail.
    first: u64,
    /// The most details that the server keeps; 0: it cuts nothing off.
    most: u64,
    /// The total of tokens when all details were counted.
    tokens: u64,
    /// Details that are still to come of a part of a former list.
    again: u64,
    /// Former lists: how many details they had, and what stands for the first one.
    former: Vec<(u64, u64)>,
    /// It is not stored as it is.
    changed: bool,
}

impl List {
    /// The server has begun again.
    fn begins_again(&mut self) {
        if self.count > 0 && self.first != 0 {
            self.former.push((self.count, self.first));
            // The shortest one is forgotten: after some restarts in a row, those in between have hardly anything.
            if self.former.len() > FORMER
                && let Some(shortest) = (0..self.former.len()).min_by_key(|at| self.former.get(*at))
            {
                self.former.remove(shortest);
            }
        }
        (self.count, self.first, self.most, self.tokens, self.again) = (0, 0, 0, 0, 0);
    }

    /// Goes on to the next detail, and returns whether it is new. `started` is when its attempt did.
    fn next(
        &mut self,
        print: impl FnOnce() -> u64,
        started: Option<Timestamp>,
        read: Option<Timestamp>,
    ) -> bool {
        self.count += 1;
        self.changed = true;
        if self.again > 0 {
            // Whatever began after the last time that the server was read is not of a former list.
            let began_before =
                |(started, read): (Timestamp, Timestamp)| started < read.saturating_add(SECOND);
            let is_former = started.zip(read).is_none_or(began_before);
            self.again = if is_former { self.again - 1 } else { 0 };
            if is_former {
                return false;
            }
        }
        if self.former.is_empty() {
            return true;
        }
        let print = print();
        let former = self.former.iter().find(|(_, first)| *first == print);
        if let Some((count, _)) = former {
            self.again = count.saturating_sub(1);
        }
        former.is_none()
    }

    fn values(&self) -> Vec<u64> {
        let List { count, first, most, tokens, again, former, changed: _ } = self;
        let own = [*count, *first, *most, *tokens, *again];
        own.into_iter().chain(former.iter().flat_map(|(count, first)| [*count, *first])).collect()
    }

    /// Restores the output of [`List::values`].
    fn restored(values: &[u64]) -> Option<List> {
        let ([count, first, most, tokens, again], former) = values.split_first_chunk()?;
        let (former, _) = former.as_chunks::<2>();
        let former = former.iter().take(FORMER).map(|[count, first]| (*count, *first)).collect();
        let (count, first, most, tokens, again) = (*count, *first, *most, *tokens, *again);
        Some(List { count, first, most, tokens, again, former, changed: false })
    }
}

/// Books that a decoder shares.
pub(super) type Shared = Arc<Mutex<Books>>;

pub(super) fn lock(books: &Shared) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What decoding needs, beside the books.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) names: Names,
    pub(super) known: Known,
    /// The most details that the server keeps of a list; absent: as many as there are.
    pub(super) most: Option<u64>,
    pub(super) now: Timestamp,
}

/// The most details of a list that a version keeps.
pub(super) fn most(version: &str) -> Option<u64> {
    (version == "6.6.96").then_some(1000)
}

impl Books {
    pub(super) fn new(ledger: Ledger) -> Self {
        Books { ledger, lists: HashMap::new(), read: None, read_changed: false }
    }

    /// Restores what an earlier process stored.
    pub(super) fn restore(&mut self, rows: &[CounterRow]) {
        for CounterRow { labels, values } in rows {
            if labels == READ {
                let millis = values.first().and_then(|millis| i64::try_from(*millis).ok());
                self.read = millis.map(Timestamp::from_millis);
            } else if let Some(list) = List::restored(values) {
                self.lists.insert(labels.clone(), list);
            }
        }
    }

    /// A whole snapshot was read, at `at` by the server's clock.
    pub(super) fn was_read(&mut self, at: Timestamp) {
        (self.read, self.read_changed) = (Some(at), true);
    }

    /// What has changed since the last call, in stored form: sums and how far lists were counted, which belong together.
    pub(super) fn changes(&mut self) -> Vec<CounterChange> {
        let mut changes = self.ledger.changes();
        let changed = self.lists.iter_mut().filter(|(_, list)| list.changed);
        let mut rows: Vec<_> = changed
            .map(|(labels, list)| {
                list.changed = false;
                CounterRow { labels: labels.clone(), values: list.values() }
            })
            .collect();
        if std::mem::take(&mut self.read_changed)
            && let Some(millis) = self.read.and_then(|read| u64::try_from(read.as_millis()).ok())
        {
            rows.push(CounterRow { labels: READ.to_owned(), values: vec![millis] });
        }
        if !rows.is_empty() {
            changes.push(CounterChange { family: FAMILY.to_owned(), rows, gone: Vec::new() });
        }
        changes
    }

    fn set(&mut self, labels: &str, list: &List) {
        match self.lists.get_mut(labels) {
            Some(known) => known.clone_from(list),
            None => drop(self.lists.insert(labels.to_owned(), list.clone())),
        }
    }
}

/// Counts what is new in a snapshot. If it is cut off, what came of it is counted, and the next one goes on there. Returns
/// whether it is one at all.
pub(super) fn read(body: Body, books: &Shared, reader: &Reader, odd: &OddFields) -> serde_json::Result<bool> {
    let mut scanner = Scanner::new(body.buffered().map_err(serde_json::Error::io)?, DETAIL);
    read_from(&mut scanner, books, reader, odd)
}

fn read_from(
    scanner: &mut Scanner<impl BufRead>,
    books: &Shared,
    reader: &Reader,
    odd: &OddFields,
) -> serde_json::Result<bool> {
    let mut found = false;
    let mut details = Details::new(&reader.names, &reader.known);
    scanner.object(|scanner, key| {
        if key != "usage" {
            return scanner.skip();
        }
        found = true;
        scanner.object(|scanner, key| {
            if key != "apis" {
                return scanner.skip();
            }
            scanner.object(|scanner, api| {
                let api = Api::new(api, &reader.names);
                scanner.object(|scanner, key| {
                    if key != "models" {
                        return scanner.skip();
                    }
                    scanner.object(|scanner, model| {
                        Model::new(&api, model, reader).read(scanner, books, &mut details, odd)
                    })
                })
            })
        })
    })?;
    scanner.end()?;
    Ok(found)
}

/// Under what the server counts: a client key, or for requests without one, a route or a provider.
struct Api {
    /// The hash of the key; empty: there is none.
    key: Arc<str>,
    /// What tells it from others.
    label: Arc<str>,
}

impl Api {
    fn new(api: &str, names: &Names) -> Self {
        const METHODS: [&str; 5] = ["GET /", "POST /", "PUT /", "PATCH /", "DELETE /"];
        const PROVIDERS: [&str; 17] = [
            UNKNOWN,
            "aistudio",
            "antigravity",
            "claude",
            "codex",
            "gemini",
            "gemini-cli",
            "gemini-web",
            "iflow",
            "kimi",
            "openai",
            "openai-compatibility",
            "openrouter",
            "qwen",
            "vertex",
            "xai",
            "",
        ];
        let is_route = METHODS.iter().any(|method| api.starts_with(method));
        // Anything else is a secret.
        if is_route || PROVIDERS.contains(&api) {
            Api { key: Arc::default(), label: names::model(api) }
        } else {
            let hash = names.hash(api);
            Api { key: Arc::clone(&hash), label: hash }
        }
    }
}

/// One list while it is read.
struct Model<'r> {
    reader: &'r Reader,
    /// What its list is stored under.
    labels: String,
    attempt: Attempt,
    /// By the server's own count.
    requests: Option<u64>,
    tokens: Option<u64>,
}

impl<'r> Model<'r> {
    fn new(api: &Api, model: &str, reader: &'r Reader) -> Self {
        let shown = names::model(model);
        // A name that is cut could be another one.
        let whole =
            if *shown == *model || model.is_empty() { Arc::clone(&shown) } else { reader.names.hash(model) };
        let labels = serde_json::to_string(&[&*api.label, &*whole]).unwrap_or_default();
        let attempt = Attempt { api_key: Arc::clone(&api.key), model: shown, ..Attempt::default() };
        Model { reader, labels, attempt, requests: None, tokens: None }
    }

    fn read(
        &mut self,
        scanner: &mut Scanner<impl BufRead>,
        books: &Shared,
        details: &mut Details<'_>,
        odd: &OddFields,
    ) -> serde_json::Result<()> {
        scanner.object(|scanner, key| match key {
            "total_requests" => scanner.count().map(|count| self.requests = count),
            "total_tokens" => scanner.count().map(|count| self.tokens = count),
            "details" => self.read_details(scanner, books, details, odd),
            _ => scanner.skip(),
        })
    }

    fn read_details(
        &mut self,
        scanner: &mut Scanner<impl BufRead>,
        books: &Shared,
        details: &mut Details<'_>,
        odd: &OddFields,
    ) -> serde_json::Result<()> {
        let Some((mut list, read)) = self.begin(books) else { return scanner.skip() };
        let before = list.clone();
        if list.most > 0 && self.requests.is_some_and(|requests| requests < list.count) {
            list.begins_again();
        }
        list.most = self.reader.most.unwrap_or(list.most);
        // Of a list that the server cuts, its own count says which details are left.
        let cut_off = match (list.most, self.requests) {
            (0, _) | (_, None) => 0,
            (most, Some(requests)) => requests.saturating_sub(most),
        };
        let missed = cut_off.saturating_sub(list.count);
        list.count = list.count.max(cut_off);
        let (mut place, mut tokens) = (cut_off, 0);
        let mut detail = Vec::with_capacity(512);
        scanner.list(|scanner| {
            let is_first = place == 0;
            place += 1;
            if !is_first && place <= list.count {
                return scanner.skip();
            }
            detail.clear();
            scanner.take(&mut detail)?;
            let print = || self.reader.names.print(&String::from_utf8_lossy(&detail));
            if is_first {
                let first = print();
                if list.first != first {
                    list.begins_again();
                    list.first = first;
                    list.most = self.reader.most.unwrap_or(0);
                }
            }
            if place <= list.count {
                return Ok(());
            }
            let is_readable = details.read(&detail, &mut self.attempt, odd);
            let is_new = list.next(print, self.attempt.started.filter(|_| is_readable), read);
            let mut books = lock(books);
            match (is_new, is_readable) {
                (true, true) => {
                    tokens += self.attempt.tokens.total;
                    books.ledger.add(&self.attempt, self.reader.now);
                }
                (true, false) => books.ledger.add_unreadable(),
                (false, _) => {}
            }
            books.set(&self.labels, &list);
            Ok(())
        })?;
        // The list has ended, and so has what was imported into it. One that is shorter than before comes from an import
        // after a restart, before anything else: all of it was counted.
        list.again = 0;
        list.count = place;
        if let Some(requests) = self.requests.filter(|requests| *requests > place && list.most == 0) {
            list.most = place;
            list.count = requests;
        }
        let mut books = lock(books);
        if missed > 0 {
            self.add_missed(missed, tokens, &list, &mut books.ledger);
        }
        list.tokens = self.tokens.unwrap_or(list.tokens);
        list.changed = before.changed || before != list;
        books.set(&self.labels, &list);
        Ok(())
    }

    /// Counts attempts whose details the server cut off before they were read. What they used is what the server's total
    /// has beyond `tokens`, those of the details that were read.
    fn add_missed(&self, missed: u64, tokens: u64, list: &List, ledger: &mut Ledger) {
        let total = self.tokens.map_or(0, |total| total.saturating_sub(list.tokens.saturating_add(tokens)));
        let nameless = Attempt {
            api_key: Arc::clone(&self.attempt.api_key),
            provider: UNKNOWN.into(),
            model: Arc::clone(&self.attempt.model),
            ..Attempt::default()
        };
        for at in 0..missed.min(MISSED) {
            let tokens = LlmTokens { total: if at == 0 { total } else { 0 }, ..LlmTokens::default() };
            ledger.add(&Attempt { tokens, ..nameless.clone() }, self.reader.now);
        }
    }

    /// How far the list was counted, and when; absent: there are too many.
    fn begin(&self, books: &Shared) -> Option<(List, Option<Timestamp>)> {
        let books = lock(books);
        let list = match books.lists.get(&self.labels) {
            Some(list) => list.clone(),
            None if books.lists.len() < LISTS => List::default(),
            None => return None,
        };
        Some((list, books.read))
    }
}

/// The most attempts that are counted without their details at once.
const MISSED: u64 = 1_000_000;

#[cfg(test)]
mod tests;

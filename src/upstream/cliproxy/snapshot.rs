//! Everything that the server counted since its start, up to 6.9: a list of details for each client key and model.
//!
//! A list only grows, in the order in which attempts end, until the server restarts. So how many of its details were counted
//! says which are new, and its first detail says whether it is still the same list. What an operator imports after a restart
//! stands behind newer details; a part of a former list is recognised by that list's first detail and is not counted again.
//! Of a list whose oldest details the server drops (6.6.96 keeps 1000), the last one that was counted says which are new.

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
/// Bytes of details that are held until it is clear whether they are of the same list.
const HELD: usize = 4 * 1024 * 1024;
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
    /// Details counted, those that the server has dropped included.
    count: u64,
    /// Stands for the first detail.
    first: u64,
    /// Stands for the last detail; 0: it is not known.
    last: u64,
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
        (self.count, self.first, self.last, self.tokens, self.again) = (0, 0, 0, 0, 0);
    }

    /// Goes on to the next detail, and returns whether it is new. `started` is when its attempt did.
    fn next(
        &mut self,
        print: impl FnOnce() -> u64,
        started: Option<Timestamp>,
        read: Option<Timestamp>,
    ) -> bool {
        self.count += 1;
        self.last = 0;
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
        let List { count, first, last, tokens, again, former, changed: _ } = self;
        let own = [*count, *first, *last, *tokens, *again];
        own.into_iter().chain(former.iter().flat_map(|(count, first)| [*count, *first])).collect()
    }

    /// Restores the output of [`List::values`].
    fn restored(values: &[u64]) -> Option<List> {
        let ([count, first, last, tokens, again], former) = values.split_first_chunk()?;
        let (former, _) = former.as_chunks::<2>();
        let former = former.iter().take(FORMER).map(|[count, first]| (*count, *first)).collect();
        let (count, first, last, tokens, again) = (*count, *first, *last, *tokens, *again);
        Some(List { count, first, last, tokens, again, former, changed: false })
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
    pub(super) now: Timestamp,
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

/// Where a list is, and what the server says of it beside its details.
struct Model<'r> {
    reader: &'r Reader,
    /// What its list is stored under.
    labels: String,
    attempt: Attempt,
    requests: Option<u64>,
    tokens: Option<u64>,
}

impl<'r> Model<'r> {
    fn new(api: &Api, model: &str, reader: &'r Reader) -> Self {
        let shown = names::model(model);
        // A name that is cut could be another one.
        let is_whole = *shown == *model || model.is_empty();
        let whole = if is_whole { Arc::clone(&shown) } else { reader.names.hash(model) };
        let labels = serde_json::to_string(&[&*api.label, &*whole]).unwrap_or_default();
        let attempt = Attempt { api_key: Arc::clone(&api.key), model: shown, ..Attempt::default() };
        Model { reader, labels, attempt, requests: None, tokens: None }
    }

    fn read(
        &mut self,
        scanner: &mut Scanner<impl BufRead>,
        books: &Shared,
        details: &mut Details<'r>,
        odd: &OddFields,
    ) -> serde_json::Result<()> {
        scanner.object(|scanner, key| match key {
            "total_requests" => scanner.count().map(|count| self.requests = count),
            "total_tokens" => scanner.count().map(|count| self.tokens = count),
            "details" => match Pass::begin(self, books, details, odd) {
                Some(pass) => pass.read(scanner),
                None => scanner.skip(),
            },
            _ => scanner.skip(),
        })
    }
}

/// One list while its details are read.
struct Pass<'p, 'n> {
    model: &'p mut Model<'n>,
    books: &'p Shared,
    details: &'p mut Details<'n>,
    odd: &'p OddFields,
    list: List,
    /// As it was before.
    before: List,
    /// When the server was last read.
    read: Option<Timestamp>,
    /// Details at the front of the list that are counted already.
    known: u64,
    /// Details of which it is not clear yet whether they are of the same list.
    held: Option<Vec<Vec<u8>>>,
    held_bytes: usize,
    /// Tokens of the details that were counted.
    tokens: u64,
    /// Held while details are counted.
    open: Option<MutexGuard<'p, Books>>,
}

impl<'p, 'n> Pass<'p, 'n> {
    /// Absent: there are too many lists.
    fn begin(
        model: &'p mut Model<'n>,
        books: &'p Shared,
        details: &'p mut Details<'n>,
        odd: &'p OddFields,
    ) -> Option<Self> {
        let (list, read) = {
            let books = lock(books);
            let list = match books.lists.get(&model.labels) {
                Some(list) => list.clone(),
                None if books.lists.len() < LISTS => List::default(),
                None => return None,
            };
            (list, books.read)
        };
        let known = list.count;
        let before = list.clone();
        Some(Pass {
            model,
            books,
            details,
            odd,
            list,
            before,
            read,
            known,
            held: None,
            held_bytes: 0,
            tokens: 0,
            open: None,
        })
    }

    fn read(mut self, scanner: &mut Scanner<impl BufRead>) -> serde_json::Result<()> {
        let mut place = 0_u64;
        let mut detail = Vec::with_capacity(512);
        let outcome = scanner.list(|scanner| {
            place += 1;
            if place > 1 && place <= self.known {
                return scanner.skip();
            }
            detail.clear();
            scanner.take(&mut detail)?;
            if place == 1 {
                self.first(&detail);
            }
            if place > self.known {
                self.next(&detail);
            }
            Ok(())
        });
        match outcome {
            Ok(()) => self.end(place, &detail),
            // What was counted is counted.
            Err(_) => self.set(),
        }
        outcome
    }

    fn set(&mut self) {
        if let Some(mut books) = self.open.take() {
            books.set(&self.model.labels, &self.list);
        }
    }

    /// Looks at the first detail, which says whether this is the list that is known.
    fn first(&mut self, detail: &[u8]) {
        let first = self.print(detail);
        if self.list.first == first {
            return;
        }
        self.known = 0;
        // Either the server has begun again, or it has dropped the oldest details.
        let may_be_cut = self.model.requests.is_some_and(|requests| requests >= self.before.count);
        if may_be_cut && self.before.last != 0 {
            self.held = Some(Vec::new());
        } else {
            self.list.begins_again();
        }
        self.list.first = first;
    }

    fn next(&mut self, detail: &[u8]) {
        let Some(held) = &mut self.held else { return self.count(detail) };
        let print = self.model.reader.names.print(detail);
        if print == self.before.last {
            // It and those in front of it were counted. The list was cut.
            self.held = None;
            return;
        }
        held.push(detail.to_vec());
        self.held_bytes += detail.len();
        let is_former =
            print == self.before.first || self.before.former.iter().any(|(_, first)| *first == print);
        if is_former || self.held_bytes > HELD {
            self.is_another();
        }
    }

    /// The server has begun again: what was held is new.
    fn is_another(&mut self) {
        let first = self.list.first;
        self.list.first = self.before.first;
        self.list.begins_again();
        self.list.first = first;
        self.count_held();
    }

    fn count_held(&mut self) {
        for detail in self.held.take().unwrap_or_default() {
            self.count(&detail);
        }
    }

    fn count(&mut self, detail: &[u8]) {
        let Pass { model, books, details, odd, list, open, .. } = self;
        let Model { reader, attempt, .. } = &mut **model;
        let is_readable = details.read(detail, attempt, odd);
        let started = attempt.started.filter(|_| is_readable);
        let is_new = list.next(|| reader.names.print(detail), started, self.read);
        let books = open.get_or_insert_with(|| lock(books));
        match (is_new, is_readable) {
            (true, true) => {
                self.tokens = self.tokens.saturating_add(attempt.tokens.total);
                books.ledger.add(attempt, reader.now);
            }
            (true, false) => books.ledger.add_unreadable(),
            (false, _) => {}
        }
    }

    /// The list has `length` details, of which `last` is the last one that was read.
    fn end(mut self, length: u64, last: &[u8]) {
        let requests = self.model.requests.unwrap_or(length);
        if self.held.is_some() {
            // All details are new, whether the list was cut or the server has begun again.
            if requests > length { self.count_held() } else { self.is_another() }
        }
        let mut books = self.open.take().unwrap_or_else(|| lock(self.books));
        let has_new = self.list.count != self.before.count || self.list.first != self.before.first;
        if has_new && length > 0 {
            self.list.last = self.print(last);
        }
        if requests > length {
            let tokens = self.list.tokens.saturating_add(self.tokens);
            let missed = requests.saturating_sub(self.list.count);
            self.add_missed(missed, tokens, &mut books.ledger);
        }
        self.list.tokens = self.model.tokens.unwrap_or(self.list.tokens);
        // What was imported into the list ends with it. One that is shorter than before comes from an import after a
        // restart, before anything else: all of it was counted.
        self.list.again = 0;
        self.list.count = requests.max(length);
        self.list.changed = self.before.changed || self.before != self.list;
        books.set(&self.model.labels, &self.list);
    }

    /// Counts attempts whose details the server dropped before they were read. What they used is what the server's total
    /// has beyond `tokens`.
    fn add_missed(&self, missed: u64, tokens: u64, ledger: &mut Ledger) {
        let total = self.model.tokens.map_or(0, |total| total.saturating_sub(tokens));
        let nameless = Attempt {
            api_key: Arc::clone(&self.model.attempt.api_key),
            provider: UNKNOWN.into(),
            model: Arc::clone(&self.model.attempt.model),
            ..Attempt::default()
        };
        for at in 0..missed.min(MISSED) {
            let tokens = LlmTokens { total: if at == 0 { total } else { 0 }, ..LlmTokens::default() };
            ledger.add(&Attempt { tokens, ..nameless.clone() }, self.model.reader.now);
        }
    }

    fn print(&self, detail: &[u8]) -> u64 {
        self.model.reader.names.print(detail)
    }
}

/// The most attempts that are counted without their details at once.
const MISSED: u64 = 1_000_000;

#[cfg(test)]
mod tests;

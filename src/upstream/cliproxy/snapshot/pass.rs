//! Reads one list and counts what is new in it.

use std::{
    borrow::Cow,
    sync::{Arc, MutexGuard},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::AsyncBufRead;

use super::{
    books::{Api, Books, Reader, Shared, lock, nameless},
    list::List,
};
use crate::{
    model::Timestamp,
    upstream::{
        cliproxy::{
            attempt::Attempt,
            names::{self, Names},
            record::Details,
        },
        json::{OddFields, Scanner},
    },
};

/// Bytes of details that are held until it is clear whether they are of the same list.
const HELD: usize = 4 * 1024 * 1024;
/// Attempts that are entered in the books together.
const AT_ONCE: usize = 64;
/// More attempts, or tokens, than a server can have counted.
const REQUESTS: u64 = 10_000_000_000;
const TOKENS: u64 = 1_000_000_000_000_000;

/// Where a list is, and what the server says of it beside its details.
pub(super) struct Model<'r> {
    reader: &'r Reader,
    /// What its list is stored under.
    labels: String,
    attempt: Attempt,
    requests: Option<u64>,
    tokens: Option<u64>,
}

impl<'r> Model<'r> {
    pub(super) fn new(api: &Api, model: &str, reader: &'r Reader) -> Self {
        let shown = names::model(model);
        // A name that is cut could be another one.
        let is_whole = *shown == *model || model.is_empty();
        let whole = if is_whole { Arc::clone(&shown) } else { reader.names.hash(model) };
        let labels = serde_json::to_string(&[&*api.label, &*whole]).unwrap_or_default();
        let attempt = Attempt { api_key: Arc::clone(&api.key), model: shown, ..Attempt::default() };
        Model { reader, labels, attempt, requests: None, tokens: None }
    }

    pub(super) async fn read(
        &mut self,
        scanner: &mut Scanner<impl AsyncBufRead + Unpin>,
        books: &Shared,
        details: &mut Details<'r>,
        odd: &OddFields,
    ) -> serde_json::Result<()> {
        if scanner.skips_other(b'{', ("models", "model"), odd).await? {
            return Ok(());
        }
        let (mut is_followed, mut length) = (true, 0);
        let mut fields = scanner.object().await?;
        while let Some(key) = scanner.field(&mut fields).await? {
            match key.as_str() {
                "total_requests" => {
                    self.requests = scanner.count().await?.filter(|count| *count < REQUESTS);
                }
                "total_tokens" => self.tokens = scanner.count().await?.filter(|count| *count < TOKENS),
                "details" if scanner.skips_other(b'[', ("model", "details"), odd).await? => {}
                "details" => match Pass::begin(self, books, details, odd) {
                    Some(pass) => pass.read(scanner).await?,
                    None => {
                        is_followed = false;
                        let mut list = scanner.list().await?;
                        while scanner.element(&mut list).await? {
                            length += 1;
                            scanner.skip().await?;
                        }
                    }
                },
                _ => scanner.skip().await?,
            }
        }
        if !is_followed {
            lock(books).passes_over(self.requests.unwrap_or(length), self.tokens.unwrap_or(0));
        }
        Ok(())
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
    /// The list is not the one that is known, although it begins like it.
    differs: bool,
    /// Details of which it is not clear yet whether they are of the same list.
    held: Option<Vec<Vec<u8>>>,
    held_bytes: usize,
    /// Tokens of details that were counted and are not in the list's yet.
    tokens: u64,
    /// Details that were counted and are not in the books yet.
    counted: Counted,
}

#[derive(Default)]
struct Counted {
    /// Those that have been counted, and one more. They are used again.
    attempts: Vec<Attempt>,
    readable: usize,
    unreadable: usize,
}

impl Counted {
    /// The attempt to read the next detail into. All are `alike` but for what is read of them.
    fn next(&mut self, alike: &Attempt) -> &mut Attempt {
        if self.attempts.len() <= self.readable {
            self.attempts.push(alike.clone());
        }
        &mut self.attempts[self.readable]
    }
}

impl<'p, 'n> Pass<'p, 'n> {
    /// Absent: there are too many lists.
    fn begin(
        model: &'p mut Model<'n>,
        books: &'p Shared,
        details: &'p mut Details<'n>,
        odd: &'p OddFields,
    ) -> Option<Self> {
        let (list, read) = lock(books).list(&model.labels)?;
        Some(Pass {
            model,
            books,
            details,
            odd,
            read,
            known: list.count,
            before: list.clone(),
            list,
            differs: false,
            held: None,
            held_bytes: 0,
            tokens: 0,
            counted: Counted::default(),
        })
    }

    async fn read(mut self, scanner: &mut Scanner<impl AsyncBufRead + Unpin>) -> serde_json::Result<()> {
        let mut detail = Vec::with_capacity(512);
        let length = self.read_details(scanner, &mut detail).await?;
        self.end(length, &detail);
        Ok(())
    }

    /// Reads the details, and returns how many there are. The last one is left in `detail`.
    async fn read_details(
        &mut self,
        scanner: &mut Scanner<impl AsyncBufRead + Unpin>,
        detail: &mut Vec<u8>,
    ) -> serde_json::Result<u64> {
        let mut place = 0_u64;
        let mut list = scanner.list().await?;
        while scanner.element(&mut list).await? {
            place += 1;
            if place > 1 && (place < self.known || self.differs) {
                if !scanner.decode(Details::length).await? {
                    scanner.skip().await?;
                }
                continue;
            }
            detail.clear();
            if place > self.known.max(1) && self.held.is_none() {
                let attempt = self.counted.next(&self.model.attempt);
                let is_read = scanner.decode(|text| {
                    let length = self.details.read_first(text, attempt)?;
                    detail.extend_from_slice(text.get(..length)?);
                    Some(length)
                });
                if is_read.await? {
                    self.count_read(detail, true);
                    continue;
                }
            }
            // One that is too large is cut, and so it cannot be read.
            scanner.take(detail).await?;
            if place == 1 {
                self.first(detail);
            }
            if place > self.known {
                self.next(detail);
            } else if place == self.known && self.before.last != 0 {
                self.differs = self.print(detail) != self.before.last;
            }
        }
        Ok(place)
    }

    /// Enters in the books what was counted, and how far the list was. They are not locked while details arrive.
    fn enter(&mut self) -> MutexGuard<'p, Books> {
        let Counted { attempts, readable, unreadable } = &mut self.counted;
        let mut books = lock(self.books);
        books.add(&attempts[..std::mem::take(readable)], self.model.reader);
        *unreadable = 0;
        self.list.tokens = self.list.tokens.saturating_add(std::mem::take(&mut self.tokens));
        books.set(&self.model.labels, &self.list);
        books
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
        if self.held.is_none() {
            return self.count(detail);
        }
        let print = self.print(detail);
        if print == self.before.last {
            // It and those in front of it were counted. The list was cut.
            self.held = None;
            return;
        }
        self.held.get_or_insert_default().push(detail.to_vec());
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
        let attempt = self.counted.next(&self.model.attempt);
        let is_readable = self.details.read(detail, attempt, self.odd);
        self.count_read(detail, is_readable);
    }

    /// Counts a detail that was read into the next attempt if it is readable.
    fn count_read(&mut self, detail: &[u8], is_readable: bool) {
        let Model { reader, attempt, .. } = &*self.model;
        let Attempt { started, tokens, .. } = self.counted.next(attempt);
        let started = started.filter(|_| is_readable);
        if !self.list.next(|| print(detail, &reader.names), started, self.read) {
            return;
        }
        if is_readable {
            self.tokens = self.tokens.saturating_add(tokens.total);
            self.counted.readable += 1;
        } else {
            self.counted.unreadable += 1;
        }
        if self.counted.readable >= AT_ONCE {
            drop(self.enter());
        }
    }

    /// The list has `length` details, of which `last` is the last one that was read.
    fn end(mut self, length: u64, last: &[u8]) {
        let requests = self.model.requests.unwrap_or(0).max(length);
        let is_shorter = self.known > 0 && requests < self.known;
        if self.differs || is_shorter {
            return self.starts_over();
        }
        if self.held.is_some() {
            // All details are new, whether the list was cut or the server has begun again.
            if requests > length { self.count_held() } else { self.is_another() }
        }
        let mut books = self.enter();
        let has_new = self.list.count != self.before.count || self.list.first != self.before.first;
        if has_new && length > 0 {
            self.list.last = self.print(last);
        }
        // Of those that were counted before, none was missed.
        let is_former = self.before.again > 0 || self.before.former_read.is_some();
        let missed = requests.saturating_sub(self.list.count);
        if requests > length && missed > 0 && !is_former {
            let tokens = self.model.tokens.map_or(0, |total| total.saturating_sub(self.list.tokens));
            let Attempt { api_key, model, .. } = &self.model.attempt;
            books.ledger.add_some(&nameless(api_key, model, tokens), missed, self.model.reader.now);
        }
        self.list.tokens = self.model.tokens.unwrap_or(self.list.tokens);
        // What was imported into the list ends with it.
        (self.list.again, self.list.former_read) = (0, None);
        self.list.count = requests;
        self.list.changed = self.before.changed || self.before != self.list;
        books.set(&self.model.labels, &self.list);
    }

    /// The server has begun again, and the list begins with a part of the former one that was imported before anything
    /// else. Where that part ends is found with the next snapshot, which is read from the list's beginning.
    fn starts_over(mut self) {
        self.list.begins_again();
        (self.list.former_read, self.list.changed) = (self.read, true);
        lock(self.books).set(&self.model.labels, &self.list);
    }

    fn print(&self, detail: &[u8]) -> u64 {
        print(detail, &self.model.reader.names)
    }
}

/// What was counted is counted, also if the answer is cut off or given up.
impl Drop for Pass<'_, '_> {
    fn drop(&mut self) {
        if self.counted.readable + self.counted.unreadable > 0 {
            drop(self.enter());
        }
    }
}

/// By what the server knows a detail of one list when it is imported. Later versions write those of earlier ones with more
/// fields.
#[derive(Deserialize)]
struct Identity<'a> {
    timestamp: &'a str,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    auth_index: Option<&'a RawValue>,
    #[serde(default)]
    failed: bool,
    #[serde(default)]
    tokens: Tokens,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    input_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    cached_tokens: i64,
    total_tokens: i64,
}

/// Stands for a detail.
pub(super) fn print(detail: &[u8], names: &Names) -> u64 {
    let identity = serde_json::from_slice::<Identity<'_>>(detail).ok();
    let identity =
        identity.and_then(|identity| Some((identity.timestamp.parse::<jiff::Timestamp>().ok()?, identity)));
    let Some((timestamp, Identity { timestamp: _, source, auth_index, failed, tokens })) = identity else {
        return names.print(detail);
    };
    let Tokens { input_tokens, output_tokens, reasoning_tokens, cached_tokens, total_tokens } = tokens;
    let tokens = [input_tokens, output_tokens, reasoning_tokens, cached_tokens, total_tokens];
    let index = auth_index.map_or("\"\"", RawValue::get);
    let nanos = timestamp.as_nanosecond();
    names.print(format!("{nanos}|{index}|{failed}|{tokens:?}|{source}").as_bytes())
}

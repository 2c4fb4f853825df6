//! What was counted of lists, and what is stored of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::list::List;
use crate::{
    model::{CounterChange, CounterRow, LlmTokens, OTHER, Timestamp},
    upstream::cliproxy::{
        attempt::{Attempt, Billed, Outcome},
        ledger::Ledger,
        names::{self, Names, UNKNOWN},
        record::Known,
        stored::{millis, of_millis, padded},
    },
};

pub(in crate::upstream::cliproxy) const FAMILY: &str = "llm_snapshot";

/// Client keys and models whose lists are followed: all pairs of the usual caps. Clients can make up models.
pub(super) const LISTS: usize = 20_000;
/// The label of the row that holds when the lists were last read. Those of lists are JSON.
const READ: &str = "";

/// What was counted of usage.
#[derive(Debug)]
pub(in crate::upstream::cliproxy) struct Books {
    pub(in crate::upstream::cliproxy) ledger: Ledger,
    pub(super) lists: HashMap<String, List>,
    /// The labels of lists that are stored and are followed no longer.
    pub(super) gone: Vec<String>,
    /// What lists have that are not followed, in the last whole snapshot and in the one that is being read.
    pub(super) passed_over: PassedOver,
    pub(super) passing_over: PassedOver,
    /// The number of the snapshot that is being read.
    pub(super) snapshot: u64,
    /// When the server was last read, by its clock.
    pub(super) read: Option<Timestamp>,
    /// Stands for the key of all hashes in what is stored.
    pub(super) key: u64,
    /// What is stored has hashes of another key. Until a whole snapshot was read, all lists are those that were counted.
    pub(super) rehashes: bool,
    /// One of these three is not stored.
    pub(super) read_changed: bool,
    /// Attempts of credentials and those that failed, which were not taken yet.
    pub(super) attempts: HashMap<Arc<str>, (u64, u64)>,
}

/// Lists that are not followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PassedOver {
    pub(super) lists: usize,
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

/// Books that the client and what decodes a snapshot share.
pub(in crate::upstream::cliproxy) type Shared = Arc<Mutex<Books>>;

pub(in crate::upstream::cliproxy) fn lock(books: &Shared) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What decoding needs, beside the books.
#[derive(Debug)]
pub(in crate::upstream::cliproxy) struct Reader {
    pub(in crate::upstream::cliproxy) names: Names,
    pub(in crate::upstream::cliproxy) known: Known,
    pub(in crate::upstream::cliproxy) now: Timestamp,
}

impl Books {
    pub(in crate::upstream::cliproxy) fn new(ledger: Ledger, names: &Names) -> Self {
        Books {
            ledger,
            lists: HashMap::new(),
            gone: Vec::new(),
            passed_over: PassedOver::default(),
            passing_over: PassedOver::default(),
            snapshot: 0,
            read: None,
            key: names.print(FAMILY.as_bytes()),
            rehashes: false,
            read_changed: false,
            attempts: HashMap::new(),
        }
    }

    /// Restores what an earlier process stored.
    pub(in crate::upstream::cliproxy) fn restore(&mut self, rows: &[CounterRow]) {
        let read = rows.iter().find(|row| row.labels == READ);
        let [millis, key, rehashes] = read.map_or([0, self.key, 0], |row| padded(&row.values));
        self.read = of_millis(millis);
        let is_other_key = key != self.key;
        self.rehashes = is_other_key || rehashes != 0;
        self.read_changed = is_other_key;
        for CounterRow { labels, values } in rows {
            match labels.as_str() {
                READ => {}
                _ if is_other_key => self.gone.push(labels.clone()),
                OTHER => {
                    let [requests, tokens] = padded(values);
                    self.passed_over = PassedOver { lists: 0, requests, tokens };
                }
                _ => {
                    if let Some(list) = List::restored(values) {
                        self.lists.insert(labels.clone(), list);
                    }
                }
            }
        }
    }

    /// A snapshot is about to be read.
    pub(super) fn begins(&mut self) {
        self.snapshot += 1;
        self.passing_over = PassedOver::default();
    }

    /// A whole snapshot was read, at `at` by the server's clock. Returns the number of lists that are not followed.
    pub(in crate::upstream::cliproxy) fn was_read(&mut self, at: Timestamp, now: Timestamp) -> usize {
        let passed_over = std::mem::take(&mut self.passing_over);
        let PassedOver { lists, requests, tokens } = passed_over;
        if requests < self.passed_over.requests || tokens < self.passed_over.tokens {
            // The server has begun again.
            self.passed_over = PassedOver::default();
        }
        let known = self.passed_over;
        // They are followed from the next snapshot on if those of former servers make room.
        if lists > 0 && (known.requests > 0 || !self.forget_former()) {
            let (more, tokens) = (requests - known.requests, tokens - known.tokens);
            if !self.rehashes && more > 0 {
                let other = Arc::<str>::from(OTHER);
                self.ledger.add_some(&nameless(&other, &other, tokens), more, now);
            }
            self.passed_over = passed_over;
        }
        (self.read, self.rehashes, self.read_changed) = (Some(at), false, true);
        lists
    }

    /// Forgets the lists that the snapshot does not have, and returns whether there were any.
    pub(super) fn forget_former(&mut self) -> bool {
        let Books { lists, gone, snapshot, .. } = self;
        let before = lists.len();
        lists.retain(|labels, list| {
            let stays = list.seen == *snapshot;
            if !stays {
                gone.push(labels.clone());
            }
            stays
        });
        lists.len() < before
    }

    /// What has changed since the last call, in stored form: sums and how far lists were counted, which belong together.
    pub(in crate::upstream::cliproxy) fn changes(&mut self) -> Vec<CounterChange> {
        let mut changes = self.ledger.changes();
        let changed = self.lists.iter_mut().filter(|(_, list)| list.changed);
        let mut rows: Vec<_> = changed
            .map(|(labels, list)| {
                list.changed = false;
                CounterRow { labels: labels.clone(), values: list.values() }
            })
            .collect();
        if std::mem::take(&mut self.read_changed) {
            let PassedOver { lists: _, requests, tokens } = self.passed_over;
            let values = vec![self.read.map_or(0, millis), self.key, self.rehashes.into()];
            rows.push(CounterRow { labels: READ.to_owned(), values });
            rows.push(CounterRow { labels: OTHER.to_owned(), values: vec![requests, tokens] });
        }
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|labels| labels != OTHER && !self.lists.contains_key(labels));
        if !rows.is_empty() || !gone.is_empty() {
            changes.push(CounterChange { family: FAMILY.to_owned(), rows, gone });
        }
        changes
    }

    /// Attempts of credentials and those that failed, since the last call.
    pub(in crate::upstream::cliproxy) fn take_attempts(&mut self) -> HashMap<Arc<str>, (u64, u64)> {
        std::mem::take(&mut self.attempts)
    }

    pub(super) fn add(&mut self, attempts: &[Attempt], reader: &Reader) {
        self.ledger.add_all(attempts, reader.now);
        for Attempt { credential, outcome, .. } in attempts {
            let Some(label) = credential else { continue };
            let (attempts, failed) = match self.attempts.get_mut(label) {
                Some(counts) => counts,
                None if !reader.known.providers.contains_key(label) => continue,
                None => self.attempts.entry(Arc::clone(label)).or_default(),
            };
            *attempts += 1;
            *failed += u64::from(*outcome != Outcome::Succeeded);
        }
    }

    /// How far a list was counted, and when the server was last read; absent: there are too many lists.
    pub(super) fn list(&self, labels: &str) -> Option<(List, Option<Timestamp>)> {
        let mut list = match self.lists.get(labels) {
            Some(list) => list.clone(),
            None if self.lists.len() >= LISTS => return None,
            None if self.rehashes => List { again: u64::MAX, ..List::default() },
            None => List::default(),
        };
        list.seen = self.snapshot;
        Some((list, self.read))
    }

    pub(super) fn set(&mut self, labels: &str, list: &List) {
        match self.lists.get_mut(labels) {
            Some(known) => known.clone_from(list),
            None => drop(self.lists.insert(labels.to_owned(), list.clone())),
        }
    }

    /// A list is not followed.
    pub(super) fn passes_over(&mut self, requests: u64, tokens: u64) {
        let PassedOver { lists, requests: all, tokens: all_tokens } = &mut self.passing_over;
        *lists += 1;
        *all = all.saturating_add(requests);
        *all_tokens = all_tokens.saturating_add(tokens);
    }
}

/// Under what the server counts: a client key, or for requests without one, a route or a provider.
pub(super) struct Api {
    /// The hash of the key; empty: there is none.
    pub(super) key: Arc<str>,
    /// What tells it from others.
    pub(super) label: Arc<str>,
}

impl Api {
    pub(super) fn new(api: &str, names: &Names) -> Self {
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

/// Attempts of which only the number and all tokens are known. They may be old: they are in no budget, and not recent.
pub(super) fn nameless(api_key: &Arc<str>, model: &Arc<str>, tokens: u64) -> Attempt {
    Attempt {
        api_key: Arc::clone(api_key),
        provider: UNKNOWN.into(),
        model: Arc::clone(model),
        started: Some(Timestamp::default()),
        tokens: LlmTokens { total: tokens, ..LlmTokens::default() },
        billed: Billed { unclassified: tokens, ..Billed::default() },
        ..Attempt::default()
    }
}

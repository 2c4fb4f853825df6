//! CLIProxyAPI: one door to many LLM accounts. Every version from 6.0 to 8.0.
//!
//! Up to 6.9, a server has totals of everything since its start, see `snapshot`. From 6.10.8 on, it has a queue that hands out
//! each record once and keeps it for a minute, see `queue`; records are taken only if the configuration says so. Both are lists
//! of attempts, which the `ledger` sums up. A server counts refused requests and bans an address after five, see `session`.

mod asking;
mod attempt;
mod bypass;
pub mod config;
mod credentials;
mod ledger;
mod limits;
mod names;
pub mod prices;
mod queue;
mod record;
mod routes;
mod session;
mod signals;
mod snapshot;
mod stored;
mod totals;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex},
};

use tokio::sync::OwnedMutexGuard;

use self::{
    bypass::{Count, Watch},
    config::{CliproxyConfig, UsageSetting},
    credentials::{Files, Listed},
    ledger::Ledger,
    limits::Limits,
    names::{Names, UNKNOWN},
    queue::Queue,
    record::{Element, KeyAt, Known, Record, element},
    routes::{NotFound, Route, Routes, Signs, USAGE, generation, not_found, other_system},
    session::Session,
    snapshot::{Books, Reader, Shared, lock},
    totals::Totals,
};
use crate::{
    clock::Beat,
    http::{self, BuildError, Client, Limits as HttpLimits},
    model::{
        CounterChange, CounterFamilies, Credential, Fact, Identity, LlmMode, LlmState, LlmUsage, Moment,
        Part, System, Timestamp,
    },
    secret::HashKey,
    upstream::{
        Cause, FetchError, Notes, Pace, Planned, RefusedKeys, Step, Timeouts,
        json::{self, OddFields},
    },
};

/// Limit of an answer other than the totals and the queue, in bytes. A thousand credentials take 2.5 MB.
const SMALL_BODY: usize = 16 * 1024 * 1024;
/// Limit of the totals. A million attempts take 250 MB, of which hardly anything is ever in memory.
const USAGE_BODY: usize = 2 * 1024 * 1024 * 1024 - 1;
/// Records of one batch, and how many there are after a batch that was too large.
const BATCH: usize = 1000;
const SMALL_BATCH: usize = 100;

const NO_QUEUE: &str = "the server has no queue of records over HTTP: versions up to 6.9 have totals instead (write usage = \
                        \"auto\"), and 6.10.0 to 6.10.7 have a queue by the Redis protocol alone, which is not spoken here";
const NO_TOTALS: &str = "the server has no totals of usage, as versions from 6.10 on: write usage = \"auto\", or usage = \"queue\" to take records";
const QUEUE_HINT: &str = "this server has no totals of usage, so only its credentials are read; usage = \"queue\" would take records of each \
     attempt from its queue (client keys, models, tokens, cost, times), if nothing else takes them";

/// A client for one server.
pub struct Cliproxy {
    http: Client,
    config: CliproxyConfig,
    small: HttpLimits,
    usage: HttpLimits,
    session: Session,
    /// The turn to send the key, if it was taken before the request was announced.
    turn: Option<OwnedMutexGuard<()>>,
    names: Names,
    routes: Routes,
    signs: Signs,
    version: Option<String>,
    /// The server's `usage-statistics-enabled`.
    enabled: Option<bool>,
    /// Whether the list of credentials was read.
    is_known: bool,
    /// Whether what earlier processes stored is known. Before that, nothing is counted, and no record taken.
    is_resumed: bool,
    books: Shared,
    queue: Queue,
    batch: usize,
    retention_read: Option<Moment>,
    totals: Totals,
    /// The server counts the attempts of its credentials.
    counts_credentials: bool,
    /// A restart of the server was seen without the counters of keys.
    restarted: bool,
    /// Gaps when the counters were last read.
    gaps: u64,
    watch: Watch,
    /// Records since the queue was last empty.
    taken: Count,
    known: Known,
    /// The keys that were listed last, and how many were left out.
    keys: (Vec<Listed>, usize),
    limits: Limits,
    hinted: bool,
    notes: Notes,
    odd: OddFields,
    beat: Beat,
}

/// Without anything that was read.
impl fmt::Debug for Cliproxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cliproxy { config, session, routes, signs, .. } = self;
        f.debug_struct("Cliproxy")
            .field("config", config)
            .field("session", session)
            .field("routes", routes)
            .field("signs", signs)
            .finish_non_exhaustive()
    }
}

impl Cliproxy {
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn new(
        config: &CliproxyConfig,
        key: HashKey,
        refused: &RefusedKeys,
        timeouts: Timeouts,
    ) -> Result<Self, BuildError> {
        let ledger = Ledger::new(config.caps, Arc::clone(&config.prices), config.zone.clone());
        let names = Names::new(config, key);
        Ok(Cliproxy {
            http: Client::new(&config.endpoint)?,
            config: config.clone(),
            small: HttpLimits { deadline: timeouts.request, body: SMALL_BODY },
            usage: HttpLimits { deadline: timeouts.page, body: USAGE_BODY },
            session: Session::new(config, refused),
            turn: None,
            books: Arc::new(Mutex::new(Books::new(ledger, &names))),
            names,
            routes: Routes::default(),
            signs: Signs::default(),
            version: None,
            enabled: None,
            is_known: false,
            is_resumed: false,
            queue: Queue::new(),
            batch: BATCH,
            retention_read: None,
            totals: Totals::new(),
            counts_credentials: false,
            restarted: false,
            gaps: 0,
            watch: Watch::default(),
            taken: Count::default(),
            known: Known::default(),
            keys: (Vec::new(), 0),
            limits: Limits::default(),
            hinted: false,
            notes: Notes::default(),
            odd: OddFields::default(),
            beat: Beat::default(),
        })
    }

    pub(super) fn plan(&self) -> Vec<Planned> {
        let mut plan = vec![Planned::deciding(Part::Credentials)];
        let pace = match self.config.usage {
            UsageSetting::Off => None,
            UsageSetting::Auto => (!self.routes.usage.is_absent()).then_some(Pace::Every(1)),
            UsageSetting::Snapshot => Some(Pace::Every(1)),
            UsageSetting::Queue if self.routes.queue == Route::Present => {
                Some(Pace::Within(self.queue.retention / 4))
            }
            UsageSetting::Queue => Some(Pace::Every(1)),
        };
        plan.extend(
            pace.filter(|_| self.is_known && self.is_resumed).map(|pace| Planned::new(Part::Usage, pace)),
        );
        plan
    }

    /// Restores what an earlier process stored. Returns what has become of it.
    pub(super) fn resume(&mut self, families: &CounterFamilies, now: Moment) -> Vec<CounterChange> {
        let of = |name: &str| {
            let family = families.iter().find(|(family, _)| family == name);
            family.map(|(_, rows)| rows.as_slice()).unwrap_or_default()
        };
        self.totals.restore(families);
        let cut_off = self.queue.restore(of(queue::FAMILY), now);
        let outdated = {
            let mut books = lock(&self.books);
            let outdated = books.ledger.resume(families);
            self.gaps = books.ledger.gaps();
            books.restore(of(snapshot::FAMILY));
            if cut_off {
                books.ledger.gap(now.wall);
            }
            outdated
        };
        self.is_resumed = true;
        outdated.into_iter().chain(self.changes()).collect()
    }

    /// Waits for the turn to send the key, if records are to be taken: nothing delays the request once it is announced.
    pub(super) async fn wait_for_turn(&mut self, part: Part, now: Moment) {
        if part == Part::Usage && self.takes_records() {
            self.beat.rest();
            self.turn = Some(self.session.turn(now).await);
        }
    }

    /// Announces that records are about to be taken.
    pub(super) fn announce(&mut self, part: Part, now: Moment) -> Vec<CounterChange> {
        if part == Part::Usage && self.takes_records() {
            self.queue.begins(now);
        }
        self.changes()
    }

    pub(super) fn unsaved(&mut self) -> Vec<CounterChange> {
        self.changes()
    }

    pub(super) async fn read(&mut self, part: Part, now: Moment) -> Result<Step, FetchError> {
        self.beat.rest();
        let turn = match self.turn.take() {
            Some(turn) => turn,
            None => self.session.turn(now).await,
        };
        let read = self.read_part(part, now).await;
        self.session.keep(now).await;
        drop(turn);
        read
    }

    async fn read_part(&mut self, part: Part, now: Moment) -> Result<Step, FetchError> {
        match part {
            Part::Credentials => self.read_credentials(now).await,
            Part::Usage => match self.config.usage {
                UsageSetting::Queue if self.takes_records() => self.take_records(now).await,
                UsageSetting::Queue if self.routes.queue.is_absent() => {
                    Err(FetchError::new(self.base().queue(), Cause::Missing(NO_QUEUE)))
                }
                UsageSetting::Queue => Err(FetchError::new(self.base().queue(), Cause::NotFound(404))),
                UsageSetting::Auto | UsageSetting::Snapshot => self.read_usage(now).await,
                UsageSetting::Off => Ok(Step::done(part, Vec::new())),
            },
            // No plan of this client has them.
            Part::System
            | Part::Core
            | Part::Nodes
            | Part::NodeStats
            | Part::Admins
            | Part::Inbounds
            | Part::Outbounds
            | Part::Users
            | Part::Online
            | Part::UserNodes
            | Part::Addresses => Ok(Step::done(part, Vec::new())),
        }
    }

    pub(super) fn set_beat(&mut self, beat: &Beat) {
        self.beat = beat.clone();
    }

    pub(super) fn set_costs(&mut self, newer: Cliproxy) {
        self.config = newer.config;
        lock(&self.books).ledger.set_costs(Arc::clone(&self.config.prices), self.config.zone.clone());
    }

    pub(super) fn take_notes(&mut self) -> Notes {
        Notes { odd_fields: self.odd.take(), ..std::mem::take(&mut self.notes) }
    }

    pub(super) fn set_timeouts(&mut self, timeouts: Timeouts) {
        (self.small.deadline, self.usage.deadline) = (timeouts.request, timeouts.page);
    }

    pub(super) fn certificate_expiry(&self) -> Option<Timestamp> {
        self.http.certificate_expiry()
    }

    fn takes_records(&self) -> bool {
        self.config.usage == UsageSetting::Queue && self.routes.queue == Route::Present && self.is_resumed
    }

    /// The flag, which has the version, and then all credentials.
    async fn read_credentials(&mut self, now: Moment) -> Result<Step, FetchError> {
        self.routes.look_again(now);
        self.read_flag(now).await?;
        self.find_queue(now).await?;
        // Records can be taken from here on, whatever else fails.
        self.is_known = true;
        // What fails beside the list of credentials costs only itself.
        let (found, retention) = (self.find_totals(now).await, self.read_retention(now).await);
        unless_all(found)?;
        unless_all(retention)?;
        let Files { mut listed, mut omitted, has_cooldowns, has_counts, .. } = self.read_files(now).await?;
        (self.signs.cooldowns, self.signs.counters) = (has_cooldowns, has_counts);
        let keys = self.read_keys(now).await.map(|keys| self.keys = keys);
        let has_keys = keys.is_ok();
        unless_all(keys)?;
        let (keys, left_out) = self.keys.clone();
        self.known.keys.clear();
        for Listed { credential, key, .. } in &keys {
            let Some(key) = key else { continue };
            let (provider, label) = (Arc::clone(&credential.provider), Arc::clone(&credential.label));
            self.known.keys.entry(Arc::clone(key)).or_default().push(KeyAt { provider, label });
        }
        listed.extend(keys);
        omitted += left_out;

        let providers = listed.iter().map(|listed| &listed.credential);
        let providers = providers.map(|known| (Arc::clone(&known.label), Arc::clone(&known.provider)));
        self.known.providers = providers.collect();
        let credentials = self.complete(listed, has_keys, now);
        let version = self.version.clone().unwrap_or_default();
        let generation = generation(&self.routes, self.signs).to_owned();
        let mut facts = vec![
            Fact::Identity(Identity { system: System::Cliproxy, version, generation }),
            Fact::Omitted(Part::Credentials, omitted),
            Fact::Credentials(credentials),
        ];
        facts.extend(self.state().map(Fact::LlmState));
        let shows_usage = match self.config.usage {
            // Gaps show also while no records come.
            UsageSetting::Queue => true,
            // A server that has lost its totals in an upgrade has what they were.
            UsageSetting::Auto => self.routes.usage.is_absent(),
            UsageSetting::Snapshot | UsageSetting::Off => false,
        };
        if shows_usage && self.is_resumed {
            facts.push(self.usage_fact(now));
        }
        Ok(Step { durable: self.changes(), ..Step::done(Part::Credentials, facts) })
    }

    /// Credentials with all that is known of them, under the labels that they are shown with. `has_keys`: the counters of
    /// keys are not those of an earlier answer.
    fn complete(&mut self, listed: Vec<Listed>, has_keys: bool, now: Moment) -> Vec<Credential> {
        self.limits.forget(now.wall);
        let labels: HashSet<_> = listed.iter().map(|listed| Arc::clone(&listed.credential.label)).collect();
        let mut grew = Count::default();
        let (mut fell, mut held) = (false, false);
        let (mut seen, mut entries, mut used) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut credentials = Vec::with_capacity(labels.len());
        self.counts_credentials = listed.iter().any(|listed| !listed.counters.is_empty());
        let reads_details = matches!(self.config.usage, UsageSetting::Auto | UsageSetting::Snapshot);
        for Listed { mut credential, key, counters, has_cooldowns } in listed {
            if !seen.insert(Arc::clone(&credential.label)) {
                continue;
            }
            if self.is_resumed && !counters.is_empty() {
                let read = self.totals.read(&credential.label, &counters);
                (credential.requests, credential.failed) = (Some(read.requests), Some(read.failed));
                grew.add(&credential.provider, read.grew);
                if has_keys || key.is_none() {
                    fell |= read.fell;
                    held |= read.held;
                }
            } else if reads_details && !self.counts_credentials {
                (credential.requests, credential.failed) = self.totals.of(&credential.label).unzip();
            }
            entries.extend(counters.into_iter().map(|counter| counter.entry));
            self.limits.complete(&mut credential, has_cooldowns, now.wall);
            let alias = self.names.credential(&credential.label);
            if let Some(alias) = alias.filter(|alias| !labels.contains(alias) && !used.contains(alias)) {
                credential.label = alias;
            }
            used.insert(Arc::clone(&credential.label));
            credentials.push(credential);
        }
        self.totals.limit(&labels, &entries);
        // The counter of a key or file that is put back begins again, and no other one. After a restart, keys may come later
        // than files.
        let restarted = fell && !held;
        let is_known = std::mem::take(&mut self.restarted);
        if restarted && !is_known {
            self.server_restarted(now);
        }
        self.restarted = (restarted || is_known) && !has_keys;
        self.gaps = lock(&self.books).ledger.gaps();
        match self.enabled {
            // Counters grow without records then.
            Some(false) => self.watch.begins_again(),
            _ => self.watch.grew(grew),
        }
        credentials
    }

    /// The queue was lost, and cooldowns too. It may be a gap that is counted already, because the server was away.
    fn server_restarted(&mut self, now: Moment) {
        self.limits.server_restarted();
        self.watch.begins_again();
        let ledger = &mut lock(&self.books).ledger;
        if self.takes_records() && ledger.gaps() == self.gaps {
            ledger.gap(now.wall);
            self.queue.was_emptied(now);
        }
    }

    /// How usage is read; absent: it is not known yet.
    fn state(&mut self) -> Option<LlmState> {
        let mode = match (self.config.usage, self.routes.usage, self.routes.queue) {
            (UsageSetting::Off, ..) => LlmMode::Off,
            (UsageSetting::Queue, _, Route::Present) => LlmMode::Queue,
            (UsageSetting::Queue, ..) => LlmMode::Off,
            (_, Route::Present, _) => LlmMode::Snapshot,
            (_, Route::Absent(_), _) => LlmMode::Off,
            (_, Route::Unknown, _) => return None,
        };
        let hints = mode == LlmMode::Off
            && self.config.usage == UsageSetting::Auto
            && self.routes.queue == Route::Present;
        if hints && !std::mem::replace(&mut self.hinted, true) {
            self.notes.hints.push(QUEUE_HINT);
        }
        Some(LlmState { mode, enabled: self.enabled })
    }

    /// Reads the totals and counts what is new in them.
    async fn read_usage(&mut self, now: Moment) -> Result<Step, FetchError> {
        let reader = Reader { names: self.names.clone(), known: self.known.clone(), now: now.wall };
        let books = Arc::clone(&self.books);
        let odd = OddFields::default();
        let request = self.request(USAGE, "", now)?;
        let limits = self.usage;
        self.begins(limits);
        let decode = |body| snapshot::read(body, &books, &reader, &odd);
        let answer = match self.http.read(request, http::Repeat::Safe, limits, decode).await {
            Ok(answer) => answer,
            Err(http::Refusal { error: http::Error::Status(404), headers, said, .. }) => {
                self.routes.usage = self.absent(&headers, &said, now);
                return match self.config.usage {
                    UsageSetting::Snapshot => Err(FetchError::new(USAGE, Cause::Missing(NO_TOTALS))),
                    _ => {
                        let facts = self.state().map(Fact::LlmState).into_iter().collect();
                        Ok(Step::done(Part::Usage, facts))
                    }
                };
            }
            Err(refusal) => return Err(self.session.judge(USAGE, refusal, now)),
        };
        self.odd.extend(&odd);
        if !answer.value {
            return Err(other_system(USAGE));
        }
        self.routes.usage = Route::Present;
        let omitted = lock(&self.books).was_read(answer.date.unwrap_or(now.wall), now.wall);
        let omitted = Fact::Omitted(Part::Usage, omitted);
        let facts =
            self.state().map(Fact::LlmState).into_iter().chain([omitted, self.usage_fact(now)]).collect();
        Ok(Step { durable: self.changes(), ..Step::done(Part::Usage, facts) })
    }

    /// Takes a batch of records from the queue. They are on disk, with what they add up to, before the next batch is asked
    /// for.
    async fn take_records(&mut self, now: Moment) -> Result<Step, FetchError> {
        let asked = self.base().queue();
        let request = match self.batch_request(asked, now) {
            Ok(request) => request,
            Err(err) => {
                self.queue.withdraws();
                return Err(err);
            }
        };
        let records = match self.request_records(request).await {
            Ok(records) => records,
            Err(refusal) => {
                self.lost_records(&refusal, now);
                return Err(self.session.judge(asked, refusal, now));
            }
        };
        let answered = self.queue.now(now);
        let Some(elements) = self.count_records(&records, now) else {
            self.lost_records(&http::Error::NotJson("another value").into(), now);
            return Err(other_system(asked));
        };
        let is_empty = elements < self.batch;
        if self.queue.took(answered, is_empty) {
            self.gap(now);
        }
        if !is_empty {
            return Ok(Step { durable: self.changes(), ..Step::more(Vec::new()) });
        }
        self.batch = BATCH;
        let bypassed = self.watch.took(std::mem::take(&mut self.taken));
        if bypassed > 0 {
            lock(&self.books).ledger.bypassed(bypassed, now.wall);
        }
        let facts = self.state().map(Fact::LlmState).into_iter().chain([self.usage_fact(now)]).collect();
        Ok(Step { durable: self.changes(), ..Step::done(Part::Usage, facts) })
    }

    /// The request for records failed, and the server may have handed some out.
    fn lost_records(&mut self, refusal: &http::Refusal, now: Moment) {
        match refusal.error {
            http::Error::TooLarge(_) => self.batch = SMALL_BATCH,
            http::Error::Status(404) => {
                self.routes.queue = Route::Unknown;
                if not_found(&refusal.headers, &refusal.said) == NotFound::Disabled {
                    self.queue_was_cleared(now);
                }
            }
            _ => {}
        }
        if self.queue.failed(&refusal.error) {
            self.gap(now);
        }
    }

    /// The management API was switched off, which discards the records in the queue.
    fn queue_was_cleared(&mut self, now: Moment) {
        if self.is_resumed && self.config.usage == UsageSetting::Queue && self.queue.was_cleared() {
            self.gap(now);
        }
    }

    /// Records may have been lost.
    fn gap(&mut self, now: Moment) {
        lock(&self.books).ledger.gap(now.wall);
        self.watch.begins_again();
    }

    /// Counts what is new in totals that are here as a whole, as a poll does.
    ///
    /// # Errors
    /// When they are none.
    pub fn count_usage(&mut self, answer: &[u8], now: Timestamp) -> serde_json::Result<LlmUsage> {
        let reader = Reader { names: self.names.clone(), known: self.known.clone(), now };
        json::at_once(snapshot::read(answer, &self.books, &reader, &self.odd))?;
        let mut books = lock(&self.books);
        books.was_read(now, now);
        Ok(books.ledger.usage(|hash| self.names.api_key(hash), now))
    }

    /// Counts a batch of records that is here as a whole, as a poll does, and returns how many there are.
    ///
    /// # Errors
    /// When it is none.
    pub fn count_batch(&mut self, answer: &[u8], now: Moment) -> serde_json::Result<usize> {
        let records = json::from_bytes(answer)?;
        Ok(self.count_records(&records, now).unwrap_or_default())
    }

    /// Counts the records of a batch, and returns how many elements it has; absent: it is no list.
    fn count_records(&mut self, records: &str, now: Moment) -> Option<usize> {
        let mut elements = 0;
        let mut books = lock(&self.books);
        json::each(records, |raw| {
            elements += 1;
            match element(raw, &self.names, &self.known, &self.odd) {
                Element::Record(record) => {
                    let Record { attempt, .. } = &*record;
                    books.ledger.took(1);
                    books.ledger.add(attempt, now.wall);
                    self.limits.learn(&record, now.wall);
                    self.taken.add(&attempt.provider, 1);
                }
                Element::Control => {}
                Element::Unreadable => {
                    books.ledger.took(1);
                    self.taken.add(UNKNOWN, 1);
                }
            }
        })?;
        Some(elements)
    }

    fn usage_fact(&self, now: Moment) -> Fact {
        let usage = lock(&self.books).ledger.usage(|hash| self.names.api_key(hash), now.wall);
        Fact::LlmUsage(Arc::new(usage))
    }

    /// What must survive a restart and is not stored yet. Sums and what says that they were counted are one change.
    fn changes(&mut self) -> Vec<CounterChange> {
        if !self.is_resumed {
            return Vec::new();
        }
        let (mut changes, attempts) = {
            let mut books = lock(&self.books);
            (books.changes(), books.take_attempts())
        };
        for (label, attempts) in attempts.into_iter().filter(|_| !self.counts_credentials) {
            self.totals.add(&label, attempts);
        }
        changes.extend(self.queue.changes());
        changes.extend(self.totals.changes());
        changes
    }
}

/// A failure that other requests would meet too.
fn unless_all(answer: Result<(), FetchError>) -> Result<(), FetchError> {
    match answer {
        Err(err) if err.stops_others() => Err(err),
        _ => Ok(()),
    }
}

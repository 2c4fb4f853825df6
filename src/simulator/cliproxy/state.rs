//! The state of a server, and what an attempt does to it.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use jiff::tz::Offset;
use serde_json::{Value, json};

use super::auth::Auth;
use super::credential::{Credential, hex};
use super::failure;
use super::options::{CANARY, Generation, Options, Traffic};
use super::people::Office;
use super::record::{Attempt, Family, Outcome, Record, Stated, Tokens};
use super::totals::{Account, Ledger, Pop, Series, Sums, Totals, Unseen};
use super::usage::Usage;

const NS_PER_MS: i64 = 1_000_000;
const MAX_POPS: usize = 10_000;
/// The generation whose records state most.
const MADE: Generation = Generation::V8_0;

pub(super) struct State {
    pub(super) generation: Generation,
    pub(super) version: Option<String>,
    pub(super) offset: Offset,
    pub(super) canaries: bool,
    pub(super) serves_v0: bool,
    pub(super) details_cap: Option<usize>,
    pub(super) retention_ms: i64,
    pub(super) auth: Auth,
    /// Whether statistics are kept.
    pub(super) statistics: bool,
    /// Whether there is a management key at all.
    pub(super) management: bool,
    pub(super) clients: Vec<String>,
    pub(super) models: Vec<Model>,
    /// Those removed stay, because records refer to their places.
    pub(super) credentials: Vec<Credential>,
    /// The `auth_index` of the next credential, where it is a number.
    pub(super) next_number: u64,
    pub(super) usage: Usage,
    /// With the time at which each came in.
    pub(super) queue: VecDeque<(i64, Record)>,
    /// Of a hundred records, how many go to another reader.
    pub(super) other_reader: u64,
    /// Of the answers with records to come, how many are lost.
    pub(super) pops_to_lose: u32,
    /// All attempts so far.
    pub(super) attempts: u64,
    pub(super) made: Ledger,
    pub(super) recorded: Ledger,
    pub(super) sent: Ledger,
    pub(super) unseen: Unseen,
    pub(super) pops: VecDeque<Pop>,
    pub(super) traffic: Traffic,
    /// Of the stream of independent attempts.
    pub(super) stream: Rng,
    /// Thousandths of an attempt of [`Traffic::Steady`] that are due.
    pub(super) due: u64,
    pub(super) office: Office,
}

/// A model of an upstream.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) alias: String,
    /// Of the credentials that can serve it.
    pub(super) provider: String,
}

impl State {
    pub(super) fn new(options: &Options) -> State {
        let hours = options.utc_offset_hours.clamp(-12, 14);
        State {
            generation: options.generation,
            version: options.version.clone(),
            offset: Offset::constant(hours),
            canaries: options.canaries,
            serves_v0: options.serves_v0,
            details_cap: options.details_cap,
            retention_ms: retention_ms(options.retention_seconds),
            auth: Auth::new(options),
            statistics: true,
            management: true,
            clients: Vec::new(),
            models: Vec::new(),
            credentials: Vec::new(),
            next_number: 0,
            usage: Usage::default(),
            queue: VecDeque::new(),
            other_reader: 0,
            pops_to_lose: 0,
            attempts: 0,
            made: Ledger::default(),
            recorded: Ledger::default(),
            sent: Ledger::default(),
            unseen: Unseen::default(),
            pops: VecDeque::new(),
            traffic: options.traffic,
            stream: Rng::with_seed(options.seed),
            due: 0,
            office: Office::new(options.seed),
        }
    }

    /// Adds a credential, with the next number.
    pub(super) fn admit(&mut self, mut credential: Credential) {
        credential.identify(self.next_number);
        credential.present = true;
        self.next_number += 1;
        self.credentials.push(credential);
    }

    pub(super) fn credential(&mut self, name: &str) -> Option<&mut Credential> {
        self.credentials.iter_mut().find(|credential| credential.present && credential.name == name)
    }

    /// Makes an attempt that has ended just now happen. Returns false if there is no such credential.
    pub(super) fn attempt(&mut self, at_ms: i64, attempt: &Attempt) -> bool {
        let Attempt { client, credential, model, alias, outcome, tokens, stream, latency_ms, ttft_ms } =
            attempt;
        let known = |known: &Credential| known.present && known.name == *credential;
        let Some(place) = self.credentials.iter().position(known) else { return false };
        let provider = self.credentials[place].provider.clone();
        let model = self.model(&provider, model, alias);
        let client = if client.is_empty() { None } else { Some(self.client_place(client)) };
        let request = self.next_request();
        let record = Record {
            number: 0,
            started_ns: 0,
            client,
            credential: place_u16(place),
            model,
            request,
            outcome: *outcome,
            stream: *stream,
            latency_ms: *latency_ms,
            ttft_ms: *ttft_ms,
            tokens: *tokens,
        };
        self.finish(at_ms, record);
        true
    }

    /// The place of a client key, which is new if need be.
    fn client_place(&mut self, key: &str) -> u16 {
        let place = self.clients.iter().position(|known| known == key).unwrap_or_else(|| {
            self.clients.push(key.to_owned());
            self.clients.len() - 1
        });
        place_u16(place)
    }

    fn model(&mut self, provider: &str, name: &str, alias: &str) -> u16 {
        let alias = if alias.is_empty() { name } else { alias };
        let known = |model: &Model| model.name == name && model.alias == alias && model.provider == provider;
        let place = self.models.iter().position(known).unwrap_or_else(|| {
            let [name, alias, provider] = [name, alias, provider].map(str::to_owned);
            self.models.push(Model { name, alias, provider });
            self.models.len() - 1
        });
        place_u16(place)
    }

    /// A number for the attempts of one call, scattered as the server's are.
    pub(super) fn next_request(&self) -> u32 {
        let [.., a, b, c, d] = (self.attempts + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// What the end of an attempt does: counters, cooldowns, quotas, and the record.
    pub(super) fn finish(&mut self, at_ms: i64, mut record: Record) {
        self.attempts += 1;
        record.number = self.attempts;
        let jitter = self.attempts.wrapping_mul(0x9e37_79b9) % 1_000_000;
        let started_ms = at_ms.saturating_sub(record.latency_ms.into());
        record.started_ns = started_ms.saturating_mul(NS_PER_MS) + i64::try_from(jitter).unwrap_or(0);
        if record.outcome != Outcome::Success {
            record.tokens = Tokens::default();
        }
        let place = usize::from(record.credential);
        let marker = self.marker();
        let Some(model) = self.models.get(usize::from(record.model)) else { return };
        let Some(credential) = self.credentials.get_mut(place) else { return };
        let body = failure::body(&record, credential, &marker);
        let stated = Stated::of(record.tokens, Family::of(&credential.provider), MADE);
        credential.use_quota(at_ms, stated.total);
        credential.count(at_ms, record.outcome);
        credential.learn(at_ms, &model.name, record.outcome, &body);
        self.made.entry(Account::of(&record, MADE)).or_default().add(&record, stated, MADE);
        self.keep(at_ms, record);
    }

    /// Puts a record where clients of the management API find it.
    fn keep(&mut self, at_ms: i64, record: Record) {
        if !record.outcome.is_recorded(self.generation) {
            self.unseen.not_recorded += 1;
        } else if !self.statistics || !self.management {
            self.unseen.switched_off += 1;
        } else {
            let (generation, stated) = (self.generation, self.stated(&record));
            let account = Account::of(&record, generation);
            self.recorded.entry(account).or_default().add(&record, stated, generation);
            if generation.has_snapshot() {
                let (offset, cap) = (self.offset, self.details_cap);
                let series = series(self, account, Naming::Recorded);
                self.usage.add((&series.api_key, &series.model), &record, stated, offset, cap);
            } else {
                let draw = record.number.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32;
                if draw % 100 < self.other_reader {
                    self.unseen.stolen += 1;
                } else {
                    self.queue.push_back((at_ms, record));
                    self.prune(at_ms);
                }
            }
        }
    }

    /// Forgets what has been in the queue for too long.
    pub(super) fn prune(&mut self, now_ms: i64) {
        let kept_from_ms = now_ms.saturating_sub(self.retention_ms);
        while self.queue.front().is_some_and(|(at_ms, _)| *at_ms < kept_from_ms) {
            self.queue.pop_front();
            self.unseen.expired += 1;
        }
    }

    /// Takes the oldest records, and whether the answer reaches its client.
    pub(super) fn pop(&mut self, now_ms: i64, count: usize) -> (Vec<Record>, bool) {
        self.prune(now_ms);
        let count = count.min(self.queue.len());
        let records: Vec<Record> = self.queue.drain(..count).map(|(_, record)| record).collect();
        if records.is_empty() {
            return (records, true);
        }
        let sent = self.pops_to_lose == 0;
        self.pops_to_lose = self.pops_to_lose.saturating_sub(1);
        let (generation, mut sums) = (self.generation, Sums::default());
        for record in &records {
            let stated = self.stated(record);
            sums.add(record, stated, generation);
            if sent {
                let account = Account::of(record, generation);
                self.sent.entry(account).or_default().add(record, stated, generation);
            } else {
                self.unseen.lost += 1;
            }
        }
        self.pops.push_back(Pop { at_ms: now_ms, sums, sent });
        if self.pops.len() > MAX_POPS {
            self.pops.pop_front();
        }
        (records, sent)
    }

    /// Empties the queue. Returns how many records it had.
    pub(super) fn empty(&mut self, now_ms: i64) -> u64 {
        self.prune(now_ms);
        u64::try_from(std::mem::take(&mut self.queue).len()).unwrap_or(u64::MAX)
    }

    /// What a new process does not know.
    pub(super) fn restart(&mut self, now_ms: i64) {
        self.unseen.dropped += self.empty(now_ms);
        self.usage = Usage::default();
        self.auth.restart();
        self.office.forget();
        self.credentials.iter_mut().for_each(|credential| credential.restart(now_ms));
        // Files are numbered first, by name, and keys after them as the configuration's map gives them.
        let mut order: Vec<usize> =
            (0..self.credentials.len()).filter(|place| self.credentials[*place].present).collect();
        let rank = |credential: &Credential| match credential.is_file() {
            true => (0, credential.name.clone()),
            false => (1, hex(&(credential.number ^ 1).to_be_bytes())),
        };
        order.sort_by_key(|place| rank(&self.credentials[*place]));
        self.next_number = 0;
        for place in order {
            self.credentials[place].number = self.next_number;
            self.next_number += 1;
        }
    }

    /// What a record calls the provider of a credential.
    pub(super) fn provider(&self, credential: &Credential) -> String {
        provider(credential, self.generation)
    }

    pub(super) fn stated(&self, record: &Record) -> Stated {
        let provider = self.credentials.get(usize::from(record.credential));
        let family = provider.map_or(Family::OpenAi, |credential| Family::of(&credential.provider));
        Stated::of(record.tokens, family, self.generation)
    }

    /// The client key of a record; empty: of an open proxy.
    pub(super) fn client(&self, record: &Record) -> &str {
        record.client.and_then(|place| self.clients.get(usize::from(place))).map_or("", String::as_str)
    }

    /// What a record says of the account: for a file without an e-mail address it is the client's own key.
    pub(super) fn source(&self, record: &Record, credential: &Credential) -> String {
        match (credential.is_file(), credential.email.as_str()) {
            (false, _) => credential.name.clone(),
            (true, "") => self.client(record).to_owned(),
            (true, email) => email.to_owned(),
        }
    }

    /// What every free text contains where canaries are planted.
    pub(super) fn marker(&self) -> String {
        if self.canaries { format!(" {CANARY}") } else { String::new() }
    }

    pub(super) fn auth_index(&self, credential: &Credential) -> Value {
        match self.generation {
            Generation::V6_6 => json!(credential.number),
            _ => json!(credential.hash),
        }
    }
}

/// Servers keep records for at most an hour.
pub(super) fn retention_ms(seconds: u64) -> i64 {
    let seconds = if seconds == 0 { 60 } else { seconds.min(3600) };
    i64::try_from(seconds).unwrap_or(0) * 1000
}

/// How providers and models are named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    Configured,
    Recorded,
}

/// Sums with names.
pub(super) fn totals(state: &State, ledger: &Ledger, naming: Naming) -> Totals {
    let mut totals = Totals::default();
    for (account, sums) in ledger {
        totals.by_series.entry(series(state, *account, naming)).or_default().merge(sums);
        if let Some(credential) = state.credentials.get(usize::from(account.credential)) {
            totals.by_credential.entry(credential.name.clone()).or_default().merge(sums);
        }
    }
    totals
}

fn series(state: &State, account: Account, naming: Naming) -> Series {
    let Account { generation, client, credential, model } = account;
    let api_key = client.and_then(|place| state.clients.get(usize::from(place))).cloned().unwrap_or_default();
    let credential = state.credentials.get(usize::from(credential));
    let provider = match naming {
        Naming::Configured => credential.map(|known| known.provider.clone()),
        Naming::Recorded if generation.has_snapshot() => None,
        Naming::Recorded => credential.map(|known| provider(known, generation)),
    };
    let by_alias = naming == Naming::Recorded && generation <= Generation::V6_6;
    let model = state.models.get(usize::from(model));
    let model = model.map(|model| if by_alias { &model.alias } else { &model.name }).cloned();
    Series { api_key, provider: provider.unwrap_or_default(), model: model.unwrap_or_default() }
}

fn provider(credential: &Credential, generation: Generation) -> String {
    let provider = &credential.provider;
    if credential.is_compatible() && generation >= Generation::V7_2 {
        format!("openai-compatible-{provider}")
    } else {
        provider.clone()
    }
}

fn place_u16(place: usize) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}

/// What details of `/usage` say of each credential.
pub(super) fn identities(state: &State) -> Vec<(String, Value)> {
    let identity = |credential: &Credential| {
        let source = if credential.is_file() { &credential.email } else { &credential.name };
        (source.clone(), state.auth_index(credential))
    };
    state.credentials.iter().map(identity).collect()
}

/// Credentials that exist, in the order of their names.
pub(super) fn present(state: &State) -> Vec<&Credential> {
    let all = state.credentials.iter().filter(|credential| credential.present);
    let by_name: BTreeMap<&str, &Credential> = all.map(|known| (known.name.as_str(), known)).collect();
    by_name.into_values().collect()
}

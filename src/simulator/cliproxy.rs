//! A simulated CLIProxyAPI server, in one of its [`Generation`]s, as its management API shows it.
//!
//! [`Server::new`] seeds client keys, credentials and models, [`Server::serve`] answers HTTP, the verbs change the
//! server's state between two polls, and [`Server::wire`] logs requests and makes answers fail. Attempts happen with
//! [`advance`](Server::advance), [`attempts`](Server::attempts) and [`attempt`](Server::attempt), and the server keeps
//! their true totals: of all that were [made](Server::made), of those that it [recorded](Server::recorded), and of
//! those that it [sent](Server::sent) to a reader of its queue. Shapes, statuses and quirks are those recorded from
//! real servers, for 7.3 and 8.0 those of their documentation; the same `seed`, options and clock give the same
//! server.
//!
//! Not simulated: the proxy itself, RESP, routes that write, TLS, most of the configuration.

mod auth;
mod credential;
mod failure;
mod files;
mod instant;
mod item;
mod life;
mod options;
mod people;
mod record;
mod refusal;
mod routes;
mod seed;
mod settings;
mod state;
mod totals;
mod usage;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;

pub use self::credential::{Credential, Origin, Plan, Window};
pub use self::options::{CANARY, CANARY_ADDRESSES, Generation, Options, Traffic};
pub use self::record::{Attempt, Outcome, Tokens};
use self::state::{Naming, State};
pub use self::totals::{Pop, Series, Sums, Totals, Unseen};
use super::http::{Asked, Wire};
pub use super::http::{Cost, Fault, Times};

/// A handle on a simulated server; clones share its state.
#[derive(Clone)]
pub struct Server {
    /// The requests the server saw, and the faults of its answers.
    pub wire: Wire,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    now_ms: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl Server {
    /// A server that has just started. `now_ms` is its clock, in unix milliseconds.
    pub fn new(options: &Options, now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Server {
        let state = Mutex::new(seed::seeded(options, now_ms()));
        Server { wire: Wire::new(options.cost), shared: Arc::new(Shared { state, now_ms: Box::new(now_ms) }) }
    }

    /// Answers on `listener` until `stop` resolves, then drops every connection as a killed process would.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let answering = self.clone();
        let answer = move |asked: &Asked<'_>| {
            let now_ms = answering.now_ms();
            routes::answer(&mut answering.state(), now_ms, asked)
        };
        tokio::select! {
            () = stop => {}
            () = self.wire.serve(listener, answer, auth::of_status) => {}
        }
    }

    /// Simulates the `ms` up to the server's now: its [`Traffic`] happens, tokens are refreshed, and records that have
    /// been in the queue for too long are forgotten.
    pub fn advance(&self, ms: u64) {
        let now_ms = self.now_ms();
        life::advance(&mut self.state(), now_ms, ms);
    }

    /// Makes the next attempts of a stream that depends only on the seed and the credentials, all of which end now.
    /// The attempts of several calls are those of one call with their sum.
    pub fn attempts(&self, count: u64) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        for _ in 0..count {
            life::independent(&mut state, now_ms);
        }
    }

    /// Makes one attempt happen, which ends now. Returns whether there is such a credential.
    pub fn attempt(&self, attempt: &Attempt) -> bool {
        let now_ms = self.now_ms();
        self.state().attempt(now_ms, attempt)
    }

    /// Counts a call that has no record, such as `count_tokens`. Returns whether there is such a credential.
    pub fn count_without_record(&self, credential: &str) -> bool {
        let now_ms = self.now_ms();
        self.edit_credential(credential, |credential| credential.count(now_ms, Outcome::Success))
    }

    /// Adds attempts of the past to `/usage` behind those that are there, as an import does. They are the next of
    /// [`attempts`](Server::attempts) and ended up to `ago_ms` ago; the counters of credentials do not change. A server
    /// without `/usage` imports nothing.
    pub fn import_usage(&self, count: u64, ago_ms: u64) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        if !state.generation.has_snapshot() {
            return;
        }
        let counters = state.credentials.clone();
        let ago_ms = i64::try_from(ago_ms).unwrap_or(i64::MAX);
        for place in 0..i64::try_from(count).unwrap_or(i64::MAX) {
            let since_ms = ago_ms / i64::try_from(count).unwrap_or(i64::MAX).max(1) * place;
            life::independent(&mut state, now_ms.saturating_sub(ago_ms).saturating_add(since_ms));
        }
        state.credentials = counters;
    }

    /// Restarts the server: counters, `/usage`, the queue and bans are gone, and the numbers of credentials change.
    pub fn restart(&self) {
        let now_ms = self.now_ms();
        self.state().restart(now_ms);
    }

    /// Installs another version and restarts the server.
    pub fn upgrade(&self, generation: Generation) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.restart(now_ms);
        state.generation = generation;
    }

    /// Lets another reader take all records that are in the queue, and returns how many.
    pub fn steal_queue(&self) -> u64 {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let stolen = state.empty(now_ms);
        state.unseen.stolen += stolen;
        stolen
    }

    /// Lets another reader take so many of a hundred records to come. 100: a subscriber, which gets all of them.
    pub fn set_other_reader(&self, percent: u64) {
        self.state().other_reader = percent;
    }

    /// Closes the connection instead of answering the next request that takes records out of the queue.
    pub fn lose_next_pop(&self) {
        self.state().pops_to_lose += 1;
    }

    /// Sets how long the queue keeps a record, in seconds.
    pub fn set_retention(&self, seconds: u64) {
        self.state().retention_ms = state::retention_ms(seconds);
    }

    /// Switches statistics on or off. What is in `/usage` and in the queue stays.
    pub fn set_statistics(&self, on: bool) {
        self.state().statistics = on;
    }

    /// Switches the management API on or off, which empties the queue.
    pub fn set_management(&self, on: bool) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.management = on;
        state.unseen.dropped += state.empty(now_ms);
    }

    /// Changes the management key.
    pub fn set_key(&self, key: &str) {
        key.clone_into(&mut self.state().auth.key);
    }

    /// Counts five failures of an address, which bans it for half an hour.
    pub fn ban(&self, address: &str) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        (0..5).for_each(|_| state.auth.strike(now_ms, address));
    }

    /// Writes every file of a credential, as a refresh of its token does: failures are forgotten, counters stay.
    pub fn rewrite_auth_files(&self) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        for file in state.credentials.iter_mut().filter(|known| known.present && known.is_file()) {
            file.rewrite(now_ms);
            file.last_refresh_ms = Some(now_ms);
        }
    }

    /// Adds a credential. Returns false if there is one of this name.
    pub fn add_credential(&self, credential: Credential) -> bool {
        let mut state = self.state();
        let is_new = state.credential(&credential.name).is_none();
        if is_new {
            state.admit(credential);
        }
        is_new
    }

    /// Changes a credential in place. Returns whether there is such a one.
    ///
    /// `edit` runs under the server's lock and must not call the server.
    pub fn edit_credential(&self, name: &str, edit: impl FnOnce(&mut Credential)) -> bool {
        self.state().credential(name).map(edit).is_some()
    }

    /// Removes a file or key. Returns what it was.
    pub fn remove_key(&self, name: &str) -> Option<Credential> {
        let mut state = self.state();
        let credential = state.credential(name)?;
        credential.present = false;
        Some(credential.clone())
    }

    /// Removes a file or key and puts it back: its counters begin at 0 without a restart, and where credentials are
    /// numbered it has a new number. Returns whether there was one.
    pub fn put_back(&self, name: &str) -> bool {
        let now_ms = self.now_ms();
        let Some(mut credential) = self.remove_key(name) else { return false };
        credential.restart(now_ms);
        self.add_credential(credential)
    }

    /// Changes the address of a key's upstream, which changes its `auth_index` and begins its counters at 0. Returns
    /// whether there is such a key.
    pub fn set_base_url(&self, key: &str, base_url: &str) -> bool {
        let now_ms = self.now_ms();
        let Some(mut credential) = self.remove_key(key) else { return false };
        credential.restart(now_ms);
        credential.origin = Origin::Key { base_url: base_url.to_owned() };
        self.add_credential(credential)
    }

    /// Uses up the first quota of a credential. Returns whether it has one.
    pub fn exhaust(&self, name: &str) -> bool {
        let mut state = self.state();
        let window = state.credential(name).and_then(|credential| credential.windows.first_mut());
        window.map(|window| window.used = window.limit).is_some()
    }

    /// A copy of one credential.
    pub fn credential(&self, name: &str) -> Option<Credential> {
        self.state().credential(name).cloned()
    }

    /// A copy of all credentials, in the order of their names.
    pub fn credentials(&self) -> Vec<Credential> {
        state::present(&self.state()).into_iter().cloned().collect()
    }

    /// The `auth_index` of a credential; a number is written in digits.
    pub fn auth_index(&self, name: &str) -> Option<String> {
        let mut state = self.state();
        let credential = state.credential(name)?.clone();
        let index = state.auth_index(&credential);
        Some(index.as_str().map_or_else(|| index.to_string(), str::to_owned))
    }

    /// All client keys in clear.
    pub fn client_keys(&self) -> Vec<String> {
        self.state().clients.clone()
    }

    /// Totals of all attempts, with the names of providers and models as configured, and all tokens, statuses and
    /// durations, whether or not the generation states them.
    pub fn made(&self) -> Totals {
        let state = self.state();
        state::totals(&state, &state.made, Naming::Configured)
    }

    /// Totals of the attempts that went into `/usage` or to the queue, as the records of the generation state them.
    pub fn recorded(&self) -> Totals {
        let state = self.state();
        state::totals(&state, &state.recorded, Naming::Recorded)
    }

    /// Totals of the records that answers of `/usage-queue` contained, without answers that were lost.
    pub fn sent(&self) -> Totals {
        let state = self.state();
        state::totals(&state, &state.sent, Naming::Recorded)
    }

    /// What no reader of the management API sees.
    pub fn unseen(&self) -> Unseen {
        self.state().unseen
    }

    /// Records in the queue.
    pub fn queued(&self) -> usize {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.prune(now_ms);
        state.queue.len()
    }

    /// The newest ten thousand answers with records from the queue, the oldest first.
    pub fn pops(&self) -> Vec<Pop> {
        self.state().pops.iter().cloned().collect()
    }

    /// Requests refused for a missing or wrong key, or a ban.
    pub fn refused_requests(&self) -> u64 {
        self.state().auth.refused
    }

    /// How often an address was banned.
    pub fn bans(&self) -> u64 {
        self.state().auth.bans
    }

    fn now_ms(&self) -> i64 {
        (self.shared.now_ms)()
    }

    /// A panic in one caller's closure must not break the server for the others.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

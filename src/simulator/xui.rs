//! A simulated panel of the x-ui family, in one of its [`Generation`]s.
//!
//! [`Panel::new`] seeds clients, inbounds, nodes and outbounds, [`Panel::serve`] answers HTTP, the verbs change the
//! panel's state between two polls, and [`Panel::wire`] logs requests and makes answers fail. The shapes, statuses and
//! quirks are those recorded from real panels, or of 3x-ui 1.7 and vaxilu's panel those of their source; the same
//! `seed`, options and clock give the same panel.
//!
//! Not simulated: writing routes, the management of API tokens, filters of the paged list, the WebSocket, gzip, TLS.
//! An answer that is cut after 30 s of writing is [`Fault::ClosedMidBody`].

mod auth;
mod clients;
mod life;
mod options;
mod refusal;
mod routes;
mod row;
mod seed;
mod state;
mod system;
mod totp;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub use self::auth::{Scope, Token};
pub use self::options::{Generation, Options};
use self::state::State;
pub use self::state::{Client, Core, Host, Inbound, Node, Observed, Outbound, Thresholds, Totals};
use super::http::{Asked, Wire, accept};
pub use super::http::{Cost, Fault, Times};

/// A handle on a simulated panel; clones share its state.
#[derive(Clone)]
pub struct Panel {
    /// The requests the panel saw, and the faults of its answers.
    pub wire: Wire,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    now_ms: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl Panel {
    /// A freshly seeded panel, whose counters were written just now. `now_ms` is its clock, in unix milliseconds.
    pub fn new(options: &Options, now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Panel {
        let wire = Wire::new(options.cost);
        let state = Mutex::new(State::seeded(options, now_ms()));
        Panel { wire, shared: Arc::new(Shared { state, now_ms: Box::new(now_ms) }) }
    }

    /// Answers on `listener` until `stop` resolves, then drops every connection as a killed process would.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let (answering, refusing) = (self.clone(), self.clone());
        let answer = move |asked: &Asked<'_>| {
            let now_ms = answering.now_ms();
            routes::answer(&mut answering.state(), now_ms, asked)
        };
        let refusal = move |status| refusal::of(refusing.state().generation, status);
        tokio::select! {
            () = stop => {}
            () = self.wire.serve(listener, answer, refusal) => {}
        }
    }

    /// Simulates the `ms` up to the panel's now, as far as a tick is within them: clients move traffic, counters are
    /// written, clients start, renew themselves and are switched off. `advance(0)` is one tick now, in which clients
    /// move nothing of their own.
    pub fn advance(&self, ms: u64) {
        let now_ms = self.now_ms();
        life::advance(&mut self.state(), now_ms, ms);
    }

    /// Makes one client move bytes, which the next tick counts. Returns whether there is such a client.
    pub fn use_traffic(&self, email: &str, up: u64, down: u64) -> bool {
        self.edit_client(email, |client| {
            let (had_up, had_down) = client.pending;
            client.pending = (had_up.saturating_add(up), had_down.saturating_add(down));
        })
    }

    /// Adds an unlimited client of inbound 1 without traffic of its own, after `fill` has set what differs.
    /// Returns false if the e-mail address is in use.
    ///
    /// `fill` runs under the panel's lock and must not call the panel.
    pub fn add_client(&self, email: &str, fill: impl FnOnce(&mut Client)) -> bool {
        let now_ms = self.now_ms();
        let mut state = self.state();
        if state.client(email).is_some() {
            return false;
        }
        let id = state.clients.iter().map(|client| client.id).max().unwrap_or(0) + 1;
        let mut client = Client::new(email, id, now_ms);
        fill(&mut client);
        state.clients.push(client);
        true
    }

    /// Changes a client in place. Returns whether there is such a client.
    ///
    /// `edit` runs under the panel's lock and must not call the panel.
    pub fn edit_client(&self, email: &str, edit: impl FnOnce(&mut Client)) -> bool {
        found(self.state().clients.iter_mut().find(|client| client.email == email), edit)
    }

    /// Deletes a client. Returns whether there was one.
    pub fn remove_client(&self, email: &str) -> bool {
        let mut state = self.state();
        let before = state.clients.len();
        state.clients.retain(|client| client.email != email);
        state.clients.len() < before
    }

    /// Sets a client's traffic to 0 and lets it in again. Returns whether there is such a client.
    pub fn reset_client(&self, email: &str) -> bool {
        self.edit_client(email, life::reset)
    }

    /// Lets a client in until `ms` from now. Returns whether there is such a client.
    pub fn renew_client(&self, email: &str, ms: i64) -> bool {
        let now_ms = self.now_ms();
        self.edit_client(email, |client| {
            (client.expiry_ms, client.enable, client.switched_off) = (now_ms.saturating_add(ms), true, false);
        })
    }

    /// Adds an inbound after `fill` has set what differs, and returns its number.
    pub fn add_inbound(&self, protocol: &str, remark: &str, fill: impl FnOnce(&mut Inbound)) -> i64 {
        let mut state = self.state();
        let id = state.inbounds.iter().map(|inbound| inbound.id).max().unwrap_or(0) + 1;
        let mut inbound = Inbound::new(id, protocol, remark);
        fill(&mut inbound);
        state.inbounds.push(inbound);
        id
    }

    /// Changes an inbound in place. Returns whether there is one.
    pub fn edit_inbound(&self, id: i64, edit: impl FnOnce(&mut Inbound)) -> bool {
        found(self.state().inbounds.iter_mut().find(|inbound| inbound.id == id), edit)
    }

    /// Makes the settings of an inbound a text that is no JSON. Returns whether there is one.
    pub fn break_settings(&self, inbound: i64) -> bool {
        self.edit_inbound(inbound, |inbound| inbound.settings_broken = true)
    }

    /// Changes all nodes; to add one, clone another.
    pub fn edit_nodes(&self, edit: impl FnOnce(&mut Vec<Node>)) {
        edit(&mut self.state().nodes);
    }

    /// Sets whether the node with this id (from 1) can be reached, and if not, why. Returns whether there is one.
    pub fn set_node(&self, id: i64, error: Option<&str>) -> bool {
        let mut state = self.state();
        found(state.nodes.iter_mut().find(|node| node.id == id && id > 0), |node| {
            node.status = if error.is_some() { "offline" } else { "online" }.to_owned();
            node.last_error = error.unwrap_or_default().to_owned();
        })
    }

    /// Changes all outbounds.
    pub fn edit_outbounds(&self, edit: impl FnOnce(&mut Vec<Outbound>)) {
        edit(&mut self.state().outbounds);
    }

    /// Sets whether the observatory gets through an outbound. Returns whether there is one.
    pub fn set_outbound(&self, tag: &str, alive: bool) -> bool {
        let now_ms = self.now_ms();
        let mut state = self.state();
        found(state.outbounds.iter_mut().find(|outbound| outbound.tag == tag), |outbound| {
            let seen_ms = outbound.observed.map_or(0, |observed| observed.last_seen_ms);
            outbound.observed = Some(if alive {
                Observed { alive, delay_ms: 31, last_seen_ms: now_ms }
            } else {
                Observed { alive, delay_ms: 99_999_999, last_seen_ms: seen_ms }
            });
        })
    }

    /// Changes the figures of the host, for example to a wrapped `net_up` of 1.8e19.
    pub fn edit_host(&self, edit: impl FnOnce(&mut Host)) {
        edit(&mut self.state().host);
    }

    /// Sets what the panel calls expiring soon.
    pub fn set_thresholds(&self, thresholds: Thresholds) {
        self.state().thresholds = thresholds;
    }

    /// Sets the state of xray. [`Core::Running`] starts it, or starts it again.
    pub fn set_core(&self, core: Core) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        if core == Core::Running {
            life::start_core(&mut state, now_ms);
        } else {
            state.core = core;
        }
    }

    /// Stops xray as by hand.
    pub fn stop_xray(&self) {
        self.set_core(Core::Stopped);
    }

    /// Starts xray, or starts it again.
    pub fn start_xray(&self) {
        self.set_core(Core::Running);
    }

    /// Makes xray end soon after each start.
    pub fn crash_xray(&self) {
        self.set_core(Core::Crashing);
    }

    /// Restarts the panel and xray with it. Sessions and tokens survive, the lock-out does not.
    pub fn restart_panel(&self) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.accounts.restart();
        state.panel_started_at_ms = now_ms;
        (state.status_asked_at_ms, state.slept_ms) = (now_ms, None);
        state.online_samples.clear();
        if state.core == Core::Running {
            life::start_core(&mut state, now_ms);
        }
    }

    /// Installs another version of the panel in place and restarts it. Sessions survive unless only one of both
    /// versions is before 3x-ui 3.0.
    pub fn upgrade(&self, generation: Generation) {
        {
            let mut state = self.state();
            state.generation = generation;
            state.accounts.upgrade(generation);
        }
        self.restart_panel();
    }

    /// Changes the admin's password. From 3x-ui 3.0.2 on this ends every session; tokens stay.
    pub fn change_password(&self, password: &str) {
        self.state().accounts.change_password(password);
    }

    /// Ends every session.
    pub fn expire_sessions(&self) {
        self.state().accounts.expire_sessions();
    }

    /// Changes the API tokens.
    pub fn edit_tokens(&self, edit: impl FnOnce(&mut Vec<Token>)) {
        edit(&mut self.state().accounts.tokens);
    }

    /// Sets the only `Host` that is answered; `None`: any.
    pub fn set_web_domain(&self, domain: Option<&str>) {
        self.state().web_domain = domain.map(str::to_owned);
    }

    /// Successful logins; a real panel sends a message to its owner's chat for each.
    pub fn logins(&self) -> u64 {
        self.state().accounts.logins
    }

    /// Logins refused, whatever the reason; these send a message, too.
    pub fn refused_logins(&self) -> u64 {
        self.state().accounts.refused_logins
    }

    /// How often an address and name were locked out.
    pub fn lockouts(&self) -> u64 {
        self.state().accounts.lockouts
    }

    /// The wrong passwords that a panel before 3x-ui 3.0 wrote into its log and its owner's chat.
    pub fn passwords_logged(&self) -> Vec<String> {
        self.state().accounts.passwords_logged.clone()
    }

    /// The two-factor code of now; `None` if none is needed.
    pub fn two_factor_code(&self) -> Option<String> {
        let now_ms = self.now_ms();
        self.state().accounts.code(now_ms)
    }

    /// A copy of one client.
    pub fn client(&self, email: &str) -> Option<Client> {
        self.state().client(email).cloned()
    }

    /// A copy of all clients, in their order.
    pub fn clients(&self) -> Vec<Client> {
        self.state().clients.clone()
    }

    /// A copy of all inbounds, in their order.
    pub fn inbounds(&self) -> Vec<Inbound> {
        self.state().inbounds.clone()
    }

    /// Sums over all clients now.
    pub fn totals(&self) -> Totals {
        let now_ms = self.now_ms();
        self.state().totals(now_ms)
    }

    fn now_ms(&self) -> i64 {
        (self.shared.now_ms)()
    }

    /// A panic in one caller's closure must not break the panel for the others.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers as the TLS port of a 3x-ui panel answers plain HTTP: with a redirect of a version that no client can parse.
/// Does not end; when it is dropped, so is every connection.
pub async fn serve_tls_port(listener: TcpListener) {
    accept(listener, |mut stream| async move {
        let mut head = [0; 4096];
        // The client may end the connection in any way.
        if stream.read(&mut head).await.is_ok() {
            let redirect = "HTTP/0.0 307 Temporary Redirect\r\nLocation: https://panel.example/\r\n\r\n";
            drop(stream.write_all(redirect.as_bytes()).await);
        }
    })
    .await;
}

/// Whether there was something to edit.
fn found<T>(found: Option<&mut T>, edit: impl FnOnce(&mut T)) -> bool {
    found.map(edit).is_some()
}

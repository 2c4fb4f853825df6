//! A simulated Marzban panel (0.8.4, 0.7) or PasarGuard panel (5.x).
//!
//! [`Panel::new`] seeds the users, nodes and admins, [`Panel::serve`] answers HTTP, the verbs change the
//! panel's state between two polls, and [`Panel::wire`] logs requests and makes answers fail.
//! The shapes, messages and quirks are those recorded from a real Marzban 0.8.4; the same `seed`, options
//! and clock give the same panel.
//!
//! Not simulated: writing endpoints, `/api/hosts`, `/api/core/config`, `/api/users/expired`, the environment's
//! sudo admin, and PasarGuard's per-user usage series.

mod admins;
mod auth;
mod instant;
mod life;
mod list;
mod nodes;
mod options;
mod pasarguard;
mod refusal;
mod routes;
mod row;
mod seed;
mod state;
mod system;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::{DATE, SERVER};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::net::TcpListener;

pub use self::options::{Flavour, Options};
use self::state::State;
pub use self::state::{NextPlan, NodeStats, NodeStatus, ResetStrategy, Status, Totals, User};
use super::http::{Answer, Asked, Wire};
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
    /// A freshly seeded panel. `now_ms` is the panel's clock, in unix milliseconds.
    pub fn new(options: Options, now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Panel {
        let wire = Wire::new(options.cost);
        let state = Mutex::new(State::seeded(options, now_ms()));
        Panel { wire, shared: Arc::new(Shared { state, now_ms: Box::new(now_ms) }) }
    }

    /// Answers on `listener` until `stop` resolves, then drops every connection as a killed process would.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let (answering, refusing) = (self.clone(), self.clone());
        let answer = move |asked: &Asked<'_>| {
            let now_ms = answering.now_ms();
            from_uvicorn(routes::answer(&mut answering.state(), now_ms, asked), now_ms)
        };
        let refusal = move |status| from_uvicorn(refusal::of(status), refusing.now_ms());
        tokio::select! {
            () = stop => {}
            () = self.wire.serve(listener, answer, refusal) => {}
        }
    }

    /// Simulates the `seconds` up to the panel's now: users move traffic and come online, hour buckets fill,
    /// the status, next-plan and periodic-reset jobs run. `advance(0)` runs the jobs alone.
    pub fn advance(&self, seconds: u64) {
        let now_ms = self.now_ms();
        life::advance(&mut self.state(), now_ms, seconds);
    }

    /// Makes one user move `bytes` through the master now. Statuses follow with the next [`Panel::advance`].
    /// Returns whether there is such a user.
    pub fn use_traffic(&self, username: &str, bytes: u64) -> bool {
        let now_ms = self.now_ms();
        life::use_traffic(&mut self.state(), now_ms, username, bytes)
    }

    /// Adds an active, unlimited, never expiring user of the sudo admin without traffic of its own, after `fill` has
    /// set what differs. Returns false if the name is in use.
    ///
    /// `fill` runs under the panel's lock and must not call the panel.
    pub fn add_user(&self, username: &str, fill: impl FnOnce(&mut User)) -> bool {
        let now_ms = self.now_ms();
        let mut user = User::new(username, now_ms);
        user.owner = Some(0);
        fill(&mut user);
        self.state().users.insert(user)
    }

    /// Deletes a user. Returns whether there was one.
    pub fn remove_user(&self, username: &str) -> bool {
        self.state().users.remove(username)
    }

    /// Changes a user in place, as an admin's edit does. Returns whether there is such a user.
    ///
    /// `edit` runs under the panel's lock and must not call the panel.
    pub fn edit_user(&self, username: &str, edit: impl FnOnce(&mut User)) -> bool {
        let now_ms = self.now_ms();
        self.state().users.edit(username, |user| {
            edit(user);
            user.edited_at_ms = now_ms;
        })
    }

    /// Makes a user active until `seconds` from now. Returns whether there is such a user.
    pub fn renew_user(&self, username: &str, seconds: i64) -> bool {
        let now_ms = self.now_ms();
        self.edit_user(username, |user| {
            user.expire = Some(now_ms.div_euclid(1000) + seconds);
            user.status = Status::Active;
        })
    }

    /// Resets a user's traffic. As upstream, this also makes a disabled or waiting user active.
    /// Returns whether there is such a user.
    pub fn reset_user(&self, username: &str) -> bool {
        let now_ms = self.now_ms();
        self.state().users.edit(username, |user| life::reset(user, now_ms))
    }

    /// Sets a user's status. The status job may change it again with the next [`Panel::advance`].
    pub fn set_status(&self, username: &str, status: Status) -> bool {
        self.edit_user(username, |user| user.status = status)
    }

    /// Gives a user to an admin; `None`: to no admin. Returns whether both exist.
    pub fn set_owner(&self, username: &str, admin: Option<&str>) -> bool {
        let mut state = self.state();
        let owner = match admin {
            None => None,
            Some(name) => match state.admins.iter().position(|known| known.username == name) {
                Some(index) => Some(index),
                None => return false,
            },
        };
        state.users.edit(username, |user| user.owner = owner)
    }

    /// Sets what follows when a user's plan ends; `None`: nothing. Returns whether there is such a user.
    pub fn set_next_plan(&self, username: &str, plan: Option<NextPlan>) -> bool {
        self.edit_user(username, |user| user.next_plan = plan)
    }

    /// Breaks a user's row: every page that holds it answers 500, in plain text. Returns whether there is one.
    pub fn poison_user(&self, username: &str) -> bool {
        self.state().users.edit(username, |user| user.poisoned = true)
    }

    /// Sets the status of the node with this id (from 1) and the message it shows with `error`.
    /// Returns whether there is such a node.
    pub fn set_node_status(&self, id: i64, status: NodeStatus, message: Option<&str>) -> bool {
        let mut state = self.state();
        let Some(node) = state.nodes.iter_mut().find(|node| node.id == id && id > 0) else { return false };
        node.status = status;
        node.message = message.map(str::to_owned);
        true
    }

    /// Sets what the node with this id (from 1) says of its host while it is connected; `None`: it does not answer.
    /// Returns whether there is such a node. Only PasarGuard shows this.
    pub fn set_node_stats(&self, id: i64, stats: Option<NodeStats>) -> bool {
        let mut state = self.state();
        let Some(node) = state.nodes.iter_mut().find(|node| node.id == id && id > 0) else { return false };
        node.stats = stats;
        true
    }

    /// Stops the master's core: `/api/core` says it has not started, and the master carries no traffic.
    pub fn stop_core(&self) {
        self.state().core_started = false;
    }

    /// Starts the master's core again.
    pub fn start_core(&self) {
        self.state().core_started = true;
    }

    /// Stops recording traffic; the panel still answers.
    pub fn stop_recording(&self) {
        self.state().recording = false;
    }

    /// Records traffic again.
    pub fn start_recording(&self) {
        self.state().recording = true;
    }

    /// Sets an admin's password, which invalidates all its tokens issued before, and in the current second.
    /// Returns whether there is such an admin.
    pub fn reset_password(&self, admin: &str, password: &str) -> bool {
        let now_ms = self.now_ms();
        self.edit_admin(admin, |admin| {
            admin.password = password.to_owned();
            admin.password_reset_at_ms = Some(now_ms);
        })
    }

    /// Invalidates every token issued so far, as a restored database does.
    pub fn expire_tokens(&self) {
        self.state().tokens.clear();
    }

    /// Takes an admin's sudo rights; its tokens stay valid and now get 403. Returns whether there is one.
    pub fn demote(&self, admin: &str) -> bool {
        self.edit_admin(admin, |admin| admin.is_sudo = false)
    }

    /// Gives an admin sudo rights. Returns whether there is one.
    pub fn promote(&self, admin: &str) -> bool {
        self.edit_admin(admin, |admin| admin.is_sudo = true)
    }

    /// Disables an admin's account: PasarGuard answers its logins and all its requests 403. Marzban has no such
    /// state. Returns whether there is such an admin.
    pub fn disable_admin(&self, admin: &str) -> bool {
        self.edit_admin(admin, |admin| admin.disabled = true)
    }

    /// Enables an admin's account again. Returns whether there is one.
    pub fn enable_admin(&self, admin: &str) -> bool {
        self.edit_admin(admin, |admin| admin.disabled = false)
    }

    /// Tokens issued.
    pub fn logins(&self) -> u64 {
        self.state().logins
    }

    /// Logins refused for a wrong name or password; a real panel sends each password tried to its owner's chat.
    pub fn refused_logins(&self) -> u64 {
        self.state().refused_logins
    }

    /// User rows read or written while answering lists, which is the cost of a list.
    pub fn rows_examined(&self) -> u64 {
        self.state().rows_examined
    }

    /// A copy of one user.
    pub fn user(&self, username: &str) -> Option<User> {
        self.state().users.get(username).map(|user| User::clone(user))
    }

    /// The names of all users, sorted.
    pub fn user_names(&self) -> Vec<String> {
        self.state().users.sorted().map(|user| user.username().to_owned()).collect()
    }

    /// Sums over all users now.
    pub fn totals(&self) -> Totals {
        let now_ms = self.now_ms();
        self.state().totals(now_ms, |_| true)
    }

    /// All bytes the panel has recorded: up and down.
    pub fn bandwidth(&self) -> (u64, u64) {
        let state = self.state();
        (state.incoming_bandwidth, state.outgoing_bandwidth)
    }

    fn edit_admin(&self, username: &str, edit: impl FnOnce(&mut state::Admin)) -> bool {
        let mut state = self.state();
        let Some(admin) = state.admins.iter_mut().find(|admin| admin.username == username) else {
            return false;
        };
        edit(admin);
        true
    }

    fn now_ms(&self) -> i64 {
        (self.shared.now_ms)()
    }

    /// A panic in one caller's closure must not break the panel for the others.
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the headers of every answer of a panel.
fn from_uvicorn(answer: Answer, now_ms: i64) -> Answer {
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default().to_zoned(TimeZone::UTC);
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    answer.with(SERVER, "uvicorn").with(DATE, &date)
}

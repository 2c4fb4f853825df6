//! Clients for the watched systems: login, requests, private wire types, and one conversion to the model.

pub mod detect;
mod error;
pub mod json;
mod notes;
mod panel_clock;
mod plan;
mod refusals;
mod refused_keys;
mod step;

pub mod cliproxy;
pub mod marzban;
#[cfg(test)]
pub mod scripted;
pub mod xui;

use std::sync::Arc;

use self::{
    cliproxy::{Cliproxy, config::CliproxyConfig},
    marzban::{Marzban, config::MarzbanConfig},
    xui::{Xui, config::XuiConfig},
};
pub use self::{
    error::{Again, Cause, FetchError, Scope},
    notes::Notes,
    plan::{Pace, Planned},
    refused_keys::RefusedKeys,
    step::{Step, Timeouts},
};
use crate::{
    clock::Beat,
    http::BuildError,
    model::{CounterChange, CounterFamilies, Moment, NamedUsers, Part, Timestamp},
    secret::HashKey,
};

/// A client for one target. One request is in flight at a time, because every read takes `&mut self`.
#[derive(Debug)]
pub enum Upstream {
    Marzban(Box<Marzban>),
    Xui(Box<Xui>),
    Cliproxy(Box<Cliproxy>),
    #[cfg(test)]
    Scripted(Box<scripted::Scripted>),
}

/// The most users that one request asks for by name.
pub const NAMES_AT_ONCE: usize = 50;

impl Upstream {
    /// A client for a Marzban or PasarGuard panel.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn marzban(config: &MarzbanConfig, timeouts: Timeouts) -> Result<Self, BuildError> {
        Ok(Upstream::Marzban(Box::new(Marzban::new(config, timeouts)?)))
    }

    /// A client for a panel of the x-ui family.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn xui(config: &XuiConfig, timeouts: Timeouts) -> Result<Self, BuildError> {
        Ok(Upstream::Xui(Box::new(Xui::new(config, timeouts)?)))
    }

    /// A client for a CLIProxyAPI server. `key` hashes the keys and accounts that it meets.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn cliproxy(
        config: &CliproxyConfig,
        key: HashKey,
        refused: &RefusedKeys,
        timeouts: Timeouts,
    ) -> Result<Self, BuildError> {
        Ok(Upstream::Cliproxy(Box::new(Cliproxy::new(config, key, refused, timeouts)?)))
    }

    /// The parts that this target has, as far as known, each once. The first one decides `up`.
    pub fn plan(&self) -> Vec<Planned> {
        match self {
            Upstream::Marzban(marzban) => marzban.plan(),
            Upstream::Xui(xui) => xui.plan(),
            Upstream::Cliproxy(cliproxy) => cliproxy.plan(),
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.plan.clone(),
        }
    }

    /// Restores the durable counters that an earlier process stored. Returns which of them nothing needs any more.
    pub fn resume(&mut self, counters: &CounterFamilies, now: Moment) -> Vec<CounterChange> {
        match self {
            Upstream::Marzban(marzban) => marzban.resume(counters),
            // It keeps no counters of its own.
            Upstream::Xui(_) => Vec::new(),
            Upstream::Cliproxy(cliproxy) => cliproxy.resume(counters, now),
            #[cfg(test)]
            Upstream::Scripted(scripted) => {
                scripted.resumed.lock().unwrap().extend_from_slice(counters);
                Vec::new()
            }
        }
    }

    /// Waits until the requests for `part` may be made. Unlike reading it, that may be given up at any time.
    pub async fn wait_for_turn(&mut self, part: Part, now: Moment) {
        match self {
            Upstream::Marzban(_) | Upstream::Xui(_) => {}
            Upstream::Cliproxy(cliproxy) => cliproxy.wait_for_turn(part, now).await,
            #[cfg(test)]
            Upstream::Scripted(scripted) => drop(scripted.turn.lock().await),
        }
    }

    /// What must be on disk before `part` is read: that data which the target discards is about to be taken.
    pub fn announce(&mut self, part: Part, now: Moment) -> Vec<CounterChange> {
        match self {
            Upstream::Marzban(_) | Upstream::Xui(_) => Vec::new(),
            Upstream::Cliproxy(cliproxy) => cliproxy.announce(part, now),
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.announce(part),
        }
    }

    /// What must survive a restart although the last read failed.
    pub fn unsaved(&mut self) -> Vec<CounterChange> {
        match self {
            Upstream::Marzban(_) | Upstream::Xui(_) => Vec::new(),
            Upstream::Cliproxy(cliproxy) => cliproxy.unsaved(),
            #[cfg(test)]
            Upstream::Scripted(_) => Vec::new(),
        }
    }

    /// Takes one step at reading `part`.
    ///
    /// # Errors
    /// When the target gave no usable answer. A walk that failed continues at the same place with the next call.
    pub async fn read(&mut self, part: Part, now: Moment) -> Result<Step, FetchError> {
        match self {
            Upstream::Marzban(marzban) => marzban.read(part, now).await,
            Upstream::Xui(xui) => xui.read(part, now).await,
            Upstream::Cliproxy(cliproxy) => cliproxy.read(part, now).await,
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.read(part, now).await,
        }
    }

    /// Asks for some users by name, at most [`NAMES_AT_ONCE`].
    ///
    /// # Errors
    /// As [`Upstream::read`].
    pub async fn read_named(&mut self, names: &[Arc<str>], now: Moment) -> Result<NamedUsers, FetchError> {
        match self {
            Upstream::Marzban(marzban) => marzban.read_named(names, now).await,
            Upstream::Xui(xui) => Ok(xui.read_named(names)),
            // It has no users.
            Upstream::Cliproxy(_) => Ok(NamedUsers::default()),
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.read_named(names, now).await,
        }
    }

    /// Rows of the user list that the present walk has read, and all by the panel's own count; absent: none goes on.
    pub fn walked(&self) -> Option<(usize, Option<usize>)> {
        match self {
            Upstream::Marzban(marzban) => marzban.walked(),
            Upstream::Xui(_) | Upstream::Cliproxy(_) => None,
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.walked,
        }
    }

    /// Restarts an unfinished walk of a part from the beginning.
    pub fn forget_walk(&mut self, part: Part) {
        match self {
            Upstream::Marzban(marzban) => marzban.forget_walk(part),
            Upstream::Xui(_) | Upstream::Cliproxy(_) => {}
            #[cfg(test)]
            Upstream::Scripted(_) => {}
        }
    }

    /// Signals `beat` with every request, which has its own time limit.
    pub fn set_beat(&mut self, beat: &Beat) {
        match self {
            Upstream::Marzban(marzban) => marzban.set_beat(beat),
            Upstream::Xui(xui) => xui.set_beat(beat),
            Upstream::Cliproxy(cliproxy) => cliproxy.set_beat(beat),
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.beat = beat.clone(),
        }
    }

    /// Takes the prices of tokens and the time zone of budgets from a client that is set up with others.
    pub fn set_costs(&mut self, newer: Upstream) {
        if let (Upstream::Cliproxy(cliproxy), Upstream::Cliproxy(newer)) = (self, newer) {
            cliproxy.set_costs(*newer);
        }
    }

    /// Sets the time limits of the next requests.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        match self {
            Upstream::Marzban(marzban) => marzban.set_timeouts(timeouts),
            Upstream::Xui(xui) => xui.set_timeouts(timeouts),
            Upstream::Cliproxy(cliproxy) => cliproxy.set_timeouts(timeouts),
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.timeouts = Some(timeouts),
        }
    }

    /// What happened since the last call.
    pub fn take_notes(&mut self) -> Notes {
        match self {
            Upstream::Marzban(marzban) => marzban.take_notes(),
            Upstream::Xui(xui) => xui.take_notes(),
            Upstream::Cliproxy(cliproxy) => cliproxy.take_notes(),
            #[cfg(test)]
            Upstream::Scripted(scripted) => std::mem::take(&mut scripted.notes),
        }
    }

    /// When the certificate that the target presented last expires.
    pub fn certificate_expiry(&self) -> Option<Timestamp> {
        match self {
            Upstream::Marzban(marzban) => marzban.certificate_expiry(),
            Upstream::Xui(xui) => xui.certificate_expiry(),
            Upstream::Cliproxy(cliproxy) => cliproxy.certificate_expiry(),
            #[cfg(test)]
            Upstream::Scripted(_) => None,
        }
    }
}

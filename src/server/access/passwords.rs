use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::super::config::{PasswordHash, Users};
use crate::telemetry::Telemetry;

/// Hashing takes a whole core: no more than this at once.
const MAX_RUNNING: usize = 1;

/// Passwords that may wait for their turn; beyond that they are refused unseen.
const MAX_WAITING: usize = 16;

/// Passwords that are remembered as right.
const MAX_KNOWN: usize = 100;

/// Holds passwords against their hashes, each pair once as a rule: bcrypt takes long on purpose, and a scraper comes
/// again and again.
#[derive(Debug)]
pub(super) struct Passwords {
    /// With a key of this process alone, so that what is remembered is worth nothing to anybody.
    mac: Hmac<Sha256>,
    /// Codes of name, hash and password together: when the hash changes, nothing of it is remembered. Wrong ones are
    /// not, or guesses could push out the right ones.
    known: Mutex<HashSet<[u8; 32]>>,
    running: Arc<Semaphore>,
    waiting: Semaphore,
    telemetry: Telemetry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Too many are waiting.
    Busy,
}

impl Passwords {
    pub(super) fn new(key: &[u8; 32], telemetry: Telemetry) -> Self {
        Passwords {
            mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length"),
            known: Mutex::default(),
            running: Arc::new(Semaphore::new(MAX_RUNNING)),
            waiting: Semaphore::new(MAX_WAITING),
            telemetry,
        }
    }

    /// Whether one of `users` has this name and this password.
    pub(super) async fn check(&self, users: &Users, name: &[u8], password: &[u8]) -> Verdict {
        let user = std::str::from_utf8(name).ok().and_then(|name| users.get(name));
        let Some(hash) = user.or_else(|| self.stand_in(users, name)) else { return Verdict::Wrong };
        let code = self.code(&[b"password", name, hash.as_bytes(), password]);
        let is_known = || user.is_some() && self.known().contains(&code);
        if is_known() {
            return Verdict::Right;
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Verdict::Busy };
        // The semaphore is never closed.
        let Ok(turn) = Arc::clone(&self.running).acquire_owned().await else { return Verdict::Busy };
        // Somebody who waited ahead may have had the same password.
        if is_known() {
            return Verdict::Right;
        }
        self.telemetry.http_password_check();
        let (hash, password) = (hash.clone(), password.to_vec());
        // The turn goes along, so that it lasts to the end also when whoever asked has gone away meanwhile.
        let matches = tokio::task::spawn_blocking(move || (hash.matches(&password), turn));
        // It fails only when the runtime ends.
        let Ok((matches, _turn)) = matches.await else { return Verdict::Busy };
        if user.is_none() || !matches {
            return Verdict::Wrong;
        }
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(code);
        Verdict::Right
    }

    /// Whether two secrets are the same, in a time that does not depend on where they differ.
    pub(super) fn same(&self, a: &[u8], b: &[u8]) -> bool {
        self.mac(&[b"token", a]).verify_slice(&self.code(&[b"token", b])).is_ok()
    }

    /// The hash of some user, always the same one for a name that nobody has: whoever asks for it waits as long as for
    /// a user, whatever the costs of the hashes, and what comes out of it is not looked at.
    fn stand_in<'u>(&self, users: &'u Users, name: &[u8]) -> Option<&'u PasswordHash> {
        let [first, second, ..] = self.code(&[b"stand-in", name]);
        let index = usize::from(u16::from_be_bytes([first, second]));
        users.values().nth(index.checked_rem(users.len())?)
    }

    fn code(&self, pieces: &[&[u8]]) -> [u8; 32] {
        self.mac(pieces).finalize().into_bytes().into()
    }

    /// Of pieces with their lengths, so that nothing moves from one to the next unseen.
    fn mac(&self, pieces: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for piece in pieces {
            mac.update(&piece.len().to_be_bytes());
            mac.update(piece);
        }
        mac
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Checks of passwords. One bcrypt runs at a time.
//!
//! Each peer (an address, or a /64 of IPv6) has at most one password waiting; further ones get 503. Passwords that were
//! right are remembered as a keyed digest of name, hash and password, so a changed hash is not matched by an old digest,
//! and a changed configuration forgets nothing else. Unknown users are checked against an existing hash, so response
//! time reveals nothing.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{Instant, timeout_at},
};

use super::super::config::{PasswordHash, Users};
use crate::telemetry::Telemetry;

/// Hashing takes a whole core: no more than this at once.
const MAX_RUNNING: usize = 1;

/// Passwords that wait longer are refused unchecked. Scrapers wait longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Passwords that are remembered as right.
const MAX_KNOWN: usize = 100;

/// Checks passwords against their hashes, each pair once as a rule: bcrypt is slow on purpose, and scrapers repeat
/// their requests. Each peer may have one check waiting, and peers take turns, so guessing delays others by one check at
/// most.
#[derive(Debug)]
pub(super) struct Passwords {
    /// With a key of this process, so that the digests are worthless elsewhere.
    mac: Hmac<Sha256>,
    /// Codes of name, hash and password together, so a changed hash invalidates them. Wrong passwords are not kept, or
    /// guesses could push out the right ones.
    known: Mutex<HashSet<Code>>,
    /// Checks that run or wait.
    asked: Mutex<HashMap<IpAddr, Arc<Question>>>,
    running: Arc<Semaphore>,
    telemetry: Telemetry,
}

type Code = [u8; 32];

/// Whether a password is right, asked by as many requests of one peer as send it meanwhile.
#[derive(Debug)]
struct Question {
    code: Code,
    answer: OnceCell<bool>,
}

/// A request that waits for the answer to a question. The last one takes the question away.
struct Asking<'p> {
    passwords: &'p Passwords,
    peer: IpAddr,
    question: Arc<Question>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asked = self.passwords.asked();
        // It is cloned under the lock only: this one and the one that is kept.
        if Arc::strong_count(&self.question) == 2 {
            asked.remove(&self.peer);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Its turn has not come.
    Busy,
}

impl Passwords {
    pub(super) fn new(key: &[u8; 32], telemetry: Telemetry) -> Self {
        Passwords {
            mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length"),
            known: Mutex::default(),
            asked: Mutex::default(),
            running: Arc::new(Semaphore::new(MAX_RUNNING)),
            telemetry,
        }
    }

    /// Whether one of `users` has this name and this password, as `peer` says.
    pub(super) async fn check(&self, users: &Users, name: &[u8], password: &[u8], peer: IpAddr) -> Verdict {
        let user = std::str::from_utf8(name).ok().and_then(|name| users.get(name));
        let Some(hash) = user.or_else(|| self.stand_in(users, name)) else { return Verdict::Wrong };
        let code = self.code(&[b"password", name, hash.as_bytes(), password]);
        let is_known = || user.is_some() && self.known().contains(&code);
        if is_known() {
            return Verdict::Right;
        }
        let patience = Instant::now() + PATIENCE;
        let Some(asking) = self.ask(peer, code) else { return Verdict::Busy };
        let look = async || {
            let turn = timeout_at(patience, Arc::clone(&self.running).acquire_owned()).await;
            // The semaphore is never closed.
            let Ok(Ok(turn)) = turn else { return Err(Verdict::Busy) };
            // An earlier request may have had the same password.
            if is_known() {
                return Ok(true);
            }
            self.telemetry.http_password_check();
            let (hash, password) = (hash.clone(), password.to_vec());
            // Holds the turn to the end, even if the client leaves.
            let matches = tokio::task::spawn_blocking(move || (hash.matches(&password), turn));
            // It fails only when the runtime ends.
            let (matches, _turn) = matches.await.map_err(|_| Verdict::Busy)?;
            let right = user.is_some() && matches;
            if right {
                self.remember(code);
            }
            Ok(right)
        };
        match asking.question.answer.get_or_try_init(look).await {
            Ok(true) => Verdict::Right,
            Ok(false) => Verdict::Wrong,
            Err(verdict) => verdict,
        }
    }

    /// A place in the queue; absent: the peer has another password there.
    fn ask(&self, peer: IpAddr, code: Code) -> Option<Asking<'_>> {
        let peer = network(peer);
        let mut asked = self.asked();
        let question =
            asked.entry(peer).or_insert_with(|| Arc::new(Question { code, answer: OnceCell::new() }));
        let question = Arc::clone(question);
        // Not made before: dropping it takes the lock.
        (question.code == code).then(|| Asking { passwords: self, peer, question })
    }

    fn remember(&self, code: Code) {
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(code);
    }

    /// Whether two secrets are the same, in a time that does not depend on where they differ.
    pub(super) fn same(&self, a: &[u8], b: &[u8]) -> bool {
        self.mac(&[b"token", a]).verify_slice(&self.code(&[b"token", b])).is_ok()
    }

    /// The hash of some user, always the same one for the same unknown name. Checking it takes as long as for a known
    /// user, whatever the costs of the hashes. The outcome is ignored.
    fn stand_in<'u>(&self, users: &'u Users, name: &[u8]) -> Option<&'u PasswordHash> {
        let [first, second, ..] = self.code(&[b"stand-in", name]);
        let index = usize::from(u16::from_be_bytes([first, second]));
        users.values().nth(index.checked_rem(users.len())?)
    }

    fn code(&self, pieces: &[&[u8]]) -> Code {
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

    fn known(&self) -> MutexGuard<'_, HashSet<Code>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Question>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network that counts as one peer: of IPv6 a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (address, network_of) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::9", "2001:db8:1:2::"),
            ("2001:db8:1:3::9", "2001:db8:1:3::"),
        ] {
            let addresses: [IpAddr; 2] = [address, network_of].map(|address| address.parse().unwrap());
            assert_eq!(network(addresses[0]), addresses[1]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_waits_for_one_password_and_only_for_a_while() {
        let passwords = Passwords::new(&[7; 32], Telemetry::new());
        let hash = |password| PasswordHash::parse(&bcrypt::hash(password, 4).unwrap()).unwrap();
        let users: Users = [("alice".to_owned(), hash("right"))].into();
        let [here, there] = ["127.0.0.1", "127.0.0.2"].map(|address| address.parse().unwrap());
        let check =
            |password: &'static str, peer| passwords.check(&users, b"alice", password.as_bytes(), peer);
        let turn = Arc::clone(&passwords.running).acquire_owned().await.unwrap();
        let start = Instant::now();
        let all = tokio::join!(check("a", there), check("b", there), check("right", here), check("a", there));
        assert_eq!(<[Verdict; 4]>::from(all), [Verdict::Busy; 4]);
        assert_eq!(start.elapsed(), PATIENCE);
        assert!(passwords.asked().is_empty());

        let free = async { drop(turn) };
        let all =
            tokio::join!(check("a", there), check("b", there), check("right", here), check("a", there), free);
        assert_eq!(
            (all.0, all.1, all.2, all.3),
            (Verdict::Wrong, Verdict::Busy, Verdict::Right, Verdict::Wrong)
        );
        assert!(passwords.asked().is_empty());
        let _turn = Arc::clone(&passwords.running).acquire_owned().await.unwrap();
        assert_eq!(check("right", there).await, Verdict::Right);
    }
}

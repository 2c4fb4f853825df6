//! The management key, and what follows when the server does not accept it.
//!
//! Five refused requests from one address ban it for 30 minutes, and with it the administrator's browser if that has the
//! same address. Only an accepted request or two hours without any clear the count. So a refusal stops all requests for
//! longer than such a ban, and a third one for longer than the count is kept, for all who have the same key, see
//! [`RefusedKeys`].

use std::time::Duration;

use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, HeaderValue},
};
use tokio::sync::OwnedMutexGuard;

use super::config::CliproxyConfig;
use crate::{
    http::{self, sensitive},
    model::{Moment, Reason},
    upstream::{
        Again, Cause, FetchError, RefusedKeys,
        json::{self, Object, OddFields},
        refused_keys::{Refused, RefusedKey},
    },
};

/// How long a refused key is not sent again.
const REFUSED_FOR: Duration = Duration::from_secs(35 * 60);
/// The same after some refusals in a row: the server looks every hour for counts that are two hours old.
const REFUSED_AGAIN_FOR: Duration = Duration::from_secs(185 * 60);
const SOME: u32 = 3;
/// How long a ban lasts that does not say so, and the limits of what it may say.
const BAN: Duration = Duration::from_secs(30 * 60);
const SHORTEST_BAN: Duration = Duration::from_secs(10);
const LONGEST_BAN: Duration = Duration::from_secs(2 * 3600);

const UNKNOWN: &str = "it is not known whether the server refused the key before, because the file of refused keys in the \
                       storage folder cannot be read; until it can be, the key is not sent for 35 minutes";

/// The key, and whether it may be sent.
#[derive(Debug)]
pub(super) struct Session {
    header: Option<HeaderValue>,
    key: RefusedKey,
}

fn wait(refused: Refused) -> Duration {
    if refused.times < SOME { REFUSED_FOR } else { REFUSED_AGAIN_FOR }
}

impl Session {
    pub(super) fn new(config: &CliproxyConfig, keys: &RefusedKeys) -> Self {
        let key = config.key.expose();
        let header = sensitive(&format!("Bearer {key}")).filter(|_| !key.trim().is_empty());
        Session { header, key: keys.of(config.endpoint.url.origin(), &config.key) }
    }

    /// Waits until no other target sends the key. Requests may be made while the turn is held.
    pub(super) async fn turn(&self, now: Moment) -> OwnedMutexGuard<()> {
        self.key.turn(now).await
    }

    /// Stores what a turn showed of the key.
    pub(super) async fn keep(&self, now: Moment) {
        self.key.keep(now).await;
    }

    /// Adds the key to a request.
    ///
    /// # Errors
    /// While a refusal is too recent or may be, and if the key fits no header.
    pub(super) fn authorize(
        &self,
        asked: &'static str,
        request: RequestBuilder,
        now: Moment,
    ) -> Result<RequestBuilder, FetchError> {
        let left = |wait: Duration, at| wait.checked_sub(now.since(at)).filter(|left| !left.is_zero());
        if let Some(left) = self.key.last().and_then(|refused| left(wait(refused), refused.at)) {
            return Err(refused(asked, 401, left));
        }
        if self.key.unknown_since().and_then(|since| left(REFUSED_FOR, since)).is_some() {
            return Err(FetchError::new(asked, Cause::Hint(Reason::Auth, UNKNOWN)));
        }
        // An empty key counts as a refused one.
        let header = self.header.clone().ok_or_else(|| refused(asked, 401, REFUSED_FOR))?;
        Ok(request.header(AUTHORIZATION, header))
    }

    /// The server accepted the key.
    pub(super) fn was_accepted(&self) {
        self.key.was_accepted();
    }

    /// The failure that the refusal of a request is.
    pub(super) fn judge(&self, asked: &'static str, refusal: http::Refusal, now: Moment) -> FetchError {
        let failure = |cause, again| FetchError { asked, cause, again };
        let (status, why) = match refusal.error {
            http::Error::Status(401) | http::Error::Page(401) => (401, Forbidden::Other),
            http::Error::Status(403) | http::Error::Page(403) => (403, forbidden(&refusal.said)),
            _ => return FetchError::refused(asked, refusal),
        };
        match why {
            Forbidden::Banned(wait) => failure(Cause::Banned(wait), Again::NotBefore(wait)),
            Forbidden::Remote => failure(Cause::Hint(Reason::Forbidden, REMOTE), Again::Usual),
            Forbidden::NoKey => failure(Cause::Hint(Reason::Forbidden, NO_KEY), Again::Usual),
            // The server may count a 403 in unknown words too.
            Forbidden::Other => {
                let times = self.key.last().map_or(1, |refused| refused.times.saturating_add(1));
                let last = Refused { at: now, times };
                self.key.was_refused(last);
                refused(asked, status, wait(last))
            }
        }
    }
}

/// The failure that a refused key is, which is sent again after `left`.
fn refused(asked: &'static str, status: u16, left: Duration) -> FetchError {
    let left = Duration::from_secs(left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)));
    FetchError { asked, cause: Cause::Key { status, left }, again: Again::WhenChanged { at_latest: left } }
}

const REMOTE: &str = "the server accepts the management key from its own machine only (answered 403): set \
                      remote-management.allow-remote there";
const NO_KEY: &str =
    "the server has no management key (answered 403): set remote-management.secret-key there";

/// Why the server answers 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forbidden {
    Banned(Duration),
    Remote,
    NoKey,
    Other,
}

fn forbidden(said: &[u8]) -> Forbidden {
    let odd = OddFields::default();
    let raw = json::from_bytes(said).ok();
    let words = raw.and_then(|raw| Object::new("refusal", &raw, &odd)?.text("error"));
    match words.unwrap_or_default().to_ascii_lowercase() {
        words if words.contains("banned") => {
            let wait = words.rsplit_once("try again in ").and_then(|(_, wait)| go_duration(wait.trim()));
            Forbidden::Banned(wait.unwrap_or(BAN).clamp(SHORTEST_BAN, LONGEST_BAN))
        }
        words if words.contains("remote management disabled") => Forbidden::Remote,
        words if words.contains("key not set") => Forbidden::NoKey,
        _ => Forbidden::Other,
    }
}

/// A duration as Go writes it, e.g. `1h0m0s` or `29m58.5s`, rounded up to seconds.
fn go_duration(text: &str) -> Option<Duration> {
    let (mut whole, mut number) = (Duration::ZERO, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() || c == '.' {
            number.push(c);
            continue;
        }
        let unit = match c {
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            _ => return None,
        };
        let seconds = number.parse::<f64>().ok()? * unit;
        whole = whole.checked_add(Duration::try_from_secs_f64(seconds.ceil()).ok()?)?;
        number.clear();
    }
    (number.is_empty() && !text.is_empty()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::{model::Timestamp, upstream::cliproxy::config::test_config};

    fn said(words: &str) -> Vec<u8> {
        format!(r#"{{"error":"{words}"}}"#).into_bytes()
    }

    fn at(minutes: u64) -> Moment {
        let wall = Timestamp::from_secs(1_795_000_000).saturating_add(Duration::from_secs(minutes * 60));
        Moment { wall, uptime: Duration::from_secs((100 + minutes) * 60) }
    }

    fn session(key: &str, keys: &RefusedKeys) -> Session {
        Session::new(&CliproxyConfig { key: key.into(), ..test_config() }, keys)
    }

    fn waits(session: &Session, now: Moment) -> Option<Again> {
        static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
            let tls = crate::http::tls_config(&crate::http::options::TlsOptions::default()).unwrap();
            reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
        });
        session.authorize("/", CLIENT.get("http://localhost/"), now).err().map(|err| err.again)
    }

    #[test]
    fn what_a_403_says_is_told_apart() {
        let banned = |secs| Forbidden::Banned(Duration::from_secs(secs));
        for (words, expected) in [
            ("IP banned due to too many failed attempts. Try again in 30m0s", banned(1800)),
            ("IP banned due to too many failed attempts. Try again in 29m58s", banned(1798)),
            ("IP banned due to too many failed attempts. Try again in 1.5s", banned(10)),
            ("IP banned due to too many failed attempts. Try again in 1h0m3.2s", banned(3604)),
            ("IP banned due to too many failed attempts. Try again in 99999h", banned(7200)),
            ("IP banned due to too many failed attempts. Try again in a while", banned(1800)),
            ("IP banned", banned(1800)),
            ("remote management disabled", Forbidden::Remote),
            ("remote management key not set", Forbidden::NoKey),
            ("no", Forbidden::Other),
        ] {
            assert_eq!(forbidden(&said(words)), expected, "{words}");
        }
        assert_eq!(forbidden(b"<html>"), Forbidden::Other);
    }

    fn refuse(session: &Session, status: u16, now: Moment) -> FetchError {
        session.judge("/", http::Error::Status(status).into(), now)
    }

    fn left(minutes: u64) -> Option<Again> {
        Some(Again::WhenChanged { at_latest: Duration::from_secs(minutes * 60) })
    }

    #[test]
    fn a_refused_key_is_not_sent_for_35_minutes_nor_for_three_hours_from_the_third_time_on() {
        let keys = RefusedKeys::in_memory();
        let first = session("canary", &keys);
        assert_eq!(waits(&first, at(0)), None);
        let err = refuse(&first, 401, at(0));
        assert_eq!((err.reason(), Some(err.again)), (Reason::Auth, left(35)));
        assert!(err.to_string().contains("after 35m,"), "{err}");
        // Another target of the same server has the same key, and one another key.
        let (same, other) = (session("canary", &keys), session("another", &keys));
        for session in [&first, &same] {
            assert_eq!(waits(session, at(5)), left(30));
            assert_eq!(waits(session, at(35)), None);
        }
        assert_eq!(waits(&other, at(5)), None);
        first.was_accepted();
        assert_eq!(waits(&same, at(5)), None);
        // Each refusal is counted by the server, and forgotten after two hours and something.
        let mut sent = Vec::new();
        for minute in 0..1000 {
            if waits(&first, at(minute)).is_none() {
                sent.push(minute);
                let err = refuse(&first, 401, at(minute));
                let words = if sent.len() < 3 { "after 35m," } else { "after 3h 5m," };
                assert!(err.to_string().contains(words), "{err}");
            }
        }
        assert_eq!(sent, [0, 35, 70, 255, 440, 625, 810, 995]);
        assert!(!format!("{first:?} {keys:?}").contains("canary"));
    }

    #[test]
    fn a_403_in_unknown_words_counts_as_a_refused_key() {
        let session = session("canary", &RefusedKeys::in_memory());
        for error in [http::Error::Status(403), http::Error::Page(403)] {
            let err = session.judge("/", error.into(), at(0));
            assert!(err.to_string().contains("403"), "{err}");
            assert_eq!((err.reason(), waits(&session, at(34))), (Reason::Auth, left(1)));
            session.was_accepted();
        }
        let said = said("remote management disabled").into();
        let known = http::Refusal { said, ..http::Error::Status(403).into() };
        assert_eq!(session.judge("/", known, at(0)).reason(), Reason::Forbidden);
        assert_eq!(waits(&session, at(0)), None);
    }

    #[tokio::test]
    async fn while_it_is_unknown_whether_a_key_was_refused_it_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("refused-keys.json");
        std::fs::write(&file, "[]").unwrap();
        let begin = async |keys: RefusedKeys, minutes| {
            let session = session("canary", &keys);
            drop(session.turn(at(minutes)).await);
            session
        };
        let next = begin(RefusedKeys::in_folder(folder.path()), 0).await;
        for (minutes, expected) in [(0, Some(Again::Usual)), (34, Some(Again::Usual)), (35, None)] {
            drop(next.turn(at(minutes)).await);
            assert_eq!(waits(&next, at(minutes)), expected, "{minutes}");
        }
        let once = begin(RefusedKeys::in_folder(folder.path()).without_waiting(), 0).await;
        assert_eq!(waits(&once, at(0)), None);
        // The file is replaced as soon as it is known.
        refuse(&next, 401, at(35));
        next.keep(at(35)).await;
        let later = begin(RefusedKeys::in_folder(folder.path()), 40).await;
        assert_eq!(waits(&later, at(40)), left(30));
        // No file is one without refusals.
        std::fs::remove_file(&file).unwrap();
        let later = begin(RefusedKeys::in_folder(folder.path()), 41).await;
        assert_eq!(waits(&later, at(41)), None);
    }

    #[test]
    fn an_empty_key_is_never_sent() {
        for key in ["", " ", "\n"] {
            assert!(waits(&session(key, &RefusedKeys::in_memory()), at(0)).is_some(), "{key:?}");
        }
    }
}

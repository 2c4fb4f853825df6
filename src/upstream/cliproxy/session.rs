//! The management key, and what follows when the server does not accept it.
//!
//! Five refused requests from one address ban it for 30 minutes, and with it the administrator's browser if that has the
//! same address. Only an accepted request or two hours without any clear the count. So a refusal stops all requests for
//! longer than such a ban, a third one for longer than the count is kept, and both are stored: a process that restarts again
//! and again sends the same key no sooner.

use std::time::Duration;

use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, HeaderValue},
};
use serde_json::value::RawValue;

use super::stored;
use crate::{
    http,
    model::{CounterRow, Moment, Reason, Timestamp},
    secret::{HashKey, Secret},
    upstream::{
        Again, Cause, FetchError,
        json::{Object, OddFields},
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

const CHECK: &str = "management_key; it is sent again when the configuration changes, or after 35 minutes, because the \
                     server bans an address after five refused requests";

/// The row of a refusal: when it was, of which key, and how many there were in a row.
const REFUSED: &str = "refused";

/// The key, and whether it may be sent.
#[derive(Debug)]
pub(super) struct Session {
    header: Option<HeaderValue>,
    /// Stands for the key in a stored row.
    print: u64,
    refused: Option<Refused>,
}

/// The last refusal.
#[derive(Clone, Copy, Debug)]
struct Refused {
    at: Moment,
    /// Refusals in a row.
    times: u32,
}

impl Refused {
    fn wait(self) -> Duration {
        if self.times < SOME { REFUSED_FOR } else { REFUSED_AGAIN_FOR }
    }
}

impl Session {
    pub(super) fn new(key: &Secret, hash: &HashKey) -> Self {
        let header = HeaderValue::from_bytes(format!("Bearer {}", key.expose()).as_bytes()).ok();
        let header = header.filter(|_| !key.expose().trim().is_empty()).map(|mut header| {
            header.set_sensitive(true);
            header
        });
        let print = hash.number(format!("management key {}", key.expose()).as_bytes());
        Session { header, print, refused: None }
    }

    /// Adds the key to a request.
    ///
    /// # Errors
    /// While a refusal is too recent, and if the key fits no header.
    pub(super) fn authorize(
        &self,
        asked: &'static str,
        request: RequestBuilder,
        now: Moment,
    ) -> Result<RequestBuilder, FetchError> {
        let refused = |left| FetchError {
            asked,
            cause: Cause::login(401, CHECK),
            again: Again::WhenChanged { at_latest: left },
        };
        let left = self.refused.and_then(|refused| refused.wait().checked_sub(now.since(refused.at)));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Err(refused(left));
        }
        // An empty key counts as a refused one.
        let header = self.header.clone().ok_or_else(|| refused(REFUSED_FOR))?;
        Ok(request.header(AUTHORIZATION, header))
    }

    /// The server accepted the key.
    pub(super) fn was_accepted(&mut self) {
        self.refused = None;
    }

    /// The failure that the refusal of a request is.
    pub(super) fn judge(&mut self, asked: &'static str, refusal: http::Refusal, now: Moment) -> FetchError {
        let failure = |cause, again| FetchError { asked, cause, again };
        match refusal.error {
            http::Error::Status(401) | http::Error::Page(401) => {
                let times = self.refused.map_or(1, |refused| refused.times.saturating_add(1));
                let refused = Refused { at: now, times };
                self.refused = Some(refused);
                failure(Cause::login(401, CHECK), Again::WhenChanged { at_latest: refused.wait() })
            }
            http::Error::Status(403) => match forbidden(&refusal.said) {
                Forbidden::Banned(wait) => failure(Cause::Banned(wait), Again::NotBefore(wait)),
                Forbidden::Remote => failure(Cause::Hint(Reason::Forbidden, REMOTE), Again::Usual),
                Forbidden::NoKey => failure(Cause::Hint(Reason::Forbidden, NO_KEY), Again::Usual),
                Forbidden::Other => FetchError::refused(asked, refusal),
            },
            _ => FetchError::refused(asked, refusal),
        }
    }

    /// What must survive a restart.
    pub(super) fn rows(&self) -> Vec<CounterRow> {
        let row = |Refused { at, times }: Refused| {
            let values = vec![stored::millis(at.wall), self.print, times.into()];
            CounterRow { labels: REFUSED.to_owned(), values }
        };
        self.refused.map(row).into_iter().collect()
    }

    /// Restores what an earlier process stored. The refusal of another key is none of this one.
    pub(super) fn restore(&mut self, rows: &[CounterRow], now: Moment) {
        for CounterRow { labels, values } in rows {
            if let (REFUSED, [millis, print, times]) = (labels.as_str(), values.as_slice())
                && *print == self.print
                && let Ok(millis) = i64::try_from(*millis)
            {
                let at = Moment::restored(Timestamp::from_millis(millis), now);
                self.refused = Some(Refused { at, times: u32::try_from(*times).unwrap_or(u32::MAX) });
            }
        }
    }
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
    let raw = serde_json::from_slice::<Box<RawValue>>(said).ok();
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
    use super::*;

    fn said(words: &str) -> Vec<u8> {
        format!(r#"{{"error":"{words}"}}"#).into_bytes()
    }

    fn at(minutes: u64) -> Moment {
        let wall = Timestamp::from_secs(1_795_000_000).saturating_add(Duration::from_secs(minutes * 60));
        Moment { wall, uptime: Duration::from_secs((100 + minutes) * 60) }
    }

    fn session(key: &str) -> Session {
        Session::new(&Secret::from(key), &HashKey::new(b"key"))
    }

    fn waits(session: &Session, now: Moment) -> Option<Again> {
        let request = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(
            crate::http::tls_config(&crate::http::options::TlsOptions::default()).unwrap(),
        );
        let request = request.build().unwrap().get("http://localhost/");
        session.authorize("/", request, now).err().map(|err| err.again)
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

    #[test]
    fn a_refused_key_is_not_sent_for_35_minutes_not_even_by_the_next_process() {
        let mut first = session("canary");
        assert_eq!(waits(&first, at(0)), None);
        let refusal = http::Error::Status(401).into();
        let err = first.judge("/", refusal, at(0));
        assert_eq!(err.reason(), Reason::Auth);
        assert_eq!(err.again, Again::WhenChanged { at_latest: REFUSED_FOR });
        let left = |minutes: u64| Some(Again::WhenChanged { at_latest: Duration::from_secs(minutes * 60) });
        let mut next = session("canary");
        next.restore(&first.rows(), at(5));
        let mut other = session("another");
        other.restore(&first.rows(), at(5));
        for session in [&first, &next] {
            assert_eq!(waits(session, at(5)), left(30));
            assert_eq!(waits(session, at(35)), None);
        }
        assert_eq!(waits(&other, at(5)), None);
        first.was_accepted();
        assert!(first.rows().is_empty());
        // Each refusal is counted by the server, and forgotten after two hours and something.
        let (mut sent, mut session) = (Vec::new(), session("canary"));
        for minute in 0..1000 {
            if waits(&session, at(minute)).is_none() {
                sent.push(minute);
                session.judge("/", http::Error::Status(401).into(), at(minute));
            }
        }
        assert_eq!(sent, [0, 35, 70, 255, 440, 625, 810, 995]);
        assert!(!format!("{first:?}").contains("canary"));
    }

    #[test]
    fn an_empty_key_is_never_sent() {
        for key in ["", " ", "\n"] {
            assert!(waits(&session(key), at(0)).is_some(), "{key:?}");
        }
    }
}

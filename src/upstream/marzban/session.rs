//! The token, and when to get a new one.

use std::{collections::VecDeque, fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{RequestBuilder, header::HeaderValue};
use serde::Deserialize;

use super::config::Login;
use crate::{model::Moment, secret::Secret, upstream::refusals};

/// A token is renewed this long before it ends, so that it does not end in the middle of a walk's page.
const EARLY: Duration = Duration::from_secs(60);

/// A login that was accepted before is tried again after between this time and twice this time: a panel or a proxy may
/// refuse everything for some seconds.
const AFTER_FIRST_REFUSAL: Duration = Duration::from_secs(30);
/// How many times within an hour a new login is made at once when the panel no longer accepts a token, and how long each
/// one after that waits for the one before.
const RENEWALS: usize = 3;
const RENEWALS_WITHIN: Duration = Duration::from_secs(3600);
const BETWEEN_RENEWALS: Duration = Duration::from_secs(600);

/// An open session, or none.
#[derive(Debug, Default)]
pub(super) struct Session {
    token: Option<Token>,
    /// Refused or failed logins in a row.
    refusals: u32,
    /// The first refusal is followed by one more try soon: the panel accepted the login before, or it was not the panel
    /// that refused it.
    once_more: bool,
    /// When tokens were replaced that should still have been good, by the daemon's uptime: the last few.
    renewals: VecDeque<Duration>,
    warned: bool,
}

/// Why the panel itself forbids a request (403).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// This account may not read it.
    Right,
    /// The account is switched off, and may read nothing.
    Account,
}

impl Forbidden {
    /// By the panel's own words: `{"detail": "You're not allowed"}`, in PasarGuard 5 "Permission denied: nodes.read". A
    /// proxy or firewall says something else.
    pub(super) fn of(said: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Said {
            detail: String,
        }

        let Said { detail } = serde_json::from_slice(said).ok()?;
        if detail == "You're not allowed" || detail.starts_with("Permission denied") {
            Some(Forbidden::Right)
        } else if detail == "your account has been disabled" {
            Some(Forbidden::Account)
        } else {
            None
        }
    }
}

struct Token {
    value: Secret,
    /// By the daemon's uptime; absent: the panel's tokens do not expire.
    ends: Option<Duration>,
}

impl Session {
    pub(super) fn is_open(&self, now: Moment) -> bool {
        self.token.as_ref().is_some_and(|token| token.ends.is_none_or(|ends| now.uptime < ends))
    }

    pub(super) fn open(&mut self, token: String, now: Moment) {
        let ends =
            lifetime(&token).map(|lifetime| now.uptime + lifetime.saturating_sub(EARLY.min(lifetime / 2)));
        self.token = Some(Token { value: Secret::from(token), ends });
    }

    pub(super) fn close(&mut self) {
        self.token = None;
    }

    /// The panel accepted what the login gave.
    pub(super) fn was_accepted(&mut self) {
        self.refusals = 0;
        self.once_more = true;
    }

    /// The panel refused the login, or it failed. Returns how long to wait before the next one. `chance` is between 0 and
    /// 1.
    pub(super) fn was_refused(&mut self, chance: f64) -> Duration {
        self.refusals += 1;
        let waits = self.refusals - u32::from(self.once_more);
        match waits.checked_sub(1) {
            Some(before) => refusals::wait_after(before),
            None => AFTER_FIRST_REFUSAL.mul_f64(1.0 + chance.clamp(0.0, 1.0)),
        }
    }

    /// The login did not reach the panel: something in front of it answered.
    pub(super) fn was_not_reached(&mut self) {
        self.once_more |= self.refusals == 0;
    }

    /// Whether a token that should still be good may be replaced now.
    pub(super) fn may_renew(&self, now: Moment) -> bool {
        let recent = self.renewals.iter().filter(|at| now.uptime.saturating_sub(**at) < RENEWALS_WITHIN);
        let last =
            self.renewals.back().is_none_or(|last| now.uptime.saturating_sub(*last) >= BETWEEN_RENEWALS);
        recent.count() < RENEWALS || last
    }

    /// A token that should still be good is being replaced.
    pub(super) fn renews(&mut self, now: Moment) {
        self.renewals.push_back(now.uptime);
        if self.renewals.len() > RENEWALS {
            self.renewals.pop_front();
        }
    }

    /// Whether to warn that the panel forgets its sessions: once.
    pub(super) fn warns(&mut self) -> bool {
        !std::mem::replace(&mut self.warned, true)
    }

    /// The body for the token endpoint, which takes a form, not JSON.
    pub(super) fn form(login: &Login) -> Option<[(&'static str, &str); 3]> {
        match login {
            Login::Password { username, password } => {
                Some([("grant_type", "password"), ("username", username), ("password", password.expose())])
            }
            Login::ApiKey(_) => None,
        }
    }

    pub(super) fn authorize(&self, request: RequestBuilder, login: &Login) -> RequestBuilder {
        match (login, &self.token) {
            (Login::ApiKey(key), _) => request.header("X-Api-Key", key.expose()),
            (Login::Password { .. }, Some(token)) => request.bearer_auth(token.value.expose()),
            (Login::Password { .. }, None) => request,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// Whether a token fits into a request header. A token from a panel is not trusted.
pub(super) fn can_be_sent(token: &str) -> bool {
    const LONGEST: usize = 16 * 1024;
    token.len() <= LONGEST && HeaderValue::from_str(token).is_ok()
}

#[derive(Deserialize)]
struct Claims {
    iat: Option<i64>,
    exp: Option<i64>,
}

/// The lifetime of a token, from the difference of its own two times, so that the panel's clock does not matter.
/// Absent for a token that does not expire (`JWT_ACCESS_TOKEN_EXPIRE_MINUTES` of 0 or less) and for one that is not a
/// JWT.
fn lifetime(token: &str) -> Option<Duration> {
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let seconds = claims.exp?.checked_sub(claims.iat?)?;
    // A token that would not live at all is tried, until the panel refuses it.
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../../tests/fixtures/marzban/token-ok-sudo.json");

    fn at(seconds: u64) -> Moment {
        Moment { uptime: Duration::from_secs(seconds), ..Moment::default() }
    }

    fn jwt(claims: &str) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_recorded_token_lives_a_day() {
        let answer: serde_json::Value = serde_json::from_str(RECORDED).unwrap();
        let mut session = Session::default();
        session.open(answer["access_token"].as_str().unwrap().to_owned(), at(100));
        assert!(session.is_open(at(100 + 86_400 - 61)));
        assert!(!session.is_open(at(100 + 86_400 - 60)));
    }

    #[test]
    fn tokens_without_an_end_never_end() {
        for token in [jwt(r#"{"iat":5}"#), "opaque".into(), jwt("{")] {
            let mut session = Session::default();
            session.open(token, at(0));
            assert!(session.is_open(at(u64::from(u32::MAX))));
        }
    }

    #[test]
    fn a_token_that_lives_shortly_is_used_for_half_its_life_at_least() {
        let mut session = Session::default();
        session.open(jwt(r#"{"iat":100,"exp":160}"#), at(0));
        assert!(session.is_open(at(29)));
        assert!(!session.is_open(at(30)));
    }

    #[test]
    fn a_refused_login_is_repeated_less_and_less_often() {
        let mut session = Session::default();
        let minutes = |wait: Duration| wait.as_secs() / 60;
        let waits: Vec<_> = (0..6).map(|_| minutes(session.was_refused(0.5))).collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 240]);
    }

    #[test]
    fn a_login_that_worked_is_tried_once_more_soon() {
        for (chance, soon) in [(0.0, 30), (0.5, 45), (1.0, 60)] {
            let mut session = Session::default();
            session.was_accepted();
            let waits: Vec<_> = (0..4).map(|_| session.was_refused(chance).as_secs()).collect();
            assert_eq!(waits, [soon, 900, 1800, 3600]);
            session.was_accepted();
            assert_eq!(session.was_refused(chance).as_secs(), soon);
        }
    }

    #[test]
    fn a_token_is_replaced_three_times_an_hour_and_then_every_ten_minutes() {
        let mut session = Session::default();
        let mut renewed = Vec::new();
        for minute in 0..120 {
            let now = at(minute * 60);
            if session.may_renew(now) {
                session.renews(now);
                renewed.push(minute);
            }
        }
        assert_eq!(renewed, [0, 1, 2, 12, 22, 32, 42, 52, 62, 72, 82, 92, 102, 112]);
        assert!(session.warns() && !session.warns());
    }

    #[test]
    fn only_the_panels_own_words_forbid() {
        let cases = [
            (r#"{"detail":"You're not allowed"}"#, Some(Forbidden::Right)),
            (r#"{"detail":"Permission denied: nodes.read"}"#, Some(Forbidden::Right)),
            (r#"{"detail":"Permission denied: users.read requires scope=all"}"#, Some(Forbidden::Right)),
            (r#"{"detail":"your account has been disabled"}"#, Some(Forbidden::Account)),
            (r#"{"detail":"Forbidden"}"#, None),
            (r#"{"error":"blocked"}"#, None),
            (r#"{"detail":{"x":"You're not allowed"}}"#, None),
            ("<html>You're not allowed", None),
            ("", None),
        ];
        for (said, expected) in cases {
            assert_eq!(Forbidden::of(said.as_bytes()), expected, "{said}");
        }
    }

    #[test]
    fn nothing_printed_shows_the_token() {
        let mut session = Session::default();
        session.open("canary-token".into(), at(0));
        assert!(!format!("{session:?}").contains("canary"));
    }
}

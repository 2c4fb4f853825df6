//! The token, and when to get a new one.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{RequestBuilder, header::HeaderValue};
use serde::Deserialize;

use super::config::Login;
use crate::{model::Moment, secret::Secret};

/// A token is renewed this long before it ends, so that it does not end in the middle of a walk's page.
const EARLY: Duration = Duration::from_secs(60);

/// How long to wait after a refused login, and the longest wait after several. Marzban sends each refused login to its
/// operator's chat, with the password in clear text.
const AFTER_REFUSAL: Duration = Duration::from_secs(15 * 60);
const AFTER_REFUSALS: Duration = Duration::from_secs(4 * 3600);

/// An open session, or none.
#[derive(Debug, Default)]
pub(super) struct Session {
    token: Option<Token>,
    /// Refused logins in a row.
    refusals: u32,
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

    /// The panel accepted the login.
    pub(super) fn was_accepted(&mut self) {
        self.refusals = 0;
    }

    /// The panel refused the login. Returns how long to wait before the next one.
    pub(super) fn was_refused(&mut self) -> Duration {
        self.refusals += 1;
        AFTER_REFUSAL.saturating_mul(1 << (self.refusals - 1).min(16)).min(AFTER_REFUSALS)
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
    HeaderValue::from_str(token).is_ok()
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
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
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
        let answer: super::super::wire::Token = serde_json::from_str(RECORDED).unwrap();
        let mut session = Session::default();
        session.open(answer.access_token, at(100));
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
        let waits: Vec<_> = (0..6).map(|_| minutes(session.was_refused())).collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 240]);
        session.was_accepted();
        assert_eq!(minutes(session.was_refused()), 15);
    }

    #[test]
    fn nothing_printed_shows_the_token() {
        let mut session = Session::default();
        session.open("canary-token".into(), at(0));
        assert!(!format!("{session:?}").contains("canary"));
    }
}

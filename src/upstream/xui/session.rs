//! The session: its cookies, and when to log in.
//!
//! Each login, good or bad, is a message in the operator's chat, and five bad ones within five minutes lock the account
//! out. A panel does not enforce the lifetime of its cookie, so a session is kept until the panel no longer accepts it.
//! Cookies hold the user's row, with the password in some panels: they stay in memory.

use std::{collections::BTreeSet, fmt, time::Duration};

use reqwest::{
    RequestBuilder,
    header::{COOKIE, HeaderMap, SET_COOKIE},
};

use crate::{
    http::sensitive,
    model::Moment,
    secret::Secret,
    upstream::{FetchError, refusals},
};

/// A session that ends sooner than this was lost early.
const EARLY: Duration = Duration::from_secs(3600);
/// How many cookies are kept, and the length of one. Those of the panels are below 2 KB.
const COOKIES: usize = 8;
const COOKIE_LENGTH: usize = 8 * 1024;

/// An open session, or none.
#[derive(Debug, Default)]
pub(super) struct Session {
    cookies: Vec<(String, Secret)>,
    /// What 3x-ui from 3.0 on demands with each request that is no GET. It belongs to the cookie.
    csrf: Option<Secret>,
    /// When the last login was accepted, by the daemon's uptime.
    opened: Option<Duration>,
    is_open: bool,
    /// When the panel last accepted the session, by the daemon's uptime.
    accepted: Option<Duration>,
    /// Sessions in a row that were lost early, before this one.
    early: u32,
    /// Paths that refused a session just opened, since they last accepted one.
    refusing: BTreeSet<&'static str>,
    /// Failed logins in a row.
    failures: u32,
    failure: Option<Failure>,
    warned: bool,
}

/// The last failed login.
struct Failure {
    err: FetchError,
    /// Before this time, by the daemon's uptime, there is no other login.
    until: Duration,
}

impl Session {
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Why there may be no login yet, and how long it takes until there may.
    pub(super) fn waits(&self, now: Moment) -> Option<(&FetchError, Duration)> {
        let failure = self.failure.as_ref()?;
        let left = failure.until.checked_sub(now.uptime).filter(|left| !left.is_zero())?;
        Some((&failure.err, left))
    }

    /// How long to wait after one more failed login.
    pub(super) fn next_wait(&self) -> Duration {
        refusals::wait_after(self.failures)
    }

    /// A login failed with `err`. There is no other one for `wait`.
    pub(super) fn failed(&mut self, err: FetchError, wait: Duration, now: Moment) {
        self.failures += 1;
        self.waits_for(err, wait, now);
    }

    /// There is no login for `wait`, because of `err`.
    pub(super) fn waits_for(&mut self, err: FetchError, wait: Duration, now: Moment) {
        self.failure = Some(Failure { err, until: now.uptime + wait });
    }

    /// The panel accepted the login.
    pub(super) fn opens(&mut self, now: Moment) {
        (self.is_open, self.opened, self.accepted) = (true, Some(now.uptime), None);
        (self.failures, self.failure) = (0, None);
    }

    /// The panel accepted the session.
    pub(super) fn was_accepted(&mut self, path: &'static str, now: Moment) {
        self.accepted = Some(now.uptime);
        self.refusing.remove(path);
    }

    /// A path refused a session that was just opened.
    pub(super) fn was_refused(&mut self, path: &'static str) {
        self.refusing.insert(path);
    }

    /// Whether the session may be lost if `path` refuses it. A path that refused one just opened, too, while others accept
    /// this one, has another reason.
    pub(super) fn may_be_lost(&self, path: &'static str) -> bool {
        self.accepted.is_none() || !self.refusing.contains(path)
    }

    /// Whether a login may replace a session that the panel no longer accepts: at once, but if sessions are lost early
    /// again and again, ever more rarely.
    pub(super) fn may_renew(&self, now: Moment) -> bool {
        let age = self.opened.map_or(Duration::MAX, |opened| now.uptime.saturating_sub(opened));
        !self.ends_early() || self.early.checked_sub(1).is_none_or(|early| age >= refusals::wait_after(early))
    }

    /// The panel no longer accepts the session.
    pub(super) fn lost(&mut self) {
        self.early = if self.ends_early() { self.early + 1 } else { 0 };
        self.is_open = false;
        self.cookies.clear();
        self.csrf = None;
    }

    fn ends_early(&self) -> bool {
        let lived = self.opened.zip(self.accepted).map(|(opened, accepted)| accepted.saturating_sub(opened));
        self.opened.is_some() && lived.unwrap_or_default() < EARLY
    }

    /// Whether to warn that the panel forgets its sessions: once.
    pub(super) fn warns(&mut self) -> bool {
        !std::mem::replace(&mut self.warned, true)
    }

    /// Absent: the panel has none.
    pub(super) fn set_csrf(&mut self, token: Option<String>) {
        self.csrf = token.map(Secret::from);
    }

    /// Whether the cookie is one of panels that answer 200 with `success: false` without a session. The later ones
    /// have names of their own for it.
    pub(super) fn is_of_an_old_panel(&self) -> bool {
        self.cookies.iter().any(|(name, _)| name == "session")
    }

    /// Whether the cookie is that of alireza0's panels from 1.8.0 on.
    pub(super) fn is_of_alireza0(&self) -> bool {
        self.cookies.iter().any(|(name, _)| name == "x-ui")
    }

    pub(super) fn has_cookies(&self) -> bool {
        !self.cookies.is_empty()
    }

    /// Takes the cookies that an answer sets, whatever their names and lifetimes.
    pub(super) fn take_cookies(&mut self, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            let Some((name, value)) = header.to_str().ok().and_then(cookie) else { continue };
            self.cookies.retain(|(known, _)| known != name);
            if self.cookies.len() < COOKIES && !value.is_empty() {
                self.cookies.push((name.to_owned(), Secret::from(value)));
            }
        }
    }

    /// Adds the cookies and, to what is no GET, the token that goes with them. Some panels fail on an empty cookie, so
    /// without a session there is none.
    pub(super) fn authorize(&self, request: RequestBuilder, is_get: bool) -> RequestBuilder {
        let pairs: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
        let request = match sensitive(&pairs.join("; ")) {
            Some(cookies) if !pairs.is_empty() => request.header(COOKIE, cookies),
            _ => request,
        };
        match self.csrf.as_ref().and_then(|token| sensitive(token.expose())) {
            Some(token) if !is_get => request.header("X-CSRF-Token", token),
            _ => request,
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("err", &self.err).field("until", &self.until).finish()
    }
}

fn cookie(header: &str) -> Option<(&str, &str)> {
    let (name, value) = header.split(';').next()?.split_once('=')?;
    (!name.trim().is_empty() && header.len() <= COOKIE_LENGTH).then(|| (name.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Cause;

    fn at(minutes: u64) -> Moment {
        Moment { uptime: Duration::from_secs(minutes * 60), ..Moment::default() }
    }

    fn err() -> FetchError {
        FetchError::new("/login", Cause::login(200, "the password"))
    }

    #[test]
    fn a_failed_login_is_repeated_after_15_minutes_and_then_ever_more_rarely() {
        let mut session = Session::default();
        let mut tried = Vec::new();
        for minute in 0..1000 {
            if session.waits(at(minute)).is_none() {
                tried.push(minute);
                session.failed(err(), session.next_wait(), at(minute));
            }
        }
        assert_eq!(tried, [0, 15, 45, 105, 225, 465, 705, 945]);
        session.opens(at(1000));
        assert!(session.waits(at(1000)).is_none());
        assert_eq!(session.next_wait(), Duration::from_secs(15 * 60));
    }

    #[test]
    fn a_lost_session_is_replaced_at_once_and_then_ever_more_rarely() {
        let mut session = Session::default();
        session.opens(at(0));
        let mut renewed = Vec::new();
        // A panel that accepts no session for longer than a moment.
        for minute in 1..1000 {
            if session.may_renew(at(minute)) {
                session.lost();
                session.opens(at(minute));
                renewed.push(minute);
            }
        }
        assert_eq!(renewed, [1, 16, 46, 106, 226, 466, 706, 946]);
        // One that is restarted with another secret each day.
        let mut session = Session::default();
        for day in 0..5 {
            session.opens(at(day * 1440));
            session.was_accepted("/status", at(day * 1440 + 1430));
            assert!(session.may_renew(at(day * 1440 + 1440)));
            session.lost();
        }
    }

    #[test]
    fn a_path_that_refuses_every_session_says_nothing_of_one_that_others_accept() {
        let mut session = Session::default();
        session.opens(at(0));
        assert!(session.may_be_lost("/list"));
        session.was_refused("/list");
        // No path accepts it.
        assert!(session.may_be_lost("/list"));
        session.was_accepted("/status", at(1));
        assert!(!session.may_be_lost("/list") && session.may_be_lost("/status"));
        // The next session is not known to be good before it was accepted.
        session.lost();
        session.opens(at(2));
        assert!(session.may_be_lost("/list"));
        session.was_accepted("/list", at(3));
        assert!(session.may_be_lost("/list"));
    }

    #[test]
    fn cookies_of_any_name_are_kept_and_replaced() {
        let mut session = Session::default();
        let mut headers = HeaderMap::new();
        for cookie in ["3x-ui=canary1; Path=/; Max-Age=1", "lb=a=b; HttpOnly", "3x-ui=canary2", "odd", "=x"] {
            headers.append(SET_COOKIE, cookie.parse().unwrap());
        }
        session.take_cookies(&headers);
        session.set_csrf(Some("canary3".into()));
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(
            crate::http::tls_config(&crate::http::options::TlsOptions::default()).unwrap(),
        );
        let client = client.build().unwrap();
        let sent = |is_get| {
            let request = session.authorize(client.get("http://localhost/"), is_get).build().unwrap();
            let header = |name: &str| Some(request.headers().get(name)?.to_str().unwrap().to_owned());
            (header("cookie"), header("x-csrf-token"))
        };
        assert_eq!(sent(true), (Some("lb=a=b; 3x-ui=canary2".into()), None));
        assert_eq!(sent(false).1.as_deref(), Some("canary3"));
        assert!(!format!("{session:?}").contains("canary"));
        session.lost();
        assert!(!session.has_cookies() && session.csrf.is_none());
    }
}

//! Why a request to a target failed, what the failure concerns, and when to retry.

use std::time::Duration;

use crate::{http, model::Reason};

/// Why a request to a target failed. The text is safe for logs and pages: no secret, no base path, no part of a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked}: {cause}")]
pub struct FetchError {
    /// The request, e.g. `/api/system`.
    pub asked: &'static str,
    pub cause: Cause,
    pub again: Again,
}

/// How long to wait for a target that does not say for how long, and the limits of what it may ask for.
const WAIT: Duration = Duration::from_secs(60);
const SHORTEST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The cause of the failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("the login was refused ({status}); check {check}")]
    Login {
        status: u16,
        /// What to check in the configuration.
        check: &'static str,
    },
    /// The server refused the key, which is sent again after a time. It counts such requests.
    #[error(
        "the server refused the management key (answered {status}); check management_key. It is sent again when it changes, or \
         after {}, because the server bans an address after five refused requests",
        humantime::format_duration(*.left)
    )]
    Key { status: u16, left: Duration },
    /// The login failed otherwise. It is paced like a refused one, because each attempt sends the password.
    #[error("the login failed: {0}")]
    LoginFailed(Box<Cause>),
    /// The address is locked out.
    #[error(
        "the server has banned this address for {} (answered 403): the management key was wrong five times, or somebody \
         who can reach the server sent wrong keys with this address in X-Forwarded-For",
        humantime::format_duration(*.0)
    )]
    Banned(Duration),
    /// The target no longer accepts what it gave at the last login, again and again.
    #[error("the session is no longer accepted, and the last login was a short time ago")]
    SessionLost,
    /// The account is switched off.
    #[error("the account is switched off (answered 403)")]
    SwitchedOff,
    /// The account may not read this.
    #[error("this account may not read it (answered 403)")]
    NotAllowed,
    /// The panel refuses each token against cross-site requests, although it accepts the session.
    #[error(
        "the panel does not accept its own token against cross-site requests (answered 403); a proxy in front of it \
         may remove the header X-CSRF-Token"
    )]
    CrossSite,
    /// The target asked us to wait.
    #[error("the target asks to wait {} (answered {status})", humantime::format_duration(*.wait))]
    RateLimited { status: u16, wait: Duration },
    #[error(
        "nothing here (answered {0}); check the URL and its base path, and that it is the system configured"
    )]
    NotFound(u16),
    /// JSON from another system.
    #[error("the answer is JSON, but not what {expected} answers here; check the URL")]
    OtherSystem { expected: &'static str },
    /// What is most likely wrong, in a whole sentence.
    #[error("{1}")]
    Hint(Reason, &'static str),
    /// The target does not have what the configuration asks for, in a whole sentence.
    #[error("{0}")]
    Missing(&'static str),
    /// The panel itself says that it failed.
    #[error("the panel reports a failure of its own")]
    PanelFailed,
    /// There are rows, and none of them could be read.
    #[error("no row could be read: every row makes the panel fail, has no readable name, or is not there")]
    Rows,
    /// The panel fails on more rows than a walk may skip.
    #[error("the panel fails on too many users' rows (answered {0})")]
    Poisoned(u16),
}

/// What a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This part alone.
    Part,
    /// This part alone. It is not a failure: the account may not read it.
    NotAllowed,
    /// The whole target: requests for other parts would only cost both sides more.
    Target,
    /// The login, which every request needs.
    Login,
}

/// When to retry after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Soon at first, then less and less often.
    Usual,
    /// Not before this time has passed: a ban or a lock-out ends then, or the target requested it.
    NotBefore(Duration),
    /// It fails until a person changes something. Each attempt does harm, so the next one is made after this time.
    WhenChanged { at_latest: Duration },
}

impl FetchError {
    /// A failure after which the usual retries do no harm.
    pub fn new(asked: &'static str, cause: impl Into<Cause>) -> Self {
        FetchError { asked, cause: cause.into(), again: Again::Usual }
    }

    /// The failure of an exchange. A target that asks us to wait gets what it asks for, within limits.
    pub fn refused(asked: &'static str, refusal: http::Refusal) -> Self {
        let http::Refusal { error, retry_after, headers: _, said: _ } = refusal;
        let status = match error {
            http::Error::Status(429) | http::Error::Page(429) => 429,
            http::Error::Status(503) if retry_after.is_some() => 503,
            _ => return FetchError::new(asked, error),
        };
        let wait = retry_after.unwrap_or(WAIT).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let cause = Cause::RateLimited { status, wait };
        FetchError { asked, cause, again: Again::NotBefore(wait) }
    }

    /// The same failure, with at least the wait of `again`.
    #[must_use]
    pub fn not_before(self, again: Again) -> Self {
        let again = match (self.again, again) {
            (Again::WhenChanged { at_latest }, Again::NotBefore(wait)) => {
                Again::WhenChanged { at_latest: at_latest.max(wait) }
            }
            (own, _) => own,
        };
        FetchError { again, ..self }
    }

    pub fn reason(&self) -> Reason {
        self.cause.reason()
    }

    pub fn scope(&self) -> Scope {
        self.cause.scope()
    }

    /// Whether it stops requests for other things too: it is one of the login, or the target demands a wait.
    pub(super) fn stops_others(&self) -> bool {
        self.scope() == Scope::Login || self.again != Again::Usual
    }

    /// Whether the target, or something in front of it, timed out.
    pub fn is_too_slow(&self) -> bool {
        matches!(self.cause, Cause::Http(http::Error::Timeout(_) | http::Error::Status(504 | 524)))
    }
}

impl Cause {
    /// A refused login.
    pub fn login(status: u16, check: &'static str) -> Self {
        Cause::Login { status, check }
    }

    /// The same cause, of a login.
    #[must_use]
    pub fn of_login(self) -> Self {
        Cause::LoginFailed(Box::new(self))
    }

    fn reason(&self) -> Reason {
        match self {
            Cause::Login { .. } | Cause::Key { .. } | Cause::SessionLost | Cause::SwitchedOff => Reason::Auth,
            Cause::LoginFailed(cause) => cause.reason(),
            Cause::Banned(_) => Reason::Banned,
            Cause::RateLimited { .. } => Reason::RateLimited,
            Cause::NotAllowed | Cause::CrossSite => Reason::Forbidden,
            Cause::NotFound(_) | Cause::Missing(_) => Reason::NotFound,
            Cause::OtherSystem { .. } | Cause::Rows => Reason::Decode,
            Cause::Poisoned(_) | Cause::PanelFailed => Reason::ServerError,
            Cause::Hint(reason, _) => *reason,
            Cause::Http(err) => match err {
                http::Error::Connect(_) | http::Error::Proxy(_) | http::Error::ProxyLogin => Reason::Connect,
                http::Error::Tls(_) | http::Error::PerhapsTls | http::Error::ExpectsTls => Reason::Tls,
                http::Error::Timeout(_) => Reason::Timeout,
                http::Error::Interrupted | http::Error::Closed | http::Error::NotHttp => Reason::Interrupted,
                http::Error::Redirect(_) | http::Error::ToHttps(_) => Reason::Redirect,
                http::Error::Status(500..) | http::Error::Page(500..) => Reason::ServerError,
                http::Error::Status(_) | http::Error::Page(_) => Reason::ClientError,
                http::Error::NotJson(_) => Reason::NotJson,
                http::Error::TooLarge(_) | http::Error::TooLargeRow | http::Error::TooLargeList => {
                    Reason::TooLarge
                }
                http::Error::Empty { .. } | http::Error::Decode(_) => Reason::Decode,
            },
        }
    }

    fn scope(&self) -> Scope {
        match self {
            Cause::Login { .. }
            | Cause::Key { .. }
            | Cause::LoginFailed(_)
            | Cause::SwitchedOff
            | Cause::Banned(_) => Scope::Login,
            Cause::SessionLost | Cause::RateLimited { .. } | Cause::Hint(..) => Scope::Target,
            Cause::NotAllowed => Scope::NotAllowed,
            Cause::Http(err) => match err {
                http::Error::Connect(_)
                | http::Error::Proxy(_)
                | http::Error::ProxyLogin
                | http::Error::Tls(_)
                | http::Error::Timeout(_)
                | http::Error::Interrupted
                | http::Error::Closed
                | http::Error::PerhapsTls
                | http::Error::NotHttp
                | http::Error::ExpectsTls
                | http::Error::ToHttps(_)
                // The answer of a proxy when the panel behind it does not answer.
                | http::Error::Status(502..=504 | 520..=526) => Scope::Target,
                _ => Scope::Part,
            },
            Cause::CrossSite
            | Cause::NotFound(_)
            | Cause::Missing(_)
            | Cause::OtherSystem { .. }
            | Cause::PanelFailed
            | Cause::Rows
            | Cause::Poisoned(_) => Scope::Part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_reason_and_concerns_what_it_should() {
        let login = Cause::Login { status: 401, check: "the password" };
        let cases = [
            (login, Reason::Auth, Scope::Login),
            (Cause::Key { status: 401, left: WAIT }, Reason::Auth, Scope::Login),
            (Cause::SwitchedOff, Reason::Auth, Scope::Login),
            (Cause::SessionLost, Reason::Auth, Scope::Target),
            (Cause::Banned(Duration::from_secs(60)), Reason::Banned, Scope::Login),
            (Cause::NotFound(404).of_login(), Reason::NotFound, Scope::Login),
            (
                Cause::RateLimited { status: 429, wait: Duration::from_secs(60) },
                Reason::RateLimited,
                Scope::Target,
            ),
            (Cause::NotAllowed, Reason::Forbidden, Scope::NotAllowed),
            (Cause::CrossSite, Reason::Forbidden, Scope::Part),
            (Cause::NotFound(404), Reason::NotFound, Scope::Part),
            (Cause::Missing("what"), Reason::NotFound, Scope::Part),
            (Cause::OtherSystem { expected: "a panel" }, Reason::Decode, Scope::Part),
            (Cause::Rows, Reason::Decode, Scope::Part),
            (Cause::Poisoned(500), Reason::ServerError, Scope::Part),
            (Cause::PanelFailed, Reason::ServerError, Scope::Part),
            (http::Error::Connect("refused".into()).into(), Reason::Connect, Scope::Target),
            (http::Error::Proxy("no answer".into()).into(), Reason::Connect, Scope::Target),
            (http::Error::ProxyLogin.into(), Reason::Connect, Scope::Target),
            (http::Error::Tls("expired".into()).into(), Reason::Tls, Scope::Target),
            (http::Error::Timeout(Duration::from_secs(20)).into(), Reason::Timeout, Scope::Target),
            (http::Error::Interrupted.into(), Reason::Interrupted, Scope::Target),
            (http::Error::Closed.into(), Reason::Interrupted, Scope::Target),
            (http::Error::PerhapsTls.into(), Reason::Tls, Scope::Target),
            (http::Error::NotHttp.into(), Reason::Interrupted, Scope::Target),
            (http::Error::ExpectsTls.into(), Reason::Tls, Scope::Target),
            (
                http::Error::ToHttps(http::ToHttps { status: 307, port: None }).into(),
                Reason::Redirect,
                Scope::Target,
            ),
            (Cause::Hint(Reason::NotFound, "why"), Reason::NotFound, Scope::Target),
            (Cause::Hint(Reason::Banned, "why"), Reason::Banned, Scope::Target),
            (http::Error::Redirect(307).into(), Reason::Redirect, Scope::Part),
            (http::Error::Status(500).into(), Reason::ServerError, Scope::Part),
            (http::Error::Status(503).into(), Reason::ServerError, Scope::Target),
            (http::Error::Status(429).into(), Reason::ClientError, Scope::Part),
            (http::Error::Page(403).into(), Reason::ClientError, Scope::Part),
            (http::Error::NotJson("HTML").into(), Reason::NotJson, Scope::Part),
            (http::Error::Empty { is_text: true }.into(), Reason::Decode, Scope::Part),
            (http::Error::TooLarge(1).into(), Reason::TooLarge, Scope::Part),
            (http::Error::TooLargeRow.into(), Reason::TooLarge, Scope::Part),
            (http::Error::TooLargeList.into(), Reason::TooLarge, Scope::Part),
            (http::Error::Decode("cut off".into()).into(), Reason::Decode, Scope::Part),
        ];
        let mut met = Vec::new();
        for (cause, reason, scope) in cases {
            let err = FetchError::new("/", cause);
            assert_eq!((err.reason(), err.scope()), (reason, scope), "{err}");
            met.push(reason);
        }
        met.sort_unstable();
        met.dedup();
        assert_eq!(met, Reason::ALL);
        assert!(Reason::ALL.is_sorted_by_key(|reason| reason.label()));
    }

    #[test]
    fn a_target_that_asks_to_wait_is_left_alone_for_that_long() {
        let secs = Duration::from_secs;
        let refusal = |status, retry_after| {
            let error = http::Error::Status(status);
            FetchError::refused("/", http::Refusal { retry_after, ..error.into() })
        };
        for (status, asked, waits) in [
            (429, None, Some(60)),
            (429, Some(120), Some(120)),
            (429, Some(0), Some(10)),
            (429, Some(86_400), Some(3600)),
            (503, Some(120), Some(120)),
            (503, None, None),
            (500, Some(120), None),
        ] {
            let err = refusal(status, asked.map(secs));
            let expected = waits.map_or(Again::Usual, |waits| Again::NotBefore(secs(waits)));
            assert_eq!(err.again, expected, "{status} {asked:?}");
            assert_eq!(err.reason() == Reason::RateLimited, waits.is_some());
        }
    }
}

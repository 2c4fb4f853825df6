//! Speaking to the systems that are watched: login, requests, private wire types, and one conversion to the model.

pub mod marzban;
#[cfg(test)]
pub mod scripted;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Beat,
    http::{self, BuildError},
    model::{Moment, NamedUsers, Part, PartData, Timestamp},
    upstream::marzban::{Marzban, config::MarzbanConfig},
};

/// A client for one target. One request is in flight at a time, because every read takes `&mut self`.
#[derive(Debug)]
pub enum Upstream {
    Marzban(Box<Marzban>),
    #[cfg(test)]
    Scripted(Box<scripted::Scripted>),
}

/// Users that are asked for by name in one request.
pub const NAMES_AT_ONCE: usize = 50;

/// How long a target may take over an answer.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// One request.
    pub request: Duration,
    /// One page of a long list.
    pub page: Duration,
}

/// What one request, or the few that belong together, brought.
#[derive(Debug)]
pub enum Step {
    /// The part is read to its end.
    Done(PartData),
    /// A long list's next page, or nothing where a page has to be asked for in pieces. There is more to read.
    More(Option<PartData>),
}

impl Upstream {
    /// A client for a Marzban or PasarGuard panel.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn marzban(config: &MarzbanConfig, timeouts: Timeouts) -> Result<Self, BuildError> {
        Ok(Upstream::Marzban(Box::new(Marzban::new(config, timeouts)?)))
    }

    /// The parts that this target has, as far as is known; [`Part::System`] is always the first.
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Upstream::Marzban(marzban) => marzban.parts(),
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.parts(),
        }
    }

    /// Takes one step at reading `part`.
    ///
    /// # Errors
    /// Says why the target gave nothing. A walk that failed goes on where it was at the next call.
    pub async fn read(&mut self, part: Part, now: Moment) -> Result<Step, FetchError> {
        match self {
            Upstream::Marzban(marzban) => marzban.read(part, now).await,
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
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.read_named(names, now).await,
        }
    }

    /// Has a long list begun anew that was left in the middle.
    pub fn forget_walk(&mut self) {
        match self {
            Upstream::Marzban(marzban) => marzban.forget_walk(),
            #[cfg(test)]
            Upstream::Scripted(_) => {}
        }
    }

    /// Lets `beat` beat with every request, which has its own time limit.
    pub fn tell(&mut self, beat: &Beat) {
        match self {
            Upstream::Marzban(marzban) => marzban.tell(beat),
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.beat = beat.clone(),
        }
    }

    /// The number of requests sent since this was asked last.
    pub fn take_requests(&mut self) -> u64 {
        match self {
            Upstream::Marzban(marzban) => marzban.take_requests(),
            #[cfg(test)]
            Upstream::Scripted(scripted) => scripted.take_requests(),
        }
    }

    /// When the certificate that the target presented last ends.
    pub fn certificate_expiry(&self) -> Option<Timestamp> {
        match self {
            Upstream::Marzban(marzban) => marzban.certificate_expiry(),
            #[cfg(test)]
            Upstream::Scripted(_) => None,
        }
    }
}

/// Why a target gave nothing. Its text is fit for logs and pages: no secret, no base path, nothing of a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked}: {cause}")]
pub struct FetchError {
    /// What was asked for, e.g. `/api/system`.
    pub asked: &'static str,
    pub cause: Cause,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The login was refused. To be tried again only after a long wait: Marzban reports every refused login to
    /// the operator's chat, with the password in clear text.
    #[error("the panel refused the login ({0}); check the username and password or the API key")]
    Auth(u16),
    /// The account may not read this.
    #[error("this account may not read it (answered 403)")]
    Refused,
    #[error(
        "nothing here (answered {0}); check the URL and its base path, and that it is the system configured"
    )]
    NotFound(u16),
    /// JSON, but another system's.
    #[error("the answer is JSON, but not what Marzban or PasarGuard answers here; check the URL")]
    OtherSystem,
    /// There are users, and not one of them could be read.
    #[error(
        "no user could be read: every row fails the panel, has fields of other types than expected, or is not there"
    )]
    Rows,
    /// More rows than a walk may skip make the panel fail.
    #[error("the panel fails on too many users' rows (answered {0})")]
    Poisoned(u16),
}

impl FetchError {
    /// Every reason, the closed set that failures are counted by.
    pub const REASONS: [&'static str; 13] = [
        "auth",
        "client_error",
        "connect",
        "decode",
        "forbidden",
        "interrupted",
        "not_found",
        "not_json",
        "redirect",
        "server_error",
        "timeout",
        "tls",
        "too_large",
    ];

    /// One of [`FetchError::REASONS`].
    pub fn reason(&self) -> &'static str {
        match &self.cause {
            Cause::Auth(_) => "auth",
            Cause::Refused => "forbidden",
            Cause::NotFound(_) => "not_found",
            Cause::OtherSystem | Cause::Rows => "decode",
            Cause::Poisoned(_) => "server_error",
            Cause::Http(err) => match err {
                http::Error::Connect(_) => "connect",
                http::Error::Tls(_) => "tls",
                http::Error::Timeout(_) => "timeout",
                http::Error::Interrupted => "interrupted",
                http::Error::Redirect(_) => "redirect",
                http::Error::Status(500..) | http::Error::Page(500..) => "server_error",
                http::Error::Status(_) | http::Error::Page(_) => "client_error",
                http::Error::NotJson(_) => "not_json",
                http::Error::TooLarge(_) | http::Error::TooLargeList => "too_large",
                http::Error::Decode(_) => "decode",
            },
        }
    }

    /// Whether the target, or something in front of it, gave up waiting for the answer.
    pub fn is_too_slow(&self) -> bool {
        matches!(self.cause, Cause::Http(http::Error::Timeout(_) | http::Error::Status(504 | 524)))
    }

    /// Whether the failure is the whole target's rather than this part's, so that asking it for other parts now
    /// would only cost both sides more.
    pub fn is_of_target(&self) -> bool {
        // What a proxy answers when the panel behind it does not.
        let unreachable = matches!(self.cause, Cause::Http(http::Error::Status(502..=504 | 520..=526)));
        unreachable || matches!(self.reason(), "auth" | "connect" | "interrupted" | "timeout" | "tls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_of_the_closed_set() {
        let causes = [
            Cause::Auth(401),
            Cause::Refused,
            Cause::NotFound(404),
            Cause::OtherSystem,
            Cause::Rows,
            Cause::Poisoned(500),
            http::Error::Connect("refused".into()).into(),
            http::Error::Tls("expired".into()).into(),
            http::Error::Timeout(Duration::from_secs(20)).into(),
            http::Error::Interrupted.into(),
            http::Error::Redirect(307).into(),
            http::Error::Status(503).into(),
            http::Error::Status(429).into(),
            http::Error::Page(403).into(),
            http::Error::NotJson("HTML").into(),
            http::Error::TooLarge(1).into(),
            http::Error::TooLargeList.into(),
            http::Error::Decode("cut off".into()).into(),
        ];
        let mut reasons: Vec<_> =
            causes.into_iter().map(|cause| FetchError { asked: "/", cause }.reason()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons, FetchError::REASONS);
    }
}

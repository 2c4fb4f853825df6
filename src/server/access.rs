//! Who may pass: the terms that hold at this moment, and the judgement of a request by them.
//!
//! Certificates, keys and the web configuration file are looked at with every connection and every request, so that a
//! change is in force with the next one. When they cannot be used any longer, the last good ones of `[web]` stay in
//! force; with a web configuration file nobody passes until it is mended, as with the official exporters. As with them,
//! such a file says at the start whether the port is encrypted, and never again: an emptied one opens nothing.

mod files;
mod limiter;
mod passwords;

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use rustls::ServerConfig;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    config::{
        AccessConfig, OwnAccess, Users,
        web_file::{self, WebFile},
    },
    tls,
};
use crate::{secret::Secret, telemetry::Telemetry};
pub(super) use files::Files;
use limiter::Limiter;
use passwords::{Passwords, Verdict};

/// What must hold for a request to pass.
#[derive(Debug)]
pub(super) struct Terms {
    /// Absent: connections are not encrypted.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether nobody passes without a certificate of a known authority.
    pub(super) verifies_clients: bool,
    /// Added to every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    users: Users,
    bearer_token: Option<Secret>,
    open_health: bool,
    limiter: Option<Limiter>,
}

impl Terms {
    /// These, where `before` says whether connections are encrypted.
    fn encrypted_as(self, before: &Terms) -> Result<Self, Vec<String>> {
        match (&before.tls, &self.tls) {
            (Some(_), None) => {
                let why =
                    "tls_server_config is gone, and a port that was opened with TLS is not served without";
                Err(vec![why.to_owned()])
            }
            (None, Some(_)) => {
                tracing::warn!("the HTTP port was opened without TLS and stays so until the next start");
                Ok(Terms { tls: None, verifies_clients: false, ..self })
            }
            (Some(_), Some(_)) | (None, None) => Ok(self),
        }
    }

    /// Whether a connection that was made under other terms is as good as one made under these.
    pub(super) fn same_tls(&self, made: Option<&Arc<ServerConfig>>) -> bool {
        match (&self.tls, made) {
            (None, None) => true,
            (Some(now), Some(made)) => Arc::ptr_eq(now, made),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    pub(super) fn asks_for_credentials(&self) -> bool {
        !self.users.is_empty() || self.bearer_token.is_some()
    }

    /// What a client is told that may not pass.
    pub(super) fn challenges(&self) -> impl Iterator<Item = HeaderValue> {
        let basic = HeaderValue::from_static("Basic realm=\"proxymeter\", charset=\"UTF-8\"");
        let bearer = HeaderValue::from_static("Bearer realm=\"proxymeter\"");
        let basic = (!self.users.is_empty()).then_some(basic);
        basic.into_iter().chain(self.bearer_token.is_some().then_some(bearer))
    }
}

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are too many requests.
    TooFast,
    /// It names no user with the right password, nor the token.
    Unknown,
    /// Its password cannot be looked at now, because others are.
    Busy,
}

/// The terms cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// Whether the last good ones were about encrypted connections.
    pub(super) tls: bool,
}

/// The way in. To be replaced as a whole when the configuration is.
#[derive(Debug)]
pub struct Access {
    config: AccessConfig,
    /// The terms, if they depend on no file.
    fixed: Option<Arc<Terms>>,
    /// Locked while files are looked at, which takes one thread at a time, however many ask.
    kept: Arc<Mutex<Kept>>,
    passwords: Arc<Passwords>,
    telemetry: Telemetry,
}

#[derive(Debug)]
struct Kept {
    files: Files,
    /// The last good ones.
    terms: Arc<Terms>,
    broken: bool,
}

/// Why the port cannot be guarded as it was told to be. A sentence for each mistake.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct AccessError(pub Vec<String>);

impl Access {
    /// Reads all there is to read.
    ///
    /// # Errors
    /// When any of it is wrong.
    pub fn open(config: &AccessConfig, telemetry: &Telemetry) -> Result<Self, AccessError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .map_err(|err| AccessError(vec![format!("the system has no random numbers: {err}")]))?;
        Access::with(config, Arc::new(Passwords::new(&key, telemetry.clone())), telemetry)
    }

    /// The way in by another configuration, which remembers the passwords that were right: those whose hash is still
    /// the same need not be looked at again.
    ///
    /// # Errors
    /// When any of it is wrong.
    pub fn reopen(&self, config: &AccessConfig) -> Result<Self, AccessError> {
        Access::with(config, Arc::clone(&self.passwords), &self.telemetry)
    }

    fn with(
        config: &AccessConfig,
        passwords: Arc<Passwords>,
        telemetry: &Telemetry,
    ) -> Result<Self, AccessError> {
        let Built { files, outcome } = build(config);
        let terms = Arc::new(outcome.map_err(AccessError)?);
        telemetry.web_config(true);
        Ok(Access {
            config: config.clone(),
            fixed: files.is_empty().then(|| Arc::clone(&terms)),
            kept: Arc::new(Mutex::new(Kept { files, terms, broken: false })),
            passwords,
            telemetry: telemetry.clone(),
        })
    }

    /// The terms as of now.
    pub(super) async fn terms(&self) -> Result<Arc<Terms>, Broken> {
        if let Some(terms) = &self.fixed {
            return Ok(Arc::clone(terms));
        }
        let kept = Arc::clone(&self.kept).lock_owned().await;
        let tls = kept.terms.tls.is_some();
        let (config, telemetry) = (self.config.clone(), self.telemetry.clone());
        let looked = tokio::task::spawn_blocking(move || look(kept, &config, &telemetry));
        // It fails only when the runtime ends.
        looked.await.unwrap_or(Err(Broken { tls }))
    }

    /// Judges a request from `peer`; `health` tells whether it asks for `/-/healthy`.
    pub(super) async fn admit(
        &self,
        terms: &Terms,
        peer: IpAddr,
        headers: &HeaderMap,
        health: bool,
    ) -> Result<(), Refusal> {
        if terms.limiter.as_ref().is_some_and(|limiter| !limiter.allows()) {
            return Err(Refusal::TooFast);
        }
        if !terms.asks_for_credentials() || health && terms.open_health {
            return Ok(());
        }
        match Credentials::of(headers).ok_or(Refusal::Unknown)? {
            Credentials::Basic { name, password } => {
                match self.passwords.check(&terms.users, &name, &password, peer).await {
                    Verdict::Right => Ok(()),
                    Verdict::Wrong => Err(Refusal::Unknown),
                    Verdict::Busy => Err(Refusal::Busy),
                }
            }
            Credentials::Bearer(token) => match &terms.bearer_token {
                Some(right) if self.passwords.same(right.expose().as_bytes(), &token) => Ok(()),
                Some(_) | None => Err(Refusal::Unknown),
            },
        }
    }
}

/// Builds the terms anew if any of their files has changed.
fn look(
    mut kept: OwnedMutexGuard<Kept>,
    config: &AccessConfig,
    telemetry: &Telemetry,
) -> Result<Arc<Terms>, Broken> {
    if !kept.files.unchanged() {
        let Built { files, mut outcome } = build(config);
        if let AccessConfig::WebFile(_) = config {
            outcome = outcome.and_then(|terms| terms.encrypted_as(&kept.terms));
        }
        kept.files = files;
        kept.broken = outcome.is_err();
        telemetry.web_config(!kept.broken);
        match (outcome, config) {
            (Ok(terms), _) => {
                kept.terms = Arc::new(terms);
                tracing::info!("changed certificates, keys or passwords of the HTTP port are in force");
            }
            (Err(mistakes), AccessConfig::Own(_)) => {
                tracing::error!(
                    why = mistakes.join("; "),
                    "changed certificates or keys of the HTTP port cannot be used; those before stay in force"
                );
            }
            (Err(mistakes), AccessConfig::WebFile(_)) => {
                tracing::error!(
                    why = mistakes.join("; "),
                    "the web configuration file cannot be used; requests are refused until it is mended"
                );
            }
        }
    }
    match config {
        AccessConfig::WebFile(_) if kept.broken => Err(Broken { tls: kept.terms.tls.is_some() }),
        AccessConfig::Own(_) | AccessConfig::WebFile(_) => Ok(Arc::clone(&kept.terms)),
    }
}

/// Terms, and the files they were made from.
pub(super) struct Built {
    pub(super) files: Files,
    pub(super) outcome: Result<Terms, Vec<String>>,
}

/// Reads all there is to read and makes terms of it.
pub(super) fn build(config: &AccessConfig) -> Built {
    let mut files = Files::default();
    let outcome = match config {
        AccessConfig::Own(own) => own_terms(own, &mut files),
        AccessConfig::WebFile(path) => files
            .read(path)
            .map_err(|why| vec![why])
            .and_then(|text| web_file::parse(&text, path))
            .and_then(|file| file_terms(file, &mut files)),
    };
    Built { files, outcome }
}

fn own_terms(own: &OwnAccess, files: &mut Files) -> Result<Terms, Vec<String>> {
    let tls = own.tls.as_ref().map(|tls| tls::server_config(&tls.into(), files)).transpose();
    Ok(Terms {
        tls: tls.map_err(|why| vec![why])?,
        verifies_clients: own.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()),
        headers: Vec::new(),
        users: own.users.clone(),
        bearer_token: own.bearer_token.clone(),
        open_health: own.open_health,
        limiter: None,
    })
}

fn file_terms(file: WebFile, files: &mut Files) -> Result<Terms, Vec<String>> {
    let tls = file.tls.as_ref().map(|tls| tls::server_config(tls, files)).transpose();
    let client_auth = file.tls.as_ref().map(|tls| tls.client_auth);
    Ok(Terms {
        tls: tls.map_err(|why| vec![why])?,
        verifies_clients: client_auth.is_some_and(|auth| auth.required() && auth.verified()),
        headers: file.headers,
        users: file.users,
        bearer_token: None,
        open_health: false,
        limiter: file.rate_limit.map(Limiter::new),
    })
}

/// What a request says of who asks.
enum Credentials {
    Basic { name: Vec<u8>, password: Vec<u8> },
    Bearer(Vec<u8>),
}

impl Credentials {
    /// Absent also when they are malformed or there are several.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let (scheme, rest) =
            value.as_bytes().split_at_checked(value.as_bytes().iter().position(|b| *b == b' ')?)?;
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return Some(Credentials::Bearer(rest.to_vec()));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        }
        let pair = STANDARD.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let (name, password) = pair.split_at_checked(colon)?;
        Some(Credentials::Basic { name: name.to_vec(), password: password.get(1..)?.to_vec() })
    }
}

//! Access control: the terms in force, and the check of a request against them.
//!
//! A connection or a request reads certificates, keys and the web configuration file if they were last read a second
//! ago or longer. If they have become unusable, `[web]` keeps its last good terms in force, and a web configuration
//! file refuses all requests until it is repaired, as the official exporters do. As with them, such a file decides only
//! at the start whether the port is encrypted: emptying it later opens nothing. A disk that does not answer delays a
//! request by a second at most, and changes no terms.

mod files;
mod limiter;
mod passwords;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use rustls::ServerConfig;
use tokio::{
    sync,
    time::{Instant, timeout_at},
};

use super::{
    config::{
        AccessConfig, OwnAccess, Protection, Users,
        web_file::{self, WebFile},
    },
    tls,
};
use crate::{secret::Secret, telemetry::Telemetry};
pub(super) use files::Files;
use limiter::Limiter;
use passwords::{Passwords, Verdict};

/// Files are read again after this time, when a request comes.
const READ_EVERY: Duration = Duration::from_secs(1);

/// Requests wait so long for files to be read.
const READ_WITHIN: Duration = Duration::from_secs(1);

/// The conditions for a request to pass.
#[derive(Debug)]
pub(super) struct Terms {
    /// Absent: connections are not encrypted.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether a certificate of a known authority is required.
    verifies_clients: bool,
    /// Added to every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    users: Users,
    bearer_token: Option<Secret>,
    open_health: bool,
    limiter: Option<Limiter>,
}

impl Terms {
    /// These terms, with encryption as in `before`.
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

    /// Whether a connection that was made with `made` may be used under these terms.
    pub(super) fn same_tls(&self, made: Option<&Arc<ServerConfig>>) -> bool {
        match (&self.tls, made) {
            (None, None) => true,
            (Some(now), Some(made)) => Arc::ptr_eq(now, made),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn asks_for_credentials(&self) -> bool {
        !self.users.is_empty() || self.bearer_token.is_some()
    }

    fn protection(&self) -> Protection {
        Protection {
            tls: self.tls.is_some(),
            credentials: self.asks_for_credentials(),
            client_certificates: self.verifies_clients,
        }
    }

    /// The `WWW-Authenticate` headers for a client without valid credentials.
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
    /// Its password cannot be checked now, because others are being checked.
    Busy,
}

/// The terms cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// Whether the last good ones demand encrypted connections.
    pub(super) tls: bool,
}

/// Access control of the HTTP port. It is replaced as a whole when the configuration is.
#[derive(Debug)]
pub struct Access {
    /// The terms, if they depend on no file.
    fixed: Option<Arc<Terms>>,
    kept: Arc<Kept>,
    passwords: Arc<Passwords>,
    telemetry: Telemetry,
}

#[derive(Debug)]
struct Kept {
    config: AccessConfig,
    telemetry: Telemetry,
    /// Held by the thread that reads them, so there is only ever one, even while the disk does not answer.
    files: Arc<sync::Mutex<Files>>,
    known: Mutex<Known>,
}

/// What the last finished read found.
#[derive(Debug)]
struct Known {
    /// The last good ones.
    terms: Arc<Terms>,
    broken: bool,
    /// Start of the last read, finished or not.
    began: Instant,
    /// Whether reads take longer than [`READ_WITHIN`].
    late: bool,
}

/// Why access control cannot be set up as configured. A sentence for each mistake.
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

    /// Access control by another configuration. It remembers the passwords that were right, as long as their hashes are
    /// the same.
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
            fixed: files.is_empty().then(|| Arc::clone(&terms)),
            kept: Arc::new(Kept {
                config: config.clone(),
                telemetry: telemetry.clone(),
                files: Arc::new(sync::Mutex::new(files)),
                known: Mutex::new(Known { terms, broken: false, began: Instant::now(), late: false }),
            }),
            passwords,
            telemetry: telemetry.clone(),
        })
    }

    /// The terms as of now, or as of the last finished read if files cannot be read in time.
    pub(super) async fn terms(&self) -> Result<Arc<Terms>, Broken> {
        if let Some(terms) = &self.fixed {
            return Ok(Arc::clone(terms));
        }
        let kept = Arc::clone(&self.kept);
        self.kept.read_if_due(move |files| kept.look(files)).await;
        self.kept.outcome()
    }

    /// Checks a request from `peer`; `health`: it asks for `/-/healthy`.
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

impl Kept {
    /// Runs `look` on a thread of its own, unless another one ran less than [`READ_EVERY`] ago or runs still. Returns
    /// when the newest of them has ended, at the latest [`READ_WITHIN`] after it began.
    async fn read_if_due(&self, look: impl FnOnce(&mut Files) + Send + 'static) {
        let patience = self.known().began + READ_WITHIN;
        let Ok(mut files) = timeout_at(patience, Arc::clone(&self.files).lock_owned()).await else {
            return self.set_late(true);
        };
        let began = Instant::now();
        {
            let mut known = self.known();
            if began < known.began + READ_EVERY {
                return;
            }
            known.began = began;
        }
        // It fails only when the runtime ends.
        let looked = tokio::task::spawn_blocking(move || look(&mut files));
        self.set_late(timeout_at(began + READ_WITHIN, looked).await.is_err());
    }

    /// Notes whether reads take too long, and logs when that changes.
    fn set_late(&self, late: bool) {
        let before = std::mem::replace(&mut self.known().late, late);
        if late && !before {
            tracing::error!(
                limit_seconds = READ_WITHIN.as_secs(),
                "certificates, keys or the web configuration file of the HTTP port cannot be read in time; those read \
                 last stay in force"
            );
        }
        if before && !late {
            tracing::info!(
                "certificates, keys and the web configuration file of the HTTP port can be read again"
            );
        }
    }

    /// Builds the terms again if any of their files has changed.
    fn look(&self, files: &mut Files) {
        if files.unchanged() {
            return;
        }
        let built = build(&self.config);
        let outcome = match self.config {
            AccessConfig::WebFile(_) => {
                let before = Arc::clone(&self.known().terms);
                built.outcome.and_then(|terms| terms.encrypted_as(&before))
            }
            AccessConfig::Own(_) => built.outcome,
        };
        *files = built.files;
        let mut known = self.known();
        known.broken = outcome.is_err();
        self.telemetry.web_config(!known.broken);
        match (outcome, &self.config) {
            (Ok(terms), _) => {
                known.terms = Arc::new(terms);
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
                    "the web configuration file cannot be used; requests are refused until it is repaired"
                );
            }
        }
    }

    fn outcome(&self) -> Result<Arc<Terms>, Broken> {
        let known = self.known();
        match self.config {
            AccessConfig::WebFile(_) if known.broken => Err(Broken { tls: known.terms.tls.is_some() }),
            AccessConfig::Own(_) | AccessConfig::WebFile(_) => Ok(Arc::clone(&known.terms)),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessConfig {
    /// Reads every file there is and builds what they say, as the server does.
    ///
    /// # Errors
    /// All that is wrong, a sentence each.
    pub fn check(&self) -> Result<Protection, Vec<String>> {
        build(self).outcome.map(|terms| terms.protection())
    }
}

/// Terms, and the files they were made from.
struct Built {
    files: Files,
    outcome: Result<Terms, Vec<String>>,
}

/// Reads all there is to read and makes terms of it.
fn build(config: &AccessConfig) -> Built {
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

/// The credentials of a request.
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

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, sync::mpsc};

    use tokio::time::{advance, timeout};

    use super::*;

    const OPEN: &str = "";
    const GUARDED: &str =
        "basic_auth_users:\n  alice: $2b$04$7EqJtq98hPqEX7fNZaFWoO.hY0O5RhN4S1JZ8Y2yW8hIu8MPmZbOC\n";

    struct Guarded {
        access: Arc<Access>,
        file: PathBuf,
        _folder: tempfile::TempDir,
    }

    impl Guarded {
        fn open(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("web.yml");
            fs::write(&file, text).unwrap();
            let access = Access::open(&AccessConfig::WebFile(file.clone()), &Telemetry::new()).unwrap();
            Guarded { access: Arc::new(access), file, _folder: folder }
        }

        /// Whether credentials are demanded; absent: all requests are refused.
        async fn asks(&self) -> Option<bool> {
            self.access.terms().await.ok().map(|terms| terms.asks_for_credentials())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_read_once_a_second_at_most() {
        let guarded = Guarded::open(OPEN);
        for (text, before, after) in
            [(GUARDED, Some(false), Some(true)), ("broken: [", Some(true), None), (OPEN, None, Some(false))]
        {
            fs::write(&guarded.file, text).unwrap();
            advance(READ_EVERY - Duration::from_millis(1)).await;
            assert_eq!(guarded.asks().await, before, "{text}");
            advance(Duration::from_millis(1)).await;
            assert_eq!(guarded.asks().await, after, "{text}");
        }
    }

    /// The clock stands still while a thread reads, unless it is moved.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_does_not_answer_holds_up_no_request() {
        let guarded = Guarded::open(GUARDED);
        let kept = &guarded.access.kept;
        fs::write(&guarded.file, OPEN).unwrap();
        advance(READ_EVERY).await;
        let (answer, disk) = mpsc::channel::<()>();
        let start = Instant::now();
        let first = kept.read_if_due(move |_| _ = disk.recv());
        let second = async {
            advance(READ_WITHIN / 2).await;
            guarded.asks().await
        };
        let clock = async {
            advance(READ_WITHIN / 4).await;
            advance(READ_WITHIN / 4).await;
        };
        let ((), asks, ()) = tokio::join!(first, second, clock);
        assert_eq!((asks, start.elapsed()), (Some(true), READ_WITHIN));

        // It is known not to answer: nothing waits for it any longer, nor asks it again.
        for _ in 0..100 {
            kept.read_if_due(|_| panic!("a second thread reads")).await;
            assert_eq!(guarded.asks().await, Some(true));
            advance(READ_EVERY).await;
        }
        assert_eq!(start.elapsed(), READ_WITHIN + 100 * READ_EVERY);
        assert!(kept.known().late);

        drop(answer);
        drop(timeout(READ_WITHIN, kept.files.lock()).await.unwrap());
        assert_eq!(guarded.asks().await, Some(false));
        assert!(!kept.known().late);
    }
}

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
    sync::watch,
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

    /// Whether anybody who reaches the port gets an answer, and the connection proves no name of ours.
    pub(super) fn is_open(&self) -> bool {
        self.tls.is_none() && !self.asks_for_credentials()
    }

    /// Whether a request comes too soon after others. It is counted.
    pub(super) fn is_too_fast(&self) -> bool {
        self.limiter.as_ref().is_some_and(|limiter| !limiter.allows())
    }

    pub(super) fn asks_for_credentials(&self) -> bool {
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
    from_files: Arc<FromFiles>,
    passwords: Arc<Passwords>,
    telemetry: Telemetry,
}

/// The terms that files make, and when they were read.
#[derive(Debug)]
struct FromFiles {
    config: AccessConfig,
    /// Locked by the thread that reads them.
    files: Arc<Mutex<Files>>,
    reads: Mutex<Reads>,
}

/// The newest read, and what the last finished one found.
#[derive(Debug)]
struct Reads {
    /// The last good ones.
    terms: Arc<Terms>,
    broken: bool,
    /// Start of the newest read.
    began: Instant,
    /// Closed when the newest read ends.
    running: watch::Receiver<()>,
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
        let (_, running) = watch::channel(());
        Ok(Access {
            fixed: files.is_empty().then(|| Arc::clone(&terms)),
            from_files: Arc::new(FromFiles {
                config: config.clone(),
                files: Arc::new(Mutex::new(files)),
                reads: Mutex::new(Reads {
                    terms,
                    broken: false,
                    began: Instant::now(),
                    running,
                    late: false,
                }),
            }),
            passwords,
            telemetry: telemetry.clone(),
        })
    }

    /// The terms as of now, or as of the last finished read if files cannot be read in time.
    pub(super) async fn terms(&self) -> Result<Arc<Terms>, Broken> {
        let (terms, usable) = match &self.fixed {
            Some(terms) => (Ok(Arc::clone(terms)), true),
            None => {
                let from_files = Arc::clone(&self.from_files);
                self.from_files.read_if_due(move |files| from_files.look(files)).await;
                self.from_files.outcome()
            }
        };
        // With each request, because a read for an earlier configuration may still be running.
        self.telemetry.web_config(usable);
        terms
    }

    /// Checks a request from `peer`; `health`: it asks for `/-/healthy`.
    pub(super) async fn admit(
        &self,
        terms: &Terms,
        peer: IpAddr,
        headers: &HeaderMap,
        health: bool,
    ) -> Result<(), Refusal> {
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

impl FromFiles {
    /// Runs `look` on a thread of its own, unless another one began less than [`READ_EVERY`] ago or still runs. Returns
    /// when the newest of them has ended, at the latest [`READ_WITHIN`] after it began.
    async fn read_if_due(&self, look: impl FnOnce(&mut Files) + Send + 'static) {
        // One lock for the check and the start, so that simultaneous requests wait for the same read.
        let (began, mut running) = {
            let mut reads = self.reads();
            let is_running = reads.running.has_changed().is_ok();
            let now = Instant::now();
            if !is_running && now < reads.began + READ_EVERY {
                return;
            }
            if !is_running {
                let (end, running) = watch::channel(());
                let files = Arc::clone(&self.files);
                drop(tokio::task::spawn_blocking(move || {
                    look(&mut files.lock().unwrap_or_else(PoisonError::into_inner));
                    drop(end);
                }));
                (reads.began, reads.running) = (now, running);
            }
            (reads.began, reads.running.clone())
        };
        // Nothing is sent: it returns when the read has ended.
        let ended = timeout_at(began + READ_WITHIN, running.changed()).await.is_ok();
        self.set_late(!ended, began);
    }

    /// Records whether the read that `began` then takes too long, unless a newer one has begun, and logs when that changes.
    fn set_late(&self, late: bool, began: Instant) {
        let before = {
            let mut reads = self.reads();
            if reads.began != began {
                return;
            }
            std::mem::replace(&mut reads.late, late)
        };
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
                let before = Arc::clone(&self.reads().terms);
                built.outcome.and_then(|terms| terms.encrypted_as(&before))
            }
            AccessConfig::Own(_) => built.outcome,
        };
        *files = built.files;
        let mut reads = self.reads();
        reads.broken = outcome.is_err();
        match (outcome, &self.config) {
            (Ok(terms), _) => {
                reads.terms = Arc::new(terms);
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

    /// The terms in force, and whether the files are usable and can be read in time.
    fn outcome(&self) -> (Result<Arc<Terms>, Broken>, bool) {
        let reads = self.reads();
        let terms = match self.config {
            AccessConfig::WebFile(_) if reads.broken => Err(Broken { tls: reads.terms.tls.is_some() }),
            AccessConfig::Own(_) | AccessConfig::WebFile(_) => Ok(Arc::clone(&reads.terms)),
        };
        (terms, !reads.broken && !reads.late)
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
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

    use tokio::{
        task::JoinSet,
        time::{advance, timeout},
    };

    use super::*;

    const OPEN: &str = "";
    const GUARDED: &str =
        "basic_auth_users:\n  alice: $2b$04$7EqJtq98hPqEX7fNZaFWoO.hY0O5RhN4S1JZ8Y2yW8hIu8MPmZbOC\n";

    struct Guarded {
        access: Arc<Access>,
        telemetry: Telemetry,
        file: PathBuf,
        _folder: tempfile::TempDir,
    }

    impl Guarded {
        fn open(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("web.yml");
            fs::write(&file, text).unwrap();
            let telemetry = Telemetry::new();
            let access = Access::open(&AccessConfig::WebFile(file.clone()), &telemetry).unwrap();
            Guarded { access: Arc::new(access), telemetry, file, _folder: folder }
        }

        /// Whether credentials are demanded; absent: all requests are refused.
        async fn asks(&self) -> Option<bool> {
            self.access.terms().await.ok().map(|terms| terms.asks_for_credentials())
        }

        /// `web_config_up`.
        fn up(&self) -> f64 {
            let families = self.telemetry.gather();
            let up = families.iter().find(|family| family.name() == "proxymeter_web_config_up").unwrap();
            up.get_metric()[0].get_gauge().get_value()
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn requests_that_come_at_once_after_a_pause_are_all_judged_by_the_new_terms() {
        let guarded = Guarded::open(OPEN);
        for round in 0..5_000 {
            let is_guarded = round % 2 == 0;
            fs::write(&guarded.file, if is_guarded { GUARDED } else { OPEN }).unwrap();
            guarded.access.from_files.reads().began -= 2 * READ_EVERY;
            let mut requests = JoinSet::new();
            for _ in 0..3 {
                let access = Arc::clone(&guarded.access);
                requests.spawn(async move { access.terms().await.map(|terms| terms.asks_for_credentials()) });
            }
            assert_eq!(requests.join_all().await, [Ok(is_guarded); 3], "{round}");
            assert!(!guarded.access.from_files.reads().late, "{round}");
        }
    }

    /// The clock stands still while a thread reads, unless it is moved.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_does_not_answer_holds_up_no_request() {
        let guarded = Guarded::open(GUARDED);
        let from_files = &guarded.access.from_files;
        assert_eq!((guarded.asks().await, guarded.up()), (Some(true), 1.0));
        fs::write(&guarded.file, OPEN).unwrap();
        advance(READ_EVERY).await;
        let (answer, disk) = mpsc::channel::<()>();
        let start = Instant::now();
        let first = from_files.read_if_due(move |_| _ = disk.recv());
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
            from_files.read_if_due(|_| panic!("a second thread reads")).await;
            assert_eq!(guarded.asks().await, Some(true));
            advance(READ_EVERY).await;
        }
        assert_eq!(start.elapsed(), READ_WITHIN + 100 * READ_EVERY);
        assert_eq!(guarded.up(), 0.0);

        drop(answer);
        let mut running = from_files.reads().running.clone();
        timeout(READ_WITHIN, running.changed()).await.unwrap().unwrap_err();
        assert_eq!((guarded.asks().await, guarded.up()), (Some(false), 1.0));
    }
}

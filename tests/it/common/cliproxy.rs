//! A CLIProxyAPI server made of recorded answers: it demands its key, hands out its queue once, and answers what it does not
//! have as the recorded version does.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    http::options::PanelUrl,
    model::{CounterChange, CounterFamilies, Moment, Part, Report, Timestamp},
    secret::HashKey,
    simulator::cliproxy::{Generation, Options, Server as Simulator, Traffic},
    upstream::{
        FetchError, RefusedKeys, Upstream,
        cliproxy::config::{Caps, CliproxyConfig, UsageSetting},
    },
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    PATIENT,
    server::{Answer, Request, Server},
};

pub(crate) const KEY: &str = "c4naryb1rd-management";
/// The versions that were recorded.
pub(crate) const SNAPSHOTS: [&str; 4] = ["6.0.5", "6.2.26", "6.6.55", "6.9.49"];
pub(crate) const QUEUES: [&str; 2] = ["6.10.8", "7.2.140"];
/// A time shortly after the recordings.
pub(crate) const LATER: Timestamp = Timestamp::from_secs(1_795_640_000);

pub(crate) const FLAG: &str = "/v0/management/usage-statistics-enabled";
pub(crate) const USAGE: &str = "/v0/management/usage";
pub(crate) const QUEUE: &str = "/v0/management/usage-queue";
pub(crate) const FILES: &str = "/v0/management/auth-files";
pub(crate) const KEYS: &str = "/v0/management/api-key-usage";

/// What was recorded of one version.
#[derive(Debug)]
pub(crate) struct Recorded {
    folder: String,
    index: Index,
    /// What a path answers.
    files: HashMap<&'static str, String>,
    /// What the next requests for records answer. Then there are none.
    batches: Mutex<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Index {
    script: Script,
    answers: Vec<OneAnswer>,
}

#[derive(Debug, Deserialize)]
struct Script {
    mix240: Mix240,
}

#[derive(Debug, Deserialize)]
struct Mix240 {
    by_key_model: InOrder,
}

/// The fields of an object in the order of the text.
#[derive(Debug)]
struct InOrder(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = InOrder;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(InOrder(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[derive(Debug, Deserialize)]
struct OneAnswer {
    file: String,
    status: u16,
    headers: Option<BTreeMap<String, String>>,
}

impl Recorded {
    pub(crate) fn of(version: &str) -> Recorded {
        let folder = format!("tests/fixtures/cliproxy/v{version}");
        let index = serde_json::from_slice(&fs::read(format!("{folder}/index.json")).unwrap()).unwrap();
        let recorded = Recorded { folder, index, files: HashMap::new(), batches: Mutex::default() };
        recorded
            .at(FLAG, "usage-statistics-enabled")
            .at(FILES, "auth-files-before")
            .at(KEYS, "api-key-usage-before")
    }

    /// Answers `path` with the recording of this name, if there is one.
    pub(crate) fn at(mut self, path: &'static str, name: &str) -> Recorded {
        if let Some(answer) = self.named(name) {
            self.files.insert(path, answer.file.clone());
        }
        self
    }

    /// Hands out these recordings, one for each request for records.
    pub(crate) fn queued(self, names: &[&str]) -> Recorded {
        let files = names
            .iter()
            .rev()
            .map(|name| self.named(name).unwrap_or_else(|| panic!("no {name}")).file.clone());
        let batches = files.collect();
        Recorded { batches: Mutex::new(batches), ..self }
    }

    /// The sums of the script `mix240` by client key and model, in the order of the script.
    pub(crate) fn mix240(&self) -> &[(String, Value)] {
        &self.index.script.mix240.by_key_model.0
    }

    /// A recording.
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(&self.named(name).unwrap().file)).unwrap()
    }

    fn named(&self, name: &str) -> Option<&OneAnswer> {
        self.index.answers.iter().find(|answer| answer.file.split('.').next() == Some(name))
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        fs::read(format!("{}/{file}", self.folder)).unwrap_or_default()
    }

    fn replay(&self, file: &str) -> Answer {
        let answer = self.index.answers.iter().find(|answer| answer.file == file).unwrap();
        let headers = answer.headers.iter().flatten();
        let headers =
            headers.filter(|(name, _)| !matches!(name.as_str(), "Content-Length" | "Transfer-Encoding"));
        let headers: Vec<_> = headers.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Answer::new(answer.status, &headers, self.bytes(file))
    }

    pub(crate) fn serve(self: &Arc<Self>) -> Server {
        let recorded = Arc::clone(self);
        Server::start(move |request| recorded.answer(request))
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        if request.header("authorization") != Some(&format!("Bearer {KEY}")) {
            return self.replay("auth-invalid.401.json");
        }
        let absent = || self.replay(&self.named("unknown-route").unwrap().file);
        if request.path() == QUEUE {
            return match request.number("count") {
                Some(0) => self.replay(&self.named("usage-queue-bad-count-zero").unwrap().file),
                _ if self.named("usage-queue-empty").unwrap().status == 404 => absent(),
                _ => {
                    let next = self.batches.lock().unwrap().pop();
                    self.replay(next.as_deref().unwrap_or("usage-queue-empty.json"))
                }
            };
        }
        match self.files.get(request.path()) {
            Some(file) => self.replay(file),
            None => absent(),
        }
    }
}

pub(crate) fn config(url: &str, usage: UsageSetting) -> CliproxyConfig {
    CliproxyConfig {
        endpoint: PanelUrl::parse(url).unwrap().into(),
        key: KEY.into(),
        usage,
        key_aliases: Vec::new(),
        credential_aliases: Vec::new(),
        caps: Caps::default(),
        prices: Arc::default(),
        zone: jiff::tz::TimeZone::UTC,
    }
}

pub(crate) fn hash_key() -> HashKey {
    HashKey::new(b"a key for tests alone")
}

pub(crate) fn hash(secret: &str) -> String {
    hash_key().hash(secret)
}

fn client(config: &CliproxyConfig, folder: &TempDir) -> Upstream {
    let refused = RefusedKeys::in_folder(folder.path());
    Upstream::cliproxy(config, hash_key(), &refused, PATIENT).unwrap()
}

/// A client, and the storage that a daemon would keep for it: what a process leaves to the next one.
pub(crate) struct Driver {
    pub(crate) upstream: Upstream,
    pub(crate) report: Report,
    pub(crate) stored: CounterFamilies,
    pub(crate) now: Moment,
    pub(crate) folder: TempDir,
}

impl Driver {
    pub(crate) fn new(config: &CliproxyConfig) -> Driver {
        let now = Moment { wall: LATER, uptime: Duration::from_secs(1_000_000) };
        let folder = tempfile::tempdir().unwrap();
        let upstream = client(config, &folder);
        let report = Report::new("llm");
        let mut driver = Driver { upstream, report, stored: Vec::new(), now, folder };
        driver.resume();
        driver
    }

    /// Another process goes on.
    pub(crate) fn restart(&mut self, config: &CliproxyConfig) {
        self.upstream = client(config, &self.folder);
        self.report = Report::new("llm");
        self.resume();
    }

    fn resume(&mut self) {
        let changes = self.upstream.resume(&self.stored, self.now);
        self.commit(changes);
    }

    pub(crate) fn pass(&mut self, secs: u64) {
        self.now = self.now.after(Duration::from_secs(secs));
    }

    /// What is on disk before a request for `part`.
    pub(crate) fn announce(&mut self, part: Part) {
        let changes = self.upstream.announce(part, self.now);
        self.commit(changes);
    }

    /// Reads a part to its end.
    pub(crate) async fn read(&mut self, part: Part) -> Result<(), FetchError> {
        loop {
            self.announce(part);
            match self.upstream.read(part, self.now).await {
                Ok(step) => {
                    self.commit(step.durable);
                    for fact in step.facts {
                        self.report.merge(fact, self.now);
                    }
                    if step.done.contains(&part) {
                        return Ok(());
                    }
                }
                Err(err) => {
                    let changes = self.upstream.unsaved();
                    self.commit(changes);
                    return Err(err);
                }
            }
        }
    }

    /// Reads everything that is planned.
    pub(crate) async fn read_all(&mut self) {
        self.read(Part::Credentials).await.unwrap();
        if self.upstream.plan().iter().any(|planned| planned.part == Part::Usage) {
            self.read(Part::Usage).await.unwrap();
        }
    }

    fn commit(&mut self, changes: Vec<CounterChange>) {
        for CounterChange { family, rows, gone } in changes {
            if !self.stored.iter().any(|(known, _)| *known == family) {
                self.stored.push((family.clone(), Vec::new()));
            }
            let stored = self.stored.iter_mut().find(|(known, _)| *known == family).unwrap();
            stored
                .1
                .retain(|row| !gone.contains(&row.labels) && rows.iter().all(|new| new.labels != row.labels));
            stored.1.extend(rows);
        }
    }
}

/// A simulated server, and a client that reads it.
pub(crate) struct Simulated {
    pub(crate) server: Simulator,
    pub(crate) config: CliproxyConfig,
    pub(crate) driver: Driver,
    clock: Arc<AtomicI64>,
    _serving: JoinSet<()>,
}

impl Simulated {
    pub(crate) async fn of(generation: Generation, usage: UsageSetting) -> Simulated {
        let options =
            Options { generation, key: KEY.to_owned(), traffic: Traffic::None, ..Options::default() };
        Simulated::open(&options, usage).await
    }

    pub(crate) async fn open(options: &Options, usage: UsageSetting) -> Simulated {
        let clock = Arc::new(AtomicI64::new(LATER.as_millis()));
        let shown = Arc::clone(&clock);
        let server = Simulator::new(options, move || shown.load(Ordering::Relaxed));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(server.clone().serve(listener, std::future::pending()));
        let config = config(&url, usage);
        let driver = Driver::new(&config);
        Simulated { server, config, driver, clock, _serving: serving }
    }

    /// Time passes for both.
    pub(crate) fn pass(&mut self, secs: u64) {
        self.driver.pass(secs);
        self.clock.store(self.driver.now.wall.as_millis(), Ordering::Relaxed);
        self.server.advance(secs * 1000);
    }

    /// Another process of the client goes on.
    pub(crate) fn restart(&mut self) {
        self.driver.restart(&self.config);
    }

    /// All attempts that were counted.
    pub(crate) fn counted(&self) -> u64 {
        self.driver.report.llm_usage.rows.iter().map(|row| row.requests).sum()
    }
}

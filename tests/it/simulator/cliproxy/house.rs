//! A server on a loopback socket, and a client that reads its answers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proxymeter::simulator::cliproxy::{Attempt, Generation, Options, Server, Tokens, Traffic};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::simulator::client::{NOW_MS, Reply, begin};

/// A file of the cast.
pub(super) const CLAUDE: &str = "claude-alice@example.com.json";
pub(super) const QUEUE: &str = "/v0/management/usage-queue";

/// A running server; it stops when dropped.
pub(super) struct House {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    now_ms: Arc<AtomicI64>,
    key: String,
    _server: JoinSet<()>,
}

impl House {
    /// Without traffic of its own.
    pub(super) async fn of(generation: Generation) -> House {
        House::open(Options { generation, traffic: Traffic::None, ..Options::default() }).await
    }

    pub(super) async fn open(options: Options) -> House {
        let now_ms = Arc::new(AtomicI64::new(NOW_MS));
        let clock = Arc::clone(&now_ms);
        let server = Server::new(&options, move || clock.load(Ordering::Relaxed));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut running = JoinSet::new();
        running.spawn(server.clone().serve(listener, std::future::pending()));
        House { server, address, now_ms, key: options.key, _server: running }
    }

    /// Lets the clock and the server move on.
    pub(super) fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(i64::try_from(ms).unwrap(), Ordering::Relaxed);
        self.server.advance(ms);
    }

    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.try_ask(method, path, headers).await.expect("an answer")
    }

    /// `None`: the connection was closed without an answer.
    pub(super) async fn try_ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<Reply> {
        let mut stream = begin(self.address, &self.address.to_string(), method, path, headers, "").await;
        let mut bytes = Vec::new();
        if stream.read_to_end(&mut bytes).await.is_err() || bytes.is_empty() {
            return None;
        }
        let reply = Reply::of(&bytes);
        let is_chunked = reply.header("transfer-encoding") == Some("chunked");
        let body = if is_chunked { unchunked(&reply.body) } else { reply.body };
        Some(Reply { body, ..reply })
    }

    /// With the right key.
    pub(super) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[("authorization", &format!("Bearer {}", self.key))]).await
    }

    pub(super) async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}");
        reply.json()
    }

    pub(super) async fn pop(&self, count: u32) -> Vec<Value> {
        let popped = self.json(&format!("{QUEUE}?count={count}")).await;
        popped.as_array().unwrap().clone()
    }

    /// The entry of a file.
    pub(super) async fn file(&self, name: &str) -> Value {
        let files = self.json("/v0/management/auth-files").await;
        let mut files = files["files"].as_array().unwrap().iter();
        files.find(|file| file["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
}

pub(super) fn fixtures(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cliproxy").join(version)
}

pub(super) fn read(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

/// A successful attempt of a client with a credential of the cast.
pub(super) fn attempt(server: &Server, credential: &str, model: &str) -> Attempt {
    Attempt {
        client: server.client_keys()[0].clone(),
        credential: credential.to_owned(),
        model: model.to_owned(),
        tokens: Tokens { input: 100, output: 20, reasoning: 4, cache_read: 30, cache_write: 0 },
        latency_ms: 1500,
        ttft_ms: 300,
        ..Attempt::default()
    }
}

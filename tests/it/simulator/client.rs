//! A panel on a loopback socket, and a client that sees every byte of its answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proxymeter::simulator::marzban::{Options, Panel};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// When the recordings end: 2026-11-21T03:06:31Z.
pub(crate) const NOW_MS: i64 = 1_795_230_391_250;

/// A running panel; it stops when dropped.
pub(crate) struct House {
    pub(crate) panel: Panel,
    pub(crate) address: SocketAddr,
    pub(crate) now_ms: Arc<AtomicI64>,
    _server: JoinSet<()>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl House {
    pub(crate) async fn open(options: Options) -> House {
        let now_ms = Arc::new(AtomicI64::new(NOW_MS));
        let clock = Arc::clone(&now_ms);
        let panel = Panel::new(options, move || clock.load(Ordering::Relaxed));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(panel.clone().serve(listener, std::future::pending()));
        House { panel, address, now_ms, _server: server }
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.now_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// Opens a connection and asks, without waiting for the answer.
    pub(crate) async fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        begin(self.address, &self.address.to_string(), method, path, headers, body).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut stream = self.begin(method, path, headers, body).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Reply::of(&bytes)
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        self.ask("GET", path, &[("authorization", &format!("Bearer {token}"))], "").await
    }

    pub(crate) async fn json(&self, path: &str, token: &str) -> Value {
        let reply = self.get(path, token).await;
        assert_eq!(reply.status, 200, "{path}");
        reply.json()
    }

    pub(crate) async fn login(&self, username: &str, password: &str) -> Reply {
        let form = format!("username={username}&password={password}");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.ask("POST", "/api/admin/token", &headers, &form).await
    }

    pub(crate) async fn token(&self, username: &str) -> String {
        let reply = self.login(username, &format!("{username}-password")).await;
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }
}

/// Opens a connection and asks, without waiting for the answer.
pub(crate) async fn begin(
    address: SocketAddr,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

impl Reply {
    pub(crate) fn of(bytes: &[u8]) -> Reply {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Reply { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn content_length(&self) -> Option<usize> {
        self.header("content-length").map(|length| length.parse().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

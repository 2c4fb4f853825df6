//! A server on loopback, and clients of it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;
use proxymeter::{
    board::Board,
    clock::{Beats, Clock},
    exposition::{Options, UserLabels},
    model::{ActiveAlerts, Timestamp},
    secret::Secret,
    server::{
        Setup, State,
        access::Access,
        config::{AccessConfig, OwnAccess, OwnTls, PasswordHash, TlsVersion, Users},
        serve,
    },
    store::Usage,
    telemetry::Telemetry,
    wording::Voice,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

/// What only `/config` shows.
pub(crate) const CONFIG: &str = "[marzban.only-in-the-configuration]\n";

/// Every path there is, and some that are not.
pub(crate) const PATHS: [&str; 20] = [
    "/",
    "/targets/home",
    "/targets/home/users",
    "/targets/home/users/ann",
    "/targets/unknown",
    "/receivers/ops",
    "/metrics",
    "/metrics/home",
    "/metrics/nobody",
    "/api/v1/alerts",
    "/api/v1/targets",
    "/api/v1/usage",
    "/api/v1/silences",
    "/api/v1/silences/one",
    "/config",
    "/runbook",
    "/-/healthy",
    "/-/ready",
    "/nothing",
    "/-/reload",
];

/// A server until it is dropped.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    pub(crate) setup: watch::Sender<Arc<Setup>>,
    pub(crate) telemetry: Telemetry,
    pub(crate) board: Board,
    pub(crate) alerts: watch::Sender<Arc<ActiveAlerts>>,
    _serving: JoinSet<()>,
}

impl Port {
    pub(crate) async fn open(config: AccessConfig) -> Self {
        proxymeter::http::install_crypto_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let telemetry = Telemetry::new();
        let setup = Setup {
            options: Options {
                labels: UserLabels::Name,
                limit: 10,
                inbounds: false,
                used_today: false,
                budgets: Vec::new(),
            },
            config: CONFIG.to_owned(),
            receivers: Vec::new(),
            voice: Voice::default(),
            names: Vec::new(),
            llms: Vec::new(),
            dashboards: String::new(),
            alerting: true,
            access: Arc::new(Access::open(&config, &telemetry).unwrap()),
        };
        let (setup, current) = watch::channel(Arc::new(setup));
        let (alerts, is_active) = watch::channel(Arc::default());
        let board = Board::new(["home"]);
        let state = State {
            board: board.clone(),
            clock: Clock::starting_at(Timestamp::from_secs(1_790_000_000)),
            telemetry: telemetry.clone(),
            setup: current,
            telemetry_path: "/metrics".to_owned(),
            usage: Usage::in_memory(&Clock::starting_at(Timestamp::from_secs(1_790_000_000)), TimeZone::UTC),
            alerts: is_active,
            ready: watch::channel(true).1,
            reload: mpsc::channel(1).0,
            silences: mpsc::channel(1).0,
            beats: Beats::default(),
            version: "1.2.3",
        };
        let mut serving = JoinSet::new();
        serving.spawn(serve(watch::channel(vec![Arc::new(listener)]).1, state, std::future::pending()));
        Port { address, setup, telemetry, board, alerts, _serving: serving }
    }

    /// The value of one of the daemon's own metrics.
    pub(crate) fn own(&self, name: &str) -> f64 {
        let families = self.telemetry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    /// Files that changed before are read by the next request after this. Moves the clock of a runtime with one thread,
    /// which is not paused.
    pub(crate) async fn files_are_due() {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// From another address of this machine, e.g. 127.0.0.2.
    pub(crate) async fn connect_from(&self, address: IpAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address, 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        talk(&mut self.connect().await, method, path, headers).await.unwrap()
    }

    pub(crate) async fn get(&self, headers: &[&str]) -> u16 {
        self.ask("GET", "/metrics", headers).await.status
    }

    pub(crate) async fn handshake(
        &self,
        client: &Arc<ClientConfig>,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::clone(client)).connect(name, self.connect().await).await
    }

    /// In TLS 1.3 a client learns only afterwards that its certificate was refused.
    pub(crate) async fn get_tls(&self, client: &Arc<ClientConfig>, headers: &[&str]) -> io::Result<u16> {
        let mut stream = self.handshake(client).await?;
        Ok(talk(&mut stream, "GET", "/metrics", headers).await?.status)
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// Asks on a connection, and leaves it open.
pub(crate) async fn talk(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    method: &str,
    path: &str,
    headers: &[&str],
) -> io::Result<Answer> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let end = loop {
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut answer = Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: String::from_utf8(answer[end..].to_vec()).unwrap(),
        head,
    };
    let length: usize = answer.header("content-length")[0].parse().unwrap();
    let rest = length - answer.body.len();
    if method != "HEAD" && rest > 0 {
        let mut body = vec![0; rest];
        stream.read_exact(&mut body).await?;
        answer.body.push_str(std::str::from_utf8(&body).unwrap());
    }
    Ok(answer)
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The cheapest hash there is.
pub(crate) fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

pub(crate) fn users(all: &[(&str, &str)]) -> Users {
    all.iter().map(|(name, word)| ((*name).to_owned(), PasswordHash::parse(&hash(word)).unwrap())).collect()
}

pub(crate) fn own(users: Users, bearer_token: Option<&str>) -> AccessConfig {
    AccessConfig::Own(OwnAccess {
        users,
        bearer_token: bearer_token.map(Secret::from),
        ..OwnAccess::default()
    })
}

pub(crate) fn own_tls(folder: &Path, client_ca: Option<&str>) -> OwnTls {
    OwnTls {
        cert_file: folder.join("server.pem"),
        key_file: folder.join("server-key.pem"),
        client_ca_file: client_ca.map(|file| folder.join(file)),
        min_version: TlsVersion::Tls12,
    }
}

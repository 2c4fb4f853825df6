//! Who may use the HTTP port, asked over real sockets.

#[path = "common/canary.rs"]
mod canary;
#[path = "support/pki.rs"]
mod pki;

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use canary::canary;
use pki::Pki;
use proxymeter::{
    board::Board,
    clock::Clock,
    exposition::{Options, UserLabels},
    model::Timestamp,
    secret::Secret,
    server::{
        State,
        access::Access,
        config::{AccessConfig, OwnAccess, OwnTls, PasswordHash, TlsVersion, Users},
        serve,
    },
    telemetry::Telemetry,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

/// Every path there is, and some that are not.
const PATHS: [&str; 9] = [
    "/",
    "/metrics",
    "/metrics/home",
    "/metrics/nobody",
    "/api/v1/alerts",
    "/-/healthy",
    "/-/ready",
    "/nothing",
    "/-/reload",
];
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];

/// A server until it is dropped.
struct Port {
    address: SocketAddr,
    access: watch::Sender<Arc<Access>>,
    telemetry: Telemetry,
    _serving: JoinSet<()>,
}

impl Port {
    async fn open(config: AccessConfig) -> Self {
        proxymeter::http::install_crypto_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let telemetry = Telemetry::new();
        let (access, current) = watch::channel(Arc::new(Access::open(&config, &telemetry).unwrap()));
        let state = State {
            board: Board::new(["home"]),
            clock: Clock::starting_at(Timestamp::from_secs(1_790_000_000)),
            telemetry: telemetry.clone(),
            options: Options { labels: UserLabels::Name, limit: 10 },
            telemetry_path: "/metrics".to_owned(),
            alerts: watch::channel(Arc::default()).1,
            ready: watch::channel(true).1,
            access: current,
            version: "1.2.3",
        };
        let mut serving = JoinSet::new();
        serving.spawn(serve(vec![listener], state, std::future::pending()));
        Port { address, access, telemetry, _serving: serving }
    }

    /// The value of one of the daemon's own metrics.
    fn own(&self, name: &str) -> f64 {
        let families = self.telemetry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        talk(&mut self.connect().await, method, path, headers).await.unwrap()
    }

    async fn get(&self, headers: &[&str]) -> u16 {
        self.ask("GET", "/metrics", headers).await.status
    }

    async fn handshake(
        &self,
        client: &Arc<ClientConfig>,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::clone(client)).connect(name, self.connect().await).await
    }

    /// In TLS 1.3 a client learns only afterwards that its certificate was refused.
    async fn get_tls(&self, client: &Arc<ClientConfig>, headers: &[&str]) -> io::Result<u16> {
        let mut stream = self.handshake(client).await?;
        Ok(talk(&mut stream, "GET", "/metrics", headers).await?.status)
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// Asks on a connection, and leaves it open.
async fn talk(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    method: &str,
    path: &str,
    headers: &[&str],
) -> io::Result<Answer> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
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

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The cheapest hash there is.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

fn users(all: &[(&str, &str)]) -> Users {
    all.iter().map(|(name, word)| ((*name).to_owned(), PasswordHash::parse(&hash(word)).unwrap())).collect()
}

fn own(users: Users, bearer_token: Option<&str>) -> AccessConfig {
    AccessConfig::Own(OwnAccess {
        users,
        bearer_token: bearer_token.map(Secret::from),
        ..OwnAccess::default()
    })
}

fn own_tls(folder: &Path, client_ca: Option<&str>) -> OwnTls {
    OwnTls {
        cert_file: folder.join("server.pem"),
        key_file: folder.join("server-key.pem"),
        client_ca_file: client_ca.map(|file| folder.join(file)),
        min_version: TlsVersion::Tls12,
    }
}

#[tokio::test]
async fn without_any_keys_everybody_passes() {
    let port = Port::open(AccessConfig::default()).await;
    assert_eq!(port.get(&[]).await, 200);
    assert_eq!(port.get(&[&basic("who", "ever")]).await, 200);
    assert_eq!(port.own("proxymeter_http_password_checks_total"), 0.0);
}

#[tokio::test]
async fn the_unauthenticated_reach_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    fs::write(&file, format!("basic_auth_users:\n  alice: {}\n", hash("right"))).unwrap();
    let port = Port::open(AccessConfig::WebFile(file)).await;
    let both = Port::open(own(users(&[("alice", "right")]), Some("token"))).await;
    let wrong = basic("alice", "wrong");
    let stranger = basic("mallory", "right");
    let malformed = format!("Authorization: Basic {}", STANDARD.encode("no colon"));
    let right = basic("alice", "right");
    let twice = format!("{right}\r\n{right}");
    let bad = [
        "",
        &wrong,
        &stranger,
        &malformed,
        &twice,
        "Authorization: ",
        "Authorization: Basic",
        "Authorization: Basic ",
        "Authorization: Basic !!!!",
        "Authorization: Basic YWxpY2U6cmlnaHQ",
        "Authorization: Bearer",
        "Authorization: Bearer wrong",
        "Authorization: Bearer tokentoken",
        "Authorization: Bearer toke",
        "Authorization: Digest username=\"alice\"",
        "Authorization: alice:right",
        "Authorization: \u{7f}",
    ];
    for port in [&port, &both] {
        for path in PATHS {
            for method in METHODS {
                let answer = port.ask(method, path, &[]).await;
                assert_eq!(answer.status, 401, "{method} {path}");
                assert!(method == "HEAD" || answer.body == "Unauthorized.\n", "{}", answer.body);
                assert!(answer.header("allow").is_empty() && answer.header("content-encoding").is_empty());
            }
        }
        for header in bad {
            let header: Vec<&str> = Some(header).filter(|header| !header.is_empty()).into_iter().collect();
            let answer = port.ask("GET", "/metrics", &header).await;
            // What is no header at all does not get so far.
            assert!(matches!(answer.status, 401 | 400), "{header:?}: {}", answer.status);
            assert_eq!(answer.status == 400, header.iter().any(|header| header.contains('\u{7f}')));
        }
    }
    let challenge = port.ask("GET", "/", &[]).await;
    assert_eq!(challenge.header("www-authenticate"), ["Basic realm=\"proxymeter\", charset=\"UTF-8\""]);
    let challenge = both.ask("GET", "/", &[]).await;
    assert_eq!(challenge.header("www-authenticate").len(), 2);

    for (port, header) in [(&port, &*right), (&both, &right), (&both, "authorization: bearer token")] {
        for (method, path, status) in [
            ("GET", "/metrics", 200),
            ("HEAD", "/", 200),
            ("GET", "/-/ready", 200),
            ("GET", "/nothing", 404),
            ("POST", "/metrics", 405),
        ] {
            assert_eq!(port.ask(method, path, &[header]).await.status, status, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn health_may_be_open_and_nothing_else_with_it() {
    let AccessConfig::Own(mut own) = own(Users::new(), Some("token")) else { unreachable!() };
    own.open_health = true;
    let port = Port::open(AccessConfig::Own(own)).await;
    for path in PATHS {
        let expected = if path == "/-/healthy" { 200 } else { 401 };
        assert_eq!(port.ask("GET", path, &[]).await.status, expected, "{path}");
    }
    let challenge = port.ask("GET", "/", &[]).await;
    assert_eq!(challenge.header("www-authenticate"), ["Bearer realm=\"proxymeter\""]);
    assert_eq!(port.get(&["Authorization: Bearer token"]).await, 200);
}

/// Hashing is what takes time, so it is counted instead of measured.
#[tokio::test]
async fn who_is_unknown_takes_as_long_as_who_is_known() {
    let port = Port::open(own(users(&[("alice", "right"), ("bob", "also right")]), None)).await;
    let checks = || port.own("proxymeter_http_password_checks_total");
    let mut count = 0.0;
    for (user, password, status, cost) in [
        ("alice", "wrong", 401, 1.0),
        ("alice", "wrong", 401, 1.0),
        ("mallory", "right", 401, 1.0),
        ("mallory", "right", 401, 1.0),
        ("", "", 401, 1.0),
        ("alice", "right", 200, 1.0),
        ("alice", "right", 200, 0.0),
        ("bob", "right", 401, 1.0),
        ("bob", "also right", 200, 1.0),
        ("alice", "right", 200, 0.0),
        ("alic", "eright", 401, 1.0),
        ("Alice", "right", 401, 1.0),
    ] {
        assert_eq!(port.get(&[&basic(user, password)]).await, status, "{user} {password}");
        count += cost;
        assert_eq!(checks(), count, "{user} {password}");
    }
}

#[tokio::test]
async fn many_scrapers_at_once_cost_one_check() {
    let port = Port::open(own(users(&[("alice", "right")]), None)).await;
    let header = basic("alice", "right");
    let headers = [&*header];
    let all = (0..10).map(|_| port.get(&headers));
    assert_eq!(futures_util::future::join_all(all).await, [200; 10]);
    assert_eq!(port.own("proxymeter_http_password_checks_total"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_does_not_keep_scrapers_out() {
    let slow = PasswordHash::parse(&bcrypt::hash("right", 9).unwrap()).unwrap();
    let port = Port::open(own([("alice".to_owned(), slow)].into(), None)).await;
    let right = basic("alice", "right");
    assert_eq!(port.get(&[&right]).await, 200);
    let guesses = futures_util::future::join_all((0..60).map(|guess| {
        let port = &port;
        async move { port.ask("GET", "/metrics", &[&basic("alice", &guess.to_string())]).await }
    }));
    let scrapes = async {
        let mut seen = Vec::new();
        for _ in 0..20 {
            seen.push(port.get(&[&right]).await);
        }
        seen
    };
    let (guesses, scrapes) = tokio::join!(guesses, scrapes);
    assert_eq!(scrapes, [200; 20]);
    let refused: Vec<_> = guesses.iter().filter(|answer| answer.status == 503).collect();
    assert!(!refused.is_empty() && refused.iter().all(|answer| !answer.header("retry-after").is_empty()));
    assert!(guesses.iter().all(|answer| matches!(answer.status, 401 | 503)));
    let checked = f64::from(u32::try_from(guesses.len() - refused.len()).unwrap());
    assert_eq!(port.own("proxymeter_http_password_checks_total"), 1.0 + checked);
}

#[tokio::test]
async fn client_certificates_are_demanded_and_passwords_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let (pki, strangers) = (Pki::new(), Pki::new());
    pki.write(folder.path());
    let tls = Some(own_tls(folder.path(), Some("ca.pem")));
    let port = Port::open(AccessConfig::Own(OwnAccess { tls: tls.clone(), ..OwnAccess::default() })).await;
    let nobody = pki.client(None);
    let friend = pki.client(Some(&pki.issue(&["prometheus"])));
    let stranger = pki.client(Some(&strangers.issue(&["prometheus"])));
    assert_eq!(port.get_tls(&friend, &[]).await.unwrap(), 200);
    port.get_tls(&nobody, &[]).await.unwrap_err();
    port.get_tls(&stranger, &[]).await.unwrap_err();
    assert_eq!(port.own("proxymeter_http_tls_handshake_failures_total"), 2.0);
    talk(&mut port.connect().await, "GET", "/metrics", &[]).await.unwrap_err();

    let users = users(&[("alice", "right")]);
    let port = Port::open(AccessConfig::Own(OwnAccess { tls, users, ..OwnAccess::default() })).await;
    assert_eq!(port.get_tls(&friend, &[]).await.unwrap(), 401);
    assert_eq!(port.get_tls(&friend, &[&basic("alice", "right")]).await.unwrap(), 200);
    port.get_tls(&nobody, &[&basic("alice", "right")]).await.unwrap_err();
}

#[tokio::test]
async fn every_way_to_ask_for_client_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let (pki, strangers) = (Pki::new(), Pki::new());
    pki.write(folder.path());
    let nobody = pki.client(None);
    let friend = pki.client(Some(&pki.issue(&["prometheus.example.com", "192.0.2.7"])));
    let stranger = pki.client(Some(&strangers.issue(&["prometheus.example.com"])));
    let ca = "client_ca_file: ca.pem";
    // Who passes: nobody in particular, a friend, a stranger.
    for (lines, passes) in [
        (["", "", ""], [true, true, true]),
        (["client_auth_type: RequestClientCert", "", ""], [true, true, true]),
        (["client_auth_type: RequireAnyClientCert", "", ""], [false, true, true]),
        (["client_auth_type: RequireClientCert", ca, ""], [false, true, true]),
        (["client_auth_type: VerifyClientCertIfGiven", ca, ""], [true, true, false]),
        (["client_auth_type: RequireAndVerifyClientCert", ca, ""], [false, true, false]),
        (
            ["client_auth_type: RequireAndVerifyClientCert", ca, "client_allowed_sans: [192.0.2.7]"],
            [false, true, false],
        ),
        (
            ["client_auth_type: RequireAndVerifyClientCert", ca, "client_allowed_sans: [example.com]"],
            [false, false, false],
        ),
        (
            ["client_auth_type: RequireAndVerifyClientCert", ca, "client_allowed_sans: []"],
            [false, false, false],
        ),
        (
            ["client_auth_type: RequireAnyClientCert", "", "client_allowed_sans: [prometheus.example.com]"],
            [false, true, true],
        ),
    ] {
        let file = folder.path().join("web.yml");
        let lines = ["cert_file: server.pem", "key_file: server-key.pem"].iter().chain(&lines);
        let lines: String = lines.map(|line| format!("  {line}\n")).collect();
        fs::write(&file, format!("tls_server_config:\n{lines}")).unwrap();
        let port = Port::open(AccessConfig::WebFile(file)).await;
        for (client, passes) in [&nobody, &friend, &stranger].into_iter().zip(passes) {
            assert_eq!(port.get_tls(client, &[]).await.is_ok(), passes, "{lines}");
        }
    }
}

#[tokio::test]
async fn versions_suites_and_curves_are_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    pki.write(folder.path());
    let old = pki.client_of(&[&rustls::version::TLS12]);
    let new = pki.client_of(&[&rustls::version::TLS13]);

    let tls = OwnTls { min_version: TlsVersion::Tls13, ..own_tls(folder.path(), None) };
    let port = Port::open(AccessConfig::Own(OwnAccess { tls: Some(tls), ..OwnAccess::default() })).await;
    port.get_tls(&old, &[]).await.unwrap_err();
    assert_eq!(port.get_tls(&new, &[]).await.unwrap(), 200);

    let file = folder.path().join("web.yml");
    let text = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n  max_version: TLS12\n  \
                cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]\n  curve_preferences: [CurveP384]\n";
    fs::write(&file, text).unwrap();
    let port = Port::open(AccessConfig::WebFile(file)).await;
    port.get_tls(&new, &[]).await.unwrap_err();
    let stream = port.handshake(&old).await.unwrap();
    let (_, session) = stream.get_ref();
    let suite = session.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::secp384r1);
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
    let log = canary::log();
    let folder = tempfile::tempdir().unwrap();
    let (pki, others) = (Pki::new(), Pki::new());
    pki.write(folder.path());
    let tls = Some(own_tls(folder.path(), None));
    let port = Port::open(AccessConfig::Own(OwnAccess { tls, ..OwnAccess::default() })).await;
    let (client, other) = (pki.client(None), others.client(None));
    let mut kept = port.handshake(&client).await.unwrap();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 200);

    // Half a change: the certificate is there, its key is not.
    let others_files = tempfile::tempdir().unwrap();
    others.write(others_files.path());
    let certificate = folder.path().join("server.pem");
    fs::copy(others_files.path().join("server.pem"), &certificate).unwrap();
    for _ in 0..3 {
        assert_eq!(port.get_tls(&client, &[]).await.unwrap(), 200);
    }
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 200);
    assert_eq!(port.own("proxymeter_web_config_up"), 0.0);
    let told = |log: &canary::Log| {
        let name = certificate.display().to_string();
        log.text().lines().filter(|line| line.contains("ERROR") && line.contains(&name)).count()
    };
    assert_eq!(told(&log), 1);

    fs::copy(others_files.path().join("server-key.pem"), folder.path().join("server-key.pem")).unwrap();
    assert_eq!(port.get_tls(&other, &[]).await.unwrap(), 200);
    port.get_tls(&client, &[]).await.unwrap_err();
    assert_eq!(port.own("proxymeter_web_config_up"), 1.0);
    // One that was made with the old certificate is not used any longer.
    talk(&mut kept, "GET", "/metrics", &[]).await.unwrap_err();

    fs::remove_file(&certificate).unwrap();
    assert_eq!(port.get_tls(&other, &[]).await.unwrap(), 200);
    assert_eq!((port.own("proxymeter_web_config_up"), told(&log)), (0.0, 2));
}

#[tokio::test]
async fn other_authorities_hold_from_the_next_request_on() {
    let folder = tempfile::tempdir().unwrap();
    let (pki, others) = (Pki::new(), Pki::new());
    pki.write(folder.path());
    let tls = Some(own_tls(folder.path(), Some("ca.pem")));
    let port = Port::open(AccessConfig::Own(OwnAccess { tls, ..OwnAccess::default() })).await;
    let friend = pki.client(Some(&pki.issue(&["prometheus"])));
    let newcomer = pki.client(Some(&others.issue(&["prometheus"])));
    let mut kept = port.handshake(&friend).await.unwrap();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 200);

    fs::write(folder.path().join("ca.pem"), others.authority()).unwrap();
    assert_eq!(port.get_tls(&newcomer, &[]).await.unwrap(), 200);
    port.get_tls(&friend, &[]).await.unwrap_err();
    talk(&mut kept, "GET", "/metrics", &[]).await.unwrap_err();
}

#[tokio::test]
async fn a_changed_web_file_holds_from_the_next_request_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let with = |password: &str| format!("basic_auth_users:\n  alice: {}\n", hash(password));
    fs::write(&file, with("first")).unwrap();
    let port = Port::open(AccessConfig::WebFile(file.clone())).await;
    let (first, second) = (basic("alice", "first"), basic("alice", "second"));
    let mut kept = port.connect().await;
    for (change, statuses) in [
        (None, [200, 401, 401]),
        (Some(with("second")), [401, 200, 401]),
        (Some("basic_auth_users:\n  alice: second\n".to_owned()), [500, 500, 500]),
        (Some(with("first")), [200, 401, 401]),
        (Some("basic_auth_users: [".to_owned()), [500, 500, 500]),
        (Some(String::new()), [200, 200, 200]),
        (Some(with("second")), [401, 200, 401]),
    ] {
        if let Some(text) = &change {
            fs::write(&file, text).unwrap();
        }
        for (header, status) in [&*first, &second, "X: y"].into_iter().zip(statuses) {
            let answer = talk(&mut kept, "GET", "/metrics", &[header]).await.unwrap();
            assert_eq!(answer.status, status, "{change:?}");
        }
        let up = f64::from(u8::from(statuses != [500; 3]));
        assert_eq!(port.own("proxymeter_web_config_up"), up, "{change:?}");
    }
    fs::remove_file(&file).unwrap();
    for path in PATHS {
        let answer = talk(&mut kept, "GET", path, &[&second]).await.unwrap();
        assert_eq!(answer.status, 500, "{path}");
        assert!(!answer.body.contains("home"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_web_file_turns_tls_on_and_off() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    pki.write(folder.path());
    let client = pki.client(None);
    let file = folder.path().join("web.yml");
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n";
    fs::write(&file, "").unwrap();
    let port = Port::open(AccessConfig::WebFile(file.clone())).await;
    let mut plain = port.connect().await;
    assert_eq!(talk(&mut plain, "GET", "/metrics", &[]).await.unwrap().status, 200);

    fs::write(&file, tls).unwrap();
    talk(&mut plain, "GET", "/metrics", &[]).await.unwrap_err();
    talk(&mut port.connect().await, "GET", "/metrics", &[]).await.unwrap_err();
    let mut kept = port.handshake(&client).await.unwrap();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 200);

    // Broken: nobody gets in, neither by TLS nor without, and those who are in learn nothing.
    fs::write(&file, "tls_server_config:\n  cert_file: server.pem\n").unwrap();
    port.handshake(&client).await.unwrap_err();
    talk(&mut port.connect().await, "GET", "/metrics", &[]).await.unwrap_err();
    assert_eq!(talk(&mut kept, "GET", "/metrics", &[]).await.unwrap().status, 500);

    fs::write(&file, tls).unwrap();
    assert_eq!(port.get_tls(&client, &[]).await.unwrap(), 200);
    fs::write(&file, "").unwrap();
    assert_eq!(port.get(&[]).await, 200);
    talk(&mut kept, "GET", "/metrics", &[]).await.unwrap_err();
}

#[tokio::test]
async fn headers_and_rates_of_a_web_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let text = format!(
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n\
         basic_auth_users:\n  alice: {}\nrate_limit:\n  interval: 1h\n  burst: 3\n",
        hash("right")
    );
    fs::write(&file, text).unwrap();
    let port = Port::open(AccessConfig::WebFile(file)).await;
    let right = basic("alice", "right");
    for (headers, status) in [(vec![], 401), (vec![&*right], 200), (vec![&*right], 200)] {
        let answer = port.ask("GET", "/-/healthy", &headers).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-frame-options"), ["deny"]);
        assert_eq!(answer.header("strict-transport-security"), ["max-age=1"]);
        assert_eq!(answer.header("x-content-type-options"), ["nosniff"]);
    }
    for headers in [vec![], vec![&*right]] {
        let answer = port.ask("GET", "/-/healthy", &headers).await;
        assert_eq!((answer.status, answer.header("x-frame-options").len()), (429, 0));
    }
}

#[tokio::test]
async fn the_way_in_can_be_replaced() {
    let port = Port::open(AccessConfig::default()).await;
    let mut kept = port.connect().await;
    assert_eq!(talk(&mut kept, "GET", "/", &[]).await.unwrap().status, 200);
    let closed = Access::open(&own(Users::new(), Some("token")), &port.telemetry).unwrap();
    port.access.send_replace(Arc::new(closed));
    assert_eq!(talk(&mut kept, "GET", "/", &[]).await.unwrap().status, 401);
    let token = ["Authorization: Bearer token"];
    assert_eq!(talk(&mut kept, "GET", "/", &token).await.unwrap().status, 200);
}

#[tokio::test]
async fn bodies_are_not_waited_for() {
    let port = Port::open(own(Users::new(), Some("token"))).await;
    let token = "Authorization: Bearer token";
    for (length, status) in [("Content-Length: 0", 405), ("Content-Length: 8192", 405)] {
        assert_eq!(port.ask("POST", "/metrics", &[token, length]).await.status, status, "{length}");
    }
    for length in ["Content-Length: 8193", "Content-Length: 99999999999", "Transfer-Encoding: chunked"] {
        let mut stream = port.connect().await;
        let answer = talk(&mut stream, "POST", "/metrics", &[token, length]).await.unwrap();
        assert_eq!(answer.status, 413, "{length}");
        assert_eq!(answer.header("connection"), ["close"], "{length}");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
        assert_eq!(port.ask("POST", "/metrics", &[length]).await.status, 401, "{length}");
    }
}

/// As many as the number of files allows that a process may have open, at most a thousand.
#[tokio::test]
async fn idle_and_slow_connections_do_not_keep_scrapers_out() {
    let limits = procfs::process::Process::myself().unwrap().limits().unwrap();
    let files = match limits.max_open_files.soft_limit {
        procfs::process::LimitValue::Value(files) => usize::try_from(files).unwrap(),
        procfs::process::LimitValue::Unlimited => usize::MAX,
    };
    // Both ends are in this process, and up to 512 are kept.
    let count = (files.saturating_sub(700)).min(1000);
    assert!(count > 300, "only {files} files may be open");
    let port = Port::open(AccessConfig::default()).await;
    let mut scraper = port.connect().await;
    let (mut idle, mut scrapes) = (Vec::new(), 0);
    for index in 0..count {
        let mut stream = port.connect().await;
        match index % 4 {
            0 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap(),
            // The beginning of a handshake, or of nothing.
            1 => stream.write_all(&[0x16, 3, 1]).await.unwrap(),
            2 => drop(talk(&mut stream, "GET", "/-/healthy", &[]).await.unwrap()),
            _ => {}
        }
        idle.push(stream);
        if index % 50 == 0 {
            assert_eq!(talk(&mut scraper, "GET", "/metrics", &[]).await.unwrap().status, 200, "{index}");
            assert_eq!(port.get(&[]).await, 200, "{index}");
            scrapes += 1;
        }
    }
    assert!(scrapes > 5);
    assert!(port.own("proxymeter_http_connections") <= 513.0);
    // The first ones had to leave.
    let mut rest = Vec::new();
    let left = tokio::time::timeout(Duration::from_secs(10), idle[3].read_to_end(&mut rest)).await;
    assert_eq!(count >= 600, left.is_ok_and(|read| read.is_ok()));
}

#[tokio::test]
async fn no_secret_is_shown_anywhere() {
    let log = canary::log();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    let secret_hash = hash(&canary("password"));
    let good = format!("basic_auth_users:\n  alice: {secret_hash}\n");
    let token = canary("token");
    let own = own(users(&[("alice", &canary("password"))]), Some(&token));
    let mut said = format!("{own:?}");
    for config in [own, AccessConfig::WebFile(file.clone())] {
        fs::write(&file, &good).unwrap();
        let port = Port::open(config).await;
        said.push_str(&format!("{:?}", port.access.borrow()));
        let right = basic("alice", &canary("password"));
        let wrong = basic("alice", &canary("wrong"));
        let bearer = format!("Authorization: Bearer {token}");
        for header in [&right, &wrong, &bearer, &format!("{bearer}x"), &format!("Authorization: {token}")] {
            for path in PATHS {
                let answer = port.ask("GET", path, &[header]).await;
                said.push_str(&answer.head);
                said.push_str(&answer.body);
            }
        }
        for broken in [
            format!("basic_auth_users:\n  alice: {}\n", canary("password")),
            format!("basic_auth_users:\n  {secret_hash}\n"),
            format!("{}: {}\n", canary("password"), canary("password")),
            format!("tls_server_config:\n  cert: {}\n  key: {}\n", canary("certificate"), canary("key")),
            format!("tls_server_config:\n  key: |\n    -----BEGIN {0}-----\n    {0}\n", canary("key")),
        ] {
            fs::write(&file, broken).unwrap();
            said.push_str(&port.ask("GET", "/metrics", &[&right]).await.body);
        }
        said.push_str(&format!("{:?}", port.telemetry.gather()));
    }
    said.push_str(&log.text());
    assert!(log.text().contains("web.yml"));
    canary::assert_none("access", &said);
    let (_, end_of_hash) = secret_hash.split_at(29);
    assert!(!said.contains(end_of_hash), "the hash");
    assert!(!said.contains(&STANDARD.encode(canary("password"))), "the password as it is sent");
}

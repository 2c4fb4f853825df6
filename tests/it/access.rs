//! Who may use the HTTP port, asked over real sockets.

use std::{fs, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use proxymeter::server::{
    access::Access,
    config::{AccessConfig, OwnAccess, OwnTls, PasswordHash, TlsVersion, Users},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

use crate::common::{
    canary::{self, canary},
    pki::Pki,
    port::{CONFIG, PATHS, Port, basic, hash, own, own_tls, talk, users},
};

const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "PUT", "DELETE"];

#[tokio::test]
async fn without_any_keys_everybody_passes() {
    let port = Port::open(AccessConfig::default()).await;
    assert_eq!(port.get(&[]).await, 200);
    assert_eq!(port.get(&[&basic("who", "ever")]).await, 200);
    assert_eq!(port.own("proxymeter_http_password_checks_total"), 0.0);
}

/// The server declares a series for each path it knows.
#[tokio::test]
async fn every_path_is_asked_for() {
    let port = Port::open(AccessConfig::default()).await;
    assert_eq!(port.get(&[]).await, 200);
    let families = port.telemetry.gather();
    let requests = families.iter().find(|family| family.name() == "proxymeter_http_requests_total").unwrap();
    let labels = requests.get_metric().iter().flat_map(|metric| metric.get_label());
    let known: Vec<_> = labels.filter(|label| label.name() == "path").map(|label| label.value()).collect();
    assert!(known.contains(&"/config") && known.contains(&"/metrics/{target}"), "{known:?}");
    for path in known {
        let asked = path
            .replace("{target}", "home")
            .replace("{receiver}", "ops")
            .replace("{id}", "one")
            .replace("{user}", "ann");
        assert!(PATHS.contains(&&*asked), "{path}");
    }
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
            // It tells the same of every path, and nothing else.
            for header in ["X: y", &wrong, &right] {
                let answer = port.ask("OPTIONS", path, &[header]).await;
                assert_eq!((answer.status, &*answer.body), (200, ""), "{path}");
                assert_eq!(answer.header("allow"), ["GET, HEAD, POST, PUT, DELETE, OPTIONS"], "{path}");
                assert!(answer.header("www-authenticate").is_empty());
            }
            for method in METHODS {
                let answer = port.ask(method, path, &[]).await;
                assert_eq!(answer.status, 401, "{method} {path}");
                assert!(method == "HEAD" || answer.body == "Unauthorized.\n", "{}", answer.body);
                assert!(answer.header("allow").is_empty() && answer.header("content-encoding").is_empty());
            }
        }
        assert_eq!(port.own("proxymeter_http_password_checks_total"), 0.0);
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
        assert_eq!(port.ask("GET", "/config", &[header]).await.body, CONFIG);
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

/// The scraper's password is not known when the flood begins, nor after it is known and forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_does_not_keep_scrapers_out() {
    let slow = PasswordHash::parse(&bcrypt::hash("right", 9).unwrap()).unwrap();
    let config = own([("alice".to_owned(), slow)].into(), None);
    let port = Port::open(config.clone()).await;
    let (guessed, mut guesses) = watch::channel([0, 0]);
    let guess = async |guesser: u32| {
        let mut stream = port.connect_from([127, 0, 0, 2].into()).await;
        for attempt in 0_u64.. {
            let header = basic("alice", &format!("{guesser} {attempt}"));
            let answer = talk(&mut stream, "GET", "/metrics", &[&header]).await.unwrap();
            assert!(matches!(answer.status, 401 | 503), "{}", answer.status);
            let refused = answer.status == 503;
            assert_eq!(answer.header("retry-after").is_empty(), !refused);
            guessed.send_modify(|counts| counts[usize::from(refused)] += 1);
        }
    };
    let scrape = async {
        guesses.wait_for(|[wrong, refused]| *wrong > 2 && *refused > 100).await.unwrap();
        for round in 0..5 {
            for _ in 0..3 {
                assert_eq!(port.get(&[&basic("alice", "right")]).await, 200, "{round}");
            }
            let forgetful = Access::open(&config, &port.telemetry).unwrap();
            port.setup.send_modify(|setup| Arc::make_mut(setup).access = Arc::new(forgetful));
        }
    };
    tokio::select! {
        _ = futures_util::future::join_all((0..24).map(guess)) => unreachable!(),
        () = scrape => {}
    }
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
    for (method, headers) in [("GET", vec![]), ("GET", vec![&*right]), ("OPTIONS", vec![])] {
        let answer = port.ask(method, "/-/healthy", &headers).await;
        assert_eq!((answer.status, answer.header("x-frame-options").len()), (429, 0));
    }
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
            0 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap(),
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
    // The first ones had to leave, if there were too many.
    if count >= 600 {
        let mut rest = Vec::new();
        let left = tokio::time::timeout(Duration::from_secs(10), idle[3].read_to_end(&mut rest));
        left.await.unwrap().unwrap();
    }
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
        said.push_str(&format!("{:?}", port.setup.borrow().access));
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
            Port::files_are_due().await;
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

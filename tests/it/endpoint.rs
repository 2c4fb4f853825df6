//! Targets behind proxies, Unix sockets and access gateways.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    http,
    http::options::{Endpoint, PanelUrl},
    model::{Part, Reason},
    upstream::{
        Cause, FetchError, Scope, Timeouts, Upstream,
        cliproxy::config::{CliproxyConfig, UsageSetting},
        marzban::config::MarzbanConfig,
        xui::config::XuiConfig,
    },
};
use rcgen::generate_simple_self_signed;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use sha2::{Digest, Sha256};

use crate::common::{
    PATIENT, RECORDED_AT, SHORT, at,
    canary::{self, assert_none, canary},
    cliproxy::{self, Driver, Recorded},
    config,
    listener::{Listener, closed_address},
    panel::{Panel, Role},
    read_once,
    relay::{LOGIN, Relay, Way, unix_socket},
    server::{Act, Answer, Server},
    upstream,
    xui::{self, BASE},
};

/// A name that cannot be resolved here, so that only a proxy that gets the name can reach it.
const NAME: &str = "panel.invalid";

fn endpoint(url: &str) -> Endpoint {
    PanelUrl::parse(url).unwrap().into()
}

fn by_proxy(url: &str, scheme: &str, relay: &Relay) -> Endpoint {
    let (name, password) = LOGIN;
    let proxy = format!("{scheme}://{name}:{password}@{}", relay.address);
    Endpoint { proxy: Some(proxy.as_str().into()), ..endpoint(url) }
}

fn marzban(endpoint: Endpoint) -> MarzbanConfig {
    MarzbanConfig { endpoint, ..config("http://127.0.0.1", Role::Sudo.login()) }
}

/// Reads each kind of target once by the endpoints that `way` makes of the path of a server, and returns the servers.
async fn read_all(way: impl Fn(&Server, &str) -> Endpoint) -> Vec<Server> {
    let panel = Panel::of(Role::Sudo).start();
    let report = read_once(upstream(&marzban(way(&panel, "")), PATIENT)).await;
    assert_eq!((report.up, report.users.list().len()), (Some(true), 33), "{:?}", report.parts);

    let xui = xui::Panel::of("2.8.11");
    let recorded_at = xui.recorded_at();
    let xui = xui.start();
    let config = XuiConfig {
        sample_wait: Duration::from_millis(1),
        ..XuiConfig::new(way(&xui, BASE), xui::password())
    };
    let mut client = Upstream::xui(&config, PATIENT).unwrap();
    for part in [Part::System, Part::Inbounds] {
        client.read(part, at(recorded_at)).await.unwrap();
    }

    let cliproxy = Arc::new(Recorded::of("7.2.140")).serve();
    let config = CliproxyConfig {
        endpoint: way(&cliproxy, ""),
        ..cliproxy::config("http://127.0.0.1", UsageSetting::Off)
    };
    Driver::new(&config).read(Part::Credentials).await.unwrap();
    vec![panel, xui, cliproxy]
}

#[tokio::test]
async fn every_kind_of_target_is_reached_through_a_proxy() {
    for (way, scheme) in [(Way::Forward, "http"), (Way::Socks, "socks5h")] {
        let relays = std::sync::Mutex::new(Vec::new());
        let servers = read_all(|server, base| {
            let relay = Relay::start(way, server.address(), true);
            let endpoint = by_proxy(&format!("http://{NAME}:8000{base}"), scheme, &relay);
            relays.lock().unwrap().push(relay);
            endpoint
        });
        for server in servers.await {
            assert!(server.requests().iter().all(|request| request.header("proxy-authorization").is_none()));
        }
        for relay in relays.into_inner().unwrap() {
            let asked = relay.asked();
            assert!(!asked.is_empty() && asked.iter().all(|host| host == "panel.invalid:8000"), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn with_socks5_the_name_is_resolved_here() {
    let panel = Panel::of(Role::Sudo).start();
    let relay = Relay::start(Way::Socks, panel.address(), false);
    for (host, asked) in
        [("localhost", ["127.0.0.1:81", "[::1]:81"]), ("[2001:db8::1]", ["[2001:db8::1]:81"; 2])]
    {
        let proxy = format!("socks5://{}", relay.address);
        let endpoint =
            Endpoint { proxy: Some(proxy.as_str().into()), ..endpoint(&format!("http://{host}:81")) };
        upstream(&marzban(endpoint), PATIENT).read(Part::System, at(RECORDED_AT)).await.unwrap();
        let last = relay.asked().pop().unwrap();
        assert!(asked.contains(&last.as_str()), "{last}");
    }
    let endpoint = Endpoint {
        proxy: Some(format!("socks5://{}", relay.address).as_str().into()),
        ..endpoint(&format!("http://{NAME}"))
    };
    let err = upstream(&marzban(endpoint), PATIENT).read(Part::System, at(RECORDED_AT)).await.unwrap_err();
    assert_eq!(err.reason(), Reason::Connect, "{err}");
}

#[tokio::test]
async fn a_panel_with_tls_is_reached_through_a_tunnel() {
    let made = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    for (way, scheme) in [(Way::Tunnel, "http"), (Way::Socks, "socks5h")] {
        let panel = Panel::of(Role::Sudo);
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![CertificateDer::clone(made.cert.der())],
                    PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()),
                )
                .unwrap();
        let server = Server::start_tls(tls, move |request| panel.answer(request));
        let relay = Relay::start(way, server.address(), true);
        let mut endpoint = by_proxy(&format!("https://{NAME}"), scheme, &relay);
        endpoint.tls.pin_sha256 = vec![Sha256::digest(made.cert.der()).into()];
        let report = read_once(upstream(&marzban(endpoint), PATIENT)).await;
        assert_eq!(report.up, Some(true), "{:?}", report.parts);
        assert!(report.certificate_expiry.is_some());
        assert!(relay.asked().iter().all(|host| host == "panel.invalid:443"), "{:?}", relay.asked());
    }
}

#[tokio::test]
async fn every_kind_of_target_is_reached_by_a_unix_socket() {
    let folders = std::sync::Mutex::new(Vec::new());
    let servers = read_all(|server, base| {
        let folder = tempfile::tempdir().unwrap();
        let path = unix_socket(folder.path(), server.address());
        folders.lock().unwrap().push(folder);
        let base = if base.is_empty() { String::new() } else { format!(":{base}/") };
        endpoint(&format!("unix://{}{base}", path.display()))
    });
    for server in servers.await {
        assert!(server.requests().iter().all(|request| request.header("host") == Some("localhost")));
    }
}

#[tokio::test]
async fn headers_are_sent_with_every_request() {
    let servers = read_all(|server, base| Endpoint {
        headers: vec![
            ("cf-access-client-id".to_owned(), "id.access".into()),
            ("host".to_owned(), "panel.example.com".into()),
            ("user-agent".to_owned(), "curl".into()),
            ("x-words".to_owned(), "ключ".into()),
        ],
        ..endpoint(&format!("{}{base}", server.url()))
    });
    for server in servers.await {
        assert!(server.requests().len() > 1);
        for request in server.requests() {
            let seen =
                ["cf-access-client-id", "host", "user-agent", "x-words"].map(|name| request.header(name));
            assert_eq!(seen, [Some("id.access"), Some("panel.example.com"), Some("curl"), Some("ключ")]);
            assert_eq!(request.headers.iter().filter(|(name, _)| name == "host").count(), 1);
        }
    }
}

/// The endpoints that lead to a server, with what keeps the way open.
fn ways(server: &Server) -> Vec<(&'static str, Endpoint, Box<dyn std::any::Any>)> {
    let mut ways: Vec<(_, _, Box<dyn std::any::Any>)> = Vec::new();
    for (name, way, scheme) in [("forward", Way::Forward, "http"), ("socks", Way::Socks, "socks5h")] {
        let relay = Relay::start(way, server.address(), false);
        let proxy = format!("{scheme}://{}", relay.address);
        let endpoint = Endpoint { proxy: Some(proxy.as_str().into()), ..endpoint(&format!("http://{NAME}")) };
        ways.push((name, endpoint, Box::new(relay)));
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = unix_socket(folder.path(), server.address());
    ways.push(("socket", endpoint(&format!("unix://{}", socket.display())), Box::new(folder)));
    ways
}

async fn failure(upstream: &mut Upstream, part: Part) -> FetchError {
    upstream.read(part, at(RECORDED_AT)).await.unwrap_err()
}

#[tokio::test]
async fn a_read_that_dies_on_an_old_connection_is_sent_once_more_on_every_way() {
    // After an answer, the panel closes the connection without a word once or always.
    const OFTEN: usize = 1000;
    let dies = Arc::new(AtomicUsize::new(0));
    let (panel, left) = (Panel::of(Role::Sudo), Arc::clone(&dies));
    let server = Server::start(move |request| {
        let once = |left: usize| left.checked_sub(1);
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, once) {
            Ok(_) => Answer(vec![Act::Close]),
            Err(_) => panel.answer(request),
        }
    });
    for (way, endpoint, _open) in ways(&server) {
        let mut upstream = upstream(&marzban(endpoint), PATIENT);
        upstream.read(Part::System, at(RECORDED_AT)).await.unwrap();
        server.forget_requests();
        dies.store(1, Ordering::SeqCst);
        upstream.read(Part::Nodes, at(RECORDED_AT)).await.unwrap();
        assert_eq!(server.requests_for("/api/nodes").len(), 2, "{way}");
        // Once more is not twice more, and on a new connection nothing is sent again.
        for expected in [4, 5] {
            dies.store(OFTEN, Ordering::SeqCst);
            let err = failure(&mut upstream, Part::Nodes).await;
            assert_eq!(err.cause, Cause::Http(http::Error::Interrupted), "{way}");
            assert_eq!(server.requests_for("/api/nodes").len(), expected, "{way}");
        }
        dies.store(0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_login_is_never_sent_twice_on_any_way() {
    const TOKEN: &str = "/api/admin/token";
    let panel = Panel::of(Role::Sudo);
    let server = Server::start(move |request| match request.path() {
        TOKEN => Answer(vec![Act::Close]),
        _ => panel.answer(request),
    });
    for (way, endpoint, _open) in ways(&server) {
        server.forget_requests();
        let err = failure(&mut upstream(&marzban(endpoint), PATIENT), Part::System).await;
        assert_eq!(err.scope(), Scope::Login);
        assert_eq!(server.requests_for(TOKEN).len(), 1, "{way}");
    }
}

/// A proxy that says this and ends the connection.
fn saying(words: &'static [u8]) -> Listener {
    Listener::start(move |mut client: TcpStream| {
        drop(client.read(&mut [0; 1024]));
        drop(client.write_all(words));
    })
}

#[tokio::test]
async fn a_proxy_that_fails_is_named_and_not_gone_around() {
    let panel = Panel::of(Role::Sudo).start();
    let (http, https) = (panel.url(), panel.url().replace("http:", "https:"));
    let closed = closed_address();
    let wants = Relay::start(Way::Tunnel, panel.address(), true);
    let passes = Relay::start(Way::Forward, panel.address(), true);
    let socks = Relay::start(Way::Socks, panel.address(), true);
    let page = saying(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno");
    let refuses = saying(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
    let other = saying(b"SSH-2.0-OpenSSH_9.6\r\n");
    let none = saying(b"");
    // The greeting and the answer together: the client reads one after the other.
    let unreachable = saying(b"\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00");
    let not_allowed = saying(b"\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00");
    let hangs = Listener::start(|client| drop(std::io::copy(&mut &client, &mut std::io::sink())));
    const LOGIN: &str = "could not connect through the proxy: it wants a login; write the right user name and password into its URL";
    let at_proxy = "could not connect through the proxy: ";
    for (proxy, url, expected) in [
        (format!("http://{closed}"), &http, format!("{at_proxy}Connection refused (os error 111)")),
        (format!("http://{closed}"), &https, format!("{at_proxy}Connection refused (os error 111)")),
        (format!("socks5h://{closed}"), &http, format!("{at_proxy}it cannot be reached")),
        (
            "http://nowhere.invalid:3128".to_owned(),
            &http,
            format!("{at_proxy}failed to lookup address information: Name or service not known"),
        ),
        (format!("http://{}", wants.address), &https, LOGIN.to_owned()),
        (format!("http://me:wrong@{}", wants.address), &https, LOGIN.to_owned()),
        (format!("http://{}", passes.address), &http, LOGIN.to_owned()),
        (format!("socks5h://{}", socks.address), &http, LOGIN.to_owned()),
        (format!("socks5://me:wrong@{}", socks.address), &http, LOGIN.to_owned()),
        (
            format!("http://{}", page.address),
            &https,
            format!("{at_proxy}it cannot reach the server, or may not"),
        ),
        (
            format!("http://{}", refuses.address),
            &https,
            format!("{at_proxy}it cannot reach the server, or may not"),
        ),
        (
            format!("http://{}", other.address),
            &https,
            format!("{at_proxy}it cannot reach the server, or may not"),
        ),
        (format!("socks5h://{}", other.address), &https, format!("{at_proxy}it is no SOCKS proxy")),
        (format!("socks5h://{}", unreachable.address), &http, format!("{at_proxy}it says: host unreachable")),
        (
            format!("socks5h://{}", not_allowed.address),
            &http,
            format!("{at_proxy}it says: connection not allowed"),
        ),
        (format!("http://{}", none.address), &https, format!("{at_proxy}it closed the connection")),
        (format!("socks5h://{}", none.address), &http, format!("{at_proxy}it closed the connection")),
        (format!("http://{}", hangs.address), &https, "no whole answer within 250ms".to_owned()),
    ] {
        let secret = proxy.as_str().into();
        let endpoint = Endpoint { proxy: Some(secret), ..endpoint(url) };
        let timeouts = if expected.starts_with("no whole") { SHORT } else { PATIENT };
        let err = failure(&mut upstream(&marzban(endpoint), timeouts), Part::System).await;
        let text = err.to_string();
        assert!(text.ends_with(&expected), "{proxy}: {text}");
    }
    assert!(panel.requests().is_empty());
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_a_failure_to_connect() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, why) in [(folder.path().join("none"), "No such file"), (file, "Connection refused")] {
        let endpoint = endpoint(&format!("unix://{}", path.display()));
        let err = failure(&mut upstream(&marzban(endpoint), PATIENT), Part::System).await;
        assert_eq!(err.reason(), Reason::Connect);
        assert!(err.to_string().contains(why), "{err}");
    }
}

#[tokio::test]
async fn what_opens_the_way_to_a_target_is_shown_nowhere() {
    let log = canary::log();
    let server = Server::start(|_| Answer::new(403, &[("content-type", "text/html")], canary("body")));
    let relay = Relay::start(Way::Forward, server.address(), true);
    let headers = vec![("cf-access-client-secret".to_owned(), canary("header").as_str().into())];
    let timeouts = Timeouts { ..SHORT };
    for scheme in ["http", "socks5h"] {
        let endpoint =
            Endpoint { headers: headers.clone(), ..by_proxy(&format!("http://{NAME}"), scheme, &relay) };
        let config = marzban(endpoint);
        assert_none("a configuration", &format!("{config:?} {config:#?}"));
        let client = upstream(&config, timeouts);
        assert_none("a client", &format!("{client:?} {client:#?}"));
        let report = read_once(client).await;
        assert_eq!(report.up, Some(false));
        assert_none("a report", &format!("{report:?} {report:#?}"));
    }
    // It did go out.
    assert!(format!("{:?}", server.requests()).contains(&canary("header")));
    assert_none("the log", &log.text());
}

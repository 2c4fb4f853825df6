//! Which certificates the HTTP client trusts, what it asks servers for, and what it says when TLS is not as configured.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use proxymeter::http::{
    Body, Client, Error, Limits, Repeat,
    options::{PanelUrl, TlsOptions},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::common::{
    relay::unix_socket,
    server::{Act, Answer, Request, Server},
};

const FIXTURES: &str = "tests/fixtures/tls";
const LIMITS: Limits = Limits { deadline: Duration::from_secs(20), body: 4096 };

/// What a server presents.
struct Presented {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A certificate, its parameters and its key.
type Made = (CertificateDer<'static>, Issuer<'static, KeyPair>);

fn params(name: &str, alternatives: &[&str]) -> CertificateParams {
    let alternatives: Vec<_> = alternatives.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(alternatives).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn made(params: CertificateParams, issuer: Option<&Made>) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some((_, issuer)) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    (certificate.unwrap().der().clone(), Issuer::new(params, key))
}

fn presented(own: &Made, others: &[&Made]) -> Presented {
    let chain = [own].into_iter().chain(others.iter().copied()).map(|(certificate, _)| certificate.clone());
    let key = PrivateKeyDer::Pkcs8(own.1.key().serialize_der().into());
    Presented { chain: chain.collect(), key }
}

/// One of OpenSSL's.
fn fixture(name: &str) -> Presented {
    let folder = Path::new(FIXTURES);
    Presented {
        chain: vec![CertificateDer::from_pem_file(folder.join(format!("{name}.pem"))).unwrap()],
        key: PrivateKeyDer::from_pem_file(folder.join(format!("{name}-key.pem"))).unwrap(),
    }
}

/// Presents a certificate that rustls itself may not be able to read, and notes the names that it is asked for.
#[derive(Debug)]
struct Presenter {
    key: Arc<CertifiedKey>,
    asked: Mutex<Vec<Option<String>>>,
}

impl ResolvesServerCert for Presenter {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.asked.lock().unwrap().push(hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.key))
    }
}

impl Presented {
    fn start(&self) -> (Server, Arc<Presenter>) {
        self.start_with(&[&rustls::version::TLS12, &rustls::version::TLS13])
    }

    fn start_answering(&self, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
        self.start_as(&[&rustls::version::TLS13], answer).0
    }

    fn start_with(&self, versions: &[&'static SupportedProtocolVersion]) -> (Server, Arc<Presenter>) {
        self.start_as(versions, |_| Answer::json("{}"))
    }

    fn start_as(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> (Server, Arc<Presenter>) {
        let provider = aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(self.key.clone_key()).unwrap();
        let key = Arc::new(CertifiedKey::new(self.chain.clone(), key));
        let presenter = Arc::new(Presenter { key, asked: Mutex::default() });
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&presenter) as Arc<dyn ResolvesServerCert>);
        (Server::start_tls(config, answer), presenter)
    }

    fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.chain[0]).into()
    }

    /// As OpenSSL prints it.
    fn fingerprint(&self) -> String {
        self.sha256().map(|byte| format!("{byte:02X}")).join(":")
    }

    fn pinned(&self) -> TlsOptions {
        TlsOptions { pin_sha256: vec![self.sha256()], ..TlsOptions::default() }
    }
}

fn trusted(certificates: &[&CertificateDer<'_>]) -> (TlsOptions, NamedTempFile) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use std::io::Write;
    let mut file = NamedTempFile::new().unwrap();
    for certificate in certificates {
        let text = STANDARD.encode(certificate);
        writeln!(file, "-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----").unwrap();
    }
    (TlsOptions { ca_file: Some(file.path().into()), ..TlsOptions::default() }, file)
}

fn named(name: &str, tls: TlsOptions) -> TlsOptions {
    TlsOptions { server_name: Some(ServerName::try_from(name.to_owned()).unwrap()), ..tls }
}

fn client(url: &str, tls: &TlsOptions) -> Client {
    Client::by_proxy(tls, url.starts_with("https:"), None).unwrap()
}

async fn ask(url: &str, tls: &TlsOptions) -> Result<(), Error> {
    let client = client(url, tls);
    client.send(client.get(url.to_owned()), LIMITS).await.map(|reply| assert_eq!(reply.status, 200))
}

/// What the client says of what a server presents; `FP` is the fingerprint. Empty: it is trusted.
async fn said(presented: &Presented, tls: &TlsOptions) -> String {
    let (server, _) = presented.start();
    let said = ask(&server.url(), tls).await.map_or_else(|error| error.to_string(), |()| String::new());
    assert_eq!(server.requests().len(), usize::from(said.is_empty()), "{said}");
    said.replace(&presented.fingerprint(), "FP")
}

const PIN: &str = "if it is the right one, write pin_sha256 = \"FP\" (this is what it presented)";

fn dated(from: i32, until: i32) -> CertificateParams {
    let mut params = params("dated", &["127.0.0.1"]);
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 12, 31));
    params
}

#[tokio::test]
async fn what_is_said_of_a_self_signed_certificate() {
    let system = TlsOptions::default();
    let plain = presented(&made(params("panel", &["127.0.0.1"]), None), &[]);
    let marked = presented(&made(authority(params("panel", &["127.0.0.1"])), None), &[]);
    for presented in [&plain, &marked, &fixture("common-name"), &fixture("version-1")] {
        let expected = format!("TLS failed: the server's certificate is self-signed; {PIN}");
        assert_eq!(said(presented, &system).await, expected);
        assert_eq!(said(presented, &presented.pinned()).await, "");
        let (itself, _file) = trusted(&[&plain.chain[0], &presented.chain[0]]);
        assert_eq!(said(presented, &itself).await, "");
        let (other, _file) = trusted(&[&made(authority(params("other", &[])), None).0]);
        let expected =
            format!("TLS failed: the server's certificate is self-signed, and is not in ca_file; {PIN}");
        assert_eq!(said(presented, &other).await, expected);
    }

    for (from, until, flaw) in [
        (2019, 2021, "expired at 2021-12-31T00:00:00Z"),
        (2090, 2091, "is not valid before 2090-01-01T00:00:00Z"),
    ] {
        let presented = presented(&made(dated(from, until), None), &[]);
        let expected = format!("TLS failed: the server's certificate is self-signed, and {flaw}; {PIN}");
        assert_eq!(said(&presented, &system).await, expected);
        let (itself, _file) = trusted(&[&presented.chain[0]]);
        let expected = format!("TLS failed: the server's certificate {flaw}, and this machine's clock says ");
        let said = said(&presented, &itself).await;
        assert!(
            said.starts_with(&expected) && said.ends_with("the clock")
                || said.ends_with("another certificate")
        );
    }
}

/// An authority and its server may have one name.
#[tokio::test]
async fn a_certificate_with_the_name_of_its_authority() {
    let root = made(authority(params("Panel", &[])), None);
    let leaf = presented(&made(params("Panel", &["127.0.0.1"]), Some(&root)), &[&root]);
    let issued = "TLS failed: the server's certificate is issued by \"Panel\", which is not";
    let expected =
        format!("{issued} trusted here; if that is an authority of your own, write ca_file; or, {PIN}");
    assert_eq!(said(&leaf, &TlsOptions::default()).await, expected);
    let (by_root, _file) = trusted(&[&root.0]);
    assert_eq!(said(&leaf, &by_root).await, "");
    let (other, _file) = trusted(&[&made(authority(params("other", &[])), None).0]);
    let expected = format!("{issued} in ca_file; write the certificate of that authority there; or, {PIN}");
    assert_eq!(said(&leaf, &other).await, expected);

    let sha_1 = fixture("sha-1");
    let expected = format!(
        "TLS failed: the server's certificate is self-signed, or issued by an authority of the same name; {PIN}"
    );
    assert_eq!(said(&sha_1, &TlsOptions::default()).await, expected);
    let (itself, _file) = trusted(&[&sha_1.chain[0]]);
    assert_eq!(said(&sha_1, &itself).await, "");
}

/// A certificate that `ca_file` holds is trusted for its names only, as curl does.
#[tokio::test]
async fn a_certificate_of_the_file_for_another_name() {
    let many: Vec<_> = (0..40).map(|number| format!("host{number}.example.com")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (alternatives, for_what, hint) in [
        (
            ["*.example.org", "panel.example.com", "2001:db8::1"].as_slice(),
            "*.example.org, panel.example.com, 2001:db8::1",
            "if it is the right one, write server_name = \"panel.example.com\"",
        ),
        (&["*.example.org"], "*.example.org", PIN),
        (&["203.0.113.7"], "203.0.113.7", "if it is the right one, write server_name = \"203.0.113.7\""),
        (
            &many,
            "host0.example.com, host1.example.com, host2.example.com, host3.example.com, host4.example.com, 35 more",
            "if it is the right one, write server_name = \"host0.example.com\"",
        ),
        (&[], "My ?panel? ?2J", PIN),
    ] {
        let presented = presented(&made(params("My \"panel\" \u{1b}2J\u{202e}", alternatives), None), &[]);
        let (itself, _file) = trusted(&[&presented.chain[0]]);
        let for_what =
            format!("TLS failed: the server's certificate is not for 127.0.0.1, but for {for_what}");
        let seen = said(&presented, &itself).await;
        assert!(seen.starts_with(&for_what) && seen.ends_with(&format!("; {hint}")), "{seen}");
        if let Some((_, name)) = hint.split_once("server_name = \"") {
            assert_eq!(said(&presented, &named(name.trim_end_matches('"'), itself)).await, "");
        }
    }
}

/// A usual mistake of `openssl req -addext subjectAltName=DNS:127.0.0.1`.
#[tokio::test]
async fn an_address_among_the_host_names() {
    let root = made(authority(params("Example Root", &[])), None);
    let (by_root, _file) = trusted(&[&root.0]);
    let mistake = format!("an address counts as IP: only, not as DNS:; make another certificate, or, {PIN}");
    for (names, for_what, hint) in [
        (["127.0.0.1"].as_slice(), "DNS:127.0.0.1", mistake.as_str()),
        (&["*.example.com", "2001:db8::1"], "*.example.com, DNS:2001:db8::1", &mistake),
        (
            &["127.0.0.1", "panel.example.com"],
            "DNS:127.0.0.1, panel.example.com",
            "if it is the right one, write server_name = \"panel.example.com\"",
        ),
    ] {
        let mut params = params("panel", &[]);
        let names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
        params.subject_alt_names = names.collect();
        let expected =
            format!("TLS failed: the server's certificate is not for 127.0.0.1, but for {for_what}; {hint}");
        let own = presented(&made(params.clone(), None), &[]);
        let (itself, _file) = trusted(&[&own.chain[0]]);
        assert_eq!(said(&own, &itself).await, expected);
        let issued = presented(&made(params, Some(&root)), &[]);
        assert_eq!(said(&issued, &by_root).await, expected);
    }
}

#[tokio::test]
async fn what_is_said_of_a_certificate_of_an_authority() {
    let root = made(authority(params("Example Root", &[])), None);
    let between = made(authority(params("Example Intermediate", &[])), Some(&root));
    let (by_root, _file) = trusted(&[&root.0]);
    let leaf = |params| made(params, Some(&between));
    let good = leaf(params("leaf", &["127.0.0.1"]));
    let issued = "TLS failed: the server's certificate is issued by \"Example Intermediate\", which is not";
    let own = "trusted here; if that is an authority of your own, write ca_file";
    let missing = "if it is an intermediate one, let the server send its certificate too (fullchain)";
    let in_file = "in ca_file; write the certificate of that authority there";
    let is = "TLS failed: the server's certificate";
    let system = TlsOptions::default();
    let mut stranger = params("leaf", &["127.0.0.1"]);
    stranger.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    for (presented, tls, expected) in [
        (presented(&good, &[&between]), &by_root, String::new()),
        (presented(&good, &[&between]), &system, format!("{issued} {own}; or, {PIN}")),
        (presented(&good, &[]), &system, format!("{issued} {own}; {missing}; or, {PIN}")),
        (presented(&good, &[]), &by_root, format!("{issued} {in_file}; {missing}; or, {PIN}")),
        (
            presented(&leaf(params("leaf", &[])), &[&between]),
            &by_root,
            format!(
                "{is} is not for 127.0.0.1: it names no host but in its common name (\"leaf\"), which does not \
                 count; {PIN}"
            ),
        ),
        (
            presented(&leaf(params("leaf", &["panel.example.com"])), &[&between]),
            &by_root,
            format!(
                "{is} is not for 127.0.0.1, but for panel.example.com; if it is the right one, write server_name \
                 = \"panel.example.com\""
            ),
        ),
        (
            presented(&leaf(authority(params("leaf", &["127.0.0.1"]))), &[&between]),
            &by_root,
            format!("{is} is that of an authority, which may not be a server's own; {PIN}"),
        ),
        (
            presented(&leaf(stranger), &[&between]),
            &by_root,
            format!("{is} is not made for servers (extended key usage); {PIN}"),
        ),
    ] {
        assert_eq!(said(&presented, tls).await, expected);
        assert_eq!(said(&presented, &presented.pinned()).await, "");
    }
    let old = presented(&leaf(dated(2019, 2021)), &[&between]);
    let seen = said(&old, &by_root).await;
    assert!(seen.starts_with(&format!("{is} expired at 2021-12-31T00:00:00Z, and")), "{seen}");
    let mut ended = authority(params("Example Intermediate", &[]));
    ended.not_after = date_time_ymd(2021, 12, 31);
    let ended = made(ended, Some(&root));
    let seen =
        said(&presented(&made(params("leaf", &["127.0.0.1"]), Some(&ended)), &[&ended]), &by_root).await;
    let along =
        "TLS failed: a certificate that the server sends along with its own expired at 2021-12-31T00:00:00Z";
    assert!(seen.starts_with(along), "{seen}");
}

/// Else the key of one listed panel could vouch for every host. curl refuses them too ("invalid CA certificate").
#[tokio::test]
async fn a_certificate_of_the_file_that_is_no_authority_issues_none() {
    use rcgen::KeyUsagePurpose::{DigitalSignature, KeyCertSign};
    let root = made(authority(params("Example Root", &[])), None);
    let of_root = presented(&made(params("leaf", &["127.0.0.1"]), Some(&root)), &[]);
    let old = fixture("version-1");
    let old_key = KeyPair::try_from(old.key.secret_der()).unwrap();
    let mut issuers = vec![(old.chain[0].clone(), Issuer::new(params("127.0.0.1", &[]), old_key))];
    for (is_ca, usages) in [
        (IsCa::ExplicitNoCa, vec![DigitalSignature]),
        (IsCa::ExplicitNoCa, vec![KeyCertSign]),
        (IsCa::NoCa, Vec::new()),
        (IsCa::Ca(BasicConstraints::Unconstrained), vec![DigitalSignature]),
    ] {
        let mut params = params("127.0.0.1", &["127.0.0.1"]);
        (params.is_ca, params.key_usages) = (is_ca, usages);
        issuers.push(made(params, None));
    }
    for issuer in issuers {
        let posing = presented(&made(params("posing", &["127.0.0.1"]), Some(&issuer)), &[&issuer]);
        let itself = presented(&issuer, &[]);
        let (alone, _file) = trusted(&[&issuer.0]);
        let (beside, _file) = trusted(&[&issuer.0, &root.0]);
        for tls in [&alone, &beside] {
            let expected = format!(
                "TLS failed: the server's certificate is issued by \"127.0.0.1\", whose certificate in ca_file is not that \
                 of an authority (CA:TRUE, and keyCertSign if it has a key usage); {PIN}"
            );
            assert_eq!(said(&posing, tls).await, expected);
            assert_eq!(said(&itself, tls).await, "");
        }
        assert_eq!(said(&of_root, &beside).await, "");
        assert!(said(&of_root, &alone).await.contains("\"Example Root\", which is not in ca_file"));
    }
    let mut signing = authority(params("Example Root", &[]));
    signing.key_usages = vec![KeyCertSign];
    let signing = made(signing, None);
    let (by_signing, _file) = trusted(&[&signing.0]);
    let of_signing = presented(&made(params("leaf", &["127.0.0.1"]), Some(&signing)), &[]);
    assert_eq!(said(&of_signing, &by_signing).await, "");
}

#[tokio::test]
async fn one_of_several_pins_is_enough() {
    let panel = presented(&made(params("panel", &["127.0.0.1"]), None), &[]);
    let pins = |pin_sha256| TlsOptions { pin_sha256, ..TlsOptions::default() };
    assert_eq!(said(&panel, &pins(vec![[7; 32], panel.sha256()])).await, "");
    let renewed =
        "if it is the right one, as after a renewal, write pin_sha256 = \"FP\" (this is what it presented)";
    for (wrong, which) in [(vec![[7; 32]], "not that"), (vec![[7; 32], [8; 32]], "none of the 2")] {
        let expected = format!("TLS failed: the server's certificate is {which} of pin_sha256; {renewed}");
        assert_eq!(said(&panel, &pins(wrong)).await, expected);
    }
}

/// Its key is read without the rest, whatever it is and whatever the version of TLS.
#[tokio::test]
async fn a_pinned_certificate_needs_no_reader() {
    for versions in [[&rustls::version::TLS12], [&rustls::version::TLS13]] {
        for presented in [fixture("version-1"), presented(&made(params("panel", &[]), None), &[])] {
            let (server, _) = presented.start_with(&versions);
            ask(&server.url(), &presented.pinned()).await.unwrap();
            let anyone = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
            ask(&server.url(), &anyone).await.unwrap();
        }
    }
}

/// The bytes of a certificate are public: a server that shows them must also have the key.
#[tokio::test]
async fn a_pinned_certificate_without_its_key_is_refused() {
    let (mut thief, other) = (fixture("version-1"), fixture("common-name"));
    thief.key = other.key;
    let thief_by_name = Presented { chain: other.chain, key: fixture("version-1").key };
    for versions in [[&rustls::version::TLS12], [&rustls::version::TLS13]] {
        for thief in [&thief, &thief_by_name] {
            let (server, _) = thief.start_with(&versions);
            let (itself, _file) = trusted(&[&thief.chain[0]]);
            for tls in [thief.pinned(), itself] {
                let error = ask(&server.url(), &tls).await.unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "TLS failed: the server does not have the key of its certificate"
                );
            }
            assert!(server.requests().is_empty());
        }
    }
}

#[tokio::test]
async fn the_server_is_asked_for_the_name() {
    let panel = presented(&made(params("panel", &["panel.example.com", "203.0.113.7"]), None), &[]);
    let (itself, _file) = trusted(&[&panel.chain[0]]);
    for (name, asked) in [("panel.example.com", Some("panel.example.com".to_owned())), ("203.0.113.7", None)]
    {
        for host in ["127.0.0.1", "localhost"] {
            let (server, presenter) = panel.start();
            let authority = server.url().replace("https://", "").replace("127.0.0.1", host);
            ask(&format!("https://{authority}/api"), &named(name, itself.clone())).await.unwrap();
            assert_eq!(*presenter.asked.lock().unwrap(), std::slice::from_ref(&asked));
            // The host of requests remains.
            let request = &server.requests()[0];
            assert_eq!((request.header("host"), request.path()), (Some(&*authority), "/api"));
        }
    }
    let other = named("other.example.com", itself);
    let expected = "TLS failed: the server's certificate is not for other.example.com, but for panel.example.com, \
                    203.0.113.7; if it is the right one, write server_name = \"panel.example.com\"";
    assert_eq!(said(&panel, &other).await, expected);
}

#[tokio::test]
async fn a_url_with_the_wrong_scheme() {
    let error = async |url: &str, tls: &TlsOptions| ask(url, tls).await.unwrap_err().to_string();
    let anyone = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
    let plain = Server::start(|_| Answer::json("{}"));
    assert_eq!(
        error(&plain.url().replace("http:", "https:"), &anyone).await,
        "TLS failed: the server's answer is not TLS; if it serves plain HTTP here, write http:// in the URL"
    );
    let (secure, _) = fixture("common-name").start();
    assert_eq!(
        error(&secure.url().replace("https:", "http:"), &anyone).await,
        "the answer is not HTTP; if the server expects TLS, write https:// in the URL"
    );

    // What Go's, nginx' and Apache's servers say.
    let by_go = "Client sent an HTTP request to an HTTPS server.\n";
    let by_nginx = "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>";
    let by_apache = "Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />";
    for body in [by_go, by_nginx, by_apache] {
        let server = Server::start(move |_| Answer::new(400, &[("content-type", "text/html")], body));
        let expected = "answered 400, as the server expects TLS; write https:// in the URL";
        assert_eq!(error(&server.url(), &anyone).await, expected);
        let client = client(&server.url(), &anyone);
        let read =
            client.read(client.get(server.url()), Repeat::Safe, LIMITS, Body::json::<serde_json::Value>);
        assert_eq!(read.await.unwrap_err().error.to_string(), expected);
    }
    for (port, expected) in [
        (":8443", "answered 307, a redirect to https; write https:// and port 8443 in the URL"),
        ("", "answered 307, a redirect to https; write https:// and port 443 in the URL"),
        ("OWN", "answered 307, a redirect to https; write https:// in the URL"),
    ] {
        let to_https = Server::start(move |request| {
            let host = request.header("host").unwrap();
            let to = if port == "OWN" { host.to_owned() } else { format!("127.0.0.1{port}") };
            Answer::new(307, &[("location", &format!("https://{to}/login"))], "")
        });
        assert_eq!(error(&to_https.url(), &anyone).await, expected);
    }
}

#[tokio::test]
async fn a_server_that_requires_a_client_certificate() {
    let requires =
        "TLS failed: the server requires a client certificate; write client_cert_file and client_key_file";
    let refuses = "TLS failed: the server does not accept the client certificate; check client_cert_file";
    for (title, expected) in
        [("400 No required SSL certificate was sent", requires), ("400 The SSL certificate error", refuses)]
    {
        let page = format!("<html>\r\n<head><title>{title}</title></head>");
        let presented = fixture("common-name");
        let server = presented
            .start_answering(move |_| Answer::new(400, &[("content-type", "text/html")], page.clone()));
        assert_eq!(ask(&server.url(), &presented.pinned()).await.unwrap_err().to_string(), expected);
    }
}

/// As uvicorn does with TLS. Of a server that has answered before, it means something else.
#[tokio::test]
async fn a_server_that_closes_the_connection() {
    let answers = Mutex::new(vec![Answer(vec![Act::Close]), Answer::json("{}"), Answer(vec![Act::Close])]);
    let server = Server::start(move |_| answers.lock().unwrap().pop().unwrap_or(Answer(vec![Act::Close])));
    let closes = Server::start(|_| Answer(vec![Act::Close]));
    let anyone = TlsOptions::default();
    let closed =
        "closed the connection without an answer; if the server expects TLS, write https:// in the URL";
    assert_eq!(ask(&closes.url(), &anyone).await.unwrap_err().to_string(), closed);
    let client = client(&server.url(), &anyone);
    let send = async || client.send(client.post_alone(server.url()), LIMITS).await.map(|reply| reply.status);
    assert_eq!(send().await.unwrap_err().to_string(), closed);
    assert_eq!(send().await, Ok(200));
    assert_eq!(send().await, Err(Error::Interrupted));
}

/// Its URL has no https://.
#[tokio::test]
async fn a_socket_is_not_told_to_use_tls() {
    let nginx = "The plain HTTP request was sent to HTTPS port";
    let not_http = vec![Act::Send(b"\x15\x03\x01\x00\x02\x02\x28".to_vec()), Act::Close];
    for (answer, expected) in [
        (Answer(vec![Act::Close]), "the connection broke before the answer ended"),
        (Answer(not_http), "the answer is not HTTP"),
        (Answer::new(400, &[("content-type", "text/html")], nginx), "answered 400 with a page of HTML"),
        (Answer::new(400, &[], nginx), "answered 400"),
        (Answer::new(301, &[("location", "https://localhost/")], ""), "answered 301, a redirect, which"),
    ] {
        let server = Server::start(move |_| answer.clone());
        let folder = tempfile::tempdir().unwrap();
        let socket = unix_socket(folder.path(), server.address());
        let url = PanelUrl::parse(&format!("unix://{}", socket.display())).unwrap();
        let client = Client::new(&url.clone().into()).unwrap();
        let read =
            client.read(client.get(url.join("/")), Repeat::Never, LIMITS, Body::json::<serde_json::Value>);
        let error = read.await.unwrap_err().error.to_string();
        assert!(error.starts_with(expected) && !error.contains("https://"), "{error}");
    }
}

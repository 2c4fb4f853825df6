//! A panel, or a proxy in front of it, that demands a client certificate.

use std::{fs, path::Path, sync::Arc};

use proxymeter::{
    http::options::TlsOptions,
    model::{Outcome, Part, Report},
    upstream::{Upstream, xui::config::Login},
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

use crate::common::{
    PATIENT,
    canary::assert_none,
    pki::{Issued, Pki},
    read_at, reason,
    server::{Answer, Request, Server},
    xui::{Panel, TOKEN, config, password, token},
};

/// A server that demands a certificate of `pki`.
fn start(pki: &Pki, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.authority().as_bytes()).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let Issued { certificate, key } = pki.issue(&["127.0.0.1"]);
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    Server::start_tls(tls, answer)
}

/// Options that trust `pki` and show a certificate of `issuer`, if there is one.
fn options(folder: &Path, pki: &Pki, issuer: Option<&Pki>) -> TlsOptions {
    let file = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        Some(folder.join(name))
    };
    let shown = issuer.map(|issuer| issuer.issue(&["proxymeter"]));
    TlsOptions {
        ca_file: file("ca.pem", pki.authority()),
        client_cert_file: shown.as_ref().and_then(|shown| file("client.pem", &shown.certificate)),
        client_key_file: shown.as_ref().and_then(|shown| file("client-key.pem", &shown.key)),
        ..TlsOptions::default()
    }
}

async fn read(panel: &Panel, server: &Server, login: Login, tls: TlsOptions) -> Report {
    let mut config = config(server, login);
    config.endpoint.tls = tls;
    let clock = proxymeter::clock::Clock::starting_at(panel.recorded_at());
    read_at(Upstream::xui(&config, PATIENT).unwrap(), clock).await
}

#[tokio::test]
async fn a_demanded_certificate_is_shown() {
    let (pki, other) = (Pki::new(), Pki::new());
    for name in ["2.8.11", "3.6.0"] {
        let panel = Panel::of(name);
        let replay = panel.clone();
        let server = start(&pki, move |request| replay.answer(request));
        for login in [password(), token()] {
            if matches!(login, Login::Token(_)) && !panel.has_tokens() {
                continue;
            }
            for (issuer, is_up) in [(Some(&pki), true), (None, false), (Some(&other), false)] {
                let folder = TempDir::new().unwrap();
                server.forget_requests();
                let report = read(&panel, &server, login.clone(), options(folder.path(), &pki, issuer)).await;
                assert_eq!(report.up, Some(is_up), "{name} {:?}", report.parts);
                assert!(report.certificate_expiry.is_some());
                if !is_up {
                    assert_eq!(reason(&report, Part::System), Some("tls"), "{name} {:?}", report.parts);
                    assert!(server.requests().is_empty());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_alone_reads_what_a_node_sync_token_does() {
    let pki = Pki::new();
    let panel = Panel::of("main").with_scope("node-sync");
    let replay = panel.clone();
    // By now, the panel knows who this is.
    let server = start(&pki, move |request| {
        let mut request = request.clone();
        assert_eq!((request.header("authorization"), request.header("cookie")), (None, None));
        request.headers.push(("authorization".into(), format!("Bearer {TOKEN}")));
        replay.answer(&request)
    });
    let folder = TempDir::new().unwrap();
    let tls = options(folder.path(), &pki, Some(&pki));
    let report = read(&panel, &server, Login::Certificate, tls).await;
    assert_eq!(report.up, Some(true), "{:?}", report.parts);
    let refused = report.parts.iter().filter(|(_, state)| state.outcome == Outcome::Refused);
    assert_eq!(refused.map(|(part, _)| *part).collect::<Vec<_>>(), [Part::Outbounds]);
    assert_eq!((report.users.list().len(), report.inbounds.len()), (14, 5));
    assert!(server.requests().iter().all(|request| !request.path().ends_with("/login")));
}

#[tokio::test]
async fn a_panel_that_does_not_trust_a_certificate_says_so() {
    let pki = Pki::new();
    let panel = Panel::of("3.6.0");
    let replay = panel.clone();
    let server = start(&pki, move |request| replay.answer(request));
    let folder = TempDir::new().unwrap();
    let tls = options(folder.path(), &pki, Some(&pki));
    let report = read(&panel, &server, Login::Certificate, tls).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("auth")));
    let words = format!("{:?}", report.parts[&Part::System].outcome);
    assert!(words.contains("client_cert_file"), "{words}");
    assert_none("an outcome", &words);
}

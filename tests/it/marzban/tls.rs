//! Certificates: whom the client believes, and that it tells when they end.

use std::{io::Write, sync::Arc};

use proxymeter::{
    http::options::TlsOptions,
    model::{Part, Report, Timestamp},
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::common::{
    PATIENT, config,
    panel::{Panel, Role},
    read_once, reason,
    server::Server,
    upstream,
};

/// A certificate for the server's address that nobody but itself vouches for.
struct SelfSigned {
    certificate: rcgen::Certificate,
    key: KeyPair,
    ends: Timestamp,
}

impl SelfSigned {
    /// One that ends with this year.
    fn until(year: i32) -> Self {
        SelfSigned::of_name("127.0.0.1", year)
    }

    fn of_name(name: &str, year: i32) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let ends = Timestamp::from_secs(params.not_after.unix_timestamp());
        SelfSigned { certificate: params.self_signed(&key).unwrap(), key, ends }
    }

    fn start(&self) -> Server {
        let panel = Panel::of(Role::Sudo);
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::clone(self.certificate.der())],
                PrivateKeyDer::Pkcs8(self.key.serialize_der().into()),
            )
            .unwrap();
        Server::start_tls(tls, move |request| panel.answer(request))
    }

    fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.certificate.der()).into()
    }

    fn file(&self) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(self.certificate.pem().as_bytes()).unwrap();
        file
    }

    fn trusted_by_file(&self) -> (TlsOptions, NamedTempFile) {
        let file = self.file();
        (TlsOptions { ca_file: Some(file.path().into()), ..TlsOptions::default() }, file)
    }
}

async fn report(server: &Server, tls: TlsOptions) -> Report {
    let mut config = config(&server.url(), Role::Sudo.login());
    config.endpoint.tls = tls;
    read_once(upstream(&config, PATIENT)).await
}

fn assert_up(report: &Report) {
    assert_eq!(report.up, Some(true), "{:?}", report.parts);
    assert_eq!(report.users.list().len(), 33);
}

/// Refused before anything secret was sent.
fn assert_refused(report: &Report, server: &Server) {
    assert_eq!((report.up, reason(report, Part::System)), (Some(false), Some("tls")), "{:?}", report.parts);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_and_its_end_told() {
    let panel = SelfSigned::until(2090);
    let server = panel.start();
    let report = report(&server, TlsOptions::default()).await;
    assert_refused(&report, &server);
    assert_eq!(report.certificate_expiry, Some(panel.ends));
}

#[tokio::test]
async fn the_pinned_certificate_is_believed_and_no_other() {
    let panel = SelfSigned::until(2090);
    let server = panel.start();
    let pin = |sha256| TlsOptions { pin_sha256: vec![sha256], ..TlsOptions::default() };
    let other = SelfSigned::until(2090).sha256();
    assert_refused(&report(&server, pin(other)).await, &server);

    let report = report(&server, pin(panel.sha256())).await;
    assert_up(&report);
    assert_eq!(report.certificate_expiry, Some(panel.ends));
}

#[tokio::test]
async fn an_authority_of_a_file_is_believed_and_no_other() {
    let panel = SelfSigned::until(2090);
    let server = panel.start();
    let (other, _file) = SelfSigned::until(2090).trusted_by_file();
    assert_refused(&report(&server, other).await, &server);

    let (own, _file) = panel.trusted_by_file();
    let report = report(&server, own).await;
    assert_up(&report);
    assert_eq!(report.certificate_expiry, Some(panel.ends));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let panel = SelfSigned::of_name("panel.example.org", 2090);
    let server = panel.start();
    let (own, _file) = panel.trusted_by_file();
    assert_refused(&report(&server, own).await, &server);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_its_end_told() {
    let panel = SelfSigned::until(2021);
    let server = panel.start();
    let (own, _file) = panel.trusted_by_file();
    let refused = report(&server, own).await;
    assert_refused(&refused, &server);
    assert_eq!(refused.certificate_expiry, Some(panel.ends));

    // A pin is about the certificate, whatever is written in it.
    let pin = TlsOptions { pin_sha256: vec![panel.sha256()], ..TlsOptions::default() };
    let pinned = report(&server, pin).await;
    assert_up(&pinned);
    assert_eq!(pinned.certificate_expiry, Some(panel.ends));
}

#[tokio::test]
async fn anybody_is_believed_when_told_so() {
    let panel = SelfSigned::until(2021);
    let server = panel.start();
    let insecure = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
    let report = report(&server, insecure).await;
    assert_up(&report);
    assert_eq!(report.certificate_expiry, Some(panel.ends));
}

#[tokio::test]
async fn a_plain_server_at_an_https_address_and_the_other_way_round() {
    let plain = Panel::of(Role::Sudo).start();
    let mut asked = config(&plain.url().replace("http:", "https:"), Role::Sudo.login());
    asked.endpoint.tls.insecure_skip_verify = true;
    let report = read_once(upstream(&asked, PATIENT)).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("tls")));

    let secure = SelfSigned::until(2090).start();
    let asked = config(&secure.url().replace("https:", "http:"), Role::Sudo.login());
    let report = read_once(upstream(&asked, PATIENT)).await;
    assert_eq!((report.up, reason(&report, Part::System)), (Some(false), Some("tls")));
}

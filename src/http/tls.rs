//! How the client verifies a server's certificate, and what it remembers of it.

mod certificate;
mod words;

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, PeerMisbehaved, RootCertStore,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
        pem::{self, PemObject},
    },
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

pub(super) use self::words::{REQUIRES_CERTIFICATE, in_words};
use self::{
    certificate::{Parts, fingerprint},
    words::{Authorities, Presented},
};
use crate::{file, http::options::TlsOptions, model::Timestamp};

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error(
        "this system has no certificates of authorities (package ca-certificates); install them, or write ca_file or pin_sha256"
    )]
    Platform,
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("the proxy is no URL that starts with http://, socks5:// or socks5h://")]
    Proxy,
    #[error("a header cannot be sent: its name or value contains what headers cannot contain")]
    Header,
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// Installs the process's only crypto provider. Call it first; a second call changes nothing.
pub fn install_crypto_provider() {
    // It fails only if a provider is already installed, and the build has only this one.
    drop(aws_lc_rs::default_provider().install_default());
}

/// What is remembered of the certificate that the server presented last.
#[derive(Debug)]
pub(super) struct LeafSeen {
    /// Its expiry, in unix seconds.
    not_after: AtomicI64,
    /// Its fingerprint, if it is not trusted.
    distrusted: Mutex<Option<String>>,
}

impl LeafSeen {
    const NEVER: i64 = i64::MIN;

    pub(super) fn not_after(&self) -> Option<Timestamp> {
        let not_after = Some(self.not_after.load(Ordering::Relaxed));
        not_after.filter(|secs| *secs != Self::NEVER).map(Timestamp::from_secs)
    }

    pub(super) fn distrusted(&self) -> Option<String> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn judge(&self, leaf: &CertificateDer<'_>, is_trusted: bool) {
        let distrusted = (!is_trusted).then(|| fingerprint(leaf));
        *self.distrusted.lock().unwrap_or_else(PoisonError::into_inner) = distrusted;
    }

    fn remember(&self, leaf: &CertificateDer<'_>) {
        if let Some((_, end)) = Parts::read(leaf).ok().and_then(|parts| parts.validity()) {
            self.not_after.store(i64::try_from(end).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }
}

impl Default for LeafSeen {
    fn default() -> Self {
        LeafSeen { not_after: AtomicI64::new(Self::NEVER), distrusted: Mutex::default() }
    }
}

/// The TLS side of a client. For a plain `http` target (`secure` is false), no certificate store is opened.
pub(super) fn client_config(
    options: &TlsOptions,
    secure: bool,
    leaf: Arc<LeafSeen>,
) -> Result<ClientConfig, BuildError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trust = if secure { trust(options, &provider)? } else { Trust::Nothing };
    let name = options.server_name.clone();
    let is_address = matches!(name, Some(ServerName::IpAddress(_)));
    let verifier = Verifier { trust, name, provider: Arc::clone(&provider), leaf };
    let refused = |err: TlsError| BuildError::Tls(in_words(&err, ""));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match (&options.client_cert_file, &options.client_key_file) {
        (Some(certificate), Some(key)) => {
            config.with_client_auth_cert(certificates(certificate)?, private_key(key)?).map_err(refused)?
        }
        _ => config.with_no_client_auth(),
    };
    // An address is asked for by no name.
    config.enable_sni = !is_address;
    // A resumed session shows no certificate to verify or to read the expiry of.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Which certificates the client trusts.
#[derive(Debug)]
enum Trust {
    /// The system's certificate authorities.
    System(Arc<dyn ServerCertVerifier>),
    /// Those of a file, if it has any, and each certificate of it as a server's own.
    File(Option<Arc<dyn ServerCertVerifier>>, Vec<CertificateDer<'static>>),
    /// The certificates with these SHA-256, whatever they hold.
    Pinned(Vec<[u8; 32]>),
    /// `insecure_skip_verify`.
    Anyone,
    /// A plain `http` target, which does not use TLS.
    Nothing,
}

fn trust(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Trust, BuildError> {
    if options.insecure_skip_verify {
        return Ok(Trust::Anyone);
    }
    if !options.pin_sha256.is_empty() {
        return Ok(Trust::Pinned(options.pin_sha256.clone()));
    }
    let Some(path) = &options.ca_file else {
        return Ok(Trust::System(system(provider)?));
    };
    let refused = |why: &str| BuildError::File { path: path.clone(), why: why.to_owned() };
    let own = certificates(path)?;
    let mut authorities = Vec::new();
    for certificate in &own {
        let parts =
            Parts::read(certificate).map_err(|_| refused("holds a certificate that cannot be read"))?;
        // webpki does not verify that an anchor may issue certificates. Any other is a server's own.
        if parts.may_issue() {
            authorities.push(certificate.clone());
        }
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities);
    let verifier: Option<Arc<dyn ServerCertVerifier>> = if roots.is_empty() {
        None
    } else {
        let built =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        Some(built.map_err(|_| refused("holds no authorities that can be used"))?)
    };
    Ok(Trust::File(verifier, own))
}

/// The verifier with the system's authorities. It takes milliseconds to read, and there may be thousands of targets: those
/// that are built together share it.
fn system(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, BuildError> {
    const TOGETHER: Duration = Duration::from_secs(10);
    static LAST: Mutex<Option<(Instant, Arc<dyn ServerCertVerifier>)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((read_at, verifier)) = &*last
        && read_at.elapsed() < TOGETHER
    {
        return Ok(Arc::clone(verifier));
    }
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(provider));
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier.map_err(|_| BuildError::Platform)?);
    *last = Some((Instant::now(), Arc::clone(&verifier)));
    Ok(verifier)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let refused = |why: String| BuildError::File { path: path.to_owned(), why };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|err| refused(unreadable(&err)))?;
    if found.is_empty() { Err(refused("holds no PEM certificate".into())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, BuildError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|err| BuildError::File { path: path.to_owned(), why: unreadable(&err) })
}

fn unreadable(err: &pem::Error) -> String {
    match err {
        pem::Error::NoItemsFound => "holds no PEM private key".to_owned(),
        _ => "is no valid PEM file".to_owned(),
    }
}

/// Reads a PEM file.
fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    const LONGEST: u64 = 1024 * 1024;
    file::read(path, LONGEST).map_err(|err| BuildError::File { path: path.to_owned(), why: err.to_string() })
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    /// What to verify in place of the name that was connected to.
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
    leaf: Arc<LeafSeen>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        // Remember it before verifying it: the expiry of an expired certificate matters most.
        self.leaf.remember(end_entity);
        let parts = Parts::read(end_entity).ok();
        if let Some(bits) = parts.as_ref().and_then(Parts::rsa_bits)
            && !RSA_BITS.contains(&bits)
        {
            return Err(Presented::unusable_key(bits).into());
        }
        let name = self.name.as_ref().unwrap_or(server_name);
        let presented = Presented { leaf: end_entity, others: intermediates, name, now };
        let verify = |authorities, verifier: Option<&Arc<dyn ServerCertVerifier>>| {
            let verified = match verifier {
                Some(it) => it.verify_server_cert(end_entity, intermediates, name, ocsp_response, now),
                None => Err(CertificateError::UnknownIssuer.into()),
            };
            verified.map_err(|err| presented.refused(&err, authorities).into())
        };
        let verified = match (&self.trust, parts) {
            (Trust::Anyone, _) => Ok(ServerCertVerified::assertion()),
            (Trust::Pinned(pins), _)
                if pins.iter().any(|pin| Sha256::digest(end_entity).as_slice() == pin) =>
            {
                Ok(ServerCertVerified::assertion())
            }
            (Trust::Pinned(pins), _) => Err(presented.not_pinned(pins.len()).into()),
            (Trust::File(_, own), Some(parts)) if own.iter().any(|own| own == end_entity) => {
                presented.flaw(&parts).map_or(Ok(ServerCertVerified::assertion()), |flaw| Err(flaw.into()))
            }
            (Trust::File(verifier, own), _) => verify(Authorities::File(own), verifier.as_ref()),
            (Trust::System(verifier), _) => verify(Authorities::System, Some(verifier)),
            (Trust::Nothing, _) => Err(CertificateError::UnknownIssuer.into()),
        };
        self.leaf.judge(end_entity, verified.is_ok());
        verified
    }

    /// As rustls does, but also with the key of a certificate that it cannot read, such as one of version 1.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let (own, key) = key(cert)?.algorithm_and_key().ok_or(CertificateError::BadEncoding)?;
        let mapping = self.provider.signature_verification_algorithms.mapping;
        let (_, candidates) = mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let mut fitting = candidates.iter().filter(|algorithm| algorithm.public_key_alg_id().as_ref() == own);
        if fitting.any(|algorithm| algorithm.verify_signature(key, message, dss.signature()).is_ok()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let key = SubjectPublicKeyInfoDer::from(key(cert)?.key);
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The lengths of RSA keys that signatures are verified with.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// The parts of a certificate, for its key.
fn key<'a>(cert: &'a CertificateDer<'_>) -> Result<Parts<'a>, TlsError> {
    Parts::read(cert).map_err(|_| CertificateError::BadEncoding.into())
}

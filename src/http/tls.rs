//! How the client verifies a server's certificate, and what it remembers of it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use x509_cert::{Certificate, der::Decode};

use crate::{file, http::options::TlsOptions, model::Timestamp};

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("the system's certificate store cannot be used: {0}")]
    Platform(TlsError),
    #[error("TLS cannot be set up: {0}")]
    Tls(TlsError),
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

/// The expiry of the certificate that the server presented last.
#[derive(Debug)]
pub(super) struct LeafSeen(AtomicI64);

impl LeafSeen {
    const NEVER: i64 = i64::MIN;

    pub(super) fn not_after(&self) -> Option<Timestamp> {
        Some(self.0.load(Ordering::Relaxed)).filter(|secs| *secs != Self::NEVER).map(Timestamp::from_secs)
    }

    fn remember(&self, leaf: &CertificateDer<'_>) {
        if let Ok(certificate) = Certificate::from_der(leaf) {
            let end = certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
            self.0.store(i64::try_from(end).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }
}

impl Default for LeafSeen {
    fn default() -> Self {
        LeafSeen(AtomicI64::new(Self::NEVER))
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
    let verifier = Verifier { trust, provider: Arc::clone(&provider), leaf };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(BuildError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match (&options.client_cert_file, &options.client_key_file) {
        (Some(certificate), Some(key)) => config
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(BuildError::Tls)?,
        _ => config.with_no_client_auth(),
    };
    // A resumed session shows no certificate to verify or to read the expiry of.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Which certificates the client trusts.
#[derive(Debug)]
enum Trust {
    /// Certificate authorities: the system's, or those of a file.
    Authorities(Arc<dyn ServerCertVerifier>),
    /// The one certificate with this SHA-256, regardless of its issuer.
    Pinned([u8; 32]),
    /// `insecure_skip_verify`.
    Anyone,
    /// A plain `http` target, which does not use TLS.
    Nothing,
}

fn trust(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Trust, BuildError> {
    if options.insecure_skip_verify {
        return Ok(Trust::Anyone);
    }
    if let Some(pin) = options.pin_sha256 {
        return Ok(Trust::Pinned(pin));
    }
    let Some(path) = &options.ca_file else {
        let platform =
            rustls_platform_verifier::Verifier::new(Arc::clone(provider)).map_err(BuildError::Platform)?;
        return Ok(Trust::Authorities(Arc::new(platform)));
    };
    let refused = |why: String| BuildError::File { path: path.clone(), why };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|err| refused(err.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|err| refused(err.to_string()))?;
    Ok(Trust::Authorities(verifier))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let refused = |why: String| BuildError::File { path: path.to_owned(), why };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|err| refused(err.to_string()))?;
    if found.is_empty() { Err(refused("holds no PEM certificate".into())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, BuildError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|err| BuildError::File { path: path.to_owned(), why: err.to_string() })
}

/// Reads a PEM file.
fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    const LONGEST: u64 = 1024 * 1024;
    file::read(path, LONGEST).map_err(|err| BuildError::File { path: path.to_owned(), why: err.to_string() })
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
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
        match &self.trust {
            Trust::Authorities(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            Trust::Pinned(pin) if Sha256::digest(end_entity).as_slice() == pin.as_slice() => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Pinned(_) => Err(TlsError::General("the certificate is not the pinned one".into())),
            Trust::Anyone => Ok(ServerCertVerified::assertion()),
            Trust::Nothing => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

//! Our side of TLS: from what an operator says to what rustls wants.

use std::{net::IpAddr, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    ServerConfig, SignatureScheme, SupportedCipherSuite,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::{TLS12, TLS13},
};
use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use super::{
    access::Files,
    config::{ClientAuth, Pem, TlsSettings, TlsVersion},
};

/// Reads the certificates and keys, and builds the server's side of TLS.
///
/// # Errors
/// What cannot be used, with the name of its file.
pub(super) fn server_config(settings: &TlsSettings, files: &mut Files) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(provider(settings));
    let versions: Vec<_> = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)]
        .into_iter()
        .filter(|(version, _)| (settings.min_version..=settings.max_version).contains(version))
        .map(|(_, version)| version)
        .collect();

    // All are read before any is judged, so that a change to any of them is seen later on.
    let certificate = load(&settings.certificate, "the certificate", files);
    let key = load(&settings.key, "the key", files);
    let client_ca = settings.client_ca.as_ref().map(|ca| load(ca, "the client CA", files)).transpose();
    let (certificate, key, client_ca) = (certificate?, key?, client_ca?);

    let chain = certificates(&certificate)?;
    let private_key = PrivateKeyDer::from_pem_slice(&key.text)
        .map_err(|_| format!("{}: holds no private key in PEM", key.name))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|err| format!("TLS cannot be set up: {err}"))?;
    let builder = if settings.client_auth == ClientAuth::NoClientCert {
        builder.with_no_client_auth()
    } else {
        let authorities = client_ca.as_ref().filter(|_| settings.client_auth.verified());
        builder.with_client_cert_verifier(Arc::new(Clients {
            authority: authorities.map(|ca| authority(ca, &provider)).transpose()?,
            required: settings.client_auth.required(),
            names: settings.client_names.clone(),
            provider,
        }))
    };
    let mut config = builder.with_single_cert(chain, private_key).map_err(|err| match err {
        TlsError::InconsistentKeys(_) => format!("{} is not the key of {}", key.name, certificate.name),
        err => format!("{} with {}: {err}", certificate.name, key.name),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = settings.own_order;
    if settings.client_auth.required() {
        // A resumed session shows no certificate, whose time may have run out.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// The one provider, with fewer cipher suites and curves where these are named.
fn provider(settings: &TlsSettings) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !settings.cipher_suites.is_empty() {
        let all = provider.cipher_suites.clone();
        let by_name = |name| all.iter().find(move |suite: &&SupportedCipherSuite| suite.suite() == name);
        let named = settings.cipher_suites.iter().copied().filter_map(by_name);
        let newest = all.iter().filter(|suite| suite.tls13().is_some());
        provider.cipher_suites =
            newest.chain(named.filter(|suite| suite.tls13().is_none())).copied().collect();
    }
    if !settings.curves.is_empty() {
        let all: Vec<&'static dyn SupportedKxGroup> = provider.kx_groups.clone();
        let by_name = |name| all.iter().copied().find(|group| group.name() == name);
        provider.kx_groups = settings.curves.iter().copied().filter_map(by_name).collect();
    }
    provider
}

/// A PEM text and what messages call it.
struct Loaded {
    name: String,
    text: Vec<u8>,
}

fn load(pem: &Pem, what: &str, files: &mut Files) -> Result<Loaded, String> {
    match pem {
        Pem::File(path) => Ok(Loaded { name: path.display().to_string(), text: files.read(path)? }),
        Pem::Inline(text) => Ok(Loaded { name: what.to_owned(), text: text.expose().as_bytes().to_vec() }),
    }
}

fn certificates(pem: &Loaded) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        // What the error quotes may be a key in the wrong place.
        Ok(_) | Err(_) => Err(format!("{}: holds no certificate in PEM", pem.name)),
    }
}

fn authority(ca: &Loaded, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|err| format!("{}: {err}", ca.name))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|err| format!("{}: {err}", ca.name))
}

/// Judges the certificates of clients.
#[derive(Debug)]
struct Clients {
    /// Must have signed a certificate that is shown; absent: any signature will do.
    authority: Option<Arc<dyn ClientCertVerifier>>,
    /// Whether a certificate is required.
    required: bool,
    /// It must have one of these names.
    names: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authority.as_ref().map(|authority| authority.root_hint_subjects()).unwrap_or_default()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        if let Some(authority) = &self.authority {
            authority.verify_client_cert(end_entity, intermediates, now)?;
        }
        if let Some(allowed) = &self.names
            && !names(end_entity)?.iter().any(|name| allowed.contains(name))
        {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
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

/// The alternative names of a certificate: DNS names, mail addresses, IP addresses and URIs.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, TlsError> {
    let malformed = |_| TlsError::from(CertificateError::BadEncoding);
    let certificate = Certificate::from_der(certificate).map_err(malformed)?;
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>().map_err(malformed)?;
    let Some((_, SubjectAltName(names))) = found else { return Ok(Vec::new()) };
    Ok(names.iter().filter_map(name).collect())
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::Rfc822Name(address) => Some(address.to_string()),
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            ref bytes => <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}

//! TLS in front of a simulated system, as by a web server with a certificate that it signed itself.

use std::{io, net::SocketAddr, sync::Arc};

use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::http::accept;

const CERTIFICATE: &[u8] = include_bytes!("front/certificate.pem");
/// For servers on loopback that simulate; it keeps no secret.
const KEY: &[u8] = include_bytes!("front/key.pem");

/// Passes what comes to `listener` on to the system at `to`. Does not end. The process has a crypto provider.
///
/// # Errors
/// If the certificate cannot be used.
pub async fn serve(listener: TcpListener, to: SocketAddr) -> io::Result<()> {
    let unusable = |error: &dyn std::error::Error| io::Error::other(error.to_string());
    let key = PrivateKeyDer::from_pem_slice(KEY).map_err(|error| unusable(&error))?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config
        .with_single_cert(vec![certificate()?], key)
        .map_err(|error: rustls::Error| unusable(&error))?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    accept(listener, move |stream| {
        let acceptor = acceptor.clone();
        // Either side may end a connection in any way.
        async move { drop(pass(&acceptor, stream, to).await) }
    })
    .await;
    Ok(())
}

/// The SHA-256 of the certificate in hexadecimal, by which a client may know it.
///
/// # Errors
/// If the certificate cannot be used.
pub fn fingerprint() -> io::Result<String> {
    Ok(Sha256::digest(certificate()?).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn certificate() -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(CERTIFICATE).map_err(|error| io::Error::other(error.to_string()))
}

async fn pass(acceptor: &TlsAcceptor, stream: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut client = acceptor.accept(stream).await?;
    let mut system = TcpStream::connect(to).await?;
    tokio::io::copy_bidirectional(&mut client, &mut system).await?;
    Ok(())
}

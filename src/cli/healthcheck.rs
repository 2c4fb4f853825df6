use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{exit::Done, source::SourceError};
use crate::{
    config::{Config, Source},
    http::{self, options::TlsOptions},
};

/// A daemon that takes longer to answer is not healthy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests `/-/healthy` from the daemon at `listen`, or at the first address of the configuration.
pub(super) async fn run(
    source: impl FnOnce() -> Result<Source, SourceError>,
    listen: Option<SocketAddr>,
) -> Done {
    let address = own_address(source, listen)?;
    let answer = timeout(PATIENCE, ask(&reachable(address)))
        .await
        .map_err(|_| format!("{address} did not answer within {} s", PATIENCE.as_secs()))?
        .map_err(|err| format!("{address}: {}", http::tls_failure(&err, "")))?;
    match answer {
        Answer::Certificate => Ok(ExitCode::SUCCESS),
        // A server that demands a password or fewer requests is alive.
        Answer::Status(status) if matches!(&*status, "200" | "401" | "429") => Ok(ExitCode::SUCCESS),
        Answer::Status(status) => Err(format!("{address} answered {status} to /-/healthy").into()),
    }
}

fn own_address(
    source: impl FnOnce() -> Result<Source, SourceError>,
    listen: Option<SocketAddr>,
) -> Result<SocketAddr, Box<dyn Error>> {
    match listen {
        Some(address) => Ok(address),
        None => Ok(*Config::load_listen(&source()?)?
            .first()
            .ok_or("the configuration has no address to listen on")?),
    }
}

/// Where the daemon at `listen`, or at the first address of the configuration, accepts connections, and whether they are
/// encrypted.
pub(super) async fn find(
    source: impl FnOnce() -> Result<Source, SourceError>,
    listen: Option<SocketAddr>,
) -> Result<(SocketAddr, bool), Box<dyn Error>> {
    let address = own_address(source, listen)?;
    let search = async {
        let stream = TcpStream::connect(&*reachable(address)).await?;
        let found = stream.peer_addr()?;
        drop(stream);
        match handshake(&[found]).await {
            Ok(_) => Ok((found, true)),
            Err(err) => match tls_error(&err) {
                Some(rustls::Error::AlertReceived(_)) => Ok((found, true)),
                Some(rustls::Error::InvalidMessage(_)) => Ok((found, false)),
                _ => Err(err),
            },
        }
    };
    match timeout(PATIENCE, search).await {
        Ok(found) => Ok(found.map_err(|err| format!("{address}: {}", http::tls_failure(&err, "")))?),
        Err(_) => Err(format!("{address} did not answer within {} s", PATIENCE.as_secs()).into()),
    }
}

enum Answer {
    Status(String),
    /// A demand for a client certificate. We have none.
    Certificate,
}

/// Asks the first of `addresses` that accepts the connection. TLS is detected by a try: an HTTP server drops what it
/// cannot read.
async fn ask(addresses: &[SocketAddr]) -> io::Result<Answer> {
    let err = match ask_tls(addresses).await {
        Err(err) => err,
        answer => return answer,
    };
    match tls_error(&err) {
        Some(rustls::Error::AlertReceived(_)) => Ok(Answer::Certificate),
        Some(rustls::Error::InvalidMessage(_)) => {
            Ok(Answer::Status(request(TcpStream::connect(addresses).await?).await?))
        }
        _ => Err(err),
    }
}

fn tls_error(err: &io::Error) -> Option<&rustls::Error> {
    err.get_ref().and_then(|source| source.downcast_ref())
}

async fn ask_tls(addresses: &[SocketAddr]) -> io::Result<Answer> {
    Ok(Answer::Status(request(handshake(addresses).await?).await?))
}

async fn handshake(addresses: &[SocketAddr]) -> io::Result<TlsStream<TcpStream>> {
    // The server is on this machine, so its certificate is not checked.
    let anyone = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
    let connector = TlsConnector::from(Arc::new(http::tls_config(&anyone).map_err(io::Error::other)?));
    let stream = TcpStream::connect(addresses).await?;
    let name = ServerName::from(stream.peer_addr()?.ip());
    connector.connect(name, stream).await
}

/// The status code of the answer.
async fn request(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    // Only the first line is needed, and not every server closes cleanly.
    while answer.len() < 1024 && !answer.contains(&b'\n') {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    match answer.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)) {
        Some(status) => Ok(status.to_owned()),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP")),
    }
}

/// The addresses at which to reach a daemon on this machine that listens on `address`. A daemon that listens on all IPv6
/// addresses also accepts IPv4, and accepts only IPv4 on a machine without IPv6.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let ips: &[IpAddr] = match address.ip() {
        ip if !ip.is_unspecified() => return vec![address],
        IpAddr::V4(_) => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        IpAddr::V6(_) => &[IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)],
    };
    ips.iter().map(|ip| SocketAddr::new(*ip, address.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_by_loopback() {
        let cases: [(&str, &[&str]); 3] = [
            ("0.0.0.0:1", &["127.0.0.1:1"]),
            ("[::]:1", &["[::1]:1", "127.0.0.1:1"]),
            ("127.0.0.2:1", &["127.0.0.2:1"]),
        ];
        for (listen, ask) in cases {
            let ask: Vec<SocketAddr> = ask.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(reachable(listen.parse().unwrap()), ask);
        }
    }
}

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
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
use tokio_rustls::TlsConnector;

use super::Done;
use crate::{
    config::Config,
    http::{self, options::TlsOptions},
};

/// A daemon that takes longer is not healthy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the daemon at `listen`, or at the configuration's first address, for `/-/healthy`.
pub(super) async fn run(file: &Path, listen: Option<SocketAddr>) -> Done {
    let address = match listen {
        Some(address) => address,
        None => *Config::load_listen(file)?.first().ok_or("the configuration listens on no address")?,
    };
    let answer = timeout(PATIENCE, ask(&reachable(address)))
        .await
        .map_err(|_| format!("{address} gave no answer within {} s", PATIENCE.as_secs()))?
        .map_err(|err| format!("{address}: {err}"))?;
    match answer {
        Answer::Certificate => Ok(ExitCode::SUCCESS),
        // Whoever asks for a password, or for fewer requests, is alive.
        Answer::Status(status) if matches!(&*status, "200" | "401" | "429") => Ok(ExitCode::SUCCESS),
        Answer::Status(status) => Err(format!("{address} answered {status} to /-/healthy").into()),
    }
}

enum Answer {
    Status(String),
    /// A demand for a certificate, which we have not.
    Certificate,
}

/// Asks the first of `addresses` that takes the connection. Whether it speaks TLS is found out by trying: an HTTP
/// server merely drops what it cannot read.
async fn ask(addresses: &[SocketAddr]) -> io::Result<Answer> {
    let err = match ask_tls(addresses).await {
        Err(err) => err,
        answer => return answer,
    };
    let tls = err.get_ref().and_then(|source| source.downcast_ref());
    match tls {
        Some(rustls::Error::AlertReceived(_)) => Ok(Answer::Certificate),
        Some(rustls::Error::InvalidMessage(_)) => {
            Ok(Answer::Status(request(TcpStream::connect(addresses).await?).await?))
        }
        _ => Err(err),
    }
}

async fn ask_tls(addresses: &[SocketAddr]) -> io::Result<Answer> {
    // It is ourselves, over this machine's own network: whose certificate it is makes no difference.
    let anyone = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
    let connector = TlsConnector::from(Arc::new(http::tls_config(&anyone).map_err(io::Error::other)?));
    let stream = TcpStream::connect(addresses).await?;
    let name = ServerName::from(stream.peer_addr()?.ip());
    Ok(Answer::Status(request(connector.connect(name, stream).await?).await?))
}

/// The status code of the answer.
async fn request(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    // More than the first line is not needed, and not everybody closes well.
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

/// Where to find a daemon on this machine that listens on all addresses. One that was told to listen on all of
/// IPv6's also takes IPv4, or has only that on a machine without IPv6.
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

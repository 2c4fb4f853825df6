use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Done, load};

/// A daemon that takes longer is not healthy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the daemon at `listen`, or at the configuration's first address, for `/-/healthy`.
pub(super) async fn run(file: &Path, listen: Option<SocketAddr>) -> Done {
    let address = match listen {
        Some(address) => address,
        None => *load(file)?.web.listen.first().ok_or("the configuration listens on no address")?,
    };
    let status = timeout(PATIENCE, ask(&reachable(address)))
        .await
        .map_err(|_| format!("{address} gave no answer within {} s", PATIENCE.as_secs()))?
        .map_err(|err| format!("{address}: {err}"))?;
    // Whoever asks for a password is alive.
    if status == "200" || status == "401" {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(format!("{address} answered {status} to /-/healthy").into())
    }
}

/// The status code of the answer of the first of `addresses` that answers.
async fn ask(addresses: &[SocketAddr]) -> io::Result<String> {
    let mut stream = TcpStream::connect(addresses).await?;
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(1024).read_to_end(&mut answer).await?;
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

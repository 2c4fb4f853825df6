//! Addresses to listen on.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::table::{Field, Table};
use super::values::text;

/// Loopback, because user names are personal data.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10057);

/// Why a text is not an address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    #[error("{0:?} has no port; write \"127.0.0.1:10057\", or \":10057\" for all addresses")]
    NoPort(String),
    #[error(
        "{0:?} has no port from 0 to 65535 at its end; write \"127.0.0.1:10057\", or \":10057\" for all addresses"
    )]
    BadPort(String),
    #[error("{0:?} is an IPv6 address without brackets; write \"[::1]:10057\"")]
    NoBrackets(String),
    #[error(
        "{0:?} is a name or a broken address; write an IP address of this machine, or \":10057\" for all of them"
    )]
    BadHost(String),
}

/// Reads `host:port`. The host is an IP address (IPv6 in brackets), `localhost` (127.0.0.1, without asking DNS), or
/// nothing for all addresses of the machine, which is `[::]`: where the system has IPv6, that takes IPv4 as well.
/// Port 0 lets the system choose.
pub fn parse_listen(text: &str) -> Result<SocketAddr, ListenError> {
    let text = text.trim();
    let Some((host, port)) = text.rsplit_once(':') else { return Err(ListenError::NoPort(text.to_owned())) };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bracketed.is_none() {
        if text.starts_with('[') && text.ends_with(']') {
            return Err(ListenError::NoPort(text.to_owned()));
        }
        if text.parse::<Ipv6Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok() {
            return Err(ListenError::NoBrackets(text.to_owned()));
        }
    }
    // `u16::from_str` takes a sign.
    let digits_only = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port.parse() {
        Ok(port) if digits_only => port,
        Ok(_) | Err(_) => return Err(ListenError::BadPort(text.to_owned())),
    };
    let ip = match (host, bracketed) {
        ("", _) => Some(Ipv6Addr::UNSPECIFIED.into()),
        ("localhost", _) => Some(Ipv4Addr::LOCALHOST.into()),
        (_, Some(ipv6)) => ipv6.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        (ipv4, None) => ipv4.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    };
    ip.map(|ip| SocketAddr::new(ip, port)).ok_or_else(|| ListenError::BadHost(text.to_owned()))
}

/// Takes `listen` from `[web]`.
pub(super) fn read(table: &mut Table<'_, '_>) -> Option<Vec<SocketAddr>> {
    let listen =
        table.take_list("listen", |value| parse_listen(&text(value)?).map_err(|error| error.to_string()));
    let Field::Given(listen) = listen else { return None };
    if listen.value.is_empty() {
        table
            .reading
            .refuse(&listen.place, "an empty list; write at least one address, or leave the key out");
    }
    let mut addresses = Vec::new();
    let mut seen = HashSet::new();
    for address in listen.value {
        // Port 0 is a different port each time.
        if address.value.port() != 0 && !seen.insert(address.value) {
            table.reading.refuse(&address.place, format!("{} is listed twice; write it once", address.value));
        }
        addresses.push(address.value);
    }
    Some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("127.0.0.1:10057", "127.0.0.1:10057"),
            ("localhost:0", "127.0.0.1:0"),
            (":10057", "[::]:10057"),
            ("0.0.0.0:10057", "0.0.0.0:10057"),
            ("[::1]:10057", "[::1]:10057"),
            (" [2001:db8::1]:80 ", "[2001:db8::1]:80"),
        ] {
            assert_eq!(
                parse_listen(text).map(|address| address.to_string()),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn refused_addresses() {
        for text in ["", "10057", "127.0.0.1", "[::1]"] {
            assert_eq!(parse_listen(text), Err(ListenError::NoPort(text.to_owned())));
        }
        for text in ["localhost:", ":65536", ":+80", "http://localhost"] {
            assert_eq!(parse_listen(text), Err(ListenError::BadPort(text.to_owned())));
        }
        for text in ["::1:10057", "::1", "2001:db8::1:80"] {
            assert_eq!(parse_listen(text), Err(ListenError::NoBrackets(text.to_owned())));
        }
        for text in ["panel.example.com:10057", "*:10057", "127.0.0:10057", "[127.0.0.1]:10057", "[]:10057"] {
            assert_eq!(parse_listen(text), Err(ListenError::BadHost(text.to_owned())));
        }
    }
}

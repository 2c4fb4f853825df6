//! Proxies on the way to a server, and what their failures mean.

use reqwest::{Proxy, Url};

use super::{options::parse_proxy, tls::BuildError};
use crate::secret::Secret;

/// The port of SOCKS proxies (RFC 1928).
const SOCKS_PORT: u16 = 1080;

pub(super) fn parse(url: &Secret) -> Result<Proxy, BuildError> {
    let mut url = parse_proxy(url.expose()).ok_or(BuildError::Proxy)?;
    if url.scheme() != "http" && url.port().is_none() {
        url.set_port(Some(SOCKS_PORT)).map_err(|()| BuildError::Proxy)?;
    }
    if url.scheme() != "socks5" {
        return Proxy::all(url).map_err(|_| BuildError::Proxy);
    }
    // An address needs no resolver, and reqwest's fails on one in brackets.
    let with_name = Url::parse(&url.as_str().replacen("socks5:", "socks5h:", 1));
    let of_addresses = with_name.map_err(|_| BuildError::Proxy)?;
    Ok(Proxy::custom(move |server| {
        Some(if server.domain().is_some() { url.clone() } else { of_addresses.clone() })
    }))
}

/// The failure of a proxy, from the text of the innermost error: the client's library has no types for them. Absent: the
/// proxy wants another login, or one at all.
pub(super) fn failure(text: &str) -> Option<String> {
    let said = ["SOCKS error: ", "tunnel error: "].iter().find_map(|before| text.strip_prefix(before));
    let words = match said.unwrap_or(text) {
        "proxy authorization required"
        | "server does not support user/pass authentication"
        | "credentials not accepted" => return None,
        "server implements authentication incorrectly" => "it wants no login; leave out the one in its URL",
        "unsuccessful" => "it cannot reach the server, or may not",
        "failed to create underlying connection" => "it cannot be reached",
        "failed parsing server response" => "it is no SOCKS proxy",
        "failed serialize request" => "its user name or password is too long",
        "unexpected end of file" | "io error during SOCKS handshake" => "it closed the connection",
        other => return Some(format!("it says: {other}")),
    };
    Some(words.to_owned())
}

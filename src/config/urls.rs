//! URLs that requests go to or through.

use reqwest::Url;

use crate::http::options::is_loopback;
use crate::secret::Secret;

/// Checks the whole URL of something on the web. `example` is one that is right, for the error.
pub(super) fn check_address(text: &str, example: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("not a URL; write it as {example}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("a URL that does not start with http:// or https://; write it as {example}"));
    }
    if url.fragment().is_some() {
        return Err("a URL with a fragment; leave out all from the #".to_owned());
    }
    Ok(url)
}

pub(super) fn check_proxy(text: &str) -> Result<(), String> {
    let schemes = ["http", "socks5", "socks5h"];
    match Url::parse(text) {
        Ok(url) if schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()) => {
            Ok(())
        }
        Ok(_) | Err(_) => Err("not a proxy's URL; write it as \"http://127.0.0.1:3128\" or \
                               \"socks5h://127.0.0.1:1080\""
            .to_owned()),
    }
}

/// Whether a proxy runs on this machine.
pub(super) fn is_loopback_proxy(url: &Secret) -> bool {
    Url::parse(url.expose()).is_ok_and(|url| is_loopback(url.host_str().unwrap_or_default()))
}

/// Whether a URL sends its requests unencrypted.
pub(super) fn is_http(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "http")
}

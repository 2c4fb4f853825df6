//! What shows that a server expects TLS, or something else of it, than it was asked with.

use std::{fmt, io};

use reqwest::{Response, Url, header};

use super::{causes::find, tls};

/// Why a handshake or an encrypted connection of another protocol failed, in words. `plain` is what to write for a server
/// that does not speak TLS, as the end of a sentence. Other errors are said as the system says them.
pub fn tls_failure(err: &io::Error, plain: &str) -> String {
    match find::<rustls::Error>(err) {
        Some(tls) => tls::in_words(tls, plain),
        None if is_end_of_handshake(err) => format!("{ENDED}{plain}"),
        None => err.to_string(),
    }
}

/// As [`tls_failure`], of a connection that is lost after its handshake; absent: TLS is not why.
pub fn tls_loss(err: &io::Error) -> Option<String> {
    find::<rustls::Error>(err).map(|tls| tls::in_words(tls, ""))
}

const ENDED: &str = "the server closed the connection in the TLS handshake";
/// What to write for a server that does not answer with TLS.
pub(super) const PLAIN: &str = "; if it serves plain HTTP here, write http:// in the URL";

/// The error of tokio-rustls for a handshake that ends without a word.
pub(super) fn is_end_of_handshake(err: &io::Error) -> bool {
    err.to_string() == "tls handshake eof"
}

/// Whether a URL is one without TLS.
pub(super) fn is_plain(url: &Url) -> bool {
    url.scheme() == "http"
}

/// What the HTTPS servers of Go, nginx and Apache say to a request without TLS.
const FOR_TLS: [&str; 3] = [
    "HTTP request to an HTTPS server",
    "plain HTTP request was sent to HTTPS port",
    "speaking plain HTTP to an SSL-enabled server port",
];
/// What nginx says for want of a client certificate, and of one that it does not accept, and what these mean.
const FOR_CERTIFICATE: [(&str, &str); 2] = [
    ("No required SSL certificate was sent", tls::REQUIRES_CERTIFICATE),
    (
        "The SSL certificate error",
        "the server does not accept the client certificate; check client_cert_file",
    ),
];

/// Why a server answered 400 because of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    ExpectsTls,
    /// It wants a client certificate, or another one; in words.
    Certificate(&'static str),
}

/// Looks for it in the start of an answer's body.
pub(super) fn mismatch(status: u16, is_plain: bool, start: &[u8]) -> Option<Mismatch> {
    let start = String::from_utf8_lossy(start);
    match (status, is_plain) {
        (400, true) => FOR_TLS.iter().any(|words| start.contains(words)).then_some(Mismatch::ExpectsTls),
        (400, false) => {
            let said = FOR_CERTIFICATE.iter().find(|(words, _)| start.contains(words));
            said.map(|(_, meaning)| Mismatch::Certificate(meaning))
        }
        _ => None,
    }
}

/// A redirect to the same host with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToHttps {
    pub status: u16,
    /// The port, unless the URL has it with `https://`.
    pub port: Option<u16>,
}

impl fmt::Display for ToHttps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, a redirect to https; write https://", self.status)?;
        if let Some(port) = self.port {
            write!(f, " and port {port}")?;
        }
        f.write_str(" in the URL")
    }
}

/// Whether an answer without TLS only leads to the same host with TLS.
pub(super) fn to_https(response: &Response) -> Option<ToHttps> {
    let url = response.url();
    let to = Url::parse(response.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    if !response.status().is_redirection()
        || !is_plain(url)
        || to.scheme() != "https"
        || to.host_str() != url.host_str()
    {
        return None;
    }
    let port = to.port_or_known_default().filter(|port| *port != url.port().unwrap_or(443));
    Some(ToHttps { status: response.status().as_u16(), port })
}

//! Why an exchange failed.

use std::{io, time::Duration};

use serde_json::error::Category;

use super::{
    causes::{find, innermost},
    mismatch::{Mismatch, PLAIN, ToHttps, is_end_of_handshake, tls_failure},
    proxy, tls,
};

/// Why an exchange failed. The texts contain neither the URL's path nor any part of a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("could not connect: {0}")]
    Connect(String),
    #[error("could not connect through the proxy: {0}")]
    Proxy(String),
    #[error(
        "could not connect through the proxy: it wants a login; write the right user name and password into its URL"
    )]
    ProxyLogin,
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("no whole answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("the connection broke before the answer ended")]
    Interrupted,
    /// Of a server at an `http://` URL that has never answered.
    #[error("closed the connection without an answer; if the server expects TLS, write https:// in the URL")]
    Closed,
    /// The first answer of a server at an `http://` URL.
    #[error("the answer is not HTTP; if the server expects TLS, write https:// in the URL")]
    PerhapsTls,
    #[error("the answer is not HTTP")]
    NotHttp,
    #[error("answered 400, as the server expects TLS; write https:// in the URL")]
    ExpectsTls,
    #[error("answered {0}")]
    ToHttps(ToHttps),
    #[error("answered {0}, a redirect, which is not followed")]
    Redirect(u16),
    #[error("answered {0}")]
    Status(u16),
    /// An HTML error page, most likely from something between the exporter and the server.
    #[error("answered {0} with a page of HTML, as proxies and firewalls do")]
    Page(u16),
    #[error("answered {0} instead of JSON")]
    NotJson(&'static str),
    #[error("the answer is empty")]
    Empty {
        /// It calls itself text.
        is_text: bool,
    },
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("a row in the answer is larger than a row may be")]
    TooLargeRow,
    #[error("the list in the answer has more than 100,000 rows")]
    TooLargeList,
    #[error("the answer is not the JSON expected: {0}")]
    Decode(String),
}

impl From<Mismatch> for Error {
    fn from(mismatch: Mismatch) -> Self {
        match mismatch {
            Mismatch::ExpectsTls => Error::ExpectsTls,
            Mismatch::Certificate(what) => Error::Tls(what.to_owned()),
        }
    }
}

/// Why a decoder failed. serde's own messages may quote the input, so only the place and the kind are reported.
pub(super) fn undecodable(err: serde_json::Error) -> Error {
    let kind = match err.classify() {
        // What keeps the answer from being read.
        Category::Io => return io::Error::from(err).downcast().unwrap_or(Error::Interrupted),
        Category::Syntax => "malformed",
        Category::Data => "of another shape",
        Category::Eof => "cut off",
    };
    // An error of a decoder's own has no place.
    match err.line() {
        0 => Error::Decode(kind.into()),
        line => Error::Decode(format!("{kind} at line {line}, column {}", err.column())),
    }
}

/// Why an exchange failed that has so much time.
pub(super) fn classify(err: &reqwest::Error, deadline: Duration) -> Error {
    if let Some(tls) = find::<rustls::Error>(err) {
        return Error::Tls(tls::in_words(tls, PLAIN));
    }
    if err.is_connect()
        && let Some(io) = find::<io::Error>(err).filter(|io| is_end_of_handshake(io))
    {
        return Error::Tls(tls_failure(io, PLAIN));
    }
    if err.is_connect() && err.is_timeout() {
        Error::Connect("no answer".into())
    } else if err.is_timeout() {
        Error::Timeout(deadline)
    } else if err.is_connect() {
        Error::Connect(find::<io::Error>(err).map_or_else(|| innermost(err), ToString::to_string))
    } else if find::<hyper::Error>(err).is_some_and(hyper::Error::is_parse) {
        Error::NotHttp
    } else {
        Error::Interrupted
    }
}

/// Why no connection was made through a proxy.
pub(super) fn proxy_failure(err: &reqwest::Error) -> Error {
    match find::<io::Error>(err) {
        _ if err.is_timeout() => Error::Proxy("no answer".to_owned()),
        Some(io) => Error::Proxy(io.to_string()),
        None => proxy::failure(&innermost(err)).map_or(Error::ProxyLogin, Error::Proxy),
    }
}

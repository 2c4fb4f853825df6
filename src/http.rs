//! The only HTTP client code: time limits, a body limit, no redirects, no implicit proxy, and errors that say what
//! happened without the content.

mod body;
mod causes;
mod error;
mod mismatch;
pub mod options;
mod proxy;
mod reuse;
mod sni;
mod tls;

use std::{
    fmt, mem,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use rustls::pki_types::ServerName;
use serde_json::error::Category;
use tokio::time::{Instant, timeout_at};

pub use body::{BYTE_ORDER_MARK, Body, too_large_row, too_many_rows};
pub use error::Error;
pub use mismatch::{ToHttps, tls_failure, tls_loss};
pub use tls::{BuildError, install_crypto_provider};

use self::{
    causes::innermost,
    error::{classify, proxy_failure, undecodable},
    mismatch::{Mismatch, is_plain, mismatch, to_https},
    reuse::Opened,
    sni::Sni,
};
use crate::{
    http::options::{Endpoint, TlsOptions},
    model::Timestamp,
    secret::Secret,
};

/// uvicorn closes idle connections after five seconds; a request on a connection that is just being closed fails.
const KEEP_IDLE: Duration = Duration::from_secs(3);
/// How long connecting may take, so that a host that drops packets is not taken for one that answers slowly.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Bytes of an unread answer that are drained to keep its connection alive.
const DRAIN: usize = 64 * 1024;
/// Bytes of a refusal that are kept, for the client that knows what its system says.
const SAID: usize = 1024;
/// How long draining may take once the status is known.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// Bytes that one row of a long list may take up. Marzban's are about 4 KB.
pub const ROW: usize = 1024 * 1024;
/// A client for one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    /// Opens a connection for each request.
    alone: reqwest::Client,
    opened: Opened,
    certificate: Arc<tls::LeafSeen>,
    is_proxied: bool,
    /// Whether the URL could begin with `https://`: not that of a socket.
    may_be_https: bool,
    /// The name that the server is asked for, if it is another than that of the URL and the way there allows it.
    sni: Option<Sni>,
    /// Whether the server has ever answered.
    has_answered: Arc<AtomicBool>,
}

/// How a client reaches its server.
struct Way<'a> {
    tls: &'a TlsOptions,
    secure: bool,
    proxy: Option<&'a Secret>,
    socket: Option<&'a Path>,
    /// Of all requests, unless a request has its own.
    headers: HeaderMap,
}

/// Limits of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time from connecting to the last byte.
    pub deadline: Duration,
    /// Bytes of body after decompression.
    pub body: usize,
}

/// Whether a request may be sent a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It only reads. If it fails on an old connection before an answer begins, it is sent once more on a new one.
    Safe,
    /// It changes something, so it is sent once.
    Never,
}

/// A decoded answer.
#[derive(Debug)]
pub struct Answer<T> {
    pub value: T,
    /// The server's clock (header `Date`), if it sent one.
    pub date: Option<Timestamp>,
    /// When the head of the answer arrived.
    pub began: Instant,
}

/// An answer with any status.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// The start of the body, up to [`Limits::body`] bytes.
    pub body: Bytes,
}

/// Why [`Client::read`] gave no value.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    pub error: Error,
    /// How long the server asked to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// Of the answer; empty if there was none. They are never printed.
    pub headers: Box<HeaderMap>,
    /// The start of the answer if it is JSON, up to 1 KiB; else empty. It is never printed.
    pub said: Bytes,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { error, retry_after: None, headers: Box::default(), said: Bytes::new() }
    }
}

impl Reply {
    /// The refusal that the answer is.
    pub fn refused(self, error: Error) -> Refusal {
        let retry_after = retry_after(&self.headers);
        Refusal { error, retry_after, headers: Box::new(self.headers), said: self.body }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { error, retry_after, headers: _, said: _ } = self;
        f.debug_struct("Refusal")
            .field("error", error)
            .field("retry_after", retry_after)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client for one target.
    ///
    /// # Errors
    /// When a certificate or key, the proxy's URL or a header cannot be used.
    pub fn new(endpoint: &Endpoint) -> Result<Self, BuildError> {
        let Endpoint { url, tls, proxy, headers } = endpoint;
        let headers = sensitive_headers(headers).ok_or(BuildError::Header)?;
        Client::build(Way {
            tls,
            secure: url.is_https(),
            proxy: proxy.as_ref(),
            socket: url.socket(),
            headers,
        })
    }

    /// A client that reaches its server by a proxy, if there is one; see [`Endpoint::proxy`].
    ///
    /// # Errors
    /// When a certificate or key of `tls` or the proxy's URL cannot be used.
    pub fn by_proxy(tls: &TlsOptions, secure: bool, proxy: Option<&Secret>) -> Result<Self, BuildError> {
        Client::build(Way { tls, secure, proxy, socket: None, headers: HeaderMap::new() })
    }

    fn build(way: Way<'_>) -> Result<Self, BuildError> {
        let Way { tls, secure, proxy, socket, headers } = way;
        let certificate = Arc::new(tls::LeafSeen::default());
        let config = tls::client_config(tls, secure, Arc::clone(&certificate))?;
        let sni = Client::sni(tls, proxy, headers.get(header::HOST));
        let (proxy, is_proxied) = (proxy.map(proxy::parse).transpose()?, proxy.is_some());
        let opened = Opened::default();
        let build = |connections| {
            let mut builder = reqwest::Client::builder().no_proxy().connector_layer(opened.clone());
            if let Some(proxy) = &proxy {
                // Some proxies find Proxy-Authorization in this case only.
                builder = builder.proxy(proxy.clone()).http1_title_case_headers();
            }
            if let Some(socket) = socket {
                builder = builder.unix_socket(socket);
            }
            if let Some(sni) = &sni {
                builder = builder.dns_resolver(sni.clone());
            }
            let built = builder
                .tls_backend_preconfigured(config.clone())
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .http1_only()
                .connect_timeout(CONNECT_TIME)
                .pool_idle_timeout(KEEP_IDLE)
                .pool_max_idle_per_host(connections)
                .user_agent(concat!("proxymeter/", env!("CARGO_PKG_VERSION")))
                .default_headers(headers.clone())
                .build();
            built.map_err(|err| BuildError::Client(innermost(&err)))
        };
        let (inner, alone) = (build(usize::MAX)?, build(0)?);
        Ok(Client {
            inner,
            alone,
            opened,
            certificate,
            is_proxied,
            may_be_https: socket.is_none(),
            sni,
            has_answered: Arc::default(),
        })
    }

    /// Proxies that resolve the name, or may, would connect to the name that is asked for.
    fn sni(tls: &TlsOptions, proxy: Option<&Secret>, host: Option<&HeaderValue>) -> Option<Sni> {
        let resolves = proxy.is_some_and(|proxy| !proxy.expose().trim_start().starts_with("socks5://"));
        match &tls.server_name {
            Some(ServerName::DnsName(name)) if !resolves => Some(Sni::new(name.as_ref(), host)),
            _ => None,
        }
    }

    fn request(&self, client: &reqwest::Client, method: Method, url: String) -> RequestBuilder {
        match &self.sni {
            Some(sni) => sni.request(client, method, &url),
            None => client.request(method, url),
        }
    }

    pub fn get(&self, url: String) -> RequestBuilder {
        self.request(&self.inner, Method::GET, url)
    }

    pub fn post(&self, url: String) -> RequestBuilder {
        self.request(&self.inner, Method::POST, url)
    }

    pub fn delete(&self, url: String) -> RequestBuilder {
        self.request(&self.inner, Method::DELETE, url)
    }

    /// As [`Client::get`], on a connection of its own: for a request whose answer exists only once.
    pub fn get_alone(&self, url: String) -> RequestBuilder {
        self.request(&self.alone, Method::GET, url)
    }

    /// As [`Client::post`], on a connection of its own: for a request that may not be sent again if an old connection turns
    /// out to be dead.
    pub fn post_alone(&self, url: String) -> RequestBuilder {
        self.request(&self.alone, Method::POST, url)
    }

    /// Sends a request and accepts an answer with any status. Reads at most `limits.body` bytes of the body.
    ///
    /// # Errors
    /// When the exchange failed or did not end within `limits.deadline`.
    pub async fn send(&self, request: RequestBuilder, limits: Limits) -> Result<Reply, Error> {
        let exchange = async {
            let mut response = self.head(request, limits).await?;
            let mut body = BytesMut::new();
            while body.len() < limits.body {
                match response.chunk().await.map_err(|err| classify(&err, limits.deadline))? {
                    Some(chunk) => body.extend_from_slice(&chunk),
                    None => break,
                }
            }
            body.truncate(limits.body);
            let status = response.status().as_u16();
            let start = body.get(..SAID).unwrap_or(&body);
            if let Some(mismatch) = self.mismatch(status, is_plain(response.url()), start) {
                return Err(mismatch.into());
            }
            Ok(Reply { status, headers: mem::take(response.headers_mut()), body: body.freeze() })
        };
        tokio::time::timeout(limits.deadline, exchange).await.unwrap_or(Err(Error::Timeout(limits.deadline)))
    }

    /// When the certificate that the server presented last expires.
    pub fn certificate_expiry(&self) -> Option<Timestamp> {
        self.certificate.not_after()
    }

    /// The SHA-256 of the certificate that the server presented last, as `pin_sha256` has it; absent: it is trusted, or the
    /// server presented none.
    pub fn distrusted(&self) -> Option<String> {
        self.certificate.distrusted()
    }

    /// Sends a request and decodes the answer while it arrives, without holding it whole in memory. `decode` runs where the
    /// answer is received, so that no part of it moves to another thread.
    ///
    /// # Errors
    /// Everything but a 2xx answer that `decode` accepts, within `limits`.
    pub async fn read<T, D>(
        &self,
        request: RequestBuilder,
        repeat: Repeat,
        limits: Limits,
        decode: impl FnOnce(Body) -> D,
    ) -> Result<Answer<T>, Refusal>
    where
        D: Future<Output = serde_json::Result<T>>,
    {
        let deadline = Instant::now() + limits.deadline;
        let too_late = |_| Error::Timeout(limits.deadline);
        let mut response =
            timeout_at(deadline, self.begin(request, repeat, limits)).await.map_err(too_late)??;
        let began = Instant::now();
        if let Some(error) = refusal(&response) {
            let retry_after = retry_after(response.headers());
            let not_json = not_json(&response).is_some();
            let is_plain = is_plain(response.url());
            let headers = Box::new(mem::take(response.headers_mut()));
            let mut said = BytesMut::new();
            // A refusal that does not come whole is one all the same.
            drop(timeout_at(deadline.min(began + DRAIN_TIME), drain(response, SAID, &mut said)).await);
            if let Error::Status(status) | Error::Page(status) = error
                && let Some(mismatch) = self.mismatch(status, is_plain, &said)
            {
                return Err(Error::from(mismatch).into());
            }
            if not_json {
                said.clear();
            }
            return Err(Refusal { error, retry_after, headers, said: said.freeze() });
        }
        let date = date(response.headers(), &header::DATE);
        let value = timeout_at(deadline, receive(response, limits, decode)).await.map_err(too_late)??;
        Ok(Answer { value, date, began })
    }

    /// Sends a request and waits for the head of the answer. A server may close an idle connection without a word (uvicorn
    /// does after each 500), which shows only when the next request is sent on it.
    async fn begin(
        &self,
        request: RequestBuilder,
        repeat: Repeat,
        limits: Limits,
    ) -> Result<Response, Error> {
        let again = request.try_clone().filter(|_| repeat == Repeat::Safe);
        let opened = self.opened.count();
        match (again, self.head(request, limits).await) {
            (Some(again), Err(Error::Interrupted)) if self.opened.count() == opened => {
                self.head(again, limits).await
            }
            (_, outcome) => outcome,
        }
    }

    fn mismatch(&self, status: u16, is_plain: bool, start: &[u8]) -> Option<Mismatch> {
        mismatch(status, is_plain, start).filter(|_| self.may_be_https)
    }

    /// Sends a request and waits for the head of the answer, which is the server's and not that of the proxy.
    async fn head(&self, request: RequestBuilder, limits: Limits) -> Result<Response, Error> {
        match request.send().await {
            Ok(response)
                if self.is_proxied && response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
            {
                Err(Error::ProxyLogin)
            }
            Ok(response) => {
                self.has_answered.store(true, Ordering::Relaxed);
                if let Some(to_https) = to_https(&response).filter(|_| self.may_be_https) {
                    return Err(Error::ToHttps(to_https));
                }
                Ok(response)
            }
            Err(err) => {
                let error = classify(&err, limits.deadline);
                let may_expect_tls = self.may_be_https
                    && err.url().is_some_and(is_plain)
                    && !self.has_answered.load(Ordering::Relaxed);
                Err(match error {
                    Error::Connect(_) if self.is_proxied => proxy_failure(&err),
                    Error::NotHttp if may_expect_tls => Error::PerhapsTls,
                    Error::Interrupted if may_expect_tls => Error::Closed,
                    error => error,
                })
            }
        }
    }
}

/// The value of a header that is not printed; absent: no header can carry it.
pub fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Headers whose values are not printed; absent: one of them cannot be sent.
pub fn sensitive_headers(named: &[(String, Secret)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        headers.insert(HeaderName::try_from(name).ok()?, sensitive(value.expose())?);
    }
    Some(headers)
}

/// The TLS configuration for a client of another protocol. It verifies the server's certificate as [`Client`] does.
///
/// # Errors
/// When a certificate or key of `options` cannot be used.
pub fn tls_config(options: &TlsOptions) -> Result<rustls::ClientConfig, BuildError> {
    tls::client_config(options, true, Arc::new(tls::LeafSeen::default()))
}

async fn receive<T, D>(response: Response, limits: Limits, decode: impl FnOnce(Body) -> D) -> Result<T, Error>
where
    D: Future<Output = serde_json::Result<T>>,
{
    let is_text = is_text(&response);
    decode(Body::new(response, is_text, limits.body, limits.deadline)).await.map_err(|err| {
        match err.classify() {
            Category::Syntax | Category::Eof if is_text => Error::NotJson("plain text"),
            _ => undecodable(err),
        }
    })
}

/// Why an answer is not worth decoding, judged by its head.
fn refusal(response: &Response) -> Option<Error> {
    let status = response.status();
    let code = status.as_u16();
    if status.is_redirection() {
        Some(Error::Redirect(code))
    } else if status.is_client_error() && not_json(response) == Some(HTML) {
        Some(Error::Page(code))
    } else if !status.is_success() {
        Some(Error::Status(code))
    } else {
        not_json(response).map(Error::NotJson)
    }
}

/// Reads a refusal to its end, unless it is long, and keeps so many bytes of it.
async fn drain(mut response: Response, keep: usize, said: &mut BytesMut) {
    let mut length = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        length += chunk.len();
        said.extend_from_slice(&chunk[..chunk.len().min(keep.saturating_sub(said.len()))]);
        if length > DRAIN {
            break;
        }
    }
}

const HTML: &str = "HTML";

/// How long a server asks to wait: a number of seconds, or a date, which is compared with the server's own.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (until, now) = (date(headers, &header::RETRY_AFTER)?, date(headers, &header::DATE)?);
    Some(until.since(now))
}

/// A word for what came instead of JSON. Any other content type is decoded: JSON also comes as plain text or without one.
fn not_json(response: &Response) -> Option<&'static str> {
    let kind = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    kind.starts_with("text/html").then_some(HTML)
}

fn is_text(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/"))
}

/// The time in a header, in the one format that servers still write.
pub(crate) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

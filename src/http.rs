//! The one way to speak HTTP to others: time limits, a body cap, no redirects, no proxy by surprise, and errors
//! that tell what happened without telling what was in it.

pub mod options;
mod tls;

use std::{
    cell::Cell,
    error::Error as StdError,
    io::{self, Read},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use reqwest::{RequestBuilder, Response, header, redirect};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

pub use tls::{BuildError, install_crypto_provider};

use crate::{http::options::TlsOptions, model::Timestamp};

/// uvicorn closes idle connections after five seconds; a request on a connection that is just being closed fails.
const KEEP_IDLE: Duration = Duration::from_secs(3);
/// What an answer that we do not read may still send for the sake of keeping its connection.
const DRAIN: usize = 64 * 1024;
/// How long such an answer may take to end, once its status is told.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// Bytes that one row of a long list may take up. Marzban's are about 4 KB.
const ROW_ALLOWANCE: usize = 1024 * 1024;
/// Rows of a long list in one answer. Empty ones take next to nothing on the wire and hundreds of bytes in memory.
const ROWS: usize = 100_000;

/// Asks one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
    certificate: Arc<tls::LeafSeen>,
}

/// What one exchange may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From connecting to the last byte.
    pub deadline: Duration,
    /// Bytes of body after decompression.
    pub body: usize,
}

/// A decoded answer.
#[derive(Debug)]
pub struct Answer<T> {
    pub value: T,
    /// The server's clock (header `Date`), if it told.
    pub date: Option<Timestamp>,
    /// When the answer began to come.
    pub began: Instant,
}

/// Why an exchange gave nothing. The texts name neither the URL's path nor anything of a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("could not connect: {0}")]
    Connect(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("no whole answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("the connection broke before the answer ended")]
    Interrupted,
    #[error("answered {0}, a redirect, which is not followed")]
    Redirect(u16),
    #[error("answered {0}")]
    Status(u16),
    /// An error that a person is meant to see, by something between us and the server, most likely.
    #[error("answered {0} with a page of HTML, as proxies and firewalls do")]
    Page(u16),
    #[error("answered {0} instead of JSON")]
    NotJson(&'static str),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the list in the answer has a row of more than 1 MiB or more than 100,000 rows")]
    TooLargeList,
    #[error("the answer is not the JSON expected: {0}")]
    Decode(String),
}

impl Client {
    /// A client for one server.
    ///
    /// # Errors
    /// When a certificate or key of `tls` cannot be used.
    pub fn new(tls: &TlsOptions, secure: bool) -> Result<Self, BuildError> {
        let certificate = Arc::new(tls::LeafSeen::default());
        let config = tls::client_config(tls, secure, Arc::clone(&certificate))?;
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .pool_idle_timeout(KEEP_IDLE)
            .user_agent(concat!("proxymeter/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|err| BuildError::Client(innermost(&err)))?;
        Ok(Client { inner, certificate })
    }

    pub fn get(&self, url: String) -> RequestBuilder {
        self.inner.get(url)
    }

    pub fn post(&self, url: String) -> RequestBuilder {
        self.inner.post(url)
    }

    /// When the certificate that the server presented last ends.
    pub fn certificate_expiry(&self) -> Option<Timestamp> {
        self.certificate.not_after()
    }

    /// Sends a request and decodes its answer while it arrives, never holding it whole.
    /// `decode` runs on a thread that may block.
    ///
    /// # Errors
    /// Everything but a 2xx answer that `decode` accepts, within `limits`.
    pub async fn read<T, F>(
        &self,
        request: RequestBuilder,
        limits: Limits,
        decode: F,
    ) -> Result<Answer<T>, Error>
    where
        T: Send + 'static,
        F: FnOnce(Body) -> serde_json::Result<T> + Send + 'static,
    {
        let deadline = Instant::now() + limits.deadline;
        let too_late = |_| Error::Timeout(limits.deadline);
        let response = timeout_at(deadline, request.send()).await.map_err(too_late)?;
        let response = response.map_err(|err| classify(&err, limits))?;
        let began = Instant::now();
        if let Some(refusal) = refusal(&response) {
            // Whether the rest comes in time does not matter any more.
            drop(timeout_at(deadline.min(began + DRAIN_TIME), drain(response)).await);
            return Err(refusal);
        }
        let date = date(&response);
        let value = timeout_at(deadline, receive(response, limits, decode)).await.map_err(too_late)??;
        Ok(Answer { value, date, began })
    }
}

async fn receive<T, F>(mut response: Response, limits: Limits, decode: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(Body) -> serde_json::Result<T> + Send + 'static,
{
    let (chunks, arriving) = mpsc::channel(4);
    let decoded = tokio::task::spawn_blocking(move || decode(Body::new(arriving)));
    let mut length = 0_usize;
    let feed = async {
        while let Some(chunk) = response.chunk().await.map_err(|err| classify(&err, limits))? {
            length = length.saturating_add(chunk.len());
            if length > limits.body {
                return Err(Error::TooLarge(limits.body));
            }
            if chunks.send(chunk).await.is_err() {
                break; // The decoder has seen enough to refuse the rest.
            }
        }
        Ok(())
    };
    let fed = feed.await;
    drop(chunks);
    let decoded = decoded.await.map_err(|_| Error::Decode("the decoder stopped".into()))?;
    fed?;
    decoded.map_err(|err| undecodable(&err))
}

/// A body as a decoder on a blocking thread reads it, while it arrives.
#[derive(Debug)]
pub struct Body {
    arriving: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    allowance: RowAllowance,
}

/// Lets a decoder of a long list start each row afresh, so that neither a single row nor their number fills memory.
#[derive(Clone, Debug)]
pub struct RowAllowance {
    /// Bytes that may yet be read.
    bytes: Rc<Cell<usize>>,
    /// Rows that may yet begin.
    rows: Rc<Cell<usize>>,
}

impl Body {
    fn new(arriving: mpsc::Receiver<Bytes>) -> Self {
        let allowance =
            RowAllowance { bytes: Rc::new(Cell::new(usize::MAX)), rows: Rc::new(Cell::new(ROWS)) };
        Body { arriving, chunk: Bytes::new(), allowance }
    }

    pub fn row_allowance(&self) -> RowAllowance {
        self.allowance.clone()
    }
}

impl RowAllowance {
    pub fn next_row(&self) {
        let rows = self.rows.get();
        self.bytes.set(if rows == 0 { 0 } else { ROW_ALLOWANCE });
        self.rows.set(rows.saturating_sub(1));
    }
}

impl Read for Body {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            // An end that came too early shows as broken JSON; the reason for it is known to the sender's side.
            match self.arriving.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let allowed = self.allowance.bytes.get();
        if allowed == 0 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "list too large"));
        }
        let taken = self.chunk.split_to(buf.len().min(self.chunk.len()).min(allowed));
        buf[..taken.len()].copy_from_slice(&taken);
        self.allowance.bytes.set(allowed - taken.len());
        Ok(taken.len())
    }
}

/// Decodes an answer that is one JSON value.
///
/// # Errors
/// When it is not, or more follows.
pub fn json<T: serde::de::DeserializeOwned>(body: Body) -> serde_json::Result<T> {
    serde_json::from_reader(io::BufReader::new(body))
}

/// Why an answer is not worth decoding, by its head.
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

async fn drain(mut response: Response) {
    let mut length = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        length += chunk.len();
        if length > DRAIN {
            break;
        }
    }
}

const HTML: &str = "HTML";

/// A word for what came instead of JSON. Servers that name no type, or an odd one, are given a try.
fn not_json(response: &Response) -> Option<&'static str> {
    let kind = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
    if kind.starts_with("text/html") {
        Some(HTML)
    } else if kind.starts_with("text/") && !kind.starts_with("text/json") {
        Some("plain text")
    } else {
        None
    }
}

fn date(response: &Response) -> Option<Timestamp> {
    let text = response.headers().get(header::DATE)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

/// Why a decoder refused. serde's own words may quote what it met, so only the place and the kind are told.
fn undecodable(err: &serde_json::Error) -> Error {
    use serde_json::error::Category;

    let kind = match err.classify() {
        Category::Io => return Error::TooLargeList,
        Category::Syntax => "malformed",
        Category::Data => "of another shape",
        Category::Eof => "cut off",
    };
    Error::Decode(format!("{kind} at line {}, column {}", err.line(), err.column()))
}

fn classify(err: &reqwest::Error, limits: Limits) -> Error {
    if let Some(tls) = find::<rustls::Error>(err) {
        return Error::Tls(tls.to_string());
    }
    if err.is_timeout() {
        Error::Timeout(limits.deadline)
    } else if err.is_connect() {
        Error::Connect(find::<io::Error>(err).map_or_else(|| innermost(err), ToString::to_string))
    } else {
        Error::Interrupted
    }
}

/// Looks for a kind of error among the causes of one, inside `io::Error`s too, which hide theirs.
fn find<'a, E: StdError + 'static>(err: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut cause = Some(err);
    while let Some(err) = cause {
        if let Some(found) = err.downcast_ref::<E>() {
            return Some(found);
        }
        let hidden = err.downcast_ref::<io::Error>().and_then(|io| io.get_ref());
        cause = match hidden {
            Some(hidden) => Some(hidden),
            None => err.source(),
        };
    }
    None
}

/// The last of an error's causes, which tells what happened without the URL.
fn innermost(err: &(dyn StdError + 'static)) -> String {
    let mut err = err;
    while let Some(source) = err.source() {
        err = source;
    }
    err.to_string()
}

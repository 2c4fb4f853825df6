//! The panel on the wire: connections, bodies, delays, and answers made to go wrong.

use std::future::Future;
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, LOCATION, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::list::Page;
use super::routes::{self, Answer, Asked, Content};
use super::{Fault, Panel, auth};

const MAX_REQUESTS_REMEMBERED: usize = 10_000;
const MAX_REQUEST_BODY: usize = 64 * 1024;
const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>Log in</title></head><body><form method=\"post\">\
    <input name=\"login\"><input name=\"password\" type=\"password\"></form></body></html>";

/// Answers on `listener` until `stop` resolves.
pub(super) async fn serve(panel: Panel, listener: TcpListener, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stop => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(panel.clone(), stream));
                }
                // Out of descriptors, say: some will come free.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
}

/// One connection; how it ends is the client's affair.
async fn converse(panel: Panel, stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| {
        let panel = panel.clone();
        async move { respond(&panel, request).await }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// An error closes the connection without an answer.
async fn respond(panel: &Panel, request: Request<Incoming>) -> io::Result<Response<Sending>> {
    let path_and_query = request.uri().path_and_query().map_or("/", |both| both.as_str()).to_owned();
    let (in_flight, fault) = InFlight::begin(panel, request.method().as_str(), &path_and_query);
    match &fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Closed) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Delay(delay)) => tokio::time::sleep(*delay).await,
        _ => {}
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_REQUEST_BODY).collect().await else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let body = body.to_bytes();
    let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
    let asked = Asked { method: &head.method, path, query, headers: &head.headers, body: &body };
    let now_ms = panel.now_ms();
    let answer = match fault.as_ref().and_then(instead) {
        Some(canned) => canned,
        None => routes::answer(&mut panel.state(), now_ms, &asked),
    };
    let cost = panel.shared.cost;
    let rows = u32::try_from(answer.rows()).unwrap_or(u32::MAX);
    let delay = cost.per_request.saturating_add(cost.per_user.saturating_mul(rows));
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::new(Sending { content: Sendable::Whole(None), in_flight: Some(in_flight) });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("uvicorn"));
    if let Some(date) = date(now_ms) {
        headers.insert(DATE, date);
    }
    if let Some(content_type) = answer.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    let (length, content) = match fault {
        Some(fault) => spoilt(answer.content, &fault),
        None => sound(answer.content),
    };
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response.body_mut().content = content;
    Ok(response)
}

/// The answer of a fault that has no need of the right one.
fn instead(fault: &Fault) -> Option<Answer> {
    let html = "text/html; charset=utf-8";
    Some(match fault {
        Fault::Status(401) => auth::unauthorized("Could not validate credentials"),
        Fault::Status(403) => Answer::detail(403, "You're not allowed"),
        Fault::Status(404) => Answer::detail(404, "Not Found"),
        Fault::Status(500) => Answer::internal_error(),
        Fault::Status(status @ 502..) => {
            Answer::bytes(*status, html, format!("<html><body><h1>{status}</h1><hr>nginx</body></html>"))
        }
        Fault::Status(status) => {
            let reason = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
            Answer::detail(*status, reason.unwrap_or("Error"))
        }
        Fault::Html => Answer::bytes(200, html, LOGIN_PAGE),
        Fault::OtherJson => Answer::json(200, &json!({ "hello": "world" })),
        Fault::Redirect(location) => Answer::bytes(307, html, "").with(LOCATION, location),
        Fault::EndlessBody => Answer::bytes(200, "application/json", ""),
        Fault::GzipBomb(size) => {
            Answer::bytes(200, "application/json", bomb(*size)).with(CONTENT_ENCODING, "gzip")
        }
        Fault::CutJson
        | Fault::ClosedMidBody
        | Fault::Closed
        | Fault::SlowDrip { .. }
        | Fault::Hang
        | Fault::Delay(_)
        | Fault::WrongTypes => return None,
    })
}

fn sound(content: Content) -> (Option<u64>, Sendable) {
    match content {
        Content::Bytes(bytes) => (Some(length_of(&bytes)), Sendable::Whole(Some(bytes))),
        Content::Page(page) => (Some(page.length()), Sendable::Page(page)),
    }
}

/// What goes wrong while the body is sent.
fn spoilt(content: Content, fault: &Fault) -> (Option<u64>, Sendable) {
    match fault {
        Fault::CutJson => {
            let whole = gathered(content);
            let half = whole.slice(..whole.len() / 2);
            (Some(length_of(&half)), Sendable::Whole(Some(half)))
        }
        Fault::ClosedMidBody => {
            let whole = gathered(content);
            let half = whole.slice(..whole.len() / 2);
            let torn = stream::iter([Ok(half), Err(io::ErrorKind::ConnectionReset.into())]);
            // Without a pause hyper would drop the half with the connection.
            let torn = torn.enumerate().then(|(place, piece)| async move {
                if place > 0 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                piece
            });
            (Some(length_of(&whole)), Sendable::Stream(Box::pin(torn)))
        }
        Fault::SlowDrip { bytes, every } => {
            let (size, every) = ((*bytes).max(1), *every);
            let whole = gathered(content);
            let length = length_of(&whole);
            let drip = stream::unfold(whole, move |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                tokio::time::sleep(every).await;
                let piece = rest.split_to(size.min(rest.len()));
                Some((Ok(piece), rest))
            });
            (Some(length), Sendable::Stream(Box::pin(drip)))
        }
        Fault::EndlessBody => {
            let blank = Bytes::from(vec![b' '; 16 * 1024]);
            let begin = Bytes::from_static(br#"{"users":["#);
            let endless = stream::iter([begin]).chain(stream::repeat(blank)).map(Ok);
            (None, Sendable::Stream(Box::pin(endless)))
        }
        Fault::WrongTypes => {
            let wrong = match serde_json::from_slice(&gathered(content)) {
                Ok(value) => Bytes::from(mistyped(value).to_string()),
                Err(_) => Bytes::new(),
            };
            (Some(length_of(&wrong)), Sendable::Whole(Some(wrong)))
        }
        _ => sound(content),
    }
}

fn gathered(content: Content) -> Bytes {
    match content {
        Content::Bytes(bytes) => bytes,
        Content::Page(mut page) => {
            let mut whole = Vec::new();
            while let Some(piece) = page.next_piece() {
                whole.extend_from_slice(&piece);
            }
            whole.into()
        }
    }
}

/// The same keys, with every leaf of another type.
fn mistyped(value: Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(_) => json!("perhaps"),
        Value::Number(_) => json!("many"),
        Value::String(_) => json!(7),
        Value::Array(items) => items.into_iter().map(mistyped).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, mistyped(value))).collect(),
    }
}

/// `size` bytes of JSON, packed.
fn bomb(size: u64) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let blank = [b' '; 16 * 1024];
    let mut left = size;
    // A vector takes every byte.
    drop(packed.write_all(br#"{"users":["#));
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(blank.len());
        drop(packed.write_all(blank.get(..piece).unwrap_or(&blank)));
        left -= length_of(&blank).min(left);
    }
    drop(packed.write_all(b"]}"));
    packed.finish().unwrap_or_default()
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn date(now_ms: i64) -> Option<HeaderValue> {
    let now = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(TimeZone::UTC);
    HeaderValue::from_str(&now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}

/// A request being answered, counted until it is dropped.
struct InFlight(Panel);

impl InFlight {
    fn begin(panel: &Panel, method: &str, path_and_query: &str) -> (InFlight, Option<Fault>) {
        let mut state = panel.state();
        let fault = state.faults.take(path_and_query);
        let seen = &mut state.seen;
        seen.in_flight += 1;
        seen.max_in_flight = seen.max_in_flight.max(seen.in_flight);
        if seen.requests.len() >= MAX_REQUESTS_REMEMBERED {
            seen.requests.pop_front();
        }
        seen.requests.push_back((method.to_owned(), path_and_query.to_owned()));
        (InFlight(panel.clone()), fault)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.state().seen.in_flight -= 1;
    }
}

/// A body being sent.
struct Sending {
    content: Sendable,
    in_flight: Option<InFlight>,
}

enum Sendable {
    Whole(Option<Bytes>),
    Page(Box<Page>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut self.content {
            Sendable::Whole(bytes) => bytes.take().map(Ok),
            Sendable::Page(page) => page.next_piece().map(Ok),
            Sendable::Stream(stream) => match stream.as_mut().poll_next(context) {
                Poll::Ready(piece) => piece,
                Poll::Pending => return Poll::Pending,
            },
        };
        // A client that has read the last byte may ask again before hyper drops this body.
        if piece.is_none() || self.is_end_stream() {
            self.in_flight = None;
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Sendable::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Sendable::Page(page) => page.is_sent(),
            Sendable::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Sendable::Whole(bytes) => SizeHint::with_exact(bytes.as_deref().map_or(0, length_of)),
            Sendable::Page(_) | Sendable::Stream(_) => SizeHint::default(),
        }
    }
}

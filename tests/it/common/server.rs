//! A server on loopback that answers as it is told, well or badly.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::listener::Listener;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// A number of the query.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }
}

/// What the server does in answer to a request, one act after the other.
#[derive(Clone, Debug)]
pub(crate) struct Answer(pub(crate) Vec<Act>);

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Send(Vec<u8>),
    /// Sends this again and again, with a pause after each, until the client has gone away.
    Repeat(Vec<u8>, Duration),
    Pause(Duration),
    /// Says nothing more until the client has gone away.
    Hang,
    Close,
}

impl Answer {
    /// A whole answer with its length.
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut bytes = head(status, headers);
        bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
        bytes.extend(body);
        Answer(vec![Act::Send(bytes)])
    }

    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Answer::new(200, &[("content-type", "application/json")], body)
    }

    pub(crate) fn status(status: u16) -> Self {
        Answer::new(status, &[("content-type", "text/plain; charset=utf-8")], "Internal Server Error")
    }

    /// A JSON answer without a length, which `acts` go on with; it ends when the connection does.
    pub(crate) fn open_ended(acts: impl IntoIterator<Item = Act>) -> Self {
        let mut bytes = head(200, &[("content-type", "application/json"), ("connection", "close")]);
        bytes.extend(b"\r\n");
        Answer([Act::Send(bytes)].into_iter().chain(acts).collect())
    }

    /// Its bytes, without those that are repeated.
    pub(crate) fn size(&self) -> usize {
        self.0.iter().map(|act| if let Act::Send(bytes) = act { bytes.len() } else { 0 }).sum()
    }

    /// Whether its status is 200.
    pub(crate) fn is_ok(&self) -> bool {
        self.is_status(200)
    }

    pub(crate) fn is_status(&self, status: u16) -> bool {
        let head = format!("HTTP/1.1 {status}");
        matches!(&self.0[..], [Act::Send(bytes), ..] if bytes.starts_with(head.as_bytes()))
    }

    /// The same answer after a while.
    pub(crate) fn after(mut self, pause: Duration) -> Self {
        self.0.insert(0, Act::Pause(pause));
        self
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Some words\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}

/// Answers until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    scheme: &'static str,
    listener: Listener,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Server::listen(None, answer)
    }

    pub(crate) fn start_tls(
        tls: ServerConfig,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Server::listen(Some(Arc::new(tls)), answer)
    }

    fn listen(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let listener = Listener::start(move |connection| {
            // A client that goes away ends its connection's thread with an error, which is as it should be.
            drop(match &tls {
                Some(tls) => {
                    let session = ServerConnection::new(Arc::clone(tls)).unwrap();
                    serve(StreamOwned::new(session, connection), &answer, &seen)
                }
                None => serve(Plain(connection), &answer, &seen),
            });
        });
        Server { scheme, listener, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.listener.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Forgets the requests so far, so that a server of many requests does not grow.
    pub(crate) fn forget_requests(&self) {
        self.requests.lock().unwrap().clear();
    }

    /// Every request so far for a path.
    pub(crate) fn requests_for(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }
}

struct Plain(TcpStream);

impl Read for Plain {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Plain {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn serve<S: Read + Write>(
    connection: S,
    answer: &dyn Fn(&Request) -> Answer,
    requests: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    let mut connection = BufReader::new(connection);
    // What no request begins with, such as TLS, is answered as web servers do.
    if connection.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return connection.get_mut().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    while let Some(request) = read_request(&mut connection)? {
        let answer = answer(&request);
        requests.lock().unwrap().push(request);
        for act in answer.0 {
            match act {
                Act::Send(bytes) => connection.get_mut().write_all(&bytes)?,
                Act::Repeat(bytes, pause) => loop {
                    connection.get_mut().write_all(&bytes)?;
                    thread::sleep(pause);
                },
                Act::Pause(pause) => thread::sleep(pause),
                Act::Hang => {
                    io::copy(&mut connection, &mut io::sink())?;
                }
                Act::Close => return Ok(()),
            }
        }
        connection.get_mut().flush()?;
    }
    Ok(())
}

fn read_request(connection: &mut impl BufRead) -> io::Result<Option<Request>> {
    let first = read_line(connection)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request =
        Request { method: method.into(), target: target.into(), headers: Vec::new(), body: String::new() };
    loop {
        let line = read_line(connection)?;
        let Some((name, value)) = line.split_once(": ") else { break };
        request.headers.push((name.into(), value.into()));
    }
    if let Some(length) = request.header("content-length").and_then(|length| length.parse().ok()) {
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        request.body = String::from_utf8_lossy(&body).into_owned();
    }
    Ok(Some(request))
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

//! An HTTP receiver that answers as the test says, rightly or wrongly, and how receivers are configured.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use proxymeter::{
    http::options::TlsOptions,
    model::Severity,
    notify::{
        email::config::ReceiverConfig,
        webhook::config::{WebhookConfig, WebhookFormat},
    },
};

use super::listener::Listener;

/// The defaults of what every receiver has.
pub(crate) fn defaults() -> ReceiverConfig {
    ReceiverConfig {
        min_severity: Severity::Info,
        send_resolved: true,
        language: None,
        group_by: None,
        group_wait: None,
        group_interval: None,
        repeat_interval: None,
        digest: None,
    }
}

/// A webhook with no secrets.
pub(crate) fn webhook(url: &str) -> WebhookConfig {
    WebhookConfig {
        url: url.into(),
        format: WebhookFormat::Alertmanager,
        secrets: Vec::new(),
        github_secret: None,
        authorization: None,
        headers: Vec::new(),
        proxy: None,
        tls: TlsOptions::default(),
        success: None,
        timeout: Duration::from_secs(10),
        max_alerts: 0,
        common: defaults(),
    }
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    _listener: Listener,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The first line.
    pub(crate) line: String,
    /// In the order they came, names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These bytes, and the end.
    Bytes(Vec<u8>),
    /// These bytes, and nothing more while the other side waits.
    Stop(Vec<u8>),
    /// These bytes one by one, ten a second.
    Trickle(Vec<u8>),
}

impl Answer {
    pub(crate) fn status(status: u16) -> Answer {
        Answer::with(status, &[], "")
    }

    pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text =
            format!("HTTP/1.1 {status} Word\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        Answer::Bytes(format!("{text}\r\n{body}").into_bytes())
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Receiver {
    /// Answers each request as `answer` says, given the number of those that came before.
    pub(crate) fn start(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Receiver {
        Receiver::after(|_| {}, answer)
    }

    /// Likewise, but `greet` speaks first, as proxies do.
    pub(crate) fn after(
        greet: impl Fn(&mut TcpStream) + Send + Sync + 'static,
        answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Receiver {
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        let listener = Listener::start(move |mut stream| {
            greet(&mut stream);
            let Some(request) = read(&stream) else { return };
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(request.clone());
                seen.len() - 1
            };
            write(&mut stream, answer(number, &request));
        });
        Receiver { address: listener.address, requests, _listener: listener }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Everything asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.strip_suffix("\r\n")? {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: Vec<(String, String)> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line: lines.first()?.clone(), headers, body })
}

/// The other side may well have gone.
fn write(stream: &mut TcpStream, answer: Answer) {
    match answer {
        Answer::Bytes(bytes) => drop(stream.write_all(&bytes)),
        Answer::Stop(bytes) => {
            drop(stream.write_all(&bytes));
            // Returns when the other side closes.
            drop(stream.read(&mut [0]));
        }
        Answer::Trickle(bytes) => {
            for byte in bytes {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

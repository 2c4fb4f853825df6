//! A webhook receiver that notes what came before it answers, or does not answer.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::time::Instant;

use super::listener::Listener;

/// One message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) at: Instant,
    /// Of the header `webhook-id`.
    pub(crate) id: String,
    pub(crate) alerts: Vec<Value>,
    /// Null if it is about alerts.
    pub(crate) digest: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Taken,
    /// Refuses for now.
    Unavailable,
    /// Says nothing while the other side waits.
    Hang,
}

pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    _listener: Listener,
}

impl Hook {
    pub(crate) fn start() -> Hook {
        Hook::with(|| Reply::Taken, || {})
    }

    /// `reply` is asked once a request is read; `answered` is called once the answer is written.
    pub(crate) fn with(
        reply: impl Fn() -> Reply + Send + Sync + 'static,
        answered: impl Fn() + Send + Sync + 'static,
    ) -> Hook {
        let deliveries: Arc<Mutex<Vec<Delivery>>> = Arc::default();
        let noted = Arc::clone(&deliveries);
        let listener = Listener::start(move |mut stream| {
            // A daemon that is killed in the middle of its request has sent nothing.
            let Some(delivery) = read(&stream) else { return };
            noted.lock().unwrap().push(delivery);
            let status = match reply() {
                Reply::Taken => "200 OK",
                Reply::Unavailable => "503 Service Unavailable",
                // Returns when the other side closes.
                Reply::Hang => return drop(stream.read(&mut [0])),
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()));
            answered();
        });
        Hook { address: listener.address, deliveries, _listener: listener }
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap().clone()
    }

    /// The ids under which each event came, one for each copy.
    pub(crate) fn events(&self) -> BTreeMap<Event, Vec<String>> {
        let mut events: BTreeMap<Event, Vec<String>> = BTreeMap::new();
        for delivery in self.deliveries() {
            for alert in &delivery.alerts {
                events.entry(Event::of(alert)).or_default().push(delivery.id.clone());
            }
        }
        events
    }

    /// How many messages told that an alert has ended.
    pub(crate) fn resolved(&self) -> usize {
        let ended = |delivery: &&Delivery| delivery.alerts.iter().any(|alert| alert["status"] == "resolved");
        self.deliveries().iter().filter(ended).count()
    }
}

/// That an alert began or ended, as far as a message tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) status: String,
    pub(crate) alertname: String,
    pub(crate) target: String,
    pub(crate) subject: String,
    pub(crate) step: String,
    pub(crate) starts_at: String,
}

impl Event {
    fn of(alert: &Value) -> Event {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let label = |name: &str| text(&alert["labels"][name]);
        Event {
            status: text(&alert["status"]),
            alertname: label("alertname"),
            target: label("target"),
            subject: label("subject"),
            step: label("step"),
            starts_at: text(&alert["startsAt"]),
        }
    }
}

fn read(stream: &TcpStream) -> Option<Delivery> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.strip_suffix("\r\n")? {
            "" => break,
            line => {
                if let Some((name, value)) = line.split_once(": ") {
                    headers.insert(name.to_ascii_lowercase(), value.to_owned());
                }
            }
        }
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let alerts = body["alerts"].as_array().unwrap().clone();
    Some(Delivery {
        at: Instant::now(),
        id: headers.get("webhook-id")?.clone(),
        alerts,
        digest: body["digest"].clone(),
    })
}

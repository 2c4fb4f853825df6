//! Receivers of notifications that pass on what arrives: a mail server and a webhook receiver that accept everything,
//! and chat services that refuse what the real ones refuse.

mod arrival;
mod chat;
mod mail;
mod message;

use std::time::Duration;

use tokio::{net::TcpListener, sync::mpsc::UnboundedSender, time::Instant};

pub use self::{
    arrival::Arrival,
    chat::{ChatOptions, ChatServer, Incident, Manner},
    message::{Link, Message, Service, Style},
};
use super::http::{self, Answer, Asked, Cost, Wire};

/// How long [`LATE`] refuses everything.
const REFUSES: Duration = Duration::from_secs(60);
/// The path of a receiver that takes nothing at first.
pub const LATE: &str = "/late";
/// The path of a service to which a daemon reports that it works.
pub const HEARTBEAT: &str = "/heartbeat";

/// Accepts mail and webhooks until `stop` resolves. What arrives is passed to `arrivals` before it is acknowledged, except for
/// heartbeats.
pub async fn serve(
    smtp: TcpListener,
    http: TcpListener,
    arrivals: UnboundedSender<Arrival>,
    stop: impl Future<Output = ()>,
) {
    let to_mail = arrivals.clone();
    let mails = http::accept(smtp, move |stream| {
        let arrivals = to_mail.clone();
        // The client may end a connection in any way.
        async move { drop(mail::take(stream, arrivals).await) }
    });
    let began = Instant::now();
    let answer = move |asked: &Asked<'_>| {
        match asked.path {
            HEARTBEAT => return Answer::empty(200),
            LATE if began.elapsed() < REFUSES => return Answer::empty(503),
            _ => {}
        }
        let id = asked.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("").to_owned();
        let body = String::from_utf8_lossy(asked.body).into_owned();
        let kept = arrivals.send(Arrival::Webhook { id, body }).is_ok();
        Answer::empty(if kept { 200 } else { 503 })
    };
    let webhooks = Wire::new(Cost::default()).serve(http, answer, Answer::empty);
    tokio::select! {
        () = stop => {}
        () = mails => {}
        () = webhooks => {}
    }
}

//! Receivers of notifications that pass on what arrives: a mail server and a webhook receiver that accept everything,
//! and chat services that refuse what the real ones refuse.

mod arrival;
mod chat;
mod mail;
mod message;

use tokio::{net::TcpListener, sync::mpsc::UnboundedSender};

pub use self::{
    arrival::Arrival,
    chat::{ChatOptions, ChatServer, Incident, Manner},
    message::{Link, Message, Service, Style},
};
use super::http::{self, Answer, Asked, Cost, Wire};

/// Accepts mail and webhooks until `stop` resolves. What arrives is passed to `arrivals` before it is acknowledged.
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
    let answer = move |asked: &Asked<'_>| {
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

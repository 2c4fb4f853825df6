//! Simulated chat services. Each is a state machine that is given the time, in a file of its own; they share the handle,
//! [`ChatServer`], its options and its manners.
//!
//! Their rules are the services' documentation, the source of those whose source is public, and recorded answers.

mod bark;
mod dingtalk;
mod discord;
mod feishu;
mod found;
mod gotify;
mod markdown;
mod mrkdwn;
mod ntfy;
mod pagerduty;
mod parsed;
mod rate;
mod read;
#[cfg(test)]
mod recorded;
mod setup;
mod slack;
mod telegram;
#[cfg(test)]
mod testing;
mod wecom;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::header::RETRY_AFTER;
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc::UnboundedSender};

use self::{
    bark::Bark,
    dingtalk::DingTalk,
    discord::Discord,
    feishu::Feishu,
    gotify::Gotify,
    ntfy::Ntfy,
    pagerduty::PagerDuty,
    setup::{Setup, Taken},
    slack::Slack,
    telegram::Telegram,
    wecom::WeCom,
};
pub use self::{
    pagerduty::Incident,
    setup::{ChatOptions, Manner},
};
use super::{arrival::Arrival, message::Service};
use crate::simulator::http::{Answer, Asked, Cost, Wire};

/// A handle on one simulated service; clones share its state.
#[derive(Clone)]
pub struct ChatServer {
    /// The requests the service saw, and the faults of its answers.
    pub wire: Wire,
    shared: Arc<Shared>,
}

struct Shared {
    service: Service,
    state: Mutex<State>,
    now_ms: Box<dyn Fn() -> i64 + Send + Sync>,
}

struct State {
    setup: Setup,
    fake: Fake,
}

/// The services, each with what it remembers of the requests so far.
enum Fake {
    Telegram(Telegram),
    Discord(Discord),
    Slack(Slack),
    Feishu(Feishu),
    DingTalk(DingTalk),
    WeCom(WeCom),
    Ntfy(Ntfy),
    Gotify(Gotify),
    Bark(Bark),
    PagerDuty(PagerDuty),
}

impl ChatServer {
    /// A service that has seen nothing yet. `now_ms` is its clock, in Unix milliseconds.
    pub fn new(
        service: Service,
        options: ChatOptions,
        now_ms: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> ChatServer {
        let setup = Setup { options, manner: Manner::Fair };
        let state = Mutex::new(State { setup, fake: Fake::of(service) });
        let shared = Shared { service, state, now_ms: Box::new(now_ms) };
        ChatServer { wire: Wire::new(Cost::default()), shared: Arc::new(shared) }
    }

    /// Which service it is.
    pub fn service(&self) -> Service {
        self.shared.service
    }

    /// How it treats its sender from now on.
    pub fn behave(&self, manner: Manner) {
        self.state().setup.manner = manner;
    }

    /// The incidents of PagerDuty that are open, by their keys; of another service none.
    pub fn incidents(&self) -> Vec<Incident> {
        match &self.state().fake {
            Fake::PagerDuty(fake) => fake.open(),
            _ => Vec::new(),
        }
    }

    /// Answers on `listener` until `stop` resolves. What arrives is passed to `arrivals` before it is acknowledged.
    pub async fn serve(
        self,
        listener: TcpListener,
        arrivals: UnboundedSender<Arrival>,
        stop: impl Future<Output = ()>,
    ) {
        let answering = self.clone();
        let answer = move |asked: &Asked<'_>| match answering.answer(asked) {
            Ok((answer, message)) => {
                let kept = arrivals.send(Arrival::Chat(message)).is_ok();
                if kept { answer } else { Answer::empty(503) }
            }
            Err(answer) => answer,
        };
        let refusal = move |status| refusal(self.shared.service, status);
        tokio::select! {
            () = stop => {}
            () = self.wire.clone().serve(listener, answer, refusal) => {}
        }
    }

    fn answer(&self, asked: &Asked<'_>) -> Taken {
        let now_ms = (self.shared.now_ms)();
        let State { setup, fake } = &mut *self.state();
        fake.answer(setup, asked, now_ms)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fake {
    fn of(service: Service) -> Fake {
        match service {
            Service::Telegram => Fake::Telegram(Telegram::default()),
            Service::Discord => Fake::Discord(Discord::default()),
            Service::Slack => Fake::Slack(Slack::default()),
            Service::Feishu => Fake::Feishu(Feishu::default()),
            Service::DingTalk => Fake::DingTalk(DingTalk::default()),
            Service::WeCom => Fake::WeCom(WeCom::default()),
            Service::Ntfy => Fake::Ntfy(Ntfy::default()),
            Service::Gotify => Fake::Gotify(Gotify::default()),
            Service::Bark => Fake::Bark(Bark::default()),
            Service::PagerDuty => Fake::PagerDuty(PagerDuty::default()),
        }
    }

    fn answer(&mut self, setup: &Setup, asked: &Asked<'_>, now_ms: i64) -> Taken {
        match self {
            Fake::Telegram(fake) => fake.answer(setup, asked, now_ms),
            Fake::Discord(fake) => fake.answer(setup, asked, now_ms),
            Fake::Slack(fake) => fake.answer(setup, asked, now_ms),
            Fake::Feishu(fake) => fake.answer(setup, asked, now_ms),
            Fake::DingTalk(fake) => fake.answer(setup, asked, now_ms),
            Fake::WeCom(fake) => fake.answer(setup, asked, now_ms),
            Fake::Ntfy(fake) => fake.answer(setup, asked, now_ms),
            Fake::Gotify(fake) => fake.answer(setup, asked, now_ms),
            Fake::Bark(fake) => fake.answer(setup, asked, now_ms),
            Fake::PagerDuty(fake) => fake.answer(setup, asked, now_ms),
        }
    }
}

/// The answer for a status that a test asks for.
fn refusal(service: Service, status: u16) -> Answer {
    let answer = match service {
        Service::Telegram => {
            let body = json!({ "ok": false, "error_code": status, "description": "Internal Server Error" });
            Answer::json(status, &body)
        }
        Service::Gotify => {
            let body = json!({ "error": "Error", "errorCode": status, "errorDescription": "an error" });
            Answer::json(status, &body)
        }
        Service::Ntfy => Answer::json(
            status,
            &json!({ "code": u32::from(status) * 100, "http": status, "error": "error" }),
        ),
        Service::Bark => Answer::json(status, &json!({ "code": status, "message": "error", "timestamp": 0 })),
        Service::Discord
        | Service::Slack
        | Service::Feishu
        | Service::DingTalk
        | Service::WeCom
        | Service::PagerDuty => Answer::empty(status),
    };
    if status == 429 && service != Service::Ntfy { answer.with(RETRY_AFTER, "1") } else { answer }
}

#[cfg(test)]
mod tests {
    use std::{io, net::Ipv4Addr};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::mpsc::unbounded_channel,
    };

    use super::*;
    use crate::simulator::http::{Fault, Times};

    /// Sends a message of each service.
    fn request(service: Service) -> (&'static str, &'static str, &'static str) {
        match service {
            Service::Telegram => ("1:a", "/bot1:a/sendMessage", r#"{"chat_id":7,"text":"hello"}"#),
            Service::Discord => ("1/a", "/api/webhooks/1/a?wait=true", r#"{"content":"hello"}"#),
            Service::Slack => ("T/B/a", "/services/T/B/a", r#"{"text":"hello"}"#),
            Service::Feishu => {
                ("a", "/open-apis/bot/v2/hook/a", r#"{"msg_type":"text","content":{"text":"hello"}}"#)
            }
            Service::DingTalk => {
                ("a", "/robot/send?access_token=a", r#"{"msgtype":"text","text":{"content":"hello"}}"#)
            }
            Service::WeCom => {
                ("a", "/cgi-bin/webhook/send?key=a", r#"{"msgtype":"text","text":{"content":"hello"}}"#)
            }
            Service::Ntfy => ("", "/", r#"{"topic":"a","message":"hello"}"#),
            Service::Gotify => ("a", "/message?token=a", r#"{"message":"hello"}"#),
            Service::Bark => ("a", "/push", r#"{"device_key":"a","body":"hello"}"#),
            Service::PagerDuty => (
                "0123456789abcdef0123456789abcdef",
                "/v2/enqueue",
                r#"{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"trigger","dedup_key":"k",
                    "payload":{"summary":"hello","source":"a","severity":"error"}}"#,
            ),
        }
    }

    async fn post(address: std::net::SocketAddr, target: &str, body: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: chat\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Texts of a request that markup of a service can be in.
    fn with_text(service: Service, text: &str) -> Vec<serde_json::Value> {
        match service {
            Service::Telegram => ["", "HTML", "MarkdownV2"]
                .map(|mode| json!({ "chat_id": 7, "text": text, "parse_mode": mode }))
                .into(),
            Service::Discord => {
                vec![json!({ "content": text, "embeds": [{ "title": text, "description": text }] })]
            }
            Service::Slack => vec![json!({ "text": text })],
            Service::Feishu => {
                let element = json!({ "tag": "markdown", "content": text });
                vec![
                    json!({ "msg_type": "text", "content": { "text": text } }),
                    json!({ "msg_type": "interactive", "card": { "elements": [element] } }),
                ]
            }
            Service::DingTalk => {
                vec![json!({ "msgtype": "markdown", "markdown": { "title": "t", "text": text } })]
            }
            Service::WeCom => vec![json!({ "msgtype": "markdown", "markdown": { "content": text } })],
            Service::Ntfy => vec![json!({ "topic": "a", "message": text, "markdown": true })],
            Service::Gotify => {
                let extras = json!({ "client::display": { "contentType": "text/markdown" } });
                vec![json!({ "message": text, "extras": extras })]
            }
            Service::Bark => vec![json!({ "device_key": "a", "markdown": text })],
            Service::PagerDuty => Vec::new(),
        }
    }

    /// A random text of what means something to some service.
    fn markup(random: &mut fastrand::Rng) -> String {
        const PARTS: [&str; 40] = [
            "*",
            "**",
            "_",
            "__",
            "~",
            "~~",
            "|",
            "||",
            "`",
            "```",
            "[",
            "]",
            "(",
            ")",
            "](",
            "<",
            ">",
            "</",
            "<b>",
            "</b>",
            "<a href=\"",
            "\">",
            "</a>",
            "<@",
            "<!",
            "&",
            "&lt;",
            "&#60;",
            "&#xd800;",
            ";",
            "\\",
            "!",
            "#",
            "-# ",
            "\n",
            " ",
            "http://a.b",
            "<at ",
            "<font",
            "é😀",
        ];
        let length = random.usize(1..12);
        (0..length).map(|_| PARTS[random.usize(..PARTS.len())]).collect()
    }

    #[test]
    fn no_markup_stops_a_service() {
        for service in Service::ALL {
            let (token, target, _) = request(service);
            let options = ChatOptions {
                token: token.to_owned(),
                chats: vec!["7".to_owned(), "a".to_owned()],
                ..ChatOptions::default()
            };
            let mut tried = testing::Tried::new(service, options);
            let mut random = fastrand::Rng::with_seed(1);
            let mut taken = 0;
            for _ in 0..3000 {
                let text = markup(&mut random);
                for body in with_text(service, &text) {
                    tried.wait(60_000);
                    taken += usize::from(tried.post(target, &body).message.is_some());
                }
            }
            assert!(taken > 2000 || service == Service::PagerDuty, "{service:?}: {taken}");
        }
    }

    #[tokio::test]
    async fn every_service_passes_on_what_it_took() {
        for service in Service::ALL {
            let (token, target, body) = request(service);
            let options = ChatOptions {
                token: token.to_owned(),
                chats: vec!["7".to_owned(), "a".to_owned()],
                ..ChatOptions::default()
            };
            let server = ChatServer::new(service, options, || testing::NOW_MS);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (sender, mut arrivals) = unbounded_channel();
            let client = async {
                let answer = post(address, target, body).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 20"), "{service:?}: {answer}");
                let Ok(Arrival::Chat(message)) = arrivals.try_recv() else { panic!("{service:?}: {answer}") };
                assert_eq!((message.service, message.text.as_str()), (service, "hello"));
                assert_eq!(message.body, body);
                assert_eq!(server.incidents().len(), usize::from(service == Service::PagerDuty));
                server.behave(Manner::Broken);
                let answer = post(address, target, body).await.unwrap();
                assert!(arrivals.try_recv().is_err(), "{service:?}: {answer}");
                server.behave(Manner::Fair);
                server.wire.fail("/", Fault::Status(429), Times::Once);
                let answer = post(address, target, body).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 429"), "{service:?}: {answer}");
                let statuses: Vec<_> =
                    server.wire.requests().iter().map(|request| request.status.unwrap()).collect();
                assert_eq!((statuses.len(), statuses[2]), (3, 429));
            };
            server.clone().serve(listener, sender, client).await;
        }
    }
}

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

//! Simulated chat services over real sockets, and receivers that are configured for them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use proxymeter::{
    clock::Clock,
    http::options::TlsOptions,
    model::{Moment, Notice, NoticeAlert, NoticeStatus, Severity, Timestamp},
    notify::{
        Receiver, SendError,
        chat::{
            Chat,
            config::{ChatConfig, Dialect},
        },
        pagerduty::{Pagerduty, config::PagerdutyConfig},
        webhook::config::Authorization,
    },
    simulator::inbox::{Arrival, ChatOptions, ChatServer, Message, Service},
    wording::Voice,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use super::{receiver::defaults, simulated::RUNTIME};

/// When the tests begin.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_600_000);
pub(crate) const BOT_TOKEN: &str = "123456789:AAsynthetic-telegram-token_0123";
pub(crate) const GROUP: i64 = -1_001_234_567_890;
const SECRET: &str = "SECsynthetic1";
const ROUTING_KEY: &str = "R0synthetic0routing0key000000000";

/// A simulated service and the configuration of a receiver for it.
pub(crate) struct Fake {
    pub(crate) service: Service,
    pub(crate) server: ChatServer,
    pub(crate) address: SocketAddr,
    now_ms: Arc<AtomicI64>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    _stop: oneshot::Sender<()>,
}

/// What the services know.
pub(crate) fn options(service: Service) -> ChatOptions {
    let token = match service {
        Service::Telegram => BOT_TOKEN,
        Service::Discord => "1103/synthetic-discord-token",
        Service::Slack => "T0synthetic/B0synthetic/synthetic-slack",
        Service::Feishu => "synthetic-feishu-hook",
        Service::DingTalk => "synthetic-dingtalk-token",
        Service::WeCom => "synthetic-wecom-key",
        Service::Ntfy => "tk_synthetic0000000000000000000a",
        Service::Gotify => "gtfya.synthetic",
        Service::Bark => "SyntheticBarkKey000000",
        Service::PagerDuty => ROUTING_KEY,
    };
    let secret = matches!(service, Service::Feishu | Service::DingTalk).then(|| SECRET.to_owned());
    let chats =
        if service == Service::Telegram { vec![GROUP.to_string(), "5".to_owned()] } else { Vec::new() };
    ChatOptions { token: token.to_owned(), secret, chats, ..ChatOptions::default() }
}

impl Fake {
    pub(crate) fn start(service: Service) -> Fake {
        Fake::with(service, options(service))
    }

    pub(crate) fn with(service: Service, options: ChatOptions) -> Fake {
        let now_ms = Arc::new(AtomicI64::new(NOW.as_millis()));
        let time = Arc::clone(&now_ms);
        Fake::at(service, options, now_ms, move || time.load(Ordering::SeqCst))
    }

    /// With the system's clock.
    pub(crate) fn live(service: Service) -> Fake {
        let clock = Clock::system();
        Fake::at(service, options(service), Arc::default(), move || clock.now().wall.as_millis())
    }

    fn at(
        service: Service,
        options: ChatOptions,
        now_ms: Arc<AtomicI64>,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Fake {
        let server = ChatServer::new(service, options, clock);
        // On its own runtime, as tests of a runtime of one thread block it.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let serving = server.clone();
        RUNTIME.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            serving.serve(listener, arrived, async move { drop(stopped.await) }).await;
        });
        Fake { service, server, address, now_ms, arrivals, _stop: stop }
    }

    pub(crate) fn now(&self) -> Moment {
        let millis = self.now_ms.load(Ordering::SeqCst);
        Clock::starting_at(Timestamp::from_millis(millis)).now()
    }

    /// The table of a receiver of this name.
    pub(crate) fn table(&self, name: &str) -> String {
        let (service, address) = (self.service, self.address);
        let token = options(service).token;
        let secret = options(service).secret.unwrap_or_default();
        match service {
            Service::Telegram => format!(
                "[telegram.{name}]\ntoken = \"{token}\"\nchat_id = \"-1001234567890\"\napi_url = \"http://{address}\"\n"
            ),
            Service::Discord => {
                format!("[discord.{name}]\nurl = \"http://{address}/api/webhooks/{token}\"\n")
            }
            Service::Slack => format!("[slack.{name}]\nurl = \"http://{address}/services/{token}\"\n"),
            Service::Feishu => format!(
                "[feishu.{name}]\nurl = \"http://{address}/open-apis/bot/v2/hook/{token}\"\nsecret = \"{secret}\"\n"
            ),
            Service::DingTalk => format!(
                "[dingtalk.{name}]\nurl = \"http://{address}/robot/send?access_token={token}\"\nsecret = \"{secret}\"\n"
            ),
            Service::WeCom => {
                format!("[wecom.{name}]\nurl = \"http://{address}/cgi-bin/webhook/send?key={token}\"\n")
            }
            Service::Ntfy => {
                format!(
                    "[ntfy.{name}]\nurl = \"http://{address}\"\ntopic = \"alerts-home\"\nbearer_token = \"{token}\"\n"
                )
            }
            Service::Gotify => format!("[gotify.{name}]\nurl = \"http://{address}\"\ntoken = \"{token}\"\n"),
            Service::Bark => format!("[bark.{name}]\nurl = \"http://{address}\"\ndevice_key = \"{token}\"\n"),
            Service::PagerDuty => {
                format!(
                    "[pagerduty.{name}]\nurl = \"http://{address}/v2/enqueue\"\nrouting_key = \"{token}\"\n"
                )
            }
        }
    }
    pub(crate) fn pass(&self, time: Duration) {
        self.now_ms.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn chat(&self) -> ChatConfig {
        chat(self.service, &self.address.to_string())
    }

    /// A receiver that the service knows.
    pub(crate) fn receiver(&self) -> Receiver {
        match self.service {
            Service::PagerDuty => pager(&pagerduty(&self.address.to_string())),
            _ => room(&self.chat()),
        }
    }

    pub(crate) async fn send(&self, receiver: &mut Receiver, notice: &Notice) -> Result<String, SendError> {
        receiver.send(Arc::new(notice.clone()), &mut Vec::new(), self.now()).await
    }

    /// What the service took since it was last asked.
    pub(crate) fn taken(&mut self) -> Vec<Message> {
        let arrivals = std::iter::from_fn(|| self.arrivals.try_recv().ok());
        let messages = arrivals.map(|arrival| match arrival {
            Arrival::Chat(message) => message,
            other => panic!("{other:?}"),
        });
        messages.collect()
    }
}

pub(crate) fn dialect(service: Service) -> Dialect {
    match service {
        Service::Telegram => Dialect::Telegram,
        Service::Discord => Dialect::Discord,
        Service::Slack => Dialect::Slack,
        Service::Feishu => Dialect::Feishu,
        Service::DingTalk => Dialect::Dingtalk,
        Service::WeCom => Dialect::Wecom,
        Service::Ntfy => Dialect::Ntfy,
        Service::Gotify => Dialect::Gotify,
        Service::Bark => Dialect::Bark,
        Service::PagerDuty => panic!("no chat"),
    }
}

/// The configuration of a receiver that a service at this address knows.
pub(crate) fn chat(service: Service, address: &str) -> ChatConfig {
    let ChatOptions { token, secret, chats, .. } = options(service);
    let path = match service {
        Service::Discord => format!("/api/webhooks/{token}"),
        Service::Slack => format!("/services/{token}"),
        Service::Feishu => format!("/open-apis/bot/v2/hook/{token}"),
        Service::DingTalk => format!("/robot/send?access_token={token}"),
        Service::WeCom => format!("/cgi-bin/webhook/send?key={token}"),
        _ => String::new(),
    };
    let is_token = matches!(service, Service::Telegram | Service::Gotify | Service::Bark);
    let room = match service {
        Service::Telegram => chats.first().map(|chat| chat.as_str().into()),
        Service::Ntfy => Some("alerts-home".into()),
        _ => None,
    };
    let bearer = (service == Service::Ntfy).then(|| Authorization::Bearer(token.as_str().into()));
    ChatConfig {
        dialect: dialect(service),
        url: format!("http://{address}{path}").into(),
        token: is_token.then(|| token.into()),
        room,
        thread: None,
        secret: secret.map(Into::into),
        keyword: None,
        authorization: bearer,
        headers: Vec::new(),
        proxy: None,
        tls: TlsOptions::default(),
        timeout: Duration::from_secs(10),
        common: defaults(),
    }
}

pub(crate) fn pagerduty(address: &str) -> PagerdutyConfig {
    PagerdutyConfig {
        routing_key: ROUTING_KEY.into(),
        url: format!("http://{address}/v2/enqueue").into(),
        proxy: None,
        tls: TlsOptions::default(),
        timeout: Duration::from_secs(10),
        common: defaults(),
    }
}

/// In which receivers of these tests are spoken to.
pub(crate) fn voice() -> Voice {
    Voice { pages: Some("https://meter.example".into()), alone: false, ..Voice::default() }
}

pub(crate) fn room(config: &ChatConfig) -> Receiver {
    Receiver::Chat(Box::new(Chat::new(config, voice()).unwrap()))
}

pub(crate) fn pager(config: &PagerdutyConfig) -> Receiver {
    Receiver::Pagerduty(Box::new(Pagerduty::new(config, voice()).unwrap()))
}

/// An alert about a user, as the alert engine makes it: names in its sentences are harmless.
pub(crate) fn alert(name: &str, severity: Severity, status: NoticeStatus) -> NoticeAlert {
    let shown = proxymeter::model::words::one_line(name, 100);
    let sentence = match status {
        NoticeStatus::Firing => format!("User {shown} has used 97 % (97 of 100 GiB)."),
        NoticeStatus::Resolved => format!("User {shown} has used 3 % (3 of 100 GiB; renewed)."),
    };
    NoticeAlert {
        event: format!("evt_{shown}"),
        status,
        severity,
        labels: [
            ("alertname", "ProxymeterUserQuota"),
            ("target", "home"),
            ("kind", "user"),
            ("subject", name),
            ("step", "95%"),
            ("severity", severity.label()),
        ]
        .into(),
        annotations: [
            ("summary", "A user is near its quota."),
            ("description", sentence.as_str()),
            ("action", "Raise the limit, or tell the user."),
            ("runbook_url", "https://meter.example/runbook#proxymeteruserquota"),
        ]
        .into(),
        starts_at: NOW,
        ends_at: (status == NoticeStatus::Resolved).then_some(NOW),
        began: None,
        until: None,
    }
}

pub(crate) fn firing(name: &str) -> NoticeAlert {
    alert(name, Severity::Warning, NoticeStatus::Firing)
}

pub(crate) fn notice(alerts: Vec<NoticeAlert>) -> Notice {
    Notice {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
        receiver: "ops".into(),
        group: "{}:{alertname=\"ProxymeterUserQuota\", target=\"home\"}".into(),
        group_labels: [("alertname", "ProxymeterUserQuota"), ("target", "home")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        reason: "first notification".into(),
        alerts: alerts.into_iter().map(Arc::new).collect(),
        created_at: NOW,
        ..Notice::default()
    }
}

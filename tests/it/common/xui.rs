//! A panel of the x-ui family made of recorded or hand-made answers: it has the routes that were recorded, demands a session or a
//! token as the real one did, and answers 404 elsewhere.

use std::{fs, time::Duration};

use proxymeter::{
    http::options::PanelUrl,
    model::Timestamp,
    upstream::{
        Timeouts, Upstream,
        xui::config::{Login, Password, XuiConfig},
    },
};
use serde::Deserialize;
use serde_json::Value;

use super::server::{Answer, Request, Server};

/// Every panel that was recorded, oldest first.
pub(crate) const PANELS: [&str; 8] =
    ["alireza0-1.12.0", "2.6.8", "2.8.11", "3.0.0", "3.0.2", "3.1.0", "3.6.0", "main"];
/// Every panel that was made by hand, from the sources of the panels, oldest first.
pub(crate) const SAMPLES: [&str; 10] =
    ["vaxilu-0.3.2", "1.7", "alireza0-1.8", "alireza0-1.12", "2.6", "2.8", "3.0", "3.1", "3.6", "3.7"];

/// The base path of every panel, which no text may show.
pub(crate) const BASE: &str = "/c4naryb1rd-base";
pub(crate) const LOGIN: &str = "/c4naryb1rd-base/login";
const COOKIE: &str = "c4naryb1rd-cookie";
pub(crate) const CSRF: &str = "c4naryb1rd-csrf";
pub(crate) const TOKEN: &str = "c4naryb1rd-token";
pub(crate) const PASSWORD: &str = "c4naryb1rd-password";

/// A panel as it was recorded.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    folder: String,
    /// What the names of the recordings for a token of a narrow scope begin with.
    scope: Option<&'static str>,
    index: Index,
}

#[derive(Clone, Debug, Deserialize)]
struct Index {
    recorded_at: i64,
    answers: Vec<Recorded>,
}

#[derive(Clone, Debug, Deserialize)]
struct Recorded {
    file: String,
    method: String,
    path: String,
    status: u16,
    content_type: Option<String>,
}

/// What is polled, in the names of the recordings.
const POLLED: [&str; 12] = [
    "server-status",
    "inbounds-list",
    "inbounds-list-slim",
    "onlines",
    "last-online",
    "nodes-list",
    "descendants",
    "outbounds-traffic",
    "outbounds-list",
    "xray-observatory",
    "server-client-ips",
    "default-settings",
];

impl Panel {
    pub(crate) fn of(name: &str) -> Panel {
        let folder = match name {
            "main" => "3x-ui-main-02002dc1".to_owned(),
            "vaxilu-0.3.2" => name.to_owned(),
            name => name
                .strip_prefix("alireza0-")
                .map_or_else(|| format!("3x-ui-v{name}"), |version| format!("alireza0-v{version}")),
        };
        let folder = format!("tests/fixtures/xui/{folder}");
        let index = serde_json::from_slice(&fs::read(format!("{folder}/polled.json")).unwrap()).unwrap();
        Panel { folder, scope: None, index }
    }

    /// The same panel, whose token has a scope: `monitor` or `node-sync`.
    pub(crate) fn with_scope(mut self, scope: &'static str) -> Panel {
        self.scope = Some(scope);
        self
    }

    /// When it was recorded, by its clock.
    pub(crate) fn recorded_at(&self) -> Timestamp {
        Timestamp::from_secs(self.index.recorded_at)
    }

    pub(crate) fn has_tokens(&self) -> bool {
        self.named("csrf-token-anon").is_some_and(|csrf| csrf.status == 200)
    }

    /// A recorded answer.
    pub(crate) fn read(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(self.named(name).unwrap())).unwrap()
    }

    /// A recorded answer, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<Value> {
        self.named(name).map(|_| self.read(name))
    }

    /// The names of the other answers that were recorded where it is polled, with an unlimited login, and the status
    /// of each.
    pub(crate) fn others(&self) -> Vec<(&str, u16)> {
        let name = |recorded: &'_ Recorded| recorded.file.split('.').next().unwrap_or_default().to_owned();
        let polled: Vec<_> =
            self.index.answers.iter().filter(|answer| POLLED.contains(&name(answer).as_str())).collect();
        let is_other = |answer: &&Recorded| {
            let name = name(answer);
            let is_scoped = ["monitor-", "node-sync-"].iter().any(|scope| name.starts_with(scope));
            !POLLED.contains(&name.as_str())
                && !is_scoped
                && polled
                    .iter()
                    .any(|polled| (&polled.method, &polled.path) == (&answer.method, &answer.path))
        };
        let others = self.index.answers.iter().filter(is_other);
        others.map(|answer| (answer.file.split('.').next().unwrap_or_default(), answer.status)).collect()
    }

    /// Whether a request is for what was recorded under this name.
    pub(crate) fn is_at(&self, name: &str, request: &Request) -> bool {
        let is_this = |recorded: &Recorded| {
            recorded.method == request.method && request.path().strip_prefix(BASE) == Some(&recorded.path)
        };
        self.named(name).is_some_and(is_this)
    }

    /// The path of its status.
    pub(crate) fn status_path(&self) -> &'static str {
        match self.folder.rsplit('/').next() {
            Some("alireza0-v1.12.0") => "/xui/API/server/status",
            Some("3x-ui-v2.6.8") => "/server/status",
            _ => "/panel/api/server/status",
        }
    }

    /// A recorded answer as it came.
    pub(crate) fn replay(&self, name: &str) -> Answer {
        self.answer_with(self.named(name).unwrap_or_else(|| panic!("{name} was not recorded")), &[])
    }

    fn named(&self, name: &str) -> Option<&Recorded> {
        self.index.answers.iter().find(|answer| answer.file.split('.').next() == Some(name))
    }

    fn bytes(&self, recorded: &Recorded) -> Vec<u8> {
        // An empty answer has no file.
        fs::read(format!("{}/{}", self.folder, recorded.file)).unwrap_or_default()
    }

    fn answer_with(&self, recorded: &Recorded, more: &[(&str, &str)]) -> Answer {
        let mut headers = more.to_vec();
        headers.extend(recorded.content_type.as_deref().map(|kind| ("content-type", kind)));
        Answer::new(recorded.status, &headers, self.bytes(recorded))
    }

    /// The header by which it gives its cookie.
    pub(crate) fn set_cookie(&self) -> String {
        format!("{}={COOKIE}; Path=/; Max-Age=21600; HttpOnly", self.cookie_name())
    }

    fn cookie_name(&self) -> &'static str {
        match self.folder.rsplit('/').next().unwrap_or_default() {
            "vaxilu-0.3.2" | "3x-ui-v1.7" => "session",
            name if name.starts_with("alireza0") => "x-ui",
            _ => "3x-ui",
        }
    }

    /// The answer to a request below [`BASE`].
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let Some(path) = request.path().strip_prefix(BASE) else { return Answer::new(404, &[], "") };
        let cookie = format!("{}={COOKIE}", self.cookie_name());
        let set_cookie = self.set_cookie();
        let has_cookie = request.header("cookie").is_some_and(|sent| sent.contains(&cookie));
        let has_token = request.header("authorization") == Some(&format!("Bearer {TOKEN}"));
        let has_csrf = !self.has_tokens() || request.header("x-csrf-token") == Some(CSRF);
        assert_eq!(request.header("x-requested-with"), Some("XMLHttpRequest"), "{path}");
        match path {
            "/" => return self.replay("base-page"),
            "/csrf-token" if self.has_tokens() => {
                let body = format!(r#"{{"obj":"{CSRF}","success":true}}"#);
                let headers = [("content-type", "application/json"), ("set-cookie", set_cookie.as_str())];
                return Answer::new(200, &headers, body);
            }
            "/csrf-token" => return self.replay("csrf-token-anon"),
            "/login" => {
                let right = request.body.contains("username=pm-admin") && request.body.contains(PASSWORD);
                return match (has_csrf && (!self.has_tokens() || has_cookie), right) {
                    (false, _) => self.replay("login-no-csrf"),
                    (true, false) => self.replay("login-fail-password"),
                    (true, true) => {
                        let headers = [("set-cookie", set_cookie.as_str())];
                        self.answer_with(self.named("login-ok").unwrap(), &headers)
                    }
                };
            }
            "/getTwoFactorEnable" => {
                return self
                    .named("2fa-enabled-csrf")
                    .or(self.named("2fa-enabled"))
                    .map_or_else(|| Answer::new(404, &[], ""), |recorded| self.answer_with(recorded, &[]));
            }
            _ => {}
        }
        let is_this = |recorded: &&Recorded| {
            let name = recorded.file.split('.').next().unwrap_or_default();
            let polled = match self.scope {
                Some(scope) => name.starts_with(scope),
                None => POLLED.contains(&name),
            };
            polled && recorded.method == request.method && recorded.path == path
        };
        // What is nowhere is 404 with any login and without one.
        let Some(found) = self.index.answers.iter().find(is_this) else { return Answer::new(404, &[], "") };
        let takes_token = path.starts_with("/panel/api/") && self.has_tokens();
        if !(has_cookie || (has_token && takes_token)) {
            return self.replay("unauth-inbounds-ajax");
        }
        if request.method == "POST" && has_cookie && !has_csrf {
            return self.replay("no-csrf-onlines");
        }
        self.answer_with(found, &[])
    }

    pub(crate) fn start(self) -> Server {
        Server::start(move |request| self.answer(request))
    }

    /// The panel with something else at a path below [`BASE`].
    pub(crate) fn with(
        self,
        path: &'static str,
        other: impl Fn() -> Answer + Send + Sync + 'static,
    ) -> Server {
        Server::start(move |request| {
            if request.path().strip_prefix(BASE) == Some(path) { other() } else { self.answer(request) }
        })
    }
}

pub(crate) fn password() -> Login {
    with_password(PASSWORD)
}

pub(crate) fn with_password(password: &str) -> Login {
    Login::Password(Password {
        username: "pm-admin".into(),
        password: password.into(),
        totp: None,
        login_secret: None,
    })
}

pub(crate) fn token() -> Login {
    Login::Token(TOKEN.into())
}

pub(crate) fn client_at(origin: &str, login: Login, timeouts: Timeouts) -> Upstream {
    Upstream::xui(&config_at(origin, login), timeouts).unwrap()
}

pub(crate) fn config(server: &Server, login: Login) -> XuiConfig {
    config_at(&server.url(), login)
}

fn config_at(origin: &str, login: Login) -> XuiConfig {
    config_of(&format!("{origin}{BASE}"), login)
}

/// The configuration of a client that does not wait for a new sample.
pub(crate) fn config_of(url: &str, login: Login) -> XuiConfig {
    let url = PanelUrl::parse(url).unwrap();
    XuiConfig { sample_wait: Duration::from_millis(1), ..XuiConfig::new(url.into(), login) }
}

pub(crate) fn client(server: &Server, login: Login, timeouts: Timeouts) -> Upstream {
    Upstream::xui(&config(server, login), timeouts).unwrap()
}

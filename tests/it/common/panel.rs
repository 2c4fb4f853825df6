//! A panel made of recorded answers: it has the recorded admins, requires a token and answers as the real one did.

use std::{collections::HashMap, fs};

use serde::Deserialize;

use super::server::{Answer, Request, Server};
use proxymeter::upstream::marzban::config::Login;

const FIXTURES: &str = "tests/fixtures/marzban";
pub(crate) const TOKEN: &str = "/api/admin/token";
pub(crate) const SYSTEM: &str = "/api/system";
pub(crate) const USERS: &str = "/api/users";

/// The admin that the client logs in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// May read everything.
    Sudo,
    /// A reseller.
    Nonsudo,
    /// The admin of the panel's own settings, without a row in its database.
    Envsudo,
}

impl Role {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Role::Sudo => "sudo",
            Role::Nonsudo => "nonsudo",
            Role::Envsudo => "envsudo",
        }
    }

    pub(crate) fn credentials(self) -> (&'static str, &'static str) {
        match self {
            Role::Sudo => ("root", "root-pw-1"),
            Role::Nonsudo => ("reseller", "reseller-pw-1"),
            Role::Envsudo => ("envroot", "envroot-pw-1"),
        }
    }

    pub(crate) fn login(self) -> Login {
        let (username, password) = self.credentials();
        super::password(username, password)
    }

    pub(crate) fn token(self) -> String {
        recorded(&format!("token-ok-{}", self.word()))["access_token"].as_str().unwrap().to_owned()
    }
}

/// The recorded answers, as one role gets them.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    role: Role,
    index: HashMap<String, Entry>,
    /// What is answered at a path instead.
    instead: HashMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Entry {
    name: String,
    file: String,
    #[serde(rename = "as")]
    by: String,
    method: String,
    path: String,
    /// Absent: what the panel sent, not what it answered.
    status: Option<u16>,
    headers: HashMap<String, String>,
}

impl Panel {
    pub(crate) fn of(role: Role) -> Self {
        let index = fs::read(format!("{FIXTURES}/index.json")).unwrap();
        let entries: Vec<Entry> = serde_json::from_slice(&index).unwrap();
        let index = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        Panel { role, index, instead: HashMap::new() }
    }

    /// Answers requests for `path` with the recording `name`, whatever their query.
    #[must_use]
    pub(crate) fn with(mut self, path: &str, name: &str) -> Self {
        assert!(self.index.contains_key(name), "no recording {name}");
        self.instead.insert(path.into(), name.into());
        self
    }

    pub(crate) fn start(self) -> Server {
        Server::start(move |request| self.answer(request))
    }

    pub(crate) fn answer(&self, request: &Request) -> Answer {
        self.replay(&self.choose(request))
    }

    /// The name of the recording that answers a request.
    fn choose(&self, request: &Request) -> String {
        if request.path() == TOKEN {
            return self.log_in(request);
        }
        match request.header("authorization") {
            None => return "system-no-token".into(),
            Some(value) if value != format!("Bearer {}", self.role.token()) => {
                return "system-garbage-token".into();
            }
            Some(_) => {}
        }
        if let Some(name) = self.instead.get(request.path()) {
            return name.clone();
        }
        let role = self.role.word();
        match (request.path(), self.role) {
            ("/api/users", Role::Nonsudo) if is_first_page(request) => "users-all-nonsudo".into(),
            ("/api/users", _) if is_first_page(request) => "users-all-sudo".into(),
            ("/api/nodes/usage", Role::Sudo | Role::Envsudo) if request.target.contains("?start=") => {
                "nodes-usage-current-hour".into()
            }
            ("/api/nodes/usage", Role::Nonsudo) => "nodes-usage-nonsudo-403".into(),
            _ => self
                .find(request, role)
                .or_else(|| self.find(request, "sudo").filter(|_| self.role == Role::Envsudo))
                .unwrap_or_else(|| "bad-path".into()),
        }
    }

    fn find(&self, request: &Request, role: &str) -> Option<String> {
        let mut found: Vec<_> = self
            .index
            .values()
            .filter(|entry| {
                entry.by == role && entry.method == request.method && entry.path == request.target
            })
            .collect();
        // A request that was recorded more than once is named after its role first.
        found.sort_by_key(|entry| (!entry.name.contains(&format!("-{role}")), entry.name.clone()));
        found.first().map(|entry| entry.name.clone())
    }

    fn log_in(&self, request: &Request) -> String {
        let (username, password) = self.role.credentials();
        let form: HashMap<_, _> = request.body.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let role = self.role.word();
        match (form.get("username"), form.get("password")) {
            _ if request.method != "POST" => "token-get".into(),
            (Some(name), Some(word)) if (*name, *word) == (username, password) => format!("token-ok-{role}"),
            (Some(_), Some(_)) => "token-bad-password".into(),
            _ => "token-missing-field".into(),
        }
    }

    /// The recording `name`, for any role.
    pub(crate) fn replay(&self, name: &str) -> Answer {
        let entry = &self.index[name];
        let headers: Vec<_> = entry
            .headers
            .iter()
            .filter(|(header, _)| *header != "content-length")
            .map(|(header, value)| (header.as_str(), value.as_str()))
            .collect();
        Answer::new(entry.status.unwrap(), &headers, fs::read(format!("{FIXTURES}/{}", entry.file)).unwrap())
    }
}

fn is_first_page(request: &Request) -> bool {
    request.target == "/api/users?offset=0&limit=500&sort=username"
}

/// A recorded JSON answer, for what a test expects of it.
pub(crate) fn recorded(name: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(format!("{FIXTURES}/{name}.json")).unwrap()).unwrap()
}

/// A page of users like the panel's own around these rows.
pub(crate) fn page(rows: &[serde_json::Value], total: usize) -> String {
    serde_json::json!({ "users": rows, "total": total }).to_string()
}

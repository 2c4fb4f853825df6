//! A panel made of recorded answers: it has the recorded accounts, requires their token or key
//! and answers as the real one did.

use std::{collections::HashMap, fs};

use serde::Deserialize;
use serde_json::Value;

use super::server::{Answer, Request, Server};
use proxymeter::upstream::marzban::config::Login;

pub(crate) const TOKEN: &str = "/api/admin/token";
pub(crate) const SYSTEM: &str = "/api/system";
pub(crate) const USERS: &str = "/api/users";

/// The system whose answers were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recordings {
    Marzban,
    PasarGuard,
}

impl Recordings {
    fn folder(self) -> &'static str {
        match self {
            Recordings::Marzban => "tests/fixtures/marzban",
            Recordings::PasarGuard => "tests/fixtures/pasarguard",
        }
    }

    /// A recorded JSON answer, for what a test expects of it.
    pub(crate) fn read(self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(&format!("{name}.json"))).unwrap()
    }

    fn bytes(self, file: &str) -> Vec<u8> {
        fs::read(format!("{}/{file}", self.folder())).unwrap()
    }
}

/// A recorded JSON answer of Marzban.
pub(crate) fn recorded(name: &str) -> Value {
    Recordings::Marzban.read(name)
}

/// The account that the client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Marzban: may read everything.
    Sudo,
    /// Marzban: a reseller.
    Nonsudo,
    /// Marzban: the admin of the panel's own settings, without a row in its database.
    Envsudo,
    /// PasarGuard: the roles that it has.
    Owner,
    Administrator,
    Operator,
    /// PasarGuard: API keys.
    FullKey,
    ReadOnlyKey,
    UsersKey,
}

impl Role {
    pub(crate) fn recordings(self) -> Recordings {
        match self {
            Role::Sudo | Role::Nonsudo | Role::Envsudo => Recordings::Marzban,
            _ => Recordings::PasarGuard,
        }
    }

    /// The word for it in the names of recordings.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Role::Sudo => "sudo",
            Role::Nonsudo => "nonsudo",
            Role::Envsudo => "envsudo",
            Role::Owner => "owner",
            Role::Administrator => "administrator",
            Role::Operator => "operator",
            Role::FullKey => "full",
            Role::ReadOnlyKey => "readonly",
            Role::UsersKey => "users-only",
        }
    }

    pub(crate) fn login(self) -> Login {
        match self.key() {
            Some(key) => Login::ApiKey(key.into()),
            None => super::password(self.credentials().0, self.credentials().1),
        }
    }

    /// The key's secret; absent: the account has a password.
    fn key(self) -> Option<String> {
        let is_key = matches!(self, Role::FullKey | Role::ReadOnlyKey | Role::UsersKey);
        let made = is_key.then(|| self.recordings().read(&format!("api-key-create-{}", self.word())))?;
        Some(made["api_key"].as_str().unwrap().to_owned())
    }

    fn credentials(self) -> (&'static str, &'static str) {
        match self {
            Role::Sudo => ("root", "root-pw-1"),
            Role::Nonsudo => ("reseller", "reseller-pw-1"),
            Role::Envsudo => ("envroot", "envroot-pw-1"),
            Role::Owner => ("owner", "OWner-pw-12!xyz"),
            // Its login was not recorded.
            Role::Administrator => ("sudo2", "any"),
            Role::Operator => ("reseller", "REseller-pw-12!x"),
            Role::FullKey | Role::ReadOnlyKey | Role::UsersKey => unreachable!("a key has no password"),
        }
    }

    fn token_answer(self) -> String {
        let word = if self == Role::Administrator { "owner" } else { self.word() };
        format!("token-ok-{word}")
    }

    pub(crate) fn token(self) -> String {
        self.recordings().read(&self.token_answer())["access_token"].as_str().unwrap().to_owned()
    }

    /// The recording of all users that it may read.
    pub(crate) fn all_users(self) -> &'static str {
        match self {
            Role::Sudo | Role::Envsudo => "users-all-sudo",
            Role::Nonsudo => "users-all-nonsudo",
            Role::Operator => "users-page1-operator",
            _ => "users-no-limit",
        }
    }
}

/// The recorded answers, as one account gets them.
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
        let entries: Vec<Entry> = serde_json::from_slice(&role.recordings().bytes("index.json")).unwrap();
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
        let instead = self.instead.get(request.path());
        if request.path() == TOKEN {
            return instead.cloned().unwrap_or_else(|| self.log_in(request));
        }
        if let Some(refusal) = self.refusal(request) {
            return refusal.into();
        }
        if let Some(name) = instead {
            return name.clone();
        }
        match (request.path(), self.role) {
            (USERS, role) if is_first_page(request) => role.all_users().into(),
            ("/api/nodes/usage", Role::Sudo | Role::Envsudo) if request.target.contains("?start=") => {
                "nodes-usage-current-hour".into()
            }
            ("/api/nodes/usage", Role::Nonsudo) => "nodes-usage-nonsudo-403".into(),
            (_, role) => self
                .find(request, role.word())
                .or_else(|| self.find(request, "sudo").filter(|_| role == Role::Envsudo))
                .unwrap_or_else(|| "bad-path".into()),
        }
    }

    /// The answer to a request without the account's token or key.
    fn refusal(&self, request: &Request) -> Option<&'static str> {
        let (header, expected, otherwise) = match self.role.key() {
            Some(key) => ("x-api-key", key, "key-unknown"),
            None => ("authorization", format!("Bearer {}", self.role.token()), "system-garbage-token"),
        };
        match request.header(header) {
            None => Some("system-no-token"),
            Some(value) if value != expected => Some(otherwise),
            Some(_) => None,
        }
    }

    fn find(&self, request: &Request, role: &str) -> Option<String> {
        let by_key = format!("key-{role}-");
        let mut found: Vec<_> = self
            .index
            .values()
            .filter(|entry| entry.by == role || entry.name.starts_with(&by_key))
            .filter(|entry| entry.method == request.method && entry.path == request.target)
            .collect();
        // A request that was recorded more than once is named after its role first.
        found.sort_by_key(|entry| (!entry.name.contains(&format!("-{role}")), entry.name.clone()));
        found.first().map(|entry| entry.name.clone())
    }

    fn log_in(&self, request: &Request) -> String {
        let (username, password) = self.role.credentials();
        // The only character of the recorded passwords that a form encodes.
        let body = request.body.replace("%21", "!");
        let form: HashMap<_, _> = body.split('&').filter_map(|pair| pair.split_once('=')).collect();
        match (form.get("username"), form.get("password")) {
            _ if request.method != "POST" => "token-get".into(),
            (Some(name), Some(word)) if (*name, *word) == (username, password) => self.role.token_answer(),
            (Some(_), Some(_)) => "token-bad-password".into(),
            _ => "token-missing-field".into(),
        }
    }

    /// The recording `name`, for any account.
    pub(crate) fn replay(&self, name: &str) -> Answer {
        let entry = &self.index[name];
        let body = self.role.recordings().bytes(&entry.file);
        Answer::new(entry.status.unwrap(), &self.headers(name), body)
    }

    /// The headers of the recording `name`, except for its length.
    pub(crate) fn headers(&self, name: &str) -> Vec<(&str, &str)> {
        let headers = self.index[name].headers.iter();
        let headers = headers.map(|(header, value)| (header.as_str(), value.as_str()));
        headers.filter(|(header, _)| *header != "content-length").collect()
    }
}

fn is_first_page(request: &Request) -> bool {
    request.target == "/api/users?offset=0&limit=500&sort=username"
}

/// A page of users like the panel's own around these rows.
pub(crate) fn page(rows: &[Value], total: usize) -> String {
    serde_json::json!({ "users": rows, "total": total }).to_string()
}

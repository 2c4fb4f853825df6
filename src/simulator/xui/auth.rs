//! Logins, sessions, CSRF tokens, API tokens, and the refusals of the real panels.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_URL_SAFE};
use fastrand::Rng;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use serde_json::{Value, json};

use super::options::{Generation, Options};
use super::refusal::{envelope, failure};
use super::totp;
use crate::simulator::http::{Answer, Asked, query::Pairs};

/// Sessions kept; a client with more logins than this loses its oldest.
const MAX_SESSIONS: usize = 4096;
const FAILURES: usize = 5;
const FAILURES_WITHIN_MS: i64 = 5 * 60 * 1000;
const LOCKED_FOR_MS: i64 = 15 * 60 * 1000;

/// The admin, and what has been given out to it.
pub(super) struct Accounts {
    generation: Generation,
    base: String,
    rng: Rng,
    pub(super) username: String,
    pub(super) password: String,
    login_secret: Option<String>,
    totp_secret: Option<String>,
    /// Counts changes of the credentials.
    epoch: u32,
    sessions: Vec<Session>,
    pub(super) tokens: Vec<Token>,
    failures: HashMap<(String, String), Failures>,
    pub(super) logins: u64,
    pub(super) refused_logins: u64,
    pub(super) lockouts: u64,
    /// What a panel before 3.0 wrote into its log and its owner's chat.
    pub(super) passwords_logged: Vec<String>,
}

struct Session {
    cookie: String,
    csrf: String,
    /// Of the credentials it logged in with; `None`: it did not.
    epoch: Option<u32>,
}

/// An API token.
#[derive(Clone, Debug)]
pub struct Token {
    /// What follows `Bearer `.
    pub value: String,
    /// What it may do; only 3x-ui 3.7 looks at it.
    pub scope: Scope,
    /// Whether an admin has it on.
    pub enabled: bool,
    /// Unix milliseconds; 0: never. Only 3x-ui 3.7 looks at it.
    pub expires_at_ms: i64,
}

/// What an API token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Read the host, its history and the observatory.
    Monitor,
    /// What a master asks of its nodes.
    NodeSync,
}

#[derive(Default)]
struct Failures {
    at_ms: Vec<i64>,
    locked_until_ms: i64,
}

/// How a caller showed that it may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Session,
    Token(Scope),
}

impl Accounts {
    pub(super) fn new(options: &Options) -> Accounts {
        let token =
            Token { value: options.token.clone(), scope: Scope::Admin, enabled: true, expires_at_ms: 0 };
        Accounts {
            generation: options.generation,
            base: options.base_path.clone(),
            rng: Rng::with_seed(options.seed ^ 0x5e55_1014),
            username: options.username.clone(),
            password: options.password.clone(),
            login_secret: options.login_secret.clone(),
            totp_secret: options.totp_secret.clone(),
            epoch: 0,
            sessions: Vec::new(),
            tokens: vec![token],
            failures: HashMap::new(),
            logins: 0,
            refused_logins: 0,
            lockouts: 0,
            passwords_logged: Vec::new(),
        }
    }

    /// Who asks. A token counts only under `panel/api/`; a bad one leaves the cookie to decide.
    pub(super) fn caller(&self, now_ms: i64, headers: &HeaderMap, is_api: bool) -> Option<Caller> {
        let token = text(headers, AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        let token = token.filter(|_| is_api && self.generation.is_v3());
        let has_scopes = self.generation >= Generation::V3_7;
        let good = |token: &&Token| {
            token.enabled && !(has_scopes && token.expires_at_ms > 0 && token.expires_at_ms <= now_ms)
        };
        let known = self.tokens.iter().find(|known| Some(known.value.as_str()) == token).filter(good);
        if let Some(known) = known {
            return Some(Caller::Token(if has_scopes { known.scope } else { Scope::Admin }));
        }
        self.is_logged_in(headers).then_some(Caller::Session)
    }

    pub(super) fn is_logged_in(&self, headers: &HeaderMap) -> bool {
        // Before 3.0.2 the cookie of an old password stays good.
        let outlives = self.generation < Generation::V3_0;
        self.session(headers)
            .and_then(|session| session.epoch)
            .is_some_and(|epoch| outlives || epoch == self.epoch)
    }

    /// Whether a request that changes something may come from this cookie.
    pub(super) fn has_csrf(&self, headers: &HeaderMap) -> bool {
        let sent = text(headers, "x-csrf-token");
        !self.generation.is_v3()
            || self.session(headers).is_some_and(|known| Some(known.csrf.as_str()) == sent)
    }

    /// The CSRF token of the session, and the cookie of a new one if there was none.
    pub(super) fn csrf(&mut self, headers: &HeaderMap) -> (String, Option<String>) {
        if let Some(session) = self.session(headers) {
            return (session.csrf.clone(), None);
        }
        let csrf = self.secret(43);
        let cookie = self.open(csrf.clone(), None);
        (csrf, Some(self.set_cookie(&cookie)))
    }

    pub(super) fn login(&mut self, now_ms: i64, asked: &Asked<'_>) -> Answer {
        let field = |key: &str| field(asked, key).unwrap_or_default();
        let (username, password) = (field("username"), field("password"));
        for (given, refusal) in [(&username, "Username is required"), (&password, "Password is required")] {
            if given.is_empty() && self.generation != Generation::Vaxilu {
                return failure(refusal);
            }
        }
        let address = ["x-real-ip", "x-forwarded-for"].into_iter().find_map(|name| text(asked.headers, name));
        let key = (address.unwrap_or("127.0.0.1").to_owned(), username.to_lowercase());
        let code = self.totp_secret.as_deref().filter(|_| self.generation >= Generation::V2_6);
        let secret = self.login_secret.as_ref().filter(|_| self.generation == Generation::V1_7);
        let right = username == self.username
            && password == self.password
            && code.is_none_or(|secret| totp::code(secret, now_ms) == Some(field("twoFactorCode")))
            && secret.is_none_or(|secret| *secret == field("loginSecret"));
        let locks = self.generation.is_v3();
        let locked = locks && self.failures.get(&key).is_some_and(|known| known.locked_until_ms > now_ms);
        if !right || locked {
            self.refused_logins += 1;
            match (locks, locked) {
                (true, false) => self.count_failure(now_ms, key),
                (true, true) => {}
                (false, _) => self.passwords_logged.push(password),
            }
            return failure(self.refusal(text(asked.headers, ACCEPT_LANGUAGE.as_str())));
        }
        self.failures.remove(&key);
        self.logins += 1;
        let csrf = self.session(asked.headers).map(|session| session.csrf.clone()).unwrap_or_default();
        let cookie = self.open(csrf, Some(self.epoch));
        let message = match self.generation {
            Generation::Vaxilu => "登录成功",
            Generation::Alireza => "Login Successfully",
            generation if generation < Generation::V3_1 => " You have successfully logged into your account.",
            _ => "You have successfully logged into your account.",
        };
        let answer = envelope(&json!({ "success": true, "msg": message, "obj": null }));
        answer.with(SET_COOKIE, &self.set_cookie(&cookie))
    }

    pub(super) fn change_password(&mut self, password: &str) {
        password.clone_into(&mut self.password);
        self.epoch += 1;
    }

    /// What a restart of the panel does to it: locks are in memory, sessions are not.
    pub(super) fn restart(&mut self) {
        self.failures.clear();
    }

    /// Forgets every session, as a changed secret of the panel does.
    pub(super) fn expire_sessions(&mut self) {
        self.sessions.clear();
    }

    /// The two-factor code of now.
    pub(super) fn code(&self, now_ms: i64) -> Option<String> {
        totp::code(self.totp_secret.as_deref()?, now_ms)
    }

    /// Cookies of before 3.0 mean nothing after.
    pub(super) fn upgrade(&mut self, generation: Generation) {
        if self.generation.is_v3() != generation.is_v3() {
            self.expire_sessions();
        }
        self.generation = generation;
    }

    pub(super) fn asks_for_code(&self) -> bool {
        self.totp_secret.is_some()
    }

    pub(super) fn asks_for_secret(&self) -> bool {
        self.login_secret.is_some()
    }

    fn count_failure(&mut self, now_ms: i64, key: (String, String)) {
        let known = self.failures.entry(key).or_default();
        known.at_ms.retain(|at_ms| now_ms.saturating_sub(*at_ms) < FAILURES_WITHIN_MS);
        known.at_ms.push(now_ms);
        if known.at_ms.len() >= FAILURES {
            known.at_ms.clear();
            known.locked_until_ms = now_ms.saturating_add(LOCKED_FOR_MS);
            self.lockouts += 1;
        }
    }

    /// One text for every reason, in the caller's language.
    fn refusal(&self, language: Option<&str>) -> &'static str {
        let persian = language.is_some_and(|language| language.starts_with("fa"));
        match self.generation {
            Generation::Vaxilu => "用户名或密码错误",
            Generation::Alireza if persian => "نام‌کاربری یا رمزعبور‌اشتباه‌است",
            Generation::Alireza => "The username or password is incorrect",
            _ if persian => "نام کاربری، رمز عبور یا کد دو مرحله‌ای نامعتبر است.",
            _ => "Invalid username or password or two-factor code.",
        }
    }

    fn session(&self, headers: &HeaderMap) -> Option<&Session> {
        let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let value = pairs
            .filter(|(name, _)| *name == self.generation.cookie())
            .map(|(_, value)| value)
            .next_back()?;
        self.sessions.iter().rev().find(|session| session.cookie == value)
    }

    fn open(&mut self, csrf: String, epoch: Option<u32>) -> String {
        let secret = self.secret(88);
        // Older panels put the whole user into the cookie, which is signed and not encrypted.
        let cookie = if self.generation.is_v3() {
            secret
        } else {
            BASE64_URL_SAFE.encode(format!("{secret}|{}|{}", self.username, self.password))
        };
        self.sessions.push(Session { cookie: cookie.clone(), csrf, epoch });
        if self.sessions.len() > MAX_SESSIONS {
            self.sessions.remove(0);
        }
        cookie
    }

    fn set_cookie(&self, cookie: &str) -> String {
        let generation = self.generation;
        let path = if generation.is_v3() || generation == Generation::Alireza { &self.base } else { "/" };
        let (age, site) = match generation {
            Generation::Vaxilu | Generation::Alireza | Generation::V1_7 => ("", ""),
            Generation::V2_6 => ("; Max-Age=21600", ""),
            _ => ("; Max-Age=21600", "; SameSite=Lax"),
        };
        format!("{}={cookie}; Path={path}{age}; HttpOnly{site}", generation.cookie())
    }

    fn secret(&mut self, length: usize) -> String {
        (0..length).map(|_| self.rng.alphanumeric()).collect()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A field of a form or of a JSON object.
fn field(asked: &Asked<'_>, key: &str) -> Option<String> {
    if text(asked.headers, CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("application/json")) {
        let body: Value = serde_json::from_slice(asked.body).ok()?;
        return Some(body.get(key)?.as_str()?.to_owned());
    }
    Pairs::of(&String::from_utf8_lossy(asked.body)).last(key).map(str::to_owned)
}

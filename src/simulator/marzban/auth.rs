//! Logins, tokens, API keys, and the refusals of a real panel.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};

use super::options::Flavour;
use super::refusal::{detail, unauthorized};
use super::row::{Alphabet, base64};
use super::state::{Issued, State, scatter};
use crate::simulator::http::{Answer, query::Pairs};

/// Tokens kept; a client with more logins than this loses its oldest tokens.
const MAX_TOKENS: usize = 4096;

/// `POST /api/admin/token` with a form.
pub(super) fn login(state: &mut State, now_ms: i64, form: &[u8]) -> Answer {
    let form = Pairs::of(&String::from_utf8_lossy(form));
    let missing: Map<String, Value> = ["username", "password"]
        .into_iter()
        .filter(|field| form.last(field).is_none_or(str::is_empty))
        .map(|field| (field.to_owned(), json!("Field required")))
        .collect();
    let (Some(username), Some(password), true) =
        (form.last("username"), form.last("password"), missing.is_empty())
    else {
        return Answer::json(422, &json!({ "detail": missing }));
    };
    let found =
        state.admins.iter().position(|admin| admin.username == username && admin.password == password);
    let Some(admin) = found else {
        state.refused_logins += 1;
        return unauthorized("Incorrect username or password");
    };
    if is_disabled(state, admin) {
        return disabled();
    }
    state.logins += 1;
    let token = issue(state, now_ms.div_euclid(1000), admin);
    Answer::json(200, &json!({ "access_token": token, "token_type": "bearer" }))
}

/// The admin whose token or key the request carries, as an index, or the refusal.
pub(super) fn caller(state: &State, now_ms: i64, headers: &HeaderMap) -> Result<usize, Answer> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, credentials) = authorization.split_once(' ').unwrap_or((authorization, ""));
    let pasarguard = state.flavour == Flavour::PasarGuard;
    let admin = if scheme.eq_ignore_ascii_case("bearer") {
        holder(state, now_ms, credentials.trim())
    } else if pasarguard {
        let key = headers.get("x-api-key").and_then(|value| value.to_str().ok());
        let key = key.or(scheme.eq_ignore_ascii_case("apikey").then_some(credentials));
        key.filter(|key| key.trim() == state.api_key).map(|_| 0)
    } else {
        return Err(unauthorized("Not authenticated"));
    };
    let admin = admin.ok_or_else(|| unauthorized("Could not validate credentials"))?;
    if is_disabled(state, admin) { Err(disabled()) } else { Ok(admin) }
}

/// Whether the account is switched off; Marzban has no such state.
fn is_disabled(state: &State, admin: usize) -> bool {
    state.flavour == Flavour::PasarGuard && state.admins.get(admin).is_some_and(|admin| admin.disabled)
}

fn disabled() -> Answer {
    detail(403, "your account has been disabled").with(WWW_AUTHENTICATE, "Bearer")
}

/// The admin of a valid token.
fn holder(state: &State, now_ms: i64, token: &str) -> Option<usize> {
    let issued = state.tokens.iter().find(|issued| issued.token == token)?;
    let admin = state.admins.get(issued.admin)?;
    if issued.expires_at_s.is_some_and(|at| at <= now_ms.div_euclid(1000)) {
        return None;
    }
    // `iat` has whole seconds and the reset's instant has a fraction: a token of the same second is invalid.
    if admin.password_reset_at_ms.is_some_and(|at| issued.issued_at_s * 1000 <= at) {
        return None;
    }
    Some(issued.admin)
}

fn issue(state: &mut State, now_s: i64, admin: usize) -> String {
    let expires_at_s = state.token_lifetime_s.map(|lifetime| now_s + lifetime);
    let (name, access) = match state.admins.get(admin) {
        Some(admin) => (admin.username.as_str(), if admin.is_sudo { "sudo" } else { "admin" }),
        None => ("", "admin"),
    };
    let name = Value::from(name);
    let mut claims = format!(r#"{{"sub":{name},"access":"{access}","iat":{now_s}"#);
    if let Some(at) = expires_at_s {
        claims.push_str(&format!(r#","exp":{at}"#));
    }
    claims.push('}');
    // The signature means nothing: the panel looks its tokens up in a list.
    let signature: Vec<u8> =
        (0..4).flat_map(|part| scatter(state.seed, state.logins * 4 + part).to_be_bytes()).collect();
    let mut token = Vec::new();
    base64(&mut token, br#"{"alg":"HS256","typ":"JWT"}"#, Alphabet::Url);
    token.push(b'.');
    base64(&mut token, claims.as_bytes(), Alphabet::Url);
    token.push(b'.');
    base64(&mut token, &signature, Alphabet::Url);
    let token = String::from_utf8_lossy(&token).into_owned();
    if state.tokens.len() >= MAX_TOKENS {
        state.tokens.remove(0);
    }
    state.tokens.push(Issued { token: token.clone(), admin, issued_at_s: now_s, expires_at_s });
    token
}

//! The answer to each request.

use hyper::Method;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderName};
use serde_json::json;

use super::options::Generation;
use super::record::Record;
use super::state::{State, identities};
use super::{files, item, refusal, settings};
use crate::simulator::http::{Answer, Asked, query::Pairs};

const V0: &str = "/v0/management/";
const V8: &str = "/v8/management/";
const HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("x-cpa-version"),
    HeaderName::from_static("x-cpa-commit"),
    HeaderName::from_static("x-cpa-build-date"),
    HeaderName::from_static("x-cpa-support-plugin"),
];

enum Route {
    Flag,
    Debug,
    Config,
    ClientKeys,
    Files,
    LatestVersion,
    Usage,
    Queue,
    KeyUsage,
    ConfigOf8,
    /// A path in the configuration.
    Node(String),
}

/// The answer of a server without faults.
pub(super) fn answer(state: &mut State, now_ms: i64, asked: &Asked<'_>) -> Answer {
    let answer = match asked.path.strip_prefix(V0) {
        Some(path) if state.generation < Generation::V8_0 || state.serves_v0 => {
            managed(state, now_ms, asked, path, route_of_0(state.generation, path))
        }
        _ => match asked.path.strip_prefix(V8) {
            Some(path) if state.generation >= Generation::V8_0 => {
                managed(state, now_ms, asked, path, route_of_8(path))
            }
            _ => open(state, asked),
        },
    };
    answer.with(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
}

/// Paths for which no key is needed.
fn open(state: &State, asked: &Asked<'_>) -> Answer {
    let get = asked.method == Method::GET;
    match asked.path {
        "/" if get => {
            let endpoints = ["POST /v1/chat/completions", "POST /v1/completions", "GET /v1/models"];
            let mut banner = json!({ "endpoints": endpoints, "message": "CLI Proxy API Server" });
            if state.generation == Generation::V6_0 {
                banner["version"] = json!("1.0.0");
            }
            refusal::json(&banner)
        }
        "/healthz" if state.generation >= Generation::V6_9 && (get || asked.method == Method::HEAD) => {
            refusal::json(&json!({ "status": "ok" }))
        }
        _ => refusal::not_found(),
    }
}

fn route_of_0(generation: Generation, path: &str) -> Option<Route> {
    Some(match path {
        "usage-statistics-enabled" => Route::Flag,
        "debug" => Route::Debug,
        "config" => Route::Config,
        "api-keys" => Route::ClientKeys,
        "auth-files" => Route::Files,
        "latest-version" if generation >= Generation::V6_6 => Route::LatestVersion,
        "usage" if generation.has_snapshot() => Route::Usage,
        "usage-queue" if generation.has_queue() => Route::Queue,
        "api-key-usage" if generation.counts_credentials() => Route::KeyUsage,
        _ => return None,
    })
}

fn route_of_8(path: &str) -> Option<Route> {
    Some(match path {
        "observability/usage/queue" => Route::Queue,
        "observability/usage/api-keys" => Route::KeyUsage,
        "credentials" => Route::Files,
        "server/latest-version" => Route::LatestVersion,
        "config" => Route::ConfigOf8,
        _ => Route::Node(path.strip_prefix("config/")?.to_owned()),
    })
}

/// A path of the management API, where it leads to, and whether the caller may go there.
fn managed(state: &mut State, now_ms: i64, asked: &Asked<'_>, path: &str, route: Option<Route>) -> Answer {
    let generation = state.generation;
    if !state.management {
        return Answer::empty(404);
    }
    let Some(route) = route.filter(|_| asked.method == Method::GET) else {
        let shorter = path.strip_suffix('/').filter(|_| asked.method == Method::GET);
        let is_route = |path: &str| match asked.path.starts_with(V8) {
            true => route_of_8(path).is_some(),
            false => route_of_0(generation, path).is_some(),
        };
        if shorter.is_some_and(is_route) {
            return refusal::redirect(asked.path.trim_end_matches('/'), asked.query);
        }
        return match generation {
            _ if generation < Generation::V7_2 => refusal::not_found(),
            Generation::V8_0 => labelled(state, Answer::empty(404)),
            _ => {
                let refusal = state.auth.refusal(generation, now_ms, asked.headers);
                labelled(state, refusal.unwrap_or_else(|| Answer::empty(404)))
            }
        };
    };
    let refusal = state.auth.refusal(generation, now_ms, asked.headers);
    let answer = refusal.unwrap_or_else(|| data(state, now_ms, &route, asked.query));
    labelled(state, answer)
}

fn data(state: &mut State, now_ms: i64, route: &Route, query: &str) -> Answer {
    match route {
        Route::Flag => refusal::json(&json!({ "usage-statistics-enabled": state.statistics })),
        Route::Debug => refusal::json(&json!({ "debug": false })),
        Route::Config => refusal::json(&settings::whole(state)),
        Route::ClientKeys => refusal::json(&json!({ "api-keys": state.clients })),
        Route::Files => files::list(state, now_ms, query),
        Route::LatestVersion => {
            refusal::json(&json!({ "latest-version": format!("v{}", state.generation.version()) }))
        }
        Route::Usage => {
            refusal::pieces(state.usage.pieces(state.generation, state.offset, identities(state)))
        }
        Route::Queue => queue(state, now_ms, query),
        Route::KeyUsage => files::key_usage(state, now_ms),
        Route::ConfigOf8 => refusal::json(&settings::whole_of_8(state)),
        Route::Node(path) => match settings::node(state, path) {
            Some(node) => refusal::json(&node),
            None => refusal::error(404, "not_found"),
        },
    }
}

/// Takes records out of the queue, whatever becomes of the answer.
fn queue(state: &mut State, now_ms: i64, query: &str) -> Answer {
    let count = Pairs::of(query).last("count").map_or(Ok(1), |text| match text.parse::<i64>() {
        Ok(count) if count > 0 => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        _ => Err(()),
    });
    let Ok(count) = count else { return refusal::error(400, "count must be a positive integer") };
    let (records, sent) = state.pop(now_ms, count);
    let mut body = Vec::with_capacity(records.len() * 1500 + 2);
    body.push(b'[');
    for (place, record) in records.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        write_item(&mut body, state, record);
    }
    body.push(b']');
    let answer = refusal::body_of(body);
    if sent { answer } else { answer.lost() }
}

fn write_item(body: &mut Vec<u8>, state: &State, record: &Record) {
    match item::of(state, record).map(|item| serde_json::to_writer(&mut *body, &item)) {
        Some(Ok(())) => {}
        _ => body.extend_from_slice(b"null"),
    }
}

/// Adds the headers that say which version it is.
fn labelled(state: &State, answer: Answer) -> Answer {
    if !state.generation.says_version() {
        return answer;
    }
    let [version, commit, date, plugins] = HEADERS;
    let said = state.version.as_deref().unwrap_or(state.generation.version());
    let answer = answer.with(version, said).with(commit, "none").with(date, "unknown");
    if state.generation >= Generation::V7_2 { answer.with(plugins, "1") } else { answer }
}

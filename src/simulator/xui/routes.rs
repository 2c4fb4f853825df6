//! The answer to each request.

use hyper::Method;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, HOST, SET_COOKIE};
use serde_json::{Value, json};

use super::auth::{Caller, Scope};
use super::options::Generation;
use super::refusal::{
    Area, envelope, failure, login_page, not_found, not_logged_in, out_of_scope, page, redirect, success,
};
use super::row::{Detail, InboundRow};
use super::state::{Core, State};
use super::{clients, system};
use crate::simulator::http::{
    Answer, Asked,
    query::{Pairs, segment},
};

/// Microseconds of the panel's time for a client in a list of inbounds, up to 3.0 and later.
const COST_OF_TEXTS: usize = 9;
const COST_OF_OBJECTS: usize = 17;

#[derive(Clone, PartialEq, Eq)]
enum Route {
    // For all.
    Page,
    Login,
    Logout,
    Csrf,
    AsksForCode,
    AsksForSecret,
    // For those logged in.
    Panel,
    CsrfOfSession,
    Inbounds,
    InboundsSlim,
    InboundNames,
    Inbound(String),
    Onlines,
    OnlinesByGuid,
    ActiveInbounds,
    LastOnline,
    ClientTraffic(String),
    ClientIps(String),
    AllClientIps,
    ClientIpsByGuid,
    Clients,
    ClientsPaged,
    Client(String),
    Groups,
    Status,
    CpuHistory(String),
    History(String, String),
    MetricsState,
    Observatory,
    Descendants,
    Nodes,
    Outbounds,
    OutboundsOnline,
    DefaultSettings,
    /// What makes the panel itself ask others.
    CallsOut,
}

/// The answer of a panel without faults.
pub(super) fn answer(state: &mut State, now_ms: i64, asked: &Asked<'_>) -> Answer {
    let answer = uncompressed(state, now_ms, asked);
    let accepted = asked.headers.get(ACCEPT_ENCODING).and_then(|codings| codings.to_str().ok());
    let compresses = accepted.is_some_and(|codings| codings.contains("gzip"));
    match (state.generation, answer.status) {
        // What compresses the answers of these panels loses the status of one without a body.
        (Generation::V2_6, 404) if compresses => {
            Answer::bytes(200, "text/plain", "").with(CONTENT_ENCODING, "gzip")
        }
        (Generation::V3_0 | Generation::V3_1, 500) if compresses => {
            Answer::empty(200).with(CONTENT_ENCODING, "gzip")
        }
        _ => answer,
    }
}

fn uncompressed(state: &mut State, now_ms: i64, asked: &Asked<'_>) -> Answer {
    state.answers += 1;
    let generation = state.generation;
    let host = asked.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if state.web_domain.as_deref().is_some_and(|domain| domain != host) {
        return Answer::empty(403);
    }
    let Some(path) = asked.path.strip_prefix(state.base.as_str()) else {
        let is_base = state.base.strip_suffix('/') == Some(asked.path);
        return if is_base { moved(asked, &state.base) } else { not_found(generation) };
    };
    let Some(route) = route(generation, path).filter(|(method, _)| method == asked.method) else {
        return elsewhere(state, path, asked);
    };
    let area = if path.starts_with("panel/api/") { Area::Api } else { Area::Elsewhere };
    let needs_csrf = asked.method != Method::GET;
    match route.1 {
        Route::Login | Route::AsksForCode if !state.accounts.has_csrf(asked.headers) => Answer::empty(403),
        Route::Page => first_page(state, asked),
        Route::Login => state.accounts.login(now_ms, asked),
        Route::Logout if generation.is_v3() => envelope(&json!({ "success": true })),
        Route::Logout => redirect(307, &state.base, asked.method),
        Route::Csrf => csrf(state, asked),
        Route::AsksForCode => success(state.accounts.asks_for_code()),
        Route::AsksForSecret => success(state.accounts.asks_for_secret()),
        route => match state.accounts.caller(now_ms, asked.headers, area == Area::Api) {
            None => {
                let ajax = is_ajax(asked);
                not_logged_in(generation, area, ajax, &state.base, asked.method)
            }
            Some(Caller::Session) if needs_csrf && !state.accounts.has_csrf(asked.headers) => {
                Answer::empty(403)
            }
            Some(Caller::Token(scope)) if !permits(scope, &route) => out_of_scope(),
            Some(_) => data(state, now_ms, &route, asked),
        },
    }
}

fn is_ajax(asked: &Asked<'_>) -> bool {
    asked.headers.get("x-requested-with").is_some_and(|value| value == "XMLHttpRequest")
}

/// What a path leads to, and the method it takes.
fn route(generation: Generation, path: &str) -> Option<(Method, Route)> {
    let segments: Vec<String> = path.split('/').map(segment).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let found = match segments.as_slice() {
        [""] => (Method::GET, Route::Page),
        ["login"] => (Method::POST, Route::Login),
        ["logout"] if generation.is_v3() => (Method::POST, Route::Logout),
        ["logout"] => (Method::GET, Route::Logout),
        ["csrf-token"] if generation.is_v3() => (Method::GET, Route::Csrf),
        ["getTwoFactorEnable"] if generation >= Generation::V2_6 => (Method::POST, Route::AsksForCode),
        ["getSecretStatus"] if generation == Generation::V1_7 => (Method::POST, Route::AsksForSecret),
        ["panel", rest @ ..] if generation.is_3x_ui() => panel_route(generation, rest)?,
        ["xui", rest @ ..] if !generation.is_3x_ui() => xui_route(generation, rest)?,
        ["server", "status"] if generation == Generation::Alireza => (Method::GET, Route::Status),
        ["server", "status"] if generation <= Generation::V2_6 => (Method::POST, Route::Status),
        ["server", "getXrayVersion"] if generation <= Generation::V2_6 => (Method::POST, Route::CallsOut),
        _ => return None,
    };
    Some(found)
}

/// Routes of vaxilu's and alireza0's panels under `xui/`.
fn xui_route(generation: Generation, path: &[&str]) -> Option<(Method, Route)> {
    Some(match path {
        [""] => (Method::GET, Route::Panel),
        ["inbound", "list"] => (Method::POST, Route::Inbounds),
        _ if generation == Generation::Vaxilu => return None,
        ["API", "inbounds", ""] => (Method::GET, Route::Inbounds),
        ["API", "inbounds", "get", id] => (Method::GET, Route::Inbound((*id).to_owned())),
        ["API", "inbounds", "getClientTraffics", email] => {
            (Method::GET, Route::ClientTraffic((*email).to_owned()))
        }
        ["inbound", "onlines"] | ["API", "inbounds", "onlines"] => (Method::POST, Route::Onlines),
        ["API", "server", "status"] => (Method::GET, Route::Status),
        ["API", "server", "getXrayVersion"] => (Method::GET, Route::CallsOut),
        ["API", "outbounds", ""] => (Method::GET, Route::Outbounds),
        ["API", "outbounds", "onlines"] => (Method::POST, Route::OutboundsOnline),
        ["setting", "defaultSettings"] => (Method::POST, Route::DefaultSettings),
        _ => return None,
    })
}

/// Routes of 3x-ui under `panel/`.
fn panel_route(generation: Generation, path: &[&str]) -> Option<(Method, Route)> {
    let (v2_6, v2_8, v3_1) = (Generation::V2_6, Generation::V2_8, Generation::V3_1);
    Some(match path {
        ["api", "inbounds", rest @ ..] => inbounds_route(generation, rest)?,
        ["api", "clients", rest @ ..] if generation >= v3_1 => clients_route(generation, rest)?,
        ["api", "server", rest @ ..] if generation >= v2_8 => server_route(generation, rest)?,
        ["api", "nodes", "list"] if generation.is_v3() => (Method::GET, Route::Nodes),
        ["api", "xray", "getOutboundsTraffic"] if generation > v3_1 => (Method::GET, Route::Outbounds),
        ["api", "setting", "defaultSettings"] if generation > v3_1 => (Method::POST, Route::DefaultSettings),
        [""] => (Method::GET, Route::Panel),
        ["csrf-token"] if generation.is_v3() => (Method::GET, Route::CsrfOfSession),
        ["inbound", "list"] if generation <= v2_6 => (Method::POST, Route::Inbounds),
        ["inbound", "onlines"] if generation == v2_6 => (Method::POST, Route::Onlines),
        ["xray", "getOutboundsTraffic"] if (v2_6..=v3_1).contains(&generation) => {
            (Method::GET, Route::Outbounds)
        }
        ["setting", "defaultSettings"] if generation <= v3_1 => (Method::POST, Route::DefaultSettings),
        _ => return None,
    })
}

fn inbounds_route(generation: Generation, path: &[&str]) -> Option<(Method, Route)> {
    let is_31 = generation >= Generation::V3_1;
    let lists_online = (Generation::V2_6..=Generation::V3_0).contains(&generation);
    Some(match path {
        ["list"] => (Method::GET, Route::Inbounds),
        ["get", id] => (Method::GET, Route::Inbound((*id).to_owned())),
        ["list", "slim"] if is_31 => (Method::GET, Route::InboundsSlim),
        ["options"] if is_31 => (Method::GET, Route::InboundNames),
        ["onlines"] if lists_online => (Method::POST, Route::Onlines),
        ["lastOnline"] if lists_online => (Method::POST, Route::LastOnline),
        ["getClientTraffics", email] if !is_31 => (Method::GET, Route::ClientTraffic((*email).to_owned())),
        ["clientIps", email] if !is_31 => (Method::POST, Route::ClientIps((*email).to_owned())),
        _ => return None,
    })
}

fn clients_route(generation: Generation, path: &[&str]) -> Option<(Method, Route)> {
    let is_36 = generation >= Generation::V3_6;
    Some(match path {
        ["list"] => (Method::GET, Route::Clients),
        ["list", "paged"] => (Method::GET, Route::ClientsPaged),
        ["get", email] => (Method::GET, Route::Client((*email).to_owned())),
        ["traffic", email] => (Method::GET, Route::ClientTraffic((*email).to_owned())),
        ["ips", email] => (Method::POST, Route::ClientIps((*email).to_owned())),
        ["onlines"] => (Method::POST, Route::Onlines),
        ["lastOnline"] => (Method::POST, Route::LastOnline),
        ["groups"] if is_36 => (Method::GET, Route::Groups),
        ["onlinesByGuid"] if is_36 => (Method::POST, Route::OnlinesByGuid),
        ["activeInbounds"] if is_36 => (Method::POST, Route::ActiveInbounds),
        ["clientIpsByGuid"] if is_36 => (Method::POST, Route::ClientIpsByGuid),
        _ => return None,
    })
}

fn server_route(generation: Generation, path: &[&str]) -> Option<(Method, Route)> {
    let (is_302, is_36) = (generation >= Generation::V3_0, generation >= Generation::V3_6);
    let route = match path {
        ["status"] => Route::Status,
        ["cpuHistory", bucket] => Route::CpuHistory((*bucket).to_owned()),
        ["getXrayVersion"] => Route::CallsOut,
        ["getPanelUpdateInfo"] if generation.is_v3() => Route::CallsOut,
        ["history", metric, bucket] if generation.is_v3() => {
            Route::History((*metric).to_owned(), (*bucket).to_owned())
        }
        ["xrayMetricsState"] if is_302 => Route::MetricsState,
        ["xrayObservatory"] if is_302 => Route::Observatory,
        ["descendants"] if is_36 => Route::Descendants,
        ["clientIps"] if is_36 => Route::AllClientIps,
        _ => return None,
    };
    Some((Method::GET, route))
}

/// Whether a token of 3.7 may ask this.
fn permits(scope: Scope, route: &Route) -> bool {
    match scope {
        Scope::Admin => true,
        Scope::Monitor => matches!(
            route,
            Route::Status
                | Route::CpuHistory(_)
                | Route::History(..)
                | Route::MetricsState
                | Route::Observatory
                | Route::CallsOut
        ),
        Scope::NodeSync => matches!(
            route,
            Route::Status
                | Route::Inbounds
                | Route::Descendants
                | Route::AllClientIps
                | Route::Onlines
                | Route::OnlinesByGuid
                | Route::LastOnline
                | Route::ClientIpsByGuid
        ),
    }
}

/// For a path that leads nowhere, or not with this method.
fn elsewhere(state: &State, path: &str, asked: &Asked<'_>) -> Answer {
    let (generation, base) = (state.generation, &state.base);
    let other_end = match path.strip_suffix('/') {
        Some(shorter) => shorter.to_owned(),
        None => format!("{path}/"),
    };
    let takes = |path: &str| route(generation, path).is_some_and(|(method, _)| method == asked.method);
    if takes(&other_end) {
        return moved(asked, &format!("{base}{other_end}"));
    }
    // Kept for old bookmarks from 1.5.0 to 3.3.0. The letter case of the target is a matter of luck.
    let place = if generation == Generation::V3_1 { "panel/API" } else { "panel/api" };
    let old = path.strip_prefix("xui/API/").map(|old| (place, old));
    let old = old.or_else(|| Some(("panel/api", path.strip_prefix("panel/API/")?)));
    if let Some((place, old)) = old.filter(|_| (Generation::V1_7..=Generation::V3_1).contains(&generation)) {
        return redirect(301, &format!("{base}{place}/{old}"), asked.method);
    }
    let wants_page = asked.headers.get(ACCEPT).is_none_or(|accept| accept != "application/json");
    let is_page =
        asked.method == Method::GET && path.starts_with("panel/") && !path.starts_with("panel/api/");
    if generation >= Generation::V3_6 && is_page && wants_page && state.accounts.is_logged_in(asked.headers) {
        return page("3X-UI");
    }
    not_found(generation)
}

/// To the same path with or without its last slash.
fn moved(asked: &Asked<'_>, place: &str) -> Answer {
    redirect(if asked.method == Method::GET { 301 } else { 307 }, place, asked.method)
}

/// The login page, or the way to the panel.
fn first_page(state: &mut State, asked: &Asked<'_>) -> Answer {
    let generation = state.generation;
    if state.accounts.is_logged_in(asked.headers) {
        let panel = if generation.is_3x_ui() { "panel" } else { "xui" };
        let answer = redirect(307, &format!("{}{panel}/", state.base), asked.method);
        return if generation.is_v3() { answer.with(CACHE_CONTROL, "no-store") } else { answer };
    }
    let answer = login_page(generation);
    if !generation.is_v3() {
        return answer;
    }
    match state.accounts.csrf(asked.headers) {
        (_, Some(cookie)) => answer.with(SET_COOKIE, &cookie),
        (_, None) => answer,
    }
}

/// Without `msg`.
fn csrf(state: &mut State, asked: &Asked<'_>) -> Answer {
    let (token, cookie) = state.accounts.csrf(asked.headers);
    let answer = envelope(&json!({ "success": true, "obj": token }));
    match cookie {
        Some(cookie) => answer.with(SET_COOKIE, &cookie),
        None => answer,
    }
}

/// The answer to a caller that may have it.
fn data(state: &mut State, now_ms: i64, route: &Route, asked: &Asked<'_>) -> Answer {
    match route {
        Route::Panel => page("3X-UI"),
        Route::CsrfOfSession => success(state.accounts.csrf(asked.headers).0),
        Route::Inbounds => inbounds(state, Detail::Full),
        Route::InboundsSlim => inbounds(state, Detail::Slim),
        Route::InboundNames => inbound_names(state),
        Route::Inbound(id) => match id.parse().ok().and_then(|id| state.inbound(id)) {
            Some(inbound) => success(InboundRow::alone(state, inbound)),
            None if state.generation == Generation::Alireza => failure("Obtain Failed: record not found"),
            None => failure("Obtain (record not found)"),
        },
        Route::Onlines => clients::onlines(state, now_ms),
        Route::OnlinesByGuid => clients::onlines_by_guid(state, now_ms),
        Route::ActiveInbounds => clients::active_inbounds(state, now_ms),
        Route::LastOnline => clients::last_online(state),
        Route::ClientTraffic(email) => clients::one_traffic(state, email),
        Route::ClientIps(email) => clients::ips(state, now_ms, email),
        Route::AllClientIps => clients::all_ips(state, now_ms),
        Route::ClientIpsByGuid => clients::ips_by_guid(state, now_ms),
        Route::Clients => clients::list(state),
        Route::ClientsPaged => clients::paged(state, now_ms, &Pairs::of(asked.query)),
        Route::Client(email) => clients::one(state, email),
        Route::Groups => success(json!([])),
        Route::Status => system::status(state, now_ms),
        Route::CpuHistory(bucket) => system::cpu_history(state, now_ms, bucket),
        Route::History(metric, bucket) => system::history(state, now_ms, metric, bucket),
        Route::MetricsState => system::metrics_state(),
        Route::Observatory => system::observatory(state, now_ms),
        Route::Descendants => system::descendants(state, now_ms),
        Route::Nodes => system::nodes(state, now_ms),
        Route::Outbounds => system::outbounds(state),
        Route::OutboundsOnline => success((state.core == Core::Running).then(|| vec!["direct"])),
        Route::DefaultSettings => system::default_settings(state),
        Route::CallsOut => failure(""),
        Route::Page
        | Route::Login
        | Route::Logout
        | Route::Csrf
        | Route::AsksForCode
        | Route::AsksForSecret => Answer::empty(500),
    }
}

fn inbounds(state: &State, detail: Detail) -> Answer {
    let rows: Vec<_> = state.inbounds.iter().map(|inbound| InboundRow::of(state, inbound, detail)).collect();
    let each = if state.generation < Generation::V3_1 { COST_OF_TEXTS } else { COST_OF_OBJECTS };
    let weight = rows.iter().map(InboundRow::weight).sum::<usize>() * each;
    success(&rows).costing(weight)
}

fn inbound_names(state: &State) -> Answer {
    let one = |inbound: &super::state::Inbound| {
        let mut row = json!({
            "id": inbound.id, "remark": inbound.remark, "tag": inbound.tag, "protocol": inbound.protocol,
            "port": inbound.port, "tlsFlowCapable": false,
        });
        if state.generation >= Generation::V3_6 {
            let method = if inbound.protocol == "shadowsocks" { "2022-blake3-aes-128-gcm" } else { "" };
            let more: [(&str, Value); 3] = [
                ("enable", json!(inbound.is_on())),
                ("ssMethod", json!(method)),
                ("listen", json!(inbound.listen)),
            ];
            more.into_iter().for_each(|(key, value)| clients::put(&mut row, key, value));
            if let Some(id) = inbound.node_id {
                clients::put(&mut row, "nodeId", json!(id));
                clients::put(&mut row, "nodeAddress", json!(format!("node-{id}.example")));
            }
        }
        row
    };
    success(state.inbounds.iter().map(one).collect::<Vec<_>>())
}

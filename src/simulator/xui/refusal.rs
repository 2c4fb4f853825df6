//! The envelope, and answers without data.

use hyper::Method;
use hyper::header::{CACHE_CONTROL, LOCATION};
use serde::Serialize;
use serde_json::json;

use super::options::Generation;
use crate::simulator::http::Answer;

const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// 200 with this as it is.
pub(super) fn envelope(whole: &impl Serialize) -> Answer {
    of_status(200, whole)
}

/// 200 with data.
pub(super) fn success(obj: impl Serialize) -> Answer {
    #[derive(Serialize)]
    struct Success<T> {
        success: bool,
        msg: &'static str,
        obj: T,
    }
    envelope(&Success { success: true, msg: "", obj })
}

/// 200 with a reason.
pub(super) fn failure(msg: &str) -> Answer {
    envelope(&json!({ "success": false, "msg": msg, "obj": null }))
}

/// The body that a panel sends with this status.
pub(super) fn of(generation: Generation, status: u16) -> Answer {
    match status {
        200 => failure("something went wrong"),
        404 => not_found(generation),
        _ => Answer::empty(status),
    }
}

pub(super) fn not_found(generation: Generation) -> Answer {
    match generation {
        Generation::Vaxilu | Generation::V1_7 | Generation::V2_6 => {
            Answer::bytes(404, "text/plain", "404 page not found")
        }
        _ => Answer::empty(404),
    }
}

/// For a token without the right to ask this.
pub(super) fn out_of_scope() -> Answer {
    let msg = "this API token is not permitted to access this endpoint";
    of_status(403, &json!({ "success": false, "msg": msg }))
}

/// Where a caller must be logged in and is not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    /// Under `panel/api/`.
    Api,
    Elsewhere,
}

/// For a caller that is not logged in. `ajax`: it sent `X-Requested-With`.
pub(super) fn not_logged_in(
    generation: Generation,
    area: Area,
    ajax: bool,
    base: &str,
    method: &Method,
) -> Answer {
    let expired = match generation {
        Generation::Vaxilu => "登录时效已过，请重新登录",
        _ => "Your session has expired, please log in again",
    };
    let expired = json!({ "success": false, "msg": expired, "obj": null });
    match (area, generation) {
        (Area::Api, Generation::V2_8 | Generation::V3_0_0) => Answer::empty(404),
        (Area::Api, _) if generation >= Generation::V3_0 => Answer::empty(if ajax { 401 } else { 404 }),
        (_, Generation::Vaxilu | Generation::V1_7) if ajax => envelope(&expired),
        _ if ajax => of_status(401, &expired),
        _ => {
            let answer = redirect(307, base, method);
            if generation.is_v3() { answer.with(CACHE_CONTROL, "no-store") } else { answer }
        }
    }
}

/// The body names the place only for a `GET`.
pub(super) fn redirect(status: u16, place: &str, method: &Method) -> Answer {
    let words = if status == 301 { "Moved Permanently" } else { "Temporary Redirect" };
    let answer = if method == Method::GET {
        Answer::bytes(status, HTML, format!("<a href=\"{place}\">{words}</a>.\n\n"))
    } else {
        Answer::empty(status)
    };
    answer.with(LOCATION, place)
}

pub(super) fn page(title: &str) -> Answer {
    Answer::bytes(200, HTML, html(title, ""))
}

pub(super) fn login_page(generation: Generation) -> Answer {
    let script = |version| format!("<script src=\"/assets/ant-design-vue/antd.min.js?{version}\"></script>");
    Answer::bytes(200, HTML, html("Login", &generation.page_version().map(script).unwrap_or_default()))
}

fn html(title: &str, head: &str) -> String {
    format!("<!DOCTYPE html><html><head><title>{title}</title>{head}</head><body></body></html>")
}

fn of_status(status: u16, whole: &impl Serialize) -> Answer {
    match serde_json::to_vec(whole) {
        Ok(body) => Answer::bytes(status, JSON, body),
        Err(_) => Answer::empty(500),
    }
}

//! What every answer is wrapped in: `{"success": true, "msg": "…", "obj": …}`, in any order, `msg` and `obj` not always
//! there. `msg` is translated into any language and is never read.

use crate::{
    http::Body,
    upstream::{
        Cause, FetchError,
        json::{self, Object, OddFields},
    },
};

/// An answer without its wrapping.
#[derive(Debug)]
pub(super) struct Envelope<T> {
    /// Absent: it does not say.
    pub(super) success: Option<bool>,
    /// Absent: null, or not there.
    pub(super) value: Option<T>,
}

/// What a panel answers for a subject.
#[derive(Debug)]
pub(super) enum Found<T> {
    /// It has no route for it.
    NoRoute,
    /// `obj` is null, but was not at the last request: the panel has just started.
    NotYet,
    /// Nothing: `obj` is null.
    Null,
    Some(T),
}

/// The failure of an answer that is JSON, but nothing that these panels say there.
pub(super) fn other_system(asked: &'static str) -> FetchError {
    FetchError::new(asked, Cause::OtherSystem { expected: "a panel of the x-ui family" })
}

/// Decodes a small answer.
///
/// # Errors
/// When it is no object.
pub(super) async fn value(body: Body) -> serde_json::Result<Envelope<String>> {
    let whole = json::document(body).await?;
    let odd = OddFields::default();
    let answer = Object::new("answer", &whole, &odd)
        .ok_or_else(|| <serde_json::Error as serde::de::Error>::custom("no object"))?;
    let value = answer.raw("obj").filter(|raw| *raw != "null").map(str::to_owned);
    Ok(Envelope { success: answer.flag("success"), value })
}

/// Whether `said` is how a panel refuses what a token may not read: the words may be in any language.
pub(super) fn is_refusal(said: &[u8]) -> bool {
    let odd = OddFields::default();
    let raw = json::from_bytes(said).ok();
    raw.is_some_and(|raw| {
        Object::new("refusal", &raw, &odd).and_then(|answer| answer.flag("success")) == Some(false)
    })
}

/// The version in a login page: panels before 3.0 add it to the addresses of their scripts, e.g. `vue.min.js?2.8.11`.
pub(super) fn version_of_page(page: &[u8]) -> Option<String> {
    const LONGEST: usize = 20;
    let page = String::from_utf8_lossy(page);
    page.split('?').skip(1).find_map(|rest| {
        let version: String =
            rest.chars().take(LONGEST).take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let closed = rest.chars().nth(version.len()).is_some_and(|next| matches!(next, '"' | '\''));
        (closed && version.contains('.')).then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panels_own_refusal_has_a_shape_of_its_own() {
        for (said, expected) in [
            (r#"{"success":false,"msg":"this API token is not permitted to access this endpoint"}"#, true),
            (r#"{"msg":"نه","success":false}"#, true),
            (r#"{"success":true}"#, false),
            (r#"{"error":"forbidden"}"#, false),
            ("", false),
            ("<html>", false),
        ] {
            assert_eq!(is_refusal(said.as_bytes()), expected, "{said}");
        }
    }

    #[test]
    fn pages_show_the_version_in_the_addresses_of_scripts() {
        for (page, version) in [
            (r#"<a href="/x?lang=en"><link href="/b/custom.min.css?2.8.11">"#, Some("2.8.11")),
            (r#"src="/vue.min.js?1.12.0""#, Some("1.12.0")),
            (r#"src="/app.js?v=3.6""#, None),
            (r#"what?2. no"#, None),
            ("", None),
        ] {
            assert_eq!(version_of_page(page.as_bytes()).as_deref(), version, "{page}");
        }
    }
}

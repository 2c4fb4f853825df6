//! Where a URL of markup leads.

use super::super::parsed::Kind;
use crate::simulator::http::query::Pairs;

/// What a URL that a sender gives becomes: a call of a user, a link, or nothing.
pub(super) fn of(url: &str) -> Option<Kind> {
    let lower = url.to_lowercase();
    if let Some(rest) = lower.strip_prefix("tg:") {
        let rest = rest.trim_start_matches("//");
        let user =
            rest.strip_prefix("user?").and_then(|query| Pairs::of(query).last("id").map(str::to_owned));
        let user = user.filter(|id| id.parse::<i64>().is_ok());
        return Some(
            user.map_or_else(|| Kind::Link(url.to_owned()), |id| Kind::Ping(format!("tg://user?id={id}"))),
        );
    }
    let (scheme, rest) = lower.split_once("://").unwrap_or(("http", &lower));
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    // A host without a dot makes no link, and no error.
    let is_link =
        matches!(scheme, "http" | "https") && host.contains('.') && !url.contains(char::is_whitespace);
    is_link.then(|| Kind::Link(if lower.contains("://") { url.to_owned() } else { format!("http://{url}") }))
}

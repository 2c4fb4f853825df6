//! Where a server answers what, and which generation that makes it.
//!
//! Nothing is inferred from a version: forks and builds call themselves what they like. A route that a server does not have
//! is remembered, and looked for again every hour and when the version changes.

use std::time::Duration;

use reqwest::header::HeaderMap;

use crate::{
    model::Moment,
    upstream::{Cause, FetchError},
};

/// How long a route that is absent is not looked for.
const ABSENT_FOR: Duration = Duration::from_secs(3600);
/// The longest version that is kept.
const VERSION: usize = 64;

/// Below which path the management API is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Since 8.0. It still has the other one.
    V8,
    V0,
}

impl Base {
    /// Whether statistics are recorded. It has the version in a header, and costs nothing.
    pub(super) fn flag(self) -> &'static str {
        match self {
            Base::V8 => "/v8/management/config/observability/usage/usage-statistics-enabled",
            Base::V0 => "/v0/management/usage-statistics-enabled",
        }
    }

    pub(super) fn queue(self) -> &'static str {
        match self {
            Base::V8 => "/v8/management/observability/usage/queue",
            Base::V0 => "/v0/management/usage-queue",
        }
    }

    /// How long the queue keeps records, in seconds. In 0, it is a field of the whole configuration.
    pub(super) fn retention(self) -> &'static str {
        match self {
            Base::V8 => "/v8/management/config/observability/usage/redis-usage-queue-retention-seconds",
            Base::V0 => "/v0/management/config",
        }
    }

    pub(super) fn credentials(self) -> &'static str {
        match self {
            Base::V8 => "/v8/management/credentials",
            Base::V0 => "/v0/management/auth-files",
        }
    }

    pub(super) fn key_usage(self) -> &'static str {
        match self {
            Base::V8 => "/v8/management/observability/usage/api-keys",
            Base::V0 => "/v0/management/api-key-usage",
        }
    }
}

/// Everything that was ever counted. It was removed before there was another base.
pub(super) const USAGE: &str = "/v0/management/usage";
/// What a server without the flag answers (6.0.0 to 6.0.4).
pub(super) const DEBUG: &str = "/v0/management/debug";

/// The failure of an answer that is JSON, but nothing that this server says there.
pub(super) fn other_system(asked: &'static str) -> FetchError {
    FetchError::new(asked, Cause::OtherSystem { expected: "CLIProxyAPI" })
}

/// Whether a server has a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Route {
    #[default]
    Unknown,
    Present,
    /// Not at this moment.
    Absent(Moment),
}

impl Route {
    pub(super) fn is_absent(self) -> bool {
        matches!(self, Route::Absent(_))
    }

    fn look_again(&mut self, now: Moment) {
        if let Route::Absent(since) = *self
            && now.since(since) >= ABSENT_FOR
        {
            *self = Route::Unknown;
        }
    }
}

/// What is known of a server's routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routes {
    pub(super) base: Option<Base>,
    /// It has no flag, and records always.
    pub(super) flagless: bool,
    pub(super) queue: Route,
    pub(super) usage: Route,
    pub(super) key_usage: Route,
    /// How it answers what it does not have, see [`NotFound`].
    pub(super) absence: Option<NotFound>,
}

impl Routes {
    pub(super) fn look_again(&mut self, now: Moment) {
        for route in [&mut self.queue, &mut self.usage, &mut self.key_usage] {
            route.look_again(now);
        }
    }
}

/// The kinds of 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotFound {
    /// There is no such route: a text without a version (up to 7.1.46), or another system.
    Text,
    /// There is no such route: nothing but a version (from 7.1.47).
    Version,
    /// The value asked for is not in the configuration (8.0).
    Unset,
    /// The management API is switched off: nothing at all.
    Disabled,
}

/// Which kind of 404 an answer is.
pub(super) fn not_found(headers: &HeaderMap, body: &[u8]) -> NotFound {
    let text = String::from_utf8_lossy(body);
    let is_of_server = headers.contains_key(VERSION_HEADER);
    if is_of_server && text.contains(r#""not_found""#) {
        NotFound::Unset
    } else if is_of_server {
        // A proxy in front may add a body of its own, but no version.
        NotFound::Version
    } else if text.trim().is_empty() {
        NotFound::Disabled
    } else {
        NotFound::Text
    }
}

const VERSION_HEADER: &str = "x-cpa-version";

/// The version that an answer carries, since 6.3.36.
pub(super) fn version(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(VERSION_HEADER)?.to_str().ok()?.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let printable =
        !text.is_empty() && text.len() <= VERSION && text.bytes().all(|byte| byte.is_ascii_graphic());
    printable.then(|| text.to_owned())
}

/// What shows the generation beside the routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// Answers carry a version (6.3.36).
    pub(super) version: bool,
    /// The list of credentials has counters (6.9.49).
    pub(super) counters: bool,
    /// The list of credentials has cooldowns (7.3).
    pub(super) cooldowns: bool,
}

/// The API generation, by the version that brought it.
pub(super) fn generation(routes: &Routes, signs: Signs) -> &'static str {
    if routes.base == Some(Base::V8) {
        return "8.0";
    }
    if signs.cooldowns {
        return "7.3";
    }
    match (routes.queue, routes.usage) {
        (_, Route::Present) => {}
        (Route::Present, _) if routes.absence == Some(NotFound::Version) => return "7.2",
        // Those up to 6.10.7 have no queue by HTTP.
        (Route::Present, _) | (_, Route::Absent(_)) => return "6.10",
        _ => {}
    }
    match signs {
        Signs { counters: true, .. } => "6.9",
        _ if routes.key_usage == Route::Present => "6.9",
        Signs { version: true, .. } => "6.3",
        _ => "6.0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(version: Option<&str>) -> HeaderMap {
        version
            .map(|version| (VERSION_HEADER.parse().unwrap(), version.parse().unwrap()))
            .into_iter()
            .collect()
    }

    #[test]
    fn the_kinds_of_404_are_told_apart() {
        for (version, body, expected) in [
            (None, "404 page not found", NotFound::Text),
            (None, "<html>", NotFound::Text),
            (Some("7.2.140"), "", NotFound::Version),
            (Some("7.2.140"), "404 page not found", NotFound::Version),
            (Some("8.0.23"), r#"{"error":"not_found"}"#, NotFound::Unset),
            // Of something in front.
            (None, r#"{"error":"not_found"}"#, NotFound::Text),
            (None, "", NotFound::Disabled),
        ] {
            assert_eq!(not_found(&headers(version), body.as_bytes()), expected, "{version:?} {body}");
        }
    }

    #[test]
    fn a_version_is_without_its_letter_and_of_some_length() {
        let long = "1".repeat(65);
        for (header, expected) in [
            (Some("v6.9.38"), Some("6.9.38")),
            (Some("6.9.38"), Some("6.9.38")),
            (Some("dev"), Some("dev")),
            (Some("a b"), None),
            (Some(""), None),
            (Some(&long), None),
            (None, None),
        ] {
            assert_eq!(version(&headers(header)).as_deref(), expected, "{header:?}");
        }
    }

    #[test]
    fn absent_routes_are_looked_for_again_after_an_hour() {
        let at = |secs| Moment { uptime: Duration::from_secs(secs), ..Moment::default() };
        let mut routes = Routes { queue: Route::Absent(at(0)), usage: Route::Present, ..Routes::default() };
        routes.look_again(at(3599));
        assert!(routes.queue.is_absent());
        routes.look_again(at(3600));
        assert_eq!((routes.queue, routes.usage), (Route::Unknown, Route::Present));
    }

    #[test]
    fn the_generation_is_shown_by_routes_and_fields() {
        let (present, absent) = (Route::Present, Route::Absent(Moment::default()));
        let none = Signs::default();
        let version = Signs { version: true, ..none };
        let counters = Signs { counters: true, ..version };
        let cooldowns = Signs { cooldowns: true, ..counters };
        let v0 = Routes { base: Some(Base::V0), absence: Some(NotFound::Text), ..Routes::default() };
        let empty = Routes { absence: Some(NotFound::Version), ..v0.clone() };
        let v8 = Routes { base: Some(Base::V8), ..Routes::default() };
        for (routes, signs, expected) in [
            (Routes { queue: absent, usage: present, ..v0.clone() }, none, "6.0"),
            (Routes { queue: absent, usage: present, ..v0.clone() }, version, "6.3"),
            (Routes { queue: absent, usage: present, ..v0.clone() }, counters, "6.9"),
            (Routes { queue: absent, key_usage: present, ..v0.clone() }, version, "6.9"),
            (Routes { queue: present, usage: present, ..v0.clone() }, counters, "6.9"),
            (Routes { queue: absent, usage: absent, ..v0.clone() }, counters, "6.10"),
            (Routes { queue: present, ..v0.clone() }, counters, "6.10"),
            (Routes { queue: present, usage: absent, ..empty.clone() }, counters, "7.2"),
            (Routes { queue: present, usage: absent, ..empty }, cooldowns, "7.3"),
            (Routes { queue: present, ..v8 }, cooldowns, "8.0"),
        ] {
            assert_eq!(generation(&routes, signs), expected, "{routes:?} {signs:?}");
        }
    }
}

//! The paths, and what a request for each asks for.

/// Ids of silences follow.
const BELOW_SILENCES: &str = "/api/v1/silences/";

/// Names of targets follow, and perhaps [`USERS`].
const BELOW_TARGETS: &str = "/targets/";
const USERS: &str = "/users";
/// Labels of users follow.
const BELOW_USERS: &str = "/users/";
/// Names of receivers follow.
const BELOW_RECEIVERS: &str = "/receivers/";

/// What a request asks for.
#[derive(Clone, Copy)]
pub(super) enum Route<'p> {
    Status,
    /// The pages of a target, of its users and of a receiver.
    TargetPage(&'p str),
    UsersPage(&'p str),
    /// That of one of its users, by the label in the path.
    UserPage(&'p str, &'p str),
    ReceiverPage(&'p str),
    Metrics,
    /// Those of one target.
    Target(&'p str),
    Alerts,
    Targets,
    Usage,
    Silences,
    /// The one with this id.
    Silence(&'p str),
    Config,
    Runbook,
    Healthy,
    Ready,
    Reload,
    Unknown,
}

impl<'p> Route<'p> {
    /// Those that can succeed.
    pub(super) const GOOD: [Route<'static>; 17] = [
        Route::Status,
        Route::TargetPage(""),
        Route::UsersPage(""),
        Route::UserPage("", ""),
        Route::ReceiverPage(""),
        Route::Metrics,
        Route::Target(""),
        Route::Alerts,
        Route::Targets,
        Route::Usage,
        Route::Silences,
        Route::Silence(""),
        Route::Config,
        Route::Runbook,
        Route::Healthy,
        Route::Ready,
        Route::Reload,
    ];

    /// Those whose path is their label, wherever the metrics are.
    const FIXED: [Route<'static>; 10] = [
        Route::Status,
        Route::Alerts,
        Route::Targets,
        Route::Usage,
        Route::Silences,
        Route::Config,
        Route::Runbook,
        Route::Healthy,
        Route::Ready,
        Route::Reload,
    ];

    pub(super) fn of(path: &'p str, telemetry_path: &str) -> Self {
        if let Some(route) = Route::FIXED.into_iter().find(|route| route.label() == path) {
            return route;
        }
        if let Some(id) = path.strip_prefix(BELOW_SILENCES) {
            return Route::Silence(id);
        }
        if let Some(target) = path.strip_prefix(BELOW_TARGETS) {
            if let Some((target, label)) =
                target.split_once(BELOW_USERS).filter(|(_, label)| !label.is_empty())
            {
                return Route::UserPage(target, label);
            }
            return target.strip_suffix(USERS).map_or(Route::TargetPage(target), Route::UsersPage);
        }
        if let Some(receiver) = path.strip_prefix(BELOW_RECEIVERS) {
            return Route::ReceiverPage(receiver);
        }
        match path.strip_prefix(telemetry_path) {
            Some("") => Route::Metrics,
            Some(rest) => rest.strip_prefix('/').map_or(Route::Unknown, Route::Target),
            None => Route::Unknown,
        }
    }

    /// The path in `http_requests_total`: not the one asked for, of which there may be any number.
    pub(super) fn label(self) -> &'static str {
        match self {
            Route::Status => "/",
            Route::TargetPage(_) => "/targets/{target}",
            Route::UsersPage(_) => "/targets/{target}/users",
            Route::UserPage(_, _) => "/targets/{target}/users/{user}",
            Route::ReceiverPage(_) => "/receivers/{receiver}",
            Route::Metrics => "/metrics",
            Route::Target(_) => "/metrics/{target}",
            Route::Alerts => "/api/v1/alerts",
            Route::Targets => "/api/v1/targets",
            Route::Usage => "/api/v1/usage",
            Route::Silences => "/api/v1/silences",
            Route::Silence(_) => "/api/v1/silences/{id}",
            Route::Config => "/config",
            Route::Runbook => "/runbook",
            Route::Healthy => "/-/healthy",
            Route::Ready => "/-/ready",
            Route::Reload => "/-/reload",
            Route::Unknown => "other",
        }
    }
}

/// Whether something else is at `path` or below it, so that the metrics cannot be there.
pub fn is_taken(path: &str) -> bool {
    let is_there = Route::FIXED.into_iter().any(|route| {
        let rest = route.label().strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let below = [BELOW_SILENCES, BELOW_TARGETS, BELOW_RECEIVERS];
    is_there || below.iter().any(|below| path.starts_with(below) || below.strip_suffix('/') == Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_cannot_be_where_something_else_is() {
        for taken in [
            "/config",
            "/runbook",
            "/api",
            "/api/v1",
            "/api/v1/alerts",
            "/api/v1/targets",
            "/api/v1/silences",
            "/api/v1/silences/metrics",
            "/targets",
            "/targets/metrics",
            "/receivers",
            "/receivers/metrics",
            "/-",
            "/-/ready",
            "/",
        ] {
            assert!(is_taken(taken), "{taken}");
        }
        for free in ["/metrics", "/m/metrics", "/configs", "/conf", "/config/metrics", "/api/v2"] {
            assert!(!is_taken(free), "{free}");
        }
    }

    #[test]
    fn routes() {
        let cases = [
            ("/", "/metrics", "/"),
            ("/metrics", "/metrics", "/metrics"),
            ("/metrics/home", "/metrics", "/metrics/{target}"),
            ("/metrics/", "/metrics", "/metrics/{target}"),
            ("/metricsx", "/metrics", "other"),
            ("/metrics", "/m", "other"),
            ("/m/metrics", "/m", "/metrics/{target}"),
            ("/-/healthy", "/metrics", "/-/healthy"),
            ("/-/ready", "/metrics", "/-/ready"),
            ("/-/ready/", "/metrics", "other"),
            ("/api/v1/targets", "/metrics", "/api/v1/targets"),
            ("/api/v1/usage", "/metrics", "/api/v1/usage"),
            ("/api/v1/silences", "/metrics", "/api/v1/silences"),
            ("/api/v1/silences/x", "/metrics", "/api/v1/silences/{id}"),
            ("/config", "/metrics", "/config"),
            ("/runbook", "/metrics", "/runbook"),
            ("/runbook/", "/metrics", "other"),
            ("/targets/home", "/metrics", "/targets/{target}"),
            ("/targets/home/users", "/metrics", "/targets/{target}/users"),
            ("/targets/home/users/", "/metrics", "/targets/{target}"),
            ("/targets/home/users/a", "/metrics", "/targets/{target}/users/{user}"),
            ("/targets/home/users/a/users/b", "/metrics", "/targets/{target}/users/{user}"),
            ("/targets", "/metrics", "other"),
            ("/receivers/ops", "/metrics", "/receivers/{receiver}"),
            ("", "/metrics", "other"),
        ];
        for (path, telemetry_path, expected) in cases {
            assert_eq!(Route::of(path, telemetry_path).label(), expected, "{path} with {telemetry_path}");
        }
    }
}

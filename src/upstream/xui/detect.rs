//! Which generation of the family the panel is.

use super::routes::{LIST, Routes, SLIM_LIST, STATUS_OF_3X_UI, STATUS_OF_ALIREZA0, STATUS_OF_OLD, Subject};

/// A generation: panels with the same API, named after the version of 3x-ui that brought it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Generation {
    /// The panels of vaxilu, FranzKafkaYu and hossinasaadi, 3x-ui before 1.5, and alireza0's before 1.6.
    #[default]
    Legacy,
    Alireza0,
    /// 3x-ui 1.5 to 2.6.
    V2_6,
    /// To 2.9: the status moved to `panel/api`.
    V2_7,
    /// Tokens, CSRF and nodes.
    V3_0,
    /// To 3.2: `clients/…`, the slim list.
    V3_1,
    /// Everything below `panel/api`, nodes of nodes, addresses.
    V3_3,
}

impl Generation {
    /// The word in `target_info`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Generation::Legacy => "legacy",
            Generation::Alireza0 => "alireza0",
            Generation::V2_6 => "2.6",
            Generation::V2_7 => "2.7",
            Generation::V3_0 => "3.0",
            Generation::V3_1 => "3.1",
            Generation::V3_3 => "3.3",
        }
    }
}

/// What shows the generation beside the routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// It accepted a token or gave one against cross-site requests (3.0).
    pub(super) tokens: bool,
    /// The status has `panelVersion` (3.1).
    pub(super) panel_version: bool,
    /// The status has `panelGuid` (3.3).
    pub(super) panel_guid: bool,
    /// The cookie is alireza0's.
    pub(super) alireza0: bool,
}

/// The generation, as far as the answers so far show it.
pub(super) fn generation(signs: Signs, routes: &Routes) -> Generation {
    let list = routes.of(Subject::List);
    let online = routes.of(Subject::Online).map_or("", |route| route.path);
    match routes.of(Subject::Status) {
        Some(STATUS_OF_3X_UI) if signs.panel_guid => Generation::V3_3,
        Some(STATUS_OF_3X_UI) if signs.panel_version || list == Some(SLIM_LIST) => Generation::V3_1,
        Some(STATUS_OF_3X_UI) if signs.tokens => Generation::V3_0,
        Some(STATUS_OF_3X_UI) => Generation::V2_7,
        Some(STATUS_OF_ALIREZA0) => Generation::Alireza0,
        _ if signs.alireza0 => Generation::Alireza0,
        Some(STATUS_OF_OLD) if list == Some(LIST) || online.starts_with("/panel/") => Generation::V2_6,
        Some(STATUS_OF_OLD) if online.starts_with("/xui/") => Generation::Alireza0,
        _ => Generation::Legacy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_shown_by_routes_and_fields() {
        let none = Signs::default();
        let v3 = Signs { tokens: true, ..none };
        let v3_1 = Signs { panel_version: true, ..v3 };
        let v3_3 = Signs { panel_guid: true, ..v3_1 };
        let alireza0 = Signs { alireza0: true, ..none };
        let cases = [
            (none, None, None, "legacy"),
            (none, Some(STATUS_OF_OLD), None, "legacy"),
            (none, Some(STATUS_OF_OLD), Some(LIST), "2.6"),
            (alireza0, Some(STATUS_OF_OLD), None, "alireza0"),
            (none, Some(STATUS_OF_ALIREZA0), None, "alireza0"),
            (none, Some(STATUS_OF_3X_UI), Some(LIST), "2.7"),
            (v3, Some(STATUS_OF_3X_UI), Some(LIST), "3.0"),
            (v3, Some(STATUS_OF_3X_UI), Some(SLIM_LIST), "3.1"),
            (v3_1, Some(STATUS_OF_3X_UI), None, "3.1"),
            (v3_3, Some(STATUS_OF_3X_UI), None, "3.3"),
        ];
        for (signs, status, list, expected) in cases {
            let mut routes = Routes::default();
            for (subject, route) in [(Subject::Status, status), (Subject::List, list)] {
                if let Some(route) = route {
                    routes.learn(subject, route);
                }
            }
            assert_eq!(generation(signs, &routes).label(), expected, "{signs:?} {status:?} {list:?}");
        }
    }
}

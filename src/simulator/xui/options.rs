//! What to simulate: the generation and the contents of a panel.

use std::time::Duration;

use crate::simulator::http::Cost;

/// What to simulate. Every field has a documented default.
#[derive(Clone)]
pub struct Options {
    /// The panel whose routes, shapes and quirks it has; 3x-ui 3.6.0 by default.
    pub generation: Generation,
    /// How many clients there are at the start; 20 by default. The first are a fixed cast with descriptive names
    /// (`bob_85pct`, `expired_2d`, …), the rest a realistic mix.
    pub clients: usize,
    /// Inbounds in which each client beyond the cast is; 1 by default. Panels before 3x-ui 3.0 know only 1.
    pub inbounds_per_client: usize,
    /// Seed of everything that is random; 1 by default.
    pub seed: u64,
    /// The path under which everything is, with a slash at both ends; `/` by default.
    pub base_path: String,
    /// The only admin; `admin` by default.
    pub username: String,
    /// Its password; `admin-password` by default.
    pub password: String,
    /// The static third secret of a login, which 3x-ui 1.2.7 to 2.5.8 have; none by default.
    pub login_secret: Option<String>,
    /// The base32 secret of two-factor codes, which 3x-ui has from 2.6; none by default.
    pub totp_secret: Option<String>,
    /// An API token with all rights, which 3x-ui has from 3.0; `simulated-token-` and 32 digits by default.
    pub token: String,
    /// The only `Host` that is answered; any by default.
    pub web_domain: Option<String>,
    /// Artificial delay; none by default. [`Options::MEASURED`] is that of a real panel.
    pub cost: Cost,
}

impl Options {
    /// What was measured on real panels. A row of this family's answers is a microsecond of the panel's time.
    pub const MEASURED: Cost =
        Cost { per_request: Duration::from_millis(2), per_row: Duration::from_micros(1) };
}

impl Default for Options {
    fn default() -> Options {
        Options {
            generation: Generation::V3_6,
            clients: 20,
            inbounds_per_client: 1,
            seed: 1,
            base_path: "/".to_owned(),
            username: "admin".to_owned(),
            password: "admin-password".to_owned(),
            login_secret: None,
            totp_secret: None,
            token: "simulated-token-00000000000000000000000000000001".to_owned(),
            web_domain: None,
            cost: Cost::default(),
        }
    }
}

/// A panel of the family. Those of 3x-ui are in the order of their versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// vaxilu 0.3.2 under `/xui`: inbounds without data about clients.
    Vaxilu,
    /// alireza0 1.12.0 under `/xui`.
    Alireza,
    /// 3x-ui 1.7: a third login secret, and no list of the clients online.
    V1_7,
    /// 3x-ui 2.6.8.
    V2_6,
    /// 3x-ui 2.8.11.
    V2_8,
    /// 3x-ui 3.0.0: the first with CSRF tokens and API tokens.
    V3_0_0,
    /// 3x-ui 3.0.2: the first with the observatory.
    V3_0,
    /// 3x-ui 3.1.0: routes of clients, settings as objects, never anybody online.
    V3_1,
    /// 3x-ui 3.6.0.
    V3_6,
    /// 3x-ui 3.7, as built from its main branch: API tokens have scopes. It calls itself 3.6.0.
    V3_7,
}

impl Generation {
    /// Every one.
    pub const ALL: [Generation; 10] = [
        Generation::Vaxilu,
        Generation::Alireza,
        Generation::V1_7,
        Generation::V2_6,
        Generation::V2_8,
        Generation::V3_0_0,
        Generation::V3_0,
        Generation::V3_1,
        Generation::V3_6,
        Generation::V3_7,
    ];

    /// The name of the session cookie.
    pub fn cookie(self) -> &'static str {
        match self {
            Generation::Vaxilu | Generation::V1_7 => "session",
            Generation::Alireza => "x-ui",
            _ => "3x-ui",
        }
    }

    /// What `panelVersion` says, from 3x-ui 3.1 on.
    pub fn panel_version(self) -> Option<&'static str> {
        match self {
            Generation::V3_1 => Some("3.1.0"),
            Generation::V3_6 | Generation::V3_7 => Some("3.6.0"),
            _ => None,
        }
    }

    /// The version in the addresses of the login page's scripts, before 3x-ui 3.0.
    pub(super) fn page_version(self) -> Option<&'static str> {
        match self {
            Generation::Vaxilu => Some("0.3.2"),
            Generation::Alireza => Some("1.12.0"),
            Generation::V1_7 => Some("1.7.9"),
            Generation::V2_6 => Some("2.6.8"),
            Generation::V2_8 => Some("2.8.11"),
            _ => None,
        }
    }

    /// How often counters are written, in milliseconds.
    pub fn tick_ms(self) -> i64 {
        match self {
            Generation::Vaxilu => 30_000,
            _ if self >= Generation::V3_0_0 => 5_000,
            _ => 10_000,
        }
    }

    pub(super) fn is_3x_ui(self) -> bool {
        self >= Generation::V1_7
    }

    /// CSRF tokens, API tokens, the lock-out and nodes came together.
    pub(super) fn is_v3(self) -> bool {
        self >= Generation::V3_0_0
    }

    /// `allTime` came in 2.6.7 and went in 3.1.0.
    pub(super) fn has_all_time(self) -> bool {
        (Generation::V2_6..=Generation::V3_0).contains(&self)
    }

    /// Whether the first value of each counter after a start of xray is lost.
    pub(super) fn loses_first_value(self) -> bool {
        (Generation::V3_0_0..=Generation::V3_1).contains(&self)
    }
}

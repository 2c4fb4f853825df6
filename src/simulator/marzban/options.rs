//! What to simulate: the flavour and the contents of a panel.

use std::time::Duration;

use crate::simulator::http::Cost;

/// What to simulate. Every field has a documented default.
#[derive(Clone)]
pub struct Options {
    /// How many users there are at the start; 100 by default. The first nineteen are a fixed cast with
    /// descriptive names (`bob_85pct`, `frank_expired3d`, …), the rest a realistic mix.
    pub users: usize,
    /// Seed of everything that is random; 1 by default.
    pub seed: u64,
    /// Nodes beside the master; 4 by default: two connected, one in error, one disabled.
    pub nodes: usize,
    /// The panel whose shapes it answers in; Marzban 0.8.4 by default.
    pub flavour: Flavour,
    /// Share links in each row of the user list, 270 bytes each; 10 by default. PasarGuard lists none.
    pub links_per_user: usize,
    /// Artificial delay; none by default.
    pub cost: Cost,
    /// How long a token lives; 24 hours by default. `None`: tokens carry no `exp` claim and never expire.
    pub token_lifetime: Option<Duration>,
    /// The sudo admin; `root` by default.
    pub username: String,
    /// The sudo admin's password; `root-password` by default.
    pub password: String,
    /// The non-sudo admin; a quarter of the users are its own; `reseller` by default.
    pub reseller: String,
    /// The non-sudo admin's password; `reseller-password` by default.
    pub reseller_password: String,
    /// The API key PasarGuard takes instead of a token; `pg_key_simulated` by default.
    pub api_key: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            users: 100,
            seed: 1,
            nodes: 4,
            flavour: Flavour::Marzban,
            links_per_user: 10,
            cost: Cost::default(),
            token_lifetime: Some(Duration::from_secs(24 * 60 * 60)),
            username: "root".to_owned(),
            password: "root-password".to_owned(),
            reseller: "reseller".to_owned(),
            reseller_password: "reseller-password".to_owned(),
            api_key: "pg_key_simulated".to_owned(),
        }
    }
}

/// The panel whose shapes the simulated one answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Marzban 0.8.4.
    Marzban,
    /// Marzban 0.7 and older: `/api/system` counts only all and active users, admins carry no usage and
    /// users no next plan; `Z` is no valid offset.
    Marzban07,
    /// PasarGuard 5.x, the successor.
    PasarGuard,
}

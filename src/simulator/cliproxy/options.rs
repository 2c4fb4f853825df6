//! What to simulate: the generation of a server, its keys, and its traffic.

use crate::simulator::http::Cost;

/// What every secret and all personal data contain, if [`Options::canaries`] is on.
pub const CANARY: &str = "canary-5d1e7c";
/// The addresses of clients, if [`Options::canaries`] is on.
pub const CANARY_ADDRESSES: [&str; 2] = ["203.0.113.77", "198.51.100.99"];

/// What to simulate. Every field has a documented default.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version whose routes, shapes and quirks it has; 7.2.140 by default.
    pub generation: Generation,
    /// Seed of everything that is random; 1 by default. The same seed gives the same attempts in each generation.
    pub seed: u64,
    /// The management key; `management-key` by default.
    pub key: String,
    /// What `X-CPA-VERSION` says; the version of the generation by default.
    pub version: Option<String>,
    /// The traffic in the time that [`advance`](super::Server::advance) simulates; people at work by default.
    pub traffic: Traffic,
    /// How many client keys there are; 5 by default. The first are a fixed cast of people and programs.
    pub clients: usize,
    /// How many models the openai-compatible provider has; 2 by default.
    pub models: usize,
    /// Credentials from files beyond the fixed cast; none by default.
    pub extra_files: usize,
    /// Makes every secret and all personal data contain [`CANARY`], or be one of
    /// [`CANARY_ADDRESSES`]; off by default.
    pub canaries: bool,
    /// The offset of the server's local time from UTC; 8 by default.
    pub utc_offset_hours: i8,
    /// How long the queue keeps a record; 60 by default.
    pub retention_seconds: u64,
    /// How many details a model of `/usage` has at most, as in 6.6.96; no limit by default.
    pub details_cap: Option<usize>,
    /// Whether clients of other hosts may manage it; on by default.
    pub allow_remote: bool,
    /// Whether 8.0 still serves `/v0/management`; on by default.
    pub serves_v0: bool,
    /// Artificial delay; none by default. A real server takes 150 to 300 ms to check a key.
    pub cost: Cost,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            generation: Generation::V7_2,
            seed: 1,
            key: "management-key".to_owned(),
            version: None,
            traffic: Traffic::People,
            clients: 5,
            models: 2,
            extra_files: 0,
            canaries: false,
            utc_offset_hours: 8,
            retention_seconds: 60,
            details_cap: None,
            allow_remote: true,
            serves_v0: true,
            cost: Cost::default(),
        }
    }
}

/// What happens on a server as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Nothing of its own.
    None,
    /// People and programs at work: calls in bursts through the day, failover, cooldowns, refusals, a credential
    /// whose quota runs out.
    People,
    /// So many attempts per second at equal intervals, each independent of the others. Credentials that cool down are
    /// used all the same.
    Steady(u32),
}

/// A version of CLIProxyAPI, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// 6.0.5: `/usage` without failures; no version anywhere; files without state.
    V6_0,
    /// 6.2.26: `/usage` with failures.
    V6_2,
    /// 6.6.55: `auth_index` is a number that depends on the start of the process.
    V6_6,
    /// 6.9.49: the last with `/usage`, and the first in which a ban includes localhost.
    V6_9,
    /// 6.10.0 to 6.10.7: neither `/usage` nor `/usage-queue`. What they have instead, RESP, is not simulated.
    V6_10_0,
    /// 6.10.8: the first with `/usage-queue`.
    V6_10,
    /// 7.2.140.
    V7_2,
    /// 7.3: cooldowns and quotas of credentials.
    V7_3,
    /// 8.0: `/v8/management`.
    V8_0,
}

impl Generation {
    /// Every one.
    pub const ALL: [Generation; 9] = [
        Generation::V6_0,
        Generation::V6_2,
        Generation::V6_6,
        Generation::V6_9,
        Generation::V6_10_0,
        Generation::V6_10,
        Generation::V7_2,
        Generation::V7_3,
        Generation::V8_0,
    ];

    /// The version that it simulates.
    pub fn version(self) -> &'static str {
        match self {
            Generation::V6_0 => "6.0.5",
            Generation::V6_2 => "6.2.26",
            Generation::V6_6 => "6.6.55",
            Generation::V6_9 => "6.9.49",
            Generation::V6_10_0 => "6.10.4",
            Generation::V6_10 => "6.10.8",
            Generation::V7_2 => "7.2.140",
            Generation::V7_3 => "7.3.9",
            Generation::V8_0 => "8.0.15",
        }
    }

    /// Whether `/usage` exists.
    pub fn has_snapshot(self) -> bool {
        self <= Generation::V6_9
    }

    /// Whether `/usage-queue` exists.
    pub fn has_queue(self) -> bool {
        self >= Generation::V6_10
    }

    /// `X-CPA-VERSION` came in 6.3.36.
    pub(super) fn says_version(self) -> bool {
        self >= Generation::V6_6
    }

    /// Counters of credentials, and `/api-key-usage`, came in 6.9.47 to 6.9.49.
    pub(super) fn counts_credentials(self) -> bool {
        self >= Generation::V6_9
    }

    pub(super) fn bans_localhost(self) -> bool {
        self >= Generation::V6_9
    }
}

//! The panel's host and the sums over its users, as Marzban shows them.

use serde::Serialize;

use super::options::Flavour;
use super::state::{State, scatter};
use crate::simulator::http::Answer;

pub(super) const VERSION: &str = "0.8.4";
pub(super) const VERSION_07: &str = "0.7.0";

#[derive(Serialize)]
struct SystemView {
    version: &'static str,
    #[serde(flatten)]
    machine: Machine,
    total_user: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    online_users: Option<usize>,
    users_active: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    users_on_hold: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users_disabled: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users_expired: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users_limited: Option<usize>,
    incoming_bandwidth: u64,
    outgoing_bandwidth: u64,
    incoming_bandwidth_speed: u64,
    outgoing_bandwidth_speed: u64,
}

/// The panel's host, with the same values on every call, except for load and memory.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) mem_total: u64,
    pub(super) mem_used: u64,
    pub(super) cpu_cores: u64,
    pub(super) cpu_usage: f64,
}

impl Machine {
    pub(super) fn of(state: &State) -> Machine {
        let chance = scatter(state.seed, state.answers);
        let per_mille = u32::try_from(chance % 600).unwrap_or(0);
        Machine {
            mem_total: 4_109_463_552,
            mem_used: 1_300_000_000 + (chance >> 32) % 50_000_000,
            cpu_cores: 2,
            cpu_usage: f64::from(per_mille) / 10.0,
        }
    }
}

pub(super) fn answer(state: &State, now_ms: i64, caller: usize) -> Answer {
    let totals = state.totals(now_ms, |user| state.may_read(caller, user));
    let since_08 = state.flavour == Flavour::Marzban;
    Answer::json(
        200,
        &SystemView {
            version: if since_08 { VERSION } else { VERSION_07 },
            machine: Machine::of(state),
            total_user: totals.users,
            online_users: since_08.then_some(totals.online),
            users_active: totals.active,
            users_on_hold: since_08.then_some(totals.on_hold),
            users_disabled: since_08.then_some(totals.disabled),
            users_expired: since_08.then_some(totals.expired),
            users_limited: since_08.then_some(totals.limited),
            incoming_bandwidth: state.incoming_bandwidth,
            outgoing_bandwidth: state.outgoing_bandwidth,
            incoming_bandwidth_speed: state.incoming_speed,
            outgoing_bandwidth_speed: state.outgoing_speed,
        },
    )
}

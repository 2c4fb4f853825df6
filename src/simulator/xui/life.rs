//! How time changes a panel: traffic is counted, clients start, expire, use up their quota and renew themselves.

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::options::Generation;
use super::state::{Client, Core, Inbound, Node, State};

/// A long stretch is simulated in at most so many ticks.
const MAX_TICKS: i64 = 2_000;
const MAX_SAMPLES: usize = 2_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Simulates the `ms` up to `now_ms`; 0: one tick now.
pub(super) fn advance(state: &mut State, now_ms: i64, ms: u64) {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX).min(now_ms.max(0));
    let tick_ms = state.generation.tick_ms();
    if ms == 0 {
        return tick(state, now_ms, tick_ms, Own::None);
    }
    let step_ms = tick_ms.saturating_mul((ms / tick_ms / MAX_TICKS).max(1));
    let mut at_ms = (now_ms - ms).div_euclid(step_ms) * step_ms + step_ms;
    while at_ms <= now_ms {
        tick(state, at_ms, step_ms, Own::Moved);
        at_ms += step_ms;
    }
}

/// Whether clients move traffic of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Moved,
    None,
}

/// What happens when the panel writes its counters.
fn tick(state: &mut State, at_ms: i64, length_ms: i64, own: Own) {
    let was_ms = at_ms - length_ms;
    count(state, at_ms, length_ms, own);
    for inbound in &mut state.inbounds {
        if is_reset(inbound, was_ms, at_ms) {
            (inbound.up, inbound.down, inbound.last_reset_ms) = (0, 0, at_ms);
            inbound.switched_off = false;
            let of_inbound = |client: &&mut Client| client.inbound_ids.contains(&inbound.id);
            state.clients.iter_mut().filter(of_inbound).for_each(reset);
        }
        inbound.switched_off |= inbound.is_depleted(at_ms);
    }
    let mut switched_off = false;
    for client in &mut state.clients {
        if state.generation != Generation::V1_7 && state.generation != Generation::Vaxilu {
            renew(client, at_ms);
        }
        if !client.switched_off && client.is_depleted(at_ms) {
            client.switched_off = true;
            switched_off = true;
        }
    }
    // From 3.0 on the panel restarts xray to switch a client off.
    if switched_off && state.generation.loses_first_value() && state.core == Core::Running {
        state.core_started_at_ms = at_ms;
        state.clients.iter_mut().for_each(|client| client.counter_seen = false);
    }
    let online = match (state.core, state.generation) {
        (Core::Running, Generation::V3_1) => 0,
        (Core::Running, _) => state.online(at_ms).count(),
        _ => 0,
    };
    state.online_samples.push_back((at_ms, online));
    if state.online_samples.len() > MAX_SAMPLES {
        state.online_samples.pop_front();
    }
}

/// Adds what was moved since the last tick to the counters.
fn count(state: &mut State, at_ms: i64, length_ms: i64, own: Own) {
    if state.core != Core::Running {
        state.clients.iter_mut().for_each(|client| client.pending = (0, 0));
        return;
    }
    // 3.6 takes its first reading after a start of xray as the one to compare with.
    let only_read = state.generation >= Generation::V3_6 && state.ticked_at_ms.is_none();
    let reached = |inbound: &&Inbound| {
        let node = state.nodes.iter().find(|node| Some(node.id) == inbound.node_id);
        inbound.is_on() && node.is_none_or(Node::is_online)
    };
    let open: HashSet<i64> = state.inbounds.iter().filter(reached).map(|inbound| inbound.id).collect();
    let (mut all_up, mut all_down) = (0_u64, 0_u64);
    for client in &mut state.clients {
        let (mut up, mut down) = std::mem::take(&mut client.pending);
        if own == Own::Moved && is_busy(client, at_ms) {
            let seconds = u64::try_from(length_ms / 1000).unwrap_or(0);
            let bytes = client.bytes_per_second.saturating_mul(seconds);
            up = up.saturating_add(bytes / 10);
            down = down.saturating_add(bytes);
        }
        let through = client.inbound_ids.iter().find(|id| open.contains(id));
        let Some(through) = through.filter(|_| client.enable && !client.switched_off) else { continue };
        if (up == 0 && down == 0) || only_read {
            continue;
        }
        all_up = all_up.saturating_add(up);
        all_down = all_down.saturating_add(down);
        if let Some(inbound) = state.inbounds.iter_mut().find(|inbound| inbound.id == *through) {
            inbound.up = inbound.up.saturating_add(up);
            inbound.down = inbound.down.saturating_add(down);
            inbound.all_time = inbound.all_time.saturating_add(up).saturating_add(down);
        }
        if !std::mem::replace(&mut client.counter_seen, true) && state.generation.loses_first_value() {
            continue;
        }
        client.up = client.up.saturating_add(up);
        client.down = client.down.saturating_add(down);
        client.all_time = client.all_time.saturating_add(up).saturating_add(down);
        client.last_online_ms = at_ms;
        if client.expiry_ms < 0 {
            client.expiry_ms = at_ms.saturating_sub(client.expiry_ms);
        }
    }
    if let Some(direct) = state.outbounds.iter_mut().find(|outbound| outbound.tag == "direct") {
        direct.up = direct.up.saturating_add(all_up);
        direct.down = direct.down.saturating_add(all_down);
    }
    state.ticked_at_ms = Some(at_ms);
}

/// Whether a client moves traffic by itself, which changes every ten minutes.
fn is_busy(client: &Client, at_ms: i64) -> bool {
    let stretch = at_ms.div_euclid(600_000).unsigned_abs();
    let mixed = (stretch ^ client.id.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_mul(0xff51_afd7_ed55_8ccd);
    client.bytes_per_second > 0 && (mixed >> 56) <= u64::from(client.busy)
}

pub(super) fn reset(client: &mut Client) {
    (client.up, client.down, client.switched_off) = (0, 0, false);
}

/// Starts the next period of a client that renews itself.
fn renew(client: &mut Client, at_ms: i64) {
    let period_ms = client.reset_days.saturating_mul(DAY_MS);
    if period_ms <= 0 || client.expiry_ms <= 0 || client.expiry_ms > at_ms {
        return;
    }
    let periods = (at_ms - client.expiry_ms) / period_ms + 1;
    client.expiry_ms = client.expiry_ms.saturating_add(periods.saturating_mul(period_ms));
    client.enable = true;
    reset(client);
}

/// Whether a periodic reset is due within `(was_ms, at_ms]`.
fn is_reset(inbound: &Inbound, was_ms: i64, at_ms: i64) -> bool {
    let date = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(TimeZone::UTC).date();
    let (was, at) = (date(was_ms), date(at_ms));
    // Weeks begin on Sunday.
    let week = |date: Date| date.checked_sub(i64::from(date.weekday().to_sunday_zero_offset()).days()).ok();
    match inbound.traffic_reset.as_str() {
        "daily" => was != at,
        "weekly" => week(was) != week(at),
        "monthly" => was.first_of_month() != at.first_of_month(),
        _ => false,
    }
}

/// Starts xray, or starts it again.
pub(super) fn start_core(state: &mut State, now_ms: i64) {
    state.core = Core::Running;
    state.core_started_at_ms = now_ms;
    state.ticked_at_ms = None;
    state.clients.iter_mut().for_each(|client| client.counter_seen = false);
}

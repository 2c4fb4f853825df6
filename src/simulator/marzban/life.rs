//! The panel's life between two polls: traffic, hour buckets, and the jobs that change statuses.
//!
//! Whether a user is busy depends on the seed, the user and the ten-minute slot, not on the lengths of the steps:
//! ten steps of six seconds and one of a minute give nearly the same panel.

use super::options::Flavour;
use super::state::{NodeStatus, Roster, State, Status, Traffic, User, scatter};

const SECOND_MS: i64 = 1000;
const SLOT_MS: i64 = 600 * SECOND_MS;
const HOUR_MS: i64 = 3600 * SECOND_MS;

/// Simulates the `seconds` that end at `now_ms`.
pub(super) fn advance(state: &mut State, now_ms: i64, seconds: u64) {
    let length_ms = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND_MS);
    let mut from_ms = now_ms.saturating_sub(length_ms).max(0);
    let before = (state.incoming_bandwidth, state.outgoing_bandwidth);
    while from_ms < now_ms {
        let slot_end_ms = (from_ms.div_euclid(SLOT_MS) + 1) * SLOT_MS;
        let to_ms = slot_end_ms.min(now_ms);
        move_traffic(state, from_ms, to_ms);
        review(&mut state.users, state.flavour, to_ms);
        if to_ms.rem_euclid(HOUR_MS) == 0 {
            reset_periodically(&mut state.users, to_ms);
        }
        from_ms = to_ms;
    }
    review(&mut state.users, state.flavour, now_ms);
    let per_second = |now: u64, then: u64| now.saturating_sub(then).checked_div(seconds).unwrap_or(0);
    state.incoming_speed = per_second(state.incoming_bandwidth, before.0);
    state.outgoing_speed = per_second(state.outgoing_bandwidth, before.1);
}

/// One user moves `bytes` through the master.
pub(super) fn use_traffic(state: &mut State, now_ms: i64, username: &str, bytes: u64) -> bool {
    let mut owner = None;
    let found = state.users.edit(username, |user| {
        user.used_traffic = user.used_traffic.saturating_add(bytes);
        user.online_at_ms = Some(now_ms);
        owner = user.owner;
    });
    if !found {
        return false;
    }
    if let Some(admin) = owner.and_then(|owner| state.admins.get_mut(owner)) {
        admin.users_usage += bytes;
    }
    carry(state, 0, now_ms, bytes);
    true
}

/// A reset, by hand or by the clock: it makes every user active and removes its next plan.
pub(super) fn reset(user: &mut User, now_ms: i64) {
    user.used_before_resets = user.lifetime_used_traffic();
    user.used_traffic = 0;
    user.status = Status::Active;
    user.next_plan = None;
    user.reset_at_ms = now_ms;
}

/// The bytes a user moved on each of `nodes` since its last reset, in halves of a byte: a node whose coefficient is
/// not whole leaves fractions.
///
/// The panel keeps no history per user; the shares follow from the seed.
pub(super) fn halves_by_node(state: &State, user: &User) -> Vec<u64> {
    let carriers: Vec<bool> = state.nodes.iter().map(carries_ever).collect();
    let weights: Vec<u64> = (0..)
        .zip(&carriers)
        .map(
            |(node, carries)| {
                if *carries { 1 + scatter(state.seed, u64::from(user.id) * 64 + node) % 100 } else { 0 }
            },
        )
        .collect();
    let total: u64 = weights.iter().sum::<u64>().max(1);
    state
        .nodes
        .iter()
        .zip(weights)
        .map(|(node, weight)| {
            let bytes = user.used_traffic / total * weight;
            let fraction = node.usage_coefficient.fract() != 0.0 && bytes % 2 == 1;
            bytes * 2 + u64::from(fraction)
        })
        .collect()
}

/// How much is used at this time of the day, in percent of the mean: least at four in the morning (UTC), most twelve hours
/// later.
fn wave(at_ms: i64) -> u64 {
    let hours_from_least = (at_ms.div_euclid(3_600_000) - 4).rem_euclid(24);
    let hours_from_most = (hours_from_least - 12).unsigned_abs();
    40 + (12 - hours_from_most) * 10
}

fn carries_ever(node: &super::state::Node) -> bool {
    node.is_master() || matches!(node.status, NodeStatus::Connected)
}

fn move_traffic(state: &mut State, from_ms: i64, to_ms: i64) {
    let core_started = state.core_started;
    let carriers: Vec<(usize, f64)> = (0..)
        .zip(&state.nodes)
        .filter(
            |(_, node)| if node.is_master() { core_started } else { node.status == NodeStatus::Connected },
        )
        .map(|(index, node)| (index, node.usage_coefficient))
        .collect();
    if carriers.is_empty() || !state.recording {
        return;
    }
    let slot = from_ms.div_euclid(SLOT_MS).unsigned_abs();
    let length_ms = to_ms.abs_diff(from_ms);
    let seed = state.seed;
    let mut by_node = vec![0_u64; state.nodes.len()];
    let mut by_admin = vec![0_u64; state.admins.len()];
    for user in state.users.oldest_first_mut_if(|user| is_busy(seed, slot, user)) {
        let chance = scatter(seed ^ slot, u64::from(user.id));
        let bytes = u64::from(user.bytes_per_second) * length_ms / 1000 * (50 + chance % 100) / 100;
        let bytes = bytes * wave(from_ms) / 100;
        let pick = usize::try_from(chance >> 40).unwrap_or(0) % carriers.len();
        let Some((node, coefficient)) = carriers.get(pick).copied() else { continue };
        let weighted = weighted(bytes, coefficient);
        user.used_traffic = user.used_traffic.saturating_add(weighted);
        user.online_at_ms = Some(to_ms);
        if let Some(sum) = by_node.get_mut(node) {
            *sum += bytes;
        }
        if let Some(sum) = user.owner.and_then(|owner| by_admin.get_mut(owner)) {
            *sum += weighted;
        }
    }
    for (admin, bytes) in state.admins.iter_mut().zip(by_admin) {
        admin.users_usage += bytes;
    }
    for (node, bytes) in by_node.into_iter().enumerate() {
        // The last millisecond of the stretch, so that one that ends with the hour falls into that hour.
        carry(state, node, to_ms - 1, bytes);
    }
}

fn is_busy(seed: u64, slot: u64, user: &User) -> bool {
    let may = matches!(user.status, Status::Active | Status::OnHold);
    may && user.bytes_per_second > 0 && scatter(seed ^ slot, u64::from(user.id)) >> 56 < u64::from(user.busy)
}

/// A tenth of the bytes goes up, the rest comes down.
fn carry(state: &mut State, node: usize, at_ms: i64, bytes: u64) {
    let Some(node) = state.nodes.get_mut(node) else { return };
    if bytes == 0 {
        return;
    }
    let (uplink, downlink) = (bytes / 10, bytes - bytes / 10);
    let hour_s = at_ms.div_euclid(HOUR_MS) * 3600;
    let bucket: &mut Traffic = node.buckets.entry(hour_s).or_default();
    bucket.uplink += uplink;
    bucket.downlink += downlink;
    state.incoming_bandwidth += uplink;
    state.outgoing_bandwidth += downlink;
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bytes of one stretch are far below 2^53, and the panel truncates too"
)]
fn weighted(bytes: u64, coefficient: f64) -> u64 {
    (bytes as f64 * coefficient) as u64
}

/// The status job. It looks only at active and waiting users; over quota wins over expired, and neither is left
/// by itself.
fn review(users: &mut Roster, flavour: Flavour, now_ms: i64) {
    for user in users.oldest_first_mut_if(|user| is_due(user, now_ms)) {
        if user.status == Status::OnHold {
            user.status = Status::Active;
            user.expire = user.on_hold_expire_duration.map(|length| now_ms.div_euclid(1000) + length);
            user.on_hold_expire_duration = None;
            user.on_hold_timeout_ms = None;
            continue;
        }
        let (limited, expired) = (user.is_over_quota(), user.is_past_expiry(now_ms));
        let next = user.next_plan.filter(|plan| plan.fire_on_either || (limited && expired));
        match next {
            Some(plan) => {
                let rest = user.data_limit.unwrap_or(0).saturating_sub(user.used_traffic);
                // Marzban 0.8.4 inverts the flag.
                let adds_rest = plan.add_remaining_traffic == (flavour == Flavour::PasarGuard);
                reset(user, now_ms);
                user.data_limit = plan.data_limit.map(|limit| limit + if adds_rest { rest } else { 0 });
                user.expire = match flavour {
                    Flavour::PasarGuard => plan.expire.map(|length| now_ms.div_euclid(1000) + length),
                    Flavour::Marzban | Flavour::Marzban07 => plan.expire,
                };
            }
            None => user.status = if limited { Status::Limited } else { Status::Expired },
        }
    }
}

fn is_due(user: &User, now_ms: i64) -> bool {
    match user.status {
        Status::Active => user.is_over_quota() || user.is_past_expiry(now_ms),
        Status::OnHold => {
            user.online_at_ms.is_some_and(|at| at >= user.edited_at_ms)
                || user.on_hold_timeout_ms.is_some_and(|at| at <= now_ms)
        }
        Status::Disabled | Status::Limited | Status::Expired => false,
    }
}

fn reset_periodically(users: &mut Roster, now_ms: i64) {
    let due = |user: &User| {
        matches!(user.status, Status::Active | Status::Limited)
            && user
                .data_limit_reset_strategy
                .period_ms()
                .is_some_and(|period| now_ms - user.reset_at_ms >= period)
    };
    for user in users.oldest_first_mut_if(due) {
        reset(user, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::{NextPlan, ResetStrategy};
    use super::*;

    const NOW_MS: i64 = 1_795_227_832_000;

    #[test]
    fn the_status_job_decides_as_the_panel_does() {
        let past = Some(NOW_MS / 1000 - 60);
        let future = Some(NOW_MS / 1000 + 60);
        let cases = [
            (Status::Active, 5, past, Status::Limited),
            (Status::Active, 4, past, Status::Expired),
            (Status::Active, 4, Some(0), Status::Active),
            (Status::Active, 4, future, Status::Active),
            (Status::Limited, 4, past, Status::Limited),
            (Status::Expired, 4, future, Status::Expired),
            (Status::Disabled, 9, past, Status::Disabled),
        ];
        for (before, used, expire, after) in cases {
            let mut user = User::new("someone", NOW_MS - HOUR_MS);
            user.status = before;
            user.used_traffic = used;
            user.data_limit = Some(5);
            user.expire = expire;
            let mut users = Roster::of(vec![user]);
            review(&mut users, Flavour::Marzban, NOW_MS);
            assert_eq!(users.get("someone").unwrap().status, after, "{before:?} {used} {expire:?}");
        }
    }

    #[test]
    fn a_user_on_hold_starts_with_its_first_traffic_or_its_timeout() {
        let cases = [
            (None, None, Status::OnHold),
            (Some(NOW_MS - 2 * HOUR_MS), None, Status::OnHold),
            (Some(NOW_MS - SECOND_MS), None, Status::Active),
            (None, Some(NOW_MS), Status::Active),
            (None, Some(NOW_MS + 1), Status::OnHold),
        ];
        for (online, timeout, after) in cases {
            let mut user = User::new("someone", NOW_MS - HOUR_MS);
            user.status = Status::OnHold;
            user.on_hold_expire_duration = Some(86_400);
            user.online_at_ms = online;
            user.on_hold_timeout_ms = timeout;
            let mut users = Roster::of(vec![user]);
            review(&mut users, Flavour::Marzban, NOW_MS);
            let user = users.get("someone").unwrap();
            assert_eq!(user.status, after, "{online:?} {timeout:?}");
            if after == Status::Active {
                assert_eq!(user.expire, Some(NOW_MS / 1000 + 86_400));
                assert_eq!((user.on_hold_expire_duration, user.on_hold_timeout_ms), (None, None));
            }
        }
    }

    #[test]
    fn a_next_plan_follows_and_marzban_inverts_the_rest() {
        let plan = NextPlan {
            data_limit: Some(10),
            expire: Some(86_400),
            add_remaining_traffic: false,
            fire_on_either: true,
        };
        for (flavour, limit, expire) in
            [(Flavour::Marzban, 13, 86_400), (Flavour::PasarGuard, 10, NOW_MS / 1000 + 86_400)]
        {
            let mut user = User::new("someone", NOW_MS - HOUR_MS);
            (user.used_traffic, user.data_limit) = (2, Some(5));
            user.expire = Some(NOW_MS / 1000 - 1);
            user.next_plan = Some(plan);
            let mut users = Roster::of(vec![user]);
            review(&mut users, flavour, NOW_MS);
            let user = users.get("someone").unwrap();
            assert_eq!((user.data_limit, user.expire), (Some(limit), Some(expire)), "{flavour:?}");
            assert_eq!((user.used_traffic, user.lifetime_used_traffic()), (0, 2));
            assert_eq!((user.status, user.next_plan), (Status::Active, None));
        }
    }

    #[test]
    fn periodic_resets_count_from_the_last_one() {
        let mut due = User::new("due", NOW_MS - 25 * HOUR_MS);
        let mut early = User::new("early", NOW_MS - 23 * HOUR_MS);
        for user in [&mut due, &mut early] {
            user.data_limit_reset_strategy = ResetStrategy::Day;
            user.status = Status::Limited;
            user.used_traffic = 7;
        }
        let mut users = Roster::of(vec![due, early]);
        reset_periodically(&mut users, NOW_MS);
        assert_eq!(users.get("due").unwrap().status, Status::Active);
        assert_eq!(users.get("due").unwrap().lifetime_used_traffic(), 7);
        assert_eq!(users.get("early").unwrap().used_traffic, 7);
    }
}

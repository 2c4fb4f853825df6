//! The state of targets and their parts, in the words of pages and answers.

use serde::Serialize;

use crate::model::{Moment, NodeStatus, Outcome, Part, Report};

/// The state of a target as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TargetState {
    Up,
    /// It answers, but some part of its data is too old to be shown.
    PartlyStale,
    Down,
    NotTried,
}

impl TargetState {
    pub(super) fn of(report: &Report, now: Moment) -> Self {
        match report.up {
            None => TargetState::NotTried,
            Some(false) => TargetState::Down,
            Some(true) if report.parts.keys().any(|part| is_stale(report, *part, now)) => {
                TargetState::PartlyStale
            }
            Some(true) => TargetState::Up,
        }
    }
}

/// Whether the data of a part is too old to be shown, or was never read although it was tried.
pub(super) fn is_stale(report: &Report, part: Part, now: Moment) -> bool {
    let Some(known) = report.parts.get(&part) else { return false };
    match known.outcome {
        Outcome::Refused => false,
        // Its first page is under way.
        Outcome::Pending if known.last_data.is_none() => false,
        Outcome::Up | Outcome::Pending | Outcome::Failed { .. } => !report.fresh(part, now),
    }
}

/// Numbers of a target that are known and not stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) users: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) users_online: Option<u64>,
    /// Rows of the user list by the panel's own count, if it differs from what the last complete read found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) counted_otherwise: Option<u64>,
    /// Those that are not turned off and whose state is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nodes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nodes_up: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inbounds: Option<u64>,
    /// Those that are switched on, if the panel says this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inbounds_enabled: Option<u64>,
    /// Those that are probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outbounds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outbounds_up: Option<u64>,
}

impl Counts {
    pub(super) fn of(report: &Report, now: Moment) -> Self {
        let mut counts = Counts { users_online: report.users_online(now), ..Counts::default() };
        counts.users = report.users_in_all(now);
        if report.all_users(now).is_some() {
            counts.counted_otherwise =
                report.users.counted_otherwise().and_then(|total| u64::try_from(total).ok());
        }
        if report.fresh(Part::Nodes, now) {
            let with = |is: fn(NodeStatus) -> bool| {
                number(&report.nodes, |node| !node.status_unread && is(node.status))
            };
            counts.nodes = with(|status| status != NodeStatus::Disabled);
            counts.nodes_up = with(|status| status == NodeStatus::Connected);
        }
        if report.fresh(Part::Inbounds, now) {
            let told = report.inbounds.iter().any(|inbound| inbound.enabled.is_some());
            counts.inbounds = number(&report.inbounds, |_| true);
            counts.inbounds_enabled =
                number(&report.inbounds, |inbound| inbound.enabled == Some(true)).filter(|_| told);
        }
        if report.fresh(Part::Outbounds, now) {
            counts.outbounds = number(&report.outbounds, |outbound| outbound.up.is_some());
            counts.outbounds_up = number(&report.outbounds, |outbound| outbound.up == Some(true));
        }
        counts
    }
}

fn number<T>(list: &[T], is: impl Fn(&T) -> bool) -> Option<u64> {
    u64::try_from(list.iter().filter(|row| is(row)).count()).ok()
}

//! The panel itself, its host, its core and its admins.

use std::collections::HashSet;

use super::list::{List, ratio};
use crate::{
    model::{Admin, Core, Host, Identity, ProxyTraffic, System, UserCounts, UserStatus},
    upstream::json::{Object, Rows},
};

/// The facts of `/api/system`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::upstream::marzban) struct SystemFacts {
    pub(in crate::upstream::marzban) identity: Identity,
    pub(in crate::upstream::marzban) host: Host,
    pub(in crate::upstream::marzban) proxy_traffic: ProxyTraffic,
    pub(in crate::upstream::marzban) counts: UserCounts,
}

/// The fields of the counts by status, in Marzban and in PasarGuard, which reversed the words. Marzban up to 0.7 has only
/// the first.
const COUNTS: [(UserStatus, &str, &str); 5] = [
    (UserStatus::Active, "users_active", "active_users"),
    (UserStatus::OnHold, "users_on_hold", "on_hold_users"),
    (UserStatus::Disabled, "users_disabled", "disabled_users"),
    (UserStatus::Expired, "users_expired", "expired_users"),
    (UserStatus::Limited, "users_limited", "limited_users"),
];

/// The facts of `GET /api/system`; absent: the answer is neither Marzban's nor PasarGuard's.
pub(in crate::upstream::marzban) fn system(answer: &Object<'_>) -> Option<SystemFacts> {
    let system = system_of(answer)?;
    let by_status = COUNTS.iter().filter_map(|(status, marzban, pasarguard)| {
        let field = if system == System::PasarGuard { pasarguard } else { marzban };
        Some((*status, answer.count(field)?))
    });
    // The same key means the last day in Marzban and the last two minutes in PasarGuard.
    let online = answer.count("online_users");
    let (online, seen_within_day) =
        if system == System::PasarGuard { (online, None) } else { (None, online) };
    let version = answer.text("version").unwrap_or_default();
    Some(SystemFacts {
        identity: Identity { system, generation: generation(system, &version), version },
        host: Host {
            cpu_usage: ratio(answer, "cpu_usage"),
            cpu_cores: answer.count("cpu_cores"),
            memory_used: answer.count("mem_used"),
            memory_size: answer.count("mem_total"),
            disk_used: answer.count("disk_used"),
            disk_size: answer.count("disk_total"),
            uptime: answer.number("uptime_seconds").map(|seconds| seconds.max(0.0)),
            ..Host::default()
        },
        proxy_traffic: ProxyTraffic {
            uplink: answer.count("incoming_bandwidth"),
            downlink: answer.count("outgoing_bandwidth"),
        },
        counts: UserCounts {
            total: answer.count("total_user"),
            by_status: by_status.collect(),
            by_status_at: None,
            online,
            seen_within_day,
        },
    })
}

/// The system whose answer has these fields, whatever is in them.
fn system_of(answer: &Object<'_>) -> Option<System> {
    if COUNTS.iter().any(|(_, _, pasarguard)| answer.has(pasarguard)) {
        Some(System::PasarGuard)
    } else if COUNTS.iter().any(|(_, marzban, _)| answer.has(marzban))
        || (answer.has("total_user") && answer.has("incoming_bandwidth"))
    {
        Some(System::Marzban)
    } else {
        None
    }
}

/// Marzban changes its API with the minor version, PasarGuard with the major one.
fn generation(system: System, version: &str) -> String {
    let numbers = if system == System::PasarGuard { 1 } else { 2 };
    version.trim_start_matches('v').split('.').take(numbers).collect::<Vec<_>>().join(".")
}

/// Whether this account, by `GET /api/admin`, sees the whole panel in `/api/system`; absent: the answer does not say.
/// Marzban and PasarGuard up to 4 have `is_sudo`. A role of PasarGuard 5 may read all users (scope 2), its own (1), or none.
pub(in crate::upstream::marzban) fn sees_all(account: &Object<'_>) -> Option<bool> {
    const ALL: i64 = 2;
    if let Some(sudo) = account.flag("is_sudo") {
        return Some(sudo);
    }
    let role = account.object("role")?;
    if role.flag("is_owner") == Some(true) {
        return Some(true);
    }
    let users = role.object("permissions")?.object("users");
    Some(users.and_then(|users| users.object("read")?.integer("scope")) == Some(ALL))
}

/// `GET /api/core`.
pub(in crate::upstream::marzban) fn core(answer: &Object<'_>) -> Core {
    Core { up: answer.flag("started"), version: answer.text("version"), uptime: None }
}

/// A row of `GET /api/admins`.
fn admin(row: &Object<'_>) -> Option<Admin> {
    let name = row.identity("username").ok()?.into_owned();
    // PasarGuard has roles in place of `is_sudo` from 5.0 on, and `used_traffic` in place of `users_usage`.
    let sudo = row.flag("is_sudo").or_else(|| row.object("role")?.flag("is_owner"));
    let used = row.count("users_usage").or_else(|| row.count("used_traffic"));
    Some(Admin { name, sudo, used, limit: row.count("data_limit").filter(|limit| *limit > 0) })
}

/// The admins, each once, and the number of rows left out.
pub(in crate::upstream::marzban) fn admins(answer: &List<'_>) -> Option<Rows<Admin>> {
    let mut names = HashSet::new();
    answer.rows("admin", |row| admin(&row).filter(|admin| names.insert(admin.name.clone())))
}

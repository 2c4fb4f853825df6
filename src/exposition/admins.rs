//! Series about the admins of a panel.

use std::collections::BTreeMap;

use super::{family::families, text::Text, view::View};
use crate::model::{Admin, ByStatus, Part, SortedUsers};

families! {
    ADMIN_USED = Gauge("admin_used_bytes", ["target", "admin"],
        "Bytes transferred by the admin's users, as counted and reset by the panel (users_usage); polled.");
    ADMIN_LIMIT = Gauge("admin_limit_bytes", ["target", "admin"],
        "Bytes that the admin's users may use: admin_limits of the configuration, otherwise the panel's own limit (data_limit); no series if unlimited. Polled.");
    ADMIN_INFO = Info("admin_info", ["target", "admin", "sudo"],
        "Whether the admin has all permissions (is_sudo); polled.");
    USERS_BY_ADMIN = Gauge("users_by_admin", ["target", "admin", "status"],
        "Users of an admin (admin.username) by status, counted from the polled list; of the first 2,000 admins by name.");
}

/// Admins whose users are counted.
const MOST: usize = 2000;

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
    let mut each = |family, value: fn(&Admin) -> Option<u64>| {
        let mut series = text.family(family);
        for view in views {
            for admin in fresh(view) {
                if let Some(value) = value(admin) {
                    series.add(&[view.target(), &admin.name], value);
                }
            }
        }
    };
    each(&ADMIN_USED, |admin| admin.used);
    each(&ADMIN_LIMIT, |admin| admin.limit);
    let mut series = text.family(&ADMIN_INFO);
    for view in views {
        for admin in fresh(view) {
            let sudo = match admin.sudo {
                Some(true) => "true",
                Some(false) => "false",
                None => "",
            };
            series.add(&[view.target(), &admin.name, sudo], true);
        }
    }
    let mut series = text.family(&USERS_BY_ADMIN);
    for view in views {
        for (admin, counts) in view.all_users().map(users_of).unwrap_or_default() {
            for (status, users) in counts.shown() {
                series.add(&[view.target(), admin, status.label()], users);
            }
        }
    }
}

/// The users of each admin, by status.
fn users_of(users: &SortedUsers) -> BTreeMap<&str, ByStatus> {
    let mut admins: BTreeMap<&str, ByStatus> = BTreeMap::new();
    for user in users.iter() {
        let Some(owner) = user.owner.as_deref() else { continue };
        admins.entry(owner).or_default().add(user.status);
        if admins.len() > MOST {
            admins.pop_last();
        }
    }
    admins
}

fn fresh<'a>(view: &View<'a>) -> &'a [Admin] {
    view.if_fresh_list(Part::Admins, &view.report.admins)
}

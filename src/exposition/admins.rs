//! Series about the admins of a panel.

use super::{family::families, text::Text, view::View};
use crate::model::{Admin, Part};

families! {
    ADMIN_USED = Gauge("admin_used_bytes", ["target", "admin"],
        "Bytes transferred by the admin's users, as counted and reset by the panel (users_usage); polled.");
    ADMIN_INFO = Info("admin_info", ["target", "admin", "sudo"],
        "Whether the admin has all permissions (is_sudo); polled.");
}

pub(super) fn write(text: &mut Text, views: &[View<'_>]) {
    let mut series = text.family(&ADMIN_USED);
    for view in views {
        for admin in fresh(view) {
            if let Some(used) = admin.used {
                series.add(&[view.target(), &admin.name], used);
            }
        }
    }
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
}

fn fresh<'a>(view: &View<'a>) -> &'a [Admin] {
    view.if_fresh_list(Part::Admins, &view.report.admins)
}

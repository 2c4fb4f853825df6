//! Series about users and nodes.

use super::{family::families, text::Text, view::View};
use crate::model::Part;

families! {
    USER_NODE_TRAFFIC = Counter("user_node_traffic_bytes_total", ["target", "user", "node"],
        "Bytes transferred by the user through a node since first seen (used_traffic of /api/user/NAME/usage), for users named in the configuration; polled.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
    let mut series = text.family(&USER_NODE_TRAFFIC);
    for view in views {
        let traffic = view.if_fresh_list(Part::UserNodes, &view.report.user_nodes).iter();
        let labelled = traffic.filter_map(|traffic| Some((view.naming.label(&traffic.user)?, traffic)));
        let mut labelled: Vec<_> = labelled.collect();
        if view.naming.hashes() {
            labelled.sort_by(|(user, _), (other, _)| user.cmp(other));
        }
        for (user, traffic) in labelled {
            series.add(&[view.target(), &user, &traffic.node], traffic.bytes);
        }
    }
}

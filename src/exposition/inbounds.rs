//! Series about the inbounds of a panel.

use super::{family::families, text::Text, view::View};
use crate::model::{Inbound, Part};

families! {
    INBOUND_INFO = Info("inbound_info", ["target", "inbound", "protocol", "port", "remark", "node"],
        "Protocol, port, remark and node of an inbound, as far as the panel has them (tag, protocol and port of /api/inbounds); polled.");
}

pub(super) fn write(text: &mut Text, views: &[View<'_>]) {
    let mut series = text.family(&INBOUND_INFO);
    for view in views {
        for Inbound { label, protocol, port, remark, node, .. } in
            view.if_fresh_list(Part::Inbounds, &view.report.inbounds)
        {
            series.add(&[view.target(), label, protocol, port, remark, node], true);
        }
    }
}

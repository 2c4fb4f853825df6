//! Series about the inbounds of a panel.

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::View,
};
use crate::model::{Counter, Expiry, Inbound, Part};

families! {
    INBOUND_INFO = Info("inbound_info", ["target", "inbound", "protocol", "port", "remark", "node"],
        "Protocol, port, remark and node of an inbound, as far as the panel has them (tag, protocol and port of /api/inbounds; or tag, protocol, port, remark and nodeId); polled.");
    INBOUND_ENABLED = Gauge("inbound_enabled", ["target", "inbound"],
        "Whether the inbound is switched on (enable). Panels also switch off an inbound whose quota is used up or that has expired. Polled.");
    INBOUND_USERS = Gauge("inbound_users", ["target", "inbound"],
        "Users who may connect to the inbound (clients of its settings); polled.");
    INBOUND_USED = Gauge("inbound_used_bytes", ["target", "inbound"],
        "Bytes that count against the inbound's quota (up + down); falls when the panel resets it. Polled.");
    INBOUND_LIMIT = Gauge("inbound_limit_bytes", ["target", "inbound"],
        "Bytes of the inbound's quota (total); no series if unlimited. Polled.");
    INBOUND_EXPIRY = Gauge("inbound_expiry_timestamp_seconds", ["target", "inbound"],
        "Unix time at which the panel switches the inbound off (expiryTime); no series if never. Polled.");
    INBOUND_UPLINK = Counter("inbound_uplink_bytes_total", ["target", "inbound"],
        "Bytes from users through the inbound (up); polled.");
    INBOUND_DOWNLINK = Counter("inbound_downlink_bytes_total", ["target", "inbound"],
        "Bytes to users through the inbound (down); polled.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
    let mut series = text.family(&INBOUND_INFO);
    for view in views {
        for Inbound { label, protocol, port, remark, node, .. } in fresh(view) {
            series.add(&[view.target(), label, protocol, port, remark, node], true);
        }
    }
    each_inbound(text, &INBOUND_ENABLED, views, |inbound| inbound.enabled);
    each_inbound(text, &INBOUND_USERS, views, |inbound| inbound.users);
    each_inbound(text, &INBOUND_USED, views, |inbound| inbound.used);
    each_inbound(text, &INBOUND_LIMIT, views, |inbound| inbound.limit);
    each_inbound(text, &INBOUND_EXPIRY, views, |inbound| match inbound.expiry? {
        Expiry::At(end) => Some(end),
        Expiry::Never | Expiry::OnFirstUse(_) => None,
    });
    each_inbound(text, &INBOUND_UPLINK, views, |inbound| inbound.uplink.and_then(Counter::read));
    each_inbound(text, &INBOUND_DOWNLINK, views, |inbound| inbound.downlink.and_then(Counter::read));
}

fn fresh<'a>(view: &View<'a>) -> &'a [Inbound] {
    view.if_fresh_list(Part::Inbounds, &view.report.inbounds)
}

fn each_inbound<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&Inbound) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        for inbound in fresh(view) {
            if let Some(value) = value(inbound) {
                series.add(&[view.target(), &inbound.label], value);
            }
        }
    }
}

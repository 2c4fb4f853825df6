//! Series about the outbounds of a proxy core.

use super::{
    family::{Family, families},
    text::{Number, Text},
    view::View,
};
use crate::model::{Counter, Outbound, Part};

families! {
    OUTBOUND_UPLINK = Counter("outbound_uplink_bytes_total", ["target", "outbound"],
        "Bytes towards the internet through the outbound (up), once it has carried any; polled.");
    OUTBOUND_DOWNLINK = Counter("outbound_downlink_bytes_total", ["target", "outbound"],
        "Bytes towards the users through the outbound (down), once it has carried any; polled.");
    OUTBOUND_UP = Gauge("outbound_up", ["target", "outbound"],
        "Whether the proxy core's own probes through the outbound pass (alive); only where the core is set up to probe it. Polled.");
    OUTBOUND_LATENCY = Gauge("outbound_latency_seconds", ["target", "outbound"],
        "Duration of the proxy core's last probe through the outbound (delay), if it passed; polled.");
}

pub(super) fn write(text: &mut Text<'_>, views: &[View<'_>]) {
    each_outbound(text, &OUTBOUND_UPLINK, views, |outbound| outbound.uplink.and_then(Counter::read));
    each_outbound(text, &OUTBOUND_DOWNLINK, views, |outbound| outbound.downlink.and_then(Counter::read));
    each_outbound(text, &OUTBOUND_UP, views, |outbound| outbound.up);
    each_outbound(text, &OUTBOUND_LATENCY, views, |outbound| outbound.latency);
}

fn each_outbound<V: Into<Number>>(
    text: &mut Text<'_>,
    family: &Family<'_>,
    views: &[View<'_>],
    value: impl Fn(&Outbound) -> Option<V>,
) {
    let mut series = text.family(family);
    for view in views {
        for outbound in view.if_fresh_list(Part::Outbounds, &view.report.outbounds) {
            if let Some(value) = value(outbound) {
                series.add(&[view.target(), &outbound.label], value);
            }
        }
    }
}

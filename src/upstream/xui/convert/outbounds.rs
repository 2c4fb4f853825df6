//! Outbounds: what they carried, and whether they work.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    model::{Counter, Outbound},
    upstream::json::{Object, OddFields, ROWS, Rows, rows},
};

/// Outbounds by tag, from the traffic (3x-ui since 2.1.3, alireza0 since 1.11) and the observatory of the core (3x-ui
/// since 3.0.2). Absent: one of them is no list.
pub(in crate::upstream::xui) fn outbounds(
    traffic: Option<&str>,
    observatory: Option<&str>,
    odd: &OddFields,
) -> Option<Rows<Outbound>> {
    let mut all: BTreeMap<String, Outbound> = BTreeMap::new();
    let mut omitted = 0;
    let mut add = |list: &str, name, read: &dyn Fn(&Object<'_>, &mut Outbound)| {
        let found = rows(name, list, odd, |row| {
            let tag = row.identity("tag").ok()?.into_owned();
            let outbound = all
                .entry(tag.clone())
                .or_insert_with(|| Outbound { label: tag.into(), ..Outbound::default() });
            read(&row, outbound);
            Some(())
        })?;
        omitted += found.omitted;
        Some(())
    };
    if let Some(list) = traffic {
        add(list, "outbound", &|row, outbound| {
            outbound.uplink = row.count("up").map(Counter::new);
            outbound.downlink = row.count("down").map(Counter::new);
        })?;
    }
    if let Some(list) = observatory {
        add(list, "observatory", &|row, outbound| {
            // 0: not probed yet.
            let is_probed = row.integer("lastTryTime") != Some(0);
            outbound.up = row.flag("alive").filter(|_| is_probed);
            // Milliseconds; of a dead one, a huge number.
            let alive = outbound.up == Some(true);
            outbound.latency = row.count("delay").filter(|_| alive).map(Duration::from_millis);
        })?;
    }
    let beyond = all.len().saturating_sub(ROWS);
    Some(Rows { omitted: omitted + beyond, kept: all.into_values().take(ROWS).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbound_is_down_once_a_probe_failed() {
        for (row, up, latency) in [
            (r#"{"tag":"a","alive":true,"delay":7,"lastTryTime":5}"#, Some(true), Some(7)),
            (r#"{"tag":"a","alive":false,"delay":99999999,"lastTryTime":5}"#, Some(false), None),
            // Not probed yet, whatever it says.
            (r#"{"tag":"a","alive":false,"delay":0,"lastTryTime":0}"#, None, None),
            (r#"{"tag":"a","alive":true,"delay":0,"lastTryTime":0}"#, None, None),
            (r#"{"tag":"a","alive":false}"#, Some(false), None),
            (r#"{"tag":"a"}"#, None, None),
        ] {
            let list = format!("[{row}]");
            let found = outbounds(None, Some(&list), &OddFields::default()).unwrap().kept;
            assert_eq!((found[0].up, found[0].latency), (up, latency.map(Duration::from_millis)), "{row}");
        }
    }
}

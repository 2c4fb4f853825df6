//! The tables `[….NAME.nodes.NODE]`: what the server of a node may move in a month.

use jiff::tz::TimeZone;
use toml::de::DeValue;

use crate::config::shape::{
    Key, Shape,
    Show::{If, Number},
};
use crate::config::table::Table;
use crate::config::values::{choice, is_choice, is_size, size, whole};
use crate::model::{Allowance, Counts, NodeAllowances};

/// The keys of such a table.
pub(super) const KEYS: &[Key] =
    &[("allowance", If(is_size)), ("reset_day", Number), ("counts", If(|text| is_choice(text, &COUNTS)))];

/// In the words of hosters. What leaves a proxy is as much as what enters it.
const COUNTS: [(&str, Counts); 4] =
    [("out", Counts::One), ("in", Counts::One), ("larger", Counts::One), ("both", Counts::Both)];

/// More than a panel has nodes.
const MOST: usize = 1000;

pub(super) fn read(table: &mut Table<'_, '_>, shape: &'static Shape, zone: &TimeZone) -> NodeAllowances {
    let nodes = table.named_tables("nodes");
    if nodes.is_empty() {
        // The zone changes nothing.
        return NodeAllowances::default();
    }
    if nodes.len() > MOST {
        table.refuse("nodes", format!("{} tables; write at most {MOST}, with * and ? in names", nodes.len()));
    }
    let mut by_name = Vec::new();
    for (name, place, entries) in nodes.into_iter().take(MOST) {
        let mut node = Table::open(table.reading, place, shape, entries);
        if name.trim().is_empty() {
            node.reading.refuse(&node.place, "an empty name; write the name of a node in quotes");
        }
        let allowance = node.take("allowance", size);
        if allowance.is_absent() {
            node.refuse("allowance", "missing; write what the server may move in a month, such as \"20TB\"");
        }
        let reset_day = node.take("reset_day", day_of_month).value().unwrap_or(1);
        let counts = node.take("counts", |value| choice(value, &COUNTS)).value().unwrap_or(Counts::One);
        by_name.extend(allowance.value().map(|bytes| (name, Allowance { bytes, reset_day, counts })));
    }
    NodeAllowances { zone: zone.clone(), by_name }
}

fn day_of_month(value: &DeValue<'_>) -> Result<u8, String> {
    let day = whole(value, 1)?;
    u8::try_from(day).ok().filter(|day| *day <= 31).ok_or_else(|| {
        format!("{day} is no day of a month; write 1 to 31, which is the last day in shorter months")
    })
}

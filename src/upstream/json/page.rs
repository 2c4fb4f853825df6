//! A page of a long list, decoded row by row while it arrives.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::value;
use crate::http::{Body, RowAllowance};

/// Decodes `{"<list>": […], "total": n}`. Each row is given to `row` at once. Returns the rows and the total, if the
/// answer has one.
///
/// # Errors
/// When the answer as a whole is something else, or a row is larger than a row may be.
pub fn page<T>(
    body: Body,
    list: &'static str,
    row: impl FnMut(&RawValue) -> T,
) -> serde_json::Result<(Vec<T>, Option<usize>)> {
    let allowance = body.row_allowance();
    allowance.next_row();
    let mut json = serde_json::Deserializer::from_reader(body.buffered().map_err(serde_json::Error::io)?);
    let page = Page { list, row, allowance }.deserialize(&mut json)?;
    json.end()?;
    Ok(page)
}

struct Page<F> {
    list: &'static str,
    row: F,
    allowance: RowAllowance,
}

impl<'de, T, F: FnMut(&RawValue) -> T> DeserializeSeed<'de> for Page<F> {
    type Value = (Vec<T>, Option<usize>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T, F: FnMut(&RawValue) -> T> Visitor<'de> for Page<F> {
    type Value = (Vec<T>, Option<usize>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the list {}", self.list)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut rows, mut total) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            self.allowance.next_row();
            match key.as_str() {
                key if key == self.list => {
                    rows =
                        Some(map.next_value_seed(Rows { row: &mut self.row, allowance: &self.allowance })?);
                }
                "total" => total = value::count(map.next_value::<Box<RawValue>>()?.get()),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            self.allowance.next_row();
        }
        let rows = rows.ok_or_else(|| de::Error::missing_field(self.list))?;
        Ok((rows, total.map(|total| usize::try_from(total).unwrap_or(usize::MAX))))
    }
}

struct Rows<'p, F> {
    row: &'p mut F,
    allowance: &'p RowAllowance,
}

impl<'de, T, F: FnMut(&RawValue) -> T> DeserializeSeed<'de> for Rows<'_, F> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T, F: FnMut(&RawValue) -> T> Visitor<'de> for Rows<'_, F> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut rows = Vec::new();
        self.allowance.next_row();
        while let Some(row) = seq.next_element::<Box<RawValue>>()? {
            rows.push((self.row)(&row));
            self.allowance.next_row();
        }
        Ok(rows)
    }
}

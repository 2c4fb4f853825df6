//! A page of a long list, decoded row by row while it arrives.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::http::{Body, RowAllowance};

/// An answer with one long list.
#[derive(Debug)]
pub struct Page<T> {
    /// Absent: the list is null or not there.
    pub rows: Option<Vec<T>>,
    /// The field beside it.
    pub beside: Option<Box<RawValue>>,
}

/// Decodes `{"<list>": […], "<beside>": …}`. Each row, of at most `most` bytes, is given to `row` at once.
///
/// # Errors
/// When the answer as a whole is something else, or a row is larger than that.
pub fn page<T>(
    body: Body,
    [list, beside]: [&'static str; 2],
    most: usize,
    row: impl FnMut(&RawValue) -> T,
) -> serde_json::Result<Page<T>> {
    let allowance = body.row_allowance(most);
    allowance.next_row();
    let mut json = serde_json::Deserializer::from_reader(body.buffered().map_err(serde_json::Error::io)?);
    let page = Decoder { list, beside, row, allowance }.deserialize(&mut json)?;
    json.end()?;
    Ok(page)
}

/// Gives each row of the list `raw` to `row`; absent: it is no list.
pub fn each(raw: &RawValue, row: impl FnMut(&RawValue)) -> Option<()> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    json.deserialize_seq(Each(row)).ok()
}

struct Each<F>(F);

impl<'de, F: FnMut(&RawValue)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(row) = seq.next_element::<&RawValue>()? {
            (self.0)(row);
        }
        Ok(())
    }
}

struct Decoder<F> {
    list: &'static str,
    beside: &'static str,
    row: F,
    allowance: RowAllowance,
}

impl<'de, T, F: FnMut(&RawValue) -> T> DeserializeSeed<'de> for Decoder<F> {
    type Value = Page<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T, F: FnMut(&RawValue) -> T> Visitor<'de> for Decoder<F> {
    type Value = Page<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the list {}", self.list)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut page = Page { rows: None, beside: None };
        while let Some(key) = map.next_key::<String>()? {
            self.allowance.next_row();
            match key.as_str() {
                key if key == self.list => {
                    page.rows =
                        map.next_value_seed(Rows { row: &mut self.row, allowance: &self.allowance })?;
                }
                key if key == self.beside => page.beside = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            self.allowance.next_row();
        }
        Ok(page)
    }
}

struct Rows<'p, F> {
    row: &'p mut F,
    allowance: &'p RowAllowance,
}

impl<'de, T, F: FnMut(&RawValue) -> T> DeserializeSeed<'de> for Rows<'_, F> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, T, F: FnMut(&RawValue) -> T> Visitor<'de> for Rows<'_, F> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        self.allowance.next_row();
        while let Some(row) = seq.next_element::<Box<RawValue>>()? {
            rows.push((self.row)(&row));
            self.allowance.next_row();
        }
        Ok(Some(rows))
    }
}

//! A page of a long list, decoded row by row while it arrives.

use std::{fmt, io::BufRead};

use serde::{
    Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::scan::Scanner;
use crate::http;

/// Rows of a long list in one answer. Empty rows take almost nothing on the wire and hundreds of bytes in memory.
const MOST_ROWS: usize = 100_000;

/// An answer with one long list.
#[derive(Debug)]
pub struct Page<T> {
    /// Absent: the list is null or not there.
    pub rows: Option<Vec<T>>,
    /// The field beside it.
    pub beside: Option<Box<RawValue>>,
}

/// Decodes `{"<list>": […], "<beside>": …}`. Each row, of at most `most` bytes, is given to `row` at once, whether it is
/// JSON or not. Bytes that are not UTF-8 cost the characters that they are in.
///
/// # Errors
/// When the answer as a whole is something else, a row is larger than that, or there are more than 100,000.
pub fn page<T>(
    body: impl BufRead,
    [list, beside]: [&'static str; 2],
    most: usize,
    mut row: impl FnMut(&str) -> T,
) -> serde_json::Result<Page<T>> {
    let mut page = Page { rows: None, beside: None };
    let mut scanner = Scanner::new(body, most);
    let mut taken = Vec::new();
    scanner.object(|scanner, key| {
        if key == list && scanner.next_is(b'n')? {
            page.rows = None;
            scanner.skip()
        } else if key == list {
            let rows = page.rows.insert(Vec::new());
            scanner.list(|scanner| {
                if rows.len() == MOST_ROWS {
                    return Err(http::too_many_rows());
                }
                let read = scanner.whole(&mut taken, |text| row(&String::from_utf8_lossy(text)))?;
                rows.push(read.ok_or_else(http::too_large_row)?);
                Ok(())
            })
        } else if key == beside {
            let read = scanner.whole(&mut taken, |text| serde_json::from_slice(text).ok())?;
            page.beside = read.ok_or_else(http::too_large_row)?;
            Ok(())
        } else {
            scanner.skip()
        }
    })?;
    scanner.end()?;
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

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use serde_json::error::Category;

    use super::*;

    fn read(text: &[u8], buffer: usize, most: usize) -> serde_json::Result<Page<String>> {
        page(BufReader::with_capacity(buffer, text), ["users", "total"], most, str::to_owned)
    }

    #[test]
    fn rows_are_the_same_wherever_the_text_is_cut() {
        let text = r#" {"links":{"users":[1]},"users" : [ {"a":"}]\"\\"}, 7 ,"x,]",null,[[]],{} , -1.5e3],"total": 12,"z":[{}]} "#;
        for buffer in 1..=text.len() {
            let page = read(text.as_bytes(), buffer, 100).unwrap();
            let rows =
                [r#"{"a":"}]\"\\"}"#, "7", r#""x,]""#, "null", "[[]]", "{}", "-1.5e3"].map(str::to_owned);
            assert_eq!(page.rows.as_deref(), Some(&rows[..]), "{buffer}");
            assert_eq!(page.beside.as_deref().map(RawValue::get), Some("12"), "{buffer}");
        }
    }

    #[test]
    fn lists_that_are_none() {
        for (text, rows) in [
            ("{}", None),
            ("null", None),
            (r#"{"users":null,"total":1}"#, None),
            (r#"{"users":[]}"#, Some(0)),
            // Of a doubled field, the last one counts.
            (r#"{"users":[1],"users":[1,2]}"#, Some(2)),
            (r#"{"users":[1],"users":null}"#, None),
        ] {
            assert_eq!(read(text.as_bytes(), 8, 10).unwrap().rows.map(|rows| rows.len()), rows, "{text}");
        }
        for (text, category) in [
            ("", Category::Eof),
            (r#"{"users":[{}"#, Category::Eof),
            (r#"{"users":[{"a":"#, Category::Eof),
            (r#"{"users":{}}"#, Category::Data),
            (r#"{"users":[1 2]}"#, Category::Data),
            (r#"{"users":[]}{"#, Category::Data),
            ("[]", Category::Data),
            (r#"{"users":["0123456789"]}"#, Category::Io),
            (r#"{"total":"0123456789"}"#, Category::Io),
        ] {
            assert_eq!(read(text.as_bytes(), 8, 10).unwrap_err().classify(), category, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_cost_their_row() {
        let page = read(b"{\"users\":[\"a\xFF\",\"b\"]}", 8, 10).unwrap();
        assert_eq!(page.rows.unwrap(), ["\"a\u{FFFD}\"", "\"b\""]);
    }
}

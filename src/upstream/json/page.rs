//! A page of a long list, decoded row by row while it arrives.

use serde_json::value::RawValue;
use tokio::io::AsyncBufRead;

use super::{object::Object, odd::OddFields, scan::Scanner};
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

/// What the rows of a page are.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The field that has the list.
    pub list: &'static str,
    /// Another field that is wanted.
    pub beside: &'static str,
    /// What a row is called.
    pub row: &'static str,
    /// Bytes that one may take up.
    pub most: usize,
    pub odd: &'a OddFields,
}

/// Decodes `{"<list>": […], "<beside>": …}`. Each row is given to `row` at once; absent: it is no object. Bytes that are not
/// UTF-8 cost the characters that they are in.
///
/// # Errors
/// When the answer as a whole is something else, a row is larger than it may be, or there are more than 100,000.
pub async fn page<T>(
    body: impl AsyncBufRead + Unpin,
    listed: Listed<'_>,
    mut row: impl FnMut(Option<Object<'_>>) -> T,
) -> serde_json::Result<Page<T>> {
    let Listed { list, beside, row: name, most, odd } = listed;
    let mut page = Page { rows: None, beside: None };
    let mut scanner = Scanner::new(body, most);
    let mut answer = scanner.object().await?;
    while let Some(key) = scanner.field(&mut answer).await? {
        if key == list && scanner.next_is(b'n').await? {
            page.rows = None;
            scanner.skip().await?;
        } else if key == list {
            let rows = page.rows.insert(Vec::new());
            let mut list = scanner.list().await?;
            while scanner.element(&mut list).await? {
                if rows.len() == MOST_ROWS {
                    return Err(http::too_many_rows());
                }
                rows.push(scanner.row(name, odd, &mut row).await?);
            }
        } else if key == beside {
            let read = scanner.whole(|text| serde_json::from_slice(text).ok()).await?;
            page.beside = read.ok_or_else(http::too_large_row)?;
        } else {
            scanner.skip().await?;
        }
    }
    scanner.end().await?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use serde_json::error::Category;
    use tokio::io::BufReader;

    use super::*;
    use crate::upstream::json::scan::at_once;

    /// The field `a` of each row; absent: the row is no object.
    fn read(text: &[u8], buffer: usize, most: usize) -> serde_json::Result<Page<Option<String>>> {
        let odd = OddFields::default();
        let listed = Listed { list: "users", beside: "total", row: "user", most, odd: &odd };
        let body = BufReader::with_capacity(buffer, text);
        let row = |row: Option<Object<'_>>| row.map(|row| row.raw("a").unwrap_or_default().to_owned());
        at_once(page(body, listed, row))
    }

    #[test]
    fn rows_are_the_same_wherever_the_text_is_cut() {
        let text = r#" {"links":{"users":[1]},"users" : [ {"a":"}]\"\\"}, 7 ,"x,]",null,[[]],{} , {"b" : [{}] , "a" : 5 },
            {"a":1 "b":2}, {"a":5,}, {"b":tru,"a":6}, -1.5e3],"total": 12,"z":[{}]} "#;
        for buffer in 1..=text.len() {
            let page = read(text.as_bytes(), buffer, 100).unwrap();
            let rows = page.rows.unwrap();
            let rows: Vec<_> = rows.iter().map(Option::as_deref).collect();
            // What is not asked for may be anything.
            let expected = [
                Some(r#""}]\"\\""#),
                None,
                None,
                None,
                None,
                Some(""),
                Some("5"),
                None,
                None,
                Some("6"),
                None,
            ];
            assert_eq!(rows, expected, "{buffer}");
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
            (r#"{"users":[,1]}"#, Category::Data),
            (r#"{"users":[1,]}"#, Category::Data),
            (r#"{"users":[]}{"#, Category::Data),
            ("[]", Category::Data),
            (r#"{"users":["0123456789"]}"#, Category::Io),
            (r#"{"total":"0123456789"}"#, Category::Io),
        ] {
            assert_eq!(read(text.as_bytes(), 8, 10).unwrap_err().classify(), category, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_cost_the_characters_that_they_are_in() {
        for buffer in [8, 100] {
            let page =
                read(b"{\"\xFF\":[],\"users\":[{\"a\":\"a\xFF\"},{\"a\":\"b\"}]}", buffer, 20).unwrap();
            let rows = ["\"a\u{FFFD}\"", "\"b\""].map(|row| Some(row.to_owned()));
            assert_eq!(page.rows.unwrap(), rows);
        }
    }
}

//! Reads JSON of any size value by value while it arrives, without building it. What is taken is decoded by the caller.

use std::{borrow::Cow, io};

use futures_util::FutureExt;
use serde::de::Error as _;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::{
    object::Object,
    odd::OddFields,
    split::{self, Value, ends_a_word},
};
use crate::http;

type Result<T> = serde_json::Result<T>;

/// A JSON text that is read from front to back.
pub struct Scanner<R> {
    from: R,
    /// Bytes of a value that may be taken.
    most: usize,
    /// A value that did not arrive at once.
    taken: Vec<u8>,
    /// Lists and objects that are open.
    depth: usize,
}

/// A list or an object that is being read.
#[derive(Debug)]
pub struct Open {
    /// What ends it; absent: it has ended.
    bracket: Option<u8>,
    has_begun: bool,
}

impl<R: AsyncBufRead + Unpin> Scanner<R> {
    /// Of a value larger than `most` bytes, only the start is taken. A field whose name is as long is skipped.
    pub fn new(from: R, most: usize) -> Self {
        Scanner { from, most, taken: Vec::new(), depth: 0 }
    }

    /// Begins an object. Null has no fields.
    ///
    /// # Errors
    /// When it is no object.
    pub async fn object(&mut self) -> Result<Open> {
        self.open(b'{', b'}').await
    }

    /// Begins a list. Null has no elements.
    ///
    /// # Errors
    /// When it is no list.
    pub async fn list(&mut self) -> Result<Open> {
        self.open(b'[', b']').await
    }

    /// The next field of an object, whose value is read or skipped then; absent: it has no more. Bytes of its name that are not
    /// UTF-8 cost the characters that they are in.
    ///
    /// # Errors
    /// When it is broken.
    pub async fn field(&mut self, object: &mut Open) -> Result<Option<String>> {
        while self.element(object).await? {
            let key = self.whole(|text| serde_json::from_str(&lossy(text))).await?;
            self.expect(b':').await?;
            match key {
                Some(key) => return key.map(Some).map_err(|_| misplaced()),
                None => self.skip().await?,
            }
        }
        Ok(None)
    }

    /// Whether a list has another element, which is read or skipped then.
    ///
    /// # Errors
    /// When it is broken.
    pub async fn element(&mut self, list: &mut Open) -> Result<bool> {
        let Some(bracket) = list.bracket else { return Ok(false) };
        let next = self.peek().await?;
        if next == Some(bracket) {
            self.consume(1);
            list.bracket = None;
            self.depth -= 1;
            return Ok(false);
        }
        if std::mem::replace(&mut list.has_begun, true) {
            self.expect(b',').await?;
        }
        Ok(true)
    }

    /// Whether the value is another one than `bracket` begins, and not null: then it is skipped, and recorded as the `field` of
    /// an object.
    ///
    /// # Errors
    /// As [`Scanner::skip`].
    pub async fn skips_other(
        &mut self,
        bracket: u8,
        (object, field): (&'static str, &'static str),
        odd: &OddFields,
    ) -> Result<bool> {
        let Some(byte) = self.peek().await?.filter(|byte| *byte != bracket && *byte != b'n') else {
            return Ok(false);
        };
        let expected = if bracket == b'[' { "a list" } else { "an object" };
        odd.record(object, field, char::from(byte).encode_utf8(&mut [0; 4]), expected);
        self.skip().await?;
        Ok(true)
    }

    /// Skips a value.
    ///
    /// # Errors
    /// When there is none, or the text ends in it.
    pub async fn skip(&mut self) -> Result<()> {
        self.value(|_| {}).await
    }

    /// Appends a value to `taken`, and returns whether it is whole.
    ///
    /// # Errors
    /// As [`Scanner::skip`].
    pub async fn take(&mut self, taken: &mut Vec<u8>) -> Result<bool> {
        let (most, mut is_whole) = (self.most, true);
        self.value(|part| {
            let room = part.get(..most.saturating_sub(taken.len()));
            is_whole &= room.is_none_or(|room| room.len() == part.len());
            taken.extend_from_slice(room.unwrap_or(part));
        })
        .await?;
        Ok(is_whole)
    }

    /// Gives a whole value to `read`; absent: it is larger than may be taken, and skipped.
    ///
    /// # Errors
    /// As [`Scanner::skip`].
    pub async fn whole<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.peek().await?;
        let most = self.most;
        let text = self.fill().await?;
        if let Some(value) = split::length(text).and_then(|length| text.get(..length)) {
            let (length, is_whole) = (value.len(), value.len() <= most);
            let value = is_whole.then(|| read(value));
            self.consume(length);
            return Ok(value);
        }
        let mut taken = std::mem::take(&mut self.taken);
        taken.clear();
        let is_whole = self.take(&mut taken).await?;
        let value = is_whole.then(|| read(&taken));
        self.taken = taken;
        Ok(value)
    }

    /// Gives an object called `name` to `row`; absent: it is something else. Bytes that are not UTF-8 cost the characters
    /// that they are in.
    ///
    /// # Errors
    /// When it is larger than may be taken; else as [`Scanner::skip`].
    pub async fn row<T>(
        &mut self,
        name: &'static str,
        odd: &OddFields,
        row: impl FnOnce(Option<Object<'_>>) -> T,
    ) -> Result<T> {
        let (most, mut row, mut made) = (self.most, Some(row), None);
        // Most are there as a whole. Then only their fields are looked for.
        let first = |text: &[u8]| {
            let (object, length) = Object::first(name, text, odd).filter(|(_, length)| *length <= most)?;
            made = row.take().map(|row| row(Some(object)));
            Some(length)
        };
        self.decode(first).await?;
        if let (None, Some(row)) = (&made, row) {
            made = self.whole(|text| row(Object::new(name, &lossy(text), odd))).await?;
        }
        made.ok_or_else(http::too_large_row)
    }

    /// How many lists and objects are open.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Skips the rest of what was opened beyond so many lists and objects, and is broken.
    ///
    /// # Errors
    /// When the text ends in it.
    pub async fn leave(&mut self, depth: usize) -> Result<()> {
        let open = self.depth.saturating_sub(depth);
        self.depth = depth;
        if open > 0 { self.read_on(Value::within(open), |_| {}).await } else { Ok(()) }
    }

    /// Whether the next value begins with this byte.
    ///
    /// # Errors
    /// When the text cannot be read.
    pub async fn next_is(&mut self, byte: u8) -> Result<bool> {
        Ok(self.peek().await? == Some(byte))
    }

    /// Reads a value if `decode` can. `decode` gets the text that has arrived, which begins with the value, and returns the
    /// value's length, so that nothing else looks for its end. Returns whether it could; if not, the value is still to come.
    ///
    /// # Errors
    /// When the text cannot be read.
    pub async fn decode(&mut self, decode: impl FnOnce(&[u8]) -> Option<usize>) -> Result<bool> {
        self.peek().await?;
        let text = self.fill().await?;
        let length = decode(text).filter(|length| *length <= text.len());
        self.consume(length.unwrap_or(0));
        Ok(length.is_some())
    }

    /// Reads a number; absent: it is none.
    ///
    /// # Errors
    /// As [`Scanner::take`].
    pub async fn count(&mut self) -> Result<Option<u64>> {
        let number = self.whole(|text| serde_json::from_slice(text).ok()).await?;
        Ok(number.flatten())
    }

    /// Nothing but space may follow.
    ///
    /// # Errors
    /// When something does.
    pub async fn end(&mut self) -> Result<()> {
        match self.peek().await? {
            None => Ok(()),
            Some(_) => Err(misplaced()),
        }
    }

    async fn value(&mut self, mut part: impl FnMut(&[u8])) -> Result<()> {
        match self.peek().await? {
            None => Err(cut_off()),
            Some(b'{' | b'[' | b'"') => self.read_on(Value::default(), part).await,
            Some(byte) if ends_a_word(&byte) => Err(misplaced()),
            // A number or a word, up to what follows it.
            Some(_) => loop {
                let bytes = self.fill().await?;
                let end = bytes.iter().position(ends_a_word);
                let length = end.unwrap_or(bytes.len());
                part(bytes.get(..length).unwrap_or_default());
                self.consume(length);
                if end.is_some() || length == 0 {
                    return Ok(());
                }
            },
        }
    }

    /// Reads to the end of a value, of which a part was read.
    async fn read_on(&mut self, mut value: Value, mut part: impl FnMut(&[u8])) -> Result<()> {
        loop {
            let bytes = self.fill().await?;
            if bytes.is_empty() {
                return Err(cut_off());
            }
            let end = value.read(bytes);
            let length = end.unwrap_or(bytes.len());
            part(bytes.get(..length).unwrap_or_default());
            self.consume(length);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    async fn open(&mut self, bracket: u8, end: u8) -> Result<Open> {
        let bracket = match self.peek().await? {
            Some(byte) if byte == bracket => {
                self.consume(1);
                self.depth += 1;
                Some(end)
            }
            Some(b'n') => {
                self.skip().await?;
                None
            }
            Some(_) => return Err(misplaced()),
            None => return Err(cut_off()),
        };
        Ok(Open { bracket, has_begun: false })
    }

    async fn expect(&mut self, byte: u8) -> Result<()> {
        match self.peek().await? {
            Some(found) if found == byte => {
                self.consume(1);
                Ok(())
            }
            Some(_) => Err(misplaced()),
            None => Err(cut_off()),
        }
    }

    /// The next byte that is no space.
    async fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let bytes = self.fill().await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let spaces = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let next = bytes.get(spaces).copied();
            self.consume(spaces);
            if next.is_some() {
                return Ok(next);
            }
        }
    }

    /// The text that has arrived; empty: it has ended.
    async fn fill(&mut self) -> Result<&[u8]> {
        self.from.fill_buf().await.map_err(serde_json::Error::io)
    }

    fn consume(&mut self, length: usize) {
        AsyncBufReadExt::consume(&mut self.from, length);
    }
}

/// What reading gives a text that is here as a whole.
///
/// # Errors
/// As the reading.
pub fn at_once<T>(reading: impl Future<Output = Result<T>>) -> Result<T> {
    reading.now_or_never().unwrap_or_else(|| Err(cut_off()))
}

/// The text of bytes. Those that are not UTF-8 cost the characters that they are in.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    // Looking for such bytes takes several times as long as finding that there are none.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn misplaced() -> serde_json::Error {
    serde_json::Error::custom("not what is expected here")
}

fn cut_off() -> serde_json::Error {
    match serde_json::from_str::<serde::de::IgnoredAny>("[") {
        Err(cut_off) => cut_off,
        Ok(_) => serde_json::Error::io(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::error::Category;
    use tokio::io::BufReader;

    use super::*;

    /// What is read of `{"keep": [values]}`, however the text arrives.
    fn kept(text: &str, buffer: usize, most: usize) -> Result<Vec<String>> {
        let from = BufReader::with_capacity(buffer, text.as_bytes());
        let reading = async {
            let mut scanner = Scanner::new(from, most);
            let mut kept = Vec::new();
            let mut object = scanner.object().await?;
            while let Some(key) = scanner.field(&mut object).await? {
                if key != "keep" {
                    scanner.skip().await?;
                    continue;
                }
                let mut list = scanner.list().await?;
                while scanner.element(&mut list).await? {
                    let mut value = Vec::new();
                    scanner.take(&mut value).await?;
                    kept.push(String::from_utf8_lossy(&value).into_owned());
                }
            }
            scanner.end().await?;
            Ok(kept)
        };
        at_once(reading)
    }

    #[test]
    fn values_are_found_wherever_the_text_is_cut() {
        let text = r#" { "a" : {"x":[1,{"y":"}]\"\\"}],"z":null}, "keep" : [ {"n": "a\"}{"} , 12.5e3,"s\\", null,[],true ] ,"b":-1 } "#;
        for buffer in 1..text.len() {
            let kept = kept(text, buffer, 100).unwrap();
            assert_eq!(kept, [r#"{"n": "a\"}{"}"#, "12.5e3", r#""s\\""#, "null", "[]", "true"], "{buffer}");
        }
        for empty in ["{}", "null", r#"{"keep":null}"#, r#"{"keep":[]}"#] {
            assert_eq!(kept(empty, 8, 100).unwrap(), Vec::<String>::new(), "{empty}");
        }
    }

    #[test]
    fn of_large_values_only_the_start_is_taken() {
        let text = r#"{"12345678": {"a": ["b"]}, "123456789": 1, "keep": ["12345678", "123456789", {"a": "}"}, 12345678901, 7]}"#;
        for buffer in 1..text.len() {
            let kept = kept(text, buffer, 10).unwrap();
            assert_eq!(
                kept,
                ["\"12345678\"", "\"123456789", "{\"a\": \"}\"}", "1234567890", "7"],
                "{buffer}"
            );
        }
        let mut scanner = Scanner::new("12345678901".as_bytes(), 10);
        assert_eq!(at_once(scanner.count()).unwrap(), None);
    }

    #[test]
    fn broken_texts_are_refused() {
        for (text, category) in [
            ("", Category::Eof),
            ("{", Category::Eof),
            (r#"{"keep":[{"a":1"#, Category::Eof),
            (r#"{"keep":["a"#, Category::Eof),
            (r#"{"other":{"a":[}"#, Category::Eof),
            ("[1]", Category::Data),
            (r#"{"keep":{}}"#, Category::Data),
            (r#"{"keep":[1 2]}"#, Category::Data),
            (r#"{"keep":[,1]}"#, Category::Data),
            (r#"{"keep":[1,]}"#, Category::Data),
            (r#"{"keep":[1,,2]}"#, Category::Data),
            (r#"{"other":,"keep":[]}"#, Category::Data),
            (r#"{"keep":[],}"#, Category::Data),
            (r#"{"keep":[]} x"#, Category::Data),
        ] {
            assert_eq!(kept(text, 8, 10).unwrap_err().classify(), category, "{text}");
        }
    }
}

//! Reads JSON of any size value by value, without building it. What is skipped is only counted, which is several times as
//! fast as decoding it; what is taken is decoded by the caller.

use std::io::{self, BufRead};

use memchr::memchr2;
use serde::de::Error as _;

use super::odd::OddFields;

type Result<T> = serde_json::Result<T>;

/// A JSON text that is read from front to back.
pub struct Scanner<R> {
    from: R,
    /// Bytes of a value that may be taken.
    most: usize,
}

impl<R: BufRead> Scanner<R> {
    /// Of a value larger than `most` bytes, only the start is taken. A field whose name is as long is skipped.
    pub fn new(from: R, most: usize) -> Self {
        Scanner { from, most }
    }

    /// Gives each field of an object to `field`, which reads or skips its value. Null has none.
    ///
    /// # Errors
    /// When it is no object, or broken.
    pub fn object(&mut self, mut field: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        if !self.opens(b'{')? || self.closes(b'}')? {
            return Ok(());
        }
        let mut key = Vec::new();
        loop {
            key.clear();
            let is_whole = self.take(&mut key)?;
            self.expect(b':')?;
            if is_whole {
                field(self, &serde_json::from_slice::<String>(&key)?)?;
            } else {
                self.skip()?;
            }
            if !self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    /// Calls `element` in front of each element of a list, which reads or skips it. Null has none.
    ///
    /// # Errors
    /// When it is no list, or broken.
    pub fn list(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        if !self.opens(b'[')? || self.closes(b']')? {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Whether the value is another one than `bracket` begins, and not null: then it is skipped, and recorded as the `field` of
    /// an object.
    ///
    /// # Errors
    /// As [`Scanner::skip`].
    pub fn skips_other(
        &mut self,
        bracket: u8,
        (object, field): (&'static str, &'static str),
        odd: &OddFields,
    ) -> Result<bool> {
        let Some(byte) = self.peek()?.filter(|byte| *byte != bracket && *byte != b'n') else {
            return Ok(false);
        };
        let expected = if bracket == b'[' { "a list" } else { "an object" };
        odd.record(object, field, char::from(byte).encode_utf8(&mut [0; 4]), expected);
        self.skip().map(|()| true)
    }

    /// Skips a value.
    ///
    /// # Errors
    /// When the text ends in it.
    pub fn skip(&mut self) -> Result<()> {
        self.value(|_| {})
    }

    /// Appends a value to `taken`, and returns whether it is whole.
    ///
    /// # Errors
    /// When the text ends in it.
    pub fn take(&mut self, taken: &mut Vec<u8>) -> Result<bool> {
        let (most, mut is_whole) = (self.most, true);
        self.value(|part| {
            let room = part.get(..most.saturating_sub(taken.len()));
            is_whole &= room.is_none_or(|room| room.len() == part.len());
            taken.extend_from_slice(room.unwrap_or(part));
        })?;
        Ok(is_whole)
    }

    /// Gives a whole value to `read`; absent: it is larger than may be taken, and skipped. `taken` is room for one that did
    /// not arrive at once.
    ///
    /// # Errors
    /// When the text ends in it.
    pub fn whole<T>(&mut self, taken: &mut Vec<u8>, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        self.peek()?;
        let text = fill(&mut self.from)?;
        if let Some(value) = length(text).and_then(|length| text.get(..length)) {
            let is_whole = value.len() <= self.most;
            let (length, value) = (value.len(), is_whole.then(|| read(value)));
            self.from.consume(length);
            return Ok(value);
        }
        taken.clear();
        let is_whole = self.take(taken)?;
        Ok(is_whole.then(|| read(taken)))
    }

    /// Whether the next value begins with this byte.
    ///
    /// # Errors
    /// When the text cannot be read.
    pub fn next_is(&mut self, byte: u8) -> Result<bool> {
        Ok(self.peek()? == Some(byte))
    }

    /// Reads a value if `decode` can. `decode` gets the text that has arrived, which begins with the value, and returns the
    /// value's length, so that nothing else looks for its end. Returns whether it could; if not, the value is still to come.
    ///
    /// # Errors
    /// When the text cannot be read.
    pub fn decode(&mut self, decode: impl FnOnce(&[u8]) -> Option<usize>) -> Result<bool> {
        self.peek()?;
        let text = fill(&mut self.from)?;
        let length = decode(text).filter(|length| *length <= text.len());
        self.from.consume(length.unwrap_or(0));
        Ok(length.is_some())
    }

    /// Reads a number; absent: it is none.
    ///
    /// # Errors
    /// As [`Scanner::take`].
    pub fn count(&mut self) -> Result<Option<u64>> {
        let mut number = Vec::new();
        let is_whole = self.take(&mut number)?;
        Ok(serde_json::from_slice(&number).ok().filter(|_| is_whole))
    }

    /// Nothing but space may follow.
    ///
    /// # Errors
    /// When something does.
    pub fn end(&mut self) -> Result<()> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(misplaced()),
        }
    }

    fn value(&mut self, mut part: impl FnMut(&[u8])) -> Result<()> {
        let mut value = match self.peek()? {
            None => return Err(cut_off()),
            Some(b'{' | b'[' | b'"') => Value::default(),
            // A number or a word, up to what follows it.
            Some(_) => loop {
                let bytes = fill(&mut self.from)?;
                let end = bytes.iter().position(ends_a_word);
                let length = end.unwrap_or(bytes.len());
                part(bytes.get(..length).unwrap_or_default());
                self.from.consume(length);
                if end.is_some() || length == 0 {
                    return Ok(());
                }
            },
        };
        loop {
            let bytes = fill(&mut self.from)?;
            if bytes.is_empty() {
                return Err(cut_off());
            }
            let end = value.read(bytes);
            let length = end.unwrap_or(bytes.len());
            part(bytes.get(..length).unwrap_or_default());
            self.from.consume(length);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// Whether a value begins with `bracket`; null has nothing in it.
    fn opens(&mut self, bracket: u8) -> Result<bool> {
        match self.peek()? {
            Some(byte) if byte == bracket => {
                self.from.consume(1);
                Ok(true)
            }
            Some(b'n') => self.skip().map(|()| false),
            Some(_) => Err(misplaced()),
            None => Err(cut_off()),
        }
    }

    fn closes(&mut self, bracket: u8) -> Result<bool> {
        let closes = self.peek()? == Some(bracket);
        if closes {
            self.from.consume(1);
        }
        Ok(closes)
    }

    /// Whether a comma follows, and not the end of what is open.
    fn goes_on(&mut self, bracket: u8) -> Result<bool> {
        if self.closes(bracket)? {
            return Ok(false);
        }
        self.expect(b',').map(|()| true)
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.from.consume(1);
                Ok(())
            }
            Some(_) => Err(misplaced()),
            None => Err(cut_off()),
        }
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let bytes = fill(&mut self.from)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let spaces = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let next = bytes.get(spaces).copied();
            self.from.consume(spaces);
            if next.is_some() {
                return Ok(next);
            }
        }
    }
}

/// How much of a string, list or object was read.
#[derive(Default)]
struct Value {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Value {
    /// Reads on, and returns where the value ends.
    fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = usize::from(std::mem::take(&mut self.escaped));
        loop {
            let rest = bytes.get(at..)?;
            if self.in_string {
                at += memchr2(b'"', b'\\', rest)?;
                if bytes.get(at) == Some(&b'\\') {
                    at += 2;
                    self.escaped = at > bytes.len();
                    continue;
                }
                (at, self.in_string) = (at + 1, false);
            } else {
                let is_mark = |byte: &u8| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']');
                at += rest.iter().position(is_mark)? + 1;
                match bytes.get(at - 1) {
                    Some(b'"') => self.in_string = true,
                    Some(b'{' | b'[') => self.depth += 1,
                    _ => self.depth = self.depth.saturating_sub(1),
                }
            }
            if self.depth == 0 && !self.in_string {
                return Some(at);
            }
        }
    }
}

/// The length of the value that the text begins with; absent: it goes on, or may.
fn length(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'{' | b'[' | b'"' => Value::default().read(text),
        _ => text.iter().position(ends_a_word),
    }
}

fn ends_a_word(byte: &u8) -> bool {
    matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace()
}

fn fill(from: &mut impl BufRead) -> Result<&[u8]> {
    from.fill_buf().map_err(serde_json::Error::io)
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

    use super::*;

    /// What is read of `{"keep": [values]}`, however the text arrives.
    fn kept(text: &str, buffer: usize, most: usize) -> Result<Vec<String>> {
        let from = io::BufReader::with_capacity(buffer, text.as_bytes());
        let mut scanner = Scanner::new(from, most);
        let mut kept = Vec::new();
        scanner.object(|scanner, key| match key {
            "keep" => scanner.list(|scanner| {
                let mut value = Vec::new();
                scanner.take(&mut value)?;
                kept.push(String::from_utf8_lossy(&value).into_owned());
                Ok(())
            }),
            _ => scanner.skip(),
        })?;
        scanner.end()?;
        Ok(kept)
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
        assert_eq!(scanner.count().unwrap(), None);
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
            (r#"{"keep":[]} x"#, Category::Data),
        ] {
            assert_eq!(kept(text, 8, 10).unwrap_err().classify(), category, "{text}");
        }
    }
}

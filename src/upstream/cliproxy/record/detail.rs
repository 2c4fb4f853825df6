//! A detail of a snapshot as it is in JSON.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A detail whose fields are all as expected.
#[derive(Deserialize)]
pub(super) struct Detail<'a> {
    pub(super) timestamp: Option<&'a str>,
    pub(super) latency_ms: Option<u64>,
    pub(super) source: Option<&'a str>,
    /// As JSON.
    #[serde(borrow, default, deserialize_with = "json_text")]
    pub(super) auth_index: Option<&'a str>,
    pub(super) tokens: Option<DetailTokens>,
    pub(super) failed: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct DetailTokens {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) reasoning_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) cache_read_tokens: u64,
    pub(super) cache_creation_tokens: u64,
    pub(super) total_tokens: u64,
}

fn json_text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de str>, D::Error> {
    Option::<&RawValue>::deserialize(value).map(|raw| raw.map(RawValue::get))
}

/// Reads the detail that `text` begins with if servers wrote it: these fields in this order, without spaces and escapes.
/// That takes a small part of the time that JSON of any form takes. Returns its length, too; absent: it is of another form, or
/// it is not whole.
pub(super) fn first(text: &[u8]) -> Option<(Detail<'_>, usize)> {
    let whole = text.len();
    let mut text = Text(text);
    text.literal(r#"{"timestamp":""#)?;
    let timestamp = Some(text.string()?);
    let latency_ms = text.field(r#","latency_ms":"#, Text::number)?;
    let source = text.field(r#","source":""#, Text::string)?;
    let auth_index = text.field(r#","auth_index":"#, Text::index)?;
    let mut count = |name| text.literal(name).and_then(|()| text.number());
    let tokens = DetailTokens {
        input_tokens: count(r#","tokens":{"input_tokens":"#)?,
        output_tokens: count(r#","output_tokens":"#)?,
        reasoning_tokens: count(r#","reasoning_tokens":"#)?,
        cached_tokens: count(r#","cached_tokens":"#)?,
        total_tokens: count(r#","total_tokens":"#)?,
        ..DetailTokens::default()
    };
    text.literal("}")?;
    let failed = text.field(r#","failed":"#, Text::flag)?;
    text.literal("}")?;
    let detail = Detail { timestamp, latency_ms, source, auth_index, tokens: Some(tokens), failed };
    Some((detail, whole - text.0.len()))
}

/// The text that was not read yet.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    fn literal(&mut self, literal: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(literal.as_bytes())?;
        Some(())
    }

    /// A field that may be missing.
    fn field<T>(&mut self, name: &str, value: fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.literal(name) {
            Some(()) => value(self).map(Some),
            None => Some(None),
        }
    }

    /// The rest of a string.
    fn string(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
        let (string, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\"")?;
        str::from_utf8(string).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        match digits {
            [] | [b'0', _, ..] => None,
            // No more than the type has room for.
            _ if length > 19 => None,
            _ => Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))),
        }
    }

    fn flag(&mut self) -> Option<bool> {
        let is_true = self.literal("true").is_some();
        (is_true || self.literal("false").is_some()).then_some(is_true)
    }

    /// A string or a number, as it is written.
    fn index(&mut self) -> Option<&'a str> {
        let all = self.0;
        match self.literal("\"") {
            Some(()) => self.string().map(drop)?,
            None => self.number().map(drop)?,
        }
        str::from_utf8(all.get(..all.len() - self.0.len())?).ok()
    }
}

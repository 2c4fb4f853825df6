//! Finds values in a JSON text without decoding them. What is not asked for is only skipped, which is several times as fast,
//! and it may be anything as long as its brackets and quotes match.

use memchr::memchr2;

/// A field of an object: where its key is, without the quotes, and its value.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: (u32, u32),
    pub(super) value: (u32, u32),
    pub(super) tag: u32,
}

/// The tag of a key with escapes.
pub(super) const ESCAPED: u32 = u32::MAX;

/// What most keys differ in, so that hardly any other is compared: the length, the first byte and the last one.
pub(super) fn tag(key: &[u8]) -> u32 {
    let end = |byte: Option<&u8>| byte.copied().unwrap_or_default();
    let [length, ..] = key.len().to_le_bytes();
    u32::from_le_bytes([length, end(key.first()), end(key.last()), 0])
}

/// Appends the fields of the object that the text begins with to `fields`, and returns the object's length; absent: it is
/// not whole, or no object.
pub(super) fn fields(text: &[u8], fields: &mut Vec<Field>) -> Option<usize> {
    let mut at = next_is(text, 0, b'{')?;
    if let Some(end) = next_is(text, at, b'}') {
        return Some(end);
    }
    loop {
        let start = next_is(text, at, b'"')?;
        let (end, is_escaped) = string_end(text, start)?;
        let from = skip_space(text, next_is(text, end, b':')?);
        let to = value_end(text, from)?;
        let tag = if is_escaped { ESCAPED } else { tag(text.get(start..end - 1)?) };
        fields.push(Field { key: place(start, end - 1)?, value: place(from, to)?, tag });
        match goes_on(text, to, b'}')? {
            (next, true) => at = next,
            (end, false) => return Some(end),
        }
    }
}

/// Calls `element` with the rest of the text from each element of a list on, which returns the element's length. Absent: it
/// is no list, or it is broken.
pub(super) fn elements<'a>(text: &'a str, mut element: impl FnMut(&'a str) -> Option<usize>) -> Option<()> {
    let bytes = text.as_bytes();
    let mut at = next_is(bytes, 0, b'[')?;
    let mut end = next_is(bytes, at, b']');
    while end.is_none() {
        let from = skip_space(bytes, at);
        let to = from + element(text.get(from..)?)?;
        match goes_on(bytes, to, b']')? {
            (next, true) => at = next,
            (last, false) => end = Some(last),
        }
    }
    (skip_space(bytes, end?) == bytes.len()).then_some(())
}

/// The length of the value that the text begins with; absent: it goes on, or may.
pub(super) fn length(text: &[u8]) -> Option<usize> {
    value_end(text, 0)
}

fn place(from: usize, to: usize) -> Option<(u32, u32)> {
    Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?))
}

/// Where the value that begins at `from` ends.
fn value_end(text: &[u8], from: usize) -> Option<usize> {
    match text.get(from)? {
        b'"' => string_end(text, from + 1).map(|(end, _)| end),
        b'{' | b'[' => Value::default().read(text.get(from..)?).map(|length| from + length),
        _ => {
            let length = text.get(from..)?.iter().position(ends_a_word)?;
            (length > 0).then_some(from + length)
        }
    }
}

/// Where the string ends whose text begins at `at`, and whether it has escapes.
fn string_end(text: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut is_escaped = false;
    loop {
        at += quote(text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some((at + 1, is_escaped));
        }
        (at, is_escaped) = (at + 2, true);
    }
}

/// The place of the first quote or backslash. Most strings are so short that a call of `memchr` takes longer than they do.
fn quote(text: &[u8]) -> Option<usize> {
    const SHORT: usize = 2;
    let mut at = 0;
    for eight in text.as_chunks::<8>().0.iter().take(SHORT) {
        let eight = u64::from_le_bytes(*eight);
        let found = zeros(eight ^ every(b'"')) | zeros(eight ^ every(b'\\'));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', text.get(at..)?).map(|found| at + found)
}

const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The highest bit of each byte that is 0, up to the first one, and perhaps of others behind it.
fn zeros(eight: u64) -> u64 {
    eight.wrapping_sub(every(1)) & !eight & every(0x80)
}

/// The place behind `byte`, if that is what comes next.
fn next_is(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    let at = skip_space(text, at);
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

/// The place behind the comma or the `bracket` that comes next, and whether it is the comma.
fn goes_on(text: &[u8], at: usize, bracket: u8) -> Option<(usize, bool)> {
    let at = skip_space(text, at);
    match text.get(at)? {
        b',' => Some((at + 1, true)),
        byte if *byte == bracket => Some((at + 1, false)),
        _ => None,
    }
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// How much of a string, list or object was read.
#[derive(Default)]
pub(super) struct Value {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Value {
    /// So many lists and objects are open.
    pub(super) fn within(depth: usize) -> Self {
        Value { depth, ..Value::default() }
    }

    /// Reads on, and returns where the value ends.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = usize::from(std::mem::take(&mut self.escaped));
        loop {
            let rest = bytes.get(at..)?;
            if self.in_string {
                at += quote(rest)?;
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

pub(super) fn ends_a_word(byte: &u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | b'\x0C')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quote_or_backslash_is_found() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let plain = random.usize(0..40);
            let text: Vec<_> = (0..plain + random.usize(0..10))
                .map(|at| if at < plain { b'a' } else { *random.choice(b"a!#[]\"\\\xA2\xDC\0").unwrap() })
                .collect();
            let expected = text.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            assert_eq!(quote(&text), expected, "{text:?}");
        }
    }
}

//! Query strings, forms and path segments, decoded.

/// Decoded pairs of a query string or a form, in their order.
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    pub(crate) fn of(text: &str) -> Pairs {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Pairs(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decoded(key, Plus::Space), decoded(value, Plus::Space)))
                .collect(),
        )
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The last value of a key, which is the one that counts.
    pub(crate) fn last(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// An integer, `None` where the key is absent.
    pub(crate) fn integer(&self, key: &str) -> Result<Option<i64>, NotAnInteger> {
        self.last(key).map(|text| text.trim().parse().map_err(|_| NotAnInteger)).transpose()
    }
}

pub(crate) struct NotAnInteger;

/// One segment of a path, decoded.
pub(crate) fn segment(text: &str) -> String {
    decoded(text, Plus::Itself)
}

/// What a plus sign means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Itself,
    Space,
}

fn decoded(text: &str, plus: Plus) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut ahead = rest.clone();
                let high = ahead.next().and_then(hex);
                let low = ahead.next().and_then(hex);
                if let (Some(high), Some(low)) = (high, low) {
                    bytes.push(high * 16 + low);
                    rest = ahead;
                } else {
                    bytes.push(byte);
                }
            }
            b'+' if plus == Plus::Space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_the_last_of_a_key_counts() {
        let pairs = Pairs::of("username=a%40b&username=c+d&start=1%2B1&bad=%zz&flag");
        assert_eq!(pairs.all("username").collect::<Vec<_>>(), ["a@b", "c d"]);
        assert_eq!(pairs.last("username"), Some("c d"));
        assert_eq!(pairs.last("start"), Some("1+1"));
        assert_eq!(pairs.last("bad"), Some("%zz"));
        assert_eq!(pairs.last("flag"), Some(""));
        assert_eq!(segment("User.Name-1%40x.com+"), "User.Name-1@x.com+");
    }
}

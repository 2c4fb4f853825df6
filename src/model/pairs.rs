use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Index};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A few named texts, sorted by name, as a map has them but in one piece of memory: a storm has tens of thousands of these.
///
/// The names are each there once. A search compares them one after another.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Names and values in turn.
    text: Box<str>,
    /// Where each of them ends.
    ends: Box<[usize]>,
}

impl Pairs {
    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let piece = |place: usize| {
            let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
            self.text.get(start.unwrap_or_default()..*self.ends.get(place)?)
        };
        (0..self.ends.len()).step_by(2).filter_map(move |place| Some((piece(place)?, piece(place + 1)?)))
    }

    /// The names, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// The text of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a text, in place of another one of that name. All others are copied.
    pub fn insert(&mut self, name: &str, value: &str) {
        *self = self.iter().chain([(name, value)]).collect();
    }
}

/// Of several texts of one name, the last one counts.
impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        // Equal names stay in their order.
        pairs.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
        let next = pairs.iter().skip(1).map(|(name, _)| Some(name.as_ref())).chain([None]);
        let last = pairs.iter().zip(next).filter(|((name, _), next)| *next != Some(name.as_ref()));
        let pieces: Vec<_> = last.flat_map(|((name, value), _)| [name.as_ref(), value.as_ref()]).collect();
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        });
        Pairs { ends: ends.collect(), text: pieces.concat().into() }
    }
}

impl<N: AsRef<str>, V: AsRef<str>, const COUNT: usize> From<[(N, V); COUNT]> for Pairs {
    fn from(pairs: [(N, V); COUNT]) -> Self {
        pairs.into_iter().collect()
    }
}

/// # Panics
/// If there is no such name.
impl Index<&str> for Pairs {
    type Output = str;

    fn index(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("no text is called {name}"))
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<Cow<'_, str>, Cow<'_, str>>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_what_a_map_would_be() {
        let cases: [&[(&str, &str)]; 6] = [
            &[],
            &[("", "")],
            &[("b", "2"), ("a", "1")],
            &[("a", "1"), ("b", ""), ("a", ""), ("b", "2")],
            &[("ab", "c"), ("a", "bc"), ("", "x")],
            &[("名", "用户 ☃"), ("a", "\0\"")],
        ];
        for pairs in cases {
            let map: BTreeMap<_, _> = pairs.iter().copied().collect();
            let short: Pairs = pairs.iter().copied().collect();
            assert_eq!(short.iter().collect::<Vec<_>>(), map.clone().into_iter().collect::<Vec<_>>());
            assert!(short.keys().eq(map.keys().copied()));
            assert_eq!(short.is_empty(), map.is_empty());
            for name in ["a", "b", "", "ab", "名"] {
                assert_eq!(short.get(name), map.get(name).copied(), "{name}");
            }
            assert_eq!(format!("{short:?}"), format!("{map:?}"));
            let json = serde_json::to_string(&short).unwrap();
            assert_eq!(json, serde_json::to_string(&map).unwrap());
            assert_eq!(serde_json::from_str::<Pairs>(&json).unwrap(), short);
        }
        let mut pairs = Pairs::from([("a", "1")]);
        pairs.insert("b", "2");
        pairs.insert("a", "3");
        assert_eq!(pairs, Pairs::from([("b", "2"), ("a", "3")]));
        assert_ne!(Pairs::from([("a", "bc")]), Pairs::from([("ab", "c")]));
    }
}

//! Which of the targets this process polls if several processes share them.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use toml::de::DeValue;

use super::values::text;

/// More than enough; the cost of choosing a shard grows with this number.
const MOST: u32 = 1000;

/// One of several processes that share one configuration and divide its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1 to `count`.
    index: u32,
    count: u32,
}

/// Why a text is not a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    #[error("{0:?} is not a shard; write the first of three as \"1/3\"")]
    Malformed(String),
    #[error("{0:?} is not among its own shards; write \"1/{1}\" to \"{1}/{1}\"")]
    OutOfRange(String, u32),
    #[error("{0:?} is not a shard of 1 to {MOST}; write the first of three as \"1/3\"")]
    Count(String),
}

impl Shard {
    /// The only shard, which polls all targets.
    pub const WHOLE: Shard = Shard { index: 1, count: 1 };

    /// Whether this shard polls a target. Exactly one shard does.
    ///
    /// A target belongs to the shard with the largest SHA-256 of the shard's number, a slash and the target's name. This
    /// is the same on all machines and in all versions. A shard that is added takes its share from each of the others,
    /// and no other target moves (highest random weight, Thaler and Ravishankar 1998).
    pub fn holds(self, target: &str) -> bool {
        let weight = |shard: &u32| Sha256::digest(format!("{shard}/{target}"));
        (1..=self.count).max_by_key(weight) == Some(self.index)
    }

    pub fn is_whole(self) -> bool {
        self == Shard::WHOLE
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    /// Reads `INDEX/COUNT`, such as `1/3`.
    fn from_str(text: &str) -> Result<Self, ShardError> {
        // `u32::from_str` takes a sign.
        let number = |digits: &str| {
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        let (index, count) = text.split_once('/').unwrap_or_default();
        let (Some(index), Some(count)) = (number(index), number(count)) else {
            return Err(ShardError::Malformed(text.to_owned()));
        };
        if !(1..=MOST).contains(&count) {
            Err(ShardError::Count(text.to_owned()))
        } else if !(1..=count).contains(&index) {
            Err(ShardError::OutOfRange(text.to_owned(), count))
        } else {
            Ok(Shard { index, count })
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

pub(super) fn shard(value: &DeValue<'_>) -> Result<Shard, String> {
    text(value)?.parse().map_err(|error: ShardError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: u32) -> Vec<Shard> {
        (1..=count).map(|index| Shard { index, count }).collect()
    }

    /// The number of the only shard that polls a target.
    fn of(target: &str, count: u32) -> u32 {
        let holders: Vec<_> = shards(count).into_iter().filter(|shard| shard.holds(target)).collect();
        assert_eq!(holders.len(), 1, "{target} of {count}: {holders:?}");
        holders[0].index
    }

    /// Computed by `printf 1/home | sha256sum` and the like. These never change: the alerts of a target that moved to
    /// another shard would be sent again.
    #[test]
    fn every_version_divides_targets_alike() {
        for (target, count, expected) in VECTORS {
            assert_eq!(of(target, *count), *expected, "{target} of {count}");
        }
    }

    const VECTORS: &[(&str, u32, u32)] = &[
        ("home", 2, 2),
        ("home", 3, 3),
        ("home", 5, 5),
        ("home", 16, 5),
        ("edge", 2, 1),
        ("edge", 3, 1),
        ("edge", 5, 1),
        ("edge", 16, 1),
        ("llm", 2, 2),
        ("llm", 3, 2),
        ("llm", 5, 2),
        ("llm", 16, 2),
        ("a", 2, 1),
        ("a", 3, 1),
        ("a", 5, 1),
        ("a", 16, 9),
        ("panel-1", 2, 1),
        ("panel-1", 3, 1),
        ("panel-1", 5, 4),
        ("panel-1", 16, 12),
        ("panel_2", 2, 2),
        ("panel_2", 3, 3),
        ("panel_2", 5, 3),
        ("panel_2", 16, 11),
        ("0", 2, 2),
        ("0", 3, 2),
        ("0", 5, 2),
        ("0", 16, 10),
    ];

    #[test]
    fn each_target_has_one_shard_and_shards_are_about_equal() {
        for count in [1, 2, 3, 5, 12] {
            let mut sizes = vec![0_u32; usize::try_from(count).unwrap()];
            for number in 0..600 {
                let target = format!("panel-{number}");
                sizes[usize::try_from(of(&target, count)).unwrap() - 1] += 1;
            }
            let fair = 600 / count;
            assert!(sizes.iter().all(|size| (fair / 2..=2 * fair).contains(size)), "{count}: {sizes:?}");
        }
    }

    #[test]
    fn a_shard_that_is_added_takes_its_share_and_nothing_else_moves() {
        for count in 1..6 {
            let names = (0..400).map(|number| format!("node_{number}"));
            let moved: Vec<_> = names.filter(|name| of(name, count) != of(name, count + 1)).collect();
            assert!(moved.iter().all(|name| of(name, count + 1) == count + 1));
            let share = 400 / (usize::try_from(count).unwrap() + 1);
            assert!((share / 2..=2 * share).contains(&moved.len()), "{count}: {}", moved.len());
        }
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for (text, expected) in [("1/1", Shard::WHOLE), ("2/3", Shard { index: 2, count: 3 })] {
            assert_eq!(text.parse(), Ok(expected));
            assert_eq!(expected.to_string(), text);
        }
        assert_eq!("1000/1000".parse(), Ok(Shard { index: 1000, count: 1000 }));
        for text in
            ["", "1", "/", "1/", "/3", "1/3/3", "a/b", "+1/3", "1/-3", " 1/3", "1 / 3", "1/99999999999"]
        {
            assert_eq!(text.parse::<Shard>(), Err(ShardError::Malformed(text.to_owned())), "{text}");
        }
        for text in ["0/3", "4/3"] {
            assert_eq!(text.parse::<Shard>(), Err(ShardError::OutOfRange(text.to_owned(), 3)), "{text}");
        }
        for text in ["0/0", "1/0", "1/1001"] {
            assert_eq!(text.parse::<Shard>(), Err(ShardError::Count(text.to_owned())), "{text}");
        }
    }
}

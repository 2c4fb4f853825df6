use std::{borrow::Cow, fmt};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::model::{ActiveAlert, KIND_USER};

/// How users are named in metrics and pages.
#[derive(Clone, Debug)]
pub enum UserLabels {
    /// By their names.
    Name,
    /// By 16 hex digits that stay the same as long as the key does.
    Hash(HashKey),
    /// Not at all: nothing is told about single users.
    Off,
}

impl UserLabels {
    /// The label of the user called `name`; absent: nothing may be told about single users.
    pub fn of<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        match self {
            UserLabels::Name => Some(Cow::Borrowed(name)),
            UserLabels::Hash(key) => Some(Cow::Owned(key.hash(name))),
            UserLabels::Off => None,
        }
    }

    /// The label of an alert's subject, which may be a user; absent: the alert may not be shown one by one.
    pub fn of_subject<'a>(&self, alert: &'a ActiveAlert) -> Option<Cow<'a, str>> {
        if alert.kind == KIND_USER { self.of(&alert.subject) } else { Some(Cow::Borrowed(&alert.subject)) }
    }
}

/// The key under which users' names are hashed.
#[derive(Clone)]
pub struct HashKey(Hmac<Sha256>);

impl HashKey {
    /// Takes a key of any length; 32 random bytes are a good one.
    pub fn new(key: &[u8]) -> Self {
        HashKey(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// The first 16 hex digits of HMAC-SHA256.
    pub fn hash(&self, name: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(name.as_bytes());
        let sum = mac.finalize().into_bytes();
        format!("{:016x}", u64::from_be_bytes(sum.first_chunk().copied().unwrap_or_default()))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_start_of_hmac_sha256() {
        // RFC 4231, test case 2.
        let key = HashKey::new(b"Jefe");
        assert_eq!(key.hash("what do ya want for nothing?"), "5bdcc146bf60754e");
        assert_eq!(format!("{:?}", UserLabels::Hash(key)), "Hash(HashKey(..))");
    }
}

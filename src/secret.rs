//! Values that cannot print themselves: secrets, and the key that hashes names.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, de};
use sha2::Sha256;

/// A password, token or key. It has no `Display`, and its `Debug` shows `<secret>`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Written by hand because serde's own messages quote a wrong value, and a password without its quotes is a wrong
/// value.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer) {
            Ok(value) => Ok(Self(value)),
            Err(_) => Err(de::Error::custom("a secret that is not text")),
        }
    }
}

/// The key that hashes names.
#[derive(Clone)]
pub struct HashKey(Hmac<Sha256>);

impl HashKey {
    /// Takes a key of any length; use 32 random bytes.
    pub fn new(key: &[u8]) -> Self {
        HashKey(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// The first 16 hex digits of the name's HMAC-SHA256.
    pub fn hash(&self, name: &str) -> String {
        format!("{:016x}", self.number(name.as_bytes()))
    }

    /// The first 64 bits of the HMAC-SHA256.
    pub fn number(&self, bytes: &[u8]) -> u64 {
        let mut mac = self.0.clone();
        mac.update(bytes);
        let sum = mac.finalize().into_bytes();
        u64::from_be_bytes(sum.first_chunk().copied().unwrap_or_default())
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
    fn debug_does_not_show_the_value() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "<secret> Some(<secret>)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_hash_is_the_start_of_hmac_sha256() {
        // RFC 4231, test case 2.
        let key = HashKey::new(b"Jefe");
        assert_eq!(key.hash("what do ya want for nothing?"), "5bdcc146bf60754e");
        assert_eq!(format!("{key:?}"), "HashKey(..)");
    }

    #[test]
    fn a_wrong_value_is_not_quoted() {
        for json in ["424242", "-424242", "4242.42", "[\"424242\"]", "{\"424242\": 1}", "\"424242"] {
            let error = serde_json::from_str::<Secret>(json).unwrap_err().to_string();
            assert!(!error.contains("4242"), "{error}");
        }
    }
}

//! A string that cannot print itself.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

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

/// Written by hand because serde's own messages quote the wrong value, and a password without its quotes is
/// a wrong value.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer) {
            Ok(value) => Ok(Self(value)),
            Err(_) => Err(de::Error::custom("a secret that is not text")),
        }
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
    fn a_wrong_value_is_not_quoted() {
        for json in ["424242", "-424242", "4242.42", "[\"424242\"]", "{\"424242\": 1}", "\"424242"] {
            let error = serde_json::from_str::<Secret>(json).unwrap_err().to_string();
            assert!(!error.contains("4242"), "{error}");
        }
    }
}

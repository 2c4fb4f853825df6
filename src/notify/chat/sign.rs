//! The signatures of Feishu and DingTalk.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{model::Timestamp, secret::Secret};

/// Of an empty message, with the time and the secret as the key.
pub(super) fn feishu(secret: &Secret, now: Timestamp) -> String {
    hmac(format!("{}\n{}", now.as_secs(), secret.expose()).as_bytes(), b"")
}

/// Of the time in milliseconds and the secret.
pub(super) fn dingtalk(secret: &Secret, now: Timestamp) -> String {
    let secret = secret.expose();
    hmac(secret.as_bytes(), format!("{}\n{secret}", now.as_millis()).as_bytes())
}

fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_recipes() {
        for (secret, secs, expected) in [
            ("demo", 1_599_360_473, "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="),
            ("synthetic-Secret_1", 1_795_600_000, "lkfR2aJVakLSrwQ4+L7rZ0XdmgCLjFVAdY1P/014Qvk="),
        ] {
            assert_eq!(feishu(&secret.into(), Timestamp::from_secs(secs)), expected);
        }
        for (secret, millis, expected) in [
            ("demo", 1_599_360_473_000, "eblRZvilBzXa6Ce18IeBM4pMy1rYNWKicaCg6VMwQe0="),
            ("SECsynthetic1", 1_795_600_000_002, "VStzxT/oICXw+AIXbiO/4iUk1EtW69R+qCHn/OTILlc="),
        ] {
            assert_eq!(dingtalk(&secret.into(), Timestamp::from_millis(millis)), expected);
        }
    }
}

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{model::Timestamp, secret::Secret};

/// People lose the padding when they copy a key.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A signing key. It cannot be printed.
pub(super) struct Key(Vec<u8>);

impl Key {
    /// The key of a secret in the form of Standard Webhooks, `whsec_` and base64, or of any other text as it is.
    /// Absent if the base64 is invalid or the key is empty.
    pub(super) fn standard(secret: &Secret) -> Option<Self> {
        let key = match secret.expose().strip_prefix("whsec_") {
            Some(encoded) => BASE64.decode(encoded).ok()?,
            None => secret.expose().as_bytes().to_vec(),
        };
        (!key.is_empty()).then_some(Key(key))
    }

    /// The key of a secret that is used as it is.
    pub(super) fn plain(secret: &Secret) -> Self {
        Key(secret.expose().as_bytes().to_vec())
    }

    fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }
}

/// `webhook-signature` (Standard Webhooks 1.0.0): one signature per key, so that a secret can be replaced without a
/// gap.
pub(super) fn standard(keys: &[Key], id: &str, time: Timestamp, body: &[u8]) -> String {
    let time = time.as_secs().to_string();
    let signed: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", body];
    let signatures: Vec<_> =
        keys.iter().map(|key| format!("v1,{}", BASE64.encode(key.sign(&signed)))).collect();
    signatures.join(" ")
}

/// `X-Hub-Signature-256`, as GitHub signs.
pub(super) fn github(key: &Key, body: &[u8]) -> String {
    let digits: String = key.sign(&[body]).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const EXPECTED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn signed(secrets: &[&str]) -> String {
        let keys: Vec<_> = secrets.iter().map(|text| Key::standard(&Secret::from(*text)).unwrap()).collect();
        standard(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp::from_secs(1_614_265_330), BODY)
    }

    #[test]
    fn standard_webhooks_vector() {
        assert_eq!(signed(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]), EXPECTED);
        let two = signed(&["plain text", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
        assert_eq!(two.split(' ').nth(1), Some(EXPECTED));
        assert_eq!(two.split(' ').count(), 2);
    }

    #[test]
    fn github_vector() {
        let key = Key::plain(&Secret::from("It's a Secret to Everybody"));
        assert_eq!(
            github(&key, b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn secrets_without_a_key() {
        for (secret, usable) in
            [("whsec_!", false), ("whsec_", false), ("", false), ("whsec_aGk", true), ("whsec_aGk=", true)]
        {
            assert_eq!(Key::standard(&Secret::from(secret)).is_some(), usable, "{secret}");
        }
    }
}

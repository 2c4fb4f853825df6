//! The six digits of two-factor authentication (RFC 6238, with SHA-1 and steps of 30 s, as 3x-ui has it).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::{model::Timestamp, secret::Secret};

/// A step of time, in seconds. 3x-ui accepts the digits of the present step alone.
const STEP: i64 = 30;

/// The secret behind the digits: base32, as panels show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotpSecret(Secret);

impl TotpSecret {
    /// Absent: the text is no secret in base32. Spaces, hyphens and letter case do not matter.
    pub fn parse(secret: &Secret) -> Option<Self> {
        base32(secret.expose()).filter(|bytes| !bytes.is_empty()).map(|_| TotpSecret(secret.clone()))
    }

    /// The digits of the step in which `now` is.
    pub(super) fn digits(&self, now: Timestamp) -> String {
        let step = now.as_millis().div_euclid(1000).div_euclid(STEP);
        let key = base32(self.0.expose()).unwrap_or_default();
        let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("HMAC takes a key of any length");
        mac.update(&step.to_be_bytes());
        let digest: [u8; 20] = mac.finalize().into_bytes().into();
        let offset = usize::from(digest[19] & 0xf);
        let word = digest[offset..offset + 4].iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
    }
}

/// Decodes base32 (RFC 4648), with or without padding.
fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.chars().filter(|letter| !matches!(letter, ' ' | '-' | '=')) {
        let value = match letter.to_ascii_uppercase() {
            letter @ 'A'..='Z' => u32::from(letter) - u32::from('A'),
            digit @ '2'..='7' => u32::from(digit) - u32::from('2') + 26,
            _ => return None,
        };
        buffer = (buffer << 5 | value) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<TotpSecret> {
        TotpSecret::parse(&Secret::from(text))
    }

    #[test]
    fn the_digits_are_those_of_the_rfc() {
        // RFC 6238, appendix B: its eight digits end in these six.
        let secret = secret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
        for (seconds, digits) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.digits(Timestamp::from_secs(seconds)), digits, "{seconds}");
        }
    }

    #[test]
    fn secrets_are_read_as_people_write_them() {
        let at = Timestamp::from_secs(59);
        for text in [
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
            "GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ====",
        ] {
            assert_eq!(secret(text).unwrap().digits(at), "287082", "{text}");
        }
        for text in ["", "   ", "A", "123456", "secret!", "é"] {
            assert!(secret(text).is_none(), "{text}");
        }
        assert!(!format!("{:?}", secret("GEZDGNBVGY3TQOJQ").unwrap()).contains("GEZD"));
    }
}

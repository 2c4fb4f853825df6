//! Six-digit codes of RFC 6238, as an authenticator makes them, written out here so that nothing is shared with a client
//! that makes them, too.

const BLOCK: usize = 64;

/// The code of the 30 seconds that `now_ms` is in; `None` if the secret is no base32.
pub(super) fn code(secret: &str, now_ms: i64) -> Option<String> {
    let step = now_ms.div_euclid(30_000).to_be_bytes();
    let mac = hmac(&base32(secret)?, &step);
    let at = usize::from(mac.last()? & 15);
    let four: [u8; 4] = mac.get(at..at + 4)?.try_into().ok()?;
    Some(format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000))
}

fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            number @ b'2'..=b'7' => number - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap_or(0));
        }
    }
    Some(bytes)
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut block = [0; BLOCK];
    let hashed = sha1(key);
    let key = if key.len() > BLOCK { &hashed } else { key };
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let inner = sha1(&[&block.map(|byte| byte ^ 0x36), message].concat());
    sha1(&[&block.map(|byte| byte ^ 0x5c)[..], &inner].concat())
}

fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % BLOCK != 56 {
        padded.push(0);
    }
    let bits = u64::try_from(message.len()).unwrap_or(0).wrapping_mul(8);
    padded.extend_from_slice(&bits.to_be_bytes());
    let mut hash: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(BLOCK) {
        let mut words: Vec<u32> = block
            .chunks_exact(4)
            .filter_map(|four| Some(u32::from_be_bytes(four.try_into().ok()?)))
            .collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = hash;
        for (at, word) in words.into_iter().enumerate() {
            let (mixed, constant) = match at {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e);
            (e, d, c, b) = (d, c, b.rotate_left(30), a);
            a = next.wrapping_add(constant).wrapping_add(word);
        }
        for (sum, part) in hash.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (four, word) in digest.chunks_exact_mut(4).zip(hash) {
        four.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last six digits of the examples of RFC 6238.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        for (seconds, expected) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(code(secret, seconds * 1000).as_deref(), Some(expected));
        }
        assert_eq!(code("not base32!", 0), None);
    }
}

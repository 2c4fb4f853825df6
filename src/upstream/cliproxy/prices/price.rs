/// What one token costs, in femto-dollars (10⁻¹⁵ US dollars). Lists have prices from 10⁻⁹ dollars on. Digits beyond
/// this are the noise of floating point, such as `2.0000000000000002e-07`, and are rounded away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Price(u64);

impl Price {
    const DIGITS: i32 = 15;
    /// A dollar per token. Whatever costs more is a mistake.
    const HIGHEST: u64 = 1_000_000_000_000_000;

    /// Reads a price in US dollars per token. Absent: it is no number, is negative or is not plausible.
    pub fn per_token(text: &str) -> Option<Self> {
        scaled(text, Self::DIGITS).filter(|femtos| *femtos <= Self::HIGHEST).map(Price)
    }

    /// Reads a price in US dollars per million tokens.
    pub fn per_million(text: &str) -> Option<Self> {
        scaled(text, Self::DIGITS - 6).filter(|femtos| *femtos <= Self::HIGHEST).map(Price)
    }

    pub(super) fn femtos(self) -> u64 {
        self.0
    }
}

/// A decimal number such as `1.25e-06`, times ten to the power of `digits`, rounded half up. Absent: it is something
/// else, or too large.
pub(super) fn scaled(text: &str, digits: i32) -> Option<u64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let number = [whole, fraction].concat();
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u128 = number.parse().ok()?;
    let power = exponent.parse::<i32>().ok()?.checked_add(digits)?;
    let power = power.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let factor = 10_u128.checked_pow(power.unsigned_abs());
    let scaled = match factor {
        Some(factor) if power >= 0 => number.checked_mul(factor)?,
        Some(factor) => number.checked_add(factor / 2)? / factor,
        None if number == 0 || power < 0 => 0,
        None => return None,
    };
    u64::try_from(scaled).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_to_the_last_digit() {
        let cases = [
            ("0", Some(0)),
            ("0.0", Some(0)),
            ("0e99", Some(0)),
            ("1", Some(1_000_000_000_000_000)),
            ("1e-9", Some(1_000_000)),
            ("1E-09", Some(1_000_000)),
            ("1e-15", Some(1)),
            ("6.25e-06", Some(6_250_000_000)),
            ("0.00000125", Some(1_250_000_000)),
            ("2.25e-05", Some(22_500_000_000)),
            (".5e-6", Some(500_000_000)),
            ("5.e-6", Some(5_000_000_000)),
            ("2e+0", None),
            ("0.1e+1", Some(1_000_000_000_000_000)),
            // Noise of floating point.
            ("2.0000000000000002e-07", Some(200_000_000)),
            ("9.999990000000002e-06", Some(9_999_990_000)),
            ("2.9999900000000002e-06", Some(2_999_990_000)),
            ("9.499999999999999e-07", Some(950_000_000)),
            ("0.1", Some(100_000_000_000_000)),
            ("4e-16", Some(0)),
            ("5e-16", Some(1)),
            ("1e-400", Some(0)),
            ("1e400", None),
            ("1.0001", None),
            ("-1e-6", None),
            ("+1e-6", None),
            ("", None),
            (".", None),
            ("e", None),
            ("1e", None),
            ("nan", None),
            ("inf", None),
            ("1_000", None),
            ("0x10", None),
            ("1e99999999999", None),
            ("123456789012345678901234567890123456789012345678901234567890e-60", None),
        ];
        for (text, femtos) in cases {
            assert_eq!(Price::per_token(text).map(Price::femtos), femtos, "{text}");
        }
    }

    #[test]
    fn people_write_prices_per_million_tokens() {
        for (text, femtos) in [
            ("1.25", Some(1_250_000_000)),
            ("10", Some(10_000_000_000)),
            ("0.125", Some(125_000_000)),
            ("0.000001", Some(1_000)),
            ("1000000", Some(1_000_000_000_000_000)),
            ("1000001", None),
        ] {
            assert_eq!(Price::per_million(text).map(Price::femtos), femtos, "{text}");
        }
    }
}

//! What the panel calls expiring soon.

use std::time::Duration;

use crate::{
    model::Thresholds,
    upstream::json::{Object, OddFields},
};

/// The thresholds in an answer of `defaultSettings`, days and GiB; absent: it is no object. 0 switches one off.
pub(in crate::upstream::xui) fn thresholds(answer: &str, odd: &OddFields) -> Option<Thresholds> {
    const DAY: u64 = 24 * 60 * 60;
    const GIB: u64 = 1 << 30;
    let answer = Object::new("settings", answer, odd)?;
    let setting = |field, unit: u64| {
        answer.count(field).filter(|number| *number > 0).map(|number| number.saturating_mul(unit))
    };
    Some(Thresholds {
        expiry: setting("expireDiff", DAY).map(Duration::from_secs),
        quota: setting("trafficDiff", GIB),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_days_and_gib_and_0_is_none() {
        for (settings, expiry, quota) in [
            (r#"{"expireDiff":7,"trafficDiff":2,"pageSize":25}"#, Some(604_800), Some(2_147_483_648)),
            (r#"{"expireDiff":"1","trafficDiff":0}"#, Some(86_400), None),
            (r#"{"expireDiff":-3,"trafficDiff":null}"#, None, None),
            (r#"{"expireDiff":1e300,"trafficDiff":18446744073709551615}"#, Some(u64::MAX), Some(u64::MAX)),
            ("{}", None, None),
        ] {
            let expected = Thresholds { expiry: expiry.map(Duration::from_secs), quota };
            assert_eq!(thresholds(settings, &OddFields::default()), Some(expected), "{settings}");
        }
    }
}

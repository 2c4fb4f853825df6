use std::collections::BTreeMap;

use jiff::{civil, tz::TimeZone};

use crate::{
    alert::{config::MuteConfig, rule::RuleError},
    model::{ActiveMute, Severity, Timestamp, check_label, glob::matches},
};

/// When no notifications are sent, and for which alerts.
#[derive(Clone, Debug, Default)]
pub struct Mutes(Vec<Mute>);

#[derive(Clone, Debug)]
struct Mute {
    name: String,
    config: MuteConfig,
    zone: TimeZone,
}

impl Mutes {
    /// # Errors
    /// Every mistake there is, not only the first.
    pub fn new(configs: &BTreeMap<String, MuteConfig>) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let mut mutes = Vec::new();
        for (name, config) in configs {
            let mut wrong = |key: &str, problem: String| {
                errors.push(RuleError { key: format!("mute.{name}.{key}"), problem });
            };
            if config.days.iter().any(|day| !(1..=7).contains(day)) {
                wrong("days", "days are 1 (Monday) to 7 (Sunday)".into());
            }
            if config.hours.is_some_and(|(from, to)| from >= DAY || to > DAY) {
                wrong("hours", "write e.g. \"23:00-08:00\"".into());
            }
            for problem in config.matchers.keys().filter_map(|label| check_label(label).err()) {
                wrong("matchers", problem);
            }
            match TimeZone::get(&config.zone) {
                Ok(zone) => mutes.push(Mute { name: name.clone(), config: config.clone(), zone }),
                Err(_) => wrong(
                    "zone",
                    format!("{:?} is not a time zone; write e.g. \"Asia/Shanghai\"", config.zone),
                ),
            }
        }
        if errors.is_empty() { Ok(Mutes(mutes)) } else { Err(errors) }
    }

    /// Until when an alert with these labels is muted; absent: it is not.
    pub(super) fn until<'a>(
        &self,
        label: impl Fn(&str) -> &'a str,
        severity: Severity,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let about = |mute: &&Mute| {
            mute.config.below.is_none_or(|below| severity < below)
                && mute.config.matchers.iter().all(|(name, pattern)| matches(pattern, label(name)))
        };
        self.0.iter().filter(about).filter_map(|mute| mute.ends(now)).max()
    }

    /// The windows that it is in.
    pub(super) fn active(&self, now: Timestamp) -> impl Iterator<Item = ActiveMute> {
        self.0.iter().filter_map(move |mute| {
            let matchers = mute.config.matchers.clone().into_iter().collect();
            let (name, below) = (mute.name.clone(), mute.config.below);
            Some(ActiveMute { name, matchers, below, until: mute.ends(now)? })
        })
    }
}

/// Minutes.
const DAY: u16 = 24 * 60;

impl Mute {
    /// When the window ends that `now` is in. A window belongs to the day it starts. It begins and ends by local time, so
    /// a change to or from summer time makes it longer or shorter.
    fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let local = now.local(&self.zone)?;
        let (from, to) = self.config.hours.unwrap_or((0, DAY));
        let days = [local.date().yesterday().ok()?, local.date()];
        let ends = days.into_iter().filter(|day| self.starts_on(*day)).filter_map(|day| {
            let last = if to > from { day } else { day.tomorrow().ok()? };
            let (start, end) =
                (Timestamp::of_local(day, from, &self.zone)?, Timestamp::of_local(last, to, &self.zone)?);
            (start <= now && now < end).then_some(end)
        });
        ends.max()
    }

    fn starts_on(&self, day: civil::Date) -> bool {
        let weekday = u8::try_from(day.weekday().to_monday_one_offset()).unwrap_or(0);
        self.config.days.is_empty() || self.config.days.contains(&weekday)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mute(days: &[u8], hours: Option<(u16, u16)>, zone: &str) -> MuteConfig {
        let days = days.to_vec();
        MuteConfig { days, hours, zone: zone.into(), matchers: BTreeMap::new(), below: None }
    }

    fn until(config: &MuteConfig, now: &str) -> Option<Timestamp> {
        let mutes = Mutes::new(&BTreeMap::from([("night".to_owned(), config.clone())])).unwrap();
        mutes.until(|_| "", Severity::Info, Timestamp::of(now))
    }

    #[test]
    fn windows_keep_to_the_wall_clock_of_their_zone() {
        let night = Some((23 * 60, 8 * 60));
        let cases = [
            // A quiet night in Shanghai, eight hours ahead.
            (mute(&[], night, "Asia/Shanghai"), "2026-01-05T14:59:59Z", None),
            (mute(&[], night, "Asia/Shanghai"), "2026-01-05T15:00:00Z", Some("2026-01-06T00:00:00Z")),
            (mute(&[], night, "Asia/Shanghai"), "2026-01-05T23:59:59Z", Some("2026-01-06T00:00:00Z")),
            (mute(&[], night, "Asia/Shanghai"), "2026-01-06T00:00:00Z", None),
            // The night in which Berlin's clocks go forward is an hour shorter, the one in autumn an hour longer.
            (mute(&[], night, "Europe/Berlin"), "2026-03-28T22:00:00Z", Some("2026-03-29T06:00:00Z")),
            (mute(&[], night, "Europe/Berlin"), "2026-03-29T06:00:00Z", None),
            (mute(&[], night, "Europe/Berlin"), "2026-10-24T21:00:00Z", Some("2026-10-25T07:00:00Z")),
            (mute(&[], night, "Europe/Berlin"), "2026-10-25T06:59:59Z", Some("2026-10-25T07:00:00Z")),
            // A window that begins in the hour that is left out begins after it.
            (mute(&[], Some((150, 240)), "Europe/Berlin"), "2026-03-29T01:29:00Z", None),
            (
                mute(&[], Some((150, 240)), "Europe/Berlin"),
                "2026-03-29T01:30:00Z",
                Some("2026-03-29T02:00:00Z"),
            ),
            // 2026-01-09 is a Friday: its night reaches into Saturday, Saturday's own is not muted.
            (mute(&[5], night, "UTC"), "2026-01-10T07:00:00Z", Some("2026-01-10T08:00:00Z")),
            (mute(&[5], night, "UTC"), "2026-01-10T23:30:00Z", None),
            (mute(&[5], night, "UTC"), "2026-01-09T07:00:00Z", None),
            // Whole days.
            (mute(&[6, 7], None, "UTC"), "2026-01-10T00:00:00Z", Some("2026-01-11T00:00:00Z")),
            (mute(&[6, 7], None, "UTC"), "2026-01-12T00:00:00Z", None),
            (mute(&[], Some((0, 1440)), "UTC"), "2026-01-10T12:00:00Z", Some("2026-01-11T00:00:00Z")),
        ];
        for (config, now, end) in cases {
            assert_eq!(until(&config, now), end.map(Timestamp::of), "{config:?} at {now}");
        }
    }

    #[test]
    fn all_matchers_must_match_and_the_severe_may_bypass() {
        let config = MuteConfig {
            matchers: BTreeMap::from([("target".into(), "ho*".into()), ("kind".into(), "user".into())]),
            below: Some(Severity::Critical),
            ..mute(&[], None, "UTC")
        };
        let mutes = Mutes::new(&BTreeMap::from([("m".to_owned(), config)])).unwrap();
        let cases = [
            ("home", "user", Severity::Warning, true),
            ("home", "user", Severity::Critical, false),
            ("away", "user", Severity::Info, false),
            ("home", "node", Severity::Info, false),
        ];
        for (target, kind, severity, muted) in cases {
            let label = |name: &str| if name == "target" { target } else { kind };
            let until = mutes.until(label, severity, Timestamp::from_secs(1_795_000_000));
            assert_eq!(until.is_some(), muted, "{target} {kind} {severity:?}");
        }
    }

    #[test]
    fn every_mistake_is_reported() {
        let bad = MuteConfig {
            matchers: BTreeMap::from([("colour".into(), "red".into())]),
            ..mute(&[0], Some((1440, 0)), "Asia/Shang")
        };
        let errors = Mutes::new(&BTreeMap::from([("m".to_owned(), bad)])).unwrap_err();
        let keys: Vec<_> = errors.iter().map(|error| &*error.key).collect();
        assert_eq!(keys, ["mute.m.days", "mute.m.hours", "mute.m.matchers", "mute.m.zone"]);
    }
}

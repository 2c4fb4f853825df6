//! Answers in the format of Marzban and PasarGuard. Unknown fields are skipped, so `links`, `proxies` and the like are
//! never stored; nearly every field may be missing, null, zero, a fraction or a word of a later version.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::walk::{LeftOut, Page};
use crate::{
    http::{Body, RowAllowance},
    model::{Timestamp, UnreadableCause, User},
};

#[derive(Debug, Deserialize)]
pub(super) struct Token {
    pub(super) access_token: String,
}

/// `GET /api/system`. Marzban up to 0.7 has only `total_user` and `users_active` of the counts; PasarGuard reversed
/// the words of their names.
#[derive(Debug, Deserialize)]
pub(super) struct System {
    pub(super) version: Option<String>,
    pub(super) total_user: Option<Count>,
    pub(super) online_users: Option<Count>,
    pub(super) users_active: Option<Count>,
    pub(super) users_on_hold: Option<Count>,
    pub(super) users_disabled: Option<Count>,
    pub(super) users_expired: Option<Count>,
    pub(super) users_limited: Option<Count>,
    pub(super) active_users: Option<Count>,
    pub(super) on_hold_users: Option<Count>,
    pub(super) disabled_users: Option<Count>,
    pub(super) expired_users: Option<Count>,
    pub(super) limited_users: Option<Count>,
    pub(super) incoming_bandwidth: Option<Count>,
    pub(super) outgoing_bandwidth: Option<Count>,
    pub(super) mem_total: Option<Count>,
    pub(super) mem_used: Option<Count>,
    pub(super) disk_total: Option<Count>,
    pub(super) disk_used: Option<Count>,
    pub(super) cpu_cores: Option<Count>,
    /// Percent.
    pub(super) cpu_usage: Option<f64>,
    pub(super) uptime_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Core {
    pub(super) version: Option<String>,
    pub(super) started: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub(super) id: i64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) address: Option<String>,
    pub(super) status: String,
    pub(super) xray_version: Option<String>,
    pub(super) usage_coefficient: Option<f64>,
    pub(super) lifetime_uplink: Option<Count>,
    pub(super) lifetime_downlink: Option<Count>,
}

/// A list that Marzban returns bare and PasarGuard, from 2.0 on, wraps in an object.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Nodes {
    Bare(Vec<Node>),
    Wrapped { nodes: Vec<Node> },
}

impl Nodes {
    pub(super) fn into_list(self) -> Vec<Node> {
        match self {
            Nodes::Bare(list) | Nodes::Wrapped { nodes: list } => list,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Admin {
    pub(super) username: String,
    pub(super) is_sudo: Option<bool>,
    /// Marzban.
    pub(super) users_usage: Option<Count>,
    /// PasarGuard.
    pub(super) used_traffic: Option<Count>,
    /// PasarGuard from 5.0 on, in place of `is_sudo`.
    pub(super) role: Option<Role>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Role {
    pub(super) is_owner: Option<bool>,
}

/// As [`Nodes`].
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Admins {
    Bare(Vec<Admin>),
    Wrapped { admins: Vec<Admin> },
}

impl Admins {
    pub(super) fn into_list(self) -> Vec<Admin> {
        match self {
            Admins::Bare(list) | Admins::Wrapped { admins: list } => list,
        }
    }
}

/// `GET /api/nodes/usage` and `GET /api/user/{name}/usage`.
#[derive(Debug, Deserialize)]
pub(super) struct Usages {
    pub(super) usages: Vec<Usage>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Usage {
    /// Null: the panel's own proxy.
    pub(super) node_id: Option<i64>,
    pub(super) node_name: String,
    #[serde(default)]
    pub(super) uplink: Count,
    #[serde(default)]
    pub(super) downlink: Count,
    /// In a user's usage, instead of the other two.
    #[serde(default)]
    pub(super) used_traffic: Count,
}

/// PasarGuard's usage answers: sums by node id.
#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    pub(super) stats: HashMap<i64, Vec<Bucket>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Bucket {
    #[serde(default)]
    pub(super) uplink: Count,
    #[serde(default)]
    pub(super) downlink: Count,
    #[serde(default)]
    pub(super) total_traffic: Count,
}

/// `GET /api/users?...&limit=1`, of which only the total is used.
#[derive(Debug, Deserialize)]
pub(super) struct Total {
    pub(super) total: Count,
}

/// One row of `GET /api/users`.
#[derive(Debug, Deserialize)]
pub(super) struct UserRow<'a> {
    #[serde(borrow)]
    pub(super) username: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) status: Cow<'a, str>,
    #[serde(default)]
    pub(super) used_traffic: Option<Count>,
    #[serde(default)]
    pub(super) lifetime_used_traffic: Option<Count>,
    /// Null or 0: unlimited.
    #[serde(default)]
    pub(super) data_limit: Option<Count>,
    /// Null or 0: never.
    #[serde(default)]
    pub(super) expire: Option<Time>,
    #[serde(default)]
    pub(super) on_hold_expire_duration: Option<Count>,
    #[serde(default)]
    pub(super) online_at: Option<Time>,
    #[serde(borrow, default)]
    pub(super) admin: Option<Owner<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Owner<'a> {
    #[serde(borrow)]
    pub(super) username: Cow<'a, str>,
}

/// A number of bytes or items. Panels write fractions if a node's coefficient is not an integer, and could write
/// anything: fractions are cut, negative numbers become 0, and numbers beyond 64 bits become the maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Count, E> {
                Ok(Count(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Count, E> {
                Ok(Count(u64::try_from(value).unwrap_or(0)))
            }

            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates, which is what is wanted"
            )]
            fn visit_f64<E>(self, value: f64) -> Result<Count, E> {
                Ok(Count(value as u64))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// A point in time: Unix seconds, or a date with or without an offset. Marzban's dates are UTC without saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecondsOrDate;

        impl Visitor<'_> for SecondsOrDate {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Unix seconds or an ISO 8601 date")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Time, E> {
                Ok(Time(Timestamp::from_secs(i64::try_from(value).unwrap_or(i64::MAX))))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Time, E> {
                Ok(Time(Timestamp::from_secs(value)))
            }

            #[expect(
                clippy::cast_possible_truncation,
                reason = "the cast saturates, which is what is wanted"
            )]
            fn visit_f64<E>(self, value: f64) -> Result<Time, E> {
                Ok(Time(Timestamp::from_millis((value * 1000.0) as i64)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                parse_date(text).map(Time).ok_or_else(|| E::custom("not a date"))
            }
        }

        deserializer.deserialize_any(SecondsOrDate)
    }
}

fn parse_date(text: &str) -> Option<Timestamp> {
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let naive: jiff::civil::DateTime = text.parse().ok()?;
        naive.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

/// Decodes `{"users": […], "total": n}` row by row and converts each row at once. A row whose fields have unexpected
/// types becomes `None`.
///
/// # Errors
/// When the answer as a whole has another structure.
pub(super) fn user_page(body: Body, convert: impl Fn(UserRow<'_>) -> User) -> serde_json::Result<Page> {
    let allowance = body.row_allowance();
    allowance.next_row();
    let mut json = serde_json::Deserializer::from_reader(std::io::BufReader::new(body));
    let page = PageSeed { convert: &convert, allowance }.deserialize(&mut json)?;
    json.end()?;
    Ok(page)
}

struct PageSeed<'c, F> {
    convert: &'c F,
    allowance: RowAllowance,
}

impl<'de, F: Fn(UserRow<'_>) -> User> DeserializeSeed<'de> for PageSeed<'_, F> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fn(UserRow<'_>) -> User> Visitor<'de> for PageSeed<'_, F> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of users")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page, A::Error> {
        let (mut rows, mut total) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            self.allowance.next_row();
            match key.as_str() {
                "users" => rows = Some(map.next_value_seed(Rows { page: &self })?),
                "total" => total = map.next_value::<Option<Count>>()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            self.allowance.next_row();
        }
        let rows = rows.ok_or_else(|| de::Error::missing_field("users"))?;
        Ok(Page { rows, total: total.map(|Count(total)| usize::try_from(total).unwrap_or(usize::MAX)) })
    }
}

struct Rows<'p, 'c, F> {
    page: &'p PageSeed<'c, F>,
}

impl<'de, F: Fn(UserRow<'_>) -> User> DeserializeSeed<'de> for Rows<'_, '_, F> {
    type Value = Vec<Result<User, LeftOut>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: Fn(UserRow<'_>) -> User> Visitor<'de> for Rows<'_, '_, F> {
    type Value = Vec<Result<User, LeftOut>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of users")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        self.page.allowance.next_row();
        while let Some(row) = seq.next_element::<Box<RawValue>>()? {
            let row = serde_json::from_str(row.get()).map(self.page.convert);
            rows.push(row.map_err(|_| LeftOut::Unreadable(UnreadableCause::NotAnObject)));
            self.page.allowance.next_row();
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_take_whatever_number_comes() {
        let cases = [
            ("0", 0),
            ("36986197.5", 36_986_197),
            ("-1", 0),
            ("-0.5", 0),
            ("9223372036854775808", 1 << 63),
            ("18446744073709551616", u64::MAX),
            ("1e300", u64::MAX),
            ("-99999999999999999999", 0),
        ];
        for (text, count) in cases {
            assert_eq!(serde_json::from_str::<Count>(text).unwrap(), Count(count), "{text}");
        }
        assert!(serde_json::from_str::<Count>("\"5\"").is_err());
    }

    #[test]
    fn times_come_as_seconds_and_as_dates_of_many_forms() {
        let cases = [
            ("1795227833", 1_795_227_833_000),
            ("1795227833.5", 1_795_227_833_500),
            ("0", 0),
            ("-5", -5000),
            (r#""2026-11-20T19:19:44.634733""#, 1_795_202_384_634),
            (r#""2026-11-20T19:19:44""#, 1_795_202_384_000),
            (r#""2026-11-20T19:19:44.6""#, 1_795_202_384_600),
            (r#""2026-11-20T19:19:44Z""#, 1_795_202_384_000),
            (r#""2026-11-20T22:49:44.000001+03:30""#, 1_795_202_384_000),
            ("9223372036854775807", i64::MAX),
            ("18446744073709551615", i64::MAX),
        ];
        for (text, millis) in cases {
            let Time(time) = serde_json::from_str(text).unwrap();
            assert_eq!(time.as_millis(), millis, "{text}");
        }
        for text in [r#""tomorrow""#, "true", r#""""#, "{}"] {
            assert!(serde_json::from_str::<Time>(text).is_err(), "{text}");
        }
    }
}

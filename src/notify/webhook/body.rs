use std::{collections::BTreeMap, io, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use crate::model::{Digest, Notice, NoticeAlert, NoticeStatus, Pairs, Timestamp};

/// Alertmanager's webhook body, version 4: its fields, in its order; and the digest, if it is one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    receiver: &'a str,
    status: NoticeStatus,
    alerts: Alerts<'a>,
    group_labels: &'a BTreeMap<String, String>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a Digest>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: NoticeStatus,
    labels: &'a Pairs,
    annotations: &'a Pairs,
    #[serde(serialize_with = "rfc3339")]
    starts_at: Option<Timestamp>,
    #[serde(serialize_with = "rfc3339")]
    ends_at: Option<Timestamp>,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl<'a> Body<'a> {
    /// Contains the first `named` alerts of a notice. As with Alertmanager, the common fields cover only the alerts
    /// that are contained.
    pub(super) fn of(notice: &'a Notice, external_url: &'a str, named: usize) -> Self {
        let told = notice.alerts.get(..named).unwrap_or(&notice.alerts);
        // Receivers that show only the summary show what a digest is about.
        let title = notice.digest.as_ref().map(|digest| ("summary", digest.title.as_str()));
        let fires = told.iter().any(|alert| alert.status == NoticeStatus::Firing);
        Body {
            receiver: &notice.receiver,
            status: if fires { NoticeStatus::Firing } else { NoticeStatus::Resolved },
            alerts: Alerts { told, external_url },
            group_labels: &notice.group_labels,
            common_labels: common(told, |alert| &alert.labels),
            common_annotations: common(told, |alert| &alert.annotations).into_iter().chain(title).collect(),
            external_url,
            version: "4",
            group_key: &notice.group,
            truncated_alerts: notice.alerts.len() - told.len() + notice.left_out,
            digest: notice.digest.as_ref(),
        }
    }

    /// As Go writes it, byte for byte: safe to embed in HTML, with a newline at the end.
    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        // Twice, because a body of megabytes that grows is there twice.
        let mut length = Length(0);
        self.write(&mut length)?;
        let mut json = Vec::with_capacity(length.0 + 1);
        self.write(&mut json)?;
        json.push(b'\n');
        Ok(json)
    }

    fn write(&self, to: impl io::Write) -> serde_json::Result<()> {
        self.serialize(&mut serde_json::Serializer::with_formatter(to, GoFormatter))
    }
}

/// How many bytes are written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Made while it is written, one after another.
#[derive(Debug)]
struct Alerts<'a> {
    told: &'a [Arc<NoticeAlert>],
    external_url: &'a str,
}

impl Serialize for Alerts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.told.iter().map(|alert| Alert::of(alert, self.external_url)))
    }
}

impl<'a> Alert<'a> {
    fn of(alert: &'a NoticeAlert, external_url: &'a str) -> Self {
        let (began, until) = alert.times();
        Alert {
            status: alert.status,
            labels: &alert.labels,
            annotations: &alert.annotations,
            starts_at: Some(began),
            ends_at: until.filter(|_| alert.status == NoticeStatus::Resolved),
            generator_url: external_url,
            fingerprint: format!("{:016x}", fingerprint(alert.labels.iter())),
        }
    }
}

/// The pairs that all alerts share.
fn common(alerts: &[Arc<NoticeAlert>], of: impl Fn(&NoticeAlert) -> &Pairs) -> BTreeMap<&str, &str> {
    let Some((first, others)) = alerts.split_first() else { return BTreeMap::new() };
    // Alertmanager treats a missing pair like an empty one.
    let shared =
        |name: &str, value: &str| others.iter().all(|alert| of(alert).get(name).unwrap_or_default() == value);
    of(first.as_ref()).iter().filter(|(name, value)| shared(name, value)).collect()
}

/// Alertmanager's identity of an alert: 64-bit FNV-1a over its labels, sorted by name, with 0xff after each name and value.
pub(in crate::notify) fn fingerprint<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;

    let bytes = labels.flat_map(|(name, value)| [name, value]).flat_map(|text| {
        // No text holds this byte, so adjacent texts cannot run together.
        text.bytes().chain([0xff])
    });
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// RFC 3339, with as many fractional digits as needed; an unknown time is Go's zero time.
#[expect(clippy::ref_option, reason = "serde hands the field over by reference")]
pub(in crate::notify) fn rfc3339<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time.map(|time| jiff::Timestamp::from_millisecond(time.as_millis())) {
        Some(Ok(time)) => serializer.collect_str(&time),
        Some(Err(_)) | None => serializer.serialize_str("0001-01-01T00:00:00Z"),
    }
}

/// Escapes what Go's encoder escapes beyond JSON's own rules.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let special = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        for piece in fragment.split_inclusive(special) {
            let plain = piece.trim_end_matches(special);
            writer.write_all(plain.as_bytes())?;
            for c in piece.chars().skip(plain.chars().count()) {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_alertmanagers() {
        let fingerprint = |labels: &[(&'static str, &'static str)]| fingerprint(labels.iter().copied());
        assert_eq!(fingerprint(&[("alertname", "A"), ("x", "1")]), 0x6051_004c_729a_be0e);
        assert_ne!(fingerprint(&[("a", "bc")]), fingerprint(&[("ab", "c")]));
    }

    #[test]
    fn times_have_the_digits_they_need() {
        #[derive(Serialize)]
        struct At(#[serde(serialize_with = "rfc3339")] Option<Timestamp>);

        for (millis, text) in [
            (Some(0), "1970-01-01T00:00:00Z"),
            (Some(1_759_305_600_120), "2025-10-01T08:00:00.12Z"),
            (Some(-1), "1969-12-31T23:59:59.999Z"),
            (Some(i64::MAX), "0001-01-01T00:00:00Z"),
            (None, "0001-01-01T00:00:00Z"),
        ] {
            let json = serde_json::to_string(&At(millis.map(Timestamp::from_millis))).unwrap();
            assert_eq!(json, format!("\"{text}\""));
        }
    }
}

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

use crate::exposition::{Coding, Format};

/// The format that the client likes best of those there are; the classic one if it names none of them.
///
/// As usual among exporters, OpenMetrics must be asked for by name: many clients accept anything and read only
/// the classic format. The parameter `escaping` makes no difference, since all names are plain ASCII.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut open: Option<Choice> = None;
    let mut classic: Option<Choice> = None;
    for (place, item) in items(headers, &ACCEPT).enumerate() {
        let version = item.parameter("version");
        let (choice, rank) = match item.name {
            name if name.eq_ignore_ascii_case("application/openmetrics-text") => match version {
                Some("1.0.0") => (&mut open, 2),
                None => (&mut open, 1),
                Some(_) => continue,
            },
            name if name.eq_ignore_ascii_case("text/plain") => match version {
                Some("0.0.4") => (&mut classic, 3),
                None => (&mut classic, 2),
                Some(_) => continue,
            },
            name if name.eq_ignore_ascii_case("text/*") => (&mut classic, 1),
            "*/*" => (&mut classic, 0),
            _ => continue,
        };
        // What is said most precisely holds, RFC 9110 section 12.5.1.
        if choice.as_ref().is_none_or(|known| rank > known.rank) {
            *choice = Some(Choice { rank, quality: item.quality(), place });
        }
    }
    match (open, classic) {
        (Some(open), None) if open.quality > 0 => Format::OpenMetrics,
        (Some(open), Some(classic))
            if open.quality > classic.quality
                || open.quality == classic.quality && open.quality > 0 && open.place < classic.place =>
        {
            Format::OpenMetrics
        }
        _ => Format::Classic,
    }
}

/// What a client said of a format.
struct Choice {
    /// How precisely.
    rank: u8,
    quality: u16,
    place: usize,
}

/// Gzip if the client takes it and does not like the text as it is better.
pub(super) fn coding(headers: &HeaderMap) -> Coding {
    let quality = |name: &str| {
        items(headers, &ACCEPT_ENCODING)
            .find(|item| item.name.eq_ignore_ascii_case(name))
            .map(|item| item.quality())
    };
    let gzip = quality("gzip").or_else(|| quality("x-gzip")).or_else(|| quality("*")).unwrap_or(0);
    let identity = quality("identity").unwrap_or(0);
    if gzip > 0 && gzip >= identity { Coding::Gzip } else { Coding::Identity }
}

/// Whether the client likes CSV better than JSON: by quality, and of equal quality what is named more precisely. JSON if it
/// makes no difference.
pub(super) fn wants_csv(headers: &HeaderMap) -> bool {
    let liked = |names: [&str; 3]| {
        let ranked = names.iter().zip([2, 1, 0]).find_map(|(name, rank)| {
            let mut fits = items(headers, &ACCEPT).filter(|item| item.name.eq_ignore_ascii_case(name));
            fits.next().map(|item| (item.quality(), rank))
        });
        ranked.filter(|(quality, _)| *quality > 0)
    };
    liked(["text/csv", "text/*", "*/*"]) > liked(["application/json", "application/*", "*/*"])
}

/// One of the things a header lists.
struct Item<'h> {
    name: &'h str,
    parameters: &'h str,
}

impl<'h> Item<'h> {
    fn parameter(&self, name: &str) -> Option<&'h str> {
        self.parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
        })
    }

    /// In thousandths. What is not a quality makes the item worth nothing.
    fn quality(&self) -> u16 {
        let Some(text) = self.parameter("q") else { return 1000 };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return 0;
        }
        let thousandths = format!("{fraction:0<3}").parse().unwrap_or(0);
        match (whole, thousandths) {
            ("0", thousandths) => thousandths,
            ("1", 0) => 1000,
            _ => 0,
        }
    }
}

fn items<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = Item<'h>> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|item| {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        Item { name: name.trim(), parameters }
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn formats() {
        use Format::{Classic, OpenMetrics};
        let cases: &[(&[&'static str], Format)] = &[
            (&[], Classic),
            (&[""], Classic),
            (&["*/*"], Classic),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], Classic),
            (&["application/json"], Classic),
            (&["text/plain"], Classic),
            (&["application/openmetrics-text"], OpenMetrics),
            (&["Application/OpenMetrics-Text; Version=1.0.0"], OpenMetrics),
            (&["application/openmetrics-text;version=\"1.0.0\""], OpenMetrics),
            (&["application/openmetrics-text;version=0.0.1"], Classic),
            (&["application/openmetrics-text;version=2.0.0,text/plain;q=0.1"], Classic),
            (&["application/openmetrics-text;q=0"], Classic),
            (&["application/openmetrics-text;q=0.5, text/plain;q=0.6"], Classic),
            (&["application/openmetrics-text;q=0.6, text/plain;q=0.5"], OpenMetrics),
            (&["text/plain, application/openmetrics-text"], Classic),
            (&["application/openmetrics-text, text/plain"], OpenMetrics),
            (&["text/plain;q=0.5", "application/openmetrics-text"], OpenMetrics),
            (&["*/*;q=0.9, text/plain;q=0.1, application/openmetrics-text;q=0.5"], OpenMetrics),
            (&["application/openmetrics-text;q=x"], Classic),
            (&["application/openmetrics-text;q=0, */*;q=0"], Classic),
            // Prometheus 2.
            (
                &[
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ],
                OpenMetrics,
            ),
            // Prometheus 3.
            (
                &["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                   application/openmetrics-text;version=0.0.1;q=0.5,\
                   text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"],
                OpenMetrics,
            ),
            // Prometheus 3 that prefers protobuf, and one told to prefer the classic text.
            (
                &[
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
                   application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                   text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ],
                OpenMetrics,
            ),
            (
                &[
                    "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.2",
                ],
                Classic,
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(format(&headers(&ACCEPT, lines)), *expected, "{lines:?}");
        }
    }

    #[test]
    fn tables_or_json() {
        for (line, expected) in [
            ("", false),
            ("*/*", false),
            ("text/csv", true),
            ("Text/CSV; header=present", true),
            ("text/*", true),
            ("text/csv, */*", true),
            ("*/*, text/csv", true),
            ("text/csv;q=0.5, */*;q=0.5", true),
            ("text/csv;q=0.5, */*", false),
            ("text/csv, application/*", true),
            ("text/csv, application/json", false),
            ("text/csv, application/json;q=0.9", true),
            ("text/*, application/json", false),
            ("text/*, */*", true),
            ("text/csv;q=0", false),
            ("text/csv;q=0, text/*", false),
            ("application/json;q=0, */*;q=0.1", true),
            ("text/csv;q=0, */*", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ] {
            assert_eq!(wants_csv(&headers(&ACCEPT, &[line])), expected, "{line:?}");
        }
    }

    #[test]
    fn codings() {
        use Coding::{Gzip, Identity};
        let cases: &[(&[&'static str], Coding)] = &[
            (&[], Identity),
            (&[""], Identity),
            (&["gzip"], Gzip),
            (&["x-gzip"], Gzip),
            (&["GZIP;q=1.0"], Gzip),
            (&["deflate, br"], Identity),
            (&["deflate, gzip;q=0.001"], Gzip),
            (&["gzip;q=0"], Identity),
            (&["gzip;q=0.000"], Identity),
            (&["gzip;q=0, *"], Identity),
            (&["*"], Gzip),
            (&["*;q=0"], Identity),
            (&["identity"], Identity),
            (&["identity, gzip;q=0.5"], Identity),
            (&["identity;q=0.5, gzip;q=0.5"], Gzip),
            (&["identity;q=0", "gzip"], Gzip),
            (&["gzip;q=2"], Identity),
        ];
        for (lines, expected) in cases {
            assert_eq!(coding(&headers(&ACCEPT_ENCODING, lines)), *expected, "{lines:?}");
        }
    }
}

//! `/usage`: every attempt since the start, by client key and model.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use jiff::tz::Offset;
use serde_json::{Value, json};

use super::instant;
use super::options::Generation;
use super::record::{Record, Stated};

/// Details written at a time.
const PAGE: usize = 512;

/// What the server has counted since it started.
#[derive(Default)]
pub(super) struct Usage {
    success: u64,
    failure: u64,
    tokens: u64,
    apis: BTreeMap<String, BTreeMap<String, Group>>,
    /// Attempts and tokens by day of the unix era, in local time.
    by_day: BTreeMap<i64, (u64, u64)>,
    by_hour: [(u64, u64); 24],
}

/// The attempts of a client key with a model.
#[derive(Default)]
struct Group {
    attempts: u64,
    tokens: u64,
    /// Shared with the answers that are being written.
    details: Arc<Vec<Detail>>,
}

/// An attempt, and its tokens as they are stated.
#[derive(Clone, Copy)]
struct Detail {
    started_ns: i64,
    credential: u16,
    failed: bool,
    latency_ms: u32,
    /// `input`, `output`, `reasoning`, `cached`, `total`.
    tokens: [u32; 5],
}

impl Usage {
    pub(super) fn add(
        &mut self,
        (api, model): (&str, &str),
        record: &Record,
        stated: Stated,
        offset: Offset,
        cap: Option<usize>,
    ) {
        let failed = !record.outcome.is_success();
        *(if failed { &mut self.failure } else { &mut self.success }) += 1;
        self.tokens += stated.total;
        let local_s = record.started_ns.div_euclid(1_000_000_000) + i64::from(offset.seconds());
        let hour = usize::try_from(local_s.div_euclid(3600).rem_euclid(24)).unwrap_or(0);
        let day = self.by_day.entry(local_s.div_euclid(86_400)).or_default();
        for (attempts, tokens) in [Some(day), self.by_hour.get_mut(hour)].into_iter().flatten() {
            *attempts += 1;
            *tokens += stated.total;
        }
        let group = self.apis.entry(api.to_owned()).or_default().entry(model.to_owned()).or_default();
        group.attempts += 1;
        group.tokens += stated.total;
        let details = Arc::make_mut(&mut group.details);
        if cap.is_some_and(|cap| details.len() >= cap) {
            details.remove(0);
        }
        let tokens = [stated.input, stated.output, stated.reasoning, stated.cached, stated.total]
            .map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
        let Record { started_ns, credential, latency_ms, .. } = *record;
        details.push(Detail { started_ns, credential, failed, latency_ms, tokens });
    }

    /// The answer, piece by piece. `credentials` are the `source` and `auth_index` of each.
    pub(super) fn pieces(
        &self,
        generation: Generation,
        offset: Offset,
        credentials: Vec<(String, Value)>,
    ) -> impl Iterator<Item = Bytes> + Send + 'static {
        let identities = Arc::new(identities(generation, credentials));
        self.parts(generation).into_iter().flat_map(move |part| match part {
            Part::Text(text) => vec![text.into()].into_iter().chain(Pages::none()),
            Part::Details(details) => {
                let identities = Arc::clone(&identities);
                Vec::new().into_iter().chain(Pages { details, identities, generation, offset, next: 0 })
            }
        })
    }

    fn parts(&self, generation: Generation) -> Vec<Part> {
        let mut parts = Vec::new();
        let failed = self.failure;
        let mut text = match generation {
            Generation::V6_0 => "{\"usage\":{".to_owned(),
            _ => format!("{{\"failed_requests\":{failed},\"usage\":{{"),
        };
        text += &format!(
            "\"total_requests\":{},\"success_count\":{},\"failure_count\":{failed},\"total_tokens\":{},\"apis\":{{",
            self.success + failed,
            self.success,
            self.tokens,
        );
        for (place, (api, models)) in self.apis.iter().enumerate() {
            let (attempts, tokens) = models
                .values()
                .fold((0, 0), |(attempts, tokens), group| (attempts + group.attempts, tokens + group.tokens));
            text += &format!(
                "{}{}:{{\"total_requests\":{attempts},\"total_tokens\":{tokens},\"models\":{{",
                comma(place),
                json!(api),
            );
            for (place, (model, group)) in models.iter().enumerate() {
                let Group { attempts, tokens, details } = group;
                text += &format!(
                    "{}{}:{{\"total_requests\":{attempts},\"total_tokens\":{tokens},\"details\":[",
                    comma(place),
                    json!(model),
                );
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Details(Arc::clone(details)));
                text += "]}";
            }
            text += "}}";
        }
        text += "}";
        let date = |day: &i64| instant::zoned(day.saturating_mul(86_400_000_000_000), Offset::UTC).date();
        let by_day: Vec<(String, (u64, u64))> =
            self.by_day.iter().map(|(day, sums)| (date(day).to_string(), *sums)).collect();
        let by_hour = (0..).zip(self.by_hour).filter(|(_, (attempts, _))| *attempts > 0);
        let by_hour = by_hour.map(|(hour, sums): (u8, _)| (format!("{hour:02}"), sums)).collect();
        for (name, sums) in [("day", &by_day), ("hour", &by_hour)] {
            let requests = sums.iter().map(|(key, (requests, _))| (key.clone(), json!(requests)));
            text += &format!(",\"requests_by_{name}\":{}", Value::Object(requests.collect()));
        }
        for (name, sums) in [("day", &by_day), ("hour", &by_hour)] {
            let tokens = sums.iter().map(|(key, (_, tokens))| (key.clone(), json!(tokens)));
            text += &format!(",\"tokens_by_{name}\":{}", Value::Object(tokens.collect()));
        }
        text += "}}";
        parts.push(Part::Text(text));
        parts
    }
}

enum Part {
    Text(String),
    Details(Arc<Vec<Detail>>),
}

/// What a detail says of each credential, as it is written.
fn identities(generation: Generation, credentials: Vec<(String, Value)>) -> Vec<String> {
    let written = |(source, index): (String, Value)| match generation {
        Generation::V6_0 => String::new(),
        Generation::V6_2 => format!("\"source\":{},", json!(masked(&source))),
        _ => format!("\"source\":{},\"auth_index\":{index},", json!(source)),
    };
    credentials.into_iter().map(written).collect()
}

fn masked(source: &str) -> String {
    let (head, tail) = (source.get(..4), source.len().checked_sub(4).and_then(|from| source.get(from..)));
    match (head, tail) {
        (Some(head), Some(tail)) if source.len() > 8 => format!("{head}...{tail}"),
        _ => source.to_owned(),
    }
}

/// The details of one model, written a page at a time.
struct Pages {
    details: Arc<Vec<Detail>>,
    identities: Arc<Vec<String>>,
    generation: Generation,
    offset: Offset,
    next: usize,
}

impl Pages {
    fn none() -> Pages {
        let (details, identities) = (Arc::default(), Arc::default());
        Pages { details, identities, generation: Generation::V6_0, offset: Offset::UTC, next: 0 }
    }
}

impl Iterator for Pages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let from = self.next;
        let page = self.details.get(from..).filter(|rest| !rest.is_empty())?;
        let mut text = Vec::with_capacity(PAGE * 256);
        let mut timestamp = String::with_capacity(35);
        for (place, detail) in (from..).zip(page.iter().take(PAGE)) {
            timestamp.clear();
            instant::write_local(&mut timestamp, detail.started_ns, self.offset);
            let latency = match self.generation {
                Generation::V6_9 => format!("\"latency_ms\":{},", detail.latency_ms),
                _ => String::new(),
            };
            let failed = match (self.generation, detail.failed) {
                (Generation::V6_0, _) => "",
                (_, true) => ",\"failed\":true",
                (_, false) => ",\"failed\":false",
            };
            let identity = self.identities.get(usize::from(detail.credential)).map_or("", String::as_str);
            let [input, output, reasoning, cached, total] = detail.tokens;
            // Writing to a vector cannot fail.
            drop(write!(
                text,
                "{}{{\"timestamp\":\"{timestamp}\",{latency}{identity}\"tokens\":{{\"input_tokens\":{input},\
                 \"output_tokens\":{output},\"reasoning_tokens\":{reasoning},\"cached_tokens\":{cached},\
                 \"total_tokens\":{total}}}{failed}}}",
                comma(place),
            ));
            self.next += 1;
        }
        Some(text.into())
    }
}

fn comma(place: usize) -> &'static str {
    if place == 0 { "" } else { "," }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_masked_as_the_server_does() {
        assert_eq!(masked("sk-up-oai-AAAA000000000001"), "sk-u...0001");
        assert_eq!(masked("short"), "short");
    }
}

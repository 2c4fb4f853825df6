use std::{borrow::Cow, str::FromStr, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use form_urlencoded::{Serializer, parse};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::{answer, bad_data, mistake, rfc3339};
use crate::{
    exposition::UserLabels,
    model::{Day, Marks, Month, Report, Timestamp, words::csv_cell},
    server::seen::Seen,
    store::{By, SubjectKind, Usage, UsageError, UsagePlace, UsageQuery, UsageRow},
};

/// The most rows of one answer, and their number if the request does not say.
const MOST: usize = 10_000;

/// The values of the parameter `of`.
const LISTS: [(&str, SubjectKind); 4] = [
    ("users", SubjectKind::User),
    ("admins", SubjectKind::Admin),
    ("nodes", SubjectKind::Node),
    ("keys", SubjectKind::Key),
];

/// The use that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Query {
    /// Absent: the sums of all targets.
    target: Option<String>,
    kind: SubjectKind,
    /// Under the label that is shown; absent: all of the kind.
    name: Option<String>,
    by: By,
    /// Numbers of days or months; absent: as far as it is kept, and the present one.
    from: Option<i32>,
    to: Option<i32>,
    limit: usize,
    after: Option<After>,
    pub(in crate::server) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Format {
    Json,
    Csv,
}

/// The last row of the page before: its target, and its place there. By name, because targets come and go between two pages.
#[derive(Clone, Debug, PartialEq, Eq)]
struct After {
    target: String,
    place: UsagePlace,
}

/// Why a request gets no rows.
#[derive(Debug)]
pub(in crate::server) enum Refused {
    /// A parameter is wrong.
    Wrong(String),
    /// Users may not be shown one by one.
    Hidden,
    Unreadable(UsageError),
    Unwritable,
}

impl Refused {
    pub(in crate::server) fn answer(&self) -> (StatusCode, String) {
        match self {
            Refused::Wrong(why) => (StatusCode::BAD_REQUEST, bad_data(why)),
            Refused::Hidden => {
                let why = "users are not shown one by one: labels = \"off\" in [users]; ask for a target, admin or node";
                (StatusCode::FORBIDDEN, mistake("forbidden", why))
            }
            Refused::Unreadable(why) => {
                (StatusCode::SERVICE_UNAVAILABLE, mistake("unavailable", &why.to_string()))
            }
            Refused::Unwritable => {
                let why = "the response cannot be generated";
                (StatusCode::INTERNAL_SERVER_ERROR, mistake("internal", why))
            }
        }
    }
}

/// A page of rows as it is sent.
#[derive(Debug)]
pub(in crate::server) struct Page {
    pub(in crate::server) text: Vec<u8>,
    /// What to ask for to get the next page, as the query of a URL; absent on the last one.
    pub(in crate::server) next: Option<String>,
}

impl Query {
    /// Reads the parameters of a URL. Others are ignored. `wants_csv` is what the header `Accept` says.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(in crate::server) fn of(parameters: Option<&str>, wants_csv: bool) -> Result<Self, String> {
        let mut given: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for (name, value) in parse(parameters.unwrap_or_default().as_bytes()) {
            if given.iter().any(|(known, _)| *known == name) {
                return Err(wrong(&name, "it is there twice"));
            }
            if value.len() > LONGEST {
                return Err(wrong(&name, "it is too long"));
            }
            given.push((name, value));
        }
        let take = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);

        let by = match take("by") {
            None | Some("day") => By::Day,
            Some("month") => By::Month,
            Some(_) => return Err(wrong("by", "write day or month")),
        };
        let (from, to) = (period(by, "from", take("from"))?, period(by, "to", take("to"))?);
        if let Some((from, to)) = from.zip(to)
            && from > to
        {
            return Err(wrong("to", "it is before from"));
        }
        let named: Vec<_> = SubjectKind::ALL
            .into_iter()
            .filter(|kind| *kind != SubjectKind::Target)
            .filter_map(|kind| Some((kind, take(kind.label())?)))
            .collect();
        let (kind, name) = match (&*named, take("of")) {
            ([], None) => (SubjectKind::Target, None),
            ([], Some(of)) => {
                let kind = LISTS.into_iter().find(|(word, _)| *word == of);
                (kind.ok_or_else(|| wrong("of", "write users, admins, nodes or keys"))?.1, None)
            }
            ([(kind, name)], None) => (*kind, Some((*name).to_owned())),
            ([_, ..], _) => {
                return Err("write one of the parameters of, user, admin, node and key".to_owned());
            }
        };
        let target = take("target").map(str::to_owned);
        if target.is_none() && kind != SubjectKind::Target {
            return Err(wrong("target", "it is missing; write the name of a target"));
        }
        let limit = match take("limit") {
            None => MOST,
            Some(text) => number(text)
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| wrong("limit", &format!("write a number from 1 to {MOST}")))?,
        };
        let after = match take("after") {
            None => None,
            Some(word) => Some(
                After::read(word)
                    .filter(|after| target.as_ref().is_none_or(|target| *target == after.target))
                    .ok_or_else(|| wrong("after", "write the value of \"next\" from the page before"))?,
            ),
        };
        let format = match take("format") {
            None if wants_csv => Format::Csv,
            None | Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some(_) => return Err(wrong("format", "write json or csv")),
        };
        Ok(Query { target, kind, name, by, from, to, limit, after, format })
    }

    /// The query of a URL for what follows.
    fn next(&self, after: &After) -> String {
        let mut query = Serializer::new(String::new());
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        };
        add("target", self.target.as_deref());
        match &self.name {
            Some(name) => add(self.kind.label(), Some(name)),
            None => add("of", LISTS.iter().find(|(_, kind)| *kind == self.kind).map(|(word, _)| *word)),
        }
        add("by", Some(self.by.label()));
        add("from", self.from.map(|from| self.by.name(from)).as_deref());
        add("to", self.to.map(|to| self.by.name(to)).as_deref());
        add("limit", Some(&self.limit.to_string()));
        add("format", Some(if self.format == Format::Csv { "csv" } else { "json" }));
        add("after", Some(&after.word()));
        query.finish()
    }
}

/// Bytes of a parameter.
const LONGEST: usize = 4096;

fn wrong(name: &str, why: &str) -> String {
    format!("invalid parameter {name:?}: {why}")
}

/// `usize::from_str` takes a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn period(by: By, name: &str, text: Option<&str>) -> Result<Option<i32>, String> {
    let number = text.map(|text| match by {
        By::Day => text.parse().map(Day::number),
        By::Month => Month::of_text(text).map(Month::number),
    });
    number.transpose().map_err(|why| wrong(name, &why))
}

impl After {
    /// As a word that can be part of a URL.
    fn word(&self) -> String {
        let UsagePlace { period, subject } = self.place;
        URL_SAFE_NO_PAD.encode(format!("{}/{period}/{subject}", self.target))
    }

    fn read(word: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(word).ok()?).ok()?;
        let mut parts = text.split('/');
        let target = parts.next()?.to_owned();
        let place = UsagePlace { period: parts.next()?.parse().ok()?, subject: parts.next()?.parse().ok()? };
        parts.next().is_none().then_some(After { target, place })
    }
}

#[derive(Serialize)]
struct Data<'a> {
    by: &'static str,
    /// Whose days these are.
    zone: &'a str,
    /// As of when everything that had been read of these targets is here, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
    usage: Vec<UsageLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What one subject used in one period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageLine {
    /// Such as 2026-11-27 or 2026-11.
    pub period: String,
    pub target: String,
    /// `target`, `user`, `admin`, `node` or `key`.
    pub kind: String,
    /// Empty for the sum of the target.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub used: u64,
    /// `bytes` or `tokens`.
    pub unit: String,
    /// Part of it may be of an earlier period, or of a later one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gap: bool,
    /// What was used just before a reset is not in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

/// The use that is asked for. This call blocks. Users are named as in the metrics.
///
/// # Errors
/// When it may not be shown, cannot be read, or is of a target that does not exist.
pub(in crate::server) fn page(seen: &Seen, usage: &Usage, query: &Query) -> Result<Page, Refused> {
    let labels = &seen.setup.options.labels;
    if query.kind == SubjectKind::User && matches!(labels, UserLabels::Off) {
        return Err(Refused::Hidden);
    }
    let is_asked = |report: &&Arc<Report>| query.target.as_deref().is_none_or(|name| *report.target == *name);
    let reports: Vec<_> = seen.view.reports.iter().filter(is_asked).collect();
    if reports.is_empty() && query.target.is_some() {
        return Err(Refused::Wrong(wrong("target", "there is no target of this name")));
    }
    let today = usage.today();
    // What a clock that was ahead has left is not shown until it is asked for.
    let periods = query.from.unwrap_or(query.by.first_kept(today))..=query.to.unwrap_or(query.by.of(today));
    let as_of: Option<Vec<_>> = reports.iter().map(|report| usage.as_of(&report.id())).collect();
    let (mut rows, mut last) = (Vec::new(), None);
    let is_before =
        |report: &&&Arc<Report>| query.after.as_ref().is_some_and(|after| *report.target < *after.target);
    for report in reports.iter().skip_while(is_before) {
        // One more shows whether there is another page.
        let left = (query.limit + 1).saturating_sub(rows.len());
        let of_target = UsageQuery {
            target: report.id(),
            kind: query.kind,
            name: match &query.name {
                None => None,
                Some(name) => match stored_name(usage, report, query.kind, name, labels)? {
                    None => break,
                    name => name,
                },
            },
            by: query.by,
            periods: periods.clone(),
            after: query
                .after
                .as_ref()
                .filter(|after| *after.target == *report.target)
                .map(|after| after.place),
            limit: left,
        };
        let found = usage.rows(&of_target).map_err(Refused::Unreadable)?;
        rows.extend(found.into_iter().map(|row| (*report, row)));
        if rows.len() > query.limit {
            rows.truncate(query.limit);
            last = rows
                .last()
                .map(|(report, row)| After { target: report.target.to_string(), place: row.place });
            break;
        }
    }
    let next = last.as_ref().map(|after| query.next(after));
    let rows = rows.into_iter().map(|(report, row)| UsageLine::new(seen, query, report, row));
    let text = match query.format {
        Format::Csv => usage_csv(rows).into_bytes(),
        Format::Json => {
            let data = Data {
                by: query.by.label(),
                zone: seen.setup.voice.zone_name(),
                as_of: as_of
                    .and_then(|all| all.into_iter().min())
                    .and_then(|at| rfc3339(Timestamp::from_secs(at.as_secs()))),
                usage: rows.collect(),
                next: last.as_ref().map(After::word),
            };
            answer(data).map_err(|_| Refused::Unwritable)?
        }
    };
    Ok(Page { text, next })
}

/// The name under which a subject is kept, by the one that is shown; absent: there is none.
fn stored_name(
    usage: &Usage,
    report: &Report,
    kind: SubjectKind,
    shown: &str,
    labels: &UserLabels,
) -> Result<Option<String>, Refused> {
    match labels {
        UserLabels::Hash(key) if kind == SubjectKind::User => {
            let found = usage.find_name((&report.id(), kind), |name| key.hash(name) == shown);
            found.map_err(Refused::Unreadable)
        }
        _ => Ok(Some(shown.to_owned())),
    }
}

impl UsageLine {
    fn new(seen: &Seen, query: &Query, report: &Report, row: UsageRow) -> Self {
        let labels = &seen.setup.options.labels;
        let name = match query.kind {
            SubjectKind::User => labels.of(&row.name).unwrap_or_default().into_owned(),
            _ => row.name,
        };
        UsageLine {
            period: query.by.name(row.place.period),
            target: report.target.to_string(),
            kind: query.kind.label().to_owned(),
            name,
            used: row.used,
            unit: unit(seen, query.kind, report).to_owned(),
            gap: row.marks.has(Marks::GAP),
            reset: row.marks.has(Marks::RESET),
        }
    }
}

/// What is counted of a kind at a target, also of one that was never read.
pub(in crate::server) fn unit(seen: &Seen, kind: SubjectKind, report: &Report) -> &'static str {
    let is_llm = || seen.setup.llms.iter().any(|name| **name == *report.target);
    match kind {
        SubjectKind::Key => "tokens",
        SubjectKind::Target if is_llm() => "tokens",
        SubjectKind::Target | SubjectKind::User | SubjectKind::Admin | SubjectKind::Node => "bytes",
    }
}

/// The lines as CSV, under their names.
pub fn usage_csv(lines: impl IntoIterator<Item = UsageLine>) -> String {
    let mut text = String::from("period,target,kind,name,used,unit,gap,reset\r\n");
    for line in lines {
        let UsageLine { period, target, kind, name, used, unit, gap, reset } = &line;
        let [period, target, kind, name, unit] =
            [period, target, kind, name, unit].map(|text| csv_cell(text));
        text.push_str(&format!("{period},{target},{kind},{name},{used},{unit},{gap},{reset}\r\n"));
    }
    text
}

#[cfg(test)]
mod tests;

//! The status page and those below it, without scripts: the most important facts first.
//!
//! [`html`] gathers what the templates show. Of the users and alerts, of which there may be tens of thousands, a few are
//! chosen on one pass, and names are looked at only then.

mod chart;
mod list;
mod llm;
mod receivers;
mod rows;
mod silences;
mod targets;
mod text;
mod top;
mod trouble;
mod user;
mod user_table;
mod users;

use std::sync::{Arc, LazyLock};

use minijinja::{Environment, Error, UndefinedBehavior, Value, value::Serde};
use serde::Serialize;

pub(super) use self::list::Asked;
use self::{
    chart::Use,
    list::Table,
    llm::LlmRow,
    receivers::{Receiver, Receivers},
    rows::{Alerts, Config},
    silences::Silences,
    targets::{CredentialRow, NodeRow, PartRow, Target},
    text::name,
    user::{Found, UserPage},
    user_table::UserTable,
    users::Users,
};
use super::{seen::Seen, state::State};
use crate::{
    model::{Report, words::count},
    store::SubjectKind,
    telemetry,
};

/// Where the documentation is; empty while the project has no home page.
const DOCUMENTATION: &str = env!("CARGO_PKG_HOMEPAGE");
/// Seconds after which a page reloads itself.
const REFRESH: u32 = 30;
/// Alerts on the page of all targets, and on that of one.
const ALERTS: usize = 10;
const ALERTS_OF_TARGET: usize = 25;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in [
        ("layout.html", include_str!("status/layout.html")),
        ("page.html", include_str!("status/page.html")),
        ("target.html", include_str!("status/target.html")),
        ("user_table.html", include_str!("status/user_table.html")),
        ("receiver.html", include_str!("status/receiver.html")),
        ("alerts.html", include_str!("status/alerts.html")),
        ("user.html", include_str!("status/user.html")),
        ("use.html", include_str!("status/use.html")),
        ("users.html", include_str!("status/users.html")),
        ("silences.html", include_str!("status/silences.html")),
        // What several of them show.
        ("headings.html", include_str!("status/headings.html")),
        ("pages.html", include_str!("status/pages.html")),
        ("state.html", include_str!("status/state.html")),
        ("troubles.html", include_str!("status/troubles.html")),
    ] {
        templates.add_template(name, source).expect("the template compiles, which a test shows");
    }
    templates.add_filter("show", show);
    templates
});

/// `value` as another template shows it.
fn show(state: &minijinja::State<'_, '_>, value: Value, template: &str) -> Result<Value, Error> {
    state.env().get_template(template)?.render(value).map(Value::from_safe_string)
}

/// A page that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Status(Asked),
    Target(String, Asked),
    /// The users of a target.
    Users(String, Asked),
    /// One of them, by the label in the path.
    User(String, String),
    Receiver(String),
}

impl Page {
    /// Whether what the page is about is known at present.
    pub(super) fn exists(&self, state: &State) -> bool {
        match self {
            Page::Status(_) => true,
            Page::Target(target, _) | Page::Users(target, _) | Page::User(target, _) => {
                state.board.view().reports.iter().any(|report| *report.target == **target)
            }
            Page::Receiver(receiver) => {
                state.setup.borrow().receivers.iter().any(|(name, _)| name == receiver)
            }
        }
    }

    /// Where the status page is, from this one.
    fn base(&self) -> &'static str {
        match self {
            Page::Status(_) => "./",
            Page::Target(..) | Page::Receiver(_) => "../",
            Page::Users(..) => "../../",
            Page::User(..) => "../../../",
        }
    }
}

/// What surrounds the content of each page.
#[derive(Serialize)]
struct Layout<'a> {
    style: &'static str,
    version: &'a str,
    revision: &'static str,
    documentation: &'static str,
    /// Empty: there are none.
    dashboards: &'a str,
    /// Absent: the page does not reload itself.
    refresh: Option<u32>,
    base: &'static str,
    /// Below the status page, wherever that is.
    metrics: &'a str,
    written: String,
    title: String,
    /// HTML.
    content: String,
}

/// Part of a page, with what links need.
#[derive(Serialize)]
struct Content<'a, T> {
    base: &'static str,
    metrics: &'a str,
    #[serde(flatten)]
    of: T,
}

#[derive(Serialize)]
struct Status {
    targets_up: String,
    targets_all: String,
    all_up: bool,
    targets: Table<Target>,
    llm: Vec<LlmRow>,
    /// Sections in HTML, or nothing.
    alerts: String,
    silences: String,
    users: String,
    /// For their numbers.
    alerting: Alerts,
    receivers: Receivers,
    config: Config,
}

#[derive(Serialize)]
struct TargetPage {
    target: Target,
    parts: Vec<PartRow>,
    /// Absent: it has none, or they are not known.
    nodes: Option<Table<NodeRow>>,
    credentials: Option<Table<CredentialRow>>,
    has_users: bool,
    /// Sections in HTML.
    #[serde(rename = "use")]
    used: String,
    alerts: String,
    users: String,
}

/// The page.
///
/// # Errors
/// If a template cannot be filled in, or what the page is about has just gone.
pub(super) fn html(seen: &Seen, page: &Page) -> Result<Vec<u8>, Error> {
    let base = page.base();
    let report = |target: &str| {
        let of = seen.view.reports.iter().find(|report| *report.target == *target);
        of.ok_or_else(gone)
    };
    let (title, content) = match page {
        Page::Status(asked) => status(seen, base, asked)?,
        Page::Target(target, asked) => {
            let report = report(target)?;
            (name(target), render("target.html", base, seen, target_page(seen, base, report, asked)?)?)
        }
        Page::Users(target, asked) => {
            let content = UserTable::new(seen, report(target)?, asked);
            (format!("users of {}", name(target)), render("user_table.html", base, seen, content)?)
        }
        Page::User(target, label) => {
            let report = report(target)?;
            let found = Found::new(seen, report, label);
            let found = found.as_ref().map(Option::as_ref);
            let used = found.ok().flatten();
            let used = used.map(|found| Use::of(seen, report, SubjectKind::User, &found.stored));
            let used = used.map(|used| render("use.html", base, seen, used)).transpose()?;
            let content = UserPage::new(seen, report, found, used.unwrap_or_default());
            (format!("user of {}", name(target)), render("user.html", base, seen, content)?)
        }
        Page::Receiver(receiver) => {
            let content = Receiver::new(seen, receiver).ok_or_else(gone)?;
            (name(receiver), render("receiver.html", base, seen, content)?)
        }
    };
    let layout = Layout {
        style: include_str!("status/page.css"),
        version: seen.version,
        revision: telemetry::REVISION,
        documentation: DOCUMENTATION,
        dashboards: &seen.setup.dashboards,
        // A search that is being typed must not be lost.
        refresh: (!matches!(page, Page::Users(..))).then_some(REFRESH),
        base,
        metrics: seen.telemetry_path.trim_start_matches('/'),
        written: rows::date_and_second(seen.now.wall),
        title,
        content,
    };
    TEMPLATES.get_template("layout.html")?.render(Serde(layout)).map(String::into_bytes)
}

fn gone() -> Error {
    Error::new(minijinja::ErrorKind::InvalidOperation, "it is not configured any more")
}

fn render<T: Serialize>(template: &str, base: &'static str, seen: &Seen, of: T) -> Result<String, Error> {
    let metrics = seen.telemetry_path.trim_start_matches('/');
    TEMPLATES.get_template(template)?.render(Serde(Content { base, metrics, of }))
}

/// The title and the content of the page about everything.
fn status(seen: &Seen, base: &'static str, asked: &Asked) -> Result<(String, String), Error> {
    let reports = &seen.view.reports;
    let is_up = |report: &&Arc<Report>| report.up == Some(true);
    let up = reports.iter().filter(is_up).count();
    let alerts = Alerts::new(seen, None, ALERTS);
    let title = format!("{} of {} up, {} firing", count(up), count(reports.len()), alerts.firing);
    let content = Status {
        targets_up: count(up),
        targets_all: count(reports.len()),
        all_up: up == reports.len(),
        targets: targets::table(reports, asked, seen.now),
        llm: reports.iter().filter_map(|report| LlmRow::new(report, seen.now)).collect(),
        alerts: render("alerts.html", base, seen, &alerts)?,
        silences: render("silences.html", base, seen, Silences::new(seen))?,
        users: render("users.html", base, seen, Users::new(seen, None))?,
        alerting: alerts,
        receivers: Receivers::new(seen),
        config: Config::new(seen),
    };
    Ok((title, render("page.html", base, seen, content)?))
}

fn target_page(seen: &Seen, base: &'static str, report: &Report, asked: &Asked) -> Result<TargetPage, Error> {
    let (of, now) = (Some(&*report.target), seen.now);
    Ok(TargetPage {
        target: Target::new(report, now),
        parts: PartRow::all(report, now),
        nodes: targets::nodes(report, asked, now),
        credentials: targets::credentials(report, asked, now),
        has_users: !report.users.list().is_empty(),
        used: render("use.html", base, seen, Use::of(seen, report, SubjectKind::Target, ""))?,
        alerts: render("alerts.html", base, seen, Alerts::new(seen, of, ALERTS_OF_TARGET))?,
        users: render("users.html", base, seen, Users::new(seen, of))?,
    })
}

#[cfg(test)]
mod tests;

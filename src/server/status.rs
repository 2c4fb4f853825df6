//! The status page, without scripts: the most important facts first.
//!
//! [`html`] gathers what the template `status/page.html` shows. Of the users and alerts, of which there may be tens of
//! thousands, a few are chosen on one pass, and names are looked at only then.

mod llm;
mod rows;
mod silences;
mod text;
mod top;
mod users;

use std::sync::{Arc, LazyLock};

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;

use self::{
    llm::LlmRow,
    rows::{Alerts, Config, Receivers, Target},
    silences::Silences,
    users::Users,
};
use super::seen::Seen;
use crate::{
    model::{Report, words::count},
    telemetry,
};

/// Where the documentation is; empty while the project has no home page.
const DOCUMENTATION: &str = env!("CARGO_PKG_HOMEPAGE");
/// Seconds after which the page reloads itself.
const REFRESH: u32 = 30;

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let page = templates.add_template("page.html", include_str!("status/page.html"));
    page.expect("the template compiles, which a test shows");
    let silences = templates.add_template("silences.html", include_str!("status/silences.html"));
    silences.expect("the template compiles, which a test shows");
    templates
});

#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    version: &'a str,
    revision: &'static str,
    documentation: &'static str,
    refresh: u32,
    /// Below the page's own address, wherever that is.
    metrics: String,
    written: String,
    targets_up: String,
    all_up: bool,
    targets: Vec<Target>,
    llm: Vec<LlmRow>,
    alerts: Alerts,
    /// A section in HTML, or nothing.
    silences: String,
    users: Users,
    receivers: Receivers,
    config: Config,
}

/// The page.
pub(super) fn html(seen: &Seen) -> Result<Vec<u8>, minijinja::Error> {
    let reports = &seen.view.reports;
    let is_up = |report: &&Arc<Report>| report.up == Some(true);
    let up = reports.iter().filter(is_up).count();
    let page = Page {
        style: include_str!("status/page.css"),
        version: seen.version,
        revision: telemetry::REVISION,
        documentation: DOCUMENTATION,
        refresh: REFRESH,
        metrics: format!(".{}", seen.telemetry_path),
        written: rows::date_and_second(seen.now.wall),
        targets_up: count(up),
        all_up: up == reports.len(),
        targets: reports.iter().map(|report| Target::new(report, seen.now)).collect(),
        llm: reports.iter().filter_map(|report| LlmRow::new(report, seen.now)).collect(),
        alerts: Alerts::new(seen),
        silences: TEMPLATES.get_template("silences.html")?.render(Serde(Silences::new(seen)))?,
        users: Users::new(seen),
        receivers: Receivers::new(seen),
        config: Config::new(seen),
    };
    let template = TEMPLATES.get_template("page.html")?;
    template.render(Serde(page)).map(String::into_bytes)
}

#[cfg(test)]
mod tests;

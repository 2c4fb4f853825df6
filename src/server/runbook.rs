//! The runbook as a page: `docs/runbook.md`, compiled in, with the same anchors as on GitHub.

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use pulldown_cmark::{Event, Parser, Tag, TagEnd, html};
use serde::Serialize;

use crate::{telemetry, wording::anchor};

const SOURCE: &str = include_str!("../../docs/runbook.md");
/// Begins the name of every alert. The table of contents leaves it out.
const PREFIX: &str = "Proxymeter";

#[derive(Serialize)]
struct Page<'a> {
    /// That of the status page.
    style: &'static str,
    own_style: &'static str,
    version: &'a str,
    revision: &'static str,
    introduction: Section,
    chapters: Vec<Chapter>,
}

#[derive(Serialize)]
struct Chapter {
    section: Section,
    entries: Vec<Section>,
}

/// A heading and the text below it.
#[derive(Serialize)]
struct Section {
    heading: String,
    /// As the table of contents shows it.
    short: String,
    anchor: String,
    /// HTML.
    text: String,
}

/// The page; `version` is that of this program.
pub(super) fn page(version: &str) -> Result<String, minijinja::Error> {
    let mut chapters = SOURCE.trim_start_matches("# ").split("\n# ").map(Chapter::of);
    let introduction = chapters.next().map(|chapter| chapter.section).unwrap_or_else(|| Section::of(""));
    let page = Page {
        style: include_str!("status/page.css"),
        own_style: include_str!("runbook/page.css"),
        version,
        revision: telemetry::REVISION,
        introduction,
        chapters: chapters.collect(),
    };
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.render_named_str("page.html", include_str!("runbook/page.html"), Serde(page))
}

impl Chapter {
    fn of(markdown: &str) -> Self {
        let (own, entries) = markdown.split_once("\n## ").unwrap_or((markdown, ""));
        let entries = entries.split("\n## ").filter(|entry| !entry.is_empty());
        Chapter { section: Section::of(own), entries: entries.map(Section::of).collect() }
    }
}

impl Section {
    fn of(markdown: &str) -> Self {
        let (heading, text) = markdown.split_once('\n').unwrap_or((markdown, ""));
        Section {
            heading: heading.to_owned(),
            short: heading.strip_prefix(PREFIX).unwrap_or(heading).to_owned(),
            anchor: anchor(heading),
            text: to_html(text),
        }
    }
}

/// A link to another file of the repository becomes its text and the name of the file, which is not served.
fn to_html(markdown: &str) -> String {
    let mut linked = None;
    let events = Parser::new(markdown).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) if is_file(&dest_url) => {
            linked = Some(dest_url);
            None
        }
        Event::End(TagEnd::Link) => match linked.take() {
            Some(file) => {
                let file = file.split('#').next().unwrap_or_default();
                Some(Event::Text(format!(" (docs/{file})").into()))
            }
            None => Some(event),
        },
        event => Some(event),
    });
    let mut text = String::with_capacity(markdown.len() * 2);
    html::push_html(&mut text, events);
    text
}

fn is_file(url: &str) -> bool {
    !url.starts_with('#') && !url.contains("://")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn anchors_are_those_of_github() {
        for (heading, expected) in [
            ("ProxymeterNodeDown", "proxymeternodedown"),
            ("Nodes and proxies", "nodes-and-proxies"),
            ("A CLIProxyAPI server", "a-cliproxyapi-server"),
            ("`up`: what, now?", "up-what-now"),
            ("LLM_proxies - Прокси", "llm_proxies---прокси"),
        ] {
            assert_eq!(anchor(heading), expected);
        }
    }

    #[test]
    fn every_heading_is_in_the_page_and_its_contents() {
        let page = page("1.2.3").unwrap();
        let mut anchors = BTreeSet::new();
        let mut events = Parser::new(SOURCE);
        while let Some(event) = events.next() {
            let Event::Start(Tag::Heading { .. }) = event else { continue };
            let Some(Event::Text(heading)) = events.next() else { panic!("a heading is not plain text") };
            let anchor = anchor(&heading);
            assert!(page.contains(&format!("id=\"{anchor}\">{heading}")), "{heading}");
            if &*heading != "Runbook" {
                assert!(page.contains(&format!("<a href=\"#{anchor}\">")), "{heading}");
            }
            assert!(anchors.insert(anchor), "{heading} is there twice");
        }
        assert!(anchors.len() > 40, "{anchors:?}");
        assert_eq!(page.matches(" id=\"").count(), anchors.len());
    }

    /// Of the page, or of the web; a file of the repository would be a dead link.
    #[test]
    fn links_lead_somewhere() {
        let page = page("1.2.3").unwrap();
        let links: Vec<_> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.len() > 40, "{links:?}");
        for link in links {
            let leads = match link.split_at_checked(1) {
                Some(("#", anchor)) => page.contains(&format!("id=\"{anchor}\"")),
                _ => link == "./" || link.starts_with("https://"),
            };
            assert!(leads, "{link}");
        }
        assert!(page.contains("A loop is stuck (docs/operations.md)"));
    }

    #[test]
    fn the_source_has_no_html_of_its_own() {
        let html = Parser::new(SOURCE).filter(|event| matches!(event, Event::Html(_) | Event::InlineHtml(_)));
        assert_eq!(html.collect::<Vec<_>>(), []);
        assert!(page("<script>").unwrap().contains("&lt;script&gt;"));
    }

    /// It goes to the folder that `PROXYMETER_PAGES` names, if it is set, for a browser to look at.
    #[test]
    fn a_page_to_look_at() {
        let page = page("1.2.3").unwrap();
        assert!(page.ends_with("</html>"));
        if let Some(folder) = std::env::var_os("PROXYMETER_PAGES") {
            std::fs::write(std::path::Path::new(&folder).join("runbook.html"), page).unwrap();
        }
    }
}

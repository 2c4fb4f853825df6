//! The ways a panel's answers go wrong.

use std::time::Duration;

/// A way for an answer to go wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with the body a real panel sends with it; from 502 on, the HTML page of a proxy in front.
    Status(u16),
    /// 200 with an HTML login page, as a portal in front of the panel answers.
    Html,
    /// The right answer cut in half, with the `content-length` of the half.
    CutJson,
    /// The right `content-length`, half of the body, then the connection closes.
    ClosedMidBody,
    /// The connection closes before any answer.
    Closed,
    /// The right answer in pieces of `bytes`, one after every pause of `every`.
    SlowDrip {
        /// Size of a piece.
        bytes: usize,
        /// Pause before each piece.
        every: Duration,
    },
    /// No answer, and the connection stays open.
    Hang,
    /// The right answer, this much later.
    Delay(Duration),
    /// The beginning of a JSON answer that goes on for ever, without `content-length`.
    EndlessBody,
    /// A small `gzip` body that unpacks to this many bytes of JSON.
    GzipBomb(u64),
    /// The right answer with every number, string, boolean and null turned into another type.
    WrongTypes,
    /// 200 with `{"hello":"world"}`.
    OtherJson,
    /// 307 to this location.
    Redirect(String),
}

/// How often a fault happens before it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// With the next matching request.
    Once,
    /// With so many matching requests.
    Count(u32),
    /// Until the panel is healed.
    Always,
}

#[derive(Default)]
pub(super) struct Faults {
    rules: Vec<Rule>,
}

struct Rule {
    path_prefix: String,
    fault: Fault,
    /// `None`: for ever.
    left: Option<u32>,
}

impl Faults {
    pub(super) fn add(&mut self, path_prefix: &str, fault: Fault, times: Times) {
        let left = match times {
            Times::Once => Some(1),
            Times::Count(count) => Some(count),
            Times::Always => None,
        };
        self.rules.push(Rule { path_prefix: path_prefix.to_owned(), fault, left });
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The fault this request meets.
    pub(super) fn take(&mut self, path_and_query: &str) -> Option<Fault> {
        self.rules.retain(|rule| rule.left != Some(0));
        let rule = self.rules.iter_mut().rev().find(|rule| path_and_query.starts_with(&rule.path_prefix))?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_as_often_as_asked_and_the_newest_wins() {
        let mut faults = Faults::default();
        faults.add("/api", Fault::Hang, Times::Always);
        faults.add("/api/users", Fault::Html, Times::Count(2));
        faults.add("/api/users", Fault::OtherJson, Times::Once);
        let names: Vec<String> = ["/api/users?limit=1", "/api/users", "/api/users", "/api/users", "/health"]
            .iter()
            .map(|path| format!("{:?}", faults.take(path)))
            .collect();
        assert_eq!(names, ["Some(OtherJson)", "Some(Html)", "Some(Html)", "Some(Hang)", "None"]);
        faults.clear();
        assert!(faults.take("/api/users").is_none());
    }
}

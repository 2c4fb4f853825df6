//! Matchers of silences and mutes as pages show them: those that may name users, only as users may be named.

use std::borrow::Cow;

use crate::{
    exposition::UserLabels,
    model::{ActiveMute, KIND_USER, Matcher, Silence, glob},
};

const HIDDEN: &str = "<hidden>";

/// The value of a matcher of a silence.
pub(super) fn value<'a>(silence: &Silence, matcher: &'a Matcher, labels: &UserLabels) -> Cow<'a, str> {
    let mut kinds = silence.matchers.iter().filter(|matcher| matcher.name() == "kind");
    let may_name = matcher.name() == "subject" && kinds.all(|kind| kind.matches(KIND_USER));
    match labels {
        UserLabels::Hash(key) if may_name && !matcher.op().is_regex() && !matcher.value().is_empty() => {
            key.hash(matcher.value()).into()
        }
        UserLabels::Hash(_) | UserLabels::Off if may_name && !matcher.value().is_empty() => HIDDEN.into(),
        _ => matcher.value().into(),
    }
}

/// The pattern for the label `name` of a mute, whose pattern it is.
pub(super) fn pattern<'a>(
    mute: &'a ActiveMute,
    name: &str,
    pattern: &'a str,
    labels: &UserLabels,
) -> &'a str {
    let mut kinds = mute.matchers.iter().filter(|(name, _)| name == "kind");
    let may_name = name == "subject" && kinds.all(|(_, kind)| glob::matches(kind, KIND_USER));
    match labels {
        UserLabels::Hash(_) | UserLabels::Off if may_name => HIDDEN,
        _ => pattern,
    }
}

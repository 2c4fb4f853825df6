//! Text that somebody or something was meant to replace.
//!
//! No variable is expanded in a configuration. Messages name the form of a placeholder and quote nothing, because it may
//! be a secret after all.

/// A placeholder that a secret or a name is unlikely to have by chance, anywhere in a text.
pub(super) fn certain(text: &str) -> Option<&'static str> {
    if is_between(text, "${", "}", is_variable) {
        Some("${…}")
    } else if is_between(text, "{{", "}}", |inner| !inner.is_empty()) {
        Some("{{ … }}")
    } else if is_between(text, "$(", ")", |inner| !inner.is_empty()) {
        Some("$(…)")
    } else if starts_with_variable(text) {
        Some("$VARIABLE")
    } else if is_between(text, "%", "%", |inner| is_upper(inner) && inner.contains('_')) {
        Some("%VARIABLE%")
    } else {
        None
    }
}

/// What a secret looks like, if that is a placeholder.
pub(super) fn likely(secret: &str) -> Option<String> {
    let variable = |form: &str| Some(format!("the placeholder {form}, which is not expanded"));
    let secret = secret.trim();
    let plain = secret.to_lowercase().replace(['-', '_', ' '], "");
    let is_one_letter = |letters: &[char]| {
        secret.chars().count() > 2 && letters.iter().any(|letter| secret.chars().all(|c| c == *letter))
    };
    const WORDS: [&str; 9] =
        ["changeme", "changethis", "replaceme", "placeholder", "redacted", "todo", "tbd", "secrethere", "…"];
    if let Some(form) = certain(secret) {
        variable(form)
    } else if secret.starts_with('%') && secret.ends_with('%') && is_upper(secret.trim_matches('%')) {
        variable("%VARIABLE%")
    } else if ["ENC[", "!vault", "vault:", "op://"].iter().any(|start| secret.starts_with(start)) {
        Some("a reference to a vault, which is not asked".to_owned())
    } else if secret.starts_with('<') && secret.ends_with('>') && secret.len() > 2
        || WORDS.contains(&plain.as_str())
        || plain.starts_with("your")
            && ["password", "token", "key", "secret"].iter().any(|word| plain.contains(word))
        || is_one_letter(&['x', 'X', '*', '.', '•'])
    {
        Some("a placeholder that is yet to be replaced".to_owned())
    } else {
        None
    }
}

/// A placeholder in a URL: besides the others, `<…>` or `…` anywhere.
pub(super) fn in_url(url: &str) -> Option<&'static str> {
    if let Some(form) = certain(url) {
        Some(form)
    } else if is_between(url, "<", ">", |inner| !inner.is_empty()) {
        Some("<…>")
    } else if url.contains('…') {
        Some("…")
    } else {
        None
    }
}

/// Whether a short part of a text is between these, and is such a one.
fn is_between(text: &str, open: &str, close: &str, is_such: impl Fn(&str) -> bool) -> bool {
    const LONGEST: usize = 100;
    text.match_indices(open).any(|(at, _)| {
        let rest = text.get(at + open.len()..).unwrap_or_default();
        let end = rest.char_indices().map(|(at, _)| at).nth(LONGEST).unwrap_or(rest.len());
        let rest = rest.get(..end).unwrap_or_default();
        rest.split_once(close).is_some_and(|(inner, _)| is_such(inner.trim()))
    })
}

/// The inside of `${…}`: a name, perhaps with a default.
fn is_variable(inner: &str) -> bool {
    let name = inner.split([':', '-', '?', '+', '=']).next().unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_word)
}

/// `$NAME` at the start, alone or before a sign.
fn starts_with_variable(text: &str) -> bool {
    text.strip_prefix('$').is_some_and(|rest| {
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end).unwrap_or_default();
        is_upper(name) && (after.is_empty() || after.starts_with(['/', '@', ':', '.']))
    })
}

/// The name of an environment variable, as they usually are.
fn is_upper(name: &str) -> bool {
    name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        for (text, in_text, in_secret, in_a_url) in [
            ("${PANEL_PASSWORD}", "${…}", "${…}", "${…}"),
            ("${abc}", "${…}", "${…}", "${…}"),
            ("${A:-b}", "${…}", "${…}", "${…}"),
            ("https://hooks.example.com/${TOKEN}/x", "${…}", "${…}", "${…}"),
            ("{{ panel_password }}", "{{ … }}", "{{ … }}", "{{ … }}"),
            ("{{password}}", "{{ … }}", "{{ … }}", "{{ … }}"),
            ("$(cat /run/secrets/panel)", "$(…)", "$(…)", "$(…)"),
            ("$PANEL_PASSWORD", "$VARIABLE", "$VARIABLE", "$VARIABLE"),
            ("$HOME/secret", "$VARIABLE", "$VARIABLE", "$VARIABLE"),
            ("%PANEL_PASSWORD%", "%VARIABLE%", "%VARIABLE%", "%VARIABLE%"),
            ("%PASSWORD%", "", "%VARIABLE%", ""),
            ("<password>", "", "yet to be replaced", "<…>"),
            ("https://panel.example.com/<hidden>", "", "", "<…>"),
            ("https://hooks.slack.com/services/…", "", "", "…"),
            ("changeme", "", "yet to be replaced", ""),
            ("Change-Me", "", "yet to be replaced", ""),
            ("your_password_here", "", "yet to be replaced", ""),
            ("xxxxxxxx", "", "yet to be replaced", ""),
            ("********", "", "yet to be replaced", ""),
            ("op://vault/panel/password", "", "a reference to a vault", ""),
            // Secrets as they are.
            ("hunter2", "", "", ""),
            ("pa$$word", "", "", ""),
            ("$ecret", "", "", ""),
            ("$2y$10$X0h1gDsPszWURQaxFh.zou", "", "", ""),
            ("a${", "", "", ""),
            ("${}", "", "", ""),
            ("${1}", "", "", ""),
            ("100%A%", "", "", ""),
            ("%2F%41%2F", "", "", ""),
            ("x", "", "", ""),
            ("xX", "", "", ""),
            ("yourself", "", "", ""),
            ("a<b>c", "", "", "<…>"),
            ("", "", "", ""),
        ] {
            let seen = [certain(text), in_url(text)].map(Option::unwrap_or_default);
            assert_eq!(seen, [in_text, in_a_url], "{text}");
            let likely = likely(text).unwrap_or_default();
            assert!(
                likely.contains(in_secret) && likely.is_empty() == in_secret.is_empty(),
                "{text}: {likely}"
            );
        }
    }
}

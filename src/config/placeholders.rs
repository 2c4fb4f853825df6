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
    } else if has_dollar_variable(text) {
        Some("$VARIABLE")
    } else if has_percent_variable(text) {
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
    } else if secret.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).is_some_and(is_description)
        || WORDS.contains(&plain.as_str())
        || plain.strip_prefix("your").is_some_and(is_of_a_kind)
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

/// The inside of `<…>`, such as `password of the panel`.
fn is_description(inner: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || " -_.…".contains(c);
    inner.starts_with(|c: char| c.is_alphabetic() || c == '…')
        && !inner.ends_with(' ')
        && inner.chars().all(allowed)
}

/// What follows `your`: kinds of secrets, whose they are, and nothing else.
fn is_of_a_kind(rest: &str) -> bool {
    const KINDS: [&str; 4] = ["password", "token", "key", "secret"];
    const OTHERS: [&str; 10] =
        ["access", "admin", "api", "bot", "bearer", "here", "management", "panel", "strong", "webhook"];
    let others = KINDS.iter().fold(rest.to_owned(), |rest, word| rest.replace(word, " "));
    others.len() < rest.len()
        && OTHERS.iter().fold(others, |rest, word| rest.replace(word, " ")).trim().is_empty()
}

/// An error about a placeholder of this form.
pub(super) fn error(form: &str, advice: &str) -> String {
    format!("has a placeholder, {form}, which is not expanded; {advice}")
}

/// Whether a short part of a text is between these, the nearest ones, and is such a one. Each character is looked at
/// once, because a text may have megabytes.
fn is_between(text: &str, open: &str, close: &str, is_such: impl Fn(&str) -> bool) -> bool {
    const LONGEST: usize = 100;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(close) {
        let inner = before.rsplit_once(open).map(|(_, inner)| inner);
        if inner.is_some_and(|inner| inner.len() <= LONGEST && is_such(inner.trim())) {
            return true;
        }
        rest = after;
    }
    false
}

/// The inside of `${…}`: a name, perhaps with a default.
fn is_variable(inner: &str) -> bool {
    let name = inner.split([':', '-', '?', '+', '=']).next().unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_word)
}

/// `$NAME` as a whole part of a text. Before most signs, two or three letters may be there by chance.
fn has_dollar_variable(text: &str) -> bool {
    text.match_indices('$').any(|(at, _)| {
        let (before, rest) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end).unwrap_or_default();
        let is_long = name.len() > 3 || name.contains('_');
        (before.is_empty() || before.ends_with(['/', ':', '@', '=', ' ']))
            && is_upper(name)
            && (after.is_empty() || is_long && after.starts_with(['/', ':', '@', '.', '?', '&', '#', ' ']))
    })
}

/// `%NAME%`. Both signs of percent-encoded text, such as `%AA_%D8`, have two hex digits behind them.
fn has_percent_variable(text: &str) -> bool {
    let is_encoded =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let mut between = text.split('%').skip(1).zip(text.split('%').skip(2));
    between
        .any(|(name, rest)| is_upper(name) && name.contains('_') && !(is_encoded(name) && is_encoded(rest)))
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
    use std::cell::Cell;

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
            ("$PW", "$VARIABLE", "$VARIABLE", "$VARIABLE"),
            ("https://$PANEL_HOST:8000", "$VARIABLE", "$VARIABLE", "$VARIABLE"),
            ("https://hooks.example.com/$HOOK_ID/$HOOK_TOKEN", "$VARIABLE", "$VARIABLE", "$VARIABLE"),
            ("https://oapi.dingtalk.com/robot/send?access_token=$KEY", "$VARIABLE", "$VARIABLE", "$VARIABLE"),
            ("http://$PROXY_USER:$PROXY_PASSWORD@127.0.0.1:3128", "$VARIABLE", "$VARIABLE", "$VARIABLE"),
            ("Bearer $TOKEN", "$VARIABLE", "$VARIABLE", "$VARIABLE"),
            ("%PANEL_PASSWORD%", "%VARIABLE%", "%VARIABLE%", "%VARIABLE%"),
            ("%ADMIN_PASSWORD%", "%VARIABLE%", "%VARIABLE%", "%VARIABLE%"),
            ("https://panel.example.com/%D8%AA/%ADMIN_PATH%/", "%VARIABLE%", "%VARIABLE%", "%VARIABLE%"),
            ("%PASSWORD%", "", "%VARIABLE%", ""),
            ("<password>", "", "yet to be replaced", "<…>"),
            ("https://panel.example.com/<hidden>", "", "", "<…>"),
            ("https://hooks.slack.com/services/…", "", "", "…"),
            ("changeme", "", "yet to be replaced", ""),
            ("Change-Me", "", "yet to be replaced", ""),
            ("your_password_here", "", "yet to be replaced", ""),
            ("YOUR_API_KEY", "", "yet to be replaced", ""),
            ("your-panel-admin-password", "", "yet to be replaced", ""),
            ("<Your token>", "", "yet to be replaced", "<…>"),
            ("<пароль панели>", "", "yet to be replaced", "<…>"),
            ("xxxxxxxx", "", "yet to be replaced", ""),
            ("********", "", "yet to be replaced", ""),
            ("op://vault/panel/password", "", "a reference to a vault", ""),
            // Secrets as they are.
            ("hunter2", "", "", ""),
            ("pa$$word", "", "", ""),
            ("$ecret", "", "", ""),
            ("$2y$10$X0h1gDsPszWURQaxFh.zou", "", "", ""),
            ("$KJ:x99283ss", "", "", ""),
            ("a$TOKEN/$ab", "", "", ""),
            ("a${", "", "", ""),
            ("a${b${C}", "${…}", "${…}", "${…}"),
            ("${}", "", "", ""),
            ("${1}", "", "", ""),
            ("100%A%", "", "", ""),
            ("%2F%41%2F", "", "", ""),
            ("https://panel.example.com/%D8%AA%D8%AA_%D8%A7", "", "", ""),
            ("https://panel.example.com/%d8%AA_%d8/%AF_1%20", "", "", ""),
            ("x", "", "", ""),
            ("xX", "", "", ""),
            ("yourself", "", "", ""),
            ("YourMonkeyEatsKeys77", "", "", ""),
            ("your panel", "", "", ""),
            ("<3 kittens >", "", "", "<…>"),
            ("<a+b>", "", "", "<…>"),
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

    /// A file of eight megabytes would take ten seconds otherwise.
    #[test]
    fn many_openings_are_looked_at_once() {
        let looks = Cell::new(0);
        let text = ("${".repeat(40) + "}").repeat(10);
        let found = is_between(&text, "${", "}", |inner| {
            looks.set(looks.get() + 1);
            !inner.is_empty()
        });
        assert_eq!((found, looks.get()), (false, 10));
    }
}

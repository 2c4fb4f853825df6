//! What to write instead of what is not TOML, where the mistake is a common one.

/// Quotes that editors and chats put in place of plain ones.
const CURLY: &[char] = &['“', '”', '„', '‘', '’', '‚', '«', '»', '＂', '＇'];
/// Equals signs and the like of other keyboards.
const WIDE: &[char] = &['＝', '：', '［', '］', '，', '＃'];

/// An error of the parser, with the correction if it can be told. Nothing of the text is quoted, which may be a secret.
pub(super) fn explain(text: &str, offset: Option<usize>, message: &str) -> String {
    let correction = of_message(message).or_else(|| correction(text, offset?, message));
    let separator = if correction.is_some() { "; " } else { "" };
    format!("not TOML: {message}{separator}{}", correction.unwrap_or_default())
}

fn of_message(message: &str) -> Option<&'static str> {
    if message == "duplicate key" {
        Some("this key or table is written twice; keep one")
    } else if message == "recursion limit" || message.contains("max recursion depth") {
        Some("brackets, braces or dots are nested too deeply; write fewer")
    } else if message.starts_with("missing escaped value") {
        Some("write a backslash twice, or the text in single quotes, '…'")
    } else {
        None
    }
}

fn correction(text: &str, offset: usize, message: &str) -> Option<&'static str> {
    let (before, after) = text.split_at_checked(offset)?;
    let before = before.rsplit('\n').next().unwrap_or_default();
    let after = after.lines().next().unwrap_or_default();
    let token = after.chars().next().unwrap_or_default();
    if CURLY.contains(&token) || CURLY.iter().any(|quote| before.ends_with(*quote)) {
        Some("a curly quote is here; write plain quotes, \"…\"")
    } else if is_invisible(token) || before.chars().next_back().is_some_and(is_invisible) {
        Some("a special or invisible space is here; write an ordinary one")
    } else if WIDE.contains(&token) {
        Some("a full-width sign is here; write the ASCII one")
    } else if token == ':' || before.trim_end().ends_with(':') {
        Some("write KEY = VALUE, with = in place of the colon")
    } else if offset == 0 && token == '{' {
        Some("this looks like JSON; see exporter.example.toml")
    } else if message.starts_with("string values must be quoted") {
        Some("write it as \"…\"")
    } else {
        None
    }
}

/// Whether a character looks like a space or like nothing, and is not what TOML has between words.
fn is_invisible(c: char) -> bool {
    let special = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    special || c.is_whitespace() && !matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::super::ConfigErrors;

    #[test]
    fn common_mistakes_have_a_correction() {
        for (text, position, correction) in [
            ("password = “hunter2”", "1", "a curly quote is here"),
            ("password = ‘hunter2’", "1", "a curly quote is here"),
            ("password =\u{a0}\"hunter2\"", "1", "a special or invisible space is here"),
            ("\u{a0}password = \"hunter2\"", "1", "a special or invisible space is here"),
            ("pass\u{200b}word = \"hunter2\"", "1", "a special or invisible space is here"),
            ("password： \"hunter2\"", "1", "a full-width sign is here"),
            ("password: \"hunter2\"", "1", "with = in place of the colon"),
            ("a:\n  b: 1", "1", "with = in place of the colon"),
            ("{\"password\": \"hunter2\"}", "1", "this looks like JSON"),
            ("password = hunter2", "1", "write it as \"…\""),
            ("ca_file = \"C:\\proxymeter\\ca.pem\"", "1", "write a backslash twice"),
            ("a = 1\na = 2", "2", "written twice; keep one"),
            ("[a]\n[a]", "2", "written twice; keep one"),
            (&format!("a = {}", "[".repeat(1000)), "1", "nested too deeply"),
            (&"a.".repeat(1000), "1", "nested too deeply"),
        ] {
            let (_, errors) = toml::de::DeTable::parse_recoverable(text);
            let errors = ConfigErrors::syntax("f".as_ref(), text, &errors).to_string();
            let first = errors.lines().next().unwrap();
            assert!(first.contains(correction), "{text}\n{errors}");
            // Where dots are nested too deeply, the parser does not say.
            assert!(first.starts_with(&format!("f:{position}:")) || text.starts_with("a.a."), "{errors}");
            assert!(!errors.contains("hunter2"), "{errors}");
        }
    }
}

use std::borrow::Cow;

use form_urlencoded::{byte_serialize, parse};

/// Characters of a name that are shown.
const LONGEST_NAME: usize = 64;

/// A name that others chose, fit to be read: not longer than a line or two, and with signs in place of characters that
/// do not show. What it means in HTML is for the template to escape.
pub(super) fn name(name: &str) -> String {
    let mut shown = String::with_capacity(name.len().min(LONGEST_NAME * 4));
    for (place, c) in name.chars().enumerate() {
        if place == LONGEST_NAME {
            shown.push('…');
            break;
        }
        match c {
            // The pictures of control characters stand in the same order as they do.
            '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\x7f' => shown.push('\u{2421}'),
            c if c.is_control() || is_unseen(c) => {
                shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Characters that turn the direction of writing, or are nothing at all to the eye, so that two names look alike.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// A label as the last part of a path; absent: it is too long for one, or clients would take it for a folder, however it is
/// written (URL Standard, "double-dot URL path segment").
pub(super) fn in_path(label: &str) -> Option<String> {
    let is_fit = label.len() <= LONGEST_IN_PATH && !["", ".", ".."].contains(&label);
    is_fit.then(|| byte_serialize(label.as_bytes()).collect::<String>().replace('+', "%20"))
}

/// Bytes of a label that has a page.
const LONGEST_IN_PATH: usize = 256;

/// What [`in_path`] was given. In a path, a plus sign is one.
pub(super) fn of_path(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let text = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let pair = parse(text.as_bytes()).next().map(|(label, _)| label.into_owned());
    pair.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_readable() {
        for (given, shown) in [
            ("alice", "alice"),
            ("", ""),
            ("سارا", "سارا"),
            ("a\0b\r\n\x7f", "a␀b␍␊␡"),
            ("\u{85}", "⟨U+0085⟩"),
            ("evil\u{202e}nimda", "evil⟨U+202E⟩nimda"),
            ("a\u{200b}b", "a⟨U+200B⟩b"),
            ("<script>", "<script>"),
        ] {
            assert_eq!(name(given), shown);
        }
        assert_eq!(name(&"ж".repeat(64)).chars().count(), 64);
        let cut = name(&"ж".repeat(10_000));
        assert!(cut.chars().count() == 65 && cut.ends_with('…'));
    }

    #[test]
    fn a_label_is_found_again_by_its_path() {
        for label in
            ["ann", "a b", "a+b", "a/b", "50%", "a&b=c", "ж?#", "...", ".a", "<script>", "a%2Fb", "%2e"]
        {
            let path = in_path(label).unwrap();
            assert!(
                path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%.-_*".contains(&byte)),
                "{path}"
            );
            assert_eq!(of_path(&path), label);
        }
        for folder in ["", ".", ".."] {
            assert_eq!(in_path(folder), None);
        }
        assert_eq!(of_path("a+b@c"), "a+b@c");
    }
}

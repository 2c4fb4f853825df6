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
}

//! Patterns of names.

/// Whether `pattern` matches the whole of `text`: `*` stands for any characters or none, `?` for one.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.chars();
    let mut text = text.chars();
    // Where to go on if what follows the last star does not fit: that star takes one character more.
    let mut retry = None;
    loop {
        let (mut rest, mut left) = (pattern.clone(), text.clone());
        let fits = match (rest.next(), left.next()) {
            (Some('*'), _) => {
                retry = Some((rest.clone(), text.clone()));
                pattern = rest;
                continue;
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => true,
            (Some(wanted), Some(found)) => wanted == found,
            (Some(_), None) => return false,
            (None, Some(_)) => false,
        };
        if fits {
            (pattern, text) = (rest, left);
            continue;
        }
        let Some((after_star, mut tried)) = retry else { return false };
        if tried.next().is_none() {
            return false;
        }
        pattern = after_star.clone();
        text = tried.clone();
        retry = Some((after_star, tried));
    }
}

/// Which names are meant: those that match a pattern of `only`, and none of `except`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Empty: all.
    pub only: Vec<String>,
    pub except: Vec<String>,
}

impl Names {
    /// Whether `name` is meant.
    pub fn include(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|pattern| matches(pattern, name)))
            && !self.except.iter().any(|pattern| matches(pattern, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("vip-*", "vip-ann", true),
            ("vip-*", "vip-", true),
            ("vip-*", "xvip-ann", false),
            ("*-vip", "ann-vip", true),
            ("*-vip", "ann-vip-vip", true),
            ("*-vip", "ann-vipx", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("?", "é", true),
            ("?", "", false),
            ("u??", "u12", true),
            ("u??", "u1", false),
            ("**a", "bbba", true),
            ("a", "A", false),
            ("*?", "", false),
            ("用户*", "用户一", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_the_product_of_the_lengths() {
        assert!(!matches(&"*a".repeat(50), &"a".repeat(10_000).replace('a', "b")));
        assert!(!matches(&format!("{}c", "*a".repeat(20)), &"a".repeat(5_000)));
    }
}

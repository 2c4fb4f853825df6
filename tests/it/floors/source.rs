//! Source files as the checks see them: the program alone, and the paths that it names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The files below `src` that are part of the program, by their path there, such as `poll/schedule.rs`.
pub(super) struct Source(pub(super) BTreeMap<String, File>);

/// A file without its comments and without what only tests compile. Lines keep their numbers.
pub(super) struct File {
    /// The module, such as `["poll", "schedule"]`.
    pub(super) module: Vec<String>,
    pub(super) text: String,
    /// The paths within the crate that it names, those of each place together.
    pub(super) named: Vec<Vec<Named>>,
    tokens: Vec<Token>,
    /// The modules that it declares and that have files of their own.
    children: Vec<String>,
    test_children: Vec<String>,
}

/// A word, `::` or another sign outside strings, and its line.
struct Token(usize, String);

/// A path within the crate that a file names.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) line: usize,
    /// From the root of the crate on.
    pub(super) path: Vec<String>,
    /// What a `use` calls it in the file.
    pub(super) bound: Option<String>,
}

impl Source {
    pub(super) fn read() -> Source {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let relative = |file: &PathBuf| file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        Source::of(rust_files(&folder).iter().map(|file| (relative(file), fs::read_to_string(file).unwrap())))
    }

    /// These files, without those that only tests compile.
    pub(super) fn of(files: impl IntoIterator<Item = (String, String)>) -> Source {
        let files = files.into_iter().map(|(name, raw)| (File::new(&name, &raw), name));
        let mut files: BTreeMap<_, _> = files.map(|(file, name)| (name, file)).collect();
        let test_modules = |file: &File| {
            let of_child = |child: &String| [&file.module[..], std::slice::from_ref(child)].concat();
            file.test_children.iter().map(of_child).collect::<Vec<_>>()
        };
        let tests: Vec<_> = files.values().flat_map(test_modules).collect();
        files.retain(|_, file| !tests.iter().any(|test| file.module.starts_with(test)));
        Source(files)
    }
}

/// The Rust files in a folder and below.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

impl File {
    fn new(name: &str, raw: &str) -> File {
        let (mut text, mut code) = without_comments(raw);
        let mut test_children = Vec::new();
        for (first, last) in test_items(&code) {
            let item: Vec<_> = code.split('\n').skip(first).take(last - first + 1).collect();
            test_children.extend(declared(&tokens(&item.join("\n"))));
            text = without_lines(&text, first, last);
            code = without_lines(&code, first, last);
        }
        let mut module: Vec<_> = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if ["lib", "main"].contains(&&*module[0]) {
            module.clear();
        }
        let tokens = tokens(&code);
        let children = declared(&tokens);
        let mut file = File { module, text, named: Vec::new(), tokens, children, test_children };
        file.named = file.paths();
        file
    }

    fn paths(&self) -> Vec<Vec<Named>> {
        let words: Vec<_> = self.tokens.iter().map(|Token(_, word)| &**word).collect();
        let mut places = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let before = at.checked_sub(1).map_or("", |before| words[before]);
            let is_visibility =
                words[..at].ends_with(&["(", "in"]) || words[..at].ends_with(&["(", "in", "$"]);
            let is_path = is_word(word)
                && words.get(at + 1) == Some(&"::")
                && ![".", "::"].contains(&before)
                && !is_visibility;
            let is_use = before == "use";
            // What is used by one `use` is named at its first word.
            if is_path || is_use {
                let (leaves, _) = leaves(&words[at..]);
                let named = leaves.into_iter().filter_map(|(path, bound)| {
                    let bound = is_use.then(|| bound.to_owned());
                    Some(Named { line: self.tokens[at].0, path: self.absolute(&path)?, bound })
                });
                places.push(named.collect());
            }
        }
        places
    }

    /// A path of this file from the root of the crate on, if it begins within the crate.
    fn absolute(&self, path: &[&str]) -> Option<Vec<String>> {
        let mut absolute = if path[0] == "crate" { Vec::new() } else { self.module.clone() };
        let within = ["crate", "self", "super"].contains(&path[0]);
        if !within && !self.children.iter().any(|child| child == path[0]) {
            return None;
        }
        for segment in path {
            match *segment {
                "crate" | "self" => {}
                "super" => drop(absolute.pop()),
                name => absolute.push(name.to_owned()),
            }
        }
        Some(absolute)
    }

    /// Whether an item of this name is defined here.
    pub(super) fn defines(&self, item: &str) -> bool {
        const KINDS: [&str; 8] = ["struct", "enum", "fn", "const", "static", "trait", "type", "mod"];
        // A lifetime is called `static`, too.
        let defines =
            |words: &[Token]| words[0].1 != "'" && KINDS.contains(&&*words[1].1) && words[2].1 == item;
        self.tokens.windows(3).any(defines)
    }

    /// The lines of the item that begins with these words, up to the end of its braces.
    pub(super) fn lines_of(&self, begin: &[&str]) -> Option<std::ops::RangeInclusive<usize>> {
        let at = self
            .tokens
            .windows(begin.len())
            .position(|words| words.iter().map(|word| &*word.1).eq(begin.iter().copied()))?;
        let mut depth = 0;
        let end = self.tokens[at..].iter().find(|Token(_, word)| {
            depth += i32::from(word == "{") - i32::from(word == "}");
            depth == 0 && word == "}"
        })?;
        Some(self.tokens[at].0..=end.0)
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn tokens(code: &str) -> Vec<Token> {
    // A file begins as after another item.
    let mut tokens = vec![Token(0, ";".to_owned())];
    for (number, line) in code.split('\n').enumerate() {
        let mut glued = false;
        for c in line.chars() {
            let part = |last: &Token| {
                if c == ':' { last.1 == ":" } else { is_word(&last.1) && is_word(&c.to_string()) }
            };
            match tokens.last_mut().filter(|last| glued && part(last)) {
                Some(last) => last.1.push(c),
                None if c.is_whitespace() => {}
                None => tokens.push(Token(number + 1, c.to_string())),
            }
            glued = !c.is_whitespace();
        }
    }
    tokens
}

/// The modules that are declared and have files of their own.
fn declared(tokens: &[Token]) -> Vec<String> {
    let declares = |words: &&[Token]| words[0].1 == "mod" && words[2].1 == ";";
    tokens.windows(3).filter(declares).map(|words| words[1].1.clone()).collect()
}

/// The paths that begin here, what each is called, and how many tokens they are: `a::{b, c::{d as f, e}}` is
/// `a::b`, `a::c::d`, which is called `f`, and `a::c::e`.
fn leaves<'t>(tokens: &[&'t str]) -> (Vec<(Vec<&'t str>, &'t str)>, usize) {
    let mut stem = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let may_follow = at == 0 || tokens[at - 1] == "::";
        match *token {
            "::" => {}
            "{" if may_follow => {
                let mut all = Vec::new();
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    let (inner, length) = leaves(&tokens[at..]);
                    at += length.max(1);
                    all.extend(inner.into_iter().map(|(path, bound)| {
                        let bound =
                            if bound == "self" { stem.last().copied().unwrap_or(bound) } else { bound };
                        ([&stem[..], &path].concat(), bound)
                    }));
                }
                return (all, at + 1);
            }
            word if may_follow && (is_word(word) || word == "*") => stem.push(word),
            _ => break,
        }
        at += 1;
    }
    let Some(last) = stem.last().copied() else { return (Vec::new(), at) };
    match tokens.get(at..at + 2) {
        Some(["as", other]) => (vec![(stem, other)], at + 2),
        _ => (vec![(stem, last)], at),
    }
}

fn without_lines(text: &str, first: usize, last: usize) -> String {
    let keep = |(number, line)| if (first..=last).contains(&number) { "" } else { line };
    text.split('\n').enumerate().map(keep).collect::<Vec<_>>().join("\n")
}

/// The first and the last line of what only tests compile: items, fields, variants and arms below `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let lines: Vec<_> = code.split('\n').collect();
    let mut found = Vec::new();
    let mut number = 0;
    while number < lines.len() {
        let first = number;
        if ["#[cfg(test)]", "#[cfg(all(test,"]
            .iter()
            .any(|start| lines[number].trim_start().starts_with(start))
        {
            let mut depth = 0;
            let ends = |line: &&str| {
                depth += line.matches(['(', '[', '{']).count();
                depth -= line.matches([')', ']', '}']).count();
                depth == 0 && line.trim_end().ends_with([';', ',', '}'])
            };
            number += lines[number..].iter().position(ends).unwrap_or(lines.len() - 1 - first);
            found.push((first, number));
        }
        number += 1;
    }
    found
}

/// A text without its comments, and without the contents of its strings as well.
fn without_comments(raw: &str) -> (String, String) {
    let (mut text, mut code) = (String::new(), String::new());
    let mut rest = raw;
    while let Some(first) = rest.chars().next() {
        let (length, in_text, in_code) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false, false)
        } else if let Some(length) = string(rest, text.chars().last()) {
            (length, true, false)
        } else {
            (first.len_utf8(), true, true)
        };
        let (taken, left) = rest.split_at(length);
        for c in taken.chars() {
            text.push(if in_text || c == '\n' { c } else { ' ' });
            code.push(if in_code || c == '\n' { c } else { ' ' });
        }
        rest = left;
    }
    (text, code)
}

/// The length of the string or character that a text begins with.
fn string(text: &str, before: Option<char>) -> Option<usize> {
    if let Some(raw) =
        text.strip_prefix('r').filter(|_| !before.is_some_and(|c| c.is_alphanumeric() || c == '_'))
    {
        let inner = raw.trim_start_matches('#');
        let end = format!("\"{}", "#".repeat(raw.len() - inner.len()));
        let (_, after) = inner.strip_prefix('"')?.split_once(&end)?;
        return Some(text.len() - after.len());
    }
    let quote = text.chars().next().filter(|c| "\"'".contains(*c))?;
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let (end, _) = end?;
    // A lifetime has no end, and what looks like it is further away.
    let is_character = text.starts_with("'\\") || text.chars().nth(2) == Some('\'');
    (quote == '"' || is_character).then_some(end + 1)
}

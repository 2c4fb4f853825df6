//! The texts are written in plain technical English. These words are not.

use std::{
    fs,
    path::{Path, PathBuf},
};

const REFUSED: [&str; 12] = [
    "anew",
    "reckon",
    "reckons",
    "reckoned",
    "reckoning",
    "whoever",
    "is told",
    "are told",
    "was told",
    "cannot be told",
    "tells of",
    "nobody",
];

/// What is refused in a text, each with the line where it begins. Only words count, so a phrase is also found if it
/// continues on the next line of a comment.
fn refused(text: &str) -> Vec<(usize, &'static str)> {
    let of_line = |(number, line): (usize, &str)| {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        words.map(|word| (number, word.to_lowercase())).collect::<Vec<_>>()
    };
    let words: Vec<_> = (1..).zip(text.lines()).flat_map(of_line).collect();
    let begins = |rest: &[(usize, String)], phrase: &str| {
        let mut rest = rest.iter();
        phrase.split(' ').all(|word| rest.next().is_some_and(|(_, next)| next == word))
    };
    let at = |place: usize| {
        let rest = &words[place..];
        REFUSED.into_iter().filter(move |phrase| begins(rest, phrase)).map(move |phrase| (rest[0].0, phrase))
    };
    (0..words.len()).flat_map(at).collect()
}

#[test]
fn no_text_has_a_word_that_is_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    const LOOKED_AT: [&str; 13] = [
        "src",
        "docs",
        "grafana",
        "packaging",
        "scripts",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Dockerfile",
        "README.md",
        "README.zh-CN.md",
        "SECURITY.md",
        "exporter.example.toml",
    ];
    let mut paths: Vec<PathBuf> = LOOKED_AT.map(|path| root.join(path)).into();
    let (mut files, mut found) = (0, Vec::new());
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // Pictures are no text.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        files += 1;
        let file = path.strip_prefix(root).unwrap().display();
        found.extend(refused(&text).into_iter().map(|(line, words)| format!("{file}:{line}: {words}")));
    }
    assert!(files > 100, "only {files} files");
    found.sort();
    assert!(found.is_empty(), "\n{}\n{} in all\n", found.join("\n"), found.len());
}

#[test]
fn whole_words_are_refused_in_any_case() {
    for (text, expected) in [
        ("", &[][..]),
        ("new, a newer renewal; reckless; he told: it tells often", &[]),
        ("/// Nobody knows.\nfn nobody_asks() {}", &[(1, "nobody")]),
        ("it is  told `anew`", &[(1, "anew"), (1, "is told")]),
        ("/// It is\n/// told, as all\n# are\n\n    // told", &[(1, "is told"), (3, "are told")]),
        ("it cannot be\ntold to those who were told", &[(1, "cannot be told")]),
        ("Whoever reckons\r\nis reckoned", &[(1, "reckons"), (1, "whoever"), (2, "reckoned")]),
    ] {
        let mut found = refused(text);
        found.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
}

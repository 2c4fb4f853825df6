//! The texts are written in plain technical English. These words are not.

use std::{
    fs,
    path::{Path, PathBuf},
};

const REFUSED: [&str; 9] =
    ["anew", "reckon", "reckons", "reckoned", "reckoning", "whoever", "is told", "tells of", "nobody"];

/// What is refused in a text, each with its line.
fn refused(text: &str) -> Vec<(usize, &'static str)> {
    let of_line = |(number, line): (usize, &str)| {
        // Each word with one space around it, so that what is looked for is whole words.
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let line = format!(" {} ", words.map(str::to_lowercase).collect::<Vec<_>>().join(" "));
        let found = REFUSED.into_iter().filter(move |words| line.contains(&format!(" {words} ")));
        found.map(move |words| (number, words))
    };
    (1..).zip(text.lines()).flat_map(of_line).collect()
}

#[test]
fn no_text_has_a_word_that_is_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = ["src", "docs", "README.md", "README.zh-CN.md", "exporter.example.toml"]
        .map(|path| root.join(path))
        .into();
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
        ("Whoever reckons\r\nis reckoned", &[(1, "reckons"), (1, "whoever"), (2, "reckoned")]),
    ] {
        let mut found = refused(text);
        found.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
}

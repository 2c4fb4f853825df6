//! Holds every import between rooms against the table of ARCHITECTURE.md.

use std::{fs, path::Path};

/// Each room, and what it may name of the others: a room, or a module of one.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("secret", &[]),
    ("http", &["model", "secret"]),
    ("upstream", &["clock", "http", "model", "secret"]),
    ("exposition", &["model", "secret"]),
    ("board", &["model"]),
    ("store", &["clock", "model"]),
    ("telemetry", &[]),
    ("poll", &["board", "clock", "model", "store", "telemetry", "upstream"]),
    ("alert", &["board", "clock", "model", "store", "telemetry"]),
    ("notify", &["clock", "http", "model", "secret", "store", "telemetry"]),
    ("server", &["board", "clock", "exposition", "model", "secret", "telemetry"]),
    (
        "config",
        &[
            "alert::config",
            "alert::rule",
            "http::options",
            "model",
            "notify::email::config",
            "notify::heartbeat::config",
            "notify::webhook::config",
            "poll::config",
            "secret",
            "server::config",
            "upstream::marzban::config",
        ],
    ),
    ("daemon", &BELOW_DAEMON),
    ("demo", &["clock", "config", "daemon", "simulator"]),
    ("simulator", &[]),
];
const BELOW_DAEMON: [&str; 14] = [
    "alert",
    "board",
    "clock",
    "config",
    "exposition",
    "http",
    "model",
    "notify",
    "poll",
    "secret",
    "server",
    "store",
    "telemetry",
    "upstream",
];
/// On the top floor, with everything below them.
const TOP: [&str; 3] = ["lib", "main", "cli"];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut wrong, mut files) = (vec![source.clone()], Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.strip_prefix(&source).unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if file.ends_with(".rs") && !file.ends_with("tests.rs") {
                wrong.extend(violations(file, &fs::read_to_string(&path).unwrap()));
                files += 1;
            }
        }
    }
    assert!(files > ROOMS.len(), "only {files} files");
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_way_to_a_forbidden_room_is_seen() {
    let fine = "use crate::{\n    board::Board,\n    model::{Moment, Part},\n};\n/// [`crate::server`]\n\
        fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::daemon;\n}\n";
    let cases = [
        ("poll.rs", fine, None),
        ("poll.rs", "use crate::server::State;", Some("src/poll.rs:1: poll may not use server::State")),
        (
            "model.rs",
            "\n\nuse crate::{\n    model::{A, B},\n    http::{self, C},\n};",
            Some("src/model.rs:3: model may not use http::self, http::C"),
        ),
        (
            "config/a.rs",
            "use crate::poll::Poller;",
            Some("src/config/a.rs:1: config may not use poll::Poller"),
        ),
        ("board.rs", "fn f() { crate::clock::now() }", Some("src/board.rs:1: board may not use clock::now")),
        ("http/a.rs", "use super::super::poll::P;", Some("src/http/a.rs:1: http may not use poll::P")),
        ("attic.rs", "", Some("src/attic.rs: attic is not in the table")),
    ];
    for (file, text, expected) in cases {
        assert_eq!(violations(file, text), Vec::from_iter(expected), "{file}: {text}");
    }
}

fn violations(file: &str, text: &str) -> Vec<String> {
    let modules: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
    let room = modules[0];
    if TOP.contains(&room) {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("src/{file}: {room} is not in the table")];
    };
    let allows = |path: &str| {
        let mut rooms = allowed.iter().chain([&room]);
        rooms
            .any(|room| path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
    };
    // Tests come last in a file and may use what they like.
    let program = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let without_comment = |line| if str::trim_start(line).starts_with("//") { "" } else { line };
    let program: Vec<_> = program.split('\n').map(without_comment).collect();
    // As many `super::` as there are modules lead out of the room.
    let program = program.join("\n").replace(&"super::".repeat(modules.len()), "crate::");
    let (mut line, mut wrong) = (1, Vec::new());
    for (index, piece) in program.split("crate::").enumerate() {
        let paths = if index == 0 { Vec::new() } else { paths(piece) };
        let forbidden: Vec<_> = paths.into_iter().filter(|path| !allows(path)).collect();
        if !forbidden.is_empty() {
            wrong.push(format!("src/{file}:{line}: {room} may not use {}", forbidden.join(", ")));
        }
        line += piece.matches('\n').count();
    }
    wrong
}

/// The paths that a text begins with: `a::{b, c::{d, e}}; …` begins with `a::b`, `a::c::d` and `a::c::e`.
fn paths(text: &str) -> Vec<String> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && !"_:*".contains(c)).unwrap_or(text.len());
    let (stem, rest) = text.split_at(end);
    let Some(group) = rest.strip_prefix('{') else { return vec![stem.to_owned()] };
    let (mut branches, mut depth) = (vec![String::new()], 0);
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => branches.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                branches.last_mut().unwrap().push(c);
            }
        }
    }
    let branches = branches.iter().filter(|branch| !branch.trim().is_empty());
    branches.flat_map(|branch| paths(branch)).map(|path| format!("{stem}{path}")).collect()
}

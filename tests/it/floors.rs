//! The order that ARCHITECTURE.md gives the source: every import between rooms is in its table, the files of a room
//! import each other in no circle, and rooms that are about no system name none.

mod circles;
mod names;
mod source;

use source::Source;

/// Each room, and what it may name of the others: a room, or a module of one.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &["model"]),
    ("file", &[]),
    ("secret", &[]),
    ("wording", &["model"]),
    ("http", &["file", "model", "secret"]),
    ("upstream", &["clock", "http", "model", "secret"]),
    ("exposition", &["model", "secret"]),
    ("board", &["model"]),
    ("store", &["clock", "model"]),
    ("telemetry", &[]),
    ("poll", &["board", "clock", "model", "store", "telemetry", "upstream"]),
    ("alert", &["board", "clock", "model", "store", "wording"]),
    ("notify", &["board", "clock", "http", "model", "secret", "telemetry", "wording"]),
    ("dispatch", &["alert", "board", "clock", "model", "notify", "store", "telemetry"]),
    ("server", &["board", "clock", "exposition", "file", "model", "secret", "store", "telemetry", "wording"]),
    (
        "config",
        &[
            "alert::config",
            "alert::rule",
            "file",
            "http::options",
            "model",
            "notify::alertmanager::config",
            "notify::chat::config",
            "notify::email::config",
            "notify::heartbeat::config",
            "notify::pagerduty::config",
            "notify::webhook::config",
            "poll::config",
            "secret",
            "server::config",
            "upstream::cliproxy::config",
            "upstream::cliproxy::prices",
            "upstream::marzban::config",
            "upstream::xui::config",
            "wording",
        ],
    ),
    ("daemon", &BELOW_DAEMON),
    ("demo", &["clock", "config", "daemon", "simulator"]),
    ("simulator", &[]),
];
const BELOW_DAEMON: [&str; 17] = [
    "alert",
    "board",
    "clock",
    "config",
    "dispatch",
    "exposition",
    "file",
    "http",
    "model",
    "notify",
    "poll",
    "secret",
    "server",
    "store",
    "telemetry",
    "upstream",
    "wording",
];
/// On the top floor, with everything below it, beside the roots `lib.rs` and `main.rs`.
const TOP: &str = "cli";

/// Files outside `upstream` and `simulator` that name systems, and why they may.
const NAMING: &[(&str, &str)] = &[
    ("cli/init/panel.rs", "each kind of target has its own questions"),
    ("config.rs", "a warning has an example of a table"),
    ("config/cost.rs", "the prices that this system counts with"),
    ("config/kinds.rs", "the table of kinds, one entry for each"),
    ("config/targets.rs", "the closed set of kinds of targets"),
    ("config/targets/cliproxy.rs", "the section of this system"),
    ("config/targets/marzban.rs", "the section of this system"),
    ("config/targets/xui.rs", "the section of this system"),
    ("daemon/targets.rs", "the closed set is matched: an upstream is built"),
    ("demo.rs", "the list of simulated systems"),
    ("notify/webhook/template/sample.rs", "a notification to try a template on"),
];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let source = Source::read();
    assert!(source.0.len() > ROOMS.len(), "only {} files", source.0.len());
    assert_none(&imports_that_are_wrong(&source));
}

#[test]
fn the_files_of_a_room_import_each_other_in_no_circle() {
    assert_none(&circles::wrong(&Source::read()));
}

#[test]
fn systems_are_named_only_where_they_are_known() {
    assert_none(&names::wrong(&Source::read(), NAMING));
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn imports_that_are_wrong(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, file) in &source.0 {
        let Some(room) = file.module.first().filter(|room| *room != TOP) else { continue };
        let Some((_, allowed)) = ROOMS.iter().find(|(known, _)| known == room) else {
            wrong.push(format!("src/{name}: {room} is not in the table"));
            continue;
        };
        let allows = |path: &str| {
            let is_of = |of: &str| {
                path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            is_of(room) || allowed.iter().any(|of| is_of(of))
        };
        for place in &file.named {
            let paths = place.iter().map(|named| named.path.join("::"));
            let forbidden: Vec<_> = paths.filter(|path| !allows(path)).collect();
            if !forbidden.is_empty() {
                let line = place[0].line;
                wrong.push(format!("src/{name}:{line}: {room} may not use {}", forbidden.join(", ")));
            }
        }
    }
    wrong
}

/// A source tree of these files.
fn tree(files: &[(&str, &str)]) -> Source {
    Source::of(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

#[test]
fn every_way_to_a_forbidden_room_is_seen() {
    let cases = [
        ("poll.rs", "use crate::server::State;", "src/poll.rs:1: poll may not use server::State"),
        (
            "model.rs",
            "\n\nuse crate::{\n    model::{A, B},\n    http::{self, C},\n};",
            "src/model.rs:3: model may not use http, http::C",
        ),
        ("config/a.rs", "use crate::poll::Poller;", "src/config/a.rs:1: config may not use poll::Poller"),
        ("board.rs", "fn f() { crate::clock::now() }", "src/board.rs:1: board may not use clock::now"),
        ("http/a.rs", "use super::super::poll::P;", "src/http/a.rs:1: http may not use poll::P"),
        // Whatever form a `use` has.
        ("poll.rs", "pub use crate::server as s;", "src/poll.rs:1: poll may not use server"),
        ("poll.rs", "pub(crate) use crate::server::*;", "src/poll.rs:1: poll may not use server::*"),
        ("poll.rs", "use crate::*;", "src/poll.rs:1: poll may not use *"),
        (
            "poll.rs",
            "use crate::{board::{Board, View as V}, server::{\n    access::{Access as A, *},\n}};",
            "src/poll.rs:1: poll may not use server::access::Access, server::access::*",
        ),
        ("http/a.rs", "use super::{super::poll::P, B};", "src/http/a.rs:1: http may not use poll::P"),
        ("http/a.rs", "use self::super::super::poll;", "src/http/a.rs:1: http may not use poll"),
        // Past what only tests compile, comments and strings.
        (
            "poll.rs",
            "#[cfg(test)]\npub(crate) mod testing {\n    use crate::{\n        alert::A,\n    };\n}\n\n\
             use crate::server::S;\n",
            "src/poll.rs:8: poll may not use server::S",
        ),
        (
            "poll.rs",
            "#[cfg(test)]\nuse crate::{\n    alert::A,\n};\nstruct P {\n    #[cfg(test)]\n    a: Option<A>,\n    \
             s: crate::server::S,\n}\n",
            "src/poll.rs:8: poll may not use server::S",
        ),
        (
            "poll.rs",
            "const A: &str = \"// {\"; // crate::alert\nconst B: char = '\"'; use crate::server::S;\n",
            "src/poll.rs:2: poll may not use server::S",
        ),
        ("attic.rs", "", "src/attic.rs: attic is not in the table"),
    ];
    for (file, text, expected) in cases {
        assert_eq!(imports_that_are_wrong(&tree(&[(file, text)])), [expected], "{text}");
    }
}

#[test]
fn what_is_allowed_and_what_only_tests_compile_is_accepted() {
    let fine = [
        (
            "poll.rs",
            "use crate::{\n    board::Board,\n    model::{Moment, Part},\n};\n/// [`crate::server`]\nfn f() {}\n\
             const A: &str = \"crate::server\";\nconst B: &str = r#\"a \" crate::server\"#;\n\
             #[cfg(test)]\nmod tests {\n    use crate::daemon;\n}\n",
        ),
        ("config.rs", "use crate::{poll::config::PollConfig, upstream::marzban::config as c};\n"),
        (
            "alert.rs",
            "mod state;\n#[cfg(test)]\npub(crate) mod testing;\npub(in crate::alert) use self::state::S;\n",
        ),
        ("alert/testing.rs", "mod inner;\nuse crate::server::S;\n"),
        ("alert/testing/inner.rs", "use crate::server::S;\n"),
        ("alert/state.rs", "pub struct S;\n#[cfg(test)]\nmod tests;\n"),
        ("alert/state/tests.rs", "use crate::daemon;\n"),
        ("cli.rs", "use crate::daemon::Daemon;\n"),
        ("lib.rs", "pub mod alert;\npub mod cli;\npub use crate::alert::A;\n"),
    ];
    let fine = tree(&fine);
    assert_eq!(imports_that_are_wrong(&fine), [""; 0]);
    let files: Vec<_> = fine.0.keys().collect();
    assert_eq!(files, ["alert.rs", "alert/state.rs", "cli.rs", "config.rs", "lib.rs", "poll.rs"]);
}

#[test]
fn every_circle_within_a_room_is_seen() {
    let parent_and_child = [
        ("poll.rs", "mod pace;\nuse self::pace::Pace;\npub struct Poller(Pace);\n"),
        ("poll/pace.rs", "use super::Poller;\npub struct Pace;\n"),
    ];
    let both = [
        "src/poll.rs imports Pace of src/poll/pace.rs, which leads back to it",
        "src/poll/pace.rs imports Poller of src/poll.rs, which leads back to it",
    ];
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Pairs<'_>, &[&str])] = &[
        (&parent_and_child, &both),
        // By the name of a module alone, without a `use`, and by a glob.
        (
            &[
                ("poll.rs", "mod pace;\npub struct Poller(pace::Pace);\n"),
                ("poll/pace.rs", "use crate::poll::*;\npub struct Pace;\n"),
            ],
            &[both[0], "src/poll/pace.rs imports * of src/poll.rs, which leads back to it"],
        ),
        // Around three siblings, one of which is imported through their parent.
        (
            &[
                ("poll.rs", "mod a;\nmod b;\nmod c;\npub use self::b::{B as Renamed};\n"),
                ("poll/a.rs", "use super::Renamed;\npub fn a() {}\n"),
                ("poll/b.rs", "pub struct B;\nfn f() {\n    super::c::c()\n}\n"),
                ("poll/c.rs", "use crate::poll::{a::{self, a}};\npub fn c() {}\n"),
            ],
            &[
                "src/poll/a.rs imports B of src/poll/b.rs, which leads back to it",
                "src/poll/b.rs imports c of src/poll/c.rs, which leads back to it",
                "src/poll/c.rs imports a, self of src/poll/a.rs, which leads back to it",
            ],
        ),
    ];
    for (files, expected) in cases {
        assert_eq!(circles::wrong(&tree(files)), *expected, "{files:?}");
    }
}

#[test]
fn what_leads_back_to_no_file_is_no_circle() {
    let fine = [
        // What the child has from its parent is defined by its sibling, by another room and by another crate.
        (
            "poll.rs",
            "mod pace;\nmod part;\nuse std::sync::Arc;\nuse self::{pace::Pace, part::Part};\nuse crate::model::M;\n\
             #[cfg(test)]\nmod tests;\n#[cfg(test)]\nstruct OfTests;\n",
        ),
        ("poll/pace.rs", "use super::{Arc, M, Part};\npub struct Pace;\n/// [`super::Poller`]\nstruct S;\n"),
        (
            "poll/part.rs",
            "pub struct Part;\n#[cfg(test)]\nmod tests {\n    use super::{super::Pace, *};\n}\n",
        ),
        ("poll/tests.rs", "use super::*;\n"),
        // Rooms of one floor are the table's affair.
        ("clock.rs", "use crate::model::M;\n"),
        ("model.rs", "use crate::clock::C;\n"),
    ];
    assert_eq!(circles::wrong(&tree(&fine)), [""; 0]);
}

#[test]
fn every_name_of_a_system_is_seen() {
    let cases = [
        ("poll.rs", "fn marzban() {}\n", "src/poll.rs:1: poll may not name marzban"),
        (
            "alert/rule.rs",
            "\nconst A: &str = \"of PasarGuard\";\n",
            "src/alert/rule.rs:2: alert may not name pasarguard",
        ),
        ("server.rs", "use crate::upstream::xui::Xui;\n", "src/server.rs:1: server may not name xui"),
        (
            "notify/email.rs",
            "const A: &str = r\"3X-UI\";\n",
            "src/notify/email.rs:1: notify may not name x-ui",
        ),
        ("cli.rs", "struct CliProxyApi;\n", "src/cli.rs:1: cli may not name cliproxy"),
        // Of the model, only what is about all systems may.
        (
            "model.rs",
            "pub enum System {\n    Marzban,\n}\npub enum Other {\n    Marzban,\n}\n",
            "src/model.rs:5: model may not name marzban",
        ),
        ("board.rs", "pub enum System {\n    Marzban,\n}\n", "src/board.rs:2: board may not name marzban"),
    ];
    for (file, text, expected) in cases {
        assert_eq!(names::wrong(&tree(&[(file, text)]), &[]), [expected], "{text}");
    }
    let named = tree(&[("demo.rs", "fn marzban() {}\n")]);
    assert_eq!(names::wrong(&named, &[("demo.rs", "a reason")]), [""; 0]);
    let expected =
        ["src/demo.rs:1: demo may not name marzban", "src/poll.rs names no system: take it from the list"];
    assert_eq!(names::wrong(&named, &[("poll.rs", "a reason")]), expected);
}

#[test]
fn systems_are_named_by_what_is_about_them_and_by_comments_and_tests() {
    let fine = [
        ("upstream.rs", "mod marzban;\n"),
        ("simulator/marzban.rs", "struct Marzban;\n"),
        (
            "model.rs",
            "pub enum System {\n    Marzban,\n}\n\nimpl System {\n    fn word(self) -> &'static str {\n        \
             match self {\n            System::Marzban => \"marzban\",\n        }\n    }\n}\n",
        ),
        (
            "poll.rs",
            "/// As Marzban does.\nfn f() {} // Marzban\n#[cfg(test)]\nmod tests {\n    fn marzban() {}\n}\n",
        ),
    ];
    assert_eq!(names::wrong(&tree(&fine), &[]), [""; 0]);
}

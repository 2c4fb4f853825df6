//! Compares README.md and some of docs/ with the program, and README.zh-CN.md with README.md: a change to one needs the
//! same change in the other.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

const ENGLISH: &str = "README.md";
const CHINESE: &str = "README.zh-CN.md";
const OPERATIONS: &str = "docs/operations.md";
const RUNBOOK: &str = "docs/runbook.md";
const NOTIFICATIONS: &str = "docs/notifications.md";

/// The text below one heading, up to the next.
#[derive(Debug, Default)]
struct Section {
    /// The number of `#`; 0 before the first heading.
    level: usize,
    heading: String,
    /// Language and lines of each block of code.
    code: Vec<(String, Vec<String>)>,
    /// Cells of each row of its tables, with their heads and without the lines below those.
    rows: Vec<Vec<String>>,
    prose: String,
}

fn sections(file: &str) -> Vec<Section> {
    let text = fs::read_to_string(file).unwrap();
    let mut sections = vec![Section::default()];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let last = sections.last_mut().unwrap();
        if let Some(language) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
            last.code.push((language.to_owned(), block));
        } else if line.starts_with('#') {
            let heading = line.trim_start_matches('#');
            let level = line.len() - heading.len();
            sections.push(Section { level, heading: heading.trim().to_owned(), ..Section::default() });
        } else {
            let row = line.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
            // The line below a table's head has nothing in it.
            if let Some(row) = row.filter(|row| !row.contains("---")) {
                last.rows.push(row.split('|').map(|cell| cell.trim().to_owned()).collect());
            }
            last.prose.push_str(line);
            last.prose.push('\n');
        }
    }
    sections
}

/// Each text between `open` and `close`.
fn between<'t>(text: &'t str, open: &'t str, close: char) -> impl Iterator<Item = &'t str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split_once(close)).map(|(inner, _)| inner)
}

/// Each text between two `mark`s.
fn between_each(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.split(mark).skip(1).step_by(2)
}

impl Section {
    /// The targets of its links, except the links between the two files.
    fn links(&self) -> BTreeSet<&str> {
        let links = between(&self.prose, "](", ')').chain(between(&self.prose, "<http", '>'));
        links.filter(|link| ![ENGLISH, CHINESE].contains(link) && !link.starts_with('#')).collect()
    }

    /// The number of paragraphs and of list items.
    fn parts(&self) -> (usize, usize) {
        let paragraphs = self.prose.split("\n\n").filter(|part| !part.trim().is_empty());
        (paragraphs.count(), self.prose.lines().filter(|line| line.starts_with("- ")).count())
    }

    /// The code spans in the prose and in tables.
    fn words(&self) -> BTreeSet<&str> {
        between_each(&self.prose, '`').collect()
    }

    /// Its code without comments, because comments are translated.
    fn commands(&self) -> Vec<(&str, Vec<&str>)> {
        let bare = self.code.iter().map(|(language, lines)| {
            (language.as_str(), lines.iter().map(|line| without_comment(line)).collect())
        });
        bare.collect()
    }

    /// The number of cells of each table row, and the figures in them.
    fn figures(&self) -> Vec<(usize, Vec<&str>)> {
        self.rows.iter().map(|row| (row.len(), row.iter().flat_map(|cell| figures(cell)).collect())).collect()
    }
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    line.split_once(" #").map_or(line, |(code, _)| code).trim_end()
}

fn figures(text: &str) -> impl Iterator<Item = &str> {
    let figures = text.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',');
    figures.map(|figure| figure.trim_matches(['.', ','])).filter(|figure| !figure.is_empty())
}

#[test]
fn the_chinese_readme_is_in_step_with_the_english() {
    const ADVICE: &str = "translate what changed in README.md into README.zh-CN.md, or the other way round";
    let (english, chinese) = (sections(ENGLISH), sections(CHINESE));
    assert!(english.len() > 10);
    for (ours, theirs) in english.iter().zip(&chinese) {
        let place = format!("{ENGLISH}, {:?} and {CHINESE}, {:?}", ours.heading, theirs.heading);
        assert_eq!(ours.level, theirs.level, "{place}: the headings differ; {ADVICE}");
        assert_eq!(ours.commands(), theirs.commands(), "{place}: the code differs; {ADVICE}");
        assert_eq!(ours.links(), theirs.links(), "{place}: the links differ; {ADVICE}");
        assert_eq!(ours.words(), theirs.words(), "{place}: what is written as code differs; {ADVICE}");
        assert_eq!(ours.figures(), theirs.figures(), "{place}: the tables differ; {ADVICE}");
        assert_eq!(ours.parts(), theirs.parts(), "{place}: one has more paragraphs or items; {ADVICE}");
    }
    assert_eq!(english.len(), chinese.len(), "one has more headings; {ADVICE}");
    let linked = |section: &Section, other| between(&section.prose, "](", ')').any(|link| link == other);
    assert!(linked(&english[1], CHINESE), "{ENGLISH} does not link {CHINESE}");
    assert!(linked(&chinese[1], ENGLISH), "{CHINESE} does not link {ENGLISH}");
}

#[test]
fn links_into_the_repository_lead_somewhere() {
    for file in [ENGLISH, CHINESE, OPERATIONS, RUNBOOK, NOTIFICATIONS, "docs/alerts.md", "docs/scaling.md"] {
        let folder = Path::new(file).parent().unwrap();
        let written = sections(file);
        let links = written.iter().flat_map(|section| between(&section.prose, "](", ')'));
        for link in links.filter(|link| !link.starts_with("http")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let other = if path.is_empty() { Path::new(file).to_owned() } else { folder.join(path) };
            assert!(other.exists(), "{file}: there is no {link}");
            if !anchor.is_empty() {
                let mut headings = sections(other.to_str().unwrap()).into_iter();
                let is_it = |heading: &str| heading.to_lowercase().replace(' ', "-") == anchor;
                let found = headings.any(|section| is_it(&section.heading));
                assert!(found, "{file}: there is no heading {link}");
            }
        }
    }
}

/// Every command that the program has is in the table of commands.
#[test]
fn the_table_of_commands_is_complete() {
    let help = Command::new(env!("CARGO_BIN_EXE_proxymeter")).arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands: BTreeSet<_> = commands
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(commands.contains("check-config") && commands.len() >= 6, "{commands:?}");
    for file in [ENGLISH, CHINESE] {
        let sections = sections(file);
        let rows = sections.iter().flat_map(|section| &section.rows);
        let calls: BTreeSet<_> = rows
            .flat_map(|row| row[0].split('`'))
            .filter_map(|call| call.strip_prefix("proxymeter "))
            .collect();
        let listed: BTreeSet<_> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
        assert_eq!(listed, commands, "the table of commands in {file} and `proxymeter --help`");
    }
}

/// Every path that the program counts requests of is in the table of paths.
#[test]
fn the_table_of_paths_is_complete() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
    demo.args(["demo", "--web.listen-address=127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    let mut said = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = said.find_map(|line| Some(line.split_once("//")?.1.trim_end_matches('/').to_owned()));
    let mut stream = TcpStream::connect(address.unwrap()).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).unwrap();
    demo.kill().unwrap();
    demo.wait().unwrap();

    let counts = metrics.lines().filter(|line| line.starts_with("proxymeter_http_requests_total{"));
    let paths = counts.filter_map(|line| between(line, "path=\"", '"').next());
    let paths: BTreeSet<_> = paths
        .filter(|path| *path != "other")
        .map(|path| {
            path.replace("{target}", "NAME")
                .replace("{receiver}", "NAME")
                .replace("{user}", "USER")
                .replace("{id}", "ID")
        })
        .collect();
    assert!(paths.contains("/") && paths.len() >= 9, "{paths:?}");
    for file in [ENGLISH, CHINESE] {
        let sections = sections(file);
        let rows = sections.iter().flat_map(|section| &section.rows);
        let calls = rows.flat_map(|row| between_each(&row[0], '`'));
        let listed: BTreeSet<_> = calls
            .map(|call| call.trim_start_matches("POST "))
            .filter(|call| call.starts_with('/'))
            .map(str::to_owned)
            .collect();
        assert_eq!(listed, paths, "the table of paths in {file} and the program");
    }
}

#[test]
fn metrics_that_are_named_exist() {
    let reference = fs::read_to_string("docs/metrics.md").unwrap();
    let exist: BTreeSet<_> = reference.split('`').filter(|word| word.starts_with("proxymeter_")).collect();
    for file in [ENGLISH, CHINESE, OPERATIONS] {
        let text = fs::read_to_string(file).unwrap();
        let is_part = |c: char| c == '_' || c.is_ascii_lowercase();
        let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("proxymeter_"));
        // Of the package there are many.
        let named: BTreeSet<_> = words.filter(|word| *word != "proxymeter_").collect();
        assert!(named.len() > 5, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&exist).collect();
        assert_eq!(unknown, [&""; 0], "{file}: docs/metrics.md does not know them");
    }
}

/// Quotes in docs/operations.md are log lines. "…" replaces the parts that vary.
#[test]
fn log_lines_that_are_quoted_exist() {
    fn sources(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut written = String::new();
    sources(Path::new("src"), &mut written);
    let mut quotes = 0;
    for section in sections(OPERATIONS) {
        let prose: Vec<_> = section.prose.split('`').step_by(2).flat_map(str::split_whitespace).collect();
        for quote in between_each(&prose.join(" "), '"') {
            quotes += 1;
            for piece in quote.split('…').map(str::trim) {
                assert!(
                    written.contains(piece),
                    "{OPERATIONS}, {:?}: no log line says {piece:?}",
                    section.heading
                );
            }
        }
    }
    assert!(quotes > 10, "{quotes}");
}

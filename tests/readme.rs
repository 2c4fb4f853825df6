//! Holds README.md against the program, and README.zh-CN.md against README.md: whoever changes one of them is told to
//! change the other.

use std::{collections::BTreeSet, fs, process::Command};

const ENGLISH: &str = "README.md";
const CHINESE: &str = "README.zh-CN.md";

/// What stands below one heading, up to the next.
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

/// What stands between `open` and `close`, each time.
fn between<'t>(text: &'t str, open: &'t str, close: char) -> impl Iterator<Item = &'t str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split_once(close)).map(|(inner, _)| inner)
}

impl Section {
    /// Where its links lead, but for those that the two files have for each other.
    fn links(&self) -> BTreeSet<&str> {
        let links = between(&self.prose, "](", ')').chain(between(&self.prose, "<http", '>'));
        links.filter(|link| ![ENGLISH, CHINESE].contains(link) && !link.starts_with('#')).collect()
    }

    /// How many paragraphs it has, and how many items of lists.
    fn parts(&self) -> (usize, usize) {
        let paragraphs = self.prose.split("\n\n").filter(|part| !part.trim().is_empty());
        (paragraphs.count(), self.prose.lines().filter(|line| line.starts_with("- ")).count())
    }

    /// What is written as code in the prose and in tables.
    fn words(&self) -> BTreeSet<&str> {
        self.prose.split('`').skip(1).step_by(2).collect()
    }

    /// Its code without comments, which may be in either language.
    fn commands(&self) -> Vec<(&str, Vec<&str>)> {
        let bare = self.code.iter().map(|(language, lines)| {
            (language.as_str(), lines.iter().map(|line| without_comment(line)).collect())
        });
        bare.collect()
    }

    /// Of each row of a table, the number of cells and the figures in them.
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
    for file in [ENGLISH, CHINESE] {
        let sections = sections(file);
        let anchors: BTreeSet<_> =
            sections.iter().map(|section| section.heading.to_lowercase().replace(' ', "-")).collect();
        let links = sections.iter().flat_map(|section| between(&section.prose, "](", ')'));
        for link in links.filter(|link| !link.starts_with("http")) {
            match link.strip_prefix('#') {
                Some(anchor) => assert!(anchors.contains(anchor), "{file}: there is no heading {link}"),
                None => assert!(fs::exists(link).unwrap(), "{file}: there is no {link}"),
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

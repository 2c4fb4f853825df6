//! The configuration that is being made.

use std::{
    fmt::Write,
    iter,
    path::{Path, PathBuf},
};

use super::existing::Existing;
use crate::{
    config::{Config, ConfigErrors, Env, is_bare},
    secret::Secret,
};

/// A target, perhaps a receiver, and the file that they will be written to.
pub(super) struct Draft {
    file: PathBuf,
    /// What the file has, if they are added to it.
    pub(super) existing: Option<Existing>,
    pub(super) target: Table,
    pub(super) receiver: Option<Table>,
}

/// One table `[KIND.NAME]`.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) kind: &'static str,
    pub(super) name: String,
    keys: Vec<(&'static str, Value)>,
    /// The fingerprint of the only certificate to trust.
    pin: Option<String>,
    /// Lines of comments at its end.
    hints: &'static [&'static str],
}

#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    /// Gets a file of its own.
    Secret(Secret),
    /// A secret in a file that is there.
    File(PathBuf),
    /// A secret in the environment, where it stays.
    Variable,
}

const HEAD: &str = "\
# Configuration of proxymeter. To see all keys with their defaults: proxymeter example-config
# To check it after a change: proxymeter check-config. To load it into a running exporter, send SIGHUP.
";
const WITHOUT_RECEIVER: &str = "
# Alerts are in the metrics alone. To send them, add a receiver, such as [telegram.me] or [email.me], and remove this.
[alerting]
enabled = false
";

impl Draft {
    pub(super) fn new(file: &Path, existing: Option<Existing>, target: Table) -> Self {
        Draft { file: file.to_owned(), existing, target, receiver: None }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        iter::once(&self.target).chain(&self.receiver)
    }

    /// The secrets that get files, and these.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (PathBuf, &Secret)> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        self.tables().flat_map(move |table| {
            table.keys.iter().filter_map(move |(key, value)| match value {
                Value::Secret(secret) => Some((folder.join(table.secret_file(key)), secret)),
                _ => None,
            })
        })
    }

    pub(super) fn secret_paths(&self) -> Vec<PathBuf> {
        self.secrets().map(|(path, _)| path).collect()
    }

    /// The text to write.
    pub(super) fn text(&self) -> String {
        self.text_with(Table::secret_line)
    }

    /// `of_secret` is the line of a secret that gets a file.
    fn text_with(&self, of_secret: impl Fn(&Table, &str) -> String) -> String {
        let mut text = match (&self.existing, &self.receiver) {
            (None, _) => HEAD.to_owned(),
            (Some(existing), None) => existing.text().to_owned(),
            (Some(existing), Some(_)) => with_alerting(existing.text()),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for table in self.tables() {
            text.push('\n');
            table.write(&mut text, &of_secret);
        }
        if self.existing.is_none() && self.receiver.is_none() {
            text += WITHOUT_RECEIVER;
        }
        text
    }

    /// The configuration that it will be. The secrets have no files yet, so they come from variables, before those of
    /// `env`.
    ///
    /// # Errors
    /// All mistakes in it.
    pub(super) fn config(&self, env: Env<'_>) -> Result<Config, ConfigErrors> {
        let text = self.text_with(|_, _| String::new());
        let secret = |name: &str| {
            self.tables().find_map(|table| {
                table.keys.iter().find_map(|(key, value)| match value {
                    Value::Secret(secret) if table.variable(key) == name => Some(secret.expose().to_owned()),
                    _ => None,
                })
            })
        };
        Config::parse(&text, &self.file, &|name| secret(name).or_else(|| env(name)))
    }
}

impl Table {
    pub(super) fn new(kind: &'static str, name: &str) -> Self {
        Table { kind, name: name.to_owned(), keys: Vec::new(), pin: None, hints: &[] }
    }

    pub(super) fn with(mut self, key: &'static str, value: Value) -> Self {
        self.keys.push((key, value));
        self
    }

    pub(super) fn with_text(self, key: &'static str, text: impl Into<String>) -> Self {
        self.with(key, Value::Text(text.into()))
    }

    pub(super) fn with_pin(self, pin: Option<String>) -> Self {
        Table { pin, ..self }
    }

    pub(super) fn with_hints(self, hints: &'static [&'static str]) -> Self {
        Table { hints, ..self }
    }

    /// Whether it has a secret that a person typed.
    pub(super) fn has_typed(&self) -> bool {
        self.keys.iter().any(|(_, value)| matches!(value, Value::Secret(_)))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(own, _)| *own == key)
    }

    /// The environment variable that may hold the secret of a key.
    pub(super) fn variable(&self, key: &str) -> String {
        format!("PROXYMETER_{}_{}_{key}", self.kind, self.name).replace('-', "_").to_ascii_uppercase()
    }

    /// From the folder of the configuration.
    fn secret_file(&self, key: &str) -> PathBuf {
        Path::new("secrets").join(format!("{}-{}.{key}", self.kind, self.name))
    }

    fn secret_line(&self, key: &str) -> String {
        format!("{key}_file = {}\n", quoted(&self.secret_file(key).display().to_string()))
    }

    /// `of_secret` is the line of a secret that gets a file.
    fn write(&self, text: &mut String, of_secret: impl Fn(&Self, &str) -> String) {
        let Table { kind, name, keys, pin, hints } = self;
        // One that is no name is refused as such, and not as TOML.
        let name = if is_bare(name) { name.clone() } else { quoted(name) };
        *text += &format!("[{kind}.{name}]\n");
        for (key, value) in keys {
            *text += &match value {
                Value::Text(value) => format!("{key} = {}\n", quoted(value)),
                Value::Secret(_) => of_secret(self, key),
                Value::File(path) => format!("{key}_file = {}\n", quoted(&path.display().to_string())),
                Value::Variable => format!("# {key} is in the environment: {}\n", self.variable(key)),
            };
        }
        for hint in *hints {
            *text += &format!("# {hint}\n");
        }
        if let Some(pin) = pin {
            *text += &format!(
                "\n# Only this certificate is trusted.\n[{kind}.{name}.tls]\npin_sha256 = \"{pin}\"\n"
            );
        }
    }
}

/// The text without the table that an earlier draft wrote for want of a receiver, unless the operator has added to it.
fn with_alerting(text: &str) -> String {
    match text.split_once(WITHOUT_RECEIVER) {
        Some((before, after)) if matches!(after.trim_start().chars().next(), None | Some('[')) => {
            format!("{before}{after}")
        }
        _ => text.to_owned(),
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => drop(write!(quoted, "\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_quoted() {
        for text in
            ["", "a b", "\"", "\\", "\"\\\"\n\t\0\u{7f}\u{85}", "'''", "# [x]\r\n", "پنل 面板 🦀", "\\u0041"]
        {
            let document = format!("a = {}", quoted(text));
            let parsed: toml::Table = toml::from_str(&document).unwrap();
            assert_eq!(parsed["a"].as_str(), Some(text), "{document}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_as_a_name() {
        for name in ["", "My home", "a.b", "a]\n[web]", "\"", "Ü"] {
            let table = Table::new("marzban", name).with_text("url", "http://localhost");
            let draft = Draft::new("f".as_ref(), None, table);
            let errors = draft.config(&|_| None).unwrap_err().to_string();
            assert!(errors.contains("not a target's name; "), "{name}: {errors}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("exporter.toml");
        let table = Table::new("marzban", "my-home")
            .with_text("url", "https://panel.example.com/hid\"den/")
            .with_text("username", "a\"b\\c")
            .with("password", Value::Secret("hunter2 \"\\".into()))
            .with_pin(Some(["00"; 32].join(":")))
            .with_hints(&["a hint"]);
        let mut draft = Draft::new(&file, None, table);
        draft.receiver = Some(
            Table::new("telegram", "me")
                .with("token", Value::Secret("123456789:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()))
                .with_text("chat_id", "-100123"),
        );
        let tried = draft.config(&|_| None).unwrap();
        super::super::files::write(&draft, false).unwrap();
        let written = Config::load(&file.as_path().into(), &|_| None).unwrap();
        assert_eq!((&written.targets, &written.receivers), (&tried.targets, &tried.receivers));
        assert_eq!(written.warnings(), Vec::<String>::new());
        assert!(!draft.text().contains("hunter2"));

        // Without a receiver, there is nothing to warn of either.
        draft.receiver = None;
        super::super::files::write(&draft, true).unwrap();
        let written = Config::load(&file.as_path().into(), &|_| None).unwrap();
        assert_eq!(written.warnings(), Vec::<String>::new());
    }

    #[test]
    fn what_is_added_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("exporter.toml");
        let draft = |text: &str, with_receiver: bool| {
            std::fs::write(&file, text).unwrap();
            let existing = Existing::read(&file, &|_| None).unwrap();
            let table = Table::new("xui", "new").with_text("url", "http://localhost");
            let mut draft = Draft::new(&file, Some(existing), table.with_text("token", "t"));
            let receiver = Table::new("webhook", "me").with_text("url", "http://localhost/");
            draft.receiver = with_receiver.then_some(receiver);
            draft.config(&|_| None).unwrap();
            draft.text()
        };
        const NEW: &str = "\n[xui.new]\nurl = \"http://localhost\"\ntoken = \"t\"\n";
        const RECEIVER: &str = "\n[webhook.me]\nurl = \"http://localhost/\"\n";
        for (text, kept) in [
            ("", ""),
            ("# mine\n[web] # mine", "# mine\n[web] # mine\n"),
            ("\u{feff}# mine\r\n", "# mine\r\n"),
            ("[marzban]\n\n", "[marzban]\n\n"),
            (WITHOUT_RECEIVER, WITHOUT_RECEIVER),
        ] {
            assert_eq!(draft(text, false), format!("{kept}{NEW}"));
        }
        for (after, kept) in [
            ("", ""),
            ("\n[web]\n", "\n[web]\n"),
            ("language = \"fa\"\n", "[]language = \"fa\"\n"),
            ("\n# mine\n", "[]\n# mine\n"),
        ] {
            let kept = kept.replace("[]", WITHOUT_RECEIVER);
            let text = format!("# mine\n{WITHOUT_RECEIVER}{after}");
            assert_eq!(draft(&text, true), format!("# mine\n{kept}{NEW}{RECEIVER}"));
        }
    }
}

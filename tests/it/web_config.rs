//! Web configuration files in the format of the official exporters: what is taken, and what is refused with which
//! words. `scripts/web_config.sh` asks promtool about the same files.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it web_config::` rewrites the expected messages beside the bad files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proxymeter::{
    config::Config,
    server::config::{AccessConfig, Protection},
};

use crate::common::golden::assert_golden;

/// Relative, so that messages are the same on every machine; tests run in the package's folder.
const FIXTURES: &str = "tests/fixtures/web-config";

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(FIXTURES).join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(files.len() > 35, "only {} files", files.len());
    files
}

#[test]
fn good_files_are_taken() {
    for file in files("good") {
        AccessConfig::WebFile(file).check().unwrap_or_else(|mistakes| panic!("{}", mistakes.join("\n")));
    }
}

#[test]
fn every_mistake_has_its_message() {
    for file in files("bad") {
        let mistakes = AccessConfig::WebFile(file.clone()).check().expect_err(&file.display().to_string());
        let seen = format!("{}\n", mistakes.join("\n")).replace(&format!("{FIXTURES}/"), "");
        assert!(!seen.contains("hunter2"), "{seen}");
        assert_golden(file.with_extension("txt"), &seen);
    }
}

#[test]
fn what_a_file_protects_is_known() {
    for (name, tls, credentials, client_certificates) in [
        ("empty", false, false, false),
        ("one-user", false, true, false),
        ("tls", true, false, false),
        ("tls-empty-texts", false, false, false),
        ("tls-nothing-that-counts", false, false, false),
        ("tls-and-users", true, true, false),
        ("client-auth-verify", true, false, true),
        ("client-auth-inline", true, false, true),
        // Anybody makes such a certificate, or none.
        ("client-auth-any", true, false, false),
        ("client-auth-if-given", true, false, false),
    ] {
        let file = Path::new(FIXTURES).join(format!("good/{name}.yml"));
        let protection = Protection { tls, credentials, client_certificates };
        assert_eq!(AccessConfig::WebFile(file).check(), Ok(protection), "{name}");
    }
}

/// `check-config` tells of every mistake in it beside those of its own.
#[test]
fn the_configuration_names_every_mistake_of_the_file() {
    let file = Path::new(FIXTURES).join("exporter.toml");
    let text = "[web]\nconfig_file = 'bad/several.yml'\nlisten = '1'\n";
    let said = Config::parse(text, &file, &|_| None).unwrap_err().to_string();
    assert_eq!(said.lines().count(), 5, "{said}");
    let [first, .., last] = &said.lines().collect::<Vec<_>>()[..] else { unreachable!() };
    assert!(
        first.contains("exporter.toml:2:15: web.config_file: ") && first.contains("several.yml:2:"),
        "{first}"
    );
    assert!(last.contains("web.listen"), "{last}");

    let text = "[web]\nconfig_file = 'good/tls-and-users.yml'\n";
    let config = Config::parse(text, &file, &|_| None).unwrap();
    assert_eq!(config.web.access, AccessConfig::WebFile(Path::new(FIXTURES).join("good/tls-and-users.yml")));
}

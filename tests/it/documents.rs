//! The configurations that documents show are ones that the program accepts.

use std::{fs, path::Path};

use proxymeter::config::Config;

/// The blocks of TOML in a document.
fn configurations(document: &str) -> Vec<&str> {
    document.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Writes the files with secrets that `text` names, and returns it with their new places.
fn with_secrets(text: &str, folder: &Path) -> String {
    for rest in text.split("/run/secrets/").skip(1) {
        let name = rest.split('"').next().unwrap();
        let secret = match name {
            "telegram-token" => "123456789:AA0123456789abcdef0123456789abcdef0",
            "dingtalk-url" => "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef",
            name if name.ends_with("-url") => "https://hooks.example.com/in",
            _ => "0123456789abcdef0123456789abcdef",
        };
        fs::write(folder.join(name), secret).unwrap();
    }
    text.replace("/run/secrets/", &format!("{}/", folder.display()))
}

#[test]
fn configurations_in_the_documents_load() {
    let folder = tempfile::tempdir().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in ["docs/notifications.md", "docs/alerts.md"] {
        for text in configurations(&fs::read_to_string(file).unwrap()) {
            seen += 1;
            let text = with_secrets(text, folder.path());
            if let Err(errors) = Config::parse(&text, Path::new(file), &|_| None) {
                wrong.push(format!("{text}\n{errors}"));
            }
        }
    }
    assert!(seen > 5, "only {seen} configurations");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

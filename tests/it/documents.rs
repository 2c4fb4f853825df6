//! The configurations that documents show are ones that the program accepts, and so are its commands.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proxymeter::config::Config;

/// Every text for people in the repository.
pub(crate) fn all() -> Vec<PathBuf> {
    let folders = [".", "docs", "docs/zh-CN"].map(|folder| fs::read_dir(folder).unwrap());
    let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "md")).collect();
    files.sort();
    assert!(files.len() > 20, "{files:?}");
    files
}

/// The blocks of code in a document that begin with this language.
fn blocks<'t>(document: &'t str, language: &str) -> Vec<&'t str> {
    let begin = format!("```{language}\n");
    document.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The text with files that exist: secrets, which are written into `folder`, and fixtures.
fn with_files(text: &str, folder: &Path) -> String {
    let mut text = text.to_owned();
    for secrets in ["/run/secrets/", "/run/credentials/proxymeter.service/"] {
        for rest in text.split(secrets).skip(1) {
            let name = rest.split('"').next().unwrap();
            let secret = match name {
                "telegram-token" => "123456789:AA0123456789abcdef0123456789abcdef0",
                "dingtalk-url" => "https://oapi.dingtalk.com/robot/send?access_token=0123456789abcdef",
                "wecom-url" => "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0123456789abcdef",
                name if name.ends_with("-url") => "https://hooks.example.com/in",
                "xui-totp" => "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
                _ => "0123456789abcdef0123456789abcdef",
            };
            fs::write(folder.join(name), secret).unwrap();
        }
        text = text.replace(secrets, &format!("{}/", folder.display()));
    }
    for (place, fixture) in [
        ("web.pem", "web-config/pki/server.pem"),
        ("web-key.pem", "web-config/pki/server-key.pem"),
        ("model_prices.json", "litellm/model_prices.json"),
    ] {
        let fixture = Path::new("tests/fixtures").canonicalize().unwrap().join(fixture);
        text = text.replace(&format!("/etc/proxymeter/{place}"), &fixture.display().to_string());
    }
    text
}

#[test]
fn configurations_in_the_documents_load() {
    let folder = tempfile::tempdir().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in all() {
        for text in blocks(&fs::read_to_string(&file).unwrap(), "toml") {
            seen += 1;
            let text = with_files(text, folder.path());
            if let Err(errors) = Config::parse(&text, &file, &|_| None) {
                wrong.push(format!("{text}\n{errors}"));
            }
        }
    }
    assert!(seen > 30, "only {seen} configurations");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The calls of the program in a document, each on a line, up to what a shell does with the output.
fn calls(document: &str) -> Vec<String> {
    let lines = blocks(document, "sh").concat().replace("\\\n", " ");
    let of_line = |line: &str| {
        let line = line.split(" #").next()?;
        let line = line.trim_start().trim_start_matches("sudo ");
        let names = ["proxymeter ", "\"$(command -v proxymeter)\" ", "cargo run --release -- "];
        let named = names.into_iter().find_map(|name| line.strip_prefix(name));
        let call = named.or_else(|| {
            let files = ["/usr/bin/proxymeter ", "target/debug/proxymeter "];
            files.into_iter().find_map(|file| Some(line.split_once(file)?.1))
        })?;
        Some(call.split(['|', '>', ';']).next()?.trim().to_owned())
    };
    let lines = lines.lines().filter_map(of_line);
    // In sentences, those with options; others name what takes the place of an argument.
    let outside = document.split("```").step_by(2).collect::<String>();
    let spans = outside
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    let spans = spans.filter_map(|span| span.strip_prefix("proxymeter ").map(str::to_owned));
    lines.chain(spans.filter(|call| call.contains("--"))).collect()
}

/// With `--help` behind its arguments, the program judges these and does nothing.
#[test]
fn commands_in_the_documents_are_accepted() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in all() {
        for call in calls(&fs::read_to_string(&file).unwrap()) {
            seen += 1;
            let script = format!("exec \"$0\" {call} --help");
            let program = env!("CARGO_BIN_EXE_proxymeter");
            let answer = Command::new("sh").args(["-c", &script, program]).output().unwrap();
            if !answer.status.success() {
                let said = String::from_utf8_lossy(&answer.stderr).into_owned();
                wrong.push(format!("{}: proxymeter {call}\n{said}", file.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} commands");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

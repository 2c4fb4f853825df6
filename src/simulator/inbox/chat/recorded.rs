//! The answers of real servers, recorded in `tests/fixtures/receivers`, against those of the simulated ones.

use std::{fs, path::PathBuf};

use serde_json::{Map, Value, json};

use super::{
    super::message::Service,
    ChatOptions, Manner,
    testing::{Got, Tried},
};

/// What differs from one answer to the next.
const VOLATILE: [&str; 6] = ["id", "time", "expires", "date", "timestamp", "url"];

struct Recording {
    folder: PathBuf,
    answers: Vec<Value>,
}

impl Recording {
    fn of(server: &str) -> Recording {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join("tests/fixtures/receivers").join(server);
        let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
        Recording { folder, answers: index["answers"].as_array().unwrap().clone() }
    }

    /// Holds the answers that `server` prepares a simulated one for against its own. `None`: nothing to compare.
    fn compare(&self, mut server: impl FnMut(&str) -> Option<Tried>, at_least: usize) {
        let mut compared = 0;
        for recorded in &self.answers {
            let name = recorded["name"].as_str().unwrap();
            let Some(method) = recorded["request"]["method"].as_str() else { continue };
            let Some(mut tried) = server(name) else { continue };
            self.compare_one(&mut tried, name, method, recorded);
            compared += 1;
        }
        assert!(compared >= at_least, "only {compared}");
    }

    fn compare_one(&self, tried: &mut Tried, name: &str, method: &str, recorded: &Value) {
        let request = &recorded["request"];
        let headers = request["headers"].as_object().unwrap();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let body = written_out(name, request["body"].as_str().unwrap_or(""));
        let got = tried.ask(method, request["path"].as_str().unwrap(), &headers, &body);
        assert_eq!(u64::from(got.status), recorded["status"].as_u64().unwrap(), "{name}: {}", got.text);
        for header in ["Content-Type", "Location", "Allow"] {
            if let Some(expected) = recorded["headers"][header].as_str() {
                assert_eq!(got.header(header), expected, "{name}: {header}");
            }
        }
        assert_eq!(got.header("retry-after"), "", "{name}");
        let Some(file) = recorded["file"].as_str() else { return };
        let expected = fs::read_to_string(self.folder.join(file)).unwrap();
        match serde_json::from_str::<Value>(&expected) {
            Ok(expected) => assert_eq!(steady(name, &got.json()), steady(name, &expected), "{name}"),
            Err(_) => assert_eq!(got.text, expected, "{name}"),
        }
        let shown = expected.contains("\"event\":\"message\"") || expected.contains("\"success\"");
        assert!(
            got.message.is_none() || got.status == 200 && (shown || expected.contains("appid")),
            "{name}"
        );
    }
}

/// Bodies that are too long or are no text are recorded as a description.
fn written_out(name: &str, body: &str) -> Vec<u8> {
    let number =
        |of: &str| -> usize { of.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap() };
    let letters = |bytes: usize, letter: &str| {
        format!("{}{}", letter.repeat(bytes / letter.len()), "x".repeat(bytes % letter.len()))
    };
    let ntfy = |topic: &str, message: &str| format!("{{\"topic\": \"{topic}\", \"message\": \"{message}\"}}");
    if let Some((_, rest)) = body.split_once("\"message\": ").filter(|(_, rest)| rest.contains(" bytes of '"))
    {
        let (bytes, rest) = rest.split_once(" bytes of '").unwrap();
        let (letter, _) = rest.split_once('\'').unwrap();
        return ntfy("limits", &letters(number(bytes), letter)).into_bytes();
    }
    if let Some((count, rest)) = body.strip_prefix("body of ").and_then(|body| body.split_once(" x '")) {
        let text = rest.trim_end_matches('\'').replace("\\n", "\n").repeat(number(count));
        return json!({ "device_key": "SyntheticKeyOk00000000", "body": text }).to_string().into_bytes();
    }
    let text = match body {
        "1500 x \\u0639 (9034 bytes)" => {
            format!("{{\"topic\":\"limits\",\"message\":\"{}\"}}", "\\u0639".repeat(1500))
        }
        "title of 5000 x t" => {
            json!({ "topic": "limits", "title": "t".repeat(5000), "message": "x" }).to_string()
        }
        "message of 4097 bytes" => ntfy("alerts-home", &"y".repeat(4097)),
        "message of 20000 bytes" => ntfy("alerts-home", &"y".repeat(20_000)),
        "message of 3900 bytes" => ntfy("limits", &"y".repeat(3900)),
        "message of 9000 bytes" => json!({ "message": "y".repeat(9000) }).to_string(),
        "{\"message\":\"a\\xff\\xfeb\"}" => return b"{\"message\":\"a\xff\xfeb\"}".to_vec(),
        _ if body.ends_with(" x y") => "y".repeat(number(body)),
        _ if body.ends_with("bytes, mostly blanks") => {
            let short = ntfy("limits", "x");
            let blanks = " ".repeat(number(body) - short.len());
            short.replacen('{', &format!("{{{blanks}"), 1)
        }
        _ => {
            let is_json = !body.starts_with('{') || serde_json::from_str::<Value>(body).is_ok();
            assert!(is_json || name.contains("bad-json"), "{name}: {body}");
            body.to_owned()
        }
    };
    text.into_bytes()
}

/// Without what differs from one answer to the next.
fn steady(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut kept = Map::new();
            for (key, value) in object {
                // The words of SQLite, of which there are many.
                let is_of_database = name == "disk-full" && key == "errorDescription";
                let is_volatile =
                    VOLATILE.contains(&key.as_str()) && !(key == "url" && name.starts_with("actions"));
                if !is_volatile && !is_of_database {
                    kept.insert(key.clone(), steady(name, value));
                }
            }
            Value::Object(kept)
        }
        Value::Array(values) => values.iter().map(|value| steady(name, value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[test]
fn gotify_answers_as_recorded() {
    let server = |name: &str| {
        let secret = match name {
            "basic-auth" => Some("synthetic"),
            name if name.starts_with("client-token") || name == "bad-appid" => {
                Some("gtfyc.synthetic0000000000000000000000000000000002")
            }
            // Recorded without headers.
            name if name.starts_with("million") => return None,
            _ => None,
        };
        let token = "gtfya.synthetic0000000000000000000000000000000001".to_owned();
        let options = ChatOptions { token, secret: secret.map(str::to_owned), ..ChatOptions::default() };
        let mut tried = Tried::new(Service::Gotify, options);
        tried.setup.manner = match name {
            "app-deleted" => Manner::Gone,
            "db-locked" | "disk-full" => Manner::Broken,
            _ => Manner::Fair,
        };
        Some(tried)
    };
    Recording::of("gotify-3.0.0").compare(server, 40);
}

#[test]
fn ntfy_answers_as_recorded() {
    const WITH_USERS: [&str; 2] = ["auth-", "attachment-"];
    let json = |body: &Value| body.to_string().into_bytes();
    let post = |tried: &mut Tried, headers: &[(&str, &str)]| {
        tried.ask("POST", "/", headers, &json(&json!({ "topic": "a", "message": "x" }))).status
    };
    let server = |name: &str| {
        let mut options = ChatOptions::default();
        if WITH_USERS.iter().any(|start| name.starts_with(start)) {
            options.token = "tk_synthetic0000000000000000000a".to_owned();
            options.secret = Some("alice:synthetic".to_owned());
            options.chats = vec!["alerts-home".to_owned()];
            options.attachments = true;
        }
        if matches!(name, "daily-limit" | "topic-limit") {
            options.daily = Some(5);
        }
        let mut tried = Tried::new(Service::Ntfy, options);
        match name {
            "daily-limit" | "topic-limit" => assert!((0..5).all(|_| post(&mut tried, &[]) == 200)),
            "rate-limited" => assert!((0..60).all(|_| post(&mut tried, &[]) == 200)),
            "auth-too-many-failures" | "auth-good-while-blocked" => {
                let wrong = [("authorization", "Bearer tk_wrong")];
                assert!((0..30).all(|_| post(&mut tried, &wrong) == 401));
            }
            "disk-full" => tried.setup.manner = Manner::Broken,
            _ => {}
        }
        Some(tried)
    };
    Recording::of("ntfy-2.13.0").compare(server, 60);
}

#[test]
fn bark_answers_as_recorded() {
    let recording = Recording::of("bark-2.3.4");
    let key = "SyntheticKeyOk00000000".to_owned();
    // Devices are registered and forgotten, so all requests go to one server.
    let mut one = Tried::new(Service::Bark, ChatOptions { token: key.clone(), ..ChatOptions::default() });
    let secret = Some("u:synthetic".to_owned());
    let mut guarded = Tried::new(Service::Bark, ChatOptions { token: key, secret, ..ChatOptions::default() });
    let mut compared = 0;
    for recorded in &recording.answers {
        let name = recorded["name"].as_str().unwrap();
        let Some(method) = recorded["request"]["method"].as_str() else { continue };
        let tried = if name.starts_with("auth-") { &mut guarded } else { &mut one };
        recording.compare_one(tried, name, method, recorded);
        compared += 1;
    }
    assert!(compared > 50, "only {compared}");
}

/// Found by recording: with all its fields a push has 3,877 bytes left for its text.
#[test]
fn what_apple_gets_is_counted_as_recorded() {
    let recording = Recording::of("bark-2.3.4");
    let seen: Value =
        serde_json::from_slice(&fs::read(recording.folder.join("what-apple-gets.json")).unwrap()).unwrap();
    let pushes = ["ok", "ok-persian-emoji", "ok-markdown", "level-unknown", "empty"];
    for (name, seen) in pushes.into_iter().zip(seen.as_array().unwrap()) {
        let request = recording.answers.iter().find(|recorded| recorded["name"] == name).unwrap();
        let mut push: Value = serde_json::from_str(request["request"]["body"].as_str().unwrap()).unwrap();
        let left = 4096 - usize::try_from(seen["bytes"].as_u64().unwrap()).unwrap();
        let text = push["body"]
            .as_str()
            .unwrap_or(if name == "level-unknown" { "x" } else { "Empty Message" })
            .to_owned();
        let options = ChatOptions { token: "SyntheticKeyOk00000000".to_owned(), ..ChatOptions::default() };
        let mut tried = Tried::new(Service::Bark, options);
        let mut statuses = [0, 1].map(|over| {
            push["body"] = json!(format!("{text}{}", "y".repeat(left + over)));
            let Got { status, .. } = tried.post("/push", &push);
            status
        });
        if name == "ok-markdown" {
            // A markdown stands beside the text.
            statuses.sort_unstable();
        }
        assert_eq!(statuses, [200, 500], "{name}");
    }
}

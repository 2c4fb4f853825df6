//! The limits of a message of Discord, in code points, outer blanks not counted.

use serde_json::{Map, Value, json};

use crate::simulator::http::Answer;
use crate::simulator::inbox::chat::read;

const MAX_CONTENT: usize = 2000;
const MAX_EMBEDS: usize = 10;
const MAX_OF_EMBEDS: usize = 6000;
const MAX_FIELDS: usize = 25;
const MAX_USERNAME: usize = 80;
const MAX_COLOR: i64 = 0xff_ffff;

const TOO_LONG: &str = "BASE_TYPE_MAX_LENGTH";
const REQUIRED: &str = "BASE_TYPE_REQUIRED";

/// What is wrong, by the path to it.
#[derive(Default)]
struct Errors(Map<String, Value>);

impl Errors {
    fn add(&mut self, path: &str, code: &str, message: &str) {
        let mut at = &mut self.0;
        for key in path.split('.') {
            let inner = at.entry(key).or_insert_with(|| json!({}));
            let Some(inner) = inner.as_object_mut() else { return };
            at = inner;
        }
        at.insert("_errors".to_owned(), json!([{ "code": code, "message": message }]));
    }

    /// The length of a text, which must not be over `most`.
    fn text(&mut self, path: &str, value: &Value, most: usize) -> usize {
        match value {
            Value::Null => 0,
            Value::String(text) => {
                let length = length(text);
                if length > most {
                    self.add(path, TOO_LONG, &format!("Must be {most} or fewer in length."));
                }
                length
            }
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.add(path, "STRING_TYPE_CONVERT", "Could not interpret value as string.");
                0
            }
        }
    }

    fn url(&mut self, path: &str, value: &Value) {
        let is_url = |url: &str| ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        if !value.is_null() && !value.as_str().is_some_and(is_url) {
            self.add(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.");
        }
    }
}

/// Refuses what is too long, wrong or empty.
pub(super) fn check(sent: &Value) -> Result<(), Answer> {
    let mut errors = Errors::default();
    let content = errors.text("content", &sent["content"], MAX_CONTENT);
    errors.text("username", &sent["username"], MAX_USERNAME);
    let name = read::text(sent, "/username").to_lowercase();
    if name.contains("discord") || name.contains("clyde") {
        errors.add("username", "USERNAME_INVALID_CONTAINS", "Username cannot contain \"discord\"");
    }
    let embeds = sent["embeds"].as_array().map_or(&[][..], Vec::as_slice);
    if embeds.len() > MAX_EMBEDS {
        errors.add("embeds", TOO_LONG, &format!("Must be {MAX_EMBEDS} or fewer in length."));
    }
    let lengths: Vec<_> =
        embeds.iter().enumerate().map(|(number, embed)| check_embed(&mut errors, number, embed)).collect();
    if lengths.iter().sum::<usize>() > MAX_OF_EMBEDS {
        let why = format!("Embed size exceeds maximum size of {MAX_OF_EMBEDS}");
        errors.add("embeds", "MAX_EMBED_SIZE_EXCEEDED", &why);
    }
    check_mentions(&mut errors, &sent["allowed_mentions"]);
    if !errors.0.is_empty() {
        let body = json!({ "message": "Invalid Form Body", "code": 50035, "errors": errors.0 });
        return Err(Answer::json(400, &body));
    }
    if content == 0 && lengths.iter().all(|length| *length == 0) {
        return Err(Answer::json(400, &json!({ "message": "Cannot send an empty message", "code": 50006 })));
    }
    Ok(())
}

/// The length of all texts of an embed that count.
fn check_embed(errors: &mut Errors, number: usize, embed: &Value) -> usize {
    let path = |part: &str| format!("embeds.{number}.{part}");
    let texts = [
        ("title", &embed["title"], 256),
        ("description", &embed["description"], 4096),
        ("footer.text", &embed["footer"]["text"], 2048),
        ("author.name", &embed["author"]["name"], 256),
    ];
    let mut length: usize =
        texts.into_iter().map(|(part, value, most)| errors.text(&path(part), value, most)).sum();
    let fields = embed["fields"].as_array().map_or(&[][..], Vec::as_slice);
    if fields.len() > MAX_FIELDS {
        errors.add(&path("fields"), TOO_LONG, &format!("Must be {MAX_FIELDS} or fewer in length."));
    }
    for (place, field) in fields.iter().enumerate() {
        for (part, most) in [("name", 256), ("value", 1024)] {
            let path = path(&format!("fields.{place}.{part}"));
            let of_part = errors.text(&path, &field[part], most);
            if of_part == 0 {
                errors.add(&path, REQUIRED, "This field is required");
            }
            length += of_part;
        }
    }
    errors.url(&path("url"), &embed["url"]);
    let color = &embed["color"];
    if !color.is_null() && !color.as_i64().is_some_and(|color| (0..=MAX_COLOR).contains(&color)) {
        errors.add(&path("color"), "NUMBER_TYPE_MAX", "int value should be less than or equal to 16777215.");
    }
    let time = &embed["timestamp"];
    if !time.is_null() && time.as_str().is_none_or(|time| time.parse::<jiff::Timestamp>().is_err()) {
        errors.add(&path("timestamp"), "DATE_TIME_TYPE_PARSE", "Could not parse. Should be ISO8601.");
    }
    length
}

fn check_mentions(errors: &mut Errors, allowed: &Value) {
    let parse = allowed["parse"].as_array().map_or(&[][..], Vec::as_slice);
    for kind in ["users", "roles"] {
        let named = allowed[kind].as_array().map_or(0, Vec::len);
        if named > 0 && parse.iter().any(|parsed| parsed == kind) {
            let why = format!("parse:[\"{kind}\"] and {kind}: [ids...] are mutually exclusive.");
            errors.add("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", &why);
        }
    }
    for kind in parse {
        if !["users", "roles", "everyone"].iter().any(|known| kind == known) {
            let why = "Value must be one of ('users', 'everyone', 'roles').";
            errors.add("allowed_mentions.parse", "BASE_TYPE_CHOICES", why);
        }
    }
}

fn length(text: &str) -> usize {
    text.trim().chars().count()
}

use super::{
    super::{ChatOptions, testing::Tried},
    *,
};

const PATH: &str = "/bot42:secret/sendMessage";

fn tried() -> Tried {
    let chats = ["7", "-100", "-1001", "@news"].map(str::to_owned).into();
    let options =
        ChatOptions { token: "42:secret".to_owned(), chats, threads: vec![3], ..ChatOptions::default() };
    Tried::new(Service::Telegram, options)
}

fn text(text: &str, mode: &str) -> Value {
    json!({ "chat_id": 7, "text": text, "parse_mode": mode })
}

#[test]
fn only_its_bot_and_method_are_found() {
    let hello = text("hello", "");
    for (path, status, description) in [
        (PATH, 200, ""),
        ("/bot42:secret/sendmessage", 200, ""),
        ("/bot42:other/sendMessage", 401, "Unauthorized"),
        ("/botx/sendMessage", 401, "Unauthorized: invalid token specified"),
        ("/sendMessage", 404, "Not Found"),
        ("/bot42:secret", 404, "Not Found"),
        ("/bot42:secret/sendPoem", 404, "Not Found: method not found"),
    ] {
        let got = tried().post(path, &hello);
        let json = got.json();
        assert_eq!((got.status, json["ok"] == (status == 200)), (status, true), "{path}");
        if status != 200 {
            assert_eq!(
                (&json["error_code"], &json["description"]),
                (&json!(status), &json!(description)),
                "{path}"
            );
        }
    }
    let got = tried().post("/sendMessage", &hello);
    assert_eq!(got.json(), json!({ "ok": false, "error_code": 404, "description": "Not Found" }));
}

#[test]
fn length_counts_code_points_after_parsing() {
    for (body, description) in [
        (text(&"😀".repeat(4096), ""), ""),
        (text(&"😀".repeat(4097), ""), "message is too long"),
        (text(&format!(" {} \n", "x".repeat(4096)), ""), ""),
        (text(&"&lt;".repeat(4096), "HTML"), ""),
        (text(&"&lt;".repeat(4097), "HTML"), "message is too long"),
        (text(&format!("<b>{}</b>", "ع".repeat(4096)), "HTML"), ""),
        (text(&"\\.".repeat(4096), "MarkdownV2"), ""),
        (text(&"\\.".repeat(4097), "MarkdownV2"), "message is too long"),
        (text(&format!("{}x", "<b></b>".repeat(4681)), "HTML"), ""),
        (text(&format!("{}xx", "<b></b>".repeat(4681)), "HTML"), "text is too long"),
        (text("", "HTML"), "message text is empty"),
        (text(" \n", ""), "text must be non-empty"),
        (text("<b></b>", "HTML"), "text must be non-empty"),
        (text("x", "Markdown"), "unsupported parse_mode"),
        (text("<x>", "HTML"), "can't parse entities: Unsupported start tag \"x\" at byte offset 0"),
        (
            text("a.b", "MarkdownV2"),
            "can't parse entities: Character '.' is reserved and must be escaped with the preceding '\\'",
        ),
    ] {
        let got = tried().post(PATH, &body);
        if description.is_empty() {
            assert_eq!(got.status, 200, "{}", got.text);
        } else {
            assert_eq!(got.json()["description"], format!("Bad Request: {description}"));
            assert_eq!((got.status, got.message), (400, None));
        }
    }
    assert_eq!("<b></b>".len() * 4681 + 1, MAX_RAW);
}

#[test]
fn chats_and_threads_must_exist() {
    let to =
        |chat: Value, thread: Value| json!({ "chat_id": chat, "message_thread_id": thread, "text": "x" });
    for (body, description) in [
        (to(json!(7), Value::Null), ""),
        (to(json!("7"), Value::Null), ""),
        (to(json!("@news"), Value::Null), ""),
        (to(json!(-1001), json!(3)), ""),
        (to(json!(-1001), json!(4)), "Bad Request: message thread not found"),
        (to(json!(8), Value::Null), "Bad Request: chat not found"),
        (to(Value::Null, Value::Null), "Bad Request: chat_id is empty"),
    ] {
        let got = tried().post(PATH, &body);
        assert_eq!(got.json()["description"].as_str().unwrap_or(""), description, "{body}");
    }
    assert_eq!(tried().post(PATH, &to(json!(-1001), json!(3))).taken().to, "-1001:3");
}

#[test]
fn a_group_moves_and_a_bot_is_thrown_out() {
    let to = |chat: i64| json!({ "chat_id": chat, "text": "x" });
    let mut tried = tried();
    tried.setup.manner = Manner::MovedTo(-100_500);
    let got = tried.post(PATH, &to(-100));
    assert_eq!((got.status, &got.json()["parameters"]), (400, &json!({ "migrate_to_chat_id": -100_500 })));
    assert_eq!(tried.post(PATH, &to(-100_500)).taken().to, "-100500");
    tried.setup.manner = Manner::Gone;
    for (chat, description) in [
        (7, "Forbidden: bot was blocked by the user"),
        (-1001, "Forbidden: bot was kicked from the supergroup chat"),
    ] {
        let got = tried.post(PATH, &to(chat));
        assert_eq!((got.status, got.json()["description"].as_str()), (403, Some(description)));
    }
    tried.setup.manner = Manner::TooMany(7);
    let got = tried.post(PATH, &to(7));
    assert_eq!((got.status, got.header("retry-after")), (429, "7"));
    let expected = json!({
        "ok": false,
        "error_code": 429,
        "description": "Too Many Requests: retry after 7",
        "parameters": { "retry_after": 7 },
    });
    assert_eq!(got.json(), expected);
}

#[test]
fn one_a_second_and_twenty_a_minute_in_a_group() {
    let to = |chat: i64| json!({ "chat_id": chat, "text": "x" });
    let mut tried = tried();
    assert!((0..3).all(|_| tried.post(PATH, &to(7)).status == 200));
    let got = tried.post(PATH, &to(7));
    assert_eq!((got.status, got.header("retry-after")), (429, "1"));
    assert_eq!(tried.post(PATH, &to(-100)).status, 200);
    for _ in 0..40 {
        tried.wait(1000);
        assert_eq!(tried.post(PATH, &to(7)).status, 200);
    }
    tried.wait(60_000);
    for _ in 0..20 {
        tried.wait(1000);
        assert_eq!(tried.post(PATH, &to(-100)).status, 200);
    }
    tried.wait(1000);
    let got = tried.post(PATH, &to(-100));
    assert_eq!((got.status, got.header("retry-after")), (429, "40"));
    assert_eq!(tried.post(PATH, &to(-1001)).status, 200);
}

#[test]
fn what_the_reader_sees() {
    let body = text(
        "<b>home</b>: &lt;a href=\"http://evil.com\"&gt; \u{202e}<code>@some_one</code> <a href=\"https://x.org/\">see</a>",
        "HTML",
    );
    let shown = tried().post(PATH, &body).taken();
    assert_eq!(shown.text, "home: <a href=\"http://evil.com\"> @some_one see");
    assert!(shown.pings.is_empty(), "{shown:?}");
    let links: Vec<_> = shown.links.iter().map(|link| (link.url.as_str(), link.recognized)).collect();
    assert_eq!(links, [("http://evil.com", true), ("https://x.org/", false)]);
    let styles: Vec<_> = shown.styles.iter().map(|style| (style.kind, style.text.as_str())).collect();
    assert_eq!(styles, [("bold", "home"), ("code", "@some_one")]);
    let shown = tried().post(PATH, &text("hi @some_one #tag evil.com", "")).taken();
    assert_eq!(shown.pings, ["@some_one"]);
    assert_eq!(shown.links[0].url, "http://evil.com");
    assert_eq!(shown.styles[0].kind, "hashtag");
}

/// Whatever a name is made of: escaped, it arrives as it is.
#[test]
fn what_is_escaped_is_shown() {
    let mut random = fastrand::Rng::with_seed(1);
    let html = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let markdown = |text: &str| {
        let escaped = |c: char| if c.is_ascii_punctuation() { vec!['\\', c] } else { vec![c] };
        text.chars().flat_map(escaped).collect::<String>()
    };
    for _ in 0..2000 {
        let name: String = (0..random.usize(1..20))
            .map(|_| if random.bool() { random.char('!'..='~') } else { 'é' })
            .collect();
        for body in [
            text(&format!("<b>{}</b>", html(&name)), "HTML"),
            text(&format!("*{}*", markdown(&name)), "MarkdownV2"),
        ] {
            let shown = tried().post(PATH, &body).taken();
            assert_eq!((shown.text.as_str(), shown.styles[0].text.as_str()), (name.as_str(), name.as_str()));
            assert!(shown.links.iter().all(|link| link.recognized), "{name}");
        }
    }
}

use super::{
    super::{ChatOptions, testing::Tried},
    *,
};

const PATH: &str = "/api/webhooks/1/t?wait=true";

fn tried() -> Tried {
    Tried::new(Service::Discord, ChatOptions { token: "1/t".to_owned(), ..ChatOptions::default() })
}

fn embed(embed: &Value) -> Value {
    json!({ "embeds": [embed] })
}

#[test]
fn lengths_are_code_points_without_outer_blanks() {
    let fields = |count: usize| json!({ "fields": vec![json!({ "name": "n", "value": "v" }); count] });
    let embeds = |count: usize, length: usize| json!({ "embeds": vec![json!({ "description": "x".repeat(length) }); count] });
    for (body, at) in [
        (json!({ "content": "😀".repeat(2000) }), ""),
        (json!({ "content": format!("  {}\n ", "x".repeat(2000)) }), ""),
        (json!({ "content": "x".repeat(2001) }), "/errors/content"),
        (json!({ "content": "x", "username": "x".repeat(81) }), "/errors/username"),
        (json!({ "content": "x", "username": "my Discord" }), "/errors/username"),
        (embed(&json!({ "title": "x".repeat(256) })), ""),
        (embed(&json!({ "title": "x".repeat(257) })), "/errors/embeds/0/title"),
        (embed(&json!({ "description": "ع".repeat(4096) })), ""),
        (embed(&json!({ "description": "ع".repeat(4097) })), "/errors/embeds/0/description"),
        (embed(&json!({ "title": "t", "footer": { "text": "x".repeat(2048) } })), ""),
        (
            embed(&json!({ "title": "t", "footer": { "text": "x".repeat(2049) } })),
            "/errors/embeds/0/footer/text",
        ),
        (embed(&json!({ "fields": [{ "name": "x".repeat(256), "value": "x".repeat(1024) }] })), ""),
        (
            embed(&json!({ "fields": [{ "name": "x".repeat(257), "value": "x" }] })),
            "/errors/embeds/0/fields/0/name",
        ),
        (
            embed(&json!({ "fields": [{ "name": "x", "value": "x".repeat(1025) }] })),
            "/errors/embeds/0/fields/0/value",
        ),
        (embed(&json!({ "fields": [{ "name": "x", "value": " " }] })), "/errors/embeds/0/fields/0/value"),
        (embed(&fields(25)), ""),
        (embed(&fields(26)), "/errors/embeds/0/fields"),
        (embeds(10, 600), ""),
        (embeds(11, 1), "/errors/embeds"),
        (embeds(10, 601), "/errors/embeds"),
        (embed(&json!({ "title": "t", "url": "javascript:x" })), "/errors/embeds/0/url"),
        (embed(&json!({ "title": "t", "color": 0x0100_0000 })), "/errors/embeds/0/color"),
        (embed(&json!({ "title": "t", "timestamp": "2026-11-25T20:44:46Z", "color": 0xff_ffff })), ""),
        (embed(&json!({ "title": "t", "timestamp": "today" })), "/errors/embeds/0/timestamp"),
        (
            json!({ "content": "x", "allowed_mentions": { "parse": ["users"], "users": ["1"] } }),
            "/errors/allowed_mentions",
        ),
    ] {
        let got = tried().post(PATH, &body);
        assert_eq!(got.status, if at.is_empty() { 200 } else { 400 }, "{at}: {}", got.text);
        if !at.is_empty() {
            let json = got.json();
            assert_eq!((&json["code"], &json["message"]), (&json!(50035), &json!("Invalid Form Body")));
            assert!(json.pointer(at).unwrap()["_errors"][0]["code"].is_string(), "{at}: {json}");
        }
    }
    let got = tried().post(PATH, &json!({ "content": "x".repeat(2001) })).json();
    assert_eq!(got["errors"]["content"]["_errors"][0]["code"], "BASE_TYPE_MAX_LENGTH");
}

#[test]
fn other_refusals_have_their_codes() {
    let say = json!({ "content": "x" });
    for (path, body, status, code) in [
        ("/api/webhooks/2/t", &say, 404, 10015),
        ("/api/v10/webhooks/1/other", &say, 401, 50027),
        (PATH, &json!({ "content": " \n " }), 400, 50006),
        (PATH, &json!({ "embeds": [] }), 400, 50006),
        (PATH, &json!({ "embeds": [{ "color": 1 }] }), 400, 50006),
        (PATH, &json!("x"), 400, 50109),
        ("/api/webhooks/1/t?thread_id=5", &say, 404, 10003),
        ("/api/webhook/1/t", &say, 404, 0),
    ] {
        let got = tried().post(path, body);
        assert_eq!((got.status, got.json()["code"].as_i64()), (status, Some(code)), "{path} {body}");
    }
    let mut forum = tried();
    forum.setup.options.threads = vec![5];
    assert_eq!(forum.post(PATH, &say).json()["code"], 220_001);
    assert_eq!(forum.post("/api/webhooks/1/t?thread_id=5", &say).taken().to, "5");
}

#[test]
fn without_wait_the_answer_is_empty_even_if_nothing_was_saved() {
    let mut tried = tried();
    let say = json!({ "content": "x" });
    let got = tried.post(PATH, &say);
    assert_eq!(
        (got.status, got.json()["id"].is_string(), got.header("x-ratelimit-remaining")),
        (200, true, "4")
    );
    assert_eq!(got.header("x-ratelimit-reset-after"), "2.000");
    let got = tried.post("/api/v10/webhooks/1/t", &say);
    assert_eq!((got.status, got.text.as_str(), got.message.is_some()), (204, "", true));
    tried.setup.manner = Manner::Broken;
    let got = tried.post("/api/webhooks/1/t", &say);
    assert_eq!((got.status, got.message), (204, None));
    assert_eq!(tried.post(PATH, &say).status, 500);
}

#[test]
fn five_in_two_seconds_and_thirty_a_minute() {
    let mut tried = tried();
    let say = json!({ "content": "x" });
    for _ in 0..6 {
        assert!((0..5).all(|_| tried.post(PATH, &say).status == 200));
        let got = tried.post(PATH, &say);
        assert_eq!(got.status, 429, "{}", got.text);
        tried.wait(2000);
    }
    let got = tried.post(PATH, &say);
    assert_eq!(
        (got.status, got.header("retry-after"), got.header("x-ratelimit-scope")),
        (429, "48", "shared")
    );
    assert_eq!(
        (got.json()["retry_after"].as_f64(), got.json()["global"].as_bool()),
        (Some(48.0), Some(false))
    );
    tried.setup.manner = Manner::TooMany(65);
    let got = tried.post(PATH, &say);
    assert_eq!((got.header("retry-after"), got.json()["retry_after"].as_f64()), ("65", Some(64.57)));
}

#[test]
fn only_allowed_mentions_of_the_content_ping() {
    let content = "@everyone `@here` \\<@1> <@!2> <@&3> <#4> <@x>";
    for (allowed, expected) in [
        (Value::Null, &["@everyone", "@here", "<@1>", "<@!2>", "<@&3>"][..]),
        (json!({ "parse": [] }), &[]),
        (json!({}), &[]),
        (json!({ "parse": ["everyone"] }), &["@everyone", "@here"]),
        (json!({ "parse": ["roles"], "users": ["2"] }), &["<@!2>", "<@&3>"]),
    ] {
        let body = json!({ "content": content, "allowed_mentions": allowed });
        assert_eq!(tried().post(PATH, &body).taken().pings, expected, "{allowed}");
    }
    assert!(tried().post(PATH, &embed(&json!({ "title": "@everyone <@1>" }))).taken().pings.is_empty());
}

#[test]
fn what_the_reader_sees() {
    let body = json!({
        "content": "a\\_b **c**",
        "embeds": [
            {
                "title": "t \\[x\\](y)",
                "url": "http://a.b/",
                "description": "[see](http://c.d/) http://e.f/ evil.com",
                "fields": [{ "name": "n", "value": "`v`" }],
                "footer": { "text": "**f**" },
            },
            { "title": "second" },
        ],
    });
    let shown = tried().post(PATH, &body).taken();
    assert_eq!(shown.title, "t [x](y)");
    assert_eq!(shown.text, "a_b c\nsee http://e.f/ evil.com\nn\nv\n**f**\nsecond");
    let links: Vec<_> = shown.links.iter().map(|link| (link.text.as_str(), link.url.as_str())).collect();
    assert_eq!(links, [("t [x](y)", "http://a.b/"), ("see", "http://c.d/"), ("http://e.f/", "http://e.f/")]);
    let styles: Vec<_> = shown.styles.iter().map(|style| (style.kind, style.text.as_str())).collect();
    assert_eq!(styles, [("bold", "c"), ("code", "v")]);
}

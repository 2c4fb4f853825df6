//! What a server has at the start.

use super::credential::{Credential, Origin, Plan, Window};
use super::options::{CANARY, Options};
use super::people::Person;
use super::state::{Model, State};

const MINUTE_MS: i64 = 60 * 1000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const WEEK: u32 = 7 * 24 * 60;
const MILLION: u64 = 1_000_000;
/// Owners of the first client keys, and the offset of their local time from UTC; `None`: a program.
const CLIENTS: [(&str, Option<i64>); 5] =
    [("alice", Some(8)), ("bob", Some(1)), ("carol", Some(-5)), ("ci", None), ("dora", Some(3))];
/// Models of the cast: name, alias, provider.
const MODELS: [(&str, &str, &str); 6] = [
    ("claude-sonnet-4-5", "claude-sonnet-4-5", "claude"),
    ("claude-opus-4-5", "claude-opus-4-5", "claude"),
    ("gpt-5.1-codex", "gpt-5.1-codex", "codex"),
    ("gpt-5.1", "gpt-5.1", "codex"),
    ("gemini-3-pro", "gemini-pro", "gemini"),
    ("kimi-k2.5", "kimi-k2.5", "kimi"),
];
/// The openai-compatible provider, and its first models.
const COMPATIBLE: &str = "openrouter";
const COMPATIBLE_MODELS: [(&str, &str); 2] =
    [("deepseek/deepseek-v3.2", "deepseek-v3"), ("qwen/qwen3-max", "qwen3-max")];

/// A server with its cast.
pub(super) fn seeded(options: &Options, now_ms: i64) -> State {
    let mut state = State::new(options);
    let secret = |text: &str| match options.canaries {
        true => format!("{CANARY}-{text}"),
        false => text.to_owned(),
    };
    for place in 0..options.clients {
        let name = match CLIENTS.get(place) {
            Some((name, _)) => (*name).to_owned(),
            None => format!("client-{place:04}"),
        };
        state.clients.push(format!("sk-{}-{:016x}", secret(&name), scattered(options.seed, place)));
    }
    let models = MODELS.iter().map(|(name, alias, provider)| Model {
        name: (*name).to_owned(),
        alias: (*alias).to_owned(),
        provider: (*provider).to_owned(),
    });
    state.models = models.collect();
    for place in 0..options.models {
        let (name, alias) = match COMPATIBLE_MODELS.get(place) {
            Some((name, alias)) => ((*name).to_owned(), (*alias).to_owned()),
            None => (format!("vendor/model-{place:04}"), format!("model-{place:04}")),
        };
        state.models.push(Model { name, alias, provider: COMPATIBLE.to_owned() });
    }
    for credential in credentials(options, &secret, now_ms) {
        state.admit(credential);
    }
    let models =
        |of: &[usize]| of.iter().filter_map(|place| u16::try_from(*place).ok()).collect::<Vec<u16>>();
    for (place, (client, zone)) in (0..state.clients.len()).zip(CLIENTS.map(|(_, zone)| zone)).enumerate() {
        let last = state.models.len() - 1;
        let used = match place {
            0 => models(&[0, 1, 0]),
            1 => models(&[2, 3, 0]),
            2 => models(&[2, 4, 2]),
            3 => models(&[last, 2, 0]),
            _ => models(&[5, last.min(6), 4]),
        };
        state.office.people.push(Person::new(u16::try_from(client).unwrap_or(0), used, zone));
    }
    state
}

/// Files first, in the order of their names.
fn credentials(options: &Options, secret: &impl Fn(&str) -> String, now_ms: i64) -> Vec<Credential> {
    let mail = |name: &str| format!("{}@example.com", secret(name));
    let file = |provider: &str, name: &str, ending: &str| {
        let email = mail(name);
        let path = format!("{provider}-{email}{ending}.json");
        let mut file = Credential::new(&path, provider, Origin::File, now_ms - 3 * DAY_MS);
        file.email = email;
        if name == "team" {
            file.note = secret("shared by the team");
        }
        file.last_refresh_ms = Some(now_ms - 40 * MINUTE_MS);
        file
    };
    let quota = |five_hours: u64, week: u64| {
        vec![
            Window::new(300, now_ms + 170 * MINUTE_MS, five_hours),
            Window::new(WEEK, now_ms + 4 * DAY_MS, week),
        ]
    };
    let plan = |kind: &str, days: i64, as_number: bool| {
        let until_ms = now_ms + days * DAY_MS;
        Some(Plan { kind: kind.to_owned(), account: secret("acct-0001"), until_ms, as_number })
    };
    let mut files = vec![
        Credential { windows: quota(20 * MILLION, 120 * MILLION), ..file("claude", "alice", "") },
        Credential { windows: quota(8 * MILLION, 60 * MILLION), ..file("claude", "bob", "") },
        Credential { disabled: true, ..file("claude", "former", "") },
        // This one runs out every now and then.
        Credential {
            windows: vec![
                Window { used: 360_000, ..Window::new(300, now_ms + 25 * MINUTE_MS, 400_000) },
                Window { used: 2 * MILLION, ..Window::new(WEEK, now_ms + 2 * DAY_MS, 40 * MILLION) },
            ],
            plan: plan("plus", 3, false),
            ..file("codex", "carol", "-plus")
        },
        Credential {
            windows: quota(30 * MILLION, 200 * MILLION),
            plan: plan("team", 20, true),
            ..file("codex", "team", "-team")
        },
    ];
    let kimi = format!("kimi-{}.json", secret("dora"));
    files.push(Credential::new(&kimi, "kimi", Origin::File, now_ms - 3 * DAY_MS));
    for place in 0..options.extra_files {
        let provider = if place % 2 == 0 { "claude" } else { "codex" };
        files.push(file(provider, &format!("extra-{place:04}"), ""));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let keys = [
        ("claude", "https://api.anthropic.com", "sk-ant-api03"),
        ("gemini", "https://generativelanguage.googleapis.com", "AIza"),
        (COMPATIBLE, "https://openrouter.ai/api/v1", "sk-or-v1-first"),
        (COMPATIBLE, "https://openrouter.ai/api/v1", "sk-or-v1-second"),
    ];
    for (place, (provider, base_url, begin)) in keys.into_iter().enumerate() {
        let key = format!("{}-{:016x}", secret(begin), scattered(options.seed, 1000 + place));
        let origin = Origin::Key { base_url: base_url.to_owned() };
        files.push(Credential::new(&key, provider, origin, now_ms - 3 * DAY_MS));
    }
    files
}

fn scattered(seed: u64, place: usize) -> u64 {
    let place = u64::try_from(place).unwrap_or(0) + 1;
    (seed ^ place.rotate_left(32) ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

//! The configuration file from outside: what loads, what is refused and with which words, and what is never shown.
//!
//! `UPDATE_GOLDEN=1 cargo test --test it config::` rewrites the expected messages beside the bad files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proxymeter::alert::config::{AlertingConfig, MuteConfig, RuleConfig, StepConfig};
use proxymeter::config::{
    Config, ConfigErrors, Env, LabelsChoice, NoticeNames, ReceiverKind, ReceiverTable, Shard, Source,
    StatementConfig, Target, TargetKind, UsersConfig,
};
use proxymeter::http::options::TlsOptions;
use proxymeter::model::{Allowance, BudgetPeriod, Counts, NodeAllowances, Severity};
use proxymeter::notify::alertmanager::config::AlertmanagerConfig;
use proxymeter::notify::chat::config::{ChatConfig, Dialect};
use proxymeter::notify::email::config::{
    DigestConfig, EmailConfig, ReceiverConfig, SmtpLogin, SmtpMechanism, SmtpTls,
};
use proxymeter::notify::heartbeat::config::{HeartbeatConfig, HeartbeatMethod};
use proxymeter::notify::pagerduty::config::PagerdutyConfig;
use proxymeter::notify::webhook::config::{Authorization, WebhookConfig, WebhookFormat};
use proxymeter::poll::config::{PollConfig, UsersInterval};
use proxymeter::secret::Secret;
use proxymeter::server::config::{AccessConfig, OwnAccess, OwnTls, PasswordHash, TlsVersion};
use proxymeter::upstream::cliproxy::config as cliproxy;
use proxymeter::upstream::cliproxy::prices::{Override, Price, Prices};
use proxymeter::upstream::marzban::config::{Login, MarzbanConfig};
use proxymeter::upstream::xui::config as xui;
use proxymeter::wording::Language;
use rustls::pki_types::ServerName;

use crate::common::golden::assert_golden;

/// Relative, so that messages are the same on every machine; tests run in the package's folder.
const FIXTURES: &str = "tests/fixtures/config";

#[test]
fn every_mistake_has_its_message() {
    let files = toml_files("bad");
    assert!(files.len() > 140, "{} files", files.len());
    for file in files {
        let errors = Config::load(&Source::from(&*file), &env).expect_err(&file.display().to_string());
        let seen = format!("{errors}\n").replace(&format!("{FIXTURES}/"), "");
        assert_golden(file.with_extension("txt"), &seen);
    }
}

#[test]
fn targets_behind_proxies_sockets_and_gateways() {
    let config = load("good/hidden.toml");
    let endpoint = |name: &str| config.targets.iter().find(|target| target.name == name).unwrap().endpoint();
    let headers = |name: &str| {
        let headers = &endpoint(name).headers;
        headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect::<Vec<_>>()
    };
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let password = fs::read_to_string(format!("{FIXTURES}/secrets/password")).unwrap();
    let access = [("cf-access-client-id", "id.access"), ("cf-access-client-secret", password.trim_end())];
    assert_eq!(headers("cloudflare"), pairs(&access));
    let own = [("authorization", "Basic bWU6c2VjcmV0"), ("x-token", "hunter2-header")];
    assert_eq!(headers("abroad"), pairs(&own));
    assert_eq!(endpoint("abroad").proxy, Some("socks5h://127.0.0.1:1080".into()));
    let near = endpoint("near");
    assert_eq!(near.url.socket(), Some(Path::new("/run/x-ui.sock")));
    assert_eq!(near.url.join("/login"), "http://localhost/base-path/login");
    // A tunnel on this machine may begin here, one elsewhere does not.
    let clear = config.warnings().into_iter().filter(|text| text.contains("unencrypted"));
    let tables: Vec<_> = clear.map(|text| text.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(tables, ["marzban.abroad", "cliproxy.tunnel"]);
}

#[test]
fn good_files_load() {
    for file in toml_files("good") {
        if let Err(errors) = Config::load(&Source::from(&*file), &env) {
            panic!("{errors}");
        }
    }
}

/// A post that hangs does not cost the next one.
#[test]
fn a_post_to_an_alertmanager_takes_at_most_half_of_a_short_resend() {
    let config = load("good/alertmanager.toml");
    let [ReceiverTable { kind: ReceiverKind::Alertmanager(pair), .. }] = config.receivers.as_slice() else {
        panic!("{:?}", config.receivers)
    };
    assert_eq!(pair.timeout, Duration::from_millis(2500));
}

#[test]
fn the_url_of_a_page_of_a_panel_is_repaired() {
    let config = load("good/xui.toml");
    let url = |name: &str| {
        let target = config.targets.iter().find(|target| target.name == name).unwrap();
        let TargetKind::Xui(xui) = &target.kind else { panic!("{target:?}") };
        xui.endpoint.url.join("/login")
    };
    assert_eq!(url("token"), "https://panel.example.com:2053/base/login");
    assert_eq!(url("password"), "http://127.0.0.1:54321/login");
    let warnings = config.warnings();
    assert!(
        warnings
            .iter()
            .any(|warning| warning
                .starts_with("xui.token.url: the URL of a page, of which all from /panel on")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().all(|warning| !warning.contains("base")
            || warning.contains("the base path itself") && !warning.contains("/base")),
        "{warnings:?}"
    );
}

#[test]
fn a_client_certificate_can_be_the_whole_login() {
    let config = load("good/xui.toml");
    let logins = config.targets.iter().map(|target| match xui_login(target) {
        xui::Login::Token(_) => (target.name.as_str(), "token"),
        xui::Login::Password(_) => (target.name.as_str(), "password"),
        xui::Login::Certificate => (target.name.as_str(), "certificate"),
    });
    for (name, login) in logins {
        assert_eq!(name, login);
    }
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = load("good/empty.toml");
    assert_eq!(config.web.listen, ["127.0.0.1:10057".parse().unwrap()]);
    assert_eq!(config.web.access, AccessConfig::Own(OwnAccess::default()));
    assert_eq!(config.users, UsersConfig::default());
    assert_eq!(config.storage.path, Path::new(FIXTURES).join("good/proxymeter-data"));
    assert_eq!(*config.cost.prices, Prices::default());
    assert_eq!(config.targets, []);
    assert_eq!(config.receivers, []);
    assert_eq!(config.alerting, AlertingConfig::default());
}

#[test]
fn every_value_arrives() {
    let config = load("good/full.toml");
    let listen: Vec<_> = config.web.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:0", "[::1]:0", "[::]:10057"]);
    let pki = |file: &str| Path::new(FIXTURES).join("good/../../web-config/pki").join(file);
    let hash = PasswordHash::parse("$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG").unwrap();
    let access = OwnAccess {
        tls: Some(OwnTls {
            cert_file: pki("server.pem"),
            key_file: pki("server-key.pem"),
            client_ca_file: Some(pki("ca.pem")),
            min_version: TlsVersion::Tls13,
        }),
        users: [("prometheus".to_owned(), hash)].into(),
        bearer_token: Some(Secret::from("hunter2-bearer")),
        open_health: true,
    };
    assert_eq!(config.web.access, AccessConfig::Own(access));
    assert_eq!(
        config.users,
        UsersConfig {
            labels: LabelsChoice::Off,
            limit: 50_000,
            inbounds: true,
            used_today: true,
            hash_key: Some(Secret::from("0123456789abcdef")),
            node_traffic_of: vec!["alice".to_owned()],
            notices: NoticeNames::Hash,
        }
    );
    assert_eq!(config.storage.path, Path::new("/var/lib/proxymeter"));

    let price = |text| Price::per_million(text).unwrap();
    let of = |models: &str, input, output| {
        let (models, input, output) = (models.to_owned(), price(input), price(output));
        Override { models, input, output, cached: None, cache_write: None }
    };
    let overrides = vec![
        Override { cached: Some(price("0.125")), ..of("gpt-5*", "1.25", "10") },
        Override { cache_write: Some(price("0.3125")), ..of("gpt-5-mini", "0.25", "2") },
    ];
    let (prices, _) = Prices::parse(&fs::read("tests/fixtures/litellm/model_prices.json").unwrap()).unwrap();
    assert_eq!(*config.cost.prices, prices.with_overrides(overrides));

    let [alpha, zulu] = &config.targets[..] else { panic!("{:?}", config.targets) };
    let base = PollConfig {
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
        page_timeout: Duration::from_secs(120),
        stale_after: Duration::from_secs(900),
        load: 0.25,
        users_interval: UsersInterval::Every(Duration::from_secs(3600)),
    };
    assert_eq!((alpha.name.as_str(), &alpha.poll), ("alpha", &base));
    assert_eq!(marzban(alpha).endpoint.url.join("/api/system"), "http://198.51.100.7:8000/api/system");
    assert_eq!(marzban(alpha).login, Login::ApiKey(Secret::from("pg_key_hunter2")));
    assert_eq!(marzban(alpha).node_traffic_of, ["alice"]);

    let quicker = PollConfig {
        interval: Duration::from_secs(10),
        load: 0.05,
        users_interval: UsersInterval::Auto,
        ..base
    };
    assert_eq!((zulu.name.as_str(), &zulu.poll), ("zulu", &quicker));
    let zulu = marzban(zulu);
    assert_eq!(zulu.endpoint.url.join("/api/system"), "https://panel.example.com:8000/hidden/api/system");
    assert_eq!(zulu.login, password("exporter", "hunter2"));
    assert_eq!(zulu.node_traffic_of, ["bob", "carol"]);
    let limits = BTreeMap::from([("reza".to_owned(), 500 << 30), ("sara two".to_owned(), 2_000_000_000_000)]);
    assert_eq!(zulu.admin_limits, limits);
    assert_eq!(zulu.device_limit, Some(3));
    let allowance = |bytes, reset_day, counts| Allowance { bytes, reset_day, counts };
    let by_name = vec![
        ("DE-1".to_owned(), allowance(20_000_000_000_000, 31, Counts::Both)),
        ("*".to_owned(), allowance(3 << 39, 1, Counts::One)),
    ];
    assert_eq!(zulu.allowances, NodeAllowances { zone: config.alerting.zone.clone(), by_name });
    let pin = std::array::from_fn(|index| u8::try_from(index).unwrap());
    assert_eq!(zulu.endpoint.tls.pin_sha256, [pin, [0xab; 32]]);
    assert_eq!(zulu.endpoint.tls.server_name, Some(ServerName::try_from("panel.example.org").unwrap()));
    let file = Some(Path::new(FIXTURES).join("good/../secrets/password"));
    assert_eq!((&zulu.endpoint.tls.ca_file, &zulu.endpoint.tls.client_cert_file), (&file, &file));
    assert_eq!((&zulu.endpoint.tls.client_key_file, zulu.endpoint.tls.insecure_skip_verify), (&file, false));
}

#[test]
fn every_value_of_receivers_arrives() {
    let config = load("good/full.toml");
    let names: Vec<_> = config.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    assert_eq!(names, ["am-plain", "local", "oncall", "ops", "pair", "plain", "relay"]);
    let file = Some(Path::new(FIXTURES).join("good/../secrets/password"));
    assert_eq!(
        *email(&config, "ops"),
        EmailConfig {
            host: "2001:db8::25".to_owned(),
            port: 2525,
            tls: SmtpTls::Implicit,
            allow_cleartext: false,
            certificates: TlsOptions {
                ca_file: file,
                pin_sha256: vec![[0xab; 32]],
                server_name: Some(ServerName::try_from("192.0.2.25").unwrap()),
                ..TlsOptions::default()
            },
            from: "Наблюдатель <alerts@example.com>".to_owned(),
            to: vec!["ops@example.com".to_owned(), "Carol <carol@example.com>".to_owned()],
            login: Some(SmtpLogin {
                username: "alerts".to_owned(),
                password: Secret::from("hunter2-from-a-file"),
                mechanism: SmtpMechanism::Xoauth2,
            }),
            hello: Some("monitor.example.com".to_owned()),
            timeout: Duration::from_secs(60),
            common: ReceiverConfig {
                min_severity: Severity::Warning,
                send_resolved: false,
                language: None,
                group_by: Some(Vec::new()),
                group_wait: Some(Duration::ZERO),
                group_interval: Some(Duration::from_secs(60)),
                repeat_interval: Some(Duration::from_secs(12 * 3600)),
                digest: Some(DigestConfig {
                    at: 450,
                    zone: Some("Asia/Tehran".to_owned()),
                    empty: true,
                    top: 5
                }),
            },
        }
    );
    let local = email(&config, "local");
    assert_eq!((&*local.host, local.port, local.tls), ("localhost", 25, SmtpTls::None));
    let relay = email(&config, "relay");
    assert_eq!((relay.port, relay.tls, relay.allow_cleartext), (25, SmtpTls::None, true));
    let plain = email(&config, "plain");
    assert_eq!((&*plain.host, plain.port, plain.tls), ("smtp.example.com", 587, SmtpTls::StartTls));
    assert_eq!((&plain.login, plain.timeout), (&None, Duration::from_secs(30)));
    let daily = DigestConfig { at: 9 * 60, zone: None, empty: false, top: 10 };
    assert_eq!(plain.common, ReceiverConfig { digest: Some(daily), ..ReceiverConfig::default() });

    let oncall = webhook(&config, "oncall");
    assert_eq!(
        *oncall,
        WebhookConfig {
            url: Secret::from("https://hooks.example.com/hidden?key=hunter2"),
            format: WebhookFormat::Template {
                template: "{{ status }}".to_owned(),
                content_type: "text/plain; charset=utf-8".to_owned(),
            },
            secrets: vec![Secret::from("whsec_aHVudGVyMg=="), Secret::from("hunter2-from-a-file")],
            github_secret: Some(Secret::from("hunter2-github")),
            authorization: Some(Authorization::Basic {
                username: "alerts".to_owned(),
                password: Secret::from("hunter2"),
            }),
            headers: vec![
                ("x-team".to_owned(), Secret::from("ops")),
                ("x-key".to_owned(), Secret::from("hunter2-from-a-file")),
            ],
            proxy: Some(Secret::from("socks5h://me:hunter2@127.0.0.1:1080")),
            tls: oncall.tls.clone(),
            success: Some("\"ok\":true".to_owned()),
            timeout: Duration::from_secs(5),
            max_alerts: 20,
            common: ReceiverConfig::default(),
        }
    );
    assert!(oncall.tls.insecure_skip_verify);

    let pair = alertmanager(&config, "pair");
    assert_eq!(
        *pair,
        AlertmanagerConfig {
            urls: ["https://am-a.example.com:9093/hidden", "http://127.0.0.1:9093"].map(Secret::from).into(),
            resend: Duration::from_secs(30),
            authorization: Some(Authorization::Bearer(Secret::from("hunter2-from-a-file"))),
            headers: vec![("x-scope-orgid".to_owned(), Secret::from("ops"))],
            proxy: Some(Secret::from("http://127.0.0.1:3128")),
            tls: TlsOptions { pin_sha256: vec![[0xab; 32]], ..TlsOptions::default() },
            timeout: Duration::from_secs(3),
            common: ReceiverConfig { min_severity: Severity::Warning, ..ReceiverConfig::default() },
        }
    );
    let plain = alertmanager(&config, "am-plain");
    assert_eq!(plain.urls, [Secret::from("http://127.0.0.1:9093")]);
    assert_eq!((plain.resend, plain.timeout), (Duration::from_secs(60), Duration::from_secs(10)));
    assert_eq!(plain.common, ReceiverConfig::default());
}

#[test]
fn every_value_of_chats_arrives() {
    let config = load("good/chats.toml");
    let daily = || Some(DigestConfig { at: 9 * 60, zone: None, empty: false, top: 10 });
    let plain = |dialect, url: &str| ChatConfig {
        dialect,
        url: url.into(),
        token: None,
        room: None,
        thread: None,
        secret: None,
        keyword: None,
        authorization: None,
        headers: Vec::new(),
        proxy: None,
        tls: TlsOptions::default(),
        timeout: Duration::from_secs(20),
        common: ReceiverConfig { digest: daily(), ..ReceiverConfig::default() },
    };
    let token = || Some(Secret::from("123456789:AAabcdefghijklmnopqrstuvwxyz-_01234"));
    let telegram = |url, room: &str| ChatConfig {
        token: token(),
        room: Some(room.into()),
        ..plain(Dialect::Telegram, url)
    };
    let expected = [
        (
            "group",
            ChatConfig {
                thread: Some(42),
                proxy: Some("socks5h://me:hunter2@127.0.0.1:1080".into()),
                tls: TlsOptions { pin_sha256: vec![[0xab; 32]], ..TlsOptions::default() },
                timeout: Duration::from_secs(5),
                common: ReceiverConfig {
                    min_severity: Severity::Warning,
                    send_resolved: false,
                    group_by: Some(Vec::new()),
                    ..ReceiverConfig::default()
                },
                ..telegram("https://telegram.example.com/hidden", "-1001234567890")
            },
        ),
        ("me", telegram("https://api.telegram.org", "12345")),
        ("channel", telegram("https://api.telegram.org", "@alerts_of_home")),
        (
            "discord",
            ChatConfig {
                thread: Some(1_100_000_000_000_000_000),
                ..plain(Dialect::Discord, "https://discord.com/api/webhooks/1/hunter2")
            },
        ),
        ("slack", plain(Dialect::Slack, "https://hooks.slack.com/services/T0/B0/hunter2")),
        (
            "feishu",
            ChatConfig {
                secret: Some("hunter2-from-a-file".into()),
                keyword: Some("Alert".into()),
                ..plain(Dialect::Feishu, "https://open.larksuite.com/open-apis/bot/v2/hook/hunter2")
            },
        ),
        (
            "dingtalk",
            ChatConfig {
                secret: Some("SEChunter2".into()),
                ..plain(Dialect::Dingtalk, "https://oapi.dingtalk.com/robot/send?access_token=hunter2")
            },
        ),
        ("wecom", plain(Dialect::Wecom, "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=hunter2")),
        (
            "ntfy",
            ChatConfig {
                room: Some("alerts-home".into()),
                authorization: Some(Authorization::Bearer("tk_hunter2".into())),
                ..plain(Dialect::Ntfy, "https://ntfy.sh")
            },
        ),
        (
            "own",
            ChatConfig {
                room: Some("alerts-home".into()),
                authorization: Some(Authorization::Basic {
                    username: "alerts".to_owned(),
                    password: "hunter2".into(),
                }),
                ..plain(Dialect::Ntfy, "http://127.0.0.1:8080/ntfy")
            },
        ),
        (
            "gotify",
            ChatConfig {
                token: Some("gtfya.hunter2".into()),
                headers: vec![("x-team".to_owned(), "ops".into())],
                ..plain(Dialect::Gotify, "https://gotify.example.com/prefix")
            },
        ),
        ("bark", ChatConfig { token: Some("hunter2".into()), ..plain(Dialect::Bark, "https://api.day.app") }),
    ];
    assert_eq!(config.receivers.len(), expected.len() + 2);
    for (name, expected) in expected {
        assert_eq!(*chat(&config, name), expected, "{name}");
        assert_eq!(receiver(&config, name).kind.word(), expected.dialect.word());
        assert!(!format!("{:?}", chat(&config, name)).contains("hunter2"), "{name}");
    }
    let url = |url: &str| PagerdutyConfig {
        routing_key: "hunter20hunter20hunter20hunter20".into(),
        url: url.into(),
        proxy: None,
        tls: TlsOptions::default(),
        timeout: Duration::from_secs(20),
        common: ReceiverConfig::default(),
    };
    assert_eq!(*pagerduty(&config, "pagerduty"), url("https://events.pagerduty.com/v2/enqueue"));
    let europe = PagerdutyConfig {
        routing_key: "R0hunter20hunter20hunter20hunter".into(),
        proxy: Some("http://127.0.0.1:3128".into()),
        timeout: Duration::from_secs(7),
        ..url("https://events.eu.pagerduty.com/v2/enqueue")
    };
    assert_eq!(*pagerduty(&config, "eu"), europe);
    for dialect in Dialect::ALL {
        let of = |receiver: &&ReceiverTable| matches!(&receiver.kind, ReceiverKind::Chat(chat) if chat.dialect == dialect);
        assert!(config.receivers.iter().any(|receiver| of(&receiver)), "{dialect:?}");
    }
}

#[test]
fn what_a_chat_sends_in_the_clear_is_warned_about() {
    let text = "[slack.team]\nurl = \"http://chat.example.com/hook\"\n[ntfy.near]\nurl = \"http://127.0.0.1\"\n\
                topic = \"a\"\n[gotify.far]\nurl = \"http://chat.example.com\"\ntoken = \"x\"\n";
    let config = Config::parse(text, Path::new("exporter.toml"), &no_env).unwrap();
    let clear: Vec<_> = config.warnings().into_iter().filter(|text| text.contains("unencrypted")).collect();
    assert_eq!(
        clear,
        [
            "gotify.far: what it sends crosses the network unencrypted, as the URL starts with http://",
            "slack.team: what it sends crosses the network unencrypted, as the URL starts with http://",
        ]
    );
}

/// Where a receiver is of another kind than its table says.
#[test]
fn receivers_that_cannot_work_are_warned_of() {
    let discord = "[webhook.ops]\nurl = 'https://discord.com/api/webhooks/1/hunter2'\n";
    let mail = "[email.ops]\nfrom = 'a@example.com'\nto = 'b@example.com'\n";
    let of_discord = "webhook.ops: discord.com does not understand this body; write [discord.ops] with this URL, or a \
                      template of your own";
    let of_465 =
        "email.ops: port 465 expects TLS from the start, so this waits in vain; write tls = \"implicit\"";
    for (text, warning) in [
        (discord.to_owned(), Some(of_discord)),
        (format!("{discord}template = '{{}}'"), None),
        (format!("{mail}smarthost = 'smtp.example.com:465'"), Some(of_465)),
        (
            format!("{mail}smarthost = 'smtp.example.com:465'\ntls = 'none'\nallow_cleartext = true"),
            Some(of_465),
        ),
        (format!("{mail}smarthost = 'smtp.example.com:465'\ntls = 'implicit'"), None),
        (format!("{mail}smarthost = '127.0.0.1:465'\ntls = 'none'"), None),
        (format!("{mail}smarthost = 'smtp.example.com:587'"), None),
    ] {
        let warnings = Config::parse(&text, Path::new("exporter.toml"), &no_env).unwrap().warnings();
        let found: Vec<_> =
            warnings.iter().filter(|text| text.contains("ops: ")).map(String::as_str).collect();
        assert_eq!(found, Vec::from_iter(warning), "{text}");
        assert!(!warnings.concat().contains("hunter2"), "{warnings:?}");
    }
}

#[test]
fn every_value_of_statements_arrives() {
    let config = load("good/full.toml");
    let statement = |name: &str| StatementConfig {
        name: name.to_owned(),
        receiver: "local".to_owned(),
        to: Vec::new(),
        target: "alpha".to_owned(),
        admin: None,
        day: 1,
        at: 9 * 60,
    };
    let reza = StatementConfig {
        receiver: "ops".to_owned(),
        to: vec!["Reza <reza@example.com>".to_owned(), "sara@example.com".to_owned()],
        target: "zulu".to_owned(),
        admin: Some("reza".to_owned()),
        day: 28,
        at: 7 * 60 + 5,
        ..statement("reza")
    };
    assert_eq!(config.statements, [statement("all"), reza]);
}

#[test]
fn every_value_of_the_heartbeat_arrives() {
    let heartbeat = load("good/full.toml").heartbeat;
    let expected = HeartbeatConfig {
        url: Secret::from("https://me:hunter2@hc.example.com/ping/hunter2?up=1"),
        method: HeartbeatMethod::Post,
        success: Some("OK".to_owned()),
        interval: Duration::from_secs(90),
        timeout: Duration::from_secs(5),
        delivery_patience: Duration::from_secs(7200),
        proxy: Some(Secret::from("http://127.0.0.1:3128")),
        tls: TlsOptions { pin_sha256: vec![[0xab; 32]], ..TlsOptions::default() },
    };
    assert_eq!(heartbeat, Some(expected));

    let env =
        |name: &str| (name == "PROXYMETER_HEARTBEAT_URL").then(|| "https://hc.example.com/env".to_owned());
    let config = Config::parse("", Path::new("exporter.toml"), &env).unwrap();
    assert_eq!(config.heartbeat.unwrap().url, Secret::from("https://hc.example.com/env"));
    assert_eq!(Config::parse("", Path::new("exporter.toml"), &no_env).unwrap().heartbeat, None);
}

#[test]
fn every_value_of_alerting_arrives() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let AlertingConfig {
        enabled,
        group_by,
        group_wait,
        group_interval,
        repeat_interval,
        adopt,
        fallback,
        fallback_after,
        zone,
        language,
        rules,
        mutes,
        elsewhere,
    } = load("good/full.toml").alerting;
    assert!(!enabled && !adopt && elsewhere.is_empty());
    assert_eq!(group_by, ["rule"]);
    assert_eq!((group_wait, group_interval), (Duration::from_secs(60), Duration::from_secs(600)));
    assert_eq!((repeat_interval, fallback.as_deref()), (Some(Duration::ZERO), Some("ops")));
    assert_eq!(fallback_after, Duration::from_secs(7200));
    assert_eq!((zone.iana_name(), language), (Some("Asia/Tehran"), Language::Fa));

    assert_eq!(rules.len(), 4);
    assert_eq!(
        rules["user_expiry"],
        RuleConfig {
            rule: Some("user_expiry".to_owned()),
            enabled: Some(false),
            targets: vec!["alpha".to_owned(), "z*".to_owned()],
            subjects: vec!["vip-?".to_owned()],
            exclude: vec!["test-*".to_owned()],
            steps: Some([7 * DAY, 3 * DAY, Duration::ZERO].map(StepConfig::Time).to_vec()),
            for_: Some(Duration::from_secs(60)),
            severity: Some(Severity::Critical),
            repeat_interval: Some(DAY),
            receivers: Some(vec!["oncall".to_owned(), "ops".to_owned()]),
            expired_for: Some(2 * DAY),
            renewing: true,
            budget: None,
            period: None,
            limit: None,
            within: None,
        }
    );
    assert_eq!(
        rules["disk-filling"],
        RuleConfig {
            rule: Some("host_disk".to_owned()),
            steps: Some([0.7, 0.9].map(StepConfig::Ratio).to_vec()),
            receivers: Some(Vec::new()),
            ..RuleConfig::default()
        }
    );
    let budget = |budget, period| (Some(budget), Some(period));
    let given = |name: &str| (rules[name].budget, rules[name].period);
    assert_eq!(given("tokens"), budget(5_000_000, BudgetPeriod::Day));
    assert_eq!(given("llm_cost_budget"), budget(12_500_000_000, BudgetPeriod::Month));

    assert_eq!(mutes.len(), 3);
    let matchers = |matchers: &[(&str, &str)]| {
        matchers.iter().map(|(label, glob)| ((*label).to_owned(), (*glob).to_owned())).collect()
    };
    assert_eq!(
        mutes["night"],
        MuteConfig {
            days: vec![1, 3, 6, 7],
            hours: Some((22 * 60 + 30, 24 * 60)),
            zone: "Asia/Shanghai".to_owned(),
            matchers: matchers(&[("target", "alpha"), ("severity", "*")]),
            below: Some(Severity::Critical),
        }
    );
    assert_eq!((mutes["afternoon"].hours, &*mutes["afternoon"].zone), (Some((0, 24 * 60)), "UTC"));
    assert_eq!(
        mutes["alpha"],
        MuteConfig {
            days: Vec::new(),
            hours: None,
            zone: "UTC".to_owned(),
            matchers: matchers(&[("target", "alpha")]),
            below: None,
        }
    );
}

/// A longer or shorter wait until a panel counts as down moves the least `stale_after` along.
#[test]
fn stale_after_follows_target_down() {
    let outcome = |stale_after: &str, down_for: &str| {
        let text = format!("[poll]\n{stale_after}\n[alert.target_down]\n{down_for}");
        Config::parse(&text, Path::new("exporter.toml"), &no_env).map(|_| ()).map_err(|e| e.to_string())
    };
    for (stale_after, down_for, error) in [
        ("", "", None),
        ("stale_after = '7m'", "", None),
        ("stale_after = '6m'", "", Some("exporter.toml:2:15: poll.stale_after: 6m is too short")),
        ("stale_after = '3m'", "for = '1m'", None),
        ("stale_after = '2m 59s'", "for = '1m'", Some("poll.stale_after: 2m 59s is too short")),
        ("", "for = '8m'", None),
        ("", "for = '9m'", Some("exporter.toml:4:7: alert.target_down.for: 9m is too long")),
        ("stale_after = '11m'", "for = '9m'", None),
    ] {
        let seen = outcome(stale_after, down_for);
        match error {
            None => assert_eq!(seen, Ok(()), "{stale_after} {down_for}"),
            Some(error) => {
                let seen = seen.unwrap_err();
                assert!(seen.contains(error) && seen.lines().count() == 1, "{seen}");
            }
        }
    }
}

#[test]
fn secrets_come_from_files_and_the_environment() {
    let config = load("good/minimal.toml");
    assert_eq!(marzban(&config.targets[0]).login, password("exporter", "hunter2-from-a-file"));

    let config = load("good/from-the-environment.toml");
    assert_eq!(marzban(&config.targets[0]).login, password("exporter", "hunter2-from-env"));
    assert_eq!(marzban(&config.targets[1]).login, Login::ApiKey(Secret::from("pg_key_from_env")));

    let login = email(&config, "in-env-mail").login.as_ref().unwrap();
    assert_eq!(login.password, Secret::from("hunter2-smtp"));
    let hook = webhook(&config, "in-env");
    assert_eq!(hook.url, Secret::from("https://hooks.example.com/in-env"));
    assert_eq!(hook.authorization, Some(Authorization::Bearer(Secret::from("hunter2-bearer"))));
    assert_eq!(hook.headers, [("x-team".to_owned(), Secret::from("hunter2-team"))]);
    assert_eq!((&hook.format, hook.max_alerts), (&WebhookFormat::Alertmanager, 0));

    let token = |name: &str| (name == "PROXYMETER_WEB_BEARER_TOKEN").then(|| "hunter2-web".to_owned());
    let config = Config::parse("", Path::new("exporter.toml"), &token).unwrap();
    let AccessConfig::Own(own) = config.web.access else { panic!("{:?}", config.web.access) };
    assert_eq!(own.bearer_token, Some(Secret::from("hunter2-web")));
    let beside = "[web]\nconfig_file = 'tests/fixtures/web-config/good/tls.yml'";
    let said = Config::parse(beside, Path::new("exporter.toml"), &token).unwrap_err().to_string();
    assert!(said.contains("PROXYMETER_WEB_BEARER_TOKEN is set as well"), "{said}");

    let hash_key = |name: &str| (name == "PROXYMETER_USERS_HASH_KEY").then(|| "0123456789abcdef".to_owned());
    let config = Config::parse("", Path::new("exporter.toml"), &hash_key).unwrap();
    assert_eq!(config.users.hash_key, Some(Secret::from("0123456789abcdef")));
    assert_eq!(config.storage.path, Path::new("proxymeter-data"));
}

/// A health check must not fail for what the running daemon has read long ago.
#[test]
fn the_address_is_found_whatever_else_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let listen = |text: &str| {
        fs::write(&file, text).unwrap();
        Config::load_listen(&Source::from(&*file)).map_err(|errors| errors.to_string())
    };
    let wrong =
        "tls_cert_file = 'gone.pem'\nbasic_auth = 1\n[marzban.home]\npassword_file = 'gone'\n[nonsense]";
    for (text, address) in
        [("[web]\nlisten = '127.0.0.1:9999'\n", "127.0.0.1:9999"), ("[web]\n", "127.0.0.1:10057")]
    {
        assert_eq!(listen(&format!("{text}{wrong}")), Ok(vec![address.parse().unwrap()]));
    }
    let said = listen(&format!("[web]\nlisten = 1\n{wrong}")).unwrap_err();
    assert!(said.contains("exporter.toml:2:10: web.listen: ") && said.lines().count() == 1, "{said}");
    let said = listen("web = 1").unwrap_err();
    assert!(said.contains("web: a number where a table was expected"), "{said}");
    listen("[web").unwrap_err();
}

#[test]
fn a_newer_list_of_prices_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("prices.json");
    // Longer than any other file, with a change at its end.
    let write = |last: &str| {
        let room = " ".repeat(3_500_000);
        fs::write(&list, format!("{{\"gpt-5\": {{\"input_cost_per_token\": 1e-6}},{room}{last}}}")).unwrap();
    };
    write("\"gpt-6\": {\"input_cost_per_token\": 1e-6}");
    let text = "[cost]\nprices_file = 'prices.json'";
    let config = Config::parse(text, &folder.path().join("exporter.toml"), &no_env).unwrap();
    assert!(!config.files.have_changed());
    assert_eq!(config.again(&no_env).unwrap().cost, config.cost);

    write("\"gpt-6\": {\"input_cost_per_token\": 2e-6}");
    assert!(config.files.have_changed());
    let again = config.again(&no_env).unwrap();
    assert_ne!(again.cost.prices, config.cost.prices);
    assert!(!again.files.have_changed());

    write("\"gpt-6\": {\"input_cost_per_tok");
    let errors = config.again(&no_env).unwrap_err().to_string();
    assert!(
        errors.contains("cost.prices_file") && errors.contains("not a JSON object of models: line 1"),
        "{errors}"
    );
}

#[test]
fn entries_of_a_price_list_that_cannot_be_read_are_a_warning() {
    let text = "[cost]\nprices_file = 'tests/fixtures/config/prices/odd.json'";
    let warnings = Config::parse(text, Path::new("exporter.toml"), &no_env).unwrap().warnings();
    let said =
        "cost.prices_file: tests/fixtures/config/prices/odd.json: 2 entries cannot be read, \"gpt-6\" is one";
    assert!(warnings.iter().any(|warning| warning.starts_with(said)), "{warnings:?}");
}

#[test]
fn unreadable_files_are_told() {
    let message = |file: &str| Config::load(&Source::from(Path::new(file)), &env).unwrap_err().to_string();
    assert_eq!(
        message("no/such/file.toml"),
        "no/such/file.toml: cannot be read: No such file or directory (os error 2)"
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latin1.toml");
    fs::write(&file, b"# caf\xe9\n[web]\n").unwrap();
    let message = message(file.to_str().unwrap());
    assert!(message.ends_with("latin1.toml:1:6: a byte that is not UTF-8; save it as UTF-8"), "{message}");
}

#[test]
fn warnings_name_what_is_probably_not_meant() {
    let warnings = |text: &str| {
        let text = text.replace("LOGIN", "username = \"exporter\"\npassword = \"hunter2\"");
        doubts(&Config::parse(&text, Path::new("exporter.toml"), &no_env).unwrap())
    };
    let fine = "[marzban.home]\nurl = \"https://panel.example.com\"\nLOGIN\n";
    let hook = format!("{fine}[webhook.oncall]\n");
    let public = format!("{fine}[web]\nlisten = ':10057'\n");
    let llm = format!("{hook}url = 'https://hooks.example.com'\nbearer_token = 'k'\n");
    let near = "[marzban.home]\nurl = 'https://127.0.0.1:8443'\nLOGIN\n";
    let mail = format!("{fine}[email.ops]\nfrom = 'a@example.com'\nto = 'b@example.com'\n");
    let budget = "budget = 5\nperiod = 'day'\n";
    let pki = "tests/fixtures/web-config/pki";
    let tls = format!("tls_cert_file = '{pki}/server.pem'\ntls_key_file = '{pki}/server-key.pem'\n");
    let web_file = |name: &str| format!("{public}config_file = 'tests/fixtures/web-config/good/{name}.yml'");
    for (text, expected) in [
        ("", "no target"),
        (&format!("{public}{tls}"), "can be reached from other machines without a password"),
        (&web_file("tls"), "can be reached from other machines without a password"),
        (&web_file("client-auth-any"), "can be reached from other machines without a password"),
        (&format!("{public}bearer_token = 'x'"), "cross the network unencrypted"),
        (&web_file("one-user"), "cross the network unencrypted"),
        (&format!("{fine}[web]\nlisten = ':10057'"), "user names are exported"),
        (&format!("{fine}tls = {{ insecure_skip_verify = true }}"), "marzban.home: insecure_skip_verify"),
        (
            &format!("{fine}tls = {{ ca_file = '{pki}/ca.pem', pin_sha256 = '{}' }}", "0a".repeat(32)),
            "marzban.home.tls.ca_file: has no effect beside pin_sha256, which trusts that certificate only; leave it out",
        ),
        (
            &format!("{near}proxy = 'socks5h://proxy.example.com:1080'\ntls.insecure_skip_verify = true"),
            "marzban.home: insecure_skip_verify lets anyone between here and the panel read the password",
        ),
        (
            &format!("{mail}smarthost = 'smtp.example.com'\ninsecure_skip_verify = true"),
            "email.ops: insecure_skip_verify lets anyone between here and the mail server read all mails; write",
        ),
        (
            &format!(
                "{mail}smarthost = 'smtp.example.com'\ninsecure_skip_verify = true\nusername = 'a'\npassword = 'k'"
            ),
            "the mail server read all mails and the password; write",
        ),
        (
            &format!(
                "{mail}smarthost = 'smtp.example.com'\nca_file = '{pki}/ca.pem'\npin_sha256 = ['{}']",
                "0a".repeat(32)
            ),
            "email.ops.ca_file: has no effect beside pin_sha256",
        ),
        ("[marzban.home]\nurl = 'http://panel.example.com'\nLOGIN", "marzban.home: the password crosses"),
        (
            "[marzban.home]\nurl = 'http://panel.example.com'\napi_key = 'k'",
            "marzban.home: the API key crosses",
        ),
        (
            &format!("{hook}url = 'http://hooks.example.com'\nbearer_token = 'k'"),
            "oncall: its bearer token crosses",
        ),
        (
            &format!("{hook}url = 'http://hooks.example.com'\nusername = 'x'\npassword = 'k'"),
            "webhook.oncall: its password crosses",
        ),
        (
            &format!("{hook}url = 'http://hooks.example.com'\nheaders = {{ X-Key = 'k' }}"),
            "webhook.oncall: its headers cross",
        ),
        (&format!("{hook}url = 'http://hooks.example.com'\nsecret = 'k'"), "oncall: what it signs crosses"),
        (
            &format!("{hook}url = 'https://hooks.example.com'\ntls = {{ insecure_skip_verify = true }}"),
            "webhook.oncall: insecure_skip_verify",
        ),
        (
            &format!(
                "{fine}[alertmanager.am]\nurls = ['http://127.0.0.1:9093', 'http://am.example.com']\nbearer_token = 'k'"
            ),
            "alertmanager.am: its bearer token crosses",
        ),
        (
            &format!(
                "{fine}[alertmanager.am]\nurls = 'https://am.example.com'\ntls.insecure_skip_verify = true"
            ),
            "alertmanager.am: insecure_skip_verify",
        ),
        (
            &format!("{llm}[alert.llm_cost_budget]\n{budget}"),
            "alert.llm_cost_budget: never fires, because no model has a price",
        ),
        (
            &format!("{llm}[alert.mine]\nrule = 'llm_cost_budget'\n{budget}"),
            "alert.mine: never fires, because no model has a price",
        ),
        (&format!("{fine}[heartbeat]\nurl = 'http://hc.example.com/x'"), "heartbeat: the URL crosses"),
        (
            &format!("{fine}[heartbeat]\nurl = 'https://hc.example.com/x'\ntls.insecure_skip_verify = true"),
            "heartbeat: insecure_skip_verify",
        ),
    ] {
        let warnings = warnings(text);
        assert!(matches!(&warnings[..], [only] if only.contains(expected)), "{text}: {warnings:?}");
    }
    for quiet in [
        fine,
        &format!("{llm}[alert.llm_cost_budget]\nenabled = false\n{budget}"),
        &format!("{llm}[alert.llm_token_budget]\n{budget}"),
        &format!(
            "{llm}[alert.llm_cost_budget]\n{budget}[cost]\noverride.'gpt-5*' = {{ input = 1, output = 2 }}"
        ),
        &format!(
            "{llm}[alert.llm_cost_budget]\n{budget}[cost]\n\
             prices_file = 'tests/fixtures/litellm/model_prices.json'"
        ),
        &format!("{public}{tls}bearer_token = 'x'"),
        &format!("{public}{tls}client_ca_file = '{pki}/ca.pem'"),
        &web_file("tls-and-users"),
        &web_file("client-auth-verify"),
        &format!("{fine}[web]\nbearer_token = 'x'"),
        &format!("{fine}[web]\nlisten = ':10057'\n[users]\nlabels = 'hash'"),
        "[marzban.home]\nurl = 'http://localhost:8000'\nLOGIN",
        // There is no network on the way.
        &format!("{near}tls.insecure_skip_verify = true"),
        &format!("{near}proxy = 'http://localhost:3128'\ntls.insecure_skip_verify = true"),
        &format!("{mail}smarthost = 'localhost'\ninsecure_skip_verify = true"),
        &format!("{hook}url = 'https://localhost:9000/x'\ntls.insecure_skip_verify = true"),
        &format!("{fine}[heartbeat]\nurl = 'https://[::1]:8000/ping'\ntls.insecure_skip_verify = true"),
        &format!("{fine}[heartbeat]\nurl = 'http://127.0.0.1:8000/ping'"),
        &format!("{hook}url = 'http://hooks.example.com'"),
        &format!("{fine}[alertmanager.am]\nurls = 'http://am.example.com'"),
        &format!("{hook}url = 'http://127.0.0.1:9000/x'\nsecret = 'k'\nbearer_token = 'k'"),
        &format!(
            "{hook}url = 'https://hooks.example.com'\nbearer_token = 'k'\n[alert.user_status]\nenabled = true"
        ),
        &format!("{fine}[alerting]\nenabled = false\n[alert.user_status]\nenabled = true"),
    ] {
        assert_eq!(warnings(quiet), [""; 0], "{quiet}");
    }
}

#[test]
fn a_secret_file_open_to_everyone_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("password");
    fs::write(&secret, "hunter2\n").unwrap();
    let text = "[marzban.home]\nurl = 'https://panel.example.com'\nusername = 'exporter'\npassword_file = 'password'";
    for (mode, count) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::parse(text, &folder.path().join("exporter.toml"), &no_env).unwrap();
        let warnings = doubts(&config);
        assert_eq!(warnings.len(), count, "{warnings:?}");
        assert!(
            warnings.iter().all(|warning| warning.contains(&secret.display().to_string())),
            "{warnings:?}"
        );
    }
}

#[test]
fn secrets_in_a_configuration_open_to_everyone_are_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let fine = "[marzban.home]\nurl = 'https://panel.example.com'\nusername = 'exporter'\n";
    let heartbeat = "[heartbeat]\nurl = 'https://hc.example.com/0123'\n";
    let hook = "[webhook.ops]\nurl_file = 'url'\n";
    fs::write(folder.path().join("url"), "https://hooks.example.com/0123").unwrap();
    fs::set_permissions(folder.path().join("url"), fs::Permissions::from_mode(0o600)).unwrap();
    let env = |name: &str| (name == "PROXYMETER_MARZBAN_HOME_PASSWORD").then(|| "hunter2".to_owned());
    let inline = format!("{fine}password = 'hunter2'\n{heartbeat}");
    let [address, login] = ["socks5://127.0.0.1:1080", "http://a:hunter2@127.0.0.1"]
        .map(|proxy| format!("{fine}{hook}proxy = '{proxy}'"));
    let cases: [(&str, u32, Env<'_>, &str); 4] = [
        (&inline, 0o640, &no_env, ""),
        (&inline, 0o644, &no_env, "heartbeat.url, marzban.home.password"),
        (&address, 0o644, &env, ""),
        (&login, 0o604, &env, "webhook.ops.proxy"),
    ];
    for (text, mode, env, keys) in cases {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::load(&Source::from(&*file), env).unwrap();
        let expected = format!(
            "{}: any user of this machine may read the secrets in this file, {keys};",
            file.display()
        );
        for config in [config.again(env).unwrap(), config] {
            let warnings = doubts(&config);
            assert_eq!(warnings.len(), usize::from(!keys.is_empty()), "{warnings:?}");
            assert!(warnings.iter().all(|warning| warning.starts_with(&expected)), "{warnings:?}");
            assert!(!warnings.concat().contains("hunter2"), "{warnings:?}");
        }
    }
}

/// A container can run without a file.
#[test]
fn the_environment_can_hold_the_whole_configuration() {
    let source = |text: &str| Source::environment(text.into()).unwrap();
    assert_eq!((source(""), source(" \n")), (None, None));
    let text = "[web]\nlisten = '127.0.0.1:9999'\n[storage]\npath = 'kept'\n[marzban.home]\n\
                url = 'https://panel.example.com'\nusername = 'exporter'\n[email.ops]\nsmarthost = 'mail'\n\
                from = 'a@example.com'\nto = 'b@example.com'\n";
    let whole = source(text).unwrap();
    assert!(!format!("{whole:?}").contains("panel"), "{whole:?}");
    let env = |name: &str| (name == "PROXYMETER_MARZBAN_HOME_PASSWORD").then(|| "hunter2".to_owned());
    let config = Config::load(&whole, &env).unwrap();
    // Relative paths start in the working directory.
    assert_eq!(config.storage.path, Path::new("kept"));
    assert_eq!(doubts(&config), Vec::<String>::new());
    assert_eq!(config.again(&env).unwrap(), config);
    assert_eq!(Config::load_listen(&whole).unwrap(), ["127.0.0.1:9999".parse().unwrap()]);
    assert_eq!(Config::load_storage(&whole).unwrap().1, ["ops"]);
    assert!(Config::load_alerting(&whole).unwrap().enabled);

    // Secrets in it are as safe as in a variable of their own.
    let inline = source(&format!("{text}username = 'alerts'\npassword = 'hunter2'\n")).unwrap();
    assert_eq!(doubts(&Config::load(&inline, &env).unwrap()), Vec::<String>::new());

    for (text, said) in [
        ("[web]\nlisten = 1\n", "PROXYMETER_CONFIG:2:10: web.listen: "),
        ("exporter.toml", "PROXYMETER_CONFIG:1:14: not TOML: "),
    ] {
        let errors = Config::load(&source(text).unwrap(), &no_env).unwrap_err().to_string();
        assert!(errors.starts_with(said), "{errors}");
    }
    let latin1 = std::os::unix::ffi::OsStringExt::from_vec(b"# caf\xe9\n".to_vec());
    let said = Source::environment(latin1).unwrap_err().to_string();
    assert_eq!(said, "PROXYMETER_CONFIG:1:6: a byte that is not UTF-8; save it as UTF-8");
}

/// Values of every kind in every key that may hold a secret: none of them may come out again, neither in an error
/// nor by `Debug`.
#[test]
fn secrets_are_never_shown() {
    const CANARY: &str = "4242424242424242424242";
    // A file with the canary, so that errors about a file's content are tried as well.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    fs::write(folder.path().join("good"), CANARY).unwrap();
    fs::write(folder.path().join("two-lines"), format!("{CANARY}\n{CANARY}\n")).unwrap();
    let home = "[marzban.home]\nurl = 'https://panel.example.com'\nusername = 'exporter'\n";
    let mail = "[email.ops]\nsmarthost = 'smtp.example.com'\nfrom = 'a@example.com'\nto = 'b@example.com'\nusername = 'x'\n";
    let hook = "[webhook.oncall]\nurl = 'http://hooks.example.com/'\n";
    let replica = "[alertmanager.am]\nurls = 'http://am.example.com/'\n";
    let room = "[telegram.home]\ntoken = '123456789:AAabcdefghijklmnopqrstuvwxyz-_01234'\n";
    let texts = [
        "[web]\nbearer_token = VALUE".to_owned(),
        "[web]\nbearer_token_file = VALUE".to_owned(),
        "[web]\nbasic_auth = VALUE".to_owned(),
        "[web.basic_auth]\nprometheus = VALUE".to_owned(),
        "[web.basic_auth]\nprometheus = { hash = VALUE }".to_owned(),
        "[cost]\nprices_file = VALUE".to_owned(),
        "[users]\nhash_key = VALUE".to_owned(),
        "[users]\nhash_key_file = VALUE".to_owned(),
        format!("{home}password = VALUE"),
        format!("{home}password_file = VALUE"),
        format!("{home}api_key = VALUE"),
        format!("{home}passwrod = VALUE"),
        format!("{home}token = VALUE"),
        "[marzban.key]\nurl = 'https://panel.example.com'\napi_key = VALUE".to_owned(),
        "[marzban.key]\nurl = 'https://panel.example.com'\napi_key_file = VALUE".to_owned(),
        "[marzban]\npassword = VALUE".to_owned(),
        "password = VALUE".to_owned(),
        "marzban = VALUE".to_owned(),
        "[marzban.home]\nurl = 'https://u:CANARY@panel.example.com'\n".to_owned(),
        "[marzban.home]\nurl = 'https://panel.example.com:CANARY/'\n".to_owned(),
        "[marzban.home]\nurl = 'https://panel.example.com/?CANARY'\n".to_owned(),
        "[marzban.home]\nurl = 'CANARY'\n".to_owned(),
        "[marzban.home]\nurl = 'https://panel.example.com/CANARY/'\nusername = 'x'\npassword = 'y'"
            .to_owned(),
        "[cliproxy.llm]\nurl = 'http://127.0.0.1:8317'\nmanagement_key = VALUE\nusage = 'no'".to_owned(),
        "[cliproxy.llm]\nurl = 'http://127.0.0.1:8317'\nmanagement_key_file = VALUE".to_owned(),
        "[cliproxy.llm]\nmanagement_key = 'k'\nkey_aliases = { 'CANARY' = 5 }".to_owned(),
        "[cliproxy.llm]\nmanagement_key = 'k'\nkey_aliases = { 'CANARY' = '_x', 'CANARY2' = '' }".to_owned(),
        "[cliproxy.llm]\nmanagement_key = 'k'\nkey_aliases = VALUE".to_owned(),
        "[cliproxy.llm.key_aliases]\nCANARY = 'a'\nCANARY = 'b'".to_owned(),
        format!("{mail}password = VALUE"),
        format!("{mail}password_file = VALUE"),
        format!("{mail}passwrod = VALUE"),
        "[email.ops]\nsmarthost = 'alerts:CANARY@smtp.example.com'".to_owned(),
        "[email]\npassword = VALUE".to_owned(),
        "[webhook.oncall]\nurl = VALUE".to_owned(),
        "[webhook.oncall]\nurl_file = VALUE".to_owned(),
        "[webhook.oncall]\nurl = 'https://hooks.example.com/CANARY?key=CANARY'".to_owned(),
        "[webhook.oncall]\nurl = 'https://me:CANARY@hooks.example.com/'".to_owned(),
        "[webhook.oncall]\nurl = 'http://hooks.example.com:CANARY/'".to_owned(),
        "[webhook.oncall]\nurl = 'ftp://CANARY.example.com/'".to_owned(),
        format!("{hook}secret = VALUE"),
        format!("{hook}secret_file = VALUE"),
        format!("{hook}secret = 'whsec_CANARY!'"),
        format!("{hook}secret = 'k'\nold_secret = VALUE"),
        format!("{hook}secret = 'k'\nold_secret_file = VALUE"),
        format!("{hook}github_secret = VALUE"),
        format!("{hook}github_secret_file = VALUE"),
        format!("{hook}bearer_token = VALUE"),
        format!("{hook}bearer_token_file = VALUE"),
        format!("{hook}username = 'x'\npassword = VALUE"),
        format!("{hook}username = 'x'\npassword_file = VALUE"),
        format!("{hook}proxy = VALUE"),
        format!("{hook}proxy_file = VALUE"),
        format!("{hook}proxy = 'socks5h://me:CANARY@127.0.0.1:1080'"),
        format!("{hook}headers = VALUE"),
        format!("{hook}headers.X-Key = VALUE"),
        format!("{hook}headers.X-Key.file = VALUE"),
        format!("{hook}headers.X-Key.env = VALUE"),
        format!("{hook}template = VALUE"),
        format!("{hook}template_file = VALUE"),
        "[alertmanager.am]\nurls = VALUE".to_owned(),
        "[alertmanager.am]\nurls = ['http://am.example.com/', VALUE]".to_owned(),
        "[alertmanager.am]\nurls = 'https://am.example.com/CANARY'".to_owned(),
        "[alertmanager.am]\nurls = 'https://am.example.com/CANARY/api/v2/alerts'".to_owned(),
        "[alertmanager.am]\nurls = 'https://am.example.com/?CANARY'".to_owned(),
        "[alertmanager.am]\nurls = 'https://me:CANARY@am.example.com/'".to_owned(),
        "[alertmanager.am]\nurls = 'ftp://CANARY.example.com/'".to_owned(),
        format!("{replica}bearer_token = VALUE"),
        format!("{replica}bearer_token_file = VALUE"),
        format!("{replica}username = 'x'\npassword = VALUE"),
        format!("{replica}proxy = VALUE"),
        format!("{replica}headers.X-Key = VALUE"),
        format!("{room}chat_id = VALUE"),
        format!("{room}chat_id_file = VALUE"),
        "[webhook.oncall]\nurl = 'https://discord.com/api/webhooks/1/CANARY'".to_owned(),
        "[webhook.oncall]\nurl = 'https://api.telegram.org/botCANARY/sendMessage'".to_owned(),
        "[heartbeat]\nurl = VALUE".to_owned(),
        "[heartbeat]\nurl_file = VALUE".to_owned(),
        "[heartbeat]\nurl = 'https://me:CANARY@hc.example.com/CANARY?key=CANARY'".to_owned(),
        "[heartbeat]\nurl = 'http://hc.example.com:CANARY/'".to_owned(),
        "[heartbeat]\nurl = 'ftp://CANARY.example.com/'".to_owned(),
        "[heartbeat]\nurl = 'https://hc.example.com/#CANARY'".to_owned(),
        "[heartbeat]\nurl = 'https://hc.example.com/'\nproxy = VALUE".to_owned(),
        "[heartbeat]\nurl = 'https://hc.example.com/'\nproxy_file = VALUE".to_owned(),
    ];
    let values = [
        "'CANARY'",
        "CANARY",
        "-CANARY",
        "4242424242424242",
        "CANARY.5",
        "0xCANARY",
        "['CANARY']",
        "{ a = 'CANARY' }",
        "'CANARY\n",
        "\"CANARY\\q\"",
        "'''\nCANARY\nCANARY'''",
        "'CANARY' CANARY",
        "pg_CANARY",
        "'good'",
        "'two-lines'",
    ];
    let mut shown = Vec::new();
    for text in &texts {
        for value in values {
            let text = text.replace("VALUE", value).replace("CANARY", CANARY);
            for in_env in
                [None, Some(String::new()), Some(CANARY.to_owned()), Some(format!("{CANARY}\n{CANARY}"))]
            {
                let env = |_: &str| in_env.clone();
                let said = match Config::parse(&text, &file, &env) {
                    Ok(config) => format!("{config:?}\n{}", config.warnings().join("\n")),
                    Err(errors) => format!("{errors}\n{errors:?}"),
                };
                // A file's name is told, or nobody could find the mistake.
                let name_of_file = text.contains(&format!("file = '{CANARY}"));
                if said.contains("42424242") && !name_of_file {
                    shown.push(format!("{text}\n=> {said}"));
                }
            }
        }
    }
    assert!(shown.is_empty(), "{}", shown.join("\n\n"));
}

/// Whatever the targets, each is watched by one shard, and a rule may name those of the others.
#[test]
fn shards_divide_the_targets_and_check_them_all() {
    let mut text =
        "[poll]\nshard = '2/4'\n[alert.user_expiry]\ntargets = ['panel-0', 'panel-9']\n".to_owned();
    let names: Vec<String> = (0..10).map(|number| format!("panel-{number}")).collect();
    for name in &names {
        text += &format!("[marzban.{name}]\nurl = 'http://localhost:8000'\nusername = 'a'\npassword = 'b'\n");
    }
    let config = Config::parse(&text, Path::new("exporter.toml"), &no_env).unwrap();
    assert_eq!(config.shard, "2/4".parse().unwrap());
    let names_of = |shard: &str| -> Vec<String> {
        let config = config.clone().of_shard(shard.parse().unwrap());
        assert_eq!(config.targets_of_all_shards(), names.len());
        config.targets.into_iter().map(|target| target.name).collect()
    };
    let own: Vec<_> = config.targets.iter().map(|target| target.name.clone()).collect();
    assert_eq!(own, names_of("2/4"));
    assert!(!own.is_empty() && own.len() < names.len(), "{own:?}");
    let others = names.iter().filter(|name| !own.contains(name)).map(|name| name.as_str().into());
    assert_eq!(config.alerting.elsewhere, others.collect());
    for count in 1..=20 {
        let mut all: Vec<_> = (1..=count).flat_map(|index| names_of(&format!("{index}/{count}"))).collect();
        all.sort();
        assert_eq!(all, names, "{count} shards");
    }
    let whole = config.clone().of_shard(Shard::WHOLE);
    assert!(whole.targets.len() == names.len() && whole.alerting.elsewhere.is_empty());

    let wrong = text.replace("[marzban.panel-9]\nurl", "[marzban.panel-9]\nuri");
    assert!(refusal(&wrong).contains("marzban.panel-9.uri"), "a target of another shard is checked as well");
    let idle = (1..=20).map(|index| config.clone().of_shard(format!("{index}/20").parse().unwrap()));
    let idle: Vec<_> = idle.filter(|config| config.targets.is_empty()).collect();
    assert!(!idle.is_empty());
    for config in idle {
        let warnings = config.warnings();
        assert!(
            warnings.iter().any(|warning| warning.contains("has none of the 10 targets")),
            "{warnings:?}"
        );
        assert!(warnings.iter().all(|warning| !warning.starts_with("no target")), "{warnings:?}");
    }
}

#[test]
fn shards_that_ping_one_url_are_a_warning() {
    const URL: &str = "https://hc.example.com/0123";
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("url"), URL).unwrap();
    fs::set_permissions(folder.path().join("url"), fs::Permissions::from_mode(0o600)).unwrap();
    let env = |name: &str| (name == "PROXYMETER_HEARTBEAT_URL").then(|| URL.to_owned());
    let in_file = format!("url = '{URL}'");
    // A file may be another one for each.
    let cases: [(&str, Env<'_>, bool); 3] =
        [(&in_file, &no_env, true), ("url_file = 'url'", &no_env, false), ("interval = '1m'", &env, false)];
    for (url, env, shared) in cases {
        let text = format!("[marzban.a]\nurl = 'https://localhost'\napi_key = 'k'\n[heartbeat]\n{url}\n");
        let config = Config::parse(&text, &folder.path().join("exporter.toml"), env).unwrap();
        assert_eq!(doubts(&config), [""; 0], "{url}");
        let shards = ["1/2", "2/2"].map(|shard| config.clone().of_shard(shard.parse().unwrap()));
        for config in shards {
            let warnings = config.warnings();
            let told = warnings.iter().any(|warning| {
                warning.starts_with("heartbeat.url: every shard pings this URL")
                    && warning.contains("set PROXYMETER_HEARTBEAT_URL")
            });
            assert_eq!(told, shared, "{warnings:?}");
            assert!(!warnings.concat().contains("0123"), "{warnings:?}");
        }
    }
}

/// What is given up is sent once more without the secrets, which may be there for the daemon alone.
#[test]
fn the_storage_and_the_receivers_are_found_whatever_else_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let storage = |text: &str| {
        fs::write(&file, text).unwrap();
        let found = Config::load_storage(&Source::from(&*file)).map_err(|errors| errors.to_string());
        found.map(|(storage, receivers)| (storage.path, receivers))
    };
    let tables = "[marzban.home]\npassword_file = 'gone'\n[webhook.oncall]\nurl_file = 'gone'\n[email.ops]\n";
    for (text, path) in [("[storage]\npath = 'kept'\n", "kept"), ("", "proxymeter-data")] {
        let receivers = vec!["ops".to_owned(), "oncall".to_owned()];
        assert_eq!(storage(&format!("{text}{tables}")), Ok((folder.path().join(path), receivers)));
    }
    for (wrong, said) in [
        ("[storage]\npath = 1\n", "exporter.toml:2:8: storage.path: "),
        ("[storage]\npth = 'kept'\n", "exporter.toml:2:1: storage.pth: unknown key; write path"),
        ("[storge]\npath = 'kept'\n", "exporter.toml:1:2: storge: unknown table; write storage"),
        ("email = 1\n", "exporter.toml:1:9: email: a number where a table was expected"),
        ("[storage", "exporter.toml:1:"),
    ] {
        let errors = storage(wrong).unwrap_err();
        assert!(errors.contains(said), "{said}\n{errors}");
    }
}

/// A key that the tables know but nobody reads would be ignored in silence.
#[test]
fn every_known_key_is_read() {
    for (head, keys) in known_keys() {
        for key in keys {
            // A date is right nowhere.
            let message = refusal(&format!("{head}\n{key} = 1979-05-27"));
            let expected =
                format!("exporter.toml:2:{}: {}.{key}: a ", key.len() + 4, head.trim_matches(['[', ']']));
            let choice = message.lines().any(|line| line.starts_with(&expected));
            assert!(choice, "{expected}\n{message}");
        }
    }
}

#[test]
fn the_example_has_every_key() {
    let example = fs::read_to_string("exporter.example.toml").unwrap();
    let tables = known_keys().into_iter().filter(|(head, _)| *head != "[mute.x.matchers]");
    let keys: BTreeSet<String> = tables.flat_map(|(_, keys)| keys).collect();
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        let mentioned = example.lines().any(|line| {
            let setting = line.trim_start_matches('#').trim_start();
            setting.starts_with(&format!("{key} = "))
                || line.contains(&format!(": {key} = "))
                || setting.starts_with(&format!("[marzban.pasarguard.{key}]"))
                || setting.starts_with(&format!("[marzban.home.{key}."))
                || setting.starts_with(&format!("[web.{key}]"))
                || setting.starts_with(&format!("[cost.{key}."))
        });
        assert!(mentioned, "{key}");
    }
}

#[test]
fn the_example_loads() {
    let example = fs::read_to_string("exporter.example.toml").unwrap();
    let folder = secrets_folder();
    let config = in_folder(&example, folder.path());
    assert_eq!(config.targets.len(), 1);
    assert_eq!(config.targets[0].poll, PollConfig::default());
    assert_eq!(doubts(&config), [""; 0]);
}

/// The keys that are commented out say what holds without them, and are right when they are let in.
#[test]
fn the_example_tells_the_defaults() {
    let example = fs::read_to_string("exporter.example.toml").unwrap();
    let folder = secrets_folder();
    let config = in_folder(&example, folder.path());
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut whole = in_folder(&uncommented, folder.path());

    assert_eq!(whole.targets.len(), 5);
    let llm = whole.targets.iter().position(|target| target.name == "llm").unwrap();
    let TargetKind::Cliproxy(llm) = whole.targets.remove(llm).kind else { panic!("{whole:?}") };
    assert_eq!((llm.usage, llm.caps), (cliproxy::UsageSetting::default(), cliproxy::Caps::default()));
    assert_eq!((llm.key_aliases.len(), llm.credential_aliases.len()), (2, 1));
    let pasarguard = whole.targets.pop().unwrap();
    let office = whole.targets.pop().unwrap();
    assert!(matches!(xui_login(&office), xui::Login::Token(_)));
    let attic = whole.targets.remove(0);
    assert!(matches!(xui_login(&attic), xui::Login::Password(login) if login.totp.is_some()));
    let TargetKind::Marzban(home) = &mut whole.targets[0].kind else { panic!("{whole:?}") };
    assert_eq!(std::mem::take(&mut home.admin_limits).len(), 2);
    let allowance = Allowance { bytes: 20_000_000_000_000, reset_day: 1, counts: Counts::One };
    let allowances = std::mem::take(&mut home.allowances);
    assert_eq!(allowances.by_name, [("DE-1".to_owned(), allowance)]);
    assert_eq!(pasarguard.poll.interval, Duration::from_secs(60));
    assert_eq!(marzban(&pasarguard).device_limit, Some(3));
    assert!(marzban(&pasarguard).endpoint.tls.pin_sha256.len() == 1);
    assert_eq!(whole.users.hash_key.take(), Some(Secret::from("0123456789abcdef")));

    assert_eq!(whole.receivers.len(), 13);
    for ReceiverTable { name, kind } in &whole.receivers {
        let ReceiverKind::Chat(chat) = kind else { continue };
        let digest = Some(DigestConfig { at: 9 * 60, zone: None, empty: false, top: 10 });
        let common = ReceiverConfig { digest, ..ReceiverConfig::default() };
        assert_eq!((chat.timeout, &chat.common), (Duration::from_secs(20), &common), "{name}");
    }
    for (name, url) in [
        ("family", "https://api.telegram.org"),
        ("phone", "https://ntfy.sh/"),
        ("iphone", "https://api.day.app/"),
    ] {
        let left_out = chat(&whole, name).url.expose().trim_end_matches('/');
        assert_eq!(left_out, url.trim_end_matches('/'));
    }
    let ops = email(&whole, "ops");
    assert_eq!((ops.port, ops.tls, ops.timeout), (587, SmtpTls::StartTls, Duration::from_secs(30)));
    assert_eq!(ops.login.as_ref().map(|login| login.mechanism), Some(SmtpMechanism::Auto));
    let daily = DigestConfig { at: 9 * 60, zone: None, empty: false, top: 10 };
    assert_eq!(ops.common, ReceiverConfig { digest: Some(daily), ..ReceiverConfig::default() });
    let oncall = webhook(&whole, "oncall");
    assert_eq!((&oncall.format, oncall.max_alerts), (&WebhookFormat::Alertmanager, 0));
    assert_eq!((oncall.secrets.len(), oncall.timeout), (2, Duration::from_secs(20)));
    let pair = alertmanager(&whole, "pair");
    assert_eq!((pair.urls.len(), pair.resend), (2, Duration::from_secs(60)));
    assert_eq!(pair.timeout, Duration::from_secs(10));
    whole.receivers.clear();
    assert_ne!(whole.cost.prices, config.cost.prices);
    let AccessConfig::Own(access) = std::mem::take(&mut whole.web.access) else { panic!("{whole:?}") };
    assert_eq!(access.tls.map(|tls| tls.min_version), Some(TlsVersion::Tls12));
    assert_eq!((access.users.len(), access.open_health), (1, false));
    assert_eq!(access.bearer_token, Some(Secret::from("0123456789abcdef")));
    let rules: Vec<_> = whole.alerting.rules.keys().collect();
    let expected = [
        "quota_forecast",
        "spending",
        "target_down",
        "user_expiry",
        "user_inactive",
        "user_traffic",
        "vip-expiry",
    ];
    assert_eq!(rules, expected);
    whole.alerting.rules.clear();
    assert_eq!(whole.alerting.mutes["night"].hours, Some((23 * 60, 8 * 60)));
    whole.alerting.mutes.clear();
    let heartbeat = whole.heartbeat.take().unwrap();
    assert_eq!(heartbeat.url, Secret::from("https://hc.example.com/0123"));
    assert_eq!((heartbeat.method, heartbeat.timeout), (HeartbeatMethod::Get, Duration::from_secs(10)));
    assert_eq!(heartbeat.delivery_patience, Duration::from_secs(60 * 60));
    // All but the words it was said in.
    let told = |config: Config| {
        let Config { web, users, storage, shard, targets, alerting, receivers, heartbeat, .. } = config;
        (web, users, storage, shard, targets, alerting, receivers, heartbeat)
    };
    assert_eq!(told(whole), told(config));
}

/// What the shipped example names, so that it loads as it is but for the folders.
fn secrets_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "marzban",
        "pasarguard",
        "cf-access",
        "cliproxy",
        "xui",
        "xui-password",
        "xui-totp",
        "xui-login-secret",
        "proxymeter-hash-key",
        "ca.pem",
        "client.pem",
        "client-key.pem",
        "smtp",
        "oncall-url",
        "oncall-signature",
        "oncall-former-signature",
        "oncall-github",
        "oncall-token",
        "oncall-key",
        "telegram-token",
        "discord-url",
        "slack-url",
        "feishu-url",
        "feishu-secret",
        "dingtalk-url",
        "wecom-url",
        "ntfy-topic",
        "gotify-token",
        "bark-key",
        "pagerduty-key",
        "web-token",
        "heartbeat-url",
        "model_prices.json",
    ] {
        let file = folder.path().join(name);
        let content = match name {
            "model_prices.json" => r#"{"gpt-5": {"input_cost_per_token": 1e-6}}"#,
            "xui-totp" => "GEZDGNBVGY3TQOJQ",
            "telegram-token" => "123456789:AAabcdefghijklmnopqrstuvwxyz-_01234",
            "dingtalk-url" => "https://oapi.dingtalk.com/robot/send?access_token=0123",
            "wecom-url" => "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0123",
            "pagerduty-key" => "0123456789abcdef0123456789abcdef",
            name if name.ends_with("-url") => "https://hc.example.com/0123",
            _ => "0123456789abcdef",
        };
        fs::write(&file, format!("{content}\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    for (name, from) in
        [("web.pem", "server.pem"), ("web-key.pem", "server-key.pem"), ("web-clients.pem", "ca.pem")]
    {
        fs::copy(Path::new("tests/fixtures/web-config/pki").join(from), folder.path().join(name)).unwrap();
    }
    folder
}

fn in_folder(example: &str, folder: &Path) -> Config {
    let example = example.replace("/run/secrets/", "").replace("/etc/proxymeter/", "");
    Config::parse(&example, &folder.join("exporter.toml"), &no_env)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

/// The keys of each table, as the refusal of an unknown one lists them.
fn known_keys() -> Vec<(&'static str, Vec<String>)> {
    [
        "[web]",
        "[poll]",
        "[users]",
        "[storage]",
        "[cost]",
        "[cost.override.x]",
        "[marzban.x]",
        "[marzban.x.tls]",
        "[xui.x]",
        "[alertmanager.x]",
        "[email.x]",
        "[webhook.x]",
        "[bark.x]",
        "[dingtalk.x]",
        "[discord.x]",
        "[feishu.x]",
        "[gotify.x]",
        "[ntfy.x]",
        "[pagerduty.x]",
        "[slack.x]",
        "[telegram.x]",
        "[wecom.x]",
        "[heartbeat]",
        "[alerting]",
        "[alert.x]",
        "[mute.x]",
        "[mute.x.matchers]",
    ]
    .into_iter()
    .map(|head| {
        let message = refusal(&format!("{head}\nqqqqqqqqqqqq = 1"));
        let list = message.lines().find_map(|line| line.split_once("qqqqqqqqqqqq: unknown key; "));
        let (_, known) = list.unwrap().1.split_once(" knows ").unwrap();
        (head, known.split(", ").map(str::to_owned).collect())
    })
    .collect()
}

fn refusal(text: &str) -> String {
    let errors: ConfigErrors = Config::parse(text, Path::new("exporter.toml"), &no_env).unwrap_err();
    errors.to_string()
}

/// All warnings but that there is no receiver.
fn doubts(config: &Config) -> Vec<String> {
    let mut warnings = config.warnings();
    warnings.retain(|warning| !warning.starts_with("alerting: there is no receiver"));
    warnings
}

fn load(name: &str) -> Config {
    Config::load(&Source::File(Path::new(FIXTURES).join(name)), &env)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn marzban(target: &Target) -> &MarzbanConfig {
    let TargetKind::Marzban(marzban) = &target.kind else { panic!("{target:?}") };
    marzban
}

fn xui_login(target: &Target) -> &xui::Login {
    let TargetKind::Xui(xui) = &target.kind else { panic!("{target:?}") };
    &xui.login
}

fn email<'c>(config: &'c Config, name: &str) -> &'c EmailConfig {
    match &receiver(config, name).kind {
        ReceiverKind::Email(email) => email,
        other => panic!("{name} is {other:?}"),
    }
}

fn chat<'c>(config: &'c Config, name: &str) -> &'c ChatConfig {
    match &receiver(config, name).kind {
        ReceiverKind::Chat(chat) => chat,
        other => panic!("{name} is {other:?}"),
    }
}

fn pagerduty<'c>(config: &'c Config, name: &str) -> &'c PagerdutyConfig {
    match &receiver(config, name).kind {
        ReceiverKind::Pagerduty(pagerduty) => pagerduty,
        other => panic!("{name} is {other:?}"),
    }
}

fn webhook<'c>(config: &'c Config, name: &str) -> &'c WebhookConfig {
    match &receiver(config, name).kind {
        ReceiverKind::Webhook(webhook) => webhook,
        other => panic!("{name} is {other:?}"),
    }
}

fn alertmanager<'c>(config: &'c Config, name: &str) -> &'c AlertmanagerConfig {
    match &receiver(config, name).kind {
        ReceiverKind::Alertmanager(alertmanager) => alertmanager,
        other => panic!("{name} is {other:?}"),
    }
}

fn receiver<'c>(config: &'c Config, name: &str) -> &'c ReceiverTable {
    config.receivers.iter().find(|receiver| receiver.name == name).unwrap()
}

fn password(username: &str, password: &str) -> Login {
    Login::Password { username: username.to_owned(), password: Secret::from(password) }
}

fn env(name: &str) -> Option<String> {
    let value = match name {
        "PROXYMETER_MARZBAN_IN_ENV_PASSWORD" => "hunter2-from-env",
        "PROXYMETER_MARZBAN_KEY_API_KEY" => "pg_key_from_env",
        "PROXYMETER_MARZBAN_EMPTY_ENV_PASSWORD" => "",
        "PROXYMETER_EMAIL_IN_ENV_MAIL_PASSWORD" => "hunter2-smtp",
        "PROXYMETER_WEBHOOK_IN_ENV_URL" => "https://hooks.example.com/in-env",
        "PROXYMETER_WEBHOOK_IN_ENV_BEARER_TOKEN" => "hunter2-bearer",
        "PROXYMETER_WEBHOOK_SHARED_OLD_SECRET" => "hunter2-old",
        "TEAM_TOKEN" => "hunter2-team",
        "HEADER" => "hunter2-header",
        _ => return None,
    };
    Some(value.to_owned())
}

fn no_env(_name: &str) -> Option<String> {
    None
}

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(FIXTURES).join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

use std::fs;
use std::path::Path;

use super::super::{Config, ROOT, Source};
use super::*;

/// Every key that takes text of the operator's own, with a word in it that must not be shown, each another one. A file
/// is given by a name of its own.
const CANARIES: &str = r#"
[web]
external_url = "https://proxymeter.example.com/canary-prefix"
dashboards_url = "https://grafana.example.com/canary-dashboards?canary-tenant=1"
tls_cert_file = "canary-server-file"
tls_key_file = "canary-server-key-file"
client_ca_file = "canary-clients-file"
bearer_token = "canary-web-token"
[web.basic_auth]
canary-web-user = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
[heartbeat]
url = "https://hc.example.com/canary-ping"
success = "canary-ping-success"
[users]
labels = "hash"
hash_key = "canary-hash-key-0123"
node_traffic_of = ["canary-watched"]
[storage]
path = "canary-storage"
[cost]
prices_file = "canary-prices-file"
[marzban.home]
url = "https://panel.example.com:8000/canary-base-path"
username = "canary-panel-user"
password = "canary-panel-password"
node_traffic_of = ["canary-watched-here"]
admin_limits = { canary-admin = "5GiB" }
[marzban.home.tls]
pin_sha256 = "ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a"
ca_file = "canary-ca-file"
server_name = "canary-server-name"
client_cert_file = "canary-cert-file"
client_key_file = "canary-key-file"
[marzban.edge]
url = "http://198.51.100.7"
api_key = "canary-api-key"
[marzban.by-file]
url = "http://198.51.100.8/"
username = "canary-other-user"
password_file = "canary-password-file"
[marzban.by-key-file]
url = "http://198.51.100.9/"
api_key_file = "canary-api-key-file"
[xui.socket]
url = "unix:///run/x-ui.sock:/canary-socket-base-path"
token = "canary-socket-token"
headers = { X-Canary-Name = "canary-header" }
[cliproxy.proxied]
url = "http://127.0.0.1:8317"
management_key = "canary-proxied-key"
proxy = "http://canary-user:canary-proxy-password@127.0.0.1:3128"
[xui.alpha]
url = "https://panel.example.com:2053/canary-xui-base-path"
token = "canary-xui-token"
[xui.bravo]
url = "https://panel.example.com:2054"
token_file = "canary-xui-token-file"
[xui.charlie]
url = "https://panel.example.com:2055"
username = "canary-xui-user"
password = "canary-xui-password"
totp_secret = "ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca"
login_secret = "canary-xui-login-secret"
[xui.delta]
url = "https://panel.example.com:2056"
username = "canary-xui-user-too"
password_file = "canary-xui-password-file"
totp_secret_file = "canary-totp-file"
login_secret_file = "canary-xui-login-secret-file"
[cliproxy.llm]
url = "http://127.0.0.1:8317/canary-llm-base-path"
management_key = "canary-management-key"
key_aliases = { "canary-client-key" = "canary-alias" }
credential_aliases = { "canary-credential" = "canary-credential-alias" }
[cliproxy.other]
url = "http://127.0.0.1:8318"
management_key_file = "canary-management-key-file"
usage = "queue"
[email.ops]
smarthost = "smtp.example.com:587"
pin_sha256 = ["ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4b"]
ca_file = "canary-mail-ca-file"
server_name = "canary-mail-server-name"
client_cert_file = "canary-mail-cert-file"
client_key_file = "canary-mail-key-file"
from = "Canary-Name <canary-from@example.com>"
to = ["canary-to@example.com"]
username = "canary-mail-user"
password = "canary-mail-password"
hello = "canary-hello.example.com"
[email.by-file]
smarthost = "smtp.example.com"
from = "canary-from-too@example.com"
to = "canary-to-too@example.com"
username = "canary-mail-user-too"
password_file = "canary-mail-password-file"
[webhook.oncall]
url = "https://hooks.example.com/canary-hook?canary-query"
template = "canary-template"
content_type = "text/canary-type"
success = "canary-success"
secret = "canary-secret"
old_secret = "canary-old-secret"
github_secret = "canary-github-secret"
bearer_token = "canary-bearer"
headers = { X-Canary-Header = "canary-header", X-More = { file = "canary-header-file" } }
proxy = "http://canary-proxy-user:canary-proxy-password@127.0.0.1:3128"
[webhook.all-by-file]
url_file = "canary-url-file"
template_file = "canary-template-file"
secret_file = "canary-secret-file"
old_secret_file = "canary-old-secret-file"
github_secret_file = "canary-github-secret-file"
bearer_token_file = "canary-bearer-file"
proxy_file = "canary-proxy-file"
[webhook.with-password]
url = "https://hooks.example.com"
username = "canary-hook-user"
password = "canary-hook-password"
[webhook.with-password-file]
url = "https://hooks.example.com"
username = "canary-hook-user-too"
password_file = "canary-hook-password-file"
[alertmanager.pair]
urls = ["https://am.example.com/canary-am-path", "https://am.example.com:9094"]
bearer_token = "canary-am-token"
headers = { X-Canary-Am = "canary-am-header" }
proxy = "http://canary-proxy-user:canary-am-proxy-password@127.0.0.1:3128"
[alertmanager.am-by-file]
urls = "http://127.0.0.1:9093"
username = "canary-am-user"
password_file = "canary-am-password-file"
[telegram.chat]
token = "12345678:canary-telegram-token-0123"
chat_id = "@canary_chat"
thread_id = 4247
api_url = "https://telegram.example.com/canary-api-path"
proxy = "socks5h://canary-proxy-user:canary-telegram-proxy@127.0.0.1:1080"
[telegram.chat-by-file]
token_file = "canary-bot-token-file"
chat_id_file = "canary-chat-id-file"
[discord.room]
url = "https://discord.com/api/webhooks/1/canary-discord-token"
[slack.room-of-slack]
url = "https://hooks.slack.com/services/T0/B0/canary-slack"
[feishu.robot]
url = "https://open.feishu.cn/open-apis/bot/v2/hook/canary-feishu"
secret = "canary-feishu-secret"
keyword = "canary-keyword"
[feishu.robot-by-file]
url_file = "canary-url-file"
secret_file = "canary-feishu-secret-file"
proxy_file = "canary-proxy-file"
[dingtalk.robot-of-dingtalk]
url = "https://oapi.dingtalk.com/robot/send?access_token=canary-dingtalk"
secret = "SECcanary-dingtalk-secret"
[wecom.robot-of-wecom]
url = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=canary-wecom"
[ntfy.topic]
url = "https://ntfy.example.com/canary-ntfy-path"
topic = "canary-topic"
bearer_token = "canary-ntfy-token"
[ntfy.topic-by-file]
topic_file = "canary-topic-file"
[gotify.app]
url = "https://gotify.example.com/canary-gotify-path"
token = "canary-gotify-token"
headers = { X-Canary-Gotify = "canary-gotify-header" }
[gotify.app-by-file]
url = "https://gotify.example.com"
token_file = "canary-gotify-token-file"
[bark.phone]
url = "https://bark.example.com/canary-bark-path"
device_key = "canary-device-key"
username = "canary-bark-user"
password = "canary-bark-password"
[bark.phone-by-file]
device_key_file = "canary-device-key-file"
[pagerduty.pager]
routing_key = "canary00canary00canary00canary00"
url = "https://events.example.com/canary-events"
[pagerduty.pager-by-file]
routing_key_file = "canary-routing-key-file"
[statement.reseller]
receiver = "ops"
to = "Canary-Reseller <canary-reseller@example.com>"
target = "home"
admin = "canary-statement-admin"
day = 3
at = "10:00"
[alert.user_expiry]
subjects = ["canary-subject-*"]
exclude = ["canary-excluded-*"]
[mute.night.matchers]
alertname = "canary-alertname"
target = "home"
system = "canary-system"
kind = "canary-kind"
subject = "canary-muted"
step = "canary-step"
severity = "critical"
rule = "canary-rule"
"#;

/// The same with the one key that has no other table to be given by a file in.
fn with_key_file() -> String {
    CANARIES.replace("hash_key = \"canary-hash-key-0123\"", "hash_key_file = \"canary-hash-key-file\"")
}

/// The same with a web configuration file, beside which the port has no keys of its own.
fn with_web_config() -> String {
    let (_, rest) = CANARIES.split_once("[heartbeat]").unwrap();
    format!("[web]\nconfig_file = \"canary-web-config-file\"\n[heartbeat]{rest}")
}

fn config(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    for file in text.split('"').filter(|word| word.starts_with("canary-") && word.ends_with("-file")) {
        let from_pki = |name| fs::read_to_string(format!("tests/fixtures/web-config/pki/{name}")).unwrap();
        let (server, key, clients) = (from_pki("server.pem"), from_pki("server-key.pem"), from_pki("ca.pem"));
        let content = match file {
            "canary-server-file" => &server,
            "canary-server-key-file" => &key,
            "canary-clients-file" => &clients,
            "canary-web-config-file" => "",
            "canary-prices-file" => r#"{"canary": {"input_cost_per_token": 1e-6}}"#,
            "canary-totp-file" => "ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca",
            "canary-chat-id-file" => "@canary_content",
            "canary-bot-token-file" => "12345678:canary-content-of-a-file",
            "canary-routing-key-file" => "canary01canary01canary01canary01",
            "canary-url-file" => "https://hooks.example.com/canary-content",
            "canary-proxy-file" => "http://canary-content@127.0.0.1:3128",
            _ => "canary-content-of-a-file",
        };
        fs::write(folder.path().join(file), content).unwrap();
    }
    match Config::parse(text, &folder.path().join("exporter.toml"), &|_| None) {
        Ok(config) => config,
        Err(errors) => panic!("{errors}"),
    }
}

#[test]
fn no_text_of_the_operators_own_is_shown() {
    let [shown, other, third] =
        [CANARIES, &with_key_file(), &with_web_config()].map(|text| config(text).shown().to_lowercase());
    assert_eq!(shown.replace("hash_key", "hash_key_file"), other);
    assert!(third.starts_with("[web]\nconfig_file = \"<hidden>\"\n") && !third.contains("canary"), "{third}");
    assert!(!shown.contains("canary") && !shown.contains("ca4a7") && !shown.contains("x-more"), "{shown}");
    for part in [
        "[marzban.home]\nurl = \"https://panel.example.com:8000/<hidden>\"\nusername = \"<hidden>\"\n",
        "url = \"http://198.51.100.7\"\napi_key = \"<hidden>\"\n",
        "smarthost = \"smtp.example.com:587\"\n",
        "url = \"https://hooks.example.com/<hidden>\"\n",
        "urls = [\"https://am.example.com/<hidden>\", \"https://am.example.com:9094\"]\n",
        "api_url = \"https://telegram.example.com/<hidden>\"\n",
        "[discord.room]\nurl = \"https://discord.com/<hidden>\"\n",
        "proxy = \"<hidden>\"\n",
        "headers = \"<hidden>\"\n",
        "[mute.night.matchers]\nalertname = \"<hidden>\"\ntarget = \"home\"\n",
    ] {
        assert!(shown.contains(part), "{part}\n---\n{shown}");
    }
}

#[test]
fn every_key_that_may_have_text_has_its_canary() {
    let configs = CANARIES.to_owned() + &with_key_file() + &with_web_config();
    for shape in ROOT.below() {
        for (key, show) in shape.keys() {
            let has_canary = configs.lines().any(|line| {
                line.split_once(" = ").is_some_and(|(name, value)| {
                    name == key && ["canary", "Canary", "ca4a7"].iter().any(|word| value.contains(word))
                })
            });
            // `basic_auth` is a table of the operator's own keys.
            let may_be_any_text = matches!(show, Show::Hidden | Show::People | Show::Origin);
            assert!(has_canary || !may_be_any_text || key == "basic_auth", "{}: {key}", shape.title);
        }
    }
}

#[test]
fn a_value_that_does_not_look_as_it_should_is_hidden() {
    let page = Page { text: String::new(), names_people: false };
    let text = DeValue::String("Some secret, 1".into());
    for shape in ROOT.below().into_iter().chain([&ROOT]) {
        for (key, show) in shape.keys() {
            assert_eq!(page.value(show, &text), None, "{} {key}", shape.title);
        }
        for value in [&text, &DeValue::Boolean(true)] {
            assert_eq!(page.value(shape.show("brand_new"), value), None, "{}", shape.title);
        }
    }
}

#[test]
fn users_are_shown_where_they_are_named() {
    let named = config(&CANARIES.replace("labels = \"hash\"", "labels = \"name\""));
    let shown =
        config("[users]\nnode_traffic_of = [\"a\\\"b\\\\\\u202Ec\\n\"]\n".replace("\\n", "").as_str());
    assert_eq!(shown.shown(), "[users]\nnode_traffic_of = [\"a\\\"b\\\\\\u202Ec\"]\n");
    let words: Vec<_> = named.shown().split('"').filter(|word| word.contains("canary")).collect();
    let expected =
        ["canary-watched", "canary-watched-here", "canary-subject-*", "canary-excluded-*", "canary-muted"];
    assert_eq!(words, expected);
}

#[test]
fn what_is_shown_is_toml_in_the_order_of_the_text() {
    let file = Path::new("tests/fixtures/config/good/full.toml");
    let config = Config::load(&Source::from(file), &|_| None).unwrap();
    let shown = config.shown();
    let golden = Path::new("tests/fixtures/config/shown.toml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(golden).unwrap());
    DeTable::parse(shown).unwrap();
    assert!(!shown.contains("hunter2"));
}

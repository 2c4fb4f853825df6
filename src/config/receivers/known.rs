//! Receivers of their own that the URL of a webhook belongs to.

use reqwest::Url;

/// A service, by its URLs.
struct Service {
    /// The word that heads its tables.
    word: &'static str,
    /// What its table needs.
    needs: &'static str,
    has: fn(&Place<'_>) -> bool,
}

/// The parts of a URL that tell.
struct Place<'u> {
    host: &'u str,
    path: &'u str,
    url: &'u Url,
}

const SERVICES: [Service; 11] = [
    Service {
        word: "alertmanager",
        needs: "the address in urls",
        has: |place| place.path.ends_with("/api/v2/alerts") || place.path.ends_with("/api/v1/alerts"),
    },
    Service {
        word: "telegram",
        needs: "token and chat_id",
        has: |place| {
            let is_method =
                place.path.starts_with("/bot") && place.path.to_ascii_lowercase().ends_with("/sendmessage");
            place.is_of("api.telegram.org") || is_method
        },
    },
    Service {
        word: "discord",
        needs: "this URL",
        has: |place| {
            ["discord.com", "discordapp.com"].iter().any(|host| place.is_of(host))
                && place.path.contains("/webhooks/")
        },
    },
    Service {
        word: "slack",
        needs: "this URL",
        has: |place| {
            ["hooks.slack.com", "hooks.slack-gov.com"].iter().any(|host| place.is_of(host))
                && place.path.starts_with("/services/")
        },
    },
    Service { word: "feishu", needs: "this URL", has: |place| place.path.contains("/open-apis/bot/") },
    Service { word: "dingtalk", needs: "this URL", has: |place| place.path.ends_with("/robot/send") },
    Service { word: "wecom", needs: "this URL", has: |place| place.path.ends_with("/cgi-bin/webhook/send") },
    Service {
        word: "pagerduty",
        needs: "routing_key",
        has: |place| place.is_of("pagerduty.com") && place.path.ends_with("/enqueue"),
    },
    Service {
        word: "ntfy",
        needs: "topic",
        // A topic can format Alertmanager's body by itself.
        has: |place| {
            (place.is_of("ntfy.sh") || place.host.starts_with("ntfy."))
                && !place.has_query(&["template", "tpl", "x-template"])
        },
    },
    Service {
        word: "gotify",
        needs: "url and token",
        has: |place| {
            place.path.ends_with("/message")
                && (place.has_query(&["token"]) || place.host.starts_with("gotify."))
        },
    },
    Service { word: "bark", needs: "device_key", has: |place| place.is_of("api.day.app") },
];

impl Place<'_> {
    /// Whether the host is this one, or below it.
    fn is_of(&self, domain: &str) -> bool {
        let before = self.host.strip_suffix(domain);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }

    fn has_query(&self, keys: &[&str]) -> bool {
        self.url.query_pairs().any(|(key, _)| keys.iter().any(|known| key.eq_ignore_ascii_case(known)))
    }
}

/// The warning about a URL that does not understand Alertmanager's body, if it is such a one.
pub(super) fn warning(name: &str, url: &str) -> Option<String> {
    let url = Url::parse(url.trim()).ok()?;
    let host = url.host_str()?.trim_end_matches('.');
    let place = Place { host, path: url.path().trim_end_matches('/'), url: &url };
    let Service { word, needs, has: _ } = SERVICES.iter().find(|service| (service.has)(&place))?;
    Some(format!(
        "webhook.{name}: {host} does not understand this body; write [{word}.{name}] with {needs}, or a template of \
         your own"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_other_receivers_are_known() {
        for (url, word) in [
            ("https://discord.com/api/webhooks/1/x", Some("discord")),
            ("https://ptb.discord.com/api/v10/webhooks/1/x?wait=true", Some("discord")),
            ("https://DISCORDAPP.com/api/webhooks/1/x/slack", Some("discord")),
            ("https://discord.com.evil.example/api/webhooks/1/x", None),
            ("https://notdiscord.com/api/webhooks/1/x", None),
            ("https://hooks.slack.com/services/T0/B0/x", Some("slack")),
            ("https://hooks.slack.com/triggers/T0/1/x", None),
            ("https://api.telegram.org/bot1:x/sendMessage", Some("telegram")),
            ("https://tg.example.com/bot1:x/sendMessage?chat_id=1", Some("telegram")),
            ("https://open.feishu.cn/open-apis/bot/v2/hook/x", Some("feishu")),
            ("https://open.larksuite.com/open-apis/bot/v2/hook/x", Some("feishu")),
            ("https://oapi.dingtalk.com/robot/send?access_token=x", Some("dingtalk")),
            ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x", Some("wecom")),
            ("https://events.pagerduty.com/v2/enqueue", Some("pagerduty")),
            ("https://events.eu.pagerduty.com/v2/enqueue/", Some("pagerduty")),
            ("https://ntfy.sh/topic", Some("ntfy")),
            ("http://ntfy.lan:8080/topic", Some("ntfy")),
            ("https://ntfy.sh/topic?template=alertmanager", None),
            ("https://ntfy-alertmanager.example.com/hook", None),
            ("https://push.example.com/message?token=Ax", Some("gotify")),
            ("https://gotify.example.com/message", Some("gotify")),
            ("https://example.com/message", None),
            ("https://api.day.app/key/", Some("bark")),
            ("http://127.0.0.1:9093/api/v2/alerts", Some("alertmanager")),
            ("http://am.example.com/prefix/api/v1/alerts", Some("alertmanager")),
            ("https://hooks.example.com/services/x", None),
            ("http://[::1]:8080/", None),
        ] {
            let warning = warning("ops", url);
            let named = warning.as_deref().and_then(|warning| warning.split("[").nth(1)?.split('.').next());
            assert_eq!(named, word, "{url}: {warning:?}");
            let secret = warning.is_some_and(|warning| warning.contains("bot1:") || warning.contains("T0"));
            assert!(!secret, "{url}");
        }
    }
}

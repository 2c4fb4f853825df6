//! The tables `[alertmanager.NAME]`.

use std::time::Duration;

use humantime::format_duration;

use toml::de::DeValue;

use crate::config::alerting::GROUPING;
use crate::config::secrets;
use crate::config::shape::{
    Key, Shape,
    Show::{If, Origin},
};
use crate::config::table::{Field, Placed, Table};
use crate::config::tls;
use crate::config::urls::{check_address, check_proxy, is_http};
use crate::config::values::{above_zero, at_least, is_quantity, language, severity, text};
use crate::notify::alertmanager::config::AlertmanagerConfig;
use crate::notify::email::config::ReceiverConfig;
use crate::secret::Secret;

use super::{LONGEST_TIMEOUT, at_most, http};

const KEYS: &[Key] = &[("urls", Origin), ("resend", If(is_quantity))];
pub(in crate::config) const SHAPE: Shape =
    Shape { title: "[alertmanager.NAME]", keys: &[KEYS, http::KEYS, super::KEYS, GROUPING] };

/// Keys of the other receivers, whose work Alertmanager does itself.
const NOT_OURS: [&str; 5] = ["group_by", "group_wait", "group_interval", "repeat_interval", "send_resolved"];
const EXAMPLE: &str = "\"http://127.0.0.1:9093\"";
/// More than any cluster has.
const MOST_URLS: usize = 10;
const SHORTEST_RESEND: Duration = Duration::from_secs(5);
const LONGEST_RESEND: Duration = Duration::from_secs(10 * 60);
const DEFAULT_RESEND: Duration = Duration::from_secs(60);
/// As Prometheus has it. With a shorter `resend`, half of that.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Headers that every post has already, and what to write instead.
const OWN_HEADERS: &[(&str, &str)] = &[("host", "leave it out")];

pub(in crate::config) fn read(mut table: Table<'_, '_>) -> Option<AlertmanagerConfig> {
    let urls = read_urls(&mut table);
    let is_clear = urls.as_ref().is_some_and(|urls| urls.iter().all(|url| is_http(url.expose())));
    let tls = tls::take(&mut table, is_clear);
    let resend = table.take("resend", |value| at_most(LONGEST_RESEND, at_least(SHORTEST_RESEND, value)?));
    let authorization = http::read_authorization(&mut table);
    let headers = http::read_headers(&mut table, OWN_HEADERS, authorization.as_ref());
    let proxy = secrets::take_checked(&mut table, "proxy", check_proxy);
    let resend = resend.value().unwrap_or(DEFAULT_RESEND);
    let timeout = take_timeout(&mut table, resend);
    let min_severity = table.take("min_severity", severity);
    let language = table.take("language", language);
    for key in NOT_OURS {
        table.take(key, |_| {
            let text = "a setting of Alertmanager's own configuration, as it groups, repeats and mutes notifications \
                        itself; leave it out here";
            Err::<(), _>(text.to_owned())
        });
    }
    let default = ReceiverConfig::default();
    Some(AlertmanagerConfig {
        urls: urls?,
        resend,
        authorization,
        headers,
        proxy: proxy.value(),
        tls,
        timeout,
        common: ReceiverConfig {
            min_severity: min_severity.value().unwrap_or(default.min_severity),
            language: language.value(),
            ..default
        },
    })
}

/// A post that hangs does not cost the next one.
fn take_timeout(table: &mut Table<'_, '_>, resend: Duration) -> Duration {
    let timeout = table.take("timeout", |value| at_most(LONGEST_TIMEOUT, above_zero(value)?));
    if let Field::Given(Placed { value, place }) = &timeout
        && *value >= resend
    {
        let (seen, resend) = (format_duration(*value), format_duration(resend));
        table.reading.refuse(place, format!("{seen} is too long; write less than resend, which is {resend}"));
    }
    timeout.value().unwrap_or(DEFAULT_TIMEOUT.min(resend / 2))
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, config: &AlertmanagerConfig) -> Vec<String> {
    let exposed = http::exposed(config.authorization.as_ref(), &config.headers);
    http::warnings(&format!("alertmanager.{name}"), &config.urls, &config.tls, exposed)
}

fn read_urls(table: &mut Table<'_, '_>) -> Option<Vec<Secret>> {
    let urls = match table.take_list("urls", url) {
        Field::Given(urls) => urls,
        Field::Refused => return None,
        Field::Absent => {
            table.refuse("urls", format!("missing; write the address of each replica, urls = [{EXAMPLE}]"));
            return None;
        }
    };
    let refuse = |text: String| {
        table.reading.refuse(&urls.place, text);
        None
    };
    if urls.value.is_empty() {
        return refuse(format!("an empty list; write the address of each replica, such as {EXAMPLE}"));
    }
    if urls.value.len() > MOST_URLS {
        let seen = urls.value.len();
        return refuse(format!("{seen} addresses; write at most {MOST_URLS}"));
    }
    let mut known: Vec<Secret> = Vec::new();
    for Placed { value, place } in urls.value {
        if known.contains(&value) {
            table.reading.refuse(&place, "an address that is listed twice; write it once");
            return None;
        }
        known.push(value);
    }
    Some(known)
}

/// The address of a replica, without slashes at its end.
fn url(value: &DeValue<'_>) -> Result<Secret, String> {
    let url = check_address(&text(value)?, EXAMPLE)?;
    http::check_user(&url)?;
    if url.query().is_some() {
        return Err("an address with a query; leave out all from the ?".to_owned());
    }
    let address = url.as_str().trim_end_matches('/');
    for path in ["/api/v1/alerts", "/api/v2/alerts", "/api/v1", "/api/v2"] {
        if address.ends_with(path) {
            return Err(format!(
                "an address that ends in {path}; leave that out, as /api/v2/alerts is added to the address"
            ));
        }
    }
    Ok(Secret::from(address))
}

//! The tables `[pagerduty.NAME]`.

use std::time::Duration;

use crate::config::alerting::GROUPING;
use crate::config::shape::{
    Key, Shape,
    Show::{Hidden, Origin},
};
use crate::config::table::{Field, Table};
use crate::config::urls::{check_address, check_proxy, is_http};
use crate::config::values::text;
use crate::config::{secrets, tls};
use crate::notify::pagerduty::config::PagerdutyConfig;
use crate::secret::Secret;

use super::{chat, http};

const KEYS: &[Key] = &[("routing_key", Hidden), ("routing_key_file", Hidden), ("url", Origin)];
pub(in crate::config) const SHAPE: Shape =
    Shape { title: "[pagerduty.NAME]", keys: &[KEYS, chat::REACH, super::KEYS, super::DIGEST, GROUPING] };

const DEFAULT_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// For the whole exchange.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

pub(in crate::config) fn read(mut table: Table<'_, '_>) -> Option<PagerdutyConfig> {
    let routing_key = secrets::take_checked(&mut table, "routing_key", check_routing_key);
    if routing_key.is_absent() {
        let variable = secrets::variable(&table.place.below("routing_key"));
        table.refuse(
            "routing_key",
            format!("missing; write routing_key or routing_key_file, or set {variable}"),
        );
    }
    let url = match table.take("url", |value| {
        let url = check_address(&text(value)?, "\"https://events.eu.pagerduty.com/v2/enqueue\"")?;
        http::check_user(&url)?;
        Ok(Secret::from(url.as_str()))
    }) {
        Field::Absent => Some(Secret::from(DEFAULT_URL)),
        url => url.value(),
    };
    let tls = tls::take(&mut table, url.as_ref().is_some_and(|url| is_http(url.expose())));
    let proxy = secrets::take_checked(&mut table, "proxy", check_proxy);
    let timeout = super::take_timeout(&mut table, DEFAULT_TIMEOUT);
    let digest_place = table.place.below("digest");
    let common = super::read_common(&mut table, super::Digest::Off);
    if common.digest.is_some() {
        let text = "a digest would be an incident that is never resolved; leave it out, or write it for another receiver";
        table.reading.refuse(&digest_place, text);
    }
    Some(PagerdutyConfig {
        routing_key: routing_key.value()?,
        url: url?,
        proxy: proxy.value(),
        tls,
        timeout,
        common,
    })
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, config: &PagerdutyConfig) -> Vec<String> {
    http::warnings(&format!("pagerduty.{name}"), [&config.url], &config.tls, Some("its routing key crosses"))
}

fn check_routing_key(key: &str) -> Result<(), String> {
    if key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err("not a routing key, which has 32 letters and digits; write the integration key of an Events API v2 integration"
        .to_owned())
}

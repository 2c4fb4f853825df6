//! The table `[heartbeat]`.

use std::time::Duration;

use reqwest::Url;

use crate::http::options::is_loopback;
use crate::notify::heartbeat::config::{HeartbeatConfig, HeartbeatMethod};

use super::receivers::{http::check_success, take_timeout};
use super::shape::{
    Shape,
    Show::{self, Hidden, If, Origin},
};
use super::table::{Field, Table};
use super::urls::{check_address, check_proxy, is_http};
use super::values::{at_least, choice, duration, is_choice, is_quantity};
use super::{secrets, tls};

pub(super) const SHAPE: Shape = Shape {
    title: "[heartbeat]",
    keys: &[&[
        ("url", Origin),
        ("url_file", Hidden),
        ("method", If(|text| is_choice(text, &METHODS))),
        ("success", Hidden),
        ("interval", If(is_quantity)),
        ("timeout", If(is_quantity)),
        ("delivery_patience", If(is_quantity)),
        ("proxy", Origin),
        ("proxy_file", Hidden),
        ("tls", Show::Table(&tls::SHAPE)),
    ]],
};

const METHODS: [(&str, HeartbeatMethod); 2] =
    [("GET", HeartbeatMethod::Get), ("POST", HeartbeatMethod::Post)];

/// Such services expect intervals of a minute or more.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_DELIVERY_PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Absent if there is neither the table nor the environment variable of its URL.
pub(super) fn read(root: &mut Table<'_, '_>) -> Option<HeartbeatConfig> {
    let is_wanted = root.has("heartbeat");
    let mut table = root.section("heartbeat", &SHAPE);
    let url = secrets::take_checked(&mut table, "url", |url| {
        check_address(url, "\"https://hc-ping.com/your-uuid\"").map(drop)
    });
    if url.is_absent() && is_wanted {
        let variable = secrets::variable(&table.place.below("url"));
        table.refuse("url", format!("missing; write url or url_file, or set {variable}"));
    }
    let tls = tls::take(&mut table, matches!(&url, Field::Given(url) if is_http(url.value.expose())));
    let method = table.take("method", |value| choice(value, &METHODS));
    let success = table.take_free_text("success", check_success);
    let interval = table.take("interval", |value| at_least(SHORTEST_INTERVAL, value));
    let timeout = take_timeout(&mut table, DEFAULT_TIMEOUT);
    let delivery_patience = table.take("delivery_patience", duration);
    let proxy = secrets::take_checked(&mut table, "proxy", check_proxy);
    Some(HeartbeatConfig {
        url: url.value()?,
        method: method.value().unwrap_or(HeartbeatMethod::Get),
        success: success.value(),
        interval: interval.value().unwrap_or(DEFAULT_INTERVAL),
        timeout,
        delivery_patience: delivery_patience.value().unwrap_or(DEFAULT_DELIVERY_PATIENCE),
        proxy: proxy.value(),
        tls,
    })
}

/// What is allowed but probably not meant, as a sentence.
pub(super) fn warning(heartbeat: &HeartbeatConfig) -> Option<String> {
    let url = Url::parse(heartbeat.url.expose()).ok()?;
    if is_loopback(url.host_str().unwrap_or_default()) {
        return None;
    }
    if url.scheme() == "http" {
        return Some(
            "heartbeat: the URL crosses the network unencrypted, as it starts with http://, and anyone who reads it can \
             ping in our place"
                .to_owned(),
        );
    }
    tls::warning("heartbeat", &heartbeat.tls, "service read the URL, and ping in our place")
}

//! The keys that say where a target is and how it is reached. They are the same for all kinds.

use crate::config::shape::{
    Key,
    Show::{self, Hidden, Origin},
};
use crate::config::table::{Field, Table};
use crate::config::urls::{Pages, check_proxy, is_loopback_proxy, take_panel};
use crate::config::{headers, secrets, tls};
use crate::http::options::Endpoint;

pub(super) const KEYS: &[Key] = &[
    ("url", Origin),
    ("proxy", Origin),
    ("proxy_file", Hidden),
    ("headers", Hidden),
    ("tls", Show::Table(&tls::SHAPE)),
];

/// Takes the keys. `pages` are those that people take for the server's address, `example` is a URL that is right, and
/// `own` are the headers that requests of this kind have already.
pub(super) fn read(
    table: &mut Table<'_, '_>,
    pages: &Pages,
    example: &str,
    own: &[(&str, &str)],
) -> Option<Endpoint> {
    let url = take_panel(table, pages);
    if url.is_absent() {
        table.refuse("url", format!("missing; write url = \"{example}\""));
    }
    let is_socket = matches!(&url, Field::Given(url) if url.value.socket().is_some());
    if is_socket {
        table.refuse_given("tls", "has no effect on a url with unix://; leave it out");
    }
    let tls = tls::take(table, matches!(&url, Field::Given(url) if url.value.is_http()));
    let headers = headers::read(table, own);
    let proxy = secrets::take_checked(table, "proxy", check_proxy);
    if let Field::Given(proxy) = &proxy
        && is_socket
    {
        let text = "has no effect on a url with unix://, as no proxy reaches a socket; leave it out";
        table.reading.refuse(&proxy.place, text);
    }
    Some(Endpoint { url: url.value()?, tls, proxy: proxy.value(), headers })
}

/// What is allowed but probably not meant, a sentence each. `server` says what kind of server the table is for, and
/// `login` what the requests carry.
pub(super) fn warnings(table: &str, endpoint: &Endpoint, server: &str, login: &str) -> Vec<String> {
    let Endpoint { url, tls, proxy, headers } = endpoint;
    let stays_here = url.is_loopback() && proxy.as_ref().is_none_or(is_loopback_proxy);
    if stays_here {
        return Vec::new();
    }
    let mut warnings = Vec::from_iter(tls::warning(table, tls, &format!("{server} read the {login}")));
    if !url.is_https() {
        let exposed = if headers.is_empty() { "crosses" } else { "and the headers cross" };
        warnings.push(format!(
            "{table}: the {login} {exposed} the network unencrypted, as the URL starts with http://"
        ));
    }
    warnings
}

//! URLs that requests go to or through.

use reqwest::Url;
use toml::de::DeValue;

use crate::http::options::{PanelUrl, is_loopback, parse_proxy};
use crate::secret::Secret;

use super::placeholders;
use super::table::{Field, Placed, Table};
use super::values::free_text;

/// The pages of a kind of panel, which people copy from a browser in place of the panel's own address.
pub(super) struct Pages {
    /// What follows the address.
    pub(super) first: &'static [&'static str],
    /// What may follow that.
    pub(super) below: &'static [&'static str],
}

/// Takes `url`. From a page of the panel on, the URL is left out with a warning, because a base path can have any name.
/// One that has the name of a page is written with the page.
pub(super) fn take_panel(table: &mut Table<'_, '_>, pages: &Pages) -> Field<PanelUrl> {
    let mut is_browsed = false;
    let url = table.take("url", |value| {
        let url;
        (url, is_browsed) = panel(value)?;
        Ok(url)
    });
    let Field::Given(Placed { value: url, place }) = url else { return url };
    if let Some(repaired) = url.before_last(pages.first, pages.below) {
        let (whole, base) = (url.join(""), repaired.join(""));
        let page =
            whole.strip_prefix(&base).and_then(|rest| rest.split('/').find(|segment| !segment.is_empty()));
        let page = page.unwrap_or_default();
        if !base.ends_with(&format!("/{page}")) {
            table.reading.warn(
                &place,
                format_args!(
                    "the URL of a page, of which all from /{page} on is ignored; write it without that, or, if /{page} \
                     is the base path itself, write /{page} twice"
                ),
            );
        }
        return Field::Given(Placed { value: repaired, place });
    }
    if is_browsed && url.join("/") != format!("{}/", url.origin()) {
        // The path is that of the pages, which the panel's operator may have chosen.
        let text = "the URL of a page, as it has a #; write the panel's own address, which ends before the path of its pages";
        table.reading.refuse(&place, text);
        return Field::Refused;
    }
    Field::Given(Placed { value: url, place })
}

/// The address of a panel, and whether it is from a browser: a part from `#` on is never sent, and says which page of
/// the panel is shown.
fn panel(value: &DeValue<'_>) -> Result<(PanelUrl, bool), String> {
    let text = free_text(value)?;
    if let Some(form) = placeholders::in_url(&text) {
        return Err(placeholders::error(form, WHOLE_URL));
    }
    if let Some((_, rest)) = text.split_once("://")
        && rest.contains("://")
    {
        return Err("a URL with :// twice; write it as \"https://panel.example.com:8000\"".to_owned());
    }
    // The name of a socket may have any sign.
    let parts = text.split_once('#').filter(|_| !text.starts_with("unix:"));
    let (address, page) = parts.unwrap_or((&text, ""));
    let url = PanelUrl::parse(address).map_err(|error| error.to_string())?;
    Ok((url, !page.is_empty()))
}

const WHOLE_URL: &str = "write the whole URL";

/// Checks the whole URL of something on the web. `example` is one that is right, for the error.
pub(super) fn check_address(text: &str, example: &str) -> Result<Url, String> {
    if let Some(form) = placeholders::in_url(text) {
        return Err(placeholders::error(form, WHOLE_URL));
    }
    let url = Url::parse(text).map_err(|_| format!("not a URL; write it as {example}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("a URL that does not start with http:// or https://; write it as {example}"));
    }
    if url.fragment().is_some() {
        return Err("a URL with a fragment; leave out all from the #".to_owned());
    }
    Ok(url)
}

pub(super) fn check_proxy(text: &str) -> Result<(), String> {
    if let Some(form) = placeholders::in_url(text) {
        return Err(placeholders::error(form, WHOLE_URL));
    }
    match parse_proxy(text) {
        Some(_) => Ok(()),
        None => {
            Err("not a proxy's URL; write it as \"http://127.0.0.1:3128\" or \"socks5h://127.0.0.1:1080\""
                .to_owned())
        }
    }
}

/// Scheme, host and port of a URL: what may be shown of it.
pub fn origin(url: &Secret) -> String {
    Url::parse(url.expose()).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// Whether a proxy runs on this machine.
pub(super) fn is_loopback_proxy(url: &Secret) -> bool {
    Url::parse(url.expose()).is_ok_and(|url| is_loopback(url.host_str().unwrap_or_default()))
}

/// Whether a URL sends its requests unencrypted.
pub(super) fn is_http(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "http")
}

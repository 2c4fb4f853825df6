//! Asks a server for another name than that of the URL's host. The client's library asks for the host itself, so the URL is
//! given that name, which then resolves to the host's addresses, and the request keeps the host in its header.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use reqwest::{
    Client, Method, RequestBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HOST, HeaderValue},
};
use tokio::net::lookup_host;

/// The name to ask for.
#[derive(Clone, Debug)]
pub(super) struct Sni {
    name: String,
    /// The host of the first request, which is that of all.
    host: Arc<OnceLock<String>>,
    /// The value of the header `Host` of all requests, if it is not the URL's host.
    header: Option<HeaderValue>,
}

impl Sni {
    pub(super) fn new(name: &str, header: Option<&HeaderValue>) -> Self {
        Sni { name: name.to_owned(), host: Arc::default(), header: header.cloned() }
    }

    /// A request to `url` that asks for the name.
    pub(super) fn request(&self, client: &Client, method: Method, url: &str) -> RequestBuilder {
        let Some((renamed, host)) = self.rename(url) else { return client.request(method, url) };
        let request = client.request(method, renamed);
        match &self.header {
            Some(header) => request.header(HOST, header),
            None => request.header(HOST, host),
        }
    }

    /// The URL with the name, and the value of the header `Host`; absent: the URL is right as it is.
    fn rename(&self, url: &str) -> Option<(Url, String)> {
        let mut url = Url::parse(url).ok()?;
        let host = url.host_str()?.to_owned();
        if url.scheme() != "https" || host == self.name || *self.host.get_or_init(|| host.clone()) != host {
            return None;
        }
        let header = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
        url.set_host(Some(&self.name)).ok()?;
        // An address would be connected to.
        url.domain().is_some().then_some((url, header))
    }
}

impl Resolve for Sni {
    fn resolve(&self, name: Name) -> Resolving {
        // Other names are those of proxies.
        let host = self.host.get().filter(|_| name.as_str().eq_ignore_ascii_case(&self.name));
        let host = host.map_or(name.as_str(), String::as_str);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A URL takes it for 127.0.0.1.
    #[test]
    fn a_name_that_is_an_address_does_not_replace_the_host() {
        assert_eq!(Sni::new("0x7f.0x1", None).rename("https://192.0.2.7/"), None);
    }

    #[test]
    fn a_request_goes_to_the_host_and_asks_for_the_name() {
        for (url, renamed) in [
            ("https://192.0.2.7/a?b=c", Some(("https://panel.example.com/a?b=c", "192.0.2.7"))),
            ("https://192.0.2.7:8443/", Some(("https://panel.example.com:8443/", "192.0.2.7:8443"))),
            ("https://[2001:db8::1]:8443/", Some(("https://panel.example.com:8443/", "[2001:db8::1]:8443"))),
            ("https://panel.example.com:8443/", None),
            ("http://192.0.2.7/", None),
        ] {
            let seen = Sni::new("panel.example.com", None).rename(url);
            let seen = seen.as_ref().map(|(url, host)| (url.as_str(), host.as_str()));
            assert_eq!(seen, renamed, "{url}");
        }
    }
}

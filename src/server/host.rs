//! The host that a request names, and whether the port may be reached by it.
//!
//! A page of any site can have its name resolve to a loopback address once it is loaded ("DNS rebinding"). A browser then
//! lets its scripts read what a port on loopback answers. Such requests name the site as their host.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use hyper::{
    Version,
    header::{HOST, HeaderMap},
    http::uri::{Authority, Uri},
};

use crate::file;

/// Longer names do not exist.
const MAX_NAME: usize = 253;

/// Why a request has no usable host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHost {
    Missing,
    Several,
    Empty,
    Malformed,
}

impl BadHost {
    pub(super) fn text(self) -> &'static str {
        match self {
            BadHost::Missing => "The request has no Host header.\n",
            BadHost::Several => "The request has more than one Host header.\n",
            BadHost::Empty => "The Host header is empty.\n",
            BadHost::Malformed => "The Host header is not a host and a port.\n",
        }
    }
}

/// The host that a request names, in lower case and without port; absent in HTTP/1.0, which knows none.
///
/// RFC 9112, section 3.2: a host in the request target counts, but the header must be valid all the same.
pub(super) fn of(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<Option<String>, BadHost> {
    let mut values = headers.get_all(HOST).iter();
    let header = match (values.next(), values.next()) {
        (None, _) if version < Version::HTTP_11 => None,
        (None, _) => return Err(BadHost::Missing),
        (Some(_), Some(_)) => return Err(BadHost::Several),
        (Some(value), None) if value.is_empty() && version < Version::HTTP_11 => None,
        (Some(value), None) if value.is_empty() => return Err(BadHost::Empty),
        (Some(value), None) => Some(Authority::try_from(value.as_bytes()).map_err(|_| BadHost::Malformed)?),
    };
    let target = uri.authority().cloned();
    for authority in header.iter().chain(&target) {
        if !is_whole(authority) {
            return Err(BadHost::Malformed);
        }
    }
    Ok(target.or(header).map(|authority| authority.host().to_ascii_lowercase()))
}

/// Whether it is a host and nothing else but a port.
fn is_whole(authority: &Authority) -> bool {
    let rest = authority.as_str().strip_prefix(authority.host());
    let port = rest.and_then(|rest| if rest.is_empty() { Some("") } else { rest.strip_prefix(':') });
    let host = authority.host();
    let is_name =
        || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte));
    !host.is_empty()
        && (ipv6(host).is_some() || is_name())
        && port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok())
}

/// The address in brackets; a zone behind it, as in `[fe80::1%25eth0]`, is left out.
fn ipv6(host: &str) -> Option<Ipv6Addr> {
    let inner = host.strip_prefix('[')?.strip_suffix(']')?;
    inner.split_once('%').map_or(inner, |(address, _)| address).parse().ok()
}

/// Whether a host cannot be the name of somebody else's site: an address, a name that always leads to this machine, or
/// one of `own`.
pub(super) fn is_ours(host: &str, own: &[String]) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    // No top-level domain is a number, so this is an address in one of its spellings, such as 127.1.
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        || ipv6(host).is_some()
        || name.parse::<Ipv4Addr>().is_ok()
        || last == "localhost"
        || own.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// What to do about a host that is not ours.
pub(super) fn advice(host: &str) -> String {
    let host = if host.len() <= MAX_NAME { host } else { "…" };
    let write = match host.contains('.') {
        true => format!(
            "write external_url = \"http://{host}\" in [web] if that is what people type to see its page"
        ),
        false => "call it by another name".to_owned(),
    };
    format!(
        "\"{host}\" is not a known name of this exporter. Without a password, a port on loopback can be reached by an IP \
         address, localhost, the names of this machine, and the host of external_url. Let the proxy in front send \
         \"Host: localhost\", or {write}, or set a password in [web.basic_auth].\n"
    )
}

/// The names of this machine and of the URL of the exporter's page, if they are known.
pub fn own_names(external_url: &str) -> Vec<String> {
    const HOSTS: u64 = 64 * 1024;
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let url = external_url.parse::<Uri>().ok();
    let names =
        [machine.map(|name| name.trim().to_owned()), url.and_then(|url| Some(url.host()?.to_owned()))];
    let hosts = file::read(Path::new("/etc/hosts"), HOSTS).unwrap_or_default();
    let names = names.into_iter().flatten().filter(|name| !name.is_empty());
    names.chain(loopback_names(&String::from_utf8_lossy(&hosts))).collect()
}

/// The names that the file `hosts` gives to this machine. Systems write the full name of the machine there.
fn loopback_names(hosts: &str) -> Vec<String> {
    let names = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        address.is_loopback().then_some(words)
    });
    names.flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn host(target: &str, hosts: &[&str], version: Version) -> Result<Option<String>, BadHost> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        of(&target.parse().unwrap(), &headers, version)
    }

    #[test]
    fn hosts_of_requests() {
        let named = |name: &str| Ok(Some(name.to_owned()));
        for (target, hosts, expected) in [
            ("/", &["localhost"][..], named("localhost")),
            ("/", &["LOCALHOST:10057"], named("localhost")),
            ("/", &["127.0.0.1:"], named("127.0.0.1")),
            ("/", &["[::1]:80"], named("[::1]")),
            ("/", &["[fe80::1%25eth0]:80"], named("[fe80::1%25eth0]")),
            ("/", &["a_b.example"], named("a_b.example")),
            ("*", &["localhost"], named("localhost")),
            ("http://target.example/", &["header.example"], named("target.example")),
            ("/", &[], Err(BadHost::Missing)),
            ("http://target.example/", &[], Err(BadHost::Missing)),
            ("/", &["a", "a"], Err(BadHost::Several)),
            ("/", &[""], Err(BadHost::Empty)),
            ("/", &[":80"], Err(BadHost::Malformed)),
            ("/", &["a:b"], Err(BadHost::Malformed)),
            ("/", &["a:65536"], Err(BadHost::Malformed)),
            ("/", &["a b"], Err(BadHost::Malformed)),
            ("/", &["a,b@c"], Err(BadHost::Malformed)),
            ("/", &["user@localhost"], Err(BadHost::Malformed)),
            ("/", &["http://localhost"], Err(BadHost::Malformed)),
            ("/", &["localhost/"], Err(BadHost::Malformed)),
            ("/", &["[::1"], Err(BadHost::Malformed)),
            ("/", &["[localhost]"], Err(BadHost::Malformed)),
            ("/", &["::1"], Err(BadHost::Malformed)),
            ("http://target.example/", &["a b"], Err(BadHost::Malformed)),
            ("http://user@target.example/", &["a"], Err(BadHost::Malformed)),
        ] {
            assert_eq!(host(target, hosts, Version::HTTP_11), expected, "{target} {hosts:?}");
        }
        assert_eq!(host("/", &[], Version::HTTP_10), Ok(None));
        assert_eq!(host("/", &[""], Version::HTTP_10), Ok(None));
        assert_eq!(host("/", &["a", "b"], Version::HTTP_10), Err(BadHost::Several));
        assert_eq!(host("/", &["a"], Version::HTTP_10), named("a"));
    }

    #[test]
    fn names_that_are_ours() {
        let own = ["proxymeter.example.com".to_owned(), "Machine".to_owned()];
        for ours in [
            "localhost",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "127.0.0.53",
            "127.1",
            "2130706433",
            "192.0.2.7",
            "[::1]",
            "[2001:db8::1]",
            "proxymeter.example.com",
            "proxymeter.example.com.",
            "machine",
        ] {
            assert!(is_ours(ours, &own), "{ours}");
        }
        for foreign in [
            "attacker.example",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "notlocalhost",
            "proxymeter.example.com.attacker.example",
            "machine.attacker.example",
            "1.2.3.4.example",
            ".",
        ] {
            assert!(!is_ours(foreign, &own), "{foreign}");
        }
    }

    #[test]
    fn the_host_of_the_url_is_ours() {
        for (url, expected) in [
            ("https://proxymeter.example.com:8443/p", Some("proxymeter.example.com")),
            ("http://[::1]:80", Some("[::1]")),
            ("", None),
        ] {
            let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
            let names = own_names(url);
            assert_eq!(names.first().map(String::as_str), Some(machine.trim()));
            assert_eq!(expected.filter(|expected| names[1] != *expected), None, "{url}");
        }
    }

    #[test]
    fn the_names_of_the_hosts_file_are_ours() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tsrv.example.com srv # here\n::1 ip6-localhost\n\
                     192.0.2.7 other.example.com\n# 127.0.0.1 no.example.com\nnonsense\n";
        assert_eq!(loopback_names(hosts), ["localhost", "srv.example.com", "srv", "ip6-localhost"]);
    }

    #[test]
    fn only_a_name_that_people_can_type_is_a_url() {
        assert!(advice("panel.example.com").contains("external_url = \"http://panel.example.com\""));
        assert!(!advice("upstream").contains("http://"));
    }
}

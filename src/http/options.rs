//! Options of a connection: the address, the way to it, and which certificates to trust.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;
use rustls::pki_types::ServerName;

use crate::secret::Secret;

/// A target, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub url: PanelUrl,
    pub tls: TlsOptions,
    /// The URL of a proxy: `http://`, `socks5://`, or `socks5h://`, which also resolves the target's name.
    pub proxy: Option<Secret>,
    /// Headers of all requests, such as those of an access gateway in front of the target.
    pub headers: Vec<(String, Secret)>,
}

impl From<PanelUrl> for Endpoint {
    /// An endpoint that is reached without anything special.
    fn from(url: PanelUrl) -> Self {
        Endpoint { url, tls: TlsOptions::default(), proxy: None, headers: Vec::new() }
    }
}

/// The base address of a panel: http or https and a host, or the path of a Unix socket, and perhaps a path before the
/// API's own.
///
/// That last path is treated as a secret, because panels hide behind unguessable paths: `Debug` leaves it out, and
/// there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct PanelUrl {
    /// What requests are made to. For a socket, the host is `localhost`.
    url: Url,
    socket: Option<PathBuf>,
}

/// The longest path that a Unix socket can have, in bytes, by the limit of Linux.
const SOCKET_PATH: usize = 107;

/// Why a text is not a base address. The messages do not quote the text, which may hold a password or a secret path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PanelUrlError {
    #[error("not a URL; write it as \"https://panel.example.com:8000\"")]
    NotAUrl,
    #[error(
        "a URL that does not start with http:// or https://; write it as \"https://panel.example.com:8000\""
    )]
    Scheme,
    #[error("a URL without a host; write it as \"https://panel.example.com:8000\"")]
    NoHost,
    #[error(
        "a URL with a user name or password in it; leave out all up to the @, and write the login in its own keys"
    )]
    UserInfo,
    #[error("a URL with a query or fragment; leave out all from the first ? or #")]
    Query,
    #[error(
        "a socket without a path of 1 to {SOCKET_PATH} bytes that begins with /; write it as \
         \"unix:///run/panel.sock\", and a base path after a colon: \"unix:///run/panel.sock:/base-path/\""
    )]
    Socket,
}

impl PanelUrl {
    /// Parses a base address. Trailing slashes are ignored.
    pub fn parse(text: &str) -> Result<Self, PanelUrlError> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("unix:") {
            return PanelUrl::of_socket(rest);
        }
        let others = ["/", "http+unix:", "http://unix:", "https://unix:"];
        if others.iter().any(|form| text.starts_with(form)) {
            return Err(PanelUrlError::Socket);
        }
        let url = Url::parse(text).map_err(|_| {
            if text.starts_with("http:") || text.starts_with("https:") || !text.contains("://") {
                PanelUrlError::NotAUrl
            } else {
                PanelUrlError::Scheme
            }
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PanelUrlError::Scheme);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(PanelUrlError::NoHost);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(PanelUrlError::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(PanelUrlError::Query);
        }
        Ok(PanelUrl { url, socket: None })
    }

    /// `rest` is `///path`, or `///path:/base-path`.
    fn of_socket(rest: &str) -> Result<Self, PanelUrlError> {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        let (path, base) = path.split_once(':').unwrap_or((path, ""));
        let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains(char::is_control);
        if !is_path || path.len() > SOCKET_PATH || !(base.is_empty() || base.starts_with('/')) {
            return Err(PanelUrlError::Socket);
        }
        let PanelUrl { url, .. } = PanelUrl::parse(&format!("http://localhost{base}"))?;
        Ok(PanelUrl { url, socket: Some(path.into()) })
    }

    /// The whole address as the configuration has it, for the one place that writes it there.
    pub fn expose(&self) -> String {
        let path = self.url.path().trim_end_matches('/');
        match &self.socket {
            Some(socket) if path.is_empty() => format!("unix://{}", socket.display()),
            Some(socket) => format!("unix://{}:{path}/", socket.display()),
            None if path.is_empty() => self.origin(),
            None => self.join("/"),
        }
    }

    /// The path of the Unix socket, if it is one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// The address of `path`, which begins with a slash, below the base.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }

    /// The address up to the last segment that is one of these, and is followed by those of `below` alone; absent: none
    /// is.
    pub fn before_last(&self, segments: &[&str], below: &[&str]) -> Option<Self> {
        let path = self.url.path();
        let is_one = |segment: &&str| segments.contains(segment);
        let kept = path.split('/').collect::<Vec<_>>();
        let at = kept.iter().rposition(is_one)?;
        if !kept[at + 1..].iter().all(|segment| segment.is_empty() || below.contains(segment)) {
            return None;
        }
        let mut url = self.url.clone();
        url.set_path(&kept[..at].join("/"));
        Some(PanelUrl { url, socket: self.socket.clone() })
    }

    /// Scheme, host, and the port unless it is the scheme's default, or the path of the socket: what a log may show.
    pub fn origin(&self) -> String {
        match &self.socket {
            Some(socket) => format!("unix://{}", socket.display()),
            None => self.url.origin().ascii_serialization(),
        }
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it begins with `http://`, and could begin with `https://` instead.
    pub fn is_http(&self) -> bool {
        self.url.scheme() == "http" && self.socket.is_none()
    }

    /// Whether the host is this machine: by address, as `localhost` or by a socket.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.url.host_str().unwrap_or_default())
    }
}

/// The URL of a proxy: `http://`, `socks5://` or `socks5h://` and a host, perhaps a login and a port, and nothing else.
pub fn parse_proxy(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_whole = matches!(url.scheme(), "http" | "socks5" | "socks5h")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && ["", "/"].contains(&url.path())
        && url.query().is_none()
        && url.fragment().is_none();
    is_whole.then_some(url)
}

/// Whether a host is this machine, by address (IPv6 with or without brackets) or as `localhost`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for PanelUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())?;
        match (self.url.path(), &self.socket) {
            ("/", _) => Ok(()),
            (_, None) => f.write_str("/<path>"),
            (_, Some(_)) => f.write_str(":/<path>"),
        }
    }
}

/// Which server certificates to trust, and the client certificate to present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsOptions {
    /// SHA-256 of the whole certificates (DER) of which the server must show one; empty: any that is trusted otherwise.
    pub pin_sha256: Vec<[u8; 32]>,
    /// Certificate authorities to trust instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, PEM. Present exactly when `client_key_file` is.
    pub client_cert_file: Option<PathBuf>,
    /// The key of our certificate, PEM.
    pub client_key_file: Option<PathBuf>,
    /// The name that is asked for and that the certificate must be for, in place of the one that is connected to.
    pub server_name: Option<ServerName<'static>>,
    /// Trust any certificate.
    pub insecure_skip_verify: bool,
}

impl TlsOptions {
    /// The files that these options name.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.ca_file, &self.client_cert_file, &self.client_key_file]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }
}

/// Parses a host name without a wildcard, or an address without brackets. What a URL takes for an address in another form,
/// such as `0x7f.0x1`, is neither.
pub fn parse_server_name(text: &str) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(text.to_owned()).ok()?;
    let is_usable = match &name {
        ServerName::DnsName(name) => {
            let url = Url::parse(&format!("https://{}", name.as_ref())).ok()?;
            url.domain().is_some_and(|domain| domain.eq_ignore_ascii_case(name.as_ref()))
        }
        _ => true,
    };
    is_usable.then_some(name)
}

/// Parses a SHA-256 fingerprint: 64 hex digits, in either case, with or without colons between the bytes.
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.chars().filter(|&c| c != ':').map(|c| c.to_digit(16));
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_addresses() {
        for (text, system, origin) in [
            (
                "https://panel.example.com:8000",
                "https://panel.example.com:8000/api/system",
                "https://panel.example.com:8000",
            ),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/api/system", "http://127.0.0.1:8000"),
            (
                "HTTPS://Panel.example.com:443//",
                "https://panel.example.com/api/system",
                "https://panel.example.com",
            ),
            (
                "https://[2001:db8::1]:8443/hid/den/",
                "https://[2001:db8::1]:8443/hid/den/api/system",
                "https://[2001:db8::1]:8443",
            ),
        ] {
            let url = PanelUrl::parse(text).unwrap();
            assert_eq!((url.join("/api/system").as_str(), url.origin().as_str()), (system, origin), "{text}");
        }
    }

    #[test]
    fn sockets() {
        for (text, system, shown) in [
            ("unix:///run/panel.sock", "http://localhost/api/system", "unix:///run/panel.sock"),
            (" unix:/run/panel.sock", "http://localhost/api/system", "unix:///run/panel.sock"),
            ("unix:///run/my panel.sock:/", "http://localhost/api/system", "unix:///run/my panel.sock"),
            ("unix:///s:/hid/den/", "http://localhost/hid/den/api/system", "unix:///s:/<path>"),
        ] {
            let url = PanelUrl::parse(text).unwrap();
            assert_eq!((url.join("/api/system").as_str(), format!("{url:?}").as_str()), (system, shown));
            assert_eq!((url.is_https(), url.is_http(), url.is_loopback()), (false, false, true));
            assert!(url.before_last(&["hid"], &["den"]).is_none_or(|url| url.origin() == "unix:///s"));
        }
        for text in [
            "/run/s",
            "http+unix:///s",
            "http://unix:/run/s",
            "unix:",
            "unix://",
            "unix://run/panel.sock",
            "unix:///run/",
            "unix:///s:8000",
            "unix:///s\0",
        ] {
            assert_eq!(PanelUrl::parse(text), Err(PanelUrlError::Socket), "{text}");
        }
        assert!(PanelUrl::parse(&format!("unix:///{}", "s".repeat(SOCKET_PATH - 1))).is_ok());
        assert!(PanelUrl::parse(&format!("unix:///{}", "s".repeat(SOCKET_PATH))).is_err());
        assert_eq!(PanelUrl::parse("unix:///s:/base?a=1"), Err(PanelUrlError::Query));
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in [
            "https://panel.example.com:8000",
            "https://[2001:db8::1]:8443/hid/den/",
            "unix:///run/panel.sock",
            "unix:///run/panel.sock:/hid/den/",
        ] {
            let url = PanelUrl::parse(text).unwrap();
            assert_eq!(url.expose(), text);
            assert_eq!(PanelUrl::parse(&url.expose()), Ok(url));
        }
    }

    #[test]
    fn refused_addresses() {
        use PanelUrlError::*;
        for (text, error) in [
            ("", NotAUrl),
            ("panel", NotAUrl),
            ("panel.example.com", NotAUrl),
            ("panel.example.com:8000", Scheme),
            ("ftp://panel.example.com", Scheme),
            ("ftp://panel.example.com:99999", Scheme),
            ("https://", NotAUrl),
            ("https://:8000", NotAUrl),
            ("https://panel.example.com:99999", NotAUrl),
            ("https://admin:hunter2@panel.example.com", UserInfo),
            ("https://admin@panel.example.com", UserInfo),
            ("https://panel.example.com/?a=1", Query),
            ("https://panel.example.com/#/users", Query),
        ] {
            assert_eq!(PanelUrl::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_address_before_a_segment() {
        for (text, before) in [
            ("http://h/panel", Some("http://h/")),
            ("http://h/base/panel/inbounds/", Some("http://h/base/")),
            ("http://h/panel/panel/", Some("http://h/panel/")),
            ("http://h//base//login", Some("http://h//base/")),
            ("http://h/base/Panels/", None),
            ("http://h/panel/3f9a/", None),
            ("http://h/panel/inbounds/3f9a", None),
            ("http://h", None),
        ] {
            let url = PanelUrl::parse(text).unwrap().before_last(&["panel", "login"], &["inbounds"]);
            assert_eq!(url.map(|url| url.join("/")).as_deref(), before, "{text}");
        }
    }

    #[test]
    fn the_path_is_not_shown() {
        let url = PanelUrl::parse("https://panel.example.com:8000/hidden/").unwrap();
        assert_eq!(format!("{url:?}"), "https://panel.example.com:8000/<path>");
    }

    #[test]
    fn loopback() {
        for (text, loopback) in [
            ("http://127.0.0.1:8000", true),
            ("http://127.9.9.9", true),
            ("http://localhost", true),
            ("http://[::1]:8000", true),
            ("http://198.51.100.7", false),
            ("http://127.0.0.1.example.com", false),
        ] {
            assert_eq!(PanelUrl::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }

    #[test]
    fn server_names() {
        for (text, is_one) in [
            ("panel.example.com", true),
            ("Panel.example.com.", true),
            ("my_panel", true),
            ("xn--80ak6aa92e.com", true),
            ("203.0.113.7", true),
            ("2001:db8::1", true),
            ("[2001:db8::1]", false),
            ("*.example.com", false),
            ("panel.example.com:8443", false),
            ("0x7f.0x1", false),
            ("127.0.0.0x1", false),
            ("0x7f000001", false),
            ("panel.1", false),
            ("xn--a", false),
            ("", false),
        ] {
            assert_eq!(parse_server_name(text).is_some(), is_one, "{text}");
        }
    }

    #[test]
    fn fingerprints() {
        let plain = "00ff".repeat(16);
        let with_colons = ["00", "FF"].repeat(16).join(":");
        assert_eq!(parse_sha256(&plain), Some([0, 255].repeat(16).try_into().unwrap()));
        assert_eq!(parse_sha256(&plain), parse_sha256(&with_colons));
        for wrong in ["", "00ff", &"0".repeat(63), &"0".repeat(65), &"0g".repeat(32), &"é".repeat(64)] {
            assert_eq!(parse_sha256(wrong), None, "{wrong}");
        }
    }
}

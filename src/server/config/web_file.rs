//! The web configuration file of the official exporters, in the form of Prometheus' exporter-toolkit 0.17.
//!
//! What the toolkit takes means the same here. What cannot be had here, such as TLS 1.1, is refused rather than
//! ignored. Paths begin in the file's folder. HTTP/2 is not served, whatever `http2` says.

use std::{path::Path, time::Duration};

use hyper::header::{HeaderName, HeaderValue};
use rustls::{CipherSuite, NamedGroup};

use super::{
    ClientAuth, PasswordHash, Pem, TlsSettings, TlsVersion, Users,
    yaml::{self, Node, Position, Value},
};
use crate::secret::Secret;

/// What such a file says.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct WebFile {
    pub(in crate::server) tls: Option<TlsSettings>,
    pub(in crate::server) headers: Vec<(HeaderName, HeaderValue)>,
    pub(in crate::server) users: Users,
    pub(in crate::server) rate_limit: Option<RateLimit>,
}

/// One request per `interval`, and `burst` of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct RateLimit {
    pub(in crate::server) interval: Duration,
    pub(in crate::server) burst: u32,
}

/// The headers that may be added, and the values that those have of which there are only a few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

const VERSIONS: [(&str, TlsVersion); 2] = [("TLS12", TlsVersion::Tls12), ("TLS13", TlsVersion::Tls13)];

const CLIENT_AUTH: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::NoClientCert),
    ("RequestClientCert", ClientAuth::RequestClientCert),
    ("RequireAnyClientCert", ClientAuth::RequireAnyClientCert),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyClientCertIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerifyClientCert),
    // An old name of RequireAnyClientCert.
    ("RequireClientCert", ClientAuth::RequireAnyClientCert),
];

/// Those of TLS 1.3 may be named, too, but are there in any case, as in Go.
const CIPHER_SUITES: [(&str, CipherSuite); 9] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
];

const CURVES: [(&str, NamedGroup); 3] = [
    ("CurveP256", NamedGroup::secp256r1),
    ("CurveP384", NamedGroup::secp384r1),
    ("X25519", NamedGroup::X25519),
];

/// Reads the text of the file at `path`.
///
/// # Errors
/// All that is wrong, in the order of the text, as `path:line:column: key: what was seen; what to write`.
pub(in crate::server) fn parse(text: &[u8], path: &Path) -> Result<WebFile, Vec<String>> {
    let tell = |at: Position, why: &str| format!("{}:{}:{}: {why}", path.display(), at.line, at.column);
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(vec![format!("{}: not UTF-8; save the file as UTF-8", path.display())]);
    };
    let root = yaml::parse(text).map_err(|(at, why)| vec![tell(at, &why)])?;
    let mut faults = Vec::new();
    let file = read_file(Map::of("", &root, &mut faults), path, &mut faults);
    if faults.is_empty() {
        return Ok(file);
    }
    faults.sort_by_key(|(at, _)| (at.line, at.column));
    Err(faults.iter().map(|(at, why)| tell(*at, why)).collect())
}

type Faults = Vec<yaml::Fault>;

fn read_file(mut root: Map, path: &Path, faults: &mut Faults) -> WebFile {
    let tls = root.map("tls_server_config", faults);
    let mut http = root.map("http_server_config", faults);
    let users = root.map("basic_auth_users", faults);
    let rate = root.map("rate_limit", faults);
    root.finish(&["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"], faults);

    http.take("http2", switch, faults);
    let headers = http.map("headers", faults);
    http.finish(&["http2", "headers"], faults);
    WebFile {
        tls: read_tls(tls, path.parent().unwrap_or(Path::new("")), faults),
        headers: read_headers(headers, faults),
        users: read_users(users, faults),
        rate_limit: read_rate(rate, faults),
    }
}

fn read_tls(mut map: Map, folder: &Path, faults: &mut Faults) -> Option<TlsSettings> {
    let at = map.at;
    // A file takes precedence over a text beside it.
    let mut pem = |file_key: &'static str, key: &'static str, faults: &mut Faults| {
        let inline = map.take(key, text, faults);
        let file = map.take(file_key, text, faults);
        let filled = |text: &String| !text.is_empty();
        file.filter(filled)
            .map(|file| Pem::File(folder.join(file)))
            .or_else(|| inline.filter(filled).map(|inline| Pem::Inline(Secret::from(inline))))
    };
    let certificate = pem("cert_file", "cert", faults);
    let key = pem("key_file", "key", faults);
    let client_ca = pem("client_ca_file", "client_ca", faults);
    let auth_given = map.take("client_auth_type", optional_choice(&CLIENT_AUTH), faults).flatten();
    let client_names = map.list("client_allowed_sans", text, faults);
    let min_version = map.take("min_version", version, faults);
    let max_version = map.take("max_version", version, faults);
    let cipher_suites = map.list("cipher_suites", cipher_suite, faults).unwrap_or_default();
    let curves = map.list("curve_preferences", choice(&CURVES), faults).unwrap_or_default();
    let own_order = map.take("prefer_server_cipher_suites", switch, faults);
    map.finish(
        &[
            "cert_file",
            "key_file",
            "cert",
            "key",
            "client_ca_file",
            "client_ca",
            "client_auth_type",
            "client_allowed_sans",
            "min_version",
            "max_version",
            "cipher_suites",
            "curve_preferences",
            "prefer_server_cipher_suites",
        ],
        faults,
    );

    // As in the toolkit, nothing else turns TLS on, and without it nothing of this table counts.
    if certificate.is_none() && key.is_none() && client_ca.is_none() && auth_given.is_none() {
        return None;
    }
    let mut refuse = |key: &str, why: &str| faults.push((at, format!("tls_server_config.{key}: {why}")));
    if certificate.is_none() {
        refuse("cert_file", "missing; write cert_file, or the certificate itself in cert");
    }
    if key.is_none() {
        refuse("key_file", "missing; write key_file, or the key itself in key");
    }
    let client_auth = auth_given.unwrap_or(ClientAuth::NoClientCert);
    if client_ca.is_some() && client_auth == ClientAuth::NoClientCert {
        refuse(
            "client_auth_type",
            "missing beside a client CA; write RequireAndVerifyClientCert, or leave the CA out",
        );
    }
    if client_ca.is_none() && client_auth.verified() {
        refuse(
            "client_ca_file",
            "missing beside a client_auth_type that verifies, which would accept every certificate of any of \
             the system's authorities; write client_ca_file or client_ca",
        );
    }
    if client_names.is_some() && !client_auth.required() {
        refuse(
            "client_allowed_sans",
            "needs a client_auth_type that requires a certificate; write RequireAndVerifyClientCert",
        );
    }
    let min_version = min_version.unwrap_or(TlsVersion::Tls12);
    let max_version = max_version.unwrap_or(TlsVersion::Tls13);
    if min_version > max_version {
        refuse("max_version", "below min_version, which leaves no version; raise it, or leave it out");
    }
    Some(TlsSettings {
        certificate: certificate?,
        key: key?,
        client_auth,
        client_ca,
        client_names,
        min_version,
        max_version,
        own_order: own_order.unwrap_or(true) && !cipher_suites.is_empty(),
        cipher_suites,
        curves,
    })
}

fn read_headers(map: Map, faults: &mut Faults) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, at, node) in map.entries {
        let mut refuse = |at, why: String| faults.push((at, format!("http_server_config.headers: {why}")));
        let Some((_, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            refuse(at, format!("a header that cannot be set here; write {}", alternatives(&HEADERS)));
            continue;
        };
        let value = match &*node.value {
            Value::Null => "",
            Value::Scalar { text, .. } => text,
            Value::List(_) | Value::Map(_) => {
                refuse(node.at, format!("{}; write text", kind(&node.value)));
                continue;
            }
        };
        if !values.is_empty() && !values.contains(&value) {
            refuse(node.at, format!("{name} has no such value; write {}", values.join(" or ")));
        }
        match (HeaderName::try_from(&name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => refuse(node.at, "a line break or control character; write the value without".to_owned()),
        }
    }
    headers
}

fn read_users(map: Map, faults: &mut Faults) -> Users {
    let mut users = Users::new();
    for (name, _, node) in map.entries {
        let hash = match &*node.value {
            Value::Scalar { text, .. } => PasswordHash::parse(text),
            Value::Null | Value::List(_) | Value::Map(_) => PasswordHash::parse(""),
        };
        match hash {
            Ok(hash) => {
                users.insert(name, hash);
            }
            Err(err) => faults.push((node.at, format!("basic_auth_users: {err}"))),
        }
    }
    users
}

/// An interval of 0 is no limit; a burst of 0 lets nothing pass.
fn read_rate(mut map: Map, faults: &mut Faults) -> Option<RateLimit> {
    let interval = map.take("interval", duration, faults).unwrap_or_default();
    let burst = map.take("burst", count, faults).unwrap_or_default();
    map.finish(&["interval", "burst"], faults);
    (!interval.is_zero()).then_some(RateLimit { interval, burst })
}

/// A map of which keys are taken; those that are left are unknown.
struct Map {
    /// What leads to it, with a dot at the end.
    way: String,
    at: Position,
    entries: Vec<(String, Position, Node)>,
}

impl Map {
    fn of(way: &str, node: &Node, faults: &mut Faults) -> Self {
        let entries = match &*node.value {
            Value::Null => Vec::new(),
            Value::Map(entries) => entries.clone(),
            value @ (Value::Scalar { .. } | Value::List(_)) => {
                let whose = if way.is_empty() { "the file" } else { way.trim_end_matches('.') };
                faults.push((node.at, format!("{whose}: {}; write keys with values", kind(value))));
                Vec::new()
            }
        };
        Map { way: way.to_owned(), at: node.at, entries }
    }

    fn remove(&mut self, key: &str) -> Option<Node> {
        let index = self.entries.iter().position(|(known, ..)| known == key)?;
        Some(self.entries.remove(index).2)
    }

    /// A map below this one; an absent one is as good as empty.
    fn map(&mut self, key: &str, faults: &mut Faults) -> Map {
        let way = format!("{}{key}.", self.way);
        match self.remove(key) {
            Some(node) => Map::of(&way, &node, faults),
            None => Map { way, at: self.at, entries: Vec::new() },
        }
    }

    fn take<T>(
        &mut self,
        key: &str,
        read: impl Fn(&Value) -> Result<T, String>,
        faults: &mut Faults,
    ) -> Option<T> {
        let node = self.remove(key)?;
        match &*node.value {
            Value::Null => None,
            value => match read(value) {
                Ok(value) => Some(value),
                Err(why) => {
                    faults.push((node.at, format!("{}{key}: {why}", self.way)));
                    None
                }
            },
        }
    }

    fn list<T>(
        &mut self,
        key: &str,
        read: impl Fn(&Value) -> Result<T, String>,
        faults: &mut Faults,
    ) -> Option<Vec<T>> {
        let node = self.remove(key)?;
        match &*node.value {
            Value::Null => None,
            Value::List(nodes) => {
                let mut values = Vec::new();
                for node in nodes {
                    match read(&node.value) {
                        Ok(value) => values.push(value),
                        Err(why) => faults.push((node.at, format!("{}{key}: {why}", self.way))),
                    }
                }
                Some(values)
            }
            value => {
                faults.push((node.at, format!("{}{key}: {}; write a list", self.way, kind(value))));
                None
            }
        }
    }

    /// Refuses what was not taken.
    fn finish(self, known: &[&str], faults: &mut Faults) {
        for (_, at, _) in self.entries {
            let whose = if self.way.is_empty() { "the file" } else { self.way.trim_end_matches('.') };
            faults.push((at, format!("{whose}: an unknown key; it knows {}", known.join(", "))));
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Scalar { .. } => "a value",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Scalar { text, .. } => Ok(text.clone()),
        Value::List(_) | Value::Map(_) => Err(format!("{}; write text", kind(value))),
    }
}

fn choice<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Value) -> Result<T, String> {
    move |value| {
        let text = text(value)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|&(_, choice)| choice).ok_or_else(|| format!("no choice; write {}", alternatives(choices)))
    }
}

/// `a, b or c`.
fn alternatives<T>(choices: &[(&str, T)]) -> String {
    let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
    match &*words {
        [words @ .., last] if !words.is_empty() => format!("{} or {last}", words.join(", ")),
        _ => words.join(", "),
    }
}

/// The same, where empty text is as good as none.
fn optional_choice<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Value) -> Result<Option<T>, String> {
    let choice = choice(choices);
    move |value| if text(value)?.is_empty() { Ok(None) } else { choice(value).map(Some) }
}

fn version(value: &Value) -> Result<TlsVersion, String> {
    if matches!(&*text(value)?, "TLS10" | "TLS11") {
        return Err("a version that is broken and not to be had here; write TLS12 or TLS13".to_owned());
    }
    choice(&VERSIONS)(value)
}

fn cipher_suite(value: &Value) -> Result<CipherSuite, String> {
    choice(&CIPHER_SUITES)(value).map_err(|_| {
        format!(
            "a cipher suite that is unknown or too old to be had here; write {}",
            alternatives(&CIPHER_SUITES)
        )
    })
}

/// In the words of YAML 1.1, which the toolkit reads.
fn switch(value: &Value) -> Result<bool, String> {
    match value {
        Value::Scalar { text, plain: true } => match &**text {
            "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
            "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
            _ => Err("no choice; write true or false".to_owned()),
        },
        _ => Err(format!("{}; write true or false, without quotes", kind(value))),
    }
}

fn count(value: &Value) -> Result<u32, String> {
    let number = match value {
        Value::Scalar { text, plain: true } => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| "not a number; write a whole number from 0, without quotes".to_owned())
}

/// A duration as Go writes it, such as 1m30s or 1.5s; a number without a unit is in nanoseconds.
fn duration(value: &Value) -> Result<Duration, String> {
    let text = text(value)?;
    if let Ok(nanoseconds) = text.parse() {
        return Ok(Duration::from_nanos(nanoseconds));
    }
    go_duration(&text).ok_or_else(|| "not a duration; write one such as 1s or 1m30s".to_owned())
}

fn go_duration(text: &str) -> Option<Duration> {
    /// In seconds; of two that begin alike the longer comes first.
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(number);
        let (length, scale) =
            UNITS.iter().find_map(|(name, scale)| unit.strip_prefix(name).map(|after| (after, scale)))?;
        seconds += number.parse::<f64>().ok()? * scale;
        rest = length;
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in
            [("1s", 1000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("250ms", 250), ("0s", 0), ("2000us", 2)]
        {
            assert_eq!(go_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1", "1 s", "-1s", "1d", "1.1.1s", "é", "1e3s", "99999999999999999999h"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn no_input_panics() {
        let pieces = [
            "tls_server_config:",
            "http_server_config:",
            "rate_limit:",
            "basic_auth_users:",
            "interval:",
            "burst:",
            "headers:",
            "cipher_suites:",
            "cert:",
            "min_version:",
            "X-Frame-Options:",
            "\n",
            "\n  ",
            "\n    ",
            " - ",
            " 1",
            " 1s",
            " -1",
            " 1.5h",
            " [",
            "]",
            " {",
            "}",
            " |",
            " ~",
            " 'é'",
            " 99999999999999999999",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let text: String = (0..10).map(|_| pieces[random.usize(..pieces.len())]).collect();
            drop(parse(text.as_bytes(), Path::new("web.yml")));
        }
    }

    /// Messages quote nothing of the file, wherever it is.
    #[test]
    fn nothing_is_quoted() {
        const CANARY: &str = "c4naryb1rd";
        let values =
            ["X", "[X]", "{X: X}", "'X", "\"X\\q\"", "|\n  X\n X", "!X X", "*X", "X: X", "- X", "X\n---\nX"];
        let keys = [
            "",
            "basic_auth_users: ",
            "basic_auth_users: {X: X, X: ",
            "basic_auth_users:\n  X: ",
            "tls_server_config:\n  key: ",
            "tls_server_config:\n  cert: ",
            "tls_server_config:\n  min_version: ",
            "tls_server_config:\n  cipher_suites: ",
            "tls_server_config:\n  client_auth_type: ",
            "rate_limit: {interval: ",
            "http_server_config:\n  headers:\n    X: ",
            "http_server_config:\n  http2: ",
        ];
        let mut refused = 0;
        for key in keys {
            for value in values {
                let text = format!("{key}{value}").replace('X', CANARY);
                let said = format!("{:?}", parse(text.as_bytes(), Path::new("web.yml")));
                refused += usize::from(said.starts_with("Err"));
                let shown = said.contains(CANARY) && said.starts_with("Err");
                assert!(!shown, "{text}\n=> {said}");
            }
        }
        assert!(refused > 100, "{refused}");
    }
}

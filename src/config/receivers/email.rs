//! The tables `[email.NAME]`.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use lettre::message::Mailbox;
use toml::de::DeValue;

use crate::config::alerting::GROUPING;
use crate::config::shape::{
    Key, Shape,
    Show::{Hidden, If, Number},
};
use crate::config::table::{Field, Placed, Table};
use crate::config::values::{choice, is_choice, switch, text};
use crate::config::{secrets, tls};
use crate::http::options::is_loopback;
use crate::notify::email::config::{EmailConfig, SmtpLogin, SmtpMechanism, SmtpTls};

const KEYS: &[Key] = &[
    ("smarthost", If(is_host)),
    ("tls", If(|text| is_choice(text, &TLS))),
    ("allow_cleartext", Number),
    ("from", Hidden),
    ("to", Hidden),
    ("username", Hidden),
    ("password", Hidden),
    ("password_file", Hidden),
    ("auth", If(|text| is_choice(text, &MECHANISMS))),
    ("hello", Hidden),
];
pub(in crate::config) const SHAPE: Shape =
    Shape { title: "[email.NAME]", keys: &[KEYS, tls::KEYS, super::KEYS, super::DIGEST, GROUPING] };

const TLS: [(&str, SmtpTls); 3] =
    [("starttls", SmtpTls::StartTls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
const MECHANISMS: [(&str, SmtpMechanism); 4] = [
    ("auto", SmtpMechanism::Auto),
    ("plain", SmtpMechanism::Plain),
    ("login", SmtpMechanism::Login),
    ("xoauth2", SmtpMechanism::Xoauth2),
];

/// For each step of a delivery. A server that scans mails may answer late.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

pub(in crate::config) fn read(mut table: Table<'_, '_>) -> Option<EmailConfig> {
    let smarthost = table.take("smarthost", smarthost);
    if smarthost.is_absent() {
        table.refuse("smarthost", "missing; write smarthost = \"smtp.example.com\"");
    }
    let tls = table.take("tls", |value| choice(value, &TLS));
    let allow_cleartext = table.take("allow_cleartext", switch);
    let is_clear = check_cleartext(&table, &smarthost, &tls, &allow_cleartext);
    if let Field::Given(tls) = &tls
        && tls.value == SmtpTls::None
    {
        for (key, _) in tls::KEYS {
            table.refuse_given(key, "has no effect beside tls = \"none\"; leave it out");
        }
    }
    let certificates = tls::read(&mut table);
    let from = table.take("from", mailbox);
    if from.is_absent() {
        table.refuse("from", "missing; write from = \"proxymeter <alerts@example.com>\"");
    }
    let to = read_to(&mut table);
    let login = read_login(&mut table, is_clear);
    let hello = table.take("hello", hello);
    let timeout = super::take_timeout(&mut table, DEFAULT_TIMEOUT);
    let common = super::read_common(&mut table, super::Digest::Daily);

    let Smarthost { host, port } = smarthost.value()?;
    let tls = tls.value().unwrap_or(SmtpTls::StartTls);
    Some(EmailConfig {
        host,
        port: port.unwrap_or(match tls {
            SmtpTls::StartTls => 587,
            SmtpTls::Implicit => 465,
            SmtpTls::None => 25,
        }),
        tls,
        allow_cleartext: allow_cleartext.value().unwrap_or(false),
        certificates,
        from: from.value().map(|(text, _)| text)?,
        to: to?,
        login,
        hello: hello.value(),
        timeout,
        common,
    })
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, email: &EmailConfig) -> Vec<String> {
    let expects_tls = email.port == 465 && !is_loopback(&email.host);
    let warning = (expects_tls && email.tls != SmtpTls::Implicit).then(|| {
        format!("email.{name}: port 465 expects TLS from the start, so this waits in vain; write tls = \"implicit\"")
    });
    let what = match email.login {
        Some(_) => "mail server read all mails and the password",
        None => "mail server read all mails",
    };
    let trusts_anyone = tls::warning(&format!("email.{name}"), &email.certificates, what);
    warning.into_iter().chain(trusts_anyone.filter(|_| !is_loopback(&email.host))).collect()
}

/// Refuses mail in the clear that nothing allows. Returns whether mail leaves this machine in the clear.
fn check_cleartext(
    table: &Table<'_, '_>,
    smarthost: &Field<Smarthost>,
    tls: &Field<SmtpTls>,
    allowed: &Field<bool>,
) -> bool {
    let (Field::Given(smarthost), false) = (smarthost, matches!(tls, Field::Refused)) else { return false };
    let none = match tls {
        Field::Given(tls) if tls.value == SmtpTls::None => Some(&tls.place),
        _ => None,
    };
    let is_clear = none.is_some() && !is_loopback(&smarthost.value.host);
    match (allowed, none) {
        (Field::Given(allowed), None) if allowed.value => {
            let text = "has no effect without tls = \"none\"; write that too, or leave it out";
            table.reading.refuse(&allowed.place, text);
        }
        (Field::Absent, Some(place)) if is_clear => table.reading.refuse(place, UNENCRYPTED),
        (Field::Given(allowed), Some(place)) if is_clear && !allowed.value => {
            table.reading.refuse(place, UNENCRYPTED);
        }
        _ => {}
    }
    is_clear
}

const UNENCRYPTED: &str = "\"none\" sends mail to another machine unencrypted; write \"starttls\" or \"implicit\", or, \
                           for a relay without a login on a network that you trust, allow_cleartext = true";

struct Smarthost {
    host: String,
    port: Option<u16>,
}

/// `host` or `host:port`; an IPv6 address with a port needs brackets.
fn smarthost(value: &DeValue<'_>) -> Result<Smarthost, String> {
    let text = text(value)?;
    let text = text.trim();
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err("an IPv6 address without brackets; write \"[2001:db8::1]:587\"".to_owned());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    // `u16::from_str` takes a sign.
    let port = match port {
        Some(port) => match port.parse() {
            Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => Some(number),
            Ok(_) | Err(_) => {
                return Err(format!("no port from 1 to 65535 after the colon; {HOST_AND_PORT}"));
            }
        },
        None => None,
    };
    let ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match ipv6 {
        Some(ipv6) => ipv6.parse::<Ipv6Addr>().ok().map(|address| address.to_string()),
        None => is_host_name(host).then(|| host.to_owned()),
    };
    match host {
        Some(host) => Ok(Smarthost { host, port }),
        None => Err(format!("not a server's name or address; {HOST_AND_PORT}")),
    }
}

const HOST_AND_PORT: &str = "write it as \"smtp.example.com\" or \"smtp.example.com:587\"";

/// Whether a text looks like a server's name or address, perhaps with a port.
fn is_host(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:[]".contains(c))
}

fn is_host_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() < 254 && text.split('.').all(|part| !part.is_empty() && part.chars().all(allowed))
}

/// A mail address, perhaps with a name, as text and parsed.
fn mailbox(value: &DeValue<'_>) -> Result<(String, Mailbox), String> {
    let text = text(value)?;
    match text.parse() {
        Ok(mailbox) => Ok((text, mailbox)),
        Err(_) => {
            Err("not a mail address; write \"alerts@example.com\" or \"proxymeter <alerts@example.com>\""
                .to_owned())
        }
    }
}

fn read_to(table: &mut Table<'_, '_>) -> Option<Vec<String>> {
    if !table.has_key("to") {
        table.refuse("to", "missing; write to = \"ops@example.com\", or a list of addresses");
    }
    read_addresses(table).map(|to| to.value)
}

/// Takes `to`, a list of addresses, each once.
pub(in crate::config) fn read_addresses(table: &mut Table<'_, '_>) -> Option<Placed<Vec<String>>> {
    let to = table.take_list("to", mailbox).given()?;
    if to.value.is_empty() {
        table.reading.refuse(&to.place, "an empty list; write at least one address");
    }
    let mut texts = Vec::new();
    let mut seen = HashSet::new();
    for Placed { value: (text, mailbox), place } in to.value {
        if !seen.insert(mailbox.email.to_string().to_ascii_lowercase()) {
            table.reading.refuse(&place, "an address that is listed twice; write it once");
        }
        texts.push(text);
    }
    Some(Placed { value: texts, place: to.place })
}

/// `is_clear`: the login would cross the network unencrypted.
fn read_login(table: &mut Table<'_, '_>, is_clear: bool) -> Option<SmtpLogin> {
    let username = table.take_free_text("username", |_| Ok(()));
    let password = secrets::take(table, "password");
    let mechanism = table.take("auth", |value| choice(value, &MECHANISMS));
    if is_clear && let Some(place) = username.place().or(password.place()) {
        let text = "a login would cross the network unencrypted beside tls = \"none\"; leave out username and \
                    password, or write tls = \"starttls\" or \"implicit\"";
        table.reading.refuse(place, text);
        return None;
    }
    match (username, password) {
        (Field::Given(username), Field::Given(password)) => Some(SmtpLogin {
            username: username.value,
            password: password.value,
            mechanism: mechanism.value().unwrap_or(SmtpMechanism::Auto),
        }),
        (Field::Given(_), Field::Absent) => {
            let variable = secrets::variable(&table.place.below("password"));
            table.refuse(
                "password",
                format!("missing beside username; write password_file or password, or set {variable}"),
            );
            None
        }
        (Field::Absent, Field::Given(_)) => {
            table.refuse("username", "missing beside the password; write the name to log in with");
            None
        }
        (Field::Absent, Field::Absent) => {
            if let Field::Given(mechanism) = mechanism {
                let text = "has no effect without username and password; write them, or leave it out";
                table.reading.refuse(&mechanism.place, text);
            }
            None
        }
        // A part of it is refused already.
        (Field::Refused, _) | (_, Field::Refused) => None,
    }
}

/// A host name, or an address in brackets (RFC 5321, 4.1.3).
fn hello(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let allowed = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | 'I' | 'P' | 'v');
    if is_host_name(&text) || literal.is_some_and(|text| !text.is_empty() && text.chars().all(allowed)) {
        return Ok(text);
    }
    Err("not a name to greet with; write this machine's, such as \"monitor.example.com\"".to_owned())
}

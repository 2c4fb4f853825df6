//! The table `tls` of a target or a receiver.

use std::path::PathBuf;

use rustls::pki_types::ServerName;
use toml::de::DeValue;

use crate::file;
use crate::http::options::{TlsOptions, parse_server_name, parse_sha256};

use super::files;
use super::shape::{
    Key, Shape,
    Show::{Hidden, Number},
};
use super::table::{Field, Table};
use super::values::{path, switch, text};

pub(super) const SHAPE: Shape = Shape { title: "the tls table of a target or webhook", keys: &[KEYS] };

/// The keys, which stand beside `tls` in the table of a mail receiver.
pub(super) const KEYS: &[Key] = &[
    ("pin_sha256", Hidden),
    ("ca_file", Hidden),
    ("server_name", Hidden),
    ("client_cert_file", Hidden),
    ("client_key_file", Hidden),
    ("insecure_skip_verify", Number),
];

/// More are no rotation.
const PINS: usize = 10;

/// Takes `tls`, which must not be there if the URL of the same table starts with `http://`.
pub(super) fn take(parent: &mut Table<'_, '_>, is_http: bool) -> TlsOptions {
    let is_given = parent.has("tls");
    let mut table = parent.section("tls", &SHAPE);
    if is_given && is_http {
        let text = "has no effect on a url with http://; write https://, or leave it out";
        table.reading.refuse(&table.place, text);
    }
    read(&mut table)
}

/// What is allowed but probably not meant, as a sentence. `what` is what anyone on the way to the server can do.
pub(super) fn warning(table: &str, tls: &TlsOptions, what: &str) -> Option<String> {
    tls.insecure_skip_verify.then(|| {
        format!(
            "{table}: insecure_skip_verify lets anyone between here and the {what}; write pin_sha256 or ca_file instead"
        )
    })
}

/// Takes the keys from the table that they are in.
pub(super) fn read(table: &mut Table<'_, '_>) -> TlsOptions {
    let insecure = table.take("insecure_skip_verify", switch);
    if let Field::Given(insecure) = &insecure
        && insecure.value
        && (table.has("pin_sha256") || table.has("ca_file"))
    {
        table
            .reading
            .refuse(&insecure.place, "true beside pin_sha256 or ca_file, which it would undo; keep either");
    }
    let pin_sha256 = table.take_list("pin_sha256", pin);
    if let Field::Given(pins) = &pin_sha256 {
        let count = pins.value.len();
        if count == 0 {
            table
                .reading
                .refuse(&pins.place, "an empty list; write at least one fingerprint, or leave it out");
        } else if count > PINS {
            table.reading.refuse(&pins.place, format!("{count} fingerprints; write at most {PINS}"));
        }
    }
    let ca_file = take_noted_file(table, "ca_file");
    if let Field::Given(file) = &ca_file
        && let Field::Given(_) = &pin_sha256
    {
        table.reading.warn(
            &file.place,
            "has no effect beside pin_sha256, which trusts that certificate only; leave it out",
        );
    }
    let server_name = table.take("server_name", server_name);
    let client_cert_file = take_noted_file(table, "client_cert_file");
    let client_key_file = take_noted_file(table, "client_key_file");
    match (&client_cert_file, &client_key_file) {
        (Field::Given(_), Field::Absent) => {
            table.refuse("client_key_file", "missing beside client_cert_file; write both");
        }
        (Field::Absent, Field::Given(_)) => {
            table.refuse("client_cert_file", "missing beside client_key_file; write both");
        }
        _ => {}
    }
    TlsOptions {
        pin_sha256: pin_sha256.value().into_iter().flatten().map(|pin| pin.value).collect(),
        server_name: server_name.value(),
        ca_file: ca_file.value(),
        client_cert_file: client_cert_file.value(),
        client_key_file: client_key_file.value(),
        insecure_skip_verify: insecure.value().unwrap_or_default(),
    }
}

fn pin(value: &DeValue<'_>) -> Result<[u8; 32], String> {
    parse_sha256(&text(value)?).ok_or_else(|| {
        "not 64 hex digits; write the certificate's SHA-256, as printed by: openssl x509 -noout -fingerprint -sha256"
            .to_owned()
    })
}

/// A host name without a wildcard, or an address without brackets.
fn server_name(value: &DeValue<'_>) -> Result<ServerName<'static>, String> {
    parse_server_name(&text(value)?).ok_or_else(|| {
        "not a host name or an address; write one that the certificate is for, such as \"panel.example.com\""
            .to_owned()
    })
}

/// Takes the path of a file that can be read, and notes what it holds.
pub(super) fn take_noted_file(table: &mut Table<'_, '_>, key: &str) -> Field<PathBuf> {
    let file = take_file(table, key);
    if let Field::Given(file) = &file
        && let Ok(content) = files::read(&file.value)
    {
        table.reading.note_file(&file.value, &content);
    }
    file
}

/// Takes a path, and makes sure that the file can be opened.
pub(super) fn take_file(table: &mut Table<'_, '_>, key: &str) -> Field<PathBuf> {
    let reading = table.reading;
    table.take(key, |value| {
        let path = reading.resolve(&path(value)?);
        match file::open(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    })
}

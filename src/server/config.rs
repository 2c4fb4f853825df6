//! Access to the HTTP port and its TLS, as the operator configures them in either of two ways.

pub(super) mod web_file;
mod yaml;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use rustls::NamedGroup;

use crate::secret::Secret;

/// Users by name, each with the hash of the password.
pub type Users = BTreeMap<String, PasswordHash>;

/// The two ways to say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessConfig {
    /// The keys of `[web]`.
    Own(OwnAccess),
    /// A file in the format that the official exporters share, read again when it changes.
    WebFile(PathBuf),
}

impl Default for AccessConfig {
    fn default() -> Self {
        AccessConfig::Own(OwnAccess::default())
    }
}

/// How well the port is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whether passwords or tokens are sent to the port.
    pub credentials: bool,
    /// Whether clients must show a certificate that was verified.
    pub client_certificates: bool,
}

/// The keys of `[web]`. Without any of them all requests pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnAccess {
    pub tls: Option<OwnTls>,
    pub users: Users,
    pub bearer_token: Option<Secret>,
    /// Whether `/-/healthy` needs no password.
    pub open_health: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTls {
    /// The certificate, with those that lead to its authority, PEM.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
    /// Authorities, one of which must have signed the client's certificate, PEM.
    pub client_ca_file: Option<PathBuf>,
    pub min_version: TlsVersion,
}

/// The versions of TLS that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// All settings of our side of TLS.
#[derive(Clone, Debug)]
pub(super) struct TlsSettings {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
    pub(super) client_auth: ClientAuth,
    pub(super) client_ca: Option<Pem>,
    /// Names, one of which the client's certificate must have.
    pub(super) client_names: Option<Vec<String>>,
    pub(super) min_version: TlsVersion,
    pub(super) max_version: TlsVersion,
    /// Of TLS 1.2, in order of preference; empty: all that are good.
    pub(super) cipher_suites: Vec<rustls::CipherSuite>,
    /// Whether our order of cipher suites counts rather than the client's.
    pub(super) own_order: bool,
    /// In order of preference; empty: all that are good.
    pub(super) curves: Vec<NamedGroup>,
}

/// Where a PEM text is.
#[derive(Clone, Debug)]
pub(super) enum Pem {
    File(PathBuf),
    Inline(Secret),
}

/// Whether clients show a certificate, in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    NoClientCert,
    RequestClientCert,
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// Whether a certificate is required.
    pub(super) fn required(self) -> bool {
        matches!(self, ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert)
    }

    /// Whether a certificate that is shown must be one of the authorities'.
    pub(super) fn verified(self) -> bool {
        matches!(self, ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert)
    }
}

impl From<&OwnTls> for TlsSettings {
    fn from(own: &OwnTls) -> Self {
        TlsSettings {
            certificate: Pem::File(own.cert_file.clone()),
            key: Pem::File(own.key_file.clone()),
            client_auth: match own.client_ca_file {
                Some(_) => ClientAuth::RequireAndVerifyClientCert,
                None => ClientAuth::NoClientCert,
            },
            client_ca: own.client_ca_file.clone().map(Pem::File),
            client_names: None,
            min_version: own.min_version,
            max_version: TlsVersion::Tls13,
            cipher_suites: Vec::new(),
            own_order: false,
            curves: Vec::new(),
        }
    }
}

/// A password's bcrypt hash. It is hidden like the password, which can be guessed with it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// Why a text is no bcrypt hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bcrypt hash; write one such as \"$2y$10$…\", made by: htpasswd -nBC 10 \"\"")]
pub struct NotAHash;

/// Hashing takes 2 to the power of this many rounds.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

impl PasswordHash {
    /// Takes a hash as `htpasswd -B` writes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NotAHash> {
        match text.parse::<bcrypt::HashParts>() {
            Ok(parts) if COSTS.contains(&parts.get_cost()) => Ok(PasswordHash(text.to_owned())),
            Ok(_) | Err(_) => Err(NotAHash),
        }
    }

    /// Whether it is this password's. Takes long on purpose: milliseconds to seconds, by its cost.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.0).unwrap_or(false)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hash>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes() {
        let good = "$2b$04$7EqJtq98hPqEX7fNZaFWoO.hY0O5RhN4S1JZ8Y2yW8hIu8MPmZbOC";
        let parsed = PasswordHash::parse(good).unwrap();
        assert_eq!(format!("{parsed:?}"), "<hash>");
        assert!(!parsed.matches(b"wrong") && !parsed.matches(&[0; 300]));
        let made = PasswordHash::parse(&bcrypt::hash("right", 4).unwrap()).unwrap();
        assert!(made.matches(b"right") && !made.matches(b"Right") && !made.matches(b""));
        for version in ["$2a$", "$2y$", "$2x$"] {
            assert!(PasswordHash::parse(&good.replace("$2b$", version)).is_ok(), "{version}");
        }
        for bad in
            ["", "secret", "$2b$03$7EqJ", &good.replace("$04$", "$03$"), &good.replace("$04$", "$32$"), "é"]
        {
            assert_eq!(PasswordHash::parse(bad), Err(NotAHash), "{bad}");
        }
    }
}

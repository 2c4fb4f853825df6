//! What a certificate says, read as leniently as it can be: the pinned one is trusted for its bytes, whatever they hold.

use std::net::IpAddr;

use rustls::{
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{ServerName, SignatureVerificationAlgorithm},
};
use sha2::{Digest, Sha256};
use x509_cert::{
    der::{
        Decode, Reader, Result as DerResult, SliceReader, Tag, TagNumber, Tagged,
        asn1::{AnyRef, ObjectIdentifier},
    },
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage},
    },
    name::Name,
    spki::SubjectPublicKeyInfoRef,
    time::Validity,
};

use crate::{http::options::parse_server_name, model::words::one_line};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// Names of one certificate that are read.
const NAMES: usize = 1000;
/// Characters of a name that are shown.
const SHOWN: usize = 64;

/// The parts of a certificate that matter here, each with its DER header.
pub(super) struct Parts<'a> {
    /// All that the issuer signs.
    signed: &'a [u8],
    /// The algorithm of the signature, and the signature.
    signature: &'a [u8],
    /// X.509 version 1, or 2: without extensions.
    pub(super) is_old: bool,
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    /// `SubjectPublicKeyInfo`.
    pub(super) key: &'a [u8],
    extensions: Option<&'a [u8]>,
}

/// A name for which a certificate was made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CertName {
    /// Perhaps with `*` as its first label.
    Host(String),
    Ip(IpAddr),
}

impl<'a> Parts<'a> {
    /// # Errors
    /// When it is none.
    pub(super) fn read(der: &'a [u8]) -> DerResult<Self> {
        let certificate: AnyRef<'a> = SliceReader::new(der)?.decode()?;
        let mut whole = SliceReader::new(certificate.value())?;
        let signed = whole.tlv_bytes()?;
        let signature = whole.read_slice(whole.remaining_len())?;
        let mut fields = SliceReader::new(AnyRef::from_der(signed)?.value())?;
        let version = tag(0);
        let is_old = if Tag::peek(&fields)? == version {
            let version: AnyRef<'a> = fields.decode()?;
            u8::from_der(version.value())? < 2
        } else {
            true
        };
        let (_serial, _algorithm) = (fields.tlv_bytes()?, fields.tlv_bytes()?);
        let (issuer, validity) = (fields.tlv_bytes()?, fields.tlv_bytes()?);
        let (subject, key) = (fields.tlv_bytes()?, fields.tlv_bytes()?);
        let mut extensions = None;
        while !fields.is_finished() {
            let field: AnyRef<'a> = fields.decode()?;
            if field.tag() == tag(3) {
                extensions = Some(field.value());
            }
        }
        Ok(Parts { signed, signature, is_old, issuer, validity, subject, key, extensions })
    }

    /// Whether it is signed with its own key; absent: its issuer has its name, and a signature of this kind cannot be
    /// verified.
    pub(super) fn is_self_signed(&self, algorithms: &WebPkiSupportedAlgorithms) -> Option<bool> {
        if !self.names_as_issuer(self) {
            return Some(false);
        }
        let (own, key) = self.algorithm_and_key()?;
        let (kind, signature) = algorithm_and_bits(self.signature)?;
        let of_kind =
            |algorithm: &&&dyn SignatureVerificationAlgorithm| algorithm.signature_alg_id().as_ref() == kind;
        let mut known = algorithms.all.iter().filter(of_kind).peekable();
        known.peek()?;
        Some(known.any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == own
                && algorithm.verify_signature(key, self.signed, signature).is_ok()
        }))
    }

    /// The seconds of the Unix epoch from which on and until which it is valid.
    pub(super) fn validity(&self) -> Option<(u64, u64)> {
        let validity: Validity = Validity::from_der(self.validity).ok()?;
        let secs = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        Some((secs(validity.not_before), secs(validity.not_after)))
    }

    /// What people call the issuer.
    pub(super) fn issuer(&self) -> Option<String> {
        attribute(self.issuer, COMMON_NAME).or_else(|| attribute(self.issuer, ORGANIZATION))
    }

    /// The old place of the host's name.
    pub(super) fn common_name(&self) -> Option<String> {
        attribute(self.subject, COMMON_NAME)
    }

    /// The names in the place that counts.
    pub(super) fn names(&self) -> Vec<CertName> {
        self.extension(SUBJECT_ALT_NAME).and_then(|list| alternatives(&list)).unwrap_or_default()
    }

    /// The names as OpenSSL and curl understand them: without any in the place that counts, the common name does.
    pub(super) fn names_or_common(&self) -> Vec<CertName> {
        let names = self.names();
        if !names.is_empty() {
            return names;
        }
        let common = self.common_name().map(|common| match common.parse() {
            Ok(ip) => CertName::Ip(ip),
            Err(_) => CertName::Host(common),
        });
        common.into_iter().collect()
    }

    /// Whether it is marked as that of an authority.
    pub(super) fn is_authority(&self) -> bool {
        let constraints = self.extension(BASIC_CONSTRAINTS);
        constraints
            .is_some_and(|der| BasicConstraints::from_der(&der).is_ok_and(|constraints| constraints.ca))
    }

    /// Whether it may issue certificates (RFC 5280, 4.2.1.3 and 4.2.1.9). One of version 1 may not, as it cannot say so.
    pub(super) fn may_issue(&self) -> bool {
        let signs = |der: Vec<u8>| KeyUsage::from_der(&der).is_ok_and(|usage| usage.key_cert_sign());
        self.is_authority() && self.extension(KEY_USAGE).is_none_or(signs)
    }

    /// Whether it names this one as its issuer.
    pub(super) fn names_as_issuer(&self, other: &Parts<'_>) -> bool {
        self.issuer == other.subject
    }

    fn extension(&self, kind: ObjectIdentifier) -> Option<Vec<u8>> {
        let list: AnyRef<'a> = AnyRef::from_der(self.extensions?).ok()?;
        let mut extensions = SliceReader::new(list.value()).ok()?;
        while !extensions.is_finished() {
            let extension = extensions.tlv_bytes().ok()?;
            if let Ok(extension) = Extension::from_der(extension)
                && extension.extn_id == kind
            {
                return Some(extension.extn_value.into_bytes().into());
            }
        }
        None
    }

    /// The algorithm and the bits of its key, as a handshake's signature is verified with them.
    pub(super) fn algorithm_and_key(&self) -> Option<(&'a [u8], &'a [u8])> {
        algorithm_and_bits(AnyRef::from_der(self.key).ok()?.value())
    }

    /// The length of an RSA key.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        let key = SubjectPublicKeyInfoRef::from_der(self.key).ok().filter(|key| key.algorithm.oid == RSA)?;
        let numbers: AnyRef<'_> = AnyRef::from_der(key.subject_public_key.raw_bytes()).ok()?;
        let modulus: AnyRef<'_> = SliceReader::new(numbers.value()).ok()?.decode().ok()?;
        let first = modulus.value().iter().position(|&byte| byte != 0)?;
        let digits = modulus.value().get(first..)?;
        Some(digits.len() * 8 - usize::try_from(digits.first()?.leading_zeros()).ok()?)
    }
}

impl CertName {
    /// Whether it is this name, or a wildcard that matches it.
    pub(super) fn covers(&self, name: &ServerName<'_>) -> bool {
        match (self, name) {
            (CertName::Ip(own), ServerName::IpAddress(asked)) => *own == IpAddr::from(*asked),
            (CertName::Host(own), ServerName::DnsName(asked)) => {
                let (own, asked) = (own.trim_end_matches('.'), asked.as_ref().trim_end_matches('.'));
                let parent = own.strip_prefix("*.");
                own.eq_ignore_ascii_case(asked)
                    || parent.zip(asked.split_once('.')).is_some_and(|(parent, (_, below))| {
                        parent.contains('.') && parent.eq_ignore_ascii_case(below)
                    })
            }
            _ => false,
        }
    }

    /// The name if it can be asked for: as `server_name`, the certificate is for it.
    pub(super) fn askable(&self) -> Option<String> {
        let text = self.to_string();
        let name = parse_server_name(&text)?;
        self.covers(&name).then_some(text)
    }

    /// Whether it is an address among the host names (`DNS:` instead of `IP:`), where it counts for nothing.
    pub(super) fn is_misplaced(&self) -> bool {
        matches!(self, CertName::Host(name) if name.parse::<IpAddr>().is_ok())
    }
}

impl std::fmt::Display for CertName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CertName::Host(name) if self.is_misplaced() => write!(f, "DNS:{name}"),
            CertName::Host(name) => f.write_str(&shown(name)),
            CertName::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The SHA-256 of a whole certificate, as `openssl x509 -fingerprint -sha256` prints it.
pub(super) fn fingerprint(der: &[u8]) -> String {
    let bytes: [u8; 32] = Sha256::digest(der).into();
    bytes.map(|byte| format!("{byte:02X}")).join(":")
}

/// A name from a certificate, which may be anyone's.
pub(super) fn shown(name: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "-_.*: '&,()/+@".contains(c);
    one_line(&name.chars().map(|c| if harmless(c) { c } else { '?' }).collect::<String>(), SHOWN)
}

fn tag(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

/// The contents of an algorithm and of the bits after it.
fn algorithm_and_bits(fields: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = SliceReader::new(fields).ok()?;
    let (algorithm, bits): (AnyRef<'_>, AnyRef<'_>) = (fields.decode().ok()?, fields.decode().ok()?);
    // The first octet counts the unused bits of the last.
    Some((algorithm.value(), bits.value().strip_prefix(&[0])?))
}

fn alternatives(list: &[u8]) -> Option<Vec<CertName>> {
    let list: AnyRef<'_> = AnyRef::from_der(list).ok()?;
    let mut names = SliceReader::new(list.value()).ok()?;
    let mut found = Vec::new();
    while !names.is_finished() && found.len() < NAMES {
        let name: AnyRef<'_> = names.decode().ok()?;
        match name.tag() {
            Tag::ContextSpecific { number: TagNumber(2), .. } => {
                found.push(CertName::Host(String::from_utf8_lossy(name.value()).into_owned()));
            }
            Tag::ContextSpecific { number: TagNumber(7), .. } => {
                found.extend(ip(name.value()).map(CertName::Ip));
            }
            _ => {}
        }
    }
    Some(found)
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    let four: Option<[u8; 4]> = octets.try_into().ok();
    let sixteen: Option<[u8; 16]> = octets.try_into().ok();
    four.map(IpAddr::from).or_else(|| sixteen.map(IpAddr::from))
}

/// The last attribute of a kind in a distinguished name.
fn attribute(name: &[u8], kind: ObjectIdentifier) -> Option<String> {
    let name = Name::from_der(name).ok()?;
    let of_kind = name.iter().filter(|attribute| attribute.oid == kind);
    let last = of_kind.last()?;
    Some(String::from_utf8_lossy(last.value.value()).into_owned()).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use rustls::{
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, pem::PemObject},
    };

    use super::*;

    fn fixture(name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(format!("tests/fixtures/tls/{name}.pem")).unwrap()
    }

    #[test]
    fn certificates_of_openssl() {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        for (name, is_old, is_authority, bits, is_self_signed) in [
            ("common-name", false, true, None, Some(true)),
            ("version-1", true, false, None, Some(true)),
            ("sha-1", false, true, None, None),
            // Too short for any signature.
            ("rsa-1024", false, true, Some(1024), Some(false)),
        ] {
            let der = fixture(name);
            let parts = Parts::read(&der).unwrap();
            assert_eq!(
                (parts.is_old, parts.is_authority(), parts.rsa_bits()),
                (is_old, is_authority, bits),
                "{name}"
            );
            assert_eq!(parts.is_self_signed(&algorithms), is_self_signed, "{name}");
            assert_eq!(parts.issuer().as_deref(), Some("127.0.0.1"));
            assert!(parts.names().is_empty());
            assert_eq!(parts.names_or_common(), [CertName::Ip("127.0.0.1".parse().unwrap())]);
            assert!(parts.validity().is_some_and(|(from, until)| from < until));
        }
    }

    /// Whatever a server sends, it is read or refused.
    #[test]
    fn damaged_certificates() {
        let whole = fixture("common-name");
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let read = |der: &[u8]| {
            if let Ok(parts) = Parts::read(der) {
                drop((
                    parts.is_self_signed(&algorithms),
                    parts.names_or_common(),
                    parts.validity(),
                    parts.rsa_bits(),
                    parts.algorithm_and_key(),
                ));
            }
        };
        for end in 0..whole.len() {
            assert!(Parts::read(&whole[..end]).is_err(), "{end}");
            for byte in [0, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.to_vec();
                damaged[end] = byte;
                read(&damaged);
            }
        }
    }

    #[test]
    fn names_that_a_name_covers() {
        let host = |name: &str| match name.parse() {
            Ok(ip) => CertName::Ip(ip),
            Err(_) => CertName::Host(name.to_owned()),
        };
        for (own, asked, covers) in [
            ("panel.example.com", "Panel.example.com", true),
            ("panel.example.com.", "panel.example.com", true),
            ("*.example.com", "panel.example.com", true),
            ("*.example.com", "a.panel.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", false),
            ("*", "example", false),
            ("panel.example.com", "panel.example.org", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("::1", "0:0:0:0:0:0:0:1", true),
        ] {
            let asked = ServerName::try_from(asked).unwrap();
            assert_eq!(host(own).covers(&asked), covers, "{own} {asked:?}");
        }
    }
}

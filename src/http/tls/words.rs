//! Why TLS failed, in words for the person who configures it.

use std::{error::Error as StdError, fmt, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, Error as TlsError, InvalidMessage, OtherError, PeerIncompatible,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::certificate::{CertName, Parts, fingerprint, shown};
use crate::model::{Timestamp, words::date};

/// Names of a certificate that are listed.
const LISTED: usize = 5;

/// Of a certificate whose signature cannot be verified here.
const PERHAPS_SELF_SIGNED: &str = "self-signed, or issued by an authority of the same name";

/// Why the server's certificate is not trusted.
#[derive(Debug)]
pub(super) struct Distrust(String);

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Distrust {}

impl From<Distrust> for TlsError {
    fn from(distrust: Distrust) -> Self {
        CertificateError::Other(OtherError(Arc::new(distrust))).into()
    }
}

/// What a server presented, and what was asked of it.
#[derive(Clone, Copy)]
pub(super) struct Presented<'a> {
    pub(super) leaf: &'a CertificateDer<'a>,
    pub(super) others: &'a [CertificateDer<'a>],
    pub(super) name: &'a ServerName<'a>,
    pub(super) now: UnixTime,
}

/// Whose authorities are trusted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Authorities<'a> {
    System,
    /// Those of `ca_file`, which holds these certificates.
    File(&'a [CertificateDer<'a>]),
}

impl Authorities<'_> {
    /// Whether the file holds the issuer, which is no authority.
    fn has_unfit_issuer_of(self, parts: &Parts<'_>) -> bool {
        let Authorities::File(own) = self else { return false };
        let mut read = own.iter().filter_map(|own| Parts::read(own).ok());
        read.any(|own| parts.names_as_issuer(&own) && !own.may_issue())
    }
}

impl Presented<'_> {
    /// It is not one of these many pinned ones.
    pub(super) fn not_pinned(&self, pins: usize) -> Distrust {
        let which = if pins == 1 { "not that".to_owned() } else { format!("none of the {pins}") };
        Distrust(format!(
            "the server's certificate is {which} of pin_sha256; if it is the right one, as after a renewal, write \
             pin_sha256 = \"{}\" (this is what it presented)",
            fingerprint(self.leaf)
        ))
    }

    /// Its key is one that no handshake is possible with.
    pub(super) fn unusable_key(bits: usize) -> Distrust {
        Distrust(format!(
            "the server's certificate has an RSA key of {bits} bits, and only 2048 to 8192 are secure and supported; make a \
             new key and certificate on the server"
        ))
    }

    /// The verifier's error.
    pub(super) fn refused(&self, error: &TlsError, authorities: Authorities<'_>) -> Distrust {
        let parts = Parts::read(self.leaf).ok();
        let TlsError::InvalidCertificate(error) = error else {
            return Distrust(in_words(error, ""));
        };
        let is_about_name = matches!(
            error,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        );
        if let Some(parts) = &parts
            && !is_about_name
        {
            let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
            match parts.is_self_signed(&algorithms) {
                Some(true) => return self.self_signed("self-signed", parts, authorities),
                None => return self.self_signed(PERHAPS_SELF_SIGNED, parts, authorities),
                Some(false) if authorities.has_unfit_issuer_of(parts) => {
                    return Distrust(format!(
                        "the server's certificate is issued by {}, whose certificate in ca_file is not that of an authority \
                         (CA:TRUE, and keyCertSign if it has a key usage); {}",
                        issuer(Some(parts)),
                        self.pin()
                    ));
                }
                Some(false) => {}
            }
        }
        let pin = self.pin();
        Distrust(match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let names = parts.as_ref().map(Parts::names).unwrap_or_default();
                return self.wrong_name(&names, parts.as_ref().and_then(Parts::common_name));
            }
            CertificateError::Expired | CertificateError::NotValidYet => {
                return self.wrong_time(parts.as_ref().and_then(Parts::validity));
            }
            CertificateError::ExpiredContext { not_after, .. } => {
                return self.wrong_time_of(parts.as_ref(), (0, not_after.as_secs()));
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                return self.wrong_time_of(parts.as_ref(), (not_before.as_secs(), u64::MAX));
            }
            CertificateError::UnknownIssuer => return self.unknown_issuer(parts.as_ref(), authorities),
            CertificateError::BadSignature => {
                format!(
                    "the server's certificate is not signed with the key of the authority that it names; if that \
                     authority has a new key, write its certificate as ca_file, or {pin}"
                )
            }
            _ if parts.as_ref().is_some_and(|parts| parts.is_old) => format!(
                "the server's certificate is of X.509 version 1, which cannot be verified by its authority; {pin}"
            ),
            CertificateError::BadEncoding => {
                format!("the server's certificate is malformed; {pin}")
            }
            CertificateError::UnhandledCriticalExtension => {
                format!("the server's certificate has a critical extension that is not known here; {pin}")
            }
            #[expect(deprecated, reason = "rustls still makes it")]
            CertificateError::UnsupportedSignatureAlgorithm
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
                "the server's certificate, or one that it sends along, is signed in a way that is not supported, such as with \
                 SHA-1; make a new one, or {pin}"
            ),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                format!("the server's certificate is not made for servers (extended key usage); {pin}")
            }
            CertificateError::Revoked => "the server's certificate is revoked; renew it".to_owned(),
            _ if parts.is_some_and(|parts| parts.is_authority()) => {
                format!(
                    "the server's certificate is that of an authority, which may not be a server's own; {pin}"
                )
            }
            _ => format!(
                "the server's certificate, or one that it sends along, breaks a rule for certificates of servers; {pin}"
            ),
        })
    }

    /// What is wrong with a certificate that is trusted for itself, but only for its time and names.
    pub(super) fn flaw(&self, parts: &Parts<'_>) -> Option<Distrust> {
        let validity = parts.validity();
        let is_valid = validity.is_some_and(|(from, until)| (from..=until).contains(&self.now.as_secs()));
        if !is_valid {
            return Some(self.wrong_time(validity));
        }
        let names = parts.names_or_common();
        (!names.iter().any(|own| own.covers(self.name))).then(|| self.wrong_name(&names, None))
    }

    fn self_signed(&self, what: &str, parts: &Parts<'_>, authorities: Authorities<'_>) -> Distrust {
        let now = self.now.as_secs();
        let besides = match (authorities, parts.validity()) {
            (_, Some((_, until))) if until < now => format!(", and expired at {}", moment(until)),
            (_, Some((from, _))) if now < from => format!(", and is not valid before {}", moment(from)),
            (Authorities::File(_), _) => ", and is not in ca_file".to_owned(),
            (Authorities::System, _) => String::new(),
        };
        Distrust(format!("the server's certificate is {what}{besides}; {}", self.pin()))
    }

    fn unknown_issuer(&self, parts: Option<&Parts<'_>>, authorities: Authorities<'_>) -> Distrust {
        let issuer = issuer(parts);
        let not_trusted = match authorities {
            Authorities::System => {
                "which is not trusted here; if that is an authority of your own, write ca_file"
            }
            Authorities::File(_) => "which is not in ca_file; write the certificate of that authority there",
        };
        let incomplete = if self.others.is_empty() {
            "; if it is an intermediate one, let the server send its certificate too (fullchain)"
        } else {
            ""
        };
        Distrust(format!(
            "the server's certificate is issued by {issuer}, {not_trusted}{incomplete}; or, {}",
            self.pin()
        ))
    }

    /// `common` is the name in a place where it does not count.
    fn wrong_name(&self, names: &[CertName], common: Option<String>) -> Distrust {
        let asked = shown(&self.name.to_str());
        if names.is_empty() {
            let common = match common {
                Some(common) => {
                    format!(" but in its common name (\"{}\"), which does not count", shown(&common))
                }
                None => String::new(),
            };
            return Distrust(format!(
                "the server's certificate is not for {asked}: it names no host{common}; {}",
                self.pin()
            ));
        }
        let mut listed: Vec<_> = names.iter().take(LISTED).map(CertName::to_string).collect();
        if names.len() > LISTED {
            listed.push(format!("{} more", names.len() - LISTED));
        }
        let hint = match names.iter().find_map(CertName::askable) {
            Some(name) => format!("if it is the right one, write server_name = \"{name}\""),
            None if names.iter().any(CertName::is_misplaced) => {
                format!(
                    "an address counts as IP: only, not as DNS:; make another certificate, or, {}",
                    self.pin()
                )
            }
            None => self.pin(),
        };
        Distrust(format!(
            "the server's certificate is not for {asked}, but for {}; {hint}",
            listed.join(", ")
        ))
    }

    /// The verifier says when, and not of which certificate.
    fn wrong_time_of(&self, parts: Option<&Parts<'_>>, (from, until): (u64, u64)) -> Distrust {
        match parts.and_then(Parts::validity) {
            Some(own) if own.0 == from || own.1 == until => self.wrong_time(Some(own)),
            Some(_) => Distrust(format!(
                "a certificate that the server sends along with its own {}",
                self.outside(from, until)
            )),
            None => self.wrong_time(Some((from, until))),
        }
    }

    fn wrong_time(&self, validity: Option<(u64, u64)>) -> Distrust {
        let Some((from, until)) = validity else {
            return Distrust(format!("the server's certificate has no readable dates; {}", self.pin()));
        };
        Distrust(format!("the server's certificate {}", self.outside(from, until)))
    }

    fn outside(&self, from: u64, until: u64) -> String {
        let now = self.now.as_secs();
        let (when, remedy) = if now < from {
            (
                format!("is not valid before {}", moment(from)),
                "correct the clock, or make another certificate",
            )
        } else {
            (format!("expired at {}", moment(until)), "renew it, or correct the clock")
        };
        format!("{when}, and this machine's clock says {}; {remedy}", moment(now))
    }

    /// What to write to trust it.
    fn pin(&self) -> String {
        format!(
            "if it is the right one, write pin_sha256 = \"{}\" (this is what it presented)",
            fingerprint(self.leaf)
        )
    }
}

/// The issuer of a certificate, as it is shown.
fn issuer(parts: Option<&Parts<'_>>) -> String {
    match parts.and_then(Parts::issuer) {
        Some(issuer) => format!("\"{}\"", shown(&issuer)),
        None => "an authority".to_owned(),
    }
}

fn moment(secs: u64) -> String {
    date(Timestamp::from_secs(i64::try_from(secs).unwrap_or(i64::MAX)))
}

/// Why a handshake or an encrypted connection failed. `plain` is what to write for a server that does not speak TLS, as
/// the end of a sentence.
pub(crate) fn in_words(error: &TlsError, plain: &str) -> String {
    match error {
        TlsError::InvalidCertificate(CertificateError::Other(OtherError(cause)))
            if cause.is::<Distrust>() =>
        {
            cause.to_string()
        }
        TlsError::InvalidCertificate(CertificateError::BadSignature) => {
            "the server does not have the key of its certificate".to_owned()
        }
        TlsError::InvalidCertificate(_) => "the server's certificate cannot be used".to_owned(),
        TlsError::NoCertificatesPresented => "the server presented no certificate".to_owned(),
        TlsError::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => {
            format!("the server's answer is not TLS{plain}")
        }
        TlsError::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge) => {
            "the server presented too many certificates".to_owned()
        }
        TlsError::AlertReceived(alert) => of_alert(*alert),
        TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => OLD.to_owned(),
        TlsError::PeerIncompatible(_) => {
            "the server and this program have no secure way of encryption in common".to_owned()
        }
        TlsError::InvalidMessage(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. }
        | TlsError::PeerMisbehaved(_)
        | TlsError::PeerSentOversizedRecord => "the server broke the rules of TLS".to_owned(),
        TlsError::DecryptError => "what the server sent cannot be decrypted".to_owned(),
        TlsError::FailedToGetCurrentTime => "this machine's clock cannot be read".to_owned(),
        TlsError::FailedToGetRandomBytes => "this machine has no random numbers".to_owned(),
        TlsError::InconsistentKeys(_) => "the private key is not that of the certificate".to_owned(),
        _ => "the encrypted connection failed".to_owned(),
    }
}

pub(crate) const REQUIRES_CERTIFICATE: &str =
    "the server requires a client certificate; write client_cert_file and client_key_file";
const OLD: &str = "the server supports neither TLS 1.2 nor 1.3; older versions are not secure";

/// What a server means that ends a connection with an alert (RFC 8446, 6.2).
fn of_alert(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    match alert {
        AlertDescription::ProtocolVersion => OLD.to_owned(),
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            REQUIRES_CERTIFICATE.to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => format!(
            "the server does not accept the client certificate, or requires one (alert {number}); check client_cert_file and \
             client_key_file"
        ),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => format!(
            "the server refused the handshake (alert {number}): it either requires a client certificate (client_cert_file), or \
             has no TLS version, cipher or kind of key in common with this program"
        ),
        AlertDescription::UnrecognisedName | AlertDescription::InternalError => format!(
            "the server refused the handshake (alert {number}), perhaps as it has no certificate for this name; if it has \
             another name, write that as server_name"
        ),
        _ => format!("the server ended the encrypted connection (alert {number})"),
    }
}

#[cfg(test)]
mod tests {
    use rustls::{InconsistentKeys, PeerMisbehaved};

    use super::*;

    /// What rustls itself says of these has the names of its types.
    #[test]
    fn no_error_shows_the_names_of_types() {
        let alerts = (0..=255).map(|number| TlsError::AlertReceived(AlertDescription::from(number)));
        let others = [
            TlsError::InvalidMessage(InvalidMessage::InvalidContentType),
            TlsError::InvalidMessage(InvalidMessage::MissingData("ServerHello")),
            TlsError::InvalidMessage(InvalidMessage::CertificatePayloadTooLarge),
            TlsError::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            TlsError::PeerMisbehaved(PeerMisbehaved::MissingKeyShare),
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch),
            TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure),
            TlsError::NoCertificatesPresented,
            TlsError::DecryptError,
            TlsError::General("SomeThing".to_owned()),
        ];
        for error in alerts.chain(others) {
            let words = in_words(&error, "; PLAIN");
            let is_type = |word: &str| {
                word.chars().skip(1).any(char::is_uppercase) && word.contains(char::is_lowercase)
            };
            assert!(!words.split(' ').any(is_type), "{error:?}: {words}");
            assert!(words.len() < 250 && !words.ends_with('.'), "{words}");
        }
    }

    #[test]
    fn alerts_that_say_what_to_write() {
        for (alert, key) in [
            (AlertDescription::CertificateRequired, "client_cert_file"),
            (AlertDescription::UnknownCA, "client_cert_file"),
            (AlertDescription::BadCertificate, "client_cert_file"),
            (AlertDescription::HandshakeFailure, "client_cert_file"),
            (AlertDescription::UnrecognisedName, "server_name"),
            (AlertDescription::InternalError, "server_name"),
            (AlertDescription::ProtocolVersion, "TLS 1.2"),
        ] {
            let words = in_words(&TlsError::AlertReceived(alert), "");
            assert!(words.contains(key), "{words}");
        }
    }
}

//! The name that a client greets a server with (RFC 5321, 4.1.1.1).
//!
//! Relays refuse names without a dot, such as those of containers, names with characters beyond letters, digits and
//! hyphens, `localhost`, and often address literals. Some look the name up. The domain of the sender resolves.

/// What is used if neither the machine nor the sender has a name that fits.
const LAST_RESORT: &str = "proxymeter.local";
/// Top levels that no public name server knows.
const PRIVATE: [&str; 9] =
    ["arpa", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "test"];

/// The name for a client on a machine with this host name, which sends mail from this domain: the host name if it is a
/// public full name, or else the domain if that is one. It is never an address, and never `localhost`.
pub(super) fn default_name(host: &str, domain: &str) -> String {
    let names = [host, domain].map(|name| name.trim().trim_end_matches('.').to_ascii_lowercase());
    let is_public = |name: &&String| !PRIVATE.iter().any(|private| top_level(name) == *private);
    let full = || names.iter().filter(|name| is_full(name));
    let name = full().find(is_public).or_else(|| full().next());
    name.map_or_else(|| LAST_RESORT.to_owned(), Clone::clone)
}

/// The host name of this machine, which may be anything.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default()
}

fn top_level(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// Whether it is a full name: of two labels or more, none that makes it an address or this machine's own.
fn is_full(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(is_label)
        && !name.starts_with("localhost.")
        && top_level(name) != "localhost"
        && top_level(name).starts_with(|first: char| first.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_one_that_relays_accept() {
        let long = format!("{}.com", "a".repeat(64));
        for (host, domain, expected) in [
            ("monitor.example.com\n", "example.org", "monitor.example.com"),
            ("Monitor.Example.COM.", "example.org", "monitor.example.com"),
            // Of a container, of a pod, and none.
            ("3f2a9c51d0b7\n", "example.org", "example.org"),
            ("proxymeter-7d9f8-x2x", "example.org", "example.org"),
            ("", "example.org", "example.org"),
            ("localhost", "example.org", "example.org"),
            ("localhost.localdomain", "example.org", "example.org"),
            ("box.localhost", "example.org", "example.org"),
            ("localhost.example.com", "example.org", "example.org"),
            // Names that only their own network knows.
            ("box.lan", "example.org", "example.org"),
            ("ip-10-0-0-5.ec2.internal", "example.org", "example.org"),
            ("box.lan", "localhost", "box.lan"),
            ("box", "mail.lan", "mail.lan"),
            // Names that are none.
            ("my_host.example.com", "example.org", "example.org"),
            ("überwacher.example.com", "example.org", "example.org"),
            ("-box.example.com", "example.org", "example.org"),
            ("box-.example.com", "example.org", "example.org"),
            ("a..example.com", "example.org", "example.org"),
            (".example.com", "example.org", "example.org"),
            ("a b.example.com", "example.org", "example.org"),
            ("evil.example.com\r\nRCPT TO:<x@y>", "example.org", "example.org"),
            (&long, "example.org", "example.org"),
            // Addresses.
            ("10.0.0.5", "example.org", "example.org"),
            ("[10.0.0.5]", "example.org", "example.org"),
            ("fe80::1", "example.org", "example.org"),
            // The sender's domain helps as little.
            ("3f2a9c51d0b7", "localhost", "proxymeter.local"),
            ("3f2a9c51d0b7", "[10.0.0.5]", "proxymeter.local"),
            ("", "", "proxymeter.local"),
        ] {
            assert_eq!(default_name(host, domain), expected, "{host:?} {domain:?}");
        }
    }
}

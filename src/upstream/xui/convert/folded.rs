//! How names of clients are compared.

/// A name of a client as the panels compare it: without regard to case.
pub(in crate::upstream::xui) fn folded(name: String) -> String {
    if name.chars().any(char::is_uppercase) { name.to_lowercase() } else { name }
}

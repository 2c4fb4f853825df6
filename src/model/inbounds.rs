use std::sync::Arc;

/// A port of a proxy core on which users connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    /// Unique within the target.
    pub label: Arc<str>,
    /// Empty if the panel does not report it, like the other texts.
    pub protocol: String,
    /// A number, or a range or an expression of the core's configuration.
    pub port: String,
    /// The operator's own name for it.
    pub remark: String,
    /// The node that it is on.
    pub node: String,
}

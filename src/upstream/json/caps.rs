//! How much of an answer is kept.

/// The longest name or key of a row, in bytes. A row with a longer one is left out: a cut name could be another row's.
pub const IDENTITY: usize = 1024;
/// The longest other text, in bytes. A longer one is cut.
pub const TEXT: usize = 1024;
/// The most rows that are kept of a list other than that of the users. Large panels have some hundred nodes.
pub const ROWS: usize = 2000;

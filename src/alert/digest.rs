//! The daily digest: what is not worth a message of its own.

mod time;

pub use self::time::DigestTime;

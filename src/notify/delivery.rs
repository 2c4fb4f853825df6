//! One queue per receiver.

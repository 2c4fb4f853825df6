//! Decoding the answers of panels.

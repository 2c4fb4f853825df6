//! Writing reports as text.

//! A string that cannot print itself.

//! A server that does not accept the key, and what else it may answer.

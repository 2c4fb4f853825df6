//! The table of dialects: what each answer means, how a request is made, and what counts as too long.

mod answers;
mod requests;
mod texts;

use std::time::Duration;

use super::config::{ChatConfig, Dialect};
use crate::{http::options::TlsOptions, model::Timestamp, notify::email::config::ReceiverConfig};

const NOW: Timestamp = Timestamp::from_secs(1_795_600_000);

fn config(dialect: Dialect) -> ChatConfig {
    ChatConfig {
        dialect,
        url: "https://chat.example.com/prefix".into(),
        token: None,
        room: None,
        thread: None,
        secret: None,
        keyword: None,
        authorization: None,
        headers: Vec::new(),
        proxy: None,
        tls: TlsOptions::default(),
        timeout: Duration::from_secs(10),
        common: ReceiverConfig::default(),
    }
}

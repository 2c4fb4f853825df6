//! Checks whether a daemon could be built from a configuration.

use tokio::sync::mpsc;

use super::{
    StartError,
    receivers::{self, routes},
    targets::poller,
};
use crate::{
    alert::engine::{Engine, Rows},
    board::Board,
    clock::{Beats, Clock},
    config::Config,
    notify::{HealthByReceiver, heartbeat::Heartbeat},
    secret::HashKey,
    telemetry::Telemetry,
    upstream::RefusedKeys,
};

/// Builds everything that needs no network, storage folder or port, and returns what cannot be built.
pub fn check(config: &Config) -> Vec<StartError> {
    let (clock, telemetry) = (Clock::system(), Telemetry::new());
    let (key, refused) = (HashKey::new(b""), RefusedKeys::in_memory());
    let board = Board::new(config.targets.iter().map(|target| target.name.as_str()));
    let targets = config.targets.iter().map(|target| {
        let (_, requests) = mpsc::unbounded_channel();
        poller(target, Some(&key), &refused, &board, &telemetry, &clock, requests).map(drop)
    });
    let receivers = config.receivers.iter().map(|table| {
        let why = |why| StartError::Receiver { receiver: table.name.clone(), why };
        receivers::check(config, table).map_err(why)
    });
    let heartbeat = config.heartbeat.iter().map(|heartbeat| {
        let (beats, health) = (Beats::default(), HealthByReceiver::default());
        let heartbeat =
            Heartbeat::new(heartbeat, beats, health, board.clone(), telemetry.clone(), clock.clone());
        Ok(heartbeat.map(drop)?)
    });
    let engine = Engine::new(&config.alerting, routes(config), &Rows::default(), clock.now());
    let engine = engine.map(drop).map_err(super::alerting::wrong);
    targets.chain(receivers).chain(heartbeat).chain([engine]).filter_map(Result::err).collect()
}

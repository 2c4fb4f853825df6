//! Why a daemon could not be built or changed, and why it failed.

use std::{io, net::SocketAddr};

use crate::{
    http::BuildError, notify::heartbeat::HeartbeatError, server::access::AccessError, store::StoreError,
};

/// Why a daemon could not be built, or could not change its configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}; --web.listen-address chooses another address")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot listen on {0}: the running exporter uses this port with another address; restart it")]
    OwnPort(SocketAddr),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("target {target}: {source}")]
    Client { target: String, source: BuildError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("receiver {receiver}: {why}")]
    Receiver { receiver: String, why: String },
    #[error("heartbeat: {0}")]
    Heartbeat(#[from] HeartbeatError),
    #[error("{}", .0.join("\n"))]
    Alerting(Vec<String>),
    #[error(
        "labels = \"hash\" needs a key: write users.hash_key_file, or run the daemon once, which makes one in {0}"
    )]
    NoHashKey(String),
    #[error("target {0}: there is no key that hashes the keys and accounts it reads")]
    NoKey(String),
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("storage.path cannot change while the exporter runs; restart it, or write {0:?} again")]
    StorageMoved(String),
    #[error("the exporter is stopping")]
    Stopping,
}

/// Why a daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("a task of the daemon ended unexpectedly: {0}")]
    Unasked(String),
    #[error("stopped at once by a second request, with requests in flight unanswered")]
    CutShort,
}

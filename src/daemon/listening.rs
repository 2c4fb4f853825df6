//! The addresses that the daemon listens on.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;

use super::StartError;
use crate::server::Listeners;

/// A listening socket, with the address from the configuration.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) listener: Arc<TcpListener>,
}

pub(super) fn bound(listeners: &[Listening]) -> Listeners {
    listeners.iter().map(|listening| Arc::clone(&listening.listener)).collect()
}

/// Listens on an address. Where the machine has no IPv6, all addresses of IPv6 become all of IPv4.
pub(super) async fn listen(address: SocketAddr) -> Result<Listening, StartError> {
    let listener = match TcpListener::bind(address).await {
        Err(_) if address.ip().is_unspecified() && address.is_ipv6() => {
            TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], address.port()))).await
        }
        bound => bound,
    };
    let listener = listener.map_err(|source| StartError::Listen { address, source })?;
    Ok(Listening { address, listener: Arc::new(listener) })
}

//! The HTTP server: metrics, health, the status page, and the same as JSON.
//!
//! [`serve`] answers on listeners that are already bound. `http1` serves a connection, `connections` sets the limits of
//! all, `requests` answers requests, and [`access`] checks them; `commands` carries out those that change something. Metrics are written once per change and shared by
//! all scrapers, see `pages`.

pub mod access;
pub mod config;

mod answer;
mod api;
mod commands;
mod connections;
mod host;
mod http1;
mod llm;
mod negotiate;
mod pages;
mod people;
mod requests;
mod route;
mod runbook;
mod seen;
mod stall;
mod state;
mod status;
mod stream;
mod target;
mod tls;

pub use api::usage::{UsageLine, usage_csv};
pub use host::own_names;
pub use route::is_taken;
pub use state::{AskSilence, Reload, Setup, State};

use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use connections::Connections;
use requests::Server;
use route::Route;

/// After an error of accepting, such as too many open files, it is tried again so much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Sockets that are bound. One that is missing from the next value is closed.
pub type Listeners = Vec<Arc<TcpListener>>;

/// Answers on `listeners` until `stop` is done. Then it accepts no more connections, and returns when the requests in
/// progress are answered. Dropping it stops it at once.
pub async fn serve(mut listeners: watch::Receiver<Listeners>, state: State, stop: impl Future<Output = ()>) {
    for route in Route::GOOD {
        state.telemetry.declare_path(route.label());
    }
    let server = Arc::new(Server::new(state));
    let (close, closing) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_ready(Arc::clone(&server), closing.clone()));
    let mut stop = pin!(stop);
    let mut open = listeners.borrow_and_update().clone();
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            Ok(()) = listeners.changed() => {
                open = listeners.borrow_and_update().clone();
                continue;
            }
            accepted = accept(&open, &server.connections) => accepted,
        };
        while tasks.try_join_next().is_some() {}
        // It fails only for a connection that is gone.
        let local = stream.local_addr().map_or(peer, |local| local.ip());
        let seat = server.connections.enter(peer, local);
        tasks.spawn(http1::attend(Arc::clone(&server), stream, seat, closing.clone()));
    }
    drop((open, listeners));
    close.send_replace(true);
    while tasks.join_next().await.is_some() {}
}

/// Keeps pages ready until the server stops.
async fn keep_ready(server: Arc<Server>, mut closing: watch::Receiver<bool>) {
    tokio::select! {
        _ = closing.changed() => {}
        () = server.pages.keep_ready() => {}
    }
}

async fn accept(listeners: &[Arc<TcpListener>], connections: &Connections) -> (TcpStream, IpAddr) {
    loop {
        match poll_fn(|cx| poll_accept(listeners, cx)).await {
            Ok((stream, peer)) => {
                // Else the end of an answer waits until the client has acknowledged what comes before it.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY on an HTTP connection");
                }
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                // Such as too many open files; only a client that has gone away again takes none.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    connections.dismiss_one();
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn poll_accept(
    listeners: &[Arc<TcpListener>],
    cx: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, IpAddr)>> {
    for listener in listeners {
        if let Poll::Ready(accepted) = listener.poll_accept(cx) {
            return Poll::Ready(accepted.map(|(stream, peer)| (stream, peer.ip())));
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_sent_without_delay() {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = accept(&[listener], &Connections::default()).await;
        assert!(stream.nodelay().unwrap());
    }
}

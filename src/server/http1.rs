//! A connection from its TLS handshake to its end. It speaks HTTP/1.

use std::{error::Error, pin::pin, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use super::{
    access::Broken,
    connections::{Place, STALL_LIMIT, Seat},
    requests::{Outdated, Server},
    stall::Stall,
};

/// Requests whose head has more headers, or is larger in bytes, are refused.
const MAX_HEADERS: usize = 64;
const MAX_HEAD_SIZE: usize = 16 * 1024;

/// So many bytes of an answer are handed to the system in one call.
const SENT_AT_ONCE: usize = 1024 * 1024;

/// Answers on a connection until it ends. When `closing` becomes true, what is being answered is the last.
pub(super) async fn attend(
    server: Arc<Server>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    seat: Seat,
    closing: watch::Receiver<bool>,
) {
    let _open = server.state.telemetry.http_connection();
    tokio::select! {
        () = seat.place.ended(closing.clone()) => {}
        ended = greet(&server, stream, &seat.place, closing) => if let Err(error) = ended {
            tracing::debug!(%error, "HTTP connection ended early");
        }
    }
}

async fn greet(
    server: &Server,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    place: &Arc<Place>,
    closing: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let tls = match server.access().terms().await {
        Ok(terms) => terms.tls.clone(),
        Err(Broken { tls: true }) => return Err("the TLS configuration cannot be used".into()),
        Err(Broken { tls: false }) => None,
    };
    let Some(tls) = tls else { return Ok(speak(server, stream, place, None, closing).await?) };
    match TlsAcceptor::from(Arc::clone(&tls)).accept(stream).await {
        Ok(stream) => Ok(speak(server, stream, place, Some(&tls), closing).await?),
        Err(error) => {
            server.state.telemetry.http_handshake_failure();
            Err(error.into())
        }
    }
}

async fn speak(
    server: &Server,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    place: &Arc<Place>,
    tls: Option<&Arc<ServerConfig>>,
    mut closing: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let service = service_fn(async |request| {
        let answering = place.answer();
        let mut response = server.answer(request, place, tls).await?;
        response.body_mut().answering = Some(answering);
        Ok::<_, Outdated>(response)
    });
    let connection = http1::Builder::new()
        // `Place` has the limits.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_SIZE)
        .max_buf_size(SENT_AT_ONCE)
        .serve_connection(Stall::new(TokioIo::new(stream), STALL_LIMIT, Arc::clone(place)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

//! Shows whether a request went out on a connection that had been used before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

/// Counts the connections that a client opens. While one request is in flight at a time, a request that opened none went
/// out on an old one.
#[derive(Clone, Debug, Default)]
pub(super) struct Opened(Arc<AtomicU64>);

impl Opened {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Layer<S> for Opened {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector { inner, opened: self.clone() }
    }
}

/// A connector that counts.
#[derive(Clone, Debug)]
pub(super) struct Connector<S> {
    inner: S,
    opened: Opened,
}

impl<R, S: Service<R>> Service<R> for Connector<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.opened.0.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

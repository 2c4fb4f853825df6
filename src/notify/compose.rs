//! What all kinds of messages share.

use super::{Retry, SendError, SendReason};

/// Makes the message to `place` off the runtime's threads: one of thousands of alerts takes so long that scrapes would
/// wait for it.
pub(super) async fn composed<T: Send + 'static>(
    place: &str,
    compose: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, SendError> {
    let composed = tokio::task::spawn_blocking(compose).await;
    composed.unwrap_or_else(|_| Err("the message cannot be made".to_owned())).map_err(|what| SendError {
        reason: SendReason::ClientError,
        detail: format!("{place}: {what}"),
        retry: Retry::Never,
    })
}

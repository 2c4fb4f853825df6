//! Work with a template, apart from the rest of the process.

use std::{
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

/// The limit for a check, and for a rendering.
pub(in crate::notify::webhook) const PATIENCE: Duration = Duration::from_secs(30);
/// Four times what the deepest text needs that the configuration takes. Only what is used of it takes memory.
const STACK: usize = 256 * 1024 * 1024;

/// Does the work on a thread of its own. minijinja follows the nesting of texts and values by recursion: on a usual stack
/// a thousand operators in a row overflow it, which would end the process. Work that does not end in time is left behind.
pub(in crate::notify::webhook) fn apart<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, outcome) = sync_channel(1);
    let thread = thread::Builder::new().name("template".to_owned()).stack_size(STACK);
    thread.spawn(move || sender.send(work())).map_err(|err| format!("there is no thread for it: {err}"))?;
    outcome.recv_timeout(patience).unwrap_or_else(|err| match err {
        RecvTimeoutError::Timeout => {
            Err(format!("it takes longer than {} s; write a simpler one", patience.as_secs()))
        }
        RecvTimeoutError::Disconnected => Err("it cannot be rendered; write a simpler one".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_end_is_left_behind() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let endless = move || held.recv().map_err(|err| err.to_string());
        let err = apart(Duration::from_millis(1), endless).unwrap_err();
        assert_eq!(err, "it takes longer than 0 s; write a simpler one");
        drop(hold);
        let err = apart(PATIENCE, || -> Result<(), String> { panic!("a fault of the engine") }).unwrap_err();
        assert_eq!(err, "it cannot be rendered; write a simpler one");
    }
}

//! Requests to stop or to reload: the signals that make them, and waiting for them beside other work.

use std::{io, pin::pin};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A request to a running daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Reload the configuration.
    Reload,
    Stop,
}

/// SIGTERM, SIGINT and SIGHUP.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on, these signals no longer end the process.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}

/// Runs work that may hang, until it is done or a stop is requested; records requests for a reload.
pub(super) async fn unless_stopped<T>(
    work: impl Future<Output = T>,
    asked: &mut impl AsyncFnMut() -> Asked,
    reload: &mut bool,
) -> Option<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            ask = asked() => match ask {
                Asked::Stop => return None,
                Asked::Reload => *reload = true,
            },
        }
    }
}

pub(super) async fn until_stop(asked: &mut impl AsyncFnMut() -> Asked) {
    while asked().await != Asked::Stop {}
}

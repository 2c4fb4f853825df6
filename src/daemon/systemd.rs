//! Reports the daemon's state to the service manager, if there is one, by the protocol of sd_notify(3).
//!
//! `sd_notify` knows the protocol. It is sent from here, because that crate knows no names in the abstract namespace and
//! waits for a service manager that does not read.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    sync::Arc,
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::clock::Beats;

/// The service manager that started this process, if it asked for notifications. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ServiceManager {
    socket: Option<Arc<UnixDatagram>>,
    /// The service manager ends this process after this long without a notification.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` from the environment.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let Some(address) = env("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return ServiceManager::default();
        };
        let socket = match connect(&address) {
            Ok(socket) => Some(Arc::new(socket)),
            Err(err) => {
                warn!("the service manager cannot be notified: {address}: {err}");
                None
            }
        };
        let is_ours = env("WATCHDOG_PID").is_none_or(|pid| pid == process::id().to_string());
        let watchdog = env("WATCHDOG_USEC").and_then(|micros| micros.parse().ok());
        let watchdog = watchdog.filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        ServiceManager { socket, watchdog }
    }

    /// The daemon listens, or a reload has ended.
    pub fn ready(&self) {
        self.notify(&[NotifyState::Ready]);
    }

    /// A reload starts; [`ServiceManager::ready`] follows, whatever its outcome.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]),
            Err(err) => warn!("the service manager was not notified of a reload: {err}"),
        }
    }

    /// The daemon is stopping.
    pub fn stopping(&self) {
        self.notify(&[NotifyState::Stopping]);
    }

    /// Notifies the watchdog twice in its time, as long as no loop is stuck. Does not end.
    pub async fn keep_watchdog(self, beats: Beats) {
        let Some(watchdog) = self.watchdog else { return std::future::pending().await };
        let mut ticks = interval((watchdog / 2).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = Vec::new();
        loop {
            ticks.tick().await;
            let late = beats.stuck();
            if late.is_empty() {
                self.notify(&[NotifyState::Watchdog]);
            } else if late != known {
                let stuck = late.join(", ");
                warn!(
                    "the service manager's watchdog is not notified, because these loops are stuck: {stuck}"
                );
            }
            known = late;
        }
    }

    /// Sends one message.
    fn notify(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let message = states.iter().map(NotifyState::to_string).collect::<Vec<_>>().join("\n");
        if let Err(err) = socket.send(message.as_bytes()) {
            warn!("the service manager was not notified: {err}");
        }
    }
}

/// `address` is a path, or a name in the abstract namespace after an `@`.
fn connect(address: &str) -> io::Result<UnixDatagram> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(OsStr::from_bytes(address.as_bytes()))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A service manager that does not read must not block the daemon.
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::clock::Beat;

    fn manager(path: &str, more: &[(&str, &str)]) -> ServiceManager {
        ServiceManager::from_env(|name| {
            let socket = (name == "NOTIFY_SOCKET").then(|| path.to_owned());
            socket.or_else(|| more.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    /// A manager's end of the socket.
    struct End {
        socket: UnixDatagram,
        path: String,
        _folder: tempfile::TempDir,
    }

    impl End {
        fn open() -> End {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            End { socket, path: path.to_str().unwrap().to_owned(), _folder: folder }
        }

        /// All messages since.
        fn heard(&self) -> Vec<String> {
            let mut buffer = [0; 256];
            let mut heard = Vec::new();
            while let Ok(length) = self.socket.recv(&mut buffer) {
                heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
            heard
        }
    }

    #[test]
    fn states_are_sent_where_a_service_manager_listens() {
        let end = End::open();
        let manager = manager(&end.path, &[]);
        let before = monotonic_usec();
        manager.reloading();
        manager.ready();
        manager.stopping();
        let heard = end.heard();
        let [reloading, ready, stopping] = &heard[..] else { panic!("{heard:?}") };
        let at = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").map(|at| at.parse().unwrap());
        assert!(at.is_some_and(|at| (before..=monotonic_usec()).contains(&at)), "{reloading}");
        assert_eq!([ready, stopping], ["READY=1", "STOPPING=1"]);
        for nowhere in ["", "/nonexistent/notify", "@", "relative", "@nothing-listens-here"] {
            let manager = self::manager(nowhere, &[]);
            assert!(manager.socket.is_none(), "{nowhere}");
            manager.ready();
        }
    }

    /// The monotonic clock in microseconds.
    fn monotonic_usec() -> i128 {
        match NotifyState::monotonic_usec_now().unwrap() {
            NotifyState::MonotonicUsec(now) => now,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_service_manager_that_does_not_read_holds_up_nothing() {
        let end = End::open();
        let manager = manager(&end.path, &[]);
        for _ in 0..10_000 {
            manager.ready();
        }
        assert!((1..10_000).contains(&end.heard().len()));
    }

    #[test]
    fn names_in_the_abstract_namespace_are_understood() {
        let name = format!("proxymeter-test-{}", process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        manager(&format!("@{name}"), &[]).ready();
        let mut buffer = [0; 16];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn a_watchdog_is_kept_if_it_is_ours() {
        let end = End::open();
        let own = process::id().to_string();
        for (more, expected) in [
            (&[("WATCHDOG_USEC", "60000000")][..], Some(60)),
            (&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", &own)], Some(60)),
            (&[("WATCHDOG_USEC", "60000000"), ("WATCHDOG_PID", "1")], None),
            (&[("WATCHDOG_USEC", "0")], None),
            (&[("WATCHDOG_USEC", "soon")], None),
            (&[], None),
        ] {
            let watchdog = manager(&end.path, more).watchdog;
            assert_eq!(watchdog, expected.map(Duration::from_secs), "{more:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_not_notified_while_a_loop_is_stuck() {
        let end = End::open();
        let manager = manager(&end.path, &[("WATCHDOG_USEC", "20000000")]);
        let (beats, poll) = (Beats::default(), Beat::default());
        beats.watch("poll home", &poll);
        let mut kept = Box::pin(manager.keep_watchdog(beats));
        let mut run = async |seconds| {
            assert!(timeout(Duration::from_secs(seconds), &mut kept).await.is_err(), "it ended");
        };
        poll.within(Duration::from_secs(5));
        run(95).await;
        assert_eq!(end.heard(), vec!["WATCHDOG=1"; 10], "at once, and every ten seconds");
        run(100).await;
        assert_eq!(end.heard(), vec!["WATCHDOG=1"; 3], "for two minutes");
        poll.within(Duration::MAX);
        run(100).await;
        assert_eq!(end.heard(), vec!["WATCHDOG=1"; 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_shortest_watchdog_is_no_trap() {
        let end = End::open();
        let manager = manager(&end.path, &[("WATCHDOG_USEC", "1")]);
        let kept = manager.keep_watchdog(Beats::default());
        assert!(timeout(Duration::from_millis(5), kept).await.is_err());
        assert!(!end.heard().is_empty());
    }
}

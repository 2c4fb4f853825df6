//! A simulated panel whose server can be stopped and started.

use std::{net::SocketAddr, ops::Deref, sync::LazyLock};

use proxymeter::{
    clock::Clock,
    simulator::marzban::{Options, Panel, User},
};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A panel of users whom the test adds, and its server.
pub(crate) struct Served {
    panel: Panel,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Served {
    pub(crate) fn start() -> Served {
        let clock = Clock::system();
        let options = Options { users: 0, nodes: 0, links_per_user: 0, ..Options::default() };
        let panel = Panel::new(options, move || clock.now().wall.as_millis());
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = RUNTIME.spawn(panel.clone().serve(listener, async move { drop(stopped.await) }));
        Served { panel, address, stop, serving }
    }

    /// Adds a user whose time was over a minute ago.
    pub(crate) fn add_expired(&self, name: &str) {
        self.add_ending(name, -60);
    }

    /// Adds a user whose time is over in so many seconds.
    pub(crate) fn add_ending(&self, name: &str, seconds: i64) {
        let now = Clock::system().now().wall.as_millis() / 1000;
        let fill = |user: &mut User| user.expire = Some(now + seconds);
        assert!(self.panel.add_user(name, fill));
        self.panel.advance(0);
    }

    /// Adds a user who has used up what was allowed.
    pub(crate) fn add_used_up(&self, name: &str) {
        self.add_using(name, 1000);
    }

    /// Adds a user who has used so much of 1000 bytes.
    pub(crate) fn add_using(&self, name: &str, used: u64) {
        let fill = |user: &mut User| (user.used_traffic, user.data_limit) = (used, Some(1000));
        assert!(self.panel.add_user(name, fill));
        self.panel.advance(0);
    }

    /// Moves a user's end beyond everything that alerts look at.
    pub(crate) fn renew(&self, name: &str) {
        assert!(self.panel.renew_user(name, 90 * 24 * 60 * 60));
    }

    /// Ends the server, as if the panel's machine were switched off.
    pub(crate) fn stop(self) {
        drop(self.stop);
        RUNTIME.block_on(self.serving).unwrap();
    }
}

impl Deref for Served {
    type Target = Panel;

    fn deref(&self) -> &Panel {
        &self.panel
    }
}

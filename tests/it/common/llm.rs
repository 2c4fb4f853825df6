//! A simulated CLIProxyAPI server in real time, for the program itself.

use std::{collections::HashMap, net::SocketAddr, ops::Deref, time::Duration};

use proxymeter::{
    clock::Clock,
    simulator::cliproxy::{Options, Server},
};
use rusqlite::{Connection, OpenFlags};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    daemon::{Daemon, Home},
    exposition::{Format, parse},
    simulated::RUNTIME,
};

/// How often time passes on a busy server.
const TICK: Duration = Duration::from_millis(10);

/// A server that answers until it is dropped.
pub(crate) struct Proxy {
    server: Server,
    address: SocketAddr,
    key: String,
    serving: JoinHandle<()>,
}

/// The time of a server, which goes on until this is dropped.
pub(crate) struct Busy(JoinHandle<()>);

impl Proxy {
    pub(crate) fn start(options: &Options) -> Proxy {
        let clock = Clock::system();
        let server = Server::new(options, move || clock.now().wall.as_millis());
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = RUNTIME.spawn(server.clone().serve(listener, std::future::pending()));
        Proxy { server, address, key: options.key.clone(), serving }
    }

    /// The table of a target that takes records every five seconds, with `more` keys.
    pub(crate) fn table(&self, name: &str, more: &str) -> String {
        let Proxy { address, key, .. } = self;
        format!(
            "[cliproxy.{name}]\nurl = \"http://{address}\"\nmanagement_key = \"{key}\"\ninterval = \"5s\"\n{more}\n"
        )
    }

    /// Lets the traffic of the options flow.
    pub(crate) fn busy(&self) -> Busy {
        let server = self.server.clone();
        Busy(RUNTIME.spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                server.advance(10);
            }
        }))
    }

    /// Requests for records so far.
    pub(crate) fn asked_for_records(&self) -> usize {
        self.server.wire.requests_to("/v0/management/usage-queue?count=1")
    }
}

impl Deref for Proxy {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a process has left on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Attempts, failed ones, and the six kinds of tokens, of all series.
    pub(crate) sums: [u64; 8],
    pub(crate) records: u64,
    pub(crate) gaps: u64,
    /// When a request for records was announced of which nothing says what became of it.
    pub(crate) begun: Option<u64>,
}

impl Stored {
    pub(crate) fn of(home: &Home) -> Stored {
        let path = home.storage().join("proxymeter.db");
        let mut stored = Stored::default();
        let Ok(database) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
            return stored;
        };
        // A process that was killed at once has made no table.
        let Ok(mut rows) = database.prepare("SELECT family, labels, ints FROM counters") else {
            return stored;
        };
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        for (family, labels, ints) in rows.map(Result::<(String, String, String), _>::unwrap) {
            let values: Vec<u64> = serde_json::from_str(&ints).unwrap();
            match (family.as_str(), labels.as_str()) {
                ("llm_rows", _) => {
                    stored.sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
                }
                ("llm_totals", _) => (stored.records, stored.gaps) = (values[0], values[1]),
                ("llm_queue", "begun") => stored.begun = Some(values[0]),
                _ => {}
            }
        }
        stored
    }
}

/// The sums of all families whose names begin with `proxymeter_llm_`, over all series.
pub(crate) fn sums(daemon: &Daemon) -> HashMap<String, f64> {
    let mut sums = HashMap::new();
    for sample in parse(Format::Classic, &daemon.metrics()).unwrap() {
        if let Some(name) = sample.name.strip_prefix("proxymeter_llm_") {
            *sums.entry(name.to_owned()).or_default() += sample.value;
        }
    }
    sums
}

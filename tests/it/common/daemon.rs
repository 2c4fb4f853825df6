//! The program, run on a configuration of a test's own, and killed or told to stop as the test wants.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::time::Instant;

/// What waiting for anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`].
pub(crate) fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A folder with a configuration and what daemons keep there.
pub(crate) struct Home {
    folder: TempDir,
    config: PathBuf,
    /// Of daemons, beside the test's own.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Home {
    /// Watches a panel every five seconds, and tells `receivers`, which are tables of the configuration, at once of
    /// each group; `group_by` is a list as it is written there.
    pub(crate) fn new(panel: SocketAddr, group_by: &str, receivers: &str) -> Home {
        Home::of(&format!(
            "[poll]\ninterval = \"5s\"\nload = \"100%\"\n\
             [alerting]\ngroup_by = {group_by}\ngroup_wait = \"0s\"\ngroup_interval = \"1s\"\n\
             [marzban.home]\nurl = \"http://{panel}\"\nusername = \"root\"\npassword = \"root-password\"\n\
             {receivers}",
        ))
    }

    /// With these tables beside those of the server and of the storage.
    pub(crate) fn of(tables: &str) -> Home {
        let folder = tempfile::tempdir().unwrap();
        let home = Home { config: folder.path().join("exporter.toml"), folder, environment: Vec::new() };
        home.configure(tables);
        home
    }

    /// Replaces the tables of [`Home::of`].
    pub(crate) fn configure(&self, tables: &str) {
        let storage = self.storage().display().to_string();
        let text = format!("[web]\nlisten = \"127.0.0.1:0\"\n[storage]\npath = \"{storage}\"\n{tables}");
        fs::write(&self.config, text).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// Waits until the user list of a target is in the database, which is shortly after it is published.
    pub(crate) fn wait_until_users_are_kept(&self) {
        let database = Connection::open_with_flags(
            self.storage().join("proxymeter.db"),
            OpenFlags::SQLITE_OPEN_READ_ONLY,
        );
        let database = database.unwrap();
        wait_for("the kept users", || {
            let lists: i64 = database.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).ok()?;
            (lists > 0).then_some(())
        });
    }

    /// The configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.config.clone()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
        command.arg(format!("--config.file={}", self.config.display()));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Daemon {
        Daemon::run(self.command())
    }
}

/// A table for a webhook.
pub(crate) fn webhook(name: &str, address: SocketAddr) -> String {
    format!("[webhook.{name}]\nurl = \"http://{address}/hook\"\n")
}

/// A table for mail.
pub(crate) fn email(name: &str, address: SocketAddr) -> String {
    format!(
        "[email.{name}]\nsmarthost = \"{address}\"\ntls = \"none\"\nfrom = \"a@example.com\"\nto = \"b@example.com\"\n"
    )
}

/// A running daemon, killed when dropped.
pub(crate) struct Daemon {
    id: u32,
    child: Mutex<Child>,
    lines: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Daemon {
    /// A process that was given its configuration.
    pub(crate) fn run(mut command: Command) -> Daemon {
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (seen, stderr) = (Arc::clone(&lines), child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                seen.lock().unwrap().push((Instant::now(), line));
            }
        });
        Daemon { id: child.id(), child: Mutex::new(child), lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// SIGKILL. Returns once it is gone.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        // Killing what has ended already is no harm.
        drop(child.kill());
        drop(child.wait());
    }

    /// Sends a signal, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.id.to_string()]).status().unwrap().success());
    }

    /// SIGTERM. Returns the exit code and how long that took.
    pub(crate) fn stop(&self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        self.signal("-TERM");
        let status = wait_for("the daemon to stop", || self.child.lock().unwrap().try_wait().unwrap());
        (status.code(), start.elapsed())
    }

    pub(crate) fn log(&self) -> String {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|(_, line)| format!("{line}\n")).collect()
    }

    /// When it first logged a line that holds these words.
    pub(crate) fn logged_at(&self, words: &str) -> Option<Instant> {
        let lines = self.lines.lock().unwrap();
        lines.iter().find(|(_, line)| line.contains(words)).map(|(time, _)| *time)
    }

    /// Where it listens first, once it does.
    pub(crate) fn address(&self) -> String {
        wait_for("the daemon to listen", || {
            let lines = self.lines.lock().unwrap();
            let address = lines.iter().find_map(|(_, line)| line.split("listening on http://").nth(1))?;
            Some(address.split(['"', ' ']).next().unwrap().to_owned())
        })
    }

    /// The status and the body of an answer.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, String) {
        self.send(method, path, &[], "").unwrap()
    }

    /// The same for a request with these headers and this body; absent: the daemon ends before it has answered.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = format!("Content-Length: {}", body.len());
        let length = (!body.is_empty()).then_some(&*length);
        let headers: String =
            headers.iter().copied().chain(length).map(|line| format!("{line}\r\n")).collect();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all((head + body).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_owned()))
    }

    /// Loads the configuration again.
    pub(crate) fn reload(&self) {
        assert_eq!(self.ask("POST", "/-/reload"), (200, "The configuration was reloaded.\n".to_owned()));
    }

    pub(crate) fn metrics(&self) -> String {
        self.ask("GET", "/metrics").1
    }

    /// The value of the series that is written so, name and labels, if there is one.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        value(&self.metrics(), series)
    }

    /// When the user list was last read to its end, if ever.
    pub(crate) fn users_read_at(&self) -> Option<f64> {
        self.value("proxymeter_target_part_last_success_timestamp_seconds{target=\"home\",part=\"users\"}")
    }

    /// Returns once the user list was read to its end after that time.
    pub(crate) fn wait_until_users_read_after(&self, before: f64) -> f64 {
        wait_for("the user list to be read", || self.users_read_at().filter(|time| *time > before))
    }

    /// Whether the receiver has nothing more to take.
    pub(crate) fn has_told_all(&self, receiver: &str) -> bool {
        let series = format!("proxymeter_notification_queue_length{{receiver=\"{receiver}\"}}");
        self.value(&series) == Some(0.0)
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(Path::new("/proc").join(self.id.to_string()).join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

pub(crate) fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

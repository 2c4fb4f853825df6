//! The program as people and service managers meet it: arguments, exit codes, signals.

use std::{
    fs,
    io::{BufRead, BufReader, Lines, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::Duration,
};

use crate::common::{
    daemon::{Daemon, Home, wait_for, webhook},
    hook::{Hook, Reply},
    listener::closed_address,
    simulated::Served,
};

fn proxymeter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = proxymeter(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A running daemon, ended with the test.
struct Running {
    child: Child,
    /// Kept open, because the demo goes on writing.
    _out: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Running {
    /// Starts a demo and waits until it says where it listens.
    fn demo() -> Self {
        Running::of(&mut proxymeter(&["demo", "--web.listen-address=127.0.0.1:0"]))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = out.by_ref().map(Result::unwrap).find(|line| line.contains("/metrics")).unwrap();
        let (_, address) = line.split_once("http://").unwrap();
        let address = address.trim_end_matches("/metrics").to_owned();
        Running { child, _out: out, address }
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The answer to a GET, head and body.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks until an answer holds `wanted`; a daemon that takes 20 s for it fails the test.
    fn wait_for(&self, path: &str, wanted: &str) -> String {
        let start = tokio::time::Instant::now();
        loop {
            let answer = self.get(path);
            if answer.contains(wanted) {
                return answer;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{path} never holds {wanted}:\n{answer}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The exit code, once the daemon has ended, and how long that took.
    fn wait(&mut self) -> (Option<i32>, Duration) {
        let start = tokio::time::Instant::now();
        (self.child.wait().unwrap().code(), start.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail once it has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn version_and_help_tell_and_wrong_use_is_two() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!(code, Some(0));
    let [first, date, rustc, platform] = &out.lines().collect::<Vec<_>>()[..] else { panic!("{out}") };
    assert!(first.starts_with(concat!("proxymeter ", env!("CARGO_PKG_VERSION"), " (branch ")), "{out}");
    assert!(first.contains(", revision ") && first.ends_with(')'), "{out}");
    for (line, name) in [(date, "date"), (rustc, "rustc"), (platform, "platform")] {
        let value = line.strip_prefix(&format!("  {name}: ")).unwrap_or_else(|| panic!("{out}"));
        assert!(!value.is_empty(), "{out}");
    }
    let (code, short, _) = run(&["-V"]);
    assert_eq!((code, short.trim_end()), (Some(0), *first));

    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in ["--config.file", "--web.listen-address", "--log.level", "check-config", "scrape", "demo"] {
        assert!(out.contains(word), "{word} is not in the help");
    }

    for arguments in [
        &["--nonsense"][..],
        &["--web.listen-address=nowhere"],
        &["--web.telemetry-path=metrics"],
        &["--web.telemetry-path=/config"],
        &["--web.telemetry-path=/api/v1"],
    ] {
        let (code, _, err) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(err.contains("--help"), "{err}");
    }
}

#[test]
fn a_wrong_configuration_is_told_with_its_lines_and_ends_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    fs::write(&file, "[marzban.home]\nurl = \"ftp://panel\"\npasword = \"x\"\n").unwrap();
    let file = file.to_str().unwrap();
    let argument = format!("--config.file={file}");
    for arguments in [&["check-config", &argument][..], &[&argument], &["scrape", &argument]] {
        let (code, out, err) = run(arguments);
        assert_eq!(code, Some(1), "{arguments:?}");
        assert_eq!(out, "");
        assert!(err.contains(&format!("{file}:2:")) && err.contains(&format!("{file}:3:")), "{err}");
    }
    let (code, _, err) = run(&["check-config", "--config.file=/nonexistent/exporter.toml"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("/nonexistent/exporter.toml"), "{err}");
}

#[test]
fn a_folder_without_a_configuration_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |arguments: &[&str]| {
        let output = proxymeter(arguments)
            .current_dir(folder.path())
            .env_remove("PROXYMETER_CONFIG")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [&[][..], &["run"], &["check-config"], &["scrape"], &["healthcheck"]] {
        let (code, err) = in_folder(arguments);
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(
            err.starts_with("proxymeter: exporter.toml: cannot be read: No such file or directory"),
            "{err}"
        );
        let lines: Vec<_> = err.lines().collect();
        assert_eq!(lines.len(), 4, "{err}");
        for (line, way) in lines[1..].iter().zip(["init", "demo", "--config.file=FILE"]) {
            assert!(line.starts_with(&format!("proxymeter {way} ")), "{err}");
        }
    }
    // One that was named is not there: the person knows about files.
    let (_, err) = in_folder(&["--config.file=exporter.toml"]);
    let said = err.lines().filter(|line| !line.contains("running as root")).count();
    assert_eq!(said, 1, "{err}");

    let (code, example, _) = run(&["example-config"]);
    assert_eq!((code, &*example), (Some(0), include_str!("../../exporter.example.toml")));
}

#[test]
fn a_daemon_needs_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let panel = Served::start();
    let text = format!(
        "[web]\nlisten = '127.0.0.1:0'\n[poll]\ninterval = '5s'\n[marzban.home]\nurl = 'http://{}'\nusername = 'root'\n",
        panel.address
    );
    let by_variables = |arguments: &[&str], text: &str| {
        let mut command = proxymeter(arguments);
        command.current_dir(folder.path()).env("PROXYMETER_CONFIG", text);
        command.env("PROXYMETER_MARZBAN_HOME_PASSWORD", "root-password");
        command
    };
    let daemon = Daemon::run(by_variables(&["--storage.path=kept"], &text));
    wait_for("the first read", || daemon.value("proxymeter_up{target=\"home\"}").filter(|up| *up > 0.0));
    assert!(folder.path().join("kept").is_dir());
    // The environment is still the same.
    daemon.reload();
    assert_eq!(daemon.stop().0, Some(0));

    // A file that is named comes first, and one that is just there does not.
    let file = folder.path().join("exporter.toml");
    fs::write(&file, "wrong").unwrap();
    let check = |arguments: &[&str], text: &str| {
        let output = by_variables(arguments, text).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check(&["check-config"], &text).0, Some(0));
    for (arguments, text, said) in [
        (&["check-config", "--config.file=exporter.toml"][..], &*text, "exporter.toml:1:"),
        (&["check-config"], " ", "exporter.toml:1:"),
        (&["check-config"], "[web]\nlisten = 1\n", "PROXYMETER_CONFIG:2:10: web.listen: "),
    ] {
        let (code, err) = check(arguments, text);
        assert_eq!(code, Some(1));
        assert!(err.contains(said), "{said}: {err}");
    }
}

#[test]
fn what_passes_the_check_can_be_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    let text = "[marzban.home]\nurl = \"https://127.0.0.1:9\"\napi_key = \"key\"\ntls = { ca_file = \"ca.pem\" }\n\
                [webhook.ops]\nurl = \"https://127.0.0.1:9\"\ntls = { ca_file = \"ca.pem\" }\n";
    fs::write(&file, text).unwrap();
    let (code, _, err) = run(&["check-config", &format!("--config.file={}", file.display())]);
    assert_eq!(code, Some(1), "{err}");
    for part in
        ["exporter.toml: target home: ", "exporter.toml: receiver ops: ", "ca.pem: holds no PEM certificate"]
    {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn a_web_file_of_the_arguments_is_checked_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (file, web) = (folder.path().join("exporter.toml"), folder.path().join("web.yml"));
    let arguments =
        [format!("--config.file={}", file.display()), format!("--web.config.file={}", web.display())];
    let [config_file, web_file] = &arguments;
    let mistake = format!("{}:1:1: the file: an unknown key", web.display());
    fs::write(&file, "[web]\nlisten = '127.0.0.1:0'\n").unwrap();
    fs::write(&web, "users:\n").unwrap();
    for arguments in [&["check-config", config_file, web_file][..], &[config_file, web_file]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, &*out), (Some(1), ""), "{arguments:?}: {err}");
        assert!(err.contains(&mistake), "{err}");
    }
    // Together with what is wrong with the configuration.
    fs::write(&file, "[web]\nlisten = 1\n").unwrap();
    let (code, _, err) = run(&["check-config", config_file, web_file]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&mistake) && err.contains("exporter.toml:2:10: web.listen: "), "{err}");

    fs::write(&file, "[web]\nlisten = ':10057'\n").unwrap();
    fs::write(&web, "").unwrap();
    let (code, out, err) = run(&["check-config", config_file, web_file]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with(&format!("{} is valid: 0 targets\n", file.display())), "{out}");
    assert!(err.contains("without a password"), "{err}");
}

#[test]
fn a_check_tells_how_many_targets_a_shard_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let target =
        |name| format!("[marzban.{name}]\nurl = 'http://localhost:8000'\nusername = 'a'\npassword = 'b'\n");
    fs::write(&file, format!("[poll]\nshard = '1/2'\n{}{}{}", target("a"), target("edge"), target("home")))
        .unwrap();
    let file = file.to_str().unwrap();
    let check = |more: &[&str]| run(&[&["check-config", &format!("--config.file={file}")], more].concat());
    let first = |out: &str| out.lines().next().map(str::to_owned);
    let said = |rest| Some(format!("{file} is valid: {rest}"));
    assert_eq!(first(&check(&[]).1), said("2 of 3 targets belong to shard 1/2: a, edge"));
    let (code, out, err) = check(&["--poll.shard=2/2"]);
    assert_eq!((code, first(&out)), (Some(0), said("1 of 3 targets belong to shard 2/2: home")));
    assert!(!err.contains("shard"), "{err}");
    assert_eq!(first(&check(&["--poll.shard=1/1"]).1), said("3 targets"));
    let (code, _, err) = check(&["--poll.shard=3/2"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("write \"1/2\" to \"2/2\""), "{err}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, _, err) = run(&["demo", &format!("--web.listen-address={address}")]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!("cannot listen on {address}")), "{err}");
    assert!(err.contains("--web.listen-address"), "{err}");
}

#[test]
fn packagers_get_completions_and_man_pages() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, out, err) = run(&["completions", shell]);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains("test-notification") && out.contains("web.listen-address"), "{shell}: {out}");
    }
    let (code, _, err) = run(&["completions", "cmd"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("bash"), "{err}");

    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    let (code, _, err) = run(&["man", pages.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{err}");
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("proxymeter.1").contains("proxymeter\\-check\\-config(1)"), "{}", page("proxymeter.1"));
    assert!(page("proxymeter-test-notification.1").contains("RECEIVER"));
    let (code, _, err) = run(&["man", "/dev/null/man1"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("/dev/null/man1"), "{err}");
}

/// The rights of the tests decide.
#[test]
fn an_exporter_of_root_warns() {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let (code, _, err) = run(&["--config.file=/nonexistent/exporter.toml"]);
    assert_eq!(code, Some(1));
    assert_eq!(err.contains("running as root"), root, "{err}");
}

#[test]
fn scrape_of_an_unreachable_target_prints_what_it_knows_and_ends_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exporter.toml");
    let closed = closed_address();
    let text =
        format!("[marzban.home]\nurl = \"http://{closed}\"\nusername = \"a\"\npassword = \"canary\"\n");
    fs::write(&file, text).unwrap();
    let argument = format!("--config.file={}", file.display());
    let (code, out, err) = run(&["scrape", &argument]);
    assert_eq!(code, Some(1));
    assert!(out.contains("proxymeter_up{target=\"home\"} 0\n"), "{out}");
    assert!(err.contains("home: system: failed (connect)"), "{err}");
    assert!(!out.contains("canary") && !err.contains("canary"));

    let (code, _, err) = run(&["scrape", &argument, "nowhere"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("nowhere") && err.contains("home"), "{err}");
}

#[test]
fn a_daemon_gets_ready_serves_and_ends_cleanly_when_told() {
    for signal in ["TERM", "INT"] {
        let mut demo = Running::demo();
        assert!(demo.get("/-/healthy").starts_with("HTTP/1.1 200"));
        demo.wait_for("/-/ready", "HTTP/1.1 200");
        let page = demo.wait_for("/metrics", "proxymeter_users_expiring{target=\"home\"");
        assert!(page.contains("proxymeter_up{target=\"home\"} 1\n"), "{page}");
        let (code, _, err) = run(&["healthcheck", &format!("--web.listen-address={}", demo.address)]);
        assert_eq!(code, Some(0), "{err}");

        // A connection that asks nothing does not hold the daemon up.
        let _idle = TcpStream::connect(&demo.address).unwrap();
        demo.signal(signal);
        let (code, took) = demo.wait();
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(5), "{took:?}");
        let (code, _, _) = run(&["healthcheck", &format!("--web.listen-address={}", demo.address)]);
        assert_eq!(code, Some(1));
    }
}

#[test]
fn a_second_signal_ends_a_daemon_at_once() {
    // Without one, the daemon would wait for a receiver that was asked and does not answer.
    let (panel, hanging) = (Served::start(), Hook::with(|| Reply::Hang, || {}));
    panel.add_expired("alice");
    let receiver = webhook("hanging", hanging.address) + "timeout = \"60s\"\n";
    let home = Home::new(panel.address, "[\"target\"]", &receiver);
    let daemon = home.start();
    let address = daemon.address();
    wait_for("the receiver to be asked", || hanging.deliveries().first().map(|_| ()));
    daemon.signal("-TERM");
    // Two signals that arrive as one are one, so the second has to wait until the first was taken.
    wait_for("the port to be closed", || TcpStream::connect(&address).err());
    let (code, took) = daemon.stop();
    assert_eq!(code, Some(1), "{}", daemon.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

struct EndedWithTheTest(Child);

impl Drop for EndedWithTheTest {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// By TLS or without, whatever it demands: the check needs neither a password nor a certificate.
#[test]
fn a_guarded_daemon_is_healthy() {
    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
    let pki = format!("{}/tests/fixtures/web-config/pki", env!("CARGO_MANIFEST_DIR"));
    let tls = format!("tls_cert_file = '{pki}/server.pem'\ntls_key_file = '{pki}/server-key.pem'\n");
    let users = format!("[web.basic_auth]\nalice = '{HASH}'\n");
    let yaml = format!("basic_auth_users:\n  alice: {HASH}\ntls_server_config:\n");
    let yaml = format!("{yaml}  cert_file: {pki}/server.pem\n  key_file: {pki}/server-key.pem\n");
    let old = format!("{yaml}  max_version: TLS12\n  client_auth_type: RequireAnyClientCert\n");
    let mut web = tempfile::NamedTempFile::new().unwrap();
    for (keys, web_file, scheme, code) in [
        ("", None, "http", 0),
        (&*users, None, "http", 0),
        (&tls, None, "https", 0),
        (&format!("{tls}{users}"), None, "https", 0),
        (&format!("{tls}client_ca_file = '{pki}/ca.pem'\n"), None, "https", 0),
        (&users, Some(&*yaml), "https", 0),
        ("", Some(&old), "https", 0),
        ("", Some("basic_auth_users:\n"), "http", 0),
        // Answers nobody, and says so.
        ("", Some("rate_limit:\n  interval: 1h\n"), "http", 0),
        // Broken after the start.
        ("", Some(""), "http", 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("exporter.toml");
        fs::write(&config, format!("[web]\nlisten = '127.0.0.1:0'\n{keys}")).unwrap();
        let mut arguments = vec![format!("--config.file={}", config.display())];
        if let Some(text) = web_file {
            fs::write(web.path(), text).unwrap();
            arguments.push(format!("--web.config.file={}", web.path().display()));
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut daemon = EndedWithTheTest(proxymeter(&arguments).spawn().unwrap());
        let mut log = BufReader::new(daemon.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listening = log.by_ref().find(|line| line.contains("listening on")).unwrap();
        assert!(listening.contains(&format!(" {scheme}://127.0.0.1:")), "{listening}");
        let address = listening.split("://").nth(1).unwrap().split(['"', ' ']).next().unwrap();
        if code != 0 {
            web.write_all(b"users:\n").unwrap();
        }
        let there = format!("--web.listen-address={address}");
        let check = || run(&[&["healthcheck"], &*arguments, &[&there]].concat());
        // The daemon reads the file once a second at most, and a check takes some milliseconds.
        let later = (0..1000).map(|_| check()).find(|(seen, _, _)| code == 0 || *seen == Some(code));
        let (seen, _, err) = later.unwrap_or_else(check);
        assert_eq!(seen, Some(code), "{keys} {web_file:?}: {err}");
        assert_eq!(err.contains("answered 500"), code != 0, "{err}");
    }
}

/// Whether a program that runs has what tells the allocator when to give memory back.
fn gives_memory_back(child: &Child) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", child.id())).unwrap();
    environment.split(|byte| *byte == 0).any(|variable| variable == b"MIMALLOC_PURGE_DELAY=10")
}

#[test]
fn the_program_starts_itself_again_only_where_it_finds_itself() {
    let running = Running::demo();
    assert!(gives_memory_back(&running.child), "the same process, with its arguments");

    // As a loader or a link would name it. What ends the answer for the client does not end the program.
    let mut command = proxymeter(&["demo", "--web.listen-address=127.0.0.1:0"]);
    let mut running = Running::of(command.arg0("another-name"));
    assert!(!gives_memory_back(&running.child));
    let mut stream = TcpStream::connect(&running.address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    drop(stream);
    running.wait_for("/-/healthy", "Healthy");
    assert!(running.child.try_wait().unwrap().is_none());
}

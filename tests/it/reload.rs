//! The configuration changes while the real program runs: all of it or nothing, and nobody hears of it twice.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Lines},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as blocking,
    },
    thread,
    time::Duration,
};

use crate::common::{
    daemon::{Daemon, Home, email, value, wait_for, webhook},
    hook::Hook,
    listener::free_address,
    mailbox::Mailbox,
    receiver::{Answer, Receiver},
    simulated::Served,
};

use proxymeter::{config::Config, daemon as built, dispatch::LAST_ATTEMPT, simulator::inbox::Arrival};
use tokio::sync::mpsc;

const BY_RULE: &str = r#"["target", "alertname"]"#;
const BY_USER: &str = r#"["target", "alertname", "subject"]"#;
const SUCCESSFUL: &str = "proxymeter_config_last_reload_successful";
const LOADED_AT: &str = "proxymeter_config_last_reload_success_timestamp_seconds";

fn told(hook: &Hook, user: &str) -> usize {
    hook.events().iter().filter(|(event, _)| event.subject == user).map(|(_, ids)| ids.len()).sum()
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let (panel, hook) = (Served::start(), Hook::start());
    let home = Home::new(panel.address, BY_USER, &webhook("ops", hook.address));
    let config = home.file();
    let good = fs::read_to_string(&config).unwrap();
    let daemon = home.start();
    let before = wait_for("the first load", || daemon.value(LOADED_AT));
    assert_eq!(daemon.ask("GET", "/-/reload").0, 405);

    let with = |text: &str| format!("{good}{text}");
    let taken = format!("[web]\nlisten = [\"127.0.0.1:0\", \"{}\"]", panel.address);
    let cases = [
        (with("secrets = true\n"), "unknown key"),
        (
            good.replace("password = \"root-password\"", "password_file = \"/nowhere/at/all\""),
            "/nowhere/at/all",
        ),
        (with("format = \"template\"\ntemplate = \"{{ oops\"\n"), "template"),
        (with(&format!("{}[email.ops]\n", webhook("other", hook.address))), "ops"),
        (with("[alert.user_expiry]\nsteps = [\"soon\"]\n"), "steps"),
        (with("[alert.mine]\nrule = \"no_such_rule\"\n"), "no_such_rule"),
        (with("[marzban.home]\n"), "duplicate key"),
        (good.replace("storage\"\n", "elsewhere\"\n"), "storage.path cannot change"),
        (good.replace("[web]\nlisten = \"127.0.0.1:0\"", &taken), "cannot listen on"),
        (with("tls = { ca_file = \"/nowhere/ca.pem\" }\n"), "/nowhere/ca.pem"),
    ];
    for (number, (text, expected)) in cases.iter().enumerate() {
        assert_ne!(*text, good, "{expected}");
        fs::write(&config, text).unwrap();
        let (status, body) = daemon.ask("POST", "/-/reload");
        assert_eq!(status, 500, "{expected}: {body}");
        assert!(body.contains(expected), "{expected}: {body}");
        assert!(!body.contains("root-password"), "{body}");
        let metrics = daemon.metrics();
        assert_eq!(value(&metrics, SUCCESSFUL), Some(0.0), "{expected}");
        assert_eq!(value(&metrics, LOADED_AT), Some(before), "{expected}");
        // What ran before still does.
        let user = format!("user-{number}");
        panel.add_expired(&user);
        wait_for("the old receiver to be told", || (told(&hook, &user) == 1).then_some(()));
    }
    fs::remove_file(&config).unwrap();
    daemon.signal("-HUP");
    wait_for("the log", || daemon.log().contains("exporter.toml: cannot be read").then_some(()));
    assert_eq!(daemon.value(SUCCESSFUL), Some(0.0));

    fs::write(&config, &good).unwrap();
    daemon.signal("-HUP");
    wait_for("the load", || (daemon.value(SUCCESSFUL) == Some(1.0)).then_some(()));
    assert!(daemon.value(LOADED_AT).unwrap() > before);
    assert!(daemon.log().contains("the configuration was reloaded"), "{}", daemon.log());
    let events = hook.events();
    assert!(events.values().all(|ids| ids.len() == 1), "{events:#?}");
}

#[test]
fn a_broken_web_file_of_the_arguments_is_refused() {
    let panel = Served::start();
    let home = Home::new(panel.address, BY_USER, "");
    let web = tempfile::NamedTempFile::new().unwrap();
    let mut command = home.command();
    command.arg(format!("--web.config.file={}", web.path().display()));
    let daemon = Daemon::run(command);
    wait_for("the first load", || daemon.value(LOADED_AT));

    fs::write(web.path(), "users:\n").unwrap();
    daemon.signal("-HUP");
    wait_for("the refusal", || daemon.logged_at("the configuration cannot be used"));
    assert!(daemon.log().contains(&format!("{}:1:1: the file: an unknown key", web.path().display())));
    assert!(!daemon.log().contains("was reloaded"), "{}", daemon.log());

    fs::write(web.path(), "").unwrap();
    wait_for("the port", || (daemon.value(SUCCESSFUL) == Some(0.0)).then_some(()));
    daemon.reload();
    wait_for("the load", || (daemon.value(SUCCESSFUL) == Some(1.0)).then_some(()));
}

#[test]
fn a_hundred_reloads_of_the_same_are_silent() {
    let (panel, hook) = (Served::start(), Hook::start());
    for user in 0..10 {
        panel.add_expired(&format!("user-{user}"));
    }
    let home = Home::new(panel.address, BY_RULE, &webhook("ops", hook.address));
    let config = home.file();
    let good = fs::read_to_string(&config).unwrap();
    let daemon = home.start();
    wait_for("the first message", || hook.deliveries().first().map(|_| ()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    let logins = panel.wire.requests_to("/api/admin/token");
    let mut read_at = daemon.users_read_at().unwrap();
    for round in 0..100 {
        // Every other time with an edit that is about something else.
        let edit = format!("[alert.node_down]\nfor = \"{}m\"\n", 3 + round);
        fs::write(&config, if round % 2 == 0 { good.clone() } else { good.clone() + &edit }).unwrap();
        daemon.reload();
        if round % 25 == 0 {
            read_at = daemon.wait_until_users_read_after(read_at);
        }
    }
    daemon.wait_until_users_read_after(read_at);
    assert_eq!(hook.deliveries().len(), 1);
    assert_eq!(panel.wire.requests_to("/api/admin/token"), logins, "the panel's session goes on");
}

#[test]
fn targets_and_receivers_come_and_go() {
    let (panel, other, hook, second) = (Served::start(), Served::start(), Hook::start(), Hook::start());
    panel.add_expired("alice");
    other.add_expired("bob");
    let home = Home::new(panel.address, BY_RULE, &webhook("ops", hook.address));
    let config = home.file();
    let good = fs::read_to_string(&config).unwrap();
    let daemon = home.start();
    wait_for("alice", || (told(&hook, "alice") == 1).then_some(()));
    let edge = format!(
        "[marzban.edge]\nurl = \"http://{}\"\nusername = \"root\"\npassword = \"root-password\"\n",
        other.address
    );
    fs::write(&config, format!("{good}{edge}{}", webhook("second", second.address))).unwrap();
    daemon.reload();
    // Who comes new is told of what fires, and who was there is not told again.
    wait_for("bob", || (told(&hook, "bob") == 1 && told(&second, "bob") == 1).then_some(()));
    wait_for("alice", || (told(&second, "alice") == 1).then_some(()));
    assert_eq!(told(&hook, "alice"), 1);
    assert_eq!(daemon.value("proxymeter_up{target=\"edge\"}"), Some(1.0));
    let users = daemon.value("proxymeter_users{target=\"home\",status=\"expired\"}");

    // A target that changes keeps its values and its state.
    fs::write(&config, good.replace("interval = \"5s\"", "interval = \"6s\"")).unwrap();
    daemon.reload();
    let metrics = daemon.metrics();
    assert!(
        !metrics.contains("\"edge\"") || !metrics.contains("proxymeter_up{target=\"edge\"}"),
        "{metrics}"
    );
    assert_eq!(value(&metrics, "proxymeter_users{target=\"home\",status=\"expired\"}"), users);
    wait_for("the series to vanish", || {
        let metrics = daemon.metrics();
        let gone = !metrics.contains("target=\"edge\"") && !metrics.contains("receiver=\"second\"");
        gone.then_some(())
    });
    assert_eq!((told(&hook, "alice"), told(&second, "alice")), (1, 1));
}

#[test]
fn another_pace_goes_on_with_the_login_and_in_the_middle_of_a_walk() {
    let panel = Served::start();
    for user in 0..1200 {
        panel.add_ending(&format!("user-{user:04}"), 90 * 24 * 60 * 60);
    }
    let home = Home::new(panel.address, BY_RULE, "");
    let config = home.file();
    let fast = fs::read_to_string(&config).unwrap();
    // After a page, the panel rests for a thousand times as long.
    let slow = fast.replace("load = \"100%\"", "load = \"0.1%\"");
    fs::write(&config, &slow).unwrap();
    let daemon = home.start();
    let offsets = || {
        let requests = panel.wire.requests().into_iter();
        let pages = requests.filter_map(|request| {
            let (_, query) = request.target.split_once("/api/users?offset=")?;
            query.split('&').next()?.parse::<usize>().ok()
        });
        pages.collect::<Vec<_>>()
    };
    let logins = || panel.wire.requests_to("/api/admin/token");
    wait_for("the first page", || offsets().first().copied());
    for poll in [slow.replace("interval = \"5s\"", "interval = \"6s\"\ntimeout = \"9s\""), fast.clone()] {
        fs::write(&config, poll).unwrap();
        daemon.reload();
    }
    wait_for("the whole list", || daemon.users_read_at());
    assert_eq!(offsets()[..3], [0, 499, 999]);
    assert_eq!(logins(), 1);
    assert_eq!(daemon.value("proxymeter_up{target=\"home\"}"), Some(1.0));

    // Another way to ask the panel begins again.
    fs::write(&config, fast.replace("\"root", "\"reseller")).unwrap();
    daemon.reload();
    wait_for("the second login", || (logins() == 2).then_some(()));
}

/// The users that have series.
fn users_shown(daemon: &Daemon) -> Vec<String> {
    let metrics = daemon.metrics();
    let series = metrics.lines().filter_map(|line| line.strip_prefix("proxymeter_user_status{"));
    let mut names: Vec<_> = series
        .map(|labels| labels.split("user=\"").nth(1).unwrap().split('"').next().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_target_that_is_pointed_elsewhere_begins_again() {
    for restarts in [false, true] {
        let (panel, other, hook) = (Served::start(), Served::start(), Hook::start());
        for user in 0..30 {
            panel.add_expired(&format!("old-{user:02}"));
        }
        // Both have this user, of whom the alert of either is another one.
        panel.add_expired("same");
        other.add_expired("same");
        other.add_expired("new");
        let home = Home::new(panel.address, BY_USER, &webhook("ops", hook.address));
        let config = home.file();
        let text = fs::read_to_string(&config).unwrap();
        let mut daemon = home.start();
        wait_for("the first panel", || {
            let mut old = (0..30).map(|user| format!("old-{user:02}"));
            (old.all(|user| told(&hook, &user) == 1) && told(&hook, "same") == 1).then_some(())
        });
        fs::write(&config, text.replace(&panel.address.to_string(), &other.address.to_string())).unwrap();
        if restarts {
            assert_eq!(daemon.stop().0, Some(0));
            daemon = home.start();
            daemon.address();
        } else {
            daemon.reload();
        }
        // From the first moment on nothing of the former panel is shown.
        assert!(users_shown(&daemon).iter().all(|user| !user.starts_with("old")), "restarts {restarts}");
        let events = |status: &str, user: &str| {
            let events = hook.events();
            events.into_keys().filter(|event| event.status == status && event.subject == user).count()
        };
        wait_for("the second panel", || (events("firing", "new") == 1).then_some(()));
        wait_for("the ends", || {
            (0..30).all(|user| events("resolved", &format!("old-{user:02}")) == 1).then_some(())
        });
        wait_for("the alert that began again", || (events("firing", "same") == 2).then_some(()));
        assert_eq!(events("resolved", "same"), 1, "restarts {restarts}");
        assert_eq!(users_shown(&daemon), ["new", "same"]);
        let (_, alerts) = daemon.ask("GET", "/api/v1/alerts");
        assert!(!alerts.contains("old-"), "{alerts}");
    }
}

#[test]
fn a_secret_that_is_replaced_is_used_for_the_next_message() {
    let (panel, folder) = (Served::start(), tempfile::tempdir().unwrap());
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let [token, template, ca] = ["token", "template", "ca.pem"].map(|name| folder.path().join(name));
    let pki = |name| fs::read(format!("tests/fixtures/web-config/pki/{name}")).unwrap();
    fs::write(&token, "first-canary-token").unwrap();
    fs::write(&template, "{{ status }} one").unwrap();
    fs::write(&ca, pki("ca.pem")).unwrap();
    let tables = format!(
        "{}bearer_token_file = {token:?}\nformat = \"template\"\ntemplate_file = {template:?}\n\
         content_type = \"text/plain\"\n\
         [webhook.secure]\nurl = \"https://127.0.0.1:9/\"\ntls = {{ ca_file = {ca:?} }}\nmin_severity = \"critical\"\n",
        webhook("ops", receiver.address)
    );
    let home = Home::new(panel.address, BY_USER, &tables);
    let daemon = home.start();
    let bearer = |number: usize| {
        let request = wait_for("the message", || receiver.requests().get(number).cloned());
        let text = String::from_utf8(request.body.clone()).unwrap();
        (request.header("authorization").unwrap().to_owned(), text)
    };
    panel.add_expired("alice");
    assert_eq!(bearer(0), ("Bearer first-canary-token".to_owned(), "firing one".to_owned()));
    let logged = |words: &str| daemon.log().matches(words).count();

    // One that cannot be used changes nothing, and is told of once.
    fs::write(&token, "two\nlines").unwrap();
    let refused = "files that the configuration names have changed and cannot be used";
    wait_for("the refusal", || (logged(refused) == 1).then_some(()));
    assert_eq!(daemon.value(SUCCESSFUL), Some(0.0));
    panel.add_expired("bob");
    assert_eq!(bearer(1).0, "Bearer first-canary-token");

    let in_force = "files that the configuration names have changed and are in force";
    fs::write(&token, "second-canary-token").unwrap();
    fs::write(&template, "{{ status }} two").unwrap();
    wait_for("the secret", || (logged(in_force) == 1).then_some(()));
    panel.add_expired("carol");
    assert_eq!(bearer(2), ("Bearer second-canary-token".to_owned(), "firing two".to_owned()));
    // The configuration is the same; what its certificate file holds is not.
    fs::write(&ca, pki("server.pem")).unwrap();
    wait_for("the certificate", || (logged(in_force) == 2).then_some(()));
    assert_eq!((logged(refused), receiver.requests().len()), (1, 3));
    assert!(!daemon.log().contains("canary"), "{}", daemon.log());
    assert_eq!(daemon.value(SUCCESSFUL), Some(1.0));
}

#[test]
fn webhooks_and_mails_name_users_as_the_configuration_says() {
    let (panel, mailbox) = (Served::start(), Mailbox::with(|| {}, || {}));
    let receiver = Receiver::start(|_, _| Answer::status(200));
    let tables = format!("{}{}", webhook("ops", receiver.address), email("mail", mailbox.address));
    let home = Home::new(panel.address, BY_USER, &tables);
    let config = home.file();
    let named = fs::read_to_string(&config).unwrap();
    let hashed = format!("{named}[users]\nnotices = \"hash\"\nhash_key = \"0123456789abcdef\"\n");
    // Everything that was sent, as it came and as it reads.
    let sent = || {
        let requests = receiver
            .requests()
            .into_iter()
            .map(|request| format!("{:?} {}", request.headers, String::from_utf8(request.body).unwrap()));
        let mails = mailbox.mails().into_iter().map(|mail| match &mail {
            Arrival::Mail { message, .. } => format!("{}{}", message.replace("=\r\n", ""), mail.text()),
            Arrival::Webhook { .. } | Arrival::Chat(_) => unreachable!("a mailbox"),
        });
        (requests.collect::<Vec<_>>(), mails.collect::<Vec<_>>())
    };
    let wait = |count| {
        wait_for("the messages", || {
            let (requests, mails) = sent();
            (requests.len() == count && mails.len() == count).then_some([requests, mails].concat())
        })
    };
    fs::write(&config, &hashed).unwrap();
    let daemon = home.start();
    panel.add_expired("canary-one");
    panel.add_used_up("canary-two");
    for text in wait(2) {
        // The first 16 digits of HMAC-SHA256 of either name.
        assert!(!text.contains("canary"), "{text}");
        let codes = ["fe61315d02f45d1e", "c64f9a8673802363"];
        assert!(codes.iter().any(|code| text.contains(code)), "{text}");
    }
    fs::write(&config, &named).unwrap();
    daemon.reload();
    panel.add_expired("canary-three");
    let all = wait(3);
    assert_eq!(all.iter().filter(|text| text.contains("canary-three")).count(), 2);
    assert!(!daemon.log().contains("canary"), "{}", daemon.log());
}

#[test]
fn scrapes_do_not_notice_reloads() {
    let panel = Served::start();
    for user in 0..500 {
        panel.add_expired(&format!("user-{user:03}"));
    }
    let home = Home::new(panel.address, BY_RULE, "");
    let config = home.file();
    let good = fs::read_to_string(&config).unwrap();
    let daemon = home.start();
    wait_for("the users", || daemon.users_read_at());
    let stop = AtomicBool::new(false);
    let scrapes = thread::scope(|scope| {
        let scrapers: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    let mut scrapes = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let (status, body) = daemon.ask("GET", "/metrics");
                        assert_eq!(status, 200, "{body}");
                        assert_eq!(body.matches("proxymeter_user_used_bytes{").count(), 500);
                        assert!(body.ends_with('\n'));
                        scrapes += 1;
                    }
                    scrapes
                })
            })
            .collect();
        for round in 0..20 {
            let interval = format!("interval = \"{}s\"", 5 + round % 2);
            fs::write(&config, good.replace("interval = \"5s\"", &interval)).unwrap();
            daemon.reload();
        }
        stop.store(true, Ordering::Relaxed);
        scrapers.into_iter().map(|scraper| scraper.join().unwrap()).sum::<usize>()
    });
    eprintln!("{scrapes} scrapes by 100 at once during 20 reloads");
    assert!(scrapes >= 100);
}

/// A program that holds the only right to a file: opening the file waits for it, up to 45 seconds.
struct Lease {
    program: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Lease {
    fn of(file: &Path) -> Self {
        const SCRIPT: &str = r#"
            $| = 1;
            $SIG{IO} = sub { print "asked\n" };
            open(FILE, "+<", $ARGV[0]) or die $!;
            fcntl(FILE, 1024, 1) or die $!; # F_SETLEASE, F_WRLCK
            print "held\n";
            sleep 1 while 1;
        "#;
        let mut program =
            Command::new("perl").args(["-e", SCRIPT]).arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(program.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "held");
        Lease { program, said }
    }

    fn wait_until_asked(&mut self) {
        assert_eq!(self.said.next().unwrap().unwrap(), "asked");
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

/// A pipe in place of the file is refused at once, and the configuration from before stays in force.
#[test]
fn a_pipe_is_not_waited_for() {
    let panel = Served::start();
    let home = Home::new(panel.address, BY_RULE, "");
    let config = home.file();
    let daemon = home.start();
    daemon.metrics();
    fs::remove_file(&config).unwrap();
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    let (status, said) = daemon.ask("POST", "/-/reload");
    assert!(
        status == 500
            && said.contains("exporter.toml: a pipe, which cannot be read again at a reload; write"),
        "{said}"
    );
    assert!(daemon.metrics().contains("proxymeter_build_info"));
}

#[test]
fn a_file_that_hangs_does_not_keep_the_daemon_from_stopping() {
    let panel = Served::start();
    let home = Home::new(panel.address, BY_RULE, "");
    let config = home.file();
    let daemon = home.start();
    daemon.metrics();
    let mut lease = Lease::of(&config);
    daemon.signal("-HUP");
    lease.wait_until_asked();
    assert!(daemon.metrics().contains("proxymeter_build_info"));
    let (code, took) = daemon.stop();
    assert_eq!(code, Some(0), "{}", daemon.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_certificate_that_hangs_does_not_keep_the_daemon_from_stopping() {
    const BEFORE: &str = "web.listen = \"127.0.0.1:0\"\n[webhook.kept]\nurl = \"http://127.0.0.1:9\"\n\
                          [marzban.home]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n";
    for added in [
        "[marzban.edge]\napi_key = \"key\"\nurl = \"https://127.0.0.1:9\"\n",
        "[webhook.ops]\nurl = \"https://127.0.0.1:9\"\n",
        "[heartbeat]\nurl = \"https://127.0.0.1:9\"\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        fs::write(&file, "").unwrap();
        let parse = |text: &str| Config::parse(text, Path::new("exporter.toml"), &|_| None).unwrap();
        let (ask, mut asks) = mpsc::unbounded_channel();
        let (leased, lease) = blocking::channel();
        let (end, ended) = blocking::channel();
        let text = format!("{BEFORE}{added}tls.ca_file = {file:?}\n");
        let loader = move |_| {
            // The configuration is read in time. What it names is not.
            let config = parse(&text);
            leased.send(Lease::of(&file)).unwrap();
            Ok(config)
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(async {
                let daemon =
                    built::Daemon::build(parse(BEFORE), "/metrics", built::Keep::Nothing).await.unwrap();
                daemon.run(async || asks.recv().await.unwrap(), Arc::new(loader)).await
            });
            runtime.shutdown_background();
            end.send(outcome).unwrap();
        });
        ask.send(built::Asked::Reload).unwrap();
        let mut lease = lease.recv().unwrap();
        lease.wait_until_asked();
        ask.send(built::Asked::Stop).unwrap();
        ended.recv_timeout(LAST_ATTEMPT).expect(added).unwrap();
    }
}

#[test]
fn addresses_come_and_go() {
    let panel = Served::start();
    let home = Home::new(panel.address, BY_RULE, "");
    let config = home.file();
    let good = fs::read_to_string(&config).unwrap();
    let daemon = home.start();
    daemon.metrics();
    let free = free_address();
    let two = format!("listen = [\"127.0.0.1:0\", \"{free}\"]");
    fs::write(&config, good.replace("listen = \"127.0.0.1:0\"", &two)).unwrap();
    daemon.reload();
    TcpStream::connect(free).unwrap();
    let both =
        format!("listen = [\"127.0.0.1:0\", \"127.0.0.2:{}\", \"0.0.0.0:{}\"]", free.port(), free.port());
    fs::write(&config, good.replace("listen = \"127.0.0.1:0\"", &both)).unwrap();
    let (status, said) = daemon.ask("POST", "/-/reload");
    assert!(status == 500 && said.contains("uses this port with another address; restart it"), "{said}");
    TcpStream::connect(free).unwrap();
    fs::write(&config, &good).unwrap();
    daemon.reload();
    assert_eq!(TcpStream::connect(free).unwrap_err().kind(), ErrorKind::ConnectionRefused);

    let (status, said) = daemon.ask("POST", "/-/reload HTTP/1.1\r\nOrigin: https://example.com\r\nX:");
    assert_eq!((status, said.as_str()), (403, "Not for browsers.\n"));
}

/// Files that a process has open, and the memory it has in use, in bytes.
fn holds(daemon: &Daemon) -> (f64, f64) {
    let metrics = daemon.metrics();
    let of = |name| value(&metrics, name).unwrap();
    (of("process_open_fds"), of("process_resident_memory_bytes"))
}

/// Memory and open files do not grow either.
#[test]
fn a_thousand_reloads_under_traffic_lose_and_repeat_nothing() {
    let (panel, hook, second) = (Served::start(), Hook::start(), Hook::start());
    let home = Home::new(panel.address, BY_USER, &webhook("ops", hook.address));
    let config = home.file();
    let good = fs::read_to_string(&config).unwrap();
    let variants = [
        good.clone(),
        // Another receiver beside it, for which there are no alerts. It would be sent all that fire each time that it is
        // added, which are the more, the longer the reloads take, and faster than it accepts them.
        good.clone() + &webhook("second", second.address) + "min_severity = \"critical\"\n",
        // The receiver itself changes, and the target.
        format!("{}timeout = \"19s\"\n", good.replace("interval = \"5s\"", "interval = \"6s\"")),
    ];
    let daemon = home.start();
    daemon.metrics();
    let mut users = 0;
    let mut held = (0.0, 0.0);
    for round in 0..1000 {
        if round % 10 == 0 {
            panel.add_expired(&format!("user-{users}"));
            users += 1;
        }
        fs::write(&config, &variants[round % variants.len()]).unwrap();
        daemon.reload();
        if round == 200 {
            held = holds(&daemon);
        }
    }
    fs::write(&config, &good).unwrap();
    daemon.reload();
    let all = || (0..users).all(|user| told(&hook, &format!("user-{user}")) > 0);
    wait_for("everybody to be told of", || all().then_some(()));
    wait_for("an empty queue", || daemon.has_told_all("ops").then_some(()));
    let events = hook.events();
    let repeated: Vec<_> = events.iter().filter(|(_, ids)| ids.len() != 1).collect();
    assert!(repeated.is_empty(), "{repeated:#?}");
    assert_eq!(events.len(), users);
    let now = holds(&daemon);
    eprintln!("after 200 reloads {held:?}, after 1000 {now:?}: open files and bytes of memory");
    assert!(now.0 <= held.0 + 5.0, "{held:?} {now:?}");
    assert!(now.1 <= held.1 + 16e6, "{held:?} {now:?}");
    assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
}

//! `proxymeter init`: finds out what a system is, writes a configuration for it, and shows no secret.

mod adding;
mod receivers;
mod terminal;

use std::{
    fs,
    future::Future,
    io::Write,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use proxymeter::{
    clock::Clock,
    http::{Client, install_crypto_provider, options::PanelUrl},
    simulator::{cliproxy, marzban, xui},
    upstream::detect::Kind,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;

use self::terminal::Terminal;
use crate::common::{
    canary::{assert_none, canary},
    hook::{Hook, Reply},
    listener::closed_address,
    panel::{Panel, Role, TOKEN},
    server::{Answer, Server},
    simulated::RUNTIME,
    xui::{BASE, PANELS, Panel as Recordings},
};

const SNIPPET: &str = "scrape_configs:\n  - job_name: proxymeter\n    static_configs:\n      - targets: [\"127.0.0.1:10057\"]\n";

/// Serves a simulated system until the tests end.
fn serve<S: Future<Output = ()> + Send + 'static>(system: impl FnOnce(TcpListener) -> S) -> SocketAddr {
    let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    RUNTIME.spawn(system(listener));
    address
}

fn now_ms() -> impl Fn() -> i64 + Send + Sync + 'static {
    let clock = Clock::system();
    move || clock.now().wall.as_millis()
}

fn marzban(options: marzban::Options) -> (marzban::Panel, SocketAddr) {
    let panel = marzban::Panel::new(options, now_ms());
    let serving = panel.clone();
    (panel, serve(|listener| serving.serve(listener, std::future::pending())))
}

fn xui(options: &xui::Options) -> (xui::Panel, SocketAddr) {
    let panel = xui::Panel::new(options, now_ms());
    let serving = panel.clone();
    (panel, serve(|listener| serving.serve(listener, std::future::pending())))
}

fn cliproxy(options: &cliproxy::Options) -> SocketAddr {
    let server = cliproxy::Server::new(options, now_ms());
    serve(|listener| server.serve(listener, std::future::pending()))
}

/// What a run of the program did.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(folder: &Path, command: &str, arguments: &[&str], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_proxymeter"))
        .arg(command)
        .args(arguments)
        .current_dir(folder)
        .env_remove("PROXYMETER_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that needs none may have ended already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_none("stdout", &out);
    assert_none("stderr", &err);
    Run { code: status.code(), out, err }
}

fn init(folder: &TempDir, arguments: &[&str], input: &str) -> Run {
    run(folder.path(), "init", arguments, input)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn is_empty(folder: &TempDir) -> bool {
    fs::read_dir(folder.path()).unwrap().next().is_none()
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// The configuration, once it is known that nothing is wrong with it.
fn written(folder: &TempDir) -> String {
    written_of(folder, 1)
}

/// The same, of so many targets.
fn written_of(folder: &TempDir, targets: usize) -> String {
    let Run { code, out, err } = run(folder.path(), "check-config", &[], "");
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    assert!(out.starts_with(&format!("exporter.toml is valid: {targets} targets\n")), "{out}");
    fs::read_to_string(folder.path().join("exporter.toml")).unwrap()
}

#[test]
fn each_system_is_found_and_written_down() {
    let (password, token, key) = (canary("password \"\\'"), canary("token"), canary("key"));
    let (_, panel) = marzban(marzban::Options { password: password.clone(), ..marzban::Options::default() });
    let (_, successor) = marzban(marzban::Options {
        flavour: marzban::Flavour::PasarGuard,
        api_key: key.clone(),
        ..marzban::Options::default()
    });
    let base_path = format!("{BASE}/");
    let (_, office) =
        xui(&xui::Options { base_path: base_path.clone(), token: token.clone(), ..xui::Options::default() });
    let old = xui::Options {
        generation: xui::Generation::V2_8,
        password: password.clone(),
        ..xui::Options::default()
    };
    let (_, old) = xui(&old);
    let proxy = cliproxy(&cliproxy::Options { key: key.clone(), ..cliproxy::Options::default() });

    let cases: [(String, &[&str], &str, &str, &str); 5] = [
        (
            format!("http://{panel}"),
            &["--username=root", "--password-file=-"],
            &password,
            "secrets/marzban-home.password",
            "marzban 0.8.4",
        ),
        (
            format!("http://{successor}/dashboard/"),
            &["--token-file=-", "--name=successor"],
            &key,
            "secrets/marzban-successor.api_key",
            "pasarguard 5",
        ),
        (
            format!("http://{office}{base_path}panel/inbounds"),
            &["--token-file=-"],
            &token,
            "secrets/xui-home.token",
            "xui 3.6.0",
        ),
        (
            format!("http://{old}"),
            &["--username=admin", "--password-file=-"],
            &password,
            "secrets/xui-home.password",
            "xui 2.8.11",
        ),
        (
            format!("http://{proxy}"),
            &["--token-file=-"],
            &key,
            "secrets/cliproxy-llm.management_key",
            "cliproxy 7.2.140",
        ),
    ];
    for (url, arguments, secret, file, system) in cases {
        let folder = folder();
        let arguments = [&["--url", &url], arguments].concat();
        let Run { code, out, err } = init(&folder, &arguments, &format!("{secret}\n"));
        assert_eq!((code, &*out), (Some(0), SNIPPET), "{err}");
        assert!(err.contains(&format!("\n{system}")), "{err}");
        let text = written(&folder);
        assert!(text.contains(&format!("_file = \"{file}\"\n")), "{text}");
        assert!(!text.contains(secret), "{text}");
        let file = folder.path().join(file);
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{secret}\n"));
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        // Without the pages that a browser shows.
        let base = url.split("dashboard/").next().and_then(|url| url.split("panel/").next()).unwrap();
        let base = if base.ends_with(&base_path) { base } else { base.trim_end_matches('/') };
        assert!(text.contains(&format!("url = \"{base}\"\n")), "{text}");
    }
}

#[test]
fn what_an_account_may_not_see_is_shown() {
    let (panel, address) = marzban(marzban::Options::default());
    let marzban::Options { reseller, reseller_password, .. } = marzban::Options::default();
    let (folder, url) = (folder(), format!("http://{address}"));
    let arguments = ["--url", &url, "--username", &reseller, "--password-file=-"];
    let Run { code, err, .. } = init(&folder, &arguments, &reseller_password);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("  nodes       this account may not see it\n"), "{err}");
    assert!(err.contains("  users       "), "{err}");
    assert_eq!((panel.logins(), panel.refused_logins()), (1, 0));
}

#[test]
fn a_refused_login_is_sent_once_and_writes_nothing() {
    let (panel, address) = marzban(marzban::Options::default());
    let (office, old) = xui(&xui::Options { generation: xui::Generation::V2_8, ..xui::Options::default() });
    let urls = [address, old].map(|address| format!("http://{address}"));
    for url in &urls {
        let folder = folder();
        let arguments = ["--url", url, "--username=root", "--password-file=-"];
        let Run { code, out, err } = init(&folder, &arguments, &canary("wrong"));
        assert_eq!((code, &*out), (Some(1), ""), "{err}");
        assert!(err.contains("the login was refused") && err.ends_with("; nothing was written\n"), "{err}");
        assert!(is_empty(&folder));
    }
    assert_eq!((panel.logins(), panel.refused_logins()), (0, 1));
    assert_eq!((office.logins(), office.refused_logins()), (0, 1));
}

/// The probes alone: what is found at each recorded system, and that none of them sends anything that needs a login.
#[test]
fn recorded_systems_are_found() {
    install_crypto_provider();
    let found = |server: &Server, base: &str| {
        let url = PanelUrl::parse(&format!("{}{base}", server.url())).unwrap();
        let http = Client::new(&url.clone().into()).unwrap();
        let is_at = async |kind: Kind| kind.is_at(&http, &url).await.unwrap();
        let found = Kind::ALL.into_iter().filter(|kind| RUNTIME.block_on(is_at(*kind))).collect::<Vec<_>>();
        let requests = server.requests();
        assert!(
            requests
                .iter()
                .all(|request| request.method == "GET" && request.header("authorization").is_none())
        );
        assert!(requests.iter().all(|request| !request.path().contains("/management")));
        found
    };
    for role in [Role::Sudo, Role::Owner] {
        assert_eq!(found(&Panel::of(role).start(), ""), [Kind::Marzban], "{role:?}");
    }
    for name in PANELS {
        assert_eq!(found(&Recordings::of(name).start(), BASE), [Kind::Xui], "{name}");
    }
    // Recorded servers have no page of their own.
    for generation in cliproxy::Generation::ALL {
        let address = cliproxy(&cliproxy::Options { generation, ..cliproxy::Options::default() });
        let url = PanelUrl::parse(&format!("http://{address}")).unwrap();
        let http = Client::new(&url.clone().into()).unwrap();
        for kind in Kind::ALL {
            let is_at = RUNTIME.block_on(kind.is_at(&http, &url)).unwrap();
            assert_eq!(is_at, kind == Kind::Cliproxy, "{generation:?} {kind:?}");
        }
    }
    for generation in xui::Generation::ALL {
        let (_, address) = xui(&xui::Options { generation, ..xui::Options::default() });
        let url = PanelUrl::parse(&format!("http://{address}")).unwrap();
        let http = Client::new(&url.clone().into()).unwrap();
        for kind in Kind::ALL {
            let is_at = RUNTIME.block_on(kind.is_at(&http, &url)).unwrap();
            assert_eq!(is_at, kind == Kind::Xui, "{generation:?} {kind:?}");
        }
    }
}

#[test]
fn no_password_goes_to_an_unknown_server() {
    let page = Server::start(|_| Answer::new(200, &[("content-type", "text/html")], "<html>Welcome"));
    let folder = folder();
    let arguments = ["--url", &page.url(), "--username=root", "--password-file=-"];
    let Run { code, err, .. } = init(&folder, &arguments, &canary("password"));
    assert_eq!(code, Some(1));
    assert!(err.contains("no system that is known here answers") && err.contains("--kind"), "{err}");
    assert!(page.requests().iter().all(|request| request.method == "GET"), "{:?}", page.requests());

    let url = format!("http://{}", closed_address());
    let Run { code, err, .. } = init(&folder, &["--url", &url, "--token-file=-"], "");
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!("{url}: could not connect: ")), "{err}");
    assert!(is_empty(&folder));
}

/// A recorded panel with a certificate of its own, and its fingerprint.
fn self_signed() -> (Server, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let digest: [u8; 32] = Sha256::digest(&certificate).into();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into()))
        .unwrap();
    let panel = Panel::of(Role::Sudo);
    let server = Server::start_tls(tls, move |request| panel.answer(request));
    (server, digest.map(|byte| format!("{byte:02X}")).join(":"))
}

#[test]
fn a_self_signed_certificate_is_trusted_only_by_its_fingerprint() {
    let (server, fingerprint) = self_signed();
    let (folder, url) = (folder(), server.url());
    let arguments = ["--url", &url, "--username=root", "--password-file=-", "--yes"];
    let Run { code, err, .. } = init(&folder, &arguments, "root-pw-1");
    assert_eq!(code, Some(1));
    assert!(err.contains("self-signed") && err.contains(&format!("--pin={fingerprint}\n")), "{err}");
    assert!(server.requests().is_empty() && is_empty(&folder));

    let other = "00".repeat(32);
    let Run { code, err, .. } = init(&folder, &[&arguments[..], &["--pin", &other]].concat(), "root-pw-1");
    assert_eq!(code, Some(1));
    assert!(err.contains("not that of pin_sha256"), "{err}");
    assert!(server.requests().is_empty() && is_empty(&folder));

    let pin = format!("--pin={fingerprint}");
    let Run { code, err, .. } = init(&folder, &[&arguments[..], &[&pin]].concat(), "root-pw-1");
    assert_eq!(code, Some(0), "{err}");
    let text = written(&folder);
    assert!(text.contains(&format!("[marzban.home.tls]\npin_sha256 = \"{fingerprint}\"\n")), "{text}");
    assert_eq!(server.requests_for(TOKEN).len(), 1);
}

#[test]
fn files_that_exist_are_kept() {
    let (panel, address) = marzban(marzban::Options::default());
    let (folder, url) = (folder(), format!("http://{address}"));
    let arguments = ["--url", &url, "--username=root", "--password-file=-"];
    let (file, secret) =
        (folder.path().join("exporter.toml"), folder.path().join("secrets/marzban-home.password"));
    fs::create_dir(folder.path().join("secrets")).unwrap();
    for (kept, said) in [
        (&file, ": it exists; --add adds a panel to it, --force replaces it"),
        (&secret, ": it exists; --force replaces it"),
    ] {
        fs::write(kept, "mine").unwrap();
        let Run { code, err, .. } = init(&folder, &arguments, "root-password");
        assert_eq!(code, Some(1));
        assert!(err.contains(said), "{err}");
        assert_eq!(fs::read_to_string(kept).unwrap(), "mine");
        fs::remove_file(kept).unwrap();
    }
    // It was not asked for anything.
    assert_eq!(panel.logins(), 0);
    for kept in [&file, &secret] {
        fs::write(kept, "mine").unwrap();
    }
    let Run { code, err, .. } = init(&folder, &[&arguments[..], &["--force"]].concat(), "root-password");
    assert_eq!(code, Some(0), "{err}");
    assert_eq!((fs::read_to_string(&secret).unwrap().as_str(), mode(&secret)), ("root-password\n", 0o600));
    written(&folder);
}

#[test]
fn without_a_terminal_what_is_missing_is_named() {
    let (panel, address) = marzban(marzban::Options::default());
    let (_, office) = xui(&xui::Options::default());
    let proxy = cliproxy(&cliproxy::Options::default());
    let [panel_url, office, proxy] =
        [address, office, proxy].map(|address| format!("--url=http://{address}"));
    let cases: [(&[&str], &str); 9] = [
        (&[], "--url is missing"),
        (&["--url=nonsense"], "not a URL; write it as \"https://"),
        (&[&panel_url], "--username with --password-file, or --token-file, is missing"),
        (&[&office], "--username with --password-file, or --token-file, is missing"),
        (&[&proxy], "--token-file is missing"),
        (&[&panel_url, "--username=root"], "--password-file is missing"),
        (&[&panel_url, "--token-file=-"], "the input ended"),
        (&[&panel_url, "--token-file=gone"], "/gone: cannot be read: "),
        (&[&panel_url, "--name=Home", "--token-file=gone"], "--name: not a target's name; "),
    ];
    for (arguments, said) in cases {
        let folder = folder();
        let Run { code, err, .. } = init(&folder, arguments, "");
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(said), "{said}: {err}");
        assert!(is_empty(&folder));
    }
    for wrong in [
        &["--pin=1234"][..],
        &["--kind=hiddify"],
        &["--username=a", "--token-file=b"],
        &["--login-secret-file=a", "--token-file=b"],
        &["--add", "--force"],
    ] {
        assert_eq!(init(&folder(), wrong, "").code, Some(2), "{wrong:?}");
    }
    assert_eq!((panel.logins(), panel.refused_logins()), (0, 0));
}

/// A secret that is there already stays where it is.
#[test]
fn secrets_that_have_a_place_are_not_copied() {
    let (_, address) = marzban(marzban::Options::default());
    let (folder, url) = (folder(), format!("http://{address}"));
    let file = folder.path().join("password");
    fs::write(&file, "root-password").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let arguments = ["--url", &url, "--username=root", "--password-file=password"];
    assert_eq!(init(&folder, &arguments, "").code, Some(0));
    let text = written(&folder);
    assert!(text.contains(&format!("password_file = \"{}\"\n", file.display())), "{text}");
    assert!(!folder.path().join("secrets").exists());

    let by_variable = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.env("PROXYMETER_MARZBAN_HOME_PASSWORD", "root-password");
        command
    };
    let made = by_variable().args(["init", "--force", "--username=root", "--url", &url]).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(by_variable().arg("check-config").output().unwrap().status.code(), Some(0));
    let text = fs::read_to_string(folder.path().join("exporter.toml")).unwrap();
    assert!(text.contains("PROXYMETER_MARZBAN_HOME_PASSWORD") && !text.contains("password_file"), "{text}");
}

#[test]
fn a_receiver_is_written_once_it_accepts_the_test() {
    let (_, address) = marzban(marzban::Options::default());
    let url = format!("http://{address}");
    let arguments = |more: &[&'static str]| {
        [&["--url", &url, "--username=root", "--password-file=-", "--receiver=webhook"][..], more].concat()
    };
    let hook = Hook::start();
    let secrets = |hook: &Hook| format!("root-password\nhttp://{}/{}\n", hook.address, canary("path"));
    let with_url = ["--receiver-key=url_file=-", "--receiver-name=ops"];
    let folder_of_taken = folder();
    let Run { code, out, err } = init(&folder_of_taken, &arguments(&with_url), &secrets(&hook));
    assert_eq!((code, &*out), (Some(0), SNIPPET), "{err}");
    assert!(err.contains("receiver ops accepted it") && err.contains("--alerting.adopt"), "{err}");
    assert_eq!(hook.deliveries().len(), 1);
    let text = written(&folder_of_taken);
    assert!(text.contains("[webhook.ops]\nurl_file = \"secrets/webhook-ops.url\"\n"), "{text}");
    assert!(!text.contains("[alerting]"), "{text}");
    assert_none("the configuration", &text);
    assert_eq!(mode(&folder_of_taken.path().join("secrets/webhook-ops.url")), 0o600);

    let refusing = Hook::with(|| Reply::Unavailable, || {});
    let folder = folder();
    let Run { code, err, .. } = init(&folder, &arguments(&with_url), &secrets(&refusing));
    assert_eq!(code, Some(1));
    assert!(
        err.contains("receiver ops did not accept it") && err.ends_with("nothing was written\n"),
        "{err}"
    );
    for (more, said) in [
        (&[][..], "--receiver-key url_file=… is missing"),
        (&["--receiver-key=url=http://x"], "--receiver-key url_file=… is missing"),
        (
            &["--receiver-key=url_file=-", "--receiver-key=chat_id=1"],
            "--receiver-key chat_id: webhook takes url_file",
        ),
    ] {
        let Run { code, err, .. } = init(&folder, &arguments(more), &secrets(&refusing));
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(said), "{said}: {err}");
    }
    assert!(is_empty(&folder));
    // Not every receiver can be tested from here.
    let untested = arguments(&["--receiver-key=url_file=-", "--no-test"]);
    assert_eq!(init(&folder, &untested, &secrets(&refusing)).code, Some(0));
    assert_eq!(refusing.deliveries().len(), 1);
    written(&folder);
}

#[test]
fn a_person_is_asked_on_a_terminal() {
    let (server, fingerprint) = self_signed();
    let refusing = Hook::with(|| Reply::Unavailable, || {});
    let folder = folder();
    let mut terminal = Terminal::start(folder.path(), &["init"]);
    terminal.answer("Address of the panel", "nonsense");
    terminal.answer("not a URL", &server.url());
    terminal.answer(&fingerprint, "");
    // Not trusted, so it asks for another address.
    terminal.answer("the certificate is not trusted", &server.url());
    terminal.answer("Trust this certificate, and no other [y/N]", "y");
    terminal.answer("Name of it in metrics and notifications [home]", "My home");
    terminal.answer("not a target's name", "");
    terminal.answer("User name of an admin", "root");
    terminal.type_hidden("Password", "root-pw-1");
    terminal.expect("marzban 0.8");
    terminal.answer("Where should alerts be sent", "pigeon");
    terminal.answer("Write one of these words", "telegram");
    terminal.type_hidden("Token of the bot", "");
    terminal.expect("Token of the bot, from @BotFather: empty");
    terminal.answer("Try again, or leave it out [again]", "");
    terminal.answer("Where should alerts be sent", "webhook");
    terminal.type_hidden("URL", &format!("http://{}/{}", refusing.address, canary("path")));
    terminal.type_hidden("Token for the header", &canary("token"));
    terminal.answer("Send a test notification [Y/n]", "");
    terminal.expect("did not accept it");
    terminal.answer("keep it as it is, or leave it out [again]", "out");
    terminal.expect("Wrote exporter.toml.");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("root-pw-1"), "{shown}");
    assert_none("the terminal", &shown);
    assert_eq!(refusing.deliveries().len(), 1);
    assert_eq!(server.requests_for(TOKEN).len(), 1);
    let text = written(&folder);
    assert!(text.contains(&fingerprint) && !text.contains("webhook.me]\nurl"), "{text}");

    // The second one is in the way of nothing.
    let mut terminal = Terminal::start(folder.path(), &["init", "--config.file=other/exporter.toml"]);
    terminal.expect("Address of the panel");
    terminal.interrupt();
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("interrupted; nothing was written"), "{shown}");
    assert!(!folder.path().join("other").exists());
}

//! A second panel, which is added to a file that has one.

use std::os::unix::fs::symlink;

use super::*;

/// What an operator has written.
const MINE: &str = "# The office.\n[web]   # mine\nlisten = [\"127.0.0.1:10058\"]\n\n\
    [marzban.home]\nurl = \"http://127.0.0.1:1\" # asleep\nusername = \"root\"\npassword_file = \"password\"\n\n\
    [alerting]\nenabled = false # later";

/// A folder with that, and the password that it names.
fn folder_of_mine() -> TempDir {
    let folder = folder();
    fs::write(folder.path().join("exporter.toml"), MINE).unwrap();
    fs::write(folder.path().join("password"), "asleep").unwrap();
    set_mode(&folder.path().join("password"), 0o600);
    folder
}

fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_panel_is_added_and_everything_else_stays() {
    let token = canary("token");
    let (_, address) = xui(&xui::Options { token: token.clone(), ..xui::Options::default() });
    let folder = folder_of_mine();
    let file = folder.path().join("exporter.toml");
    // A link stays one.
    let real = folder.path().join("real.toml");
    fs::rename(&file, &real).unwrap();
    symlink("real.toml", &file).unwrap();
    set_mode(&real, 0o640);

    let url = format!("--url=http://{address}");
    let arguments = ["--add", &url, "--token-file=-", "--name=office"];
    let Run { code, out, err } = init(&folder, &arguments, &token);
    // The other panel was not asked for anything, or this would have failed.
    assert_eq!((code, &*out), (Some(0), ""), "{err}");
    assert!(err.contains("Added office to exporter.toml.\n") && err.contains("SIGHUP"), "{err}");
    let added =
        format!("\n\n[xui.office]\nurl = \"http://{address}\"\ntoken_file = \"secrets/xui-office.token\"\n");
    assert_eq!(written_of(&folder, 2), format!("{MINE}{added}"));
    assert!(file.is_symlink());
    assert_eq!(mode(&real), 0o640);
    let secret = folder.path().join("secrets/xui-office.token");
    assert_eq!((fs::read_to_string(&secret).unwrap(), mode(&secret)), (format!("{token}\n"), 0o600));
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["exporter.toml", "password", "real.toml", "secrets"]);
}

/// One command for each panel makes the whole file, and a receiver ends what was written for want of one.
#[test]
fn panels_are_added_one_by_one() {
    let (_, first) = marzban(marzban::Options::default());
    let proxy = cliproxy(&cliproxy::Options { key: canary("key"), ..cliproxy::Options::default() });
    let hook = Hook::start();
    let folder = folder();
    let url = format!("--url=http://{first}");
    let arguments = ["--add", &url, "--username=root", "--password-file=-"];
    let Run { code, out, err } = init(&folder, &arguments, "root-password");
    assert_eq!((code, &*out), (Some(0), SNIPPET), "{err}");
    assert!(written(&folder).ends_with("\n[alerting]\nenabled = false\n"));

    let url = format!("--url=http://{proxy}");
    let input = format!("{}\nhttp://{}/{}\n", canary("key"), hook.address, canary("path"));
    let receiver = ["--receiver=webhook", "--receiver-key=url_file=-"];
    let arguments = [&["--add", &url, "--token-file=-"][..], &receiver].concat();
    let Run { code, err, .. } = init(&folder, &arguments, &input);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(hook.deliveries().len(), 1);
    assert!(err.contains("--alerting.adopt"), "{err}");
    let text = written_of(&folder, 2);
    assert!(text.contains("[cliproxy.llm]\n") && text.contains("[webhook.me]\n"), "{text}");
    assert!(!text.contains("[alerting]"), "{text}");

    let again = [&arguments[..], &["--name=third"]].concat();
    let Run { code, err, .. } = init(&folder, &again, &input);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("--receiver-name: the file has a receiver me already; choose another name"),
        "{err}"
    );
    assert_eq!(written_of(&folder, 2), text);
    assert_eq!(hook.deliveries().len(), 1);
}

#[test]
fn nothing_is_added_where_something_is_wrong() {
    let (panel, address) = marzban(marzban::Options::default());
    let url = format!("--url=http://{address}");
    let login = ["--add", &url, "--username=root", "--password-file=-"];
    let cases: [(&str, &[&str], &str); 5] = [
        (MINE, &[], "--name is missing"),
        (MINE, &["--name=home"], "--name: the file has a target home already; choose another name\n"),
        ("[web]\nlisten = 1\n", &[], "exporter.toml:2:10: web.listen: "),
        ("marzban = {}\n", &[], "exporter.toml:"),
        (
            MINE,
            &["--name=office"],
            "it exists; choose another name, or delete this file if nothing needs it\n",
        ),
    ];
    for (text, more, said) in cases {
        let folder = folder_of_mine();
        let file = folder.path().join("exporter.toml");
        fs::write(&file, text).unwrap();
        fs::create_dir(folder.path().join("secrets")).unwrap();
        let kept = folder.path().join("secrets/marzban-office.password");
        fs::write(&kept, "kept").unwrap();
        let Run { code, out, err } = init(&folder, &[&login, more].concat(), "root-password");
        assert_eq!((code, &*out), (Some(1), ""), "{err}");
        assert!(err.contains(said), "{said}: {err}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
    assert_eq!((panel.logins(), panel.refused_logins()), (0, 0));
}

fn old_panel(password: &str, login_secret: &str) -> (xui::Panel, SocketAddr) {
    xui(&xui::Options {
        generation: xui::Generation::V1_7,
        password: password.to_owned(),
        login_secret: Some(login_secret.to_owned()),
        ..xui::Options::default()
    })
}

/// The dialogue asks for what the file and the panel turn out to need.
#[test]
fn a_person_adds_an_old_panel_that_demands_more() {
    let (password, login_secret) = (canary("password"), canary("login-secret"));
    let (panel, address) = old_panel(&password, &login_secret);
    let folder = folder_of_mine();
    let mut terminal = Terminal::start(folder.path(), &["init"]);
    terminal.answer("exporter.toml exists. Add a panel to it, and keep what it has [Y/n]", "");
    terminal.answer("Address of the panel", &format!("http://{address}"));
    terminal.answer("Name of it in metrics and notifications: ", "home");
    terminal.answer("the file has a target home already; choose another name", "office");
    terminal.answer("User name of the admin", "admin");
    terminal.type_hidden("Password", &canary("wrong"));
    terminal.type_hidden("two-factor", "");
    terminal.expect("login_secret, which is missing");
    terminal.type_hidden("Login secret of the panel", &login_secret);
    terminal.expect("the login was refused");
    terminal.answer("Try another login [Y/n]", "");
    terminal.answer("User name of the admin", "admin");
    terminal.type_hidden("Password", &password);
    terminal.type_hidden("two-factor", "");
    terminal.type_hidden("Login secret of the panel", &login_secret);
    terminal.expect("xui 1.7");
    terminal.answer("Where should alerts be sent", "none");
    terminal.expect("Added office to exporter.toml.");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_none("the terminal", &shown);
    assert_eq!((panel.logins(), panel.refused_logins()), (1, 1));
    let text = written_of(&folder, 2);
    assert!(text.ends_with("login_secret_file = \"secrets/xui-office.login_secret\"\n"), "{text}");
    assert_eq!(mode(&folder.path().join("secrets/xui-office.login_secret")), 0o600);

    let mut terminal = Terminal::start(folder.path(), &["init"]);
    terminal.answer("Add a panel to it, and keep what it has [Y/n]", "n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1));
    assert!(shown.contains("exporter.toml: it exists; --add adds a panel to it"), "{shown}");
    assert_eq!(written_of(&folder, 2), text);
}

#[test]
fn without_a_terminal_a_login_secret_is_a_file() {
    let (password, login_secret) = (canary("password"), canary("login-secret"));
    let (panel, address) = old_panel(&password, &login_secret);
    let folder = folder();
    let url = format!("--url=http://{address}");
    let arguments = [&url, "--username=admin", "--password-file=-"];
    let input = format!("{password}\n{login_secret}\n");
    let Run { code, err, .. } = init(&folder, &arguments, &input);
    assert_eq!(code, Some(1));
    assert!(err.ends_with("; here, that is --login-secret-file; nothing was written\n"), "{err}");
    assert_eq!((panel.logins(), panel.refused_logins()), (0, 0));
    assert!(is_empty(&folder));

    let Run { code, err, .. } = init(&folder, &[&arguments[..], &["--login-secret-file=-"]].concat(), &input);
    assert_eq!(code, Some(0), "{err}");
    assert!(written(&folder).contains("login_secret_file = \"secrets/xui-home.login_secret\"\n"));
}

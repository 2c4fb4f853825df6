//! What `check-config` finds and says, and that no file makes it hang, fill memory or crash.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use proxymeter::{
    alert::{config::AlertingConfig, rule::Rules},
    config::{Config, Source},
};

use crate::common::golden::assert_golden;

const HOME: &str = "[marzban.home]\nurl = 'https://panel.example.com:8000'\nusername = 'exporter'\n";
const PKI: &str = "tests/fixtures/web-config/pki";

/// Runs the program in a folder, with a limit on its memory; the exit code, stdout and stderr. A check that takes a
/// minute fails.
fn check(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_proxymeter");
    let script = "ulimit -v 2000000; exec timeout 60 \"$@\"";
    let Output { status, stdout, stderr } = Command::new("sh")
        .args(["-c", script, "sh", program, "check-config"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn check_text(text: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "exporter.toml", text);
    check(folder.path(), &[])
}

/// Writes a file that its owner alone can read.
fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join(name);
    fs::write(&file, content).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// All warnings but that there is no receiver.
fn warnings(text: &str) -> Vec<String> {
    let env = |name: &str| match name {
        "PROXYMETER_XUI_OFFICE_TOKEN" => Some("${OFFICE_TOKEN}".to_owned()),
        "TEAM_TOKEN" => Some("\"hunter2\"".to_owned()),
        _ => None,
    };
    let config = Config::parse(text, Path::new("exporter.toml"), &env);
    let mut warnings = config.unwrap_or_else(|errors| panic!("{text}\n{errors}")).warnings();
    warnings.retain(|warning| !warning.starts_with("alerting: there is no receiver"));
    warnings
}

#[test]
fn it_says_what_it_understood() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy("tests/fixtures/check/exporter.toml", folder.path().join("exporter.toml")).unwrap();
    let file = folder.path().join("exporter.toml");
    write(folder.path(), "exporter.toml", fs::read(file).unwrap());
    let mut seen = String::new();
    for shard in ["1/1", "1/2", "2/2"] {
        let (code, out, err) = check(folder.path(), &[&format!("--poll.shard={shard}")]);
        assert_eq!(code, Some(0), "{err}");
        seen += &format!("# --poll.shard={shard}\n{out}{err}\n");
    }
    assert!(!seen.contains("hunter2") && !seen.contains("hidden") && !seen.contains("alice"), "{seen}");
    assert_golden("tests/fixtures/check/said.txt", &seen);
}

#[test]
fn of_many_targets_the_first_are_shown() {
    let target =
        |number| format!("[marzban.t{number:04}]\nurl = 'http://h{number}.example.com'\napi_key = 'k'\n");
    let text: String = (0..150).map(target).collect();
    let (code, out, err) = check_text(&(text + "[poll]\nshard = '1/1'\n"));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("exporter.toml is valid: 150 targets\n"), "{out}");
    assert!(
        out.contains("t0099") && !out.contains("t0100") && out.contains("\n              … and 50 more\n"),
        "{out}"
    );
    // A warning for each, as the key crosses the network.
    assert_eq!(err.lines().count(), 101, "{err}");
    assert!(err.ends_with("\n… and 51 more\n"), "{err}");
}

#[test]
fn after_a_hundred_errors_a_count_follows() {
    for (text, more) in [
        ((0..4421).map(|key| format!("k{key} = 1\n")).collect::<String>(), "… and 4,321 more"),
        ("a\n".repeat(101), "… and 1 more"),
        ((0..100_000).map(|key| format!("[marzban.a{key}]\n")).collect(), "… and 199,900 more"),
    ] {
        let (code, out, err) = check_text(&text);
        assert_eq!((code, &*out), (Some(1), ""));
        let lines: Vec<_> = err.lines().collect();
        assert_eq!((lines.len(), *lines.last().unwrap()), (101, more));
        assert!(lines[..100].iter().all(|line| line.contains("exporter.toml:")), "{err}");
    }
    // What a target's client cannot be built of is found after the file was read.
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "ca.pem", "no certificate");
    let target = |number| {
        format!("[marzban.a{number}]\nurl = 'https://h{number}'\napi_key = 'k'\ntls.ca_file = 'ca.pem'\n")
    };
    write(folder.path(), "exporter.toml", (0..120).map(target).collect::<String>());
    let (code, _, err) = check(folder.path(), &[]);
    assert_eq!(code, Some(1));
    assert_eq!(err.lines().filter(|line| line.contains("holds no PEM certificate")).count(), 100, "{err}");
    assert!(err.ends_with("\n… and 20 more\n"), "{err}");
}

/// Each would take minutes or gigabytes if a step took time for each pair of lines.
#[test]
fn no_text_takes_long() {
    let repeat = |line: &dyn Fn(usize) -> String, times| (0..times).map(line).collect::<String>();
    for (what, text, said) in [
        ("deep lists", format!("a = {}", "[".repeat(200_000)), "nested too deeply"),
        ("deep tables", format!("a = {}", "{a=".repeat(200_000)), "nested too deeply"),
        ("a deep key", "a.".repeat(200_000) + "a = 1", "nested too deeply"),
        ("a deep heading", format!("[{}a]", "a.".repeat(200_000)), "nested too deeply"),
        ("a long line", format!("a = '{}'", "x".repeat(4_000_000)), "exporter.toml:1:1: a: unknown key"),
        ("a long key", "k".repeat(4_000_000) + " = 1", "k…: unknown key"),
        ("empty lines", "\n".repeat(4_000_000) + "a = 1", "exporter.toml:4000001:1: a: unknown key"),
        ("open placeholders", format!("[marzban.a]\nurl = '{}'", "${".repeat(1_000_000)), "not a URL"),
        ("one table", format!("a = {{{}}}", repeat(&|n| format!("k{n}=1,"), 200_000)), "unknown table"),
        (
            "a long list",
            format!("[alert.user_expiry]\nsubjects = [{}'u0']", repeat(&|n| format!("'u{n}',"), 200_000)),
            "\"u0\" is listed twice",
        ),
        (
            "many steps",
            format!("[alert.user_expiry]\nsteps = [{}]", "'1d',".repeat(200_000)),
            "write at most 100",
        ),
        (
            "a deep template",
            format!("[webhook.a]\nurl = 'https://h'\ntemplate = '{{{{ {} }}}}'", "(".repeat(200_000)),
            "a template of more than 64 KiB; write a shorter one",
        ),
        (
            "a nested template",
            format!("[webhook.a]\nurl = 'https://h'\ntemplate = '{{{{ {} }}}}'", "(".repeat(65_000)),
            "the template does not compile: template exceeds maximum recursion limits, in its line 1; correct it",
        ),
        (
            "many operators",
            format!(
                "[webhook.a]\nurl = 'https://h'\ntemplate = '{{{{ {} statsu }}}}'",
                "not ".repeat(16_000)
            ),
            "there is nothing called statsu",
        ),
        (
            "an unfinished operation",
            format!("[webhook.a]\nurl = 'https://h'\ntemplate = '{{{{ {} }}}}'", "-".repeat(65_000)),
            "the template does not compile",
        ),
        (
            "unknown receivers",
            repeat(&|n| format!("[slack.r{n}]\nurl='https://h{n}'\n"), 5000)
                + &repeat(&|n| format!("[alert.a{n}]\nrule='user_expiry'\nreceivers='q{n}'\n"), 5000),
            "r10, r100, r1000, ",
        ),
    ] {
        let start = tokio::time::Instant::now();
        let (code, _, err) = check_text(&text);
        assert!(
            code == Some(1) && err.contains(said),
            "{what}: {code:?} {}",
            err.get(..3000).unwrap_or(&err)
        );
        assert!(err.len() < 200_000, "{what}: {} bytes", err.len());
        assert!(start.elapsed() < Duration::from_secs(50), "{what}: {:?}", start.elapsed());
    }
    let (code, _, err) = check_text(&"#".repeat(9 * 1024 * 1024));
    assert_eq!(code, Some(1));
    assert!(err.contains("exporter.toml: larger than 8 MiB; write the path of another file"), "{err}");
}

/// A configuration, or a file that it names, that is no regular file. None may be opened, as that waits for ever.
#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    fs::create_dir(folder.join("folder")).unwrap();
    fs::copy(Path::new(PKI).join("server.pem"), folder.join("cert.pem")).unwrap();
    let web = |key: &str| format!("tls_server_config:\n  cert_file: cert.pem\n  {key}: FILE\n");
    for (file, what) in [
        ("pipe", "a pipe, which cannot be read again at a reload"),
        ("socket", "a socket"),
        ("folder", "a folder"),
        ("/dev/zero", "a device"),
    ] {
        let said = format!("{file}: {what}; write the path of a regular file");
        let (code, out, err) = check(folder, &[&format!("--config.file={file}")]);
        assert_eq!((code, &*out), (Some(1), ""), "{err}");
        assert!(err.contains(&said), "{err}");
        for text in [
            format!("{HOME}password_file = 'FILE'"),
            format!("{HOME}api_key = 'k'\ntls.ca_file = 'FILE'"),
            format!("{HOME}api_key = 'k'\ntls = {{ client_cert_file = 'FILE', client_key_file = 'FILE' }}"),
            "[webhook.a]\nurl_file = 'FILE'".to_owned(),
            "[webhook.a]\nurl = 'https://h'\nheaders.X-Key.file = 'FILE'".to_owned(),
            "[webhook.a]\nurl = 'https://h'\ntemplate_file = 'FILE'".to_owned(),
            "[users]\nhash_key_file = 'FILE'".to_owned(),
            "[cost]\nprices_file = 'FILE'".to_owned(),
            "[web]\nconfig_file = 'FILE'".to_owned(),
            "[web]\ntls_cert_file = 'FILE'\ntls_key_file = 'FILE'".to_owned(),
        ] {
            write(folder, "exporter.toml", text.replace("FILE", file));
            let (code, _, err) = check(folder, &[]);
            assert!(code == Some(1) && err.contains(&said), "{text}: {err}");
        }
        write(folder, "exporter.toml", "");
        write(folder, "web.yml", web("key_file").replace("FILE", file));
        for web in ["web.yml", file] {
            let (code, _, err) = check(folder, &[&format!("--web.config.file={web}")]);
            assert!(code == Some(1) && err.contains(&said), "{web}: {err}");
        }
    }
}

/// Editors write a byte-order mark in front of text, and some write UTF-16.
#[test]
fn byte_order_marks_are_dropped_in_every_file() {
    let text = "[marzban.home]\nurl = 'https://panel.example.com'\nusername = 'a'\npassword_file = 'password'\n\
                tls = { ca_file = 'ca.pem', client_cert_file = 'cert.pem', client_key_file = 'key.pem' }\n\
                [webhook.a]\nurl_file = 'url'\ntemplate_file = 'template'\nheaders.X-Key.file = 'password'\n\
                [users]\nhash_key_file = 'hash-key'\n[cost]\nprices_file = 'prices'\n[web]\nconfig_file = 'web.yml'\n";
    let pki = |name| fs::read_to_string(Path::new(PKI).join(name)).unwrap();
    let files = [
        ("exporter.toml", text.to_owned()),
        ("password", "hunter2\r\n".to_owned()),
        ("ca.pem", pki("ca.pem")),
        ("cert.pem", pki("server.pem")),
        ("key.pem", pki("server-key.pem")),
        ("url", "https://hooks.example.com/hunter2\n".to_owned()),
        ("template", "{\"a\": {{ status|tojson }}}".to_owned()),
        ("hash-key", "0123456789abcdef".to_owned()),
        ("prices", "{\"gpt-5\": {\"input_cost_per_token\": 1e-6}}".to_owned()),
        ("web.yml", "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n".to_owned()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, content) in &files {
        write(folder, name, format!("\u{feff}{content}"));
    }
    let (code, out, err) = check(folder, &[]);
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(
        out.starts_with("exporter.toml is valid: 1 targets\n") && out.contains("https://127.0.0.1"),
        "{out}"
    );
    let config = Config::load(&Source::File(folder.join("exporter.toml")), &|_| None).unwrap();
    assert!(!config.files.have_changed());

    for (name, content) in &files {
        let units: Vec<u8> = format!("\u{feff}{content}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        write(folder, name, units);
        let (code, _, err) = check(folder, &[]);
        assert_eq!(code, Some(1), "{name}");
        assert!(err.contains(&format!("{name}: UTF-16 text; save it as UTF-8")), "{name}: {err}");
        write(folder, name, content);
    }
}

#[test]
fn secrets_that_are_probably_none_are_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let of_file = format!("{HOME}password_file = '{}'", file.display());
    let inline = |secret: &str| format!("{HOME}password = '{secret}'");
    let header = |value: &str| {
        format!(
            "[marzban.home]\nurl = 'https://h'\napi_key = 'k'\n[webhook.a]\nurl = 'https://h'\nheaders.X-Key = {value}"
        )
    };
    for (secret, said) in [
        ("${PANEL_PASSWORD}", "looks like the placeholder ${…}, which is not expanded; "),
        ("pre-${hunter2}", "looks like the placeholder ${…}, which is not expanded; "),
        ("$PANEL_PASSWORD", "looks like the placeholder $VARIABLE, which is not expanded; "),
        ("%PASSWORD%", "looks like the placeholder %VARIABLE%, which is not expanded; "),
        ("{{ hunter2 }}", "looks like the placeholder {{ … }}, which is not expanded; "),
        ("$(cat hunter2)", "looks like the placeholder $(…), which is not expanded; "),
        ("<hunter2>", "looks like a placeholder that is yet to be replaced; "),
        ("changeme", "looks like a placeholder that is yet to be replaced; "),
        (" hunter2", "starts or ends with a space"),
        ("hunter2 ", "starts or ends with a space"),
        ("\"hunter2\"", "is in quotes"),
        ("hunter\u{200b}2", "has an invisible character"),
    ] {
        let place = "marzban.home.password";
        let instead = "set PROXYMETER_MARZBAN_HOME_PASSWORD instead, or write password_file";
        for (text, place, instead) in [
            (inline(secret), format!("{place}: "), instead),
            (
                of_file.clone(),
                format!("{place}_file: {}: ", file.display()),
                "write the secret into it, and nothing else",
            ),
            (
                header(&format!("'{secret}'")),
                "webhook.a.headers.X-Key: ".to_owned(),
                "write the secret in quotes, or { file = \"…\" } or { env = \"…\" }",
            ),
        ] {
            write(folder.path(), "secret", format!("{secret}\n"));
            let warnings = warnings(&text);
            let [warning] = &warnings[..] else { panic!("{text}: {warnings:?}") };
            assert!(warning.starts_with(&format!("{place}{said}")), "{warning}");
            assert!(!said.ends_with("; ") || warning.ends_with(instead), "{warning}");
            assert!(!warning.contains("hunter"), "{warning}");
        }
    }
    let variable = "xui.office.token: the environment variable PROXYMETER_XUI_OFFICE_TOKEN: looks like the placeholder ${…}";
    for (text, said) in [
        ("[xui.office]\nurl = 'https://panel.example.com'\n".to_owned(), variable),
        (
            header("{ env = 'TEAM_TOKEN' }"),
            "webhook.a.headers.X-Key.env: the environment variable: is in quotes",
        ),
    ] {
        let warnings = warnings(&text);
        assert!(matches!(&warnings[..], [only] if only.starts_with(said)), "{warnings:?}");
    }
    for quiet in [
        "hunter2",
        "pa$$word",
        "YourMonkeyEatsKeys77",
        "<3 kittens >",
        "$KJ:x99283ss",
        "a b",
        "$ecret",
        "100%",
        "a<b",
        "x",
        "{}",
        "\"",
    ] {
        assert_eq!(warnings(&inline(quiet)), [""; 0], "{quiet}");
    }
}

#[test]
fn free_text_that_looks_like_a_placeholder_is_a_warning() {
    let marzban = "[marzban.home]\nurl = 'https://h'\n";
    let login = |login: &str| format!("{marzban}{login}");
    let beside = |text: &str| format!("{marzban}api_key = 'k'\n{text}\n");
    for (text, key, form) in [
        (login("username = '$ADMIN'\npassword = 'p'"), "marzban.home.username", "$VARIABLE"),
        (login("username = '100%ADMIN_%'\npassword = 'p'"), "marzban.home.username", "%VARIABLE%"),
        (beside("node_traffic_of = ['a', '{{a}}']"), "marzban.home.node_traffic_of", "{{ … }}"),
        (
            "[xui.a]\nurl = 'https://h'\nusername = '${A}'\npassword = 'p'".to_owned(),
            "xui.a.username",
            "${…}",
        ),
        (
            beside(
                "[email.a]\nsmarthost = 'h'\nfrom = 'a@b.c'\nto = 'a@b.c'\nusername = '$ADMIN'\npassword = 'p'",
            ),
            "email.a.username",
            "$VARIABLE",
        ),
        (beside("[webhook.a]\nurl = 'https://h'\nsuccess = '${ok}'"), "webhook.a.success", "${…}"),
        (
            beside("[webhook.a]\nurl = 'https://h'\nusername = '$ADMIN'\npassword = 'p'"),
            "webhook.a.username",
            "$VARIABLE",
        ),
        (
            beside("[dingtalk.a]\nurl = 'https://h/?access_token=k'\nkeyword = '{{ a }}'"),
            "dingtalk.a.keyword",
            "{{ … }}",
        ),
        (beside("[mute.a.matchers]\nsubject = '$ADMIN'"), "mute.a.matchers.subject", "$VARIABLE"),
        (beside("[alert.user_quota]\nexclude = ['$ADMIN']"), "alert.user_quota.exclude", "$VARIABLE"),
    ] {
        let mut warnings = warnings(&text);
        warnings.retain(|warning| warning.contains("placeholder"));
        let said = format!(
            "{key}: looks like the placeholder {form}, which is not expanded; write the value itself"
        );
        assert_eq!(warnings, [said], "{text}");
    }
}

#[test]
fn the_page_of_a_panel_is_not_its_address() {
    let marzban = |url: &str| format!("[marzban.home]\nurl = '{url}'\napi_key = 'k'\n");
    let cliproxy = |url: &str| format!("[cliproxy.home]\nurl = '{url}'\nmanagement_key = 'k'\n");
    let xui = |url: &str| format!("[xui.home]\nurl = '{url}'\ntoken = 'k'\n");
    for (text, base, page) in [
        (marzban("https://h:8000/dashboard"), "https://h:8000", "/dashboard on"),
        (marzban("https://h:8000/dashboard/"), "https://h:8000", "/dashboard on"),
        (marzban("https://h:8000/dashboard/#/"), "https://h:8000", "/dashboard on"),
        (marzban("https://h:8000/dashboard/#/login"), "https://h:8000", "/dashboard on"),
        (marzban("https://h:8000/dashboard/login"), "https://h:8000", "/dashboard on"),
        (marzban("https://h:8000/base/dashboard/"), "https://h:8000/base", "/dashboard on"),
        (marzban("https://h:8000/api/admin/token"), "https://h:8000", "/api on"),
        (marzban("https://h:8000/docs"), "https://h:8000", "/docs on"),
        (marzban("https://h:8000/dashboard/dashboard"), "https://h:8000/dashboard", ""),
        (marzban("https://h:8000/a/dashboard/dashboard/#/login"), "https://h:8000/a/dashboard", ""),
        (marzban("https://h:8000/dashboard/api/"), "https://h:8000/dashboard", "/api on"),
        (marzban("https://h:8000/#/"), "https://h:8000", ""),
        (marzban("https://h:8000/dashboards"), "https://h:8000/dashboards", ""),
        (marzban("https://h:8000/hidden/"), "https://h:8000/hidden", ""),
        (cliproxy("http://127.0.0.1:8317/management.html"), "http://127.0.0.1:8317", "/management.html on"),
        (
            cliproxy("http://127.0.0.1:8317/management.html#/login"),
            "http://127.0.0.1:8317",
            "/management.html on",
        ),
        (cliproxy("http://127.0.0.1:8317/v0/management"), "http://127.0.0.1:8317", "/v0 on"),
        (cliproxy("http://127.0.0.1:8317/v1/chat/completions"), "http://127.0.0.1:8317", "/v1 on"),
        (xui("https://h:2053/base/panel/inbounds#x"), "https://h:2053/base", "/panel on"),
        (xui("https://h:2053/base/panel/api/inbounds/list"), "https://h:2053/base", "/panel on"),
        (xui("https://h:2053/login/"), "https://h:2053", "/login on"),
        (xui("https://h:2053/panel/panel"), "https://h:2053/panel", ""),
        (xui("https://h:2053/panel/panel/inbounds"), "https://h:2053/panel", ""),
        (xui("https://h:2053/#/"), "https://h:2053", ""),
    ] {
        let config = Config::parse(&text, Path::new("exporter.toml"), &|_| None).unwrap();
        assert_eq!(config.targets[0].url().join(""), base, "{text}");
        let warnings = warnings(&text);
        assert_eq!(warnings.len(), usize::from(!page.is_empty()), "{text}: {warnings:?}");
        assert!(
            warnings.iter().all(|warning| warning.contains(page) && !warning.contains("base/")),
            "{warnings:?}"
        );
    }
    for text in [marzban("https://h:8000/hidden/#/"), xui("https://h:2053/hidden/#/login")] {
        let wrong = Config::parse(&text, Path::new("exporter.toml"), &|_| None).unwrap_err().to_string();
        let said = "the URL of a page, as it has a #; write the panel's own address";
        assert!(wrong.contains(said) && !wrong.contains("hidden"), "{wrong}");
    }
}

#[test]
fn one_panel_under_two_names_is_a_warning() {
    let one = |kind: &str, name: &str, url: &str| match kind {
        "marzban" => format!("[marzban.{name}]\nurl = '{url}'\napi_key = 'k-{name}'\n"),
        "xui" => format!("[xui.{name}]\nurl = '{url}'\ntoken = 'k'\n"),
        _ => format!("[cliproxy.{name}]\nurl = '{url}'\nmanagement_key = 'k'\n"),
    };
    let first = "https://panel.example.com:443/hidden";
    for (kind, url, said) in [
        (
            "marzban",
            "https://Panel.Example.com/hidden/",
            "one panel under several names, https://panel.example.com; users",
        ),
        (
            "marzban",
            "https://panel.example.com./hidden",
            "one panel under several names, https://panel.example.com; users",
        ),
        ("marzban", "https://panel.example.com/hidden/dashboard/#/", "one panel under several names"),
        (
            "xui",
            "https://panel.example.com/hidden/panel",
            "one server under tables of different kinds, https://panel.example.com; keep",
        ),
        (
            "cliproxy",
            "https://panel.example.com/hidden",
            "one server under tables of different kinds, https://panel.example.com; keep",
        ),
        ("marzban", "https://panel.example.com/Hidden", ""),
        ("marzban", "https://panel.example.com:8443/hidden", ""),
        ("marzban", "http://panel.example.com/hidden", ""),
        ("marzban", "http://panel.example.com:443/hidden", "one panel under several names"),
    ] {
        let mut warnings = warnings(&(one("marzban", "a", first) + &one(kind, "b", url)));
        warnings.retain(|warning| warning.contains(" under "));
        assert_eq!(warnings.len(), usize::from(!said.is_empty()), "{url}: {warnings:?}");
        for warning in warnings {
            let mut names = ["marzban.a".to_owned(), format!("{kind}.b")];
            names.sort();
            assert!(
                warning.starts_with(&format!("{}: ", names.join(" and "))) && warning.contains(said),
                "{warning}"
            );
            assert!(!warning.contains("hidden"), "{warning}");
        }
    }
    // Other servers: of two tunnels, of two loopback addresses, behind one proxy by a header or a name.
    for (url, a, b, is_twice) in [
        (
            "http://127.0.0.1:8000",
            "proxy = 'socks5h://127.0.0.1:1081'",
            "proxy = 'socks5h://127.0.0.1:1082'",
            false,
        ),
        ("http://127.0.0.1:8000", "proxy = 'socks5h://127.0.0.1:1081'", "", false),
        ("http://127.0.0.1:8000", "headers.Host = 'a.example.com'", "headers.Host = 'b.example.com'", false),
        (
            "https://192.0.2.1",
            "tls.server_name = 'a.example.com'",
            "tls.server_name = 'b.example.com'",
            false,
        ),
        (
            "http://127.0.0.1:8000",
            "headers = { X-A = 'k', X-B = 'k' }",
            "headers = { X-B = 'k', X-A = 'k' }",
            true,
        ),
        ("http://10.0.0.1", "proxy = 'http://127.0.0.1:1'", "proxy = 'http://127.0.0.1:1'", true),
    ] {
        let mut warnings =
            warnings(&format!("{}{a}\n{}{b}\n", one("marzban", "a", url), one("marzban", "b", url)));
        warnings.retain(|warning| warning.contains(" under "));
        assert_eq!(warnings.len(), usize::from(is_twice), "{url} {a} {b}: {warnings:?}");
    }
    let urls = ["http://127.0.0.1:9000", "http://127.0.0.2:9000", "http://[::2]:9000"];
    let all: String = (0..3).map(|at| one("marzban", &format!("t{at}"), urls[at])).collect();
    assert!(warnings(&all).iter().all(|warning| !warning.contains(" under ")));
    let here = ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "127.0.0.1", "127.0.0.1", "127.0.0.1"];
    let all: String =
        (0..7).map(|at| one("marzban", &format!("t{at}"), &format!("http://{}:8000", here[at]))).collect();
    let warnings = warnings(&(all + "[poll]\nshard = '1/3'\n"));
    let names = "marzban.t0, marzban.t1, marzban.t2, marzban.t3, marzban.t4, … and 2 more: one panel under several names";
    let said: Vec<_> = warnings.iter().filter(|warning| warning.contains(" under ")).collect();
    assert!(matches!(&said[..], [only] if only.starts_with(names)), "{warnings:?}");
}

#[test]
fn one_destination_under_two_names_is_a_warning() {
    let token = "token = '123456789:AAabcdefghijklmnopqrstuvwxyz-_01234'\n";
    let mail = "smarthost = 'smtp.example.com'\nfrom = 'a@example.com'\n";
    for (kind, a, b, is_twice) in [
        (
            "webhook",
            "url = 'https://h/hidden'\n",
            "url = 'https://H:443/hidden/'\nmin_severity = 'critical'\n",
            true,
        ),
        ("webhook", "url = 'https://h/hidden'\n", "url = 'https://h/hidden?a'\n", false),
        (
            "webhook",
            "url = 'https://h'\nbearer_token = 'a'\n",
            "url = 'https://h'\nbearer_token = 'b'\n",
            false,
        ),
        ("webhook", "url = 'https://h'\ntemplate = 'a'\n", "url = 'https://h'\ntemplate = 'b'\n", false),
        (
            "webhook",
            "url = 'http://127.0.0.1'\nproxy = 'socks5h://127.0.0.1:1081'\n",
            "url = 'http://127.0.0.1'\nproxy = 'socks5h://127.0.0.1:1082'\n",
            false,
        ),
        ("slack", "url = 'https://h/hidden'\n", "url = 'https://h/hidden'\n", true),
        ("telegram", &format!("{token}chat_id = 1\n"), &format!("{token}chat_id = '1'\n"), true),
        ("telegram", &format!("{token}chat_id = 1\n"), &format!("{token}chat_id = 2\n"), false),
        (
            "telegram",
            &format!("{token}chat_id = 1\n"),
            &format!("{token}chat_id = 1\nthread_id = 5\n"),
            false,
        ),
        ("ntfy", "topic = 'a'\n", "topic = 'a'\nurl = 'https://ntfy.sh/'\n", true),
        (
            "email",
            &format!("{mail}to = 'A <b@example.com>'\n"),
            &format!("{mail}to = 'B@example.com'\n"),
            true,
        ),
        ("email", &format!("{mail}to = 'b@example.com'\n"), &format!("{mail}to = 'c@example.com'\n"), false),
        (
            "alertmanager",
            "urls = ['http://localhost:9093', 'http://h']\n",
            "urls = 'http://127.0.0.1:9093/'\n",
            true,
        ),
        (
            "alertmanager",
            "urls = 'http://h'\nheaders.X-Scope-OrgID = 'a'\n",
            "urls = 'http://h'\nheaders.X-Scope-OrgID = 'b'\n",
            false,
        ),
        (
            "alertmanager",
            "urls = ['http://localhost:9093', 'http://127.0.0.1:9093']\n",
            "urls = 'http://h'\n",
            false,
        ),
        (
            "webhook",
            "url = 'https://h'\nmin_severity = 'critical'\n",
            "url = 'https://h'\nlanguage = 'fa'\n",
            false,
        ),
        ("webhook", "url = 'https://h'\n", "url = 'https://h'\nlanguage = 'en'\n", true),
    ] {
        let mut warnings = warnings(&format!("[{kind}.a]\n{a}[{kind}.b]\n{b}"));
        warnings.retain(|warning| warning.contains("one destination"));
        assert_eq!(warnings.len(), usize::from(is_twice), "{kind} {a} {b}: {warnings:?}");
        let head = format!("{kind}.a and {kind}.b: one destination under several names; a");
        assert!(
            warnings.iter().all(|warning| warning.starts_with(&head) && !warning.contains("hidden")),
            "{warnings:?}"
        );
    }
}

#[test]
fn one_destination_under_two_names_is_no_warning_if_no_rule_notifies_both() {
    let off = |but: &str| {
        let rules = AlertingConfig::default();
        let rules = Rules::new(&rules).unwrap();
        let names = rules.list().iter().map(|rule| rule.name.to_string()).filter(|name| name != but);
        names.map(|name| format!("[alert.{name}]\nenabled = false\n")).collect::<String>()
    };
    let each = |receivers: &str| {
        let rules = AlertingConfig::default();
        let rules = Rules::new(&rules).unwrap();
        let names = rules.list().iter().map(|rule| rule.name.to_string());
        names.map(|name| format!("[alert.{name}]\nreceivers = [{receivers}]\n")).collect::<String>()
    };
    for (a, rules, rule) in [
        ("", String::new(), Some("user_expiry")),
        ("", off(""), None),
        ("", off("node_down"), Some("node_down")),
        ("", off("node_down") + "[alert.node_down]\nreceivers = ['b']\n", None),
        ("", each("'a'"), None),
        ("", each("'a'") + "[alert.mine]\nrule = 'user_expiry'\nreceivers = ['a', 'b']\n", Some("mine")),
        ("", each("'a', 'b'"), Some("user_expiry")),
        // What only one of them is severe enough for.
        ("min_severity = 'critical'\n", off("user_expiry"), None),
        ("min_severity = 'critical'\n", String::new(), Some("target_down")),
        ("", "[alerting]\nenabled = false\n".to_owned(), None),
    ] {
        let text = format!("[slack.a]\nurl = 'https://h'\n{a}[slack.b]\nurl = 'https://h'\n{rules}");
        let mut warnings = warnings(&text);
        warnings.retain(|warning| warning.contains("one destination"));
        let said = rule.map(|rule| {
            format!(
                "slack.a and slack.b: one destination under several names; a notification of the rule {rule} arrives \
                 more than once; keep one of them, or name no two of them in the receivers of one rule"
            )
        });
        assert_eq!(warnings, Vec::from_iter(said), "{text}");
    }
}

#[test]
fn alerts_that_are_not_sent_are_a_warning() {
    let warnings = |text: &str| {
        let text = format!("{HOME}api_key = 'k'\n{text}").replace("username = 'exporter'\n", "");
        Config::parse(&text, Path::new("exporter.toml"), &|_| None).unwrap().warnings()
    };
    let receiver = "[slack.team]\nurl = 'https://h'\n";
    for (text, said) in [
        (
            String::new(),
            "alerting: there is no receiver, so alerts are in metrics alone; add a table such as",
        ),
        (
            format!("{receiver}[alerting]\nenabled = false"),
            "alerting.enabled: false, so nothing is sent to any receiver",
        ),
    ] {
        let warnings = warnings(&text);
        assert!(matches!(&warnings[..], [only] if only.starts_with(said)), "{warnings:?}");
    }
    for quiet in [receiver, "[alerting]\nenabled = false"] {
        assert_eq!(warnings(quiet), [""; 0], "{quiet}");
    }
}

//! Whether the program starts on a storage folder, by the state of the folder and of its disk.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::common::daemon::{Daemon, Home, wait_for};

/// A user who is not root. It needs no name.
const NOBODY: u32 = 65534;

/// Users are hashed, so that the key file is needed.
fn home() -> Home {
    Home::of("[users]\nlabels = \"hash\"\n[marzban.home]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Runs a command that must end by itself, with an error. What it says.
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, stdout } = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(stdout, b"");
    let (_, error) = said.split_once("proxymeter: ").unwrap_or_else(|| panic!("{said}"));
    assert!(!error.contains("panicked"), "{error}");
    error.trim_end().to_owned()
}

/// A command on the configuration.
fn of(home: &Home, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxymeter"));
    command.args([name, &format!("--config.file={}", home.file().display())]);
    command
}

/// The same, run as a user to whom permissions apply.
fn as_nobody(home: &Home, name: &str) -> Command {
    let direct = of(home, name);
    if !is_root() {
        return direct;
    }
    // The program may be in a folder that only root can enter.
    let (program, copy) = (direct.get_program(), home.folder().join("proxymeter"));
    if !copy.exists() {
        fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
    command.arg(copy).args(direct.get_args());
    command
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

type Prepare = fn(&Path);

#[test]
fn a_start_stops_when_something_else_is_in_the_place_of_the_folder_or_its_files() {
    let cases: [(&str, Prepare, &str, &str); 14] = [
        (
            "a file",
            |place| fs::write(place, "").unwrap(),
            "",
            "a file is in the way: remove it, or set storage.path",
        ),
        ("a loop", |place| symlink(place, place).unwrap(), "", "symbolic links"),
        (
            "a link to nothing",
            |place| symlink("nowhere", place).unwrap(),
            "",
            "its symbolic link leads nowhere",
        ),
        ("a link to a file", |place| symlink("/dev/null", place).unwrap(), "", "a file is in the way"),
        ("a pipe", pipe, "", "a file is in the way"),
        (
            "a folder for the database",
            |place| make(place, "proxymeter.db"),
            "/proxymeter.db",
            "a folder is in the way",
        ),
        (
            "a folder for the log",
            |place| make(place, "proxymeter.db-wal"),
            "/proxymeter.db-wal",
            "a folder is in the way",
        ),
        (
            "a folder for the index",
            |place| make(place, "proxymeter.db-shm"),
            "/proxymeter.db-shm",
            "a folder is in the way",
        ),
        (
            "a folder for the lock",
            |place| make(place, "proxymeter.lock"),
            "/proxymeter.lock",
            "a folder is in the way",
        ),
        ("a folder for the key", |place| make(place, "hash.key"), "/hash.key", "a folder is in the way"),
        (
            "a pipe for the database",
            |place| pipe_in(place, "proxymeter.db"),
            "/proxymeter.db",
            "not a regular file",
        ),
        (
            "a pipe for the lock",
            |place| pipe_in(place, "proxymeter.lock"),
            "/proxymeter.lock",
            "not a regular file",
        ),
        (
            "a folder for a new key",
            |place| make(place, "hash.key.new"),
            "/hash.key.new",
            "a folder is in the way",
        ),
        ("a pipe for the key", |place| pipe_in(place, "hash.key"), "/hash.key", "not a regular file"),
    ];
    for (what, prepare, at, why) in cases {
        let home = home();
        prepare(&home.storage());
        let said = refused(&mut home.command());
        let named = format!("{}{at}: cannot be used for the storage: ", home.storage().display());
        assert!(said.starts_with(&named) && said.contains(why), "{what}: {said}");
        assert!(said.contains("storage.path") && said.lines().count() == 1, "{what}: {said}");
        if !at.starts_with("/hash.key") {
            assert_eq!(refused(&mut of(&home, "replay-notifications")), said, "{what}");
        }
        if at.is_empty() {
            let flag = format!("--storage.path={}", home.storage().display());
            let said = refused(of(&home, "scrape").arg(flag));
            assert!(said.starts_with(&home.storage().display().to_string()), "{what}: {said}");
        }
    }
}

fn make(place: &Path, name: &str) {
    fs::create_dir_all(place.join(name)).unwrap();
}

fn pipe_in(place: &Path, name: &str) {
    fs::create_dir(place).unwrap();
    pipe(&place.join(name));
}

#[test]
fn a_start_stops_when_the_path_cannot_be_one() {
    let home = home();
    fs::write(home.folder().join("file"), "").unwrap();
    for (path, why) in [
        (home.folder().join("file/data"), "a file is in the way"),
        (home.folder().join("x".repeat(256)), "set storage.path to a shorter path"),
        ("/proc/proxymeter/data".into(), "create the folder"),
    ] {
        let said = refused(home.command().arg(format!("--storage.path={}", path.display())));
        assert!(said.contains(why) && said.contains("storage.path"), "{said}");
    }
}

#[test]
fn a_start_stops_without_permission() {
    let cases: [(&str, Prepare, &str, &str); 7] = [
        ("above", |place| mode(place.parent().unwrap(), 0o555), "", "create the folder for user ID"),
        (
            "folder",
            |place| {
                fs::create_dir(place).unwrap();
                mode(place, 0o555);
            },
            "/proxymeter.lock",
            "chown -R",
        ),
        (
            "closed folder",
            |place| {
                fs::create_dir(place).unwrap();
                mode(place, 0);
            },
            "",
            "chown -R",
        ),
        ("lock", |place| unwritable(place, "proxymeter.lock"), "/proxymeter.lock", "chown -R"),
        ("database", |place| unwritable(place, "proxymeter.db"), "/proxymeter.db", "chown -R"),
        ("log", |place| unwritable(place, "proxymeter.db-wal"), "/proxymeter.db-wal", "chown -R"),
        ("key", |place| unwritable(place, "hash.key"), "/hash.key", "chown -R"),
    ];
    for (what, prepare, at, why) in cases {
        let home = home();
        mode(home.folder(), 0o755);
        mode(&home.file(), 0o644);
        if is_root() {
            chown(home.folder(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        prepare(&home.storage());
        if is_root() && home.storage().exists() {
            chown(home.storage(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let said = refused(&mut as_nobody(&home, "run"));
        let named =
            format!("{}{at}: cannot be used for the storage: Permission denied", home.storage().display());
        assert!(said.starts_with(&named) && said.contains(why), "{what}: {said}");
        if at != "/hash.key" {
            let mut command = as_nobody(&home, "replay-notifications");
            assert_eq!(refused(&mut command), said, "{what}");
        }
        mode(home.folder(), 0o755);
    }
}

fn unwritable(place: &Path, name: &str) {
    fs::create_dir(place).unwrap();
    fs::write(place.join(name), [7; 32]).unwrap();
    mode(&place.join(name), 0);
    if is_root() {
        chown(place.join(name), Some(0), Some(0)).unwrap();
    }
}

/// A folder whose writable files are there, but that takes no new ones, as the database needs them.
#[test]
fn a_start_stops_when_the_folder_takes_no_files() {
    let home = home();
    mode(home.folder(), 0o755);
    mode(&home.file(), 0o644);
    fs::create_dir(home.storage()).unwrap();
    for name in ["proxymeter.db", "proxymeter.lock"] {
        fs::write(home.storage().join(name), "").unwrap();
        if is_root() {
            chown(home.storage().join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    mode(&home.storage(), 0o555);
    let said = refused(&mut as_nobody(&home, "run"));
    assert!(said.starts_with(&format!("{}: cannot be used", home.storage().display())), "{said}");
    mode(&home.storage(), 0o755);
}

/// Runs the program after shell commands in a mount namespace of its own. `$S` is the storage folder. A machine may forbid
/// that, unless `MOUNTS` is set, as CI does where it is permitted.
fn with_mounts(home: &Home, commands: &str) -> Option<Command> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let is_permitted = |way: &&[&str]| {
        let mut tried = Command::new("unshare");
        tried.args(*way).args(["mount", "-t", "tmpfs", "none"]).arg(home.storage());
        tried.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let Some(way) = ways.into_iter().find(is_permitted) else {
        assert!(env::var_os("MOUNTS").is_none(), "this machine permits no mounts, although MOUNTS says so");
        eprintln!("NOT TESTED: this machine permits no mounts");
        return None;
    };
    let direct = home.command();
    let mut command = Command::new("unshare");
    command.env("S", home.storage()).args(way);
    command.args(["sh", "-ec", &format!("{commands}\nexec \"$0\" \"$@\"")]);
    command.arg(direct.get_program()).args(direct.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Some(command)
}

/// It runs in memory, and says so.
fn runs_from_memory(daemon: &Daemon, why: &str) {
    wait_for("the storage to be shown", || (daemon.value("proxymeter_store_up") == Some(0.0)).then_some(()));
    let log = daemon.log();
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains(why)), "{log}");
}

#[test]
fn a_read_only_disk_starts_from_memory_and_its_folder_is_still_locked() {
    let home = home();
    fs::create_dir(home.storage()).unwrap();
    const READ_ONLY: &str = "mount --bind \"$S\" \"$S\"; mount -o remount,ro,bind,nosuid,nodev \"$S\"";
    let Some(command) = with_mounts(&home, READ_ONLY) else { return };
    let daemon = Daemon::run(command);
    runs_from_memory(
        &daemon,
        "Read-only file system (os error 30)); until it can, state is kept in memory only",
    );
    // The key of the hashes as well.
    runs_from_memory(
        &daemon,
        "users get other codes, with a key that is kept in memory only until it can be written",
    );
    // Neither another one with the read-only folder, nor one that can write.
    for mut second in [with_mounts(&home, READ_ONLY).unwrap(), home.command()] {
        let Output { status, stderr, .. } = second.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("another proxymeter uses this storage folder"), "{said}");
    }
    daemon.reload();
    assert!(!home.storage().join("hash.key").exists());
}

#[test]
fn a_full_disk_starts_from_memory() {
    let home = home();
    fs::create_dir(home.storage()).unwrap();
    const FULL: &str = "mount -t tmpfs -o size=16k none \"$S\"; head -c 16384 /dev/zero > \"$S/all\"";
    let Some(command) = with_mounts(&home, FULL) else { return };
    let daemon = Daemon::run(command);
    runs_from_memory(&daemon, "until it can, state is kept in memory only");
    runs_from_memory(&daemon, "hash.key: No space left on device (os error 28); users get other codes");
    let log = daemon.log();
    let is_full = |line: &str| line.contains("No space left on device") || line.contains("disk is full");
    let of_database =
        |line: &&str| line.contains("ERROR") && line.contains("proxymeter.db: cannot be written");
    assert!(log.lines().find(of_database).is_some_and(is_full), "{log}");
}

#[test]
fn a_damaged_key_is_renamed() {
    let home = home();
    fs::create_dir(home.storage()).unwrap();
    fs::write(home.storage().join("hash.key"), "short").unwrap();
    let daemon = home.start();
    daemon.metrics();
    let log = daemon.log();
    assert!(log.contains("hash.key: holds 5 bytes instead of 32; it was renamed to "), "{log}");
    let key = fs::read(home.storage().join("hash.key")).unwrap();
    assert_eq!(key.len(), 32);
    daemon.reload();
    assert_eq!(fs::read(home.storage().join("hash.key")).unwrap(), key);
}

/// By a symbolic link, after the lock file was removed, and after the folder was renamed.
#[test]
fn two_processes_never_share_a_folder() {
    let home = home();
    let first = home.start();
    first.metrics();
    let second = |path: &Path| refused(home.command().arg(format!("--storage.path={}", path.display())));
    let link = home.folder().join("link");
    symlink(home.storage(), &link).unwrap();
    for prepare in [|_: &Path| {}, |storage: &Path| fs::remove_file(storage.join("proxymeter.lock")).unwrap()]
    {
        prepare(&home.storage());
        for path in [&home.storage(), &link] {
            let said = second(path);
            assert!(said.starts_with(&format!("{}: another proxymeter uses", path.display())), "{said}");
        }
    }
    let away = home.folder().join("away");
    fs::rename(home.storage(), &away).unwrap();
    assert!(second(&away).contains("another proxymeter uses"));
    wait_for("a new folder", || home.storage().join("proxymeter.db").exists().then_some(()));
}

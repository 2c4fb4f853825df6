//! The program as a service manager meets it: what it is told, and when.

use std::{
    fs,
    net::TcpStream,
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::Duration,
};

use crate::common::listener::free_address;

#[test]
fn a_service_manager_is_told_when_it_listens_that_it_is_well_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hear = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let address = free_address();
    let file = folder.path().join("exporter.toml");
    fs::write(&file, format!("[web]\nlisten = \"{address}\"\n")).unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_proxymeter"))
        .arg(format!("--config.file={}", file.display()))
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("WATCHDOG_USEC", "100000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    let told: Vec<_> = (0..4).map(|_| hear()).collect();
    let reachable = TcpStream::connect(address).is_ok();
    let terminated = Command::new("kill").arg(daemon.id().to_string()).status().unwrap();
    let last = std::iter::repeat_with(hear).find(|told| told != "WATCHDOG=1");
    let ended = daemon.wait().unwrap();

    assert_eq!(told.iter().filter(|state| *state == "READY=1").count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|state| *state == "WATCHDOG=1").count(), 3, "{told:?}");
    assert!(reachable && terminated.success());
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(ended.code(), Some(0));
}

//! The daemon as a whole.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process::Command,
    sync::{Arc, mpsc as blocking},
    thread,
};

use tokio::sync::mpsc;

use super::{Asked, Daemon, Keep};
use crate::{config::Config, dispatch::LAST_ATTEMPT};

#[tokio::test]
async fn every_loop_is_watched() {
    let text = "web.listen = \"127.0.0.1:0\"\n[marzban.home]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n\
                [marzban.edge]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n";
    let config = Config::parse(text, Path::new("exporter.toml"), &|_| None).unwrap();
    let shown = config.shown().to_owned();
    let daemon = Daemon::build(config, "/metrics", Keep::Nothing).await.unwrap();
    assert_eq!(format!("{:?}", daemon.state.beats), r#"["store", "poll edge", "poll home", "alerts"]"#);
    assert_eq!(daemon.state.setup.borrow().config, shown);
}

#[test]
fn a_stop_does_not_wait_for_a_certificate_file_that_hangs() {
    const BEFORE: &str = "web.listen = \"127.0.0.1:0\"\n[webhook.kept]\nurl = \"http://127.0.0.1:9\"\n\
                          [marzban.home]\nurl = \"http://127.0.0.1:9\"\napi_key = \"key\"\n";
    for added in [
        "[marzban.edge]\napi_key = \"key\"\nurl = \"https://127.0.0.1:9\"\n",
        "[webhook.ops]\nurl = \"https://127.0.0.1:9\"\n",
        "[heartbeat]\nurl = \"https://127.0.0.1:9\"\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let parse = |text: &str| Config::parse(text, Path::new("exporter.toml"), &|_| None).unwrap();
        let (ask, mut asks) = mpsc::unbounded_channel();
        let (loaded, is_loaded) = blocking::channel();
        let (end, ended) = blocking::channel();
        let loader = {
            let (file, text) = (file.clone(), format!("{BEFORE}{added}tls.ca_file = {file:?}\n"));
            move |_| {
                fs::write(&file, "").unwrap();
                let config = parse(&text);
                // The configuration was read in time. Now a pipe, which is opened and then not written to.
                fs::remove_file(&file).unwrap();
                assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
                loaded.send(()).unwrap();
                Ok(config)
            }
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(async {
                let daemon = Daemon::build(parse(BEFORE), "/metrics", Keep::Nothing).await.unwrap();
                daemon.run(async || asks.recv().await.unwrap(), Arc::new(loader)).await
            });
            runtime.shutdown_background();
            end.send(outcome).unwrap();
        });
        ask.send(Asked::Reload).unwrap();
        is_loaded.recv().unwrap();
        let _silent = OpenOptions::new().write(true).open(&file).unwrap();
        ask.send(Asked::Stop).unwrap();
        ended.recv_timeout(LAST_ATTEMPT).expect(added).unwrap();
    }
}

//! The daemon as a whole.

use std::path::Path;

use super::{Daemon, Keep};
use crate::config::Config;

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

//! The program is stopped, or loads its configuration again, in the middle of an answer with records: nothing is lost.

use std::time::Duration;

use proxymeter::simulator::cliproxy::{Fault, Options, Times, Traffic};

use crate::common::{
    cliproxy::QUEUE,
    daemon::{Home, wait_for},
    llm::{Proxy, Stored, sums},
};

const RECORDS: u64 = 400;

/// A daemon to which records come slowly: they have left the queue, and take seconds to arrive.
fn in_the_middle() -> (Proxy, Home) {
    let options = Options { traffic: Traffic::None, retention_seconds: 3600, ..Options::default() };
    let proxy = Proxy::start(&options);
    let home = Home::of(&proxy.table("llm", "usage = \"queue\""));
    proxy.attempts(RECORDS);
    let slowly = Fault::SlowDrip { bytes: 20_000, every: Duration::from_millis(100) };
    proxy.wire.fail(&format!("{QUEUE}?count=1"), slowly, Times::Once);
    (proxy, home)
}

fn assert_nothing_lost(proxy: &Proxy, home: &Home) {
    let stored = Stored::of(home);
    assert_eq!((stored.records, stored.gaps, stored.begun), (RECORDS, 0, None));
    assert_eq!((stored.sums[0], stored.sums[7]), (RECORDS, proxy.sent().all().total));
    let daemon = home.start();
    proxy.attempts(1);
    let shown = wait_for("the next records", || {
        let shown = sums(&daemon);
        (shown.get("usage_records_total") > Some(&400.0)).then_some(shown)
    });
    assert_eq!((shown["usage_records_total"], shown["usage_gaps_total"]), (401.0, 0.0));
}

#[test]
fn a_stop_waits_for_records_that_are_on_their_way() {
    let (proxy, home) = in_the_middle();
    let daemon = home.start();
    wait_for("the records to leave the queue", || (proxy.queued() == 0).then_some(()));
    assert_eq!(Stored::of(&home).records, 0);
    let (code, took) = daemon.stop();
    eprintln!("stopped after {took:?}");
    assert_eq!(code, Some(0), "{}", daemon.log());
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(20), "{took:?}");
    assert_nothing_lost(&proxy, &home);
}

#[test]
fn a_reload_waits_for_records_that_are_on_their_way() {
    // The same again, other options of the target, and a table beside it.
    for more in ["", "key_aliases = { \"sk-other\" = \"other\" }", "max_models = 50", "interval = \"7s\""] {
        let (proxy, home) = in_the_middle();
        let daemon = home.start();
        wait_for("the records to leave the queue", || (proxy.queued() == 0).then_some(()));
        let table = proxy.table("llm", &format!("usage = \"queue\"\n{more}"));
        home.configure(&if more.starts_with("interval") {
            table.replacen("interval = \"5s\"\n", "", 1)
        } else {
            table
        });
        daemon.signal("-HUP");
        wait_for("the reload", || daemon.logged_at("the configuration was reloaded"));
        wait_for("the records", || (Stored::of(&home).records == RECORDS).then_some(()));
        assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
        assert_nothing_lost(&proxy, &home);
    }
}

#[test]
fn a_target_that_leaves_the_configuration_keeps_what_it_was_sent() {
    let (proxy, home) = in_the_middle();
    let daemon = home.start();
    wait_for("the records to leave the queue", || (proxy.queued() == 0).then_some(()));
    let other = Proxy::start(&Options { traffic: Traffic::None, ..Options::default() });
    home.configure(&other.table("other", "usage = \"queue\""));
    daemon.signal("-HUP");
    wait_for("the records", || (Stored::of(&home).records == RECORDS).then_some(()));
    home.configure(&proxy.table("llm", "usage = \"queue\""));
    assert_eq!(daemon.stop().0, Some(0), "{}", daemon.log());
    assert_nothing_lost(&proxy, &home);
}

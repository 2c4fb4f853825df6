//! Who is online, whatever a panel's list of them says for a moment.

use proxymeter::{
    model::{Fact, Part, Reason},
    simulator::xui::{Core, Fault, Generation, Times},
};

use super::quirks::Moved;

const NULL: &str = r#"{"success":true,"msg":"","obj":null}"#;
const NONE: &str = r#"{"success":true,"msg":"","obj":[]}"#;
const A: &str = r#"{"success":true,"msg":"","obj":["a"]}"#;

impl Moved {
    /// Answers for the list of users online with this body.
    fn says_online(&self, path: &str, body: &'static str) {
        let fault = Fault::Instead { status: 200, content_type: "application/json", body };
        self.panel.wire.heal();
        self.panel.wire.fail(path, fault, Times::Always);
    }
}

#[tokio::test]
async fn users_stay_online_for_30_seconds_on_panels_whose_lists_flap() {
    for generation in [Generation::Alireza, Generation::V2_6, Generation::V2_8, Generation::V3_0] {
        let mut moved = Moved::of(generation).await;
        assert!(moved.panel.add_client("idle", |_| {}));
        moved.panel.use_traffic("idle", 1, 1);
        moved.panel.advance(0);
        assert!(moved.online().await.contains("idle"), "{generation:?}");
        // In the next ticks, no user is online.
        for (seconds, is_online) in [(15, true), (14, true), (1, false), (30, false)] {
            moved.pass(seconds);
            moved.panel.advance(0);
            assert_eq!(
                moved.online().await.contains("idle"),
                is_online,
                "{generation:?} {:?}",
                moved.passed()
            );
        }
    }
}

#[tokio::test]
async fn null_and_no_names_are_the_same_list() {
    // Of those online, the one of 2.8 stay for 30 seconds after the last list with their names.
    for (generation, path, expected) in [
        (Generation::V2_8, "/panel/api/inbounds/onlines", [1, 1, 1, 0, 0, 1]),
        (Generation::V3_6, "/panel/api/clients/onlines", [1, 0, 0, 0, 0, 1]),
        (Generation::Alireza, "/xui/API/inbounds/onlines", [1, 1, 1, 0, 0, 1]),
    ] {
        let mut moved = Moved::of(generation).await;
        let some = match generation {
            Generation::Alireza => r#"{"success":true,"msg":"","obj":[{"email":"a","ips":{}}]}"#,
            _ => A,
        };
        let mut found = Vec::new();
        for body in [some, NULL, NONE, NULL, NONE, some] {
            moved.says_online(path, body);
            found.push(moved.online().await.len());
            moved.pass(13);
        }
        assert_eq!(found, expected, "{generation:?}");
    }
}

#[tokio::test]
async fn a_core_that_was_just_started_makes_nobody_offline() {
    for generation in [Generation::V2_8, Generation::V3_0] {
        let mut moved = Moved::of(generation).await;
        assert!(moved.panel.add_client("idle", |_| {}));
        moved.panel.use_traffic("idle", 1, 1);
        moved.panel.advance(0);
        assert!(moved.online().await.contains("idle"));
        // As for each user that is switched off: no uptime, and a list of null.
        moved.pass(10);
        moved.panel.start_xray();
        let facts = moved.read(Part::System).await.facts;
        let up = facts.iter().find_map(|fact| match fact {
            Fact::Core(core) => core.up,
            _ => None,
        });
        assert_eq!(up, Some(false), "{generation:?}");
        assert!(moved.read(Part::Online).await.facts.iter().any(|fact| match fact {
            Fact::Online(names) => names.contains("idle"),
            _ => false,
        }));
        moved.pass(10);
        assert!(moved.online().await.contains("idle"), "{generation:?}");

        // One that fails to start is said to run, too, but without a version.
        moved.panel.crash_xray();
        assert!(moved.online().await.is_empty(), "{generation:?}");
        // With one that is stopped, no user is online at once, whatever the list says.
        moved.panel.start_xray();
        // 3.0 loses the first value after a start.
        for _ in 0..2 {
            moved.panel.use_traffic("idle", 1, 1);
            moved.panel.advance(0);
        }
        moved.pass(5);
        assert!(moved.online().await.contains("idle"));
        moved.panel.stop_xray();
        assert!(moved.online().await.is_empty(), "{generation:?}");
    }
}

#[tokio::test]
async fn nobody_is_offline_before_two_lists_in_a_row_lack_the_name() {
    const PATH: &str = "/panel/api/inbounds/onlines";
    let mut moved = Moved::of(Generation::V2_8).await;
    // The usual interval, with its jitter.
    for (seconds, body, is_online) in [
        (0, A, true),
        (29, NONE, true),
        (31, A, true),
        (31, NONE, true),
        (30, A, true),
        (31, NONE, true),
        (29, NONE, false),
        (30, A, true),
        (300, NONE, true),
        (300, NONE, false),
    ] {
        moved.pass(seconds);
        moved.says_online(PATH, body);
        assert_eq!(moved.online().await.contains("a"), is_online, "{:?}", moved.passed());
    }
}

#[tokio::test]
async fn a_list_that_fails_beside_a_core_that_runs_makes_nobody_offline() {
    for (generation, path) in [
        (Generation::V2_8, "/panel/api/inbounds/onlines"),
        (Generation::V3_0, "/panel/api/inbounds/onlines"),
        (Generation::V3_1, "/panel/api/clients/onlines"),
        (Generation::V3_6, "/panel/api/clients/onlines"),
    ] {
        let mut moved = Moved::of(generation).await;
        assert!(!moved.online().await.is_empty(), "{generation:?}");
        moved.panel.wire.fail(path, Fault::Status(500), Times::Always);
        moved.pass(30);
        moved.read(Part::System).await;
        let err = moved.upstream.read(Part::Online, moved.now()).await.unwrap_err();
        assert_eq!(err.reason(), Reason::ServerError, "{generation:?}");
        // A panel that has never started a core fails so, up to 3.2.
        moved.panel.set_core(Core::NeverStarted);
        for _ in 0..3 {
            moved.pass(30);
            moved.read(Part::System).await;
            drop(moved.upstream.read(Part::Online, moved.now()).await);
        }
        match generation {
            Generation::V3_6 => {}
            _ => assert!(moved.online().await.is_empty(), "{generation:?}"),
        }
    }
}

#[tokio::test]
async fn users_of_nodes_stay_online_while_the_core_of_the_panel_is_down() {
    for (generation, path, nodes_count) in [
        (Generation::V2_8, "/panel/api/inbounds/onlines", false),
        (Generation::V3_0, "/panel/api/inbounds/onlines", true),
        (Generation::V3_6, "/panel/api/clients/onlines", true),
    ] {
        let mut moved = Moved::of(generation).await;
        moved.says_online(path, A);
        moved.panel.stop_xray();
        moved.read(Part::System).await;
        if nodes_count {
            moved.read(Part::Nodes).await;
        }
        for _ in 0..2 {
            assert_eq!(moved.online().await.contains("a"), nodes_count, "{generation:?}");
            moved.pass(30);
        }
        // Without them, the list is an old one.
        if nodes_count {
            moved
                .panel
                .edit_nodes(|nodes| nodes.iter_mut().for_each(|node| node.status = "offline".to_owned()));
            moved.read(Part::Nodes).await;
        }
        assert!(moved.online().await.is_empty(), "{generation:?}");
    }
}

#[tokio::test]
async fn an_empty_list_of_3_1_is_none_just_like_null() {
    for body in [NULL, NONE] {
        let mut moved = Moved::of(Generation::V3_1).await;
        moved.says_online("/panel/api/clients/onlines", body);
        assert_eq!(moved.online().await.len(), moved.panel.totals().online, "{body}");
        assert!(moved.panel.totals().online > 0);
    }
}

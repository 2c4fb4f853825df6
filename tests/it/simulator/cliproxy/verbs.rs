//! What the verbs do to the answers.

use proxymeter::simulator::cliproxy::{Attempt, Generation, Options, Outcome, Traffic};
use serde_json::{Value, json};

use super::house::{CLAUDE, House, QUEUE, attempt};

const CODEX: &str = "codex-carol@example.com-plus.json";

fn refused(house: &House, credential: &str, model: &str, status: u16) -> Attempt {
    Attempt { outcome: Outcome::Refused(status), ..attempt(&house.server, credential, model) }
}

#[tokio::test]
async fn the_queue_forgets_what_is_older_than_its_retention() {
    let house = House::of(Generation::V7_2).await;
    let claude = attempt(&house.server, CLAUDE, "m");
    (0..5).for_each(|_| assert!(house.server.attempt(&claude)));
    house.pass(40_000);
    (0..5).for_each(|_| assert!(house.server.attempt(&claude)));
    house.pass(24_000);
    assert_eq!(house.pop(100).await.len(), 5);
    assert_eq!((house.server.unseen().expired, house.server.queued()), (5, 0));
    assert_eq!(house.pop(100).await.len(), 0);
}

#[tokio::test]
async fn records_go_to_another_reader_or_are_lost() {
    let house = House::of(Generation::V8_0).await;
    house.server.attempts(100);
    let recorded = house.server.recorded().all().attempts;
    assert_eq!(house.server.steal_queue(), recorded);
    house.server.set_other_reader(100);
    house.server.attempts(100);
    assert_eq!(house.server.queued(), 0);
    house.server.set_other_reader(0);
    house.server.attempts(100);
    let queued = house.server.queued();
    // An empty answer and a probe are not lost.
    house.server.lose_next_pop();
    assert_eq!(house.get(&format!("{QUEUE}?count=0")).await.status, 400);
    let key = [("authorization", "Bearer management-key")];
    let path = "/v8/management/observability/usage/queue?count=30";
    assert!(house.try_ask("GET", path, &key).await.is_none());
    assert_eq!(house.server.queued(), queued - 30);
    assert_eq!(house.json(path).await.as_array().map(Vec::len), Some(30));
    let (unseen, pops) = (house.server.unseen(), house.server.pops());
    assert_eq!((unseen.lost, unseen.dropped), (30, 0));
    assert_eq!(
        pops.iter().map(|pop| (pop.sent, pop.sums.attempts)).collect::<Vec<_>>(),
        [(false, 30), (true, 30)]
    );
    assert_eq!(pops[1].sums, house.server.sent().all());
    house.server.restart();
    assert_eq!(house.server.unseen().dropped, u64::try_from(queued - 60).unwrap());
    assert_eq!(house.json(path).await, json!([]));
}

#[tokio::test]
async fn statistics_that_are_off_keep_the_counters() {
    for generation in [Generation::V6_9, Generation::V7_2] {
        let house = House::of(generation).await;
        assert!(house.server.attempt(&attempt(&house.server, CLAUDE, "m")));
        house.server.set_statistics(false);
        assert!(house.server.attempt(&attempt(&house.server, CLAUDE, "m")));
        assert_eq!(house.file(CLAUDE).await["success"], 2);
        assert_eq!(house.server.unseen().switched_off, 1);
        let seen = match generation {
            Generation::V6_9 => house.json("/v0/management/usage").await["usage"]["total_requests"].take(),
            _ => json!(house.pop(9).await.len()),
        };
        assert_eq!(seen, 1, "what was there stays");
    }
}

#[tokio::test]
async fn a_snapshot_begins_at_0_after_a_restart_and_jumps_after_an_import() {
    let options = Options {
        generation: Generation::V6_9,
        details_cap: Some(20),
        traffic: Traffic::None,
        ..Options::default()
    };
    let house = House::open(options).await;
    let usage = async || house.json("/v0/management/usage").await["usage"].take();
    house.server.attempts(500);
    assert_eq!(usage().await["total_requests"], house.server.recorded().all().attempts);
    house.server.restart();
    assert_eq!(usage().await["total_requests"], 0);
    house.server.attempts(1);
    house.server.import_usage(1_000, 86_400_000);
    let usage = usage().await;
    assert_eq!(usage["total_requests"], 1_001);
    assert_eq!(usage["requests_by_day"].as_object().map(|days| days.len()), Some(2));
    let models = usage["apis"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|api| api["models"].as_object().unwrap().values());
    let lengths: Vec<usize> = models.map(|model| model["details"].as_array().unwrap().len()).collect();
    assert!(lengths.iter().all(|length| *length <= 20) && lengths.contains(&20), "{lengths:?}");
}

#[tokio::test]
async fn numbers_of_credentials_move_at_a_restart_and_hashes_stay() {
    for (generation, moves) in [(Generation::V6_6, true), (Generation::V6_9, false)] {
        let house = House::of(generation).await;
        let indexes = || {
            let names = house.server.credentials().into_iter().map(|credential| credential.name);
            names.map(|name| house.server.auth_index(&name).unwrap()).collect::<Vec<_>>()
        };
        let before = indexes();
        assert_eq!(before.contains(&"0".to_owned()), moves);
        let shown = house.file(CLAUDE).await["auth_index"].take();
        assert_eq!(shown.is_number(), moves);
        house.server.restart();
        assert_eq!(indexes() != before, moves, "{generation:?}");
    }
}

#[tokio::test]
async fn counters_begin_at_0_when_a_key_or_file_is_put_back() {
    let house = House::of(Generation::V7_2).await;
    let key = house.server.credentials().into_iter().find(|known| known.provider == "gemini").unwrap().name;
    for credential in [CLAUDE, &key] {
        assert!(house.server.attempt(&attempt(&house.server, credential, "m")));
        assert!(house.server.count_without_record(credential));
    }
    let of_key = async || {
        let mut usage = house.json("/v0/management/api-key-usage").await;
        let (path, counters) = usage["gemini"].as_object_mut().unwrap().iter_mut().next().unwrap();
        (path.clone(), counters["success"].take())
    };
    assert_eq!((house.file(CLAUDE).await["success"].clone(), of_key().await.1), (json!(2), json!(2)));
    let index = house.server.auth_index(&key);
    assert!(house.server.put_back(CLAUDE) && house.server.put_back(&key));
    assert_eq!((house.file(CLAUDE).await["success"].clone(), of_key().await.1), (json!(0), json!(0)));
    assert_eq!(house.server.auth_index(&key), index);
    assert!(house.server.set_base_url(&key, "https://other.example"));
    assert_eq!(of_key().await.0, format!("https://other.example|{key}"));
    assert_ne!(house.server.auth_index(&key), index);
    assert!(house.server.remove_key(&key).is_some() && house.server.remove_key(&key).is_none());
    assert_eq!(house.json("/v0/management/api-key-usage").await.get("gemini"), None);
    // Its records are still there.
    assert_eq!(house.pop(9).await.len(), 2);
}

#[tokio::test]
async fn a_cooldown_is_shown_hidden_and_forgotten() {
    for generation in [Generation::V7_2, Generation::V7_3] {
        let house = House::of(generation).await;
        assert!(house.server.attempt(&refused(&house, CLAUDE, "opus", 500)));
        let file = house.file(CLAUDE).await;
        assert_eq!((&file["status"], &file["unavailable"]), (&json!("error"), &json!(true)));
        assert!(file["next_retry_after"].is_string());
        assert!(file["status_message"].as_str().unwrap().ends_with("}\n"));
        let cooldown = file.pointer("/cooldowns/0/reason").cloned();
        let shown = (generation == Generation::V7_3).then(|| json!("transient_error"));
        assert_eq!(cooldown, shown);
        house.pass(61_000);
        let file = house.file(CLAUDE).await;
        assert_eq!(file["unavailable"], generation == Generation::V7_2, "stale before 7.3.7");
        assert!(house.server.attempt(&refused(&house, CLAUDE, "opus", 500)));
        assert!(house.server.attempt(&attempt(&house.server, CLAUDE, "sonnet")));
        let file = house.file(CLAUDE).await;
        assert_eq!((&file["status"], &file["unavailable"]), (&json!("error"), &json!(false)));
        house.server.rewrite_auth_files();
        let file = house.file(CLAUDE).await;
        assert_eq!((&file["status"], &file["status_message"]), (&json!("active"), &json!("")));
        assert_eq!((&file["success"], &file["failed"]), (&json!(1), &json!(2)));
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_said_everywhere() {
    let house = House::of(Generation::V7_3).await;
    assert!(house.server.exhaust(CODEX) && !house.server.exhaust("kimi-dora.json"));
    assert!(house.server.attempt(&refused(&house, CODEX, "gpt-5.1", 429)));
    let file = house.file(CODEX).await;
    assert_eq!(file["cooldowns"][0]["reason"], "credential_quota");
    assert_eq!(file["cooldowns"][1]["model_key"], "gpt-5.1");
    assert_eq!(file["cooldowns"][0]["remaining_seconds"], 25 * 60);
    assert_eq!(file["quota"]["signals"]["X-Codex-Primary-Used-Percent"], "100");
    let record = house.pop(1).await.remove(0);
    assert_eq!(record["response_headers"]["X-Codex-Primary-Used-Percent"], json!(["100"]));
    assert_eq!(record["response_headers"]["X-Codex-Primary-Window-Minutes"], json!(["300"]));
    let body: Value = serde_json::from_str(record["fail"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["error"]["type"], "usage_limit_reached");
    house.pass(25 * 60_000);
    assert_eq!(house.file(CODEX).await["status"], "active");
}

#[tokio::test]
async fn hang_ups_are_recorded_and_counted_in_different_ways() {
    let house = House::of(Generation::V7_2).await;
    for outcome in [Outcome::HungUp, Outcome::HungUpMidStream, Outcome::Success] {
        let attempt = Attempt { outcome, ..attempt(&house.server, CLAUDE, "m") };
        assert!(house.server.attempt(&attempt));
    }
    let file = house.file(CLAUDE).await;
    assert_eq!((&file["success"], &file["failed"]), (&json!(1), &json!(1)));
    let statuses: Vec<_> =
        house.pop(9).await.iter().map(|record| record["fail"]["status_code"].clone()).collect();
    assert_eq!(statuses, [499, 499, 200]);
    let sums = house.server.sent().all();
    assert_eq!((sums.attempts, sums.failed, sums.input), (3, 2, 100));
}

#[tokio::test]
async fn a_file_without_an_address_shows_the_key_of_its_caller() {
    let house = House::of(Generation::V7_2).await;
    let mut kimi = attempt(&house.server, "kimi-dora.json", "kimi-k2.5");
    assert!(house.server.attempt(&kimi));
    kimi.client.clear();
    assert!(house.server.attempt(&kimi));
    let records = house.pop(9).await;
    assert_eq!(records[0]["source"], records[0]["api_key"]);
    assert_eq!((&records[1]["source"], &records[1]["api_key"]), (&json!(""), &json!("")));
}

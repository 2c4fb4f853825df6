//! Records from the queue: each is counted once, and what may have been lost shows.

use std::sync::{Arc, Mutex};

use proxymeter::{
    model::{Cooldown, CooldownReason, LlmMode, Part, Reason},
    simulator::cliproxy::{Attempt, Fault, Generation, Options, Outcome, Times, Traffic},
    upstream::{Pace, cliproxy::config::UsageSetting},
};

use crate::common::{
    cliproxy::{Driver, KEY, QUEUE, Recorded, Simulated, config},
    server::{Answer, Server},
};

const QUEUES: [Generation; 4] = [Generation::V6_10, Generation::V7_2, Generation::V7_3, Generation::V8_0];

const KEY_USAGE: [&str; 2] = ["/v0/management/api-key-usage", "/v8/management/observability/usage/api-keys"];

#[tokio::test]
async fn records_are_taken_until_there_are_none_and_only_while_that_is_configured() {
    for generation in QUEUES {
        let mut simulated = Simulated::of(generation, UsageSetting::Queue).await;
        simulated.server.attempts(2500);
        simulated.driver.read_all().await;
        assert_eq!((simulated.counted(), simulated.server.queued()), (2500, 0), "{generation:?}");
        assert_eq!(simulated.driver.report.llm_usage.records, 2500);
        let batches: Vec<_> = simulated.server.pops().iter().map(|pop| pop.sums.attempts).collect();
        assert_eq!(batches, [1000, 1000, 500]);
        let state = simulated.driver.report.llm_state.unwrap();
        assert_eq!((state.mode, state.enabled), (LlmMode::Queue, Some(true)));
        for usage in [UsageSetting::Auto, UsageSetting::Off] {
            let mut simulated = Simulated::of(generation, usage).await;
            simulated.server.attempts(10);
            for _ in 0..3 {
                simulated.driver.read_all().await;
            }
            assert_eq!((simulated.server.queued(), simulated.counted()), (10, 0), "{generation:?} {usage:?}");
            assert_eq!(simulated.driver.report.llm_state.unwrap().mode, LlmMode::Off);
        }
    }
}

#[tokio::test]
async fn the_pace_follows_the_retention() {
    for (generation, seconds, expected) in [
        (Generation::V7_2, 60, 15),
        (Generation::V7_2, 20, 5),
        (Generation::V8_0, 600, 150),
        (Generation::V6_10, 9, 2),
    ] {
        let options = Options {
            generation,
            key: KEY.to_owned(),
            traffic: Traffic::None,
            retention_seconds: seconds,
            ..Options::default()
        };
        let mut simulated = Simulated::open(&options, UsageSetting::Queue).await;
        simulated.driver.read(Part::Credentials).await.unwrap();
        let plan = simulated.driver.upstream.plan();
        let Pace::Within(pace) = plan[1].pace else { panic!("{plan:?}") };
        assert_eq!((plan[1].part, pace.as_secs()), (Part::Usage, expected), "{generation:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_and_a_late_poll_are_gaps() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
    let gaps = |simulated: &Simulated| simulated.driver.report.llm_usage.gaps;
    simulated.driver.read_all().await;
    simulated.server.attempts(50);
    simulated.server.lose_next_pop();
    let err = simulated.driver.read(Part::Usage).await.unwrap_err();
    assert_eq!(err.reason(), Reason::Interrupted);
    assert_eq!(simulated.server.unseen().lost, 50, "it was sent once");
    // It shows with the next poll of anything.
    simulated.driver.read(Part::Credentials).await.unwrap();
    assert_eq!(gaps(&simulated), 1);
    simulated.driver.read(Part::Usage).await.unwrap();
    assert_eq!((gaps(&simulated), simulated.counted()), (1, 0));
    simulated.pass(61);
    simulated.driver.read_all().await;
    assert_eq!(gaps(&simulated), 2);
    // Also if no process ran meanwhile.
    simulated.pass(30);
    simulated.driver.read_all().await;
    simulated.pass(120);
    simulated.restart();
    simulated.driver.read_all().await;
    assert_eq!(gaps(&simulated), 3);
    simulated.pass(30);
    simulated.restart();
    simulated.driver.read_all().await;
    assert_eq!(gaps(&simulated), 3);
}

#[tokio::test]
async fn a_restart_of_the_server_is_a_gap_and_a_credential_that_is_put_back_is_none() {
    for generation in QUEUES {
        let mut simulated = Simulated::of(generation, UsageSetting::Queue).await;
        let gaps = |simulated: &Simulated| simulated.driver.report.llm_usage.gaps;
        let names: Vec<_> = simulated.server.credentials().into_iter().map(|known| known.name).collect();
        simulated.server.attempts(300);
        simulated.driver.read_all().await;
        for name in &names {
            assert!(simulated.server.put_back(name));
            simulated.server.attempts(300);
            simulated.driver.read_all().await;
            simulated.pass(15);
        }
        assert_eq!(gaps(&simulated), 0, "{generation:?}");
        // Counters of keys that come later than those of files fall then, and show the same restart.
        for fails in [false, true] {
            let before = gaps(&simulated);
            simulated.server.attempts(300);
            simulated.driver.read_all().await;
            simulated.server.attempts(10);
            simulated.server.restart();
            if fails {
                simulated.server.wire.fail(
                    KEY_USAGE[usize::from(generation == Generation::V8_0)],
                    Fault::Status(503),
                    Times::Once,
                );
            }
            for _ in 0..3 {
                simulated.driver.read_all().await;
                simulated.server.attempts(10);
                simulated.pass(15);
            }
            assert_eq!(gaps(&simulated), before + 1, "{generation:?} {fails}");
        }
        // The server is away for longer than it keeps records, which shows in either order.
        for part in [Part::Credentials, Part::Usage] {
            let before = gaps(&simulated);
            simulated.server.attempts(300);
            simulated.driver.read_all().await;
            simulated.server.restart();
            simulated.pass(120);
            simulated.driver.read(part).await.unwrap();
            simulated.driver.read_all().await;
            simulated.pass(15);
            simulated.driver.read_all().await;
            assert_eq!(gaps(&simulated), before + 1, "{generation:?} {part:?}");
        }
    }
}

#[tokio::test]
async fn a_process_that_ends_while_it_takes_records_leaves_one_gap() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
    simulated.server.attempts(10);
    simulated.driver.read_all().await;
    simulated.server.attempts(10);
    // Killed after the request was announced.
    simulated.driver.announce(Part::Usage);
    simulated.restart();
    simulated.driver.read_all().await;
    let usage = &simulated.driver.report.llm_usage;
    assert_eq!((usage.gaps, simulated.counted()), (1, 20));
    simulated.restart();
    simulated.driver.read_all().await;
    assert_eq!((simulated.driver.report.llm_usage.gaps, simulated.counted()), (1, 20));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_no_lost_answer() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
    simulated.driver.read_all().await;
    simulated.server.wire.fail(QUEUE, Fault::Status(403), Times::Once);
    simulated.driver.read(Part::Usage).await.unwrap_err();
    simulated.driver.read_all().await;
    assert_eq!(simulated.driver.report.llm_usage.gaps, 0);
    simulated.server.wire.fail(QUEUE, Fault::Status(502), Times::Once);
    simulated.driver.read(Part::Usage).await.unwrap_err();
    simulated.driver.read_all().await;
    assert_eq!(simulated.driver.report.llm_usage.gaps, 1, "a proxy in front may have lost it");
}

#[tokio::test]
async fn switching_the_management_off_is_a_gap() {
    // What finds it first, and whether the other does too.
    for (first, finds_both) in
        [(Part::Usage, false), (Part::Usage, true), (Part::Credentials, false), (Part::Credentials, true)]
    {
        let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
        simulated.driver.read_all().await;
        simulated.server.attempts(10);
        simulated.server.set_management(false);
        let second = if first == Part::Usage { Part::Credentials } else { Part::Usage };
        for part in [first, second].into_iter().take(1 + usize::from(finds_both)) {
            simulated.driver.read(part).await.unwrap_err();
        }
        simulated.server.set_management(true);
        for _ in 0..3 {
            simulated.pass(15);
            simulated.driver.read_all().await;
        }
        assert_eq!(simulated.driver.report.llm_usage.gaps, 1, "{first:?} {finds_both}");
    }
}

#[tokio::test]
async fn a_proxy_that_fails_for_a_while_is_one_gap() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
    simulated.driver.read_all().await;
    simulated.server.wire.fail(QUEUE, Fault::Status(502), Times::Always);
    for _ in 0..40 {
        simulated.pass(15);
        simulated.driver.read(Part::Credentials).await.unwrap();
        simulated.driver.read(Part::Usage).await.unwrap_err();
    }
    simulated.server.wire.heal();
    for _ in 0..3 {
        simulated.pass(15);
        simulated.driver.read_all().await;
    }
    assert_eq!(simulated.driver.report.llm_usage.gaps, 1);
}

#[tokio::test]
async fn batches_are_small_after_one_that_was_too_large_until_the_queue_is_empty() {
    let recorded = Recorded::of("7.2.140");
    let counts = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&counts);
    let server = Server::start(move |request| match request.number("count").filter(|count| *count > 0) {
        Some(count) => {
            asked.lock().unwrap().push(count);
            match asked.lock().unwrap().len() {
                1 => Answer::json(" ".repeat(65 * 1024 * 1024)),
                2 => Answer::json(format!("[{}1]", "1,".repeat(99))),
                _ => Answer::json("[]"),
            }
        }
        None => recorded.answer(request),
    });
    let mut driver = Driver::new(&config(&server.url(), UsageSetting::Queue));
    driver.read(Part::Credentials).await.unwrap();
    driver.read(Part::Usage).await.unwrap_err();
    driver.read(Part::Usage).await.unwrap();
    driver.read(Part::Usage).await.unwrap();
    assert_eq!(*counts.lock().unwrap(), [1000, 100, 100, 1000]);
    assert_eq!(driver.report.llm_usage.gaps, 1);
}

#[tokio::test]
async fn another_reader_is_noticed() {
    for percent in [50, 100] {
        let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
        simulated.driver.read_all().await;
        simulated.server.set_other_reader(percent);
        for _ in 0..40 {
            simulated.server.attempts(30);
            simulated.pass(15);
            simulated.driver.read_all().await;
        }
        let (usage, stolen) = (&simulated.driver.report.llm_usage, simulated.server.unseen().stolen);
        // What comes counts in favour of there being no other reader.
        assert!(
            usage.bypassed * 10 > stolen * 4 && usage.bypassed <= stolen,
            "{} of {stolen}",
            usage.bypassed
        );
        assert_eq!(usage.gaps, 0);
    }
}

#[tokio::test]
async fn differences_by_design_are_no_other_reader() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
    let names: Vec<_> = simulated.server.credentials().into_iter().map(|known| known.name).collect();
    for round in 0..60 {
        simulated.server.attempts(20);
        // Tokens are counted for one call of five, keys are put back, and the server restarts.
        (0..5).for_each(|_| assert!(simulated.server.count_without_record(&names[0])));
        if round % 7 == 0 {
            simulated.server.put_back(&names[round % names.len()]);
        }
        simulated.driver.read_all().await;
        simulated.pass(15);
        if round == 30 {
            simulated.server.restart();
        }
    }
    simulated.server.set_statistics(false);
    for _ in 0..20 {
        simulated.server.attempts(50);
        simulated.driver.read_all().await;
        simulated.pass(15);
    }
    assert_eq!(simulated.driver.report.llm_usage.bypassed, 0);
    assert_eq!(simulated.driver.report.llm_state.unwrap().enabled, Some(false));
}

#[tokio::test]
async fn a_server_without_a_queue_says_so() {
    for generation in [Generation::V6_9, Generation::V6_10_0] {
        let mut simulated = Simulated::of(generation, UsageSetting::Queue).await;
        simulated.driver.read(Part::Credentials).await.unwrap();
        let err = simulated.driver.read(Part::Usage).await.unwrap_err();
        assert_eq!(err.reason(), Reason::NotFound);
        assert!(err.to_string().contains("6.10.0 to 6.10.7"), "{err}");
        let queued = simulated.server.wire.requests_to("/v0/management/usage-queue");
        assert_eq!(queued, 1, "only the probe");
        // Found when the server is upgraded.
        simulated.server.upgrade(Generation::V7_2);
        simulated.server.attempts(5);
        simulated.driver.read_all().await;
        assert_eq!(simulated.counted(), 5);
    }
}

#[tokio::test]
async fn another_version_is_read_by_its_own_routes() {
    let (old, new) = ("/v0/management/", "/v8/management/");
    for (from, to, base, generation) in [
        (Generation::V7_2, Generation::V8_0, new, "8.0"),
        (Generation::V8_0, Generation::V7_2, old, "7.2"),
        (Generation::V7_2, Generation::V7_3, old, "7.3"),
    ] {
        let mut simulated = Simulated::of(from, UsageSetting::Queue).await;
        simulated.driver.read_all().await;
        simulated.server.upgrade(to);
        simulated.driver.read_all().await;
        assert_eq!(simulated.driver.report.identity.as_ref().unwrap().generation, generation);
        simulated.server.wire.forget_requests();
        simulated.server.attempts(7);
        simulated.driver.read_all().await;
        assert_eq!(simulated.counted(), 7, "{from:?} {to:?}");
        let requests = simulated.server.wire.requests();
        assert!(requests.iter().all(|request| request.target.starts_with(base)), "{requests:?}");
    }
}

#[tokio::test]
async fn records_are_taken_whatever_else_fails() {
    for path in ["/v0/management/auth-files", "/v0/management/api-key-usage", "/v0/management/config"] {
        let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
        simulated.server.wire.fail(path, Fault::Status(503), Times::Always);
        simulated.server.attempts(30);
        let credentials = simulated.driver.read(Part::Credentials).await;
        assert_eq!(credentials.is_err(), path.ends_with("auth-files"), "{path}");
        simulated.driver.read(Part::Usage).await.unwrap();
        assert_eq!((simulated.counted(), simulated.server.queued()), (30, 0), "{path}");
    }
}

#[tokio::test]
async fn keys_stay_while_their_counters_cannot_be_read() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
    simulated.driver.read_all().await;
    let known = simulated.driver.report.credentials.len();
    simulated.server.wire.fail("/v0/management/api-key-usage", Fault::Status(503), Times::Always);
    simulated.driver.read(Part::Credentials).await.unwrap();
    assert_eq!(simulated.driver.report.credentials.len(), known);
}

/// The model, the reason, and the seconds from now of each cooldown of a credential.
type Cooldowns = Vec<(String, CooldownReason, i64)>;

/// What is shown of the cooldowns of a file and of a key after the same failures of both.
async fn cooldowns(generation: Generation) -> Vec<Cooldowns> {
    let mut simulated = Simulated::of(generation, UsageSetting::Queue).await;
    simulated.driver.read_all().await;
    let known = simulated.server.credentials();
    let names = ["@", "sk-"].map(|sign| {
        let named = known.iter().find(|known| known.provider == "claude" && known.name.contains(sign));
        named.unwrap_or_else(|| panic!("no {sign}")).name.clone()
    });
    for credential in names {
        let mut attempt = Attempt {
            client: simulated.server.client_keys().remove(0),
            credential,
            latency_ms: 2000,
            ..Attempt::default()
        };
        for status in [401, 402, 403, 404, 408, 500, 503] {
            attempt.model = format!("model-{status}");
            attempt.outcome = Outcome::Refused(status);
            assert!(simulated.server.attempt(&attempt));
        }
        // It hides the others in the list of files.
        (attempt.model, attempt.outcome) = ("model-200".to_owned(), Outcome::Success);
        assert!(simulated.server.attempt(&attempt));
    }
    // The records come later than the failures.
    simulated.pass(10);
    simulated.driver.read_all().await;
    simulated.driver.read(Part::Credentials).await.unwrap();
    let now = simulated.driver.now.wall.as_secs();
    let credentials = simulated.driver.report.credentials.iter();
    let cooldowns = credentials.map(|credential| {
        let cooldowns = credential.cooldowns.iter();
        let cooldowns = cooldowns.map(|Cooldown { model, reason, until }| {
            (model.as_deref().unwrap_or_default().to_owned(), *reason, until.as_secs() - now)
        });
        cooldowns.collect::<Cooldowns>()
    });
    cooldowns.filter(|cooldowns| !cooldowns.is_empty()).collect()
}

#[tokio::test]
async fn cooldowns_are_those_that_later_servers_list() {
    let expected = [
        ("model-401", CooldownReason::Unauthorized, 1790),
        ("model-402", CooldownReason::PaymentRequired, 1790),
        ("model-403", CooldownReason::PaymentRequired, 1790),
        ("model-404", CooldownReason::NotFound, 43_190),
        ("model-408", CooldownReason::TransientError, 50),
        ("model-500", CooldownReason::TransientError, 50),
        ("model-503", CooldownReason::TransientError, 50),
    ];
    let expected = expected.map(|(model, reason, secs)| (model.to_owned(), reason, secs));
    for generation in [Generation::V7_2, Generation::V7_3] {
        assert_eq!(cooldowns(generation).await, [expected.to_vec(), expected.to_vec()], "{generation:?}");
    }
    assert!(cooldowns(Generation::V6_10).await.is_empty(), "its records have no status");
}

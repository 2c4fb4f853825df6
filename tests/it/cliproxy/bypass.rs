//! Another reader of the queue shows in a counter of its own, and what only looks like one does not.

use proxymeter::{
    model::Part,
    simulator::cliproxy::{Attempt, Generation, Outcome},
    upstream::cliproxy::config::UsageSetting,
};

use crate::common::cliproxy::Simulated;

const QUEUES: [Generation; 2] = [Generation::V6_10, Generation::V8_0];
const ROUNDS: u64 = 50;

/// Lets something happen before each poll. Returns the attempts that were found to have bypassed, those that did, and the
/// gaps.
async fn poll(generation: Generation, mut happens: impl FnMut(&Simulated, u64)) -> (u64, u64, u64) {
    let mut simulated = Simulated::of(generation, UsageSetting::Queue).await;
    simulated.driver.read_all().await;
    for round in 0..ROUNDS {
        if round % 20 == 10 {
            simulated.restart();
        }
        happens(&simulated, round);
        simulated.pass(15);
        simulated.driver.read_all().await;
    }
    let usage = &simulated.driver.report.llm_usage;
    (usage.bypassed, simulated.server.unseen().stolen, usage.gaps)
}

#[tokio::test]
async fn attempts_that_another_reader_has_the_records_of_are_counted() {
    type Happens = fn(&Simulated, u64);
    let readers: [(&str, Happens); 4] = [
        ("takes half of them", |simulated, round| {
            if round == 0 {
                simulated.server.set_other_reader(50);
            }
            simulated.server.attempts(60);
        }),
        ("subscribes to all", |simulated, round| {
            if round == 0 {
                simulated.server.set_other_reader(100);
            }
            simulated.server.attempts(10);
        }),
        ("polls as often", |simulated, round| {
            simulated.server.attempts(40);
            if round % 2 == 0 {
                simulated.server.steal_queue();
            }
        }),
        ("comes first each time", |simulated, _| {
            simulated.server.attempts(40);
            simulated.server.steal_queue();
        }),
    ];
    let mut wrong = Vec::new();
    for generation in QUEUES {
        for (reader, happens) in readers {
            let (found, stolen, gaps) = poll(generation, happens).await;
            assert_eq!(gaps, 0, "{generation:?} {reader}");
            eprintln!("{generation:?}: a reader that {reader} has {stolen}, found {found}");
            let is_about = found * 100 >= stolen * 50 && found * 100 <= stolen * 105;
            wrong.extend((!is_about).then_some((generation, reader)));
        }
    }
    // A comparison takes some polls, each restart begins one, and its doubts count in favour of the records.
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn what_only_looks_like_another_reader_is_none() {
    type Happens = fn(&Simulated, u64);
    let others: [(&str, Happens); 9] = [
        ("nothing", |simulated, _| simulated.server.attempts(20)),
        ("tokens are counted", |simulated, _| {
            simulated.server.attempts(40);
            let credentials = simulated.server.credentials();
            for credential in credentials.iter().filter(|known| known.provider == "claude").take(3) {
                (0..4).for_each(|_| assert!(simulated.server.count_without_record(&credential.name)));
            }
        }),
        ("tokens are counted for each message", |simulated, _| {
            for credential in simulated.server.credentials().iter().filter(|known| known.provider == "claude")
            {
                for _ in 0..20 {
                    assert!(simulated.server.count_without_record(&credential.name));
                    assert!(simulated.server.attempt(&Attempt {
                        client: simulated.server.client_keys().remove(0),
                        credential: credential.name.clone(),
                        model: "model".to_owned(),
                        ..Attempt::default()
                    }));
                }
            }
        }),
        ("clients hang up", |simulated, round| {
            simulated.server.attempts(10);
            for credential in simulated.server.credentials() {
                for outcome in [Outcome::HungUp, Outcome::HungUpMidStream] {
                    let attempt = Attempt {
                        client: simulated.server.client_keys().remove(0),
                        credential: credential.name.clone(),
                        model: format!("model-{}", round % 3),
                        outcome,
                        ..Attempt::default()
                    };
                    assert!(simulated.server.attempt(&attempt));
                }
            }
        }),
        ("files are rewritten", |simulated, _| {
            simulated.server.attempts(20);
            simulated.server.rewrite_auth_files();
        }),
        ("keys and files are put back", |simulated, round| {
            simulated.server.attempts(20);
            let names = simulated.server.credentials();
            let at = usize::try_from(round).unwrap() % names.len();
            assert!(simulated.server.put_back(&names[at].name));
            simulated.server.attempts(20);
        }),
        ("a key is away for a while", |simulated, round| {
            simulated.server.attempts(20);
            if round % 10 == 3 {
                let name = simulated.server.credentials().remove(0).name;
                let removed = simulated.server.remove_key(&name).unwrap();
                simulated.server.attempts(20);
                assert!(simulated.server.add_credential(removed));
                assert!(simulated.server.put_back(&name));
            }
        }),
        ("statistics are off", |simulated, round| {
            simulated.server.set_statistics(round % 20 < 10);
            simulated.server.attempts(50);
        }),
        ("the server restarts", |simulated, round| {
            simulated.server.attempts(20);
            if round % 5 == 4 {
                simulated.server.restart();
                simulated.server.attempts(20);
            }
        }),
    ];
    let mut wrong = Vec::new();
    for generation in QUEUES {
        for (what, happens) in others {
            let (found, _, gaps) = poll(generation, happens).await;
            // What was in the queue is lost. It does not show if a counter has passed its former value when it is read.
            let expected = if what == "the server restarts" { ROUNDS / 5 - 1..=ROUNDS / 5 } else { 0..=0 };
            wrong.extend((found > 0 || !expected.contains(&gaps)).then_some((generation, what, found, gaps)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn attempts_without_statistics_do_not_count_later() {
    let mut simulated = Simulated::of(Generation::V7_2, UsageSetting::Queue).await;
    for round in 0..30 {
        // The switch is found before and after some attempts.
        simulated.server.attempts(10);
        simulated.server.set_statistics(round % 3 != 1);
        simulated.server.attempts(10);
        simulated.driver.read(Part::Credentials).await.unwrap();
        simulated.server.attempts(10);
        simulated.driver.read_all().await;
        simulated.pass(15);
    }
    assert_eq!(simulated.driver.report.llm_usage.bypassed, 0);
}

//! Every answer that a client polls may be wrong in every place, and costs only what it concerns. Recorded answers are
//! mutated, polled by the real client, and rendered; the series that this costs are held against rules, not against
//! lists. What mutations do to counters over time is in [`counters`]. See [`system`] for what a later system adds.
//!
//! `MUTATIONS` is the number of random combinations, `FIRST` the first seed, and `MUTATION_SAMPLES` a folder that some
//! of the expositions are written to.

mod counters;
mod document;
mod lanes;
mod mutations;
mod system;
mod systems;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    process::Command,
    sync::{Arc, Mutex},
};

use fastrand::Rng;

use document::Edit;
use mutations::{Cost, FAILURE, Mutation};
use system::System;
use verdict::{Baseline, Known, Loss};

/// Random combinations of each system, if `MUTATIONS` does not say.
const COMBINED: u64 = 200;
/// Places that are printed; the others are counted.
const PRINTED: usize = 100;
/// How much the peak of memory may grow over all mutations, in KiB. It grows by 3 to 15 MiB, mostly for the results that
/// are judged at the end. Of 4,000 polls that read 130 KiB of users each, one in eight that kept its answer would exceed
/// this.
const GROWTH: u64 = 64 * 1024;

#[test]
fn marzban_loses_only_what_a_mutation_concerns() {
    apart("mutation::marzban_loses_only_what_a_mutation_concerns", systems::marzban);
}

#[test]
fn pasarguard_loses_only_what_a_mutation_concerns() {
    apart("mutation::pasarguard_loses_only_what_a_mutation_concerns", systems::pasarguard);
}

#[test]
fn xui_loses_only_what_a_mutation_concerns() {
    apart("mutation::xui_loses_only_what_a_mutation_concerns", systems::xui);
}

/// Runs the test again in a process of its own, as the memory that is measured is that of the process.
fn apart(test: &str, systems: fn() -> Vec<System>) {
    const INSIDE: &str = "MUTATION_APART";
    if env::var_os(INSIDE).is_some() {
        return check(systems());
    }
    let mut itself = Command::new(env::current_exe().unwrap());
    let ran = itself
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    eprint!("{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{test} failed, see above");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("test result: ok. 1 passed; 0 failed;"), "not the one test {test}: {said}");
}

fn check(systems: Vec<System>) {
    let systems: Vec<_> = systems.into_iter().map(Arc::new).collect();
    let described: BTreeSet<_> =
        systems.iter().flat_map(|system| &system.polled).map(|polled| polled.path).collect();
    let (mut wrong, mut failed) = (Vec::new(), 0);
    for system in &systems {
        let (requests, polled) = lanes::unmutated(system);
        let asked: BTreeSet<_> = requests.iter().map(|request| request.path().to_owned()).collect();
        let is_known = |path: &str| described.contains(path) || system.absent.contains(&path);
        let strange: Vec<_> = asked.iter().filter(|path| !is_known(path)).collect();
        assert!(strange.is_empty(), "{}: describe {strange:?}", system.name);
        let rows = system.polled.iter().filter_map(|polled| polled.rows).map(|rows| rows.label);
        let mut run = Run {
            system,
            baseline: Baseline::new(polled.unwrap(), rows.collect()),
            known: Known::default(),
            wrong: Vec::new(),
            failed: 0,
        };
        assert!(run.baseline.is_well(), "{} is not well unmutated", system.name);
        run.mutate(&asked);
        wrong.append(&mut run.wrong);
        failed += run.failed;
    }
    for line in wrong.iter().take(PRINTED) {
        eprintln!("{line}");
    }
    assert!(wrong.is_empty(), "{failed} mutations in {} places cost more than they may", wrong.len());
}

struct Run<'a> {
    system: &'a Arc<System>,
    baseline: Baseline,
    known: Known,
    /// A line for each place where something costs too much.
    wrong: Vec<String>,
    failed: usize,
}

impl Run<'_> {
    fn mutate(&mut self, asked: &BTreeSet<String>) {
        let is_asked = |at: &usize| asked.contains(self.system.polled[*at].path);
        let failures =
            (0..self.system.polled.len()).filter(is_asked).map(|at| mutations::failure(self.system, at));
        let singles: Vec<_> =
            mutations::single(self.system).into_iter().filter(|one| is_asked(&one.polled)).collect();
        let alone: Vec<_> = failures.chain(singles.iter().cloned()).map(|one| vec![one]).collect();
        let (number, first) = (from_env("MUTATIONS", COMBINED), from_env("FIRST", 0));
        let seeds: Vec<_> = (first..first + number).collect();
        let combined: Vec<_> =
            seeds.iter().map(|seed| mutations::combined(&singles, &mut Rng::with_seed(*seed))).collect();

        // The same panel again and again: for what is made only once, and because it must give the same.
        for again in self.poll(&vec![Vec::new(); 100]) {
            let again = again.unwrap();
            assert!(again.is_none(), "{again:?} without a mutation");
        }
        let before = peak();
        let losses = self.poll(&alone);
        for (mutant, loss) in alone.iter().zip(&losses) {
            let Ok(loss) = loss else { continue };
            let (at, lost) = (mutant[0].polled, loss.lost.clone());
            self.known.alone.insert(mutant[0].key(), lost.clone());
            match &mutant[0].edits[..] {
                [Edit::Remove(field)] => drop(self.known.removals.insert((at, field.clone()), lost)),
                _ if mutant[0].what == FAILURE => drop(self.known.failures.insert(at, lost)),
                _ => {}
            }
        }
        // A field that changes nothing, whatever comes there, is not read.
        let places = alone.iter().map(|mutant| (mutant[0].polled, mutant[0].place.as_str()));
        let read: BTreeSet<_> = places
            .zip(&losses)
            .filter(|(_, loss)| loss.as_ref().is_ok_and(|loss| !loss.is_none()))
            .map(|(place, _)| place)
            .collect();
        let is_read = |one: &&Mutation| {
            let is_field = matches!(one.cost, Cost::Few(_) | Cost::Field(..));
            !is_field || read.contains(&(one.polled, one.place.as_str()))
        };
        let followed: Vec<_> = singles.iter().filter(is_read).collect();
        self.judge(&alone, &losses, |number| self.system.polled[alone[number][0].polled].path.to_owned());
        let losses = self.poll(&combined);
        self.judge(&combined, &losses, |_| "combinations".to_owned());
        let (failed, mut wrong) = counters::check(self.system, self.baseline.counters(), &followed);
        self.failed += failed;
        self.wrong.append(&mut wrong);
        let grown = peak() - before;
        eprintln!("{}: the peak of memory grew by {grown} KiB", self.system.name);
        if grown > GROWTH {
            self.wrong.push(format!("{}: the peak of memory grew by {grown} KiB", self.system.name));
        }
    }

    fn poll(&self, mutants: &[Vec<Mutation>]) -> Vec<Result<Loss, String>> {
        let losses: Vec<_> = mutants.iter().map(|_| Mutex::new(Err(String::new()))).collect();
        lanes::poll_all(self.system, mutants, |number, polled| {
            *losses[number].lock().unwrap() = polled.map(|samples| self.baseline.compare(&samples));
        });
        losses.into_iter().map(|loss| loss.into_inner().unwrap()).collect()
    }

    fn judge(
        &mut self,
        mutants: &[Vec<Mutation>],
        losses: &[Result<Loss, String>],
        of: impl Fn(usize) -> String,
    ) {
        // By group: mutations, and the most series lost by one that is not of the whole answer.
        let mut summary: BTreeMap<String, (usize, usize, String)> = BTreeMap::new();
        // By place: what came there, and what the first of it cost.
        let mut wrong: BTreeMap<String, (Vec<String>, String)> = BTreeMap::new();
        for (number, (mutant, loss)) in mutants.iter().zip(losses).enumerate() {
            let places: Vec<_> =
                mutant.iter().map(|one| (self.system.polled[one.polled].path, one)).collect();
            let words: Vec<_> =
                places.iter().map(|(path, one)| format!("{path} {} {}", one.place, one.what)).collect();
            let found = match loss {
                Err(why) => vec![why.clone()],
                Ok(loss) => {
                    let whole = mutant
                        .iter()
                        .any(|one| matches!(one.cost, Cost::Answer | Cost::Failure { .. } | Cost::Anything));
                    let group = summary.entry(of(number)).or_default();
                    group.0 += 1;
                    if !whole && loss.lost.len() > group.1 {
                        (group.1, group.2) = (loss.lost.len(), words.join("; "));
                    }
                    self.baseline.wrongly_lost(mutant, loss, &self.known)
                }
            };
            if let [first, others @ ..] = &found[..] {
                let (place, what) = match &places[..] {
                    [(path, one)] => (format!("{path} {}", one.place), one.what.clone()),
                    _ => (format!("combination {number}"), words.join("; ")),
                };
                let cost = format!("{first} and {} more", others.len());
                wrong.entry(place).or_insert_with(|| (Vec::new(), cost)).0.push(what);
            }
        }
        let (name, series) = (self.system.name, self.baseline.series());
        for (group, (mutations, lost, words)) in summary {
            let by = if lost > 0 { format!(", by {words}") } else { String::new() };
            eprintln!("{name}: {group}: {mutations} mutations, at most {lost} of {series} series lost{by}");
        }
        self.failed += wrong.values().map(|(what, _)| what.len()).sum::<usize>();
        self.wrong.extend(
            wrong
                .into_iter()
                .map(|(place, (what, cost))| format!("{name}: {place}: {}: {cost}", what.join(", "))),
        );
    }
}

fn from_env(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    procfs::process::Process::myself().unwrap().status().unwrap().vmhwm.unwrap()
}

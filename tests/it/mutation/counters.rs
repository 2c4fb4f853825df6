//! Counters over time: one client reads good, mutated and good answers, and what its counters count stays right.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use proxymeter::{
    exposition::Format,
    model::{Moment, Outcome, Part, PartState, Report},
    upstream::Upstream,
};

use super::{
    lanes::{self, Clock, Lane},
    mutations::{Cost, Mutation, OfRows},
    system::System,
    verdict::words,
};
use crate::common::{
    RECORDED_AT,
    exposition::{self as text_format, Sample, parse},
};

/// When the answers are read, in minutes, and whether they are mutated. An hour of the panel ends between the third and
/// the fourth time.
const ROUNDS: [(u64, bool); 6] = [(0, false), (10, true), (20, true), (40, true), (50, false), (60, false)];
/// The parts that have counters, or on which those depend.
const PARTS: [Part; 6] =
    [Part::System, Part::Nodes, Part::Usage, Part::Outbounds, Part::Users, Part::Inbounds];
/// What comes in place of a value.
const TRIED: [&str; 6] = ["missing", "null", "words", "an object", "negative", "1e30"];
/// Of these, the ones that are numbers.
const NUMBERS: [&str; 2] = ["negative", "1e30"];

/// The counters after each round, by their series.
type Rounds = Vec<BTreeMap<String, Sample>>;

/// What is wrong with the counters of a system after these mutations: their number, and a line for each place. Mutations
/// of answers that have no counters are left out. Unmutated, it has so many `counters`.
pub(super) fn check(system: &Arc<System>, counters: usize, mutants: &[&Mutation]) -> (usize, Vec<String>) {
    let is_tried = |one: &&&Mutation| {
        system.counters.contains(&system.polled[one.polled].path) && TRIED.contains(&one.what.as_str())
    };
    let mutants: Vec<_> = mutants.iter().filter(is_tried).collect();
    let recorded = OnceLock::new();
    lanes::each(system, Clock::Ours, &[()], |lane, _, ()| recorded.set(follow(lane, None).unwrap()).unwrap());
    let recorded = recorded.get().unwrap();
    let whole = recorded.iter().all(|round| round.len() == counters);
    let found: Vec<_> = recorded.iter().map(BTreeMap::len).collect();
    assert!(whole, "{}: {found:?} of {counters} counters are there in the rounds", system.name);
    let values = |round: &BTreeMap<_, Sample>| round.values().map(|sample| sample.value).collect::<Vec<_>>();
    let grow = recorded.is_sorted_by(|before, after| {
        values(before).iter().zip(values(after)).all(|(before, after)| *before <= after)
    });
    assert!(grow, "{}: counters fall without a mutation", system.name);
    eprintln!("{}: over time: {} mutations, {counters} counters", system.name, mutants.len());

    let all_found: Vec<_> = mutants.iter().map(|_| Mutex::default()).collect();
    lanes::each(system, Clock::Ours, &mutants, |lane, number, mutant| {
        let found = match follow(lane, Some(mutant)) {
            Ok(rounds) => wrongly_counted(system, mutant, recorded, &rounds),
            Err(why) => vec![why],
        };
        *all_found[number].lock().unwrap() = found;
    });
    let mut failed = 0;
    let mut wrong: BTreeMap<String, (Vec<&str>, String)> = BTreeMap::new();
    for (mutant, found) in mutants.into_iter().zip(all_found) {
        if let [first, others @ ..] = &found.into_inner().unwrap()[..] {
            failed += 1;
            let place = format!("{} {}", system.polled[mutant.polled].path, mutant.place);
            let cost = format!("{first} and {} more", others.len());
            wrong.entry(place).or_insert_with(|| (Vec::new(), cost)).0.push(&mutant.what);
        }
    }
    let line = |(place, (what, cost)): (String, (Vec<&str>, String))| {
        format!("{}: over time: {place}: {}: {cost}", system.name, what.join(", "))
    };
    (failed, wrong.into_iter().map(line).collect())
}

fn wrongly_counted(system: &System, mutant: &Mutation, recorded: &Rounds, rounds: &Rounds) -> Vec<String> {
    let (field, what) = (mutant.place.rsplit('/').next().unwrap_or_default(), mutant.what.as_str());
    // A total that the panel counts may be any number. That of a direction is in the sum of both, too.
    let is_direction = ["up", "down"].contains(&field);
    let is_total = is_direction || field.starts_with("lifetime_") || field.ends_with("_bandwidth");
    let is_other_total = is_total && NUMBERS.contains(&what);
    // Under another name or number, it is another row.
    let identities = system.polled[mutant.polled].rows.map_or(&[][..], |rows| rows.identity);
    let is_other_row = identities.contains(&field) && ["words", "negative"].contains(&what);
    let row = match &mutant.cost {
        Cost::Rows(row) | Cost::Few(Some(row)) | Cost::Field(_, Some(row)) => Some(row),
        _ => None,
    };
    let is_of_row = |sample: &Sample| row.is_none_or(|row: &OfRows| row.have(sample));

    let (mut wrong, mut differing) = (Vec::new(), BTreeSet::new());
    let mut before: BTreeMap<&String, f64> = BTreeMap::new();
    for (number, ((minute, mutated), (recorded, round))) in
        ROUNDS.into_iter().zip(recorded.iter().zip(rounds)).enumerate()
    {
        // A fall counts only when it holds, so that a total which was too high is right again in the last round.
        let is_in_between = mutated || number + 1 < ROUNDS.len() && is_other_total;
        for (series, sample) in recorded {
            if is_other_row && is_of_row(sample) {
                continue;
            }
            let expected = sample.value;
            let found = round.get(series).map(|sample| sample.value);
            let known = found.and_then(|value| before.insert(series, value));
            let is_right = match found {
                Some(value) if is_in_between => known.is_none_or(|known| value >= known) && value <= expected,
                Some(value) => value.to_bits() == expected.to_bits(),
                None => is_in_between,
            };
            if is_right {
                continue;
            }
            if is_in_between && is_other_total && is_of_row(sample) {
                differing.insert(series);
                continue;
            }
            let found = found.map_or_else(|| "absent".into(), |value| value.to_string());
            let known = known.map(|known| format!(", {known} before")).unwrap_or_default();
            wrong.push(format!("{series} is {found} and not {expected} after {minute} minutes{known}"));
        }
    }
    if differing.len() > 1 + usize::from(is_direction) {
        wrong.push(format!("{differing:?} by one total"));
    }
    wrong
}

/// The counters after each round, with this mutation in some.
fn follow(lane: &Lane, mutant: Option<&Mutation>) -> Result<Rounds, String> {
    let (mut client, mut report) = (lane.client(), Report::new("home"));
    let start = Moment { wall: RECORDED_AT, uptime: Duration::from_secs(3600) };
    let mut rounds = Vec::new();
    for (minute, mutated) in ROUNDS {
        let mutant: Vec<_> = mutant.filter(|_| mutated).cloned().into_iter().collect();
        lane.switch(&mutant);
        let now = start.after(Duration::from_secs(60 * minute));
        lane.within_bounds(read(&mut client, &mut report, now))?;
        lane.forget_requests();
        let text = lanes::rendered(&[Arc::new(report.clone())], now, Format::Classic);
        let samples = parse(text_format::Format::Classic, &text)?;
        let counters = samples.into_iter().filter(|sample| sample.name.ends_with("_total"));
        rounds.push(counters.map(|sample| (words(&sample), sample)).collect());
    }
    Ok(rounds)
}

/// Reads each part that counters depend on, as the loop of a target does.
async fn read(client: &mut Upstream, report: &mut Report, now: Moment) {
    let mut tried = Vec::new();
    while let Some(planned) = client
        .plan()
        .into_iter()
        .find(|planned| PARTS.contains(&planned.part) && !tried.contains(&planned.part))
    {
        let part = planned.part;
        // One answer may have several parts.
        let (parts, outcome) = loop {
            match client.read(part, now).await {
                Ok(step) => {
                    for fact in step.facts {
                        report.merge(fact, now);
                    }
                    if step.done.contains(&part) {
                        break (step.done, Outcome::Up);
                    }
                }
                Err(err) => {
                    let outcome = Outcome::Failed { reason: err.reason(), detail: err.to_string() };
                    break (vec![part], outcome);
                }
            }
        };
        let is_up = outcome == Outcome::Up;
        for part in parts {
            let known = report.parts.get(&part).and_then(|state| state.last_success);
            let last_success = if is_up { Some(now) } else { known };
            let state = PartState {
                outcome: outcome.clone(),
                last_success,
                last_data: last_success,
                duration: None,
                round: Duration::ZERO,
                stale_after: Duration::MAX,
            };
            report.parts.insert(part, state);
            tried.push(part);
        }
        if planned.decides_up {
            report.up = Some(is_up);
            if !is_up {
                return;
            }
        }
    }
}

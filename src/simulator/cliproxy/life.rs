//! How time changes a server: calls begin, go to credentials, fail over, and end.

use std::ops::ControlFlow;

use fastrand::Rng;

use super::credential::Credential;
use super::options::Traffic;
use super::people::{Course, Flight, course};
use super::record::{Outcome, Record};
use super::state::State;

/// A long stretch is not simulated from further back.
const MAX_MS: i64 = 31 * 24 * 60 * 60 * 1000;
/// How long an access token is good for.
const TOKEN_MS: i64 = 8 * 60 * 60 * 1000;
/// Other credentials that a call is tried with.
const TRIES: u32 = 2;
/// How soon after the start of the simulation people come.
const ARRIVE_WITHIN_MS: i64 = 90_000;

/// Simulates the `ms` up to `now_ms`.
pub(super) fn advance(state: &mut State, now_ms: i64, ms: u64) {
    let ms = i64::try_from(ms).unwrap_or(MAX_MS).min(MAX_MS);
    let from_ms = now_ms.saturating_sub(ms);
    match state.traffic {
        Traffic::None => {}
        Traffic::Steady(per_second) => steady(state, from_ms, ms, per_second),
        Traffic::People => people(state, from_ms, now_ms),
    }
    state.prune(now_ms);
}

fn steady(state: &mut State, from_ms: i64, ms: i64, per_second: u32) {
    state.due += ms.unsigned_abs() * u64::from(per_second);
    let attempts = i64::try_from(state.due / 1000).unwrap_or(0);
    state.due %= 1000;
    for place in 1..=attempts {
        independent(state, from_ms + ms.saturating_mul(place) / attempts);
    }
}

/// The next attempt of the stream whose attempts are independent of each other.
pub(super) fn independent(state: &mut State, at_ms: i64) {
    let mut rng = state.stream.clone();
    let client = rng.usize(..state.clients.len().max(1));
    let model = rng.usize(..state.models.len().max(1));
    let draw = rng.usize(..);
    let course = course(&mut rng);
    state.stream = rng;
    let Some(provider) = state.models.get(model).map(|model| model.provider.clone()) else { return };
    let usable = |known: &Credential| known.present && !known.disabled && known.provider == provider;
    let Some(credential) = pick(&state.credentials, draw, usable) else {
        state.unseen.refused += 1;
        return;
    };
    let request = state.next_request();
    let client = (!state.clients.is_empty()).then_some(client).and_then(|place| u16::try_from(place).ok());
    let model = u16::try_from(model).unwrap_or(u16::MAX);
    state.finish(at_ms, record(client, credential, model, request, &course));
}

/// People who work from one time to another.
fn people(state: &mut State, from_ms: i64, to_ms: i64) {
    refresh_tokens(state, to_ms);
    let office = &mut state.office;
    for person in &mut office.people {
        person.next_ms.get_or_insert_with(|| from_ms + office.rng.i64(0..ARRIVE_WITHIN_MS));
    }
    while next(state, to_ms).is_continue() {}
}

/// Lets the next thing up to a time happen, if there is one.
fn next(state: &mut State, to_ms: i64) -> ControlFlow<()> {
    let office = &state.office;
    let call = (0..).zip(&office.people).filter_map(|(place, person)| Some((person.next_ms?, place))).min();
    let end = (0..).zip(&office.flights).map(|(place, flight)| (flight.ends_ms, place)).min();
    match (call, end) {
        (Some((at_ms, place)), end) if at_ms <= to_ms && end.is_none_or(|(ends_ms, _)| at_ms < ends_ms) => {
            call_model(state, at_ms, place);
        }
        (_, Some((ends_ms, place))) if ends_ms <= to_ms => land(state, place),
        _ => return ControlFlow::Break(()),
    }
    ControlFlow::Continue(())
}

fn call_model(state: &mut State, at_ms: i64, person: usize) {
    let mut rng = state.office.rng.clone();
    let request = rng.u32(..);
    let counts_tokens = rng.u32(..20) == 0;
    let chosen =
        state.office.people.get(person).and_then(|known| Some((known.client, known.model(&mut rng)?)));
    let Some((client, model)) = chosen else { return };
    let ends_ms = try_call(state, &mut rng, at_ms, Some(client), model, request, TRIES);
    if counts_tokens {
        // Such a call counts with its credential and has no record.
        let claude = state.credentials.iter_mut().find(|known| known.provider == "claude" && !known.disabled);
        claude.into_iter().for_each(|credential| credential.count(at_ms, Outcome::Success));
    }
    if let Some(person) = state.office.people.get_mut(person) {
        person.go_on(&mut rng, ends_ms);
    }
    state.office.rng = rng;
}

/// Begins an attempt, or refuses the call if every credential for it cools down. Returns when that ends.
fn try_call(
    state: &mut State,
    rng: &mut Rng,
    at_ms: i64,
    client: Option<u16>,
    model: u16,
    request: u32,
    tries: u32,
) -> i64 {
    let (draw, mut course) = (rng.usize(..), course(rng));
    let Some(known) = state.models.get(usize::from(model)) else { return at_ms };
    let open = |credential: &Credential| {
        credential.provider == known.provider && credential.is_open(&known.name, at_ms)
    };
    let Some(credential) = pick(&state.credentials, draw, open) else {
        state.unseen.refused += 1;
        return at_ms;
    };
    let exhausted =
        state.credentials.get(usize::from(credential)).and_then(|known| known.exhausted_until(at_ms));
    if exhausted.is_some() {
        (course.outcome, course.latency_ms, course.ttft_ms) = (Outcome::Refused(429), 180, 180);
    }
    let record = record(client, credential, model, request, &course);
    let ends_ms = at_ms.saturating_add(course.latency_ms.into());
    state.office.flights.push(Flight { ends_ms, record, tries });
    ends_ms
}

/// Ends an attempt. What the upstream refused is tried with another credential.
fn land(state: &mut State, place: usize) {
    let Flight { ends_ms, record, tries } = state.office.flights.swap_remove(place);
    state.finish(ends_ms, record);
    let tries = tries.checked_sub(1).filter(|_| record.outcome != Outcome::Refused(400));
    if let (Outcome::Refused(_), Some(tries)) = (record.outcome, tries) {
        let mut rng = state.office.rng.clone();
        try_call(state, &mut rng, ends_ms, record.client, record.model, record.request, tries);
        state.office.rng = rng;
    }
}

/// Files whose tokens are old get new ones, for which the server writes them.
fn refresh_tokens(state: &mut State, now_ms: i64) {
    let files =
        state.credentials.iter_mut().filter(|known| known.present && known.is_file() && !known.disabled);
    for file in files {
        let since_ms = file.last_refresh_ms.unwrap_or(file.created_ms);
        if now_ms.saturating_sub(since_ms) > TOKEN_MS {
            file.rewrite(now_ms);
            file.last_refresh_ms = Some(now_ms);
        }
    }
}

/// One of the credentials that are good for it.
fn pick(credentials: &[Credential], draw: usize, good: impl Fn(&Credential) -> bool) -> Option<u16> {
    let places: Vec<usize> = (0..credentials.len()).filter(|place| good(&credentials[*place])).collect();
    let place = places.get(draw.checked_rem(places.len())?)?;
    u16::try_from(*place).ok()
}

fn record(client: Option<u16>, credential: u16, model: u16, request: u32, course: &Course) -> Record {
    let Course { outcome, tokens, stream, latency_ms, ttft_ms } = *course;
    let (number, started_ns) = (0, 0);
    Record {
        number,
        started_ns,
        client,
        credential,
        model,
        request,
        outcome,
        stream,
        latency_ms,
        ttft_ms,
        tokens,
    }
}

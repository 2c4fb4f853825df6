//! People and programs at work, who call models in bursts.

use fastrand::Rng;

use super::record::{Outcome, Record, Tokens};

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Everybody who uses a server, and what they wait for.
pub(super) struct Office {
    pub(super) rng: Rng,
    pub(super) people: Vec<Person>,
    pub(super) flights: Vec<Flight>,
}

/// A person or a program.
pub(super) struct Person {
    pub(super) client: u16,
    /// The models it calls, the first most often.
    pub(super) models: Vec<u16>,
    /// Of its local time from UTC; `None`: a program, which works at all hours.
    pub(super) zone_hours: Option<i64>,
    /// Calls until the next pause.
    pub(super) left: u32,
    /// When it calls next; `None`: it has just come.
    pub(super) next_ms: Option<i64>,
}

/// An attempt that has not ended.
pub(super) struct Flight {
    pub(super) ends_ms: i64,
    pub(super) record: Record,
    /// How often the call may be tried with another credential.
    pub(super) tries: u32,
}

/// How an attempt goes, apart from who makes it.
pub(super) struct Course {
    pub(super) outcome: Outcome,
    pub(super) tokens: Tokens,
    pub(super) stream: bool,
    pub(super) latency_ms: u32,
    pub(super) ttft_ms: u32,
}

impl Office {
    pub(super) fn new(seed: u64) -> Office {
        Office { rng: Rng::with_seed(seed ^ 0x0ff1_ce00), people: Vec::new(), flights: Vec::new() }
    }

    /// What a restart does: calls in flight fail without a record, and people come again.
    pub(super) fn forget(&mut self) {
        self.flights.clear();
        self.people.iter_mut().for_each(|person| (person.left, person.next_ms) = (0, None));
    }
}

impl Person {
    pub(super) fn new(client: u16, models: Vec<u16>, zone_hours: Option<i64>) -> Person {
        Person { client, models, zone_hours, left: 0, next_ms: None }
    }

    /// The model of a call.
    pub(super) fn model(&self, rng: &mut Rng) -> Option<u16> {
        let favourite = rng.u32(..10) < 6;
        let place = if favourite { 0 } else { rng.usize(..self.models.len().max(1)) };
        self.models.get(place).copied()
    }

    /// Counts a call that ends at a time, and sets when the next one begins.
    pub(super) fn go_on(&mut self, rng: &mut Rng, ends_ms: i64) {
        if self.left == 0 {
            self.left = rng.u32(4..25);
        }
        self.left -= 1;
        let think_ms = match (self.left, self.zone_hours) {
            (0, None) => rng.i64(3 * MINUTE_MS..9 * MINUTE_MS),
            (0, Some(zone)) => rng.i64(MINUTE_MS..6 * MINUTE_MS) * idleness(ends_ms + zone * HOUR_MS),
            (_, None) => rng.i64(200..2 * SECOND_MS),
            (_, Some(_)) => rng.i64(2 * SECOND_MS..50 * SECOND_MS),
        };
        self.next_ms = Some(ends_ms.saturating_add(think_ms));
    }
}

/// How much longer pauses are at this hour than in the middle of the working day.
fn idleness(local_ms: i64) -> i64 {
    match local_ms.div_euclid(HOUR_MS).rem_euclid(24) {
        9..=11 | 14..=17 => 1,
        8 | 12 | 13 | 18..=21 => 2,
        22 | 23 | 7 => 5,
        _ => 12,
    }
}

/// How the next attempt goes. It draws as often whatever comes out.
pub(super) fn course(rng: &mut Rng) -> Course {
    let (luck, stream, length, share) = (rng.u32(..1000), rng.bool(), rng.u32(..1000), rng.u32(2..9));
    let (prompt, cached, answer, thought, write) =
        (rng.u32(200..24_000), rng.u32(..100), rng.u32(20..2_400), rng.u32(..60), rng.u32(..10));
    let outcome = match luck {
        0..930 => Outcome::Success,
        930..940 => Outcome::NoUsage,
        940..960 => Outcome::Refused(429),
        960..975 => Outcome::Refused(500),
        975..980 => Outcome::Refused(400),
        980..985 => Outcome::CutOff,
        985..994 => Outcome::HungUp,
        _ => Outcome::HungUpMidStream,
    };
    // Most take seconds, some minutes, a few as long as ten.
    let latency_ms = match length {
        0..700 => 400 + length * 10,
        700..970 => 7_400 + (length - 700) * 90,
        _ => 31_700 + (length - 970) * 20_000,
    };
    let refused = matches!(outcome, Outcome::Refused(_));
    let latency_ms = if refused { 120 + length % 50 * 10 } else { latency_ms };
    let ttft_ms = match outcome {
        Outcome::HungUp => 0,
        _ if refused || !stream => latency_ms,
        _ => latency_ms / share,
    };
    let tokens = Tokens {
        input: prompt,
        output: answer,
        reasoning: answer * thought / 100,
        cache_read: prompt * cached / 100,
        cache_write: if write == 0 { prompt / 4 } else { 0 },
    };
    Course { outcome, tokens, stream, latency_ms, ttft_ms }
}

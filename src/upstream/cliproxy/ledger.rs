//! Everything that was counted of a target's attempts. It survives restarts as rows of durable counters.
//!
//! Sums are integers, and each attempt is in all of them or in none. A cost is that of the prices at the time when the
//! attempt was counted; later prices do not change it.

mod period;
mod rows;

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use jiff::tz::TimeZone;

use self::{
    period::{Calendar, add_to, running},
    rows::{
        Changes, DURATIONS, ERRORS, FIRST_TOKENS, Kept, PERIODS, Periods, ROWS, Row, TOTALS, Totals, labels,
        times_of, values_of_times,
    },
};
use super::{
    attempt::{Attempt, Billed, Outcome},
    config::Caps,
    prices::{ModelPrice, Prices},
    stored::{of_secs, secs},
};
use crate::model::{
    Attempts, CounterChange, CounterFamilies, CounterRow, LlmErrors, LlmPeriod, LlmRecent, LlmRow, LlmSpent,
    LlmTimes, LlmUsage, OTHER, Times, Timestamp,
};

/// The most providers that have series of their own.
const PROVIDERS: usize = 50;
/// In bytes. What has a longer name has no series of its own.
const LONGEST_NAME: usize = 200;
const STATUS_CODES: RangeInclusive<u16> = 100..=599;

/// The sums of all attempts.
#[derive(Debug)]
pub(super) struct Ledger {
    caps: Caps,
    prices: Arc<Prices>,
    zone: TimeZone,
    /// Of the latest attempt.
    calendar: Calendar,
    other: Arc<str>,
    /// All client keys that have a place.
    keys: BTreeMap<Arc<str>, Kept<Periods>>,
    providers: BTreeMap<Arc<str>, Provider>,
    /// The number of models, of all providers, that have a place.
    models: usize,
    totals: Kept<Totals>,
}

#[derive(Debug, Default)]
struct Provider {
    /// By status code.
    errors: BTreeMap<Option<u16>, Kept<u64>>,
    models: BTreeMap<Arc<str>, Model>,
    /// Attempts that came soon after they ended, and those of them that failed. Not stored.
    recent: (u64, u64),
}

#[derive(Debug, Default)]
struct Model {
    price: Option<Arc<ModelPrice>>,
    durations: Kept<Times>,
    first_tokens: Kept<Times>,
    /// By client key.
    rows: BTreeMap<Arc<str>, Kept<Row>>,
}

impl Ledger {
    pub(super) fn new(caps: Caps, prices: Arc<Prices>, zone: TimeZone) -> Self {
        Ledger {
            caps,
            prices,
            zone,
            calendar: Calendar::default(),
            other: OTHER.into(),
            keys: BTreeMap::new(),
            providers: BTreeMap::new(),
            models: 0,
            totals: Kept::default(),
        }
    }

    /// Continues what an earlier process counted. Returns the deletion of its rows that cannot be read. Rows of other
    /// owners are left alone. What has a row keeps its series, even beyond a cap that has become smaller.
    pub(super) fn resume(&mut self, families: &CounterFamilies) -> Vec<CounterChange> {
        let mut unreadable = Changes::default();
        for (family, rows) in families {
            for row in rows {
                let restored = match family.as_str() {
                    ROWS => self.restore_row(row),
                    DURATIONS => self.restore_times(row, |model| &mut model.durations),
                    FIRST_TOKENS => self.restore_times(row, |model| &mut model.first_tokens),
                    ERRORS => self.restore_errors(row),
                    PERIODS => self.restore_periods(row),
                    TOTALS => self.restore_totals(row),
                    _ => break,
                };
                if restored.is_none() {
                    unreadable.delete(family, &row.labels);
                }
            }
        }
        unreadable.into_changes()
    }

    /// Sets the prices of later attempts, and the zone of days and months.
    pub(super) fn set_costs(&mut self, prices: Arc<Prices>, zone: TimeZone) {
        for (provider, Provider { errors: _, models, recent: _ }) in &mut self.providers {
            for (name, model) in models {
                model.price = price_of_series(&prices, provider, name);
            }
        }
        (self.prices, self.zone, self.calendar) = (prices, zone, Calendar::default());
    }

    /// Counts one attempt that came to us at `now`.
    pub(super) fn add(&mut self, attempt: &Attempt, now: Timestamp) {
        self.add_some(attempt, 1, now);
    }

    /// Counts so many attempts, of whose tokens and times `attempt` has the sums.
    pub(super) fn add_some(&mut self, attempt: &Attempt, attempts: u64, now: Timestamp) {
        self.add_run(std::slice::from_ref(attempt), attempts, now);
    }

    /// Counts attempts one after the other.
    pub(super) fn add_all(&mut self, attempts: &[Attempt], now: Timestamp) {
        let is_of_series = |one: &Attempt, next: &Attempt| {
            one.api_key == next.api_key && one.provider == next.provider && one.model == next.model
        };
        for run in attempts.chunk_by(is_of_series) {
            self.add_run(run, 1, now);
        }
    }

    /// Counts attempts of one client key, provider and model, whose place is looked up once. Each stands for so many.
    fn add_run(&mut self, run: &[Attempt], attempts: u64, now: Timestamp) {
        let Some(Attempt { api_key, provider, model, .. }) = run.first() else { return };
        if !self.calendar.has(now) {
            self.calendar = Calendar::of(&self.zone, now);
        }
        let api_key = place(&self.keys, api_key, || named(&self.keys) < self.caps.api_keys, &self.other);
        let shown_provider =
            place(&self.providers, provider, || named(&self.providers) < PROVIDERS, &self.other);
        let is_known_provider = shown_provider == *provider;
        let Provider { errors, models, recent } = self.providers.entry(shown_provider).or_default();
        let shown_model = place(models, model, || self.models < self.caps.models, &self.other);
        let is_own = is_known_provider && shown_model == *model;
        let new_model = || {
            self.models += usize::from(*shown_model != *OTHER);
            let price = if is_own { self.prices.price(provider, model).cloned() } else { None };
            Model { price, ..Model::default() }
        };
        let Model { price, durations, first_tokens, rows } =
            models.entry(Arc::clone(&shown_model)).or_insert_with(new_model);
        // Models that share a series have prices of their own.
        let price = if is_own { price.as_ref() } else { self.prices.price(provider, model) };
        let row = rows.entry(Arc::clone(&api_key)).or_default().change();
        let Periods { day, month } = self.keys.entry(api_key).or_default().change();

        for attempt in run {
            let Attempt {
                started,
                api_key: _,
                provider: _,
                model: _,
                credential: _,
                outcome,
                duration,
                first_token,
                tokens,
                billed,
            } = attempt;
            let Billed { uncached_input, cache_read, cache_write, output, unclassified, tier: _ } = *billed;
            let used = [uncached_input, cache_read, cache_write, output, unclassified];
            let used = used.into_iter().fold(0, u64::saturating_add);
            let cost_nanos = price.and_then(|price| price.cost_nanos(attempt));
            add(&mut row.requests, attempts);
            row.tokens.add(*tokens);
            match cost_nanos {
                Some(cost_nanos) => add(&mut row.cost_nanos, cost_nanos),
                None => add(&mut row.unpriced_tokens, used),
            }
            let ended = started.map(|started| started.saturating_add(duration.unwrap_or_default()));
            let is_recent = ended.is_none_or(|ended| now.since(ended) <= Attempts::WINDOW);
            let lately = if is_recent { attempts } else { 0 };
            add(&mut recent.0, lately);
            if let Outcome::Failed(code) = *outcome {
                add(&mut row.failed, attempts);
                add(&mut recent.1, lately);
                let code = code.filter(|code| STATUS_CODES.contains(code));
                add(errors.entry(code).or_default().change(), attempts);
            }
            for (times, time) in [(&mut *durations, duration), (&mut *first_tokens, first_token)] {
                if let Some(time) = time {
                    times.change().observe(*time);
                }
            }

            // What comes soon after its end was in no period before. A start ahead of now is that of another clock.
            let at = started.filter(|_| !is_recent).unwrap_or(now);
            let cost_nanos = cost_nanos.unwrap_or(0);
            for (spent, start) in [(&mut *day, self.calendar.day), (&mut *month, self.calendar.month)] {
                add_to(spent, (start, at, now), (used, cost_nanos));
            }
        }
    }

    /// Counts records that were taken from the queue, unreadable ones too.
    pub(super) fn took(&mut self, records: u64) {
        if records > 0 {
            add(&mut self.totals.change().records, records);
        }
    }

    /// Counts a time in which records may have been lost.
    pub(super) fn gap(&mut self, now: Timestamp) {
        let totals = self.totals.change();
        add(&mut totals.gaps, 1);
        totals.gap_secs = secs(now);
    }

    /// Times in which records may have been lost.
    pub(super) fn gaps(&self) -> u64 {
        self.totals.get().gaps
    }

    /// Counts attempts of which no record came.
    pub(super) fn bypassed(&mut self, attempts: u64, now: Timestamp) {
        let totals = self.totals.change();
        add(&mut totals.bypassed, attempts);
        totals.bypassed_secs = secs(now);
    }

    /// What has changed since the last call, in stored form.
    pub(super) fn changes(&mut self) -> Vec<CounterChange> {
        let mut changes = Changes::default();
        for (provider, Provider { errors, models, recent: _ }) in &mut self.providers {
            for (code, attempts) in errors {
                changes.put(ERRORS, attempts.take_row((provider, code), |attempts| vec![*attempts]));
            }
            for (model, Model { price: _, durations, first_tokens, rows }) in models {
                for (api_key, row) in rows {
                    changes.put(ROWS, row.take_row((api_key, provider, &**model), Row::values));
                }
                changes.put(DURATIONS, durations.take_row((provider, model), values_of_times));
                changes.put(FIRST_TOKENS, first_tokens.take_row((provider, model), values_of_times));
            }
        }
        for (api_key, periods) in &mut self.keys {
            changes.put(PERIODS, periods.take_row([api_key], Periods::values));
        }
        changes.put(TOTALS, self.totals.take_row((), Totals::values));
        changes.into_changes()
    }

    /// Everything, with client keys as `name` shows their hashes. Keys of one name are added up.
    pub(super) fn usage(&self, name: impl Fn(&str) -> Arc<str>, now: Timestamp) -> LlmUsage {
        let calendar = if self.calendar.has(now) { self.calendar } else { Calendar::of(&self.zone, now) };
        let shown = |key: &Arc<str>| if **key == *OTHER { Arc::clone(key) } else { name(key) };
        let names: BTreeMap<_, _> = self.keys.keys().map(|key| (key, shown(key))).collect();

        let mut periods = BTreeMap::<_, LlmPeriod>::new();
        for (name, kept) in names.values().zip(self.keys.values()) {
            let Periods { day, month } = *kept.get();
            let sums = periods.entry(name).or_default();
            sums.api_key = Arc::clone(name);
            merge(&mut sums.day, running(day, calendar.day, now));
            merge(&mut sums.month, running(month, calendar.month, now));
        }
        let mut rows = BTreeMap::<_, LlmRow>::new();
        let (mut times, mut errors, mut recent) = (Vec::new(), Vec::new(), Vec::new());
        for (provider, of_provider) in &self.providers {
            let (attempts, failed) = of_provider.recent;
            recent.push(LlmRecent { provider: Arc::clone(provider), attempts, failed });
            errors.extend(of_provider.errors.iter().map(|(code, attempts)| LlmErrors {
                provider: Arc::clone(provider),
                status_code: *code,
                attempts: *attempts.get(),
            }));
            for (model, of_model) in &of_provider.models {
                let (duration, first_token) = (*of_model.durations.get(), *of_model.first_tokens.get());
                if duration.count() > 0 || first_token.count() > 0 {
                    let (provider, model) = (Arc::clone(provider), Arc::clone(model));
                    times.push(LlmTimes { provider, model, duration, first_token });
                }
                for (api_key, row) in &of_model.rows {
                    let Some(name) = names.get(api_key) else { continue };
                    let sums = rows.entry((name, provider, model)).or_default();
                    merge_row(sums, row.get());
                }
            }
        }
        let rows = rows.into_iter().map(|((api_key, provider, model), row)| LlmRow {
            api_key: Arc::clone(api_key),
            provider: Arc::clone(provider),
            model: Arc::clone(model),
            ..row
        });
        let Totals { records, gaps, bypassed, gap_secs, bypassed_secs } = *self.totals.get();
        LlmUsage {
            rows: rows.collect(),
            times,
            errors,
            recent,
            periods: periods.into_values().collect(),
            records,
            gaps,
            gap_at: of_secs(gap_secs),
            bypassed,
            bypassed_at: of_secs(bypassed_secs),
        }
    }

    fn restore_row(&mut self, row: &CounterRow) -> Option<()> {
        let (api_key, provider, model): (Arc<str>, Arc<str>, Arc<str>) = labels(row)?;
        self.keys.entry(Arc::clone(&api_key)).or_default();
        let api_key = place(&self.keys, &api_key, || true, &self.other);
        self.restored_model(&provider, &model).rows.insert(api_key, Kept::stored(Row::of(&row.values)));
        Some(())
    }

    fn restore_times(&mut self, row: &CounterRow, of: fn(&mut Model) -> &mut Kept<Times>) -> Option<()> {
        let (provider, model): (Arc<str>, Arc<str>) = labels(row)?;
        *of(self.restored_model(&provider, &model)) = Kept::stored(times_of(&row.values));
        Some(())
    }

    fn restore_errors(&mut self, row: &CounterRow) -> Option<()> {
        let (provider, code): (Arc<str>, Option<u16>) = labels(row)?;
        if code.is_some_and(|code| !STATUS_CODES.contains(&code)) {
            return None;
        }
        let attempts = row.values.first().copied().unwrap_or(0);
        self.providers.entry(provider).or_default().errors.insert(code, Kept::stored(attempts));
        Some(())
    }

    fn restore_periods(&mut self, row: &CounterRow) -> Option<()> {
        let [api_key]: [Arc<str>; 1] = labels(row)?;
        self.keys.insert(api_key, Kept::stored(Periods::of(&row.values)));
        Some(())
    }

    fn restore_totals(&mut self, row: &CounterRow) -> Option<()> {
        let (): () = labels(row)?;
        self.totals = Kept::stored(Totals::of(&row.values));
        Some(())
    }

    fn restored_model(&mut self, provider: &Arc<str>, model: &Arc<str>) -> &mut Model {
        let models = &mut self.providers.entry(Arc::clone(provider)).or_default().models;
        models.entry(Arc::clone(model)).or_insert_with(|| {
            self.models += usize::from(**model != *OTHER);
            Model { price: price_of_series(&self.prices, provider, model), ..Model::default() }
        })
    }
}

/// Absent: there is none, or the models of the series have prices of their own.
fn price_of_series(prices: &Prices, provider: &str, model: &str) -> Option<Arc<ModelPrice>> {
    let is_own = provider != OTHER && model != OTHER;
    if is_own { prices.price(provider, model).cloned() } else { None }
}

/// The label of a name: itself if it has a place or there is room for it. Names that have one are not copied.
fn place<V>(
    known: &BTreeMap<Arc<str>, V>,
    name: &Arc<str>,
    has_room: impl FnOnce() -> bool,
    other: &Arc<str>,
) -> Arc<str> {
    match known.get_key_value(name) {
        Some((known, _)) => Arc::clone(known),
        None if name.len() <= LONGEST_NAME && has_room() => Arc::clone(name),
        None => Arc::clone(other),
    }
}

/// The number of names that have a place.
fn named<V>(known: &BTreeMap<Arc<str>, V>) -> usize {
    known.len() - usize::from(known.contains_key(OTHER))
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

/// Adds what another client key of the same name used.
fn merge(sums: &mut LlmSpent, other: LlmSpent) {
    let LlmSpent { since, tokens, cost_nanos } = other;
    sums.since = sums.since.max(since);
    add(&mut sums.tokens, tokens);
    add(&mut sums.cost_nanos, cost_nanos);
}

fn merge_row(sums: &mut LlmRow, row: &Row) {
    let Row { requests, failed, tokens, cost_nanos, unpriced_tokens } = *row;
    add(&mut sums.requests, requests);
    add(&mut sums.failed, failed);
    sums.tokens.add(tokens);
    add(&mut sums.cost_nanos, cost_nanos);
    add(&mut sums.unpriced_tokens, unpriced_tokens);
}

#[cfg(test)]
mod tests;

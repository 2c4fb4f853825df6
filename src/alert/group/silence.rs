use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    alert::state::{Alert, Fitting},
    model::{MOST_SILENCES, Moment, Silence, SilenceChange, SilenceError, SilenceState, Timestamp},
};

/// How long an expired silence is shown, as Alertmanager does.
const KEPT: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// Expired ones that are kept; the older ones are forgotten sooner.
const MOST_EXPIRED: usize = 1000;

/// The silences that operators have added.
#[derive(Debug, Default)]
pub(in crate::alert) struct Silences {
    all: BTreeMap<Arc<str>, Arc<Silence>>,
    /// Those that were active at the last [`Silences::advance`], by their ids.
    active: BTreeMap<Arc<str>, Active>,
    /// How often `active` has changed.
    generation: u64,
    /// The uptime at which one begins or ends next.
    due: Option<Duration>,
    /// Those whose rows are to be written.
    dirty: BTreeSet<Arc<str>>,
    /// The same as `all`, for pages.
    shown: Arc<[Arc<Silence>]>,
    changed: bool,
}

/// A silence that holds.
#[derive(Debug)]
struct Active {
    silence: Arc<Silence>,
    /// The first generation with it.
    since: u64,
}

impl Silences {
    /// Continues with what these rows hold. Rows that cannot be read are deleted.
    pub(in crate::alert) fn restore(rows: &[(String, String)], now: Moment) -> Self {
        let mut silences = Silences::default();
        for (id, text) in rows {
            let id: Arc<str> = id.as_str().into();
            match serde_json::from_str::<Silence>(text) {
                Ok(silence) if silence.id == id => drop(silences.all.insert(id, Arc::new(silence))),
                Ok(_) | Err(_) => drop(silences.dirty.insert(id)),
            }
        }
        silences.changed = true;
        silences.advance(now);
        silences
    }

    /// Makes a change, and returns the id of the silence.
    pub(in crate::alert) fn change(
        &mut self,
        change: SilenceChange,
        now: Moment,
    ) -> Result<Arc<str>, SilenceError> {
        let id = match change {
            SilenceChange::Put(silence) => self.put(silence, now.wall)?,
            SilenceChange::Expire(id) => {
                self.expire(&id, now.wall)?;
                id
            }
        };
        self.advance(now);
        Ok(id)
    }

    fn put(&mut self, silence: Silence, now: Timestamp) -> Result<Arc<str>, SilenceError> {
        let before = match &*silence.id {
            "" => None,
            id => Some(Arc::clone(self.all.get(id).ok_or(SilenceError::Unknown)?)),
        };
        let mut silence = silence.checked(now).map_err(SilenceError::Wrong)?;
        silence.updated_at = now;
        let lives =
            |known: &&Arc<Silence>| known.state(now) != SilenceState::Expired && known.id != silence.id;
        if self.all.values().filter(lives).count() >= MOST_SILENCES {
            return Err(SilenceError::TooMany);
        }
        match before {
            Some(before) if goes_on(&before, &silence, now) => {
                if before.state(now) == SilenceState::Active {
                    silence.starts_at = before.starts_at;
                }
            }
            before => {
                if let Some(before) = before {
                    self.expire(&before.id, now)?;
                }
                silence.id = Silence::new_id();
            }
        }
        let id = Arc::clone(&silence.id);
        self.set(silence);
        Ok(id)
    }

    fn expire(&mut self, id: &str, now: Timestamp) -> Result<(), SilenceError> {
        let known = self.all.get(id).ok_or(SilenceError::Unknown)?;
        if known.state(now) != SilenceState::Expired {
            let starts_at = known.starts_at.min(now);
            self.set(Silence { starts_at, ends_at: now, updated_at: now, ..Silence::clone(known) });
        }
        Ok(())
    }

    fn set(&mut self, silence: Silence) {
        self.dirty.insert(Arc::clone(&silence.id));
        self.all.insert(Arc::clone(&silence.id), Arc::new(silence));
        self.changed = true;
    }

    /// Takes note of the time: silences begin and end, and old ones are forgotten. Returns whether anything has changed
    /// since the last call.
    pub(in crate::alert) fn advance(&mut self, now: Moment) -> bool {
        let wall = now.wall;
        let expired = self.all.values().filter(|silence| silence.state(wall) == SilenceState::Expired);
        let mut expired: Vec<_> = expired.map(|silence| (silence.ends_at, Arc::clone(&silence.id))).collect();
        expired.sort();
        let surplus = expired.len().saturating_sub(MOST_EXPIRED);
        for (place, (ends_at, id)) in expired.into_iter().enumerate() {
            if place < surplus || wall.since(ends_at) >= KEPT {
                self.all.remove(&id);
                self.dirty.insert(id);
                self.changed = true;
            }
        }
        let times = self.all.values().flat_map(|silence| [silence.starts_at, silence.ends_at]);
        self.due = times.filter(|time| *time > wall).min().map(|time| now.uptime + time.since(wall));
        let same = self.note_active(wall);
        if self.changed {
            self.shown = self.all.values().map(Arc::clone).collect();
        }
        std::mem::take(&mut self.changed) || !same
    }

    /// Notes which silences are active, and returns whether they are the same as before.
    fn note_active(&mut self, now: Timestamp) -> bool {
        let next = self.generation + 1;
        let before = self.active.len();
        let all = &self.all;
        self.active.retain(|id, known| {
            let is_same = all.get(id).is_some_and(|silence| Arc::ptr_eq(silence, &known.silence));
            is_same && known.silence.state(now) == SilenceState::Active
        });
        let mut same = self.active.len() == before;
        for (id, silence) in all.iter().filter(|(_, silence)| silence.state(now) == SilenceState::Active) {
            self.active.entry(Arc::clone(id)).or_insert_with(|| {
                same = false;
                Active { silence: Arc::clone(silence), since: next }
            });
        }
        if !same {
            self.generation = next;
        }
        same
    }

    pub(in crate::alert) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Until when an alert is silenced; absent: it is not.
    pub(super) fn until(&self, alert: &Alert<'_>, now: Timestamp) -> Option<Timestamp> {
        self.fitting(alert, |silences| {
            let active = silences.iter().filter(|silence| silence.state(now) == SilenceState::Active);
            active.map(|silence| silence.ends_at).max()
        })
    }

    /// The ids of the silences that are about an alert.
    pub(in crate::alert) fn about(&self, alert: &Alert<'_>) -> Vec<Arc<str>> {
        self.fitting(alert, |silences| silences.iter().map(|silence| Arc::clone(&silence.id)).collect())
    }

    /// The same, without what is remembered of it.
    #[cfg(test)]
    pub(in crate::alert) fn about_by_asking(&self, alert: &Alert<'_>) -> Vec<Arc<str>> {
        let mut fitting = Fitting::default();
        self.update(&mut fitting, |silence| silence.is_about(|name| alert.label(name)));
        fitting.silences.iter().map(|silence| Arc::clone(&silence.id)).collect()
    }

    /// The silences that were active at the last [`Silences::advance`] and are about an alert.
    fn fitting<T>(&self, alert: &Alert<'_>, of: impl FnOnce(&[Arc<Silence>]) -> T) -> T {
        alert.fitting(|fitting| {
            self.update(fitting, |silence| silence.is_about(|name| alert.label(name)));
            of(&fitting.silences)
        })
    }

    /// Drops what is not active any more, and asks about what has become active since.
    fn update(&self, fitting: &mut Fitting, is_about: impl Fn(&Silence) -> bool) {
        let known = fitting.generation;
        if known == self.generation {
            return;
        }
        let is_active = |silence: &Arc<Silence>| {
            self.active.get(&silence.id).is_some_and(|active| Arc::ptr_eq(&active.silence, silence))
        };
        fitting.silences.retain(is_active);
        let new = self.active.values().filter(|active| active.since > known);
        let new = new.map(|active| &active.silence).filter(|silence| is_about(silence));
        fitting.silences.extend(new.map(Arc::clone));
        fitting.silences.sort_by(|a, b| a.id.cmp(&b.id));
        fitting.generation = self.generation;
    }

    /// All that are kept.
    pub(in crate::alert) fn shown(&self) -> Arc<[Arc<Silence>]> {
        Arc::clone(&self.shown)
    }

    /// The rows that have changed since the last call; without a text: delete the row.
    pub(in crate::alert) fn take_rows(&mut self) -> Vec<(String, Option<String>)> {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        // A silence is text and numbers, which JSON can always hold.
        dirty
            .map(|id| (id.to_string(), self.all.get(&id).and_then(|known| serde_json::to_string(known).ok())))
            .collect()
    }
}

/// Whether `after` may take the place of `before` under its id: what has held already stays true.
fn goes_on(before: &Silence, after: &Silence, now: Timestamp) -> bool {
    let same_start = match before.state(now) {
        SilenceState::Active => after.starts_at <= now,
        SilenceState::Pending => after.starts_at > now,
        SilenceState::Expired => false,
    };
    same_start && before.matchers == after.matchers
}

#[cfg(test)]
mod tests;

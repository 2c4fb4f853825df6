use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{CounterChange, CounterRow, Credential, Expiry, Moment, Node, NodeStatus, Timestamp, User};

/// What has changed at a target since the last digest, for the next one. It is kept only while a receiver gets digests.
///
/// Of each sort, the first [`Journal::MOST`] changes are kept, and the others are counted.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    wanted: bool,
    /// Shared, because a report is copied with every read of any part.
    logs: BTreeMap<Sort, Arc<Log>>,
    /// What fails, and since when, if that is not an outage yet.
    failing: Arc<BTreeMap<(Sort, Arc<str>), Timestamp>>,
    /// Keys of rows that are to be stored or deleted.
    dirty: BTreeSet<String>,
    /// Up to when all receivers had been told at the last look, and when that was.
    looked: Option<(Timestamp, Duration)>,
}

/// A sort of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    Renewed,
    Reset,
    New,
    Gone,
    TargetOutage,
    NodeOutage,
    OutboundOutage,
    CredentialOutage,
}

/// What has changed of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The plan of a user ends later; absent: it does not end any more.
    Renewed { from: Timestamp, to: Option<Timestamp> },
    /// A user may use more again: the limit was raised, or usage was set back.
    Reset { used_before: u64, limit_before: Option<u64> },
    /// A user was created.
    New,
    /// A user was deleted.
    Gone,
    /// A target, node, outbound or credential was down since then; without an end, it is.
    Outage { since: Timestamp, until: Option<Timestamp> },
}

/// The subject, and the begin of an outage or 0.
type Key = (Arc<str>, i64);

/// The changes of one sort.
#[derive(Clone, Debug, Default)]
struct Log {
    entries: BTreeMap<Key, Entry>,
    /// Changes beyond those, by quarters of an hour: how many, and when the last one was.
    beyond: Vec<(u64, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// When it was found.
    at: Timestamp,
    change: Change,
}

impl Journal {
    /// The most changes of each sort that are kept.
    pub const MOST: usize = 1000;
    /// How durable counters name the rows.
    pub const FAMILY: &'static str = "journal";
    /// Shorter failures are no outages.
    pub const SHORTEST_OUTAGE: Duration = Duration::from_secs(60);

    /// After this time, a change is dropped although a receiver has yet to get a digest of it.
    const LIFE: Duration = Duration::from_secs(8 * 86_400);
    /// A change stays for this long after all receivers were told of it: a daemon that is killed continues with an older
    /// list of users, and finds it again.
    const SEEN_AGAIN: Duration = Duration::from_secs(60 * 60);
    const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
    /// The most quarters of an hour of which changes are counted: a day's.
    const QUARTERS: usize = 96;

    /// Drops what need not be kept any more. All receivers of digests were told of what was found before `told`; absent:
    /// no receiver gets one.
    pub fn keep(&mut self, told: Option<Timestamp>, now: Moment) {
        self.wanted = told.is_some();
        let Some(told) = told else {
            for (sort, log) in std::mem::take(&mut self.logs) {
                self.dirty.extend(log.entries.keys().map(|key| label(sort, key)));
                self.dirty.extend(log.beyond.first().map(|_| label_of_beyond(sort)));
            }
            self.looked = None;
            return;
        };
        let same = |(before, at): (Timestamp, Duration)| {
            before == told && now.uptime.saturating_sub(at) < Self::LOOK_EVERY
        };
        if self.looked.is_some_and(same) {
            return;
        }
        self.looked = Some((told, now.uptime));
        for (sort, log) in &mut self.logs {
            // One that is full makes room for what is yet to be told.
            let is_full = log.entries.len() >= Self::MOST;
            let kept = if is_full { Duration::ZERO } else { Self::SEEN_AGAIN };
            let oldest = told.saturating_sub(kept).max(now.wall.saturating_sub(Self::LIFE));
            let is_old = |entry: &Entry| match entry.change {
                Change::Outage { until: None, .. } => false,
                Change::Outage { until: Some(until), .. } => until < oldest,
                _ => entry.at < oldest,
            };
            let changes = |entry: &Entry| is_old(entry) || entry.at > now.wall;
            let beyond = log.beyond.iter().any(|(_, at)| *at < oldest || *at > now.wall);
            if !beyond && !log.entries.values().any(changes) {
                continue;
            }
            let log = Arc::make_mut(log);
            if beyond {
                log.beyond.retain_mut(|(_, at)| {
                    *at = (*at).min(now.wall);
                    *at >= oldest
                });
                self.dirty.insert(label_of_beyond(*sort));
            }
            log.entries.retain(|key, entry| {
                if changes(entry) {
                    self.dirty.insert(label(*sort, key));
                }
                // The clock was set back since.
                entry.at = entry.at.min(now.wall);
                !is_old(entry)
            });
        }
    }

    /// A known user was read again.
    pub(super) fn user_was(&mut self, known: &User, read: &User) {
        if !self.wanted {
            return;
        }
        let (at, from) = (read.read_at, known.read_at);
        if let Expiry::At(before) = known.expiry {
            let later = |to: &Timestamp| to.since(before) > SAME_EXPIRY;
            let to = match read.expiry {
                Expiry::At(to) => Some(to).filter(later).map(Some),
                Expiry::Never => Some(None),
                Expiry::OnFirstUse(_) => None,
            };
            if let Some(to) = to {
                self.note(Sort::Renewed, &known.name, from, at, Change::Renewed { from: before, to });
            }
        }
        let raised = known.limit.is_some_and(|before| read.limit.is_none_or(|limit| limit > before));
        // A panel that corrects its count by a little has not set it back.
        let set_back = read.used < known.used / 2 && (known.limit.is_some() || read.limit.is_some());
        if raised || set_back {
            let change = Change::Reset { used_before: known.used, limit_before: known.limit };
            self.note(Sort::Reset, &known.name, from, at, change);
        }
    }

    /// A user was found at `read_at` whom a whole list before did not have.
    pub(super) fn user_is_new(&mut self, name: &Arc<str>, read_at: Timestamp) {
        if self.wanted {
            self.drop_entry(Sort::Gone, name);
            self.note(Sort::New, name, Timestamp::from_millis(i64::MIN), read_at, Change::New);
        }
    }

    /// A user does not exist any more.
    pub(super) fn user_is_gone(&mut self, name: &Arc<str>, now: Moment) {
        if self.wanted {
            for sort in [Sort::Renewed, Sort::Reset, Sort::New] {
                self.drop_entry(sort, name);
            }
            self.note(Sort::Gone, name, Timestamp::from_millis(i64::MIN), now.wall, Change::Gone);
        }
    }

    /// An attempt decided whether the target is up.
    pub fn target_was(&mut self, up: bool, now: Moment) {
        self.was(Sort::TargetOutage, &Arc::from(""), up, now);
    }

    /// A list of nodes was read. `unread` names nodes whose rows could not be read.
    pub(super) fn nodes_were(&mut self, nodes: &[Node], unread: &[Arc<str>], now: Moment) {
        let is_up = |node: &Node| {
            let up = matches!(node.status, NodeStatus::Connected | NodeStatus::Disabled);
            (!node.status_unread).then_some(up)
        };
        let listed = nodes.iter().map(|node| (&node.label, is_up(node)));
        let unread = unread.iter().map(|label| (label, None));
        self.these_were(Sort::NodeOutage, &listed.chain(unread).collect(), true, now);
    }

    /// A list of outbounds was read, each up or not, or unknown. `is_whole`: no row was left out.
    pub(super) fn outbounds_were(
        &mut self,
        outbounds: &BTreeMap<&Arc<str>, Option<bool>>,
        is_whole: bool,
        now: Moment,
    ) {
        self.these_were(Sort::OutboundOutage, outbounds, is_whole, now);
    }

    /// A list of credentials was read. `is_whole`: no row was left out.
    pub(super) fn credentials_were(&mut self, credentials: &[Credential], is_whole: bool, now: Moment) {
        let is_up = |credential: &Credential| {
            if credential.is_disabled() { Some(true) } else { credential.available }
        };
        let listed = credentials.iter().map(|credential| (&credential.label, is_up(credential)));
        self.these_were(Sort::CredentialOutage, &listed.collect(), is_whole, now);
    }

    /// Of those of which nothing is known, what was known holds. What a whole list lacks does not exist any more.
    fn these_were(
        &mut self,
        sort: Sort,
        listed: &BTreeMap<&Arc<str>, Option<bool>>,
        is_whole: bool,
        now: Moment,
    ) {
        for (name, up) in listed {
            if let Some(up) = up {
                self.was(sort, name, *up, now);
            }
        }
        let failing = self.failing.keys().filter(|(of, _)| *of == sort).map(|(_, name)| name);
        let open = self.logs.get(&sort).into_iter().flat_map(|log| log.open());
        let removed = failing.chain(open).filter(|name| is_whole && !listed.contains_key(name));
        for name in removed.cloned().collect::<Vec<_>>() {
            self.was(sort, &name, true, now);
        }
    }

    fn was(&mut self, sort: Sort, name: &Arc<str>, up: bool, now: Moment) {
        let open = self.logs.get(&sort).and_then(|log| log.open_of(name));
        if let Some((key, since)) = open {
            if up {
                self.put(sort, key, now.wall, Change::Outage { since, until: Some(now.wall.max(since)) });
            }
            return;
        }
        let place = (sort, Arc::clone(name));
        let known = self.failing.get(&place).copied();
        let since = match known {
            Some(since) => since.min(now.wall),
            None if up => return,
            None => now.wall,
        };
        let is_outage = self.wanted && now.wall.since(since) >= Self::SHORTEST_OUTAGE;
        if is_outage {
            let until = up.then_some(now.wall);
            let key = (Arc::clone(name), since.as_millis());
            self.put(sort, key, now.wall, Change::Outage { since, until });
        }
        match up || is_outage {
            true => drop(Arc::make_mut(&mut self.failing).remove(&place)),
            false => {
                if known != Some(since) {
                    Arc::make_mut(&mut self.failing).insert(place, since);
                }
            }
        }
    }

    /// Notes a change that was found at `at`, when the subject was last read at `before`.
    fn note(&mut self, sort: Sort, name: &Arc<str>, before: Timestamp, at: Timestamp, change: Change) {
        let key = (Arc::clone(name), 0);
        let known = self.logs.get(&sort).and_then(|log| log.entries.get(&key)).copied();
        let Some(known) = known else { return self.put(sort, key, at, change) };
        // An earlier process found it, and the list of users that this one started with is older.
        let is_same = known.at > before;
        match (known.change, change) {
            (Change::Renewed { from, to: known_to }, Change::Renewed { to, .. }) => {
                let at = if is_same && known_to == to { known.at } else { at };
                self.put(sort, key, at, Change::Renewed { from, to });
            }
            (Change::Reset { .. }, _) if !is_same => self.put(sort, key, at, change),
            _ => {}
        }
    }

    fn put(&mut self, sort: Sort, key: Key, at: Timestamp, change: Change) {
        let log = Arc::make_mut(self.logs.entry(sort).or_default());
        let entry = Entry { at, change };
        if log.entries.get(&key) == Some(&entry) {
            return;
        }
        if log.entries.len() >= Self::MOST && !log.entries.contains_key(&key) {
            log.count(at, self.looked.map(|(told, _)| told));
            self.dirty.insert(label_of_beyond(sort));
            return;
        }
        self.dirty.insert(label(sort, &key));
        log.entries.insert(key, entry);
    }

    fn drop_entry(&mut self, sort: Sort, name: &Arc<str>) {
        let Some(log) = self.logs.get_mut(&sort) else { return };
        let key = (Arc::clone(name), 0);
        if log.entries.contains_key(&key) {
            Arc::make_mut(log).entries.remove(&key);
            self.dirty.insert(label(sort, &key));
        }
    }

    /// The changes of a sort that were found, or for an outage that ended, after `since`; and how many more there were.
    pub fn since(&self, sort: Sort, since: Timestamp) -> (impl Iterator<Item = (&Arc<str>, Change)>, u64) {
        let log = self.logs.get(&sort);
        let entries = log.into_iter().flat_map(|log| &log.entries);
        let new = entries.filter(move |(_, Entry { at, change })| {
            *at > since || matches!(change, Change::Outage { until: None, .. })
        });
        let beyond = log.into_iter().flat_map(|log| &log.beyond).filter(|(_, at)| *at > since);
        let beyond = beyond.fold(0, |sum: u64, (count, _)| sum.saturating_add(*count));
        (new.map(|((name, _), entry)| (name, entry.change)), beyond)
    }

    /// The changes of rows since the last call.
    pub fn take_changes(&mut self) -> Option<CounterChange> {
        let mut change = CounterChange { family: Self::FAMILY.to_owned(), ..CounterChange::default() };
        for label in std::mem::take(&mut self.dirty) {
            match self.values(&label) {
                Some(values) => change.rows.push(CounterRow { labels: label, values }),
                None => change.gone.push(label),
            }
        }
        (!change.rows.is_empty() || !change.gone.is_empty()).then_some(change)
    }

    /// Continues with what was stored. What is known already is newer. Rows that cannot be read are deleted.
    pub fn restore(&mut self, rows: &[CounterRow]) {
        for row in rows {
            if self.restore_row(row).is_none() {
                self.dirty.insert(row.labels.clone());
            }
        }
    }

    fn restore_row(&mut self, row: &CounterRow) -> Option<()> {
        let (sort, key) = split(&row.labels)?;
        let log = Arc::make_mut(self.logs.entry(sort).or_default());
        match (key, row.values.as_slice()) {
            (None, values @ [_, _, ..]) => {
                let (quarters, _) = values.as_chunks();
                let quarter = |[count, at]: &[u64; 2]| Some((*count, timestamp(*at)?));
                let beyond = quarters.iter().take(Self::QUARTERS).map(quarter).collect::<Option<Vec<_>>>()?;
                if log.beyond.is_empty() {
                    log.beyond = beyond;
                }
            }
            (Some(key), [at, values @ ..]) => {
                let entry = Entry { at: timestamp(*at)?, change: change(sort, values)? };
                if log.entries.len() < Self::MOST {
                    log.entries.entry(key).or_insert(entry);
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The values of a row; absent: there is none.
    fn values(&self, label: &str) -> Option<Vec<u64>> {
        let (sort, key) = split(label)?;
        let log = self.logs.get(&sort)?;
        let Some(key) = key else {
            let beyond = log.beyond.iter().flat_map(|(count, at)| [*count, millis(*at)]);
            return Some(beyond.collect()).filter(|values: &Vec<u64>| !values.is_empty());
        };
        let Entry { at, change } = log.entries.get(&key)?;
        let mut values = vec![millis(*at)];
        values.extend(match *change {
            Change::New | Change::Gone => Vec::new(),
            Change::Renewed { from, to } => vec![millis(from), to.map_or(NONE, millis)],
            Change::Reset { used_before, limit_before } => vec![used_before, limit_before.unwrap_or(NONE)],
            Change::Outage { since, until } => vec![millis(since), until.map_or(NONE, millis)],
        });
        Some(values)
    }
}

/// An expiry moved by less is the same: panels compute it again with a difference of a few seconds.
const SAME_EXPIRY: Duration = Duration::from_secs(60 * 60);

impl Log {
    /// Counts a change beyond those that are kept. What a digest has said already is counted apart.
    fn count(&mut self, at: Timestamp, told: Option<Timestamp>) {
        let quarter = |at: Timestamp| at.as_millis().div_euclid(15 * 60 * 1000);
        match self.beyond.last_mut() {
            Some((count, last)) if quarter(*last) == quarter(at) && told.is_none_or(|told| *last > told) => {
                (*count, *last) = (count.saturating_add(1), at.max(*last));
            }
            _ => self.beyond.push((1, at)),
        }
        if self.beyond.len() > Journal::QUARTERS {
            let (oldest, _) = self.beyond.remove(0);
            self.beyond[0].0 = self.beyond[0].0.saturating_add(oldest);
        }
    }

    /// The names of those whose outage has not ended.
    fn open(&self) -> impl Iterator<Item = &Arc<str>> {
        let is_open = |entry: &Entry| matches!(entry.change, Change::Outage { until: None, .. });
        self.entries.iter().filter(move |(_, entry)| is_open(entry)).map(|((name, _), _)| name)
    }

    fn open_of(&self, name: &Arc<str>) -> Option<(Key, Timestamp)> {
        let (first, last) = ((Arc::clone(name), i64::MIN), (Arc::clone(name), i64::MAX));
        self.entries.range(first..=last).find_map(|(key, entry)| match entry.change {
            Change::Outage { since, until: None } => Some((key.clone(), since)),
            _ => None,
        })
    }
}

impl Sort {
    const ALL: [Sort; 8] = [
        Sort::Renewed,
        Sort::Reset,
        Sort::New,
        Sort::Gone,
        Sort::TargetOutage,
        Sort::NodeOutage,
        Sort::OutboundOutage,
        Sort::CredentialOutage,
    ];

    fn word(self) -> &'static str {
        match self {
            Sort::Renewed => "renewed",
            Sort::Reset => "reset",
            Sort::New => "new",
            Sort::Gone => "gone",
            Sort::TargetOutage => "target",
            Sort::NodeOutage => "node",
            Sort::OutboundOutage => "outbound",
            Sort::CredentialOutage => "credential",
        }
    }
}

/// What is not there, in a row of integers.
const NONE: u64 = u64::MAX;

/// The labels of a row: the sort, the begin of an outage or 0, and the name, which may contain anything.
fn label(sort: Sort, (name, begin): &Key) -> String {
    format!("{} {begin} {name}", sort.word())
}

fn label_of_beyond(sort: Sort) -> String {
    sort.word().to_owned()
}

/// The sort and key of a row; without a key, the row counts changes beyond those that are kept.
fn split(label: &str) -> Option<(Sort, Option<Key>)> {
    let (word, key) = label.split_once(' ').map_or((label, None), |(word, key)| (word, Some(key)));
    let sort = Sort::ALL.into_iter().find(|sort| sort.word() == word)?;
    let Some(key) = key else { return Some((sort, None)) };
    let (begin, name) = key.split_once(' ')?;
    Some((sort, Some((name.into(), begin.parse().ok()?))))
}

fn change(sort: Sort, values: &[u64]) -> Option<Change> {
    let some = |value: u64| Some(value).filter(|value| *value != NONE);
    let time = |value: u64| match some(value) {
        Some(value) => timestamp(value).map(Some),
        None => Some(None),
    };
    Some(match (sort, values) {
        (Sort::Renewed, [from, to]) => Change::Renewed { from: timestamp(*from)?, to: time(*to)? },
        (Sort::Reset, [used_before, limit_before]) => {
            Change::Reset { used_before: *used_before, limit_before: some(*limit_before) }
        }
        (Sort::New, []) => Change::New,
        (Sort::Gone, []) => Change::Gone,
        (
            Sort::TargetOutage | Sort::NodeOutage | Sort::OutboundOutage | Sort::CredentialOutage,
            [since, until],
        ) => Change::Outage { since: timestamp(*since)?, until: time(*until)? },
        _ => return None,
    })
}

/// Since the epoch; nothing is noted of a time before that.
fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(0)
}

fn timestamp(millis: u64) -> Option<Timestamp> {
    i64::try_from(millis).ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests;

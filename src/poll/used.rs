//! Gives what the target's users, nodes and client keys have used to the history of use: the same totals that metrics show.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    model::{Fact, Move, Part, Report, Timestamp},
    store::{Counted, Usage},
};

/// What the history has got of one target.
#[derive(Debug)]
pub(super) struct Used {
    usage: Usage,
    /// Those that come with the list of nodes.
    nodes: Totals,
    /// Those that come with the usage of nodes.
    node_traffic: Totals,
    keys: Totals,
    /// Whether the history knows that this loop reads the target now.
    has_begun: bool,
}

/// The totals of few subjects, as they were last read.
#[derive(Debug, Default)]
struct Totals {
    /// Absent: not read yet.
    known: Option<HashMap<Arc<str>, (u64, Timestamp)>>,
    /// When the last list was read.
    read: Option<Timestamp>,
}

impl Used {
    pub(super) fn new(usage: Usage) -> Self {
        Used {
            usage,
            nodes: Totals::default(),
            node_traffic: Totals::default(),
            keys: Totals::default(),
            has_begun: false,
        }
    }

    /// Something that is counted was read and is in the report. `usual` is how old it may become.
    pub(super) fn were_read(
        &mut self,
        (counted, part): (Counted, Part),
        report: &mut Report,
        usual: Duration,
        now: Timestamp,
    ) {
        let moves = match counted {
            Counted::Users => report.moves.take(),
            Counted::Nodes => {
                let totals: Vec<_> = report.node_totals(part).collect();
                let known = if part == Part::Nodes { &mut self.nodes } else { &mut self.node_traffic };
                let is_empty = totals.is_empty();
                let moves = known.were(totals, now);
                // Most panels give no totals with one of the two parts.
                if is_empty {
                    return;
                }
                moves
            }
            Counted::Keys => self.keys.were(tokens(report).into_iter().collect(), now),
        };
        let id = report.id();
        if !std::mem::replace(&mut self.has_begun, true) {
            self.usage.begins(&id);
        }
        self.usage.saw(&id, counted, moves, usual, now);
        if counted == Counted::Users {
            report.used_today = self.usage.used_today(&id);
            if let Some(mut rates) = self.usage.take_rates(&id) {
                rates.share_names(report.users.list());
                report.rates = Some(Arc::new(rates));
            }
        }
    }

    /// Writes what the target has used.
    pub(super) async fn write(&self, report: &Report) {
        self.usage.write_of(&report.id()).await;
    }
}

/// What a fact says the use of, and the part that it is of.
pub(super) fn counted(fact: &Fact) -> Option<(Counted, Part)> {
    match fact {
        Fact::Users(_) => Some((Counted::Users, Part::Users)),
        Fact::Nodes(_) => Some((Counted::Nodes, Part::Nodes)),
        Fact::NodeTraffic(_) => Some((Counted::Nodes, Part::Usage)),
        Fact::LlmUsage(_) => Some((Counted::Keys, Part::Usage)),
        _ => None,
    }
}

/// The tokens of each client key, all models together.
fn tokens(report: &Report) -> BTreeMap<&Arc<str>, u64> {
    let mut tokens = BTreeMap::<_, u64>::new();
    for row in &report.llm_usage.rows {
        let sum = tokens.entry(&row.api_key).or_default();
        *sum = sum.saturating_add(row.tokens.total);
    }
    tokens
}

impl Totals {
    /// The totals that have moved, or are read for the first time.
    fn were(&mut self, read: Vec<(&Arc<str>, u64)>, now: Timestamp) -> Vec<Move> {
        let listed: HashSet<_> = read.iter().map(|(name, _)| *name).collect();
        // One that comes while another one goes may be the same under another name, and what it has used is not new.
        let lost = self.known.as_ref().is_none_or(|known| known.keys().any(|name| !listed.contains(name)));
        let last_list = self.read.replace(now);
        let known = self.known.get_or_insert_default();
        let mut moves = Vec::new();
        for (name, total) in &read {
            let before = known.get(*name).copied();
            if before.is_none_or(|(before, _)| before != *total) {
                moves.push(Move {
                    name: Arc::clone(name),
                    before: before.map(|(total, _)| total).or((!lost).then_some(0)),
                    was_missing: before.is_none() && last_list.is_some(),
                    total: *total,
                    last_read: before.map(|(_, at)| at).or(last_list),
                    ..Move::default()
                });
            }
        }
        *known = read.into_iter().map(|(name, total)| (Arc::clone(name), (total, now))).collect();
        moves
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        clock::Clock,
        model::{Counter, Marks, NodeTraffic, User, UserFacts, WholeList},
        store::{By, SubjectKind, UsageQuery},
    };

    #[tokio::test]
    async fn rates_come_with_the_next_read_of_users() {
        let clock = Clock::starting_at(Timestamp::from_secs(1_795_000_000));
        let usage = Usage::in_memory(&clock, TimeZone::UTC);
        let (mut used, mut report) = (Used::new(usage.clone()), Report::new("home"));
        report.moves.collect(clock.now().wall);
        for (day, known) in [(0, None), (1, Some(Some(0))), (2, Some(None)), (3, Some(Some(136)))] {
            let now = clock.now();
            let users =
                vec![User { traffic: Counter::new(day * 100), read_at: now.wall, ..User::named("ann") }];
            let whole = WholeList { users, started: now, ..WholeList::default() };
            report.merge(Fact::Users(UserFacts::Whole(whole)), now);
            let usual = Duration::from_secs(2 * 86_400);
            used.were_read((Counted::Users, Part::Users), &mut report, usual, now.wall);
            assert_eq!(report.rates.as_ref().map(|rates| rates.of("ann")), known, "day {day}");
            usage.write().await;
            clock.step(86_400_000);
        }
    }

    /// The list of nodes is read on while their usage cannot be.
    #[tokio::test]
    async fn a_total_is_as_old_as_the_part_that_it_comes_with() {
        // Minutes between two readings of the usage, over a midnight.
        for (minutes, is_marked) in [(60, true), (10, false)] {
            let midnight = Timestamp::from_secs(1_794_960_000);
            let clock = Clock::starting_at(midnight.saturating_add_millis(-5 * 60_000));
            let usage = Usage::in_memory(&clock, TimeZone::UTC);
            let (mut used, mut report) = (Used::new(usage.clone()), Report::new("home"));
            let mut read = |bytes: Option<u64>| {
                let fact = match bytes {
                    None => Fact::Nodes(Vec::new()),
                    Some(uplink) => {
                        Fact::NodeTraffic(vec![NodeTraffic { node: "a".into(), uplink, downlink: 0 }])
                    }
                };
                let counted = counted(&fact).unwrap();
                report.merge(fact, clock.now());
                used.were_read(counted, &mut report, Duration::from_secs(15 * 60), clock.now().wall);
            };
            read(Some(7));
            for _ in 0..minutes {
                clock.step(60_000);
                read(None);
            }
            read(Some(9));
            usage.write().await;
            let query = UsageQuery {
                target: "home".into(),
                kind: SubjectKind::Node,
                name: None,
                by: By::Day,
                periods: i32::MIN..=i32::MAX,
                after: None,
                limit: 10,
            };
            let rows =
                usage.rows(&query).unwrap().into_iter().map(|row| (row.used, row.marks.has(Marks::GAP)));
            let rows: Vec<_> = rows.filter(|(used, _)| *used > 0).collect();
            assert_eq!(rows, [(2, is_marked)], "{minutes}");
        }
    }

    #[test]
    fn what_is_new_came_after_the_last_list() {
        let mut totals = Totals::default();
        let names: Vec<Arc<str>> = ["a", "b"].map(Arc::from).to_vec();
        let at = Timestamp::from_secs;
        totals.were(vec![(&names[0], 1)], at(5));
        let moves = totals.were(vec![(&names[0], 1), (&names[1], 2)], at(9));
        let moves: Vec<_> = moves.iter().map(|read| (&*read.name, read.before, read.last_read)).collect();
        assert_eq!(moves, [("b", Some(0), Some(at(5)))]);
    }

    #[test]
    fn few_totals_are_compared_with_those_before() {
        let mut totals = Totals::default();
        let mut were = |read: &[(&str, u64)]| {
            let names: Vec<(Arc<str>, u64)> =
                read.iter().map(|(name, total)| ((*name).into(), *total)).collect();
            let read = names.iter().map(|(name, total)| (name, *total)).collect();
            let moves = totals.were(read, Timestamp::default()).into_iter();
            moves.map(|read| (read.name.to_string(), read.before, read.total)).collect::<Vec<_>>()
        };
        let moved = |name: &str, before, total| (name.to_owned(), before, total);
        assert_eq!(were(&[("a", 7), ("b", 1)]), [moved("a", None, 7), moved("b", None, 1)]);
        assert_eq!(
            were(&[("a", 7), ("b", 3), ("new", 5)]),
            [moved("b", Some(1), 3), moved("new", Some(0), 5)]
        );
        // One has another name.
        assert_eq!(
            were(&[("a", 8), ("renamed", 3), ("new", 5)]),
            [moved("a", Some(7), 8), moved("renamed", None, 3)]
        );
    }
}

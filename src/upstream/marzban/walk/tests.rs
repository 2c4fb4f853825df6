use std::collections::{BTreeSet, HashMap};

use super::*;

/// A panel with a sorted list, some of whose rows make it fail.
#[derive(Default)]
struct Panel {
    names: BTreeSet<String>,
    poisoned: BTreeSet<String>,
    requests: Vec<Span>,
    /// What it says of its number of users.
    counts: Option<fn(usize) -> Option<usize>>,
}

impl Panel {
    fn with(count: usize) -> Self {
        Panel { names: (0..count).map(|i| format!("u{i:05}")).collect(), ..Panel::default() }
    }

    fn ask(&mut self, span: Span) -> Option<Page> {
        self.requests.push(span);
        let rows: Vec<_> = self.names.iter().skip(span.offset).take(span.limit).collect();
        if rows.iter().any(|name| self.poisoned.contains(*name)) {
            return None;
        }
        let rows = rows.into_iter().map(|name| Ok(User::named(name))).collect();
        let count = self.names.len();
        Some(Page { rows, total: self.counts.map_or(Some(count), |counts| counts(count)) })
    }
}

/// Walks to the end, while `meanwhile` changes the panel between requests. Counts how often each user was
/// returned.
fn walk(panel: &mut Panel, mut meanwhile: impl FnMut(&mut Panel)) -> (HashMap<String, usize>, WalkEnd) {
    let mut walk = Walk::new(Moment::default(), PAGE);
    let mut got = HashMap::new();
    for _ in 0..100_000 {
        match panel.ask(walk.next()) {
            None => walk.failed(UnreadableCause::PanelFails).unwrap(),
            Some(page) => match walk.answered(page, PAGE) {
                Advance::More(users) => {
                    users.iter().for_each(|user| *got.entry(user.name.to_string()).or_default() += 1);
                }
                Advance::End(end) => {
                    end.page.iter().for_each(|user| *got.entry(user.name.to_string()).or_default() += 1);
                    return (got, end);
                }
            },
        }
        meanwhile(panel);
    }
    panic!("the walk does not end");
}

#[test]
fn a_quiet_list_is_read_page_by_page_with_one_row_of_overlap() {
    let mut panel = Panel::with(1200);
    let (got, end) = walk(&mut panel, |_| {});
    assert_eq!(got.len(), 1200);
    assert_eq!(end.seen.len(), 1200);
    let spans: Vec<_> = panel.requests.iter().map(|span| (span.offset, span.limit)).collect();
    assert_eq!(spans, [(0, 500), (499, 501), (999, 501)]);
}

#[test]
fn a_list_ends_with_its_first_page_that_is_not_full() {
    for (count, requests) in [(0, 1), (1, 1), (499, 1), (500, 2), (501, 2), (1000, 3)] {
        let mut panel = Panel::with(count);
        assert_eq!(walk(&mut panel, |_| {}).0.len(), count);
        assert_eq!(panel.requests.len(), requests, "{count}");
    }
}

#[test]
fn a_panels_own_count_ends_no_walk() {
    type Counts = fn(usize) -> Option<usize>;
    // What the panel says, and how many requests that adds.
    let cases: [(Counts, usize); 7] = [
        (|count| Some(count), 0),
        (|_| None, 0),
        (|_| Some(0), 0),
        (|count| Some(count / 2), 0),
        (|count| count.checked_sub(1), 0),
        (|count| Some(count + 1), 1),
        (|_| Some(usize::MAX), 1),
    ];
    for (counts, more) in cases {
        for (count, requests) in [(1, 1), (499, 1), (500, 2), (1200, 3)] {
            let mut panel = Panel { counts: Some(counts), ..Panel::with(count) };
            let (got, end) = walk(&mut panel, |_| {});
            let total = counts(count);
            assert_eq!((got.len(), end.seen.len(), end.total), (count, count, total));
            let last_is_full = count % PAGE == 0;
            let expected = requests + if last_is_full { 0 } else { more };
            assert_eq!(panel.requests.len(), expected, "{count} {total:?}");
        }
    }
}

#[test]
fn a_wrong_count_loses_nobody_while_the_list_changes() {
    for (seed, counts) in (0..).zip([|_| None, |_| Some(0), |count| Some(count / 3)]) {
        for seed in seed * 100..seed * 100 + 100 {
            let panel = Panel { counts: Some(counts), ..Panel::default() };
            churn(panel, seed, 0, |random| random.usize(0..12));
        }
    }
}

/// Answers a walk until it ends. Returns its end and the number of requests.
fn answer(mut page: impl FnMut(Span) -> Page) -> (WalkEnd, usize) {
    let mut walk = Walk::new(Moment::default(), PAGE);
    for requests in 1..100_000 {
        if let Advance::End(end) = walk.answered(page(walk.next()), PAGE) {
            return (end, requests);
        }
    }
    panic!("the walk does not end");
}

#[test]
fn a_panel_without_an_end_is_read_up_to_the_cap() {
    // Always new names, with a count or without one.
    let named = |row: usize| Ok(User::named(&format!("u{row}")));
    for (total, rest) in [(None, 0), (Some(10), 0), (Some(300_000), 100_000)] {
        let (end, requests) = answer(|span| {
            let rows = (span.offset..span.offset + span.limit).map(named).collect();
            Page { rows, total }
        });
        assert_eq!((end.seen.len(), end.unreadable.rows), (Users::MOST, 0));
        assert!(end.omitted >= rest.max(1) && end.omitted <= rest.max(PAGE), "{}", end.omitted);
        assert_eq!(requests, Users::MOST / PAGE + 1);
    }
    // Rows that give no user.
    for why in [LeftOut::Omitted, LeftOut::Unreadable(UnreadableCause::NoName)] {
        let rows = |span: Span| (0..span.limit).map(|_| Err(why)).collect();
        let (end, requests) = answer(|span| Page { rows: rows(span), total: None });
        assert!((Users::MOST..Users::MOST + 2 * PAGE).contains(&(end.omitted + end.unreadable.rows)));
        assert!(requests <= Users::MOST / PAGE + 1 && end.unreadable.first.len() <= Unreadable::FIRST);
    }
}

#[test]
fn a_panel_that_repeats_itself_is_left_soon() {
    let named = |row: usize| Ok(User::named(&format!("u{row}")));
    // The same page, whatever the offset; a ring; and empty pages in between.
    let rows: [fn(Span, usize) -> Vec<usize>; 3] = [
        |span, _| (0..span.limit).collect(),
        |span, _| (span.offset..span.offset + span.limit).map(|row| row % 700).collect(),
        |span, asked| if asked % 3 == 2 { vec![] } else { (0..span.limit).collect() },
    ];
    for rows in rows {
        for total in [None, Some(0), Some(usize::MAX)] {
            let mut asked = 0;
            let (end, requests) = answer(|span| {
                asked += 1;
                Page { rows: rows(span, asked).into_iter().map(named).collect(), total }
            });
            assert!((500..=700).contains(&end.seen.len()), "{}", end.seen.len());
            assert!(requests < 200, "{requests} requests");
        }
    }
}

#[test]
fn users_added_before_the_position_in_bulk_end_no_walk() {
    let mut panel = Panel { counts: Some(|_| None), ..Panel::with(1200) };
    let (got, _) = walk(&mut panel, |panel| {
        if panel.requests.len() == 1 {
            panel.names.extend((0..1500).map(|i| format!("a{i:05}")));
        }
    });
    assert!((0..1200).all(|i| got.contains_key(&format!("u{i:05}"))));
}

#[test]
fn rows_that_are_left_out_do_not_look_like_a_list_that_moved() {
    for why in [LeftOut::Omitted, LeftOut::Unreadable(UnreadableCause::NoName)] {
        // Of each five rows, one or four.
        for left_out in [1, 4] {
            let row = |row: usize| {
                if row % 5 < left_out { Err(why) } else { Ok(User::named(&format!("u{row}"))) }
            };
            let (end, requests) = answer(|span| {
                let rows = (span.offset..(span.offset + span.limit).min(1200)).map(row).collect();
                Page { rows, total: Some(1200) }
            });
            assert_eq!(end.seen.len(), 240 * (5 - left_out));
            assert_eq!((end.omitted + end.unreadable.rows, requests), (240 * left_out, 3));
        }
    }
}

#[test]
fn a_row_that_makes_the_panel_fail_costs_only_itself() {
    for poisoned in
        [vec![0], vec![777], vec![1199], vec![0, 1, 2], vec![498, 499, 500, 501], vec![3, 600, 1100]]
    {
        let mut panel = Panel::with(1200);
        panel.poisoned = poisoned.iter().map(|i| format!("u{i:05}")).collect();
        let (got, end) = walk(&mut panel, |_| {});
        assert_eq!(got.len(), 1200 - poisoned.len(), "{poisoned:?}");
        assert_eq!(end.unreadable.rows, poisoned.len(), "{poisoned:?}");
        assert!(panel.requests.len() < 4 + 40 * poisoned.len(), "{} requests", panel.requests.len());
    }
}

#[test]
fn a_row_of_wrong_types_is_counted_and_passed_over() {
    let mut walk = Walk::new(Moment::default(), PAGE);
    let rows =
        vec![Ok(User::named("a")), Err(LeftOut::Unreadable(UnreadableCause::NoName)), Ok(User::named("c"))];
    let Advance::End(end) = walk.answered(Page { rows, total: Some(3) }, PAGE) else {
        panic!("not at its end")
    };
    assert_eq!((end.page.len(), end.unreadable.rows), (2, 1));
}

#[test]
fn a_panel_that_only_fails_is_given_up() {
    let mut walk = Walk::new(Moment::default(), PAGE);
    let failures = (0..1000).take_while(|_| walk.failed(UnreadableCause::PanelFails).is_ok()).count();
    assert_eq!(failures, MAX_FAILURES);

    // In the middle of a walk, the row before decides.
    let mut panel = Panel::with(1200);
    let mut walk = Walk::new(Moment::default(), PAGE);
    assert!(matches!(walk.answered(panel.ask(walk.next()).unwrap(), PAGE), Advance::More(_)));
    let failures = (0..1000).take_while(|_| walk.failed(UnreadableCause::PanelFails).is_ok()).count();
    assert_eq!(failures, MAX_FAILURES + 1);
}

#[test]
fn many_bad_rows_side_by_side_cost_only_themselves() {
    let mut panel = Panel::with(1200);
    panel.poisoned = (600..900).map(|i| format!("u{i:05}")).collect();
    let (got, end) = walk(&mut panel, |_| {});
    assert_eq!((got.len(), end.unreadable.rows), (900, 300));
}

#[test]
fn no_request_is_larger_than_a_page_however_many_rows_are_removed() {
    let mut panel = Panel::with(20_000);
    let mut removed = false;
    let (got, _) = walk(&mut panel, |panel| {
        if panel.requests.len() == 20 && !removed {
            removed = true;
            panel.names.retain(|name| name.as_str() >= "u05000");
        }
    });
    assert_eq!(got.len(), 20_000);
    assert!(panel.requests.iter().all(|span| span.limit <= PAGE + 1));
    assert!(panel.requests.len() < 70, "{} requests", panel.requests.len());
}

#[test]
fn a_panel_that_ignores_the_limit_or_caps_it_is_read_all_the_same() {
    let mut walk = Walk::new(Moment::default(), PAGE);
    let rows = || (0..2000).map(|i| Ok(User::named(&format!("u{i}")))).collect();
    assert!(matches!(walk.answered(Page { rows: rows(), total: Some(2000) }, PAGE), Advance::More(_)));
    let Advance::End(end) = walk.answered(Page { rows: rows(), total: Some(2000) }, PAGE) else {
        panic!("not at its end")
    };
    assert_eq!(end.seen.len(), 2000);

    let mut panel = Panel::with(1000);
    let mut walk = Walk::new(Moment::default(), PAGE);
    let seen = loop {
        let mut span = walk.next();
        span.limit = span.limit.min(100);
        if let Advance::End(end) = walk.answered(panel.ask(span).unwrap(), PAGE) {
            break end.seen;
        }
    };
    assert_eq!(seen.len(), 1000);
}

#[test]
fn a_list_in_random_order_ends_too() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut walk = Walk::new(Moment::default(), PAGE);
    let mut names: Vec<_> = (0..2000).map(|i| format!("u{i}")).collect();
    for _ in 0..500 {
        random.shuffle(&mut names);
        let span = walk.next();
        let rows =
            names.iter().skip(span.offset).take(span.limit).map(|name| Ok(User::named(name))).collect();
        if let Advance::End(_) = walk.answered(Page { rows, total: Some(2000) }, PAGE) {
            return;
        }
    }
    panic!("the walk does not end");
}

/// Walks a list of up to 4000 users, of which `poisoned` make the panel fail, with up to `churn` users added or
/// removed between requests. Checks that users that stay are returned exactly once.
fn churn(panel: Panel, seed: u64, poisoned: usize, churn: impl Fn(&mut fastrand::Rng) -> usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let count = random.usize(0..4000);
    let mut panel = Panel { names: Panel::with(count).names, ..panel };
    panel.poisoned = (0..poisoned).map(|_| format!("u{:05}", random.usize(0..4000))).collect();
    let mut removed = BTreeSet::new();
    let (got, end) = walk(&mut panel, |panel| {
        for _ in 0..churn(&mut random) {
            let name = format!("u{:05}", random.usize(0..4000));
            if random.bool() {
                panel.names.remove(&name);
                removed.insert(name);
            } else {
                panel.names.insert(format!("{name}x"));
            }
        }
    });
    assert!(got.values().all(|times| *times == 1), "seed {seed}: doubled");
    let stayed = (0..count).map(|i| format!("u{i:05}")).filter(|name| !removed.contains(name));
    for name in stayed.filter(|name| !panel.poisoned.contains(name)) {
        assert!(got.contains_key(&name), "seed {seed}: {name} vanished");
        assert!(end.seen.contains(name.as_str()), "seed {seed}: {name} not seen");
    }
}

#[test]
fn users_who_stay_neither_vanish_nor_double_however_busy_the_list() {
    for seed in 0..500 {
        churn(Panel::default(), seed, 0, |random| random.usize(0..12));
    }
}

// Next to a bad row, a removal and an addition before it that cancel out within a few requests go unnoticed; with
// a change every ten requests, none of these seeds has that case.
#[test]
fn users_beside_rows_that_make_the_panel_fail_stay_too() {
    for seed in 0..500 {
        churn(Panel::default(), seed, 3, |random| usize::from(random.u8(0..10) == 0));
    }
}

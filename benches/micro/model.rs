//! Merging what was read of 100,000 users.

use divan::{Bencher, black_box};
use proxymeter::model::{
    Counter, Expiry, Fact, Moment, Report, Timestamp, User, UserFacts, WalkEnd, WholeList,
};

const USERS: usize = 100_000;
const PAGE: usize = 500;

/// Users in the order of a panel, which is not that of their names.
fn rows() -> Vec<User> {
    let row = |place: usize| User {
        used: 12_345_678_901,
        limit: Some(98_765_432_109),
        traffic: Counter::new(123_456_789_012),
        expiry: Expiry::At(Timestamp::from_secs(1_800_000_000)),
        ..User::named(&format!("user{:07}", place * 7_368_787 % 10_000_019))
    };
    (0..USERS).map(row).collect()
}

fn pages() -> Vec<Vec<User>> {
    rows().chunks(PAGE).map(<[User]>::to_vec).collect()
}

fn learn(report: &mut Report, facts: UserFacts) {
    report.merge(Fact::Users(facts), Moment::default());
}

fn walk(report: &mut Report, pages: Vec<Vec<User>>) {
    let seen = pages.iter().flatten().map(|user| user.name.clone()).collect();
    pages.into_iter().for_each(|page| learn(report, UserFacts::Page(page)));
    learn(report, UserFacts::WalkEnd(WalkEnd { seen, ..WalkEnd::default() }));
}

fn walked() -> Report {
    let mut report = Report::new("home");
    walk(&mut report, pages());
    report
}

/// The list grows page by page.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn first_walk_of_100k(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(|| (Report::new("home"), pages())).bench_values(|(mut report, pages)| {
        walk(&mut report, pages);
        report
    });
}

/// Nothing is published meanwhile.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn another_walk_of_100k(bencher: Bencher<'_, '_>) {
    let report = walked();
    bencher.with_inputs(|| (report.clone(), pages())).bench_values(|(mut report, pages)| {
        walk(&mut report, pages);
        report
    });
}

/// One page of a slow walk: the board has the list as it was before.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn page_of_a_published_list(bencher: Bencher<'_, '_>) {
    let (report, page) = (walked(), pages().swap_remove(100));
    bencher.with_inputs(|| (report.clone(), page.clone())).bench_values(|(mut report, page)| {
        learn(&mut report, UserFacts::Page(page));
        report
    });
}

/// A list that comes in one answer.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn whole_list_of_100k(bencher: Bencher<'_, '_>) {
    let report = walked();
    bencher.with_inputs(|| (report.clone(), rows())).bench_values(|(mut report, users)| {
        learn(&mut report, UserFacts::Whole(WholeList { users, ..WholeList::default() }));
        report
    });
}

/// What the exposition, the rules and the pages do.
#[divan::bench]
fn pass_over_100k(bencher: Bencher<'_, '_>) {
    let report = walked();
    bencher.bench_local(|| {
        let users = black_box(&report).users.list();
        users.iter().fold(0_u64, |sum, user| sum.wrapping_add(user.used))
    });
}

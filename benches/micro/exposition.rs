//! Writing reports as text.

use std::{sync::Arc, time::Duration};

use divan::{Bencher, black_box, counter::ItemsCount};
use proxymeter::{
    exposition::{self, Chunks, Coding, Format, Options, Shown, UserLabels},
    model::{
        ActiveAlerts, Counter, Expiry, LastOnline, Moment, Outcome, Part, PartState, Report, Timestamp, User,
        Users,
    },
};

const USERS: usize = 10_000;

fn now() -> Moment {
    Moment { wall: Timestamp::from_secs(1_795_000_000), uptime: Duration::from_secs(3600) }
}

fn user(number: usize) -> User {
    let bytes = 1_000_003 * u64::try_from(number).unwrap_or(0);
    User {
        owner: Some("admin".into()),
        used: bytes,
        limit: (!number.is_multiple_of(3)).then_some(100 << 30),
        traffic: Counter::new(7 * bytes),
        expiry: Expiry::At(Timestamp::from_secs(1_796_000_000)),
        last_online: LastOnline::seen(Timestamp::from_secs(1_794_999_000)),
        online: number.is_multiple_of(5),
        read_at: now().wall,
        ..User::named(&format!("user_{number:06}"))
    }
}

fn report(users: usize) -> Report {
    let mut report = Report { up: Some(true), ..Report::new("edge") };
    report.users = Arc::new(Users::restored((0..users).map(user).collect(), Some(now())));
    let read = PartState {
        outcome: Outcome::Up,
        last_success: Some(now()),
        last_data: Some(now()),
        duration: None,
        round: Duration::from_secs(30),
        stale_after: Duration::from_secs(600),
    };
    report.parts.insert(Part::Users, read);
    report
}

fn options() -> Options {
    Options {
        labels: UserLabels::Name,
        limit: 1_000_000,
        inbounds: false,
        used_today: false,
        budgets: Vec::new(),
    }
}

/// A whole answer of plain text, as it is streamed.
#[divan::bench]
fn write(bencher: Bencher<'_, '_>) {
    let (reports, alerts, options) = ([Arc::new(report(USERS))], Arc::<ActiveAlerts>::default(), options());
    bencher.counter(ItemsCount::new(USERS)).bench(|| {
        let shown = Shown { reports: &reports, alerts: &alerts, options: &options, now: now(), only: None };
        let pieces = exposition::write(&shown, &[], Format::Classic);
        let lines = pieces.map(|piece| black_box(piece).iter().filter(|byte| **byte == b'\n').count());
        assert!(lines.sum::<usize>() > 7 * USERS, "rows are missing");
    });
}

/// A page after all users were read again.
#[divan::bench(args = [Coding::Identity, Coding::Gzip])]
fn page(bencher: Bencher<'_, '_>, coding: Coding) {
    let (alerts, options) = (Arc::<ActiveAlerts>::default(), options());
    let mut chunks = Chunks::new(Format::Classic, coding);
    let users = report(USERS);
    bencher
        .counter(ItemsCount::new(USERS))
        .with_inputs(|| {
            let mut report = users.clone();
            Arc::make_mut(&mut report.users);
            [Arc::new(report)]
        })
        .bench_local_values(|reports| {
            let shown =
                Shown { reports: &reports, alerts: &alerts, options: &options, now: now(), only: None };
            let page = chunks.page(&shown);
            assert!(page.length > 500 * USERS, "rows are missing");
            (page, reports)
        });
}

/// A page after something else of a target was read.
#[divan::bench(args = [Coding::Identity, Coding::Gzip])]
fn page_of_the_same_users(bencher: Bencher<'_, '_>, coding: Coding) {
    let (alerts, options) = (Arc::<ActiveAlerts>::default(), options());
    let mut chunks = Chunks::new(Format::Classic, coding);
    let report = report(USERS);
    bencher.with_inputs(|| [Arc::new(report.clone())]).bench_local_values(|reports| {
        let shown = Shown { reports: &reports, alerts: &alerts, options: &options, now: now(), only: None };
        let page = chunks.page(&shown);
        assert!(page.length > 500 * USERS, "rows are missing");
        (page, reports)
    });
}

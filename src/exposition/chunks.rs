//! A page, put together from chunks that are kept until they are outdated.
//!
//! A chunk is what one target has of one family. It is written again when its target has a new report; the rows of users,
//! which are nearly all of a large page, only when the list of users itself is new, or who of them is online. Large chunks
//! are compressed each by itself, and small ones together with their neighbours. A chunk whose text is the same as before
//! is not compressed again.

use std::{
    collections::HashMap,
    mem, slice,
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};

use super::{
    alerts,
    chunk::{Body, ByFamily, Chunk},
    encoded::{BLOCK, Encoded, Encoder},
    family::Family,
    format::{Coding, Format},
    nouns::{Change, NOUNS, families},
    shown::{Shown, valid_until},
    text::{self, Sink, Text},
    user_online, user_rows,
    view::Naming,
};
use crate::model::{ActiveAlerts, Report, UserNodeTraffic};

/// Every family, in the order they are written.
static FAMILIES: LazyLock<Vec<&Family<'_>>> = LazyLock::new(|| families().collect());

/// The page of one form, and what it is made of.
pub struct Chunks {
    format: Format,
    coding: Coding,
    /// By family.
    heads: Vec<Arc<Chunk>>,
    /// In the order of the reports.
    targets: Vec<Target>,
    alerts: Option<Alerts>,
    /// Small chunks that were encoded together, by the address of the first.
    runs: HashMap<usize, Run>,
}

/// All of an answer but the daemon's own metrics.
#[derive(Debug)]
pub struct Page {
    pub text: Encoded,
    /// The daemon's uptime at which the page becomes outdated, even if no report has changed.
    pub valid_until: Duration,
    /// Bytes before compression.
    pub length: usize,
}

struct Target {
    name: Arc<str>,
    /// What the chunks are written from. Weak, so that an old report is not kept in memory.
    report: Weak<Report>,
    valid_until: Duration,
    users: user_rows::Source,
    online: user_online::Source,
    user_nodes: Weak<Vec<UserNodeTraffic>>,
    /// By family.
    chunks: Vec<Option<Arc<Chunk>>>,
}

struct Alerts {
    of: Weak<ActiveAlerts>,
    text: Encoded,
    /// Bytes before compression.
    length: usize,
}

struct Run {
    chunks: Vec<Arc<Chunk>>,
    text: Encoded,
}

impl Chunks {
    pub fn new(format: Format, coding: Coding) -> Self {
        let heads = FAMILIES.iter().map(|family| Arc::new(Chunk::small(text::head(format, family))));
        Chunks {
            format,
            coding,
            heads: heads.collect(),
            targets: Vec::new(),
            alerts: None,
            runs: HashMap::new(),
        }
    }

    /// Writes what is outdated again, and puts the page together.
    pub fn page(&mut self, shown: &Shown<'_>) -> Page {
        // One for all chunks. It is not kept: there may be as many forms as targets.
        let mut encoder = Encoder::new(self.coding);
        let namings = shown.namings();
        let mut named_as_before = self.targets.len() == shown.reports.len();
        let former =
            mem::take(&mut self.targets).into_iter().map(|target| (Arc::clone(&target.name), target));
        let mut former: HashMap<_, _> = former.collect();
        for (report, naming) in shown.reports.iter().zip(&namings) {
            let known = former.remove(&report.target);
            let (target, is_named_as_before) = self.target(known, report, naming, shown, &mut encoder);
            named_as_before &= is_named_as_before;
            self.targets.push(target);
        }
        self.write_alerts(shown, &namings, named_as_before, &mut encoder);
        let valid_until = self.targets.iter().map(|target| target.valid_until).min();
        let (text, length) = self.put_together(&mut encoder);
        Page { text, length, valid_until: valid_until.unwrap_or(Duration::MAX) }
    }

    /// The chunks of a target, and whether it names its users as it did before.
    fn target(
        &mut self,
        known: Option<Target>,
        report: &Arc<Report>,
        naming: &Naming,
        shown: &Shown<'_>,
        encoder: &mut Encoder,
    ) -> (Target, bool) {
        let view = shown.view(report, naming);
        let mut target = known.unwrap_or_else(|| Target {
            name: Arc::clone(&report.target),
            report: Weak::new(),
            valid_until: Duration::ZERO,
            users: user_rows::Source::default(),
            online: user_online::Source::default(),
            user_nodes: Weak::new(),
            chunks: FAMILIES.iter().map(|_| None).collect(),
        });
        let is_same = Weak::ptr_eq(&target.report, &Arc::downgrade(report));
        if is_same && shown.now.uptime < target.valid_until {
            return (target, true);
        }
        let users_are_same = target.users.is_still(&view);
        let online_is_same = target.online.is_still(&view);
        let mut first = 0;
        for noun in &NOUNS {
            let place = first..first + noun.families.len();
            first = place.end;
            let is_still = match noun.outdated_by {
                Change::Report => false,
                Change::Users => users_are_same,
                Change::Online => online_is_same,
            };
            if is_still {
                continue;
            }
            let Some(chunks) = target.chunks.get_mut(place) else { continue };
            let apart = ByFamily::new(noun.families, encoder, chunks);
            let mut text = Text::new(self.format, BLOCK, Sink::Apart(apart));
            noun.write(&mut text, slice::from_ref(&view));
            text.finish();
        }
        target.users = user_rows::Source::of(&view);
        if !online_is_same {
            target.online = user_online::Source::of(&view);
        }
        let user_nodes = Arc::downgrade(&report.user_nodes);
        let is_named_as_before = users_are_same && Weak::ptr_eq(&target.user_nodes, &user_nodes);
        target.user_nodes = user_nodes;
        target.report = Arc::downgrade(report);
        target.valid_until = valid_until(report, shown.now);
        (target, is_named_as_before)
    }

    fn write_alerts(
        &mut self,
        shown: &Shown<'_>,
        namings: &[Naming],
        named_as_before: bool,
        encoder: &mut Encoder,
    ) {
        let of = Arc::downgrade(shown.alerts);
        if named_as_before && self.alerts.as_ref().is_some_and(|known| Weak::ptr_eq(&known.of, &of)) {
            return;
        }
        let mut length = 0;
        let mut take = |text: &mut Vec<u8>| {
            length += text.len();
            encoder.take(text);
        };
        let mut text = Text::new(self.format, BLOCK, Sink::Whole(&mut take));
        alerts::write(&mut text, shown.alerts, namings, shown.only);
        text.finish();
        self.alerts = Some(Alerts { of, text: encoder.end(), length });
    }

    fn put_together(&mut self, encoder: &mut Encoder) -> (Encoded, usize) {
        let mut page = Assembly {
            former: mem::take(&mut self.runs),
            runs: HashMap::new(),
            encoder,
            run: Vec::new(),
            run_length: 0,
            text: Encoded::empty(self.coding),
            length: 0,
        };
        for (family, head) in self.heads.iter().enumerate() {
            let chunks = self.targets.iter().filter_map(|target| target.chunks.get(family)?.as_ref());
            let mut chunks = chunks.peekable();
            if chunks.peek().is_some() {
                page.add(head);
            }
            chunks.for_each(|chunk| page.add(chunk));
        }
        page.end_run();
        if let Some(Alerts { text, length, .. }) = &self.alerts {
            page.add_encoded(text, *length);
        }
        page.text.gather();
        self.runs = page.runs;
        (page.text, page.length)
    }
}

/// A page while it is put together.
struct Assembly<'c> {
    former: HashMap<usize, Run>,
    runs: HashMap<usize, Run>,
    encoder: &'c mut Encoder,
    /// Small chunks that are yet to be encoded, and their length.
    run: Vec<Arc<Chunk>>,
    run_length: usize,
    text: Encoded,
    length: usize,
}

impl Assembly<'_> {
    fn add(&mut self, chunk: &Arc<Chunk>) {
        if let Body::Large(text) = &chunk.body {
            self.end_run();
            return self.add_encoded(text, chunk.length);
        }
        self.run.push(Arc::clone(chunk));
        self.run_length += chunk.length;
        if self.run_length >= BLOCK {
            self.end_run();
        }
    }

    fn add_encoded(&mut self, text: &Encoded, length: usize) {
        self.text.push(text);
        self.length += length;
    }

    fn end_run(&mut self) {
        let chunks = mem::take(&mut self.run);
        self.length += mem::take(&mut self.run_length);
        let Some(first) = chunks.first() else { return };
        let key = Arc::as_ptr(first).addr();
        let is_same = |run: &Run| {
            run.chunks.len() == chunks.len() && run.chunks.iter().zip(&chunks).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        let run = self.former.remove(&key).filter(is_same).unwrap_or_else(|| {
            let mut text = Vec::with_capacity(chunks.iter().map(|chunk| chunk.length).sum());
            for chunk in &chunks {
                if let Body::Small(small) = &chunk.body {
                    text.extend_from_slice(small);
                }
            }
            self.encoder.take(&mut text);
            Run { text: self.encoder.end(), chunks }
        });
        self.text.push(&run.text);
        self.runs.insert(key, run);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;
    use crate::{
        exposition::{Options, UserLabels, join, write},
        model::{Counter, Moment, Outcome, Part, PartState, Timestamp, UsedToday, User, Users},
        secret::HashKey,
    };

    fn at(seconds: u64) -> Moment {
        let start = Moment { wall: Timestamp::from_secs(1_795_000_000), uptime: Duration::ZERO };
        start.after(Duration::from_secs(seconds))
    }

    fn user(name: usize, used: u64, read: Moment) -> User {
        let (limit, traffic, online, read_at) = (Some(1 << 40), Counter::new(used), true, read.wall);
        User { used, limit, traffic, online, read_at, ..User::named(&format!("user{name:05}")) }
    }

    /// A target whose users were read at `read`.
    fn report(target: &str, users: usize, used: u64, read: Moment) -> Report {
        let mut report = Report { up: Some(true), ..Report::new(target) };
        let users = (0..users).map(|name| user(name, used, read));
        report.users = Arc::new(Users::restored(users.collect(), Some(read)));
        report.parts.insert(Part::Users, state(Some(read)));
        report
    }

    /// A part that was read then.
    fn state(read: Option<Moment>) -> PartState {
        PartState {
            outcome: Outcome::Up,
            last_success: read,
            last_data: read,
            duration: None,
            round: Duration::from_secs(30),
            stale_after: Duration::from_secs(600),
        }
    }

    struct Forms {
        options: Options,
        alerts: Arc<ActiveAlerts>,
        plain: Chunks,
        packed: Chunks,
    }

    impl Forms {
        fn new() -> Self {
            let options = Options {
                labels: UserLabels::Name,
                limit: 100_000,
                inbounds: false,
                used_today: false,
                budgets: Vec::new(),
            };
            Forms {
                options,
                alerts: Arc::default(),
                plain: Chunks::new(Format::Classic, Coding::Identity),
                packed: Chunks::new(Format::Classic, Coding::Gzip),
            }
        }

        /// The page, which has to be the same as if all of it were written.
        fn page(&mut self, reports: &[Arc<Report>], now: Moment) -> String {
            let Forms { options, alerts, plain, packed } = self;
            let shown = Shown { reports, alerts, options, now, only: None };
            let expected = write(&shown, &[], Format::Classic).collect::<Vec<_>>().concat();
            let page = plain.page(&shown);
            let text = join(&[&page.text]).concat();
            assert!(text == expected, "kept text is outdated");
            assert_eq!(page.length, expected.len());
            let page = packed.page(&shown);
            let bytes = join(&[&page.text]).concat();
            let mut unpacked = Vec::new();
            flate2::bufread::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == expected, "kept blocks are outdated");
            assert_eq!(page.length, expected.len());
            String::from_utf8(expected).unwrap()
        }

        /// The chunks of a target by family, as they are in memory.
        fn chunks(&self, target: &str) -> HashMap<&'static str, Arc<Chunk>> {
            let target = self.packed.targets.iter().find(|known| *known.name == *target).unwrap();
            let chunks = FAMILIES.iter().zip(&target.chunks);
            chunks.filter_map(|(family, chunk)| Some((family.name, Arc::clone(chunk.as_ref()?)))).collect()
        }

        /// The families of which `target` has other chunks than before.
        fn changed(&self, target: &str, before: &HashMap<&'static str, Arc<Chunk>>) -> Vec<&'static str> {
            let now = self.chunks(target);
            let is_new = |name: &&'static str| !matches!((now.get(name), before.get(name)), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
            let mut changed: Vec<_> = now.keys().copied().filter(is_new).collect();
            changed.sort_unstable();
            changed
        }
    }

    #[test]
    fn a_new_report_outdates_what_it_changes() {
        let mut forms = Forms::new();
        // The rows of one are large, those of the other small.
        let mut reports = [report("a", 2_000, 1, at(1)), report("b", 20, 1, at(1))].map(Arc::new);
        forms.page(&reports, at(2));
        let (a, b) = (forms.chunks("a"), forms.chunks("b"));
        assert!(matches!(a["proxymeter_user_used_bytes"].body, Body::Large(_)));
        assert!(matches!(b["proxymeter_user_used_bytes"].body, Body::Small(_)));

        forms.page(&reports, at(3));
        assert!(forms.changed("a", &a).is_empty() && forms.changed("b", &b).is_empty());

        reports[0] = Arc::new(Report { up: Some(false), ..Report::clone(&reports[0]) });
        forms.page(&reports, at(4));
        assert_eq!(forms.changed("a", &a), ["proxymeter_up"]);
        assert!(forms.changed("b", &b).is_empty());

        let (a, b) = (forms.chunks("a"), forms.chunks("b"));
        reports[1] = Arc::new(report("b", 20, 2, at(1)));
        forms.page(&reports, at(5));
        assert!(forms.changed("a", &a).is_empty());
        assert_eq!(
            forms.changed("b", &b),
            ["proxymeter_user_traffic_bytes_total", "proxymeter_user_used_bytes"]
        );
    }

    #[test]
    fn a_family_of_many_pieces_has_one_head() {
        let mut forms = Forms::new();
        let reports =
            [report("a", 9_000, 1, at(1)), report("b", 20, 1, at(1)), report("c", 17_000, 1, at(1))];
        let reports = reports.map(Arc::new);
        for (labels, limit, expected) in [
            (UserLabels::Name, 100_000, 26_020),
            (UserLabels::Name, 8_999, 8_999 + 20 + 8_999),
            (UserLabels::Hash(HashKey::new(&[7; 32])), 8_999, 8_999 + 20 + 8_999),
            (UserLabels::Off, 100_000, 0),
        ] {
            forms.options = Options { labels, limit, ..forms.options };
            let text = forms.page(&reports, at(2));
            let series = text.lines().filter(|line| line.starts_with("proxymeter_user_used_bytes{"));
            assert_eq!(series.count(), expected);
            let heads = text.lines().filter(|line| line.starts_with("# TYPE proxymeter_user_used_bytes "));
            assert_eq!(heads.count(), usize::from(expected > 0));
            forms = Forms { options: forms.options, ..Forms::new() };
        }
    }

    #[test]
    fn time_outdates_who_is_online_and_what_is_stale() {
        let mut forms = Forms::new();
        // Read at a whole minute, in which pages are written again.
        let reports = [Arc::new(report("a", 2_000, 1, at(20)))];
        let mut shown = Vec::new();
        for seconds in [20, 260, 320, 380, 560, 620, 680] {
            let text = forms.page(&reports, at(seconds));
            shown.push((
                text.contains("\nproxymeter_user_online{"),
                text.contains("\nproxymeter_user_used_bytes{"),
            ));
        }
        let (all, known, none) = ((true, true), (false, true), (false, false));
        assert_eq!(shown, [all, all, known, known, known, none, none]);
    }

    #[test]
    fn midnight_outdates_what_was_used_today() {
        let mut forms = Forms::new();
        forms.options.used_today = true;
        let midnight = 46_400;
        let mut report = report("a", 1_500, 1, at(midnight - 20));
        let day = at(0).wall..at(midnight).wall;
        report.used_today = Some(Arc::new(UsedToday::new(day, vec![("user00001".into(), 7)])));
        let reports = [Arc::new(report)];
        for (seconds, is_shown) in [(midnight - 20, true), (midnight - 1, true), (midnight, false)] {
            let text = forms.page(&reports, at(seconds));
            let series = text.matches("\nproxymeter_user_used_today_bytes{").count();
            assert_eq!(series, if is_shown { 1_500 } else { 0 }, "{seconds}");
        }
    }

    #[test]
    fn any_sequence_of_changes_is_shown_as_if_all_were_written_again() {
        let mut random = fastrand::Rng::with_seed(11);
        for labels in [UserLabels::Name, UserLabels::Off] {
            let mut forms = Forms::new();
            forms.options.labels = labels;
            let mut reports: BTreeMap<&str, Arc<Report>> = BTreeMap::new();
            let mut seconds = 20;
            for _ in 0..60 {
                seconds += 60 * random.u64(0..4);
                let target = *random.choice(&["a", "b", "c", "d"]).unwrap();
                match (random.u8(..5), reports.get_mut(target)) {
                    (0, Some(_)) => drop(reports.remove(target)),
                    (1, Some(known)) => {
                        Arc::make_mut(known).up = random.choice([Some(true), Some(false), None]).unwrap();
                    }
                    (2, Some(known)) => {
                        let (known, read) = (Arc::make_mut(known), at(seconds));
                        known.online = Arc::default();
                        if random.bool() {
                            known.parts.insert(Part::Online, state(random.bool().then_some(read)));
                        }
                    }
                    (3, _) => forms.alerts = Arc::default(),
                    (_, _) => {
                        let users = *random.choice(&[0, 1, 30, 800, 1_500]).unwrap();
                        let report = report(target, users, random.u64(..), at(seconds));
                        reports.insert(target, Arc::new(report));
                    }
                }
                let list: Vec<_> = reports.values().cloned().collect();
                forms.page(&list, at(seconds));
            }
        }
    }
}

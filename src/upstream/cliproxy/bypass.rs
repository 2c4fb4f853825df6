//! Whether records flow past us: the counters of credentials grow, and hardly any record comes.
//!
//! Counters and records differ by design: counting tokens is an attempt without a record, and a client that hangs up early is
//! a record without an attempt. So only a large part of many attempts is evidence that another reader takes records.

use super::record;

/// So many attempts, over so many looks at the counters, are compared with their records. Records come later than the
/// counters grow, which matters little over this time.
const ENOUGH: u64 = 20;
const LOOKS: u32 = 6;
/// Of those that are hardly countings of tokens, fewer are enough, and also fewer looks if no record comes at all.
const FEW: u64 = 5;
const FEW_LOOKS: u32 = 3;

/// Attempts, or records of attempts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    all: u64,
    /// Those at providers whose own API counts no tokens.
    plain: u64,
}

impl Count {
    pub(super) fn add(&mut self, provider: &str, more: u64) {
        let plain = if record::counts_tokens(provider) { 0 } else { more };
        self.join(Count { all: more, plain });
    }

    fn join(&mut self, Count { all, plain }: Count) {
        self.all = self.all.saturating_add(all);
        self.plain = self.plain.saturating_add(plain);
    }

    fn since(self, before: Count) -> Count {
        let Count { all, plain } = before;
        Count { all: self.all.saturating_sub(all), plain: self.plain.saturating_sub(plain) }
    }
}

/// Compares the growth of counters with the records that came.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// All growth of counters and all records so far.
    attempts: Count,
    records: Count,
    /// These two when the comparison began.
    begun: Option<(Count, Count)>,
    looks: u32,
    /// These two when the counters were last read. The records of all those attempts have come when the queue is empty
    /// again.
    looked: Option<(Count, Count)>,
}

impl Watch {
    /// The counters grew by so many attempts.
    pub(super) fn grew(&mut self, attempts: Count) {
        self.attempts.join(attempts);
        if self.begun.is_none() {
            self.begun = Some((self.attempts, self.records));
            self.looks = 0;
        } else {
            self.looks += 1;
            self.looked = Some((self.attempts, self.records));
        }
    }

    /// So many records came, and the queue is empty. Returns the attempts that other readers have the records of.
    pub(super) fn took(&mut self, records: Count) -> u64 {
        self.records.join(records);
        let (Some((attempts, before)), Some(looked)) = (self.begun, self.looked.take()) else { return 0 };
        // What came since the counters were read counts in this comparison and in the next one, in favour of the records.
        let (attempts, records) = (looked.0.since(attempts), self.records.since(before));
        let enough = attempts.all >= ENOUGH && self.looks >= LOOKS;
        let nothing_came = records.all == 0 && attempts.plain >= FEW && self.looks >= FEW_LOOKS;
        if !enough && !nothing_came {
            return 0;
        }
        self.begun = Some(looked);
        self.looks = 0;
        // Half is what a second reader takes. But clients may have tokens counted as often as they like.
        let few_came = attempts.plain >= FEW && records.plain < attempts.plain.saturating_mul(3) / 5;
        if few_came || records.all == 0 { attempts.all.saturating_sub(records.all) } else { 0 }
    }

    /// What came so far proves nothing: records were lost, or the server recorded none.
    pub(super) fn begins_again(&mut self) {
        (self.begun, self.looked, self.looks) = (None, None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many attempts, of which so many may be countings of tokens.
    fn count(all: u64, counting: u64) -> Count {
        Count { all, plain: all - counting }
    }

    /// What is found when the counters grow and records come, time and again.
    fn found(steps: &[(u64, u64)], times: usize) -> u64 {
        let plain = steps.iter().map(|(attempts, records)| (count(*attempts, 0), count(*records, 0)));
        found_of(&plain.collect::<Vec<_>>(), times)
    }

    fn found_of(steps: &[(Count, Count)], times: usize) -> u64 {
        let mut watch = Watch::default();
        watch.grew(count(1000, 0));
        let steps = steps.iter().cycle().take(steps.len() * times);
        steps
            .map(|(attempts, records)| {
                watch.grew(*attempts);
                watch.took(*records)
            })
            .sum()
    }

    #[test]
    fn a_second_reader_is_found_and_differences_by_design_are_not() {
        for (steps, expected, why) in [
            (&[(100, 100)][..], 0, "all of them come"),
            (&[(100, 120)], 0, "clients hang up"),
            (&[(0, 0)], 0, "no traffic"),
            (&[(1, 0), (0, 1)], 0, "the record comes later"),
            (&[(30, 0), (0, 30), (0, 0)], 0, "the records come at once, but later"),
            (&[(100, 0)], 900, "another reader takes all of them"),
            (&[(100, 45)], 330, "another reader takes half of them"),
            (&[(2, 0)], 18, "a few, and none comes"),
            (&[(1, 0), (0, 0), (0, 0)], 10, "one now and then, and none comes"),
        ] {
            assert_eq!(found(steps, 10), expected, "{why}");
        }
    }

    #[test]
    fn countings_of_tokens_are_no_other_reader_however_many_they_are() {
        for (attempts, records, expected, why) in [
            (count(100, 100), count(75, 75), 0, "a quarter is countings"),
            (count(40, 40), count(20, 20), 0, "one for each message"),
            (count(40, 40), count(2, 2), 0, "nearly all"),
            (count(60, 40), count(40, 20), 0, "one for each message of one provider of two"),
            (count(100, 60), count(50, 30), 300, "another reader takes half of both"),
            (count(40, 40), count(0, 0), 240, "no record comes at all"),
        ] {
            assert_eq!(found_of(&[(attempts, records)], 6), expected, "{why}");
        }
    }

    #[test]
    fn after_a_gap_it_begins_again() {
        let mut watch = Watch::default();
        watch.grew(count(5, 0));
        watch.grew(count(100, 0));
        watch.begins_again();
        assert_eq!(watch.took(Count::default()), 0);
        watch.grew(count(100, 0));
        assert_eq!(watch.took(Count::default()), 0);
    }

    #[test]
    fn a_burst_of_countings_is_no_other_reader() {
        for (attempts, counting, expected) in [(15, 15, 0), (15, 12, 0), (15, 0, 15)] {
            let mut watch = Watch::default();
            watch.grew(count(1000, 0));
            let mut found = 0;
            for step in [(attempts, counting), (0, 0), (0, 0), (0, 0)] {
                watch.grew(count(step.0, step.1));
                found += watch.took(Count::default());
            }
            assert_eq!(found, expected, "{attempts} {counting}");
        }
    }
}

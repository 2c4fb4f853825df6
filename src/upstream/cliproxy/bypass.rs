//! Whether records flow past us: the counters of credentials grow, and hardly any record comes.
//!
//! Counters and records differ by design: counting tokens is an attempt without a record, and a client that hangs up early is
//! a record without an attempt. So only a large part of many attempts is evidence that another reader takes records.

/// So many attempts, over so many looks at the counters, are compared with their records. Records come later than the
/// counters grow, which matters little over this time.
const ENOUGH: u64 = 20;
const LOOKS: u32 = 6;
/// Fewer are enough if no record comes at all, and none of them can be a counting of tokens.
const FEW: u64 = 5;
const FEW_LOOKS: u32 = 3;

/// Compares the growth of counters with the records that came.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// All growth of counters and all records so far.
    attempts: u64,
    records: u64,
    /// These two when the comparison began.
    begun: Option<(u64, u64)>,
    /// Attempts since then that may have been countings of tokens.
    counting: u64,
    looks: u32,
    /// These two when the counters were last read. The records of all those attempts have come when the queue is empty
    /// again.
    looked: Option<(u64, u64)>,
}

impl Watch {
    /// The counters grew by so many attempts, of which so many may have been countings of tokens.
    pub(super) fn grew(&mut self, attempts: u64, counting: u64) {
        self.attempts = self.attempts.saturating_add(attempts);
        if self.begun.is_none() {
            self.begun = Some((self.attempts, self.records));
            (self.looks, self.counting) = (0, 0);
        } else {
            self.looks += 1;
            self.counting = self.counting.saturating_add(counting);
            self.looked = Some((self.attempts, self.records));
        }
    }

    /// So many records came, and the queue is empty. Returns the attempts that other readers have the records of.
    pub(super) fn took(&mut self, records: u64) -> u64 {
        self.records = self.records.saturating_add(records);
        let (Some((attempts, before)), Some(looked)) = (self.begun, self.looked.take()) else { return 0 };
        // What came since the counters were read counts in this comparison and in the next one, in favour of the records.
        let (attempts, records) = (looked.0.saturating_sub(attempts), self.records.saturating_sub(before));
        let enough = attempts >= ENOUGH && self.looks >= LOOKS;
        let others = attempts.saturating_sub(self.counting);
        let nothing_came = records == 0 && others >= FEW && self.looks >= FEW_LOOKS;
        if !enough && !nothing_came {
            return 0;
        }
        self.begun = Some(looked);
        (self.looks, self.counting) = (0, 0);
        // A quarter is what clients count tokens for, at most; half is what a second reader takes.
        if records < attempts.saturating_mul(3) / 5 { attempts - records } else { 0 }
    }

    /// What came so far proves nothing: records were lost, or the server recorded none.
    pub(super) fn begins_again(&mut self) {
        (self.begun, self.looked, self.looks) = (None, None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when the counters grow and records come, time and again.
    fn found(steps: &[(u64, u64)], times: usize) -> u64 {
        let mut watch = Watch::default();
        watch.grew(1000, 0);
        let steps = steps.iter().cycle().take(steps.len() * times);
        steps
            .map(|(attempts, records)| {
                watch.grew(*attempts, 0);
                watch.took(*records)
            })
            .sum()
    }

    #[test]
    fn a_second_reader_is_found_and_differences_by_design_are_not() {
        for (steps, expected, why) in [
            (&[(100, 100)][..], 0, "all of them come"),
            (&[(100, 75)], 0, "tokens are counted"),
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
    fn after_a_gap_it_begins_again() {
        let mut watch = Watch::default();
        watch.grew(5, 0);
        watch.grew(100, 0);
        watch.begins_again();
        assert_eq!(watch.took(0), 0);
        watch.grew(100, 0);
        assert_eq!(watch.took(0), 0);
    }

    #[test]
    fn a_burst_of_countings_is_no_other_reader() {
        for (attempts, counting, expected) in [(15, 15, 0), (15, 12, 0), (15, 0, 15)] {
            let mut watch = Watch::default();
            watch.grew(1000, 0);
            let mut found = 0;
            for step in [(attempts, counting), (0, 0), (0, 0), (0, 0)] {
                watch.grew(step.0, step.1);
                found += watch.took(0);
            }
            assert_eq!(found, expected, "{attempts} {counting}");
        }
    }
}

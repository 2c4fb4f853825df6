use std::{ops::Range, sync::Arc, time::Duration};

use crate::model::{Budget, Credential, Inbound, LlmUsage, Moment, Rates, Reading, Reads, Timestamp, Users};

/// Which subjects were looked at. Missing data never resolves an alert.
#[derive(Clone, Debug)]
pub enum Judged {
    /// What is known is not fit to be judged by: stale, of a part that fails, or not yet whole.
    Nothing,
    /// These, and of others nothing is known. The empty name is the target itself.
    Those(Vec<Arc<str>>),
    Users(Arc<Users>),
    /// The traffic of these within a time. If it was not watched for the whole of that time, users may have moved more.
    Traffic {
        users: Arc<Users>,
        is_whole: bool,
    },
    /// When the quota of these is used up, if it is known how fast they use it.
    Forecasts {
        users: Arc<Users>,
        rates: Arc<Rates>,
    },
    /// All inbounds there are; if they are not `whole`, some may be missing.
    Inbounds {
        list: Arc<Vec<Inbound>>,
        whole: bool,
    },
    /// All credentials there are; if they are not `whole`, some may be missing.
    Credentials {
        list: Arc<Vec<Credential>>,
        whole: bool,
    },
    /// All client keys there are.
    Keys {
        usage: Arc<LlmUsage>,
        budget: Budget,
    },
    /// The operator has turned off what the rule asks about.
    TurnedOff,
    /// All there are, by name.
    Named(Vec<(Arc<str>, Switch)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    /// The panel's operator has turned it off.
    Off,
    /// It exists, and what is known of it does not suffice to judge it.
    Unknown,
}

/// One subject that has crossed steps of one rule, or holds some that it crossed earlier.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    /// Empty where the subject is the target.
    pub subject: Arc<str>,
    /// The steps that are crossed.
    pub crossed: Range<usize>,
    /// The steps below this one stay crossed if they were.
    pub held: usize,
    /// So long ago that it ends without a notice.
    pub over: bool,
    /// Its steps have been crossed for long enough, whatever the rule's `for`.
    pub long_enough: bool,
    /// Absent: the one before is still the cause. A crossed step always has one.
    pub reading: Option<Reading>,
    /// When it was read, where an old reading has to be read again before it may fire.
    pub read: Option<Read>,
    /// Since when it is as it is, good or bad, if that is known from earlier reads.
    pub since: Option<Moment>,
}

/// How old a reading is, and what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub at: Timestamp,
    /// The steps below this one were crossed when it was read, and not by time passing since.
    pub crossed_then: usize,
    /// The panel treats the subject as if its time had not come, although it has long come by our clock.
    pub contradicted: bool,
}

impl Crossing {
    pub(super) fn simple(subject: Arc<str>, crossed: usize, reading: Reading) -> Self {
        Crossing {
            subject,
            crossed: 0..crossed,
            held: crossed,
            over: false,
            long_enough: false,
            reading: Some(reading),
            read: None,
            since: None,
        }
    }

    /// Whether a step is crossed or held.
    pub(super) fn is_any(&self) -> bool {
        self.held > 0 || !self.crossed.is_empty()
    }

    /// A subject that is up or down, by its reads. One that flaps is down at none of its reads for long, so it is also
    /// down when most of them failed. It is up again only after it was good for the whole of `for_`. `failure` says
    /// why it is down at present.
    pub(super) fn of_reads(
        subject: &Arc<str>,
        reads: &Reads,
        failure: Option<Reading>,
        for_: Duration,
        now: Moment,
    ) -> Self {
        let crossed = usize::from(failure.is_some());
        let up = crossed == 0 && reads.good_for(for_, now);
        let since = reads.since(for_, now).map(|uptime| now.back_to(uptime));
        Crossing {
            subject: Arc::clone(subject),
            crossed: 0..crossed,
            held: usize::from(!up),
            over: false,
            long_enough: reads.mostly_failed(for_, now),
            reading: failure,
            read: None,
            since,
        }
    }
}

/// How many steps are crossed, and by what; absent: the panel does not say.
pub(super) fn of_target(answer: Option<(usize, Reading)>) -> (Judged, Vec<Crossing>) {
    let Some((crossed, reading)) = answer else { return (Judged::Nothing, Vec::new()) };
    (Judged::Those(vec!["".into()]), vec![Crossing::simple("".into(), crossed, reading)])
}

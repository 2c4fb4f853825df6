//! What messages need of the history of use. It is read beside the dispatcher, so that a slow disk delays no other message.

use std::time::Duration;

use tokio::{sync::mpsc, task};
use tracing::warn;

use crate::{
    alert::{
        digest::{AskTop, Tops},
        statement::{AskStatement, Used},
    },
    model::Month,
    store::Usage,
};

/// A message waits for what it asked at most this long.
pub(super) const WITHIN: Duration = Duration::from_secs(20);

/// What is asked for a receiver.
#[derive(Debug)]
pub(super) enum Ask {
    Top(String, AskTop),
    Statement(String, AskStatement),
}

/// What was found for a receiver; absent: it could not be read.
#[derive(Debug)]
pub(super) enum Answer {
    Top(String, Option<Tops>),
    Statement(String, Option<Read>),
}

/// What a statement about a month is to say; absent: nothing is known of the month.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) name: String,
    pub(super) month: Month,
    pub(super) used: Option<Used>,
}

/// How far something is that was asked.
#[derive(Debug, Default)]
pub(super) enum Reading<T> {
    #[default]
    Unasked,
    /// Until this uptime it is waited for.
    Until(Duration),
    Ended(Option<T>),
}

impl<T> Reading<T> {
    /// Takes in an answer, unless it is too late.
    pub(super) fn answered(&mut self, found: Option<T>) {
        if matches!(self, Reading::Until(_)) {
            *self = Reading::Ended(found);
        }
    }

    /// What was found, if anything. It is asked again for the next message.
    pub(super) fn take(&mut self) -> Option<T> {
        match std::mem::take(self) {
            Reading::Unasked | Reading::Until(_) => None,
            Reading::Ended(found) => found,
        }
    }
}

/// Starts to read what is asked, one after the other.
pub(super) fn begin(asks: Vec<Ask>, usage: &Usage, answers: &mpsc::UnboundedSender<Answer>) {
    if asks.is_empty() {
        return;
    }
    let (usage, answers) = (usage.clone(), answers.clone());
    // It ends by itself. Until then, a process that stops does not wait for it.
    drop(task::spawn_blocking(move || {
        // The last minutes of the period may be in memory alone.
        usage.write_and_wait();
        for ask in asks {
            // The dispatcher may have ended.
            drop(answers.send(ask.read(&usage)));
        }
    }));
}

impl Ask {
    /// This call blocks.
    fn read(self, usage: &Usage) -> Answer {
        match self {
            Ask::Top(receiver, ask) => {
                let found = ask.read(usage);
                let found = found.map_err(|err| warn!(receiver, "the digest has no list of traffic: {err}"));
                Answer::Top(receiver, found.ok())
            }
            Ask::Statement(receiver, ask) => {
                let read = ask.read(usage);
                let AskStatement { name, month, .. } = ask;
                let read = read.map_err(|err| warn!(receiver, statement = name, "no statement yet: {err}"));
                Answer::Statement(receiver, read.ok().map(|used| Read { name, month, used }))
            }
        }
    }
}

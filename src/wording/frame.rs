//! What is around the sentences of a message.

use super::voice::{Voice, args};

impl Voice {
    /// `home: node DE-1 is down`
    pub fn subject(&self, target: &str, what: &str) -> String {
        let target = self.name(target).into_owned();
        self.say("subject", &args([("target", target.into()), ("what", what.into())]))
    }

    /// `12 new, 340 firing`
    pub fn counts(&self, new: usize, resolved: usize, firing: usize) -> String {
        let counts = [("new", new.into()), ("resolved", resolved.into()), ("firing", firing.into())];
        self.say("subject-counts", &args(counts))
    }

    /// `3 resolved: ann, bob, cy`
    pub fn resolved(&self, names: &[&str], count: usize) -> String {
        let list = self.names(names.iter().copied(), count);
        self.say("subject-resolved", &args([("count", count.into()), ("names", list.into())]))
    }

    /// `still: node DE-1 is down`
    pub fn still(&self, what: &str) -> String {
        self.say("subject-still", &args([("what", what.into())]))
    }

    /// Who sends to whom, and in which zone all times are.
    pub fn footer(&self, receiver: &str) -> String {
        let times = self.say("times-are", &args([("zone", self.zone_name().into())]));
        format!(
            "{times} {}",
            self.say("sent-by", &args([("receiver", self.name(receiver).into_owned().into())]))
        )
    }
}

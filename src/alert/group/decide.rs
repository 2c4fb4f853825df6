/// What is new about a group since its last message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// The receiver was told that something of the group fires, and not yet that it all ended.
    pub(super) told: bool,
    /// Alerts that fire and may be told.
    pub(super) firing: usize,
    /// Those of them that the receiver was not told of.
    pub(super) new: usize,
    /// Alerts that ended and that the receiver was told of.
    pub(super) ended: usize,
    /// Alerts that the receiver was told of and that fire, but may not be told at present.
    pub(super) kept_back: usize,
    /// The last message was long enough ago to be repeated.
    pub(super) repeat: bool,
}

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    First,
    New,
    AllResolved,
    SomeResolved,
    Repeat,
}

impl Reason {
    /// As Alertmanager puts it in a webhook's body.
    pub(super) fn label(self) -> &'static str {
        match self {
            Reason::First => "first notification",
            Reason::New => "new alerts added",
            Reason::AllResolved => "all alerts resolved",
            Reason::SomeResolved => "some alerts resolved",
            Reason::Repeat => "repeat interval elapsed",
        }
    }
}

/// Whether a flush turns into a message, by Alertmanager's rules.
pub(super) fn decide(change: Change, send_resolved: bool) -> Option<Reason> {
    if !change.told {
        return (change.firing > 0).then_some(Reason::First);
    }
    if change.new > 0 {
        return Some(Reason::New);
    }
    if change.ended > 0 && change.firing + change.kept_back == 0 {
        return Some(Reason::AllResolved);
    }
    if change.ended > 0 && send_resolved {
        return Some(Reason::SomeResolved);
    }
    (change.firing > 0 && change.repeat).then_some(Reason::Repeat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_turns_into_a_message_by_five_rules() {
        use Reason::{AllResolved, First, New, Repeat, SomeResolved};

        let none = Change::default();
        let told = Change { told: true, ..none };
        let cases = [
            // 1. Nothing was told: only what fires is.
            (none, true, None),
            (Change { ended: 1, ..none }, true, None),
            (Change { firing: 1, new: 1, ..none }, true, Some(First)),
            // 2. Something fires that was not told.
            (Change { firing: 2, new: 1, ..told }, false, Some(New)),
            (Change { firing: 1, new: 1, ended: 3, ..told }, true, Some(New)),
            // 3. All that was told has ended.
            (Change { ended: 1, ..told }, true, Some(AllResolved)),
            (Change { ended: 1, ..told }, false, Some(AllResolved)),
            // 4. Some of it has.
            (Change { firing: 1, ended: 1, ..told }, true, Some(SomeResolved)),
            (Change { firing: 1, ended: 1, ..told }, false, None),
            (Change { kept_back: 1, ended: 1, ..told }, true, Some(SomeResolved)),
            // 5. Otherwise only a repetition.
            (Change { firing: 1, ..told }, true, None),
            (Change { firing: 1, repeat: true, ..told }, true, Some(Repeat)),
            (Change { kept_back: 1, repeat: true, ..told }, true, None),
        ];
        for (change, send_resolved, expected) in cases {
            assert_eq!(decide(change, send_resolved), expected, "{change:?} {send_resolved}");
        }
    }
}

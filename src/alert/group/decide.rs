/// What is new about a group since its last message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// The receiver knows a firing alert of the group that was not sent as resolved yet.
    pub(super) told: bool,
    /// Alerts that fire and are not held back.
    pub(super) firing: usize,
    /// Those of them that the receiver does not know.
    pub(super) new: usize,
    /// Alerts that ended and that the receiver knows as firing.
    pub(super) ended: usize,
    /// Alerts that the receiver knows and that fire, but are held back at present.
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
            // 1. Nothing was sent: only firing alerts are.
            (none, true, None),
            (Change { ended: 1, ..none }, true, None),
            (Change { firing: 1, new: 1, ..none }, true, Some(First)),
            // 2. An alert fires that was not sent.
            (Change { firing: 2, new: 1, ..told }, false, Some(New)),
            (Change { firing: 1, new: 1, ended: 3, ..told }, true, Some(New)),
            // 3. All alerts that were sent have ended.
            (Change { ended: 1, ..told }, true, Some(AllResolved)),
            (Change { ended: 1, ..told }, false, Some(AllResolved)),
            // 4. Some of them have.
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

use super::{Moment, Part, Report, SortedUsers, UserStatus};

/// Numbers of users by status.
#[derive(Default)]
pub struct ByStatus([u64; 6]);

impl ByStatus {
    /// Every status, the one that no panel is known to have included.
    const ALL: [UserStatus; 6] = [
        UserStatus::Active,
        UserStatus::Disabled,
        UserStatus::Expired,
        UserStatus::Limited,
        UserStatus::OnHold,
        UserStatus::Unknown,
    ];

    pub fn add(&mut self, status: UserStatus) {
        self.0[Self::index(status)] += 1;
    }

    pub fn of(&self, status: UserStatus) -> u64 {
        self.0[Self::index(status)]
    }

    /// Every status that panels are known to have, and another one only if a user has it.
    pub fn shown(&self) -> impl Iterator<Item = (UserStatus, u64)> + '_ {
        let unknown = Some(UserStatus::Unknown).filter(|status| self.of(*status) > 0);
        UserStatus::KNOWN.into_iter().chain(unknown).map(|status| (status, self.of(status)))
    }

    fn index(status: UserStatus) -> usize {
        match status {
            UserStatus::Active => 0,
            UserStatus::OnHold => 1,
            UserStatus::Disabled => 2,
            UserStatus::Limited => 3,
            UserStatus::Expired => 4,
            UserStatus::Unknown => 5,
        }
    }
}

impl FromIterator<UserStatus> for ByStatus {
    fn from_iter<I: IntoIterator<Item = UserStatus>>(statuses: I) -> Self {
        let mut counts = ByStatus::default();
        statuses.into_iter().for_each(|status| counts.add(status));
        counts
    }
}

impl Report {
    /// The whole list of users; absent while a first walk goes on, or if the list is stale.
    pub fn all_users(&self, now: Moment) -> Option<&SortedUsers> {
        let is_whole = self.users.walked_since().is_some() && self.fresh(Part::Users, now);
        is_whole.then(|| self.users.list())
    }

    /// Users with this status, by the panel's count or as `listed` in the whole list, whichever is younger. Absent: unknown,
    /// or read too long ago.
    pub fn users_with(&self, status: UserStatus, listed: Option<&ByStatus>, now: Moment) -> Option<u64> {
        let walked = self.users.walked_since().filter(|_| listed.is_some());
        let outdated = self.counts.by_status_at.zip(walked);
        let is_outdated = outdated.is_some_and(|(counted, walked)| counted.uptime < walked.uptime);
        let counts = self.counts.by_status.iter().filter(|(counted, _)| *counted == status);
        let counted = counts.map(|(_, users)| *users).reduce(u64::saturating_add);
        let counted = counted.filter(|_| !is_outdated && self.fresh(Part::System, now));
        counted.or_else(|| listed.map(|listed| listed.of(status)))
    }

    /// All users, as the sum of their numbers by status. Without any of these, by the panel's own count.
    pub fn users_in_all(&self, now: Moment) -> Option<u64> {
        let listed =
            self.all_users(now).map(|list| list.iter().map(|user| user.status).collect::<ByStatus>());
        let with = |status| self.users_with(status, listed.as_ref(), now);
        let sum = ByStatus::ALL.into_iter().filter_map(with).reduce(u64::saturating_add);
        sum.or_else(|| self.counts.total.filter(|_| self.fresh(Part::System, now)))
    }
}

use crate::model::{Day, Month};

/// What use is counted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// All users or client keys of a target together.
    Target,
    User,
    /// The users of an admin together.
    Admin,
    Node,
    /// A client key of an LLM proxy, whose tokens are counted.
    Key,
}

impl SubjectKind {
    pub const ALL: [SubjectKind; 5] =
        [SubjectKind::Target, SubjectKind::User, SubjectKind::Admin, SubjectKind::Node, SubjectKind::Key];

    /// The word used in answers and commands.
    pub fn label(self) -> &'static str {
        match self {
            SubjectKind::Target => "target",
            SubjectKind::User => "user",
            SubjectKind::Admin => "admin",
            SubjectKind::Node => "node",
            SubjectKind::Key => "key",
        }
    }

    /// How the file has it.
    pub(super) fn number(self) -> i64 {
        match self {
            SubjectKind::Target => 0,
            SubjectKind::User => 1,
            SubjectKind::Admin => 2,
            SubjectKind::Node => 3,
            SubjectKind::Key => 4,
        }
    }
}

/// Subjects whose totals are read. The others are sums of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Users,
    Nodes,
    Keys,
}

impl Counted {
    pub(super) const ALL: [Counted; 3] = [Counted::Users, Counted::Nodes, Counted::Keys];

    pub(super) fn kind(self) -> SubjectKind {
        match self {
            Counted::Users => SubjectKind::User,
            Counted::Nodes => SubjectKind::Node,
            Counted::Keys => SubjectKind::Key,
        }
    }

    /// Whether it is part of what the target used. What nodes moved is what users used.
    pub(super) fn is_in_sum(self) -> bool {
        match self {
            Counted::Users | Counted::Keys => true,
            Counted::Nodes => false,
        }
    }
}

/// Something for each sort of subjects whose totals are read.
#[derive(Debug, Default)]
pub(super) struct Each<T> {
    users: T,
    nodes: T,
    keys: T,
}

impl<T> Each<T> {
    pub(super) fn of(&self, counted: Counted) -> &T {
        match counted {
            Counted::Users => &self.users,
            Counted::Nodes => &self.nodes,
            Counted::Keys => &self.keys,
        }
    }

    pub(super) fn of_mut(&mut self, counted: Counted) -> &mut T {
        match counted {
            Counted::Users => &mut self.users,
            Counted::Nodes => &mut self.nodes,
            Counted::Keys => &mut self.keys,
        }
    }
}

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    Day,
    Month,
}

impl By {
    /// A period as people write it; `number` is that of a [`Day`] or [`Month`].
    pub fn name(self, number: i32) -> String {
        match self {
            By::Day => Day::of_number(number).to_string(),
            By::Month => Month::of_number(number).to_string(),
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            By::Day => "day",
            By::Month => "month",
        }
    }

    /// The period of this length that a day is in.
    pub fn of(self, day: Day) -> i32 {
        match self {
            By::Day => day.number(),
            By::Month => day.month().number(),
        }
    }

    /// How many periods are kept, the running one included.
    pub const fn kept(self) -> i32 {
        match self {
            By::Day => 62,
            By::Month => 24,
        }
    }

    /// The first period that is kept on a day.
    pub fn first_kept(self, today: Day) -> i32 {
        self.of(today).saturating_sub(self.kept() - 1)
    }

    pub(super) fn table(self) -> &'static str {
        match self {
            By::Day => "days",
            By::Month => "months",
        }
    }
}

//! What is known of the targets, in units of our own.
//!
//! Nothing here does I/O, reads a clock or knows an upstream's wire format. Start with [`Report`]: everything known of
//! one target, part by part. Everything downstream reads only this.

mod active;
mod allowance;
mod attempts;
mod budget;
mod by_status;
mod calendar;
mod core_reads;
mod counter;
mod durable;
mod end;
mod fact;
mod flow;
mod forecast;
pub mod glob;
mod history;
mod host;
mod identity;
mod inbounds;
mod journal;
mod labels;
mod llm;
mod matcher;
mod moves;
mod nodes;
mod notice;
mod own;
mod pairs;
mod part;
mod reading;
mod reads;
mod report;
mod resets;
mod silence;
mod sorted;
mod staleness;
mod time;
mod user_list;
mod users;
mod walk;
pub mod words;

pub use active::{ActiveAlert, ActiveAlerts, ActiveMute, AlertState, AlertStep, KIND_USER, Threshold};
pub use allowance::{Allowance, Counts, NodeAllowances, NodePeriod, NodePeriods};
pub use attempts::Attempts;
pub use budget::{Budget, BudgetPeriod, BudgetUnit, KeyBudget};
pub use by_status::ByStatus;
pub use calendar::{Calendar, Day, Month};
pub use core_reads::CoreReads;
pub use counter::{Counter, Total};
pub use durable::{CounterChange, CounterFamilies, CounterRow};
pub use end::End;
pub use fact::{
    Fact, NamedUsers, ProxyTraffic, Unreadable, UnreadableCause, UnreadableRow, UserFacts, UserNames,
    WalkEnd, WholeList,
};
pub use flow::Flow;
pub use forecast::{DayUse, Forecast, RateDays, RateFinder, Rates};
pub use history::{History, NodeHistory, OutboundHistory};
pub use host::{Core, Host, share};
pub use identity::{Identity, System};
pub use inbounds::{Inbound, Outbound};
pub use journal::{Change, Journal, Sort};
pub use labels::{Row, labels};
pub use llm::{
    Cooldown, CooldownReason, Credential, CredentialStatus, LlmErrors, LlmMode, LlmPeriod, LlmRecent, LlmRow,
    LlmSpent, LlmState, LlmTimes, LlmTokens, LlmUsage, OTHER, QuotaWindow, Times,
};
pub use matcher::{ALERT_LABELS, MatchOp, Matcher, check_label};
pub use moves::{Marks, Move, Moves, UsedToday, growth, is_late};
pub use nodes::{
    MASTER, Node, NodeMessage, NodeStats, NodeStatus, NodeTraffic, UserNodeTraffic, node_labels,
};
pub use notice::{
    Digest, DigestSection, Enclosure, Named, Notice, NoticeAlert, NoticeStatus, Severity, random_bits,
};
pub use own::{Condition, OwnState, ReceiverTrouble};
pub use pairs::Pairs;
pub use part::{Outcome, Part, PartState, Reason};
pub use reading::Reading;
pub use reads::Reads;
pub use report::Report;
pub use resets::Resets;
pub use silence::{MOST_SILENCES, Silence, SilenceChange, SilenceError, SilenceState};
pub use sorted::{Finder, Place, Share, SortedUsers};
pub use staleness::Staleness;
pub use time::{Moment, Timestamp};
pub use user_list::{BesideUsers, Users};
pub use users::{Admin, Expiry, Extra, Extras, LastOnline, Thresholds, Unread, User, UserCounts, UserStatus};
pub use walk::WalkProgress;

use std::time::Duration;

use crate::{
    model::{BudgetUnit, Part, Severity},
    wording,
};

use Severity::{Critical, Info, Warning};

/// A kind of rule: a question about every subject of one sort.
#[derive(Debug)]
pub struct Kind {
    pub question: Question,
    /// The word in the configuration, `[alert.NAME]`.
    pub name: &'static str,
    pub alertname: &'static str,
    /// What its subjects are, see [`Kind::kind_of`].
    pub kind: &'static str,
    /// The part whose answer it is read from. While that part is stale, alerts of this rule are suppressed.
    pub part: Option<Part>,
    pub steps: Steps,
    /// How long a step has to be crossed before it fires.
    pub for_: Duration,
    /// Zero: never.
    pub repeat_interval: Duration,
    /// Whether it runs unless the configuration says otherwise.
    pub enabled: bool,
    /// The annotation `description` of its rules for Prometheus, with the names of labels and annotations in braces; `about`
    /// is the subject with its kind and target, or only the target.
    pub description: &'static str,
    /// The same of a step at which everything is used up.
    pub reached: Option<&'static str>,
}

/// What a kind of rule asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    UserExpiry,
    UserQuota,
    QuotaForecast,
    UserStatus,
    UserInactive,
    UserDevices,
    UserTraffic,
    AdminQuota,
    InboundExpiry,
    InboundQuota,
    TargetDown,
    LoginRefused,
    PartStale,
    RightLost,
    RowsUnreadable,
    AccountingStalled,
    NodeDown,
    OutboundDown,
    NodeCpu,
    NodeMemory,
    NodeTraffic,
    CoreDown,
    HostCpu,
    HostMemory,
    HostDisk,
    CertificateExpiry,
    CredentialUnavailable,
    CredentialQuota,
    CredentialPlanExpiry,
    LlmErrorRatio,
    LlmTokenBudget,
    LlmCostBudget,
    LlmUsageGap,
    StoreFailing,
    HistoryFailing,
    ReloadFailed,
    HeartbeatWithheld,
    ReceiverFailing,
    NotificationsAbandoned,
}

impl Question {
    /// Whether its subjects are receivers. Then only the fallback is notified, unless the configuration says otherwise.
    pub fn is_about_receivers(self) -> bool {
        matches!(self, Question::ReceiverFailing | Question::NotificationsAbandoned)
    }

    /// Whether a digest lists the subjects that have crossed a step, so that its `info` steps can wait for that while
    /// anything is left.
    pub fn is_in_digests(self) -> bool {
        matches!(self, Question::UserExpiry | Question::UserQuota | Question::QuotaForecast)
    }
}

/// The default steps of a kind and the severity of each, the widest first.
#[derive(Debug)]
pub enum Steps {
    /// It holds or it does not.
    None(Severity),
    /// At most this long is left, in seconds; 0: nothing is.
    Remaining(&'static [(u64, Severity)]),
    /// As it goes on now, at most this long is left, in seconds above 0.
    Forecast(&'static [(u64, Severity)]),
    /// At least this long has passed, in seconds.
    Passed(&'static [(u64, Severity)]),
    /// At least this share is used, in percent.
    Ratio(&'static [(u16, Severity)]),
}

/// The kinds of rule there are.
pub static KINDS: [Kind; 39] = [
    Kind {
        question: Question::UserExpiry,
        name: "user_expiry",
        alertname: "ProxymeterUserExpiry",
        kind: "user",
        part: Some(Part::Users),
        steps: Steps::Remaining(&EXPIRY),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "User {subject} of {target} expires in {remaining}.",
        reached: Some("User {subject} of {target} has expired."),
    },
    Kind {
        question: Question::UserQuota,
        name: "user_quota",
        alertname: "ProxymeterUserQuota",
        kind: "user",
        part: Some(Part::Users),
        steps: Steps::Ratio(&QUOTA),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "User {subject} of {target} has used {ratio} of the data limit: {value} of {limit}.",
        reached: Some("User {subject} of {target} has used up the data limit of {limit}."),
    },
    Kind {
        question: Question::QuotaForecast,
        name: "quota_forecast",
        alertname: "ProxymeterQuotaForecast",
        kind: "user",
        part: Some(Part::Users),
        steps: Steps::Forecast(&[(3 * DAY, Info)]),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "At the rate of the last three days, user {subject} of {target} uses up the data limit in {remaining}.",
        reached: None,
    },
    Kind {
        question: Question::UserStatus,
        name: "user_status",
        alertname: "ProxymeterUserStatus",
        kind: "user",
        part: Some(Part::Users),
        steps: Steps::None(Info),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: false,
        description: "User {subject} of {target} cannot connect: {reason}.",
        reached: None,
    },
    Kind {
        question: Question::UserInactive,
        name: "user_inactive",
        alertname: "ProxymeterUserInactive",
        kind: "user",
        part: Some(Part::Users),
        steps: Steps::Passed(&[(30 * DAY, Info)]),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: false,
        description: "User {subject} of {target} has not been online for {value}.",
        reached: None,
    },
    Kind {
        question: Question::UserDevices,
        name: "user_devices",
        alertname: "ProxymeterUserDevices",
        kind: "user",
        part: Some(Part::Users),
        steps: Steps::None(Info),
        for_: Duration::from_secs(10 * 60),
        repeat_interval: Duration::ZERO,
        enabled: false,
        description: "User {subject} of {target} uses {value} addresses at a time, more than allowed.",
        reached: None,
    },
    Kind {
        question: Question::UserTraffic,
        name: "user_traffic",
        alertname: "ProxymeterUserTraffic",
        kind: "user",
        part: Some(Part::Users),
        steps: Steps::None(Info),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: false,
        description: "User {subject} of {target} has moved {value} within {limit}.",
        reached: None,
    },
    Kind {
        question: Question::AdminQuota,
        name: "admin_quota",
        alertname: "ProxymeterAdminQuota",
        kind: "admin",
        part: Some(Part::Admins),
        steps: Steps::Ratio(&QUOTA),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "Admin {subject} of {target} has used {ratio} of the data limit: {value} of {limit}.",
        reached: Some("Admin {subject} of {target} has used up the data limit of {limit}."),
    },
    Kind {
        question: Question::InboundExpiry,
        name: "inbound_expiry",
        alertname: "ProxymeterInboundExpiry",
        kind: "inbound",
        part: Some(Part::Inbounds),
        steps: Steps::Remaining(&EXPIRY),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "Inbound {subject} of {target} expires in {remaining}.",
        reached: Some("Inbound {subject} of {target} has expired."),
    },
    Kind {
        question: Question::InboundQuota,
        name: "inbound_quota",
        alertname: "ProxymeterInboundQuota",
        kind: "inbound",
        part: Some(Part::Inbounds),
        steps: Steps::Ratio(&QUOTA),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "Inbound {subject} of {target} has used {ratio} of the data limit: {value} of {limit}.",
        reached: Some("Inbound {subject} of {target} has used up the data limit of {limit}."),
    },
    Kind {
        question: Question::TargetDown,
        name: "target_down",
        alertname: "ProxymeterTargetDown",
        kind: "target",
        part: None,
        steps: Steps::None(Critical),
        for_: Duration::from_secs(5 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "Target {target} cannot be polled: {reason}.",
        reached: None,
    },
    Kind {
        question: Question::LoginRefused,
        name: "login_refused",
        alertname: "ProxymeterLoginRefused",
        kind: "target",
        part: None,
        steps: Steps::None(Warning),
        for_: Duration::ZERO,
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "{target} refuses the login: {reason}. It is tried again seldom, so that the account is not locked.",
        reached: None,
    },
    Kind {
        question: Question::PartStale,
        name: "part_stale",
        alertname: "ProxymeterPartStale",
        kind: "part",
        part: None,
        steps: Steps::None(Warning),
        for_: Duration::ZERO,
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "Part {subject} of {target} was last read {value} ago.",
        reached: None,
    },
    Kind {
        question: Question::RightLost,
        name: "right_lost",
        alertname: "ProxymeterRightLost",
        kind: "part",
        part: None,
        steps: Steps::None(Warning),
        for_: Duration::ZERO,
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "The login of {target} may no longer read {subject}. Its values are no longer updated.",
        reached: None,
    },
    Kind {
        question: Question::RowsUnreadable,
        name: "rows_unreadable",
        alertname: "ProxymeterRowsUnreadable",
        kind: "target",
        part: Some(Part::Users),
        steps: Steps::None(Warning),
        for_: Duration::from_secs(5 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "{value} of the user list of {target} cannot be read. Cause of the first one: {reason}.",
        reached: None,
    },
    Kind {
        question: Question::AccountingStalled,
        name: "accounting_stalled",
        alertname: "ProxymeterAccountingStalled",
        kind: "node",
        part: Some(Part::System),
        steps: Steps::None(Warning),
        for_: Duration::ZERO,
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "No traffic has been counted on {about} for {value} although users are active.",
        reached: None,
    },
    Kind {
        question: Question::NodeDown,
        name: "node_down",
        alertname: "ProxymeterNodeDown",
        kind: "node",
        part: Some(Part::Nodes),
        steps: Steps::None(Critical),
        for_: Duration::from_secs(3 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "Node {subject} of {target} is down: {reason}.",
        reached: None,
    },
    Kind {
        question: Question::OutboundDown,
        name: "outbound_down",
        alertname: "ProxymeterOutboundDown",
        kind: "outbound",
        part: Some(Part::Outbounds),
        steps: Steps::None(Warning),
        for_: Duration::from_secs(3 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "Outbound {subject} of {target} is down: {reason}.",
        reached: None,
    },
    machine(Question::NodeCpu, "node_cpu", "ProxymeterNodeCpu", &BUSY),
    machine(Question::NodeMemory, "node_memory", "ProxymeterNodeMemory", &BUSY),
    Kind {
        question: Question::NodeTraffic,
        name: "node_traffic",
        alertname: "ProxymeterNodeTraffic",
        kind: "node",
        part: Some(Part::Nodes),
        steps: Steps::Ratio(&[(80, Warning), (95, Critical)]),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "Node {subject} of {target} has used {ratio} of its monthly traffic: {value} of {limit}.",
        reached: Some("Node {subject} of {target} has used up its monthly traffic of {limit}."),
    },
    Kind {
        question: Question::CoreDown,
        name: "core_down",
        alertname: "ProxymeterCoreDown",
        kind: "node",
        part: Some(Part::Core),
        steps: Steps::None(Critical),
        for_: Duration::from_secs(2 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "The proxy core of {about} was down in {value} of the last 5m.",
        reached: None,
    },
    machine(Question::HostCpu, "host_cpu", "ProxymeterHostCpu", &BUSY),
    machine(Question::HostMemory, "host_memory", "ProxymeterHostMemory", &BUSY),
    machine(Question::HostDisk, "host_disk", "ProxymeterHostDisk", &[(85, Warning), (95, Critical)]),
    Kind {
        question: Question::CertificateExpiry,
        name: "certificate_expiry",
        alertname: "ProxymeterCertificateExpiry",
        kind: "target",
        part: Some(Part::System),
        steps: Steps::Remaining(&[(14 * DAY, Warning), (3 * DAY, Critical)]),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "The certificate of {target} expires in {remaining}.",
        reached: Some("The certificate of {target} has expired."),
    },
    Kind {
        question: Question::CredentialUnavailable,
        name: "credential_unavailable",
        alertname: "ProxymeterCredentialUnavailable",
        kind: "credential",
        part: Some(Part::Credentials),
        steps: Steps::None(Warning),
        for_: Duration::from_secs(10 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "Credential {subject} of {target} cannot be used: {reason}.",
        reached: None,
    },
    Kind {
        question: Question::CredentialQuota,
        name: "credential_quota",
        alertname: "ProxymeterCredentialQuota",
        kind: "credential",
        part: Some(Part::Credentials),
        steps: Steps::Ratio(&QUOTA),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "{value} of the quota window {subject} of {target} is used.",
        reached: Some("The quota window {subject} of {target} is used up."),
    },
    Kind {
        question: Question::CredentialPlanExpiry,
        name: "credential_plan_expiry",
        alertname: "ProxymeterCredentialPlanExpiry",
        kind: "credential",
        part: Some(Part::Credentials),
        steps: Steps::Remaining(&[(7 * DAY, Warning), (DAY, Warning)]),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "The plan of credential {subject} of {target} ends in {remaining}.",
        reached: Some("The plan of credential {subject} of {target} has ended."),
    },
    Kind {
        question: Question::LlmErrorRatio,
        name: "llm_error_ratio",
        alertname: "ProxymeterLlmErrorRatio",
        kind: "provider",
        part: Some(Part::Usage),
        steps: Steps::Ratio(&[(20, Warning)]),
        for_: Duration::ZERO,
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "At provider {subject} of {target}, {value} attempts of the last 10m failed.",
        reached: None,
    },
    budget(Question::LlmTokenBudget, "llm_token_budget", "ProxymeterLlmTokenBudget"),
    budget(Question::LlmCostBudget, "llm_cost_budget", "ProxymeterLlmCostBudget"),
    Kind {
        question: Question::LlmUsageGap,
        name: "llm_usage_gap",
        alertname: "ProxymeterLlmUsageGap",
        kind: "target",
        part: Some(Part::Usage),
        steps: Steps::None(Warning),
        for_: Duration::ZERO,
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "Usage of {target} is not counted completely: {reason}.",
        reached: None,
    },
    Kind {
        question: Question::StoreFailing,
        name: "store_failing",
        alertname: "ProxymeterStorageFailing",
        kind: "storage",
        part: None,
        steps: Steps::None(Critical),
        for_: Duration::from_secs(10),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "Alerts and notifications are kept in memory only and are lost if the exporter crashes. \
                      See the log for the reason; the most common one is a full disk.",
        reached: None,
    },
    Kind {
        question: Question::HistoryFailing,
        name: "usage_history_failing",
        alertname: "ProxymeterUsageHistoryFailing",
        kind: "storage",
        part: None,
        steps: Steps::None(Warning),
        for_: Duration::from_secs(15 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "What is used by day and month is kept in memory only and is counted later, on another day, if the \
                      exporter stops. See the log for the reason; the most common one is a full disk.",
        reached: None,
    },
    Kind {
        question: Question::ReloadFailed,
        name: "reload_failed",
        alertname: "ProxymeterReloadFailed",
        kind: "exporter",
        part: None,
        steps: Steps::None(Warning),
        for_: Duration::from_secs(5 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "The last reload failed: {reason}. The configuration from before it stays in force. See the log.",
        reached: None,
    },
    Kind {
        question: Question::HeartbeatWithheld,
        name: "heartbeat_withheld",
        alertname: "ProxymeterHeartbeatWithheld",
        kind: "exporter",
        part: None,
        steps: Steps::None(Critical),
        for_: Duration::ZERO,
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "The heartbeat is not sent, because {reason}.",
        reached: None,
    },
    Kind {
        question: Question::ReceiverFailing,
        name: "receiver_failing",
        alertname: "ProxymeterNotificationsFailing",
        kind: "receiver",
        part: None,
        steps: Steps::None(Critical),
        // The configuration's `fallback_after`, or none if the receiver refuses because of itself.
        for_: Duration::from_secs(30 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description: "Receiver {subject} does not accept notifications: {reason}.",
        reached: None,
    },
    Kind {
        question: Question::NotificationsAbandoned,
        name: "notifications_abandoned",
        alertname: "ProxymeterNotificationsAbandoned",
        kind: "receiver",
        part: None,
        steps: Steps::None(Critical),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: true,
        description: "Receiver {subject} was not told of everything: {reason}.",
        reached: None,
    },
];

/// Seconds.
const DAY: u64 = 24 * 60 * 60;
const EXPIRY: [(u64, Severity); 4] = [(7 * DAY, Info), (3 * DAY, Warning), (DAY, Warning), (0, Warning)];
const QUOTA: [(u16, Severity); 3] = [(80, Info), (95, Warning), (100, Warning)];
const BUSY: [(u16, Severity); 2] = [(90, Warning), (95, Critical)];

impl Kind {
    /// The label `kind` of an alert about `subject`. An alert without a subject is about the target itself.
    pub fn kind_of(&self, subject: &str) -> &'static str {
        if subject.is_empty() { "target" } else { self.kind }
    }

    /// The annotation `summary` in English: the same for every alert of the kind, here and in rules for Prometheus.
    pub fn summary(&self) -> &'static str {
        wording::summary(self.alertname)
    }

    /// Whether it asks about the daemon itself.
    pub fn is_own(&self) -> bool {
        matches!(
            self.question,
            Question::StoreFailing
                | Question::HistoryFailing
                | Question::ReloadFailed
                | Question::HeartbeatWithheld
        ) || self.question.is_about_receivers()
    }

    /// Whether it has no default for what it compares with, so that its table is what enables it.
    pub fn needs_limit(&self) -> bool {
        self.budget().is_some() || self.question == Question::UserTraffic
    }

    /// What the budget of such a rule counts; absent: it has none.
    pub fn budget(&self) -> Option<BudgetUnit> {
        match self.question {
            Question::LlmTokenBudget => Some(BudgetUnit::Tokens),
            Question::LlmCostBudget => Some(BudgetUnit::UsdNanos),
            _ => None,
        }
    }
}

/// A rule about what client keys may use.
const fn budget(question: Question, name: &'static str, alertname: &'static str) -> Kind {
    Kind {
        question,
        name,
        alertname,
        kind: "api_key",
        part: Some(Part::Usage),
        steps: Steps::Ratio(&[(80, Warning), (100, Warning)]),
        for_: Duration::ZERO,
        repeat_interval: Duration::ZERO,
        enabled: false,
        description: "Client key {subject} of {target} has used {ratio} of its budget: {value} of {limit}.",
        reached: Some("Client key {subject} of {target} has used up its budget of {limit}."),
    }
}

/// A rule about the machine that a panel or a node runs on.
const fn machine(
    question: Question,
    name: &'static str,
    alertname: &'static str,
    steps: &'static [(u16, Severity)],
) -> Kind {
    let (kind, part) = match question {
        Question::NodeCpu | Question::NodeMemory => ("node", Part::NodeStats),
        _ => ("target", Part::System),
    };
    let description = match question {
        Question::HostCpu | Question::NodeCpu => "The processor of {about} is {value} busy.",
        Question::HostMemory | Question::NodeMemory => "The memory of {about} is {value} full.",
        _ => "The disk of {about} is {value} full.",
    };
    Kind {
        question,
        name,
        alertname,
        kind,
        part: Some(part),
        steps: Steps::Ratio(steps),
        for_: Duration::from_secs(10 * 60),
        repeat_interval: Duration::from_secs(DAY),
        enabled: true,
        description,
        reached: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_fit_for_prometheus_rules() {
        let mut names = HashSet::new();
        for kind in &KINDS {
            assert!(names.insert(kind.name) && names.insert(kind.alertname), "{}", kind.name);
            assert!(kind.alertname.starts_with("Proxymeter") && kind.alertname.len() <= 40);
            let summary = kind.summary();
            assert!(summary.starts_with(char::is_uppercase) && summary.ends_with('.'), "{summary}");
            let names_it = ["{target}", "{about}"].iter().any(|name| kind.description.contains(name));
            assert_eq!(names_it, !kind.is_own(), "{}", kind.name);
            let wide_to_tight = match kind.steps {
                Steps::None(_) => true,
                Steps::Remaining(steps) | Steps::Forecast(steps) => {
                    steps.windows(2).all(|two| two[0].0 > two[1].0)
                }
                Steps::Passed(steps) => steps.windows(2).all(|two| two[0].0 < two[1].0),
                Steps::Ratio(steps) => steps.windows(2).all(|two| two[0].0 < two[1].0),
            };
            assert!(wide_to_tight, "{}", kind.name);
        }
    }
}

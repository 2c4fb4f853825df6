//! What each question asks, in PromQL.

use std::time::Duration;

use super::{
    description::Counted,
    file::PrometheusRule,
    selector::{MISSED, Scope, duration, one_of_each, quoted, regex},
};
use crate::{
    alert::{
        finding::{CORE_DOWN_SHARE, ENOUGH_ATTEMPTS, LOST_WITHIN, NEARLY_USED_UP, RENEWED_WITHIN},
        rule::{Question, Rule, TrafficLimit},
    },
    model::{Attempts, Budget, BudgetUnit, CoreReads, Flow, Reads, Threshold, glob::Names},
};

/// A share that falls below its step may rise again for this long before the alert resolves. The built-in alerts wait
/// until it has fallen by two points, which PromQL cannot say.
const SETTLED_AFTER: Duration = Duration::from_secs(15 * 60);

/// A range with this more has the sample at its beginning in Prometheus 3 too, which leaves that out.
const BEGINNING: Duration = Duration::from_secs(1);

/// When alerts of one step of a rule fire.
#[derive(Clone)]
pub(super) struct Condition {
    /// The step's place among those of the rule.
    pub(super) step: usize,
    /// The labels beside `target` that the result has. They name the subject; without any, the target is the subject.
    pub(super) labels: &'static [&'static str],
    pub(super) expr: String,
    pub(super) for_: Duration,
    pub(super) keep_firing_for: Duration,
}

pub(super) fn conditions(rule: &Rule) -> Vec<Condition> {
    let each = |labels, exprs: Vec<String>, (for_, keep_firing_for)| {
        let made = exprs.into_iter().enumerate();
        made.map(|(step, expr)| Condition { step, labels, expr, for_, keep_firing_for }).collect::<Vec<_>>()
    };
    // Without `for`, a missed scrape ends the series at once.
    let plain = (rule.for_, if rule.for_.is_zero() { MISSED } else { Duration::ZERO });
    let settled = (rule.for_, SETTLED_AFTER);
    let of_reads = if looks_back(rule) { (Duration::ZERO, rule.for_) } else { (rule.for_, MISSED) };

    let target = || Scope::new(rule, "target");
    let node = || Scope::new(rule, "node");
    let present =
        |subject| if looks_back(rule) { Scope::present(rule, subject) } else { Scope::new(rule, subject) };
    let one = |expr: String| vec![expr];
    match rule.kind.question {
        Question::UserExpiry => each(&["user"], user_expiry(&Scope::new(rule, "user")), plain),
        Question::UserQuota => each(&["user"], user_quota(&Scope::new(rule, "user")), settled),
        Question::QuotaForecast => each(&["user"], quota_forecast(&Scope::new(rule, "user")), settled),
        Question::UserStatus => each(&["user", "status"], one(user_status(&Scope::new(rule, "user"))), plain),
        Question::UserInactive => each(&["user"], user_inactive(&Scope::new(rule, "user")), plain),
        Question::UserDevices => each(&["user"], one(user_devices(&Scope::new(rule, "user"))), plain),
        Question::UserTraffic => each(&["user"], user_traffic(&Scope::present(rule, "user")), settled),
        Question::AdminQuota => {
            let admin = Scope::new(rule, "admin");
            let share = used_share(&admin, "proxymeter_admin_used_bytes", "proxymeter_admin_limit_bytes");
            each(&["admin"], each_step(rule, &share), settled)
        }
        Question::InboundExpiry => each(&["inbound"], inbound_expiry(&Scope::new(rule, "inbound")), plain),
        Question::InboundQuota => each(&["inbound"], inbound_quota(&Scope::new(rule, "inbound")), settled),
        Question::TargetDown => each(&[], one(mostly_down(&present("target"), "proxymeter_up")), of_reads),
        Question::PartStale => each(&["part"], one(part_stale(&Scope::new(rule, "part"))), plain),
        Question::RightLost => {
            let lost = Scope::new(rule, "part").last("proxymeter_target_part_right_lost", "");
            each(&["part"], one(format!("{lost} == 1")), plain)
        }
        Question::RowsUnreadable => {
            let unreadable = target().last("proxymeter_target_users_unreadable", "");
            each(&[], one(format!("{unreadable} > 0")), plain)
        }
        Question::AccountingStalled => {
            let of_target = each(&[], one(target_stalled(&target())), plain);
            [of_target, each(&["node"], one(node_stalled(&node())), plain)].concat()
        }
        Question::NodeDown => {
            each(&["node"], one(mostly_down(&present("node"), "proxymeter_node_up")), of_reads)
        }
        Question::OutboundDown => {
            let outbound = present("outbound");
            each(&["outbound"], one(mostly_down(&outbound, "proxymeter_outbound_up")), of_reads)
        }
        Question::NodeCpu => {
            let share = node().last("proxymeter_node_cpu_usage_ratio", "");
            each(&["node"], each_step(rule, &share), plain)
        }
        Question::NodeMemory => {
            let share = node().last("proxymeter_node_memory_usage_ratio", "");
            each(&["node"], each_step(rule, &share), plain)
        }
        Question::NodeTraffic => {
            let (used, allowance) =
                ("proxymeter_node_traffic_allowance_used_bytes", "proxymeter_node_traffic_allowance_bytes");
            each(&["node"], each_step(rule, &used_share(&node(), used, allowance)), settled)
        }
        Question::CoreDown => {
            let of_target = each(&[], one(core_down(&target(), "proxymeter_core_up")), plain);
            let of_nodes = each(&["node"], one(core_down(&node(), "proxymeter_node_core_up")), plain);
            [of_target, of_nodes].concat()
        }
        Question::HostCpu => {
            let share = target().last("proxymeter_host_cpu_usage_ratio", "");
            each(&[], each_step(rule, &share), plain)
        }
        Question::HostMemory => each(&[], each_step(rule, &host_share(&target(), "memory")), plain),
        Question::HostDisk => each(&[], each_step(rule, &host_share(&target(), "disk")), plain),
        Question::CertificateExpiry => {
            let end = target().last("proxymeter_target_certificate_expiry_timestamp_seconds", "");
            each(&[], each_step(rule, &format!("({end} - time())")), plain)
        }
        Question::CredentialUnavailable => {
            let credential = present("credential");
            let down = mostly_down(&credential, "proxymeter_llm_credential_available");
            let expr = format!("{down}\nunless ignoring (provider, status) {}", switched_off(&credential));
            each(&["credential", "provider"], one(expr), of_reads)
        }
        Question::CredentialQuota => {
            each(&["credential", "model", "window"], credential_quota(rule), settled)
        }
        Question::CredentialPlanExpiry => {
            each(&["credential"], plan_expiry(&Scope::new(rule, "credential")), plain)
        }
        Question::LlmErrorRatio => each(&["provider"], error_ratio(&Scope::new(rule, "provider")), settled),
        Question::LlmTokenBudget | Question::LlmCostBudget => {
            each(&["api_key", "budget", "period"], budget(&Scope::new(rule, "api_key")), plain)
        }
        Question::LlmUsageGap => each(&[], one(usage_gap(&target())), plain),
        // Written by hand, among the rules about the exporter.
        Question::LoginRefused => {
            let refused = target().last("proxymeter_target_login_refused", "");
            each(&[], one(format!("{refused} == 1")), plain)
        }
        Question::StoreFailing
        | Question::HistoryFailing
        | Question::ReloadFailed
        | Question::HeartbeatWithheld
        | Question::ReceiverFailing
        | Question::NotificationsAbandoned => Vec::new(),
    }
}

/// The rule that counts the users of each target for a default rule about users, if there is one and its step is in force.
pub(super) fn users_counted(rule: &Rule) -> Option<PrometheusRule> {
    let (counted, users): (_, fn(&Scope<'_>) -> String) = match rule.kind.question {
        Question::UserExpiry => (
            Counted {
                alertname: "ProxymeterUsersExpiring",
                label: "within",
                step: "1d",
                summary: "Users expire within a day.",
                what: "expire within a day",
            },
            |users: &Scope<'_>| users.last_of_targets("proxymeter_users_expiring", "within=\"1d\""),
        ),
        Question::UserQuota => (
            Counted {
                alertname: "ProxymeterUsersNearQuota",
                label: "ratio",
                step: "95%",
                summary: "Users have nearly used up the data limit.",
                what: "have used 95% of the data limit, but not all of it",
            },
            // Those who have used it up may stay so for months.
            |users: &Scope<'_>| {
                let used = |ratio| users.last_of_targets("proxymeter_users_near_quota", ratio);
                format!("{} - ignoring (ratio) {}", used("ratio=\"0.95\""), used("ratio=\"1\""))
            },
        ),
        Question::QuotaForecast => (
            Counted {
                alertname: "ProxymeterUsersQuotaForecast",
                label: "within",
                step: "3d",
                summary: "Users use up the data limit within three days at the present rate.",
                what: "use up the data limit within three days at the present rate",
            },
            |users: &Scope<'_>| users.last_of_targets("proxymeter_users_forecast_exhausted", "within=\"3d\""),
        ),
        _ => return None,
    };
    // The panel's users are counted by fixed steps, and all of them.
    let (_, Names { only, except }) = rule.names();
    let is_same = rule.step(counted.step).is_some() && only.is_empty() && except.is_empty();
    let users = users(&Scope::present(rule, ""));
    (rule.label().is_none() && is_same).then(|| counted.rule(format!("{users} > 0")))
}

/// Whether `value` has crossed each step. A tighter step that is crossed, and has been for as long as it must be to fire,
/// quiets the wider ones.
fn each_step(rule: &Rule, value: &str) -> Vec<String> {
    (0..rule.steps.len()).filter_map(|place| crossed(rule, place, value)).collect()
}

fn crossed(rule: &Rule, place: usize, value: &str) -> Option<String> {
    let step = bound(rule.steps.get(place)?.threshold)?;
    let mut text = format!("{value} {} {}", step.reaches, step.at);
    match rule.steps.get(place + 1).and_then(|tighter| bound(tighter.threshold)) {
        Some(tighter) if rule.for_.is_zero() => text += &format!(" {} {}", tighter.short_of, tighter.at),
        Some(Bound { reaches, at, least, .. }) => {
            let for_ = duration(rule.for_);
            text += &format!("\nunless {least}_over_time(({value})[{for_}:1m]) {reaches} {at}");
        }
        None => {}
    }
    Some(text)
}

/// How a value is compared with a threshold.
struct Bound {
    at: f64,
    reaches: &'static str,
    short_of: &'static str,
    /// Which of several values crosses the threshold last.
    least: &'static str,
}

fn bound(threshold: Threshold) -> Option<Bound> {
    match threshold {
        Threshold::Holds => None,
        Threshold::Remaining(within) => {
            Some(Bound { at: within.as_secs_f64(), reaches: "<=", short_of: ">", least: "max" })
        }
        Threshold::Passed(time) => {
            Some(Bound { at: time.as_secs_f64(), reaches: ">=", short_of: "<", least: "min" })
        }
        Threshold::Used(share) => {
            let at = f64::from(share) / f64::from(Threshold::WHOLE);
            Some(Bound { at, reaches: ">=", short_of: "<", least: "min" })
        }
    }
}

/// As [`each_step`] for what is `left` until an end, of which an alert is over when the rule says. `left` and `gate`, a
/// condition beside the step, may differ for the step at which the panel stops the subject.
fn each_step_until_over(
    rule: &Rule,
    left: impl Fn(bool) -> String,
    gate: impl Fn(bool) -> String,
) -> Vec<String> {
    let steps = rule.steps.iter().enumerate();
    let exprs = steps.filter_map(|(place, step)| {
        let (is_tightest, stops) = (place + 1 == rule.steps.len(), stops(rule, place));
        let mut expr = crossed(rule, place, &left(stops))?;
        if is_tightest && step.threshold != Threshold::Holds {
            expr += &format!(" > -{}", rule.expired_for.as_secs_f64());
        }
        Some(expr + &gate(stops))
    });
    exprs.collect()
}

/// Whether a step is the one at which the panel stops a user or an inbound.
fn stops(rule: &Rule, place: usize) -> bool {
    place + 1 == rule.steps.len() && rule.steps.get(place).is_some_and(|step| step.threshold.is_last())
}

fn user_expiry(user: &Scope<'_>) -> Vec<String> {
    let end = user.last("proxymeter_user_expiry_timestamp_seconds", "");
    let renews = user.last("proxymeter_user_renews", "");
    let active = user.last("proxymeter_user_status", "status=\"active\"");
    let expired = user.last("proxymeter_user_status", "status=\"expired\"");
    let renewing = user.rule.renewing;
    // The panel has some time to start the next plan.
    let grace = RENEWED_WITHIN.as_secs_f64();
    let left = |stops: bool| {
        if stops || renewing {
            format!("(({end} + {grace} * {renews} or {end}) - time())")
        } else {
            format!("({end} - time())")
        }
    };
    let running = if renewing { active } else { format!("{active} unless ignoring (status) {renews}") };
    let gate = |stops: bool| match (stops, renewing) {
        (true, _) => format!("\nand ignoring (status) ({running} or {expired})"),
        (false, true) => format!("\nand ignoring (status) {running}"),
        (false, false) => format!("\nand ignoring (status) ({running})"),
    };
    each_step_until_over(user.rule, left, gate)
}

fn user_quota(user: &Scope<'_>) -> Vec<String> {
    let share = used_share(user, "proxymeter_user_used_bytes", "proxymeter_user_limit_bytes");
    let renews = user.last("proxymeter_user_renews", "");
    let resets = user.last("proxymeter_user_quota_reset_timestamp_seconds", "");
    let follows = format!("\nunless ({renews} unless {resets})");
    let unless = if user.rule.renewing { "" } else { &follows };
    with_gate(user.rule, &share, |stops| {
        let statuses = if stops { "status=~\"active|limited\"" } else { "status=\"active\"" };
        format!("\nand ignoring (status) {}{unless}", user.last("proxymeter_user_status", statuses))
    })
}

/// By the recording rule, which is evaluated once an hour.
fn quota_forecast(user: &Scope<'_>) -> Vec<String> {
    const RECORDED: &str = "target_user:proxymeter_user_quota_exhausted_timestamp_seconds:forecast3d";
    const HELD: Duration = Duration::from_secs(2 * 60 * 60);
    let used_up = user.over("last_over_time", RECORDED, HELD);
    let share = used_share(user, "proxymeter_user_used_bytes", "proxymeter_user_limit_bytes");
    let ends = user.last("proxymeter_user_expiry_timestamp_seconds", "");
    let renews = user.last("proxymeter_user_renews", "");
    let resets = user.last("proxymeter_user_quota_reset_timestamp_seconds", "");
    let lasts = format!(
        "\nunless {used_up} >= {ends}\nunless {used_up} >= {resets}\nunless ({renews} unless {resets})\nunless {share} >= {}",
        f64::from(NEARLY_USED_UP) / f64::from(Threshold::WHOLE)
    );
    with_gate(user.rule, &format!("({used_up} - time())"), |_| is_active(user) + &lasts)
}

fn user_status(user: &Scope<'_>) -> String {
    user.last("proxymeter_user_status", "status=~\"disabled|expired|limited\"")
}

fn user_inactive(user: &Scope<'_>) -> Vec<String> {
    let seen = user.last("proxymeter_user_last_online_timestamp_seconds", "");
    with_gate(user.rule, &format!("(time() - {seen})"), |_| is_active(user))
}

fn user_devices(user: &Scope<'_>) -> String {
    let (used, limit) =
        (user.last("proxymeter_user_devices", ""), user.last("proxymeter_user_devices_limit", ""));
    format!("{used} > {limit}{}", is_active(user))
}

fn user_traffic(user: &Scope<'_>) -> Vec<String> {
    let moved = |limit: TrafficLimit| {
        let moved = user.over("increase", "proxymeter_user_traffic_bytes_total", limit.within.duration());
        format!("{moved} > {}", limit.bytes)
    };
    user.rule.traffic.map(moved).into_iter().collect()
}

fn is_active(user: &Scope<'_>) -> String {
    format!("\nand ignoring (status) {}", user.last("proxymeter_user_status", "status=\"active\""))
}

fn inbound_expiry(inbound: &Scope<'_>) -> Vec<String> {
    let end = inbound.last("proxymeter_inbound_expiry_timestamp_seconds", "");
    each_step_until_over(inbound.rule, |_| format!("({end} - time())"), |stops| inbound_runs(inbound, stops))
}

fn inbound_quota(inbound: &Scope<'_>) -> Vec<String> {
    let share = used_share(inbound, "proxymeter_inbound_used_bytes", "proxymeter_inbound_limit_bytes");
    with_gate(inbound.rule, &share, |stops| inbound_runs(inbound, stops))
}

/// The step at which the panel switches inbounds off is also about those that are off.
fn inbound_runs(inbound: &Scope<'_>, stops: bool) -> String {
    let enabled = inbound.last("proxymeter_inbound_enabled", "");
    if stops { format!("\nand {enabled}") } else { format!("\nand {enabled} == 1") }
}

fn used_share(scope: &Scope<'_>, used: &str, limit: &str) -> String {
    format!("({} / ({} > 0))", scope.last(used, ""), scope.last(limit, ""))
}

fn with_gate(rule: &Rule, value: &str, gate: impl Fn(bool) -> String) -> Vec<String> {
    let steps = each_step(rule, value).into_iter().enumerate();
    steps.map(|(place, expr)| expr + &gate(stops(rule, place))).collect()
}

/// Whether `for` is long enough for several scrapes. Then a range is looked at, in place of `for` in the rule.
fn looks_back(rule: &Rule) -> bool {
    rule.for_ >= MISSED
}

/// Down for the whole of `for`, or at more than half of the reads within twice that, of which there are enough.
fn mostly_down(scope: &Scope<'_>, up: &str) -> String {
    let down = format!("{} == 0", scope.last(up, ""));
    let for_ = scope.rule.for_;
    if !looks_back(scope.rule) {
        return down;
    }
    let (once, twice) = (for_ + BEGINNING, for_ * 2 + BEGINNING);
    let all = scope.over("max_over_time", up, once);
    let (share, reads) = (scope.over("avg_over_time", up, twice), scope.over("count_over_time", up, twice));
    let selector = scope.selector(up, "");
    let before = format!("count_over_time({selector}[{}] offset {})", duration(once), duration(for_));
    let before = one_of_each(&before);
    format!(
        "{down}\nand (\n  {all} == 0\n  or {share} < 0.5 and {reads} >= {}\n)\nand {before}",
        Reads::ENOUGH
    )
}

/// The value is the age. Of a part that was never read, it is 1.
fn part_stale(part: &Scope<'_>) -> String {
    let read = part.last("proxymeter_target_part_last_success_timestamp_seconds", "");
    let stale = part.last("proxymeter_target_part_stale", "");
    format!("(time() - {read}) and {stale} == 1\nor {stale} == 1")
}

fn target_stalled(target: &Scope<'_>) -> String {
    let users = target.last("proxymeter_users", "status=\"active\"");
    let up = target.last("proxymeter_up", "");
    format!("{}\nand ignoring (status) {users} > 0\nand {up} == 1", flat(target))
}

/// While nothing is counted on the whole target, that is the alert.
fn node_stalled(node: &Scope<'_>) -> String {
    let moved = node.last("proxymeter_node_traffic_last_moved_timestamp_seconds", "");
    let allowed = node.last("proxymeter_node_traffic_pause_allowed_seconds", "");
    let users = node.last_of_targets("proxymeter_users", "status=\"active\"");
    let up = node.last_of_targets("proxymeter_up", "");
    // Traffic can be another part's answer than the nodes. What was not read has not stood still.
    let read = "part=~\"nodes|usage\"";
    let read = node.last_of_targets("proxymeter_target_part_last_success_timestamp_seconds", read);
    let still = format!("-1 * ({moved} - ignoring (node) group_left () min without (part) ({read}))");
    format!(
        "{still} >= {allowed}\nand ignoring (node, status) {users} > 0\nand ignoring (node) {up} == 1\n\
         unless ignoring (node) {}",
        flat(node)
    )
}

fn flat(scope: &Scope<'_>) -> String {
    let moved = scope.last_of_targets("proxymeter_target_traffic_last_moved_timestamp_seconds", "");
    let read =
        scope.last_of_targets("proxymeter_target_part_last_success_timestamp_seconds", "part=\"system\"");
    format!("({read} - ignoring (part) {moved}) >= {}", Flow::STALLED_AFTER.as_secs_f64())
}

/// The value is the share of the answers that say it is down.
fn core_down(scope: &Scope<'_>, up: &str) -> String {
    let share = scope.over("avg_over_time", up, CoreReads::WINDOW);
    format!("1 - {share} and {share} < {}", 1.0 - CORE_DOWN_SHARE)
}

fn host_share(target: &Scope<'_>, of: &str) -> String {
    let (used, size) =
        (format!("proxymeter_host_{of}_used_bytes"), format!("proxymeter_host_{of}_size_bytes"));
    format!("({} / {})", target.last(&used, ""), target.last(&size, ""))
}

fn switched_off(credential: &Scope<'_>) -> String {
    format!("{} == 1", credential.last("proxymeter_llm_credential_status", "status=\"disabled\""))
}

fn credential_quota(rule: &Rule) -> Vec<String> {
    let scope = Scope::new(rule, "credential");
    let share = |matcher: &str| scope.last_of_targets("proxymeter_llm_credential_quota_used_ratio", matcher);
    let off = scope.last_of_targets("proxymeter_llm_credential_status", "status=\"disabled\"");
    // No label has the whole subject, so names are matched with what the labels are joined to.
    let subjects = format!(
        "label_join({}, \"subject\", \" \", \"credential\", \"model\", \"window\")\n    \
         or label_join({}, \"subject\", \" \", \"credential\", \"window\")",
        share("model!=\"\""),
        share("model=\"\"")
    );
    let filter = |word: &str, globs: &[String]| {
        if globs.is_empty() {
            return String::new();
        }
        let regex = quoted(&regex(globs));
        format!(
            "\n{word} ignoring (subject, covered) (\n  label_replace(\n    {subjects},\n    \
             \"covered\", \"yes\", \"subject\", {regex}\n  )\n  \
             and on (covered) label_replace(vector(1), \"covered\", \"yes\", \"\", \"\")\n)"
        )
    };
    let (_, Names { only, except }) = rule.names();
    let filters = filter("and", only) + &filter("unless", except);
    with_gate(rule, &share(""), |_| format!("\nunless ignoring (model, window, status) {off} == 1{filters}"))
}

fn plan_expiry(credential: &Scope<'_>) -> Vec<String> {
    let end = credential.last("proxymeter_llm_credential_plan_expiry_timestamp_seconds", "");
    let gate = format!("\nunless ignoring (status) {}", switched_off(credential));
    each_step_until_over(credential.rule, |_| format!("({end} - time())"), |_| gate.clone())
}

fn error_ratio(provider: &Scope<'_>) -> Vec<String> {
    let grown = |metric: &str| {
        let increase = provider.over("increase", metric, Attempts::WINDOW);
        format!("sum without (api_key, model) ({increase})")
    };
    let (failed, all) =
        (grown("proxymeter_llm_requests_failed_total"), grown("proxymeter_llm_requests_total"));
    let enough = format!("\nand {all} >= {ENOUGH_ATTEMPTS}");
    with_gate(provider.rule, &format!("({failed} / {all})"), |_| enough.clone())
}

/// By the budget of the rule, which may not be the one in the metrics.
fn budget(key: &Scope<'_>) -> Vec<String> {
    let Some(Budget { unit, period, limit }) = key.rule.budget else { return Vec::new() };
    let matcher = format!("budget=\"{}\", period=\"{}\"", unit.label(), period.label());
    let used = key.last("proxymeter_llm_budget_used_ratio", &matcher);
    let known = key.last("proxymeter_llm_budget_limit", &matcher);
    let limit = match unit {
        BudgetUnit::Tokens => limit.to_string(),
        BudgetUnit::UsdNanos => format!("{limit}e-9"),
    };
    each_step(key.rule, &format!("({used} * {known} / {limit})"))
}

fn usage_gap(target: &Scope<'_>) -> String {
    let lately = |metric: &str| format!("{} > 0", target.over("increase", metric, LOST_WITHIN));
    let (gaps, bypassed) =
        (lately("proxymeter_llm_usage_gaps_total"), lately("proxymeter_llm_usage_bypassed_total"));
    let off = target.last("proxymeter_llm_usage_mode", "mode=\"off\"");
    format!("({gaps} or {bypassed})\nunless ignoring (mode) {off} == 1")
}

//! Clients. The list gives each in two forms, one for what it moved and one for what is configured, and may lack either.

use std::{sync::Arc, time::Duration};

use crate::{
    model::{Counter, Expiry, Extras, LastOnline, Timestamp, Unread, User, UserStatus},
    upstream::json::Object,
};

/// What the list says of one client, from however many inbounds and in whichever form.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    up: Option<u64>,
    down: Option<u64>,
    plan: Plan,
    has_stats: bool,
    /// Milliseconds; 0 is never.
    last_online: Option<i64>,
    /// Whether the statistics say that it is on: see [`Meaning`].
    runs: Option<bool>,
    /// Whether the configuration says so, of one inbound at least: in 3x-ui 3.0, they may differ.
    enabled: Option<bool>,
}

/// What is configured for a client.
#[derive(Clone, Debug, Default)]
pub(in crate::upstream::xui) struct Plan {
    /// Bytes; 0 is no limit. Also called `totalGB`.
    total: Option<u64>,
    /// Milliseconds; 0 is never, and negative a duration that starts at the first use.
    expiry: Option<i64>,
    /// Days after which the plan starts again, by itself; 0 is never.
    reset: Option<i64>,
    /// `reset` was there, and could not be read.
    is_reset_odd: bool,
    /// Renewals are limited, and were all made.
    is_renewed_out: bool,
    /// The panel sets what was used back to 0 from time to time (3x-ui from 3.7 on: `trafficReset`).
    resets: bool,
    /// Addresses at a time; 0 is no limit.
    limit_ip: Option<u64>,
    /// When the client was created, in milliseconds.
    created: Option<i64>,
}

/// What `enable: false` in the statistics of a client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The panel has switched the client off, because its plan is used up or has ended (3x-ui up to 2.8.0).
    UsedUp,
    /// The panel or its operator has.
    Off,
}

/// What the conversion of a client needs besides the client.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) meaning: Meaning,
    /// What its inbounds make of it, if all of them are off.
    pub(super) status_of_inbounds: Option<UserStatus>,
    pub(super) read_at: Timestamp,
    pub(super) panel_now: Timestamp,
    pub(super) inbounds: Arc<[Arc<str>]>,
    pub(super) devices: Option<u64>,
    /// One of its inbounds sets what was used back to 0 from time to time.
    pub(super) resets: bool,
}

/// Whether what was used is set back to 0 from time to time, by a row of an inbound or client.
pub(super) fn resets(row: &Object<'_>) -> bool {
    row.word("trafficReset").is_some_and(|often| !matches!(&*often, "" | "never"))
}

impl Client {
    /// Adds a row of statistics (`clientStats`). Each inbound of a client repeats the same one.
    pub(super) fn add_stats(&mut self, row: &Object<'_>) {
        set(&mut self.up, row.count("up"));
        set(&mut self.down, row.count("down"));
        set(&mut self.runs, row.flag("enable"));
        set(&mut self.last_online, row.integer("lastOnline"));
        let is_first = !std::mem::replace(&mut self.has_stats, true);
        // What the statistics have goes before the configuration, whichever came first.
        let Plan { total, expiry, .. } = &mut self.plan;
        let configured = is_first.then(|| (total.take(), expiry.take()));
        self.plan.add(row, row.count("total"));
        if let Some((total, expiry)) = configured {
            set(&mut self.plan.total, total);
            set(&mut self.plan.expiry, expiry);
        }
    }

    pub(super) fn has_stats(&self) -> bool {
        self.has_stats
    }

    /// Adds a row of the configuration (`settings.clients`).
    pub(super) fn add_setting(&mut self, row: &Object<'_>) {
        self.enabled = self.enabled.max(row.flag("enable"));
        set(&mut self.plan.limit_ip, row.count("limitIp"));
        set(&mut self.plan.created, row.integer("created_at"));
        self.plan.add(row, row.count("totalGB"));
    }

    /// Adds what the whole list said of the plan, and this one does not.
    pub(super) fn add_plan(&mut self, whole: &Plan) {
        set(&mut self.plan.limit_ip, whole.limit_ip);
        set(&mut self.plan.created, whole.created);
        self.plan.resets |= whole.resets;
        if self.plan.is_unread() {
            let Plan { limit_ip, created, resets, .. } = self.plan;
            self.plan = Plan { limit_ip, created, resets, ..whole.clone() };
        }
    }

    /// The plan, if the list without configurations lacks something of it.
    pub(super) fn plan_beyond_statistics(self) -> Option<Plan> {
        let was_never_online = self.last_online == Some(0) && self.plan.created.is_some();
        let has_more = !self.has_stats || was_never_online || self.plan.devices_limit().is_some();
        has_more.then_some(self.plan)
    }

    pub(super) fn convert(&self, name: Arc<str>, context: Context) -> User {
        let used = self.up.zip(self.down).map(|(up, down)| up.saturating_add(down));
        let status = self.status(used, &context);
        let expiry = self.plan.expiry.map_or(Expiry::Never, expiry);
        // The panel looks for clients that have ended, so one without an end is never renewed.
        let renews = self.plan.reset.is_some_and(|days| days > 0)
            && !self.plan.is_renewed_out
            && self.plan.expiry != Some(0);
        let last_online = self.last_online.filter(|millis| *millis > 0).map(Timestamp::from_millis);
        let created = self.plan.created.filter(|millis| *millis > 0 && self.last_online.is_some());
        let created = created.map(Timestamp::from_millis);
        let mut unread = Unread::default();
        for (fact, is_unread) in [
            (Unread::STATUS, status.is_none()),
            (Unread::USED, used.is_none()),
            (Unread::TRAFFIC, used.is_none()),
            (Unread::LIMIT, self.plan.total.is_none()),
            (Unread::EXPIRY, self.plan.expiry.is_none()),
            (Unread::ONLINE, self.last_online.is_none()),
            (Unread::QUOTA_RESET, self.plan.resets || context.resets),
            (Unread::RENEWS, (self.plan.is_reset_odd || self.plan.is_unread()) && !renews),
        ] {
            if is_unread {
                unread.add(fact);
            }
        }
        let extra = Extras {
            uplink: self.up.map(Counter::new),
            downlink: self.down.map(Counter::new),
            // A renewal starts the next plan when this one ends. An inbound may reset its clients earlier (`trafficReset`),
            // at an hour of the panel's time zone, which no answer has.
            quota_reset: match expiry {
                Expiry::At(at) if renews => Some(at),
                _ => None,
            },
            resets: None,
            devices: context.devices,
            devices_limit: self.plan.devices_limit(),
            inbounds: context.inbounds,
        };
        User {
            name,
            owner: None,
            status: status.unwrap_or(UserStatus::Unknown),
            used: used.unwrap_or_default(),
            limit: self.plan.total.filter(|total| *total > 0),
            traffic: Counter::new(used.unwrap_or_default()),
            expiry,
            renews,
            extra: extra.into(),
            last_online: LastOnline::of(last_online, created, used),
            online: last_online.is_some_and(|last| context.panel_now.since(last) <= ONLINE_AFTER_TRAFFIC),
            read_at: context.read_at,
            unread,
        }
    }

    /// The panel's own rule: what is used up or has ended goes before what is switched off. Absent: the answer does not
    /// say whether it is on.
    fn status(&self, used: Option<u64>, context: &Context) -> Option<UserStatus> {
        let total = self.plan.total.filter(|total| *total > 0);
        if used.zip(total).is_some_and(|(used, total)| used >= total) {
            return Some(UserStatus::Limited);
        }
        let ends = self.plan.expiry.filter(|millis| *millis > 0);
        if ends.is_some_and(|ends| Timestamp::from_millis(ends) <= context.panel_now) {
            return Some(UserStatus::Expired);
        }
        if self.enabled == Some(false) {
            return Some(UserStatus::Disabled);
        }
        if self.runs == Some(false) {
            return Some(match context.meaning {
                Meaning::UsedUp if total.is_some() => UserStatus::Limited,
                Meaning::UsedUp if ends.is_some() => UserStatus::Expired,
                Meaning::UsedUp | Meaning::Off => UserStatus::Disabled,
            });
        }
        self.enabled.or(self.runs)?;
        let waits = self.plan.expiry.is_some_and(|millis| millis < 0);
        let is_on = if waits { UserStatus::OnHold } else { UserStatus::Active };
        Some(context.status_of_inbounds.unwrap_or(is_on))
    }
}

impl Plan {
    fn add(&mut self, row: &Object<'_>, total: Option<u64>) {
        set(&mut self.total, total);
        set(&mut self.expiry, row.integer("expiryTime"));
        // 3x-ui from 3.7 on also renews on a day of the month, and may limit how often.
        let days = row.integer("reset").into_iter().chain(row.integer("resetDay")).max();
        self.reset = self.reset.max(days);
        self.is_reset_odd |= row.was_odd("reset") || row.was_odd("resetDay");
        self.resets |= resets(row);
        let most = row.count("resetMax").filter(|most| *most > 0);
        self.is_renewed_out |= most.zip(row.count("resetCount")).is_some_and(|(most, made)| made >= most);
    }

    /// Whether no row had it.
    fn is_unread(&self) -> bool {
        self.total.is_none() && self.expiry.is_none() && self.reset.is_none()
    }

    /// The most addresses at a time; absent: unknown or no limit.
    fn devices_limit(&self) -> Option<u64> {
        self.limit_ip.filter(|limit| *limit > 0)
    }
}

/// A client is online for this long after its last traffic. A panel counts every 5 or 10 s.
const ONLINE_AFTER_TRAFFIC: Duration = Duration::from_secs(30);

fn set<T>(known: &mut Option<T>, read: Option<T>) {
    if known.is_none() {
        *known = read;
    }
}

/// 3x-ui: milliseconds; 0 = never, negative = this long after the first use.
pub(super) fn expiry(millis: i64) -> Expiry {
    match millis {
        0 => Expiry::Never,
        1.. => Expiry::At(Timestamp::from_millis(millis)),
        _ => Expiry::OnFirstUse(Duration::from_millis(millis.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::json::OddFields;

    const NOW: i64 = 1_795_000_000_000;

    fn user(stats: &str, setting: &str, meaning: Meaning, inbounds: Option<UserStatus>) -> User {
        let odd = OddFields::default();
        let mut client = Client::default();
        if !stats.is_empty() {
            client.add_stats(&Object::new("client", stats, &odd).unwrap());
        }
        if !setting.is_empty() {
            client.add_setting(&Object::new("client", setting, &odd).unwrap());
        }
        let context = Context {
            meaning,
            status_of_inbounds: inbounds,
            read_at: Timestamp::from_millis(NOW),
            panel_now: Timestamp::from_millis(NOW),
            inbounds: Arc::default(),
            devices: None,
            resets: false,
        };
        client.convert("a".into(), context)
    }

    #[test]
    fn the_status_follows_the_panels_rule() {
        use UserStatus::*;
        let plan = |enable: bool, used, total, expiry| {
            format!(r#"{{"enable":{enable},"up":{used},"down":0,"total":{total},"expiryTime":{expiry}}}"#)
        };
        let on = r#"{"enable":true}"#;
        let off = r#"{"enable":false}"#;
        let cases = [
            (plan(true, 5, 0, 0), on, Meaning::Off, Active),
            (plan(true, 5, 5, 0), on, Meaning::Off, Limited),
            (plan(true, 4, 5, 0), on, Meaning::Off, Active),
            (plan(true, 5, 0, NOW), on, Meaning::Off, Expired),
            (plan(true, 5, 0, NOW + 1), on, Meaning::Off, Active),
            (plan(false, 5, 5, NOW), off, Meaning::Off, Limited),
            (plan(true, 5, 0, -5), on, Meaning::Off, OnHold),
            (plan(true, 5, 0, -5), off, Meaning::Off, Disabled),
            (plan(true, 5, 0, 0), off, Meaning::Off, Disabled),
            (plan(false, 5, 0, 0), on, Meaning::Off, Disabled),
            (plan(false, 5, 9, 0), on, Meaning::Off, Disabled),
            // Up to 2.8.0, only the panel switches it off there.
            (plan(false, 5, 9, 0), on, Meaning::UsedUp, Limited),
            (plan(false, 5, 0, NOW + 1), on, Meaning::UsedUp, Expired),
            (plan(false, 5, 9, 0), off, Meaning::UsedUp, Disabled),
            // One of the two forms alone.
            (plan(true, 5, 0, 0), "", Meaning::Off, Active),
            (String::new(), on, Meaning::Off, Active),
            (r#"{"up":5}"#.to_owned(), "", Meaning::Off, Unknown),
        ];
        for (stats, setting, meaning, expected) in cases {
            assert_eq!(user(&stats, setting, meaning, None).status, expected, "{stats} {setting}");
        }
        let on = plan(true, 5, 0, 0);
        for status in [Disabled, Limited, Expired] {
            assert_eq!(user(&on, "", Meaning::Off, Some(status)).status, status);
        }
    }

    #[test]
    fn special_values_keep_their_meanings() {
        let all =
            r#"{"enable":true,"up":3,"down":4,"total":0,"expiryTime":-86400000,"reset":30,"lastOnline":0}"#;
        let read = user(all, r#"{"limitIp":2}"#, Meaning::Off, None);
        assert_eq!(read.expiry, Expiry::OnFirstUse(Duration::from_secs(86_400)));
        assert_eq!((read.used, read.limit, read.renews, read.extra.quota_reset), (7, None, true, None));
        assert_eq!((read.last_online, read.extra.devices_limit), (LastOnline::default(), Some(2)));
        assert_eq!(read.unread, Unread::default());

        // Who was never online, and has moved nothing, counts from the creation.
        let created =
            |stats: &str| user(stats, r#"{"created_at":1700000000000}"#, Meaning::Off, None).last_online;
        let since = Timestamp::from_millis(1_700_000_000_000);
        for (stats, expected) in [
            (r#"{"up":0,"down":0,"lastOnline":0}"#, LastOnline::never(since)),
            (r#"{"up":0,"down":1,"lastOnline":0}"#, LastOnline::default()),
            (r#"{"up":0,"down":0}"#, LastOnline::default()),
            (r#"{"up":0,"down":0,"lastOnline":5}"#, LastOnline::seen(Timestamp::from_millis(5))),
        ] {
            assert_eq!(created(stats), expected, "{stats}");
        }

        let ends = format!(r#"{{"enable":true,"expiryTime":{},"reset":30}}"#, NOW + 5);
        let read = user(&ends, "", Meaning::Off, None);
        assert_eq!(read.extra.quota_reset, Some(Timestamp::from_millis(NOW + 5)));
        for fact in [Unread::USED, Unread::TRAFFIC, Unread::LIMIT, Unread::ONLINE] {
            assert!(read.unread.has(fact));
        }
        assert!(!read.unread.has(Unread::EXPIRY) && !read.unread.has(Unread::STATUS));
        for never in [
            r#"{"reset":30,"resetMax":3,"resetCount":3}"#,
            r#"{"reset":30,"expiryTime":0}"#,
            r#"{"expiryTime":0}"#,
        ] {
            let read = user(never, "", Meaning::Off, None);
            assert!(!read.renews && !read.unread.has(Unread::RENEWS), "{never}");
        }
        assert!(user(r#"{"reset":"often"}"#, "", Meaning::Off, None).unread.has(Unread::RENEWS));
        for (setting, expected) in [
            (r#"{"trafficReset":"monthly"}"#, true),
            (r#"{"trafficReset":"never"}"#, false),
            (r#"{"trafficReset":""}"#, false),
            ("{}", false),
        ] {
            let read = user("", setting, Meaning::Off, None);
            assert_eq!(read.unread.has(Unread::QUOTA_RESET), expected, "{setting}");
        }
        assert!(
            !user(r#"{"reset":"often"}"#, r#"{"reset":9}"#, Meaning::Off, None).unread.has(Unread::RENEWS)
        );
        // What is null is absent, and the configuration has it too.
        let null = r#"{"up":null,"down":1,"total":null,"expiryTime":null}"#;
        let read = user(null, r#"{"totalGB":"9","expiryTime":0}"#, Meaning::Off, None);
        assert_eq!((read.limit, read.expiry), (Some(9), Expiry::Never));
        assert!(read.unread.has(Unread::USED));
    }

    #[test]
    fn a_plan_that_no_row_has_is_unread_or_that_of_the_whole_list() {
        let odd = OddFields::default();
        let (slim, stats) = (r#"{"enable":true}"#, r#"{"total":7,"expiryTime":0,"reset":0}"#);
        let whole = r#"{"enable":true,"totalGB":9,"expiryTime":5,"reset":3,"limitIp":2}"#;
        let mut known = Client::default();
        known.add_setting(&Object::new("client", whole, &odd).unwrap());
        let known = known.plan_beyond_statistics().unwrap();
        let context = || Context {
            meaning: Meaning::Off,
            status_of_inbounds: None,
            read_at: Timestamp::from_millis(NOW),
            panel_now: Timestamp::from_millis(NOW),
            inbounds: Arc::default(),
            devices: None,
            resets: false,
        };
        let mut client = Client::default();
        client.add_setting(&Object::new("client", slim, &odd).unwrap());
        let read = client.convert("a".into(), context());
        for fact in [Unread::LIMIT, Unread::EXPIRY, Unread::RENEWS] {
            assert!(read.unread.has(fact), "{fact:?}");
        }
        let mut with_stats = client.clone();
        client.add_plan(&known);
        let read = client.convert("a".into(), context());
        let end = Some(Timestamp::from_millis(5));
        assert_eq!((read.limit, read.expiry, read.renews), (Some(9), expiry(5), true));
        assert_eq!(
            (read.extra.quota_reset, read.extra.devices_limit, read.status),
            (end, Some(2), UserStatus::Expired)
        );
        for fact in [Unread::LIMIT, Unread::EXPIRY, Unread::RENEWS] {
            assert!(!read.unread.has(fact), "{fact:?}");
        }
        // Of clients with statistics, those who were never online need the time of their creation.
        let plan = |stats: &str| {
            let mut client = Client::default();
            client.add_stats(&Object::new("client", stats, &odd).unwrap());
            client.add_setting(&Object::new("client", r#"{"created_at":7}"#, &odd).unwrap());
            client.plan_beyond_statistics()
        };
        assert!(plan(r#"{"up":0,"down":0,"lastOnline":5}"#).is_none());
        let never = r#"{"up":0,"down":0,"lastOnline":0}"#;
        let mut client = Client::default();
        client.add_stats(&Object::new("client", never, &odd).unwrap());
        client.add_plan(&plan(never).unwrap());
        let read = client.convert("a".into(), context());
        assert_eq!(read.last_online, LastOnline::never(Timestamp::from_millis(7)));
        // What the list says now goes before what the whole one said within the hour.
        with_stats.add_stats(&Object::new("client", stats, &odd).unwrap());
        with_stats.add_plan(&known);
        let read = with_stats.convert("a".into(), context());
        assert_eq!((read.limit, read.expiry, read.renews), (Some(7), Expiry::Never, false));
        assert_eq!(read.extra.devices_limit, Some(2));
    }
}

//! The lines of a monthly statement.

use super::{
    format::amounts,
    voice::{Voice, args},
};
use crate::model::{
    Day, Month, Timestamp,
    words::{bytes, count},
};

impl Voice {
    /// `Statement for 2026-11: home, ali`
    pub fn statement_title(&self, month: Month, target: &str, admin: Option<&str>) -> String {
        let (month, target) = (month.to_string(), self.short(target));
        match admin {
            None => self.say("statement-title", &args([("month", month.into()), ("target", target.into())])),
            Some(admin) => {
                let admin = self.short(admin);
                let values = [("month", month.into()), ("target", target.into()), ("admin", admin.into())];
                self.say("statement-title-admin", &args(values))
            }
        }
    }

    /// `Period: 1 November 2026 – 30 November 2026`. `is_part`: nothing is known of the days before.
    pub fn statement_period(&self, first: Day, last: Day, is_part: bool) -> String {
        let (from, to) = (self.calendar_day(first), self.calendar_day(last));
        let period = self.say("span-dates", &args([("from", from.clone().into()), ("to", to.into())]));
        let id = if is_part { "statement-period-since" } else { "statement-period" };
        self.say(id, &args([("period", period.into()), ("since", from.into())]))
    }

    /// `Traffic: 1.5 TiB (1,649,267,441,664 bytes)`
    pub fn statement_total(&self, used: u64) -> String {
        self.say("statement-total", &args([("used", bytes(used).into()), ("bytes", count(used).into())]))
    }

    /// `At present, 97 % of the limit is used (97 of 100 GiB)`
    pub fn statement_limit(&self, used: u64, limit: u64) -> String {
        let share = u128::from(used) * 100 / u128::from(limit.max(1));
        let (used, limit) = amounts(bytes(used), &bytes(limit));
        let values = [
            ("percent", self.share(&share.to_string()).into()),
            ("used", used.into()),
            ("limit", limit.into()),
        ];
        self.say("statement-limit", &args(values))
    }

    /// The sentence `id` about a part of the traffic.
    pub fn statement_part(&self, id: &str, used: u64) -> String {
        self.say(id, &args([("used", bytes(used).into())]))
    }

    /// Users were last read then, before the end of the month.
    pub fn statement_unread(&self, since: Timestamp) -> String {
        self.say("statement-unread", &args([("date", self.date(since).into())]))
    }

    /// What the attached file has.
    pub fn statement_table(&self, file: &str, rows: usize, left_out: usize) -> String {
        let id = if left_out > 0 { "statement-table-first" } else { "statement-table" };
        let values = [("file", file.into()), ("rows", rows.into()), ("more", left_out.into())];
        self.say(id, &args(values))
    }
}

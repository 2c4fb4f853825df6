//! The user list, page by page, and single users by name.

use std::sync::Arc;

use serde::de::Error;
use tokio::{io::AsyncBufRead, time::Instant};

use super::{
    Marzban,
    connected::Addresses,
    convert::{self, Owners, UserRow},
    walk::{self, Advance, LeftOut, Page, Span, Walk},
};
use crate::{
    http,
    model::{Fact, Moment, NamedUsers, Part, System, Timestamp, UnreadableCause, User, UserFacts},
    upstream::{
        Again, Cause, FetchError, Scope, Step,
        json::{self, Listed, OddFields},
    },
};

impl Marzban {
    /// Reads one page, or retries one.
    pub(super) async fn read_users(&mut self, now: Moment) -> Result<Step, FetchError> {
        const ASKED: &str = "/api/users";
        let size = self.page_size;
        let first = Span { offset: 0, limit: size };
        if self.walk.is_none() {
            self.owners.forget_former();
        }
        let span = self.walk.get_or_insert_with(|| Walk::new(now, size)).next();
        let path = format!("{ASKED}?offset={}&limit={}&sort=username", span.offset, span.limit);
        let row = self.user_row(now);
        let began = Instant::now();
        let odd = OddFields::default();
        let answer = self.ask(ASKED, &path, now, self.page, |body| user_page(body, &row, &odd)).await;
        self.odd.extend(&odd);
        let Some(walk) = &mut self.walk else { return Ok(Step::default()) };
        match answer {
            // A whole first page of such rows is a failure; among rows around one that makes the panel fail, it may be
            // chance.
            Ok(page) if span == first && !page.rows.is_empty() && page.rows.iter().all(Result::is_err) => {
                self.walk = None;
                Err(FetchError::new(ASKED, Cause::Rows))
            }
            Ok(page) => {
                if began.elapsed() < self.page.deadline / 3 {
                    self.page_size = (self.page_size * 2).min(walk::PAGE);
                }
                match walk.answered(page, self.page_size) {
                    Advance::More(users) if users.is_empty() => Ok(Step::default()),
                    Advance::More(users) => Ok(Step::more(vec![Fact::Users(UserFacts::Page(users))])),
                    Advance::End(end) => {
                        let empty = Walk::found_none(&end);
                        self.walk = None;
                        if empty {
                            return Err(FetchError::new(ASKED, Cause::Rows));
                        }
                        Ok(Step::done(Part::Users, vec![Fact::Users(UserFacts::WalkEnd(end))]))
                    }
                }
            }
            Err(err) => {
                if let Some(cause) = row_at_fault(&err) {
                    return match walk.failed(cause) {
                        Ok(()) => Ok(Step::default()),
                        Err(walk::Broken) => {
                            self.walk = None;
                            Err(if cause == UnreadableCause::PanelFails {
                                FetchError::new(ASKED, Cause::Poisoned(500))
                            } else {
                                err
                            })
                        }
                    };
                }
                if err.is_too_slow() {
                    self.page_size = walk::smaller(self.page_size);
                    walk.shrink(self.page_size);
                }
                Err(err)
            }
        }
    }

    fn user_row(&self, now: Moment) -> UserRow {
        UserRow {
            now,
            panel_now: self.panel_time(now),
            owners: self.owners.clone(),
            has_lifetime: Arc::clone(&self.has_lifetime),
            addresses: self.addresses.clone().filter(|_| self.system == Some(System::PasarGuard)),
        }
    }

    /// Rows that the present walk has read, and all of the list.
    pub(in crate::upstream) fn walked(&self) -> Option<(usize, Option<usize>)> {
        self.walk.as_ref().map(Walk::progress).filter(|(read, _)| *read > 0)
    }

    /// Starts the next walk of a part at the beginning, because the present one has paused for too long.
    pub(in crate::upstream) fn forget_walk(&mut self, part: Part) {
        match part {
            Part::Users => self.walk = None,
            Part::Addresses => self.addresses.iter().for_each(Addresses::forget_round),
            _ => {}
        }
    }

    /// Requests some users by name. A user whose row makes the panel fail is neither found nor gone.
    pub(in crate::upstream) async fn read_named(
        &mut self,
        names: &[Arc<str>],
        now: Moment,
    ) -> Result<NamedUsers, FetchError> {
        const ASKED: &str = "/api/users?username";
        let mut named = NamedUsers::default();
        let began = Instant::now();
        let mut ask = vec![names];
        while let Some(names) = ask.pop() {
            // A panel that must be asked in halves may take so long that the first half is old by now.
            let now = now.after(began.elapsed());
            let query: Vec<_> =
                names.iter().map(|name| format!("username={}", convert::percent_encode(name))).collect();
            let path = format!("/api/users?{}", query.join("&"));
            let row = self.user_row(now);
            let odd = OddFields::default();
            let answer = self.ask(ASKED, &path, now, self.page, |body| user_page(body, &row, &odd)).await;
            self.odd.extend(&odd);
            match answer {
                Ok(page) => {
                    let known = |name: &Arc<str>| page.rows.iter().flatten().any(|user| user.name == *name);
                    // A row that could not be read may be any of those not found.
                    if page.rows.iter().all(Result::is_ok) {
                        named.gone.extend(names.iter().filter(|name| !known(name)).cloned());
                    }
                    named
                        .found
                        .extend(page.rows.into_iter().flatten().filter(|user| names.contains(&user.name)));
                }
                Err(err) if row_at_fault(&err).is_some() => {
                    if names.len() > 1 {
                        let (front, back) = names.split_at(names.len() / 2);
                        ask.extend([front, back]);
                    }
                }
                // Known results are kept; the rest is requested again.
                Err(err)
                    if err.again == Again::Usual
                        && matches!(err.scope(), Scope::Part | Scope::Target)
                        && !(named.found.is_empty() && named.gone.is_empty()) =>
                {
                    break;
                }
                Err(err) => return Err(err),
            }
        }
        Ok(named)
    }
}

/// Why one of the rows that were asked for may be the cause of a failure; absent: none is.
fn row_at_fault(err: &FetchError) -> Option<UnreadableCause> {
    match err.cause {
        Cause::Http(http::Error::Status(500)) => Some(UnreadableCause::PanelFails),
        Cause::Http(http::Error::TooLargeRow) => Some(UnreadableCause::TooLarge),
        _ => None,
    }
}

/// The users in a page that is here as a whole, as a walk reads them. Other rows are left out.
///
/// # Errors
/// When it is no page.
pub fn users_of(page: &[u8], now: Timestamp) -> serde_json::Result<Vec<User>> {
    let (owners, has_lifetime) = (Owners::default(), Arc::default());
    let read = Moment { wall: now, ..Moment::default() };
    let row = UserRow { now: read, panel_now: now, owners, has_lifetime, addresses: None };
    let page = json::at_once(user_page(page, &row, &OddFields::default()))?;
    Ok(page.rows.into_iter().flatten().collect())
}

/// Decodes `{"users": […], "total": n}`, each row as soon as it is there.
async fn user_page(
    body: impl AsyncBufRead + Unpin,
    row: &UserRow,
    odd: &OddFields,
) -> serde_json::Result<Page> {
    let listed = Listed { list: "users", beside: "total", row: "user", most: http::ROW, odd };
    let read = json::page(body, listed, |user| match user {
        Some(user) => row.convert(&user),
        None => Err(LeftOut::Unreadable(UnreadableCause::NotAnObject)),
    });
    let read = read.await?;
    let rows = read.rows.ok_or_else(|| serde_json::Error::missing_field("users"))?;
    let total = read.beside.and_then(|total| json::count(total.get()));
    Ok(Page { rows, total: total.map(|total| usize::try_from(total).unwrap_or(usize::MAX)) })
}

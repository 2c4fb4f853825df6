//! The user list: its query, the users that match, and the page as it is sent.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::options::Flavour;
use super::refusal::{detail, internal_error};
use super::row::{self, Look};
use super::state::{State, Status, User};
use crate::simulator::http::{Answer, query::Pairs};

/// A piece of a page that is being sent ends with the row that passes this many bytes.
const PIECE: usize = 64 * 1024;

/// One page of the list. It holds its users as they were at the request, and writes their rows while it is sent.
struct Page {
    users: Vec<Arc<User>>,
    total: usize,
    look: Look,
    /// Users already written, and whether the end of the page is.
    written: usize,
    ended: bool,
}

impl Page {
    /// Length of the whole page in bytes, found by writing it once.
    fn length(&self) -> u64 {
        let mut scratch = Vec::with_capacity(8 * 1024);
        let mut length = 0;
        for place in 0..=self.users.len() {
            scratch.clear();
            self.write(&mut scratch, place);
            length += scratch.len();
        }
        u64::try_from(length).unwrap_or(u64::MAX)
    }

    /// Writes the row at `place` and what precedes it; past the last row, the end of the page.
    fn write(&self, out: &mut Vec<u8>, place: usize) {
        if place == 0 {
            out.extend_from_slice(br#"{"users":["#);
        }
        match self.users.get(place) {
            Some(user) => {
                if place > 0 {
                    out.push(b',');
                }
                row::write(out, user, &self.look);
            }
            None => out.extend_from_slice(format!(r#"],"total":{}}}"#, self.total).as_bytes()),
        }
    }
}

impl Iterator for Page {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + 8 * 1024);
        while piece.len() < PIECE && !self.ended {
            self.write(&mut piece, self.written);
            self.ended = self.written == self.users.len();
            self.written += 1;
        }
        Some(piece.into())
    }
}

/// `GET /api/users`.
pub(super) fn answer(state: &mut State, now_ms: i64, caller: usize, query: &Pairs) -> Answer {
    let wish = match Wish::of(query, state.flavour) {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    let is_sudo = state.admins.get(caller).is_some_and(|admin| admin.is_sudo);
    let wish_for_all = wish.status.is_none() && wish.search.is_none() && query.last("username").is_none();
    let (users, total): (Vec<Arc<User>>, usize) = if is_sudo
        && wish_for_all
        && query.last("admin").is_none()
        && wish.sort == [(Key::Username, Order::Up)]
    {
        (state.users.page(wish.offset, wish.limit).cloned().collect(), state.users.len())
    } else {
        let owners: Option<Vec<usize>> = if !is_sudo {
            Some(vec![caller])
        } else if query.last("admin").is_some() {
            let index = |name| state.admins.iter().position(|admin| admin.username == name);
            Some(query.all("admin").filter_map(index).collect())
        } else {
            None
        };
        let mut matching = matching(state, &wish, query, owners.as_deref());
        state.rows_examined += u64::try_from(state.users.len()).unwrap_or(0);
        let total = matching.len();
        let from = wish.offset.min(total);
        let page = matching.drain(from..from + wish.limit.min(total - from)).collect();
        (page, total)
    };
    state.rows_examined += u64::try_from(users.len()).unwrap_or(0);
    if users.iter().any(|user| user.poisoned) {
        return internal_error();
    }
    let page = Page { users, total, look: Look::of(state, now_ms), written: 0, ended: false };
    Answer::list(page.users.len(), page.length(), page)
}

fn matching(state: &State, wish: &Wish, query: &Pairs, owners: Option<&[usize]>) -> Vec<Arc<User>> {
    let names: Vec<&str> = query.all("username").collect();
    let matches = |user: &&Arc<User>| {
        wish.status.is_none_or(|status| user.status == status)
            && (names.is_empty() || names.contains(&user.username()))
            && owners.is_none_or(|owners| user.owner.is_some_and(|owner| owners.contains(&owner)))
            && wish.search.as_ref().is_none_or(|search| {
                let holds = |text: &str| text.to_ascii_lowercase().contains(search);
                holds(user.username()) || user.note.as_deref().is_some_and(holds)
            })
    };
    if wish.sort.is_empty() {
        return state.users.oldest_first().filter(matches).cloned().collect();
    }
    let mut users: Vec<Arc<User>> = state.users.sorted().filter(matches).cloned().collect();
    if wish.sort != [(Key::Username, Order::Up)] {
        users.sort_by(|a, b| {
            let by_each = wish.sort.iter().map(|(key, order)| match order {
                Order::Up => key.compare(a, b),
                Order::Down => key.compare(b, a),
            });
            by_each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
    }
    users
}

/// The query of a client.
struct Wish {
    offset: usize,
    limit: usize,
    status: Option<Status>,
    /// In lower case.
    search: Option<String>,
    sort: Vec<(Key, Order)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Username,
    UsedTraffic,
    DataLimit,
    Expire,
    CreatedAt,
    OnlineAt,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Up,
    Down,
}

impl Wish {
    fn of(query: &Pairs, flavour: Flavour) -> Result<Wish, Answer> {
        let mut wrong: Map<String, Value> = Map::new();
        let mut integer = |key: &str| {
            query.integer(key).unwrap_or_else(|_| {
                let message = "Input should be a valid integer, unable to parse string as an integer";
                wrong.insert(key.to_owned(), message.into());
                None
            })
        };
        let offset = integer("offset").unwrap_or(0);
        let limit = integer("limit").unwrap_or(0);
        let status = match query.last("status") {
            None => None,
            Some("active") => Some(Status::Active),
            Some("disabled") => Some(Status::Disabled),
            Some("limited") => Some(Status::Limited),
            Some("expired") => Some(Status::Expired),
            Some("on_hold") => Some(Status::OnHold),
            Some(_) => {
                let message = "Input should be 'active', 'disabled', 'limited', 'expired' or 'on_hold'";
                wrong.insert("status".to_owned(), message.into());
                None
            }
        };
        if !wrong.is_empty() {
            return Err(Answer::json(422, &json!({ "detail": wrong })));
        }
        let sort = query.last("sort").unwrap_or_default().split(',').filter(|key| !key.is_empty());
        Ok(Wish {
            offset: usize::try_from(offset).unwrap_or(0),
            limit: usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX),
            status,
            search: query.last("search").filter(|text| !text.is_empty()).map(str::to_ascii_lowercase),
            sort: sort.map(|key| sort_by(key, flavour)).collect::<Result<_, _>>()?,
        })
    }
}

fn sort_by(option: &str, flavour: Flavour) -> Result<(Key, Order), Answer> {
    let (name, order) = match option.strip_prefix('-') {
        Some(name) => (name, Order::Down),
        None => (option, Order::Up),
    };
    let key = match name {
        "username" => Key::Username,
        "used_traffic" => Key::UsedTraffic,
        "data_limit" => Key::DataLimit,
        "expire" => Key::Expire,
        "created_at" => Key::CreatedAt,
        "online_at" if flavour == Flavour::PasarGuard => Key::OnlineAt,
        _ => return Err(detail(400, &format!("\"{option}\" is not a valid sort option"))),
    };
    Ok((key, order))
}

impl Key {
    /// An absent value comes first, as in databases.
    fn compare(self, a: &User, b: &User) -> std::cmp::Ordering {
        match self {
            Key::Username => a.username().cmp(b.username()),
            Key::UsedTraffic => a.used_traffic.cmp(&b.used_traffic),
            Key::DataLimit => a.data_limit.cmp(&b.data_limit),
            Key::Expire => a.expire.cmp(&b.expire),
            Key::CreatedAt => a.created_at_ms.cmp(&b.created_at_ms),
            Key::OnlineAt => a.online_at_ms.cmp(&b.online_at_ms),
        }
    }
}

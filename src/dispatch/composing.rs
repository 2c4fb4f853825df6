//! Composes what is sent because it is time: digests and statements.

use std::sync::Arc;

use tracing::{info, warn};

use super::{line::Line, reading::Read};
use crate::{
    alert::{
        Pseudonym,
        digest::{self, OfTarget},
        engine::Engine,
        group::Route,
        statement,
    },
    model::{Moment, Notice, Timestamp},
    store::Message,
};

/// Composes the digest of a receiver that was due at `due`; absent: there is nothing to say.
pub(super) fn compose_digest(
    engine: &Engine,
    line: &mut Line,
    route: &Route,
    pseudonym: Option<&Pseudonym>,
    due: Timestamp,
    now: Moment,
) -> Option<(Arc<Notice>, Message)> {
    let (since, empty) = line.digests.as_ref().map(|digests| (digests.covered, digests.time.empty))?;
    let tops = line.top.take().unwrap_or_default();
    let found = engine.digest((line.name(), &tops), since, pseudonym, now);
    line.digest_composed(now);
    if found.iter().all(OfTarget::has_no_news) && !empty {
        return None;
    }
    let notice = digest::notice((line.name(), &route.voice), &found, due, since, now.wall);
    kept(notice)
}

/// Composes the statement that is due; absent: there is nothing to say.
pub(super) fn compose_statement(
    line: &mut Line,
    route: &Route,
    pseudonym: Option<&Pseudonym>,
    now: Moment,
) -> Option<(Arc<Notice>, Message)> {
    let (plan, Read { name, month, used }) = line.take_statement()?;
    let Some(used) = used else {
        info!(receiver = line.name(), statement = name, "no statement for {month}: nothing is known of it");
        return None;
    };
    if used.is_admin_unknown {
        warn!(
            receiver = line.name(),
            statement = name,
            "neither the panel nor the history of use has the admin of the statement; correct its key admin"
        );
    }
    let notice = statement::notice(&plan, (line.name(), &route.voice), month, &used, pseudonym, now.wall);
    kept(notice)
}

fn kept(notice: Notice) -> Option<(Arc<Notice>, Message)> {
    match Message::of(&notice) {
        Ok(message) => Some((Arc::new(notice), message)),
        Err(err) => {
            let Notice { receiver, group, .. } = &notice;
            warn!(receiver, group, "a message cannot be kept, and is not sent: {err}");
            None
        }
    }
}

//! Encodes a finished walk's users for the store, so that a restarted daemon knows them at once.

use std::{
    io::{self, Write},
    sync::Arc,
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};

use crate::model::{BesideUsers, User};

/// The version of the encoding. Any format that an older version could mistake for this one gets a new number.
const VERSION: u8 = 2;
/// The version of lists of users with nothing beside them.
const ONLY_USERS: u8 = 1;

#[derive(Serialize)]
struct Saved<'a> {
    beside: BesideUsers,
    users: &'a [Arc<User>],
}

#[derive(Deserialize)]
struct Loaded {
    beside: BesideUsers,
    users: Vec<User>,
}

/// Encodes users as deflated JSON. Only the deflated form is ever whole in memory.
pub(super) fn encode(users: &[Arc<User>], beside: BesideUsers) -> io::Result<Vec<u8>> {
    let mut out = io::BufWriter::new(DeflateEncoder::new(vec![VERSION], Compression::fast()));
    serde_json::to_writer(&mut out, &Saved { beside, users })?;
    out.flush()?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
}

/// Decodes users from [`encode`], or from an earlier version, whose users lack some fields. The first format had no
/// version number.
pub(super) fn decode(bytes: &[u8]) -> serde_json::Result<(Vec<User>, Option<BesideUsers>)> {
    let inflated = |bytes| io::BufReader::new(DeflateDecoder::new(bytes));
    if let Some(deflated) = bytes.strip_prefix(&[VERSION]) {
        let Loaded { beside, users } = serde_json::from_reader(inflated(deflated))?;
        return Ok((users, Some(beside)));
    }
    let deflated = bytes.strip_prefix(&[ONLY_USERS]).unwrap_or(bytes);
    Ok((serde_json::from_reader(inflated(deflated))?, None))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Counter, Expiry, Timestamp, Unread, UserStatus};

    #[test]
    fn users_come_back_as_they_were() {
        let user = |name: &str, expiry| {
            Arc::new(User {
                name: name.into(),
                owner: Some("root".into()),
                status: UserStatus::OnHold,
                used: u64::MAX,
                limit: Some(1 << 63),
                traffic: Counter::new(7).then(3),
                uplink: Some(Counter::new(4)),
                downlink: None,
                expiry,
                renews: true,
                quota_reset: Some(Timestamp::from_secs(1_796_000_000)),
                devices: Some(2),
                devices_limit: Some(3),
                inbounds: ["in-443", "in-80"].map(Arc::from).into(),
                last_online: Some(Timestamp::from_millis(-1)),
                online: true,
                read_at: Timestamp::from_secs(1_795_000_000),
                unread: Unread::LIMIT,
            })
        };
        let expiries =
            [Expiry::Never, Expiry::OnFirstUse(Duration::from_secs(9)), Expiry::At(Timestamp::from_secs(5))];
        let users: Vec<_> = expiries.into_iter().map(|expiry| user("a \"name\" 🙂", expiry)).collect();
        let beside = BesideUsers { unreadable: 3, omitted: 7, arrived: vec!["b".into()] };
        let (back, known) = decode(&encode(&users, beside.clone()).unwrap()).unwrap();
        let users: Vec<_> = users.iter().map(|user| &**user).collect();
        assert_eq!((back.iter().collect::<Vec<_>>(), known), (users.clone(), Some(beside)));
        // Of earlier versions.
        for version in [&[][..], &[ONLY_USERS]] {
            let mut old = DeflateEncoder::new(version.to_vec(), Compression::fast());
            serde_json::to_writer(&mut old, &users).unwrap();
            let (back, known) = decode(&old.finish().unwrap()).unwrap();
            assert_eq!((back.iter().collect::<Vec<_>>(), known), (users.clone(), None));
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        assert!(decode(b"").is_err());
        assert!(decode(b"garbage").is_err());
    }
}

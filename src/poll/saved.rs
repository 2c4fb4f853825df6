//! Encodes a finished walk's users for the store, so that a restarted daemon knows them at once.

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

use crate::model::{BesideUsers, SortedUsers};

/// The version of the encoding. Any format that an older version could mistake for this one gets a new number.
const VERSION: u8 = 2;
/// The version of lists of users with nothing beside them.
const ONLY_USERS: u8 = 1;

#[derive(Serialize)]
struct Saved<'a> {
    beside: BesideUsers,
    users: &'a SortedUsers,
}

#[derive(Deserialize)]
struct Loaded {
    beside: BesideUsers,
    users: SortedUsers,
}

/// Encodes users as deflated JSON. Only the deflated form is ever whole in memory.
pub(super) fn encode(users: &SortedUsers, beside: BesideUsers) -> io::Result<Vec<u8>> {
    let mut out = io::BufWriter::new(DeflateEncoder::new(vec![VERSION], Compression::fast()));
    serde_json::to_writer(&mut out, &Saved { beside, users })?;
    out.flush()?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
}

/// Decodes users from [`encode`], or from an earlier version, whose users lack some fields. The first format had no
/// version number.
pub(super) fn decode(bytes: &[u8]) -> serde_json::Result<(SortedUsers, Option<BesideUsers>)> {
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
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::model::{Counter, Expiry, Extras, LastOnline, Timestamp, Unread, User, UserStatus};

    #[test]
    fn users_come_back_as_they_were() {
        let user = |name: &str, expiry, extras: Extras| User {
            name: name.into(),
            owner: Some("root".into()),
            status: UserStatus::OnHold,
            used: u64::MAX,
            limit: Some(1 << 63),
            traffic: Counter::new(7).then(3),
            expiry,
            renews: true,
            extra: extras.into(),
            last_online: LastOnline::seen(Timestamp::from_millis(-1)),
            online: true,
            read_at: Timestamp::from_secs(1_795_000_000),
            unread: Unread::LIMIT,
        };
        let extras = Extras {
            uplink: Some(Counter::new(4)),
            downlink: None,
            quota_reset: Some(Timestamp::from_secs(1_796_000_000)),
            resets: None,
            devices: Some(2),
            devices_limit: Some(3),
            inbounds: ["in-443", "in-80"].map(Arc::from).into(),
        };
        let users: SortedUsers = [
            user("a", Expiry::OnFirstUse(Duration::from_secs(9)), Extras::default()),
            user("a \"name\" 🙂", Expiry::Never, extras.clone()),
            user("b", Expiry::At(Timestamp::from_secs(5)), extras),
        ]
        .into_iter()
        .collect();
        let beside = BesideUsers { unreadable: 3, omitted: 7, arrived: vec!["b".into()] };
        let (back, known) = decode(&encode(&users, beside.clone()).unwrap()).unwrap();
        assert!(back.iter().eq(users.iter()) && back.len() == 3);
        assert_eq!(known, Some(beside));
        // Of earlier versions.
        let former = |name: &str, extra: &str| {
            format!(
                r#"{{"name":"{name}","owner":"root","status":"OnHold","used":18446744073709551615,
                "limit":9223372036854775808,"traffic":{{"value":7,"falling":true}},{extra}"renews":true,
                "last_online":-1,"online":true,"read_at":1795000000000,"unread":4}}"#
            )
        };
        let extra = r#""uplink":{"value":4,"falling":false},"downlink":null,"quota_reset":1796000000000,
            "devices":2,"devices_limit":3,"inbounds":["in-443","in-80"],"#;
        let none = r#""uplink":null,"downlink":null,"quota_reset":null,"devices":null,"inbounds":[],"#;
        let rows = [
            former("a", &format!(r#"{none}"expiry":{{"OnFirstUse":{{"secs":9,"nanos":0}}}},"#)),
            former(r#"a \"name\" 🙂"#, &format!(r#"{extra}"expiry":"Never","#)),
            former("b", &format!(r#"{extra}"expiry":{{"At":5000}},"#)),
        ];
        for version in [&[][..], &[ONLY_USERS]] {
            let mut old = DeflateEncoder::new(version.to_vec(), Compression::fast());
            write!(old, "[{}]", rows.join(",")).unwrap();
            let (back, known) = decode(&old.finish().unwrap()).unwrap();
            assert_eq!(back.iter().collect::<Vec<_>>(), users.iter().collect::<Vec<_>>());
            assert_eq!(known, None);
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        assert!(decode(b"").is_err());
        assert!(decode(b"garbage").is_err());
    }
}

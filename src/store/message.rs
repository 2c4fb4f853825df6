//! Messages as they are kept.

use std::{
    fmt,
    io::{self, Read, Write},
    sync::Arc,
};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use rusqlite::types::ValueRef;

use super::{error::StoreError, fault::Fault};
use crate::model::{Notice, Timestamp};

/// The longest JSON text of a notice that is kept, in bytes.
const LARGEST: u64 = 256 << 20;

/// A recorded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    /// The receiver's name in the configuration.
    pub receiver: String,
    /// The group of its alerts.
    pub group: String,
    pub created_at: Timestamp,
    /// The addresses that accepted it so far.
    pub done: Vec<String>,
    pub packed: Packed,
}

impl Message {
    /// The message of a notice that no address has accepted yet.
    ///
    /// # Errors
    /// If it cannot be encoded, or is too large to be kept.
    pub fn of(notice: &Notice) -> Result<Self, StoreError> {
        Ok(Message {
            id: notice.id.clone(),
            receiver: notice.receiver.clone(),
            group: notice.group.clone(),
            created_at: notice.created_at,
            done: Vec::new(),
            packed: Packed::of(notice)?,
        })
    }
}

/// A notice as it is kept: JSON, compressed. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Arc<[u8]>);

impl Packed {
    /// The notice.
    ///
    /// # Errors
    /// If the content is no notice, or too large.
    pub fn unpack(&self) -> Result<Notice, StoreError> {
        self.unpack_at_most(LARGEST)
    }

    fn unpack_at_most(&self, bytes: u64) -> Result<Notice, StoreError> {
        let json = DeflateDecoder::new(&*self.0).take(bytes);
        // The error of serde_json may quote names.
        serde_json::from_reader(io::BufReader::new(json)).map_err(|_| StoreError::Unreadable)
    }

    fn of(notice: &Notice) -> Result<Self, StoreError> {
        let mut out = io::BufWriter::new(encoder());
        serde_json::to_writer(&mut out, notice)?;
        let deflate = out.into_inner().map_err(|err| serde_json::Error::io(err.into_error()))?;
        if deflate.total_in() > LARGEST {
            return Err(StoreError::TooLarge);
        }
        Ok(Packed(deflate.finish().map_err(serde_json::Error::io)?.into()))
    }

    /// Reads the column of a row. Before version 3 of the schema, it was the JSON text.
    pub(super) fn read(column: ValueRef<'_>) -> Result<Self, Fault> {
        match column {
            ValueRef::Blob(packed) => Ok(Packed(packed.into())),
            ValueRef::Text(json) => {
                let mut deflate = encoder();
                deflate.write_all(json)?;
                Ok(Packed(deflate.finish()?.into()))
            }
            _ => Err(Fault::Damaged("a message has an unexpected form".into())),
        }
    }

    /// In bytes.
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }

    pub(super) fn column(&self) -> ValueRef<'_> {
        ValueRef::Blob(&self.0)
    }
}

fn encoder() -> DeflateEncoder<Vec<u8>> {
    DeflateEncoder::new(Vec::new(), Compression::fast())
}

/// Its content includes names, so it does not appear in logs.
impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The outcome of a recorded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is removed.
    Delivered,
    /// It becomes a dead letter. The newest 1000 dead letters are kept.
    Abandoned,
    /// It stays after an attempt. `done` lists all addresses that accepted it so far.
    Attempted { done: Vec<String> },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_notice_is_unpacked_unless_it_is_none_or_too_large() {
        let notice = Notice {
            id: "msg_1".into(),
            receiver: "ops".into(),
            group: "{}".into(),
            group_labels: BTreeMap::new(),
            reason: "x".repeat(1 << 20),
            alerts: Vec::new(),
            left_out: 3,
            follow: 2,
            others_fire: true,
            named: Some(7),
            created_at: Timestamp::from_secs(1_795_000_000),
            ..Notice::default()
        };
        let json = serde_json::to_vec(&notice).unwrap();
        let length = u64::try_from(json.len()).unwrap();
        let packed = Message::of(&notice).unwrap().packed;
        assert!(packed.size() < 100_000, "{packed:?}");
        let text = Packed::read(ValueRef::Text(&json)).unwrap();
        for packed in [Packed::read(packed.column()).unwrap(), text, packed] {
            assert_eq!(packed.unpack_at_most(length).unwrap(), notice);
            assert!(matches!(packed.unpack_at_most(length - 1), Err(StoreError::Unreadable)));
        }
        for garbage in [&b""[..], b"garbage"] {
            let packed = Packed::read(ValueRef::Blob(garbage)).unwrap();
            assert!(matches!(packed.unpack(), Err(StoreError::Unreadable)));
        }
        assert!(Packed::read(ValueRef::Null).is_err());
    }
}

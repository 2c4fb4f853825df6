//! Keys that servers have refused.
//!
//! A server counts refused requests by the address that they come from. So what is known of a refusal is shared: by all
//! targets of an origin that have the same key, which send it one after the other, and by all processes with the same
//! storage folder. The file there is none of the database, which belongs to one process at a time: a command that runs
//! beside the daemon reads and writes it too.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex as Turns, OwnedMutexGuard},
    task::spawn_blocking,
    time::timeout,
};
use tracing::warn;

use crate::{
    model::{Moment, Timestamp},
    secret::{HashKey, Secret},
};

const FILE: &str = "refused-keys.json";
/// The largest file that is read, in bytes.
const SIZE: u64 = 1024 * 1024;
/// How long a disk may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this time, in milliseconds, no server counts a refusal any more.
const OUTDATED_MS: i64 = 24 * 3600 * 1000;

/// All refused keys. Clones share what they know.
#[derive(Clone, Debug)]
pub struct RefusedKeys {
    /// Whether a key waits if it is not known whether it was refused.
    waits: bool,
    file: Option<Arc<Mutex<PathBuf>>>,
    keys: Arc<Mutex<HashMap<Name, Arc<Shared>>>>,
}

/// An origin and a key.
type Name = (String, Secret);

impl RefusedKeys {
    /// Kept in a file in this folder, if it exists.
    pub fn in_folder(folder: &Path) -> Self {
        RefusedKeys { file: Some(Arc::new(Mutex::new(folder.join(FILE)))), ..RefusedKeys::in_memory() }
    }

    /// Kept as long as the process runs.
    pub fn in_memory() -> Self {
        RefusedKeys { waits: true, file: None, keys: Arc::default() }
    }

    /// For a command that runs once: what it cannot read, it does not wait for.
    #[must_use]
    pub fn without_waiting(self) -> Self {
        RefusedKeys { waits: false, ..self }
    }

    /// What is known of one key at an origin.
    pub(super) fn of(&self, origin: String, key: &Secret) -> RefusedKey {
        let name = (origin, key.clone());
        let shared = Arc::clone(held(&self.keys).entry(name.clone()).or_default());
        RefusedKey { name, waits: self.waits, file: self.file.clone(), shared }
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) at: Moment,
    /// Refusals in a row.
    pub(super) times: u32,
}

/// What is known of one key at one origin.
#[derive(Debug)]
pub(super) struct RefusedKey {
    name: Name,
    waits: bool,
    file: Option<Arc<Mutex<PathBuf>>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    turns: Arc<Turns<()>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    refused: Option<Refused>,
    /// The server accepted the key, and has not refused it since.
    accepted: bool,
    /// Since when the file could not be read.
    unread: Option<Moment>,
    /// Differs from the file.
    unsaved: bool,
}

impl RefusedKey {
    /// Waits until no other target sends this key, and reads what other processes know of it.
    pub(super) async fn turn(&self, now: Moment) -> OwnedMutexGuard<()> {
        let turn = Arc::clone(&self.shared.turns).lock_owned().await;
        if !self.known().accepted
            && let Some(file) = &self.file
        {
            let name = self.name.clone();
            let read = on_disk(file, move |file| Ok(Kept::read(file)?.map(|kept| kept.of(&name))));
            match read.await {
                Ok(kept) => self.known().read(kept.flatten(), now),
                Err(err) if self.known().cannot_be_read(now) => {
                    warn!("{FILE}: whether servers have refused a key is not known: {err}");
                }
                Err(_) => {}
            }
        }
        turn
    }

    /// The last refusal, if nothing was accepted since.
    pub(super) fn last(&self) -> Option<Refused> {
        self.known().refused
    }

    /// Since when the key waits because it is not known whether it was refused.
    pub(super) fn unknown_since(&self) -> Option<Moment> {
        self.known().unread.filter(|_| self.waits)
    }

    pub(super) fn was_refused(&self, refused: Refused) {
        *self.known() = Known { refused: Some(refused), accepted: false, unread: None, unsaved: true };
    }

    pub(super) fn was_accepted(&self) {
        let mut known = self.known();
        // The daemon replaces a file that cannot be read.
        let replaces = known.unread.is_some() && self.waits;
        let unsaved = known.unsaved || known.refused.is_some() || replaces;
        *known = Known { refused: None, accepted: true, unread: None, unsaved };
    }

    /// Writes what has changed. If that fails, it is known as long as the process runs.
    pub(super) async fn keep(&self, now: Moment) {
        let (unsaved, refused) = {
            let mut known = self.known();
            (std::mem::take(&mut known.unsaved), known.refused)
        };
        let Some(file) = self.file.as_ref().filter(|_| unsaved) else { return };
        let name = self.name.clone();
        if let Err(err) = on_disk(file, move |file| Kept::change(file, &name, refused, now.wall)).await {
            warn!("{FILE}: other processes do not know that a key was refused or accepted: {err}");
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        held(&self.shared.known)
    }
}

impl Known {
    /// Takes what the file has. Another process may have refused it later.
    fn read(&mut self, row: Option<Row>, now: Moment) {
        self.unread = None;
        let kept = row.map(|Row { at_ms, times }| {
            let at = Moment::restored(Timestamp::from_millis(at_ms), now);
            Refused { at, times }
        });
        self.refused = self.refused.into_iter().chain(kept).max_by_key(|refused| refused.at.uptime);
    }

    /// Returns whether that is new. What the process itself knows is enough.
    fn cannot_be_read(&mut self, now: Moment) -> bool {
        if self.refused.is_some() || self.unread.is_some() {
            return false;
        }
        self.unread = Some(now);
        true
    }
}

/// What the file has.
#[derive(Deserialize, Serialize)]
struct Kept {
    /// Keys the hashes of the keys. It is not the key of the hashes that metrics show, which may be changed.
    salt: [u8; 16],
    /// By the hash of origin and key.
    refused: BTreeMap<u64, Row>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
struct Row {
    at_ms: i64,
    times: u32,
}

impl Kept {
    /// Absent: there is no file.
    fn read(file: &Path) -> io::Result<Option<Kept>> {
        let open = match File::open(file) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            open => open?,
        };
        Ok(Some(serde_json::from_reader(io::BufReader::new(io::Read::take(open, SIZE)))?))
    }

    fn hash(&self, (origin, key): &Name) -> u64 {
        HashKey::new(&self.salt).number(format!("{origin} {}", key.expose()).as_bytes())
    }

    fn of(&self, name: &Name) -> Option<Row> {
        self.refused.get(&self.hash(name)).copied()
    }

    /// Changes what the file has of one key. A file that is none of this kind is replaced.
    fn change(file: &Path, name: &Name, refused: Option<Refused>, now: Timestamp) -> io::Result<()> {
        let mut kept = match Kept::read(file) {
            Ok(Some(kept)) => kept,
            Ok(None) => Kept::new()?,
            Err(err) if matches!(err.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                Kept::new()?
            }
            Err(err) => return Err(err),
        };
        kept.refused.retain(|_, row| now.as_millis().saturating_sub(row.at_ms) < OUTDATED_MS);
        let hash = kept.hash(name);
        match refused {
            Some(Refused { at, times }) => {
                kept.refused.insert(hash, Row { at_ms: at.wall.as_millis(), times });
            }
            None => drop(kept.refused.remove(&hash)),
        }
        kept.write(file)
    }

    fn new() -> io::Result<Kept> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        Ok(Kept { salt, refused: BTreeMap::new() })
    }

    /// Writes another file and renames it, so that each reader finds a whole one.
    fn write(&self, file: &Path) -> io::Result<()> {
        let folder = file.parent().unwrap_or_else(|| Path::new("."));
        let owner = fs::metadata(folder)?;
        let aside = file.with_extension(format!("new-{}", std::process::id()));
        let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        // A command that root runs must not take the file away from the daemon. Of other users, this fails.
        drop(fchown(&open, Some(owner.uid()), Some(owner.gid())));
        open.write_all(&serde_json::to_vec(self)?)?;
        open.sync_all()?;
        fs::rename(&aside, file)
    }
}

/// Reads or writes on a thread that may hang, one at a time.
async fn on_disk<T: Send + 'static>(
    file: &Arc<Mutex<PathBuf>>,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let file = Arc::clone(file);
    let done = timeout(PATIENCE, spawn_blocking(move || work(&held(&file)))).await;
    done.map_err(|_| io::Error::other("the disk does not answer"))?.map_err(io::Error::other)?
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use futures_util::FutureExt;

    use super::*;

    fn at(secs: u64) -> Moment {
        let wall = Timestamp::from_secs(1_795_000_000).saturating_add(Duration::from_secs(secs));
        Moment { wall, uptime: Duration::from_secs(1_000_000 + secs) }
    }

    async fn last(folder: &Path, origin: &str, key: &str, secs: u64) -> Option<Refused> {
        let key = RefusedKeys::in_folder(folder).of(origin.to_owned(), &key.into());
        drop(key.turn(at(secs)).await);
        key.last()
    }

    #[tokio::test]
    async fn another_process_knows_a_refusal_until_the_key_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let keys = RefusedKeys::in_folder(folder.path());
        let (here, there) = ("http://here:8317", "http://there:8317");
        let key = keys.of(here.to_owned(), &"canary".into());
        let refused = Refused { at: at(10), times: 2 };
        drop(key.turn(at(10)).await);
        key.was_refused(refused);
        key.keep(at(10)).await;
        for (origin, name, expected) in
            [(here, "canary", Some(refused)), (there, "canary", None), (here, "canary2", None)]
        {
            assert_eq!(last(folder.path(), origin, name, 20).await, expected, "{origin} {name}");
        }
        let file = folder.path().join(FILE);
        assert!(!fs::read_to_string(&file).unwrap().contains("canary"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // Others are kept, and forgotten in the end.
        let other = keys.of(there.to_owned(), &"canary".into());
        other.was_refused(Refused { at: at(90_000), times: 1 });
        other.keep(at(90_000)).await;
        assert_eq!(last(folder.path(), here, "canary", 90_000).await, None);
        other.was_accepted();
        other.keep(at(90_001)).await;
        assert_eq!(last(folder.path(), there, "canary", 90_001).await, None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_refusal_by_another_process_counts_here_too() {
        let folder = tempfile::tempdir().unwrap();
        let of = |keys: &RefusedKeys| keys.of("http://here".to_owned(), &"canary".into());
        let (here, beside) = (RefusedKeys::in_folder(folder.path()), RefusedKeys::in_folder(folder.path()));
        let (here, beside) = (of(&here), of(&beside));
        for (key, secs) in [(&here, 10), (&beside, 3000), (&here, 6000)] {
            drop(key.turn(at(secs)).await);
            let times = key.last().map_or(1, |last| last.times + 1);
            key.was_refused(Refused { at: at(secs), times });
            key.keep(at(secs)).await;
        }
        assert_eq!(here.last(), Some(Refused { at: at(6000), times: 3 }));
    }

    #[tokio::test]
    async fn only_one_target_at_a_time_sends_a_key() {
        let keys = RefusedKeys::in_memory();
        let of = |key: &str| keys.of("http://here".to_owned(), &key.into());
        let (first, second, other) = (of("canary"), of("canary"), of("another"));
        let turn = first.turn(at(0)).await;
        let mut waits = std::pin::pin!(second.turn(at(0)));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(other.turn(at(0)).await);
        drop(turn);
        drop(waits.await);
    }
}

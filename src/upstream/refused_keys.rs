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
    /// What the file had when it was last read.
    row: Option<Row>,
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
                Ok(kept) => {
                    let mut known = self.known();
                    // Another program has removed the file.
                    known.unsaved |= kept.is_none() && known.refused.is_some();
                    known.read(kept.flatten(), now);
                }
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
        let mut known = self.known();
        let row = known.row;
        *known = Known { refused: Some(refused), accepted: false, unread: None, unsaved: true, row };
    }

    pub(super) fn was_accepted(&self) {
        let mut known = self.known();
        // The daemon replaces a file that cannot be read.
        let replaces = known.unread.is_some() && self.waits;
        let unsaved = known.unsaved || known.refused.is_some() || replaces;
        *known = Known { refused: None, accepted: true, unread: None, unsaved, row: known.row };
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
    /// Takes what the file has. Another process may have sent the key later.
    fn read(&mut self, row: Option<Row>, now: Moment) {
        self.unread = None;
        let before = std::mem::replace(&mut self.row, row);
        // A refusal that is known already is as long ago as it was, although the clock was set.
        let news = row.filter(|row| Some(*row) != before && Some(*row) != self.refused.map(Row::of));
        let Some(Row { at_ms, times }) = news else { return };
        let at = Timestamp::from_millis(at_ms);
        // It counts as one of now, and in the file too, so that the next process does not wait from its own start on.
        self.unsaved |= at > now.wall;
        let kept = Refused { at: Moment::restored(at, now), times };
        self.refused = self.refused.into_iter().chain([kept]).max_by_key(|refused| refused.at.uptime);
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

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Row {
    at_ms: i64,
    times: u32,
}

impl Row {
    fn of(Refused { at, times }: Refused) -> Self {
        Row { at_ms: at.wall.as_millis(), times }
    }
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

    /// 20 bits, which confirm no guess of a key. Another key that has the same ones waits too.
    fn hash(&self, (origin, key): &Name) -> u64 {
        HashKey::new(&self.salt).number(format!("{origin} {}", key.expose()).as_bytes()) % (1 << 20)
    }

    fn of(&self, name: &Name) -> Option<Row> {
        self.refused.get(&self.hash(name)).copied()
    }

    /// Changes what the file has of one key. A file that is none of this kind is replaced.
    fn change(file: &Path, name: &Name, refused: Option<Refused>, now: Timestamp) -> io::Result<()> {
        // Or one process undoes what another one writes. Without locks, a file system still gets a whole file.
        // The folder itself is locked as long as a daemon runs. To open a pipe for both does not block.
        let lock = file.with_extension("lock");
        let lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(lock)?;
        hand_over(&lock, file)?;
        drop(lock.lock());
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
            Some(refused) => drop(kept.refused.insert(hash, Row::of(refused))),
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
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        // The number of a process is not its own: each container begins with 1.
        let aside = file.with_extension(format!("new-{:016x}", u64::from_ne_bytes(random)));
        let written = self.write_new(&aside).and_then(|()| fs::rename(&aside, file));
        if written.is_err() {
            drop(fs::remove_file(&aside));
        }
        written
    }

    fn write_new(&self, file: &Path) -> io::Result<()> {
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        hand_over(&open, file)?;
        open.write_all(&serde_json::to_vec(self)?)?;
        open.sync_all()
    }
}

/// A command that root runs must not take a file away from the daemon. Of other users, this fails.
fn hand_over(open: &File, path: &Path) -> io::Result<()> {
    let owner = fs::metadata(path.parent().unwrap_or_else(|| Path::new(".")))?;
    drop(fchown(open, Some(owner.uid()), Some(owner.gid())));
    Ok(())
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
        let kept = Kept::read(&file).unwrap().unwrap();
        assert!(kept.refused.keys().all(|hash| *hash < 1 << 20), "a key can be guessed: {:?}", kept.refused);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // Others are kept, and forgotten in the end.
        let other = keys.of(there.to_owned(), &"canary".into());
        other.was_refused(Refused { at: at(90_000), times: 1 });
        other.keep(at(90_000)).await;
        assert_eq!(last(folder.path(), here, "canary", 90_000).await, None);
        other.was_accepted();
        other.keep(at(90_001)).await;
        assert_eq!(last(folder.path(), there, "canary", 90_001).await, None);
        // The file and its lock.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// Which locks the folder.
    #[tokio::test]
    async fn a_refusal_is_kept_beside_a_store_and_written_again_if_its_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let locked = File::open(folder.path()).unwrap();
        locked.try_lock().unwrap();
        let key = RefusedKeys::in_folder(folder.path()).of("http://here".to_owned(), &"canary".into());
        let refused = Refused { at: at(10), times: 2 };
        drop(key.turn(at(10)).await);
        key.was_refused(refused);
        key.keep(at(10)).await;
        for secs in [20, 30] {
            assert_eq!(last(folder.path(), "http://here", "canary", secs).await, Some(refused));
            fs::remove_file(folder.path().join(FILE)).unwrap();
            drop(key.turn(at(secs)).await);
            key.keep(at(secs)).await;
        }
        assert_eq!(last(folder.path(), "http://here", "canary", 30).await, Some(refused));
        // No longer once the server has accepted it.
        key.was_accepted();
        key.keep(at(40)).await;
        assert_eq!(last(folder.path(), "http://here", "canary", 40).await, None);
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
    async fn a_refusal_does_not_begin_again_when_the_clock_is_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let of = || RefusedKeys::in_folder(folder.path()).of("http://here".to_owned(), &"canary".into());
        let key = of();
        let before = Moment { wall: at(8 * 3600).wall, ..at(0) };
        let refused = Refused { at: before, times: 2 };
        key.was_refused(refused);
        key.keep(before).await;
        for secs in [60, 1200, 2400] {
            drop(key.turn(at(secs)).await);
            key.keep(at(secs)).await;
            assert_eq!(key.last(), Some(refused), "{secs}");
        }
        // To other processes, it begins when the first of them finds it, even if that one cannot write.
        let restored = Some(Refused { at: at(3000), times: 2 });
        let other = of();
        for secs in [3000, 3600] {
            drop(other.turn(at(secs)).await);
            assert_eq!(other.last(), restored, "{secs}");
        }
        other.keep(at(3600)).await;
        for secs in [4000, 5000] {
            let key = of();
            drop(key.turn(at(secs)).await);
            key.keep(at(secs)).await;
            assert_eq!(key.last(), restored, "{secs}");
        }
        drop(key.turn(at(5000)).await);
        assert_eq!(key.last(), restored);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn processes_that_write_at_the_same_time_undo_nothing() {
        const PROCESSES: u64 = 8;
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..5).map(|key| format!("canary-{key}")).collect();
        let of = |process| format!("http://{process}");
        let refused = Refused { at: at(0), times: 1 };
        let all = (0..PROCESSES).map(async |process| {
            let keys = RefusedKeys::in_folder(folder.path());
            for name in &names {
                let key = keys.of(of(process), &name.as_str().into());
                key.was_refused(refused);
                key.keep(at(100)).await;
            }
        });
        futures_util::future::join_all(all).await;
        for process in 0..PROCESSES {
            for name in &names {
                assert_eq!(
                    last(folder.path(), &of(process), name, 100).await,
                    Some(refused),
                    "{process} {name}"
                );
            }
        }
        // The file and its lock.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
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

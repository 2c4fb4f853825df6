//! The files that a configuration names: what they held when it was read, and whether they still do.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What is longer is no secret, certificate or template, and is not read any further.
const LONGEST: u64 = 1024 * 1024;

/// Files, each with a digest of what it held. Certificates of our own port are not among them: whoever shows them looks
/// after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, u64>);

impl Files {
    pub(super) fn note(&mut self, path: &Path, content: &[u8]) {
        self.0.insert(path.to_owned(), digest(content));
    }

    /// Whether any of them holds something else now. One that cannot be read has not changed: it is about to be
    /// replaced. Reads them, so not for async threads.
    pub fn have_changed(&self) -> bool {
        let is_other = |(path, known): (&PathBuf, &u64)| {
            // Opening a pipe may take for ever.
            let is_file = fs::metadata(path).is_ok_and(|it| it.is_file());
            is_file && read(path).is_ok_and(|content| digest(&content) != *known)
        };
        self.0.iter().any(is_other)
    }

    /// Whether a file held something else when `other` was read.
    pub fn differ_in(&self, other: &Files, path: &Path) -> bool {
        self.0.get(path) != other.0.get(path)
    }
}

/// Reads a file, at most as much as is ever wanted.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

fn digest(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&a, "one").unwrap();
        fs::write(&b, "two").unwrap();
        let note = || {
            let mut files = Files::default();
            for path in [&a, &b] {
                files.note(path, &read(path).unwrap());
            }
            files
        };
        let before = note();
        fs::write(&a, "one").unwrap();
        assert!(!before.have_changed());
        fs::remove_file(&b).unwrap();
        assert!(!before.have_changed());
        fs::write(&b, "2").unwrap();
        assert!(before.have_changed());
        let after = note();
        assert!(!before.differ_in(&after, &a) && before.differ_in(&after, &b));
    }
}

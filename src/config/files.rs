//! The files that a configuration names, and whether they have changed since it was read.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::file::{self, ReadError};

/// Longer than any secret, certificate, template or list of prices.
const LONGEST: u64 = 17 * 1024 * 1024;

/// Files, each with a digest of its content. Certificates of our own port are not among them; the server checks those
/// itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, u64>);

impl Files {
    pub(super) fn note(&mut self, path: &Path, content: &[u8]) {
        self.0.insert(path.to_owned(), digest(content));
    }

    /// Whether the content of any of them has changed. A file that cannot be read counts as unchanged, because it is
    /// about to be replaced. Reads the files, so not for async threads.
    pub fn have_changed(&self) -> bool {
        let is_other =
            |(path, known): (&PathBuf, &u64)| read(path).is_ok_and(|content| digest(&content) != *known);
        self.0.iter().any(is_other)
    }

    /// Whether a file had other content when `other` was read.
    pub fn differ_in(&self, other: &Files, path: &Path) -> bool {
        self.0.get(path) != other.0.get(path)
    }
}

/// Reads a file of any kind that a configuration names.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    file::read(path, LONGEST)
}

fn digest(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

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

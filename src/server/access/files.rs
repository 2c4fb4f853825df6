use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::file;

/// No certificate, key or configuration of access is larger, in bytes.
const MAX_SIZE: u64 = 1024 * 1024;

/// The files that something was made from, to find out whether they have changed. They are compared by content: a file that is written again within a tick of the file system's clock has the same time.
#[derive(Debug, Default)]
pub(in crate::server) struct Files(Vec<(PathBuf, Fingerprint)>);

/// Of a file's content, or of why there is none.
type Fingerprint = [u8; 32];

impl Files {
    /// Reads a file whole.
    ///
    /// # Errors
    /// Why it cannot be read, with its name.
    pub(in crate::server) fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let content = content(path);
        self.0.push((path.to_owned(), fingerprint(&content)));
        content.map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Whether none of them would be read otherwise now.
    pub(in crate::server) fn unchanged(&self) -> bool {
        self.0.iter().all(|(path, before)| fingerprint(&content(path)) == *before)
    }

    /// Whether there are none.
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    file::read(path, MAX_SIZE).map_err(|error| error.to_string())
}

fn fingerprint(content: &Result<Vec<u8>, String>) -> Fingerprint {
    match content {
        Ok(content) => Sha256::digest(content).into(),
        Err(why) => Sha256::new().chain_update("no content: ").chain_update(why).finalize().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn changes_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut files = Files::default();
        assert!(files.read(&path).unwrap_err().contains("cannot be read"));
        assert!(files.unchanged());
        std::fs::write(&path, "one").unwrap();
        assert!(!files.unchanged());

        let mut files = Files::default();
        assert_eq!(files.read(&path).unwrap(), b"one");
        std::fs::write(&path, "two").unwrap();
        assert!(!files.unchanged());
        std::fs::write(&path, "one").unwrap();
        assert!(files.unchanged());
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused() {
        let mut files = Files::default();
        assert!(files.read(Path::new("/dev/zero")).unwrap_err().contains("a device; write"));
        assert!(files.read(Path::new("/")).unwrap_err().contains("a folder; write"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        File::create(&path).unwrap().set_len(MAX_SIZE + 1).unwrap();
        assert!(files.read(&path).unwrap_err().contains("larger than"));
    }
}

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

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
    let unreadable = |error| format!("cannot be read: {error}");
    // Opening a pipe may wait for ever, and it cannot be read twice.
    let found = path.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err("no regular file; write the path of one".to_owned());
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_SIZE + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_SIZE {
        return Err(format!("larger than {MAX_SIZE} bytes; write the path of another file"));
    }
    Ok(content)
}

fn fingerprint(content: &Result<Vec<u8>, String>) -> Fingerprint {
    match content {
        Ok(content) => Sha256::digest(content).into(),
        Err(why) => Sha256::new().chain_update("no content: ").chain_update(why).finalize().into(),
    }
}

#[cfg(test)]
mod tests {
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
        assert!(files.read(Path::new("/dev/zero")).unwrap_err().contains("no regular file"));
        assert!(files.read(Path::new("/")).unwrap_err().contains("no regular file"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        File::create(&path).unwrap().set_len(MAX_SIZE + 1).unwrap();
        assert!(files.read(&path).unwrap_err().contains("larger than"));
    }
}

//! Paths of the storage that cannot be used, and what the operator can do.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::error::StoreError;

/// Too many symbolic links. `io::ErrorKind` has no stable name for it.
const ELOOP: i32 = 40;

/// A path that cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

/// For `map_err`.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Unusable {
    |source| Unusable::new(path, source)
}

impl Unusable {
    pub(super) fn new(path: &Path, source: io::Error) -> Self {
        Unusable { path: path.to_owned(), source }
    }

    /// Whether the path or its permissions are wrong, so that only the operator can help. Otherwise the disk is full,
    /// read-only or failing, which may pass.
    pub(super) fn is_wrong(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
                | io::ErrorKind::InvalidFilename
                | io::ErrorKind::Unsupported
        ) || self.source.raw_os_error() == Some(ELOOP)
    }

    /// The error that stops a start. `folder` is the storage folder.
    pub(super) fn stops(self, folder: &Path) -> StoreError {
        let advice = self.advice(folder);
        let Unusable { path, source } = self;
        StoreError::Unusable { path, source, advice }
    }

    fn advice(&self, folder: &Path) -> String {
        let is_missing = fs::metadata(folder).is_err_and(|err| err.kind() == io::ErrorKind::NotFound);
        let (path, folder) = (&self.path, folder.display());
        let another = "set storage.path to another folder";
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => match user() {
                Some(user) if user != 0 && is_missing => {
                    format!(
                        "create the folder for user ID {user}, which runs the exporter (mkdir -p {folder} && chown \
                         {user} {folder}), or {another}"
                    )
                }
                Some(user) if user != 0 => {
                    format!(
                        "the exporter runs as user ID {user}, which must own the folder and its files (chown -R {user} \
                         {folder}) and may enter the folders above; else {another}"
                    )
                }
                _ => format!("check its permissions and attributes (ls -ld, lsattr -d), or {another}"),
            },
            io::ErrorKind::NotADirectory => format!("a file is in the way: remove it, or {another}"),
            io::ErrorKind::IsADirectory => format!("a folder is in the way: remove it, or {another}"),
            io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists if path.is_symlink() => {
                format!("its symbolic link leads nowhere: create what it names, or {another}")
            }
            io::ErrorKind::NotFound => format!("create the folder, or {another}"),
            io::ErrorKind::InvalidFilename => "set storage.path to a shorter path".to_owned(),
            // Ours, and not the system's: it is not a regular file, or not a key.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                if self.source.raw_os_error().is_none() =>
            {
                format!("remove it, or {another}")
            }
            _ => another.to_owned(),
        }
    }
}

/// The ID of the user that runs this process.
fn user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|found| found.uid())
}

impl From<Unusable> for io::Error {
    fn from(Unusable { path, source }: Unusable) -> Self {
        io::Error::new(source.kind(), format!("{}: {source}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_to_be_removed_for_an_error_of_the_system() {
        for (source, expected) in [
            (io::Error::from_raw_os_error(22), "set storage.path to another folder"),
            (io::Error::from_raw_os_error(95), "set storage.path to another folder"),
            (
                io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"),
                "remove it, or set storage.path to another folder",
            ),
        ] {
            let folder = Path::new("/");
            assert_eq!(Unusable::new(folder, source).advice(folder), expected);
        }
    }

    /// Numbers of Linux.
    #[test]
    fn mistakes_of_the_operator_are_told_from_failures_of_the_disk() {
        let is_wrong =
            |number| Unusable::new(Path::new("x"), io::Error::from_raw_os_error(number)).is_wrong();
        for (name, number) in [
            ("EPERM", 1),
            ("ENOENT", 2),
            ("EACCES", 13),
            ("EEXIST", 17),
            ("ENOTDIR", 20),
            ("EISDIR", 21),
            ("EINVAL", 22),
            ("ENAMETOOLONG", 36),
            ("ELOOP", 40),
            ("EOPNOTSUPP", 95),
        ] {
            assert!(is_wrong(number), "{name}");
        }
        for (name, number) in [
            ("EINTR", 4),
            ("EIO", 5),
            ("ENXIO", 6),
            ("ENOMEM", 12),
            ("EBUSY", 16),
            ("ENODEV", 19),
            ("ENFILE", 23),
            ("EMFILE", 24),
            ("ETXTBSY", 26),
            ("EFBIG", 27),
            ("ENOSPC", 28),
            ("EROFS", 30),
            ("EUCLEAN", 117),
            ("ETIMEDOUT", 110),
            ("ESTALE", 116),
            ("EDQUOT", 122),
        ] {
            assert!(!is_wrong(number), "{name}");
        }
    }
}

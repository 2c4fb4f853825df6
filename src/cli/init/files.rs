//! The files that are written.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::draft::Draft;

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("{}: it exists; --force replaces it, and --config.file=FILE writes another one", .0.display())]
    Exists(PathBuf),
    #[error("{}: cannot be written: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Refuses files that exist, unless they are to be replaced.
pub(super) fn check(paths: impl IntoIterator<Item: AsRef<Path>>, force: bool) -> Result<(), FileError> {
    let taken = paths.into_iter().find(|path| !force && path.as_ref().symlink_metadata().is_ok());
    taken.map_or(Ok(()), |path| Err(FileError::Exists(path.as_ref().to_owned())))
}

/// Writes the secrets, and then the configuration that names them. If that fails, nothing new is left.
pub(super) fn write(draft: &Draft, force: bool) -> Result<(), FileError> {
    let mut written = Vec::new();
    let done = write_all(draft, force, &mut written);
    if done.is_err() {
        for path in written {
            // What cannot be removed is in the error of the next try.
            drop(fs::remove_file(path));
        }
    }
    done
}

fn write_all(draft: &Draft, force: bool, written: &mut Vec<PathBuf>) -> Result<(), FileError> {
    // With the usual mode, before the folder of the secrets, which is in it.
    let failed = |source| FileError::Io { path: draft.file().to_owned(), source };
    create_folder(draft.file(), 0o755).map_err(failed)?;
    for (path, secret) in draft.secrets() {
        create(&path, &format!("{}\n", secret.expose()), 0o600, force)?;
        written.push(path);
    }
    create(draft.file(), &draft.text(), 0o644, force)
}

/// Creates the folder of a file, if there is none.
fn create_folder(file: &Path, mode: u32) -> io::Result<()> {
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => DirBuilder::new().recursive(true).mode(mode).create(folder),
        None => Ok(()),
    }
}

/// Creates a file that was not there. `mode` is what the process's own mask leaves of it.
fn create(path: &Path, content: &str, mode: u32, force: bool) -> Result<(), FileError> {
    let create = || {
        create_folder(path, if mode & 0o077 == 0 { 0o700 } else { 0o755 })?;
        if force && path.symlink_metadata().is_ok() {
            fs::remove_file(path)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
        written.inspect_err(|_| drop(fs::remove_file(path)))
    };
    create().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => FileError::Io { path: path.to_owned(), source },
    })
}

//! The files that are written.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use super::draft::Draft;

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(
        "{}: it exists; --add adds a panel to it, --force replaces it, and --config.file=FILE writes another one",
        .0.display()
    )]
    Exists(PathBuf),
    #[error("{}: it exists; --force replaces it, and --config.file=FILE writes another one", .0.display())]
    SecretExists(PathBuf),
    /// Something else may need the secret of a file to which a target is added.
    #[error("{}: it exists; choose another name, or delete this file if nothing needs it", .0.display())]
    SecretKept(PathBuf),
    #[error("{}: it has changed meanwhile, so nothing was added; run the command again", .0.display())]
    Changed(PathBuf),
    #[error("{}: cannot be written: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Refuses secrets whose files exist, unless they are to be replaced.
pub(super) fn check_secrets(draft: &Draft, force: bool) -> Result<(), FileError> {
    match draft.secret_paths().into_iter().find(|path| !force && exists(path)) {
        None => Ok(()),
        Some(path) if draft.existing.is_some() => Err(FileError::SecretKept(path)),
        Some(path) => Err(FileError::SecretExists(path)),
    }
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
    match &draft.existing {
        None => create(draft.file(), &draft.text(), 0o644, force),
        Some(existing) => replace(draft.file(), existing.text(), &draft.text()),
    }
}

/// Replaces a file at once, if it has still the text `before`. Its owner and its mode are kept.
fn replace(file: &Path, before: &str, content: &str) -> Result<(), FileError> {
    let failed = |source| FileError::Io { path: file.to_owned(), source };
    // A link stays one.
    let path = fs::canonicalize(file).map_err(failed)?;
    let found = fs::read_to_string(&path).map_err(failed)?;
    if found.trim_start_matches('\u{feff}') != before {
        return Err(FileError::Changed(file.to_owned()));
    }
    let mut aside = OsString::from(&path);
    aside.push(".new");
    let write = || {
        // What is left behind may be anything.
        if exists(aside.as_ref()) {
            fs::remove_file(&aside)?;
        }
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        let written =
            write_as(&mut new, &fs::metadata(&path)?, content).and_then(|()| fs::rename(&aside, &path));
        written.inspect_err(|_| drop(fs::remove_file(&aside)))?;
        // Not every file system can sync a folder.
        drop(path.parent().map(|folder| File::open(folder)?.sync_all()));
        Ok(())
    };
    write().map_err(failed)
}

/// Gives a file the owner and the mode of another one, and this content.
fn write_as(new: &mut File, before: &fs::Metadata, content: &str) -> io::Result<()> {
    let own = new.metadata()?;
    if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
        fchown(&*new, Some(before.uid()), Some(before.gid()))?;
    }
    new.set_permissions(before.permissions())?;
    new.write_all(content.as_bytes())?;
    new.sync_all()
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
        if force && exists(path) {
            fs::remove_file(path)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
        written.inspect_err(|_| drop(fs::remove_file(path)))
    };
    create().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists if mode & 0o077 == 0 => FileError::SecretExists(path.to_owned()),
        io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => FileError::Io { path: path.to_owned(), source },
    })
}

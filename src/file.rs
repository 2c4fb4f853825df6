//! Reads files that the operator names: whole, up to a limit, and without waiting.
//!
//! Only regular files are read. Opening a pipe can block for ever, a device has no end, and neither can be read again at a
//! reload. A byte-order mark is dropped, so that text of every editor starts with its first character.

use std::{
    fs::{self, File, FileType},
    io::{self, Read},
    os::unix::fs::FileTypeExt,
    path::Path,
};

/// Why a file is not read: what it is, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("{0}; write the path of a regular file")]
    NotAFile(&'static str),
    #[error("larger than {}; write the path of another file", size(*.0))]
    TooLarge(u64),
    #[error("UTF-16 text; save it as UTF-8")]
    Utf16,
}

/// Opens a regular file.
///
/// # Errors
/// When it is something else, or cannot be opened.
pub fn open(path: &Path) -> Result<File, ReadError> {
    match what_else(fs::metadata(path)?.file_type()) {
        Some(what) => Err(ReadError::NotAFile(what)),
        None => Ok(File::open(path)?),
    }
}

/// Reads a regular file of at most `longest` bytes.
///
/// # Errors
/// When it cannot be read whole, or is UTF-16.
pub fn read(path: &Path, longest: u64) -> Result<Vec<u8>, ReadError> {
    read_open(&open(path)?, longest)
}

/// Reads a file that [`open`] has opened.
///
/// # Errors
/// As [`read`].
pub fn read_open(file: &File, longest: u64) -> Result<Vec<u8>, ReadError> {
    let mut content = Vec::new();
    file.take(longest + 1).read_to_end(&mut content)?;
    if content.len() as u64 > longest {
        return Err(ReadError::TooLarge(longest));
    }
    match content.as_slice() {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Err(ReadError::Utf16),
        // The first letter of UTF-16 without a byte-order mark.
        [0, 1..0x80, ..] | [1..0x80, 0, ..] => Err(ReadError::Utf16),
        [0xEF, 0xBB, 0xBF, ..] => Ok(content.split_off(3)),
        _ => Ok(content),
    }
}

fn what_else(file: FileType) -> Option<&'static str> {
    if file.is_file() {
        None
    } else if file.is_dir() {
        Some("a folder")
    } else if file.is_fifo() {
        Some("a pipe, which cannot be read again at a reload")
    } else if file.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    if bytes >= KIB * KIB { format!("{} MiB", bytes / KIB / KIB) } else { format!("{} KiB", bytes / KIB) }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, process::Command};

    use super::*;

    const LONGEST: u64 = 64 * 1024;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let [pipe, socket] = ["pipe", "socket"].map(|name| folder.path().join(name));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _socket = UnixListener::bind(&socket).unwrap();
        for (path, said) in [
            (
                pipe.as_path(),
                "a pipe, which cannot be read again at a reload; write the path of a regular file",
            ),
            (&socket, "a socket; write the path of a regular file"),
            (folder.path(), "a folder; write the path of a regular file"),
            (Path::new("/dev/zero"), "a device; write the path of a regular file"),
            (&folder.path().join("none"), "cannot be read: No such file or directory (os error 2)"),
        ] {
            assert_eq!(open(path).unwrap_err().to_string(), said);
            assert_eq!(read(path, LONGEST).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (length, fits) in [(0, true), (LONGEST, true), (LONGEST + 1, false), (1 << 40, false)] {
            File::create(&path).unwrap().set_len(length).unwrap();
            match read(&path, LONGEST) {
                Ok(content) => assert!(fits && content.len() as u64 == length, "{length}"),
                Err(error) => {
                    assert!(!fits, "{length}");
                    assert_eq!(error.to_string(), "larger than 64 KiB; write the path of another file");
                }
            }
        }
        // Its length is said to be zero.
        assert!(!read(Path::new("/proc/self/status"), LONGEST).unwrap().is_empty());
        assert!(matches!(read(Path::new("/proc/self/status"), 10), Err(ReadError::TooLarge(10))));
    }

    #[test]
    fn byte_order_marks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (content, read_as) in [
            (&b"\xef\xbb\xbfa = 1"[..], Some(&b"a = 1"[..])),
            (b"\xef\xbb\xbf", Some(b"")),
            (b"\xef\xbb", Some(b"\xef\xbb")),
            (b"a = 1", Some(b"a = 1")),
            (b"\xff\xfea\0 \0", None),
            (b"\xfe\xff\0a\0 ", None),
            (b"a\0 \0", None),
            (b"\0a\0 ", None),
        ] {
            fs::write(&path, content).unwrap();
            match read(&path, LONGEST) {
                Ok(seen) => assert_eq!(Some(&*seen), read_as),
                Err(error) => {
                    assert_eq!(
                        (error.to_string().as_str(), read_as),
                        ("UTF-16 text; save it as UTF-8", None)
                    );
                }
            }
        }
    }
}

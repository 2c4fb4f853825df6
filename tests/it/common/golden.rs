//! Files that hold what the program is expected to write. With `UPDATE_GOLDEN=1` the tests write them.

use std::{fs, path::Path};

/// # Panics
/// When the file, whose path is relative to the repository, does not hold `seen`.
pub(crate) fn assert_golden(file: impl AsRef<Path>, seen: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, seen).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_else(|err| panic!("{}: {err}", file.display()));
    if let Some((line, (seen, expected))) =
        seen.lines().zip(expected.lines()).enumerate().find(|(_, (seen, expected))| seen != expected)
    {
        panic!("{}:{}:\n{seen}\nis written, not\n{expected}", file.display(), line + 1);
    }
    assert!(seen == expected, "{}: one of both texts is longer", file.display());
}

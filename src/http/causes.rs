//! The causes of an error.

use std::{error::Error as StdError, io};

/// Finds an error of type `E` among the causes of an error, also inside `io::Error`s, which hide their causes.
pub(super) fn find<'a, E: StdError + 'static>(err: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut cause = Some(err);
    while let Some(err) = cause {
        if let Some(found) = err.downcast_ref::<E>() {
            return Some(found);
        }
        let hidden = err.downcast_ref::<io::Error>().and_then(|io| io.get_ref());
        cause = match hidden {
            Some(hidden) => Some(hidden),
            None => err.source(),
        };
    }
    None
}

/// The last cause of an error, which says what happened without the URL.
pub(super) fn innermost(err: &(dyn StdError + 'static)) -> String {
    let mut err = err;
    while let Some(source) = err.source() {
        err = source;
    }
    err.to_string()
}

//! Where a secret comes from.

use std::{
    env,
    error::Error,
    path::{self, Path},
};

use super::{
    dialog::{Dialog, Silence, line},
    draft::{Table, Value},
};

/// A secret of a key of a table: from its file, from its environment variable, or typed. `needed` is the flag that is
/// missing without a terminal. Without that, and for an empty line, the key may be absent.
pub(super) async fn secret(
    dialog: &Dialog,
    table: &Table,
    key: &str,
    file: Option<&Path>,
    needed: Option<&'static str>,
    question: &str,
) -> Result<Option<Value>, Box<dyn Error>> {
    Ok(match file {
        Some(file) if file.as_os_str() == "-" => Some(Value::Secret(line().await?.into())),
        Some(file) => Some(Value::File(path::absolute(file)?)),
        None if env::var_os(table.variable(key)).is_some() => Some(Value::Variable),
        None if dialog.asks() => dialog.secret(question).await?.map(Value::Secret),
        None => match needed {
            Some(flag) => return Err(Silence::Flag(flag).into()),
            None => None,
        },
    })
}

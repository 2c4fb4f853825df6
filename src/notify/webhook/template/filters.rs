//! What a template may call: minijinja's filters and functions, without those that no body needs and that a wrong number
//! makes use up the memory, and with limits for those that may multiply a text.

use std::{
    borrow::Cow,
    cell::Cell,
    io::{self, Write},
};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, escape_formatter, value::Kwargs};

const WITHOUT: [&str; 5] = ["batch", "format", "indent", "pprint", "slice"];
/// `debug` shows everything. A `namespace` carries values from one pass of a loop to the next: what doubles in each would
/// be harmless with the two alerts of a check, and not with fifty.
const WITHOUT_FUNCTIONS: [&str; 2] = ["debug", "namespace"];

thread_local! {
    /// The bytes that this rendering has written, into variables and filters included.
    static WRITTEN: Cell<usize> = const { Cell::new(0) };
}

/// Begins a rendering on this thread.
pub(super) fn begin() {
    WRITTEN.set(0);
}

/// `most` are the bytes that one filter may make, and that may be kept in variables by `set`.
pub(super) fn environment(most: usize) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(move |output, state, value| {
        let length = value.as_str().map_or(0, str::len);
        // What is kept by `set` and written then counts twice.
        WRITTEN.set(WRITTEN.get().saturating_add(length));
        if WRITTEN.get() > most.saturating_mul(2) {
            return Err(too_much());
        }
        escape_formatter(output, state, value)
    });
    for name in WITHOUT {
        environment.remove_filter(name);
    }
    for name in WITHOUT_FUNCTIONS {
        environment.remove_global(name);
    }
    let join = move |list: &Value, between: Option<&str>, named: Kwargs| join(list, between, &named, most);
    environment.add_filter("join", join);
    let replace =
        move |text: Cow<'_, str>, from: Cow<'_, str>, to: Cow<'_, str>| replace(&text, &from, &to, most);
    environment.add_filter("replace", replace);
    environment.add_filter("tojson", move |value: &Value| to_json(value, most));
    environment
}

fn too_much() -> Error {
    ErrorKind::WriteFailure.into()
}

fn join(list: &Value, between: Option<&str>, named: &Kwargs, most: usize) -> Result<String, Error> {
    let attribute: Option<&str> = named.get("attribute")?;
    let between = between.map_or_else(|| named.get("d"), |between| Ok(Some(between)))?.unwrap_or_default();
    named.assert_all_used()?;
    let mut joined = Output { bytes: Vec::new(), most };
    for (index, item) in list.try_iter()?.enumerate() {
        let item = match attribute {
            Some(attribute) => attribute.split('.').try_fold(item, |item, name| item.get_attr(name))?,
            None => item,
        };
        let between = if index > 0 { between } else { "" };
        write!(joined, "{between}{item}").map_err(|_| too_much())?;
    }
    joined.text()
}

fn replace(text: &str, from: &str, to: &str, most: usize) -> Result<String, Error> {
    let grown = text.matches(from).count().saturating_mul(to.len());
    if text.len().saturating_add(grown) > most { Err(too_much()) } else { Ok(text.replace(from, to)) }
}

/// For JSON alone: nothing is escaped for HTML.
fn to_json(value: &Value, most: usize) -> Result<String, Error> {
    let mut output = Output { bytes: Vec::new(), most };
    serde_json::to_writer(&mut output, value).map_err(|err| match err.is_io() {
        true => too_much(),
        false => ErrorKind::BadSerialization.into(),
    })?;
    output.text()
}

/// Takes no more than `most` bytes.
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    pub(super) most: usize,
}

impl Output {
    fn text(self) -> Result<String, Error> {
        String::from_utf8(self.bytes).map_err(|_| ErrorKind::BadSerialization.into())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! A body from the operator's own template.

mod context;
mod sample;
mod trial;

use std::io::{self, Write};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, value::Serde};

use self::context::Context;
pub(super) use self::sample::Scope;
use super::body::Body;
use crate::model::Notice;

/// The most steps of a template and bytes of its output: so many for each alert.
const STEPS: u64 = 10_000;
const BYTES: usize = 64 * 1024;
/// A notice without alerts may take as much as so many alerts.
const BASE: usize = 16;

pub(super) struct Template {
    source: String,
    environment: Environment<'static>,
}

impl Template {
    /// # Errors
    /// What is wrong with the text, in which line, and what to write instead: it cannot be parsed, uses an unknown name,
    /// cannot be rendered for every notice of `scope`, or does not make JSON where it should.
    pub(super) fn new(source: &str, scope: Scope) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(steps(0)));
        let template = environment.template_from_str(source).map_err(|err| text(&err))?;
        let is_global = |name: &str| environment.globals().any(|(global, _)| global == name);
        check_names(&template, is_global)?;
        trial::run(source, scope, |context| rendered(&template, Value::from(Serde(context)), 0))?;
        Ok(Template { source: source.to_owned(), environment })
    }

    /// # Errors
    /// The line in which it failed.
    pub(super) fn render(&self, notice: &Notice, body: Body<'_>) -> Result<String, String> {
        let alerts = notice.alerts.len();
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(steps(alerts)));
        let template = environment.template_from_str(&self.source).map_err(|err| text(&err))?;
        rendered(&template, Value::from(Serde(Context::of(notice, body))), alerts)
    }
}

fn check_names(
    template: &minijinja::Template<'_, '_>,
    is_global: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let known = sample::names();
    let mut unknown: Vec<_> = template.undeclared_variables(false).into_iter().collect();
    unknown.retain(|name| !known.contains(name) && !is_global(name));
    unknown.sort_unstable();
    match unknown.first() {
        Some(name) => Err(format!("there is nothing called {name}; write one of {}", known.join(", "))),
        None => Ok(()),
    }
}

fn steps(alerts: usize) -> u64 {
    STEPS * u64::try_from(BASE + alerts).unwrap_or(u64::MAX / STEPS)
}

/// The output for a notice of so many alerts.
fn rendered(template: &minijinja::Template<'_, '_>, context: Value, alerts: usize) -> Result<String, String> {
    let mut output = Output { bytes: Vec::new(), most: BYTES * (BASE + alerts) };
    template.render_captured_to(context, &mut output).map_err(|err| text(&err))?;
    String::from_utf8(output.bytes).map_err(|_| "what it makes is not UTF-8".to_owned())
}

/// Takes no more than `most` bytes.
struct Output {
    bytes: Vec<u8>,
    most: usize,
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

/// minijinja's own messages may quote values of the notice, and after their first line the template.
fn text(err: &Error) -> String {
    let line = err.line().map_or_else(String::new, |line| format!("line {line}: "));
    let kind = match err.kind() {
        kind @ (ErrorKind::SyntaxError
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownFunction
        | ErrorKind::UnknownTest) => err.detail().map_or_else(|| kind.to_string(), ToOwned::to_owned),
        ErrorKind::UndefinedError => {
            "a part of something that is absent; write {% if x %} around it, or {{ x | default(\"\") }}"
                .to_owned()
        }
        ErrorKind::OutOfFuel => "it takes too many steps; loop over less".to_owned(),
        ErrorKind::WriteFailure => "it makes too much text; write less".to_owned(),
        kind => format!("{kind}; write a filter or an operation that fits the value"),
    };
    format!("{line}{kind}")
}

#[cfg(test)]
mod tests;

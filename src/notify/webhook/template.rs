//! A body from the operator's own template.
//!
//! A template is as trusted as the rest of the configuration, but a mistake in it must not end the process. Bounded are
//! the length of its text, its steps, its output, what single filters make, and its time.

pub(super) mod apart;
mod context;
mod filters;
mod sample;
mod trial;

use minijinja::{Environment, Error, ErrorKind, Value, value::Serde};

pub(super) use self::sample::Scope;
use self::{
    apart::{PATIENCE, apart},
    context::Context,
    filters::Output,
};
use super::body::Body;
use crate::model::Notice;

/// The most steps of a template and bytes of its output: so many for each alert.
const STEPS: u64 = 10_000;
const BYTES: usize = 64 * 1024;
/// A notice without alerts may take as much as so many alerts.
const BASE: usize = 16;

pub(super) struct Template {
    source: String,
}

impl Template {
    /// # Errors
    /// What is wrong with the text, in which line, and what to write instead: it cannot be parsed, uses an unknown name,
    /// cannot be rendered for every notice of `scope`, or does not make JSON where it should.
    pub(super) fn new(source: &str, scope: Scope) -> Result<Self, String> {
        let source = source.to_owned();
        apart(PATIENCE, move || {
            let environment = environment(0);
            let template = environment.template_from_str(&source).map_err(|err| text(&err))?;
            let is_global = |name: &str| environment.globals().any(|(global, _)| global == name);
            check_names(&template, is_global)?;
            trial::run(&source, scope, |context| rendered(&template, Value::from(Serde(context)), 0))?;
            Ok(Template { source })
        })
    }

    /// # Errors
    /// The line in which it failed.
    pub(super) fn render(&self, notice: &Notice, body: Body<'_>) -> Result<String, String> {
        let alerts = notice.alerts.len();
        let source = self.source.clone();
        let context = Value::from(Serde(Context::of(notice, body)));
        apart(PATIENCE, move || {
            let environment = environment(alerts);
            let template = environment.template_from_str(&source).map_err(|err| text(&err))?;
            rendered(&template, context, alerts)
        })
    }
}

fn environment(alerts: usize) -> Environment<'static> {
    let mut environment = filters::environment(bytes(alerts));
    environment.set_fuel(Some(steps(alerts)));
    environment
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

fn bytes(alerts: usize) -> usize {
    BYTES.saturating_mul(BASE + alerts)
}

/// The output for a notice of so many alerts.
fn rendered(template: &minijinja::Template<'_, '_>, context: Value, alerts: usize) -> Result<String, String> {
    filters::begin();
    let mut output = Output { bytes: Vec::new(), most: bytes(alerts) };
    template.render_captured_to(context, &mut output).map_err(|err| text(&err))?;
    String::from_utf8(output.bytes).map_err(|_| "what it makes is not UTF-8".to_owned())
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

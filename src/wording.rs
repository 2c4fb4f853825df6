//! Every sentence that people read about alerts, in each language.
//!
//! The sentences stand in one Fluent file for each language; the code gives them names and quantities that are already in
//! words. A message is named by its alert, and its attributes are the forms of that alert's sentence.

mod about;
mod digest;
mod format;
mod frame;
mod language;
mod statement;
mod voice;

pub use self::{
    about::{About, Told},
    digest::Failing,
    language::Language,
    voice::{Voice, anchor, summary},
};

#[cfg(test)]
mod tests;

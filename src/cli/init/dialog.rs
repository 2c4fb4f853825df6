//! Questions on stderr, and answers from the standard input.

use std::{
    fmt::Display,
    io::{self, BufRead, IsTerminal, Read, Write},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::task::spawn_blocking;

use crate::secret::Secret;

/// Longer than any answer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Asks, if there is a terminal to ask on.
pub(super) struct Dialog {
    asks: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    #[error("{0} is missing; nothing is asked without a terminal or with --yes")]
    Flag(&'static str),
    #[error("the input ended; nothing was written")]
    Ended,
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
}

impl Dialog {
    /// It asks only on a terminal, and only if `may_ask`.
    pub(super) fn new(may_ask: bool) -> Self {
        Dialog { asks: may_ask && io::stdin().is_terminal() }
    }

    pub(super) fn asks(&self) -> bool {
        self.asks
    }

    /// Asks for a line. Without a terminal, and for an empty line, it is `default`; without one, `flag` is missing.
    pub(super) async fn text(
        &self,
        question: impl Display,
        default: Option<&str>,
        flag: &'static str,
    ) -> Result<String, Silence> {
        if !self.asks {
            return default.map(str::to_owned).ok_or(Silence::Flag(flag));
        }
        loop {
            match default {
                None | Some("") => prompt(format_args!("{question}: "))?,
                Some(default) => prompt(format_args!("{question} [{default}]: "))?,
            }
            let answer = line().await?;
            match (answer.trim(), default) {
                ("", Some(default)) => return Ok(default.to_owned()),
                ("", None) => {}
                (answer, _) => return Ok(answer.to_owned()),
            }
        }
    }

    /// Asks for a secret on a terminal, without showing it; absent: an empty line.
    pub(super) async fn secret(&self, question: impl Display) -> Result<Option<Secret>, Silence> {
        // First, so that nothing is shown of an answer that comes at once.
        let hidden = Hidden::new()?;
        prompt(format_args!("{question}: "))?;
        let answer = line().await;
        drop(hidden);
        // The end of the line is not shown either.
        say("")?;
        Ok(Some(answer?).filter(|answer| !answer.is_empty()).map(Secret::from))
    }

    /// Asks for yes or no. An empty line means `default`, which also applies without a terminal.
    pub(super) async fn agrees(&self, question: impl Display, default: bool) -> Result<bool, Silence> {
        let word = if default { "Y/n" } else { "y/N" };
        loop {
            let answer = self.text(format_args!("{question} [{word}]"), Some(""), "").await?;
            match &*answer.to_lowercase() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => say("Write y or n.")?,
            }
        }
    }
}

/// Prints a line for the person.
pub(super) fn say(text: impl Display) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{text}")
}

fn prompt(text: impl Display) -> io::Result<()> {
    let mut err = io::stderr().lock();
    write!(err, "{text}")?;
    err.flush()
}

/// Reads a line of the standard input, without its end. The thread that reads may be left behind.
pub(super) async fn line() -> Result<String, Silence> {
    let read = spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().take(LONGEST).read_line(&mut line).map(|length| (length, line))
    });
    let (length, mut line) = read.await.map_err(io::Error::other)??;
    if length == 0 {
        return Err(Silence::Ended);
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Hidden(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to restore.
        tcsetattr(io::stdin(), OptionalActions::Now, &self.0).unwrap_or_default();
    }
}

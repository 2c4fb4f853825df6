//! The log on stderr: a line per event.

use std::{fmt, io::IsTerminal};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::LevelFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

#[derive(Debug, Args)]
pub(super) struct Log {
    /// Lowest severity that is logged on stderr. Default: info, and of a demo: warn.
    #[arg(long = "log.level", value_name = "LEVEL")]
    level: Option<Level>,
    /// Format of the log, a line per event: logfmt or JSON as other exporters write them, or text for people.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt")]
    format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Logfmt,
    Json,
    Text,
}

impl Log {
    pub(super) fn start(&self) {
        self.start_at(Level::Info);
    }

    /// Starts the log at `usual`, unless the arguments say another level.
    pub(super) fn start_at(&self, usual: Level) {
        let level = match self.level.unwrap_or(usual) {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
        };
        // Debug lines of other crates may contain whole requests with headers.
        let filter = tracing_subscriber::filter::Targets::new()
            .with_default(LevelFilter::WARN.min(level))
            .with_target("proxymeter", level);
        let ansi = std::io::stderr().is_terminal();
        let lines =
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi).with_target(false);
        use tracing_subscriber::prelude::*;
        match self.format {
            LogFormat::Text => tracing_subscriber::registry().with(lines.with_filter(filter)).init(),
            LogFormat::Logfmt => {
                tracing_subscriber::registry()
                    .with(lines.event_format(Flat(logfmt)).with_filter(filter))
                    .init();
            }
            LogFormat::Json => {
                tracing_subscriber::registry()
                    .with(lines.event_format(Flat(json)).with_filter(filter))
                    .init();
            }
        }
    }
}

/// One line of `time`, `level`, `msg` and the fields of the event, as the official exporters have it.
struct Flat(fn(&[Pair]) -> String);

type Pair = (&'static str, Value);

impl<S, N> FormatEvent<S, N> for Flat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = vec![
            ("time", format!("{:.3}", Timestamp::now()).into()),
            ("level", event.metadata().level().as_str().into()),
            ("msg", fields.message.into()),
        ];
        line.append(&mut fields.others);
        writeln!(writer, "{}", self.0(&line))
    }
}

fn json(line: &[Pair]) -> String {
    let pairs = line.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

fn logfmt(line: &[Pair]) -> String {
    let pairs = line.iter().map(|(name, value)| match value {
        Value::String(text) if is_bare(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// Whether a value needs no quotes.
fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_alphanumeric() || "-_.:/+@,".contains(char))
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<Pair>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string().into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged, without the time, which comes first.
    fn logged(format: fn(&[Pair]) -> String, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines.event_format(Flat(format)));
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = text.split_once(if text.starts_with('{') { ',' } else { ' ' }).unwrap();
        let time = time.trim_start_matches("time=").trim_start_matches("{\"time\":").trim_matches('"');
        assert!(
            time.len() == "2026-11-27T01:02:03.456Z".len() && time.parse::<Timestamp>().is_ok(),
            "{text}"
        );
        rest.to_owned()
    }

    fn log() {
        let (target_name, empty) = ("edge", "");
        tracing::warn!(
            target_name,
            failures = 3,
            share = 0.5,
            up = false,
            empty,
            "it \"fails\":\ntwo words=é"
        );
    }

    #[test]
    fn a_line_is_flat_and_its_fields_are_at_the_top() {
        assert_eq!(
            logged(logfmt, log),
            "level=WARN msg=\"it \\\"fails\\\":\\ntwo words=é\" target_name=edge failures=3 share=0.5 up=false empty=\"\"\n"
        );
        assert_eq!(
            logged(json, log),
            "\"level\":\"WARN\",\"msg\":\"it \\\"fails\\\":\\ntwo words=é\",\"target_name\":\"edge\",\"failures\":3,\"share\":0.5,\"up\":false,\"empty\":\"\"}\n"
        );
        assert_eq!(logged(logfmt, || tracing::info!("stopped")), "level=INFO msg=stopped\n");
    }

    #[test]
    fn what_would_end_a_line_or_a_value_is_quoted() {
        for text in ["a b", "a=b", "a\"b", "a\\b", "a\nb", "a\u{1b}[31mb", "{}", ""] {
            assert!(!is_bare(text), "{text:?}");
        }
        for text in ["edge", "127.0.0.1:9000", "a_b-c", "https://a/b", "é"] {
            assert!(is_bare(text), "{text:?}");
        }
    }
}

//! Every metric about the targets, as text for Prometheus.
//!
//! The newest reports are written directly to text, without a tree of metrics in between: a panel may have hundreds of
//! thousands of series. [`write()`] writes a whole answer. [`Chunks`] keeps what was written, so that a new answer of a
//! panel causes only what it changes to be written again, and all scrapers share the result; [`own()`] is the end of it, which
//! differs from scrape to scrape, and [`join`] makes an answer of both.
//!
//! Each kind of thing (targets, users, nodes, …) has a file with its families and the function that writes them.
//! `view` decides what may be shown: fresh parts, users within the limit, names or hashes.

mod admins;
mod alerts;
mod chunk;
mod chunks;
mod credentials;
mod encoded;
mod family;
mod format;
mod hosts;
mod inbounds;
mod labels;
mod llm;
mod nodes;
mod nouns;
mod outbounds;
mod own;
mod shown;
mod targets;
mod text;
mod user_nodes;
mod user_online;
mod user_rows;
mod users;
mod view;

pub use chunks::{Chunks, Page};
pub use encoded::{Encoded, join};
pub use family::{Family, Kind};
pub use format::{Coding, Format};
pub use labels::{Options, UserLabels};
pub use nouns::families;
pub use shown::Shown;

use std::mem;

use bytes::Bytes;
use prometheus::proto::MetricFamily;

use encoded::{BLOCK, Encoder};
use nouns::{NOUNS, Noun};
use text::{Sink, Text};

/// The families about alerts, which follow those about the targets.
pub fn alert_families() -> &'static [&'static Family<'static>] {
    alerts::FAMILIES
}

/// Size in bytes of the pieces of an answer that is written while it is sent.
const PIECE: usize = 512 * 1024;

/// Writes a whole answer, in pieces that `to` takes. When it returns false, the rest is not wanted.
pub fn write(shown: &Shown<'_>, own: &[MetricFamily], format: Format, mut to: impl FnMut(Bytes) -> bool) {
    let mut is_wanted = true;
    let mut take = |text: &mut Vec<u8>| {
        if is_wanted {
            is_wanted = to(Bytes::from(mem::replace(text, Vec::with_capacity(text.capacity()))));
        }
        text.clear();
    };
    let namings = shown.namings();
    let views = shown.reports.iter().zip(&namings).map(|(report, naming)| shown.view(report, naming));
    let views: Vec<_> = views.collect();
    let mut text = Text::new(format, PIECE, Sink::Whole(&mut take));
    for Noun { write, .. } in &NOUNS {
        write(&mut text, &views);
    }
    alerts::write(&mut text, shown.alerts, &namings, shown.only);
    own::write(&mut text, own, shown.only);
    finish(text);
}

/// Writes the end of an answer: the daemon's own metrics, which differ from scrape to scrape.
pub fn own(families: &[MetricFamily], format: Format, coding: Coding, only: Option<&str>) -> Encoded {
    let mut encoder = Encoder::new(coding);
    let mut take = |text: &mut Vec<u8>| encoder.take(text);
    let mut text = Text::new(format, BLOCK, Sink::Whole(&mut take));
    own::write(&mut text, families, only);
    finish(text);
    encoder.end()
}

fn finish(mut text: Text<'_>) {
    if text.format() == Format::OpenMetrics {
        text.raw("# EOF\n");
    }
    text.finish();
}

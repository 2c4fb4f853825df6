//! Every metric about the targets, as text for Prometheus.
//!
//! The newest reports are written directly to text, without a tree of metrics in between: a panel may have hundreds of
//! thousands of series. A [`Plan`] writes a whole answer piece by piece. [`Chunks`] keeps what was written, so that a new answer of a
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
mod plan;
mod rows;
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
pub use plan::{Joiner, Piece, Plan};
pub use shown::Shown;

use bytes::Bytes;
use prometheus::proto::MetricFamily;

use encoded::{BLOCK, Encoder};
use text::{Sink, Text};

/// The families about alerts, which follow those about the targets.
pub fn alert_families() -> &'static [&'static Family<'static>] {
    alerts::FAMILIES
}

/// A whole answer, in pieces.
pub fn write(shown: &Shown<'_>, own: &[MetricFamily], format: Format) -> impl Iterator<Item = Bytes> {
    let (plan, mut joiner) = (Plan::new(shown, format), Joiner::new(format));
    (0..plan.pieces()).map(move |at| {
        let piece = plan.write(at, shown, own, Vec::new());
        let skip = joiner.skip(&piece);
        Bytes::from(piece.text).slice(skip..)
    })
}

/// Writes the end of an answer: the daemon's own metrics, which differ from scrape to scrape.
pub fn own(families: &[MetricFamily], format: Format, coding: Coding, only: Option<&str>) -> Encoded {
    let mut encoder = Encoder::new(coding);
    let mut take = |text: &mut Vec<u8>| encoder.take(text);
    let mut text = Text::new(format, BLOCK, Sink::Whole(&mut take));
    own::write(&mut text, families, only);
    text.end();
    text.finish();
    encoder.end()
}

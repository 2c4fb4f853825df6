//! What scrapers are shown.

use std::{io::Read, sync::Arc};

use flate2::bufread::GzDecoder;
use proxymeter::{
    exposition::{self, Chunks, Coding, Format, Options, Shown},
    model::{ActiveAlerts, Moment, Report},
};

/// The text of these reports and alerts.
pub(crate) fn text(
    reports: &[Arc<Report>],
    alerts: &ActiveAlerts,
    options: &Options,
    now: Moment,
    format: Format,
) -> String {
    written(&Shown { reports, alerts: &Arc::new(alerts.clone()), options, now, only: None }, format)
}

/// The same, which is the same written at once, kept, and compressed.
pub(crate) fn checked_text(
    reports: &[Arc<Report>],
    alerts: &ActiveAlerts,
    options: &Options,
    now: Moment,
    format: Format,
) -> String {
    let shown = Shown { reports, alerts: &Arc::new(alerts.clone()), options, now, only: None };
    let written = written(&shown, format);
    for coding in [Coding::Identity, Coding::Gzip] {
        let page = Chunks::new(format, coding).page(&shown);
        let sent = exposition::join(&[&page.text, &exposition::own(&[], format, coding, None)]).concat();
        let kept = match coding {
            Coding::Identity => String::from_utf8(sent).unwrap(),
            Coding::Gzip => {
                let mut text = String::new();
                GzDecoder::new(&sent[..]).read_to_string(&mut text).unwrap();
                text
            }
        };
        assert!(kept == written, "kept as {coding:?}, it differs from what is written at once");
    }
    written
}

fn written(shown: &Shown<'_>, format: Format) -> String {
    let pieces: Vec<_> = exposition::write(shown, &[], format).collect();
    String::from_utf8(pieces.concat()).unwrap()
}

//! Lists of credentials that come page by page.

use std::fmt::Write as _;

use proxymeter::{model::Part, upstream::cliproxy::config::UsageSetting};

use crate::common::{
    cliproxy::{Driver, FILES, Recorded, config},
    server::{Answer, Server},
};

/// The most credentials that are kept of a list, however it comes.
const MOST: usize = 2000;

/// The files of a page, and whether there are more.
fn page(from: usize, to: usize, of: usize) -> Answer {
    let mut files = String::new();
    for number in from..to {
        let comma = if number > from { "," } else { "" };
        write!(files, r#"{comma}{{"auth_index": "{number:016x}", "provider": "codex"}}"#).unwrap();
    }
    Answer::json(format!(r#"{{"files": [{files}], "has_more": {}}}"#, to < of))
}

/// Credentials that are kept and that are left out of a list of `of` files, in pages of the size asked for or of another.
async fn read(of: usize, size: Option<usize>) -> (usize, usize) {
    let recorded = Recorded::of("7.2.140");
    let server = Server::start(move |request| {
        if request.path() != FILES {
            return recorded.answer(request);
        }
        let size = size.or(request.number("page_size")).unwrap_or(50);
        let from = (request.number("page").unwrap_or(1) - 1) * size;
        page(from, (from + size).min(of), of)
    });
    let mut driver = Driver::new(&config(&server.url(), UsageSetting::Off));
    driver.read(Part::Credentials).await.unwrap();
    let files = driver.report.credentials.iter().filter(|known| known.label.starts_with("000000000000"));
    (files.count(), driver.report.omitted[&Part::Credentials])
}

#[tokio::test]
async fn a_long_list_is_kept_up_to_the_same_length_however_it_comes() {
    for (of, size, expected) in [
        (49, None, (49, 0)),
        (1234, None, (1234, 0)),
        (MOST, None, (MOST, 0)),
        (MOST, Some(100), (MOST, 0)),
        // The rest of the page, and at least one more.
        (MOST + 1, None, (MOST, 1)),
        (30_000, None, (MOST, 1)),
        (30_000, Some(1500), (MOST, 1001)),
        (2300, Some(2300), (MOST, 300)),
    ] {
        assert_eq!(read(of, size).await, expected, "{of} {size:?}");
    }
}

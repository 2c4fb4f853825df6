//! Everything that the server counted since its start, up to 6.9: a list of details for each client key and model.
//!
//! A list only grows, in the order in which attempts end, until the server restarts. So how many of its details were counted
//! says which are new, and its first and its last counted one say whether it is still the same list. What an operator imports
//! after a restart stands behind newer details, or in front of all; a part of a former list is recognised by that list's first
//! detail and is not counted again. Of a list whose oldest details the server drops (6.6.96 keeps 1000), the last one that was
//! counted says which are new.

mod books;
mod list;
mod pass;

use tokio::io::AsyncBufRead;

pub(super) use self::books::{Books, FAMILY, Reader, Shared, lock};
use self::{books::Api, pass::Model};
use super::record::Details;
use crate::upstream::json::{OddFields, Scanner};

/// The largest detail, in bytes. They take about 250.
const DETAIL: usize = 64 * 1024;

/// Counts what is new in a snapshot. If it is cut off or given up, what came of it is counted, and the next one goes on there.
/// Returns whether it is one at all.
pub(super) async fn read(
    body: impl AsyncBufRead + Unpin,
    books: &Shared,
    reader: &Reader,
    odd: &OddFields,
) -> serde_json::Result<bool> {
    lock(books).begins();
    let mut found = false;
    let mut details = Details::new(&reader.names, &reader.known);
    let mut scanner = Scanner::new(body, DETAIL);
    let mut answer = scanner.object().await?;
    while let Some(key) = scanner.field(&mut answer).await? {
        if key != "usage" {
            scanner.skip().await?;
            continue;
        }
        found = true;
        let mut usage = scanner.object().await?;
        while let Some(key) = scanner.field(&mut usage).await? {
            if key != "apis" {
                scanner.skip().await?;
                continue;
            }
            let mut apis = scanner.object().await?;
            while let Some(api) = scanner.field(&mut apis).await? {
                let api = Api::new(&api, &reader.names);
                read_api(&mut scanner, &api, books, &mut details, reader, odd).await?;
            }
        }
    }
    scanner.end().await?;
    Ok(found)
}

/// Reads what is below one client key.
async fn read_api<'r>(
    scanner: &mut Scanner<impl AsyncBufRead + Unpin>,
    api: &Api,
    books: &Shared,
    details: &mut Details<'r>,
    reader: &'r Reader,
    odd: &OddFields,
) -> serde_json::Result<()> {
    if scanner.skips_other(b'{', ("apis", "api"), odd).await? {
        return Ok(());
    }
    let mut fields = scanner.object().await?;
    while let Some(key) = scanner.field(&mut fields).await? {
        if key != "models" {
            scanner.skip().await?;
        } else if !scanner.skips_other(b'{', ("api", "models"), odd).await? {
            let mut models = scanner.object().await?;
            while let Some(model) = scanner.field(&mut models).await? {
                Model::new(api, &model, reader).read(scanner, books, details, odd).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

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

use std::io::BufRead;

pub(super) use self::books::{Books, FAMILY, Reader, Shared, lock};
use self::{books::Api, pass::Model};
use super::record::Details;
use crate::{
    http::Body,
    upstream::json::{OddFields, Scanner},
};

/// The largest detail, in bytes. They take about 250.
const DETAIL: usize = 64 * 1024;
/// Counts what is new in a snapshot. If it is cut off, what came of it is counted, and the next one goes on there. Returns
/// whether it is one at all.
pub(super) fn read(body: Body, books: &Shared, reader: &Reader, odd: &OddFields) -> serde_json::Result<bool> {
    read_from(&mut Scanner::new(body, DETAIL), books, reader, odd)
}

fn read_from(
    scanner: &mut Scanner<impl BufRead>,
    books: &Shared,
    reader: &Reader,
    odd: &OddFields,
) -> serde_json::Result<bool> {
    lock(books).begins();
    let mut found = false;
    let mut details = Details::new(&reader.names, &reader.known);
    scanner.object(|scanner, key| {
        if key != "usage" {
            return scanner.skip();
        }
        found = true;
        scanner.object(|scanner, key| {
            if key != "apis" {
                return scanner.skip();
            }
            scanner.object(|scanner, api| {
                if scanner.skips_other(b'{', ("apis", "api"), odd)? {
                    return Ok(());
                }
                let api = Api::new(api, &reader.names);
                scanner.object(|scanner, key| {
                    if key != "models" {
                        return scanner.skip();
                    }
                    if scanner.skips_other(b'{', ("api", "models"), odd)? {
                        return Ok(());
                    }
                    scanner.object(|scanner, model| {
                        Model::new(&api, model, reader).read(scanner, books, &mut details, odd)
                    })
                })
            })
        })
    })?;
    scanner.end()?;
    Ok(found)
}

#[cfg(test)]
mod tests;

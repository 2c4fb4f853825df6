//! Circles within a room: files that import each other.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// Which file imports what of which other of its room.
type Edges = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Imports that close a circle.
pub(super) fn wrong(source: &Source) -> Vec<String> {
    let edges = edges(source);
    let mut wrong = Vec::new();
    for (from, imports) in &edges {
        for (to, items) in imports {
            if reached(&edges, to).contains(from) {
                let items: Vec<_> = items.iter().map(String::as_str).collect();
                wrong.push(format!(
                    "src/{from} imports {} of src/{to}, which leads back to it",
                    items.join(", ")
                ));
            }
        }
    }
    wrong
}

/// The files that one leads to, itself among them if it is in a circle.
fn reached(edges: &Edges, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for to in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    found
}

fn edges(source: &Source) -> Edges {
    let mut edges = Edges::new();
    for (name, file) in &source.0 {
        let of_room = file
            .named
            .iter()
            .flatten()
            .filter(|named| named.path.first().is_some_and(|room| file.module.first() == Some(room)));
        for (owner, item) in of_room.filter_map(|named| owner(source, &named.path, 8)) {
            if owner != *name {
                edges.entry(name.clone()).or_default().entry(owner).or_default().insert(item);
            }
        }
    }
    edges
}

/// The file that defines what a path names, and the item. If a module only hands on what it imported, that is the
/// file that it imported it from. `depth` bounds how often.
fn owner(source: &Source, path: &[String], depth: usize) -> Option<(String, String)> {
    let module = (1..=path.len()).rev().map(|length| path.split_at(length)).find_map(|(module, rest)| {
        let (name, file) = source.0.iter().find(|(_, file)| file.module == module)?;
        Some((name, file, rest))
    });
    let (name, file, rest) = module?;
    let Some(item) = rest.first().filter(|item| *item != "*" && !file.defines(item)) else {
        let item = rest.first().map_or("self", |item| item);
        return Some((name.clone(), item.to_owned()));
    };
    let mut imports = file.named.iter().flatten().filter(|named| named.bound.as_ref() == Some(item));
    owner(source, &imports.next()?.path, depth.checked_sub(1)?)
}

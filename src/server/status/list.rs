//! Long tables without scripts: what a request asks for, sorted columns, and pages of rows.

use std::cmp::Ordering;

use form_urlencoded::{Serializer, parse};
use serde::Serialize;

use crate::model::words::count;

/// Rows of one page of a table.
pub(super) const ROWS: usize = 100;
/// Characters of a search.
pub(super) const LONGEST_SEARCH: usize = 64;

/// The part of a table that a request asks for. Values that are not valid count as absent: a link of another version still
/// leads to a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Asked {
    /// The name of a column; empty: the first one.
    sort: String,
    is_reversed: bool,
    /// From 1; 0 is the first as well.
    page: usize,
    pub(super) search: String,
}

impl Asked {
    /// Reads the parameters `sort`, `page` and `q` of a URL.
    pub(in crate::server) fn of(parameters: Option<&str>) -> Self {
        let mut asked = Asked::default();
        for (name, value) in parse(parameters.unwrap_or_default().as_bytes()) {
            match &*name {
                "sort" => {
                    asked.is_reversed = value.starts_with('-');
                    asked.sort = value.trim_start_matches('-').chars().take(LONGEST_SEARCH).collect();
                }
                "page" => asked.page = value.parse().unwrap_or(0),
                "q" => asked.search = value.trim().chars().take(LONGEST_SEARCH).collect(),
                _ => {}
            }
        }
        asked
    }

    pub(super) fn without_search(&self) -> Self {
        Asked { search: String::new(), ..self.clone() }
    }

    /// The value of the parameter `sort`; empty: there is none.
    pub(super) fn sort(&self) -> String {
        format!("{}{}", if self.is_reversed { "-" } else { "" }, self.sort)
    }

    /// A link to another part of the same table.
    fn link(&self, sort: &str, is_reversed: bool, page: usize) -> String {
        let mut link = Serializer::new(String::new());
        link.append_pair("sort", &format!("{}{sort}", if is_reversed { "-" } else { "" }));
        if page > 1 {
            link.append_pair("page", &page.to_string());
        }
        if !self.search.is_empty() {
            link.append_pair("q", &self.search);
        }
        format!("?{}", link.finish())
    }
}

/// A column by which a table can be sorted.
pub(super) struct Column<T> {
    name: &'static str,
    word: &'static str,
    /// Of which kind its cells are; empty: text.
    class: &'static str,
    /// The table begins with the largest values, unless the column is asked for again.
    is_largest_first: bool,
    /// The order of its rows, from the smallest value to the largest.
    compare: fn(&T, &T) -> Ordering,
}

impl<T> Column<T> {
    pub(super) fn text(name: &'static str, word: &'static str, compare: fn(&T, &T) -> Ordering) -> Self {
        Column { name, word, class: "", is_largest_first: false, compare }
    }

    /// One whose rows begin with the largest values.
    pub(super) fn descending(
        name: &'static str,
        word: &'static str,
        compare: fn(&T, &T) -> Ordering,
    ) -> Self {
        Column { name, word, class: "", is_largest_first: true, compare }
    }

    pub(super) fn number(name: &'static str, word: &'static str, compare: fn(&T, &T) -> Ordering) -> Self {
        Column { class: "number", ..Column::descending(name, word, compare) }
    }
}

/// The heading of a column.
#[derive(Serialize)]
struct Heading {
    word: &'static str,
    class: &'static str,
    /// Empty: the table is not sorted by it.
    sorted: &'static str,
    link: String,
}

/// What surrounds the rows of a table.
#[derive(Serialize)]
pub(super) struct Table<R> {
    headings: Vec<Heading>,
    rows: Vec<R>,
    /// Where the rows are among all, from 1.
    first: String,
    last: String,
    of: String,
    /// Links; absent: there is no such page.
    previous: Option<String>,
    next: Option<String>,
}

impl<R> Table<R> {
    /// The rows that are asked for. `columns` has at least one, by which the table is sorted if nothing else is asked for.
    pub(super) fn new<T>(
        mut all: Vec<T>,
        columns: &[Column<T>],
        asked: &Asked,
        row: impl FnMut(T) -> R,
    ) -> Self {
        let known = columns.iter().find(|column| column.name == asked.sort);
        let by = known.or(columns.first());
        let is_reversed = match known {
            Some(_) => asked.is_reversed,
            None => by.is_some_and(|column| column.is_largest_first),
        };
        if let Some(column) = by {
            all.sort_by(|a, b| {
                let order = (column.compare)(a, b);
                let order = if is_reversed { order.reverse() } else { order };
                // Equals are in the order of the first column.
                order.then_with(|| columns.first().map_or(Ordering::Equal, |first| (first.compare)(a, b)))
            });
        }
        let of = all.len();
        let page = asked.page.clamp(1, of.div_ceil(ROWS).max(1));
        let start = (page - 1) * ROWS;
        let rows: Vec<_> = all.into_iter().skip(start).take(ROWS).map(row).collect();
        let name = by.map_or("", |column| column.name);
        let link = |page| asked.link(name, is_reversed, page);
        let heading = |column: &Column<T>| {
            let is_by = column.name == name;
            Heading {
                word: column.word,
                class: column.class,
                sorted: match (is_by, is_reversed) {
                    (false, _) => "",
                    (true, false) => "ascending",
                    (true, true) => "descending",
                },
                link: asked.link(column.name, if is_by { !is_reversed } else { column.is_largest_first }, 1),
            }
        };
        Table {
            headings: columns.iter().map(heading).collect(),
            first: count(start + 1),
            last: count(start + rows.len()),
            of: count(of),
            previous: (page > 1).then(|| link(page - 1)),
            next: (start + rows.len() < of).then(|| link(page + 1)),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> [Column<(u32, u32)>; 2] {
        [Column::text("a", "A", |a, b| a.0.cmp(&b.0)), Column::number("b", "B", |a, b| a.1.cmp(&b.1))]
    }

    fn table(parameters: &str, rows: u32) -> Table<(u32, u32)> {
        let all = (0..rows).map(|n| (n, n % 7)).collect();
        Table::new(all, &columns(), &Asked::of(Some(parameters)), |row| row)
    }

    #[test]
    fn parameters_are_read_and_bad_ones_ignored() {
        let asked = |sort: &str, is_reversed, page, search: &str| Asked {
            sort: sort.into(),
            is_reversed,
            page,
            search: search.into(),
        };
        let (long, cut) = ("x".repeat(10_000), "x".repeat(LONGEST_SEARCH));
        for (parameters, expected) in [
            ("", Asked::default()),
            ("sort=b&page=3&q=al", asked("b", false, 3, "al")),
            ("sort=-b", asked("b", true, 0, "")),
            ("q=a%20b+c%3C&x=y", asked("", false, 0, "a b c<")),
            ("q=%ff&page=-1", asked("", false, 0, "\u{fffd}")),
            ("page=99999999999999999999999&q=+a+", asked("", false, 0, "a")),
            (&format!("q={long}&sort={long}"), asked(&cut, false, 0, &cut)),
        ] {
            assert_eq!(Asked::of(Some(parameters)), expected, "{parameters}");
        }
        assert_eq!(Asked::of(None), Asked::default());
    }

    #[test]
    fn rows_are_sorted_and_cut_into_pages() {
        for (parameters, first_row, [first, last], [previous, next]) in [
            ("", (0, 0), ["1", "100"], [None, Some("?sort=a&page=2")]),
            ("page=2", (100, 2), ["101", "200"], [Some("?sort=a"), Some("?sort=a&page=3")]),
            ("page=3&sort=nothing", (200, 4), ["201", "250"], [Some("?sort=a&page=2"), None]),
            ("page=900&sort=-a", (49, 0), ["201", "250"], [Some("?sort=-a&page=2"), None]),
            ("sort=b", (0, 0), ["1", "100"], [None, Some("?sort=b&page=2")]),
            ("sort=-b&q=%22%3E", (6, 6), ["1", "100"], [None, Some("?sort=-b&page=2&q=%22%3E")]),
        ] {
            let table = table(parameters, 250);
            assert_eq!(
                (table.rows[0], &*table.first, &*table.last),
                (first_row, first, last),
                "{parameters}"
            );
            assert_eq!((table.previous.as_deref(), table.next.as_deref()), (previous, next), "{parameters}");
            assert_eq!(table.of, "250");
        }
        let empty = table("page=2", 0);
        assert!(empty.rows.is_empty() && empty.previous.is_none() && empty.next.is_none());
    }

    #[test]
    fn a_heading_reverses_the_column_that_sorts_the_table() {
        for (parameters, expected) in [
            ("", [("ascending", "?sort=-a"), ("", "?sort=-b")]),
            ("sort=b&page=2", [("", "?sort=a"), ("ascending", "?sort=-b")]),
            ("sort=-b", [("", "?sort=a"), ("descending", "?sort=b")]),
        ] {
            let table = table(parameters, 250);
            let headings: Vec<_> = table.headings.iter().map(|of| (of.sorted, &*of.link)).collect();
            assert_eq!(headings, expected, "{parameters}");
        }
    }
}

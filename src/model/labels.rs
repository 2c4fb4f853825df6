use std::{collections::HashSet, fmt::Display, sync::Arc};

/// What identifies a row of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a, Id = i64> {
    pub name: &'a str,
    /// Distinguishes rows of the same name.
    pub id: Option<Id>,
}

/// The labels of the rows of a list, in the same order and all different, whatever the rows are. A row's label is its
/// name. `#` and the id are added if another row has the same name, or if the name could be mistaken for `reserved` or
/// for a label made this way. A row without an id keeps its name, and of rows that are equal, the later ones get a number
/// instead.
pub fn labels<Id: Display>(rows: &[Row<'_, Id>], reserved: &str) -> Vec<Arc<str>> {
    let mut known = HashSet::new();
    let mut clashing = HashSet::from([reserved]);
    for row in rows.iter().filter(|row| row.id.is_some()) {
        if !known.insert(row.name) {
            clashing.insert(row.name);
        }
    }
    let mut used = HashSet::with_capacity(rows.len());
    let labels = rows.iter().map(|Row { name, id }| {
        let label = match id {
            Some(id) if clashing.contains(name) || ends_like_a_label(name) => format!("{name}#{id}"),
            _ => (*name).to_owned(),
        };
        let mut unused = Arc::<str>::from(label.as_str());
        let mut number = 1_u64;
        while !used.insert(Arc::clone(&unused)) {
            number += 1;
            unused = format!("{label}#{number}").into();
        }
        unused
    });
    labels.collect()
}

fn ends_like_a_label(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, id)| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_names_where_names_are_enough() {
        let rows = [
            (None, "master"),
            (Some(1), "a"),
            (Some(2), "b"),
            (Some(3), "a"),
            (Some(4), "master"),
            (Some(5), "master#4"),
            (None, "c"),
        ];
        let rows = rows.map(|(id, name)| Row { name, id });
        let labels: Vec<_> = labels(&rows, "master").iter().map(|label| label.to_string()).collect();
        assert_eq!(labels, ["master", "a#1", "b", "a#3", "master#4", "master#4#5", "c"]);
    }

    #[test]
    fn labels_differ_whatever_the_rows_are() {
        let mut random = fastrand::Rng::with_seed(7);
        let names = ["", "a", "a#1", "a#1#1", "a#2", "master", "master#1", "#", "#1"];
        for _ in 0..2000 {
            let rows: Vec<_> = (0..random.usize(0..12))
                .map(|_| Row {
                    name: random.choice(names).unwrap(),
                    id: random.bool().then(|| random.i64(-1..4)),
                })
                .collect();
            let labels = labels(&rows, "master");
            assert_eq!(labels.iter().collect::<HashSet<_>>().len(), rows.len(), "{rows:?} {labels:?}");
        }
    }
}

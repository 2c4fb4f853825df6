use std::collections::HashSet;

/// A durable counter: integers that survive restarts, under a text that names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterRow {
    /// Unique within the target and family. Only the counter's owner parses it.
    pub labels: String,
    pub values: Vec<u64>,
}

/// Durable counters of a target, by family.
pub type CounterFamilies = Vec<(String, Vec<CounterRow>)>;

/// A change to the durable counters of a target, applied completely or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterChange {
    pub family: String,
    /// New rows, and existing ones with their new values.
    pub rows: Vec<CounterRow>,
    /// Labels of deleted rows.
    pub gone: Vec<String>,
}

impl CounterChange {
    /// The change from the rows `before` to the rows `after`; absent if there is none.
    pub fn between(family: &str, before: &[CounterRow], after: Vec<CounterRow>) -> Option<Self> {
        let labels: HashSet<_> = after.iter().map(|row| &row.labels).collect();
        let gone = before.iter().filter(|row| !labels.contains(&row.labels));
        let gone: Vec<_> = gone.map(|row| row.labels.clone()).collect();
        let known: HashSet<_> = before.iter().collect();
        let rows: Vec<_> = after.into_iter().filter(|row| !known.contains(row)).collect();
        (!rows.is_empty() || !gone.is_empty()).then(|| CounterChange {
            family: family.to_owned(),
            rows,
            gone,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_changed() {
        let row = |labels: &str, value| CounterRow { labels: labels.to_owned(), values: vec![value] };
        let before = [row("a", 1), row("b", 2), row("c", 3)];
        let change =
            CounterChange::between("f", &before, vec![row("a", 1), row("b", 5), row("d", 4)]).unwrap();
        assert_eq!((change.rows, change.gone), (vec![row("b", 5), row("d", 4)], vec!["c".to_owned()]));
        assert_eq!(CounterChange::between("f", &before, before.to_vec()), None);
    }
}

use std::cmp::Ordering;

/// The first few of many, and how many there were.
#[derive(Debug)]
pub(super) struct Top<T> {
    pub(super) first: Vec<T>,
    pub(super) of: usize,
}

/// The first `most` of `all` in the order of `compare`, without sorting or holding the others. Of equals, those that
/// come first.
pub(super) fn top<T>(
    all: impl Iterator<Item = T>,
    most: usize,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Top<T> {
    let mut top = Top { first: Vec::with_capacity(most + 1), of: 0 };
    for item in all {
        top.of += 1;
        let is_worse = |last: &T| compare(&item, last) != Ordering::Less;
        if top.first.len() >= most && top.first.last().is_none_or(is_worse) {
            continue;
        }
        let place = top.first.partition_point(|known| compare(known, &item) != Ordering::Greater);
        top.first.insert(place, item);
        top.first.truncate(most);
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_are_what_sorting_would_give() {
        let mut random = fastrand::Rng::with_seed(7);
        for length in [0, 1, 9, 10, 11, 1000] {
            // Many are equal, and told apart by where they stood.
            let all: Vec<_> = (0..length).map(|place| (random.u32(..50), place)).collect();
            let mut sorted = all.clone();
            sorted.sort_by_key(|(key, _)| *key);
            sorted.truncate(10);
            let top = top(all.iter().copied(), 10, |a, b| a.0.cmp(&b.0));
            assert_eq!((top.first, top.of), (sorted, length), "{length}");
        }
        assert!(top([1, 2].into_iter(), 0, i32::cmp).first.is_empty());
    }
}

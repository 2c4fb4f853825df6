use super::*;
use crate::alert::testing::{DAY, HOUR, at};

fn silence(matcher: &str, from: u64, to: u64) -> Silence {
    Silence {
        id: "".into(),
        matchers: vec![matcher.parse().unwrap()],
        starts_at: at(from).wall,
        ends_at: at(to).wall,
        updated_at: at(0).wall,
        created_by: "ann".into(),
        comment: "the move".into(),
    }
}

fn put(silences: &mut Silences, silence: Silence, now: u64) -> Result<Arc<str>, SilenceError> {
    silences.change(SilenceChange::Put(silence), at(now))
}

/// What is kept, by state.
fn counts(silences: &Silences, now: u64) -> [usize; 3] {
    let shown = silences.shown();
    SilenceState::ALL.map(|state| shown.iter().filter(|known| known.state(at(now).wall) == state).count())
}

#[test]
fn silences_begin_end_and_are_forgotten() {
    let mut silences = Silences::default();
    assert_eq!((silences.advance(at(0)), silences.due()), (false, None));
    put(&mut silences, silence("target=edge", 100, 200), 0).unwrap();
    let ends = 200 + 5 * DAY;
    for (now, changed, due, kept) in [
        (1, false, Some(100), [0, 1, 0]),
        (100, true, Some(200), [1, 0, 0]),
        (150, false, Some(200), [1, 0, 0]),
        (200, true, None, [0, 0, 1]),
        (ends - 1, false, None, [0, 0, 1]),
        (ends, true, None, [0, 0, 0]),
        (ends + 1, false, None, [0, 0, 0]),
    ] {
        assert_eq!(silences.advance(at(now)), changed, "{now}");
        assert_eq!(silences.due(), due.map(|due| at(due).uptime), "{now}");
        assert_eq!(counts(&silences, now), kept, "{now}");
    }
}

#[test]
fn rows_are_what_a_later_process_continues_with() {
    let mut silences = Silences::default();
    let id = put(&mut silences, silence("subject=~ann|bob", 0, HOUR), 0).unwrap();
    let rows = silences.take_rows();
    assert_eq!(silences.take_rows(), []);
    let mut rows: Vec<_> = rows.into_iter().map(|(key, text)| (key, text.unwrap())).collect();
    assert_eq!(rows[0].0, *id);
    rows.push(("unreadable".into(), "{}".into()));
    rows.push(("another".into(), rows[0].1.clone()));
    let mut later = Silences::restore(&rows, at(60));
    assert_eq!(later.shown(), silences.shown());
    let deleted = ["another", "unreadable"].map(|key| (key.to_owned(), None));
    assert_eq!(later.take_rows(), deleted);

    later.change(SilenceChange::Expire(Arc::clone(&id)), at(61)).unwrap();
    assert_eq!(counts(&later, 61), [0, 0, 1]);
    assert_eq!(later.take_rows().len(), 1);
    // Once more changes nothing, and is no failure: the answer to the first request may be lost.
    later.change(SilenceChange::Expire(id), at(70)).unwrap();
    assert_eq!(later.take_rows(), []);
    assert_eq!(later.change(SilenceChange::Expire("none".into()), at(70)), Err(SilenceError::Unknown));
}

#[test]
fn a_silence_goes_on_under_its_id_unless_it_would_be_another() {
    // The one before, the one that is to replace it at 60, and whether that has the same id.
    let cases = [
        ("prolonged", silence("target=edge", 0, HOUR), silence("target=edge", 0, 2 * HOUR), true),
        ("cut short", silence("target=edge", 0, HOUR), silence("target=edge", 0, 120), true),
        ("begun already", silence("target=edge", 0, HOUR), silence("target=edge", 90, HOUR), false),
        ("others", silence("target=edge", 0, HOUR), silence("target=home", 0, HOUR), false),
        ("put off", silence("target=edge", 90, HOUR), silence("target=edge", 120, HOUR), true),
        ("at once", silence("target=edge", 90, HOUR), silence("target=edge", 0, HOUR), false),
        ("over", silence("target=edge", 0, 30), silence("target=edge", 0, HOUR), false),
    ];
    for (what, before, after, same) in cases {
        let mut silences = Silences::default();
        let id = put(&mut silences, before.clone(), 0).unwrap();
        silences.advance(at(60));
        let next = put(&mut silences, Silence { id: Arc::clone(&id), ..after.clone() }, 60).unwrap();
        assert_eq!(next == id, same, "{what}");
        let known = silences.shown();
        let known = |id: &Arc<str>| known.iter().find(|known| known.id == *id).unwrap();
        assert_eq!(known(&next).ends_at, after.ends_at, "{what}");
        if same {
            assert_eq!(known(&id).starts_at, after.starts_at, "{what}");
        } else {
            assert_eq!(known(&id).state(at(60).wall), SilenceState::Expired, "{what}");
        }
    }
    let unknown = Silence { id: "none".into(), ..silence("target=edge", 0, HOUR) };
    assert_eq!(put(&mut Silences::default(), unknown, 0), Err(SilenceError::Unknown));
}

#[test]
fn there_are_at_most_so_many() {
    let mut silences = Silences::default();
    let mut last = None;
    for n in 0..MOST_SILENCES {
        last = Some(put(&mut silences, silence(&format!("subject=u{n}"), 0, HOUR), 0).unwrap());
    }
    let last = last.unwrap();
    let one_more = || silence("subject=more", 0, HOUR);
    assert_eq!(put(&mut silences, one_more(), 1), Err(SilenceError::TooMany));
    // One takes the place of another.
    let last = put(&mut silences, Silence { id: last, ..one_more() }, 1).unwrap();
    silences.change(SilenceChange::Expire(last), at(2)).unwrap();
    put(&mut silences, one_more(), 3).unwrap();

    // Of those that have expired, the newest are kept.
    for second in 4..4 + 2000 {
        let id = Arc::clone(&silences.shown()[0].id);
        silences.change(SilenceChange::Expire(id), at(second)).unwrap();
        let expired = silences.all.values().filter(|known| known.ends_at <= at(second).wall).count();
        assert!(expired <= MOST_EXPIRED);
        if silences.active.len() < MOST_SILENCES / 2 {
            break;
        }
    }
}

/// What is known of an alert about `ann`, and how many silences were asked about it.
fn asked(silences: &Silences, fitting: &mut Fitting) -> (Vec<String>, usize) {
    let asked = std::cell::Cell::new(0);
    silences.update(fitting, |silence| {
        asked.set(asked.get() + 1);
        silence.is_about(|name| if name == "subject" { "ann" } else { "" })
    });
    let mut words: Vec<_> = fitting.silences.iter().map(|known| known.matchers[0].to_string()).collect();
    words.sort();
    (words, asked.get())
}

#[test]
fn each_silence_is_asked_once_about_an_alert() {
    let mut silences = Silences::default();
    let mut fitting = Fitting::default();
    let all = [r#"subject=~"a.*""#, r#"subject=~"an+""#];
    let [wide, narrow] = all;
    assert_eq!(asked(&silences, &mut fitting), (vec![], 0), "there is none");
    let first = put(&mut silences, silence("subject=~a.*", 0, HOUR), 0).unwrap();
    put(&mut silences, silence("subject=~an+", 100, 200), 0).unwrap();
    put(&mut silences, silence("subject=~b.*", 0, HOUR), 0).unwrap();
    for (now, expected, times, why) in [
        (0, &[wide][..], 2, "two are active"),
        (1, &[wide], 0, "nothing has changed"),
        (100, &all, 1, "one begins"),
        (150, &all, 0, "nothing has changed"),
        (200, &[wide], 0, "one ends"),
    ] {
        silences.advance(at(now));
        let expected = expected.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(asked(&silences, &mut fitting), (expected, times), "{why}");
    }
    let longer =
        Silence { id: Arc::clone(&first), ends_at: at(2 * HOUR).wall, ..silence("subject=~a.*", 0, 0) };
    put(&mut silences, longer, 300).unwrap();
    assert_eq!(asked(&silences, &mut fitting), (vec![wide.to_owned()], 1), "one is changed");
    assert_eq!(fitting.silences[0].ends_at, at(2 * HOUR).wall);
    // A new alert, or one whose labels have changed.
    assert_eq!(asked(&silences, &mut Fitting::default()), (vec![wide.to_owned()], 2));
    silences.change(SilenceChange::Expire(first), at(301)).unwrap();
    put(&mut silences, silence(narrow, 301, HOUR), 301).unwrap();
    assert_eq!(asked(&silences, &mut fitting), (vec![narrow.to_owned()], 1), "one is ended, one added");
    silences.advance(at(HOUR));
    assert_eq!(asked(&silences, &mut fitting), (vec![], 0), "all have ended");
    // Others begin in their place before it is asked.
    put(&mut silences, silence(narrow, HOUR, 2 * HOUR), HOUR).unwrap();
    silences.advance(at(2 * HOUR));
    put(&mut silences, silence(wide, 2 * HOUR, 3 * HOUR), 2 * HOUR).unwrap();
    assert_eq!(asked(&silences, &mut fitting), (vec![wide.to_owned()], 1));
}

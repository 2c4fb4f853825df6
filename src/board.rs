//! The newest report of every target, the daemon's own state, and a watch on them.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::{OwnState, Report};

/// The board at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Grows with every change; equal versions are equal views.
    pub version: u64,
    /// In order of target name.
    pub reports: Arc<Vec<Arc<Report>>>,
    pub own: Arc<OwnState>,
}

/// Holds what is known at present. Cheap to clone; all clones are one board.
#[derive(Clone, Debug)]
pub struct Board {
    view: Arc<watch::Sender<View>>,
}

impl Board {
    /// A board with an empty report for each of `targets`.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut reports: Vec<_> = targets.into_iter().map(|name| Arc::new(Report::new(name))).collect();
        reports.sort_by(|a, b| a.target.cmp(&b.target));
        Board {
            view: Arc::new(watch::Sender::new(View {
                version: 0,
                reports: Arc::new(reports),
                own: Arc::default(),
            })),
        }
    }

    /// Replaces a target's report. The report is dropped if the target is not on the board, or is another system by
    /// now.
    pub fn publish(&self, report: Report) {
        let report = Arc::new(report);
        self.view.send_if_modified(|view| {
            let reports = Arc::make_mut(&mut view.reports);
            let same =
                |known: &&mut Arc<Report>| known.target == report.target && known.source == report.source;
            let Some(place) = reports.iter_mut().find(same) else {
                return false;
            };
            *place = report;
            view.version += 1;
            true
        });
    }

    /// Removes the targets that are not among these, of which nothing is known yet, and adds those that are new or another
    /// system now.
    pub fn set_targets(&self, targets: &[Report]) {
        self.view.send_modify(|view| {
            let known = |new: &Report| {
                let mut same = view.reports.iter();
                same.find(|known| known.target == new.target && known.source == new.source)
            };
            let report = |new: &Report| known(new).map_or_else(|| Arc::new(new.clone()), Arc::clone);
            let mut reports: Vec<_> = targets.iter().map(report).collect();
            reports.sort_by(|a, b| a.target.cmp(&b.target));
            view.reports = Arc::new(reports);
            view.version += 1;
        });
    }

    /// Changes what is known of the daemon itself.
    pub fn change_own(&self, change: impl FnOnce(&mut OwnState)) {
        self.view.send_if_modified(|view| {
            let mut own = (*view.own).clone();
            change(&mut own);
            if own == *view.own {
                return false;
            }
            view.own = Arc::new(own);
            view.version += 1;
            true
        });
    }

    /// What is known.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Notifies of every new version.
    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_another_system_begins_again() {
        let board = Board::new([]);
        let up = |source: &str| Report { up: Some(true), ..Report::of("home", source) };
        let shown = || board.view().reports.iter().map(|report| report.up).collect::<Vec<_>>();
        board.set_targets(&[Report::of("home", "a")]);
        board.publish(up("a"));
        board.set_targets(&[Report::of("edge", "c"), Report::of("home", "a")]);
        assert_eq!(shown(), [None, Some(true)]);
        board.set_targets(&[Report::of("home", "b")]);
        assert_eq!(shown(), [None]);
        // What the former system still answers is not shown.
        board.publish(up("a"));
        assert_eq!(shown(), [None]);
        board.publish(up("b"));
        assert_eq!(shown(), [Some(true)]);
    }
}

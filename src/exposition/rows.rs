//! Families that have a series for each user: nearly all of a large page.

use super::{
    family::Family,
    text::{Number, Series, Text},
    view::{Share, View},
};
use crate::model::{Extras, User};

/// Such a family, and how the series of some users of a target are written.
pub(super) struct RowFamily {
    pub(super) family: &'static Family<'static>,
    pub(super) write: fn(&mut Series<'_, '_>, &View<'_>, Share),
}

impl RowFamily {
    pub(super) fn write(&self, text: &mut Text<'_>, views: &[View<'_>], share: Share) {
        let mut series = text.family(self.family);
        for view in views {
            series.of_target(view.target());
            (self.write)(&mut series, view, share);
        }
    }
}

pub(super) fn each_user<V: Into<Number>>(
    series: &mut Series<'_, '_>,
    view: &View<'_>,
    share: Share,
    value: impl Fn(&User) -> Option<V>,
) {
    view.each_user(share, |user, label| {
        if let Some(value) = value(user) {
            series.add_user(label, value);
        }
    });
}

/// As [`each_user`], of what only some systems say.
pub(super) fn each_extra<V: Into<Number>>(
    series: &mut Series<'_, '_>,
    view: &View<'_>,
    share: Share,
    value: impl Fn(&Extras) -> Option<V>,
) {
    each_user(series, view, share, |user| value(&user.extra));
}

/// As [`each_user`], of families with one more label, whose values are given, and the value 1.
pub(super) fn each_user_with<'a, L: IntoIterator<Item = &'a str>>(
    series: &mut Series<'_, '_>,
    view: &View<'a>,
    share: Share,
    values: impl Fn(&'a User) -> L,
) {
    view.each_user(share, |user, label| {
        for value in values(user) {
            series.add_user_with(label, value);
        }
    });
}

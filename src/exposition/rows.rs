//! Families that have a series for each user: nearly all of a large page.

use super::{
    family::Family,
    text::{Number, Series, Text},
    view::View,
};
use crate::model::{Share, User};

/// Such a family, and what writes its series.
pub(super) struct RowFamily(pub(super) &'static Family<'static>, pub(super) fn(&mut Rows<'_, '_, '_, '_>));

/// The series of a family about some users of a target.
pub(super) struct Rows<'r, 'a, 't, 's> {
    series: &'r mut Series<'t, 's>,
    pub(super) view: &'r View<'a>,
    share: Share,
}

impl RowFamily {
    pub(super) fn write(&self, text: &mut Text<'_>, views: &[View<'_>], share: Share) {
        let RowFamily(family, write) = self;
        let mut series = text.family(family);
        for view in views {
            series.of_target(view.target());
            write(&mut Rows { series: &mut series, view, share });
        }
    }
}

impl<'a> Rows<'_, 'a, '_, '_> {
    /// One for each user who has the value.
    pub(super) fn each<V: Into<Number>>(&mut self, value: impl Fn(&User) -> Option<V>) {
        self.view.each_user(self.share, |user, label| {
            if let Some(value) = value(user) {
                self.series.add_user(label, value);
            }
        });
    }

    /// Of a family with one more label: one for each of its values, with the value 1.
    pub(super) fn each_with<L: IntoIterator<Item = &'a str>>(&mut self, values: impl Fn(&'a User) -> L) {
        self.view.each_user(self.share, |user, label| {
            for value in values(user) {
                self.series.add_user_with(label, value);
            }
        });
    }
}

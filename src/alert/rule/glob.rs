use crate::model::glob::matches;

/// Which names a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Empty: all.
    pub(super) only: Vec<String>,
    pub(super) except: Vec<String>,
}

impl Names {
    pub(super) fn include(&self, name: &str) -> bool {
        (self.only.is_empty() || self.only.iter().any(|pattern| matches(pattern, name)))
            && !self.except.iter().any(|pattern| matches(pattern, name))
    }
}

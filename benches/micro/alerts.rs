//! Evaluating rules, and composing what is said of the alerts.

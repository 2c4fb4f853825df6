//! The words of a notice, whoever it goes to.

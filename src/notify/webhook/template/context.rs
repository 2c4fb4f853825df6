use serde::Serialize;

use crate::{
    model::{Digest, Notice},
    notify::webhook::body::Body,
};

/// What a template may use: the fields of Alertmanager's body, and these.
#[derive(Serialize)]
pub(super) struct Context<'a> {
    #[serde(flatten)]
    body: Body<'a>,
    /// Why the notice is sent.
    reason: &'a str,
    /// `none` if it is about alerts.
    digest: Option<&'a Digest>,
}

impl<'a> Context<'a> {
    pub(super) fn of(notice: &'a Notice, body: Body<'a>) -> Self {
        Context { body, reason: &notice.reason, digest: notice.digest.as_ref() }
    }
}

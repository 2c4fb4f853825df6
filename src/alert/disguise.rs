use crate::model::{KIND_USER, NoticeAlert};

/// Gives what notices call a user in place of the name.
pub type Pseudonym = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Takes a user's name out of an alert.
pub(super) fn disguise(alert: &mut NoticeAlert, pseudonym: impl Fn(&str) -> String) {
    if alert.labels.get("kind").is_none_or(|kind| kind != KIND_USER) {
        return;
    }
    let Some(subject) = alert.labels.get_mut("subject") else { return };
    let hidden = pseudonym(subject);
    let name = std::mem::replace(subject, hidden.clone());
    if let Some(description) = alert.annotations.get_mut("description") {
        *description = description.replacen(&format!(" {name} "), &format!(" {hidden} "), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NoticeStatus, Severity, Timestamp};

    #[test]
    fn a_disguised_alert_does_not_name_its_user() {
        let mut alert = NoticeAlert {
            event: "evt_1".into(),
            status: NoticeStatus::Firing,
            severity: Severity::Info,
            labels: [("kind", "user"), ("subject", "of"), ("target", "home")]
                .map(|(k, v)| (k.into(), v.into()))
                .into(),
            annotations: [("description".into(), "User of of home expires in 2d.".into())].into(),
            starts_at: Timestamp::default(),
            ends_at: None,
        };
        disguise(&mut alert, |name| format!("<{}>", name.len()));
        assert_eq!(alert.labels["subject"], "<2>");
        assert_eq!(alert.annotations["description"], "User <2> of home expires in 2d.");
        let before = alert.clone();
        alert.labels.insert("kind".into(), "node".into());
        disguise(&mut alert, |_| unreachable!());
        assert_eq!(alert.annotations, before.annotations);
    }
}

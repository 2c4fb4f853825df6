use crate::model::{KIND_USER, Notice, NoticeAlert};

/// Gives what notices call a user in place of the name.
pub type Pseudonym = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Takes users' names out of a notice: out of its alerts, and out of what it is grouped by.
pub(super) fn disguise(notice: &mut Notice, pseudonym: impl Fn(&str) -> String) {
    if let Some(subject) = notice.group_labels.get_mut("subject")
        && notice.alerts.iter().any(|alert| is_of_user(alert) && alert.labels.get("subject") == Some(subject))
    {
        let hidden = pseudonym(subject);
        notice.group = notice.group.replace(&format!("subject={subject:?}"), &format!("subject={hidden:?}"));
        *subject = hidden;
    }
    for alert in notice.alerts.iter_mut().filter(|alert| is_of_user(alert)) {
        let Some(subject) = alert.labels.get_mut("subject") else { continue };
        let hidden = pseudonym(subject);
        let name = std::mem::replace(subject, hidden.clone());
        if let Some(description) = alert.annotations.get_mut("description") {
            *description = description.replacen(&format!(" {name} "), &format!(" {hidden} "), 1);
        }
    }
}

fn is_of_user(alert: &NoticeAlert) -> bool {
    alert.labels.get("kind").is_some_and(|kind| kind == KIND_USER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NoticeStatus, Severity, Timestamp};

    fn notice(kind: &str, name: &str) -> Notice {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Notice {
            id: "msg_1".into(),
            receiver: "ops".into(),
            group: format!("{{}}:{{alertname=\"A\", subject={name:?}}}"),
            group_labels: labels(&[("alertname", "A"), ("subject", name)]),
            reason: "first notification".into(),
            alerts: vec![NoticeAlert {
                event: "evt_1".into(),
                status: NoticeStatus::Firing,
                severity: Severity::Info,
                labels: labels(&[("kind", kind), ("subject", name), ("target", "home")]),
                annotations: labels(&[("description", &format!("User {name} of home expires in 2d."))]),
                starts_at: Timestamp::default(),
                ends_at: None,
            }],
            covers: Vec::new(),
            created_at: Timestamp::default(),
        }
    }

    #[test]
    fn a_disguised_notice_names_no_user_anywhere() {
        for name in ["canary", "can\"ary\n", "canary of home"] {
            let mut notice = notice("user", name);
            disguise(&mut notice, |name| format!("<{}>", name.len()));
            let text = serde_json::to_string(&notice).unwrap();
            assert!(!text.contains("can"), "{text}");
            assert_eq!(notice.alerts[0].labels["subject"], notice.group_labels["subject"]);
        }
    }

    #[test]
    fn what_is_no_user_keeps_its_name() {
        let mut node = notice("node", "canary");
        disguise(&mut node, |_| unreachable!());
        assert_eq!(node, notice("node", "canary"));
    }
}

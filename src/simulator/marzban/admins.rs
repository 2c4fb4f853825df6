//! Admins as Marzban shows them.

use serde::Serialize;
use serde_json::json;

use super::options::Flavour;
use super::state::Admin;

#[derive(Serialize)]
pub(super) struct AdminView<'a> {
    username: &'a str,
    is_sudo: bool,
    telegram_id: Option<i64>,
    discord_webhook: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users_usage: Option<u64>,
}

impl<'a> AdminView<'a> {
    pub(super) fn of(flavour: Flavour, admin: &'a Admin) -> AdminView<'a> {
        AdminView {
            username: &admin.username,
            is_sudo: admin.is_sudo,
            telegram_id: admin.telegram_id,
            discord_webhook: admin.discord_webhook,
            users_usage: (flavour == Flavour::Marzban).then_some(admin.users_usage),
        }
    }
}

/// An admin as its users' rows show it.
pub(super) fn owner_json(flavour: Flavour, admin: &Admin) -> String {
    let json = match flavour {
        Flavour::PasarGuard => serde_json::to_string(&json!({ "username": admin.username })),
        Flavour::Marzban | Flavour::Marzban07 => serde_json::to_string(&AdminView::of(flavour, admin)),
    };
    json.unwrap_or_else(|_| "null".to_owned())
}

//! Finds out which system answers at an address: by requests that need no login, and that no system counts as a refused
//! one.

use std::time::Duration;

use super::json::{self, Object, OddFields};
use crate::http::{Client, Error, Limits, Reply, options::PanelUrl};

/// A login page is the longest answer.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(20), body: 64 * 1024 };

/// The systems that have a client of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Marzban or PasarGuard.
    Marzban,
    /// The x-ui family.
    Xui,
    Cliproxy,
}

impl Kind {
    /// In the order in which to ask: the surest answer first.
    pub const ALL: [Kind; 3] = [Kind::Marzban, Kind::Cliproxy, Kind::Xui];

    /// The word for it in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Marzban => "marzban",
            Kind::Xui => "xui",
            Kind::Cliproxy => "cliproxy",
        }
    }

    /// Whether it is the one that answers at `url`. `http` is a client for that address.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn is_at(self, http: &Client, url: &PanelUrl) -> Result<bool, Error> {
        let get = async |path: &str| {
            // Panels redirect a browser where they answer a script.
            let request = http.get(url.join(path)).header("x-requested-with", "XMLHttpRequest");
            http.send(request, LIMITS).await
        };
        Ok(match self {
            Kind::Marzban => demands_login(&get("/api/system").await?),
            Kind::Cliproxy => has_banner(&get("/").await?),
            Kind::Xui => has_csrf_token(&get("/csrf-token").await?) || is_login_page(&get("/").await?),
        })
    }
}

/// As Marzban and PasarGuard refuse a request without a token, each in words of its own.
fn demands_login(reply: &Reply) -> bool {
    let words = ["Not authenticated", "Could not validate credentials"];
    reply.status == 401 && text(reply, "detail").is_some_and(|text| words.contains(&&*text))
}

fn has_banner(reply: &Reply) -> bool {
    reply.status == 200 && text(reply, "message").is_some_and(|text| text.starts_with("CLI Proxy API"))
}

/// As 3x-ui answers from 3.0 on.
fn has_csrf_token(reply: &Reply) -> bool {
    reply.status == 200 && text(reply, "obj").is_some()
}

/// The login pages up to 2.9 load the same library, and the later ones have variables of their own.
fn is_login_page(reply: &Reply) -> bool {
    let page = String::from_utf8_lossy(&reply.body);
    reply.status == 200 && ["ant-design-vue", "X_UI_BASE_PATH"].iter().any(|sign| page.contains(sign))
}

/// A text of a JSON object.
fn text(reply: &Reply, key: &'static str) -> Option<String> {
    let raw = json::from_bytes(reply.body.clone()).ok()?;
    Object::new("answer", &raw, &OddFields::default())?.text(key)
}

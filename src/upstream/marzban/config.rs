//! stub
use crate::{
    http::options::{PanelUrl, TlsOptions},
    secret::Secret,
};
#[derive(Clone)]
pub struct MarzbanConfig {
    pub url: PanelUrl,
    pub login: Login,
    pub tls: TlsOptions,
    pub node_traffic_of: Vec<String>,
}
#[derive(Clone)]
pub enum Login {
    Password { username: String, password: Secret },
    ApiKey(Secret),
}
impl std::fmt::Debug for MarzbanConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cfg")
    }
}

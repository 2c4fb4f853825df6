//! stub
use std::path::PathBuf;
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    pub pin_sha256: Option<[u8; 32]>,
    pub ca_file: Option<PathBuf>,
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub insecure_skip_verify: bool,
}
#[derive(Clone)]
pub struct PanelUrl(pub String);
impl PanelUrl {
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
    pub fn origin(&self) -> String {
        self.0.clone()
    }
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https")
    }
}

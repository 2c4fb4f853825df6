//! The running exporter: where it is, what it wants to be shown, and what it answers.

use std::{error::Error, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cli::{
        healthcheck::find,
        source::{ConfigFile, env},
    },
    config::{Config, parse_listen},
    file,
    http::{
        Client, Limits, Reply,
        options::{Endpoint, PanelUrl, TlsOptions},
    },
    model::words::turns_direction,
    secret::Secret,
};

/// The exporter waits for its disk for ten seconds.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(15), body: 32 * 1024 * 1024 };
/// Bytes of a file with a password or a token.
const LONGEST_SECRET: u64 = 4096;

/// How the exporter is reached. Without any of these, it is the one on this machine with this configuration.
#[derive(Debug, Args)]
#[command(next_help_heading = "The exporter")]
pub(super) struct Exporter {
    #[command(flatten)]
    config: ConfigFile,
    /// Address of the exporter on this machine. Default: the first address in the configuration.
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", value_parser = parse_listen, conflicts_with = "url")]
    listen: Option<SocketAddr>,
    /// URL of the exporter, if it is elsewhere.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// User name, if it wants one.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// File with the password of that user.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// File with a token. Default: bearer_token of the configuration, if it is on this machine.
    #[arg(long, value_name = "FILE", conflicts_with = "username")]
    bearer_token_file: Option<PathBuf>,
    /// Certificate authorities to trust instead of the system's, for --url.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// Certificate to show, if it wants one.
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    client_cert_file: Option<PathBuf>,
    /// Key of that certificate.
    #[arg(long, value_name = "FILE", requires = "client_cert_file")]
    client_key_file: Option<PathBuf>,
    /// Trusts any certificate, for --url.
    #[arg(long, requires = "url")]
    insecure_skip_verify: bool,
}

/// What the exporter is asked.
pub(super) enum Asked {
    /// What was used, with these parameters of a URL.
    Usage(String),
    /// The silences.
    List,
    /// This JSON is a silence.
    Add(String),
    /// The silence with this id.
    Expire(String),
}

/// What a client has to show.
enum Login {
    Nothing,
    Password(String, Secret),
    Token(Secret),
}

/// An answer, or what it says is wrong.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    data: Value,
    #[serde(default)]
    error: String,
}

impl Exporter {
    /// The data of the answer.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub(super) async fn ask(&self, asked: Asked) -> Result<Value, Box<dyn Error>> {
        let url = self.address().await?;
        let tls = TlsOptions {
            ca_file: self.ca_file.clone(),
            client_cert_file: self.client_cert_file.clone(),
            client_key_file: self.client_key_file.clone(),
            // On this machine, the certificate is not checked: it is for the name that others use.
            insecure_skip_verify: self.insecure_skip_verify || self.url.is_none(),
            ..TlsOptions::default()
        };
        let origin = url.origin();
        let client = Client::new(&Endpoint { tls, ..Endpoint::from(url.clone()) })?;
        let request = match &asked {
            Asked::Usage(query) => client.get(url.join(&format!("/api/v1/usage?{query}"))),
            Asked::List => client.get(url.join("/api/v1/silences")),
            Asked::Add(body) => {
                let request = client.post(url.join("/api/v1/silences"));
                request.header("Content-Type", "application/json").body(body.clone())
            }
            Asked::Expire(id) => {
                let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
                if id.is_empty() || !id.chars().all(is_id) {
                    return Err("not an id of a silence; \"silence list\" prints them".into());
                }
                client.delete(url.join(&format!("/api/v1/silences/{id}")))
            }
        };
        let request = match self.login()? {
            Login::Nothing => request,
            Login::Password(name, password) => request.basic_auth(name, Some(password.expose())),
            Login::Token(token) => request.bearer_auth(token.expose()),
        };
        let reply = client.send(request, LIMITS).await.map_err(|err| format!("{origin}: {err}"))?;
        data(&reply).map_err(|why| format!("{origin}: {why}").into())
    }

    async fn address(&self) -> Result<PanelUrl, Box<dyn Error>> {
        if let Some(url) = &self.url {
            return PanelUrl::parse(url).map_err(|err| format!("--url: {err}").into());
        }
        let (address, tls) = find(|| self.config.source(), self.listen).await?;
        let scheme = if tls { "https" } else { "http" };
        Ok(PanelUrl::parse(&format!("{scheme}://{address}"))?)
    }

    fn login(&self) -> Result<Login, String> {
        let read = |path: &PathBuf| {
            let text =
                file::read(path, LONGEST_SECRET).map_err(|err| format!("{}: {err}", path.display()))?;
            let text = String::from_utf8(text).map_err(|_| format!("{}: not a text", path.display()))?;
            Ok::<_, String>(Secret::from(text.trim_end_matches(['\r', '\n']).to_owned()))
        };
        match (&self.username, &self.password_file, &self.bearer_token_file) {
            (Some(name), Some(file), _) => Ok(Login::Password(name.clone(), read(file)?)),
            (_, _, Some(file)) => Ok(Login::Token(read(file)?)),
            // It is for this machine's exporter alone.
            _ if self.url.is_none() => {
                let source = self.config.source().ok();
                let token = source.and_then(|source| Config::load_own_token(&source, &env));
                Ok(token.map_or(Login::Nothing, Login::Token))
            }
            _ => Ok(Login::Nothing),
        }
    }
}

/// What an answer has, or why it is a refusal.
fn data(reply: &Reply) -> Result<Value, String> {
    let said: Option<Said> = serde_json::from_slice(&reply.body).ok();
    match (reply.status, said) {
        (200, Some(said)) => Ok(said.data),
        (401, _) => {
            Err("it wants a login: write --username and --password-file, or --bearer-token-file".to_owned())
        }
        (_, Some(Said { error, .. })) if !error.is_empty() => Err(error),
        (404, _) => Err("it has no such path; is it an older version?".to_owned()),
        (status, _) => {
            let text = String::from_utf8_lossy(&reply.body);
            let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
            Err(format!("it answered {status}: {}", plain(&line)))
        }
    }
}

/// Rows of cells as lines of columns; `right` are the columns of numbers.
pub(super) fn columns<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(at, (cell, width))| match right.contains(&at) {
            true => format!("{cell:>width$}"),
            false => format!("{cell:width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// What others wrote, without characters that would move the cursor or turn the direction of writing.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || turns_direction(c) { '\u{fffd}' } else { c }).collect()
}

//! Which system is at an address, and how to log in to it.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum, builder::PossibleValue};

use super::{
    dialog::{Dialog, say},
    draft::{Draft, Table},
    existing::Existing,
    secret::secret,
};
use crate::{
    http::{
        Client,
        options::{Endpoint, parse_sha256},
    },
    upstream::detect::Kind,
};

#[derive(Debug, Args)]
pub(super) struct PanelFlags {
    /// Address of the panel or LLM proxy, as in a browser, with its base path.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Which system it is: marzban (or PasarGuard), xui (the x-ui family) or cliproxy. Default: found out.
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// Name of the target in metrics and notifications. Default: home, and llm for CLIProxyAPI.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Name of an admin of the panel.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// File with the admin's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with the secret of two-factor authentication (x-ui family).
    #[arg(long, value_name = "FILE", requires = "username")]
    totp_secret_file: Option<PathBuf>,
    /// File with the login secret that 3x-ui 1.2.7 to 2.5 can demand beside the password.
    #[arg(long, value_name = "FILE", requires = "username")]
    login_secret_file: Option<PathBuf>,
    /// File with the API token of 3x-ui, the API key of PasarGuard, or the management key of CLIProxyAPI.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["username", "totp_secret_file", "login_secret_file"])]
    token_file: Option<PathBuf>,
    /// SHA-256 of the certificate to trust, such as a self-signed one: 64 hex digits, with or without colons.
    #[arg(long, value_name = "SHA256", value_parser = pin)]
    pin: Option<String>,
}

fn pin(text: &str) -> Result<String, &'static str> {
    let is_one = parse_sha256(text).is_some();
    is_one
        .then(|| text.to_owned())
        .ok_or("write 64 hex digits, as openssl x509 -noout -fingerprint -sha256 prints")
}

/// By the words that head their tables.
impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        &[Kind::Marzban, Kind::Xui, Kind::Cliproxy]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.word()).help(name_of(*self)))
    }
}

/// Its name in a sentence.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Marzban => "Marzban or PasarGuard",
        Kind::Xui => "A panel of the x-ui family",
        Kind::Cliproxy => "CLIProxyAPI",
    }
}

/// The table of a panel, without a login.
fn table(kind: Kind, name: &str, url: &str, pin: Option<&str>) -> Table {
    Table::new(kind.word(), name).with_text("url", url).with_pin(pin.map(str::to_owned))
}

/// Reads what is known before the login. Errors are those of the address or the name.
fn endpoint(kind: Kind, name: &str, url: &str, pin: Option<&str>) -> Result<Endpoint, String> {
    let any_login = match kind {
        Kind::Marzban => "api_key",
        Kind::Xui => "token",
        Kind::Cliproxy => "management_key",
    };
    let table = table(kind, name, url, pin).with_text(any_login, "any");
    let draft = Draft::new("init".as_ref(), None, table);
    // A variable may hold the login itself, which is another one.
    let config = draft.config(&|_| None).map_err(|errors| errors.first().to_owned())?;
    let target = config.targets.first().ok_or("there is no target")?;
    Ok(target.endpoint().clone())
}

/// A system that answers.
pub(super) struct Found {
    kind: Kind,
    /// As the configuration has it. The path may be a secret.
    url: String,
    origin: String,
    pin: Option<String>,
}

impl Found {
    /// Scheme, host and port.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Its table under a name, without a login.
    fn table(&self, name: &str) -> Table {
        table(self.kind, name, &self.url, self.pin.as_deref())
    }
}

/// Finds out what is at the address.
pub(super) async fn find(flags: &PanelFlags, dialog: &Dialog) -> Result<Found, Box<dyn Error>> {
    loop {
        let url = match &flags.url {
            Some(url) => url.clone(),
            None => {
                let question = "Address of the panel or LLM proxy, as in a browser, with its base path";
                dialog.text(question, None, "--url").await?
            }
        };
        match locate(flags, &url, dialog).await {
            Err(why) if dialog.asks() && flags.url.is_none() => say(why)?,
            found => return found,
        }
    }
}

async fn locate(flags: &PanelFlags, url: &str, dialog: &Dialog) -> Result<Found, Box<dyn Error>> {
    let mut pin = flags.pin.clone();
    let is_possible = |kind: &Kind| flags.kind.is_none_or(|wanted| wanted == *kind);
    let mut kinds = Kind::ALL.into_iter().filter(is_possible).peekable();
    let mut nowhere = String::new();
    while let Some(kind) = kinds.peek().copied() {
        let endpoint = endpoint(kind, "init", url, pin.as_deref())?;
        let origin = endpoint.url.origin();
        let http = Client::new(&endpoint)?;
        let is_it = kind.is_at(&http, &endpoint.url).await;
        match (is_it, http.distrusted()) {
            // Of a system that was named, this was to find out whether its certificate is trusted.
            (Ok(is_it), _) if is_it || flags.kind.is_some() => {
                return Ok(Found { kind, url: endpoint.url.expose(), origin, pin });
            }
            (Ok(_), _) => {
                nowhere = format!(
                    "{origin}: no system that is known here answers at this address; check the URL and its base path, or \
                     name the system with --kind"
                );
                kinds.next();
            }
            (Err(why), Some(presented)) if dialog.asks() && flags.pin.is_none() && pin.is_none() => {
                say(format_args!("{origin}: {why}"))?;
                say(format_args!(
                    "The certificate has this SHA-256 fingerprint:\n  {presented}\n\
                     On the panel's host: openssl x509 -in cert.pem -noout -fingerprint -sha256"
                ))?;
                if !dialog.agrees("Trust this certificate, and no other", false).await? {
                    return Err("the certificate is not trusted, so nothing was sent".into());
                }
                pin = Some(presented);
            }
            (Err(why), Some(presented)) => {
                return Err(format!("{origin}: {why}; here, that is --pin={presented}").into());
            }
            (Err(why), None) => return Err(format!("{origin}: {why}").into()),
        }
    }
    Err(nowhere.into())
}

/// Asks for a name that the file has no target of yet. Returns the table of the panel, without a login.
pub(super) async fn name(
    flags: &PanelFlags,
    found: &Found,
    existing: Option<&Existing>,
    dialog: &Dialog,
) -> Result<Table, Box<dyn Error>> {
    let Found { kind, url, origin, pin } = found;
    let is_taken = |name: &str| existing.is_some_and(|existing| existing.has_target(name));
    let usual = if *kind == Kind::Cliproxy { "llm" } else { "home" };
    let default = (!is_taken(usual)).then_some(usual);
    say(format_args!("{} answers at {origin}.", name_of(*kind)))?;
    loop {
        let name = match &flags.name {
            Some(name) => name.clone(),
            None => dialog.text("Name of it in metrics and notifications", default, "--name").await?,
        };
        let refusal = match endpoint(*kind, &name, url, pin.as_deref()) {
            Ok(_) if is_taken(&name) => format!("the file has a target {name} already; choose another name"),
            Ok(_) => return Ok(found.table(&name)),
            Err(why) => why,
        };
        if !dialog.asks() || flags.name.is_some() {
            return Err(format!("--name: {refusal}").into());
        }
        say(refusal)?;
    }
}

/// Asks how to log in. `table` is that of the panel, and gets the login.
pub(super) async fn log_in(
    flags: &PanelFlags,
    found: &Found,
    table: Table,
    dialog: &Dialog,
) -> Result<Table, Box<dyn Error>> {
    let login = Login { flags, dialog };
    match found.kind {
        Kind::Marzban => login.of_marzban(table).await,
        Kind::Xui => login.of_xui(table).await,
        Kind::Cliproxy => {
            let question = "Management key (remote-management.secret-key)";
            let table = login.token(table, "management_key", question).await?;
            Ok(table.with_hints(&[
                "Servers from 6.10.8 on hand each record of usage out once. To take them, if nothing else does:",
                "usage = \"queue\"",
            ]))
        }
    }
}

/// Secrets that only some panels demand, with their flags and questions.
const DEMANDED: [(&str, &str, &str); 2] = [
    (TOTP_SECRET, "--totp-secret-file", "Secret of two-factor authentication"),
    (LOGIN_SECRET, "--login-secret-file", "Login secret of the panel, which is demanded beside the password"),
];
const TOTP_SECRET: &str = "totp_secret";
const LOGIN_SECRET: &str = "login_secret";

/// Asks for another login after that of `table` was of no use. Without someone to ask, `why` is the error.
pub(super) async fn log_in_again(
    flags: &PanelFlags,
    found: &Found,
    table: &Table,
    why: &str,
    dialog: &Dialog,
) -> Result<Table, Box<dyn Error>> {
    let lacks = |(key, ..): &&(&str, _, _)| why.contains(&format!("{key}, which is missing"));
    let demanded = DEMANDED.iter().find(lacks);
    if !dialog.asks() || demanded.is_none() && !table.has_typed() {
        let flag = demanded.map(|(_, flag, _)| format!("; here, that is {flag}")).unwrap_or_default();
        return Err(format!("{why}{flag}; nothing was written").into());
    }
    say(why)?;
    let login = Login { flags, dialog };
    if let Some((key, flag, question)) = demanded {
        return login.needed(table.clone(), key, None, flag, question).await;
    }
    if !dialog.agrees("Try another login", true).await? {
        return Err("nothing was written".into());
    }
    log_in(flags, found, found.table(&table.name), dialog).await
}

struct Login<'a> {
    flags: &'a PanelFlags,
    dialog: &'a Dialog,
}

const WAYS: &str = "--username with --password-file, or --token-file,";

impl Login<'_> {
    async fn of_marzban(&self, table: Table) -> Result<Table, Box<dyn Error>> {
        let question = "User name of an admin (empty: an API key of PasarGuard 5.1 and later)";
        match self.username(&table, "api_key", question).await? {
            Some(username) => self.password(table, username).await,
            None => self.token(table, "api_key", "API key").await,
        }
    }

    async fn of_xui(&self, table: Table) -> Result<Table, Box<dyn Error>> {
        let question =
            "User name of the admin (empty: an API token of 3x-ui 3.0 and later, which needs no login)";
        let Some(username) = self.username(&table, "token", question).await? else {
            return self.token(table, "token", "API token").await;
        };
        let mut table = self.password(table, username).await?;
        let question = "Secret of two-factor authentication (empty: it is off)";
        // Old panels alone know the other one, and say so if they want it.
        let silent = Dialog::new(false);
        for (dialog, key, file) in [
            (self.dialog, TOTP_SECRET, &self.flags.totp_secret_file),
            (&silent, LOGIN_SECRET, &self.flags.login_secret_file),
        ] {
            if let Some(value) = secret(dialog, &table, key, file.as_deref(), None, question).await? {
                table = table.with(key, value);
            }
        }
        Ok(table)
    }

    /// The name to log in with; absent: the login is the secret of `token`.
    async fn username(
        &self,
        table: &Table,
        token: &str,
        question: &str,
    ) -> Result<Option<String>, Box<dyn Error>> {
        if self.flags.token_file.is_some() || env::var_os(table.variable(token)).is_some() {
            return Ok(None);
        }
        if let Some(username) = &self.flags.username {
            return Ok(Some(username.clone()));
        }
        let default = self.dialog.asks().then_some("");
        Ok(Some(self.dialog.text(question, default, WAYS).await?).filter(|name| !name.is_empty()))
    }

    async fn password(&self, table: Table, username: String) -> Result<Table, Box<dyn Error>> {
        let (table, file) = (table.with_text("username", username), self.flags.password_file.as_deref());
        self.needed(table, "password", file, "--password-file", "Password").await
    }

    async fn token(&self, table: Table, key: &'static str, question: &str) -> Result<Table, Box<dyn Error>> {
        self.needed(table, key, self.flags.token_file.as_deref(), "--token-file", question).await
    }

    async fn needed(
        &self,
        table: Table,
        key: &'static str,
        file: Option<&Path>,
        flag: &'static str,
        question: &str,
    ) -> Result<Table, Box<dyn Error>> {
        match secret(self.dialog, &table, key, file, Some(flag), question).await? {
            Some(value) => Ok(table.with(key, value)),
            None => Err(format!("the {key} is empty, so nothing was sent").into()),
        }
    }
}

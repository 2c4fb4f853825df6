//! Sends notifications by mail: `send_mail PORT CA_FILE NOTICES`.
//!
//! The server is on this machine and requires STARTTLS and a login: `meter` with the password in `MAIL_PASSWORD`.
//! `NOTICES` is a JSON file with an array of them. Each one is sent over a separate connection.

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use proxymeter::{
    http::options::TlsOptions,
    model::{Moment, Notice},
    notify::{
        Receiver,
        email::{
            Email,
            config::{EmailConfig, ReceiverConfig, SmtpLogin, SmtpMechanism, SmtpTls},
        },
    },
    secret::Secret,
    wording::{Language, Voice},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let mut argument = || arguments.next().ok_or("usage: send_mail PORT CA_FILE NOTICES");
    let port = argument()?.to_string_lossy().parse()?;
    let ca_file = PathBuf::from(argument()?);
    let notices: Vec<Arc<Notice>> = serde_json::from_slice(&std::fs::read(argument()?)?)?;

    let config = EmailConfig {
        host: "127.0.0.1".to_owned(),
        port,
        tls: SmtpTls::StartTls,
        allow_cleartext: false,
        certificates: TlsOptions { ca_file: Some(ca_file), ..TlsOptions::default() },
        from: "Счётчик <meter@example.com>".to_owned(),
        to: vec!["值班 <duty@example.com>".to_owned(), "ops@example.net".to_owned()],
        login: Some(SmtpLogin {
            username: "meter".to_owned(),
            password: Secret::from(std::env::var("MAIL_PASSWORD")?),
            mechanism: SmtpMechanism::Auto,
        }),
        hello: None,
        timeout: Duration::from_secs(30),
        common: ReceiverConfig::default(),
    };
    let email = Email::new(&config, Voice::new(Language::En, TimeZone::UTC, ""))?;
    let mut receiver = Receiver::Email(Box::new(email));
    for notice in notices {
        let id = notice.id.clone();
        let said = receiver.send(notice, &mut Vec::new(), Moment::default()).await?;
        eprintln!("{id}: {said}");
    }
    Ok(())
}

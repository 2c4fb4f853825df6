//! The dialogue about a mail server, and about ntfy.

use proxymeter::simulator::inbox::Service;

use super::*;
use crate::common::{
    chats::{Fake, options},
    mailbox::Mailbox,
};

/// A dialogue up to the question where alerts are sent.
fn up_to_the_receiver(folder: &TempDir) -> Terminal {
    let (_, address) = marzban(marzban::Options::default());
    let url = format!("--url=http://{address}");
    let mut terminal = Terminal::start(folder.path(), &["init", &url, "--name=home", "--username=root"]);
    terminal.type_hidden("Password", "root-password");
    terminal.expect("Where should alerts be sent");
    terminal
}

/// The configuration, once the receiver has said that it took the test.
fn accepted(mut terminal: Terminal, folder: &TempDir) -> String {
    terminal.answer("Send a test notification [Y/n]", "");
    terminal.expect("receiver me accepted it");
    terminal.expect("Wrote exporter.toml.");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_none("the terminal", &shown);
    written(folder)
}

#[test]
fn mail_is_tried_from_the_terminal() {
    let mailbox = Mailbox::with(|| {}, || {});
    let folder = folder();
    let mut terminal = up_to_the_receiver(&folder);
    let questions = |terminal: &mut Terminal, tls: &str| {
        terminal.answer("", "email");
        terminal.answer("Mail server and port", &mailbox.address.to_string());
        terminal.answer("Encryption", tls);
        terminal.answer("From, such as", "proxymeter <alerts@example.com>");
        terminal.answer("To: ", "ops@example.com");
        // Without a name, there is no password to ask for.
        terminal.answer("User name at the mail server", "");
    };
    questions(&mut terminal, "rot13");
    terminal.expect("email.me.tls");
    // The configuration would not accept it, so it cannot be kept.
    terminal.answer("Try again, or leave it out [again]", "");
    terminal.expect("Where should alerts be sent");
    questions(&mut terminal, "none");
    let text = accepted(terminal, &folder);
    assert!(
        text.contains(&format!("[email.me]\nsmarthost = \"{}\"\ntls = \"none\"\n", mailbox.address)),
        "{text}"
    );
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].header("to").as_deref(), Some("ops@example.com"));
}

#[test]
fn ntfy_is_tried_from_the_terminal() {
    let mut ntfy = Fake::live(Service::Ntfy);
    let folder = folder();
    let mut terminal = up_to_the_receiver(&folder);
    terminal.answer("", "ntfy");
    terminal.type_hidden("Topic", &canary("topic"));
    terminal.answer("Address of the server", &format!("http://{}", ntfy.address));
    terminal.type_hidden("Access token", &options(Service::Ntfy).token);
    let text = accepted(terminal, &folder);
    assert!(
        text.contains(&format!(
            "[ntfy.me]\ntopic_file = \"secrets/ntfy-me.topic\"\nurl = \"http://{}\"\n\
             bearer_token_file = \"secrets/ntfy-me.bearer_token\"\n",
            ntfy.address
        )),
        "{text}"
    );
    let taken = ntfy.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].to, canary("topic"));
    for secret in ["topic", "bearer_token"] {
        assert_eq!(mode(&folder.path().join(format!("secrets/ntfy-me.{secret}"))), 0o600);
    }
}

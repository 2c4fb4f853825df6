//! A mail server that notes what came before it answers.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};

use proxymeter::simulator::inbox::Arrival;

use crate::common::{hook::Event, listener::Listener};

pub(crate) struct Mailbox {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Vec<Arrival>>>,
    _listener: Listener,
}

impl Mailbox {
    /// `read` is called once a mail has come to its end; `answered` once it is said to be taken.
    pub(crate) fn with(
        read: impl Fn() + Send + Sync + 'static,
        answered: impl Fn() + Send + Sync + 'static,
    ) -> Mailbox {
        let mails: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let noted = Arc::clone(&mails);
        let listener = Listener::start(move |stream| {
            let take = |message| {
                noted.lock().unwrap().push(Arrival::Mail { to: Vec::new(), message });
                read();
            };
            // A daemon that is killed in the middle hangs up, and has sent nothing.
            drop(talk(&stream, take, &answered));
        });
        Mailbox { address: listener.address, mails, _listener: listener }
    }

    pub(crate) fn mails(&self) -> Vec<Arrival> {
        self.mails.lock().unwrap().clone()
    }

    /// The Message-IDs under which each event came, one for each copy.
    pub(crate) fn events(&self) -> BTreeMap<Event, Vec<String>> {
        let mut events: BTreeMap<Event, Vec<String>> = BTreeMap::new();
        for mail in self.mails() {
            let id = mail.header("message-id").unwrap();
            for event in told(&mail.text()) {
                events.entry(event).or_default().push(id.clone());
            }
        }
        events
    }
}

/// What a mail about users whose plan ends tells.
fn told(text: &str) -> Vec<Event> {
    let (mut events, mut status) = (Vec::new(), "");
    for line in text.lines() {
        match line {
            "New" | "Still firing" => status = "firing",
            "Resolved" => status = "resolved",
            _ => {}
        }
        if let Some(sentence) = line.strip_prefix("* User ") {
            events.push(Event {
                status: status.into(),
                alertname: "ProxymeterUserExpiry".into(),
                target: "home".into(),
                subject: sentence.split(' ').next().unwrap().into(),
                step: "expired".into(),
                starts_at: String::new(),
            });
        }
    }
    events
}

fn talk(mut stream: &TcpStream, take: impl Fn(String), answered: impl Fn()) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    stream.write_all(b"220 ready\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        let answer: &[u8] = match line.split(' ').next().unwrap() {
            "QUIT" => return stream.write_all(b"221 bye\r\n"),
            "DATA" => b"354 go on\r\n",
            _ => b"250 fine\r\n",
        };
        stream.write_all(answer)?;
        if line == "DATA" {
            let mut message = String::new();
            loop {
                let Some(line) = lines.next().transpose()? else { return Ok(()) };
                if line == "." {
                    break;
                }
                message += line.strip_prefix('.').unwrap_or(&line);
                message += "\r\n";
            }
            take(message);
            stream.write_all(b"250 taken\r\n")?;
            answered();
        }
    }
    Ok(())
}

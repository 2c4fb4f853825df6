//! A mail server that does as it is told and remembers what it heard.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What the server does in place of what a good one would.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Says this, line ends included.
    Say(String),
    /// Says nothing, and keeps the connection.
    Silence,
    /// Says this, a byte every 50 ms.
    Trickle(&'static str),
    /// Closes the connection.
    HangUp,
    /// Says this, and closes the connection.
    SayAndHangUp(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    StartTls,
    Implicit,
}

/// One connection, as the server saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visit {
    /// The lines said outside messages, and whether they came encrypted.
    pub(crate) lines: Vec<(String, bool)>,
    /// Messages that ended in a final dot, as sent and with the stuffed dots taken out.
    pub(crate) mails: Vec<String>,
}

impl Visit {
    /// What was said, without whether it was encrypted.
    pub(crate) fn said(&self) -> Vec<&str> {
        self.lines.iter().map(|(line, _)| line.as_str()).collect()
    }
}

pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    /// The certificate to trust.
    pub(crate) ca_file: PathBuf,
    state: Arc<State>,
    _folder: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

struct State {
    encryption: Encryption,
    script: Mutex<VecDeque<(&'static str, Answer)>>,
    visits: Mutex<Vec<Visit>>,
}

impl MailServer {
    pub(crate) async fn start(encryption: Encryption) -> Self {
        Self::acting(encryption, &[]).await
    }

    /// Says these lines where `script` has them; see [`MailServer::acting`].
    pub(crate) async fn scripted(encryption: Encryption, script: &[(&'static str, &'static str)]) -> Self {
        let say =
            |(line, answer): &(&'static str, &'static str)| (*line, Answer::Say(format!("{answer}\r\n")));
        Self::acting(encryption, &script.iter().map(say).collect::<Vec<_>>()).await
    }

    /// `script` says how to answer the next line that begins so, or if it is "", the next empty one. Three lines are
    /// not the client's: `GREETING`, `END` (of a message) and `HANDSHAKE`. Each entry is used once, those that fit the
    /// same line in their order.
    pub(crate) async fn acting(encryption: Encryption, script: &[(&'static str, Answer)]) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let acceptor = acceptor(made.cert.der().clone(), key);

        let state = Arc::new(State {
            encryption,
            script: Mutex::new(script.iter().cloned().collect()),
            visits: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let serving = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let visit = {
                    let mut visits = serving.visits.lock().unwrap();
                    visits.push(Visit::default());
                    visits.len() - 1
                };
                let talk = Talk { state: Arc::clone(&serving), visit, secure: false };
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // A client that hangs up is its own affair.
                    drop(talk.serve(stream, acceptor).await);
                });
            }
        });
        MailServer { address, ca_file, state, _folder: folder, _tasks: tasks }
    }

    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.state.visits.lock().unwrap().clone()
    }

    /// Every message that was taken whole, in the order they came.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.visits().into_iter().flat_map(|visit| visit.mails).collect()
    }

    /// Every line said, in order, of all visits.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.visits().into_iter().flat_map(|visit| visit.lines).map(|(line, _)| line).collect()
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

struct Talk {
    state: Arc<State>,
    visit: usize,
    secure: bool,
}

/// How an answer leaves the dialogue.
#[derive(PartialEq, Eq)]
enum After {
    Fine,
    Refused,
    HungUp,
}

impl Talk {
    async fn serve(mut self, stream: tokio::net::TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
        if self.state.encryption == Encryption::Implicit {
            let mut stream = self.handshake(stream, &acceptor).await?;
            return self.greet_and_talk(&mut stream).await;
        }
        let mut stream = BufReader::new(stream);
        self.greet_and_talk(&mut stream).await?;
        if self.state.encryption == Encryption::StartTls {
            let mut stream = self.handshake(stream.into_inner(), &acceptor).await?;
            self.talk(&mut stream).await?;
        }
        Ok(())
    }

    async fn handshake(
        &mut self,
        stream: tokio::net::TcpStream,
        acceptor: &TlsAcceptor,
    ) -> std::io::Result<BufReader<tokio_rustls::server::TlsStream<tokio::net::TcpStream>>> {
        if let Some(Answer::Silence) = self.scripted("HANDSHAKE") {
            std::future::pending::<()>().await;
        }
        let stream = acceptor.accept(stream).await?;
        self.secure = true;
        Ok(BufReader::new(stream))
    }

    async fn greet_and_talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
    ) -> std::io::Result<()> {
        match self.answer(stream, "GREETING", "220 mail.example.com ESMTP").await? {
            After::HungUp => Err(std::io::ErrorKind::ConnectionAborted.into()),
            After::Fine | After::Refused => self.talk(stream).await,
        }
    }

    /// Talks until the client says STARTTLS. An error is the end.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
    ) -> std::io::Result<()> {
        let ended = || std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
        let mut line = String::new();
        let mut asked_for_password = false;
        let mut sender_stands = false;
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Err(ended());
            }
            let said = line.trim_end_matches("\r\n").to_owned();
            self.note(|visit, secure| visit.lines.push((said.clone(), secure)));
            let usual = match said.split(' ').next().unwrap() {
                "EHLO" if self.state.encryption == Encryption::StartTls && !self.secure => {
                    "250-mail.example.com\r\n250-8BITMIME\r\n250-STARTTLS\r\n250 ENHANCEDSTATUSCODES"
                }
                "EHLO" => "250-mail.example.com\r\n250-8BITMIME\r\n250 AUTH CRAM-MD5 XOAUTH2 LOGIN PLAIN",
                "STARTTLS" => "220 2.0.0 go ahead",
                "AUTH" if said == "AUTH LOGIN" => "334 VXNlcm5hbWU6",
                "AUTH" if said.split(' ').count() == 2 => "334 ",
                "AUTH" => "235 2.7.0 welcome",
                "MAIL" if sender_stands => "503 5.5.1 there is a sender already",
                "MAIL" => "250 2.1.0 Ok",
                "RSET" => "250 2.0.0 Ok",
                "RCPT" => "250 2.1.5 Ok",
                "DATA" => "354 go on",
                "QUIT" => "221 2.0.0 bye",
                _ if !asked_for_password && self.lines_begin("AUTH LOGIN") => {
                    asked_for_password = true;
                    "334 UGFzc3dvcmQ6"
                }
                _ => "235 2.7.0 welcome",
            };
            match (self.answer(stream, &said, usual).await?, said.as_str()) {
                (After::HungUp, _) | (_, "QUIT") => return Err(ended()),
                (After::Fine, "STARTTLS") => return Ok(()),
                (After::Fine, "RSET") => sender_stands = false,
                (After::Fine, line) if line.starts_with("MAIL ") => sender_stands = true,
                (After::Fine, "DATA") => {
                    sender_stands = false;
                    let mail = read_mail(stream).await?;
                    self.note(|visit, _| visit.mails.push(mail));
                    if self.answer(stream, "END", "250 2.0.0 Ok: queued as 4F1B2").await? == After::HungUp {
                        return Err(ended());
                    }
                }
                _ => {}
            }
        }
    }

    async fn answer<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        said: &str,
        usual: &str,
    ) -> std::io::Result<After> {
        let answer = self.scripted(said).unwrap_or_else(|| Answer::Say(format!("{usual}\r\n")));
        match answer {
            Answer::Say(words) => {
                stream.write_all(words.as_bytes()).await?;
                stream.flush().await?;
                return Ok(if words.starts_with(['4', '5']) { After::Refused } else { After::Fine });
            }
            Answer::Silence => std::future::pending().await,
            Answer::Trickle(words) => {
                for byte in words.bytes() {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                std::future::pending::<()>().await;
            }
            Answer::HangUp => {}
            Answer::SayAndHangUp(words) => {
                stream.write_all(words.as_bytes()).await?;
                stream.flush().await?;
            }
        }
        Ok(After::HungUp)
    }

    fn scripted(&self, said: &str) -> Option<Answer> {
        let mut script = self.state.script.lock().unwrap();
        let found = script
            .iter()
            .position(|(line, _)| said == *line || !line.is_empty() && said.starts_with(line))?;
        script.remove(found).map(|(_, answer)| answer)
    }

    fn lines_begin(&self, start: &str) -> bool {
        let visits = self.state.visits.lock().unwrap();
        visits[self.visit].lines.iter().any(|(line, _)| line.starts_with(start))
    }

    fn note(&self, change: impl FnOnce(&mut Visit, bool)) {
        change(&mut self.state.visits.lock().unwrap()[self.visit], self.secure);
    }
}

/// Reads up to the final dot, strictly: a line ends with CRLF and holds neither elsewhere.
async fn read_mail<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut mail = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(String::from_utf8(mail).expect("mail is text"));
        }
        mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

//! Proof that a secret shows up nowhere: each secret of a test is a canary, and everything that is written down is
//! searched for canaries.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use tracing_subscriber::fmt::MakeWriter;

use super::receiver::Answer;

/// Every canary has this in it, and nothing else has.
pub(crate) const CANARY: &str = "c4naryb1rd";

/// A secret that can be found again, e.g. `c4naryb1rd-password`.
pub(crate) fn canary(of: &str) -> String {
    format!("{CANARY}-{of}")
}

/// # Panics
/// When a canary is in `text`; `whose` says what that is the text of.
pub(crate) fn assert_none(whose: &str, text: &str) {
    assert_none_of(&[CANARY], whose, text);
}

/// The same with secrets that are not of a test but of a simulated system.
pub(crate) fn assert_none_of(secrets: &[&str], whose: &str, text: &str) {
    if let Some(at) = secrets.iter().find_map(|secret| text.find(secret)) {
        let (before, after) = text.split_at(at);
        let before = before.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect::<String>();
        let after: String = after.chars().take(60).collect();
        panic!("a secret in {whose}: …{before}{after}…");
    }
}

/// All that is logged by this process from the first call on, at every level.
pub(crate) fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    })
    .clone()
}

/// What was logged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// What a server with secrets in all that it says may answer, and the reason that this is.
pub(crate) fn answers() -> [(Answer, &'static str); 7] {
    [
        (Answer::with(500, &[("X-Echo", CANARY)], CANARY), "server_error"),
        (Answer::with(302, &[("Location", &format!("http://x/{CANARY}"))], CANARY), "redirect"),
        (Answer::with(404, &[], CANARY), "client_error"),
        (Answer::with(200, &[], &format!("<html>{CANARY}")), "response"),
        (Answer::with(200, &[], &format!("{{\"ok\":false,\"msg\":\"{CANARY}\"}}")), "response"),
        (Answer::Bytes(format!("HTTP/1.1 {CANARY}\r\n\r\n").into_bytes()), "response"),
        (Answer::Stop(format!("HTTP/1.1 200 OK\r\nX-Echo: {CANARY}").into_bytes()), "timeout"),
    ]
}

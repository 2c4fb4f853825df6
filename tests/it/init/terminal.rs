//! The program on a terminal, and a person who types.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::common::daemon::wait_for;

pub(super) struct Terminal {
    child: Child,
    master: File,
    /// All that was ever shown.
    shown: Arc<Mutex<String>>,
    /// How much of that was expected already.
    read: usize,
}

impl Terminal {
    /// Runs the program with its standard input and stderr on a new terminal.
    pub(super) fn start(folder: &Path, arguments: &[&str]) -> Terminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = File::from(ioctl_tiocgptpeer(&master, flags).unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_proxymeter"))
            .args(arguments)
            .current_dir(folder)
            .stdin(terminal.try_clone().unwrap())
            .stderr(terminal)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let master = File::from(master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut reading, written) = (master.try_clone().unwrap(), Arc::clone(&shown));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails once the program has ended.
            while let Ok(length @ 1..) = reading.read(&mut bytes) {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Terminal { child, master, shown, read: 0 }
    }

    /// Waits until these words are shown, after those that were expected before.
    pub(super) fn expect(&mut self, words: &str) {
        let shown = Arc::clone(&self.shown);
        let from = self.read;
        self.read = wait_for(words, || {
            let shown = shown.lock().unwrap();
            Some(from + shown.get(from..)?.find(words)? + words.len())
        });
    }

    /// Waits for a question and types a line.
    pub(super) fn answer(&mut self, question: &str, line: &str) {
        self.expect(question);
        writeln!(self.master, "{line}").unwrap();
    }

    /// Waits for a question whose answer is not to be shown, and types it.
    pub(super) fn type_hidden(&mut self, question: &str, line: &str) {
        self.expect(question);
        assert!(!tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ECHO), "{question}");
        writeln!(self.master, "{line}").unwrap();
    }

    /// As Ctrl-C does.
    pub(super) fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// The exit code, and all that was shown.
    pub(super) fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        assert!(
            tcgetattr(&self.master).unwrap().local_modes.contains(LocalModes::ECHO),
            "it still shows nothing"
        );
        // All is read by the time that the other side is closed.
        wait_for("the last words", || (Arc::strong_count(&self.shown) == 1).then_some(()));
        let shown = self.shown.lock().unwrap().clone();
        (code, shown)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail once it has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

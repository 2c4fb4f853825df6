//! A listener on loopback, on threads of its own, so that it neither shares nor disturbs a test's runtime.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
};

/// Accepts connections until it is dropped, so that the many listeners of one process do not use up its open files.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Listener {
    /// Calls `serve` with each connection, on a thread of its own.
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Listener {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let started = Listener { address: listener.local_addr().unwrap(), stopped: Arc::clone(&stopped) };
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(connection));
            }
        });
        started
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listening thread; if it has ended already, this fails and does no harm.
        drop(TcpStream::connect(self.address));
    }
}

/// An address that refuses connections. The port stays taken until the process ends: no other test gets it.
pub(crate) fn closed_address() -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// An address for a program to listen on later, on a loopback address of its own: no other test gets it meanwhile.
pub(crate) fn free_address() -> SocketAddr {
    static LAST: AtomicU8 = AtomicU8::new(100);
    let host = [127, 0, 0, LAST.fetch_add(1, Ordering::Relaxed)];
    TcpListener::bind(SocketAddr::from((host, 0))).unwrap().local_addr().unwrap()
}

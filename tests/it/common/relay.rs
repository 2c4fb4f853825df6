//! What stands between the exporter and a server: proxies and Unix sockets. All of them lead to one address.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use super::listener::Listener;

/// The ways through a relay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// `http://` in front of a server without TLS: requests name the server, and the proxy passes them on.
    Forward,
    /// `http://` in front of a server with TLS: a tunnel.
    Tunnel,
    Socks,
}

/// The login that relays want which want one, and how `Proxy-Authorization` carries it.
pub(crate) const LOGIN: (&str, &str) = ("me", "c4naryb1rd-proxy");
const BASIC: &str = "Basic bWU6YzRuYXJ5YjFyZC1wcm94eQ==";

/// A proxy that records which servers it is asked for.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _listener: Listener,
}

impl Relay {
    /// Leads to `server`, whatever it is asked for.
    pub(crate) fn start(way: Way, server: SocketAddr, wants_login: bool) -> Relay {
        let asked = Arc::default();
        let seen = Arc::clone(&asked);
        let listener = Listener::start(move |client| {
            // A side that goes away ends the connection.
            drop(match way {
                Way::Forward => forward(&client, server, wants_login, &seen),
                Way::Tunnel => tunnel(&client, server, wants_login, &seen),
                Way::Socks => socks(&client, server, wants_login, &seen),
            });
            drop(client.shutdown(Shutdown::Both));
        });
        Relay { address: listener.address, asked, _listener: listener }
    }

    /// The servers of all connections, or of all requests, as `host:port`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn has_login(head: &[String]) -> bool {
    head.iter().any(|line| line.eq_ignore_ascii_case(&format!("proxy-authorization: {BASIC}")))
}

fn forward(
    client: &TcpStream,
    address: SocketAddr,
    wants_login: bool,
    asked: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let server = TcpStream::connect(address)?;
    answer(&server, client)?;
    let mut reader = BufReader::new(client);
    loop {
        let head = head(&mut reader)?;
        let Some((method, rest)) = head.first().and_then(|line| line.split_once(" http://")) else {
            return (&*client).write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        asked.lock().unwrap().push(host.to_owned());
        if wants_login && !head.contains(&format!("Proxy-Authorization: {BASIC}")) {
            let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
            (&*client).write_all(answer)?;
            continue;
        }
        let mut request = format!("{method} /{path}\r\n");
        for line in &head[1..] {
            if !line.to_ascii_lowercase().starts_with("proxy-") {
                request += &format!("{line}\r\n");
            }
        }
        (&server).write_all(format!("{request}\r\n").as_bytes())?;
        let length = head.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<u64>().unwrap())
        });
        io::copy(&mut (&mut reader).take(length.unwrap_or(0)), &mut &server)?;
    }
}

fn tunnel(
    client: &TcpStream,
    server: SocketAddr,
    wants_login: bool,
    asked: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let head = head(&mut BufReader::with_capacity(1, client))?;
    let host = head[0].strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or("?");
    asked.lock().unwrap().push(host.to_owned());
    if wants_login && !has_login(&head) {
        return (&*client)
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    (&*client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    join(client, &TcpStream::connect(server)?)
}

/// RFC 1928, and RFC 1929 for the login.
fn socks(
    mut client: &TcpStream,
    server: SocketAddr,
    wants_login: bool,
    asked: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let [_, methods] = bytes(client)?;
    let mut offered = vec![0; methods.into()];
    client.read_exact(&mut offered)?;
    let method = if wants_login { 2 } else { 0 };
    if !offered.contains(&method) {
        return client.write_all(&[5, 0xFF]);
    }
    client.write_all(&[5, method])?;
    if wants_login {
        let [_] = bytes(client)?;
        let (name, password) = (text(client)?, text(client)?);
        let is_right = (name.as_str(), password.as_str()) == LOGIN;
        client.write_all(&[1, u8::from(!is_right)])?;
    }
    let [_, _, _, kind] = bytes(client)?;
    let host = match kind {
        1 => std::net::Ipv4Addr::from(bytes(client)?).to_string(),
        4 => format!("[{}]", std::net::Ipv6Addr::from(bytes(client)?)),
        _ => text(client)?,
    };
    asked.lock().unwrap().push(format!("{host}:{}", u16::from_be_bytes(bytes(client)?)));
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80])?;
    join(client, &TcpStream::connect(server)?)
}

/// A Unix socket that leads to `server` until the folder is gone.
pub(crate) fn unix_socket(folder: &Path, server: SocketAddr) -> PathBuf {
    let path = folder.join("panel.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            // Bytes pass through a socket of either family alike.
            let client = TcpStream::from(OwnedFd::from(client));
            thread::spawn(move || join(&client, &TcpStream::connect(server)?));
        }
    });
    path
}

fn head(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => return Ok(lines),
            line => lines.push(line.to_owned()),
        }
    }
}

fn bytes<const N: usize>(mut stream: &TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A text after its length in one byte.
fn text(mut stream: &TcpStream) -> io::Result<String> {
    let [length] = bytes(stream)?;
    let mut text = vec![0; length.into()];
    stream.read_exact(&mut text)?;
    String::from_utf8(text).map_err(io::Error::other)
}

/// Passes on what both sides send, until one of them closes.
fn join(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    answer(server, client)?;
    io::copy(&mut &*client, &mut &*server)?;
    server.shutdown(Shutdown::Both)
}

/// Passes on what the server sends, on a thread of its own, until it closes.
fn answer(server: &TcpStream, client: &TcpStream) -> io::Result<()> {
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        to.shutdown(Shutdown::Both)
    });
    Ok(())
}

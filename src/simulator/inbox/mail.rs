//! A mail server that accepts everything.

use std::io;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc::UnboundedSender,
};

use super::arrival::Arrival;

/// Bytes of one mail, and of one line.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;
const MAX_LINE: u64 = 64 * 1024;

/// Talks SMTP with one client. What arrives is passed to `arrivals` before it is acknowledged.
pub(super) async fn take(stream: TcpStream, arrivals: UnboundedSender<Arrival>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 inbox.local ready\r\n").await?;
    let mut to = Vec::new();
    loop {
        let line = line(&mut stream).await?;
        let upper = line.trim_end().to_ascii_uppercase();
        let answer = match upper.split([' ', ':']).next().unwrap_or("") {
            _ if line.is_empty() => return Ok(()),
            "EHLO" => "250-inbox.local\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN\r\n",
            "HELO" | "MAIL" | "NOOP" => "250 fine\r\n",
            "AUTH" => "235 welcome\r\n",
            "RSET" => {
                to.clear();
                "250 fine\r\n"
            }
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or("");
                to.push(address.to_owned());
                "250 fine\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let message = message(&mut stream).await?;
                match arrivals.send(Arrival::Mail { to: std::mem::take(&mut to), message }) {
                    Ok(()) => "250 kept\r\n",
                    Err(_) => "451 the inbox is closed\r\n",
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 unknown\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// A line with its end; empty when the client has gone.
async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// The lines up to the lone dot, without the dots that were added on the way.
async fn message(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut message = String::new();
    loop {
        let line = line(stream).await?;
        if line.is_empty() || message.len() > MAX_MESSAGE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

//! HTTP byte by byte over any stream, for tests that misbehave or keep a connection.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::http::{self, Answer};

/// Longer than any limit of the daemon.
const TIMEOUT: Duration = Duration::from_secs(90);

/// One connection.
#[derive(Debug)]
pub struct Wire<S> {
    /// What is written to and read from.
    pub stream: S,
    buffer: Vec<u8>,
}

impl Wire<TcpStream> {
    /// Connects over TCP.
    ///
    /// # Panics
    /// Nobody listens.
    #[track_caller]
    pub fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self::new(stream)
    }
}

impl Wire<UnixStream> {
    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// What connecting gives.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self::new(stream))
    }
}

impl<S: Read + Write> Wire<S> {
    /// Speaks over this stream.
    pub const fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a request without a body, with these header lines after `Host: localhost`, and reads the answer.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn ask(&mut self, method: &str, path: &str, headers: &[&str]) -> io::Result<Answer> {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes(),
        )?;
        self.answer()
    }

    /// Reads one answer; the connection may go on.
    ///
    /// # Errors
    /// The connection ended before.
    pub fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(length) = self.complete() {
                let rest = self.buffer.split_off(length);
                let answer = std::mem::replace(&mut self.buffer, rest);
                return http::parse(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }

    /// The length of the first answer in the buffer, once all of it is there.
    fn complete(&self) -> Option<usize> {
        let end = self
            .buffer
            .windows(4)
            .position(|window| window == b"\r\n\r\n")?
            + 4;
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
        let header = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| line.strip_prefix(name).map(str::trim).map(str::to_owned))
        };
        if header("transfer-encoding:").is_some() {
            return self
                .buffer
                .ends_with(b"0\r\n\r\n")
                .then_some(self.buffer.len());
        }
        let length = header("content-length:").map_or(0, |text| text.parse().unwrap_or(0));
        (self.buffer.len() >= end + length).then_some(end + length)
    }
}

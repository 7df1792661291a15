//! Packets over a socket, plain or by TLS (MySQL, "Client/Server Protocol", "MySQL Packets"): three bytes of length, one that counts, and what
//! is said.

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// The length that says that another packet goes on with it.
const WHOLE: usize = 0xff_ffff;

/// What is read from the network at once, at least.
const ROOM: usize = 64 << 10;

/// What the bytes go through.
enum Stream {
    Tcp(TcpStream),
    Socket(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// While one is made of the other.
    None,
}

/// A connection that packets come and go by.
pub(crate) struct Packets {
    stream: Stream,
    /// What was read: packets begin at `start`, bytes end at `end`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// A packet that came in several.
    long: Vec<u8>,
    output: Vec<u8>,
    sequence: u8,
    /// Columns say more of themselves than MySQL's protocol has.
    pub(crate) extended: bool,
}

/// A packet that was read: where its bytes are.
#[derive(Clone, Copy)]
pub(crate) enum Packet {
    Input(usize, usize),
    Long,
}

impl Packets {
    /// Connects by TCP. A network that swallows packets is given up on after `silence`.
    pub(crate) fn tcp(host: &str, port: u16, timeout: Duration, silence: Duration) -> io::Result<Packets> {
        let mut refused = None;
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let socket = SockRef::from(&stream);
                    // The system counts in seconds.
                    let part = |of: u32| (silence / of).max(Duration::from_secs(1));
                    let alive = TcpKeepalive::new().with_time(part(3)).with_interval(part(6));
                    socket.set_tcp_keepalive(&alive)?;
                    #[cfg(target_os = "linux")]
                    socket.set_tcp_user_timeout(Some(silence))?;
                    return Ok(Packets::over(Stream::Tcp(stream)));
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| io::Error::new(ErrorKind::NotFound, "the host's name has no address")))
    }

    /// Connects to a socket of this machine.
    pub(crate) fn socket(path: &Path) -> io::Result<Packets> {
        Ok(Packets::over(Stream::Socket(UnixStream::connect(path)?)))
    }

    fn over(stream: Stream) -> Packets {
        Packets {
            stream,
            input: Vec::new(),
            start: 0,
            end: 0,
            long: Vec::new(),
            output: Vec::new(),
            sequence: 0,
            extended: false,
        }
    }

    /// Whether nobody else can read along.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self.stream, Stream::Socket(_) | Stream::Tls(_))
    }

    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.stream, Stream::Socket(_))
    }

    /// From here on by TLS.
    pub(crate) fn secure(&mut self, config: ClientConfig, host: &str) -> io::Result<()> {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| io::Error::new(ErrorKind::InvalidInput, e))?;
        let mut connection =
            ClientConnection::new(Arc::new(config), name).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
        match std::mem::replace(&mut self.stream, Stream::None) {
            Stream::Tcp(mut stream) => {
                while connection.is_handshaking() {
                    connection.complete_io(&mut stream)?;
                }
                self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, stream)));
            }
            other => self.stream = other,
        }
        Ok(())
    }

    /// How long a read may wait; `None` for ever.
    pub(crate) fn patience(&self, timeout: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            Stream::Socket(stream) => stream.set_read_timeout(timeout),
            Stream::Tls(stream) => stream.sock.set_read_timeout(timeout),
            Stream::None => Ok(()),
        }
    }

    /// The next packet is the first of an exchange.
    pub(crate) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// Queues a packet, or as many as it takes.
    pub(crate) fn put(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut left: usize = parts.iter().map(|p| p.len()).sum();
        let mut parts = parts.iter();
        let mut part: &[u8] = &[];
        loop {
            let length = left.min(WHOLE);
            self.output.extend_from_slice(&(length as u32).to_le_bytes()[..3]);
            self.output.push(self.sequence);
            self.sequence = self.sequence.wrapping_add(1);
            let mut room = length;
            while room > 0 {
                if part.is_empty() {
                    part = parts.next().copied().unwrap_or_default();
                    continue;
                }
                let (now, later) = part.split_at(part.len().min(room));
                self.output.extend_from_slice(now);
                (part, room) = (later, room - now.len());
                if self.output.len() > 4 * ROOM {
                    self.send()?;
                }
            }
            left -= length;
            if length < WHOLE {
                return Ok(());
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(&self.output)?,
            Stream::Socket(stream) => stream.write_all(&self.output)?,
            Stream::Tls(stream) => stream.write_all(&self.output)?,
            Stream::None => return Err(ErrorKind::NotConnected.into()),
        }
        self.output.clear();
        Ok(())
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.send()?;
        match &mut self.stream {
            Stream::Tls(stream) => stream.flush(),
            _ => Ok(()),
        }
    }

    /// Waits for a packet.
    pub(crate) fn next(&mut self) -> io::Result<Packet> {
        let (from, length) = self.one()?;
        if length < WHOLE {
            return Ok(Packet::Input(from, from + length));
        }
        self.long.clear();
        self.long.extend_from_slice(&self.input[from..from + length]);
        loop {
            let (from, length) = self.one()?;
            self.long.extend_from_slice(&self.input[from..from + length]);
            if length < WHOLE {
                return Ok(Packet::Long);
            }
        }
    }

    /// The bytes of the packet that came last.
    pub(crate) fn bytes(&self, packet: Packet) -> &[u8] {
        match packet {
            Packet::Input(from, to) => &self.input[from..to],
            Packet::Long => &self.long,
        }
    }

    fn one(&mut self) -> io::Result<(usize, usize)> {
        self.ensure(4)?;
        let head = &self.input[self.start..self.start + 4];
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        self.sequence = head[3].wrapping_add(1);
        self.ensure(4 + length)?;
        let from = self.start + 4;
        self.start = from + length;
        Ok((from, length))
    }

    /// Reads until `length` bytes are there from `start` on.
    fn ensure(&mut self, length: usize) -> io::Result<()> {
        if self.end - self.start >= length {
            return Ok(());
        }
        if self.start > 0 && self.input.len() - self.start < length.max(ROOM / 4) {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let wanted = (self.start + length).max(ROOM);
        if self.input.len() < wanted {
            self.input.resize(wanted, 0);
        }
        while self.end - self.start < length {
            let room = &mut self.input[self.end..];
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(room),
                Stream::Socket(stream) => stream.read(room),
                Stream::Tls(stream) => stream.read(room),
                Stream::None => Err(ErrorKind::NotConnected.into()),
            };
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

//! A stretch of network between the program and a server: it carries bytes until it is told to fail.
//!
//! A [`Fault`] strikes once, at a place in the bytes of one [`Way`], or on command on every connection there is.

use socket2::{SockFilter, SockRef};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the program to the server.
    Up,
    /// From the server to the program.
    Down,
}

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends, and both ends are told so (RST).
    Reset,
    /// Nothing passes any more, and nobody is told: not even the system at the other end answers.
    Swallow,
    /// What is on the way up passes, the answer to it ends the connection for both.
    LoseAnswer,
    /// The connection is closed in this direction alone, as if its sender had said everything.
    Close(Way),
}

/// Where in the bytes of one way, all connections together, a fault strikes.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// After so many bytes.
    Byte(u64),
    /// Before the last byte of these words, met for this time: what they ask for is not done.
    Within(&'static str, u32),
    /// After these words, met for this time.
    Behind(&'static str, u32),
}

/// How often a thread that waits for bytes looks whether there is something else to do.
const LOOK: Duration = Duration::from_millis(10);

/// The network.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    plan: Mutex<Plan>,
    links: Mutex<Vec<Arc<Link>>>,
    passed: [AtomicU64; 2],
    struck: AtomicBool,
    /// Nobody gets through.
    down: AtomicBool,
    ended: AtomicBool,
    /// Microseconds for each piece of bytes.
    delay: AtomicU64,
}

#[derive(Debug, Default)]
struct Plan {
    next: Option<(Way, Place, Fault)>,
    /// How often the words were met.
    met: u32,
}

/// A connection through it. Dropped it is reset at both ends.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    cut: AtomicBool,
    swallows: AtomicBool,
    loses_answer: AtomicBool,
    closed: [AtomicBool; 2],
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// In front of a server that listens there.
    pub fn to(server: SocketAddr) -> Result<Proxy, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if its.ended.load(Ordering::SeqCst) {
                    break;
                }
                // A client that cannot be carried finds its connection closed.
                let _ = client.and_then(|client| carry(&its, client, server));
            }
        });
        Ok(Proxy { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has a fault strike there, once.
    pub fn plan(&self, way: Way, place: Place, fault: Fault) {
        *held(&self.shared.plan) = Plan { next: Some((way, place, fault)), met: 0 };
    }

    /// Strikes every connection there is.
    pub fn strike(&self, fault: Fault) {
        held(&self.shared.links).iter().for_each(|link| link.strike(fault));
    }

    /// Whether a planned fault has struck.
    pub fn has_struck(&self) -> bool {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// Lets nobody through from now on, or everybody again.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// How long each piece of bytes takes from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.delay.store(delay.as_micros() as u64, Ordering::SeqCst);
    }

    /// How many bytes went that way.
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.passed[way as usize].load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        held(&self.shared.links).drain(..).for_each(|link| link.strike(Fault::Reset));
        // Whoever waits for a client looks up.
        let _ = TcpStream::connect(self.address);
    }
}

fn carry(shared: &Arc<Shared>, client: TcpStream, server: SocketAddr) -> io::Result<()> {
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    if shared.down.load(Ordering::SeqCst) {
        return Ok(());
    }
    let server = TcpStream::connect(server)?;
    SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(LOOK))?;
    }
    let link = Arc::new(Link {
        client,
        server,
        cut: AtomicBool::default(),
        swallows: AtomicBool::default(),
        loses_answer: AtomicBool::default(),
        closed: Default::default(),
    });
    held(&shared.links).push(Arc::clone(&link));
    for way in [Way::Up, Way::Down] {
        let (shared, link) = (Arc::clone(shared), Arc::clone(&link));
        thread::spawn(move || {
            if pump(&shared, &link, way).is_err() {
                link.cut.store(true, Ordering::SeqCst);
            }
            // One that swallows stays, so that nobody learns of it.
            if !link.swallows.load(Ordering::SeqCst) && link.is_over() {
                held(&shared.links).retain(|other| !Arc::ptr_eq(other, &link));
            }
        });
    }
    Ok(())
}

impl Link {
    fn ends(&self, way: Way) -> (&TcpStream, &TcpStream) {
        match way {
            Way::Up => (&self.client, &self.server),
            Way::Down => (&self.server, &self.client),
        }
    }

    fn is_over(&self) -> bool {
        let closed = |way: Way| self.closed[way as usize].load(Ordering::SeqCst);
        self.cut.load(Ordering::SeqCst) || (closed(Way::Up) && closed(Way::Down))
    }

    fn close(&self, way: Way) {
        self.closed[way as usize].store(true, Ordering::SeqCst);
        let _ = self.ends(way).1.shutdown(Shutdown::Write);
    }

    fn strike(&self, fault: Fault) {
        match fault {
            Fault::Reset => self.cut.store(true, Ordering::SeqCst),
            Fault::LoseAnswer => self.loses_answer.store(true, Ordering::SeqCst),
            Fault::Close(way) => self.close(way),
            Fault::Swallow => {
                self.swallows.store(true, Ordering::SeqCst);
                // A program for the system's packet filter that lets nothing of a packet through (`ret #0`).
                let nothing = [SockFilter::new(0x06, 0, 0, 0)];
                for stream in [&self.client, &self.server] {
                    let _ = SockRef::from(stream).attach_filter(&nothing);
                }
            }
        }
    }
}

/// Carries one way to its end.
fn pump(shared: &Shared, link: &Link, way: Way) -> io::Result<()> {
    let (mut from, to) = link.ends(way);
    let mut buffer = vec![0; 1 << 16];
    let mut tail = Vec::new();
    while !link.is_over() && !link.swallows.load(Ordering::SeqCst) {
        let read = match from.read(&mut buffer) {
            Err(error) if waits(&error) => continue,
            read => read?,
        };
        if read == 0 {
            link.close(way);
            return Ok(());
        }
        if way == Way::Down && link.loses_answer.load(Ordering::SeqCst) {
            link.cut.store(true, Ordering::SeqCst);
            return Ok(());
        }
        let bytes = &buffer[..read];
        let at = shared.passed[way as usize].fetch_add(read as u64, Ordering::SeqCst);
        let fault = held(&shared.plan).strikes(way, at, &mut tail, bytes);
        let passes = fault.map_or(bytes, |(end, _)| &bytes[..end]);
        thread::sleep(Duration::from_micros(shared.delay.load(Ordering::SeqCst)));
        // What comes after a close of this way is heard by nobody.
        if !link.closed[way as usize].load(Ordering::SeqCst) {
            if let Some((_, fault @ Fault::LoseAnswer)) = fault {
                link.strike(fault);
            }
            write(link, to, passes)?;
        }
        if let Some((_, fault)) = fault {
            link.strike(fault);
            shared.struck.store(true, Ordering::SeqCst);
        }
    }
    Ok(())
}

impl Plan {
    /// Whether a fault strikes in these bytes, which come after `at` others and after `tail`: how many of them pass.
    fn strikes(&mut self, way: Way, at: u64, tail: &mut Vec<u8>, bytes: &[u8]) -> Option<(usize, Fault)> {
        let (_, place, fault) = self.next.filter(|(planned, ..)| *planned == way)?;
        let end = match place {
            Place::Byte(byte) => usize::try_from(byte.checked_sub(at)?).ok().filter(|n| *n <= bytes.len())?,
            Place::Within(words, time) => self.find(words, time, tail, bytes)?.saturating_sub(1),
            Place::Behind(words, time) => self.find(words, time, tail, bytes)?,
        };
        self.next = None;
        Some((end, fault))
    }

    /// Where in the bytes the words end that are met for that time.
    fn find(&mut self, words: &str, time: u32, tail: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
        let before = tail.len();
        tail.extend_from_slice(bytes);
        let ends = tail.windows(words.len()).enumerate().filter(|(_, found)| *found == words.as_bytes());
        let ends: Vec<usize> = ends.map(|(start, _)| start + words.len() - before).collect();
        let keep = tail.len().min(words.len() - 1);
        tail.drain(..tail.len() - keep);
        let found = time.checked_sub(self.met + 1).and_then(|more| ends.get(more as usize).copied());
        self.met += ends.len() as u32;
        found
    }
}

fn write(link: &Link, mut to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() && !link.cut.load(Ordering::SeqCst) && !link.swallows.load(Ordering::SeqCst) {
        match to.write(bytes) {
            Err(error) if waits(&error) => {}
            written => bytes = &bytes[written?..],
        }
    }
    Ok(())
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_wherever_the_bytes_are_cut() {
        let strikes = |place: Place, pieces: &[&str]| {
            let mut plan = Plan { next: Some((Way::Up, place, Fault::Reset)), met: 0 };
            let (mut tail, mut at) = (Vec::new(), 0);
            for piece in pieces {
                assert_eq!(plan.strikes(Way::Down, at, &mut Vec::new(), piece.as_bytes()), None);
                if let Some((end, _)) = plan.strikes(Way::Up, at, &mut tail, piece.as_bytes()) {
                    return Some(at as usize + end);
                }
                at += piece.len() as u64;
            }
            None
        };
        for pieces in [&["a COMMIT b COMMIT c"][..], &["a COM", "MIT b COMMI", "T c"], &["a ", "COMMIT b COMMIT", " c"]]
        {
            assert_eq!(strikes(Place::Behind("COMMIT", 1), pieces), Some(8), "{pieces:?}");
            assert_eq!(strikes(Place::Behind("COMMIT", 2), pieces), Some(17), "{pieces:?}");
            assert_eq!(strikes(Place::Within("COMMIT", 2), pieces), Some(16), "{pieces:?}");
            assert_eq!(strikes(Place::Behind("COMMIT", 3), pieces), None, "{pieces:?}");
            assert_eq!(strikes(Place::Byte(12), pieces), Some(12), "{pieces:?}");
        }
    }
}

//! A network between the program and a store that does to one request what a test says, and passes all others on.

use super::{
    bucket::Bucket,
    http::{Message, encoded},
    listing::{self, Listed},
    request::{Asked, Kind},
};
use std::{
    io::{self, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How long a connection may say nothing.
const SILENT: Duration = Duration::from_secs(60);

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An answer of the store's, and nothing is done: a status and a code of S3's.
    Refused(u16, &'static str),
    /// It is done, and the answer says that it failed.
    DoneThen500,
    /// It is done, and the connection ends without an answer.
    DoneThenClosed,
    /// The connection ends, and nothing is done.
    Closed,
    /// The answer's head, half of its body, and the connection ends.
    Cut,
    /// It is passed on after a while.
    Late(Duration),
    /// It is passed on when the network is [healed](Proxy::heal).
    Held,
    /// Before it, this object is put by somebody else in its place.
    Beaten(Vec<u8>),
    /// It is done, this object is put under that key by somebody else, and the connection ends without an answer.
    DoneThenOther(String, Vec<u8>),
    /// A list as it was at [`Proxy::freeze`].
    Stale,
    /// A list without that many of its newest objects.
    Partial(usize),
    /// A list whose objects were all written long ago.
    Aged,
}

/// Which requests a fault strikes.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The kind of request.
    pub kind: Kind,
    /// A part of the key, or of the prefix that is listed.
    pub key: String,
    /// How many requests like this pass before it strikes.
    pub after: u32,
    /// And how often it strikes then.
    pub times: u32,
    /// What becomes of it.
    pub fault: Fault,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its kind.
    pub kind: Kind,
    /// The key, prefix, or keys.
    pub key: String,
    /// The status that the store answered; nothing where it was not asked.
    pub status: Option<u16>,
    /// Whether a rule was for it.
    pub struck: bool,
}

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bucket: Bucket,
    ends: AtomicBool,
    rules: Mutex<Vec<(Rule, u32)>>,
    seen: Mutex<Vec<Seen>>,
    then: Mutex<Vec<Listed>>,
}

impl Proxy {
    /// In front of the server of a bucket.
    pub fn start(bucket: &Bucket) -> Result<Proxy, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let shared = Arc::new(Shared {
            bucket: bucket.clone(),
            ends: AtomicBool::new(false),
            rules: Mutex::default(),
            seen: Mutex::default(),
            then: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of_thread.ends.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&of_thread);
                // A client that is killed ends its connection in any way.
                thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        Ok(Proxy { address, shared })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this becomes of such requests. Of two rules for one request the first holds.
    pub fn strike(&self, rule: Rule) {
        held(&self.shared.rules).push((rule, 0));
    }

    /// The network is as it should be again.
    pub fn heal(&self) {
        held(&self.shared.rules).clear();
    }

    /// What stale lists tell from now on is what there is now.
    pub fn freeze(&self) -> Result<(), String> {
        *held(&self.shared.then) = self.shared.bucket.list("")?;
        Ok(())
    }

    /// The requests since this was asked last.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *held(&self.shared.seen))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The requests of one connection, one after the other.
fn serve(shared: &Shared, client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(SILENT))?;
    client.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(client.try_clone()?), client);
    while let Some(request) = Message::read_request(&mut reader)? {
        let asked = Asked::of(&request, shared.bucket.protocol);
        let fault = shared.fault(&asked);
        let mut seen = Seen { kind: asked.kind, key: asked.key.clone(), status: None, struck: fault.is_some() };
        let (answer, most) = match answer(shared, &request, &asked, fault, &mut seen) {
            Ok(answer) => answer,
            Err(error) => {
                held(&shared.seen).push(seen);
                return Err(error);
            }
        };
        held(&shared.seen).push(seen);
        answer.write(&mut writer, most)?;
        if most < answer.body.len() {
            return Ok(());
        }
    }
    Ok(())
}

/// What the client gets, and how much of its body. An error ends the connection.
fn answer(
    shared: &Shared,
    request: &Message,
    asked: &Asked,
    fault: Option<Fault>,
    seen: &mut Seen,
) -> io::Result<(Message, usize)> {
    let closed = || io::Error::from(io::ErrorKind::ConnectionAborted);
    match &fault {
        Some(Fault::Closed) => return Err(closed()),
        Some(Fault::Refused(status, code)) => return Ok((sized(Message::refusal(*status, code), request), usize::MAX)),
        Some(Fault::Late(time)) => thread::sleep(*time),
        Some(Fault::Held) => {
            while !held(&shared.rules).is_empty() && !shared.ends.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(10));
            }
        }
        Some(Fault::Beaten(theirs)) => shared.bucket.put(&asked.key, theirs).map_err(io::Error::other)?,
        _ => {}
    }
    let mut answer = passed_on(shared, request)?;
    seen.status = Some(answer.status());
    if asked.kind == Kind::List && answer.status() == 200 {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        answer.body = match &fault {
            Some(Fault::Stale) => listing::as_of(&body, &held(&shared.then), asked),
            Some(Fault::Partial(count)) => listing::without_newest(&body, *count),
            Some(Fault::Aged) => listing::aged(&body),
            _ => body,
        }
        .into_bytes();
    }
    match fault {
        Some(Fault::DoneThenClosed) => Err(closed()),
        Some(Fault::DoneThenOther(key, theirs)) => {
            shared.bucket.put(&key, &theirs).map_err(io::Error::other)?;
            Err(closed())
        }
        Some(Fault::DoneThen500) => Ok((sized(Message::refusal(500, "InternalError"), request), usize::MAX)),
        Some(Fault::Cut) => {
            let most = answer.body.len() / 2;
            Ok((sized(answer, request), most))
        }
        _ => Ok((sized(answer, request), usize::MAX)),
    }
}

/// With the length of its body, so that the connection goes on; of a HEAD the length is that of the object.
fn sized(mut answer: Message, request: &Message) -> Message {
    if request.first.starts_with("HEAD ") {
        answer.body.clear();
    } else {
        let length = answer.body.len().to_string();
        answer.set("Content-Length", &length);
    }
    answer.first = answer.first.replacen("HTTP/1.0", "HTTP/1.1", 1);
    answer.set("Connection", "keep-alive");
    answer
}

fn passed_on(shared: &Shared, request: &Message) -> io::Result<Message> {
    let mut request = request.clone();
    request.first = request.first.replacen("HTTP/1.1", "HTTP/1.0", 1);
    request.set("Connection", "close");
    let mut server = TcpStream::connect(&shared.bucket.server)?;
    request.write(&mut server, usize::MAX)?;
    Message::read_answer(&mut BufReader::new(server))
}

impl Shared {
    /// What becomes of a request.
    fn fault(&self, asked: &Asked) -> Option<Fault> {
        let mut rules = held(&self.rules);
        let mut fault = None;
        for (rule, met) in rules.iter_mut() {
            // A delete of several objects has its keys as they stand in XML.
            let here = asked.key.contains(&rule.key) || asked.key.contains(&encoded(&rule.key));
            if rule.kind != asked.kind || !here {
                continue;
            }
            *met += 1;
            if fault.is_none() && *met > rule.after && *met <= rule.after.saturating_add(rule.times) {
                fault = Some(rule.fault.clone());
            }
        }
        fault
    }
}

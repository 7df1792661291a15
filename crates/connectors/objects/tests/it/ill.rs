//! A web server with one file, which does as it is told.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// What it does with one request, in the order in which they come; then it answers well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ill {
    /// 503, as a store says when it is asked too often.
    SlowDown,
    /// The connection ends in the middle of the body.
    Cut,
    /// Another file is there from now on, under another tag.
    Replace,
}

pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    bytes: Vec<u8>,
    tag: u32,
    tags: bool,
    /// For requests of ranges.
    plan: Vec<Ill>,
    requests: Vec<String>,
}

impl Server {
    pub(crate) fn start(bytes: Vec<u8>, tags: bool, plan: &[Ill]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a.csv", listener.local_addr().unwrap());
        let mut plan = plan.to_vec();
        plan.reverse();
        let state = Arc::new(Mutex::new(State { bytes, tag: 1, tags, plan, requests: Vec::new() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(connection, &shared));
            }
        });
        Server { url, state }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn serve(mut connection: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut lines = BufReader::new(connection.try_clone().ok()?).lines();
    while let Some(Ok(first)) = lines.next() {
        let mut range = None;
        let mut wanted = None;
        for line in lines.by_ref() {
            let line = line.ok()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ")?;
            match name.to_ascii_lowercase().as_str() {
                "range" => {
                    range = value
                        .strip_prefix("bytes=")
                        .and_then(|range| range.split_once('-'))
                        .map(|(a, b)| (a.to_owned(), b.to_owned()))
                }
                "if-match" => wanted = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut state = state.lock().unwrap();
        state.requests.push(first.clone());
        let ill = if range.is_some() { state.plan.pop() } else { None };
        if ill == Some(Ill::Replace) {
            state.tag += 1;
            state.bytes.reverse();
        }
        let tag = format!("\"{}\"", state.tag);
        let tagged = if state.tags { format!("ETag: {tag}\r\n") } else { String::new() };
        let answer = |status: &str, head: &str, body: &[u8]| {
            let mut out = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{head}\r\n", body.len()).into_bytes();
            out.extend_from_slice(body);
            out
        };
        let modified = "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
        let out = if ill == Some(Ill::SlowDown) {
            answer("503 Slow Down", "", b"")
        } else if wanted.is_some_and(|wanted| wanted != tag) {
            answer("412 Precondition Failed", "", b"")
        } else if let Some((from, to)) = range {
            let (from, to) = (from.parse::<usize>().ok()?, to.parse::<usize>().ok()?.min(state.bytes.len() - 1));
            let head = format!("Content-Range: bytes {from}-{to}/{}\r\n{tagged}{modified}", state.bytes.len());
            answer("206 Partial Content", &head, &state.bytes[from..=to])
        } else {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{tagged}{modified}\r\n", state.bytes.len());
            head.into_bytes()
        };
        drop(state);
        if ill == Some(Ill::Cut) {
            let _ = connection.write_all(&out[..out.len() - 10]);
            return None;
        }
        connection.write_all(&out).ok()?;
    }
    None
}

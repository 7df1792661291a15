//! A web server that takes what is posted to it, and answers as it is told.

#![cfg(unix)]

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What was posted.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: String,
    /// Null where it is no JSON.
    pub(crate) body: Value,
    pub(crate) bytes: Vec<u8>,
}

/// How it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Says {
    Status(u16),
    /// Nothing, for longer than anybody waits.
    Nothing,
}

/// The server. It ends with its process.
pub(crate) struct Hook {
    pub(crate) address: String,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Hook {
    /// `answers`: one after the other; the last one for all that follow.
    pub(crate) fn new(answers: &[Says]) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let posted: Arc<Mutex<Vec<Posted>>> = Arc::default();
        let (all, answers) = (Arc::clone(&posted), answers.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (all, answers) = (Arc::clone(&all), answers.clone());
                thread::spawn(move || serve(stream.unwrap(), &all, &answers));
            }
        });
        Hook { address, posted }
    }

    /// Where it is, with what is secret about that.
    pub(crate) fn url(&self) -> String {
        format!("http://me:hunter2@{}/services/hunter2?key=hunter2", self.address)
    }

    /// All that was posted.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, all: &Mutex<Vec<Posted>>, answers: &[Says]) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = String::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            headers.push_str(&line.to_lowercase());
        }
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.trim().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let posted = Posted { path, headers, body: serde_json::from_slice(&body).unwrap_or_default(), bytes: body };
        let number = {
            let mut all = all.lock().unwrap();
            all.push(posted);
            all.len() - 1
        };
        match answers.get(number).or(answers.last()).unwrap() {
            Says::Status(status) => {
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                // Whoever asked may have gone.
                let _ = stream.write_all(answer.as_bytes());
            }
            Says::Nothing => thread::sleep(Duration::from_secs(60)),
        }
    }
}

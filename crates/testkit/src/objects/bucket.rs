//! A bucket of the test's own.

use super::{
    http::{Message, encoded},
    listing::{self, Listed},
    protocol::Protocol,
};
use std::{
    fs,
    io::BufReader,
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

/// A bucket on the server that `FLOODMARK_TEST_S3` names, or a container on that of `FLOODMARK_TEST_AZURE`.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// What its server speaks.
    pub protocol: Protocol,
    /// Its name.
    pub name: String,
    /// `host:port` of the server.
    pub server: String,
}

impl Bucket {
    /// An empty one.
    pub fn make(protocol: Protocol) -> Result<Bucket, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = protocol.url()?.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let bucket = Bucket { protocol, name, server };
        bucket.ask("PUT", "", protocol.making(), b"").map(|_| bucket)
    }

    /// The URL of what lies in it, with the settings of a connection to its server.
    pub fn url(&self, below: &str) -> String {
        self.url_at(&format!("http://{}", self.server), below)
    }

    /// The same by way of another server.
    pub fn url_at(&self, server: &str, below: &str) -> String {
        let slash = if below.is_empty() { "" } else { "/" };
        format!("{}://{}{slash}{below}?{}", self.protocol.scheme(), self.name, self.protocol.settings(server))
    }

    /// Puts an object.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), String> {
        self.ask("PUT", key, &[], bytes).map(drop)
    }

    /// The bytes of an object.
    pub fn get(&self, key: &str) -> Result<Vec<u8>, String> {
        self.ask("GET", key, &[], b"")
    }

    /// Deletes an object, if it is there.
    pub fn delete(&self, key: &str) -> Result<(), String> {
        self.ask("DELETE", key, &[], b"").map(drop)
    }

    /// The objects below a prefix, by key. The server gives some thousand at most.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, String> {
        let body = self.ask("GET", "", &[self.protocol.listing(), &[("prefix", prefix)]].concat(), b"")?;
        let body = String::from_utf8_lossy(&body);
        if ["<IsTruncated>true", "</NextMarker>"].iter().any(|more| body.contains(more)) {
            return Err(format!("too much lies below {prefix:?}"));
        }
        Ok(listing::objects(&body))
    }

    /// Copies what lies below a prefix to below another one.
    pub fn copy(&self, from: &str, to: &str) -> Result<(), String> {
        for object in self.list(from)? {
            let rest = object.key.strip_prefix(from).unwrap_or_default();
            self.put(&format!("{to}{rest}"), &self.get(&object.key)?)?;
        }
        Ok(())
    }

    /// Brings what lies below a prefix into a folder of this machine.
    pub fn bring(&self, prefix: &str, folder: &Path) -> Result<(), String> {
        let fail = |e: std::io::Error| e.to_string();
        for object in self.list(prefix)? {
            let file = folder.join(object.key.strip_prefix(prefix).unwrap_or_default().trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap_or(folder)).map_err(fail)?;
            fs::write(file, self.get(&object.key)?).map_err(fail)?;
        }
        Ok(())
    }

    fn ask(&self, method: &str, key: &str, query: &[(&str, &str)], body: &[u8]) -> Result<Vec<u8>, String> {
        let place = if key.is_empty() { String::new() } else { format!("/{}", encoded(key)) };
        let mut headers = self.protocol.headers();
        headers.push(("Host".to_owned(), self.server.clone()));
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
        let (before, query) = (self.protocol.before(), self.protocol.query(query));
        let first = format!("{method} {before}/{}{place}{query} HTTP/1.0", self.name);
        let answer = TcpStream::connect(&self.server).and_then(|mut server| {
            Message { first, headers, body: body.to_vec() }.write(&mut server, usize::MAX)?;
            Message::read_answer(&mut BufReader::new(server))
        });
        let answer = answer.map_err(|e| format!("{method} {key}: {e}"))?;
        match answer.status() {
            200..300 => Ok(answer.body),
            _ => Err(format!("{method} {key}: {}\n{}", answer.first, String::from_utf8_lossy(&answer.body))),
        }
    }
}

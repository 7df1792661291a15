//! A bucket of the test's own.

use super::{
    http::{Message, encoded},
    listing::{self, Listed},
};
use std::{
    env, fs,
    io::BufReader,
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// A bucket on the server that `FLOODMARK_TEST_S3` names.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// `host:port` of the server.
    pub server: String,
}

impl Bucket {
    /// An empty one.
    pub fn make() -> Result<Bucket, String> {
        let url = env::var("FLOODMARK_TEST_S3").map_err(
            |_| "FLOODMARK_TEST_S3 is not set: `cargo xtask services up` starts a server and says what to set",
        )?;
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let bucket = Bucket { name, server: url.trim_start_matches("http://").trim_end_matches('/').to_owned() };
        bucket.ask("PUT", "", "", b"").map(|_| bucket)
    }

    /// Puts an object.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), String> {
        self.ask("PUT", key, "", bytes).map(drop)
    }

    /// The bytes of an object.
    pub fn get(&self, key: &str) -> Result<Vec<u8>, String> {
        self.ask("GET", key, "", b"")
    }

    /// Deletes an object, if it is there.
    pub fn delete(&self, key: &str) -> Result<(), String> {
        self.ask("DELETE", key, "", b"").map(drop)
    }

    /// The objects below a prefix, by key. The server gives a thousand at most.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, String> {
        let body = self.ask("GET", "", &format!("?list-type=2&prefix={}", encoded(prefix)), b"")?;
        let body = String::from_utf8_lossy(&body);
        if body.contains("<IsTruncated>true") {
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

    fn ask(&self, method: &str, key: &str, query: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        let place = if key.is_empty() { String::new() } else { format!("/{}", encoded(key)) };
        let headers = vec![
            ("Host".to_owned(), self.server.clone()),
            ("Content-Length".to_owned(), body.len().to_string()),
            // The server checks no signature, and gives nothing to who has none.
            ("Authorization".to_owned(), AUTHORIZATION.to_owned()),
        ];
        let first = format!("{method} /{}{place}{query} HTTP/1.0", self.name);
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

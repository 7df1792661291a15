//! As much of HTTP/1.1 as a store's client and its server speak: heads, and bodies of a length that is told.

use std::io::{self, BufRead, ErrorKind, Write};

/// A request or an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    /// The first line, without its end.
    pub(super) first: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// An answer of S3's own form for what it does not do.
    pub(super) fn refusal(status: u16, code: &str) -> Message {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>as the test asked</Message></Error>"
        );
        let headers = vec![("Content-Type".to_owned(), "application/xml".to_owned())];
        Message { first: format!("HTTP/1.1 {status} {code}"), headers, body: body.into_bytes() }
    }

    /// The status of an answer.
    pub(super) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// The head alone; nothing where the other side has closed.
    pub(super) fn read_head(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        let mut message = Message::default();
        if from.read_line(&mut message.first)? == 0 {
            return Ok(None);
        }
        message.first.truncate(message.first.trim_end().len());
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(':') {
                Some((name, value)) => message.headers.push((name.to_owned(), value.trim().to_owned())),
                None => return Ok(Some(message)),
            }
        }
    }

    /// A request with its body; nothing where the client has closed.
    pub(super) fn read_request(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        let Some(mut message) = Message::read_head(from)? else { return Ok(None) };
        let length = message.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
        message.body = vec![0; length];
        from.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    /// An answer whose body ends where the server closes.
    pub(super) fn read_answer(from: &mut impl BufRead) -> io::Result<Message> {
        let mut message = Message::read_head(from)?.ok_or(ErrorKind::UnexpectedEof)?;
        from.read_to_end(&mut message.body)?;
        Ok(message)
    }

    /// Writes it, and of its body no more than that much.
    pub(super) fn write(&self, to: &mut impl Write, most: usize) -> io::Result<()> {
        let mut bytes = format!("{}\r\n", self.first);
        self.headers.iter().for_each(|(name, value)| bytes.push_str(&format!("{name}: {value}\r\n")));
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body[..most.min(self.body.len())]);
        to.write_all(&bytes)?;
        to.flush()
    }
}

/// Text of a URL or of XML as it was before it was escaped.
pub(super) fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('%') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let hex = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(hex.unwrap_or(b'%'));
        rest = &rest[at + if hex.is_some() { 3 } else { 1 }..];
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// As it stands in a URL.
pub(super) fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

//! Where CSV rows end: at a line end outside quotes.

use crate::blocks::{Cut, Flaw};
use floodmark_core::Code;
use memchr::{memchr, memrchr};

/// A quote opens a field only where a field begins; elsewhere outside quotes it is plain text, so that counting quotes
/// would be wrong.
#[derive(Debug)]
pub(crate) struct Quotes {
    delimiter: u8,
    quote: u8,
    /// Everything before is decided.
    seen: usize,
    /// The quote that is open at `seen`.
    open: Option<usize>,
    end: usize,
}

impl Quotes {
    pub(crate) fn new(delimiter: u8, quote: u8) -> Self {
        Quotes { delimiter, quote, seen: 0, open: None, end: 0 }
    }
}

impl Cut for Quotes {
    fn restart(&mut self) {
        *self = Quotes::new(self.delimiter, self.quote);
    }

    fn advance(&mut self, bytes: &[u8], _: &mut Vec<(u32, u32)>) -> Result<usize, Flaw> {
        loop {
            let Some(found) = memchr(self.quote, &bytes[self.seen..]) else {
                if self.open.is_none()
                    && let Some(at) = memrchr(b'\n', &bytes[self.seen..])
                {
                    self.end = self.seen + at + 1;
                }
                self.seen = bytes.len();
                return Ok(self.end);
            };
            let at = self.seen + found;
            if self.open.is_some() {
                match bytes.get(at + 1) {
                    // Whether it is doubled shows with the next byte.
                    None => {
                        self.seen = at;
                        return Ok(self.end);
                    }
                    Some(next) if *next == self.quote => self.seen = at + 2,
                    Some(_) => {
                        self.open = None;
                        self.seen = at + 1;
                    }
                }
            } else {
                if let Some(line) = memrchr(b'\n', &bytes[self.seen..at]) {
                    self.end = self.seen + line + 1;
                }
                let begins = at == 0 || bytes[at - 1] == self.delimiter || bytes[at - 1] == b'\n';
                if begins {
                    self.open = Some(at);
                }
                self.seen = at + 1;
            }
        }
    }

    fn finish(&mut self, bytes: &[u8], _: &mut Vec<(u32, u32)>) -> Result<(), Flaw> {
        match self.open {
            // The quote at the very end of the file closes.
            Some(open) if !(self.seen > open && bytes.get(self.seen) == Some(&self.quote)) => Err(Flaw {
                at: open,
                code: Code::OpenQuote,
                message: "a quote is opened here and never closed",
                help: "close it, double it (\"\") if it is part of the text, or set `quote:` to another character",
            }),
            _ => Ok(()),
        }
    }

    fn suspect(&self) -> Option<(usize, &'static str)> {
        self.open.map(|at| (at, "or close the quote that is opened"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> usize {
        Quotes::new(b',', b'"').advance(text.as_bytes(), &mut Vec::new()).ok().unwrap()
    }

    #[test]
    fn rows_end_outside_quotes_only() {
        assert_eq!(end("a,b\nc"), 4);
        assert_eq!(end("a,\"b\nc"), 0);
        assert_eq!(end("x\na,\"b\nc"), 2);
        assert_eq!(end("a,\"b\"\"\n\"\nc"), 9);
        assert_eq!(end("5\" disk,b\n\"c\n"), 10);
    }

    #[test]
    fn growing_by_single_bytes_finds_the_same_end() {
        let text = b"a,\"b\"\"\n\"\n\"x\"\n5\" d,\"\"\ny";
        let mut cut = Quotes::new(b',', b'"');
        let mut last = 0;
        for n in 0..=text.len() {
            last = cut.advance(&text[..n], &mut Vec::new()).ok().unwrap();
        }
        assert_eq!(last, text.len() - 1);
        assert!(cut.finish(text, &mut Vec::new()).is_ok());
    }
}

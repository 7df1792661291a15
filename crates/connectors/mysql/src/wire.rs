//! Commands and answers in text form (MySQL, "Command Phase").

use crate::{failure::Failure, packets::Packets};
use std::io;

const QUIT: u8 = 0x01;
const QUERY: u8 = 0x03;
const PING: u8 = 0x0e;

/// What a statement that gives no rows did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    /// Rows it inserted, deleted, or found to update.
    pub(crate) rows: u64,
    /// How many things the server has to say about it, which `SHOW WARNINGS` tells.
    pub(crate) warnings: u16,
}

/// A column of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its type's number (MySQL, "Column Definition").
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    /// Its collation's number; 63 is binary.
    pub(crate) charset: u16,
    /// The most characters it is shown with.
    pub(crate) length: u32,
    /// Digits behind the point.
    pub(crate) decimals: u8,
    /// A text that is JSON, as MariaDB tells it.
    pub(crate) json: bool,
}

/// How an answer begins.
pub(crate) enum Answer {
    Done(Done),
    /// Rows follow.
    Columns(Vec<Column>),
    /// The server waits for the content of a file.
    Wanted,
}

/// A row of an answer: its cells as text, where they are in its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    bytes: &'a [u8],
    cells: &'a [Option<(u32, u32)>],
}

impl<'a> Row<'a> {
    /// A cell as the server wrote it; `None` is NULL.
    pub(crate) fn get(&self, at: usize) -> Option<&'a [u8]> {
        let (from, to) = (*self.cells.get(at)?)?;
        Some(&self.bytes[from as usize..to as usize])
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }
}

/// A connection on which one thing is said after the other.
pub(crate) struct Wire {
    packets: Packets,
    cells: Vec<Option<(u32, u32)>>,
    /// An answer was not read to its end, or the connection failed: nothing can be said on it any more.
    broken: bool,
}

impl Wire {
    pub(crate) fn over(packets: Packets) -> Wire {
        Wire { packets, cells: Vec::new(), broken: false }
    }

    /// Sends a statement, and reads how its answer begins.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<Answer, Failure> {
        self.say(QUERY, sql.as_bytes())?;
        self.guarded(Wire::answer)
    }

    /// Asks whether the server is there.
    pub(crate) fn ping(&mut self) -> Result<(), Failure> {
        self.say(PING, &[])?;
        self.guarded(Wire::answer).map(|_| ())
    }

    /// How long an answer may take.
    pub(crate) fn patience(&self, timeout: Option<std::time::Duration>) -> io::Result<()> {
        self.packets.patience(timeout)
    }

    /// Says goodbye; the server need not find out by itself.
    pub(crate) fn quit(&mut self) {
        if !self.broken {
            // On a connection that is gone nobody listens.
            let _ = self.say(QUIT, &[]);
            self.broken = true;
        }
    }

    fn say(&mut self, command: u8, words: &[u8]) -> Result<(), Failure> {
        if self.broken {
            return Err(Failure::Lost(io::ErrorKind::NotConnected.into()));
        }
        self.packets.begin();
        self.guarded(|wire| {
            wire.packets.put(&[&[command], words])?;
            Ok(wire.packets.flush()?)
        })
    }

    /// What is not the server's own word leaves the connection unusable.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Wire) -> Result<T, Failure>) -> Result<T, Failure> {
        let done = work(self);
        if matches!(done, Err(ref failure) if !matches!(failure, Failure::Server { .. })) {
            self.broken = true;
        }
        done
    }

    /// Leaves an answer unread.
    pub(crate) fn abandon(&mut self) {
        self.broken = true;
    }

    fn answer(&mut self) -> Result<Answer, Failure> {
        let packet = self.packets.next()?;
        let bytes = self.packets.bytes(packet);
        let mut fields = Fields::of(bytes);
        let columns = match bytes.first() {
            Some(0x00) => return Ok(Answer::Done(done(bytes)?)),
            Some(0xff) => return Err(failure_of(bytes)),
            Some(0xfb) => return Ok(Answer::Wanted),
            _ => fields.number()? as usize,
        };
        let mut out = Vec::with_capacity(columns.min(4096));
        for _ in 0..columns {
            let packet = self.packets.next()?;
            out.push(column(self.packets.bytes(packet), self.packets.extended)?);
        }
        let packet = self.packets.next()?;
        match self.packets.bytes(packet) {
            [0xfe, ..] => Ok(Answer::Columns(out)),
            [0xff, ..] => Err(failure_of(self.packets.bytes(packet))),
            _ => Err(Failure::Protocol("its columns do not end")),
        }
    }

    /// The next row of an answer, or `None` at its end.
    pub(crate) fn row(&mut self) -> Result<Option<Row<'_>>, Failure> {
        let packet = match self.packets.next() {
            Ok(packet) => packet,
            Err(error) => {
                self.broken = true;
                return Err(error.into());
            }
        };
        let bytes = self.packets.bytes(packet);
        match bytes.first() {
            Some(0xfe) if bytes.len() < 9 => return Ok(None),
            Some(0xff) => return Err(failure_of(bytes)),
            _ => {}
        }
        self.cells.clear();
        let mut fields = Fields::of(bytes);
        while !fields.rest().is_empty() {
            let cell = fields.cell();
            if cell.is_err() {
                self.broken = true;
            }
            self.cells.push(cell?);
        }
        Ok(Some(Row { bytes, cells: &self.cells }))
    }

    /// A part of the file that the server waits for.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.guarded(|wire| Ok(wire.packets.put(&[bytes])?))
    }

    /// The end of it, and what the server made of it.
    pub(crate) fn given(&mut self) -> Result<Done, Failure> {
        self.guarded(|wire| {
            wire.packets.put(&[&[]])?;
            wire.packets.flush()?;
            match wire.answer()? {
                Answer::Done(done) => Ok(done),
                _ => Err(Failure::Protocol("it answers a file with rows")),
            }
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.quit();
    }
}

/// Fields of a packet, from its beginning on.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

const SHORT: Failure = Failure::Protocol("a packet is shorter than it says");

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Fields { bytes, at: 0 }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        let taken = self.rest().get(..length).ok_or(SHORT)?;
        self.at += length;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Failure> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn until_zero(&mut self) -> Result<&'a [u8], Failure> {
        let length = self.rest().iter().position(|b| *b == 0).ok_or(SHORT)?;
        let taken = self.take(length)?;
        self.at += 1;
        Ok(taken)
    }

    /// A number that says itself how many bytes it has.
    pub(crate) fn number(&mut self) -> Result<u64, Failure> {
        let length = match self.byte()? {
            small @ 0..=0xfa => return Ok(u64::from(small)),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return Err(Failure::Protocol("a length is none")),
        };
        let mut wide = [0; 8];
        wide[..length].copy_from_slice(self.take(length)?);
        Ok(u64::from_le_bytes(wide))
    }

    /// A text with its length before it.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], Failure> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| SHORT)?)
    }

    fn cell(&mut self) -> Result<Option<(u32, u32)>, Failure> {
        if self.rest().first() == Some(&0xfb) {
            self.at += 1;
            return Ok(None);
        }
        let length = self.text()?.len();
        let place = |at: usize| u32::try_from(at).map_err(|_| Failure::Protocol("a row is larger than 4 GiB"));
        Ok(Some((place(self.at - length)?, place(self.at)?)))
    }
}

fn done(bytes: &[u8]) -> Result<Done, Failure> {
    let mut fields = Fields::of(bytes);
    fields.byte()?;
    let rows = fields.number()?;
    fields.number()?;
    fields.take(2)?;
    let warnings = fields.take(2)?;
    Ok(Done { rows, warnings: u16::from_le_bytes([warnings[0], warnings[1]]) })
}

fn column(bytes: &[u8], extended: bool) -> Result<Column, Failure> {
    let mut fields = Fields::of(bytes);
    // Catalog, schema, table by both of its names.
    for _ in 0..4 {
        fields.text()?;
    }
    let name = String::from_utf8_lossy(fields.text()?).into_owned();
    fields.text()?;
    let json = extended && is_json(fields.text()?)?;
    fields.number()?;
    let fixed = fields.take(10)?;
    Ok(Column {
        name,
        charset: u16::from_le_bytes([fixed[0], fixed[1]]),
        length: u32::from_le_bytes([fixed[2], fixed[3], fixed[4], fixed[5]]),
        kind: fixed[6],
        flags: u16::from_le_bytes([fixed[7], fixed[8]]),
        decimals: fixed[9],
        json,
    })
}

/// Pairs of a number and a text; 1 is the form of the values.
fn is_json(more: &[u8]) -> Result<bool, Failure> {
    let mut fields = Fields::of(more);
    while !fields.rest().is_empty() {
        if (fields.byte()?, fields.text()?) == (1, b"json") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the server said went wrong.
pub(crate) fn failure_of(bytes: &[u8]) -> Failure {
    let mut fields = Fields::of(bytes);
    let said = (|| {
        fields.byte()?;
        let code = fields.take(2)?;
        let code = u16::from_le_bytes([code[0], code[1]]);
        // Before it is known who asks there is no state.
        if fields.rest().first() == Some(&b'#') {
            fields.take(6)?;
        }
        Ok::<_, Failure>(Failure::Server { code, message: String::from_utf8_lossy(fields.rest()).into_owned() })
    })();
    said.unwrap_or_else(|failure| failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_say_how_long_they_are() {
        let mut bytes = vec![250, 0xfc, 0x01, 0x02, 0xfd, 1, 0, 1, 0xfe, 0, 0, 0, 0, 1, 0, 0, 0, 3, b'a', b'b', b'c'];
        let mut fields = Fields::of(&bytes);
        let numbers: Vec<u64> = (0..4).map(|_| fields.number().unwrap()).collect();
        assert_eq!(numbers, [250, 0x201, 0x1_0001, 1 << 32]);
        assert_eq!(fields.text().unwrap(), b"abc");
        bytes.pop();
        let mut fields = Fields::of(&bytes[17..]);
        assert!(fields.text().is_err());
    }

    #[test]
    fn a_failure_is_read_with_and_without_its_state() {
        let Failure::Server { code, message } = failure_of(b"\xff\x15\x04#28000Access denied") else { panic!() };
        assert_eq!((code, message.as_str()), (1045, "Access denied"));
        let Failure::Server { code, message } = failure_of(b"\xff\x10\x04Too many") else { panic!() };
        assert_eq!((code, message.as_str()), (1040, "Too many"));
    }
}

//! Text files as blocks of whole rows.
//!
//! Cutting is the only step that must run in file order, so it does as little as it can: it finds where a row ends and
//! leaves the fields to the threads behind it.

use crate::open::Input;
use floodmark_core::{Code, Error, Result, error::Place};
use memchr::memchr_iter;

/// Whole rows of a text file.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Their bytes; the buffer is used again for later blocks.
    pub(crate) bytes: Vec<u8>,
    /// Line of the first byte, from 1.
    pub(crate) line: u64,
    /// Where rows begin and end, for formats whose rows are not lines.
    pub(crate) spans: Vec<(u32, u32)>,
}

/// Finds row ends in a growing buffer that begins with a row.
pub(crate) trait Cut: Send {
    /// Forgets the buffer: the next one begins after the last row that was found.
    fn restart(&mut self);

    /// Looks at what was added to `bytes` since the last call; the end of the last whole row found so far, 0 if none.
    fn advance(&mut self, bytes: &[u8], spans: &mut Vec<(u32, u32)>) -> Result<usize, Flaw>;

    /// At the end of the file: whether what is left of `bytes` is whole.
    fn finish(&mut self, bytes: &[u8], spans: &mut Vec<(u32, u32)>) -> Result<(), Flaw>;

    /// What to say of a row that does not end within the limit, and where in `bytes` that is to be found.
    fn suspect(&self) -> Option<(usize, &'static str)>;
}

/// A file that cannot be cut into rows: position in the buffer, code, message, advice.
pub(crate) struct Flaw {
    pub(crate) at: usize,
    pub(crate) code: Code,
    pub(crate) message: &'static str,
    pub(crate) help: &'static str,
}

/// Rows longer than this are refused whatever the settings: Arrow offsets have 31 bits, and JSON text may grow sixfold
/// when it is escaped again.
const ROW_CEILING: usize = 1 << 28;

/// How large rows and blocks may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// The largest row.
    pub(crate) row: usize,
    /// The size of a block, unless a single row is larger.
    pub(crate) block: usize,
}

impl Sizes {
    pub(crate) fn new(row: usize, block: usize) -> Sizes {
        Sizes { row: row.min(ROW_CEILING), block: block.clamp(1, ROW_CEILING) }
    }
}

/// Cuts a text file into blocks.
pub(crate) struct Blocks<C> {
    input: Input,
    cut: C,
    sizes: Sizes,
    name: String,
    line: u64,
}

impl<C: Cut> Blocks<C> {
    /// From where `input` stands, which is at the beginning of line `line`.
    pub(crate) fn new(input: Input, cut: C, sizes: Sizes, name: &str, line: u64) -> Self {
        Blocks { input, cut, sizes, name: name.to_owned(), line }
    }

    /// The next whole rows; `false` when there are none left.
    pub(crate) fn next(&mut self, block: &mut Block) -> Result<bool> {
        let bytes = &mut block.bytes;
        bytes.clear();
        block.spans.clear();
        std::mem::swap(bytes, &mut self.input.carry);
        // The swapped-in buffer holds the rest of the last block; what it had beyond is not needed again.
        self.input.carry.clear();
        self.cut.restart();
        block.line = self.line;
        let mut size = self.sizes.block.max(bytes.len());
        let end = loop {
            self.input.fill(bytes, size)?;
            let flaw = match self.cut.advance(bytes, &mut block.spans) {
                Ok(_) if self.input.ended => match self.cut.finish(bytes, &mut block.spans) {
                    Ok(()) => break bytes.len(),
                    Err(flaw) => flaw,
                },
                Ok(0) => {
                    // A line end of two bytes is not part of the row.
                    if bytes.len() > self.sizes.row + 2 {
                        return Err(self.too_large(bytes));
                    }
                    size = bytes.len().saturating_mul(2).max(self.sizes.block).min(self.sizes.row + 3);
                    continue;
                }
                Ok(end) => break end,
                Err(flaw) => flaw,
            };
            let line = self.line + memchr_iter(b'\n', &bytes[..flaw.at.min(bytes.len())]).count() as u64;
            return Err(Error::new(flaw.code, flaw.message)
                .at(Place { file: Some(self.name.clone().into()), line: Some(line), ..Place::default() })
                .help(flaw.help));
        };
        self.input.carry.extend_from_slice(&bytes[end..]);
        bytes.truncate(end);
        self.line += memchr_iter(b'\n', bytes).count() as u64;
        Ok(!bytes.is_empty())
    }

    fn too_large(&self, bytes: &[u8]) -> Error {
        let error = too_large(&self.name, self.line, self.sizes.row);
        match self.cut.suspect() {
            None => error,
            Some((at, what)) => {
                let line = self.line + memchr_iter(b'\n', &bytes[..at]).count() as u64;
                error.help(format!("{what} in line {line}"))
            }
        }
    }
}

/// A row beyond the limit.
pub(crate) fn too_large(name: &str, line: u64, limit: usize) -> Error {
    Error::new(Code::RowTooLarge, format!("a row is larger than {limit} bytes"))
        .at(Place { file: Some(name.into()), line: Some(line), ..Place::default() })
        .help("raise `max_row_bytes` (to at most 256 MiB) if the row is right")
}

/// Rows that are lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    seen: usize,
    end: usize,
}

impl Cut for Lines {
    fn restart(&mut self) {
        *self = Lines::default();
    }

    fn advance(&mut self, bytes: &[u8], _: &mut Vec<(u32, u32)>) -> Result<usize, Flaw> {
        if let Some(at) = memchr::memrchr(b'\n', &bytes[self.seen..]) {
            self.end = self.seen + at + 1;
        }
        self.seen = bytes.len();
        Ok(self.end)
    }

    fn finish(&mut self, _: &[u8], _: &mut Vec<(u32, u32)>) -> Result<(), Flaw> {
        Ok(())
    }

    fn suspect(&self) -> Option<(usize, &'static str)> {
        None
    }
}

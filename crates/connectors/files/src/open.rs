//! From a path to bytes: compression and format by content, and the hash of what was read.

use crate::bytes::{Bytes, Failure, is_remote};
use floodmark_connect::{Slice, Stop};
use floodmark_core::{
    Code, Error, Result,
    pipeline::{FileFormat, FileSource},
};
use std::{
    fs::File,
    io::{self, BufReader, Chain, Cursor, Read, Seek, SeekFrom},
    path::Path,
    sync::{Arc, OnceLock},
    time::UNIX_EPOCH,
};
use xxhash_rust::xxh3::Xxh3;

/// The hash of a file's bytes, set once the last of them was read.
pub(crate) type HashSlot = Arc<OnceLock<u128>>;

/// How a file is packed, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    fn of(head: &[u8]) -> Packing {
        match head {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            _ => Packing::Plain,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Packing::Plain => "plain",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }
}

/// Hashes the bytes that pass, as they are on disk.
struct Hashing {
    file: Chain<Cursor<Vec<u8>>, Bytes>,
    hasher: Option<Box<Xxh3>>,
    slot: HashSlot,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            if n > 0 {
                hasher.update(&buffer[..n]);
            } else if !buffer.is_empty() {
                let _ = self.slot.set(hasher.digest128());
            }
        }
        Ok(n)
    }
}

/// An open file, unpacked on the way, with what was read of it but not used yet.
pub(crate) struct Input {
    reader: Box<dyn Read + Send>,
    failure: Failure,
    packing: Packing,
    name: String,
    /// Bytes that come next.
    pub(crate) carry: Vec<u8>,
    /// Nothing comes after `carry`.
    pub(crate) ended: bool,
}

/// Whether the hash is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Wanted,
    Unwanted,
}

impl Input {
    /// Goes on from an open file; `name` is what messages call it.
    pub(crate) fn new(mut file: Bytes, name: &str, hash: Hash) -> Result<(Input, HashSlot)> {
        let mut head = [0u8; 4];
        let failure = file.failure();
        let fail = |e| failure.take().unwrap_or_else(|| read_error(name, e));
        let n = read_full(&mut file, &mut head).map_err(fail)?;
        let packing = Packing::of(&head[..n]);
        // Put back: an object that was rewound would be asked for once more.
        let file = Cursor::new(head[..n].to_vec()).chain(file);
        let slot = HashSlot::default();
        let hasher = (hash == Hash::Wanted).then(|| Box::new(Xxh3::new()));
        let raw = Hashing { file, hasher, slot: Arc::clone(&slot) };
        let reader: Box<dyn Read + Send> = match packing {
            Packing::Plain => Box::new(raw),
            Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(256 << 10, raw))),
            Packing::Zstd => {
                Box::new(zstd::Decoder::with_buffer(BufReader::with_capacity(256 << 10, raw)).map_err(fail)?)
            }
        };
        Ok((Input { reader, failure, packing, name: name.to_owned(), carry: Vec::new(), ended: false }, slot))
    }

    /// How it is packed.
    pub(crate) fn packing(&self) -> Packing {
        self.packing
    }

    /// Appends to `out` until it holds `size` bytes or nothing is left. `carry` is not looked at.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>, size: usize) -> Result<()> {
        let mut len = out.len();
        if self.ended || len >= size {
            return Ok(());
        }
        out.resize(size, 0);
        while len < size {
            match self.reader.read(&mut out[len..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(n) => len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    out.truncate(len);
                    return Err(self.error(e));
                }
            }
        }
        out.truncate(len);
        Ok(())
    }

    /// Makes `carry` hold at least `size` bytes, or all there are.
    pub(crate) fn peek(&mut self, size: usize) -> Result<&[u8]> {
        let mut carry = std::mem::take(&mut self.carry);
        let filled = self.fill(&mut carry, size);
        self.carry = carry;
        filled?;
        Ok(&self.carry)
    }

    /// Copies all that is left to a temporary file, for formats that are read by position.
    pub(crate) fn spool(mut self, stop: &Stop) -> Result<File> {
        let mut file = tempfile::tempfile().map_err(|e| spool_error(&self.name, e))?;
        let mut part = std::mem::take(&mut self.carry);
        loop {
            stop.check()?;
            self.fill(&mut part, 1 << 20)?;
            if part.is_empty() {
                break;
            }
            io::Write::write_all(&mut file, &part).map_err(|e| spool_error(&self.name, e))?;
            part.clear();
        }
        file.rewind().map_err(|e| spool_error(&self.name, e))?;
        Ok(file)
    }

    fn error(&self, error: io::Error) -> Error {
        if let Some(own) = self.failure.take() {
            return own;
        }
        // What the decoder says itself has no error number of the operating system.
        if self.packing == Packing::Plain || error.raw_os_error().is_some() {
            return read_error(&self.name, error);
        }
        let kind = self.packing.name();
        let what = if error.kind() == io::ErrorKind::UnexpectedEof { "ends too early" } else { "is damaged" };
        Error::new(Code::BadCompression, format!("the {kind} data {what}"))
            .in_file(&self.name)
            .help(format!("fetch or write the file again; `{kind} -t` checks it"))
            .cause(error)
    }
}

/// Opens a file for reading.
pub(crate) fn open_file(path: &Path, name: &str) -> Result<File> {
    File::open(path).map_err(|e| {
        let code = if e.kind() == io::ErrorKind::NotFound { Code::SourceMissing } else { Code::SourceRead };
        Error::new(code, "the file cannot be opened")
            .in_file(name)
            .help("check that it is still there and that its permissions allow reading")
            .cause(e)
    })
}

/// An error of the operating system while reading.
pub(crate) fn read_error(name: &str, error: io::Error) -> Error {
    Error::new(Code::SourceRead, "the file cannot be read").in_file(name).cause(error)
}

fn spool_error(name: &str, error: io::Error) -> Error {
    Error::new(Code::SourceRead, "a temporary copy cannot be written")
        .in_file(name)
        .help("make room in the directory for temporary files, or set TMPDIR to another one")
        .cause(error)
}

fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}

/// xxh3-128 of a file's first `limit` bytes as they are on disk, or of all of them.
pub(crate) fn hash(file: Bytes, name: &str, limit: Option<u64>, stop: &Stop) -> Result<u128> {
    let failure = file.failure();
    let mut file = file.take(limit.unwrap_or(u64::MAX));
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        stop.check()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.digest128()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failure.take().unwrap_or_else(|| read_error(name, e))),
        }
    }
}

/// Whether a line of a plain text file ends at that many bytes: with them, or with what follows them.
pub(crate) fn line_ends_at(mut file: Bytes, name: &str, bytes: u64) -> Result<bool> {
    let failure = file.failure();
    let mut read = |at: u64, buffer: &mut [u8]| {
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| read_full(&mut file, buffer));
        read.map_err(|e| failure.take().unwrap_or_else(|| read_error(name, e)))
    };
    let mut magic = [0; 4];
    let known = read(0, &mut magic)?;
    if Packing::of(&magic[..known]) != Packing::Plain {
        return Ok(false);
    }
    let mut around = [0; 3];
    let start = bytes.saturating_sub(1);
    let found = read(start, &mut around)?;
    let (before, after) = around[..found].split_at(found.min((bytes - start) as usize));
    Ok(before.is_empty() || before == b"\n" || after.is_empty() || after[0] == b'\n' || after == b"\r\n")
}

/// Size and modification time (nanoseconds since the epoch) of a file.
pub(crate) fn stat(path: &Path, name: &str) -> Result<(u64, i64)> {
    let meta = std::fs::metadata(path).map_err(|e| read_error(name, e))?;
    let modified = meta.modified().map_err(|e| read_error(name, e))?;
    let nanos = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    };
    Ok((meta.len(), nanos))
}

/// An error when a file is no longer what the slice says: rows from two states of it would be mixed. An object sees to that
/// itself, with every read.
pub(crate) fn unchanged(slice: &Slice, path: &Path) -> Result<()> {
    if is_remote(&slice.name) {
        return Ok(());
    }
    if stat(path, &slice.name)? == (slice.size, slice.modified) {
        return Ok(());
    }
    Err(Error::new(Code::SourceRead, "the file was changed while it was being read")
        .in_file(&slice.name)
        .help("run again when it is complete; writers should write under another name and rename the file at the end"))
}

/// The format of a file: as told, else by its name, else by its first bytes.
pub(crate) fn format_of(spec: &FileSource, name: &str, head: &[u8]) -> Result<FileFormat> {
    let content = by_content(head);
    let Some(told) = spec.format.or_else(|| by_name(name, head)) else { return Ok(content) };
    let columnar = |f| matches!(f, FileFormat::Parquet | FileFormat::Arrow);
    let shown = |f: FileFormat| FileFormat::NAMES.iter().find(|(_, g)| *g == f).map_or("", |(n, _)| n);
    // An Arrow stream has no magic bytes of its own to insist on.
    if (columnar(content) || told == FileFormat::Parquet) && content != told {
        return Err(Error::new(
            Code::BadFormat,
            format!("the file should be {} and does not begin like it", shown(told)),
        )
        .in_file(name)
        .help(format!("its first bytes look like {}; set `format: {0}` if that is what it is", shown(content))));
    }
    Ok(told)
}

fn by_name(name: &str, head: &[u8]) -> Option<FileFormat> {
    let lower = name.to_ascii_lowercase();
    let stem = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|end| lower.strip_suffix(end)).unwrap_or(&lower);
    match Path::new(stem).extension()?.to_str()? {
        "csv" | "tsv" | "tab" | "txt" | "psv" => Some(FileFormat::Csv),
        // Both names are used for both; rows are objects, so an array can only be that of all rows.
        "json" | "jsonl" | "ndjson" if first_letter(head) == Some(b'[') => Some(FileFormat::Json),
        "json" | "jsonl" | "ndjson" => Some(FileFormat::Jsonl),
        "parquet" | "pq" => Some(FileFormat::Parquet),
        "arrow" | "arrows" | "feather" | "ipc" => Some(FileFormat::Arrow),
        _ => None,
    }
}

fn by_content(head: &[u8]) -> FileFormat {
    match head {
        [b'P', b'A', b'R', b'1', ..] => FileFormat::Parquet,
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xff, 0xff, 0xff, 0xff, _, ..] => FileFormat::Arrow,
        _ => match first_letter(head) {
            Some(b'{') => FileFormat::Jsonl,
            Some(b'[') => FileFormat::Json,
            _ => FileFormat::Csv,
        },
    }
}

fn first_letter(head: &[u8]) -> Option<u8> {
    head.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(head).iter().copied().find(|b| !b.is_ascii_whitespace())
}

/// Skips a UTF-8 byte order mark at the beginning of `carry`; any other is an error that names the encoding.
pub(crate) fn skip_bom(input: &mut Input) -> Result<()> {
    input.peek(4)?;
    let encoding = match input.carry.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => "UTF-32",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        [0xef, 0xbb, 0xbf, ..] => {
            input.carry.drain(..3);
            return Ok(());
        }
        _ => return Ok(()),
    };
    Err(Error::new(Code::BadEncoding, format!("the file is {encoding}, not UTF-8"))
        .in_file(&input.name)
        .help(format!("convert it: iconv -f {encoding} -t UTF-8 {0:?} > converted", input.name)))
}

//! Cells of JSON objects.

use crate::{
    blocks::{Block, too_large},
    cells::{CellAt, Chars, RowAt, RowFlaw, Rows},
};
use floodmark_core::{Code, Error, Result, infer::Cell};
use memchr::{memchr, memchr_iter};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{collections::HashMap, fmt};

/// More different keys than this are data, not columns.
pub(crate) const MAX_COLUMNS: usize = 20_000;

const UNWANTED: usize = usize::MAX;

/// Parses blocks of objects; keeps what it learnt of keys, and its buffers, from one block to the next.
#[derive(Debug)]
pub(crate) struct JsonParser {
    keys: Keys,
    max_row: usize,
    name: String,
    row: Vec<CellAt>,
    /// Text of strings with escapes.
    pub(crate) resolved: Vec<u8>,
}

/// The keys met so far.
#[derive(Debug, Default)]
struct Keys {
    names: Vec<String>,
    index: HashMap<String, usize>,
    /// Where each key's cell goes in a row, or `UNWANTED`.
    slots: Vec<usize>,
    /// The row each key was last met in, to find duplicates.
    met: Vec<u64>,
    current: u64,
    /// New keys become columns.
    grow: bool,
}

impl JsonParser {
    /// Cells for these columns only.
    pub(crate) fn for_columns(names: &[String], max_row: usize, name: &str) -> Self {
        let mut keys = Keys::default();
        for (slot, column) in names.iter().enumerate() {
            keys.add(column, slot);
        }
        Self::with(keys, names.len(), max_row, name)
    }

    /// A column for every key that appears.
    pub(crate) fn for_all(max_row: usize, name: &str) -> Self {
        Self::with(Keys { grow: true, ..Keys::default() }, 0, max_row, name)
    }

    fn with(keys: Keys, width: usize, max_row: usize, name: &str) -> Self {
        JsonParser { keys, max_row, name: name.to_owned(), row: vec![CellAt::ABSENT; width], resolved: Vec::new() }
    }

    /// The columns in the order they first appeared.
    pub(crate) fn names(&self) -> &[String] {
        &self.keys.names
    }

    /// Forgets the keys of earlier blocks, so that each block tells its own order.
    pub(crate) fn forget(&mut self) {
        self.keys = Keys { grow: self.keys.grow, ..Keys::default() };
        self.row.clear();
    }

    /// Hands every row of the block to `rows`: its lines, or its spans where it has any.
    pub(crate) fn parse(&mut self, block: &Block, spanned: bool, rows: &mut impl Rows) -> Result<()> {
        let bytes = block.bytes.as_slice();
        self.resolved.clear();
        let whole = std::str::from_utf8(bytes).ok();
        let mut number = 0;
        if spanned {
            for &(start, end) in &block.spans {
                self.object(block, whole, (start as usize, end as usize), &mut number, rows)?;
            }
            return Ok(());
        }
        let mut start = 0;
        while start < bytes.len() {
            let end = memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
            let line = &bytes[start..end];
            let blank = line.len() - line.trim_ascii_start().len();
            let kept = line.trim_ascii().len();
            if kept > 0 {
                self.object(block, whole, (start + blank, start + blank + kept), &mut number, rows)?;
            }
            start = end + 1;
        }
        Ok(())
    }

    fn object(
        &mut self,
        block: &Block,
        whole: Option<&str>,
        (start, end): (usize, usize),
        number: &mut u32,
        rows: &mut impl Rows,
    ) -> Result<()> {
        let bytes = block.bytes.as_slice();
        let line = || block.line + memchr_iter(b'\n', &bytes[..start]).count() as u64;
        if end - start > self.max_row {
            return Err(too_large(&self.name, line(), self.max_row));
        }
        let at = RowAt { start: start as u32, end: end as u32, number: *number };
        *number += 1;
        let text = match whole {
            Some(whole) => &whole[start..end],
            None => match std::str::from_utf8(&bytes[start..end]) {
                Ok(text) => text,
                Err(error) => {
                    rows.flawed(at, RowFlaw::Encoding(error.valid_up_to(), None));
                    return Ok(());
                }
            },
        };
        self.row.fill(CellAt::ABSENT);
        self.keys.current += 1;
        let object = Object {
            keys: &mut self.keys,
            row: &mut self.row,
            resolved: &mut self.resolved,
            origin: bytes.as_ptr() as usize,
        };
        let mut json = serde_json::Deserializer::from_str(text);
        match object.deserialize(&mut json).and_then(|()| json.end()) {
            Ok(()) => rows.row(Chars { block: bytes, resolved: &self.resolved }, at, &self.row),
            Err(error) => rows.flawed(at, flaw(&error)),
        }
        if self.keys.grow && self.keys.names.len() > MAX_COLUMNS {
            return Err(Error::new(
                Code::BadFormat,
                format!("the objects have more than {MAX_COLUMNS} different keys"),
            )
            .at(floodmark_core::error::Place { line: Some(line()), ..Default::default() })
            .in_file(&self.name)
            .help("keys that are data belong into a nested object, which is loaded as one json column"));
        }
        Ok(())
    }
}

fn flaw(error: &serde_json::Error) -> RowFlaw {
    let text = error.to_string();
    // The position is said by line and column of the file, not of the row.
    let said = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    RowFlaw::Json(said.to_owned(), error.line().saturating_sub(1), error.column())
}

impl Keys {
    fn add(&mut self, name: &str, slot: usize) -> usize {
        let key = self.names.len();
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), key);
        self.slots.push(slot);
        self.met.push(0);
        key
    }

    /// The number of a key; most objects list their keys in the same order, so `guess` is tried first.
    #[inline]
    fn find(&mut self, name: &str, guess: usize) -> usize {
        if self.names.get(guess).is_some_and(|n| n == name) {
            return guess;
        }
        match self.index.get(name) {
            Some(&key) => key,
            None => {
                let slot = if self.grow { self.names.len() } else { UNWANTED };
                self.add(name, slot)
            }
        }
    }
}

/// One object into one row of cells.
struct Object<'p> {
    keys: &'p mut Keys,
    row: &'p mut Vec<CellAt>,
    resolved: &'p mut Vec<u8>,
    /// Address of the block's first byte: values say where they are by it.
    origin: usize,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<(), M::Error> {
        let mut guess = 0;
        while let Some(key) = map.next_key_seed(Key { keys: self.keys, guess })? {
            guess = key + 1;
            let value: &RawValue = map.next_value()?;
            if std::mem::replace(&mut self.keys.met[key], self.keys.current) == self.keys.current {
                return Err(M::Error::custom(format!("the key {:?} occurs twice", self.keys.names[key])));
            }
            // A broken string makes the row bad whether or not its column is wanted.
            let cell = self.cell(value.get()).map_err(M::Error::custom)?;
            let slot = self.keys.slots[key];
            if slot == UNWANTED {
                continue;
            }
            if slot >= self.row.len() {
                self.row.resize(slot + 1, CellAt::ABSENT);
            }
            self.row[slot] = cell;
        }
        Ok(())
    }
}

impl Object<'_> {
    fn cell(&mut self, text: &str) -> Result<CellAt, serde_json::Error> {
        let start = text.as_ptr() as usize - self.origin;
        let end = start + text.len();
        Ok(match text.as_bytes() {
            [b'n', ..] => CellAt::NULL,
            [b't' | b'f', ..] => CellAt::block(start, end, Cell::Bool),
            [b'{' | b'[', ..] => CellAt::block(start, end, Cell::Nested),
            [b'"', inner @ .., b'"'] if memchr(b'\\', inner).is_none() => {
                CellAt::block(start + 1, end - 1, Cell::Quoted)
            }
            [b'"', ..] => {
                let begun = self.resolved.len();
                self.resolved.extend_from_slice(serde_json::from_str::<String>(text)?.as_bytes());
                CellAt::resolved(begun, self.resolved.len(), Cell::Quoted)
            }
            _ => CellAt::block(start, end, Cell::Number),
        })
    }
}

/// A key into its number.
struct Key<'k> {
    keys: &'k mut Keys,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        Ok(self.keys.find(name, self.guess))
    }
}

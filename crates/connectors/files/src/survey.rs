//! Columns and types of text files, from every row.

use crate::{
    blocks::Block,
    cells::{CellAt, Chars, RowAt, RowFlaw, Rows},
    json::MAX_COLUMNS,
    text::{Parser, Shape},
};
use floodmark_core::{Code, Column, DataType, Error, Result, Schema, infer::Guess};
use std::collections::HashMap;

/// What is known of a column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    guess: Guess,
    /// A row has it, be it NULL.
    present: bool,
    /// Columnar files say their types.
    typed: Option<DataType>,
}

/// What a block or a file holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) names: Vec<String>,
    seen: Vec<Seen>,
    /// Good and bad.
    pub(crate) rows: u64,
}

impl Seen {
    fn merge(&mut self, other: &Seen) {
        self.guess.merge(&other.guess);
        self.present |= other.present;
        self.typed = match (self.typed, other.typed) {
            (Some(a), Some(b)) => Some(common(a, b)),
            (a, b) => a.or(b),
        };
    }

    fn data_type(&self, pinned: Option<DataType>) -> DataType {
        let guessed = pinned.map_or_else(|| self.guess.data_type(), |pinned| self.guess.against(pinned));
        match self.typed {
            None => guessed,
            Some(typed) if self.guess.seen() => common(typed, guessed),
            Some(typed) => typed,
        }
    }
}

/// The type for a column that two files type differently. Values it does not hold are bad rows when they are read.
fn common(a: DataType, b: DataType) -> DataType {
    use DataType::{BigInt, Double, Text};
    match (a, b) {
        // Writers turn integers into doubles as soon as one is NULL.
        (BigInt, Double) | (Double, BigInt) => Double,
        _ => a.widen(b).or_else(|| b.widen(a)).unwrap_or(Text),
    }
}

impl Found {
    /// The columns of a header, before any row.
    pub(crate) fn named(names: &[String]) -> Found {
        Found { names: names.to_vec(), seen: vec![Seen::default(); names.len()], rows: 0 }
    }

    /// The columns of a columnar file.
    pub(crate) fn typed(schema: Schema, rows: u64) -> Found {
        let (names, seen) = (schema.columns.into_iter())
            .map(|c| (c.name, Seen { typed: (!c.undecided).then_some(c.data_type), ..Seen::default() }))
            .unzip();
        Found { names, seen, rows }
    }

    /// One more column that every row has, of a type that is known; one that is there stays as it is.
    pub(crate) fn add_typed(&mut self, name: &str, data_type: DataType) {
        if !self.names.iter().any(|there| there == name) {
            self.names.push(name.to_owned());
            self.seen.push(Seen { typed: Some(data_type), present: true, ..Seen::default() });
        }
    }

    /// The columns with the types of these rows alone.
    pub(crate) fn schema(&self, pinned: &HashMap<String, DataType>) -> Result<Schema> {
        let mut alone = Union::default();
        alone.add(self)?;
        Ok(alone.schema(pinned))
    }
}

/// Surveys blocks of one file.
pub(crate) struct Surveyor {
    parser: Parser,
    /// CSV: the header's names, which are columns whether or not a row follows.
    header: Option<Vec<String>>,
}

impl Surveyor {
    pub(crate) fn new(shape: &Shape, name: &str) -> Surveyor {
        let header = match shape {
            Shape::Csv { header, .. } => Some(header.names.clone()),
            Shape::Json { .. } => None,
        };
        Surveyor { parser: Parser::new(shape, None, name), header }
    }

    /// What a block holds. Bad rows are counted and otherwise left out: reading reports them.
    pub(crate) fn survey(&mut self, block: &Block) -> Result<Found> {
        let width = self.header.as_ref().map_or(0, Vec::len);
        let mut observer = Observer { seen: vec![Seen::default(); width], rows: 0 };
        if let Parser::Json { parser, .. } = &mut self.parser {
            // Every block tells its own order of columns, so that the order does not depend on who parsed what before.
            parser.forget();
        }
        self.parser.parse(block, &mut observer)?;
        let names = match (&self.parser, &self.header) {
            (_, Some(header)) => header.clone(),
            (Parser::Json { parser, .. }, None) => parser.names().to_vec(),
            (Parser::Csv(_), None) => Vec::new(),
        };
        observer.seen.resize(names.len(), Seen::default());
        Ok(Found { names, seen: observer.seen, rows: observer.rows })
    }
}

struct Observer {
    seen: Vec<Seen>,
    rows: u64,
}

impl Rows for Observer {
    #[inline]
    fn row(&mut self, chars: Chars<'_>, _: RowAt, cells: &[CellAt]) {
        self.rows += 1;
        if cells.len() > self.seen.len() {
            self.seen.resize(cells.len(), Seen::default());
        }
        for (cell, seen) in cells.iter().zip(&mut self.seen) {
            seen.present |= cell.present();
            if let Some(kind) = cell.kind {
                seen.guess.observe(chars.of(cell), kind);
            }
        }
    }

    fn flawed(&mut self, _: RowAt, _: RowFlaw) {
        self.rows += 1;
    }
}

/// What several blocks or files hold together.
#[derive(Debug, Default)]
pub(crate) struct Union {
    columns: Vec<(String, Seen)>,
    index: HashMap<String, usize>,
    /// Good and bad rows.
    pub(crate) rows: u64,
}

impl Union {
    /// Adds what comes behind.
    pub(crate) fn add(&mut self, found: &Found) -> Result<()> {
        self.rows += found.rows;
        for (i, (name, seen)) in found.names.iter().zip(&found.seen).enumerate() {
            // Blocks of one file mostly have the same columns in the same order.
            let at = match self.columns.get(i) {
                Some((same, _)) if same == name => Some(i),
                _ => self.index.get(name).copied(),
            };
            match at {
                Some(at) => self.columns[at].1.merge(seen),
                None => {
                    self.index.insert(name.clone(), self.columns.len());
                    self.columns.push((name.clone(), seen.clone()));
                }
            }
        }
        if self.columns.len() > MAX_COLUMNS {
            return Err(Error::new(
                Code::BadFormat,
                format!("the source has more than {MAX_COLUMNS} different columns"),
            )
            .help("keys that are data belong into a nested object, which is loaded as one json column"));
        }
        Ok(())
    }

    /// Columns that a row has, or that a header names.
    pub(crate) fn found(self, named: bool) -> Found {
        let (names, seen) = self.columns.into_iter().filter(|(_, seen)| named || seen.present).unzip();
        Found { names, seen, rows: self.rows }
    }

    /// The columns with their types: those pinned where all values fit them.
    pub(crate) fn schema(&self, pinned: &HashMap<String, DataType>) -> Schema {
        let columns = self.columns.iter().map(|(name, seen)| {
            let pinned = pinned.get(name).copied();
            let undecided = pinned.is_none() && seen.typed.is_none() && !seen.guess.seen();
            Column { undecided, ..Column::new(name, seen.data_type(pinned)) }
        });
        Schema { columns: columns.collect() }
    }
}

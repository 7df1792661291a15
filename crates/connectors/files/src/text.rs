//! A text file, opened: its format, its header, and how to read its blocks.

use crate::{
    bad::{self, Context, LineCounter},
    blocks::{Block, Blocks, Lines, Sizes},
    cells::{Chars, Grid, Rows},
    convert,
    csv::{CsvParser, Header, Quotes},
    json::{Elements, JsonParser},
    open::{HashSlot, Input, skip_bom},
};
use arrow::{
    array::{BooleanArray, RecordBatch, RecordBatchOptions},
    compute::filter_record_batch,
};
use floodmark_connect::BadRow;
use floodmark_core::{
    Code, Error, Result, Schema,
    pipeline::{CsvOptions, FileFormat},
};

/// Cuts a text file of any format.
pub(crate) enum Cutter {
    Csv(Blocks<Quotes>),
    Lines(Blocks<Lines>),
    Array(Blocks<Elements>),
}

impl Cutter {
    /// The next whole rows; `false` when there are none left.
    pub(crate) fn next(&mut self, block: &mut Block) -> Result<bool> {
        match self {
            Cutter::Csv(blocks) => blocks.next(block),
            Cutter::Lines(blocks) => blocks.next(block),
            Cutter::Array(blocks) => blocks.next(block),
        }
    }
}

/// What tells how to parse blocks; every thread makes its own parser of it.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Csv {
        options: CsvOptions,
        header: Header,
        max_row: usize,
    },
    /// `spanned`: rows are the block's spans, not its lines.
    Json {
        spanned: bool,
        max_row: usize,
    },
}

/// A text file at its first row.
pub(crate) struct TextFile {
    pub(crate) cutter: Cutter,
    pub(crate) shape: Shape,
    pub(crate) context: Context,
    pub(crate) hash: HashSlot,
}

impl TextFile {
    /// Goes on from an input of a known text format.
    pub(crate) fn open(
        (mut input, hash): (Input, HashSlot),
        format: FileFormat,
        csv: &CsvOptions,
        sizes: Sizes,
        name: &str,
    ) -> Result<TextFile> {
        input.peek(1)?;
        if input.carry.is_empty() {
            return Err(Error::new(Code::SourceEmpty, "the file is empty")
                .in_file(name)
                .help("was it written completely? leave it out of the pattern if it should hold nothing"));
        }
        skip_bom(&mut input)?;
        let mut context = Context { name: name.to_owned(), columns: Vec::new(), hint: None };
        let max_row = sizes.row;
        let (cutter, shape) = match format {
            FileFormat::Json => {
                let blocks = Blocks::new(input, Elements::default(), sizes, name, 1);
                (Cutter::Array(blocks), Shape::Json { spanned: true, max_row })
            }
            FileFormat::Jsonl => {
                let blocks = Blocks::new(input, Lines::default(), sizes, name, 1);
                (Cutter::Lines(blocks), Shape::Json { spanned: false, max_row })
            }
            FileFormat::Csv | FileFormat::Parquet | FileFormat::Arrow => {
                let header = Header::read(&mut input, csv, sizes, name)?;
                context.columns.clone_from(&header.names);
                context.hint.clone_from(&header.hint);
                let cut = Quotes::new(header.delimiter, csv.quote);
                let blocks = Blocks::new(input, cut, sizes, name, header.line);
                (Cutter::Csv(blocks), Shape::Csv { options: csv.clone(), header, max_row })
            }
        };
        Ok(TextFile { cutter, shape, context, hash })
    }
}

/// Parses blocks of either shape.
pub(crate) enum Parser {
    Csv(CsvParser),
    Json { parser: JsonParser, spanned: bool },
}

impl Parser {
    /// Rows have a cell for each column of the file (CSV) or for each of `columns` (JSON; `None`: each that appears).
    pub(crate) fn new(shape: &Shape, columns: Option<&[String]>, name: &str) -> Parser {
        match shape {
            Shape::Csv { options, header, max_row } => {
                Parser::Csv(CsvParser::new(options, header.delimiter, Some(header.names.len()), *max_row, name))
            }
            Shape::Json { spanned, max_row } => {
                let parser = match columns {
                    Some(columns) => JsonParser::for_columns(columns, *max_row, name),
                    None => JsonParser::for_all(*max_row, name),
                };
                Parser::Json { parser, spanned: *spanned }
            }
        }
    }

    /// Hands every row of the block to `rows`.
    pub(crate) fn parse(&mut self, block: &Block, rows: &mut impl Rows) -> Result<()> {
        match self {
            Parser::Csv(parser) => parser.parse(block, rows),
            Parser::Json { parser, spanned } => parser.parse(block, *spanned, rows),
        }
    }

    fn resolved(&self) -> &[u8] {
        match self {
            Parser::Csv(parser) => &parser.resolved,
            Parser::Json { parser, .. } => &parser.resolved,
        }
    }
}

/// A block, converted.
pub(crate) struct Converted {
    /// The good rows.
    pub(crate) rows: RecordBatch,
    /// The bad ones; numbers count from 0 at the block's beginning.
    pub(crate) bad: Vec<BadRow>,
    /// Good and bad.
    pub(crate) covered: u64,
}

/// Parses and converts blocks: the columns of `schema`, all of which the file has.
pub(crate) struct Converter {
    parser: Parser,
    grid: Grid,
    schema: Schema,
    arrow: arrow::datatypes::SchemaRef,
    context: Context,
    /// Positions in `schema` of columns in which NULL is bad, with the code that says so.
    required: Vec<(usize, Code)>,
}

impl Converter {
    pub(crate) fn new(shape: &Shape, schema: &Schema, required: &[(String, Code)], context: &Context) -> Converter {
        let names: Vec<String> = schema.columns.iter().map(|c| c.name.clone()).collect();
        let (wanted, width) = match shape {
            Shape::Csv { header, .. } => {
                let position = |name: &String| header.names.iter().position(|n| n == name);
                (names.iter().filter_map(position).collect(), header.names.len())
            }
            Shape::Json { .. } => ((0..names.len()).collect(), names.len()),
        };
        Converter {
            parser: Parser::new(shape, Some(&names), &context.name),
            grid: Grid::new(wanted, width),
            arrow: schema.to_arrow(),
            schema: schema.clone(),
            context: context.clone(),
            required: required.iter().filter_map(|(name, code)| Some((schema.index(name)?, *code))).collect(),
        }
    }

    /// Rows of a block in the planned types.
    pub(crate) fn convert(&mut self, block: &Block) -> Result<Converted> {
        self.grid.clear();
        self.parser.parse(block, &mut self.grid)?;
        let chars = Chars { block: &block.bytes, resolved: self.parser.resolved() };
        let mut misfits = Vec::new();
        let arrays = (self.schema.columns.iter().enumerate())
            .map(|(i, c)| convert::column(&self.grid, chars, i, c.data_type, &mut misfits))
            .collect::<Result<Vec<_>>>()?;
        for (column, _) in &self.required {
            let cells = self.grid.column(*column).enumerate();
            misfits.extend(
                cells.filter(|(_, c)| c.kind.is_none()).map(|(row, _)| convert::Misfit { row, column: *column }),
            );
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.grid.rows.len()));
        let mut rows = RecordBatch::try_new_with_options(self.arrow.clone(), arrays, &options)?;
        // One column of a bad row is enough to say; the first one.
        misfits.sort_unstable();
        misfits.dedup_by_key(|m| m.row);
        if !misfits.is_empty() {
            let mut keep = vec![true; self.grid.rows.len()];
            misfits.iter().for_each(|m| keep[m.row] = false);
            rows = filter_record_batch(&rows, &BooleanArray::from(keep))?;
        }
        let mut bad = Vec::with_capacity(misfits.len() + self.grid.flawed.len());
        let mut lines = LineCounter::new(&block.bytes, block.line);
        let (mut misfits, mut flawed) = (misfits.iter().peekable(), self.grid.flawed.iter().peekable());
        loop {
            let misfit = misfits.peek().map(|m| self.grid.rows[m.row]);
            let flaw = flawed.peek().map(|(at, _)| *at);
            match (misfit, flaw) {
                (None, None) => break,
                (Some(at), other) if other.is_none_or(|o| at.number < o.number) => {
                    let line = lines.line(at.start as usize);
                    let Some(m) = misfits.next() else { break };
                    let column = &self.schema.columns[m.column];
                    let cell = self.grid.cell(m.row, m.column).filter(|c| c.kind.is_some());
                    let code = self.required.iter().find(|(n, _)| *n == m.column).map(|(_, code)| *code);
                    let error = match (cell, code) {
                        (None, Some(code)) => self.context.null(&column.name, code, line),
                        _ => {
                            let value = cell.map_or_else(String::new, |c| convert::shown(chars, c));
                            self.context.misfit(&column.name, column.data_type, value, line)
                        }
                    };
                    bad.push(bad::row(&block.bytes, at, line, error));
                }
                _ => {
                    let Some((at, flaw)) = flawed.next() else { break };
                    let line = lines.line(at.start as usize);
                    let row = &block.bytes[at.start as usize..at.end as usize];
                    bad.push(bad::row(&block.bytes, *at, line, self.context.flawed(flaw, row, line)));
                }
            }
        }
        Ok(Converted { rows, bad, covered: self.grid.covered() })
    }
}

//! What all text formats become before types matter: rows of cells that point into a block.

use floodmark_core::infer::Cell;

/// One cell of a row: where its characters are and what the format says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellAt {
    start: u32,
    len: u32,
    /// `None` is NULL.
    pub(crate) kind: Option<Cell>,
    place: Held,
}

/// Where the characters of a cell are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// In the block, as they stand in the file.
    Block,
    /// In the parser's buffer, with doubled quotes or escapes resolved.
    Resolved,
    /// Nowhere: the row has no such cell.
    Absent,
}

impl CellAt {
    /// A NULL.
    pub(crate) const NULL: CellAt = CellAt { start: 0, len: 0, kind: None, place: Held::Block };
    /// A NULL because the row does not have the column.
    pub(crate) const ABSENT: CellAt = CellAt { start: 0, len: 0, kind: None, place: Held::Absent };

    /// Characters of the block. Blocks are short enough for 32 bits (`blocks::Sizes`).
    #[inline]
    pub(crate) fn block(start: usize, end: usize, kind: Cell) -> CellAt {
        CellAt { start: start as u32, len: (end - start) as u32, kind: Some(kind), place: Held::Block }
    }

    /// Characters of the buffer of resolved text.
    pub(crate) fn resolved(start: usize, end: usize, kind: Cell) -> CellAt {
        CellAt { start: start as u32, len: (end - start) as u32, kind: Some(kind), place: Held::Resolved }
    }

    /// Whether the row has the cell at all.
    pub(crate) fn present(&self) -> bool {
        self.place != Held::Absent
    }
}

/// The characters that cells point into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chars<'a> {
    pub(crate) block: &'a [u8],
    pub(crate) resolved: &'a [u8],
}

impl<'a> Chars<'a> {
    /// The characters of a cell.
    #[inline]
    pub(crate) fn of(&self, cell: &CellAt) -> &'a [u8] {
        let from = match cell.place {
            Held::Block => self.block,
            Held::Resolved => self.resolved,
            Held::Absent => return &[],
        };
        &from[cell.start as usize..cell.start as usize + cell.len as usize]
    }
}

/// Where a row stands in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowAt {
    /// First byte.
    pub(crate) start: u32,
    /// One past the last byte, line end left out.
    pub(crate) end: u32,
    /// Its number in the block, from 0, bad rows counted.
    pub(crate) number: u32,
}

/// Why a row has no cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowFlaw {
    /// The number of fields is not that of the header.
    Fields(usize),
    /// Text stands behind the closing quote of this field (from 0).
    AfterQuote(usize),
    /// Not UTF-8: offset of the first wrong byte in the row, and the field it is in, where fields are known.
    Encoding(usize, Option<usize>),
    /// Not a JSON object: what is wrong, the line (from 0, within the row) and the byte column from 1.
    Json(String, usize, usize),
}

/// Takes the rows of a block in order.
pub(crate) trait Rows {
    /// A row, with one cell a column.
    fn row(&mut self, chars: Chars<'_>, at: RowAt, cells: &[CellAt]);
    /// A row that could not be parsed.
    fn flawed(&mut self, at: RowAt, flaw: RowFlaw);
}

/// The rows of a block, kept: row-major, only the wanted columns.
#[derive(Debug, Default)]
pub(crate) struct Grid {
    /// For each kept column, its position in the parser's rows.
    wanted: Vec<usize>,
    /// `wanted` is all of them in order.
    all: bool,
    cells: Vec<CellAt>,
    /// Where the rows stand.
    pub(crate) rows: Vec<RowAt>,
    /// The rows that could not be parsed.
    pub(crate) flawed: Vec<(RowAt, RowFlaw)>,
}

impl Grid {
    /// Keeps these columns of the parser's `width`.
    pub(crate) fn new(wanted: Vec<usize>, width: usize) -> Grid {
        let all = wanted.len() == width && wanted.iter().enumerate().all(|(i, w)| i == *w);
        Grid { wanted, all, ..Grid::default() }
    }

    /// Forgets the rows, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.rows.clear();
        self.flawed.clear();
    }

    /// The cells of a kept column, top to bottom.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = &CellAt> {
        self.cells.iter().skip(column).step_by(self.wanted.len().max(1))
    }

    /// One cell of a kept column.
    pub(crate) fn cell(&self, row: usize, column: usize) -> Option<&CellAt> {
        self.cells.get(row * self.wanted.len() + column)
    }

    /// Rows of the block, good and bad.
    pub(crate) fn covered(&self) -> u64 {
        (self.rows.len() + self.flawed.len()) as u64
    }
}

impl Rows for Grid {
    #[inline]
    fn row(&mut self, _: Chars<'_>, at: RowAt, cells: &[CellAt]) {
        self.rows.push(at);
        if self.all {
            self.cells.extend_from_slice(cells);
        } else {
            self.cells.extend(self.wanted.iter().map(|&w| cells[w]));
        }
    }

    fn flawed(&mut self, at: RowAt, flaw: RowFlaw) {
        self.flawed.push((at, flaw));
    }
}

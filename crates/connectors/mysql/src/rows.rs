//! Rows on their way into a table: as a file that the server reads while it is written, or, where the server takes no files
//! of its clients (`local_infile = 0`), as statements with many rows each.

use crate::{
    codec::{self, Taken},
    failure::{Failure, to},
    link::{Db, Local},
    literal,
};
use floodmark_core::{Code, DataType, Error, Result, wording};
use floodmark_merge::cell::Cell;

/// Where rows go: a table, as it stands in a statement, and those of its columns that they have.
pub(crate) struct Inlet {
    pub(crate) table: String,
    pub(crate) columns: Vec<Taken>,
}

impl Inlet {
    pub(crate) fn names(&self) -> String {
        self.columns.iter().map(|c| literal::name(&c.name)).collect::<Vec<_>>().join(", ")
    }

    fn load_data(&self) -> String {
        let (mut fields, mut set) = (Vec::new(), Vec::new());
        for (n, column) in self.columns.iter().enumerate() {
            let name = literal::name(&column.name);
            if column.data_type == DataType::Bytes {
                fields.push(format!("@b{n}"));
                set.push(format!("{name} = UNHEX(@b{n})"));
            } else {
                fields.push(name);
            }
        }
        let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
        format!(
            "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET utf8mb4 FIELDS TERMINATED BY 0x09 ESCAPED BY 0x5c
             LINES TERMINATED BY 0x0a ({}){set}",
            self.table,
            fields.join(", ")
        )
    }
}

/// Takes one cell after the other, and the end of each row.
pub(crate) struct Writer<'w, 'l> {
    columns: &'w [Taken],
    at: usize,
    rows: u64,
    text: String,
    sink: Sink<'w, 'l>,
}

enum Sink<'w, 'l> {
    File(&'w mut Local<'l>),
    Statements { db: &'w Db, begin: String, sql: String, most: usize },
}

impl Writer<'_, '_> {
    pub(crate) fn cell(&mut self, cell: Cell<'_>) -> Result<()> {
        let column = self.columns.get(self.at).ok_or_else(|| Error::internal("a row has more cells than columns"))?;
        self.text.clear();
        if let Some(bytes) = cell {
            column.put(bytes, &mut self.text)?;
        }
        match &mut self.sink {
            Sink::File(file) => {
                if self.at > 0 {
                    file.buffer.push(b'\t');
                }
                match cell {
                    None => file.buffer.extend_from_slice(b"\\N"),
                    Some(_) => escape(self.text.as_bytes(), &mut file.buffer),
                }
            }
            Sink::Statements { begin, sql, .. } => {
                if sql.is_empty() {
                    sql.push_str(begin);
                }
                let open = match self.at {
                    0 if sql.len() > begin.len() => ",(",
                    0 => "(",
                    _ => ",",
                };
                sql.push_str(open);
                match cell {
                    None => sql.push_str("NULL"),
                    Some(_) if column.data_type == DataType::Bytes => {
                        sql.push_str("x'");
                        sql.push_str(&self.text);
                        sql.push('\'');
                    }
                    Some(_) => literal::put_text(sql, &self.text),
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    /// A cell as another server sent it.
    pub(crate) fn sent(&mut self, sent: Option<&[u8]>) -> Result<()> {
        let column = self.columns.get(self.at).ok_or_else(|| Error::internal("a row has more cells than columns"))?;
        let mut cell = Vec::new();
        codec::neutral(sent, column.data_type, &mut cell);
        self.cell(sent.map(|_| &cell[4..]))
    }

    /// A whole number.
    pub(crate) fn number(&mut self, number: i64) -> Result<()> {
        self.cell(Some(&number.to_be_bytes()))
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        if self.at != self.columns.len() {
            return Err(Error::internal("a row has fewer cells than columns"));
        }
        self.at = 0;
        self.rows += 1;
        match &mut self.sink {
            Sink::File(file) => {
                file.buffer.push(b'\n');
                file.passed()
            }
            Sink::Statements { sql, most, .. } => {
                sql.push(')');
                if sql.len() >= *most { self.flush() } else { Ok(()) }
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        if let Sink::Statements { db, sql, .. } = &mut self.sink
            && !sql.is_empty()
        {
            // Blanks at the end of a text that is too long go with a note, in strict mode, too.
            if db.execute(sql).map_err(to("insert rows"))?.warnings > 0 {
                return Err(db.warned());
            }
            sql.clear();
        }
        Ok(())
    }
}

/// A text in which what ends a cell or a row means itself.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    let special = |b: &u8| matches!(b, b'\\' | b'\t' | b'\n');
    let mut rest = text;
    while let Some(at) = rest.iter().position(special) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(match rest[at] {
            b'\t' => b't',
            b'\n' => b'n',
            other => other,
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

impl Db {
    /// Sends rows; `feed` may use nothing else of this connection meanwhile. Returns how many, all of which the server has
    /// taken as they are.
    pub(crate) fn copy_in(&self, inlet: &Inlet, feed: impl FnOnce(&mut Writer<'_, '_>) -> Result<()>) -> Result<u64> {
        let columns = &inlet.columns[..];
        if self.server.local {
            let mut rows = 0;
            let done = self.load_local(&inlet.load_data(), |file| {
                let mut writer = Writer { columns, at: 0, rows: 0, text: String::new(), sink: Sink::File(file) };
                feed(&mut writer)?;
                rows = writer.rows;
                Ok(())
            })?;
            if done.rows != rows {
                let message = format!("the server took {} of {}", done.rows, wording::count(rows, "row"));
                return Err(Error::new(Code::DestinationWrite, message)
                    .state("the open transaction was rolled back")
                    .help("a trigger of the table that leaves rows out must go: what a run reports is what it wrote"));
            }
            return Ok(rows);
        }
        let begin = format!("INSERT INTO {} ({}) VALUES ", inlet.table, inlet.names());
        // Half of what the server takes at once leaves room for the row that goes over it.
        let sink =
            Sink::Statements { db: self, begin, sql: String::new(), most: (self.server.packet / 2).min(1 << 20) };
        let mut writer = Writer { columns, at: 0, rows: 0, text: String::new(), sink };
        feed(&mut writer)?;
        writer.flush()?;
        Ok(writer.rows)
    }

    /// A statement with many values: `before`, the values with commas between, `after`; as often as it takes. Returns how
    /// many rows were met.
    pub(crate) fn with_values(
        &self,
        before: &str,
        values: impl IntoIterator<Item = String>,
        after: &str,
    ) -> Result<u64, Failure> {
        let most = (self.server.packet / 2).min(1 << 20);
        let (mut sql, mut met) = (String::new(), 0);
        let mut say = |sql: &mut String| {
            if !sql.is_empty() {
                sql.push_str(after);
                met += self.execute(sql)?.rows;
                sql.clear();
            }
            Ok::<_, Failure>(())
        };
        for value in values {
            sql.push_str(if sql.is_empty() { before } else { "," });
            sql.push_str(&value);
            if sql.len() >= most {
                say(&mut sql)?;
            }
        }
        say(&mut sql)?;
        Ok(met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_takes_no_files_takes_the_same_rows() {
        let mut db = crate::link::tests::connect();
        let columns = [("n", DataType::BigInt), ("s", DataType::Text), ("b", DataType::Bytes)];
        let columns: Vec<Taken> = columns.into_iter().map(|(name, t)| Taken::new(name, t)).collect();
        let mut told = Vec::new();
        for local in [true, false] {
            db.server.local = local;
            let inlet = Inlet { table: format!("rows_{local}"), columns: columns.clone() };
            db.execute(&format!("CREATE TEMPORARY TABLE {} (n bigint, s longtext, b longblob)", inlet.table)).unwrap();
            let sent = db.copy_in(&inlet, |writer| {
                for n in 0..3000_i64 {
                    writer.number(n)?;
                    writer.cell((n % 3 > 0).then_some("it's \\ \t \n a text".repeat(20).as_bytes()))?;
                    writer.cell((n % 2 > 0).then_some(&[0, 0xff, b'\'']))?;
                    writer.end()?;
                }
                Ok(())
            });
            assert_eq!(sent.unwrap(), 3000);
            let sql = format!("SELECT count(*), sum(crc32(concat_ws('|', n, s, hex(b)))) FROM {}", inlet.table);
            let row = db.query_one(&sql).unwrap();
            told.push([0, 1].map(|at| row.text(at).unwrap().to_owned()));
        }
        assert_eq!(told[0], told[1]);
    }

    #[test]
    fn what_ends_a_cell_means_itself() {
        let mut out = Vec::new();
        escape(b"a\tb\\c\nd\r\0'", &mut out);
        assert_eq!(out, b"a\\tb\\\\c\\nd\r\0'");
    }
}

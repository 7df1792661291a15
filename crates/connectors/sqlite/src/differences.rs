//! How a table differs between two databases.

use crate::{codec, ddl, failure::to};
use floodmark_connect::{Differences, RowChange, Sample};
use floodmark_core::{Code, Column, Error, Result, Value, pipeline::Pipeline, url::ConnectionUrl};
use rusqlite::{Connection, Row};

/// The table as it is in both databases: columns of either, those of the key first.
struct Pair {
    table: String,
    columns: Vec<Column>,
    key: usize,
    version: Option<usize>,
    /// By column: whether this database has it, and the other one.
    there: Vec<(bool, bool)>,
}

pub(crate) fn between(
    db: &Connection,
    other: &ConnectionUrl,
    pipeline: &Pipeline,
    limit: usize,
) -> Result<Differences> {
    let fail = to("compare the tables");
    let path = other.file_path()?.ok_or_else(|| Error::internal("a database in memory cannot be compared"))?;
    db.execute("ATTACH ?1 AS other", [path.to_str()]).map_err(&fail)?;
    let pair = Pair::new(db, pipeline)?;
    let found = if pair.key > 0 { pair.by_key(db, limit) } else { pair.by_content(db, limit) };
    db.execute_batch("DETACH other").map_err(fail)?;
    found
}

impl Pair {
    fn new(db: &Connection, pipeline: &Pipeline) -> Result<Pair> {
        let name = &pipeline.destination.table;
        let of = |database: &str| -> Result<Vec<Column>> {
            db.prepare("SELECT name, type FROM pragma_table_xinfo(?1, ?2) WHERE hidden = 0 ORDER BY cid")
                .and_then(|mut s| {
                    s.query_map([name.as_str(), database], |r| {
                        Ok(Column::new(r.get::<_, String>(0)?, codec::from_declared(&r.get::<_, String>(1)?)))
                    })?
                    .collect()
                })
                .map_err(to("read the table's columns"))
        };
        let (here, there) = (of("main")?, of("other")?);
        if here.is_empty() || there.is_empty() {
            return Err(Error::new(Code::TableShape, format!("there is no table {name:?} in one of the two")));
        }
        let has = |columns: &[Column], name: &str| columns.iter().any(|c| c.name == name);
        let mut columns = here.clone();
        columns.extend(there.iter().filter(|c| !has(&here, &c.name)).cloned());
        let key = ddl::key_columns(pipeline);
        columns.sort_by_key(|c| key.iter().position(|k| *k == c.name).unwrap_or(usize::MAX));
        Ok(Pair {
            table: ddl::quote(name),
            key: key.len(),
            version: pipeline.version.as_ref().and_then(|v| columns.iter().position(|c| c.name == *v)),
            there: columns.iter().map(|c| (has(&here, &c.name), has(&there, &c.name))).collect(),
            columns,
        })
    }

    /// Every column as it is here (`a`) or there (`b`), NULL where it is not.
    fn cells(&self, side: char) -> Vec<String> {
        let there = |(here, there): (bool, bool)| if side == 'a' { here } else { there };
        let cell = |(c, both): (&Column, &(bool, bool))| match there(*both) {
            true => format!("{side}.{}", ddl::quote(&c.name)),
            false => "NULL".to_owned(),
        };
        self.columns.iter().zip(&self.there).map(cell).collect()
    }

    fn by_key(&self, db: &Connection, limit: usize) -> Result<Differences> {
        let fail = to("compare the tables");
        let (a, b) = (self.cells('a'), self.cells('b'));
        let both = |from: usize, to: usize, op: &str, word: &str| {
            (from..to).map(|n| format!("{} {op} {}", a[n], b[n])).collect::<Vec<_>>().join(word)
        };
        let on = both(0, self.key, "=", " AND ");
        // A version that is a part of the key (the moments of a history) is equal wherever rows meet.
        let tie = self.version.map_or("FALSE".to_owned(), |v| format!("{} IS {}", a[v], b[v]));
        let rest = (self.key < self.columns.len()).then(|| both(self.key, self.columns.len(), "IS NOT", " OR "));
        let differ = rest.unwrap_or("FALSE".to_owned());
        // A column of the key is never NULL, so it tells whether there is a row at all.
        let (no_a, no_b) = (format!("{} IS NULL", a[0]), format!("{} IS NULL", b[0]));
        let from =
            format!("FROM main.{0} a FULL JOIN other.{0} b ON {on} WHERE {no_a} OR {no_b} OR ({differ})", self.table);
        let sql = format!("SELECT count(*), coalesce(sum(CASE WHEN {no_a} OR {no_b} THEN 0 ELSE {tie} END), 0) {from}");
        let (rows, ties) = db
            .query_row(&sql, [], |r| Ok((r.get::<_, i64>(0)?.unsigned_abs(), r.get::<_, i64>(1)?.unsigned_abs())))
            .map_err(&fail)?;
        let mut samples = Vec::new();
        let kinds = [
            (format!("AND {no_a}"), Kind::There),
            (format!("AND NOT {no_a} AND NOT {no_b}"), Kind::Both),
            (format!("AND {no_b}"), Kind::Here),
        ];
        for (condition, kind) in kinds {
            let sql = format!(
                "SELECT {}, {} FROM main.{3} a FULL JOIN other.{3} b ON {on} WHERE ({no_a} OR {no_b} OR ({differ})) \
                 {condition} LIMIT {2}",
                a.join(", "),
                b.join(", "),
                limit,
                self.table
            );
            let mut statement = db.prepare(&sql).map_err(&fail)?;
            let mut found = statement.query([]).map_err(&fail)?;
            while let Some(row) = found.next().map_err(&fail)? {
                samples.push(self.sample(row, kind)?);
            }
        }
        Ok(Differences { rows, ties, samples })
    }

    fn by_content(&self, db: &Connection, limit: usize) -> Result<Differences> {
        let fail = to("compare the tables");
        let all = |side: char, sign: i8, database: &str| {
            format!("SELECT {}, {sign} FROM {database}.{} {side}", self.cells(side).join(", "), self.table)
        };
        // How much oftener a content is there than here.
        let names: Vec<String> = (0..self.columns.len()).map(|n| format!("c{n}")).collect();
        let names = names.join(", ");
        let sql = format!(
            "WITH both_({names}, sign) AS ({} UNION ALL {}) SELECT {names}, sum(sign) AS more FROM both_ GROUP BY {names} \
             HAVING more <> 0",
            all('b', 1, "other"),
            all('a', -1, "main")
        );
        let (mut rows, mut there, mut here) = (0, Vec::new(), Vec::new());
        let mut statement = db.prepare(&sql).map_err(&fail)?;
        let mut found = statement.query([]).map_err(&fail)?;
        while let Some(row) = found.next().map_err(&fail)? {
            let more: i64 = row.get(self.columns.len()).map_err(&fail)?;
            rows += more.unsigned_abs();
            let (kind, samples) = if more > 0 { (Kind::There, &mut there) } else { (Kind::Here, &mut here) };
            if samples.len() < limit {
                samples.push(Sample { key: Vec::new(), change: kind.change(self.row(row, 0)?) });
            }
        }
        there.extend(here);
        Ok(Differences { rows, ties: 0, samples: there })
    }

    /// The columns that begin at `at`, with their names.
    fn row(&self, row: &Row<'_>, at: usize) -> Result<Vec<(String, Value)>> {
        let cell = |(n, c): (usize, &Column)| {
            let stored = row.get_ref(at + n)?;
            let value = codec::decode(stored, c.data_type).unwrap_or_else(|| codec::decode_as_stored(stored));
            Ok((c.name.clone(), value))
        };
        self.columns.iter().enumerate().map(cell).collect::<rusqlite::Result<_>>().map_err(to("read a row"))
    }

    fn sample(&self, row: &Row<'_>, kind: Kind) -> Result<Sample> {
        let mut here = self.row(row, 0)?;
        let mut there = self.row(row, self.columns.len())?;
        let (here_rest, there_rest) = (here.split_off(self.key), there.split_off(self.key));
        Ok(match kind {
            Kind::There => Sample { key: there, change: kind.change(there_rest) },
            Kind::Here => Sample { key: here, change: kind.change(here_rest) },
            Kind::Both => {
                let cells = here_rest.into_iter().zip(there_rest);
                let differ = cells.filter(|((_, a), (_, b))| a != b).map(|((name, a), (_, b))| (name, a, b));
                Sample { key: here, change: RowChange::Updated(differ.collect()) }
            }
        })
    }
}

/// Where a row is.
#[derive(Clone, Copy)]
enum Kind {
    Here,
    There,
    Both,
}

impl Kind {
    fn change(self, cells: Vec<(String, Value)>) -> RowChange {
        match self {
            Kind::There => RowChange::Inserted(cells),
            Kind::Here | Kind::Both => RowChange::Removed(cells),
        }
    }
}

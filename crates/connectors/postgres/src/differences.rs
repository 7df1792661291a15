//! How a table differs between two databases: the other one's rows are brought here, and compared by the server.

use crate::{
    codec,
    ddl::{self, Found, Name},
    failure::to,
    link::{Db, Step},
    tuples::Tuple,
};
use floodmark_connect::{Differences, RowChange, Sample};
use floodmark_core::{Code, Column, DataType, Error, Result, Value, pipeline::Pipeline};

const OTHER: &str = "pg_temp._floodmark_other";

/// The table as it is in both databases: columns of either, those of the key first.
struct Pair {
    table: Name,
    columns: Vec<Column>,
    key: usize,
    version: Option<usize>,
    here: Vec<Option<Found>>,
    there: Vec<Option<Found>>,
}

pub(crate) fn between(db: &Db, other: &Db, pipeline: &Pipeline, limit: usize) -> Result<Differences> {
    let pair = Pair::new(db, other, pipeline)?;
    // The temporary table goes with it.
    let _step = Step::begin(db, false)?;
    pair.bring(db, other)?;
    if pair.key > 0 { pair.by_key(db, limit) } else { pair.by_content(db, limit) }
}

impl Pair {
    fn new(db: &Db, other: &Db, pipeline: &Pipeline) -> Result<Pair> {
        let written = &pipeline.destination.table;
        let table = Name::resolve(db, written)?;
        let (here, there) = (ddl::table(db, &table)?, ddl::table(other, &Name::resolve(other, written)?)?);
        let (Some(here), Some(there)) = (here, there) else {
            return Err(Error::new(Code::TableShape, format!("there is no table {written:?} in one of the two")));
        };
        let mut columns = here.schema().columns;
        columns.extend(there.schema().columns.into_iter().filter(|c| here.get(&c.name).is_none()));
        let key = ddl::key_columns(pipeline);
        columns.sort_by_key(|c| key.iter().position(|k| *k == c.name).unwrap_or(usize::MAX));
        Ok(Pair {
            table,
            key: key.len(),
            version: pipeline.version.as_ref().and_then(|v| columns.iter().position(|c| c.name == *v)),
            here: columns.iter().map(|c| here.get(&c.name).cloned()).collect(),
            there: columns.iter().map(|c| there.get(&c.name).cloned()).collect(),
            columns,
        })
    }

    /// Copies the other table's rows beside this one's. Columns are called by their numbers there.
    fn bring(&self, db: &Db, other: &Db) -> Result<()> {
        let columns: Vec<String> = (self.columns.iter().zip(&self.there).enumerate())
            .map(|(n, (column, there))| {
                let data_type = there.as_ref().map_or(column.data_type, |t| t.data_type);
                format!("c{n} {}", codec::declared(data_type))
            })
            .collect();
        let make = format!("CREATE TEMPORARY TABLE _floodmark_other ({}) ON COMMIT DROP", columns.join(", "));
        db.execute_batch(&make).map_err(to("make a temporary table"))?;
        let cells: Vec<String> = self.there.iter().map(|c| c.as_ref().map_or("NULL".into(), |c| c.read(""))).collect();
        let select = format!("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)", cells.join(", "), self.table);
        db.copy_in(&format!("COPY {OTHER} FROM STDIN (FORMAT binary)"), |writer| {
            other.copy_out(&select, |row| writer.pass(row))
        })?;
        db.execute_batch(&format!("ANALYZE {OTHER}")).map_err(to("look at a temporary table"))
    }

    fn mine(&self, n: usize) -> String {
        self.here[n].as_ref().map_or("NULL".into(), |c| c.read("a."))
    }

    /// A cell so that it can be compared: json has no equality, and its text has.
    fn comparable(&self, n: usize, cell: &str) -> String {
        if self.columns[n].data_type == DataType::Json { format!("({cell})::text") } else { cell.to_owned() }
    }

    fn by_key(&self, db: &Db, limit: usize) -> Result<Differences> {
        let fail = to("compare the tables");
        let width = self.columns.len();
        let on: Vec<String> = (0..self.key).map(|n| format!("{} = b.c{n}", self.mine(n))).collect();
        let differ: Vec<String> = (self.key..width)
            .map(|n| {
                format!(
                    "{} IS DISTINCT FROM {}",
                    self.comparable(n, &self.mine(n)),
                    self.comparable(n, &format!("b.c{n}"))
                )
            })
            .collect();
        let differ = if differ.is_empty() { "false".to_owned() } else { differ.join(" OR ") };
        let (no_a, no_b) = (format!("{} IS NULL", self.mine(0)), "b.c0 IS NULL".to_owned());
        let from = format!("FROM {} a FULL JOIN {OTHER} b ON {}", self.table, on.join(" AND "));
        let tie = match self.version {
            Some(v) if v >= self.key => {
                format!("NOT {no_a} AND NOT {no_b} AND {} IS NOT DISTINCT FROM b.c{v}", self.mine(v))
            }
            _ => "false".to_owned(),
        };
        let all = format!("({no_a} OR {no_b} OR {differ})");
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE {tie}) {from} WHERE {all}");
        let row = db.query_one(&sql, &[]).map_err(&fail)?;
        let count = |at: usize| row.try_get::<_, i64>(at).map(i64::unsigned_abs).map_err(&fail);
        let (rows, ties) = (count(0)?, count(1)?);
        let cells: Vec<String> =
            (0..width).map(|n| self.mine(n)).chain((0..width).map(|n| format!("b.c{n}"))).collect();
        let mut samples = Vec::new();
        let kinds = [
            (no_a.clone(), Kind::There),
            (format!("NOT {no_a} AND NOT {no_b} AND ({differ})"), Kind::Both),
            (no_b.clone(), Kind::Here),
        ];
        for (condition, kind) in kinds {
            let sql = format!(
                "COPY (SELECT {} {from} WHERE {condition} LIMIT {limit}) TO STDOUT (FORMAT binary)",
                cells.join(", ")
            );
            db.copy_out(&sql, |row| {
                samples.push(self.sample(row, kind));
                Ok(())
            })?;
        }
        Ok(Differences { rows, ties, samples })
    }

    fn by_content(&self, db: &Db, limit: usize) -> Result<Differences> {
        let width = self.columns.len();
        let mine: Vec<String> = (0..width).map(|n| self.comparable(n, &self.mine(n))).collect();
        let its: Vec<String> = (0..width).map(|n| self.comparable(n, &format!("b.c{n}"))).collect();
        let here = format!("SELECT {} FROM {} a", mine.join(", "), self.table);
        let there = format!("SELECT {} FROM {OTHER} b", its.join(", "));
        let names: Vec<String> = (0..width).map(|n| format!("c{n}")).collect();
        let names = names.join(", ");
        let mut out = Differences::default();
        for (some, without, kind) in [(&there, &here, Kind::There), (&here, &there, Kind::Here)] {
            let only = format!("FROM ({some} EXCEPT ALL {without}) d({names})");
            out.rows += db
                .query_one(&format!("SELECT count(*) {only}"), &[])
                .and_then(|row| row.try_get::<_, i64>(0))
                .map_err(to("compare the tables"))?
                .unsigned_abs();
            let sql = format!("COPY (SELECT {names} {only} LIMIT {limit}) TO STDOUT (FORMAT binary)");
            db.copy_out(&sql, |row| {
                out.samples.push(Sample { key: Vec::new(), change: kind.change(self.row(row, 0)) });
                Ok(())
            })?;
        }
        Ok(out)
    }

    /// The columns that begin at `at`, with their names.
    fn row(&self, row: &Tuple, at: usize) -> Vec<(String, Value)> {
        let sides = if at == 0 { &self.here } else { &self.there };
        let cell = |(n, (c, side)): (usize, (&Column, &Option<Found>))| {
            let data_type = side.as_ref().map_or(c.data_type, |found| found.data_type);
            (c.name.clone(), codec::shown(row.cell(at + n), data_type))
        };
        self.columns.iter().zip(sides).enumerate().map(cell).collect()
    }

    fn sample(&self, row: &Tuple, kind: Kind) -> Sample {
        let mut here = self.row(row, 0);
        let mut there = self.row(row, self.columns.len());
        let (here_rest, there_rest) = (here.split_off(self.key), there.split_off(self.key));
        match kind {
            Kind::There => Sample { key: there, change: kind.change(there_rest) },
            Kind::Here => Sample { key: here, change: kind.change(here_rest) },
            Kind::Both => {
                let cells = here_rest.into_iter().zip(there_rest);
                let differ = cells.filter(|((_, a), (_, b))| a != b).map(|((name, a), (_, b))| (name, a, b));
                Sample { key: here, change: RowChange::Updated(differ.collect()) }
            }
        }
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

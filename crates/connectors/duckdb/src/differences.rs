//! How a table differs from another: the other database's rows are brought here first, and compared by DuckDB.

use crate::{
    codec,
    ddl::{self, Found, Name, Table},
    failure::to,
    link::{Db, Into, Step},
    tuples::{self, Tuple},
};
use floodmark_connect::{Differences, RowChange, Sample};
use floodmark_core::{Code, Column, DataType, Error, Result, Value, pipeline::Pipeline};

const OTHER: &str = "_floodmark_other";

/// The table as it is in both places: columns of either, those of the key first.
struct Pair {
    /// Here, as it stands in SQL.
    table: String,
    /// There, as it stands in SQL here.
    other: String,
    /// It was brought, and its columns are called by their numbers.
    brought: bool,
    columns: Vec<Column>,
    key: usize,
    version: Option<usize>,
    here: Vec<Option<Found>>,
    there: Vec<Option<Found>>,
}

pub(crate) fn between(db: &Db, other: &Db, pipeline: &Pipeline, limit: usize) -> Result<Differences> {
    let written = &pipeline.destination.table;
    let (name, its) = (Name::resolve(db, written)?, Name::resolve(other, written)?);
    let (Some(here), Some(there)) = (ddl::table(db, &name)?, ddl::table(other, &its)?) else {
        return Err(Error::new(Code::TableShape, format!("there is no table {written:?} in one of the two")));
    };
    let mut pair = Pair::new(name.to_string(), format!("temp.main.{OTHER}"), pipeline, &here, &there);
    pair.brought = true;
    let _step = Step::begin(db, false)?;
    pair.bring(db, other, &its)?;
    if pair.key > 0 { pair.by_key(db, limit) } else { pair.by_content(db, limit) }
}

/// What became of a table: of `before`, which is a copy, by now. One that was not there had no rows.
pub(crate) fn since(
    db: &Db,
    before: Option<(&str, &Table)>,
    now: (&Name, &Table),
    pipeline: &Pipeline,
    limit: usize,
) -> Result<Vec<Sample>> {
    let nothing = Table::default();
    let (table, here) = before.unwrap_or(("(SELECT 1 AS nothing WHERE false)", &nothing));
    let pair = Pair::new(table.to_owned(), now.0.to_string(), pipeline, here, now.1);
    let found = if pair.key > 0 { pair.by_key(db, limit)? } else { pair.by_content(db, limit)? };
    Ok(found.samples)
}

impl Pair {
    fn new(table: String, other: String, pipeline: &Pipeline, here: &Table, there: &Table) -> Pair {
        let mut columns = here.schema().columns;
        columns.extend(there.schema().columns.into_iter().filter(|c| here.get(&c.name).is_none()));
        let key = ddl::key_columns(pipeline);
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        columns.sort_by_key(|c| key.iter().position(|k| same(k, &c.name)).unwrap_or(usize::MAX));
        Pair {
            table,
            other,
            brought: false,
            key: key.len(),
            version: pipeline.version.as_ref().and_then(|v| columns.iter().position(|c| same(&c.name, v))),
            here: columns.iter().map(|c| here.get(&c.name).cloned()).collect(),
            there: columns.iter().map(|c| there.get(&c.name).cloned()).collect(),
            columns,
        }
    }

    /// Copies the other table's rows beside this one's.
    fn bring(&self, db: &Db, other: &Db, its: &Name) -> Result<()> {
        let data_type = |n: usize| self.there[n].as_ref().map_or(self.columns[n].data_type, |t| t.data_type);
        let names: Vec<String> = (0..self.columns.len()).map(|n| format!("c{n}")).collect();
        let columns: Vec<(&str, DataType)> =
            names.iter().enumerate().map(|(n, c)| (c.as_str(), data_type(n))).collect();
        let declared: Vec<String> = columns.iter().map(|(name, t)| format!("{name} {}", codec::staged(*t))).collect();
        let make = format!("CREATE OR REPLACE TEMPORARY TABLE {OTHER} ({})", declared.join(", "));
        db.execute_batch(&make).map_err(to("make a temporary table"))?;
        let cell = |(n, c): (usize, &Option<Found>)| {
            c.as_ref().map_or_else(|| format!("NULL::{}", codec::read_type(data_type(n))), |c| c.read(""))
        };
        let cells: Vec<String> = self.there.iter().enumerate().map(cell).collect();
        db.copy_in(&Into::Temporary(OTHER), &columns, |writer| {
            other.copy_out(&format!("SELECT {} FROM {its}", cells.join(", ")), |row| {
                let out = writer.row(columns.len())?;
                (0..columns.len()).for_each(|at| tuples::put(out, row.cell(at)));
                Ok(())
            })
        })?;
        Ok(())
    }

    fn its(&self, n: usize) -> String {
        match &self.there[n] {
            _ if self.brought => format!("b.c{n}"),
            Some(found) => found.read("b."),
            None => format!("NULL::{}", codec::read_type(self.columns[n].data_type)),
        }
    }

    fn mine(&self, n: usize) -> String {
        let of = codec::read_type(self.columns[n].data_type);
        self.here[n].as_ref().map_or_else(|| format!("NULL::{of}"), |c| c.read("a."))
    }

    /// A cell so that it can be compared: of json, its text.
    fn comparable(&self, n: usize, cell: &str) -> String {
        if self.columns[n].data_type == DataType::Json { format!("({cell})::VARCHAR") } else { cell.to_owned() }
    }

    fn by_key(&self, db: &Db, limit: usize) -> Result<Differences> {
        let fail = to("compare the tables");
        let width = self.columns.len();
        let on: Vec<String> = (0..self.key).map(|n| format!("{} = {}", self.mine(n), self.its(n))).collect();
        let differ: Vec<String> = (self.key..width)
            .map(|n| {
                format!("{} IS DISTINCT FROM {}", self.comparable(n, &self.mine(n)), self.comparable(n, &self.its(n)))
            })
            .collect();
        let differ = if differ.is_empty() { "false".to_owned() } else { differ.join(" OR ") };
        let (no_a, no_b) = (format!("{} IS NULL", self.mine(0)), format!("{} IS NULL", self.its(0)));
        let from = format!("FROM {} a FULL JOIN {} b ON {}", self.table, self.other, on.join(" AND "));
        let tie = match self.version {
            Some(v) if v >= self.key => {
                format!("NOT {no_a} AND NOT {no_b} AND {} IS NOT DISTINCT FROM {}", self.mine(v), self.its(v))
            }
            _ => "false".to_owned(),
        };
        let all = format!("({no_a} OR {no_b} OR {differ})");
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE {tie}) {from} WHERE {all}");
        let row = db.query_one(&sql, &[]).map_err(&fail)?;
        let count = |at: usize| row.try_get::<i64>(at).map(i64::unsigned_abs).map_err(&fail);
        let (rows, ties) = (count(0)?, count(1)?);
        let cells: Vec<String> = (0..width).map(|n| self.mine(n)).chain((0..width).map(|n| self.its(n))).collect();
        let mut samples = Vec::new();
        let kinds = [
            (no_a.clone(), Kind::There),
            (format!("NOT {no_a} AND NOT {no_b} AND ({differ})"), Kind::Both),
            (no_b.clone(), Kind::Here),
        ];
        for (condition, kind) in kinds {
            // By the key of either: a column's type need not be the same in both.
            let order: Vec<String> =
                (0..self.key).map(|n| self.its(n)).chain((0..self.key).map(|n| self.mine(n))).collect();
            let sql = format!(
                "SELECT {} {from} WHERE {condition} ORDER BY {} LIMIT {limit}",
                cells.join(", "),
                order.join(", ")
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
        let its: Vec<String> = (0..width).map(|n| self.comparable(n, &self.its(n))).collect();
        let here = format!("SELECT {} FROM {} a", mine.join(", "), self.table);
        let there = format!("SELECT {} FROM {} b", its.join(", "), self.other);
        let names: Vec<String> = (0..width).map(|n| format!("c{n}")).collect();
        let names = names.join(", ");
        let mut out = Differences::default();
        for (some, without, kind) in [(&there, &here, Kind::There), (&here, &there, Kind::Here)] {
            let only = format!("FROM ({some} EXCEPT ALL {without}) d({names})");
            out.rows += db
                .query_one(&format!("SELECT count(*) {only}"), &[])
                .and_then(|row| row.try_get::<i64>(0))
                .map_err(to("compare the tables"))?
                .unsigned_abs();
            let sql = format!("SELECT {names} {only} ORDER BY ALL LIMIT {limit}");
            db.copy_out(&sql, |row| {
                out.samples.push(Sample { key: Vec::new(), change: kind.change(self.row(row, 0)) });
                Ok(())
            })?;
        }
        Ok(out)
    }

    /// The columns that begin at `at`, with their names.
    fn row(&self, row: &Tuple<'_>, at: usize) -> Vec<(String, Value)> {
        let sides = if at == 0 { &self.here } else { &self.there };
        let cell = |(n, (c, side)): (usize, (&Column, &Option<Found>))| {
            let data_type = side.as_ref().map_or(c.data_type, |found| found.data_type);
            (c.name.clone(), codec::shown(row.cell(at + n), data_type))
        };
        self.columns.iter().zip(sides).enumerate().map(cell).collect()
    }

    fn sample(&self, row: &Tuple<'_>, kind: Kind) -> Sample {
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

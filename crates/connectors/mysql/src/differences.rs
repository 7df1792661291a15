//! How a table differs between two databases: the other one's rows are brought here, and compared by the server.

use crate::{
    codec::{self, Taken},
    ddl::{self, Found, Name, Table},
    failure::to,
    link::{Db, Step},
    literal,
    rows::Inlet,
    wire::Row,
};
use floodmark_connect::{Differences, RowChange, Sample};
use floodmark_core::{Code, Error, Result, Value, pipeline::Pipeline};

const OTHER: &str = "_floodmark_other";

/// The table as it is in both places: columns of either, those of the key first.
struct Pair {
    /// Here, as it stands in SQL.
    table: String,
    /// There, as it stands in SQL here; its columns are called by their numbers where it was brought.
    other: String,
    columns: Vec<Found>,
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
    let pair = Pair::new(&name, OTHER.to_owned(), pipeline, &here, &there);
    let _step = Step::begin(db, false)?;
    pair.bring(db, other, &its)?;
    if pair.key > 0 { pair.by_key(db, limit) } else { pair.by_content(db, limit) }
}

/// What it took to make `table` into `copy`, which is a temporary table of the same connection.
pub(crate) fn within(db: &Db, table: &Name, copy: &Name, pipeline: &Pipeline, limit: usize) -> Result<Vec<Sample>> {
    let there = ddl::table(db, copy)?.ok_or_else(|| Error::internal("the copy of the table is gone"))?;
    let here = ddl::table(db, table)?.unwrap_or(Table { columns: Vec::new(), primary: Vec::new() });
    let whole = !here.columns.is_empty();
    let mut pair = Pair::new(table, copy.to_string(), pipeline, &here, &there);
    if !whole {
        // A table that is not there has no rows.
        pair.table = "(SELECT 1 AS nothing FROM DUAL WHERE FALSE)".to_owned();
    }
    let found = if pair.key > 0 { pair.by_key(db, limit)? } else { pair.by_content(db, limit)? };
    Ok(found.samples)
}

impl Pair {
    fn new(name: &Name, other: String, pipeline: &Pipeline, here: &Table, there: &Table) -> Pair {
        let mut columns = here.columns.clone();
        columns.extend(there.columns.iter().filter(|c| here.get(&c.name).is_none()).cloned());
        let key = ddl::key_columns(pipeline);
        columns.sort_by_key(|c| key.iter().position(|k| ddl::same_name(k, &c.name)).unwrap_or(usize::MAX));
        Pair {
            table: name.to_string(),
            other,
            key: key.len(),
            version: pipeline.version.as_ref().and_then(|v| columns.iter().position(|c| ddl::same_name(&c.name, v))),
            here: columns.iter().map(|c| here.get(&c.name).cloned()).collect(),
            there: columns.iter().map(|c| there.get(&c.name).cloned()).collect(),
            columns,
        }
    }

    fn brought(&self) -> bool {
        self.other == OTHER
    }

    /// Copies the other table's rows beside this one's. Columns are called by their numbers there.
    fn bring(&self, db: &Db, other: &Db, its: &Name) -> Result<()> {
        let fail = to("bring the other table's rows");
        let side = |n: usize| self.there[n].as_ref().unwrap_or(&self.columns[n]);
        let mut parts: Vec<String> = (0..self.columns.len()).map(|n| format!("c{n} {} NULL", side(n).like())).collect();
        if self.key > 0 {
            let key: Vec<String> = (0..self.key).map(|n| format!("c{n}")).collect();
            parts.push(format!("KEY ({})", key.join(", ")));
        }
        db.execute(&format!("DROP TEMPORARY TABLE IF EXISTS {OTHER}")).map_err(&fail)?;
        db.execute(&format!("CREATE TEMPORARY TABLE {OTHER} ({}) ENGINE = InnoDB", parts.join(", "))).map_err(&fail)?;
        let there: Vec<usize> = (0..self.columns.len()).filter(|n| self.there[*n].is_some()).collect();
        let taken = |n: &usize| Taken { name: format!("c{n}"), ..side(*n).taken() };
        let inlet = Inlet { table: OTHER.to_owned(), columns: there.iter().map(taken).collect() };
        let names = ddl::list(there.iter().map(|n| side(*n).name.as_str()));
        let mut rows = other.stream(&format!("SELECT {names} FROM {its}")).map_err(&fail)?;
        db.copy_in(&inlet, |writer| {
            while let Some(row) = rows.next().map_err(&fail)? {
                for at in 0..row.len() {
                    writer.sent(row.get(at))?;
                }
                writer.end()?;
            }
            Ok(())
        })?;
        Ok(())
    }

    fn mine(&self, n: usize) -> String {
        self.here[n].as_ref().map_or("NULL".into(), |c| format!("a.{}", literal::name(&c.name)))
    }

    fn its(&self, n: usize) -> String {
        match &self.there[n] {
            None => "NULL".into(),
            Some(_) if self.brought() => format!("b.c{n}"),
            Some(c) => format!("b.{}", literal::name(&c.name)),
        }
    }

    /// A cell so that only the same is equal.
    fn exactly(&self, db: &Db, n: usize, cell: String) -> String {
        let text = [&self.here[n], &self.there[n]].iter().any(|side| side.as_ref().is_some_and(|c| c.loose));
        if text { format!("CONVERT({cell} USING utf8mb4) COLLATE {}", db.server.exact()) } else { cell }
    }

    fn by_key(&self, db: &Db, limit: usize) -> Result<Differences> {
        let width = self.columns.len();
        let on: Vec<String> = (0..self.key).map(|n| format!("{} = {}", self.mine(n), self.its(n))).collect();
        let on = on.join(" AND ");
        let equal: Vec<String> = (self.key..width)
            .map(|n| format!("{} <=> {}", self.exactly(db, n, self.mine(n)), self.exactly(db, n, self.its(n))))
            .collect();
        let differ = if equal.is_empty() { "FALSE".to_owned() } else { format!("NOT ({})", equal.join(" AND ")) };
        let tie = match self.version {
            Some(v) if v >= self.key => format!("{} <=> {}", self.mine(v), self.its(v)),
            _ => "FALSE".to_owned(),
        };
        let (a, b) = (format!("{} a", self.table), format!("{} b", self.other));
        let cells: Vec<String> = (0..width).map(|n| self.mine(n)).chain((0..width).map(|n| self.its(n))).collect();
        // Neither server joins in full: one half, and the other.
        let kinds = [
            (format!("FROM {b} LEFT JOIN {a} ON {on} WHERE {} IS NULL", self.mine(0)), Kind::There),
            (format!("FROM {a} JOIN {b} ON {on} WHERE {differ}"), Kind::Both),
            (format!("FROM {a} LEFT JOIN {b} ON {on} WHERE {} IS NULL", self.its(0)), Kind::Here),
        ];
        let mut out = Differences::default();
        for (from, kind) in kinds {
            if self.here.iter().all(Option::is_none) && !matches!(kind, Kind::There) {
                continue;
            }
            let from = if self.here.iter().all(Option::is_none) { format!("FROM {b}") } else { from };
            let counted = matches!(kind, Kind::Both);
            let ties = if counted { format!("coalesce(sum({tie}), 0)") } else { "0".to_owned() };
            let row = db.query_one(&format!("SELECT count(*), {ties} {from}")).map_err(to("compare the tables"))?;
            out.rows += row.number::<u64>(0).unwrap_or_default();
            out.ties += row.number::<u64>(1).unwrap_or_default();
            let order: Vec<String> =
                (0..self.key).map(|n| if matches!(kind, Kind::Here) { self.mine(n) } else { self.its(n) }).collect();
            let sql = format!("SELECT {} {from} ORDER BY {} LIMIT {limit}", cells.join(", "), order.join(", "));
            let mut rows = db.stream(&sql).map_err(to("compare the tables"))?;
            while let Some(row) = rows.next().map_err(to("compare the tables"))? {
                out.samples.push(self.sample(&row, kind));
            }
        }
        Ok(out)
    }

    /// Without a key a row is its content, as often as it is there: both tables are grouped by all columns, and what one has
    /// more often than the other is different.
    fn by_content(&self, db: &Db, limit: usize) -> Result<Differences> {
        let width = self.columns.len();
        let mine: Vec<String> = (0..width).map(|n| format!("{} AS c{n}", self.exactly(db, n, self.mine(n)))).collect();
        let its: Vec<String> = (0..width).map(|n| format!("{} AS c{n}", self.exactly(db, n, self.its(n)))).collect();
        let names: Vec<String> = (0..width).map(|n| format!("c{n}")).collect();
        let names = names.join(", ");
        let mut out = Differences::default();
        let (here, there) = (
            format!("SELECT 1 AS side, {} FROM {} a", mine.join(", "), self.table),
            format!("SELECT -1 AS side, {} FROM {} b", its.join(", "), self.other),
        );
        let grouped = format!("SELECT {names}, sum(side) AS more FROM ({here} UNION ALL {there}) d GROUP BY {names}");
        for (sign, kind) in [("<", Kind::There), (">", Kind::Here)] {
            let sql = format!("SELECT {names}, abs(more) FROM ({grouped}) g WHERE more {sign} 0");
            let mut left = limit;
            let mut rows = db.stream(&sql).map_err(to("compare the tables"))?;
            while let Some(row) = rows.next().map_err(to("compare the tables"))? {
                let times = row.get(width).and_then(|b| std::str::from_utf8(b).ok()).and_then(|t| t.parse().ok());
                let times: u64 = times.unwrap_or_default();
                out.rows += times;
                for _ in 0..times.min(left as u64) {
                    left -= 1;
                    out.samples.push(Sample { key: Vec::new(), change: kind.change(self.row(&row, 0, &self.columns)) });
                }
            }
        }
        Ok(out)
    }

    /// The columns that begin at `at`, with their names.
    fn row(&self, row: &Row<'_>, at: usize, of: &[Found]) -> Vec<(String, Value)> {
        let cell = |(n, c): (usize, &Found)| (c.name.clone(), codec::value(row.get(at + n), c.data_type));
        of.iter().enumerate().map(cell).collect()
    }

    fn side(&self, side: &[Option<Found>]) -> Vec<Found> {
        side.iter().zip(&self.columns).map(|(found, c)| found.clone().unwrap_or_else(|| c.clone())).collect()
    }

    fn sample(&self, row: &Row<'_>, kind: Kind) -> Sample {
        let mut here = self.row(row, 0, &self.side(&self.here));
        let mut there = self.row(row, self.columns.len(), &self.side(&self.there));
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

//! The prepared statements of a keyed merge for one set of columns, and what they find.

use crate::{
    bind::{self, Cells},
    ddl,
    failure::{failed, to},
};
use floodmark_connect::{
    crash::{self, Point},
    destination::tied,
};
use floodmark_core::{Code, Error, Result, Value, pipeline::Pipeline};
use rusqlite::{CachedStatement, Connection, Statement, types::ValueRef};
use std::cmp::Ordering;
use xxhash_rust::xxh3::xxh3_64;

/// What the table holds for a key.
pub(super) struct Found {
    /// How the incoming version compares with the one found; `Equal` without versions.
    pub(super) order: Ordering,
    /// Whether every incoming cell is there already.
    pub(super) same: bool,
    pub(super) deleted: bool,
    pub(super) rowid: i64,
    pub(super) nulls: Nulls,
}

/// Where NULL met a value in columns that keep theirs, by position in the batch. Empty without versions.
#[derive(Default)]
pub(super) struct Nulls {
    /// NULL came in, and there is a value.
    pub(super) kept: Vec<usize>,
    /// A value came in, and there is none.
    pub(super) open: Vec<usize>,
    /// The version of the row that is there.
    pub(super) version: Option<Value>,
}

/// Where the columns of a batch stand, and the statements over them.
pub(super) struct Statements<'db> {
    table: String,
    names: Vec<String>,
    /// The condition that finds a row by its key.
    matches: String,
    /// Positions in the batch of the key's columns, in the key's order.
    key: Vec<usize>,
    /// Positions of all others, and whether a NULL there keeps what is found.
    data: Vec<(usize, bool)>,
    version: Option<usize>,
    /// Whether any column keeps its value against NULL.
    keeps: bool,
    soft: bool,
    select: CachedStatement<'db>,
    insert: CachedStatement<'db>,
    update: Option<CachedStatement<'db>>,
    delete: CachedStatement<'db>,
}

/// Rows of one batch beside each other.
pub(super) struct Rivals<'a> {
    key: Vec<&'a Cells<'a>>,
    version: Option<&'a Cells<'a>>,
}

impl Rivals<'_> {
    pub(super) fn same_key(&self, a: usize, b: usize) -> bool {
        self.key.iter().all(|cells| cells.order(a, b).is_eq())
    }

    pub(super) fn is_older(&self, a: usize, than: usize) -> bool {
        self.version.is_some_and(|cells| cells.order(a, than).is_lt())
    }
}

impl<'db> Statements<'db> {
    pub(super) fn prepare(
        db: &'db Connection,
        pipeline: &Pipeline,
        names: &[&str],
        soft: bool,
        rowid: &str,
    ) -> Result<Self> {
        let fail = to("prepare the merge");
        let table = ddl::quote(&pipeline.destination.table);
        let at = |name: &str| names.iter().position(|n| *n == name);
        let key = pipeline
            .key
            .iter()
            .map(|k| at(k).ok_or_else(|| Error::internal(format!("a batch without key column {k:?}"))))
            .collect::<Result<Vec<_>>>()?;
        let data: Vec<(usize, bool)> = (0..names.len())
            .filter(|i| !key.contains(i))
            .map(|i| (i, pipeline.keeps_null(names[i]) && pipeline.version.as_deref() != Some(names[i])))
            .collect();
        let version = pipeline.version.as_deref().and_then(at);
        let matches: Vec<String> =
            pipeline.key.iter().enumerate().map(|(n, k)| format!("{} = ?{}", ddl::quote(k), n + 1)).collect();
        let matches = matches.join(" AND ");
        let prepare = |sql: String| db.prepare_cached(&sql).map_err(&fail);

        // No column more than needed: a result may have no more of them than a table.
        let mut found = vec![rowid.to_owned()];
        found.extend(soft.then(|| "is_deleted".to_owned()));
        found.extend(data.iter().map(|(i, _)| ddl::quote(names[*i])));
        let select = prepare(format!("SELECT {} FROM {table} WHERE {matches}", found.join(", ")))?;

        let mut columns: Vec<&str> = key.iter().chain(data.iter().map(|(i, _)| i)).map(|i| names[*i]).collect();
        let mut marks: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        if soft {
            columns.push("is_deleted");
            marks.push(format!("?{}", columns.len()));
        }
        let insert = prepare(format!(
            "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({}) DO NOTHING",
            ddl::list(columns.iter().copied()),
            marks.join(", "),
            ddl::list(pipeline.key.iter().map(String::as_str))
        ))?;

        let mut set: Vec<String> = data
            .iter()
            .enumerate()
            .map(|(n, (i, keep))| {
                let (column, mark) = (ddl::quote(names[*i]), key.len() + n + 1);
                if *keep { format!("{column} = ifnull(?{mark}, {column})") } else { format!("{column} = ?{mark}") }
            })
            .collect();
        if soft {
            set.push(format!("is_deleted = ?{}", key.len() + data.len() + 1));
        }
        let update = match set.is_empty() {
            true => None,
            false => Some(prepare(format!("UPDATE {table} SET {} WHERE {matches}", set.join(", ")))?),
        };

        let delete = prepare(format!("DELETE FROM {table} WHERE {matches}"))?;
        Ok(Statements {
            table: pipeline.destination.table.clone(),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            matches,
            key,
            keeps: data.iter().any(|(_, keep)| *keep),
            data,
            version,
            soft,
            select,
            insert,
            update,
            delete,
        })
    }

    /// How rows of a batch compare with each other; `None` where more than the newest of a key's counts, as NULLs that keep
    /// what an older row brought.
    pub(super) fn rivals<'a>(&self, cells: &'a [Cells<'a>]) -> Option<Rivals<'a>> {
        let version = self.version.map(|at| &cells[at]);
        let comparable = !self.keeps && version.is_none_or(|cells| !cells.has_nulls());
        comparable.then(|| Rivals { key: self.key.iter().map(|at| &cells[*at]).collect(), version })
    }

    /// Where the key's columns stand in the batch.
    pub(super) fn key(&self) -> &[usize] {
        &self.key
    }

    /// A hash of the row's key.
    #[inline]
    pub(super) fn hash(&self, cells: &[Cells<'_>], row: usize, scratch: &mut String, bytes: &mut Vec<u8>) -> u64 {
        bytes.clear();
        for at in &self.key {
            bind::encode(cells[*at].stored(row, scratch), bytes);
        }
        xxh3_64(bytes)
    }

    /// Looks the row's key up and compares what is found with the incoming row.
    pub(super) fn find(&mut self, cells: &[Cells<'_>], row: usize, scratch: &mut String) -> Result<Option<Found>> {
        let fail = to("look up a row");
        bind_key(&mut self.select, &self.key, cells, row, scratch)?;
        let mut rows = self.select.raw_query();
        let Some(found) = rows.next().map_err(&fail)? else { return Ok(None) };
        let mut out = Found {
            order: Ordering::Equal,
            same: true,
            deleted: self.soft && found.get::<_, Option<bool>>(1).map_err(&fail)?.unwrap_or(false),
            rowid: found.get(0).map_err(&fail)?,
            nulls: Nulls::default(),
        };
        let first = 1 + usize::from(self.soft);
        for (n, (at, keep)) in self.data.iter().enumerate() {
            let (stored, cell) = (found.get_ref(first + n).map_err(&fail)?, &cells[*at]);
            if self.version == Some(*at) {
                out.order = cell.compare(row, stored, scratch).ok_or_else(|| {
                    Error::new(
                        Code::TableShape,
                        format!(
                            "table {:?} holds the version {:?}, which is not a {}",
                            self.table,
                            crate::session::display(stored),
                            cell.data_type
                        ),
                    )
                    .state("the open transaction was rolled back")
                    .help("correct that value in the table, or name another column with `version:`")
                })?;
            }
            if out.same && !(*keep && cell.is_null(row)) {
                out.same = cell.same(row, stored, scratch);
            }
            if *keep && self.version.is_some() {
                match (cell.is_null(row), stored == ValueRef::Null) {
                    (true, false) => out.nulls.kept.push(*at),
                    (false, true) => out.nulls.open.push(*at),
                    _ => {}
                }
            }
            if self.version == Some(*at) && self.keeps {
                out.nulls.version = crate::codec::decode(stored, cell.data_type);
            }
        }
        Ok(Some(out))
    }

    /// The error for a row that differs from the one there, where neither is the later.
    pub(super) fn tied(
        &mut self,
        pipeline: &Pipeline,
        cells: &[Cells<'_>],
        row: usize,
        scratch: &mut String,
    ) -> Result<Error> {
        let fail = to("look up a row");
        bind_key(&mut self.select, &self.key, cells, row, scratch)?;
        let mut rows = self.select.raw_query();
        let mut differing = Vec::new();
        if let Some(found) = rows.next().map_err(&fail)? {
            let first = 1 + usize::from(self.soft);
            for (n, (at, _)) in self.data.iter().enumerate() {
                let (stored, cell) = (found.get_ref(first + n).map_err(&fail)?, &cells[*at]);
                if !cell.same(row, stored, scratch) {
                    let theirs = crate::codec::decode(stored, cell.data_type);
                    let theirs = theirs.unwrap_or_else(|| crate::codec::decode_as_stored(stored));
                    differing.push((self.names[*at].as_str(), theirs, cell.value(row)));
                }
            }
        }
        let key: Vec<Value> = self.key.iter().map(|at| cells[*at].value(row)).collect();
        let version = self.version.map(|at| cells[at].value(row));
        Ok(tied(pipeline, &key, version.as_ref(), &differing))
    }

    /// Inserts the row unless its key is there; returns the new row id. `deleted`: as one marked deleted.
    pub(super) fn insert(
        &mut self,
        db: &Connection,
        cells: &[Cells<'_>],
        row: usize,
        deleted: bool,
        scratch: &mut String,
    ) -> Result<Option<i64>> {
        let fail = to("insert a row");
        let order = self.key.iter().chain(self.data.iter().map(|(i, _)| i));
        for (n, at) in order.enumerate() {
            cells[*at].bind(&mut self.insert, n + 1, row, scratch).map_err(&fail)?;
        }
        if self.soft {
            self.insert.raw_bind_parameter(self.key.len() + self.data.len() + 1, deleted).map_err(&fail)?;
        }
        let inserted = crash::at(Point::Insert, || self.insert.raw_execute().map_err(&fail))?;
        Ok((inserted == 1).then(|| db.last_insert_rowid()))
    }

    /// Writes the row over the one with its key. `deleted`: and marks that deleted.
    pub(super) fn update(
        &mut self,
        cells: &[Cells<'_>],
        row: usize,
        deleted: bool,
        scratch: &mut String,
    ) -> Result<()> {
        let Some(update) = &mut self.update else { return Ok(()) };
        let fail = to("update a row");
        bind_key(update, &self.key, cells, row, scratch)?;
        for (n, (at, _)) in self.data.iter().enumerate() {
            cells[*at].bind(update, self.key.len() + n + 1, row, scratch).map_err(&fail)?;
        }
        if self.soft {
            update.raw_bind_parameter(self.key.len() + self.data.len() + 1, deleted).map_err(&fail)?;
        }
        let met = crash::at(Point::Update, || update.raw_execute().map_err(&fail))?;
        if met == 1 { Ok(()) } else { Err(left_out(&self.table)) }
    }

    /// Takes the row out.
    pub(super) fn delete(&mut self, cells: &[Cells<'_>], row: usize, scratch: &mut String) -> Result<()> {
        bind_key(&mut self.delete, &self.key, cells, row, scratch)?;
        let met = crash::at(Point::Delete, || self.delete.raw_execute().map_err(to("delete a row")))?;
        if met == 1 { Ok(()) } else { Err(left_out(&self.table)) }
    }

    /// Writes one value of the row over the one there (`None` is NULL), and nothing else of it. Whether it was another.
    pub(super) fn put(
        &self,
        db: &Connection,
        cells: &[Cells<'_>],
        row: usize,
        (column, value): (&str, Option<usize>),
        scratch: &mut String,
    ) -> Result<bool> {
        let fail = to("write a kept value");
        let sql = format!(
            "UPDATE {0} SET {1} = ?{2} WHERE {1} IS NOT ?{2} AND {3}",
            ddl::quote(&self.table),
            ddl::quote(column),
            self.key.len() + 1,
            self.matches
        );
        let mut update = db.prepare_cached(&sql).map_err(&fail)?;
        bind_key(&mut update, &self.key, cells, row, scratch)?;
        match value {
            Some(at) => cells[at].bind(&mut update, self.key.len() + 1, row, scratch),
            None => update.raw_bind_parameter(self.key.len() + 1, rusqlite::types::Null),
        }
        .map_err(&fail)?;
        Ok(crash::at(Point::PutValue, || update.raw_execute().map_err(&fail))? > 0)
    }

    /// Where in the batch a column stands that keeps its value, if the row has a value for it.
    pub(super) fn given(&self, column: &str, cells: &[Cells<'_>], row: usize) -> Option<usize> {
        let keeps = |(at, keep): &&(usize, bool)| *keep && self.names[*at] == column && !cells[*at].is_null(row);
        self.data.iter().find(keeps).map(|(at, _)| *at)
    }

    pub(super) fn name(&self, at: usize) -> &str {
        &self.names[at]
    }

    /// The row's key and version as a tombstone keeps them.
    pub(super) fn tombstone(&self, cells: &[Cells<'_>], row: usize) -> (String, Option<Value>) {
        let key: Vec<String> = self.key.iter().map(|at| cells[*at].value(row).to_string()).collect();
        (serde_json::Value::from(key).to_string(), self.version.map(|at| cells[at].value(row)))
    }
}

/// A statement met no row: nobody else writes meanwhile, so the table itself leaves it out.
pub(super) fn left_out(table: &str) -> Error {
    Error::new(Code::DestinationWrite, format!("a row was not written into table {table:?} as was decided"))
        .state("the open transaction was rolled back")
        .help(
            "a trigger of the table that leaves rows out (RAISE(IGNORE)) must go: what a run reports is what it wrote",
        )
}

fn bind_key(
    statement: &mut Statement<'_>,
    key: &[usize],
    cells: &[Cells<'_>],
    row: usize,
    scratch: &mut String,
) -> Result<()> {
    for (n, at) in key.iter().enumerate() {
        cells[*at].bind(statement, n + 1, row, scratch).map_err(|e| failed("bind a key", e))?;
    }
    Ok(())
}

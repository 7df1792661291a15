//! The prepared statements of a keyed merge for one set of columns, and what they find.

use crate::{
    bind::{self, Cells},
    ddl,
    failure::{failed, to},
};
use floodmark_core::{Code, Error, Result, pipeline::Pipeline};
use rusqlite::{CachedStatement, Connection, Statement};
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
}

/// Where the columns of a batch stand, and the statements over them.
pub(super) struct Statements<'db> {
    table: String,
    /// Positions in the batch of the key's columns, in the key's order.
    key: Vec<usize>,
    /// Positions of all others, and whether a NULL there keeps what is found.
    data: Vec<(usize, bool)>,
    version: Option<usize>,
    soft: bool,
    select: CachedStatement<'db>,
    insert: CachedStatement<'db>,
    update: Option<CachedStatement<'db>>,
    delete: CachedStatement<'db>,
    purge: CachedStatement<'db>,
    touch: Option<CachedStatement<'db>>,
    before: Option<Before<'db>>,
}

/// Statements that save a row as it was before this load, and put it back (`on_null: keep`).
struct Before<'db> {
    save: CachedStatement<'db>,
    drop: CachedStatement<'db>,
    restore: CachedStatement<'db>,
}

const BEFORE: &str = "temp._floodmark_before";

/// Makes the empty table of rows as they were.
pub(super) fn create_before(db: &Connection, table: &str, key: &[String]) -> Result<()> {
    db.execute_batch(&format!(
        "DROP TABLE IF EXISTS {BEFORE};
         CREATE TEMP TABLE _floodmark_before AS SELECT * FROM {} WHERE 0;
         CREATE INDEX temp._floodmark_before_key ON _floodmark_before ({})",
        ddl::quote(table),
        ddl::list(key.iter().map(String::as_str))
    ))
    .map_err(to("make a temporary table"))
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

        let mut found: Vec<String> = vec![rowid.to_owned(), if soft { "is_deleted".into() } else { "0".into() }];
        found.extend(data.iter().map(|(i, _)| ddl::quote(names[*i])));
        let select = prepare(format!("SELECT {} FROM {table} WHERE {matches}", found.join(", ")))?;

        let mut columns: Vec<&str> = key.iter().chain(data.iter().map(|(i, _)| i)).map(|i| names[*i]).collect();
        let mut marks: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        if soft {
            columns.push("is_deleted");
            marks.push("0".into());
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
            set.push("is_deleted = 0".into());
        }
        let update = match set.is_empty() {
            true => None,
            false => Some(prepare(format!("UPDATE {table} SET {} WHERE {matches}", set.join(", ")))?),
        };

        let version_mark = key.len() + 1;
        let set_version = pipeline
            .version
            .as_deref()
            .filter(|_| version.is_some())
            .map(|v| format!("{} = ?{version_mark}", ddl::quote(v)));
        let delete = if soft {
            let also = set_version.as_ref().map(|s| format!(", {s}")).unwrap_or_default();
            prepare(format!("UPDATE {table} SET is_deleted = 1{also} WHERE {matches}"))?
        } else {
            prepare(format!("DELETE FROM {table} WHERE {matches}"))?
        };
        let purge = prepare(format!("DELETE FROM {table} WHERE {matches}"))?;
        let touch = match (soft, set_version) {
            (true, Some(set)) => Some(prepare(format!("UPDATE {table} SET {set} WHERE {matches}"))?),
            _ => None,
        };
        let before = match data.iter().any(|(_, keep)| *keep) {
            false => None,
            true => Some(Before {
                save: prepare(format!("INSERT INTO {BEFORE} SELECT * FROM {table} WHERE {matches}"))?,
                drop: prepare(format!("DELETE FROM {table} WHERE {matches}"))?,
                restore: prepare(format!("INSERT INTO {table} SELECT * FROM {BEFORE} WHERE {matches}"))?,
            }),
        };
        Ok(Statements {
            table: pipeline.destination.table.clone(),
            key,
            data,
            version,
            soft,
            select,
            insert,
            update,
            delete,
            purge,
            touch,
            before,
        })
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
            deleted: found.get::<_, Option<bool>>(1).map_err(&fail)?.unwrap_or(false),
            rowid: found.get(0).map_err(&fail)?,
        };
        for (n, (at, keep)) in self.data.iter().enumerate() {
            let (stored, cell) = (found.get_ref(n + 2).map_err(&fail)?, &cells[*at]);
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
        }
        Ok(Some(out))
    }

    /// Inserts the row unless its key is there; returns the new row id.
    pub(super) fn insert(
        &mut self,
        db: &Connection,
        cells: &[Cells<'_>],
        row: usize,
        scratch: &mut String,
    ) -> Result<Option<i64>> {
        let fail = to("insert a row");
        let order = self.key.iter().chain(self.data.iter().map(|(i, _)| i));
        for (n, at) in order.enumerate() {
            cells[*at].bind(&mut self.insert, n + 1, row, scratch).map_err(&fail)?;
        }
        let inserted = self.insert.raw_execute().map_err(&fail)?;
        Ok((inserted == 1).then(|| db.last_insert_rowid()))
    }

    /// Writes the row over the one with its key.
    pub(super) fn update(&mut self, cells: &[Cells<'_>], row: usize, scratch: &mut String) -> Result<()> {
        let Some(update) = &mut self.update else { return Ok(()) };
        let fail = to("update a row");
        bind_key(update, &self.key, cells, row, scratch)?;
        for (n, (at, _)) in self.data.iter().enumerate() {
            cells[*at].bind(update, self.key.len() + n + 1, row, scratch).map_err(&fail)?;
        }
        update.raw_execute().map_err(&fail)?;
        Ok(())
    }

    /// Takes the row out, or marks it.
    pub(super) fn delete(&mut self, cells: &[Cells<'_>], row: usize, scratch: &mut String) -> Result<()> {
        bind_key(&mut self.delete, &self.key, cells, row, scratch)?;
        if let (true, Some(version)) = (self.soft, self.version) {
            cells[version].bind(&mut self.delete, self.key.len() + 1, row, scratch).map_err(to("delete a row"))?;
        }
        self.delete.raw_execute().map_err(to("delete a row"))?;
        Ok(())
    }

    /// Takes the row out, where a mark is not what is meant.
    pub(super) fn purge(&mut self, cells: &[Cells<'_>], row: usize, scratch: &mut String) -> Result<()> {
        bind_key(&mut self.purge, &self.key, cells, row, scratch)?;
        self.purge.raw_execute().map_err(to("take out a row"))?;
        Ok(())
    }

    /// Gives a row that is marked deleted a newer version.
    pub(super) fn touch(&mut self, cells: &[Cells<'_>], row: usize, scratch: &mut String) -> Result<()> {
        let (Some(touch), Some(version)) = (&mut self.touch, self.version) else { return Ok(()) };
        bind_key(touch, &self.key, cells, row, scratch)?;
        cells[version].bind(touch, self.key.len() + 1, row, scratch).map_err(to("mark a row"))?;
        touch.raw_execute().map_err(to("mark a row"))?;
        Ok(())
    }

    /// Saves the row as it was before this load touches it, where that may be needed again.
    pub(super) fn save(&mut self, cells: &[Cells<'_>], row: usize, scratch: &mut String) -> Result<()> {
        let Some(before) = &mut self.before else { return Ok(()) };
        run(&mut before.save, &self.key, cells, row, scratch)
    }

    /// Puts the row back as it was before this load (or takes it out if it was not there). `false`: nothing is ever
    /// saved for these columns.
    pub(super) fn restore(&mut self, cells: &[Cells<'_>], row: usize, scratch: &mut String) -> Result<bool> {
        let Some(before) = &mut self.before else { return Ok(false) };
        run(&mut before.drop, &self.key, cells, row, scratch)?;
        run(&mut before.restore, &self.key, cells, row, scratch)?;
        Ok(true)
    }

    /// The row's key and version as a tombstone keeps them.
    pub(super) fn tombstone(&self, cells: &[Cells<'_>], row: usize) -> (String, Option<floodmark_core::Value>) {
        let key: Vec<String> = self.key.iter().map(|at| cells[*at].value(row).to_string()).collect();
        (serde_json::Value::from(key).to_string(), self.version.map(|at| cells[at].value(row)))
    }
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

fn run(
    statement: &mut Statement<'_>,
    key: &[usize],
    cells: &[Cells<'_>],
    row: usize,
    scratch: &mut String,
) -> Result<()> {
    bind_key(statement, key, cells, row, scratch)?;
    statement.raw_execute().map_err(to("keep a row's earlier state"))?;
    Ok(())
}

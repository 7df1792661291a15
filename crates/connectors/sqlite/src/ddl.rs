//! Creating and changing tables. All of it is transactional in SQLite, so it runs inside the load's own transaction.

use crate::{codec, failure::to, state};
use floodmark_connect::{
    crash::{self, Point},
    destination::Target,
    refusal,
};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema,
    pipeline::{Deletes, Load, Pipeline},
    schema::Change,
};
use rusqlite::Connection;
use std::collections::HashSet;

/// SQLITE_MAX_COLUMN.
pub(crate) const MAX_COLUMNS: usize = 2000;

/// Columns of a key or a window. SQLite takes expressions no deeper than 1000, and a history compares its key's columns
/// with a little more than two levels for each.
const MAX_KEY: usize = 300;

/// An identifier, quoted: hostile text stays a name.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quoted names with commas between.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// The columns Floodmark keeps beside the data, by strategy. `at` is the type of the moments of a history.
pub(crate) fn control_columns(pipeline: &Pipeline, at: DataType) -> Vec<Column> {
    let column = |name: &str, data_type| Column::new(name, data_type);
    if pipeline.load == Load::Scd2 {
        vec![column("valid_from", at), column("valid_to", at), column("is_current", DataType::Bool)]
    } else if pipeline.deletes == Deletes::Soft {
        vec![column("is_deleted", DataType::Bool)]
    } else {
        Vec::new()
    }
}

/// Columns and types of a table, or `None` where there is none.
pub(crate) fn table(db: &Connection, table: &str) -> Result<Option<Schema>> {
    let read = to("read the table's columns");
    // hidden = 2 and 3 are generated columns: they cannot be written.
    let mut statement = db
        .prepare_cached("SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid")
        .map_err(&read)?;
    let columns = statement
        .query_map([table], |row| {
            Ok(Column::new(row.get::<_, String>(0)?, codec::from_declared(&row.get::<_, String>(1)?)))
        })
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(&read)?;
    Ok((!columns.is_empty()).then_some(Schema { columns }))
}

/// Brings the table to the target: creates it, or applies the changes, and sees to the index the merge needs.
/// `loaded`: this pipeline has loaded the table before, so its key is settled.
pub(crate) fn prepare(
    db: &Connection,
    pipeline: &Pipeline,
    schema: &Schema,
    changes: &[Change],
    at: DataType,
    loaded: bool,
) -> Result<()> {
    let name = &pipeline.destination.table;
    let control = control_columns(pipeline, at);
    for column in &control {
        if schema.columns.iter().any(|c| c.name.eq_ignore_ascii_case(&column.name)) {
            return Err(Error::new(
                Code::TableShape,
                format!("the source has a column {:?}, which {} needs for itself", column.name, pipeline.load.name()),
            )
            .state("nothing was written")
            .help(format!("rename it: `columns: {{other_name: {{from: {}}}}}`", column.name)));
        }
    }
    let key = key_columns(pipeline);
    let existing = table(db, name)?;
    refuse_too_many(pipeline, schema, &control, existing.as_ref())?;
    let Some(existing) = existing else {
        create(db, name, schema, &control, &key)?;
        return index_window(db, pipeline);
    };
    for change in changes {
        if let Change::Widen { name: column, to, .. } = change
            && existing.get(column).is_some_and(|c| c.data_type != *to)
        {
            widen(db, name, column, *to)?;
            // The moments of a history are of its version's type.
            if pipeline.load == Load::Scd2 && pipeline.version.as_ref() == Some(column) {
                widen(db, name, "valid_from", *to)?;
                widen(db, name, "valid_to", *to)?;
            }
            state::widen_memories(db, pipeline, column, *to)?;
        }
    }
    for column in schema.columns.iter().chain(&control) {
        if !existing.columns.iter().any(|c| c.name.eq_ignore_ascii_case(&column.name)) {
            let sql = format!(
                "ALTER TABLE {} ADD COLUMN {} {}",
                quote(name),
                quote(&column.name),
                codec::declared(column.data_type)
            );
            crash::at(Point::AddColumn, || db.execute_batch(&sql).map_err(to("add a column")))?;
            if column.name == "is_deleted" || column.name == "is_current" {
                let value = i32::from(column.name == "is_current");
                let fill = format!("UPDATE {} SET {} = {value}", quote(name), quote(&column.name));
                crash::at(Point::FillColumn, || db.execute_batch(&fill).map_err(to("fill a new column")))?;
            }
        }
    }
    if !keyed(db, pipeline)? {
        if loaded {
            return Err(refusal::other_key(pipeline));
        }
        let index = quote(&format!("{name}_floodmark_key"));
        let sql = format!("CREATE UNIQUE INDEX {index} ON {} ({})", quote(name), list(key.iter().copied()));
        crash::at(Point::Index, || {
            db.execute_batch(&sql).map_err(|cause| {
                Error::new(
                    Code::TableShape,
                    format!("the table {name:?} has no unique index on its key, and none can be made"),
                )
                .state("nothing was written")
                .help("remove rows with equal keys from the table, or choose another key")
                .cause(cause)
            })
        })?;
    }
    index_window(db, pipeline)
}

/// Whether rows of the table can be found by the pipeline's key, where it has one.
pub(crate) fn keyed(db: &Connection, pipeline: &Pipeline) -> Result<bool> {
    let key = key_columns(pipeline);
    Ok(key.is_empty() || has_unique(db, &pipeline.destination.table, &key)?)
}

/// SQLite's own limits (SQLITE_MAX_COLUMN, SQLITE_MAX_EXPR_DEPTH), told before it runs into them.
fn refuse_too_many(pipeline: &Pipeline, schema: &Schema, control: &[Column], existing: Option<&Schema>) -> Result<()> {
    let refuse = |message: String, help: &str| {
        Err(Error::new(Code::Unstorable, message).state("nothing was written").help(help.to_owned()))
    };
    for (field, columns) in [("key", &pipeline.key), ("window", &pipeline.window)] {
        if columns.len() > MAX_KEY {
            let message = format!("`{field}` has {} columns, and SQLite compares at most {MAX_KEY}", columns.len());
            return refuse(
                message,
                "name fewer, or make one column of them: `transform: SELECT *, concat_ws('|', …) AS id FROM source`",
            );
        }
    }
    let there: HashSet<String> =
        existing.iter().flat_map(|e| &e.columns).map(|c| c.name.to_ascii_lowercase()).collect();
    let arriving = schema.columns.iter().chain(control).filter(|c| !there.contains(&c.name.to_ascii_lowercase()));
    let all = there.len() + arriving.count();
    if all > MAX_COLUMNS {
        let own = control.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
        let own = if own.is_empty() { String::new() } else { format!(" (with {own})") };
        let message = format!("the table would have {all} columns{own}, and SQLite has at most {MAX_COLUMNS}");
        return refuse(message, "choose columns with `transform: SELECT … FROM source`");
    }
    Ok(())
}

/// Finds a window's rows without reading the table: a batch of many windows would else read it once for each.
fn index_window(db: &Connection, pipeline: &Pipeline) -> Result<()> {
    if pipeline.load != Load::DeleteInsert || pipeline.window.is_empty() {
        return Ok(());
    }
    let table = &pipeline.destination.table;
    let sql = format!(
        "CREATE INDEX IF NOT EXISTS {} ON {} ({})",
        quote(&format!("{table}_floodmark_window")),
        quote(table),
        list(pipeline.window.iter().map(String::as_str))
    );
    crash::at(Point::Index, || db.execute_batch(&sql).map_err(to("index the window")))
}

/// The columns that must be unique together.
pub(crate) fn key_columns(pipeline: &Pipeline) -> Vec<&str> {
    if pipeline.load == Load::Append {
        return Vec::new();
    }
    let mut key: Vec<&str> = pipeline.key.iter().map(String::as_str).collect();
    if pipeline.load == Load::Scd2 && !key.is_empty() {
        key.push("valid_from");
    }
    key
}

pub(crate) fn create(db: &Connection, name: &str, schema: &Schema, control: &[Column], key: &[&str]) -> Result<()> {
    let columns: Vec<&Column> = schema.columns.iter().chain(control).collect();
    // Only the exact words INTEGER PRIMARY KEY make the key the row id: one B-tree instead of two.
    let rowid = match key {
        [one] => columns.iter().any(|c| c.name == *one && c.data_type == DataType::BigInt),
        _ => false,
    };
    let mut parts: Vec<String> = columns
        .iter()
        .map(|c| {
            let is_key = key.contains(&c.name.as_str());
            let suffix = match (is_key, rowid) {
                (true, true) => " PRIMARY KEY",
                (true, false) => " NOT NULL",
                _ => "",
            };
            format!("{} {}{suffix}", quote(&c.name), codec::declared(c.data_type))
        })
        .collect();
    if !key.is_empty() && !rowid {
        parts.push(format!("PRIMARY KEY ({})", list(key.iter().copied())));
    }
    let sql = format!("CREATE TABLE {} (\n  {}\n)", quote(name), parts.join(",\n  "));
    crash::at(Point::CreateTable, || db.execute_batch(&sql).map_err(to("create the table")))
}

/// The columns by which rows are found: those of the key, or of the index that was made in its place.
pub(crate) fn found_by(db: &Connection, table: &str) -> Result<Vec<String>> {
    db.prepare(
        "SELECT name FROM pragma_table_info(?1) WHERE pk > 0
         UNION ALL
         SELECT name FROM pragma_index_info(?1 || '_floodmark_key')",
    )
    .and_then(|mut s| s.query_map([table], |r| r.get(0))?.collect())
    .map_err(to("read the table's indexes"))
}

/// Whether a unique index (or the row id) covers exactly these columns.
fn has_unique(db: &Connection, table: &str, key: &[&str]) -> Result<bool> {
    let read = to("read the table's indexes");
    let mut wanted: Vec<String> = key.iter().map(|k| k.to_ascii_lowercase()).collect();
    wanted.sort();
    let columns_of = |sql: &str, argument: &str| -> Result<Vec<String>> {
        let mut names: Vec<String> = db
            .prepare(sql)
            .and_then(|mut s| s.query_map([argument], |r| r.get::<_, String>(0))?.collect())
            .map_err(&read)?;
        names.iter_mut().for_each(|n| n.make_ascii_lowercase());
        names.sort();
        Ok(names)
    };
    if columns_of("SELECT name FROM pragma_table_info(?1) WHERE pk > 0", table)? == wanted {
        return Ok(true);
    }
    let indexes: Vec<String> = db
        .prepare("SELECT name FROM pragma_index_list(?1) WHERE \"unique\" = 1 AND partial = 0")
        .and_then(|mut s| s.query_map([table], |r| r.get(0))?.collect())
        .map_err(&read)?;
    for index in indexes {
        if columns_of("SELECT coalesce(name, '') FROM pragma_index_info(?1)", &index)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An index or a trigger of a table, and the statement that makes it.
pub(crate) struct Belonging {
    kind: String,
    name: String,
    sql: String,
}

/// What goes when a table is dropped, those apart that come with the table itself.
pub(crate) fn belongings(db: &Connection, table: &str) -> Result<Vec<Belonging>> {
    db.prepare(
        "SELECT type, name, sql FROM sqlite_schema
         WHERE tbl_name = ?1 COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL",
    )
    .and_then(|mut s| {
        s.query_map([table], |r| Ok(Belonging { kind: r.get(0)?, name: r.get(1)?, sql: r.get(2)? }))?.collect()
    })
    .map_err(to("read the table's indexes and triggers"))
}

/// Empties a table for a full refresh. One that suits as it is stays; else it goes, to be made anew. Where its owner gave
/// it more than columns and types, it is not taken from him.
pub(crate) fn clear(db: &Connection, target: &Target<'_>, at: DataType, belongings: &[Belonging]) -> Result<()> {
    let (pipeline, name) = (target.pipeline, &target.pipeline.destination.table);
    let key = key_columns(pipeline);
    let control = control_columns(pipeline, at);
    let wanted: Vec<&Column> = target.schema.columns.iter().chain(&control).collect();
    let there = table(db, name)?.unwrap_or_default();
    let has = |column: &Column| there.get(&column.name).is_some_and(|c| c.data_type == column.data_type);
    let fits = wanted.iter().all(|c| has(c)) && (key.is_empty() || has_unique(db, name, &key)?);
    let more = there.columns.iter().any(|c| !wanted.iter().any(|w| w.name == c.name));
    let owned = is_owned(db, name)?;
    let mut sql = String::new();
    if fits && (owned || !more) {
        // A trigger would take its rows for deleted one by one, which they are not.
        for trigger in belongings.iter().filter(|b| b.kind == "trigger") {
            sql.push_str(&format!("DROP TRIGGER {};\n", quote(&trigger.name)));
        }
        sql.push_str(&format!("DELETE FROM {}", quote(name)));
    } else if owned {
        return Err(Error::new(
            Code::TableShape,
            format!(
                "table {name:?} was made with constraints, defaults or generated columns, and does not fit the source"
            ),
        )
        .state("nothing was written, and the table is as it was")
        .help("give it the columns and types of the source, or drop it: then it is made anew"));
    } else {
        sql = format!("DROP TABLE {}", quote(name));
    }
    crash::at(Point::DropTable, || db.execute_batch(&sql).map_err(to("empty the table for a full refresh")))
}

/// Whether a table has what Floodmark never makes. A name that reads like it counts as well, which does no harm.
fn is_owned(db: &Connection, table: &str) -> Result<bool> {
    let sql: String = db
        .query_row(
            "SELECT upper(sql) FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE",
            [table],
            |r| r.get(0),
        )
        .map_err(to("read how the table was made"))?;
    let own = ["CHECK", "COLLATE", "CONFLICT", "DEFAULT", "GENERATED", " AS ", "REFERENCES", "STRICT", "UNIQUE"];
    Ok(own.iter().any(|word| sql.contains(word)))
}

/// Makes those again that the new table does not have by itself.
pub(crate) fn restore(db: &Connection, table: &str, belongings: &[Belonging]) -> Result<()> {
    let there = self::belongings(db, table)?;
    for lost in belongings.iter().filter(|b| !there.iter().any(|t| t.name == b.name)) {
        crash::at(Point::Index, || {
            db.execute_batch(&lost.sql).map_err(|cause| {
                Error::new(
                    Code::TableShape,
                    format!("{} {:?} of table {table:?} does not fit the new one", lost.kind, lost.name),
                )
                .state("nothing was written, and the table is as it was")
                .help(format!("if it is not needed any more: DROP {} {}", lost.kind.to_uppercase(), quote(&lost.name)))
                .cause(cause)
            })
        })?;
    }
    Ok(())
}

/// Gives a column a wider type. SQLite cannot alter a type, so the table is built anew under its name with its indexes
/// and triggers (SQLite, "ALTER TABLE", section 7); views refer to it by name and are not touched.
fn widen(db: &Connection, table: &str, column: &str, to_type: DataType) -> Result<()> {
    let failed = to("widen a column");
    let kept = belongings(db, table)?;
    struct Old {
        name: String,
        declared: String,
        not_null: bool,
        default: Option<String>,
        pk: i64,
    }
    let columns: Vec<Old> = db
        .prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1) ORDER BY cid")
        .and_then(|mut s| {
            s.query_map([table], |r| {
                Ok(Old { name: r.get(0)?, declared: r.get(1)?, not_null: r.get(2)?, default: r.get(3)?, pk: r.get(4)? })
            })?
            .collect()
        })
        .map_err(&failed)?;
    let mut key: Vec<&Old> = columns.iter().filter(|c| c.pk > 0).collect();
    key.sort_by_key(|c| c.pk);
    let mut parts = Vec::new();
    let mut values = Vec::new();
    for c in &columns {
        let wide = c.name == column;
        let declared = if wide { codec::declared(to_type) } else { c.declared.clone() };
        let alone = key.len() == 1 && c.pk > 0;
        parts.push(format!(
            "{} {declared}{}{}{}",
            quote(&c.name),
            if alone { " PRIMARY KEY" } else { "" },
            if c.not_null || (alone && wide) { " NOT NULL" } else { "" },
            c.default.as_ref().map(|d| format!(" DEFAULT {d}")).unwrap_or_default(),
        ));
        let old = quote(&c.name);
        values.push(match to_type {
            _ if !wide => old,
            // Existing whole numbers get the column's scale, existing decimals their missing zeros.
            DataType::Decimal(_, scale) => decimal_rewrite(&old, scale),
            DataType::Timestamp { .. } => {
                format!("CASE WHEN length({old}) = 10 THEN {old} || ' 00:00:00' ELSE {old} END")
            }
            _ => old,
        });
    }
    if key.len() > 1 {
        parts.push(format!("PRIMARY KEY ({})", list(key.iter().map(|c| c.name.as_str()))));
    }
    let staged = quote(&format!("_floodmark_widen_{table}"));
    let target = quote(table);
    let names = list(columns.iter().map(|c| c.name.as_str()));
    let mut sql = format!(
        "CREATE TABLE {staged} ({});\nINSERT INTO {staged} ({names}) SELECT {} FROM {target} ORDER BY rowid;\n\
         DROP TABLE {target};\nALTER TABLE {staged} RENAME TO {target};\n",
        parts.join(", "),
        values.join(", ")
    );
    for kept in kept {
        sql.push_str(&kept.sql);
        sql.push_str(";\n");
    }
    crash::at(Point::Widen, || {
        db.execute_batch("PRAGMA legacy_alter_table = ON").map_err(&failed)?;
        let done = db.execute_batch(&sql).map_err(&failed);
        db.execute_batch("PRAGMA legacy_alter_table = OFF").map_err(&failed)?;
        done
    })
}

/// SQL that writes a number kept as integer or decimal text with exactly `scale` digits after the point.
fn decimal_rewrite(column: &str, scale: u8) -> String {
    if scale == 0 {
        return format!("CAST({column} AS TEXT)");
    }
    let zeros = "0".repeat(usize::from(scale));
    format!(
        "CASE WHEN {column} IS NULL THEN NULL WHEN instr({column}, '.') = 0 THEN {column} || '.{zeros}' \
         ELSE substr({column} || '{zeros}', 1, instr({column}, '.') + {scale}) END"
    )
}

//! Creating and changing tables. All of it is transactional in PostgreSQL, so it runs inside the load's own transaction.

use crate::{codec, failure::to, link::Db, state};
use floodmark_connect::{
    crash::{self, Point},
    refusal,
};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema,
    pipeline::{Deletes, Load, Pipeline},
    schema::Change,
};
use std::{borrow::Cow, fmt};

/// MaxHeapAttributeNumber.
pub(crate) const MAX_COLUMNS: usize = 1600;

/// NAMEDATALEN less one, in bytes. The server would cut a longer name without a word.
pub(crate) const MAX_NAME: usize = 63;

/// INDEX_MAX_KEYS.
const MAX_KEY: usize = 32;

/// Columns that every table has already.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// An identifier, quoted: hostile text stays a name.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as it stands in a statement that takes no parameters.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Quoted names with commas between.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// A table's full name. It is shown as the user writes it, and stands in SQL quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote(&self.schema), quote(&self.table))
    }
}

impl Name {
    /// What a pipeline calls a table: `orders`, `sales.orders`, or `"a.b"` where the point is part of the name. Without a
    /// schema it is where the server finds it, or where it would make it.
    pub(crate) fn resolve(db: &Db, written: &str) -> Result<Name> {
        let (schema, table) = split(written)?;
        let schema = match schema {
            Some(schema) => schema.into_owned(),
            None => db
                .query_opt(
                    "SELECT coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                       WHERE c.oid = to_regclass($1) AND n.nspname NOT IN ('pg_catalog', 'information_schema')),
                       current_schema())",
                    &[&quote(&table)],
                )
                .and_then(|row| row.map(|r| r.try_get::<_, Option<String>>(0)).transpose())
                .map_err(to("find the table"))?
                .flatten()
                .ok_or_else(|| {
                    Error::new(
                        Code::TableShape,
                        format!("table {written:?} names no schema, and the user has none by default"),
                    )
                    .state("nothing was written")
                    .help("write the schema before the table (`table: sales.orders`), or see search_path")
                })?,
        };
        for name in [&schema, &table[..]] {
            refuse_long("table", name)?;
        }
        if table.to_ascii_lowercase().starts_with("_floodmark_") {
            return Err(Error::new(Code::Unsafe, format!("a table cannot be called {written:?}"))
                .state("nothing was written")
                .help("names that begin with _floodmark_ are kept: choose another"));
        }
        Ok(Name { schema, table: table.into_owned() })
    }
}

/// Schema and table, each perhaps in double quotes.
pub(crate) fn split(written: &str) -> Result<(Option<Cow<'_, str>>, Cow<'_, str>)> {
    let mut parts: Vec<Cow<'_, str>> = Vec::new();
    let mut rest = written;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut characters = quoted.char_indices().peekable();
            let mut end = None;
            while let Some((at, c)) = characters.next() {
                match c {
                    '"' if characters.next_if(|(_, c)| *c == '"').is_some() => name.push('"'),
                    '"' => {
                        end = Some(at + 1);
                        break;
                    }
                    c => name.push(c),
                }
            }
            // A quote that is never closed is a part of the name.
            match end.map(|end| &quoted[end..]) {
                Some("") => {
                    parts.push(name.into());
                    break;
                }
                Some(more) if more.starts_with('.') => {
                    parts.push(name.into());
                    rest = &more[1..];
                    continue;
                }
                _ => {}
            }
        }
        match rest.split_once('.') {
            Some((name, more)) if parts.is_empty() => {
                parts.push(name.into());
                rest = more;
            }
            _ => {
                parts.push(rest.into());
                break;
            }
        }
    }
    let table = parts.pop().unwrap_or_default();
    match (parts.pop(), parts.pop()) {
        (schema, None) if !table.is_empty() && schema.as_deref() != Some("") => Ok((schema, table)),
        _ => Err(Error::new(Code::Unsafe, format!("{written:?} is no name of a table"))
            .state("nothing was written")
            .help("write `orders`, `sales.orders`, or `'\"a.b\"'` where the point is part of a name")),
    }
}

fn refuse_long(what: &str, name: &str) -> Result<()> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    let message =
        format!("the {what} name {name:?} has {} bytes, and PostgreSQL's names have at most {MAX_NAME}", name.len());
    let help = match what {
        "column" => format!("rename it: `columns: {{shorter: {{from: {name}}}}}`"),
        _ => "choose a shorter name".to_owned(),
    };
    Err(Error::new(Code::Unstorable, message).state("nothing was written").help(help))
}

/// A column as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// Its type as the server writes it.
    pub(crate) declared: String,
    /// Its type is the one we would have made it with, so that it takes our binary form.
    pub(crate) ours: bool,
    /// Its type is not one of ours: values are cast on their way in, and have a form of their own in the table.
    pub(crate) cast: bool,
    /// Values would be rounded or cut on their way in.
    lossy: bool,
    /// A `numeric` without precision: it may hold more digits than are read of it, which must not be lost when a row is
    /// written back.
    pub(crate) free: bool,
    /// Values that are not the same are equal in it (`citext`, `char(n)`, a collation that is not deterministic).
    loose: bool,
}

impl Found {
    /// The column's value of `table` (a name or alias with its point, or nothing) as one of ours.
    pub(crate) fn read(&self, table: &str) -> String {
        let name = format!("{table}{}", quote(&self.name));
        if self.ours || self.free { name } else { format!("{name}::{}", codec::declared(self.data_type)) }
    }

    /// The type it was made with, as we write it; nothing where that is not one of ours.
    pub(crate) fn declared_as(&self) -> String {
        if self.ours { codec::declared(self.data_type) } else { String::new() }
    }

    /// The type of a column of a temporary table in which its values wait.
    pub(crate) fn staged(&self, data_type: DataType) -> String {
        if self.free { "numeric".to_owned() } else { codec::declared(data_type) }
    }

    /// A value of ours as the column takes it.
    pub(crate) fn write(&self, value: &str) -> String {
        if self.cast { format!("{value}::{}", self.declared) } else { value.to_owned() }
    }
}

/// A table as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Its own columns; generated ones, which nobody writes, are left out.
    pub(crate) columns: Vec<Found>,
    kind: i8,
}

impl Table {
    pub(crate) fn get(&self, name: &str) -> Option<&Found> {
        self.columns.iter().find(|c| c.name == name)
    }

    pub(crate) fn schema(&self) -> Schema {
        Schema { columns: self.columns.iter().map(|c| Column::new(&c.name, c.data_type)).collect() }
    }

    /// Whether rows may be sent straight into it: all these columns take our binary form.
    pub(crate) fn takes(&self, mut columns: impl Iterator<Item = impl AsRef<str>>) -> bool {
        columns.all(|name| self.get(name.as_ref()).is_some_and(|c| c.ours))
    }
}

/// Columns and types of a table, or `None` where there is none.
pub(crate) fn table(db: &Db, name: &Name) -> Result<Option<Table>> {
    let read = to("read the table's columns");
    // A domain counts as the type it is of.
    let rows = db
        .query(
            "SELECT a.attname, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END,
                    CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
                    format_type(a.atttypid, a.atttypmod), a.attgenerated <> '' OR a.attidentity = 'a', c.relkind, t.typtype,
                    t.typelem <> 0 AND t.typlen = -1, coalesce(o.collisdeterministic, true) AND t.typname <> 'citext'
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation o ON o.oid = a.attcollation
             WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = ANY ('{r,p,v,m,f}')
             ORDER BY a.attnum",
            &[&name.schema, &name.table],
        )
        .map_err(&read)?;
    let mut out = Table { columns: Vec::new(), kind: b'r' as i8 };
    let mut any = false;
    for row in rows {
        type Column = (String, u32, i32, String, bool, i8, i8, bool, bool);
        let get = || -> Result<Column, tokio_postgres::Error> {
            Ok((
                row.try_get(0)?,
                row.try_get(1)?,
                row.try_get(2)?,
                row.try_get(3)?,
                row.try_get(4)?,
                row.try_get(5)?,
                row.try_get(6)?,
                row.try_get(7)?,
                row.try_get(8)?,
            ))
        };
        let (name, oid, modifier, declared, generated, kind, typtype, array, exact) = get().map_err(&read)?;
        (any, out.kind) = (true, kind);
        if !generated {
            let mut found = found(name, oid, modifier, declared, typtype == b'd' as i8);
            // An explicit cast gives elements the array's length or scale, without a word.
            found.lossy |= array && modifier != -1;
            // Blanks at the end of a char(n) count for nothing.
            found.loose = !exact || oid == 1042;
            out.columns.push(found);
        }
    }
    Ok(any.then_some(out))
}

fn found(name: String, oid: u32, modifier: i32, declared: String, domain: bool) -> Found {
    let fraction = matches!(oid, 1083 | 1114 | 1184) && (0..6).contains(&modifier);
    let (data_type, ours, cast, lossy) = match oid {
        16 => (DataType::Bool, true, false, false),
        20 => (DataType::BigInt, true, false, false),
        21 | 23 => (DataType::BigInt, false, false, false),
        1700 if modifier >= 4 => {
            let (precision, scale) = ((modifier - 4) >> 16, ((modifier - 4) & 0x7ff) ^ 1024);
            let scale = scale - 1024;
            match (u8::try_from(precision), u8::try_from(scale)) {
                (Ok(p @ 1..=38), Ok(s)) if s <= p => (DataType::Decimal(p, s), true, false, false),
                _ => (DataType::Decimal(38, 9), false, false, false),
            }
        }
        1700 => (DataType::Decimal(38, 9), false, false, false),
        701 => (DataType::Double, true, false, false),
        700 => (DataType::Double, false, false, true),
        25 => (DataType::Text, true, false, false),
        1043 | 1042 => (DataType::Text, false, false, false),
        17 => (DataType::Bytes, true, false, false),
        1082 => (DataType::Date, true, false, false),
        1083 => (DataType::Time, !fraction, false, fraction),
        1114 => (DataType::Timestamp { nanos: false }, !fraction, false, fraction),
        1184 => (DataType::TimestampTz { nanos: false }, !fraction, false, fraction),
        // "char", name, money, bit: an explicit cast cuts or rounds what is too long.
        18 | 19 | 790 | 1560 => (DataType::Text, false, true, true),
        1186 | 1562 => (DataType::Text, false, true, modifier != -1),
        114 => (DataType::Json, true, false, false),
        3802 => (DataType::Json, false, true, false),
        _ => (DataType::Text, false, true, false),
    };
    let free = oid == 1700 && !ours;
    Found { name, data_type, declared, ours: ours && !domain, cast, lossy, free, loose: false }
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

/// Brings the table to the target: creates it, or applies the changes, and sees to the index the merge needs. Whether it
/// was created: then its key is not made yet, so that rows can get in first ([`make_key`]).
/// `loaded`: this pipeline has loaded the table before, so its key is settled.
pub(crate) fn prepare(
    db: &Db,
    pipeline: &Pipeline,
    name: &Name,
    schema: &Schema,
    changes: &[Change],
    at: DataType,
    loaded: bool,
) -> Result<bool> {
    let control = control_columns(pipeline, at);
    let key = key_columns(pipeline);
    refuse(pipeline, schema, &control, &key)?;
    let Some(existing) = table(db, name)? else {
        create(db, name, schema, &control, &key)?;
        index_window(db, pipeline, name)?;
        return Ok(true);
    };
    refuse_kind(pipeline, &existing, schema, &control)?;
    for change in changes {
        if let Change::Widen { name: column, to, .. } = change {
            let mut wider = widen(db, name, &existing, column, *to)?;
            // The moments of a history are of its version's type.
            if pipeline.load == Load::Scd2 && pipeline.version.as_ref() == Some(column) {
                wider |= widen(db, name, &existing, "valid_from", *to)?;
                wider |= widen(db, name, &existing, "valid_to", *to)?;
            }
            if wider {
                state::widen_memories(db, pipeline, column, *to)?;
            }
        }
    }
    for column in schema.columns.iter().chain(&control) {
        if existing.get(&column.name).is_none() {
            add(db, name, column)?;
        }
    }
    if !key.is_empty() && !has_unique(db, name, &key)? {
        if loaded {
            return Err(refusal::other_key(pipeline));
        }
        let sql = format!("CREATE UNIQUE INDEX ON {name} ({})", list(key.iter().copied()));
        crash::at(Point::Index, || {
            db.execute_batch(&sql).map_err(|cause| {
                Error::new(
                    Code::TableShape,
                    format!("the table {:?} has no unique index on its key, and none can be made", name.table),
                )
                .state("nothing was written")
                .help("remove rows with equal keys from the table, or choose another key")
                .cause(cause)
            })
        })?;
    }
    index_window(db, pipeline, name)?;
    Ok(false)
}

/// Whether the table takes rows as it is: what a run would make or change of it is there.
pub(crate) fn suits(db: &Db, pipeline: &Pipeline, name: &Name, schema: &Schema, at: DataType) -> Result<()> {
    let control = control_columns(pipeline, at);
    refuse(pipeline, schema, &control, &key_columns(pipeline))?;
    let existing =
        table(db, name)?.ok_or_else(|| Error::internal(format!("there is no table {name} to load beside runs")))?;
    refuse_kind(pipeline, &existing, schema, &control)?;
    if let Some(missing) = schema.columns.iter().chain(&control).find(|c| existing.get(&c.name).is_none()) {
        let (table, column) = (&pipeline.destination.table, &missing.name);
        return Err(Error::new(Code::TableShape, format!("table {table:?} has no column {column:?} any more"))
            .state("nothing was written")
            .help(format!("`floodmark run {}` adds it again", pipeline.name)));
    }
    if has_key(db, pipeline, name)? { Ok(()) } else { Err(refusal::other_key(pipeline)) }
}

/// The server's own limits, told before it runs into them.
fn refuse(pipeline: &Pipeline, schema: &Schema, control: &[Column], key: &[&str]) -> Result<()> {
    for column in &schema.columns {
        refuse_long("column", &column.name)?;
        let own = control.iter().any(|c| c.name == column.name);
        if own || SYSTEM_COLUMNS.contains(&column.name.as_str()) {
            let needs = if own { pipeline.load.name() } else { "PostgreSQL" };
            return Err(Error::new(
                Code::TableShape,
                format!("the source has a column {:?}, which {needs} needs for itself", column.name),
            )
            .state("nothing was written")
            .help(format!("rename it: `columns: {{other_name: {{from: {}}}}}`", column.name)));
        }
    }
    let over = |field: &str, columns: usize| {
        let message = format!("`{field}` has {columns} columns, and PostgreSQL indexes at most {MAX_KEY}");
        Err(Error::new(Code::Unstorable, message)
            .state("nothing was written")
            .help("name fewer, or make one column of them: `transform: SELECT *, concat_ws('|', …) AS id FROM source`"))
    };
    if key.len() > MAX_KEY {
        return over("key", key.len());
    }
    if pipeline.window.len() > MAX_KEY {
        return over("window", pipeline.window.len());
    }
    if let Some(json) = schema.columns.iter().find(|c| c.data_type == DataType::Json && key.contains(&c.name.as_str()))
    {
        return Err(Error::new(
            Code::TableShape,
            format!("column {:?} of the key is json, which has no order", json.name),
        )
        .state("nothing was written")
        .help(format!("keep it as text: `columns: {{{}: {{type: text}}}}`", json.name)));
    }
    Ok(())
}

/// What stands under the name already must take rows as they are.
fn refuse_kind(pipeline: &Pipeline, existing: &Table, schema: &Schema, control: &[Column]) -> Result<()> {
    let table = &pipeline.destination.table;
    if !matches!(existing.kind as u8, b'r' | b'p') {
        return Err(Error::new(Code::TableShape, format!("{table:?} is a view or a foreign table"))
            .state("nothing was written")
            .help("name a table of this database"));
    }
    if let Some(lossy) = existing.columns.iter().find(|c| c.lossy && schema.get(&c.name).is_some()) {
        let message = format!(
            "column {:?} of table {table:?} is {}, which would round or cut values",
            lossy.name, lossy.declared
        );
        return Err(Error::new(Code::TableShape, message).state("nothing was written").help(format!(
            "give it a type that keeps them: ALTER TABLE … ALTER {} TYPE {}",
            quote(&lossy.name),
            codec::declared(lossy.data_type)
        )));
    }
    let loose = pipeline.key.iter().find_map(|key| existing.get(key).filter(|c| c.loose));
    if let Some(loose) = loose.filter(|_| pipeline.load != Load::Append) {
        let message = format!(
            "key column {:?} of table {table:?} is {}, by which values that are not the same are equal: which of them is \
             newer could not be told",
            loose.name, loose.declared
        );
        return Err(Error::new(Code::TableShape, message).state("nothing was written").help(format!(
            "give it a type that compares what it holds: ALTER TABLE … ALTER {0} TYPE text COLLATE \"C\"",
            quote(&loose.name)
        )));
    }
    let arriving = schema.columns.iter().chain(control).filter(|c| existing.get(&c.name).is_none()).count();
    let all = existing.columns.len() + arriving;
    if all > MAX_COLUMNS {
        let message = format!("the table would have {all} columns, and PostgreSQL has at most {MAX_COLUMNS}");
        return Err(Error::new(Code::Unstorable, message)
            .state("nothing was written")
            .help("choose columns with `transform: SELECT … FROM source`"));
    }
    Ok(())
}

fn create(db: &Db, name: &Name, schema: &Schema, control: &[Column], key: &[&str]) -> Result<()> {
    let columns: Vec<String> = schema
        .columns
        .iter()
        .chain(control)
        .map(|c| {
            let not_null = if key.contains(&c.name.as_str()) { " NOT NULL" } else { "" };
            format!("{} {}{not_null}", quote(&c.name), codec::declared(c.data_type))
        })
        .collect();
    let sql = format!("CREATE TABLE {name} (\n  {}\n)", columns.join(",\n  "));
    crash::at(Point::CreateTable, || db.execute_batch(&sql).map_err(to("create the table")))
}

/// Makes the key of a table that was created without: one sort instead of an insertion for each row, and the proof that
/// no two rows share it.
pub(crate) fn make_key(db: &Db, pipeline: &Pipeline, name: &Name) -> Result<()> {
    let key = key_columns(pipeline);
    if key.is_empty() {
        return Ok(());
    }
    let sql = format!("ALTER TABLE {name} ADD PRIMARY KEY ({})", list(key.iter().copied()));
    crash::at(Point::Index, || db.execute_batch(&sql).map_err(to("make the table's key")))
}

fn add(db: &Db, name: &Name, column: &Column) -> Result<()> {
    let new = quote(&column.name);
    let declared = codec::declared(column.data_type);
    let mut sql = format!("ALTER TABLE {name} ADD COLUMN {new} {declared}");
    // The server notes the value for rows there are, and rewrites none.
    if column.name == "is_deleted" || column.name == "is_current" {
        let value = column.name == "is_current";
        sql.push_str(&format!(" DEFAULT {value}; ALTER TABLE {name} ALTER COLUMN {new} DROP DEFAULT"));
    }
    crash::at(Point::AddColumn, || db.execute_batch(&sql).map_err(to("add a column")))
}

/// Gives a column a wider type, where its type is another one.
fn widen(db: &Db, name: &Name, existing: &Table, column: &str, to_type: DataType) -> Result<bool> {
    let declared = codec::declared(to_type);
    let Some(found) = existing.get(column).filter(|c| codec::declared(c.data_type) != declared) else {
        return Ok(false);
    };
    let column = quote(&found.name);
    let sql = format!("ALTER TABLE {name} ALTER COLUMN {column} TYPE {declared} USING {column}::{declared}");
    crash::at(Point::Widen, || db.execute_batch(&sql).map_err(to("widen a column")))?;
    Ok(true)
}

/// Whether the pipeline's key, if it has one, is unique in the table.
pub(crate) fn has_key(db: &Db, pipeline: &Pipeline, name: &Name) -> Result<bool> {
    let key = key_columns(pipeline);
    Ok(key.is_empty() || has_unique(db, name, &key)?)
}

/// Whether a unique index covers exactly these columns, for all rows and at once.
fn has_unique(db: &Db, name: &Name, key: &[&str]) -> Result<bool> {
    let mut wanted: Vec<&str> = key.to_vec();
    wanted.sort_unstable();
    indexes(db, name, true).map(|all| {
        all.into_iter().any(|mut columns| {
            columns.sort_unstable();
            columns == wanted
        })
    })
}

/// The columns of each index, in its order.
fn indexes(db: &Db, name: &Name, unique: bool) -> Result<Vec<Vec<String>>> {
    db.query(
        "SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i
         JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace s ON s.oid = c.relnamespace
         CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
         WHERE s.nspname = $1 AND c.relname = $2 AND k.n <= i.indnkeyatts AND i.indisvalid AND i.indpred IS NULL
           AND i.indexprs IS NULL AND (NOT $3 OR (i.indisunique AND i.indimmediate))
         GROUP BY i.indexrelid",
        &[&name.schema, &name.table, &unique],
    )
    .and_then(|rows| rows.iter().map(|r| r.try_get(0)).collect())
    .map_err(to("read the table's indexes"))
}

/// Finds a window's rows without reading the table.
fn index_window(db: &Db, pipeline: &Pipeline, name: &Name) -> Result<()> {
    let window: Vec<&str> = pipeline.window.iter().map(String::as_str).collect();
    let there = |columns: &Vec<String>| {
        columns.len() >= window.len() && columns[..window.len()].iter().all(|c| window.contains(&c.as_str()))
    };
    if pipeline.load != Load::DeleteInsert || window.is_empty() || indexes(db, name, false)?.iter().any(there) {
        return Ok(());
    }
    let sql = format!("CREATE INDEX ON {name} ({})", list(window.iter().copied()));
    crash::at(Point::Index, || db.execute_batch(&sql).map_err(to("index the window")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_parts_the_schema_from_the_table() {
        let of = |written| split(written).map(|(s, t)| (s.map(Cow::into_owned), t.into_owned())).ok();
        let is = |schema: Option<&str>, table: &str| Some((schema.map(str::to_owned), table.to_owned()));
        assert_eq!(of("orders"), is(None, "orders"));
        assert_eq!(of("sales.orders"), is(Some("sales"), "orders"));
        assert_eq!(of("sales.a.b"), is(Some("sales"), "a.b"));
        assert_eq!(of(r#""a.b""#), is(None, "a.b"));
        assert_eq!(of(r#""a""b"."c d""#), is(Some("a\"b"), "c d"));
        assert_eq!(of(r#"half"open"#), is(None, "half\"open"));
        assert_eq!((of(""), of(".t"), of("t.")), (None, None, None));
    }
}

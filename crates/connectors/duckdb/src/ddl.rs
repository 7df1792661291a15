//! Creating and changing tables. All of it is transactional in DuckDB, so it runs inside the load's own transaction.

use crate::{
    codec::{self, Way},
    failure::to,
    link::{Db, Into, Row},
    raw::Failure,
    state,
};
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

/// More than anybody has: DuckDB itself knows no limit.
pub(crate) const MAX_COLUMNS: usize = 10_000;

/// Columns of a key or a window.
const MAX_KEY: usize = 300;

/// What every table has already: where a row stands.
const ROW: &str = "rowid";

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

/// A table's full name. It is shown as the user writes it, and stands in SQL quoted, behind that of its database: a file's
/// name may be that of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    catalog: String,
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", quote(&self.catalog), quote(&self.schema), quote(&self.table))
    }
}

impl Name {
    /// What a pipeline calls a table: `orders`, `sales.orders`, or `"a.b"` where the point is part of the name. Without a
    /// schema it is in `main`. Where there is such a table in letters of another case, it is that one, as DuckDB has it.
    pub(crate) fn resolve(db: &Db, written: &str) -> Result<Name> {
        let (schema, table) = split(written)?;
        if table.to_ascii_lowercase().starts_with("_floodmark_") {
            return Err(Error::new(Code::Unsafe, format!("a table cannot be called {written:?}"))
                .state("nothing was written")
                .help("names that begin with _floodmark_ are kept: choose another"));
        }
        let row = db
            .query_one(
                "SELECT current_database(), coalesce(t.schema_name, $1), coalesce(t.table_name, $2) FROM (SELECT 1) one
                 LEFT JOIN (
                   SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = current_database()
                   UNION ALL SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = current_database()
                 ) t ON lower(t.schema_name) = lower($1) AND lower(t.table_name) = lower($2) LIMIT 1",
                &[&schema.as_deref().unwrap_or("main"), &&*table],
            )
            .map_err(to("find the table"))?;
        let get = || -> Result<Name, Failure> {
            Ok(Name { catalog: row.try_get(0)?, schema: row.try_get(1)?, table: row.try_get(2)? })
        };
        get().map_err(to("find the table"))
    }

    /// Where rows are sent.
    pub(crate) fn place(&self) -> Into<'_> {
        Into::Table { catalog: &self.catalog, schema: &self.schema, table: &self.table }
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

/// A column as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// Its type as DuckDB writes it.
    pub(crate) declared: String,
    way: Way,
}

impl Found {
    /// The column's value of `table` (a name or alias with its point, or nothing) as one of ours.
    pub(crate) fn read(&self, table: &str) -> String {
        let name = self.there(table);
        match self.way {
            Way::Ours => name,
            Way::Cast | Way::Foreign | Way::Lossy => format!("{name}::{}", codec::read_type(self.data_type)),
        }
    }

    /// The column's value as it is there. Texts compare by their bytes, whatever the column was made to take for equal.
    pub(crate) fn there(&self, table: &str) -> String {
        let name = format!("{table}{}", quote(&self.name));
        if self.data_type == DataType::Text && self.way == Way::Ours { format!("({name} COLLATE C)") } else { name }
    }

    /// The type it was made with, as we write it; nothing where that is not one of ours.
    pub(crate) fn declared_as(&self) -> String {
        if self.way == Way::Ours { codec::declared(self.data_type) } else { String::new() }
    }

    /// A value of ours as the column takes it.
    pub(crate) fn write(&self, value: &str) -> String {
        match self.way {
            Way::Ours => value.to_owned(),
            Way::Cast | Way::Foreign | Way::Lossy => format!("{value}::{}", self.declared),
        }
    }

    /// Its type is not one of ours: values have a form of their own in the table.
    pub(crate) fn is_foreign(&self) -> bool {
        self.way == Way::Foreign
    }
}

/// A table as the database has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Found>,
    is_view: bool,
}

impl Table {
    /// A column by its name, as DuckDB finds it: the case of letters does not count.
    pub(crate) fn get(&self, name: &str) -> Option<&Found> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn schema(&self) -> Schema {
        Schema { columns: self.columns.iter().map(|c| Column::new(&c.name, c.data_type)).collect() }
    }

    /// Whether rows may be sent straight into it: all these columns take our values as they are.
    pub(crate) fn takes(&self, mut columns: impl Iterator<Item = impl AsRef<str>>) -> bool {
        columns.all(|name| self.get(name.as_ref()).is_some_and(|c| c.way == Way::Ours))
    }
}

/// Columns and types of a table, or `None` where there is none.
pub(crate) fn table(db: &Db, name: &Name) -> Result<Option<Table>> {
    let read = to("read the table's columns");
    let found = |row: &Row| -> Result<Found, Failure> {
        let declared: String = row.try_get(1)?;
        let codec::Read { data_type, way } = codec::read_as(&declared);
        Ok(Found { name: row.try_get(0)?, data_type, declared, way })
    };
    let is_view = db
        .query_opt(
            "SELECT false FROM duckdb_tables()
             WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2
             UNION ALL SELECT true FROM duckdb_views()
             WHERE database_name = current_database() AND schema_name = $1 AND view_name = $2",
            &[&name.schema, &name.table],
        )
        .and_then(|row| row.map(|row| row.try_get::<bool>(0)).transpose())
        .map_err(&read)?;
    let Some(is_view) = is_view else { return Ok(None) };
    // The list of all columns would have DuckDB bind every view that it brings along.
    let columns = db
        .query(&format!("SELECT column_name, column_type FROM (DESCRIBE {name})"), &[])
        .and_then(|rows| rows.iter().map(found).collect::<Result<Vec<_>, _>>())
        .map_err(&read)?;
    Ok(Some(Table { columns, is_view }))
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

/// Brings the table to the target: creates it, or applies the changes, and sees that its rows are told apart by the key. No
/// index is made for that: whoever merges looks first, nobody else writes meanwhile, and an index of DuckDB's is kept in
/// memory as a whole. Whether it was created. `loaded`: this pipeline has loaded the table before, so its key is settled.
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
        if !key.is_empty() {
            state::note_key(db, name, &key)?;
        }
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
    if !has_key(db, pipeline, name)? {
        if loaded {
            return Err(refusal::other_key(pipeline));
        }
        prove_key(db, name, &existing, &key)?;
        state::note_key(db, name, &key)?;
    }
    Ok(false)
}

/// An error where two rows of a table share a key: nobody has told them apart yet.
fn prove_key(db: &Db, name: &Name, existing: &Table, key: &[&str]) -> Result<()> {
    // One that was just added is not among those that were there.
    let column = |name: &&str| existing.get(name).map_or_else(|| quote(name), |found| found.there(""));
    let listed = key.iter().map(column).collect::<Vec<_>>().join(", ");
    let sql =
        format!("SELECT count(*) > 0 FROM (SELECT 1 FROM {name} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1) twice");
    let twice: bool =
        db.query_one(&sql, &[]).and_then(|row| row.try_get(0)).map_err(to("look for rows with equal keys"))?;
    if !twice {
        return Ok(());
    }
    Err(Error::new(
        Code::TableShape,
        format!("the table {:?} has no unique index on its key, and none can be made", name.table),
    )
    .state("nothing was written")
    .help("remove rows with equal keys from the table, or choose another key"))
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

/// What cannot be a column or a key, told before DuckDB runs into it.
fn refuse(pipeline: &Pipeline, schema: &Schema, control: &[Column], key: &[&str]) -> Result<()> {
    for column in &schema.columns {
        let own = control.iter().any(|c| c.name.eq_ignore_ascii_case(&column.name));
        if own || column.name.eq_ignore_ascii_case(ROW) {
            let needs = if own { pipeline.load.name() } else { "DuckDB" };
            return Err(Error::new(
                Code::TableShape,
                format!("the source has a column {:?}, which {needs} needs for itself", column.name),
            )
            .state("nothing was written")
            .help(format!("rename it: `columns: {{other_name: {{from: {}}}}}`", column.name)));
        }
    }
    for (field, columns) in [("key", key.len()), ("window", pipeline.window.len())] {
        if columns > MAX_KEY {
            return Err(Error::new(
                Code::Unstorable,
                format!("`{field}` has {columns} columns, and at most {MAX_KEY} are compared"),
            )
            .state("nothing was written")
            .help(
                "name fewer, or make one column of them: `transform: SELECT *, concat_ws('|', …) AS id FROM source`",
            ));
        }
    }
    Ok(())
}

/// What stands under the name already must take rows as they are.
fn refuse_kind(pipeline: &Pipeline, existing: &Table, schema: &Schema, control: &[Column]) -> Result<()> {
    let table = &pipeline.destination.table;
    if existing.is_view {
        return Err(Error::new(Code::TableShape, format!("{table:?} is a view"))
            .state("nothing was written")
            .help("name a table of this database"));
    }
    if existing.get(ROW).is_some() {
        return Err(Error::new(
            Code::TableShape,
            format!("table {table:?} has a column {ROW:?}, which hides where a row stands"),
        )
        .state("nothing was written")
        .help(format!("rename it: ALTER TABLE … RENAME COLUMN {ROW} TO …")));
    }
    if let Some(lossy) = existing.columns.iter().find(|c| c.way == Way::Lossy && schema.get(&c.name).is_some()) {
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
    let arriving = schema.columns.iter().chain(control).filter(|c| existing.get(&c.name).is_none()).count();
    let all = existing.columns.len() + arriving;
    if all > MAX_COLUMNS {
        return Err(Error::new(
            Code::Unstorable,
            format!("the table would have {all} columns, and at most {MAX_COLUMNS} are loaded"),
        )
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

fn add(db: &Db, name: &Name, column: &Column) -> Result<()> {
    let new = quote(&column.name);
    let declared = codec::declared(column.data_type);
    let mut sql = format!("ALTER TABLE {name} ADD COLUMN {new} {declared}");
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

/// Whether the rows of the pipeline's table, if it has a key, are known to be told apart by it: by what was noted of it, or by
/// an index of somebody else's.
pub(crate) fn has_key(db: &Db, pipeline: &Pipeline, name: &Name) -> Result<bool> {
    let key = key_columns(pipeline);
    Ok(key.is_empty() || state::has_key(db, name, &key)? || has_unique(db, name, &key)?)
}

/// Whether a constraint or an index holds exactly these columns apart.
fn has_unique(db: &Db, name: &Name, key: &[&str]) -> Result<bool> {
    let rows = db
        .query(
            "SELECT to_json(constraint_column_names)::text FROM duckdb_constraints()
             WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2
               AND constraint_type IN ('PRIMARY KEY', 'UNIQUE')
             UNION ALL SELECT to_json(string_split(trim(expressions, '[]'), ', '))::text FROM duckdb_indexes()
             WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2 AND is_unique",
            &[&name.schema, &name.table],
        )
        .and_then(|rows| rows.iter().map(|r| r.try_get::<String>(0)).collect::<Result<Vec<_>, _>>())
        .map_err(to("read the table's indexes"))?;
    let ordered = |mut columns: Vec<String>| {
        columns.iter_mut().for_each(|column| *column = column.trim_matches('"').to_lowercase());
        columns.sort_unstable();
        columns
    };
    let wanted = ordered(key.iter().map(|column| (*column).to_owned()).collect());
    Ok(rows.iter().filter_map(|text| serde_json::from_str(text).ok()).any(|columns| ordered(columns) == wanted))
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

//! Creating and changing tables.
//!
//! These servers commit before and after each such statement, so none of them stands in a load's transaction: they come
//! before it, one by one, and each is found done where a run died behind it. A new table is empty until the load's
//! transaction fills it; a new column holds no value; a wider type holds what the narrower held. A table whose shape cannot
//! be reached like that is made anew beside the old one ([`crate::swap`]).

use crate::{
    codec::{self, Taken},
    failure::{Failure, code, to},
    link::Db,
    literal,
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
use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// InnoDB's limit.
pub(crate) const MAX_COLUMNS: usize = 1017;

/// Characters of a name.
pub(crate) const MAX_NAME: usize = 64;

/// Columns of an index.
const MAX_KEY: usize = 16;

/// Bytes of an index's entry, of which a character takes four.
const MAX_KEY_BYTES: u32 = 3072;

/// Characters of a key's text, at most; shorter where several share the index.
const KEY_TEXT: u32 = 700;

/// The column that tells rows of a table without a key apart. `SELECT *` does not show it.
pub(crate) const ROW: &str = "_floodmark_row";

/// Names with commas between.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(literal::name).collect::<Vec<_>>().join(", ")
}

/// Whether two names of columns are one to the server.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// A table's full name. It stands in SQL quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) database: String,
    pub(crate) table: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", literal::name(&self.database), literal::name(&self.table))
    }
}

impl Name {
    /// What a pipeline calls a table: `orders`, `sales.orders` of another database, or "`a.b`" where the point is part of
    /// the name.
    pub(crate) fn resolve(db: &Db, written: &str) -> Result<Name> {
        let (database, table) = split(written)?;
        let database = database.unwrap_or_else(|| db.server.database.clone());
        for name in [&database, &table] {
            refuse_long("table", name)?;
        }
        if table.to_ascii_lowercase().starts_with("_floodmark_") {
            return Err(Error::new(Code::Unsafe, format!("a table cannot be called {written:?}"))
                .state("nothing was written")
                .help("names that begin with _floodmark_ are kept: choose another"));
        }
        let plain = |name: String| if db.server.case_sensitive { name } else { name.to_lowercase() };
        Ok(Name { database: plain(database), table: plain(table) })
    }

    /// A table of our own beside it.
    pub(crate) fn beside(&self, table: String) -> Name {
        Name { database: self.database.clone(), table }
    }
}

/// Database and table, each perhaps in backquotes or double quotes.
pub(crate) fn split(written: &str) -> Result<(Option<String>, String)> {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = written;
    loop {
        if let Some((name, more)) = quoted(rest) {
            parts.push(name);
            match more.strip_prefix('.') {
                Some(more) => {
                    rest = more;
                    continue;
                }
                None => break,
            }
        }
        match rest.split_once('.') {
            Some((name, more)) if parts.is_empty() => {
                parts.push(name.to_owned());
                rest = more;
            }
            _ => {
                parts.push(rest.to_owned());
                break;
            }
        }
    }
    let table = parts.pop().unwrap_or_default();
    match (parts.pop(), parts.pop()) {
        (database, None) if !table.is_empty() && database.as_deref() != Some("") => Ok((database, table)),
        _ => Err(Error::new(Code::Unsafe, format!("{written:?} is no name of a table"))
            .state("nothing was written")
            .help("write `orders`, `sales.orders`, or `'\"a.b\"'` where the point is part of a name")),
    }
}

/// A name in quotes, and what follows it: nothing, or a point. A quote that is never closed is a part of the name.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '`'))?;
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            name.push(c);
        } else if characters.next_if(|(_, c)| *c == quote).is_some() {
            name.push(quote);
        } else {
            let more = &text[at + 1..];
            return (more.is_empty() || more.starts_with('.')).then_some((name, more));
        }
    }
    None
}

fn refuse_long(what: &str, name: &str) -> Result<()> {
    let length = name.chars().count();
    if length <= MAX_NAME {
        return Ok(());
    }
    let message =
        format!("the {what} name {name:?} has {length} characters, and the server's names have at most {MAX_NAME}");
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
    collation: Option<String>,
    /// It is not known how the column keeps what is written into it: it has a form of its own for values.
    foreign: bool,
    digits: u8,
    trims: bool,
    /// Values that are not the same are equal in it.
    pub(crate) loose: bool,
}

impl Found {
    /// How values get into it.
    pub(crate) fn taken(&self) -> Taken {
        Taken { name: self.name.clone(), data_type: self.data_type, digits: self.digits, trims: self.trims }
    }

    /// Its whole type, for a column that is to hold and compare the same.
    pub(crate) fn like(&self) -> String {
        match &self.collation {
            Some(collation) => {
                let charset = collation.split('_').next().unwrap_or("utf8mb4");
                format!("{} CHARACTER SET {charset} COLLATE {collation}", self.declared)
            }
            None => self.declared.clone(),
        }
    }

    /// Whether its texts are in UTF-8 and sorted by their bytes, as ours are.
    pub(crate) fn sorts_by_bytes(&self, db: &Db) -> bool {
        self.collation.as_deref() == Some(db.server.exact()) && !self.trims
    }

    fn comment(&self) -> &'static str {
        if self.data_type == DataType::Json { " COMMENT 'json'" } else { "" }
    }
}

/// A table as the database has it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Its own columns; generated ones, which nobody writes, and ours are left out.
    pub(crate) columns: Vec<Found>,
    /// The columns of its primary key.
    pub(crate) primary: Vec<String>,
}

impl Table {
    pub(crate) fn get(&self, name: &str) -> Option<&Found> {
        self.columns.iter().find(|c| same_name(&c.name, name))
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Found> {
        self.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the table")))
    }

    pub(crate) fn schema(&self) -> Schema {
        Schema { columns: self.columns.iter().map(|c| Column::new(&c.name, c.data_type)).collect() }
    }
}

/// Columns and types of a table, or `None` where there is none.
pub(crate) fn table(db: &Db, name: &Name) -> Result<Option<Table>> {
    let rows = match db.query(&format!("SHOW FULL COLUMNS FROM {name}")) {
        Ok(rows) => rows,
        Err(failure) if failure.code() == code::NO_SUCH_TABLE => return Ok(None),
        Err(failure) => return Err(to("read the table's columns")(failure)),
    };
    let mut out = Table { columns: Vec::new(), primary: Vec::new() };
    for row in &rows {
        let cell = |at: usize| row.text(at).unwrap_or_default();
        let extra = cell(6).to_ascii_uppercase();
        if cell(4) == "PRI" {
            out.primary.push(cell(0).to_owned());
        }
        let generated = ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"].iter().any(|g| extra.contains(g));
        if !generated && cell(0) != ROW {
            out.columns.push(found(cell(0), cell(1), row.text(2), cell(8)));
        }
    }
    Ok(Some(out))
}

fn found(name: &str, declared: &str, collation: Option<&str>, comment: &str) -> Found {
    let lower = declared.to_ascii_lowercase();
    let (base, rest) = lower.split_once('(').unwrap_or((&lower, ""));
    let base = base.split_whitespace().next().unwrap_or_default();
    let unsigned = lower.contains("unsigned");
    let arguments: Vec<u8> =
        rest.split(')').next().unwrap_or("").split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let exact = collation.is_none_or(|c| c == "binary" || c.ends_with("nopad_bin") || c.ends_with("0900_bin"));
    let mut out = Found {
        name: name.to_owned(),
        data_type: DataType::Text,
        declared: declared.to_owned(),
        collation: collation.map(str::to_owned),
        foreign: false,
        digits: 6,
        trims: false,
        loose: !exact,
    };
    let fraction = arguments.first().copied().unwrap_or(0);
    match base {
        "tinyint" if lower.starts_with("tinyint(1)") && !unsigned => out.data_type = DataType::Bool,
        // More than a signed number holds.
        "bigint" if unsigned => out.data_type = DataType::Decimal(20, 0),
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => out.data_type = DataType::BigInt,
        "decimal" => match arguments[..] {
            [p @ 1..=38, s] if s <= p => out.data_type = DataType::Decimal(p, s),
            _ => (out.data_type, out.foreign) = (DataType::Decimal(38, 9), true),
        },
        "double" if arguments.is_empty() => out.data_type = DataType::Double,
        // Seven digits, or as many as were asked for: values would be rounded.
        "float" | "double" => (out.data_type, out.foreign) = (DataType::Double, true),
        "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
            out.data_type = if comment == codec::JSON { DataType::Json } else { DataType::Text };
        }
        "char" => out.trims = true,
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => out.data_type = DataType::Bytes,
        "date" => out.data_type = DataType::Date,
        "time" => (out.data_type, out.digits) = (DataType::Time, fraction),
        "datetime" => (out.data_type, out.digits) = (DataType::Timestamp { nanos: false }, fraction),
        "timestamp" => (out.data_type, out.digits) = (DataType::TimestampTz { nanos: false }, fraction),
        // Enumerations, sets, years, bits, json, uuid, places on a map: each has a form of its own for what it is given.
        _ => out.foreign = true,
    }
    out
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

/// What a table is to look like.
pub(crate) struct Shape<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) schema: &'a Schema,
    pub(crate) control: Vec<Column>,
}

impl<'a> Shape<'a> {
    /// `at`: the type of the moments of a history.
    pub(crate) fn new(pipeline: &'a Pipeline, schema: &'a Schema, at: DataType) -> Self {
        Shape { pipeline, schema, control: control_columns(pipeline, at) }
    }

    fn columns(&self) -> impl Iterator<Item = &Column> {
        self.schema.columns.iter().chain(&self.control)
    }

    /// How many characters of a text the key has room for.
    fn room(&self, key: &[&str]) -> u32 {
        let (mut texts, mut fixed) = (0, 0);
        for column in self.columns().filter(|c| key.contains(&c.name.as_str())) {
            match column.data_type {
                DataType::Text | DataType::Json | DataType::Bytes => texts += 1,
                DataType::Decimal(..) => fixed += 20,
                _ => fixed += 9,
            }
        }
        ((MAX_KEY_BYTES - fixed) / 4).saturating_sub(2).checked_div(texts).unwrap_or(KEY_TEXT).min(KEY_TEXT)
    }

    /// The type a column is made with.
    fn declared(&self, db: &Db, column: &Column) -> String {
        let (key, window) = (key_columns(self.pipeline), &self.pipeline.window);
        let keyed = key.contains(&column.name.as_str());
        let windowed = window.contains(&column.name);
        let room = if keyed {
            Some(self.room(&key))
        } else {
            windowed.then(|| self.room(&window.iter().map(String::as_str).collect::<Vec<_>>()))
        };
        let mut out = codec::declared(column.data_type, db.server.exact(), room);
        // A `timestamp` that says nothing is set to the moment at which its row is written, on servers of old.
        match (keyed, column.data_type) {
            (true, DataType::TimestampTz { .. }) => out.push_str(" NOT NULL DEFAULT '1970-01-01 00:00:01'"),
            (true, _) => out.push_str(" NOT NULL"),
            (false, _) => out.push_str(" NULL DEFAULT NULL"),
        }
        if column.data_type == DataType::Json {
            out.push_str(" COMMENT 'json'");
        }
        out
    }

    /// The definition of the whole table, in parentheses.
    pub(crate) fn definition(&self, db: &Db) -> String {
        let mut parts: Vec<String> =
            self.columns().map(|c| format!("{} {}", literal::name(&c.name), self.declared(db, c))).collect();
        let key = key_columns(self.pipeline);
        if key.is_empty() {
            parts.push(format!("`{ROW}` bigint unsigned NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY"));
        } else {
            parts.push(format!("PRIMARY KEY ({})", list(key)));
        }
        if self.is_windowed() {
            parts.push(format!("KEY ({})", list(self.pipeline.window.iter().map(String::as_str))));
        }
        format!("(\n  {}\n) ENGINE = InnoDB ROW_FORMAT = DYNAMIC", parts.join(",\n  "))
    }

    fn is_windowed(&self) -> bool {
        self.pipeline.load == Load::DeleteInsert && !self.pipeline.window.is_empty()
    }

    /// Whether a table has these columns and this key already, and would be made the same again.
    pub(crate) fn is_of(&self, db: &Db, name: &Name, found: &Table) -> Result<bool> {
        let same = self.columns().count() == found.columns.len()
            && self.columns().zip(&found.columns).all(|(new, old)| {
                same_name(&new.name, &old.name) && new.data_type == old.data_type && !old.foreign && old.digits == 6
            });
        Ok(same && has_key(db, self.pipeline, name)?)
    }
}

/// What is noted at a table that was made here: one that is still empty, and that no state speaks of, was left by a run
/// that died before it loaded anything.
///
/// The name is for people: the server compares it without regard to case and accents, and keeps no letter of four bytes.
pub(crate) fn mark(db: &Db, pipeline: &str) -> String {
    let name: String = pipeline.chars().filter(|c| c.len_utf8() < 4).take(200).collect();
    format!("{MADE}, pipeline {name} ({})", owner(db, pipeline))
}

/// Begins every [`mark`].
pub(crate) const MADE: &str = "made by Floodmark";

/// Who a pipeline is among those whose tables may lie side by side: its name, and where its state is kept.
pub(crate) fn owner(db: &Db, pipeline: &str) -> String {
    format!("{:016x}", xxh3_64(format!("{}\0{pipeline}", db.server.database).as_bytes()))
}

/// Brings the table to the target: creates it, or applies the changes, and sees to the index the merge needs. Whether it
/// was created. `loaded`: this pipeline has loaded the table before, so its key is settled.
pub(crate) fn prepare(db: &Db, name: &Name, shape: &Shape<'_>, changes: &[Change], loaded: bool) -> Result<bool> {
    let pipeline = shape.pipeline;
    let key = key_columns(pipeline);
    refuse(shape, &key)?;
    let Some(existing) = table(db, name)? else {
        create(db, name, shape)?;
        return Ok(true);
    };
    refuse_kind(db, name, &existing, shape)?;
    for change in changes {
        if let Change::Widen { name: column, to, .. } = change {
            widen(db, name, &existing, shape, column, *to)?;
            // The moments of a history are of its version's type.
            if pipeline.load == Load::Scd2 && pipeline.version.as_ref() == Some(column) {
                widen(db, name, &existing, shape, "valid_from", *to)?;
                widen(db, name, &existing, shape, "valid_to", *to)?;
            }
        }
    }
    for column in shape.columns() {
        if existing.get(&column.name).is_none() {
            add(db, name, shape, column)?;
        }
    }
    if !key.is_empty() && !has_unique(db, name, &key)? {
        if loaded {
            return Err(refusal::other_key(pipeline));
        }
        let sql = format!("ALTER TABLE {name} ADD UNIQUE INDEX ({})", list(key.iter().copied()));
        crash::at(Point::Index, || db.execute(&sql).map_err(|cause| no_unique_key(name, cause)))?;
    }
    index_window(db, shape, name)?;
    Ok(false)
}

/// Whether the table takes rows as it is: what a run would make or change of it is there.
pub(crate) fn suits(db: &Db, name: &Name, shape: &Shape<'_>) -> Result<()> {
    let pipeline = shape.pipeline;
    refuse(shape, &key_columns(pipeline))?;
    let existing =
        table(db, name)?.ok_or_else(|| Error::internal(format!("there is no table {name} to load beside runs")))?;
    refuse_kind(db, name, &existing, shape)?;
    if let Some(missing) = shape.columns().find(|c| existing.get(&c.name).is_none()) {
        let (table, column) = (&pipeline.destination.table, &missing.name);
        return Err(Error::new(Code::TableShape, format!("table {table:?} has no column {column:?} any more"))
            .state("nothing was written")
            .help(format!("`floodmark run {}` adds it again", pipeline.name)));
    }
    if has_key(db, pipeline, name)? { Ok(()) } else { Err(refusal::other_key(pipeline)) }
}

/// The key is not unique among the rows that are there, or its columns cannot be indexed.
pub(crate) fn no_unique_key(name: &Name, cause: Failure) -> Error {
    Error::new(
        Code::TableShape,
        format!("the table {:?} has no unique index on its key, and none can be made", name.table),
    )
    .state("no row was written")
    .help(
        "remove rows with equal keys from the table, give its key's columns types that can be indexed (varchar(n)), or \
         choose another key",
    )
    .cause(cause)
}

/// The server's own limits, told before it runs into them.
pub(crate) fn refuse(shape: &Shape<'_>, key: &[&str]) -> Result<()> {
    let (pipeline, schema) = (shape.pipeline, shape.schema);
    for column in &schema.columns {
        refuse_long("column", &column.name)?;
        if shape.control.iter().any(|c| same_name(&c.name, &column.name)) || same_name(&column.name, ROW) {
            return Err(Error::new(
                Code::TableShape,
                format!("the source has a column {:?}, which {} needs for itself", column.name, pipeline.load.name()),
            )
            .state("nothing was written")
            .help(format!("rename it: `columns: {{other_name: {{from: {}}}}}`", column.name)));
        }
        if let DataType::Decimal(_, scale) = column.data_type
            && scale > codec::MAX_SCALE
        {
            let message = format!(
                "column {:?} has {scale} digits behind the point, and the server's decimals have at most {}",
                column.name,
                codec::MAX_SCALE
            );
            return Err(Error::new(Code::Unstorable, message)
                .state("nothing was written")
                .help(format!("keep it as text: `columns: {{{}: {{type: text}}}}`", column.name)));
        }
    }
    for (field, columns) in [("key", key.len()), ("window", pipeline.window.len())] {
        if columns > MAX_KEY {
            let message = format!("`{field}` has {columns} columns, and the server indexes at most {MAX_KEY}");
            return Err(Error::new(Code::Unstorable, message).state("nothing was written").help(
                "name fewer, or make one column of them: `transform: SELECT *, concat_ws('|', …) AS id FROM source`",
            ));
        }
    }
    Ok(())
}

/// What stands under the name already must take rows as they are.
pub(crate) fn refuse_kind(db: &Db, name: &Name, existing: &Table, shape: &Shape<'_>) -> Result<()> {
    let table = &shape.pipeline.destination.table;
    let sql = format!(
        "SELECT table_type, engine FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
        literal::text(&name.database),
        literal::text(&name.table)
    );
    let row = db.query_opt(&sql).map_err(to("read the table's kind"))?;
    if let Some(row) = row {
        if row.text(0) != Some("BASE TABLE") {
            return Err(Error::new(Code::TableShape, format!("{table:?} is a view"))
                .state("nothing was written")
                .help("name a table"));
        }
        let engine = row.text(1).unwrap_or_default();
        if !engine.eq_ignore_ascii_case("InnoDB") {
            return Err(Error::new(
                Code::TableShape,
                format!("table {table:?} is kept by the engine {engine}, which takes nothing back"),
            )
            .state("nothing was written")
            .help(format!(
                "rows and state are to be written together or not at all: ALTER TABLE {name} ENGINE = InnoDB"
            )));
        }
    }
    if let Some(foreign) = existing.columns.iter().find(|c| c.foreign && shape.schema.get(&c.name).is_some()) {
        let message = format!(
            "column {:?} of table {table:?} is {}, which keeps values in a form of its own",
            foreign.name, foreign.declared
        );
        return Err(Error::new(Code::TableShape, message).state("nothing was written").help(
            "give it a type that keeps them as they are (ALTER TABLE … MODIFY …: double, varchar(n), longtext)",
        ));
    }
    let arriving = shape.columns().filter(|c| existing.get(&c.name).is_none()).count();
    let all = existing.columns.len() + arriving;
    if all > MAX_COLUMNS {
        let message = format!("the table would have {all} columns, and InnoDB has at most {MAX_COLUMNS}");
        return Err(Error::new(Code::Unstorable, message)
            .state("nothing was written")
            .help("choose columns with `transform: SELECT … FROM source`"));
    }
    Ok(())
}

pub(crate) fn create(db: &Db, name: &Name, shape: &Shape<'_>) -> Result<()> {
    let comment = literal::text(&mark(db, &shape.pipeline.name));
    let sql = format!("CREATE TABLE {name} {} COMMENT = {comment}", shape.definition(db));
    crash::at(Point::CreateTable, || db.execute(&sql).map_err(to("create the table")))?;
    Ok(())
}

fn add(db: &Db, name: &Name, shape: &Shape<'_>, column: &Column) -> Result<()> {
    let mut declared = shape.declared(db, column);
    // Rows there are take the value with the column.
    if column.name == "is_deleted" || column.name == "is_current" {
        declared = format!("tinyint(1) NULL DEFAULT {}", u8::from(column.name == "is_current"));
    }
    let sql = format!("ALTER TABLE {name} ADD COLUMN {} {declared}", literal::name(&column.name));
    crash::at(Point::AddColumn, || db.execute(&sql).map_err(to("add a column")))?;
    Ok(())
}

/// Gives a column a wider type, where its type is another one.
fn widen(db: &Db, name: &Name, existing: &Table, shape: &Shape<'_>, column: &str, to_type: DataType) -> Result<()> {
    let Some(found) = existing.get(column).filter(|c| c.data_type != to_type) else { return Ok(()) };
    let declared = shape.declared(db, &Column::new(&found.name, to_type));
    let sql = format!("ALTER TABLE {name} MODIFY COLUMN {} {declared}", literal::name(&found.name));
    crash::at(Point::Widen, || db.execute(&sql).map_err(to("widen a column")))?;
    Ok(())
}

/// Whether the pipeline's key, if it has one, is unique in the table.
pub(crate) fn has_key(db: &Db, pipeline: &Pipeline, name: &Name) -> Result<bool> {
    let key = key_columns(pipeline);
    Ok(key.is_empty() || has_unique(db, name, &key)?)
}

/// Whether a unique index covers exactly these columns.
fn has_unique(db: &Db, name: &Name, key: &[&str]) -> Result<bool> {
    Ok(indexes(db, name, true)?
        .iter()
        .any(|columns| columns.len() == key.len() && columns.iter().all(|c| key.iter().any(|k| same_name(k, c)))))
}

/// The columns of each index, in its order.
fn indexes(db: &Db, name: &Name, unique: bool) -> Result<Vec<Vec<String>>> {
    let rows = match db.query(&format!("SHOW INDEX FROM {name}")) {
        Ok(rows) => rows,
        Err(failure) if failure.code() == code::NO_SUCH_TABLE => return Ok(Vec::new()),
        Err(failure) => return Err(to("read the table's indexes")(failure)),
    };
    let mut all: Vec<(String, Vec<String>, bool)> = Vec::new();
    for row in &rows {
        let (index, column) = (row.text(2).unwrap_or_default(), row.text(4).unwrap_or_default());
        // One of an expression, or of the beginnings of values, says nothing of the whole column.
        let whole = row.text(4).is_some() && row.text(7).is_none() && (!unique || row.text(1) == Some("0"));
        match all.iter_mut().find(|(name, ..)| name == index) {
            Some((_, columns, good)) => {
                columns.push(column.to_owned());
                *good &= whole;
            }
            None => all.push((index.to_owned(), vec![column.to_owned()], whole)),
        }
    }
    Ok(all.into_iter().filter(|(.., good)| *good).map(|(_, columns, _)| columns).collect())
}

/// Finds a window's rows without reading the table.
fn index_window(db: &Db, shape: &Shape<'_>, name: &Name) -> Result<()> {
    let window = &shape.pipeline.window;
    let there = |columns: &Vec<String>| {
        columns.len() >= window.len() && columns[..window.len()].iter().all(|c| window.iter().any(|w| same_name(w, c)))
    };
    if !shape.is_windowed() || indexes(db, name, false)?.iter().any(there) {
        return Ok(());
    }
    let sql = format!("ALTER TABLE {name} ADD INDEX ({})", list(window.iter().map(String::as_str)));
    crash::at(Point::Index, || db.execute(&sql).map_err(to("index the window")))?;
    Ok(())
}

/// A table as a temporary one is to be made that holds the same with the changes applied.
pub(crate) fn changed(db: &Db, existing: &Table, shape: &Shape<'_>, changes: &[Change]) -> String {
    let wider = |name: &str| {
        changes.iter().find_map(|change| match change {
            Change::Widen { name: column, to, .. }
                if same_name(column, name)
                    || (shape.pipeline.load == Load::Scd2
                        && shape.pipeline.version.as_ref() == Some(column)
                        && matches!(name, "valid_from" | "valid_to")) =>
            {
                Some(*to)
            }
            _ => None,
        })
    };
    let key = key_columns(shape.pipeline);
    let keyed = |name: &str| key.iter().any(|k| same_name(k, name));
    let mut parts: Vec<String> = existing
        .columns
        .iter()
        .map(|c| {
            let declared = match wider(&c.name) {
                Some(to) => shape.declared(db, &Column::new(&c.name, to)),
                None if keyed(&c.name) => format!("{} NOT NULL{}", c.like(), c.comment()),
                None => format!("{} NULL{}", c.like(), c.comment()),
            };
            format!("{} {declared}", literal::name(&c.name))
        })
        .collect();
    for column in shape.columns().filter(|c| existing.get(&c.name).is_none()) {
        let declared = match column.name.as_str() {
            "is_deleted" | "is_current" => format!("tinyint(1) NULL DEFAULT {}", u8::from(column.name == "is_current")),
            _ => shape.declared(db, column),
        };
        parts.push(format!("{} {declared}", literal::name(&column.name)));
    }
    if key.is_empty() {
        parts.push(format!("`{ROW}` bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY"));
    } else {
        parts.push(format!("UNIQUE KEY ({})", list(key)));
    }
    format!("(\n  {}\n) ENGINE = InnoDB", parts.join(",\n  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_parts_the_database_from_the_table() {
        let of = |written| split(written).ok();
        let is = |database: Option<&str>, table: &str| Some((database.map(str::to_owned), table.to_owned()));
        assert_eq!(of("orders"), is(None, "orders"));
        assert_eq!(of("sales.orders"), is(Some("sales"), "orders"));
        assert_eq!(of("sales.a.b"), is(Some("sales"), "a.b"));
        assert_eq!(of(r#""a.b""#), is(None, "a.b"));
        assert_eq!(of("`a``b`.`c d`"), is(Some("a`b"), "c d"));
        assert_eq!(of(r#"half"open"#), is(None, "half\"open"));
        assert_eq!((of(""), of(".t"), of("t.")), (None, None, None));
    }

    #[test]
    fn a_column_is_read_as_what_it_keeps() {
        let of = |declared: &str| found("c", declared, None, "");
        assert_eq!(of("tinyint(1)").data_type, DataType::Bool);
        assert_eq!(of("tinyint(4)").data_type, DataType::BigInt);
        assert_eq!(of("int(10) unsigned zerofill").data_type, DataType::BigInt);
        assert_eq!(of("bigint(20) unsigned").data_type, DataType::Decimal(20, 0));
        assert_eq!(of("decimal(12,2) unsigned").data_type, DataType::Decimal(12, 2));
        assert!(of("decimal(65,30)").foreign && of("float").foreign && of("double(8,2)").foreign);
        assert!(of("enum('a','b')").foreign && of("json").foreign && of("bit(1)").foreign && of("year(4)").foreign);
        assert_eq!((of("datetime").data_type, of("datetime").digits), (DataType::Timestamp { nanos: false }, 0));
        assert_eq!(of("timestamp(3)").digits, 3);
        assert!(of("char(3)").trims && !of("varchar(3)").trims);
        assert!(found("c", "varchar(9)", Some("utf8mb4_bin"), "").loose);
        assert!(!found("c", "varchar(9)", Some("utf8mb4_nopad_bin"), "").loose);
    }
}

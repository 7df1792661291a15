//! The columns of a table, view or query, and their types.
//!
//! SQLite checks no types. What a column was declared as says what it is meant to hold; a value that is something else
//! is a bad row. A column without a declaration, such as an expression of a query, has the type of its values, all of
//! which are looked at.

use super::unreadable;
use crate::{codec, ddl};
use floodmark_core::{Code, Column, DataType, Error, Result, Schema};
use rusqlite::Connection;
use std::collections::HashMap;

/// Columns, with the types of those that were declared.
#[derive(Debug)]
pub(crate) struct Columns(Vec<(String, Option<DataType>)>);

/// The columns of a table or view; `None` where there is none of that name.
pub(crate) fn of_table(db: &Connection, table: &str) -> Result<Option<Columns>> {
    // hidden = 1 are arguments of table-valued functions; generated columns (2 and 3) read like others.
    let columns = db
        .prepare("SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid")
        .and_then(|mut s| s.query_map([table], |r| Ok((r.get(0)?, r.get::<_, String>(1)?)))?.collect())
        .map_err(unreadable)?;
    let columns: Vec<(String, String)> = columns;
    let typed = |(name, declared): (String, String)| (name, natural(&declared));
    Ok((!columns.is_empty()).then(|| Columns(columns.into_iter().map(typed).collect())))
}

/// The columns of a query.
pub(crate) fn of_query(db: &Connection, sql: &str, relation: &str) -> Result<Columns> {
    let whole = db.prepare(&format!("SELECT * FROM {relation}")).map_err(unreadable)?;
    // Within brackets SQLite gives columns of one name other names.
    let own = db.prepare(sql).map_err(unreadable)?;
    let columns: Vec<(String, Option<DataType>)> = (own.column_names().zip(whole.columns()))
        .map(|(name, c)| (name.to_owned(), c.decl_type().and_then(natural)))
        .collect();
    for (at, (name, _)) in columns.iter().enumerate() {
        if columns[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(Error::new(Code::BadHeader, format!("the query gives two columns the name {name:?}"))
                .help("name one of them with AS"));
        }
    }
    Ok(Columns(columns))
}

/// What a declared type is meant to hold. SQLite knows any name; beside those that Floodmark itself writes, the usual ones
/// of other databases are understood. `None`: the values tell.
fn natural(declared: &str) -> Option<DataType> {
    let name = declared.trim().to_ascii_uppercase();
    let word = name.split(['(', ' ']).next().unwrap_or_default();
    Some(match word {
        "" | "ANY" | "NUMERIC" if name.len() == word.len() => return None,
        "DECIMAL" | "NUMERIC" => DataType::parse(&name.replace("NUMERIC", "DECIMAL").replace(' ', ""))?,
        "JSON" | "JSONB" => DataType::Json,
        "UUID" | "STRING" | "ENUM" => DataType::Text,
        "BYTEA" | "BINARY" | "VARBINARY" => DataType::Bytes,
        "TIMESTAMP" if name.ends_with("WITH TIME ZONE") => DataType::TimestampTz { nanos: false },
        "TIMESTAMP" | "DATETIME" => DataType::Timestamp { nanos: false },
        _ => match codec::from_declared(declared) {
            // By SQLite's rules a name it does not know is that of a number; but for these it is none we know.
            DataType::Double if !["REAL", "FLOA", "DOUB"].iter().any(|t| name.contains(t)) => return None,
            known => known,
        },
    })
}

impl Columns {
    /// Names and types: pinned, declared, or those of the values.
    pub(crate) fn schema(&self, db: &Connection, relation: &str, pinned: &HashMap<String, DataType>) -> Result<Schema> {
        let open: Vec<&str> = (self.0.iter())
            .filter(|(name, declared)| declared.is_none() && !pinned.contains_key(name))
            .map(|(name, _)| name.as_str())
            .collect();
        let mut found = values(db, relation, &open)?.into_iter();
        let columns = self.0.iter().map(|(name, declared)| {
            let by_value = declared.is_none() && !pinned.contains_key(name);
            match by_value.then(|| found.next()).flatten() {
                Some(Some(data_type)) => Column::new(name, data_type),
                Some(None) => Column { undecided: true, ..Column::new(name, DataType::Text) },
                None => Column::new(name, declared.or_else(|| pinned.get(name).copied()).unwrap_or(DataType::Text)),
            }
        });
        Ok(Schema { columns: columns.collect() })
    }

    /// The type a column was declared with.
    pub(crate) fn declared(&self, name: &str) -> Option<DataType> {
        self.0.iter().find(|(column, _)| column == name).and_then(|(_, declared)| *declared)
    }
}

/// The types that hold every value of the columns; `None` for one that is NULL throughout.
fn values(db: &Connection, relation: &str, columns: &[&str]) -> Result<Vec<Option<DataType>>> {
    let mut types = Vec::with_capacity(columns.len());
    // One look at the rows for as many columns as a result may have.
    for columns in columns.chunks(ddl::MAX_COLUMNS / 5) {
        let kinds = columns.iter().map(|name| {
            let name = ddl::quote(name);
            let any = |kind: &str| format!("coalesce(max(typeof({name}) = '{kind}'), 0)");
            // Beyond 2^53 not every whole number is a double.
            let large = format!("coalesce(max(typeof({name}) = 'integer' AND abs({name} / 2) >= 4503599627370496), 0)");
            format!("{}, {}, {}, {}, {large}", any("integer"), any("real"), any("text"), any("blob"))
        });
        let sql = format!("SELECT {} FROM {relation}", kinds.collect::<Vec<_>>().join(", "));
        let row = |r: &rusqlite::Row<'_>| (0..columns.len() * 5).map(|at| r.get(at)).collect();
        let found: Vec<bool> = db.query_row(&sql, [], row).map_err(unreadable)?;
        types.extend(found.chunks(5).map(|kinds| match kinds {
            [false, false, false, false, _] => None,
            [_, false, false, false, _] => Some(DataType::BigInt),
            [_, true, false, false, false] => Some(DataType::Double),
            [false, false, false, true, _] => Some(DataType::Bytes),
            _ => Some(DataType::Text),
        }));
    }
    Ok(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_say_what_is_meant() {
        assert_eq!(natural("VARCHAR(20)"), Some(DataType::Text));
        assert_eq!(natural("DECIMAL(10, 2)"), Some(DataType::Decimal(10, 2)));
        assert_eq!(natural("numeric(8,0)"), Some(DataType::Decimal(8, 0)));
        assert_eq!(natural("TIMESTAMP WITH TIME ZONE"), Some(DataType::TimestampTz { nanos: false }));
        assert_eq!(natural("unsigned big int"), Some(DataType::BigInt));
        assert_eq!(natural("DOUBLE PRECISION"), Some(DataType::Double));
        assert_eq!(natural("JSON"), Some(DataType::Json));
        for by_value in ["", "ANY", "NUMERIC", "MONEY", "WHATEVER"] {
            assert_eq!(natural(by_value), None, "{by_value}");
        }
        for own in [DataType::Decimal(12, 3), DataType::TimestampTz { nanos: true }, DataType::Time, DataType::Bytes] {
            assert_eq!(natural(&codec::declared(own)), Some(own));
        }
    }

    #[test]
    fn values_tell_where_nothing_was_declared() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE t (a, b, c, d, e, f);
             INSERT INTO t VALUES (1, 1, 'x', x'00', NULL, 9007199254740993), (2, 1.5, 2, x'01', NULL, 0.5);",
        )
        .unwrap();
        let columns = of_table(&db, "t").unwrap().unwrap();
        let schema = columns.schema(&db, "t", &HashMap::new()).unwrap();
        let types: Vec<DataType> = schema.columns.iter().map(|c| c.data_type).collect();
        use DataType::{BigInt, Bytes, Double, Text};
        assert_eq!(types, [BigInt, Double, Text, Bytes, Text, Text]);
        assert!(schema.columns[4].undecided);
    }

    #[test]
    fn types_are_read_as_the_page_says() {
        for (declared, ours) in crate::types::READ {
            assert_eq!(natural(declared), Some(*ours), "{declared}");
        }
    }
}

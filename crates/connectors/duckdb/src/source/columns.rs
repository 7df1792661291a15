//! The columns of a table, view or query, and their types.

use super::bracketed;
use crate::{
    codec::{self, Way},
    ddl::{self, Name},
    failure::unreadable,
    link::Db,
    literal::{End, place},
    raw::Failure,
};
use floodmark_connect::Range;
use floodmark_core::{Code, Column, DataType, Error, Result, Schema, Value};

/// What is read.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// As it stands behind FROM.
    pub(super) from: String,
    columns: Vec<Natural>,
}

/// A column as it is there.
#[derive(Debug, Clone)]
struct Natural {
    name: String,
    data_type: DataType,
    way: Way,
}

/// The columns of a table or view; `None` where there is none of that name.
pub(super) fn of_table(db: &Db, written: &str) -> Result<Option<Columns>> {
    let name = Name::resolve(db, written).map_err(|error| error.or_state("nothing was written"))?;
    match ddl::table(db, &name)? {
        None => Ok(None),
        Some(_) => described(db, name.to_string()).map(Some),
    }
}

/// The columns of a query.
pub(super) fn of_query(db: &Db, sql: &str) -> Result<Columns> {
    // Within brackets DuckDB gives columns of one name other names.
    let own = db.describe(sql.trim().trim_end_matches(';')).map_err(unreadable)?;
    for (at, name) in own.iter().enumerate() {
        if own[..at].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(Error::new(Code::BadHeader, format!("the query gives two columns the name {name:?}"))
                .help("name one of them with AS"));
        }
    }
    described(db, bracketed(sql))
}

fn described(db: &Db, from: String) -> Result<Columns> {
    let sql = format!("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {from})");
    let column = |row: &crate::link::Row| -> Result<Natural, Failure> {
        let codec::Read { data_type, way } = codec::read_as(&row.try_get::<String>(1)?);
        Ok(Natural { name: row.try_get(0)?, data_type, way })
    };
    let rows = db.query(&sql, &[]).map_err(unreadable)?;
    let columns = rows.iter().map(column).collect::<Result<_, _>>().map_err(unreadable)?;
    Ok(Columns { from, columns })
}

impl Columns {
    pub(super) fn schema(&self) -> Schema {
        Schema { columns: self.columns.iter().map(|c| Column::new(&c.name, c.data_type)).collect() }
    }

    fn get(&self, name: &str) -> Option<&Natural> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// Whether DuckDB compares such a column's values as we do.
    pub(super) fn is_exact(&self, name: &str, data_type: DataType) -> bool {
        self.get(name).is_some_and(|c| c.data_type == data_type && c.way != Way::Foreign && data_type != DataType::Json)
    }

    /// A column's value in SQL, in its natural type.
    pub(super) fn value(&self, name: &str) -> Result<String> {
        let column = self.get(name).ok_or_else(|| Error::internal(format!("the source has no column {name:?}")))?;
        let quoted = ddl::quote(&column.name);
        Ok(match column.way {
            // Its values compare by their bytes, whatever order it was made with.
            Way::Ours if column.data_type == DataType::Text => format!("({quoted} COLLATE C)"),
            Way::Ours if column.data_type != DataType::Json => quoted,
            _ => format!("{quoted}::{}", codec::read_type(column.data_type)),
        })
    }

    /// What rows come in the order of.
    pub(super) fn order(&self, name: &str, planned: DataType) -> Result<String> {
        let value = self.value(name)?;
        let natural = self.get(name).map(|c| c.data_type);
        Ok(if natural == Some(planned) { value } else { format!("({value})::{}", codec::read_type(planned)) })
    }

    /// The condition that leaves out rows beyond the range; nothing where DuckDB would not compare as we do.
    pub(super) fn condition(&self, range: &Range) -> Option<String> {
        let column = self.get(&range.column).filter(|c| self.is_exact(&range.column, c.data_type))?;
        let value = self.value(&range.column).ok()?;
        let bounds = &range.bounds;
        let ends =
            [(&bounds.from, if bounds.exclusive { ">" } else { ">=" }), (&bounds.until, "<="), (&bounds.before, "<")];
        let mut parts = Vec::new();
        for (end, compared) in ends {
            let Some(end) = end else { continue };
            match (self::end(end, column.data_type)?, compared) {
                (End::At(end), _) => parts.push(format!("{value} {compared} {end}")),
                (End::First, ">" | ">=") | (End::Last, "<" | "<=") => {}
                (End::First | End::Last, _) => parts.push("false".to_owned()),
            }
        }
        Some(match (parts.is_empty(), range.nulls) {
            (true, true) => return None,
            (true, false) => format!("{value} IS NOT NULL"),
            (false, true) => format!("({} OR {value} IS NULL)", parts.join(" AND ")),
            (false, false) => parts.join(" AND "),
        })
    }
}

/// An end of a range of such values. Of moments it may lie between two that DuckDB holds: then nothing is left out by it but
/// what lies beyond both, and the engine looks again.
fn end(value: &Value, data_type: DataType) -> Option<End> {
    match (value, data_type) {
        (Value::Timestamp(nanos), DataType::Timestamp { nanos: true }) => {
            Some(End::At(format!("make_timestamp_ns({})", i64::try_from(*nanos).ok()?)))
        }
        (Value::Timestamp(nanos) | Value::TimestampTz(nanos), _) if nanos % 1000 != 0 => None,
        (Value::Time(nanos), _) if nanos % 1000 != 0 => None,
        (Value::Int(_) | Value::Decimal(..), DataType::BigInt | DataType::Decimal(..))
        | (Value::Double(_), DataType::Double)
        | (Value::Text(_), DataType::Text)
        | (Value::Bytes(_), DataType::Bytes)
        | (Value::Bool(_), DataType::Bool)
        | (Value::Date(_), DataType::Date)
        | (Value::Time(_), DataType::Time)
        | (Value::Timestamp(_), DataType::Timestamp { nanos: false })
        | (Value::TimestampTz(_), DataType::TimestampTz { .. }) => place(value),
        _ => None,
    }
}

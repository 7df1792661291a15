//! The server's types: which of ours each is, and in which form its values are asked for.

use crate::{ddl::quote, link::Db};
use floodmark_core::{Code, Column as Typed, DataType, Error, Result, Schema};
use std::collections::HashMap;

/// What the binary form of a value is (the `…_send` functions of the server's types).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    /// Types whose binary form is their text.
    Text,
    /// Text of a fixed length: the blanks that fill it up mean nothing, and the server's own cast to text drops them.
    Padded,
    Json,
    /// Its text behind a byte that says which version of the form it is.
    Jsonb,
    Bytes,
    Uuid,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    /// Everything else: the server is asked for its text.
    Other,
}

/// A column of a table or query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Ours for all its values; for a number without limits, a guess.
    pub(crate) natural: DataType,
    /// `natural` is a guess, which a pinned type overrules.
    guessed: bool,
}

impl Column {
    /// A column whose type says all of its values.
    pub(crate) fn new(name: &str, kind: Kind, natural: DataType) -> Self {
        Column { name: name.into(), kind, natural, guessed: false }
    }
}

/// How a column is asked for, and what its values become.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// The form the values come in.
    pub(crate) kind: Kind,
    /// The type they are turned into.
    pub(crate) data_type: DataType,
}

/// The columns a statement gives. The server says the type and length of a domain's base type here.
pub(crate) fn of(db: &Db, statement: &str) -> Result<Vec<Column>> {
    let prepared = db.prepare(statement).map_err(super::failure::to("look at the source's columns"))?;
    let columns: Vec<Column> = prepared
        .columns()
        .iter()
        .map(|c| {
            let kind = kind(c.type_().oid());
            let (natural, guessed) = natural(kind, c.type_modifier());
            Column { name: c.name().to_owned(), kind, natural, guessed }
        })
        .collect();
    if columns.is_empty() {
        return Err(Error::new(Code::BadHeader, "the source has no columns")
            .help("name a table or view that has some, or a `query:` that selects some"));
    }
    for (at, column) in columns.iter().enumerate() {
        if columns[..at].iter().any(|c| c.name == column.name) {
            return Err(Error::new(Code::BadHeader, format!("two columns of the query are called {:?}", column.name))
                .help(format!("give one of them another name: SELECT … AS {}", quote("other_name"))));
        }
    }
    Ok(columns)
}

/// With the types they are pinned to, where their own say little.
pub(crate) fn schema(columns: &[Column], pinned: &HashMap<String, DataType>) -> Schema {
    let typed = |c: &Column| {
        let numbers = |t: &&DataType| matches!(t, DataType::Decimal(..) | DataType::BigInt | DataType::Double);
        let data_type = pinned.get(&c.name).filter(|_| c.guessed).filter(numbers).copied().unwrap_or(c.natural);
        Typed::new(&c.name, data_type)
    };
    Schema { columns: columns.iter().map(typed).collect() }
}

/// How the planned columns are asked for; those that are not there are left out.
pub(crate) fn wanted(columns: &[Column], plan: &Schema) -> Vec<Wanted> {
    let of = |planned: &Typed| {
        let column = columns.iter().find(|c| c.name == planned.name)?;
        let kind = if takes(column.kind, planned.data_type) { column.kind } else { Kind::Other };
        Some(Wanted { name: column.name.clone(), kind, data_type: planned.data_type })
    };
    plan.columns.iter().filter_map(of).collect()
}

/// By what the server puts rows into the order of a column's values, as they are once they are read as that type; nothing
/// where it has another order, or none. `utf8`: its texts are in UTF-8.
pub(crate) fn order(column: &Column, data_type: DataType, utf8: bool) -> Option<String> {
    let name = format!("t.{}", quote(&column.name));
    match data_type {
        DataType::Text if utf8 => Some(format!("{name}::text COLLATE \"C\"")),
        DataType::Text => Some(format!("convert_to({name}::text, 'UTF8')")),
        DataType::Json => None,
        _ => takes(column.kind, data_type).then_some(name),
    }
}

/// The list of a SELECT from `t`.
pub(crate) fn list(wanted: &[Wanted]) -> String {
    let item = |w: &Wanted| {
        let cast = if w.kind == Kind::Other { "::text" } else { "" };
        format!("t.{}{cast}", quote(&w.name))
    };
    wanted.iter().map(item).collect::<Vec<_>>().join(", ")
}

/// Whether values in that binary form can be turned into that type, as far as they fit. Every other pair goes by the text
/// the server writes.
fn takes(kind: Kind, into: DataType) -> bool {
    use DataType as T;
    match kind {
        Kind::Bool => into == T::Bool,
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => matches!(into, T::BigInt | T::Decimal(..)),
        Kind::Float4 | Kind::Float8 => into == T::Double,
        Kind::Numeric => matches!(into, T::Decimal(..) | T::BigInt),
        Kind::Text | Kind::Padded | Kind::Uuid => into == T::Text,
        Kind::Json | Kind::Jsonb => into == T::Json,
        Kind::Bytes => into == T::Bytes,
        Kind::Date | Kind::Timestamp => matches!(into, T::Date | T::Timestamp { .. }),
        Kind::Time => into == T::Time,
        Kind::TimestampTz => matches!(into, T::TimestampTz { .. }),
        Kind::Other => false,
    }
}

fn kind(oid: u32) -> Kind {
    match oid {
        16 => Kind::Bool,
        21 => Kind::Int2,
        23 => Kind::Int4,
        20 => Kind::Int8,
        26 => Kind::Oid,
        700 => Kind::Float4,
        701 => Kind::Float8,
        1700 => Kind::Numeric,
        // text, varchar, name; char(n).
        25 | 1043 | 19 => Kind::Text,
        1042 => Kind::Padded,
        114 => Kind::Json,
        3802 => Kind::Jsonb,
        17 => Kind::Bytes,
        2950 => Kind::Uuid,
        1082 => Kind::Date,
        1083 => Kind::Time,
        1114 => Kind::Timestamp,
        1184 => Kind::TimestampTz,
        _ => Kind::Other,
    }
}

/// Ours, and whether that is a guess.
fn natural(kind: Kind, modifier: i32) -> (DataType, bool) {
    let sure = match kind {
        Kind::Bool => DataType::Bool,
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => DataType::BigInt,
        Kind::Float4 | Kind::Float8 => DataType::Double,
        Kind::Numeric => return number(modifier),
        Kind::Text | Kind::Padded | Kind::Uuid | Kind::Other => DataType::Text,
        Kind::Json | Kind::Jsonb => DataType::Json,
        Kind::Bytes => DataType::Bytes,
        Kind::Date => DataType::Date,
        Kind::Time => DataType::Time,
        Kind::Timestamp => DataType::Timestamp { nanos: false },
        Kind::TimestampTz => DataType::TimestampTz { nanos: false },
    };
    (sure, false)
}

/// `numeric(p,s)`: the scale may be negative, or larger than the precision. More digits than 38 are a guess that the values
/// have fewer.
fn number(modifier: i32) -> (DataType, bool) {
    const MOST: i32 = 38;
    if modifier < 4 {
        return (DataType::Decimal(38, 9), true);
    }
    let precision = (modifier - 4) >> 16;
    let scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
    // Digits after the point, and all that a value can have.
    let after = scale.max(0);
    let all = (precision - scale).max(0) + after;
    match (u8::try_from(all.max(1)), u8::try_from(after)) {
        (Ok(all), Ok(after)) if i32::from(all) <= MOST => (DataType::Decimal(all, after), false),
        (_, Ok(after)) if i32::from(after) <= MOST => (DataType::Decimal(38, after), true),
        _ => (DataType::Decimal(38, 9), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_room_for_all_its_digits() {
        let modifier = |p: i32, s: i32| ((p << 16) | (s & 0x7ff)) + 4;
        assert_eq!(number(-1), (DataType::Decimal(38, 9), true));
        assert_eq!(number(modifier(10, 2)), (DataType::Decimal(10, 2), false));
        assert_eq!(number(modifier(38, 38)), (DataType::Decimal(38, 38), false));
        assert_eq!(number(modifier(5, -2)), (DataType::Decimal(7, 0), false));
        assert_eq!(number(modifier(3, 5)), (DataType::Decimal(5, 5), false));
        assert_eq!(number(modifier(50, 20)), (DataType::Decimal(38, 20), true));
        assert_eq!(number(modifier(1000, 500)), (DataType::Decimal(38, 9), true));
    }

    #[test]
    fn only_a_guess_gives_way_to_what_is_pinned() {
        let column = |name: &str, kind, modifier| {
            let (natural, guessed) = natural(kind, modifier);
            Column { name: name.into(), kind, natural, guessed }
        };
        let columns = [column("n", Kind::Numeric, -1), column("i", Kind::Int4, -1)];
        let pinned = [("n", DataType::Decimal(38, 18)), ("i", DataType::Text)];
        let pinned = pinned.into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
        assert_eq!(schema(&columns, &pinned), Schema::new([("n", DataType::Decimal(38, 18)), ("i", DataType::BigInt)]));
    }

    #[test]
    fn what_has_no_form_of_its_own_is_asked_for_as_text() {
        let columns =
            [Column::new("a\"b", Kind::Int4, DataType::BigInt), Column::new("c", Kind::Other, DataType::Text)];
        let plan = Schema::new([("c", DataType::Text), ("a\"b", DataType::Text), ("gone", DataType::Text)]);
        assert_eq!(list(&wanted(&columns, &plan)), r#"t."c"::text, t."a""b"::text"#);
        let plan = Schema::new([("a\"b", DataType::Decimal(21, 2))]);
        assert_eq!(list(&wanted(&columns, &plan)), r#"t."a""b""#);
    }
}

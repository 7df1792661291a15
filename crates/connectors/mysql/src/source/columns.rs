//! The server's types: which of ours each is, and in which form its values are asked for.

use super::{failure::to, names::quote};
use crate::{link::Db, wire};
use floodmark_core::{Code, Column as Typed, DataType, Error, Result, Schema};
use std::collections::HashMap;

/// What the text that the server writes of a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `filled`: with zeros in front, as many as its column is shown with.
    Int {
        filled: bool,
    },
    Decimal {
        filled: bool,
    },
    /// `single`: of 32 bits.
    Real {
        single: bool,
    },
    /// Bits, as the bytes of a number, the highest first.
    Bits,
    Text,
    Json,
    Bytes,
    /// Geometry: four bytes that name its reference system, then WKB.
    Shape,
    Date,
    Time,
    /// Date and time, in whatever zone.
    Local,
    /// Date and time, in UTC.
    Moment,
}

/// A column of a table or query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Ours for all its values; for a number of more digits than we have, a guess.
    pub(crate) natural: DataType,
    /// Digits of a second, of what has seconds.
    pub(crate) digits: u8,
    /// `natural` is a guess, which a pinned type overrules.
    guessed: bool,
    /// NULL in every row.
    empty: bool,
}

impl Column {
    /// A column whose type says all of its values.
    pub(crate) fn new(name: &str, kind: Kind, natural: DataType) -> Self {
        Column { name: name.into(), kind, natural, digits: 6, guessed: false, empty: false }
    }
}

/// How a column is asked for, and what its values become.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The type they are turned into.
    pub(crate) data_type: DataType,
}

/// The columns that a relation has. Within a transaction it is locked from here on against changes of its definition.
pub(crate) fn of(db: &Db, from: &str) -> Result<Vec<Column>> {
    let look = to("look at the source's columns");
    let mut answer = db.stream(&format!("SELECT * FROM {from} LIMIT 0")).map_err(&look)?;
    let columns: Vec<Column> = answer.columns().iter().map(column).collect();
    while answer.next().map_err(&look)?.is_some() {}
    drop(answer);
    if columns.is_empty() {
        return Err(Error::new(Code::BadHeader, "the source has no columns")
            .help("name a table or view that has some, or a `query:` that selects some"));
    }
    Ok(columns)
}

/// With the types they are pinned to, where their own say little.
pub(crate) fn schema(columns: &[Column], pinned: &HashMap<String, DataType>) -> Schema {
    let typed = |c: &Column| {
        let numbers = |t: &&DataType| matches!(t, DataType::Decimal(..) | DataType::BigInt | DataType::Double);
        let data_type = match pinned.get(&c.name) {
            Some(pinned) if c.empty => *pinned,
            pinned => pinned.filter(|_| c.guessed).filter(numbers).copied().unwrap_or(c.natural),
        };
        Typed { undecided: c.empty && !pinned.contains_key(&c.name), ..Typed::new(&c.name, data_type) }
    };
    Schema { columns: columns.iter().map(typed).collect() }
}

/// How the planned columns are asked for; those that are not there are left out.
pub(crate) fn wanted(columns: &[Column], plan: &Schema) -> Vec<Wanted> {
    let of = |planned: &Typed| {
        let column = columns.iter().find(|c| c.name == planned.name)?;
        Some(Wanted { name: column.name.clone(), kind: column.kind, data_type: planned.data_type })
    };
    plan.columns.iter().filter_map(of).collect()
}

/// By what the server puts rows into the order of a column's values, as they are once they are read as that type; nothing
/// where it has another order, or none.
pub(crate) fn order(column: &Column, data_type: DataType) -> Option<String> {
    use DataType as T;
    let name = format!("t.{}", quote(&column.name));
    match (column.kind, data_type) {
        (Kind::Int { .. } | Kind::Bits, T::Bool | T::BigInt | T::Decimal(..))
        | (Kind::Decimal { .. }, T::BigInt | T::Decimal(..))
        | (Kind::Bytes, T::Bytes)
        | (Kind::Date | Kind::Local, T::Date | T::Timestamp { .. })
        | (Kind::Time, T::Time)
        | (Kind::Moment, T::TimestampTz { .. }) => Some(name),
        (Kind::Real { .. }, T::Double) => Some(format!("{name} * 1e0")),
        // By the bytes of its UTF-8, and not by the column's collation.
        (Kind::Text, T::Text) => Some(format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)")),
        (Kind::Int { filled: false } | Kind::Decimal { filled: false }, T::Text) => {
            Some(format!("CAST(CAST({name} AS CHAR) AS BINARY)"))
        }
        _ => None,
    }
}

/// The list of a SELECT from `t`.
pub(crate) fn list(wanted: &[Wanted]) -> String {
    if wanted.is_empty() {
        return "NULL".to_owned();
    }
    let item = |w: &Wanted| {
        let name = format!("t.{}", quote(&w.name));
        match (w.kind, w.data_type) {
            // Of 32 bits the server writes six digits, and of a column with digits behind the point as many as that says:
            // not all that is there. Of a product it writes all.
            (Kind::Real { .. }, _) => format!("{name} * 1e0"),
            (Kind::Shape, DataType::Text) => format!("ST_AsText({name})"),
            _ => name,
        }
    };
    wanted.iter().map(item).collect::<Vec<_>>().join(", ")
}

// Types and flags by their numbers in the protocol ("Column Definition").
const UNSIGNED: u16 = 32;
const ZEROFILL: u16 = 64;
const BINARY_CHARSET: u16 = 63;
/// More digits than this a number of ours does not have.
const MOST: u32 = 38;

fn column(of: &wire::Column) -> Column {
    let filled = of.flags & ZEROFILL != 0;
    // NULL itself, and what has room for nothing else: a NULL of a query within brackets.
    let empty = of.kind == 6 || (of.length == 0 && of.charset == BINARY_CHARSET && matches!(of.kind, 253 | 254));
    let sure = |kind, natural| (kind, natural, false);
    let text = |of: &wire::Column| match of.charset {
        BINARY_CHARSET => sure(Kind::Bytes, DataType::Bytes),
        _ => sure(Kind::Text, DataType::Text),
    };
    let (kind, natural, guessed) = match of.kind {
        8 if of.flags & UNSIGNED != 0 => sure(Kind::Int { filled }, DataType::Decimal(20, 0)),
        // tinyint, smallint, int, bigint, mediumint, year.
        1 | 2 | 3 | 8 | 9 | 13 => sure(Kind::Int { filled: filled || of.kind == 13 }, DataType::BigInt),
        0 | 246 => {
            let (natural, guessed) = number(of);
            (Kind::Decimal { filled }, natural, guessed)
        }
        4 => sure(Kind::Real { single: true }, DataType::Double),
        5 => sure(Kind::Real { single: false }, DataType::Double),
        16 if of.length == 1 => sure(Kind::Bits, DataType::Bool),
        16 if of.length < 64 => sure(Kind::Bits, DataType::BigInt),
        16 => sure(Kind::Bits, DataType::Decimal(20, 0)),
        7 => sure(Kind::Moment, DataType::TimestampTz { nanos: false }),
        12 => sure(Kind::Local, DataType::Timestamp { nanos: false }),
        10 | 14 => sure(Kind::Date, DataType::Date),
        11 => sure(Kind::Time, DataType::Time),
        245 => sure(Kind::Json, DataType::Json),
        255 => sure(Kind::Shape, DataType::Bytes),
        _ if of.json => sure(Kind::Json, DataType::Json),
        _ if empty => sure(Kind::Text, DataType::Text),
        _ => text(of),
    };
    Column { name: of.name.clone(), kind, natural, digits: of.decimals.min(6), guessed, empty }
}

/// `decimal(p,s)`: the width it is shown with has room for a sign and a point. More digits than ours are a guess that the
/// values have fewer.
fn number(of: &wire::Column) -> (DataType, bool) {
    let scale = u32::from(of.decimals);
    let sign = u32::from(of.flags & UNSIGNED == 0);
    let precision = of.length.saturating_sub(sign + u32::from(scale > 0)).max(scale).max(1);
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(p), Ok(s)) if precision <= MOST => (DataType::Decimal(p, s), false),
        (_, Ok(s)) if scale <= MOST => (DataType::Decimal(38, s), true),
        _ => (DataType::Decimal(38, 9), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: u8, flags: u16, length: u32, decimals: u8) -> Column {
        column(&wire::Column { name: "c".into(), kind, flags, charset: BINARY_CHARSET, length, decimals, json: false })
    }

    #[test]
    fn a_number_has_room_for_all_its_digits() {
        assert_eq!(of(246, 0, 12, 2).natural, DataType::Decimal(10, 2));
        assert_eq!(of(246, UNSIGNED, 11, 2).natural, DataType::Decimal(10, 2));
        assert_eq!(of(246, 0, 11, 0).natural, DataType::Decimal(10, 0));
        assert_eq!(of(246, 0, 40, 38).natural, DataType::Decimal(38, 38));
        let wide = of(246, 0, 67, 30);
        assert_eq!((wide.natural, wide.guessed), (DataType::Decimal(38, 30), true));
        assert_eq!(of(8, UNSIGNED, 20, 0).natural, DataType::Decimal(20, 0));
        assert_eq!(of(3, UNSIGNED, 10, 0).natural, DataType::BigInt);
        assert_eq!(
            [1, 9, 64].map(|n| of(16, 0, n, 0).natural),
            [DataType::Bool, DataType::BigInt, DataType::Decimal(20, 0)]
        );
    }

    #[test]
    fn only_a_guess_gives_way_to_what_is_pinned() {
        let mut columns = [of(246, 0, 67, 30), of(3, 0, 11, 0), of(6, 0, 0, 0)];
        ["n", "i", "e"].into_iter().zip(&mut columns).for_each(|(name, c)| c.name = name.into());
        assert!(schema(&columns, &HashMap::new()).columns[2].undecided);
        let pinned = [("n", DataType::Decimal(38, 18)), ("i", DataType::Text), ("e", DataType::Date)];
        let pinned = pinned.into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
        let expected = [("n", DataType::Decimal(38, 18)), ("i", DataType::BigInt), ("e", DataType::Date)];
        assert_eq!(schema(&columns, &pinned), Schema::new(expected));
    }

    #[test]
    fn columns_are_asked_for_so_that_nothing_is_lost() {
        let columns = [
            Column::new("a`b", Kind::Int { filled: false }, DataType::BigInt),
            Column::new("f", Kind::Real { single: true }, DataType::Double),
            Column::new("g", Kind::Shape, DataType::Bytes),
        ];
        let plan = Schema::new([("f", DataType::Text), ("a`b", DataType::Text), ("gone", DataType::Text)]);
        assert_eq!(list(&wanted(&columns, &plan)), "t.`f` * 1e0, t.`a``b`");
        assert_eq!(list(&wanted(&columns, &Schema::new([("g", DataType::Text)]))), "ST_AsText(t.`g`)");
        assert_eq!(list(&[]), "NULL");
    }
}

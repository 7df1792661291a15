//! Hashes of rows that the server works out: by MD5 of the row encoding, or by its own hash functions, which are several
//! times as fast.
//!
//! # The server's own functions
//!
//! Each cell is hashed with the number of its column as seed, and the hashes of a row go into one by XOR. A row's hash must
//! not be a sum of those of its cells, or two rows could change cells and the sum over the table stayed the same: so it is
//! the hash of what the XOR gives, as the seed of an empty text, which keeps all 64 bits. Of whole numbers and moments the
//! server hashes two halves that it has put together by XOR, so that 1 and 4294967296 have one hash: a whole number goes in
//! itself, too, and a moment is hashed as the number of its seconds.

use super::{
    PostgresSource,
    columns::{self, Column, Kind},
    failure::to,
    parts::Select,
    range::{self, Edge},
    read::Reading,
    snapshot::Snapshot,
};
use crate::{ddl::quote, interrupt::Interrupt, link::Db};
use floodmark_connect::{
    Batches, Stop,
    digests::{Ask, Digests, Family, Hashed, Split, condition, ends, runs},
};
use floodmark_core::{
    Error, Result, Schema, Value,
    encoding::{Digest, Form},
};
use std::sync::Arc;

/// The first version with `extract` that gives exact numbers, and `trim_scale`.
const EXACT: i32 = 140_000;
/// A function of the server has at most a hundred arguments.
const ARGUMENTS: usize = 50;
/// More runs of segments than this are told by their numbers, and not by their ends: looking up so many ranges is no
/// quicker than a look at all rows.
const RUNS: usize = 64;
/// Bounds of texts: the server finds the right one of these by walking.
const TEXTS: usize = 256;

impl Digests for PostgresSource {
    fn native(&self, stop: &Stop) -> Result<Option<String>> {
        let snapshot = self.surveyed(stop)?;
        if snapshot.version < EXACT || !snapshot.utf8 {
            return Ok(None);
        }
        // What the functions give depends on the machine the server runs on, and may change with its version.
        let sql = "SELECT concat_ws(' ', hashint4extended(7, 1), hashint8extended(-4294967299, 2), hash_numeric_extended(12.50, 3), \
                   hashfloat8extended(0.1, 4), hashtextextended('floodmark \u{e9}' COLLATE \"C\", 5))";
        self.asked(&snapshot, stop, |db| {
            let said: String = db.query_one(sql, &[]).and_then(|row| row.try_get(0)).map_err(to(WORK))?;
            Ok(Some(format!("postgres {said}")))
        })
    }

    fn family(&self, column: &Hashed, stop: &Stop) -> Result<Option<Family>> {
        let snapshot = self.surveyed(stop)?;
        Ok(found(&snapshot, &column.name).and_then(|c| family(c.kind, column.form)))
    }

    fn can(&self, ask: &Ask, stop: &Stop) -> Result<bool> {
        let snapshot = self.surveyed(stop)?;
        let statement = Statement { snapshot: &snapshot, ask };
        let axis = match &ask.split {
            Split::Content(_) => Some(()),
            Split::Axis { column, bounds } => (column.form != Form::Text || bounds.len() <= TEXTS)
                .then(|| bounds.iter().try_for_each(|b| statement.compared(column, b).map(|_| ())))
                .flatten()
                .and_then(|()| statement.axis(column).map(|_| ())),
        };
        let exact = snapshot.version >= EXACT && snapshot.utf8;
        Ok(exact && axis.is_some() && statement.range().is_some() && statement.hash().is_some())
    }

    fn estimate(&self, stop: &Stop) -> Result<u64> {
        Ok(self.surveyed(stop)?.found.estimate)
    }

    fn sample(&self, ask: &Ask, segments: Option<&[u32]>, about: u64, stop: &Stop) -> Result<Vec<Value>> {
        let snapshot = self.surveyed(stop)?;
        let statement = Statement { snapshot: &snapshot, ask };
        let Split::Axis { column, .. } = &ask.split else { return Ok(Vec::new()) };
        let name = format!("t.{}", quote(&column.name));
        let mut conditions = statement.conditions(segments)?;
        conditions.push(format!("{name} IS NOT NULL"));
        let conditions = conditions.join(" AND ");
        // By lot, which falls alike each time, so that segments are the same while the rows are.
        let lot = match snapshot.found.alone {
            true => "hashtidextended(t.ctid, 1)".to_owned(),
            false => format!("hashtextextended({name}::text COLLATE \"C\", 1)"),
        };
        let rows = snapshot.found.estimate;
        let mut select = Select { condition: Some(conditions), ..Select::default() };
        if snapshot.found.alone && segments.is_none() && rows > PAGES {
            // About one row of each page that is looked at: those of one page lie close together in a table that is in
            // the order of its key, and say little more than one does.
            let pages = (about as f64 / snapshot.found.pages.max(1) as f64).clamp(0.000_001, 1.0);
            let share = (about as f64 / (rows as f64 * pages) * f64::from(LOTS)).clamp(1.0, f64::from(LOTS)) as u32;
            let percent = pages * 100.0;
            select.sample = format!(" TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)");
            let drawn = |condition| format!("{condition} AND ({lot} & {}) < {share}", LOTS - 1);
            select.condition = select.condition.map(drawn);
        } else {
            select.rest = format!(" ORDER BY {lot}, {name} LIMIT {about}");
        }
        let schema = Schema::new([(column.name.as_str(), column.data_type)]);
        let batches = self.reading(Arc::clone(&snapshot), &schema, select, stop)?;
        let mut values = Vec::new();
        for batch in batches {
            let rows = batch?.rows;
            for row in 0..rows.num_rows() {
                values.push(Value::from_array(rows.column(0), row, column.data_type)?);
            }
        }
        Ok(values)
    }

    fn digests(&self, ask: &Ask, segments: Option<&[u32]>, stop: &Stop) -> Result<Vec<(u32, Digest)>> {
        let snapshot = self.surveyed(stop)?;
        let sql = Statement { snapshot: &snapshot, ask }.digests(segments)?;
        self.asked(&snapshot, stop, |db| {
            let rows = db.query(&sql, &[]).map_err(to(WORK))?;
            let digest = |row: &tokio_postgres::Row| -> Result<(u32, Digest)> {
                let get = || {
                    Ok::<(i32, i64, String), tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
                };
                let (segment, rows, sum) = get().map_err(to(WORK))?;
                Ok((segment.cast_unsigned(), Digest::read(rows.cast_unsigned(), &sum)?))
            };
            rows.iter().map(digest).collect()
        })
    }

    fn rows(&self, ask: &Ask, segments: &[u32], schema: &Schema, stop: &Stop) -> Result<Box<dyn Batches>> {
        let snapshot = self.surveyed(stop)?;
        let conditions = Statement { snapshot: &snapshot, ask }.conditions(Some(segments))?;
        let condition = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        Ok(Box::new(self.reading(snapshot, schema, Select { condition, ..Select::default() }, stop)?))
    }
}

/// Lots that are drawn of values; a power of two.
const LOTS: u32 = 1 << 20;
/// Of a table with more rows whole pages are looked at, and not every row.
const PAGES: u64 = 200_000;

const WORK: &str = "work out hashes of its rows";

impl PostgresSource {
    /// Something asked of the snapshot, which ends when it is told to stop.
    pub(super) fn asked<T>(&self, snapshot: &Snapshot, stop: &Stop, ask: impl FnOnce(&Db) -> Result<T>) -> Result<T> {
        let db = snapshot.take(&self.address)?;
        let watch = Interrupt::start(&self.address, db.cancel(), stop);
        let answer = ask(&db);
        drop(watch);
        match answer {
            Ok(answer) => {
                snapshot.give_back(db);
                Ok(answer)
            }
            // A transaction with a failed statement can be asked nothing more.
            Err(error) => Err(stop.check().err().unwrap_or(error)),
        }
    }

    fn reading(
        &self,
        snapshot: Arc<Snapshot>,
        schema: &Schema,
        select: Select,
        stop: &Stop,
    ) -> Result<super::read::Incoming> {
        let wanted = columns::wanted(&snapshot.columns, schema);
        let select = Select { list: columns::list(&wanted), ..select };
        let (address, stop) = (self.address.clone(), stop.clone());
        Reading { snapshot, address, wanted, select, readers: 1, skip: 0, stop }.start()
    }
}

fn found<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a Column> {
    snapshot.columns.iter().find(|c| c.name == name)
}

/// The family of a kind of values that are compared in a form, where the server's own functions go by the same values.
fn family(kind: Kind, form: Form) -> Option<Family> {
    Some(match (form, kind) {
        (Form::Number, Kind::Bool) => Family::Truth,
        (Form::Number, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid) => Family::Whole,
        (Form::Number, Kind::Numeric) => Family::Exact,
        (Form::Number, Kind::Float4 | Kind::Float8) => Family::Double,
        (Form::Text, Kind::Bytes) => return None,
        (Form::Text, _) => Family::Text,
        (Form::Bytes, Kind::Bytes) => Family::Bytes,
        (Form::Moment, Kind::Date) => Family::Day,
        (Form::Moment, Kind::Timestamp) => Family::Moment,
        (Form::Instant, Kind::TimestampTz) => Family::Instant,
        (Form::Time, Kind::Time) => Family::Time,
        _ => return None,
    })
}

/// What is asked, in SQL.
struct Statement<'a> {
    snapshot: &'a Snapshot,
    ask: &'a Ask,
}

impl Statement<'_> {
    fn digests(&self, segments: Option<&[u32]>) -> Result<String> {
        let hash = self.hash().ok_or_else(unasked)?;
        let conditions = self.conditions(segments)?;
        let condition = filter(&conditions);
        let from = &self.snapshot.found.from;
        Ok(match self.segment()? {
            Some(segment) => {
                format!("SELECT {segment}, count(*), sum({hash})::text FROM {from}{condition} GROUP BY 1")
            }
            // So that the hash is worked out once.
            None => {
                let segment = self.content("h").unwrap_or_else(|| "0".to_owned());
                format!(
                    "SELECT ({segment})::int, count(*), sum(h)::text FROM (SELECT {hash} AS h FROM {from}{condition} OFFSET 0) AS q \
                     GROUP BY 1"
                )
            }
        })
    }

    /// The number of a row's segment; `None` where it goes by the row's hash.
    fn segment(&self) -> Result<Option<String>> {
        let Split::Axis { column, bounds } = &self.ask.split else { return Ok(None) };
        let axis = self.axis(column).ok_or_else(unasked)?;
        if bounds.is_empty() {
            return Ok(Some(format!("CASE WHEN {} IS NULL THEN 0 ELSE 1 END", axis.value)));
        }
        let literals = bounds.iter().map(|b| self.compared(column, b).map(|(literal, _)| literal));
        let literals = literals.collect::<Option<Vec<_>>>().ok_or_else(unasked)?;
        let Axis { value, of, collate } = axis;
        Ok(Some(format!("coalesce(width_bucket({value}, ARRAY[{}]::{of}[]{collate}) + 1, 0)", literals.join(","))))
    }

    fn content(&self, hash: &str) -> Option<String> {
        match self.ask.split {
            Split::Content(bits) if bits > 0 => Some(format!("({hash} >> {}) & {}", 64 - bits, (1_u64 << bits) - 1)),
            _ => None,
        }
    }

    /// What holds of the rows that are wanted.
    fn conditions(&self, segments: Option<&[u32]>) -> Result<Vec<String>> {
        let mut conditions: Vec<String> = self.range().ok_or_else(unasked)?.into_iter().collect();
        let Some(segments) = segments else { return Ok(conditions) };
        let numbers = || segments.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        match &self.ask.split {
            Split::Content(_) => {
                let hash = self.hash().ok_or_else(unasked)?;
                conditions
                    .extend(self.content(&hash).map(|of| format!("({of}) = ANY ('{{{}}}'::bigint[])", numbers())));
            }
            Split::Axis { column, bounds } => {
                let runs = runs(segments);
                conditions.push(if runs.len() > RUNS {
                    let segment = self.segment()?.ok_or_else(unasked)?;
                    format!("{segment} = ANY ('{{{}}}'::int[])", numbers())
                } else {
                    let parts = runs.into_iter().map(|run| self.run(column, bounds, run));
                    let parts = parts.collect::<Option<Vec<_>>>().ok_or_else(unasked)?;
                    if parts.is_empty() { "false".to_owned() } else { format!("({})", parts.join(" OR ")) }
                });
            }
        }
        Ok(conditions)
    }

    fn run(&self, column: &Hashed, bounds: &[Value], run: (u32, u32)) -> Option<String> {
        let name = format!("t.{}", quote(&column.name));
        let (from, until) = ends(bounds, run);
        let mut parts = Vec::new();
        for (value, operator) in [(from, ">="), (until, "<")] {
            if let Some(value) = value {
                let (literal, compared) = self.compared(column, value)?;
                parts.push(format!("{compared} {operator} {literal}"));
            }
        }
        Some(condition(&name, &parts, run))
    }

    /// The condition of the range; `Some(None)` where there is none, `None` where it cannot be said exactly.
    fn range(&self) -> Option<Option<String>> {
        let Some(range) = &self.ask.range else { return Some(None) };
        if range.bounds.before.is_some() {
            return None;
        }
        let column = found(self.snapshot, &range.column)?;
        let values = [&range.bounds.from, &range.bounds.until];
        if !values.into_iter().flatten().all(|value| is_exact(column.kind, value)) {
            return None;
        }
        let said = range::condition(&self.snapshot.columns, range, self.snapshot.utf8);
        let open = range.bounds.from.is_none() && range.bounds.until.is_none();
        match said {
            Some(condition) => Some(Some(condition)),
            None if open && range.nulls => Some(None),
            None => None,
        }
    }

    /// A bound as a literal, and the column as it is compared with that.
    fn compared(&self, hashed: &Hashed, value: &Value) -> Option<(String, String)> {
        let column = found(self.snapshot, &hashed.name)?;
        if !is_exact(column.kind, value) {
            return None;
        }
        let value = match (column.kind, value) {
            (Kind::Date, Value::Timestamp(_)) => {
                // Midnights and others: a date is compared with a moment as the midnight it is.
                let (moment, _) = range::comparison(
                    &Column::new(&column.name, Kind::Timestamp, column.natural),
                    value,
                    Edge::From,
                    true,
                )?;
                return Some((moment, format!("t.{}", quote(&column.name))));
            }
            (Kind::Timestamp, Value::Date(days)) => Value::Timestamp(i128::from(*days) * 86_400_000_000_000),
            _ => value.clone(),
        };
        range::comparison(column, &value, Edge::From, self.snapshot.utf8)
    }

    /// The axis as one type.
    fn axis(&self, hashed: &Hashed) -> Option<Axis> {
        let column = found(self.snapshot, &hashed.name)?;
        let name = format!("t.{}", quote(&column.name));
        let numeric = matches!(&self.ask.split, Split::Axis { bounds, .. } if bounds.iter().any(|b| matches!(b, Value::Decimal(..))));
        let plain = |value: String, of| Some(Axis { value, of, collate: "" });
        match (hashed.form, column.kind) {
            (Form::Number, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid) if !numeric => {
                plain(format!("{name}::bigint"), "bigint")
            }
            (Form::Number, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid | Kind::Numeric) => {
                plain(format!("{name}::numeric"), "numeric")
            }
            (Form::Moment, Kind::Date | Kind::Timestamp) => plain(format!("{name}::timestamp"), "timestamp"),
            (Form::Instant, Kind::TimestampTz) => plain(name, "timestamptz"),
            (Form::Text, Kind::Text | Kind::Padded | Kind::Uuid) if self.snapshot.utf8 => {
                Some(Axis { value: format!("{name}::text COLLATE \"C\""), of: "text", collate: " COLLATE \"C\"" })
            }
            _ => None,
        }
    }

    /// The row's hash.
    fn hash(&self) -> Option<String> {
        if self.ask.native { self.own() } else { self.md5() }
    }

    fn md5(&self) -> Option<String> {
        let cells = self.ask.columns.iter().map(|c| {
            let text = encoded(found(self.snapshot, &c.name)?, c.form)?;
            Some(format!("coalesce(octet_length({text}) || ':' || {text}, '-')"))
        });
        let cells = cells.collect::<Option<Vec<String>>>()?;
        let row = nested(&cells);
        Some(format!("('x' || left(md5({row}), 16))::bit(64)::bigint"))
    }

    fn own(&self) -> Option<String> {
        let cells = self.ask.columns.iter().enumerate().map(|(at, c)| {
            let column = found(self.snapshot, &c.name)?;
            let hash = own_hash(&format!("t.{}", quote(&column.name)), column.kind, c.family?, at + 1)?;
            // Any number that no other column has for its NULL.
            let null = (at as i64 + 1).wrapping_mul(-7_046_029_254_386_353_131);
            Some(format!("coalesce({hash}, '{null}'::bigint)"))
        });
        let cells = cells.collect::<Option<Vec<String>>>()?;
        let row = if cells.is_empty() { "0".to_owned() } else { cells.join(" # ") };
        Some(format!("hashtextextended('' COLLATE \"C\", {row})"))
    }
}

struct Axis {
    value: String,
    of: &'static str,
    collate: &'static str,
}

fn filter(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// Nothing is asked but what `can` said yes to.
fn unasked() -> Error {
    Error::internal("hashes were asked for that the server cannot work out")
}

/// Whether the server's type has this very value.
fn is_exact(kind: Kind, value: &Value) -> bool {
    match value {
        Value::Timestamp(nanos) | Value::TimestampTz(nanos) => nanos % 1000 == 0,
        Value::Time(nanos) => nanos % 1000 == 0,
        Value::Double(number) => number.is_finite() && kind == Kind::Float8,
        _ => true,
    }
}

/// `concat` of many.
fn nested(cells: &[String]) -> String {
    match cells {
        [] => "''".to_owned(),
        [one] => one.clone(),
        _ if cells.len() <= ARGUMENTS => format!("concat({})", cells.join(", ")),
        _ => nested(&cells.chunks(ARGUMENTS).map(nested).collect::<Vec<_>>()),
    }
}

/// A cell's text in the row encoding, where it is not NULL.
fn encoded(column: &Column, form: Form) -> Option<String> {
    let name = format!("t.{}", quote(&column.name));
    Some(match (form, column.kind) {
        (Form::Number, Kind::Bool) => format!("{name}::int::text"),
        (Form::Number, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid) => format!("{name}::text"),
        (Form::Number, Kind::Numeric) => format!("trim_scale({name})::text"),
        // The server writes the shortest digits, with an exponent where there are many zeros; to a number without limits
        // it makes the text exactly, and the double itself not.
        (Form::Number, Kind::Float4 | Kind::Float8) => {
            let text = format!("{name}::float8::text");
            format!(
                "CASE WHEN {name} = 0 THEN '0' WHEN abs({name}) BETWEEN 1e-4 AND 9e14 THEN {text} \
                 ELSE trim_scale({text}::numeric)::text END"
            )
        }
        (Form::Text, Kind::Bytes) => return None,
        (Form::Text, _) => format!("{name}::text"),
        (Form::Bytes, Kind::Bytes) => format!("encode({name}, 'hex')"),
        (Form::Moment, Kind::Date | Kind::Timestamp) => format!("{name}::timestamp::text"),
        (Form::Instant, Kind::TimestampTz) => format!("({name} AT TIME ZONE 'UTC')::text"),
        (Form::Time, Kind::Time) => format!("{name}::text"),
        _ => return None,
    })
}

/// A cell's hash by the server's own functions, where it is not NULL.
fn own_hash(name: &str, kind: Kind, family: Family, seed: usize) -> Option<String> {
    Some(match (family, kind) {
        (Family::Truth, Kind::Bool) => format!("hashint4extended({name}::int, {seed})"),
        (Family::Whole, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid) => {
            format!("(hashint8extended({name}::bigint, {seed}) # {name}::bigint)")
        }
        (Family::Exact, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid | Kind::Numeric) => {
            format!("hash_numeric_extended({name}::numeric, {seed})")
        }
        (Family::Double, Kind::Float4 | Kind::Float8) => format!("hashfloat8extended({name}::float8, {seed})"),
        (Family::Text, _) => format!("hashtextextended({name}::text COLLATE \"C\", {seed})"),
        (Family::Bytes, Kind::Bytes) => format!("hashtextextended(encode({name}, 'hex') COLLATE \"C\", {seed})"),
        // Of what is infinite no difference can be taken.
        (Family::Day, Kind::Date) => format!(
            "coalesce(hashint4extended(CASE WHEN isfinite({name}) THEN {name} - DATE '2000-01-01' END, {seed}), \
             hashtextextended({name}::text COLLATE \"C\", {seed}))"
        ),
        (Family::Moment, Kind::Date | Kind::Timestamp) => {
            format!("hash_numeric_extended(extract(epoch FROM {name}::timestamp), {seed})")
        }
        (Family::Instant, Kind::TimestampTz) | (Family::Time, Kind::Time) => {
            format!("hash_numeric_extended(extract(epoch FROM {name}), {seed})")
        }
        _ => return None,
    })
}

//! Hashes of rows that the server works out: by MD5 of the row encoding.

use super::{
    MysqlSource,
    columns::{self, Column, Kind},
    failure::to,
    names::quote,
    range::{self, Edge},
    read::{Incoming, Reading},
    snapshot::Snapshot,
};
use crate::{
    interrupt::Interrupt,
    link::{Db, Owned},
};
use floodmark_connect::{
    Batches, Stop,
    digests::{Ask, Digests, Family, Hashed, Split, condition, ends, runs},
};
use floodmark_core::{
    Code, DataType, Error, Result, Schema, Value,
    encoding::{Digest, Form},
};
use std::sync::Arc;

/// More runs of segments than this are told by their numbers, and not by their ends.
const RUNS: usize = 64;
/// More bounds than this make a statement that takes the server long to read.
const BOUNDS: usize = 1024;

/// Lots there are, but one.
const LOTS: u32 = u32::MAX;

const WORK: &str = "work out hashes of its rows";

impl Digests for MysqlSource {
    fn native(&self, _: &Stop) -> Result<Option<String>> {
        Ok(None)
    }

    fn family(&self, _: &Hashed, _: &Stop) -> Result<Option<Family>> {
        Ok(None)
    }

    fn can(&self, ask: &Ask, stop: &Stop) -> Result<bool> {
        let snapshot = self.surveyed(stop)?;
        let statement = Statement { snapshot: &snapshot, ask };
        let axis = match &ask.split {
            Split::Content(_) => true,
            Split::Axis { column, bounds } => {
                bounds.len() <= BOUNDS
                    && statement.orders(column)
                    && bounds.iter().all(|b| statement.compared(column, b).is_some())
            }
        };
        Ok(!ask.native && axis && statement.range().is_some() && statement.hash().is_some())
    }

    fn estimate(&self, stop: &Stop) -> Result<u64> {
        Ok(self.surveyed(stop)?.found.estimate)
    }

    fn sample(&self, ask: &Ask, segments: Option<&[u32]>, about: u64, stop: &Stop) -> Result<Vec<Value>> {
        let snapshot = self.surveyed(stop)?;
        let Split::Axis { column, .. } = &ask.split else { return Ok(Vec::new()) };
        let mut conditions = Statement { snapshot: &snapshot, ask }.conditions(segments)?;
        conditions.push(format!("t.{} IS NOT NULL", quote(&column.name)));
        let rows = snapshot.found.estimate;
        // All of the rows are looked at, but only a share of them sent and sorted: by lot, which falls alike each time, so
        // that segments are the same while the rows are; and by all of a row, as many may have one value of the column.
        let name = format!("t.{}", quote(&column.name));
        // Columns that hold the same must not cancel each other out.
        let one = |(n, c): (usize, &Hashed)| format!("COALESCE(CRC32(t.{}), 1) * {}", quote(&c.name), 2 * n + 1);
        let lots = ask.columns.iter().enumerate().map(one);
        let lot = format!("({} & {LOTS})", lots.collect::<Vec<_>>().join(" + "));
        let tail = match segments {
            None if rows > about => {
                format!(" AND {lot} < {}", (about as f64 / rows as f64 * f64::from(LOTS)) as u32)
            }
            _ => format!(" ORDER BY {lot}, {name} LIMIT {about}"),
        };
        let schema = Schema::new([(column.name.as_str(), column.data_type)]);
        let list = columns::list(&columns::wanted(&snapshot.columns, &schema));
        let sql = format!("SELECT {list} FROM {} WHERE {}{tail}", snapshot.found.from, conditions.join(" AND "));
        let mut values = Vec::new();
        for batch in self.reading(snapshot, &schema, sql, stop)? {
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
            let rows = db.query(&sql).map_err(to(WORK))?;
            rows.iter().map(digest).collect()
        })
    }

    fn rows(&self, ask: &Ask, segments: &[u32], schema: &Schema, stop: &Stop) -> Result<Box<dyn Batches>> {
        let snapshot = self.surveyed(stop)?;
        let conditions = Statement { snapshot: &snapshot, ask }.conditions(Some(segments))?;
        let list = columns::list(&columns::wanted(&snapshot.columns, schema));
        let sql = format!("SELECT {list} FROM {}{}", snapshot.found.from, filter(&conditions));
        Ok(Box::new(self.reading(snapshot, schema, sql, stop)?))
    }
}

fn digest(row: &Owned) -> Result<(u32, Digest)> {
    let numbers = || Some((row.number(0)?, row.number::<u64>(1)?, row.number::<u64>(2)?));
    let (segment, rows, hashed) = numbers().ok_or_else(|| Error::internal("the server gave no hashes"))?;
    if rows != hashed {
        return Err(Error::new(
            Code::SourceRead,
            "a row is too long for the server to hash: longer than its max_allowed_packet",
        )
        .help("raise max_allowed_packet on the server, or leave the long columns out: --columns"));
    }
    Ok((segment, Digest::read(rows, row.text(3).unwrap_or_default())?))
}

impl MysqlSource {
    /// Something asked of the snapshot, which ends when it is told to stop.
    fn asked<T>(&self, snapshot: &Snapshot, stop: &Stop, ask: impl FnOnce(&Db) -> Result<T>) -> Result<T> {
        let db = snapshot.take(stop)?;
        let watch = Interrupt::start(&self.address, db.server.id, stop);
        let answer = ask(&db);
        drop(watch);
        match answer {
            Ok(answer) => {
                snapshot.give_back(Some(db));
                Ok(answer)
            }
            Err(error) => {
                snapshot.give_back(None);
                Err(stop.check().err().unwrap_or(error))
            }
        }
    }

    fn reading(&self, snapshot: Arc<Snapshot>, schema: &Schema, select: String, stop: &Stop) -> Result<Incoming> {
        let wanted = columns::wanted(&snapshot.columns, schema);
        Reading { snapshot, address: self.address.clone(), wanted, select, skip: 0, stop: stop.clone() }.start()
    }
}

/// What is asked, in SQL.
struct Statement<'a> {
    snapshot: &'a Snapshot,
    ask: &'a Ask,
}

impl Statement<'_> {
    fn column(&self, name: &str) -> Option<&Column> {
        self.snapshot.columns.iter().find(|c| c.name == name)
    }

    fn digests(&self, segments: Option<&[u32]>) -> Result<String> {
        let hash = self.hash().ok_or_else(unasked)?;
        let conditions = self.conditions(segments)?;
        let condition = filter(&conditions);
        let segment = match &self.ask.split {
            Split::Content(bits) => content(*bits, "h"),
            Split::Axis { .. } => "s".to_owned(),
        };
        let own = self.segment()?.map(|segment| format!(", {segment} AS s")).unwrap_or_default();
        Ok(format!(
            "SELECT {segment}, COUNT(*), COUNT(h), SUM(h) FROM (SELECT {hash} AS h{own} FROM {}{condition}) AS q GROUP BY 1",
            self.snapshot.found.from
        ))
    }

    /// The number of a row's segment; `None` where it goes by the row's hash.
    fn segment(&self) -> Result<Option<String>> {
        let Split::Axis { column, bounds } = &self.ask.split else { return Ok(None) };
        let literals =
            bounds.iter().map(|b| self.compared(column, b)).collect::<Option<Vec<_>>>().ok_or_else(unasked)?;
        let name = format!("t.{}", quote(&column.name));
        Ok(Some(format!("CASE WHEN {name} IS NULL THEN 0 ELSE {} END", among(&literals, 1))))
    }

    fn conditions(&self, segments: Option<&[u32]>) -> Result<Vec<String>> {
        let mut conditions: Vec<String> = self.range().ok_or_else(unasked)?.into_iter().collect();
        let Some(segments) = segments else { return Ok(conditions) };
        let numbers = || segments.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        if segments.is_empty() {
            conditions.push("FALSE".to_owned());
            return Ok(conditions);
        }
        match &self.ask.split {
            Split::Content(bits) => {
                let hash = self.hash().ok_or_else(unasked)?;
                conditions.push(format!("{} IN ({})", content(*bits, &hash), numbers()));
            }
            Split::Axis { column, bounds } => {
                let runs = runs(segments);
                conditions.push(if runs.len() > RUNS {
                    format!("{} IN ({})", self.segment()?.ok_or_else(unasked)?, numbers())
                } else {
                    let parts = runs.into_iter().map(|run| self.run(column, bounds, run));
                    format!("({})", parts.collect::<Option<Vec<_>>>().ok_or_else(unasked)?.join(" OR "))
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
        let column = self.column(&range.column)?;
        let values = [&range.bounds.from, &range.bounds.until];
        // Dates of zeros come with the rows that have none, and here they would be left out or let in.
        if !values.into_iter().flatten().all(is_exact) || matches!(column.kind, Kind::Real { single: true }) {
            return None;
        }
        let open = range.bounds.from.is_none() && range.bounds.until.is_none();
        match range::condition(&self.snapshot.columns, range) {
            Some(condition) => Some(Some(condition)),
            None if open && range.nulls => Some(None),
            None => None,
        }
    }

    /// Whether the server can order by the column as is done here.
    fn orders(&self, hashed: &Hashed) -> bool {
        self.column(&hashed.name).is_some_and(|column| {
            matches!(
                (hashed.form, column.kind),
                (Form::Number, Kind::Int { .. } | Kind::Decimal { .. })
                    | (Form::Moment, Kind::Date | Kind::Local)
                    | (Form::Instant, Kind::Moment)
                    | (Form::Text, Kind::Text)
            )
        })
    }

    /// A bound as a literal, and the column as it is compared with that.
    fn compared(&self, hashed: &Hashed, value: &Value) -> Option<(String, String)> {
        let column = self.column(&hashed.name)?;
        let name = format!("t.{}", quote(&column.name));
        if !is_exact(value) {
            return None;
        }
        match (column.kind, value) {
            // A date is compared with a moment as the midnight it is.
            (Kind::Date, Value::Timestamp(_)) => {
                range::comparison(&Column::new(&column.name, Kind::Local, column.natural), &name, value, Edge::From)
            }
            (Kind::Local, Value::Date(days)) => {
                let midnight = Value::Timestamp(i128::from(*days) * 86_400_000_000_000);
                range::comparison(column, &name, &midnight, Edge::From)
            }
            _ => range::comparison(column, &name, value, Edge::From),
        }
    }

    /// The row's hash: NULL where its encoding is longer than the server lets a text be.
    fn hash(&self) -> Option<String> {
        let cells = self.ask.columns.iter().map(|c| {
            let column = self.column(&c.name)?;
            let text = encoded(column, c.form)?;
            Some(format!("IF(t.{} IS NULL, '-', CONCAT(LENGTH({text}), ':', {text}))", quote(&column.name)))
        });
        let cells = cells.collect::<Option<Vec<String>>>()?;
        let row = if cells.is_empty() { "''".to_owned() } else { format!("CONCAT({})", cells.join(", ")) };
        Some(format!("CAST(CONV(LEFT(MD5({row}), 16), 16, 10) AS UNSIGNED)"))
    }
}

fn filter(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

/// Nothing is asked but what `can` said yes to.
fn unasked() -> Error {
    Error::internal("hashes were asked for that the server cannot work out")
}

fn content(bits: u32, hash: &str) -> String {
    if bits == 0 { "0".to_owned() } else { format!("({hash} >> {})", 64 - bits) }
}

/// The number of the segment among bounds, by halves; `first` is that of what lies before them.
fn among(bounds: &[(String, String)], first: usize) -> String {
    let middle = bounds.len() / 2;
    match bounds.get(middle) {
        None => first.to_string(),
        Some((literal, compared)) => format!(
            "CASE WHEN {compared} < {literal} THEN {} ELSE {} END",
            among(&bounds[..middle], first),
            among(&bounds[middle + 1..], first + middle + 1)
        ),
    }
}

/// Whether the server's types have this very value.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Timestamp(nanos) | Value::TimestampTz(nanos) => nanos % 1000 == 0,
        Value::Time(nanos) => nanos % 1000 == 0,
        _ => true,
    }
}

/// A cell's text in the row encoding, where it is not NULL. What the server writes in another way, such as a double with an
/// exponent, it writes in one way for each value.
fn encoded(column: &Column, form: Form) -> Option<String> {
    let name = format!("t.{}", quote(&column.name));
    let characters = |value: &str| format!("CAST({value} AS CHAR CHARACTER SET utf8mb4)");
    // Without the zeros that fill up a fraction, where there is one.
    let trimmed = |text: String, digits: u8| match digits {
        0 => text,
        _ => format!("TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {text}))"),
    };
    let scale = if let DataType::Decimal(_, scale) = column.natural { scale } else { 0 };
    Some(match (form, column.kind) {
        (Form::Number, Kind::Int { .. } | Kind::Bits) => characters(&format!("{name} + 0")),
        (Form::Number, Kind::Decimal { filled: true }) => trimmed(characters(&format!("{name} + 0")), scale),
        (Form::Number, Kind::Decimal { filled: false }) => trimmed(characters(&name), scale),
        (Form::Number, Kind::Real { .. }) => {
            let text = characters(&format!("{name} * 1e0"));
            // A text with an exponent becomes a decimal exactly where that has room for seventeen digits.
            let digits = |scale: u8| trimmed(characters(&format!("CAST({text} AS DECIMAL(65,{scale}))")), scale);
            format!(
                "CASE WHEN {name} = 0 THEN '0' WHEN ABS({name}) BETWEEN 1e-3 AND 9e14 THEN {text} \
                 WHEN ABS({name}) BETWEEN 9e14 AND 1e50 THEN {} WHEN ABS({name}) BETWEEN 1e-12 AND 1e-3 THEN {} ELSE {text} END",
                digits(10),
                digits(30)
            )
        }
        (Form::Text, Kind::Text | Kind::Json) => format!("CONVERT({name} USING utf8mb4)"),
        (Form::Bytes, Kind::Bytes) => format!("LOWER(HEX({name}))"),
        (Form::Moment, Kind::Date) => format!("CONCAT({}, ' 00:00:00')", characters(&name)),
        (Form::Moment, Kind::Local) | (Form::Instant, Kind::Moment) | (Form::Time, Kind::Time) => {
            trimmed(characters(&name), column.digits)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_is_found_by_halves() {
        let bounds: Vec<(String, String)> = (1..=3).map(|n| (n.to_string(), "x".to_owned())).collect();
        assert_eq!(
            among(&bounds, 1),
            "CASE WHEN x < 2 THEN CASE WHEN x < 1 THEN 1 ELSE 2 END ELSE CASE WHEN x < 3 THEN 3 ELSE 4 END END"
        );
        assert_eq!(among(&[], 1), "1");
    }
}

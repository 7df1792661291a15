//! The state as destinations keep it: what of it is text has one form everywhere.

use floodmark_core::{
    Code, DataType, Error, Result, Schema, Value,
    commits::Commits,
    interval::Interval,
    state::{FORMAT, Lineage, Mark, Settings},
};

/// Whether the format is this Floodmark's. `None` where the state names none.
pub fn check_format(format: Option<i64>) -> Result<()> {
    match format {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(Error::new(
            Code::StateTooNew,
            format!("the state has format {newer}, and this Floodmark knows {FORMAT}"),
        )
        .state("nothing was written")
        .help("use the newer Floodmark that wrote it")),
        other => Err(Error::new(Code::StateDamaged, format!("_floodmark_meta holds the format {other:?}"))
            .state("nothing was written")
            .help("restore the database from a backup, or drop the _floodmark_* tables to begin anew")),
    }
}

/// The error for what no Floodmark wrote.
pub fn damaged(what: &str, text: &str) -> Error {
    Error::new(Code::StateDamaged, format!("the state holds {what} {text:?}"))
        .state("nothing was written")
        .help("see `floodmark state show`; `floodmark state reset` begins anew and leaves the table as it is")
}

/// A watermark out of its three columns.
pub fn mark(column: Option<String>, data_type: Option<String>, value: Option<String>) -> Result<Option<Mark>> {
    let (Some(column), Some(type_name), Some(text)) = (column, data_type, value) else { return Ok(None) };
    let data_type = DataType::parse(&type_name).ok_or_else(|| damaged("the type", &type_name))?;
    let value = Value::parse(&text, data_type).ok_or_else(|| damaged("the watermark", &text))?;
    Ok(Some(Mark { column, data_type, value }))
}

/// The type of an interval, its ends and the highest value in it, out of their texts.
pub fn interval(
    type_name: &str,
    from: &str,
    until: &str,
    highest: Option<&str>,
) -> Result<(DataType, Interval, Option<Value>)> {
    let data_type = DataType::parse(type_name).ok_or_else(|| damaged("the type", type_name))?;
    let value = |text: &str| Value::parse(text, data_type).ok_or_else(|| damaged("the end of an interval", text));
    let interval = Interval::new(value(from)?, value(until)?);
    let interval = interval.ok_or_else(|| damaged("the interval", &format!("[{from}, {until})")))?;
    Ok((data_type, interval, highest.map(value).transpose()?))
}

/// Settings out of their JSON.
pub fn settings(text: Option<String>) -> Result<Option<Settings>> {
    let parse = |text: String| serde_json::from_str(&text).map_err(|e| damaged("the settings", &text).cause(e));
    text.map(parse).transpose()
}

/// A schema out of its JSON.
pub fn schema(text: Option<String>) -> Result<Option<Schema>> {
    let parse = |text: String| serde_json::from_str(&text).map_err(|e| damaged("the schema", &text).cause(e));
    text.map(parse).transpose()
}

/// What the commits of a run brought, out of its JSON.
pub fn commits(text: &str) -> Result<Commits> {
    Commits::parse(text).ok_or_else(|| damaged("the commits of a run", text))
}

/// The hash of a file out of its digits.
pub fn hash(text: &str) -> Result<u128> {
    u128::from_str_radix(text, 16).map_err(|_| damaged("the hash", text))
}

/// `rows:fingerprint:first-last,first-last`
pub fn lineage_text(lineage: &Lineage) -> String {
    let ranges: Vec<String> = lineage.ranges.iter().map(|(a, b)| format!("{a}-{b}")).collect();
    format!("{}:{:032x}:{}", lineage.rows, lineage.fingerprint, ranges.join(","))
}

/// The same read back.
pub fn lineage(text: &str) -> Result<Lineage> {
    parse_lineage(text).ok_or_else(|| damaged("the lineage", text))
}

fn parse_lineage(text: &str) -> Option<Lineage> {
    let mut parts = text.splitn(3, ':');
    let rows = parts.next()?.parse().ok()?;
    let fingerprint = u128::from_str_radix(parts.next()?, 16).ok()?;
    let ranges = parts
        .next()?
        .split(',')
        .filter(|r| !r.is_empty())
        .map(|r| {
            // Row ids may be negative: the dash between two is not the first character.
            let dash = 1 + r.get(1..)?.find('-')?;
            Some((r[..dash].parse().ok()?, r[dash + 1..].parse().ok()?))
        })
        .collect::<Option<_>>()?;
    Some(Lineage { ranges, rows, fingerprint })
}

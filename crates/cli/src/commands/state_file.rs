//! The state as JSON: what `state export` prints and `state import` reads.
//!
//! `{"floodmark_state": 1, "pipelines": [{"pipeline", "table", "schema", "source_schema", "watermark", "pending",
//! "files", "remembered", "intervals", "settings", "updated_at"}]}`. Values of a cursor are text with their type beside them, hashes
//! are 32 hexadecimal digits. The fencing token stays where it is: it belongs to the database, not to the pipeline.

use chrono::{DateTime, Utc};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema, Value,
    interval::Interval,
    state::{FileEntry, IntervalEntry, Lineage, Mark, Memory, Settings, State},
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The format written, and the newest one read.
const FORMAT: u64 = 1;
/// The key that says that a JSON object is such a file, and of which format.
const MARKER: &str = "floodmark_state";

/// All that is remembered of a pipeline.
#[derive(Debug, PartialEq)]
pub(super) struct Exported {
    /// Its name.
    pub(super) pipeline: String,
    /// Where it stands.
    pub(super) state: State,
    /// What it remembers of keys beside the table.
    pub(super) remembered: Vec<Memory>,
    /// Receipts of intervals.
    pub(super) intervals: Vec<IntervalEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    floodmark_state: u64,
    pipelines: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    pipeline: String,
    table: Option<String>,
    schema: Option<Vec<Column>>,
    source_schema: Option<Vec<Column>>,
    watermark: Option<MarkEntry>,
    pending: Option<MarkEntry>,
    files: Vec<File>,
    #[serde(default)]
    remembered: Vec<Memory>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    intervals: Vec<IntervalText>,
    #[serde(default)]
    settings: Option<Settings>,
    updated_at: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkEntry {
    column: String,
    #[serde(rename = "type")]
    data_type: DataType,
    value: String,
}

/// The receipt of an interval.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntervalText {
    column: String,
    #[serde(rename = "type")]
    data_type: DataType,
    from: String,
    until: String,
    run: String,
    rows: u64,
    highest: Option<String>,
    settled: bool,
    loaded_at: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    size: u64,
    modified: i64,
    hash: Hash,
    rows: u64,
    complete: bool,
    lineage: Option<LineageEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineageEntry {
    ranges: Vec<(i64, i64)>,
    rows: u64,
    fingerprint: Hash,
}

/// 128 bits, which JSON numbers do not hold.
#[derive(Debug, Clone, Copy)]
struct Hash(u128);

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let parsed = u128::from_str_radix(&text, 16).ok().filter(|_| digits);
        parsed.map(Hash).ok_or_else(|| serde::de::Error::custom("a hash is 32 hexadecimal digits"))
    }
}

/// The states as one JSON document.
pub(super) fn write(states: &[Exported]) -> Result<serde_json::Value> {
    let pipelines = states.iter().map(entry).collect();
    serde_json::to_value(Document { floodmark_state: FORMAT, pipelines })
        .map_err(|e| Error::internal("the state cannot be written as JSON").cause(e))
}

/// Reads what `write` wrote. Their tokens are 0: a ledger keeps its own.
pub(super) fn read(text: &str) -> Result<Vec<Exported>> {
    let damaged = |what: String| {
        Error::new(Code::StateDamaged, what)
            .state("nothing was changed")
            .help("give a file that `floodmark state export` printed, unedited")
    };
    let json = |e: serde_json::Error| damaged(format!("this is not an exported state: {e}"));
    let value: serde_json::Value = serde_json::from_str(text).map_err(json)?;
    // The format first: a newer one may differ in everything else.
    match value.get(MARKER).and_then(serde_json::Value::as_u64) {
        None => return Err(damaged(format!("this is not an exported state: it has no {MARKER:?}"))),
        Some(format) if format > FORMAT => {
            return Err(Error::new(
                Code::StateTooNew,
                format!("the exported state has format {format}, and this Floodmark reads up to {FORMAT}"),
            )
            .state("nothing was changed")
            .help("import it with the version that exported it, or a newer one"));
        }
        Some(_) => {}
    }
    let document: Document = serde_json::from_value(value).map_err(json)?;
    let mut states: Vec<Exported> = Vec::new();
    for entry in document.pipelines {
        let name = entry.pipeline.clone();
        if states.iter().any(|e| e.pipeline == name) {
            return Err(damaged(format!("pipeline {name:?} is there twice")));
        }
        states.push(exported(entry).map_err(|what| damaged(format!("pipeline {name:?}: {what}")))?);
    }
    Ok(states)
}

fn entry(exported: &Exported) -> Entry {
    let Exported { pipeline, state, remembered, intervals } = exported;
    let mut files: Vec<File> = state
        .files
        .iter()
        .map(|(name, file)| File {
            name: name.clone(),
            size: file.size,
            modified: file.modified,
            hash: Hash(file.hash),
            rows: file.rows,
            complete: file.complete,
            lineage: file.lineage.as_ref().map(|l| LineageEntry {
                ranges: l.ranges.clone(),
                rows: l.rows,
                fingerprint: Hash(l.fingerprint),
            }),
        })
        .collect();
    // The same state is the same text.
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut intervals: Vec<IntervalText> = intervals.iter().map(interval_text).collect();
    intervals.sort_by(|a, b| (&a.column, &a.from, &a.until).cmp(&(&b.column, &b.from, &b.until)));
    Entry {
        pipeline: pipeline.clone(),
        table: state.table.clone(),
        schema: state.schema.as_ref().map(|schema| schema.columns.clone()),
        source_schema: state.source_schema.as_ref().map(|schema| schema.columns.clone()),
        watermark: state.watermark.as_ref().map(mark_entry),
        pending: state.pending.as_ref().map(mark_entry),
        files,
        remembered: remembered.clone(),
        intervals,
        settings: state.settings.clone(),
        updated_at: state.updated_at.map(|at| at.to_rfc3339()),
    }
}

fn mark_entry(mark: &Mark) -> MarkEntry {
    MarkEntry { column: mark.column.clone(), data_type: mark.data_type, value: mark.value.to_string() }
}

fn interval_text(entry: &IntervalEntry) -> IntervalText {
    IntervalText {
        column: entry.column.clone(),
        data_type: entry.data_type,
        from: entry.interval.from.to_string(),
        until: entry.interval.until.to_string(),
        run: entry.run.clone(),
        rows: entry.rows,
        highest: entry.highest.as_ref().map(ToString::to_string),
        settled: entry.settled,
        loaded_at: entry.loaded_at.to_rfc3339(),
    }
}

fn interval(entry: IntervalText) -> Result<IntervalEntry, String> {
    let value = |text: &str| value(text, entry.data_type);
    let interval = Interval::new(value(&entry.from)?, value(&entry.until)?);
    Ok(IntervalEntry {
        interval: interval.ok_or_else(|| format!("[{}, {}) is no interval", entry.from, entry.until))?,
        highest: entry.highest.as_deref().map(value).transpose()?,
        column: entry.column,
        data_type: entry.data_type,
        run: entry.run,
        rows: entry.rows,
        settled: entry.settled,
        loaded_at: moment(entry.loaded_at)?,
    })
}

fn value(text: &str, data_type: DataType) -> Result<Value, String> {
    Value::parse(text, data_type).ok_or_else(|| format!("{text:?} is not a {data_type}"))
}

fn exported(entry: Entry) -> Result<Exported, String> {
    let mark = |m: MarkEntry| {
        let value = value(&m.value, m.data_type)?;
        Ok::<_, String>(Mark { column: m.column, data_type: m.data_type, value })
    };
    let files: HashMap<String, FileEntry> = entry
        .files
        .into_iter()
        .map(|f| {
            let lineage = f.lineage.map(|l| Lineage { ranges: l.ranges, rows: l.rows, fingerprint: l.fingerprint.0 });
            let file = FileEntry {
                size: f.size,
                modified: f.modified,
                hash: f.hash.0,
                rows: f.rows,
                complete: f.complete,
                lineage,
            };
            (f.name, file)
        })
        .collect();
    let state = State {
        token: 0,
        table: entry.table,
        schema: entry.schema.map(|columns| Schema { columns }),
        source_schema: entry.source_schema.map(|columns| Schema { columns }),
        watermark: entry.watermark.map(mark).transpose()?,
        pending: entry.pending.map(mark).transpose()?,
        files: files.into(),
        settings: entry.settings,
        updated_at: entry.updated_at.map(moment).transpose()?,
    };
    let intervals = entry.intervals.into_iter().map(interval).collect::<Result<_, _>>()?;
    Ok(Exported { pipeline: entry.pipeline, state, remembered: entry.remembered, intervals })
}

fn moment(text: String) -> Result<DateTime<Utc>, String> {
    let at = DateTime::parse_from_rfc3339(&text).map_err(|_| format!("{text:?} is not a moment in time"))?;
    Ok(at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::state::Remembered;
    use std::sync::Arc;

    fn full() -> State {
        let mark = |value| Mark {
            column: "updated_at".into(),
            data_type: DataType::Timestamp { nanos: false },
            value: Value::Timestamp(value),
        };
        State {
            token: 0,
            table: Some("orders".into()),
            schema: Some(Schema::new([("id", DataType::BigInt), ("price", DataType::Decimal(10, 2))])),
            source_schema: Some(Schema::new([("cents", DataType::BigInt)])),
            watermark: Some(mark(1_704_067_200_123_456_000)),
            pending: Some(mark(-1000)),
            files: Arc::new(HashMap::from([(
                "a.csv".to_owned(),
                FileEntry {
                    size: u64::MAX,
                    modified: i64::MIN,
                    hash: 7,
                    rows: 3,
                    complete: false,
                    lineage: Some(Lineage { ranges: vec![(1, 3)], rows: 3, fingerprint: u128::MAX - 1 }),
                },
            )])),
            settings: Some([("load".to_owned(), "upsert".to_owned())].into()),
            updated_at: DateTime::from_timestamp(1_700_000_000, 5),
        }
    }

    fn orders() -> Exported {
        let remembered = vec![
            Memory {
                what: Remembered::Tombstone,
                key: vec!["7".into(), "a\"b".into()],
                version: Some("2024-01-01".into()),
            },
            Memory { what: Remembered::Kept("x".into()), key: vec!["8".into(), String::new()], version: None },
        ];
        let day = |text: &str| Value::parse(text, DataType::Date).unwrap();
        let intervals = [("2024-01-01", "2024-02-01", None), ("2024-03-01", "2024-03-08", Some("2024-03-07"))]
            .map(|(from, until, highest)| IntervalEntry {
                column: "day".into(),
                data_type: DataType::Date,
                interval: Interval::new(day(from), day(until)).unwrap(),
                run: "r".into(),
                rows: 3,
                highest: highest.map(day),
                settled: highest.is_some(),
                loaded_at: DateTime::from_timestamp(1_700_000_000, 5).unwrap(),
            })
            .into();
        Exported { pipeline: "orders".into(), state: full(), remembered, intervals }
    }

    #[test]
    fn what_is_written_reads_back() {
        let state = State::default();
        let states =
            vec![orders(), Exported { pipeline: "empty".into(), state, remembered: vec![], intervals: vec![] }];
        let text = write(&states).unwrap().to_string();
        assert!(text.starts_with(r#"{"floodmark_state":1,"#), "{text}");
        assert_eq!(read(&text).unwrap(), states);
    }

    #[test]
    fn a_file_from_before_keys_or_intervals_were_remembered_reads() {
        let mut value = write(&[orders()]).unwrap();
        let entry = value["pipelines"][0].as_object_mut().unwrap();
        entry.remove("remembered");
        entry.remove("intervals");
        let states = read(&value.to_string()).unwrap();
        assert_eq!((&states[0].state, states[0].remembered.len()), (&full(), 0));
        assert_eq!(states[0].intervals, []);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let text = write(&[orders()]).unwrap().to_string();
        let code = |text: &str| read(text).unwrap_err().code();
        assert_eq!(code(&text.replace(r#"_state":1"#, r#"_state":2"#)), Code::StateTooNew);
        assert_eq!(code(&text.replace("floodmark_state", "other")), Code::StateDamaged);
        assert_eq!(code(&text.replace(r#""rows":3"#, r#""rows":-3"#)), Code::StateDamaged);
        assert_eq!(code(&text.replace("2024-01-01", "2024-13-01")), Code::StateDamaged);
        assert_eq!(code(&text.replace(r#""table""#, r#""tabel""#)), Code::StateDamaged);
        assert_eq!(code(&text.replace("2024-02-01", "2024-01-01")), Code::StateDamaged);
        assert_eq!(code("[]"), Code::StateDamaged);
        assert_eq!(code("{"), Code::StateDamaged);
    }
}

//! What a run must report: `[NAME:] STATUS [CODE] [key=value…]`, compared with its `--format json` output.

use serde_json::Value;
use std::collections::BTreeMap;

/// The counts of a run, in the order of its report.
pub(crate) const COUNTS: &[&str] = &[
    "read",
    "transformed",
    "skipped",
    "rejected",
    "superseded",
    "stale",
    "unchanged",
    "inserted",
    "updated",
    "deleted",
    "delete_noop",
    "removed",
];

/// How a run must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `ok`: it loaded something.
    Ok,
    /// `nothing_new`: there was nothing to load.
    NothingNew,
    /// `done`: either of the two.
    Done,
    /// `failed`: exit code 1, the tables as they were.
    Failed,
    /// `busy`: exit code 3.
    Busy,
    /// `refused`: exit code 2, before anything was tried.
    Refused,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::NothingNew => "nothing_new",
            Status::Done => "ok or nothing_new",
            Status::Failed | Status::Refused => "failed",
            Status::Busy => "busy",
        }
    }

    /// The process's exit code when this is all that happened.
    pub fn exit(self) -> i32 {
        match self {
            Status::Ok | Status::NothingNew | Status::Done => 0,
            Status::Failed => 1,
            Status::Refused => 2,
            Status::Busy => 3,
        }
    }
}

/// One line of expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The pipeline, where there are several.
    pub pipeline: Option<String>,
    /// How it ends.
    pub status: Status,
    /// The error's code.
    pub code: Option<String>,
    /// Counts and other keys.
    pub keys: BTreeMap<String, String>,
}

/// Reads a line.
pub fn parse(line: &str) -> Result<Expected, String> {
    let mut words = words(line)?.into_iter().peekable();
    let pipeline = words.next_if(|w| w.ends_with(':')).map(|w| w.trim_end_matches(':').to_owned());
    let status = match words.next().as_deref() {
        Some("ok") => Status::Ok,
        Some("nothing_new") => Status::NothingNew,
        Some("done") => Status::Done,
        Some("failed") => Status::Failed,
        Some("busy") => Status::Busy,
        Some("refused") => Status::Refused,
        other => return Err(format!("{:?} is no status", other.unwrap_or_default())),
    };
    let code = words.next_if(|w| w.starts_with("FM"));
    let mut keys = BTreeMap::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is not key=value"))?;
        let known =
            COUNTS.contains(&key) || ["watermark", "file", "line", "row", "column", "value", "says"].contains(&key);
        if !known {
            return Err(format!("no key is called {key:?}"));
        }
        keys.insert(key.to_owned(), value.to_owned());
    }
    Ok(Expected { pipeline, status, code, keys })
}

/// Words, with `"…"` keeping blanks together.
pub(crate) fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut out, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    out.extend((!word.is_empty()).then_some(word));
    Ok(out)
}

impl Expected {
    /// Every way in which `found`, one object of `--format json`, differs. `exact: false` leaves the counts alone: how
    /// a load is cut into chunks decides whether a loser is superseded or stale, never what the table holds.
    pub fn differences(&self, found: &Value, exact: bool) -> Vec<String> {
        let mut out = Vec::new();
        let status = found["status"].as_str().unwrap_or("(none)");
        let fits = match self.status {
            Status::Ok => status == "ok",
            Status::NothingNew => status == "nothing_new",
            Status::Done => status == "ok" || status == "nothing_new",
            Status::Failed | Status::Refused => status == "failed",
            Status::Busy => status == "busy",
        };
        if !fits {
            out.push(format!("- status {}\n+ status {status}", self.status.name()));
        }
        let error = &found["error"];
        if let Some(code) = &self.code
            && error["code"].as_str() != Some(code)
        {
            out.push(format!("- error {code}\n+ error {}", text(&error["code"])));
        }
        for (key, value) in &self.keys {
            let same = match key.as_str() {
                "watermark" => text(&found["watermark"]["after"]) == *value,
                "says" => mentions(error, value),
                "file" | "line" | "row" | "column" | "value" => text(&error["place"][key]) == *value,
                _ => value == "*" || !exact || text(&found["rows"][key]) == *value,
            };
            if !same {
                let seen = match key.as_str() {
                    "watermark" => &found["watermark"]["after"],
                    "says" => error,
                    "file" | "line" | "row" | "column" | "value" => &error["place"],
                    _ => &found["rows"][key],
                };
                out.push(format!("- {key}={value}\n+ {key}={}", text(seen)));
            }
        }
        if exact && matches!(self.status, Status::Ok | Status::NothingNew | Status::Done) {
            let rest = COUNTS.iter().filter(|name| !self.keys.contains_key(**name));
            out.extend(
                rest.filter(|name| found["rows"][**name].as_u64().unwrap_or(0) > 0)
                    .map(|name| format!("- {name}=0\n+ {name}={}", found["rows"][*name])),
            );
        }
        if self.status.exit() == 0 && found["rows"].is_object() {
            out.extend(unaccounted(&found["rows"]));
        }
        out
    }
}

/// P9, added up by someone other than the engine.
fn unaccounted(rows: &Value) -> Option<String> {
    let count = |name: &str| rows[name].as_u64().unwrap_or(0);
    let fates = COUNTS.iter().filter(|name| !["read", "transformed", "removed"].contains(name));
    let sum: u64 = fates.map(|name| count(name)).sum();
    let whole = if rows["transformed"].is_u64() { count("transformed") } else { count("read") };
    (sum != whole).then(|| format!("the counts add up to {sum} of {whole} rows (P9)"))
}

/// What a run over input that was loaded before must not report: written rows, or a watermark that moved. An
/// `overwrite` may write equal rows again.
pub(crate) fn moved(found: &Value) -> Vec<String> {
    let overwrite = found["load"].as_str() == Some("overwrite");
    let written = ["inserted", "updated", "deleted"].into_iter().filter(|_| !overwrite);
    let mut out: Vec<String> = written
        .filter(|name| found["rows"][*name].as_u64().unwrap_or(0) > 0)
        .map(|name| format!("{name} is {}", found["rows"][name]))
        .collect();
    let mark = &found["watermark"];
    if mark.is_object() && mark["before"] != mark["after"] {
        out.push(format!("the watermark moved from {} to {}", text(&mark["before"]), text(&mark["after"])));
    }
    out
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn mentions(error: &Value, part: &str) -> bool {
    let help = error["help"].as_array().into_iter().flatten();
    [&error["message"], &error["state"]].into_iter().chain(help).filter_map(Value::as_str).any(|s| s.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unnamed_count_must_be_zero() {
        let expected = parse("ok read=2 inserted=2").unwrap();
        let rows = json!({"status": "ok", "rows": {"read": 2, "transformed": null, "inserted": 2, "stale": 0}});
        assert_eq!(expected.differences(&rows, true), Vec::<String>::new());
        let rows = json!({"status": "ok", "rows": {"read": 3, "inserted": 2, "stale": 1}});
        assert_eq!(expected.differences(&rows, true), ["- read=2\n+ read=3", "- stale=0\n+ stale=1"]);
        assert_eq!(expected.differences(&rows, false).len(), 0);
    }

    #[test]
    fn p9_every_row_has_its_fate() {
        let expected = parse("ok read=3 transformed=* inserted=2").unwrap();
        let rows = json!({"status": "ok", "rows": {"read": 3, "transformed": null, "inserted": 2}});
        assert_eq!(expected.differences(&rows, true), ["the counts add up to 2 of 3 rows (P9)"]);
        let rows = json!({"status": "ok", "rows": {"read": 3, "transformed": 2, "inserted": 2}});
        assert_eq!(expected.differences(&rows, true), Vec::<String>::new());
    }

    #[test]
    fn p1_a_repetition_writes_nothing() {
        let rows = json!({"load": "upsert", "rows": {"read": 1, "updated": 1}, "watermark": {"before": 1, "after": 2}});
        assert_eq!(moved(&rows), ["updated is 1", "the watermark moved from 1 to 2"]);
        let rows = json!({"load": "overwrite", "rows": {"read": 1, "inserted": 1, "removed": 1}, "watermark": null});
        assert_eq!(moved(&rows), Vec::<String>::new());
    }

    #[test]
    fn an_error_is_told_by_code_place_and_words() {
        let expected = parse("failed FM0301 line=3 says=\"rejects it\"").unwrap();
        let found = json!({"status": "failed", "error": {
            "code": "FM0301", "message": "no", "place": {"line": 3}, "help": ["`reject` rejects it"]}});
        assert_eq!(expected.differences(&found, true), Vec::<String>::new());
        let found = json!({"status": "failed", "error": {"code": "FM0302", "message": "no", "place": {"line": 4}}});
        assert_eq!(expected.differences(&found, true).len(), 3);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in ["", "maybe", "ok reads=1", "ok read", "ok \"read=1"] {
            assert!(parse(line).is_err(), "{line:?}");
        }
        let line = parse("orders: nothing_new watermark=\"2024-01-01 10:00:00\"").unwrap();
        assert_eq!(line.pipeline.as_deref(), Some("orders"));
        assert_eq!(line.keys["watermark"], "2024-01-01 10:00:00");
    }
}

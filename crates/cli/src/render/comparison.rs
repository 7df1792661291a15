//! How two tables differ: a line for the whole, facts, then the rows.

use super::{
    json, layout,
    terminal::{self, agree, clean, count, number, style},
};
use crate::shell::quote;
use floodmark_engine::{
    Intent,
    diff::{Counts, Hashing, Kind, Misfit, Report, RowDifference, Segment, Share, SideReport},
    verify::{Late, Verification, Way},
};
use serde_json::{Map, Value, json};

/// What the two are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    pub(crate) first: &'static str,
    pub(crate) second: &'static str,
}

/// Longer values are cut.
const SHOWN: usize = 60;
/// Ranges of the axis that are listed.
const RANGES: usize = 5;
/// Columns that are listed.
const COLUMNS: usize = 8;

/// For people.
pub(crate) fn text(report: &Report, words: Words) -> String {
    whole(String::new(), report, words, report.differs(), Vec::new())
}

/// Of a pipeline.
pub(crate) fn verified(found: &Verification, words: Words) -> String {
    let report = &found.report;
    let mut facts = Vec::new();
    if let Some((column, value)) = &found.watermark {
        let mut parts = vec![format!("{column} {value}")];
        if found.not_loaded > 0 {
            parts.push(format!("{} not loaded yet", count(found.not_loaded, "row")));
        }
        if report.changed_since > 0 {
            parts.push(format!("{} changed since", count(report.changed_since, "row")));
        }
        facts.push(("watermark", parts.join("; ")));
    } else if found.not_loaded > 0 {
        let rows = count(found.not_loaded, "row");
        facts.push(("not loaded", format!("{rows} that neither a run nor a backfill has read yet")));
    }
    if found.gaps > 0 {
        let rows = count(found.gaps, "row");
        facts.push((
            "gaps",
            format!("{rows} that no run reads: floodmark backfill {} --missing", quote(&found.pipeline)),
        ));
    }
    if let Some(late) = &found.late {
        facts.push(("late", told_late(late)));
    }
    let lead = format!("{}  ", terminal::title(&found.pipeline));
    whole(lead, report, words, found.differs(), facts)
}

/// What a repair would do about it.
pub(crate) fn intended(intent: &Intent) -> String {
    let mut parts = Vec::new();
    if intent.write > 0 {
        parts.push(format!("load {}", count(intent.write, "row")));
    }
    if intent.delete > 0 {
        parts.push(format!("take {} out", count(intent.delete, "row")));
    }
    let mut text = match parts.is_empty() {
        true => "a repair would change nothing".to_owned(),
        false => format!("a repair would {}", parts.join(" and ")),
    };
    if let Some(why) = &intent.why {
        let stay = agree(intent.stay, "row", "would stay", "would stay");
        text.push_str(&format!("; {stay} that the source does not hold: {why}"));
    }
    text
}

/// The same for programs.
pub(crate) fn intent_object(intent: &Intent) -> Value {
    json!({"write": intent.write, "delete": intent.delete, "stay": intent.stay, "why": intent.why})
}

/// Rows that differ, for programs.
pub(crate) fn counts_object(counts: &Counts) -> Value {
    json!({"missing": counts.missing, "extra": counts.extra, "different": counts.different})
}

fn told_late(late: &Late) -> String {
    let mut parts = Vec::new();
    if late.missing > 0 {
        parts.push(format!("{} missing", count(late.missing, "row")));
    }
    if late.changed > 0 {
        parts.push(format!("{} changed", count(late.changed, "row")));
    }
    let lookback = match &late.lookback {
        Some(lookback) => format!("`lookback: {lookback}` reads all of them"),
        None => "no `lookback` reads them".to_owned(),
    };
    format!(
        "{} at a value behind the watermark, the lowest {} behind it at {}: {lookback}. Whether these rows came late or were \
         changed in the table by hand is not known",
        parts.join(" and "),
        late.behind,
        late.oldest
    )
}

fn whole(lead: String, report: &Report, words: Words, differs: bool, more: Vec<(&'static str, String)>) -> String {
    let mut out = layout::flow(&lead, &head(report, differs), 2);
    let mut facts: Vec<(&str, String)> =
        vec![(words.first, side(&report.left)), (words.second, side(&report.right)), ("compared", compared(report))];
    let shape = &report.shape;
    let listed = |names: &[String]| names.join(", ");
    let mut shapes = Vec::new();
    if !shape.only_left.is_empty() {
        shapes.push(format!("only the {} has {}", words.first, listed(&shape.only_left)));
    }
    if !shape.only_right.is_empty() {
        shapes.push(format!("only the {} has {}", words.second, listed(&shape.only_right)));
    }
    shapes.extend(shape.incomparable.iter().map(|(name, a, b)| {
        format!("{name} is {a} in the {} and {b} in the {}, and was not compared", words.first, words.second)
    }));
    shapes.extend(
        shape
            .retyped
            .iter()
            .map(|(name, made, has)| format!("{name} is {has} in the {}, and was loaded as {made}", words.second)),
    );
    shapes.extend(shape.misfits.iter().map(|misfit| misfit_told(misfit, words)));
    if !shapes.is_empty() {
        facts.push(("columns", shapes.join("; ")));
    }
    if let Some(repeated) = repeated(report, words) {
        facts.push(("key", repeated));
    }
    if let Some(sampling) = &report.sampling {
        let looked = report.segments.iter().filter(|s| s.compared).count() as u64;
        let share = match sampling.wanted {
            Share::Segments(_) => count(looked, "segment"),
            Share::Percent(percent) => format!("{} ({percent} %)", count(looked, "segment")),
        };
        facts.push(("sample", format!("{share} of {}, seed {}", number(report.segments.len() as u64), sampling.seed)));
    }
    if report.counts.all() > 0 {
        facts.extend(place(report).map(|place| ("where", place)));
        if !report.by_column.is_empty() {
            facts.push(("differ in", by_column(report)));
        }
    }
    facts.extend(more);
    out.push_str(&layout::facts(&facts));
    if !report.samples.is_empty() {
        out.push('\n');
        out.push_str(&rows(report, words));
    }
    out
}

/// That a column holds what is no value of its type, and where.
pub(crate) fn misfit_told(misfit: &Misfit, words: Words) -> String {
    let whose = match misfit.sides {
        [true, false] => format!(" in the {}", words.first),
        [false, true] => format!(" in the {}", words.second),
        _ => String::new(),
    };
    let value = misfit.value.as_ref().map(|value| format!(" ({})", shown(Some(value)))).unwrap_or_default();
    let row = misfit.row.as_ref().map(|row| format!(", row {}", shown(Some(row)))).unwrap_or_default();
    format!("{} holds what is no value of its type{whose}{value}{row}: compared as text", misfit.column)
}

fn head(report: &Report, differs: bool) -> Vec<String> {
    let counts = &report.counts;
    let mut parts = Vec::new();
    match differs {
        false => parts.push(format!("{}equal{}", style::GOOD, style::RESET)),
        true if counts.all() == 0 => {
            parts.push(format!("{}different columns{}, equal rows", style::ERROR, style::RESET))
        }
        true => {
            let rows = agree(counts.all(), "row", "differs", "differ");
            parts.push(format!("{}{rows}{}", style::ERROR, style::RESET));
            let each = [("missing", counts.missing), ("extra", counts.extra), ("different", counts.different)];
            parts.extend(each.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{} {word}", number(*n))));
        }
    }
    parts.push(terminal::seconds(report.elapsed));
    parts
}

fn side(side: &SideReport) -> String {
    let how = if side.pushed { "hashed by its database" } else { "read" };
    let read = match (side.pushed, side.transferred) {
        (true, 0) => String::new(),
        (true, n) => format!(", {} fetched", count(n, "row")),
        (false, _) => String::new(),
    };
    format!("{}: {}, {how}{read}", side.name, count(side.rows, "row"))
}

fn compared(report: &Report) -> String {
    let columns = count(report.columns.len() as u64, "column");
    let segments = match &report.axis {
        Some(axis) => format!("in {} of {axis}", count(report.segments.len() as u64, "range")),
        None => "in parts by content".to_owned(),
    };
    match report.key.is_empty() {
        true => format!("{columns} by content, {segments}"),
        false => format!("{columns} by key {}, {segments}", report.key.join(", ")),
    }
}

/// That a key is none: several rows have it.
pub(crate) fn repeated(report: &Report, words: Words) -> Option<String> {
    let of = |(keys, side): (u64, &str)| (keys > 0).then(|| format!("{} of the {side}", count(keys, "key")));
    let [first, second] = report.repeated;
    let parts: Vec<String> = [(first, words.first), (second, words.second)].into_iter().filter_map(of).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "not unique: {} {} several rows, among those looked at one by one; which of them is which is told nowhere",
            parts.join(" and "),
            if first + second == 1 { "has" } else { "have" }
        )
    })
}

/// Where along the axis the differences lie.
fn place(report: &Report) -> Option<String> {
    let axis = report.axis.as_ref().filter(|_| report.segments.len() > 1)?;
    let mut ranges: Vec<String> = report
        .parts
        .iter()
        .map(|part| match (&part.from, &part.until) {
            (None, None) => format!("all of {axis}"),
            (Some(from), None) => format!("{axis} from {from}"),
            (None, Some(until)) => format!("{axis} before {until}"),
            (Some(from), Some(until)) => format!("{axis} from {from} to before {until}"),
        })
        .collect();
    if report.segments.iter().any(|s| s.null && s.counts.all() > 0) {
        ranges.insert(0, format!("rows without {axis}"));
    }
    let more = ranges.len().saturating_sub(RANGES);
    ranges.truncate(RANGES);
    if more > 0 {
        ranges.push(format!("… and {more} more"));
    }
    Some(ranges.join("; "))
}

fn by_column(report: &Report) -> String {
    let mut columns = report.by_column.clone();
    columns.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let more = columns.len().saturating_sub(COLUMNS);
    let mut listed: Vec<String> =
        columns.iter().take(COLUMNS).map(|(name, rows)| format!("{name} ({})", count(*rows, "row"))).collect();
    if more > 0 {
        listed.push(format!("… and {}", count(more as u64, "column")));
    }
    listed.join(", ")
}

fn rows(report: &Report, words: Words) -> String {
    let keyed = !report.key.is_empty();
    let mut lines = Vec::new();
    for sample in &report.samples {
        let key = sample.key.iter().map(|(name, value)| format!("{name} {}", shown(value.as_deref())));
        let mut key = key.collect::<Vec<_>>().join(", ");
        if sample.times > 1 {
            key.push_str(&format!(" ({} times)", number(sample.times)));
        }
        let word = sample.kind.name().to_owned();
        if sample.columns.is_empty() {
            lines.push(vec![word, String::new(), String::new(), String::new(), key]);
            continue;
        }
        for (at, (name, first, second)) in sample.columns.iter().enumerate() {
            let (word, key) = if at == 0 { (word.clone(), key.clone()) } else { (String::new(), String::new()) };
            lines.push(vec![word, name.clone(), shown(first.as_deref()), shown(second.as_deref()), key]);
        }
    }
    let heading = ["row", "column", words.first, words.second, if keyed { "key" } else { "content" }];
    // Columns that nothing stands in are none.
    let used: Vec<usize> = (0..heading.len()).filter(|at| lines.iter().any(|line| !line[*at].is_empty())).collect();
    let heading: Vec<&str> = used.iter().map(|at| heading[*at]).collect();
    let lines: Vec<Vec<String>> =
        lines.into_iter().map(|line| used.iter().map(|at| line[*at].clone()).collect()).collect();
    let mut out = layout::table(&heading, &lines, heading.len() - 1);
    let told: u64 = report.samples.iter().map(|s| s.times).sum();
    let more = report.counts.all().saturating_sub(told);
    if more > 0 {
        out.push_str(&format!("… and {} (--limit shows more)\n", count(more, "row")));
    }
    out
}

/// A value on one line, not too long of it.
pub(crate) fn shown(value: Option<&str>) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    // Told from NULL, from nothing, and from a text with blanks at its end.
    let quoted = text.is_empty() || text == "NULL" || text.trim() != text;
    let text = clean(&text.replace('\n', "\\n"));
    let text = match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    if quoted { format!("\"{text}\"") } else { text }
}

/// For programs.
pub(crate) fn object(report: &Report, words: Words) -> Value {
    let side = |side: &SideReport| {
        json!({
            "name": side.name, "rows": side.rows, "transferred": side.transferred,
            "hashed_by": if side.pushed { "database" } else { "floodmark" },
        })
    };
    let shape = &report.shape;
    let incomparable: Vec<Value> = shape
        .incomparable
        .iter()
        .map(|(name, a, b)| json!({"column": name, words.first: a.to_string(), words.second: b.to_string()}))
        .collect();
    let counts = &report.counts;
    let segments: Vec<Value> =
        report.segments.iter().filter(|s| s.counts.all() > 0).map(|s| segment(s, words)).collect();
    let looked = report.segments.iter().filter(|s| s.compared).count();
    json!({
        "status": if report.differs() { "different" } else { "equal" },
        words.first: side(&report.left),
        words.second: side(&report.right),
        "key": report.key,
        "columns": report.columns,
        "repeated_keys": {words.first: report.repeated[0], words.second: report.repeated[1]},
        format!("only_{}", words.first): shape.only_left,
        format!("only_{}", words.second): shape.only_right,
        "incomparable": incomparable,
        "as_text": shape.misfits.iter().map(|misfit| &misfit.column).collect::<Vec<_>>(),
        "misfits": shape.misfits.iter().map(|m| misfit(m, words)).collect::<Vec<_>>(),
        "rows": counts_object(counts),
        "by_column": report.by_column.iter().map(|(n, rows)| (n.clone(), json!(rows))).collect::<Map<_, _>>(),
        "differences": report.samples.iter().map(|s| difference(s, words)).collect::<Vec<_>>(),
        "axis": report.axis,
        "segments": {"all": report.segments.len(), "compared": looked, "differing": segments},
        "seed": report.sampling.map(|s| s.seed),
        "hash": match report.hashed { Hashing::Native => "native", Hashing::Md5 => "md5", Hashing::Here => "xxh3" },
        "transferred": report.left.transferred + report.right.transferred,
        "seconds": json::seconds(report.elapsed),
    })
}

/// Of a pipeline: what `diff` prints of its source and its table, with what is known of the pipeline.
pub(crate) fn verified_object(found: &Verification, words: Words) -> Value {
    let mut value = json!({"pipeline": found.pipeline});
    if let (Value::Object(all), Value::Object(report)) = (&mut value, object(&found.report, words)) {
        all.extend(report);
    }
    value["status"] = json!(if found.differs() { "different" } else { "equal" });
    value["expected"] = json!(match found.way {
        Way::Direct => "source",
        Way::Loaded => "loaded",
    });
    value["watermark"] =
        json!(found.watermark.as_ref().map(|(column, value)| json!({"column": column, "value": value})));
    value["lacking"] = json!(found.lacking);
    let retyped = &found.report.shape.retyped;
    value["retyped"] = retyped
        .iter()
        .map(|(name, made, has)| json!({"column": name, "loaded_as": made.to_string(), "is": has.to_string()}))
        .collect();
    value["not_loaded"] = json!(found.not_loaded);
    value["gaps"] = json!(found.gaps);
    value["changed_since"] = json!(found.report.changed_since);
    value["late"] = json!(found.late.as_ref().map(|late| json!({
        "missing": late.missing, "changed": late.changed, "oldest": late.oldest, "behind": late.behind,
        "lookback": late.lookback,
    })));
    value["notes"] = json!(found.notes);
    value
}

fn segment(segment: &Segment, words: Words) -> Value {
    json!({
        "from": segment.from, "until": segment.until, "null": segment.null,
        words.first: segment.left, words.second: segment.right,
        "missing": segment.counts.missing, "extra": segment.counts.extra, "different": segment.counts.different,
    })
}

fn misfit(misfit: &Misfit, words: Words) -> Value {
    json!({
        "column": misfit.column, words.first: misfit.sides[0], words.second: misfit.sides[1],
        "value": misfit.value, "row": misfit.row,
    })
}

fn difference(row: &RowDifference, words: Words) -> Value {
    let key: Map<_, _> = row.key.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let both = |(name, a, b): &(String, Option<String>, Option<String>)| {
        (name.clone(), json!({words.first: a, words.second: b}))
    };
    let mut value = json!({"difference": row.kind.name(), "key": key, "times": row.times});
    if row.kind == Kind::Different {
        value["columns"] = Value::Object(row.columns.iter().map(both).collect());
    }
    value
}

//! Pipelines drawn at random: every strategy, with the settings that go together.

use super::{
    random::Random,
    row::Value,
    settings::{Axis, Changed, Deletes, Late, Load, Nulls, Settings, Source, Version, Watermark},
};

/// Settings the program accepts.
pub(super) fn settings(random: &mut Random) -> Settings {
    let load = *random.pick(&[
        Load::Append,
        Load::Append,
        Load::Overwrite,
        Load::Upsert,
        Load::Upsert,
        Load::Upsert,
        Load::InsertOnly,
        Load::DeleteInsert,
        Load::Scd2,
    ]);
    let needs_key = matches!(load, Load::Upsert | Load::InsertOnly | Load::Scd2);
    let key = match load {
        Load::Append => Vec::new(),
        _ if needs_key || random.percent(60) => {
            if random.percent(15) {
                vec!["id", "part"]
            } else {
                vec!["id"]
            }
        }
        _ => Vec::new(),
    };
    let window = load == Load::DeleteInsert && (key.is_empty() || random.percent(60));
    let axis = *random.pick(&[Axis::Int, Axis::Int, Axis::Date, Axis::Timestamp]);
    let may_mark = load != Load::Overwrite && !window;
    let watermark =
        (may_mark && random.percent(if load == Load::Scd2 { 75 } else { 55 })).then(|| watermark(random, load, axis));
    let version = match random.below(10) {
        0..3 if !key.is_empty() => Version::Column,
        3 if !key.is_empty() && load != Load::Scd2 => Version::Off,
        _ => Version::Default,
    };
    let deletes = match (load, random.below(10)) {
        (Load::Upsert, 0..4) | (Load::Scd2, 0..5) => Deletes::Hard,
        (Load::Upsert, 4..6) => Deletes::Soft,
        _ => Deletes::None,
    };
    let absent_delete = load == Load::Upsert && watermark.is_none() && random.percent(20);
    let keep = match (load, random.below(10)) {
        (Load::Upsert, 0..2) => vec!["name"],
        (Load::Upsert, 2) => vec!["name", "n", "x"],
        _ => Vec::new(),
    };
    let full_read = load == Load::Overwrite || absent_delete || (load == Load::Scd2 && watermark.is_none());
    let changed = match (load, random.below(10)) {
        (Load::Append, 0..3) => Changed::Tail,
        (_, 3) => Changed::Fail,
        _ => Changed::Reload,
    };
    let reject = !full_read && random.percent(20);
    Settings {
        source: Source::Files,
        allow_empty: false,
        transform: false,
        max_rejects: (reject && watermark.is_none() && random.percent(30)).then(|| random.below(3) as u64),
        typed: random.percent(60),
        commit_every: random.percent(40).then(|| *random.pick(&[1, 2, 3, 5])),
        window: if window { vec!["day"] } else { Vec::new() },
        changed: if full_read { Changed::Reload } else { changed },
        load,
        key,
        axis,
        watermark,
        version,
        keep,
        deletes,
        absent_delete,
        reject,
    }
}

fn watermark(random: &mut Random, load: Load, axis: Axis) -> Watermark {
    let whole = axis == Axis::Int;
    Watermark {
        start: (whole && random.percent(15)).then(|| Value::Int(random.below(5) as i64)),
        lookback: (whole && load != Load::Append && random.percent(25)).then(|| random.below(6) as i64),
        exclusive: random.percent(10),
        nulls: match random.below(4) {
            // Refused for an append, which could not recognise such rows.
            0 if !matches!(load, Load::Append | Load::Scd2) => Nulls::Include,
            1 => Nulls::Exclude,
            _ => Nulls::Fail,
        },
        late: match random.below(10) {
            0..3 => Some(Late::Load),
            3..5 => Some(Late::Skip),
            5 => Some(Late::Fail),
            _ => None,
        },
    }
}

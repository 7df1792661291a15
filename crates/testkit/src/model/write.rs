//! A history as a case, in the form the player reads.

use super::{
    fill::End,
    history::{Filling, History, How, Step},
    origin::{self, Dialect},
    row::Value,
    settings::{AXIS, Source},
    trial,
    world::{Expected, OUTCOMES, World},
};
use crate::dump::join;

/// The text of a case whose expectations are the model's. What a case cannot say (kills, runs at once, threads) is told
/// in its prose.
pub(super) fn case(history: &History, title: &str) -> String {
    let mut world = World::new(&history.settings);
    let mut prose = format!("{title}\n");
    let mut out = format!("\n-- pipeline\n{}", world.settings.yaml());
    let last = history.steps.len().saturating_sub(1);
    for (place, step) in history.steps.iter().enumerate() {
        let settled = !world.unsettled;
        let before = world.clone();
        let expected = world.step(step);
        match step {
            Step::Write(_, content) if history.settings.source == Source::Table => {
                let sql = origin::statements(Dialect::Sqlite, &history.settings, content).join(";\n");
                out.push_str(&format!("-- source\n{sql};\n"));
            }
            Step::Write(name, content) => out.push_str(&format!("-- file {name}\n{}", content.text())),
            Step::Remove(name) => out.push_str(&format!("-- remove {name}\n")),
            Step::Touch(name) => out.push_str(&format!("-- touch {name}\n")),
            Step::Chunks(_) => out.push_str(&format!("-- pipeline\n{}", world.settings.yaml())),
            Step::Reset => out.push_str("-- floodmark --yes state reset t\nexit 0\n"),
            Step::SetMark(value) => {
                let value = value.plain().replace(' ', "T");
                out.push_str(&format!("-- floodmark --yes state set t --watermark {value}\nexit 0\n"));
            }
            Step::Kill(delay) => prose.push_str(&format!("Before step {place}: a run is killed after {delay} µs\n")),
            Step::Run(how) => {
                match how {
                    How::Plain | How::Refresh => {}
                    other => prose.push_str(&format!("The run of step {place} is {other:?}\n")),
                }
                let arguments = if *how == How::Refresh { " --full-refresh --yes" } else { "" };
                let alone = how.plain() && settled;
                if let Some(expected) = expected {
                    out.push_str(&format!("-- run{arguments}\n{}\n", outcome(&world, &expected, alone)));
                }
                if place == last {
                    out.push_str(&table(&world));
                }
            }
            Step::Fill(fill) => {
                if fill.how != Filling::Plain {
                    prose.push_str(&format!("The backfill of step {place} is {:?}\n", fill.how));
                }
                let words = fill.words()[1..].join(" ");
                out.push_str(&format!("-- backfill {words}\n{}\n", filled(&world, before.fill(fill).end)));
                if place == last {
                    out.push_str(&table(&world));
                }
            }
            Step::Verify => {
                if let Some(exit) = world.verified() {
                    out.push_str(&format!("-- floodmark verify t\nexit {exit}\n"));
                }
            }
        }
    }
    format!("{prose}{out}")
}

fn outcome(world: &World, expected: &Expected, alone: bool) -> String {
    if let Some(why) = expected.fails {
        return format!("failed {}", why.code().unwrap_or_default()).trim().to_owned();
    }
    if expected.idle && alone {
        return "nothing_new".to_owned();
    }
    let certain = alone && world.settings.commit_every.is_none();
    let mut out = "done".to_owned();
    for name in ["read"].iter().chain(OUTCOMES).chain(&["removed"]) {
        match expected.counts.get(name).filter(|_| certain) {
            None => out.push_str(&format!(" {name}=*")),
            Some(0) => {}
            Some(count) => out.push_str(&format!(" {name}={count}")),
        }
    }
    if let (Some(_), Some(mark)) = (&world.settings.watermark, &world.mark) {
        out.push_str(&format!(" watermark=\"{}\"", mark.plain()));
    }
    out
}

/// Of a backfill, by its end and the world after it.
fn filled(world: &World, end: End) -> String {
    match end {
        End::Fails(why) => return format!("failed {}", why.code().unwrap_or_default()).trim().to_owned(),
        End::Refused(code) => return format!("refused {code}"),
        End::Done => {}
    }
    let counts: Vec<String> =
        ["read"].iter().chain(OUTCOMES).chain(&["removed"]).map(|name| format!("{name}=*")).collect();
    let mark = match (&world.settings.watermark, &world.mark) {
        (Some(_), Some(mark)) => format!(" watermark=\"{}\"", mark.plain()),
        _ => String::new(),
    };
    format!("done {}{mark}", counts.join(" "))
}

fn table(world: &World) -> String {
    let current = if trial::current_only(world) { " WHERE is_current" } else { "" };
    let (columns, rows) = trial::table(world);
    let columns: Vec<String> = columns.iter().map(|c| format!("\"{c}\"")).collect();
    let mut lines: Vec<String> =
        rows.iter().map(|row| join(&row.iter().map(Value::cell).collect::<Vec<_>>())).collect();
    lines.sort();
    format!("-- query SELECT {} FROM t{current}\n{}\n{}\n", columns.join(", "), columns.join(" | "), lines.join("\n"))
        .replace(&format!("\"{AXIS}\""), AXIS)
}

//! `state`: what is remembered of pipelines, shown and changed by hand.

use super::{
    Context, Failure,
    runs::time,
    state_file::{self, Exported},
};
use crate::{
    args::{StateArgs, StateCommand},
    keepers::Keepers,
    render::{layout, terminal},
};
use chrono::{TimeDelta, Utc};
use floodmark_connect::destination::{Ledger, StateChange};
use floodmark_core::{
    Code, DataType, Error, Result, Value,
    state::{Mark, State},
    wording,
};
use serde_json::json;
use std::{cmp::Ordering, fmt::Write as _, io::Read, path::Path, sync::Arc, time::Duration};

/// `floodmark state`
pub(super) fn state(cx: &Context, args: &StateArgs) -> Result<u8, Failure> {
    let keepers = Keepers::open(&cx.global, &args.store)?;
    match &args.command {
        StateCommand::Show { name } => show(cx, &keepers, name.as_deref())?,
        StateCommand::Set { name, watermark } => set(cx, &keepers, name, watermark)?,
        StateCommand::Reset { name } => reset(cx, &keepers, name)?,
        StateCommand::Prune { name, older_than, keep } => prune(cx, &keepers, name.as_deref(), *older_than, *keep)?,
        StateCommand::Export { name } => {
            let states = exported(&keepers, name.as_deref())?;
            let document = state_file::write(&states)?;
            if cx.printer.json() {
                cx.printer.object(&document)?;
            } else {
                cx.printer.text(&format!("{document:#}\n"))?;
            }
        }
        StateCommand::Import { exported } => import(cx, &keepers, exported)?,
    }
    Ok(0)
}

/// A pipeline with the database that keeps its state, once that is there.
type Home<'a> = (String, Option<Box<dyn Ledger + 'a>>);

/// The named pipeline, those of the named family, or everyone.
fn homes<'a>(keepers: &'a Keepers, name: Option<&str>) -> Result<Vec<Home<'a>>> {
    if let Some(name) = name {
        let keeper = keepers.of(name)?;
        let meant = keeper.meant(name, keeper.ledger()?.as_deref())?;
        return meant.into_iter().map(|name| Ok((name, keeper.ledger()?))).collect();
    }
    let mut homes = Vec::new();
    for keeper in &keepers.all {
        for name in keeper.pipelines(keeper.ledger()?.as_deref())? {
            homes.push((name, keeper.ledger()?));
        }
    }
    Ok(homes)
}

/// The named pipeline's state, or everyone's.
fn gather(keepers: &Keepers, name: Option<&str>) -> Result<Vec<(String, Option<State>)>> {
    let homes = homes(keepers, name)?.into_iter();
    homes.map(|(name, ledger)| Ok((name.clone(), ledger.map(|l| l.state(&name)).transpose()?.flatten()))).collect()
}

fn exported(keepers: &Keepers, name: Option<&str>) -> Result<Vec<Exported>> {
    let mut out = Vec::new();
    for (pipeline, ledger) in homes(keepers, name)? {
        let Some(ledger) = ledger else { continue };
        let Some(state) = ledger.state(&pipeline)? else { continue };
        let (remembered, intervals) = (ledger.memories(&pipeline)?, ledger.intervals(&pipeline)?);
        out.push(Exported { pipeline, state, remembered, intervals });
    }
    Ok(out)
}

fn show(cx: &Context, keepers: &Keepers, name: Option<&str>) -> Result<()> {
    let states = gather(keepers, name)?;
    keepers.tell_missing(&cx.printer);
    if states.is_empty() {
        cx.printer.note("No state yet.");
    }
    for (name, state) in states {
        if cx.printer.json() {
            cx.printer.object(&object(&name, state.as_ref()))?;
        } else {
            cx.printer.text(&text(&name, state.as_ref()))?;
        }
    }
    Ok(())
}

fn object(name: &str, state: Option<&State>) -> serde_json::Value {
    let Some(state) = state else { return json!({"pipeline": name, "known": false}) };
    let mark = |m: &Mark| json!({"column": m.column, "type": m.data_type, "value": m.value.to_string()});
    let columns = state.schema.iter().flat_map(|s| &s.columns);
    let mut files: Vec<_> = state.files.iter().collect();
    files.sort_by_key(|(name, _)| name.as_str());
    json!({
        "pipeline": name,
        "known": true,
        "table": state.table,
        "watermark": state.watermark.as_ref().map(mark),
        "pending": state.pending.as_ref().map(mark),
        "schema": columns.map(|c| json!({"name": c.name, "type": c.data_type})).collect::<Vec<_>>(),
        "files": files
            .iter()
            .map(|(name, f)| json!({"name": name, "size": f.size, "rows": f.rows, "complete": f.complete}))
            .collect::<Vec<_>>(),
        "token": state.token,
        "updated_at": state.updated_at.map(|t| t.to_rfc3339()),
    })
}

/// More files than this are told by number only; `--format json` has them all.
const FILES_SHOWN: usize = 20;

fn text(name: &str, state: Option<&State>) -> String {
    let Some(state) = state else { return format!("{}  has never run\n", terminal::title(name)) };
    let mark = |m: &Mark| format!("{} = {} ({})", m.column, layout::together(&m.value.to_string()), m.data_type);
    let mut facts = Vec::new();
    facts.extend(state.table.clone().map(|table| ("table", table)));
    facts.push(("watermark", state.watermark.as_ref().map_or("none".into(), mark)));
    facts.extend(state.pending.as_ref().map(|m| ("unfinished", format!("loaded up to {}", mark(m)))));
    if let Some(schema) = &state.schema {
        let columns: Vec<String> = schema.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
        facts.push(("columns", columns.join(", ")));
    }
    facts.push(("files", state.files.len().to_string()));
    facts.push(("token", state.token.to_string()));
    facts.extend(state.updated_at.map(|at| ("updated", time(at))));
    let mut out = format!("{}\n{}", terminal::title(name), layout::facts(&facts));
    let mut files: Vec<_> = state.files.iter().collect();
    files.sort_by_key(|(name, _)| name.as_str());
    for (name, file) in files.iter().take(FILES_SHOWN) {
        let part = if file.complete { "" } else { ", not complete" };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "    {}  {}{part}", terminal::clean(name), terminal::count(file.rows, "row"));
    }
    if files.len() > FILES_SHOWN {
        let _ = writeln!(out, "    and {} more", files.len() - FILES_SHOWN);
    }
    out
}

fn set(cx: &Context, keepers: &Keepers, name: &str, value: &str) -> Result<()> {
    let mut ledger = keepers.of_one(name)?.ledger()?.ok_or_else(|| never_ran(name))?;
    let seen = ledger.state(name)?.ok_or_else(|| never_ran(name))?;
    let mut state = seen.clone();
    let (column, data_type) = cursor(cx, keepers, name, &state)?;
    let value = Value::parse(value, data_type).filter(|v| !v.is_null()).ok_or_else(|| {
        Error::new(Code::BadArgument, format!("{value:?} is not a {data_type}, the type of column {column:?}"))
            .state("nothing was changed")
            .help("write it as the column's values are written")
    })?;
    let before = state.watermark.as_ref().map(|m| m.value.clone());
    if let Some(before) = &before
        && value.compare(before) != Some(Ordering::Equal)
    {
        let what = if value.compare(before) == Some(Ordering::Less) {
            "rows between the two are read again; a pipeline with a key recognises them, `append` would add them twice"
        } else {
            "rows between the two that are not loaded yet will never be"
        };
        cx.printer.confirm(&format!("the watermark of {name} goes from {before} to {value}: {what}"), cx.global.yes)?;
    }
    if let (Some(Ordering::Equal), None) = (before.as_ref().and_then(|b| value.compare(b)), &state.pending) {
        // To move it there would forget which rows at it are loaded.
        if cx.printer.json() {
            let at = value.to_string();
            return cx
                .printer
                .object(&json!({"pipeline": name, "watermark": {"column": column, "before": at, "after": at}}));
        }
        return cx.printer.done(&format!("{name}: watermark {column} is {value} already\n"));
    }
    let after = value.to_string();
    state.watermark = Some(Mark { column: column.clone(), data_type, value });
    // It belongs to the old position, as do the rows remembered at it, which a move forgets.
    state.pending = None;
    // A file that counts as loaded would not be opened again, whatever the watermark says. This is how a file is kept
    // on record whose rows the watermark alone tells apart.
    for file in Arc::make_mut(&mut state.files).values_mut() {
        file.complete = false;
        file.rows = 0;
    }
    // A run may have committed while the question stood; its watermark must not be lost.
    ledger.change_state(name, StateChange::Move { seen: &seen, to: &state })?;
    let before = before.map(|v| v.to_string());
    if cx.printer.json() {
        return cx
            .printer
            .object(&json!({"pipeline": name, "watermark": {"column": column, "before": before, "after": after}}));
    }
    cx.printer.done(&format!("{name}: watermark {column} is now {after}\n"))
}

/// The cursor's column and type: of the stored watermark, else by the pipeline file and the pinned columns.
fn cursor(cx: &Context, keepers: &Keepers, name: &str, state: &State) -> Result<(String, DataType)> {
    if let Some(mark) = &state.watermark {
        return Ok((mark.column.clone(), mark.data_type));
    }
    let none = |message: String| Error::new(Code::BadArgument, message).state("nothing was changed");
    let Some(settings) = keepers.settings(name, &cx.printer)? else {
        return Err(none(format!("pipeline {name:?} remembers no watermark, and its pipeline file is not at hand"))
            .help("name the file with -f, in place of --destination"));
    };
    let Some(mark) = &settings.watermark else {
        return Err(none(format!("pipeline {name:?} has no watermark to set")).help("give the pipeline a `watermark:`"));
    };
    let column = mark.column.clone();
    if mark.hidden {
        return Ok((column, DataType::BigInt));
    }
    match state.schema.as_ref().and_then(|schema| schema.get(&column)) {
        Some(typed) => Ok((column, typed.data_type)),
        None => Err(none(format!("the type of column {column:?} is not known before a run has loaded it"))
            .help("to begin somewhere else than at the first row, give `start:` under `watermark:`")
            .help("or run once, and set the watermark then")),
    }
}

fn never_ran(name: &str) -> Error {
    Error::new(Code::BadArgument, format!("pipeline {name:?} has never run, so there is nothing to change"))
        .state("nothing was changed")
        .help("before a first run, `start:` of the watermark says where to begin")
}

fn reset(cx: &Context, keepers: &Keepers, name: &str) -> Result<()> {
    let ledger = keepers.of_one(name)?.ledger()?;
    let state = ledger.as_ref().map(|l| l.state(name)).transpose()?.flatten();
    let (Some(mut ledger), Some(state)) = (ledger, state) else {
        if cx.printer.json() {
            return cx.printer.object(&json!({"pipeline": name, "reset": false}));
        }
        return cx.printer.done(&format!("{name}: there is no state to forget\n"));
    };
    let table = state.table.unwrap_or_else(|| name.to_owned());
    let what = format!(
        "the state of {name} is forgotten: its watermark, types, files, backfilled intervals and deleted keys. The next run reads everything \
         again; table {table} stays as it is, so that `append` would add its rows a second time"
    );
    cx.printer.confirm(&what, cx.global.yes)?;
    ledger.change_state(name, StateChange::Forget)?;
    if cx.printer.json() {
        return cx.printer.object(&json!({"pipeline": name, "reset": true}));
    }
    cx.printer.done(&format!("{name}: forgotten; the next run reads everything again\n"))
}

fn prune(cx: &Context, keepers: &Keepers, name: Option<&str>, older_than: Duration, keep: usize) -> Result<()> {
    let far = || Error::new(Code::BadArgument, "--older-than goes back further than there are dates");
    let before = TimeDelta::from_std(older_than).ok().and_then(|span| Utc::now().checked_sub_signed(span));
    let before = before.ok_or_else(far)?;
    let homes = homes(keepers, name)?;
    let runs = wording::count(keep as u64, "newest run");
    let what = format!(
        "runs that began before {} go from the ledger of {}, but for the {runs} of each",
        time(before),
        homes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    );
    if homes.is_empty() {
        return cx.printer.done("there is no pipeline whose runs could go\n");
    }
    cx.printer.confirm(&what, cx.global.yes)?;
    for (name, ledger) in homes {
        let gone = ledger.map_or(Ok(0), |mut ledger| ledger.prune_runs(&name, before, keep))?;
        if cx.printer.json() {
            cx.printer.object(&json!({"pipeline": name, "runs": gone}))?;
        } else {
            cx.printer
                .text(&format!("{name}: {} taken out of the ledger\n", wording::agree(gone, "run", "was", "were")))?;
        }
    }
    Ok(())
}

fn import(cx: &Context, keepers: &Keepers, file: &Path) -> Result<()> {
    let states = state_file::read(&read(file)?).map_err(|e| e.in_file(file))?;
    // Every name is looked up before any state is written.
    let homes = states.iter().map(|e| keepers.of(&e.pipeline)).collect::<Result<Vec<_>>>()?;
    let mut replaced = Vec::new();
    for (Exported { pipeline, .. }, keeper) in states.iter().zip(&homes) {
        // State may be moved to a database that does not exist yet. Opening a session makes it.
        drop(keeper.destination.open(pipeline, "state import", Some(Duration::ZERO), &cx.stop)?);
        let ledger = keeper.destination.ledger()?;
        let known = ledger.state(pipeline)?.is_some_and(|s| s != State { token: s.token, ..State::default() });
        if known || !ledger.memories(pipeline)?.is_empty() || !ledger.intervals(pipeline)?.is_empty() {
            replaced.push(pipeline.as_str());
        }
    }
    if !replaced.is_empty() {
        cx.printer.confirm(&format!("the state of {} is replaced", replaced.join(", ")), cx.global.yes)?;
    }
    for (done, (exported, keeper)) in states.iter().zip(homes).enumerate() {
        let Exported { pipeline: name, state, remembered, intervals } = exported;
        let change = StateChange::Import { state, memories: remembered, intervals };
        let result = keeper.destination.ledger().and_then(|mut ledger| ledger.change_state(name, change));
        result.map_err(|e| {
            e.state(format!("{done} of {} imported", wording::agree(states.len() as u64, "state", "was", "were")))
        })?;
        if cx.printer.json() {
            cx.printer.object(&json!({"pipeline": name, "imported": true}))?;
        } else {
            cx.printer.done(&format!("{name}: imported\n"))?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|e| {
        Error::new(Code::BadArgument, "the exported state cannot be read")
            .in_file(file)
            .state("nothing was changed")
            .cause(e)
    })
}

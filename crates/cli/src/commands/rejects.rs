//! `rejects`: rows that could not be loaded.

use super::{Context, Failure, replay};
use crate::{
    args::{RejectsArgs, RejectsCommand},
    keepers::Keepers,
    render::{json, layout, terminal},
};
use floodmark_connect::destination::KeptReject;
use floodmark_core::{Code, Error, Result};
use std::collections::BTreeMap;

/// `floodmark rejects`
pub(super) fn rejects(cx: &Context, args: &RejectsArgs) -> Result<u8, Failure> {
    let keepers = Keepers::open(&cx.global, &args.store)?;
    match &args.command {
        RejectsCommand::List { name } => list(cx, &keepers, name.as_deref())?,
        RejectsCommand::Show { id, pipeline } => show(cx, &keepers, *id, pipeline.as_deref())?,
        RejectsCommand::Replay { name } => return replay::replay(cx, &keepers, name),
        RejectsCommand::Drop { all: Some(name), .. } => {
            let kept = of(&keepers, name)?.iter().map(|k| k.id).collect();
            drop_some(cx, &keepers, &BTreeMap::from([(name.clone(), kept)]))?;
        }
        RejectsCommand::Drop { ids, pipeline, all: None } => {
            // By pipeline, since its lock is taken for it.
            let mut by_pipeline: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            for id in ids {
                let kept = find(&keepers, *id, pipeline.as_deref(), "drop")?;
                by_pipeline.entry(kept.pipeline).or_default().push(kept.id);
            }
            drop_some(cx, &keepers, &by_pipeline)?;
        }
    }
    Ok(0)
}

fn list(cx: &Context, keepers: &Keepers, name: Option<&str>) -> Result<()> {
    let mut kept = Vec::new();
    match name {
        Some(name) => {
            let keeper = keepers.of(name)?;
            if let Some(ledger) = keeper.ledger()? {
                for name in keeper.meant(name, Some(ledger.as_ref()))? {
                    kept.extend(ledger.rejects(Some(&name))?);
                }
            }
        }
        None => {
            for ledger in keepers.ledgers()? {
                kept.extend(ledger.rejects(None)?);
            }
        }
    }
    if cx.printer.json() {
        return kept.iter().try_for_each(|k| cx.printer.object(&json::reject(k)));
    }
    if kept.is_empty() {
        keepers.tell_missing(&cx.printer);
        cx.printer.note("No rejected rows.");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = kept
        .iter()
        .map(|k| {
            let place = format!("{}:{}", k.reject.slice, k.reject.line);
            let column = k.reject.column.clone().unwrap_or_default();
            vec![k.id.to_string(), k.pipeline.clone(), place, column, k.reject.reason.clone()]
        })
        .collect();
    cx.printer.text(&layout::table(&["ID", "PIPELINE", "PLACE", "COLUMN", "REASON"], &rows, 4))
}

fn show(cx: &Context, keepers: &Keepers, id: i64, pipeline: Option<&str>) -> Result<()> {
    let kept = find(keepers, id, pipeline, "show")?;
    if cx.printer.json() {
        return cx.printer.object(&json::reject(&kept));
    }
    let mut facts = vec![
        ("id", kept.id.to_string()),
        ("pipeline", kept.pipeline),
        ("run", kept.run),
        ("place", format!("{}:{}", kept.reject.slice, kept.reject.line)),
    ];
    facts.extend(kept.reject.column.map(|column| ("column", column)));
    facts.push(("reason", kept.reject.reason));
    cx.printer.text(&(layout::facts(&facts) + &layout::whole("row", &kept.reject.raw, "pipeline".len())))
}

fn drop_some(cx: &Context, keepers: &Keepers, by_pipeline: &BTreeMap<String, Vec<i64>>) -> Result<()> {
    let count = by_pipeline.values().map(Vec::len).sum::<usize>() as u64;
    if count > 0 {
        cx.printer
            .confirm(&format!("{} will be dropped for good", terminal::count(count, "rejected row")), cx.global.yes)?;
    }
    let mut dropped = 0;
    for (pipeline, ids) in by_pipeline {
        dropped += keepers.of(pipeline)?.destination.ledger()?.drop_rejects(pipeline, ids)?;
    }
    if cx.printer.json() {
        return cx.printer.object(&serde_json::json!({"dropped": dropped}));
    }
    cx.printer.done(&format!("dropped {dropped} of {}\n", terminal::count(count, "rejected row")))
}

/// A pipeline's rejects.
pub(super) fn of(keepers: &Keepers, name: &str) -> Result<Vec<KeptReject>> {
    keepers.of_one(name)?.ledger()?.map_or(Ok(Vec::new()), |ledger| ledger.rejects(Some(name)))
}

/// The reject of that number. A database has numbers of its own, and in a lake every pipeline does: one that several have is no
/// answer. `doing`: the command that is told how to say which.
fn find(keepers: &Keepers, id: i64, pipeline: Option<&str>, doing: &str) -> Result<KeptReject> {
    let mut found = match pipeline {
        Some(name) => of(keepers, name)?,
        None => {
            let rejects = keepers.ledgers()?.into_iter().map(|ledger| ledger.rejects(None));
            rejects.collect::<Result<Vec<_>>>()?.concat()
        }
    };
    found.retain(|kept| kept.id == id);
    match found.as_slice() {
        [] => {
            let whose = pipeline.map(|name| format!("pipeline {name:?} has")).unwrap_or("there is".into());
            Err(Error::new(Code::BadArgument, format!("{whose} no rejected row {id}"))
                .help("`floodmark rejects list` lists them with their numbers"))
        }
        [_] => Ok(found.swap_remove(0)),
        [first, second, ..] if first.pipeline == second.pipeline => {
            let what = format!("pipeline {:?} has a rejected row {id} in several databases", first.pipeline);
            Err(Error::new(Code::BadArgument, what).help("name the database with --destination URL"))
        }
        [first, ..] => {
            let names: Vec<&str> = found.iter().map(|kept| kept.pipeline.as_str()).collect();
            let what = format!("several pipelines have a rejected row {id}: {}", names.join(", "));
            // Where there is a pipeline file, it says where they are.
            let at = if keepers.project.is_some() { "" } else { " --destination URL" };
            let say = format!("say which: floodmark rejects {doing} {id} --pipeline {}{at}", first.pipeline);
            Err(Error::new(Code::BadArgument, what).help(say))
        }
    }
}

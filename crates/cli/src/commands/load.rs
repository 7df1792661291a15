//! `load`: a pipeline from the command line, or one for each of several tables.

use super::{
    Context, Failure,
    run::{self, Runner},
};
use crate::{
    args::LoadArgs,
    env,
    render::Told,
    work::{self, Work},
};
use floodmark_config::{
    PIPELINE_FLAG, SOURCE_FLAG, SOURCE_TABLE_FLAG, SOURCE_TABLES_FLAG, SOURCE_URL_FLAG, TABLE_FLAG, URL_FLAG,
};
use floodmark_connect::Source;
use floodmark_core::{Code, Error, clock::SystemClock, pipeline::STDIN, url::holds_tables};
use floodmark_engine::RunOptions;
use std::{path::Path, sync::Arc};

/// `floodmark load`
pub(super) fn load(cx: &Context, args: &LoadArgs) -> Result<u8, Failure> {
    let given = |flag: &str| args.fields.iter().find(|(name, _)| *name == flag).map(|(_, value)| value);
    if given(SOURCE_TABLES_FLAG).is_some() {
        return load_tables(cx, args);
    }
    let database = args.sources.iter().any(|s| is_database(s));
    let table = match (&args.table, given(SOURCE_TABLE_FLAG)) {
        (Some(table), _) => table.clone(),
        (None, Some(table)) => table.rsplit('.').next().unwrap_or(table).to_owned(),
        (None, None) => table_of(&args.sources)?,
    };
    let source = if database { SOURCE_URL_FLAG } else { SOURCE_FLAG };
    let mut flags: Vec<(&str, String)> = args.sources.iter().map(|s| (source, s.clone())).collect();
    if database && given(SOURCE_TABLE_FLAG).or(given("query")).is_none() {
        flags.push((SOURCE_TABLE_FLAG, table.clone()));
    }
    flags.extend([(URL_FLAG, args.destination.clone()), (TABLE_FLAG, table)]);
    flags.extend(args.pipeline.clone().map(|name| (PIPELINE_FLAG, name)));
    flags.extend(args.fields.iter().cloned());
    let pipeline = floodmark_config::from_flags(&flags, &env::lookup)?;
    run_all(cx, args, vec![Work::of(pipeline)])
}

/// The same for rows that another program hands over.
pub(crate) fn handed(
    cx: &Context,
    rows: &str,
    source: &dyn Source,
    settings: &[(&str, String)],
    options: &RunOptions,
) -> Result<u8, Failure> {
    let pipeline = floodmark_config::from_handed(rows, settings, &env::lookup)?;
    let runner = Runner::start(cx, &[&pipeline.name], Told::AsFlags, Arc::new(SystemClock), run::Hearers::TRACED)?;
    let outcome = runner.run_handed(cx, source, pipeline, options)?;
    Ok(run::exit_code(&outcome))
}

/// Several tables of a database, each as a line of its own would load it.
fn load_tables(cx: &Context, args: &LoadArgs) -> Result<u8, Failure> {
    let source = if args.sources.iter().all(|s| is_database(s)) { SOURCE_URL_FLAG } else { SOURCE_FLAG };
    let mut flags: Vec<(&str, String)> = args.sources.iter().map(|s| (source, s.clone())).collect();
    flags.push((URL_FLAG, args.destination.clone()));
    flags.extend(args.table.clone().map(|table| (TABLE_FLAG, table)));
    flags.extend(args.pipeline.clone().map(|name| (PIPELINE_FLAG, name)));
    flags.extend(args.fields.iter().cloned());
    let family = floodmark_config::family_from_flags(&flags, &env::lookup)?;
    let (_, members) = work::over_tables(&family, &cx.printer)?;
    run_all(cx, args, Work::all(members))
}

fn run_all(cx: &Context, args: &LoadArgs, works: Vec<Work>) -> Result<u8, Failure> {
    if args.full_refresh {
        run::confirm_refresh(cx, &works)?;
    }
    let options = RunOptions { wait: args.wait.time(), full_refresh: args.full_refresh, ..RunOptions::default() };
    run::run_all(
        cx,
        works,
        &options,
        usize::from(args.jobs),
        Told::AsFlags,
        Arc::new(SystemClock),
        run::Hearers::TRACED,
    )
}

/// Whether a source is a connection URL. A path may hold a colon, too.
fn is_database(source: &str) -> bool {
    source.split_once(':').is_some_and(|(scheme, _)| holds_tables(scheme))
}

/// The table's name where none is given: the file's name up to its first dot. State is kept under it, so it must not
/// depend on which files a pattern happens to match today.
fn table_of(sources: &[String]) -> Result<String, Error> {
    let unnamed =
        |why: &str| Error::new(Code::BadArgument, format!("no table is named, and {why}")).state("nothing was done");
    let unclear = |why: &str| unnamed(why).help("name it with --table NAME");
    let [source] = sources else { return Err(unclear("several files do not suggest one")) };
    if is_database(source) {
        return Err(unnamed(&format!("{source:?} does not suggest one"))
            .help("say which is read with --source-table NAME, or all with --source-tables '*'"));
    }
    if source == STDIN {
        return Err(unclear("standard input has no name to take one from"));
    }
    let name = Path::new(source).file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let stem = name.trim_start_matches('.').split('.').next().unwrap_or_default();
    if stem.is_empty() || stem.contains(['*', '?', '[']) {
        return Err(unclear(&format!("{source:?} does not suggest one")));
    }
    Ok(stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_names_the_table() {
        let table = |s: &[&str]| table_of(&s.iter().map(ToString::to_string).collect::<Vec<_>>()).ok();
        assert_eq!(table(&["data/orders.csv"]).as_deref(), Some("orders"));
        assert_eq!(table(&["orders.jsonl.gz"]).as_deref(), Some("orders"));
        for unclear in [&["-"][..], &["orders-*.csv"], &["a.csv", "b.csv"], &[".."], &["[ab].csv"]] {
            assert_eq!(table(unclear), None, "{unclear:?}");
        }
    }
}

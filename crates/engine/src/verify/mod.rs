//! What a pipeline's table holds, held against what it should hold.
//!
//! What it should hold is what the source holds as far as it was loaded: up to the stored watermark, and out of the files of
//! the ledger. Where a row of the table is a row of a table of the source ([`plain`]) the two are compared as they are. Else
//! the pipeline itself says what the source makes: it is loaded from its beginning into a database in a temporary folder, and
//! that table is compared.

mod boundary;
mod closed;
mod columns;
mod expected;
mod filled;
mod late;
mod met;
mod plain;

pub(crate) use filled::Filled;
use late::AtMark;
pub use late::Late;
pub(crate) use late::decoded;

use crate::{
    diff::{By, Candidate, Comparison, Paired, Report, Sampling, SideSpec},
    registry,
    run::Engine,
};
use boundary::Boundary;
use closed::Closed;
use expected::Expected;
use floodmark_connect::{Range, Stop};
use floodmark_core::{
    Code, Error, Result, Value,
    event::Event,
    pipeline::{CursorNulls, DatabaseSource, Deletes, Load, Pipeline, Relation, SourceSpec},
    state::{Mark, State},
    url::is_lake,
    watermark::Bounds,
    wording,
};
use std::path::Path;

/// How often it is begun again because a run committed meanwhile.
const TRIES: u32 = 3;

/// Columns that Floodmark keeps of a row beside its content.
fn control(pipeline: &Pipeline) -> &'static [&'static str] {
    match (pipeline.load, pipeline.deletes) {
        (Load::Scd2, _) => &["valid_from", "valid_to", "is_current"],
        (_, Deletes::Soft) => &["is_deleted"],
        _ => &[],
    }
}

/// What is asked of a verification.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Only these columns beside the key.
    pub columns: Option<Vec<String>>,
    /// Only rows for which a condition holds, in the SQL of the databases.
    pub condition: Option<String>,
    /// What rows are parted by.
    pub by: Option<By>,
    /// Only a share of the segments.
    pub sampling: Option<Sampling>,
    /// How many rows that differ are kept.
    pub limit: usize,
    /// Whether it is told how late rows came that are missing.
    pub late: bool,
    /// Whether rows count that lie before where runs began: one that the source holds there is no extra one in the table, and
    /// is none that is missing.
    pub whole: bool,
    /// The folder in which what should be there is made, in a folder of its own that is gone afterwards.
    pub scratch: &'a Path,
}

/// How it was found out what the table should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the source's table as it is.
    Direct,
    /// By loading the pipeline from its beginning.
    Loaded,
}

/// What was found.
#[derive(Debug)]
pub struct Verification {
    /// The pipeline.
    pub pipeline: String,
    /// Source and table.
    pub report: Report,
    /// How.
    pub way: Way,
    /// Up to where rows were compared: the watermark's column and value.
    pub watermark: Option<(String, String)>,
    /// Rows of the source that the next run reads: they are missing, and no difference.
    pub not_loaded: u64,
    /// Rows of the source that no run reads, since they lie in a gap between backfills: they are missing, and no difference.
    pub gaps: u64,
    /// Rows that are missing or old because they came, or changed, behind the watermark.
    pub late: Option<Late>,
    /// Columns that the pipeline loads and the table lacks, by the table's names.
    pub lacking: Vec<String>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Verification {
    /// Whether the table holds something else than it should. A column that the table alone has is its owner's, or has gone
    /// from the source, and stays.
    pub fn differs(&self) -> bool {
        let shape = &self.report.shape;
        let columns = self.lacking.len() + shape.incomparable.len() + shape.retyped.len();
        self.report.counts.all() > 0 || columns > 0
    }
}

impl Engine {
    /// Compares a pipeline's table with what it should hold. Nothing is changed.
    ///
    /// # Errors
    /// Where the pipeline was never loaded, or what it should hold cannot be told; that there are differences is none.
    pub fn verify(&self, pipeline: &Pipeline, request: &Request<'_>) -> Result<Verification> {
        let found = self.verified(pipeline, request);
        self.observer.observe(&Event::Finished { pipeline: pipeline.name.clone() });
        found.map_err(|error| error.or_state("nothing was changed"))
    }

    pub(crate) fn verified(&self, pipeline: &Pipeline, request: &Request<'_>) -> Result<Verification> {
        can_be_told(pipeline)?;
        let mut tries = 1;
        loop {
            self.stop.check()?;
            let before = state(pipeline)?;
            let mut found = self.ground(pipeline, request, &before)?.compare(self, request, &mut |_, _| {})?;
            let settled = !found.differs() || state(pipeline)?.updated_at == before.updated_at;
            if settled || tries == TRIES {
                if !settled {
                    found.notes.push(
                        "runs committed each time while the two were compared: some of what differs may be their work"
                            .into(),
                    );
                }
                return Ok(found);
            }
            tries += 1;
        }
    }

    /// The two, made ready to be compared.
    pub(crate) fn ground<'a>(
        &self,
        pipeline: &'a Pipeline,
        request: &Request<'_>,
        state: &'a State,
    ) -> Result<Ground<'a>> {
        let mark = state.watermark.as_ref().filter(|_| pipeline.watermark.is_some());
        let receipts = registry::destination(&pipeline.destination.url)?.ledger()?.intervals(&pipeline.name)?;
        let filled = Filled::of(pipeline, state, mark, &receipts, request.whole);
        let start = filled::start(pipeline, state);
        let whole = begun(pipeline, start.clone().filter(|_| filled.is_none()));
        let refused = plain::why_not(pipeline)?;
        let mut notes = Vec::new();
        let (way, expected) = match refused {
            None => (Way::Direct, None),
            Some(why) => {
                tracing::info!(
                    "{}: loaded from its beginning to know what the table should hold: {why}",
                    pipeline.name
                );
                let what = "what the table should hold, loaded from its beginning".to_owned();
                self.observer.observe(&Event::Trial { pipeline: pipeline.name.clone(), what });
                (Way::Loaded, Some(expected::load(self, &whole, state, &receipts, request.scratch, &mut notes)?))
            }
        };
        let by = if way == Way::Direct { Names::Source } else { Names::Table };
        let from = source_name(pipeline);
        let mut left = match &expected {
            None => side(&pipeline.source, from, false, pipeline, request)?,
            Some(expected) => side(&expected.source(), from, true, pipeline, request)?,
        };
        let into = format!("{}#{}", pipeline.destination.url.name(), pipeline.destination.table);
        let right = side(&table(pipeline), into, true, pipeline, request)?;
        if way == Way::Direct {
            left.types = crate::names::survey_request(pipeline, state.schema.as_ref()).pinned;
        }
        let hidden = pipeline.watermark.as_ref().is_some_and(|w| w.hidden);
        let mut beyond = None;
        if let (Some(mark), Some(spec)) = (mark, &pipeline.watermark) {
            let column = match by {
                Names::Source => crate::names::source_name(pipeline, &spec.column).to_owned(),
                Names::Table => spec.column.clone(),
            };
            let nulls = spec.nulls != CursorNulls::Exclude;
            let from = match &filled {
                None => start.as_ref().and_then(|start| Value::parse(start, mark.data_type)),
                Some(_) if request.whole => None,
                Some(filled) => filled.lowest(),
            };
            // What backfills loaded ahead of the watermark is compared, and what lies between is told apart row by row.
            let ahead = filled.as_ref().and_then(|filled| filled.ahead(&mark.value));
            let last = ahead.unwrap_or_else(|| mark.value.clone());
            // What has a row's number as its watermark is read again from there on, and nothing tells its rows otherwise.
            if !hidden && !filled.as_ref().is_some_and(Filled::aside) {
                // Where an interval begins it holds that value, whatever runs do at the `start`.
                let exclusive = spec.exclusive && filled.is_none();
                let bounds = Bounds { from, exclusive, until: Some(last.clone()), before: None };
                left.range = Some(Range { column: column.clone(), bounds, nulls });
            }
            let bounds = Bounds { from: Some(last), exclusive: !hidden, until: None, before: None };
            let beyond_range = Range { column, bounds, nulls: false };
            beyond = Some(beyond_range).filter(|_| left.range.is_some() || (hidden && way == Way::Direct));
        }
        let keyed = !pipeline.key.is_empty() && pipeline.load != Load::Append;
        // What is in the table is what came first, which the source may no longer hold.
        let keys_only = pipeline.load == Load::InsertOnly && request.columns.is_none();
        let left_name = move |name: &str| match by {
            Names::Source => crate::names::source_name(pipeline, name).to_owned(),
            Names::Table => name.to_owned(),
        };
        let comparison = Comparison {
            key: if keyed { pipeline.key.clone() } else { Vec::new() },
            columns: request
                .columns
                .clone()
                .or_else(|| (keys_only && filled.is_some()).then(Vec::new))
                .map(|columns| with_axes(pipeline, filled.as_ref(), columns)),
            by: request.by.clone(),
            sampling: request.sampling,
            limit: request.limit,
            left_name: Box::new(left_name),
            keeps: Box::new(|name| plain::keeps(pipeline, name)),
            ignored: control(pipeline),
            beyond,
            keys_only,
            made: state.schema.as_ref(),
            ..Comparison::new([left, right])
        };
        if state.pending.is_some() {
            notes.push("a load is unfinished: the next run goes on with it".into());
        }
        Ok(Ground { pipeline, comparison, way, keyed, mark, filled, start: start.is_some(), expected, notes })
    }
}

/// A pipeline's table and what it should hold, to be compared.
pub(crate) struct Ground<'a> {
    pipeline: &'a Pipeline,
    pub(crate) comparison: Comparison<'a>,
    pub(crate) way: Way,
    /// Rows are known by a key.
    pub(crate) keyed: bool,
    mark: Option<&'a Mark>,
    pub(crate) filled: Option<Filled>,
    /// Runs began somewhere, and not with all there was.
    pub(crate) start: bool,
    /// Where the pipeline was loaded to; gone with this.
    pub(crate) expected: Option<Expected>,
    notes: Vec<String>,
}

impl Ground<'_> {
    /// Compares the two. `note` is told of every row that differs.
    pub(crate) fn compare(
        &self,
        engine: &Engine,
        request: &Request<'_>,
        note: &mut dyn FnMut(&Paired, &Candidate<'_>),
    ) -> Result<Verification> {
        let (filled, keys_only) = (self.filled.as_ref(), self.comparison.keys_only);
        let mut late = late::Finder::new(self.pipeline, self.mark, filled, keys_only, self.at_mark(&engine.stop));
        let report = engine.judged(&self.comparison, &mut |paired, candidate| {
            let differs = late.judge(paired, candidate);
            if differs {
                note(paired, candidate);
            }
            differs
        })?;
        late.done()?;
        let not_loaded = report.beyond + late.found.waiting;
        let changed_since = report.changed_since + late.found.moved;
        let lacking = columns::lacking(self.pipeline, self.comparison.made, self.way, &report.shape);
        let mut notes = self.notes.clone();
        notes.extend(columns::remedies(self.pipeline, &lacking, &report.shape));
        if late.found.closed > 0 {
            notes.push(format!(
                "{} missing whose history ends at the watermark or behind it, and no run or repair opens it again: floodmark run {} \
                 --full-refresh makes the histories anew",
                wording::agree(late.found.closed, "row", "is", "are"),
                self.pipeline.name
            ));
        }
        Ok(Verification {
            pipeline: self.pipeline.name.clone(),
            not_loaded: not_loaded.saturating_sub(if self.keyed { report.changed_since } else { 0 }),
            watermark: self.mark.map(|m| (m.column.clone(), m.value.to_string())),
            gaps: late.found.gaps,
            late: request.late.then(|| late.late()).flatten(),
            report: Report { changed_since, ..report },
            way: self.way,
            lacking,
            notes,
        })
    }

    /// What becomes of rows at the watermark that the table lacks.
    fn at_mark<'g>(&'g self, stop: &'g Stop) -> AtMark<'g> {
        let pipeline = self.pipeline;
        let again = pipeline.watermark.as_ref().is_some_and(|w| !w.exclusive || w.lookback.is_some());
        let (Some(mark), Some(cursor), true) = (self.mark, pipeline.cursor(), again) else { return AtMark::Passed };
        match (pipeline.load, self.comparison.made, &self.expected) {
            (Load::Append, Some(loaded), _) => {
                let (source, left_name) = (self.comparison.sides[0].source.as_ref(), &self.comparison.left_name);
                AtMark::Known(Boundary::new(pipeline, mark, loaded, source, left_name, stop))
            }
            // A file that has not changed since it was loaded is not opened again.
            (_, _, Some(expected)) if pipeline.source.files().is_some() && !expected.changed => AtMark::Passed,
            (Load::Scd2, ..) if pipeline.version.as_ref() == Some(&cursor.column) => {
                AtMark::Open(Closed::new(pipeline, mark, stop))
            }
            _ => AtMark::Comes,
        }
    }
}

/// Refuses pipelines of which nothing says what the table should hold.
pub(crate) fn can_be_told(pipeline: &Pipeline) -> Result<()> {
    if pipeline.source.reads_stdin() {
        return Err(unverified("standard input is read by now, and there is nothing to compare the table with")
            .help("write it to a file, and name that as the source"));
    }
    let by_version = pipeline.watermark.as_ref().is_some_and(|watermark| watermark.column == "delta_version");
    if by_version && matches!(&pipeline.source, SourceSpec::Database(source) if is_lake(source.url.scheme())) {
        return Err(unverified(
            "the rows of a lake's table do not say which version brought them, once they are read again",
        )
        .help("compare the two tables: floodmark diff LAKE#TABLE DESTINATION#TABLE --key COLUMN"));
    }
    if pipeline.at_least_once {
        return Err(unverified(
            "`append: at_least_once` adds the rows again on every run: nothing says what the table should hold",
        )
        .help("leave out `append: at_least_once`: without it every row is added once"));
    }
    Ok(())
}

/// As its runs began, or from anywhere: what backfills loaded may lie before that.
fn begun(pipeline: &Pipeline, start: Option<String>) -> Pipeline {
    let mut pipeline = pipeline.clone();
    pipeline.watermark.iter_mut().for_each(|spec| spec.start.clone_from(&start));
    pipeline
}

/// Whose names a column of the first goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Source,
    Table,
}

/// The columns along which rows are loaded are compared in any case: by them a row is known to be late, or of a later run.
fn with_axes(pipeline: &Pipeline, filled: Option<&Filled>, mut columns: Vec<String>) -> Vec<String> {
    let axes = filled.iter().flat_map(|filled| filled.axes()).map(|axis| &axis.column);
    for column in pipeline.cursor().map(|cursor| &cursor.column).into_iter().chain(axes) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
}

/// What is remembered of the pipeline.
pub(crate) fn state(pipeline: &Pipeline) -> Result<State> {
    let destination = registry::destination(&pipeline.destination.url)?;
    let known = if destination.exists() { destination.ledger()?.state(&pipeline.name)? } else { None };
    let loaded =
        known.filter(|state| state.schema.is_some() && state.table.as_ref() == Some(&pipeline.destination.table));
    loaded.ok_or_else(|| {
        unverified(&format!("{:?} was never loaded into {:?}", pipeline.name, pipeline.destination.table))
            .help(format!("load it: floodmark run {}", pipeline.name))
            .help("two tables that no pipeline joins are compared by `floodmark diff`")
    })
}

pub(crate) fn unverified(message: &str) -> Error {
    Error::new(Code::Unverified, message).state("nothing was changed")
}

/// The pipeline's table, as a source.
fn table(pipeline: &Pipeline) -> SourceSpec {
    let relation = Relation::Table(pipeline.destination.table.clone());
    SourceSpec::Database(DatabaseSource { url: pipeline.destination.url.clone(), relation, readers: 1 })
}

/// A side, without the rows that are not in force. `marked`: it is a table that Floodmark made, with marks on such rows.
fn side(spec: &SourceSpec, name: String, marked: bool, pipeline: &Pipeline, request: &Request<'_>) -> Result<SideSpec> {
    let history = (marked && pipeline.load == Load::Scd2).then_some("is_current");
    let deleted = (marked && pipeline.deletes == Deletes::Soft && pipeline.load != Load::Scd2)
        .then_some("is_deleted IS NULL OR NOT is_deleted");
    let conditions: Vec<String> = request
        .condition
        .as_deref()
        .into_iter()
        .chain(history)
        .chain(deleted)
        .map(|condition| format!("({condition}\n)"))
        .collect();
    let condition = (!conditions.is_empty()).then(|| conditions.join(" AND "));
    SideSpec::of(name, spec, condition, request.condition.as_deref())
}

/// Rows of a table that Floodmark made that are not in force, or no others than these.
pub(crate) fn apart(spec: &SourceSpec, condition: &str) -> Result<SideSpec> {
    SideSpec::of(String::new(), spec, Some(condition.to_owned()), None)
}

/// What the source is called.
fn source_name(pipeline: &Pipeline) -> String {
    match &pipeline.source {
        SourceSpec::Files(files) => files.patterns.join(", "),
        SourceSpec::Database(DatabaseSource { url, relation: Relation::Table(table), .. }) => {
            format!("{}#{table}", url.name())
        }
        SourceSpec::Database(DatabaseSource { url, .. }) => format!("a query of {url}"),
        SourceSpec::Handed(name) => name.clone(),
    }
}

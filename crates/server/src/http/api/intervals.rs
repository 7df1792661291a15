//! What of a pipeline's history is in.

use super::{
    ApiError,
    page::{Asked, ByNumber, Limit, Numbered, Within, cut},
};
use crate::{
    at::At,
    http::{App, books},
};
use axum::{Json, extract::State};
use floodmark_core::{interval::Interval, state::IntervalEntry};
use serde::Serialize;
use utoipa::ToSchema;

/// Gaps that are told one by one.
const GAPS: usize = 1000;

/// A part of an axis; its end is not of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RangeView {
    from: String,
    to: String,
}

impl From<&Interval> for RangeView {
    fn from(interval: &Interval) -> Self {
        RangeView { from: interval.from.to_string(), to: interval.until.to_string() }
    }
}

/// What of a pipeline's axis is in.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct CoverageView {
    pipeline: String,
    /// The column along which it goes; null where the pipeline has none.
    column: Option<String>,
    /// Its type; null where nothing was loaded yet.
    r#type: Option<String>,
    /// Where its runs began; null where that is the beginning.
    start: Option<String>,
    /// How far its runs are, where the axis is that of the watermark.
    watermark: Option<String>,
    /// From the lowest to the highest that is known; null where nothing is.
    range: Option<RangeView>,
    /// What of that range neither a backfill nor a run has loaded; the first 1,000 parts.
    missing: Vec<RangeView>,
    /// How many parts are missing.
    gaps: usize,
}

/// What of a pipeline's axis is in, and what is missing.
#[utoipa::path(get, path = "/pipelines/{name}/coverage", params(("name" = String, Path)), responses((status = 200, body = CoverageView)))]
pub(super) async fn coverage(
    State(app): State<App>,
    Within(name): Within<String>,
) -> Result<Json<CoverageView>, ApiError> {
    let covered = books::of(&app, &name, |pipeline, ledger| {
        // A pipeline without a column to go along has nothing to be told.
        let Ok(covered) = floodmark_engine::Coverage::read(pipeline, None, ledger) else { return Ok(None) };
        let grid = books::grid(&covered)?;
        Ok(Some((covered, grid)))
    });
    let Some((covered, grid)) = covered.await? else {
        return Ok(Json(CoverageView { pipeline: name, ..CoverageView::default() }));
    };
    let missing = grid.as_ref().map(|grid| grid.missing.as_slice()).unwrap_or_default();
    Ok(Json(CoverageView {
        pipeline: name,
        r#type: covered.axis.as_ref().map(|axis| axis.data_type.to_string()),
        start: covered.start,
        watermark: covered.watermark.as_ref().map(ToString::to_string),
        range: grid.as_ref().map(|grid| (&grid.range).into()),
        missing: missing.iter().take(GAPS).map(RangeView::from).collect(),
        gaps: missing.len(),
        column: Some(covered.column),
    }))
}

/// The receipt of an interval that a backfill loaded; keys as `floodmark runs ID` prints them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IntervalView {
    column: String,
    from: String,
    /// Not of it any more.
    to: String,
    /// Rows of the source that lie in it.
    rows: u64,
    /// The highest value among them.
    highest: Option<String>,
    /// Whether that was all there will be.
    settled: bool,
    /// The run that loaded it.
    run: String,
    loaded_at: At,
}

impl From<&IntervalEntry> for IntervalView {
    fn from(entry: &IntervalEntry) -> Self {
        IntervalView {
            column: entry.column.clone(),
            from: entry.interval.from.to_string(),
            to: entry.interval.until.to_string(),
            rows: entry.rows,
            highest: entry.highest.as_ref().map(ToString::to_string),
            settled: entry.settled,
            run: entry.run.clone(),
            loaded_at: At(entry.loaded_at),
        }
    }
}

/// Receipts of intervals that backfills loaded, along their columns in order.
#[utoipa::path(get, path = "/pipelines/{name}/intervals", params(("name" = String, Path), ByNumber), responses((status = 200, body = Numbered<IntervalView>)))]
pub(super) async fn intervals(
    State(app): State<App>,
    Within(name): Within<String>,
    Asked(which): Asked<ByNumber>,
) -> Result<Json<Numbered<IntervalView>>, ApiError> {
    // Their numbers are their places.
    let skipped = which.behind();
    let skip = usize::try_from(skipped).unwrap_or(usize::MAX);
    let limit = Limit::of(which.limit);
    let mut all = books::of(&app, &name, |pipeline, ledger| ledger.intervals(&pipeline.name)).await?;
    let total = all.len() as u64;
    all.sort_by(|a, b| {
        let along = || a.interval.from.compare(&b.interval.from).unwrap_or(std::cmp::Ordering::Equal);
        a.column.cmp(&b.column).then_with(along)
    });
    let mut items: Vec<(i64, IntervalEntry)> =
        all.into_iter().skip(skip).take(limit + 1).zip(skipped..).map(|(entry, at)| (at + 1, entry)).collect();
    let next = cut(&mut items, limit, |(at, _)| *at);
    Ok(Json(Numbered { items: items.iter().map(|(_, entry)| entry.into()).collect(), next, total }))
}

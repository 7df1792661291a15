//! What a destination remembers of a pipeline: where it stands, its files, its columns.

use super::{
    ApiError,
    page::{Asked, Limit, Page, Within, cut},
};
use crate::{
    at::At,
    http::{App, books, view::WatermarkView},
};
use axum::{Json, extract::State};
use floodmark_core::{
    reshaping::{Reshaping, Step},
    schema::Column,
    state::{FileEntry, State as Remembered},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// What is remembered of a pipeline; keys as `floodmark state show` prints them.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct StateView {
    pipeline: String,
    /// Whether it ever ran.
    known: bool,
    table: Option<String>,
    watermark: Option<WatermarkView>,
    /// How far a load came that is not complete.
    pending: Option<WatermarkView>,
    /// How many files are remembered; `…/files` has them.
    files: usize,
    /// Of how many of these some rows are not in.
    unfinished: usize,
    /// Columns of its table; `…/schema` has them.
    columns: usize,
    /// Kept rejects.
    rejects: u64,
    /// Raised whenever the pipeline's lock is taken.
    token: Option<i64>,
    updated_at: Option<At>,
}

/// What is remembered of a pipeline.
#[utoipa::path(get, path = "/pipelines/{name}/state", params(("name" = String, Path)), responses((status = 200, body = StateView)))]
pub(super) async fn state(State(app): State<App>, Within(name): Within<String>) -> Result<Json<StateView>, ApiError> {
    let read = books::of(&app, &name, |pipeline, ledger| {
        Ok((ledger.state(&pipeline.name)?, ledger.count_rejects(&pipeline.name)?))
    });
    let (Some(state), rejects) = read.await? else {
        return Ok(Json(StateView { pipeline: name, ..StateView::default() }));
    };
    Ok(Json(StateView {
        pipeline: name,
        known: true,
        watermark: state.watermark.as_ref().map(WatermarkView::from),
        pending: state.pending.as_ref().map(WatermarkView::from),
        files: state.files.len(),
        unfinished: state.files.values().filter(|file| !file.complete).count(),
        columns: state.schema.as_ref().map_or(0, |schema| schema.columns.len()),
        rejects,
        token: Some(state.token),
        updated_at: state.updated_at.map(At),
        table: state.table,
    }))
}

/// A file that is remembered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileView {
    name: String,
    /// In bytes, when it was read.
    size: u64,
    /// Rows of it that are in.
    rows: u64,
    /// Whether that is all of them.
    complete: bool,
}

/// Which files.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// So many at most; 50 where nothing is said.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 1000)]
    limit: Option<Limit>,
    /// Those behind this one: `next` of the page before.
    after: Option<String>,
}

/// Files that are remembered of a pipeline, by name.
#[utoipa::path(get, path = "/pipelines/{name}/files", params(("name" = String, Path), Which), responses((status = 200, body = Page<FileView>)))]
pub(super) async fn files(
    State(app): State<App>,
    Within(name): Within<String>,
    Asked(which): Asked<Which>,
) -> Result<Json<Page<FileView>>, ApiError> {
    let state = books::of(&app, &name, |pipeline, ledger| ledger.state(&pipeline.name)).await?.unwrap_or_default();
    let behind = |name: &str| which.after.as_deref().is_none_or(|after| name > after);
    let mut files: Vec<(String, FileEntry)> =
        Arc::unwrap_or_clone(state.files).into_iter().filter(|(name, _)| behind(name)).collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    let next = cut(&mut files, Limit::of(which.limit), |(name, _)| name.clone());
    let view = |(name, file): (String, FileEntry)| FileView {
        name,
        size: file.size,
        rows: file.rows,
        complete: file.complete,
    };
    Ok(Json(Page { items: files.into_iter().map(view).collect(), next }))
}

/// A column.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ColumnView {
    name: String,
    r#type: String,
    /// No value was seen yet, so its type may still change.
    undecided: bool,
}

impl From<&Column> for ColumnView {
    fn from(column: &Column) -> Self {
        ColumnView { name: column.name.clone(), r#type: column.data_type.to_string(), undecided: column.undecided }
    }
}

/// What became of a column.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeKind {
    /// It is new.
    Added,
    /// It has another type.
    Retyped,
    /// Its first value said what type it has.
    Decided,
    /// It is no column of the table any more.
    Removed,
}

/// A change of a column.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangeView {
    at: At,
    /// The run that made it.
    run: String,
    column: String,
    kind: ChangeKind,
    /// Its type before; null of one that is new.
    from: Option<String>,
    /// Its type since; null of one that is gone.
    to: Option<String>,
}

/// Columns of a pipeline's table, and how they changed.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct SchemaView {
    pipeline: String,
    table: Option<String>,
    columns: Vec<ColumnView>,
    /// The source's columns, where a `transform` stands between.
    source_columns: Option<Vec<ColumnView>>,
    /// When they changed last; null where they are those of the first load.
    changed_at: Option<At>,
    /// Newest first. Changes of before they were noted are not among them, nor are those beyond the newest 50 loads that made
    /// any.
    changes: Vec<ChangeView>,
}

/// Columns of a pipeline's table, and how they changed since its first load.
#[utoipa::path(get, path = "/pipelines/{name}/schema", params(("name" = String, Path)), responses((status = 200, body = SchemaView)))]
pub(super) async fn schema(State(app): State<App>, Within(name): Within<String>) -> Result<Json<SchemaView>, ApiError> {
    let state = books::of(&app, &name, |pipeline, ledger| ledger.state(&pipeline.name)).await?;
    Ok(Json(view(name, state.unwrap_or_default())))
}

fn view(pipeline: String, state: Remembered) -> SchemaView {
    let columns = |schema: &floodmark_core::Schema| schema.columns.iter().map(ColumnView::from).collect();
    let (changed_at, history) = books::reshaped(&state);
    SchemaView {
        pipeline,
        columns: state.schema.as_ref().map(columns).unwrap_or_default(),
        source_columns: state.source_schema.as_ref().map(columns),
        changed_at: changed_at.map(At),
        changes: history.iter().rev().flat_map(|one| one.steps.iter().map(|step| change(one, step))).collect(),
        table: state.table,
    }
}

fn change(reshaping: &Reshaping, step: &Step) -> ChangeView {
    let (column, kind, from, to) = match step {
        Step::Added { column, data_type } => (column, ChangeKind::Added, None, Some(data_type)),
        Step::Retyped { column, from, to } => (column, ChangeKind::Retyped, Some(from), Some(to)),
        Step::Decided { column, data_type } => (column, ChangeKind::Decided, None, Some(data_type)),
        Step::Removed { column } => (column, ChangeKind::Removed, None, None),
    };
    ChangeView {
        at: At(reshaping.at),
        run: reshaping.run.clone(),
        column: column.clone(),
        kind,
        from: from.map(ToString::to_string),
        to: to.map(ToString::to_string),
    }
}

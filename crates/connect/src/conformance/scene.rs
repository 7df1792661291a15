//! A small pipeline with hand-made rows, and what is needed to load them without an engine.

use super::mark;
use crate::{
    Chunk, Destination, LoadPlan, Session, ShapedBatch, Stop, Target,
    destination::{Transaction, Within},
};
use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray};
use chrono::DateTime;
use floodmark_core::{
    Counts, DataType, Error, Result, Schema,
    commits::Commits,
    interval::Interval,
    pipeline::{
        AbsentRows, COMMIT_EVERY, ChangedFiles, CsvOptions, Deletes, DestinationSpec, FileSource, Load, MAX_ROW_BYTES,
        OnBadRow, OnNull, Pipeline, SchemaPolicy, SourceSpec,
    },
    schema::Change,
    state::{BoundaryChange, Commit, IntervalEntry, Lineage, Reject, RunRecord, Settings},
    url::ConnectionUrl,
};
use std::{sync::Arc, time::Duration};

/// A row of the table `t (id bigint, name text, at bigint)`, keyed by `id`, versioned by `at`.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    id: i64,
    name: Option<String>,
    at: i64,
    delete: bool,
}

impl Row {
    pub(crate) fn new(id: i64, name: &str, at: i64) -> Row {
        Row { id, name: Some(name.into()), at, delete: false }
    }

    pub(crate) fn null(id: i64, at: i64) -> Row {
        Row { id, name: None, at, delete: false }
    }

    pub(crate) fn deleted(id: i64, at: i64) -> Row {
        Row { id, name: None, at, delete: true }
    }
}

/// Rows at the watermark that are asked about, and which of them are known.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) file: Option<String>,
    pub(crate) hashes: Vec<u128>,
    pub(crate) known: Vec<bool>,
}

/// Where a load is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    Never,
    AfterRows,
    AtSeal,
}

pub(crate) struct Scene {
    pub(crate) pipeline: Pipeline,
    pub(crate) schema: Schema,
    pub(crate) changes: Vec<Change>,
    /// Set aside on the way.
    pub(crate) rejects: Vec<Reject>,
    /// Numbers of those that are read once more.
    pub(crate) replayed: Vec<i64>,
    /// What runs are called, before the pipeline's name.
    pub(crate) run: &'static str,
    /// Where the watermark goes.
    pub(crate) watermark: i64,
    /// What decided about the rows.
    pub(crate) settings: Option<Settings>,
    /// Whether state and table go first.
    pub(crate) forget: bool,
    /// Whether every row was handed over.
    pub(crate) complete: bool,
    /// Done inside the transaction, before its first row.
    pub(crate) meanwhile: Option<Box<dyn Fn() + Send + Sync>>,
    /// The part of the table the rows are all of.
    pub(crate) within: Option<Within>,
    /// Receipts to write.
    pub(crate) intervals: Vec<IntervalEntry>,
    /// Receipts that go.
    pub(crate) absorbed: Vec<(String, Interval)>,
    /// What becomes of the rows at the watermark.
    pub(crate) boundary: BoundaryChange,
    /// What is asked about them inside the transaction.
    pub(crate) asked: Vec<Asked>,
    /// What the run's commits are said to have brought.
    pub(crate) commits: Commits,
}

impl Scene {
    pub(crate) fn new(load: Load) -> Scene {
        let files = FileSource {
            store: None,
            patterns: Vec::new(),
            base: Default::default(),
            format: None,
            csv: CsvOptions::default(),
            max_row_bytes: MAX_ROW_BYTES,
            hive_partitions: false,
        };
        Scene {
            pipeline: Pipeline {
                name: "p".into(),
                source: SourceSpec::Files(files),
                destination: DestinationSpec {
                    url: ConnectionUrl::parse("scene:").unwrap_or_else(fail),
                    table: "t".into(),
                    partition_by: Vec::new(),
                    file_size: None,
                },
                load,
                key: vec!["id".into()],
                watermark: None,
                version: Some("at".into()),
                window: Vec::new(),
                on_null: OnNull::Overwrite,
                delete_when: None,
                deletes: Deletes::Hard,
                absent_rows: if load == Load::Overwrite { AbsentRows::Delete } else { AbsentRows::Keep },
                transform: None,
                columns: Vec::new(),
                schema: SchemaPolicy::Evolve,
                on_bad_row: OnBadRow::Fail,
                max_rejects: None,
                changed_files: ChangedFiles::Reload,
                allow_empty: false,
                adopt: false,
                at_least_once: false,
                commit_every: COMMIT_EVERY,
                service: floodmark_core::pipeline::Service::default(),
                timezone: floodmark_core::interval::Tz::UTC,
            },
            schema: Schema::new([("id", DataType::BigInt), ("name", DataType::Text), ("at", DataType::BigInt)]),
            changes: Vec::new(),
            rejects: Vec::new(),
            replayed: Vec::new(),
            run: "run of",
            watermark: 1,
            settings: None,
            forget: false,
            complete: true,
            meanwhile: None,
            within: None,
            intervals: Vec::new(),
            absorbed: Vec::new(),
            boundary: BoundaryChange::default(),
            asked: Vec::new(),
            commits: Commits::default(),
        }
    }

    pub(crate) fn open(&self, destination: &dyn Destination) -> Box<dyn Session> {
        destination.open(&self.pipeline.name, "r", Some(Duration::ZERO), &Stop::default()).unwrap_or_else(fail)
    }

    pub(crate) fn open_beside(&self, destination: &dyn Destination) -> Box<dyn Session> {
        destination.open_beside(&self.pipeline.name, "r", Some(Duration::ZERO), &Stop::default()).unwrap_or_else(fail)
    }

    pub(crate) fn record(&self) -> RunRecord {
        RunRecord {
            run: format!("{} {}", self.run, self.pipeline.name),
            pipeline: self.pipeline.name.clone(),
            status: "ok".into(),
            load: self.pipeline.load.name().into(),
            started_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default(),
            finished_at: None,
            counts: Counts::default(),
            watermark: None,
            error: None,
            commits: self.commits.clone(),
        }
    }

    pub(crate) fn load(&self, session: &mut dyn Session, rows: &[Row]) -> Result<Counts> {
        self.load_failing(session, rows, Fail::Never)
    }

    pub(crate) fn load_failing(&self, session: &mut dyn Session, rows: &[Row], fail: Fail) -> Result<Counts> {
        // One row a batch: how rows are cut into batches must not matter.
        let batches = rows.iter().map(|row| self.batch(std::slice::from_ref(row))).collect();
        self.load_batches(session, batches, fail)
    }

    pub(crate) fn load_batches(
        &self,
        session: &mut dyn Session,
        batches: Vec<ShapedBatch>,
        fail: Fail,
    ) -> Result<Counts> {
        let version = self.pipeline.version.as_ref().and_then(|version| self.schema.get(version));
        let target = Target {
            pipeline: &self.pipeline,
            schema: &self.schema,
            changes: &self.changes,
            version: version.map(|c| c.data_type),
            now: 0,
            run: "r",
        };
        let plan = LoadPlan {
            target,
            replace: Vec::new(),
            lineage: false,
            forget: self.forget,
            full: true,
            ordered: true,
            within: self.within.clone(),
        };
        let rows: usize = batches.iter().map(|batch| batch.rows.num_rows()).sum();
        let (rejects, read) = (self.rejects.clone(), (rows + self.rejects.len()) as u64);
        let hand = &mut Hand { scene: self, batches: batches.into(), rejects, fail, read, begun: false };
        session.load(&plan, hand)
    }

    fn batch(&self, rows: &[Row]) -> ShapedBatch {
        let at: ArrayRef = match self.schema.get("at").map(|c| c.data_type) {
            Some(DataType::Decimal(p, s)) => {
                let unscaled = rows.iter().map(|r| i128::from(r.at) * 10i128.pow(u32::from(s))).collect::<Vec<_>>();
                let array = Decimal128Array::from(unscaled).with_precision_and_scale(p, s as i8);
                Arc::new(array.unwrap_or_else(|e| fail(e.into())))
            }
            _ => Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.at))),
        };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.id))),
            Arc::new(StringArray::from_iter(rows.iter().map(|r| r.name.as_deref()))),
            at,
        ];
        let fields = self.schema.to_arrow().fields().iter().take(3).cloned().collect::<Vec<_>>();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let delete = BooleanArray::from_iter(rows.iter().map(|r| Some(r.delete)));
        let rows = RecordBatch::try_new(schema, arrays).unwrap_or_else(|e| fail(e.into()));
        ShapedBatch { rows, delete: delete.has_true().then_some(delete), slice: 0 }
    }

    /// The table holds exactly these rows: compared by fingerprint with a table that was only ever loaded once.
    pub(crate) fn expect(&self, destination: &dyn Destination, rows: &[Row]) {
        let mut clean = Scene::new(Load::Append);
        clean.pipeline.name = format!("clean {}", self.pipeline.name);
        clean.pipeline.destination.table = format!("clean {}", self.pipeline.destination.table);
        clean.pipeline.key.clear();
        clean.schema = self.schema.clone();
        clean.forget = true;
        clean.load(clean.open(destination).as_mut(), rows).unwrap_or_else(fail);
        let print = |table: &str| destination.fingerprint(table).unwrap_or_else(fail);
        assert_eq!(print(&self.pipeline.destination.table), print(&clean.pipeline.destination.table));
    }
}

#[expect(clippy::panic, reason = "this suite is test code: a failed expectation is a panic")]
pub(crate) fn fail<T>(error: Error) -> T {
    panic!("{error:?}")
}

/// Rows handed over by hand.
struct Hand<'a> {
    scene: &'a Scene,
    batches: std::collections::VecDeque<ShapedBatch>,
    rejects: Vec<Reject>,
    fail: Fail,
    read: u64,
    begun: bool,
}

impl Chunk for Hand<'_> {
    fn complete(&self) -> bool {
        self.scene.complete
    }

    fn next(&mut self, transaction: &mut dyn Transaction) -> Result<Option<ShapedBatch>> {
        if !std::mem::replace(&mut self.begun, true) {
            if let Some(meanwhile) = &self.scene.meanwhile {
                meanwhile();
            }
            for Asked { file, hashes, known } in &self.scene.asked {
                assert_eq!(transaction.loaded(file.as_deref(), hashes)?, *known, "{file:?} {hashes:?}");
            }
        }
        self.rejects.drain(..).try_for_each(|reject| transaction.keep(reject))?;
        match self.batches.pop_front() {
            None if self.fail == Fail::AfterRows => Err(Error::internal("made to fail")),
            batch => Ok(batch),
        }
    }

    fn seal(&mut self, counts: Counts, _lineage: Vec<(usize, Lineage)>) -> Result<Commit> {
        if self.fail == Fail::AtSeal {
            return Err(Error::internal("made to fail"));
        }
        let counts = Counts { read: self.read, rejected: self.scene.rejects.len() as u64, ..counts };
        counts.check()?;
        Ok(Commit {
            schema: self.scene.schema.clone(),
            source_schema: None,
            settings: self.scene.settings.clone(),
            watermark: Some(mark(self.scene.watermark)),
            pending: None,
            boundary: self.scene.boundary.clone(),
            files: Vec::new(),
            reread: Vec::new(),
            skimmed: Vec::new(),
            replayed: self.scene.replayed.clone(),
            intervals: self.scene.intervals.clone(),
            absorbed: self.scene.absorbed.clone(),
            run: RunRecord { counts, ..self.scene.record() },
        })
    }
}

//! What happens during a run, as data. Terminal, JSON, logs, web page and Python are readers of these events.

use crate::{accounting::Counts, error::Code, schema::Schema, state::Reject};

/// Something happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A run began.
    Started {
        /// The pipeline.
        pipeline: String,
        /// The run's id.
        run: String,
    },
    /// The pipeline is the run's: another one that held it has ended.
    Locked {
        /// The pipeline.
        pipeline: String,
    },
    /// Types are being read from `bytes` of text files.
    Surveying {
        /// The pipeline.
        pipeline: String,
        /// How much there is to read.
        bytes: u64,
    },
    /// It is known which columns the table has, or gets.
    Shaped {
        /// The pipeline.
        pipeline: String,
        /// The table's columns.
        table: Schema,
    },
    /// It is known what will be loaded.
    Planned {
        /// The pipeline.
        pipeline: String,
        /// Files (or parts) to read.
        slices: usize,
        /// Rows in them, where that is known.
        rows: Option<u64>,
    },
    /// It is known into which intervals a backfill cuts its range.
    Intervals {
        /// The pipeline.
        pipeline: String,
        /// The column along which they lie.
        column: String,
        /// How many are to be loaded.
        intervals: u64,
        /// How long each is, in words; `None` where it is all of the range.
        step: Option<String>,
        /// The first value that is loaded, as a person reads it.
        from: String,
        /// The first that is not.
        until: String,
    },
    /// A backfill comes to the next interval, or the next part of a large one.
    Filling {
        /// The pipeline.
        pipeline: String,
        /// Its first value, as a person reads it.
        from: String,
        /// The first value that is not in it.
        until: String,
        /// Intervals that are in.
        done: u64,
        /// How many there are to load.
        intervals: u64,
    },
    /// More rows went through.
    Progress {
        /// The pipeline.
        pipeline: String,
        /// Rows read so far.
        rows: u64,
    },
    /// All rows of a chunk are with the destination and add up; what is left is to commit them.
    Sealed {
        /// The pipeline.
        pipeline: String,
    },
    /// A chunk is durable.
    Committed {
        /// The pipeline.
        pipeline: String,
        /// Rows by outcome so far.
        counts: Counts,
    },
    /// An attempt was broken off by what passes by itself, and the next one follows after a pause.
    Retrying {
        /// The pipeline.
        pipeline: String,
        /// What broke it off.
        code: Code,
    },
    /// Something a person should know that does not stop the run.
    Warning {
        /// The pipeline.
        pipeline: String,
        /// One sentence.
        message: String,
    },
    /// The first row of the run that is set aside.
    Rejected {
        /// The pipeline.
        pipeline: String,
        /// The row, with its reason.
        first: Reject,
    },
    /// A trial of a pipeline's promises begins, on a copy.
    Trial {
        /// The pipeline.
        pipeline: String,
        /// What is tried, in a few words.
        what: String,
    },
    /// A run ended, well or not.
    Finished {
        /// The pipeline.
        pipeline: String,
    },
}

/// A reader of events. Called from the run's own thread: be quick.
pub trait Observer: Send + Sync {
    /// Takes note of one event.
    fn observe(&self, event: &Event);
}

/// An observer that looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: &Event) {}
}

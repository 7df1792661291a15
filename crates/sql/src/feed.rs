//! What operators read from: the rows of a run, constants, one input after another.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use crossbeam_channel::Receiver;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_plan::{
    ExecutionPlan,
    stream::RecordBatchStreamAdapter,
    streaming::{PartitionStream, StreamingTableExec},
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use std::{
    fmt,
    sync::{Arc, Mutex},
};

/// An operator that gives what `from` gives: the columns in `projection`, `limit` rows at most.
pub(crate) fn reader(
    from: Arc<dyn PartitionStream>,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = from.schema().clone();
    Ok(Arc::new(StreamingTableExec::try_new(schema, vec![from], projection, [], false, limit)?))
}

fn boxed(
    schema: &SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema.clone(), batches))
}

fn refused(why: &str) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    stream::iter([Err(DataFusionError::Execution(why.to_owned()))])
}

/// The rows of `source`, handed over from another thread, once.
pub(crate) struct Handover {
    schema: SchemaRef,
    batches: Mutex<Option<Receiver<RecordBatch>>>,
}

impl Handover {
    pub(crate) fn new(schema: SchemaRef, batches: Receiver<RecordBatch>) -> Self {
        Handover { schema, batches: Mutex::new(Some(batches)) }
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source")
    }
}

impl PartitionStream for Handover {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        match self.batches.lock().ok().and_then(|mut b| b.take()) {
            Some(batches) => boxed(&self.schema, stream::iter(batches.into_iter().map(Ok))),
            None => boxed(&self.schema, refused("the table `source` is read twice")),
        }
    }
}

/// Rows that are known before anything is read: a VALUES list.
pub(crate) struct Constant(RecordBatch, SchemaRef);

impl Constant {
    pub(crate) fn new(rows: RecordBatch) -> Self {
        let schema = rows.schema();
        Constant(rows, schema)
    }
}

impl fmt::Debug for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values")
    }
}

impl PartitionStream for Constant {
    fn schema(&self) -> &SchemaRef {
        &self.1
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        boxed(&self.1, stream::iter([Ok(self.0.clone())]))
    }
}

/// UNION ALL with one partition: each input to its end before the next. DataFusion's own reads them side by side, and which
/// row comes first is then a matter of luck.
pub(crate) struct InTurn {
    schema: SchemaRef,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
}

impl InTurn {
    /// The inputs have the column types of `schema`; names and nullability may differ.
    pub(crate) fn new(schema: SchemaRef, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Self {
        InTurn { schema, inputs }
    }
}

impl fmt::Debug for InTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} inputs in turn", self.inputs.len())
    }
}

impl PartitionStream for InTurn {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = self.schema.clone();
        let named = self.schema.clone();
        let batches = stream::iter(self.inputs.clone())
            .map(move |input| input.execute(0, context.clone()))
            .try_flatten()
            .map(move |rows| Ok(RecordBatch::try_new(named.clone(), rows?.columns().to_vec())?));
        boxed(&schema, batches)
    }
}

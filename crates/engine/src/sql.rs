//! SQL by DataFusion: the `transform` over the table `source`, and the `delete_when` condition.

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    datatypes::SchemaRef,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use datafusion::{
    catalog::streaming::StreamingTable,
    common::{DFSchema, SchemaError},
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{PhysicalExpr, stream::RecordBatchStreamAdapter, streaming::PartitionStream},
    prelude::{DataFrame, SessionConfig, SessionContext},
};
use floodmark_core::{Code, Column, DataType, Error, Result, Schema, wording};
use futures::StreamExt;
use std::{
    fmt,
    sync::{Arc, Mutex},
};

/// Batches between two threads: enough to keep both busy, few enough to bound memory.
const IN_FLIGHT: usize = 2;

fn context() -> SessionContext {
    // One partition keeps the order of rows: which of two rows came later may decide which one wins.
    let mut config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
    config.options_mut().execution.parquet.pushdown_filters = false;
    SessionContext::new_with_config(config)
}

/// Why a statement cannot be planned.
#[derive(Debug)]
pub(crate) struct Unplanned {
    pub(crate) error: Error,
    /// It is wrong whatever the columns' types are: a name that is not there, or no SQL at all.
    pub(crate) by_name: bool,
}

impl From<Unplanned> for Error {
    fn from(unplanned: Unplanned) -> Error {
        unplanned.error
    }
}

impl From<Error> for Unplanned {
    fn from(error: Error) -> Unplanned {
        Unplanned { error, by_name: false }
    }
}

fn by_name(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::SchemaError(..) | DataFusionError::SQL(..))
}

/// The spelling that was meant of a name that is no column.
fn meant(error: &DataFusionError) -> Option<String> {
    let DataFusionError::SchemaError(error, _) = error.find_root() else { return None };
    let SchemaError::FieldNotFound { field, valid_fields } = error.as_ref() else { return None };
    let known: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
    (!known.is_empty()).then(|| wording::suggest(&field.name, "the columns are", &known))
}

fn with_meant(error: Error, meant: Option<String>) -> Error {
    match meant {
        Some(help) => error.help(help),
        None => error,
    }
}

fn unplanned(sql: &str, error: DataFusionError) -> Unplanned {
    Unplanned { by_name: by_name(&error), error: failed(sql, error) }
}

fn failed(sql: &str, error: DataFusionError) -> Error {
    with_meant(Error::new(Code::Transform, "the SQL transform failed"), meant(&error))
        .help("the input is the table `source`; write names that are not all lower-case in double quotes")
        .help(format!("the statement: {}", floodmark_core::error::shorten(sql.trim())))
        .cause(error.strip_backtrace())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|e| Error::internal("the SQL engine cannot be started").cause(e))
}

/// The rows of `source`, handed over from another thread, once.
struct Handover {
    schema: SchemaRef,
    batches: Mutex<Option<Receiver<RecordBatch>>>,
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
        let batches = self.batches.lock().ok().and_then(|mut b| b.take());
        let stream: futures::stream::BoxStream<'static, Result<RecordBatch, DataFusionError>> = match batches {
            Some(batches) => futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
            None => futures::stream::once(async {
                Err(DataFusionError::Execution(
                    "the table `source` can be read once only in a statement; use a common table expression".into(),
                ))
            })
            .boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), stream))
    }
}

fn plan(sql: &str, input: &SchemaRef, batches: Receiver<RecordBatch>) -> Result<DataFrame, Unplanned> {
    let context = context();
    let source = Handover { schema: input.clone(), batches: Mutex::new(Some(batches)) };
    let table = StreamingTable::try_new(input.clone(), vec![Arc::new(source)]).map_err(|e| unplanned(sql, e))?;
    context.register_table("source", Arc::new(table)).map_err(|e| unplanned(sql, e))?;
    // Reading statements only: a transform has no business changing anything.
    let options = datafusion::execution::context::SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    runtime()?.block_on(context.sql_with_options(sql, options)).map_err(|e| unplanned(sql, e))
}

/// The columns a transform gives for a source's columns, without reading a row.
pub(crate) fn output_schema(sql: &str, source: &Schema) -> Result<Schema, Unplanned> {
    let frame = plan(sql, &source.to_arrow(), crossbeam_channel::never())?;
    let mut columns = Vec::new();
    for field in frame.schema().fields() {
        let data_type = DataType::from_arrow(field.data_type()).ok_or_else(|| {
            Error::new(
                Code::Transform,
                format!(
                    "column {:?} of the transform is {}, which no destination holds",
                    field.name(),
                    field.data_type()
                ),
            )
            .state("nothing was written")
            .help("cast it in the transform, for example to VARCHAR")
        })?;
        columns.push(Column::new(field.name(), data_type));
    }
    Ok(Schema { columns })
}

/// A running transform: rows go in at one end and come out at the other, on a thread of its own.
pub(crate) struct Transform {
    pub(crate) input: Option<Sender<RecordBatch>>,
    output: Receiver<Result<RecordBatch>>,
}

impl Transform {
    pub(crate) fn start(sql: &str, source: &SchemaRef) -> Result<Self> {
        let (input, batches) = bounded(IN_FLIGHT);
        let (results, output) = bounded(IN_FLIGHT);
        let frame = plan(sql, source, batches)?;
        let sql = sql.to_owned();
        std::thread::Builder::new()
            .name("transform".into())
            .spawn(move || {
                let work = async {
                    let mut stream = frame.execute_stream().await.map_err(|e| failed(&sql, e))?;
                    while let Some(batch) = stream.next().await {
                        if results.send(Ok(batch.map_err(|e| failed(&sql, e))?)).is_err() {
                            break; // the run has ended
                        }
                    }
                    Ok(())
                };
                if let Err(error) = runtime().and_then(|r| r.block_on(work)) {
                    let _ = results.send(Err(error));
                }
            })
            .map_err(|e| Error::internal("a thread cannot be started").cause(e))?;
        Ok(Transform { input: Some(input), output })
    }

    /// The next rows, or `None` at the end (which needs the input to be closed).
    pub(crate) fn next(&self) -> Result<Option<RecordBatch>> {
        self.output.recv().ok().transpose()
    }
}

/// A condition over the columns of the table.
pub(crate) struct Condition {
    sql: String,
    expr: Arc<dyn PhysicalExpr>,
}

impl Condition {
    pub(crate) fn new(sql: &str, schema: &Schema) -> Result<Self, Unplanned> {
        let failed = |e: DataFusionError| {
            let error = Error::new(Code::Transform, "`delete_when` is not a condition over the table's columns");
            let error = with_meant(error, meant(&e))
                .state("nothing was written")
                .help("write names that are not all lower-case in double quotes, text in single quotes");
            Unplanned { by_name: by_name(&e), error: error.cause(e.strip_backtrace()) }
        };
        let context = context();
        let df_schema = DFSchema::try_from(schema.to_arrow()).map_err(failed)?;
        let expr = context.parse_sql_expr(sql, &df_schema).map_err(failed)?;
        let expr = context.create_physical_expr(expr, &df_schema).map_err(failed)?;
        let data_type = expr.data_type(df_schema.as_arrow()).map_err(failed)?;
        if data_type != arrow::datatypes::DataType::Boolean {
            return Err(Error::new(Code::Transform, format!("`delete_when: {sql}` is {data_type}, not true or false"))
                .state("nothing was written")
                .help("write a comparison, for example op = 'D'")
                .into());
        }
        Ok(Condition { sql: sql.to_owned(), expr })
    }

    /// Which rows it holds for; NULL is no. `batch` has the schema the condition was made for.
    pub(crate) fn holds(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let value =
            self.expr.evaluate(batch).and_then(|v| v.into_array(batch.num_rows())).map_err(|e| failed(&self.sql, e))?;
        let value = value.as_boolean();
        Ok(match value.nulls() {
            None => value.clone(),
            Some(nulls) => BooleanArray::new(value.values() & nulls.inner(), None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    fn source() -> (Schema, RecordBatch) {
        let schema = Schema::new([("id", DataType::BigInt), ("Email", DataType::Text)]);
        let batch = RecordBatch::try_new(
            schema.to_arrow(),
            vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("A@X"), None]))],
        )
        .unwrap();
        (schema, batch)
    }

    #[test]
    fn a_transform_streams() {
        let (schema, batch) = source();
        let sql = "SELECT id, lower(\"Email\") AS email FROM source WHERE id > 1";
        assert_eq!(output_schema(sql, &schema).unwrap().names(), ["id", "email"]);
        let mut transform = Transform::start(sql, &schema.to_arrow()).unwrap();
        transform.input.take().unwrap().send(batch).unwrap();
        let mut rows = 0;
        while let Some(batch) = transform.next().unwrap() {
            rows += batch.num_rows();
        }
        assert_eq!(rows, 1);
    }

    #[test]
    fn statements_that_change_things_are_refused() {
        let (schema, _) = source();
        assert!(output_schema("CREATE TABLE x AS SELECT 1", &schema).is_err());
        assert!(output_schema("SELECT nothing FROM source", &schema).is_err());
    }

    #[test]
    fn a_condition_over_null_is_no() {
        let (schema, batch) = source();
        let holds = Condition::new("\"Email\" = 'A@X'", &schema).unwrap().holds(&batch).unwrap();
        assert_eq!(holds, BooleanArray::from(vec![true, false]));
        assert!(Condition::new("id + 1", &schema).is_err());
    }
}

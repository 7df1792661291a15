//! `transform`: a statement over the table `source`, through which rows stream.

use crate::{
    feed::Handover,
    join::times_read,
    physical::{Physical, Plan},
    session::Session,
    unplanned::{Refused, Unplanned, failed},
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use crossbeam_channel::{Receiver, Sender, bounded};
use datafusion_common::{DFSchemaRef, Result as Planned};
use datafusion_execution::TaskContext;
use floodmark_core::{Code, Column, DataType, Error, Result, Schema};
use futures::StreamExt;
use std::{sync::Arc, thread::JoinHandle};

/// Batches between two threads: enough to keep both busy, few enough to bound memory.
const IN_FLIGHT: usize = 2;

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|e| Error::internal("the SQL engine cannot be started").cause(e))
}

/// A statement that can run, once.
struct Statement {
    schema: DFSchemaRef,
    plan: Plan,
    task: Arc<TaskContext>,
}

impl Statement {
    fn new(sql: &str, input: &SchemaRef, batches: Receiver<RecordBatch>) -> Planned<Self> {
        let session = Session::new(Some(input.clone()))?;
        let logical = session.query(sql)?;
        if times_read(&logical)? > 1 {
            return Err(Refused::because(
                "the rows of `source` stream through once, and this reads them twice; \
                 a window function (… OVER …) sees other rows without reading them again",
            ));
        }
        let source = Arc::new(Handover::new(input.clone(), batches));
        let plan = Physical::new(&session, source).plan(&logical)?;
        Ok(Statement { schema: logical.schema().clone(), plan, task: session.task() })
    }
}

/// The columns a transform gives for a source's columns, without reading a row.
pub fn output_schema(sql: &str, source: &Schema) -> Result<Schema, Unplanned> {
    let statement = Statement::new(sql, &source.to_arrow(), crossbeam_channel::never())
        .map_err(|e| Unplanned::statement(sql, e))?;
    let mut columns = Vec::new();
    for field in statement.schema.fields() {
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
pub struct Transform {
    output: Receiver<Result<RecordBatch>>,
    thread: Option<JoinHandle<()>>,
}

impl Transform {
    /// Plans `sql` over rows of the schema `source` and starts it. The rows go into the sender; it is dropped at their end.
    pub fn start(sql: &str, source: &SchemaRef) -> Result<(Sender<RecordBatch>, Self)> {
        let (input, batches) = bounded(IN_FLIGHT);
        let (results, output) = bounded(IN_FLIGHT);
        let statement = Statement::new(sql, source, batches).map_err(|e| Unplanned::statement(sql, e))?;
        let sql = sql.to_owned();
        let thread = std::thread::Builder::new()
            .name("transform".into())
            .spawn(move || {
                let work = async {
                    let mut stream = statement.plan.execute(0, statement.task.clone()).map_err(|e| failed(&sql, e))?;
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
        Ok((input, Transform { output, thread: Some(thread) }))
    }

    /// The next rows, or `None` at the end (which needs the sender to be dropped).
    ///
    /// A panic inside the SQL engine is an error here: taken for the end it would load half the rows.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        match self.output.recv() {
            Ok(rows) => rows.map(Some),
            Err(_) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(_)) => Err(Error::internal("the SQL engine panicked")),
                _ => Ok(None),
            },
        }
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
        let (input, mut transform) = Transform::start(sql, &schema.to_arrow()).unwrap();
        input.send(batch).unwrap();
        drop(input);
        let mut rows = 0;
        while let Some(batch) = transform.next_batch().unwrap() {
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
}

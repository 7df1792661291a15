//! Statements, and the rows that they give.

use super::{
    Connection, Failure, Kind, Parameter, Result, c_string, text,
    value::Type,
    vectors::{Chunk, read, read_as},
};
use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{DataType as ArrowType, Field, Schema},
};
use libduckdb_sys as ffi;
use std::{ptr, sync::Arc, thread, time::Duration};

/// A prepared statement.
struct Statement(ffi::duckdb_prepared_statement);

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: it was prepared, and is used no more.
        unsafe { ffi::duckdb_destroy_prepare(&mut self.0) }
    }
}

impl Connection {
    pub(crate) fn run(&self, sql: &str) -> Result<()> {
        let sql = c_string(sql)?;
        let mut rows = Rows::empty();
        // SAFETY: the result is destroyed with `rows`, also after a failure.
        let state = unsafe { ffi::duckdb_query(self.0, sql.as_ptr(), &mut rows.result) };
        rows.checked(state)
    }

    fn prepare(&self, sql: &str) -> Result<Statement> {
        let sql = c_string(sql)?;
        let mut statement = Statement(ptr::null_mut());
        // SAFETY: the statement is destroyed when it is dropped, also after a failure, whose reason it holds.
        unsafe {
            match ffi::duckdb_prepare(self.0, sql.as_ptr(), &mut statement.0) {
                ffi::duckdb_state_DuckDBSuccess => Ok(statement),
                _ => Err(Failure::told(text(ffi::duckdb_prepare_error(statement.0)))),
            }
        }
    }

    /// The names and declared types of what a statement would give, without running it.
    pub(crate) fn describe(&self, sql: &str) -> Result<Vec<String>> {
        let statement = self.prepare(sql)?;
        // SAFETY: the statement is there, and columns are asked for within their number.
        unsafe {
            let columns = ffi::duckdb_prepared_statement_column_count(statement.0);
            Ok((0..columns)
                .map(|column| {
                    let name = ffi::duckdb_prepared_statement_column_name(statement.0, column);
                    let out = text(name);
                    ffi::duckdb_free(name.cast_mut().cast());
                    out
                })
                .collect())
        }
    }

    /// One statement. `streamed`: its rows are worked out as they are taken, and nothing else may be done meanwhile.
    pub(crate) fn execute(&self, sql: &str, parameters: &[Parameter], streamed: bool) -> Result<Rows> {
        let statement = self.prepare(sql)?;
        let mut rows = Rows::empty();
        for (at, parameter) in parameters.iter().enumerate() {
            let value = parameter.value()?;
            // SAFETY: statement and value are there; DuckDB copies the value.
            let state = unsafe { ffi::duckdb_bind_value(statement.0, at as u64 + 1, value.0) };
            if state != ffi::duckdb_state_DuckDBSuccess {
                // SAFETY: the statement is there.
                return Err(Failure::told(unsafe { text(ffi::duckdb_prepare_error(statement.0)) }));
            }
        }
        let pending = Pending::new(&statement, streamed)?;
        if !streamed {
            pending.work()?;
        }
        // SAFETY: as in `run`.
        let state = unsafe { ffi::duckdb_execute_pending(pending.0, &mut rows.result) };
        rows.checked(state)?;
        rows.describe()?;
        Ok(rows)
    }
}

/// A statement that is under way.
struct Pending(ffi::duckdb_pending_result);

impl Drop for Pending {
    fn drop(&mut self) {
        // SAFETY: it was begun, also where that failed, and is used no more.
        unsafe { ffi::duckdb_destroy_pending(&mut self.0) }
    }
}

/// How long a pause is at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(1));

impl Pending {
    fn new(statement: &Statement, streamed: bool) -> Result<Pending> {
        let mut pending = Pending(ptr::null_mut());
        // SAFETY: the statement is there; what is pending is destroyed when it is dropped, also after a failure.
        let state = unsafe {
            match streamed {
                true => ffi::duckdb_pending_prepared_streaming(statement.0, &mut pending.0),
                false => ffi::duckdb_pending_prepared(statement.0, &mut pending.0),
            }
        };
        if state == ffi::duckdb_state_DuckDBSuccess { Ok(pending) } else { Err(pending.failure()) }
    }

    fn failure(&self) -> Failure {
        // SAFETY: it was begun, and says what went wrong with it.
        Failure::told(unsafe { text(ffi::duckdb_pending_error(self.0)) })
    }

    /// Works at it until it is done, and rests while other threads have all there is to do: DuckDB by itself would go on
    /// asking, and take a processor from whoever brings the rows.
    fn work(&self) -> Result<()> {
        let mut pause = PAUSES.0;
        loop {
            // SAFETY: it was begun.
            match unsafe { ffi::duckdb_pending_execute_task(self.0) } {
                ffi::duckdb_pending_state_DUCKDB_PENDING_RESULT_READY => return Ok(()),
                ffi::duckdb_pending_state_DUCKDB_PENDING_RESULT_NOT_READY => pause = PAUSES.0,
                ffi::duckdb_pending_state_DUCKDB_PENDING_NO_TASKS_AVAILABLE => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSES.1);
                }
                _ => return Err(self.failure()),
            }
        }
    }
}

/// The rows of a statement, chunk after chunk.
pub(crate) struct Rows {
    result: ffi::duckdb_result,
    types: Vec<ArrowType>,
    schema: Arc<Schema>,
}

// SAFETY: a result is its own memory, or a stream of a connection, which may move between threads as well.
unsafe impl Send for Rows {}

impl Drop for Rows {
    fn drop(&mut self) {
        // SAFETY: a result that was never filled is all zeros, which destroying leaves alone.
        unsafe { ffi::duckdb_destroy_result(&mut self.result) }
    }
}

impl Rows {
    fn empty() -> Rows {
        // SAFETY: the structure is made of numbers and pointers, for which zero is nothing.
        Rows { result: unsafe { std::mem::zeroed() }, types: Vec::new(), schema: Arc::new(Schema::empty()) }
    }

    fn checked(&mut self, state: ffi::duckdb_state) -> Result<()> {
        if state == ffi::duckdb_state_DuckDBSuccess {
            return Ok(());
        }
        // SAFETY: the result was filled by a statement that failed.
        unsafe {
            let code = ffi::duckdb_result_error_type(&mut self.result);
            Err(Failure::new(code, text(ffi::duckdb_result_error(&mut self.result))))
        }
    }

    /// How many rows the statement changed.
    pub(crate) fn changed(&mut self) -> u64 {
        // SAFETY: the result was filled.
        unsafe { ffi::duckdb_rows_changed(&mut self.result) }
    }

    fn describe(&mut self) -> Result<()> {
        // SAFETY: the result was filled, and columns are asked for within their number.
        unsafe {
            let count = ffi::duckdb_column_count(&mut self.result);
            let mut fields = Vec::new();
            for column in 0..count {
                let of = Type(ffi::duckdb_column_logical_type(&mut self.result, column));
                let name = text(ffi::duckdb_column_name(&mut self.result, column));
                let arrow = read_as(&of).ok_or_else(|| {
                    Failure::of(Kind::Other, format!("column {name:?} has a type that is not read as it is"))
                })?;
                fields.push(Field::new(name, arrow.clone(), true));
                self.types.push(arrow);
            }
            self.schema = Arc::new(Schema::new(fields));
        }
        Ok(())
    }

    /// The columns, as every batch has them.
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The next chunk; nothing after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>> {
        // SAFETY: the result was filled; the chunk is destroyed when it is dropped.
        let chunk = Chunk(unsafe { ffi::duckdb_fetch_chunk(self.result) });
        if chunk.0.is_null() {
            // SAFETY: the result was filled.
            return unsafe {
                match ffi::duckdb_result_error(&mut self.result) {
                    error if error.is_null() => Ok(None),
                    error => Err(Failure::new(ffi::duckdb_result_error_type(&mut self.result), text(error))),
                }
            };
        }
        // SAFETY: the chunk is there.
        let rows = unsafe { ffi::duckdb_data_chunk_get_size(chunk.0) } as usize;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.types.len());
        for (column, of) in self.types.iter().enumerate() {
            // SAFETY: the chunk has the columns of its result, of their types and so many rows.
            arrays.push(unsafe {
                let vector = ffi::duckdb_data_chunk_get_vector(chunk.0, column as u64);
                read(vector, rows, of)?
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map(Some)
            .map_err(|error| Failure::of(Kind::Other, error.to_string()))
    }
}

//! DuckDB's C interface, made safe: the one module that calls it.
//!
//! Rows cross in DuckDB's own vectors, a chunk of at most some thousand at a time: out of them into Arrow's arrays, and the
//! other way. Every pointer lives in a type that gives it back when it is dropped, and what DuckDB says of a failure is taken
//! along as text.
#![expect(unsafe_code, reason = "a C interface")]

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Decimal128Array, PrimitiveArray, RecordBatch,
        RecordBatchOptions, StringBuilder,
        types::{
            ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int64Type, Time64NanosecondType,
            TimestampMicrosecondType, TimestampNanosecondType,
        },
    },
    buffer::NullBuffer,
    datatypes::{DataType as ArrowType, Field, Schema, TimeUnit},
};
use libduckdb_sys as ffi;
use std::{
    ffi::{CStr, CString, c_char, c_void},
    fmt,
    path::Path,
    ptr, slice,
    sync::Arc,
};

/// What DuckDB said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

/// Of what kind that was, as far as it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Conversion,
    Constraint,
    Catalog,
    Dependency,
    Transaction,
    Interrupt,
    Io,
    Memory,
    Permission,
    Serialization,
    /// DuckDB gave the database up: nothing can be done with this object any more.
    Fatal,
    Other,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(crate) fn of(kind: Kind, message: impl Into<String>) -> Failure {
        let mut message: String = message.into();
        // Where in its program DuckDB noticed is of no use to whom this is told.
        if let Some(end) = message.find("\n\nStack Trace:") {
            message.truncate(end);
        }
        Failure { kind, message }
    }

    fn new(code: ffi::duckdb_error_type, message: String) -> Failure {
        let kind = match code {
            ffi::duckdb_error_type_DUCKDB_ERROR_CONVERSION | ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_RANGE => {
                Kind::Conversion
            }
            ffi::duckdb_error_type_DUCKDB_ERROR_CONSTRAINT => Kind::Constraint,
            ffi::duckdb_error_type_DUCKDB_ERROR_CATALOG => Kind::Catalog,
            ffi::duckdb_error_type_DUCKDB_ERROR_DEPENDENCY => Kind::Dependency,
            ffi::duckdb_error_type_DUCKDB_ERROR_TRANSACTION => Kind::Transaction,
            ffi::duckdb_error_type_DUCKDB_ERROR_INTERRUPT => Kind::Interrupt,
            ffi::duckdb_error_type_DUCKDB_ERROR_IO => Kind::Io,
            ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_MEMORY => Kind::Memory,
            ffi::duckdb_error_type_DUCKDB_ERROR_PERMISSION => Kind::Permission,
            ffi::duckdb_error_type_DUCKDB_ERROR_SERIALIZATION => Kind::Serialization,
            ffi::duckdb_error_type_DUCKDB_ERROR_FATAL | ffi::duckdb_error_type_DUCKDB_ERROR_INTERNAL => Kind::Fatal,
            _ => Kind::Other,
        };
        Failure::of(kind, message)
    }

    /// Of what kind it is where DuckDB gives the message alone, which begins with it.
    fn told(message: String) -> Failure {
        let kind = match message.split_once(" Error:").map_or("", |(kind, _)| kind) {
            "Conversion" | "Out of Range" => Kind::Conversion,
            "Constraint" => Kind::Constraint,
            "Dependency" => Kind::Dependency,
            "TransactionContext" => Kind::Transaction,
            "INTERRUPT" => Kind::Interrupt,
            "IO" => Kind::Io,
            "Out of Memory" => Kind::Memory,
            "Permission" => Kind::Permission,
            "Serialization" => Kind::Serialization,
            "FATAL" | "INTERNAL" => Kind::Fatal,
            _ => Kind::Catalog,
        };
        Failure::of(kind, message)
    }
}

type Result<T, E = Failure> = std::result::Result<T, E>;

/// DuckDB's text as ours.
///
/// # Safety
/// `text` is NULL, or ends with a zero byte.
unsafe fn text(text: *const c_char) -> String {
    match text.is_null() {
        true => "DuckDB gave no reason".to_owned(),
        // SAFETY: as above.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Failure::of(Kind::Other, "a statement, name or setting holds the character U+0000"))
}

/// An open database. It is closed when it is dropped, with what was committed written into its file.
#[derive(Debug)]
pub(crate) struct Database(ffi::duckdb_database);

// SAFETY: DuckDB's database handle may be used by any thread.
unsafe impl Send for Database {}
// SAFETY: as above; all that is done with it is opening connections, which DuckDB allows at the same time.
unsafe impl Sync for Database {}

impl Database {
    /// Opens a file, which is made where there is none; or a database in memory.
    pub(crate) fn open(path: Option<&Path>, settings: &[(&str, String)]) -> Result<Database> {
        let name =
            path.map(|path| path.to_str().ok_or_else(|| Failure::of(Kind::Io, "the path is not UTF-8"))).transpose()?;
        let name = c_string(name.unwrap_or(":memory:"))?;
        let mut config = Config(ptr::null_mut());
        // SAFETY: the pointer is to a local; the configuration is destroyed when it is dropped.
        if unsafe { ffi::duckdb_create_config(&mut config.0) } != ffi::duckdb_state_DuckDBSuccess {
            return Err(Failure::of(Kind::Memory, "no configuration can be made"));
        }
        for (setting, value) in settings {
            let (name, value) = (c_string(setting)?, c_string(value)?);
            // SAFETY: the configuration is there, and DuckDB copies both texts.
            let set = unsafe { ffi::duckdb_set_config(config.0, name.as_ptr(), value.as_ptr()) };
            if set != ffi::duckdb_state_DuckDBSuccess {
                return Err(Failure::of(Kind::Other, format!("there is no setting {setting:?} with such a value")));
            }
        }
        let (mut database, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the name and the configuration outlive the call, and the other pointers are to locals.
        let opened = unsafe { ffi::duckdb_open_ext(name.as_ptr(), &mut database, config.0, &mut error) };
        if opened == ffi::duckdb_state_DuckDBSuccess {
            return Ok(Database(database));
        }
        // SAFETY: the message is DuckDB's, and given back to it once.
        let message = unsafe {
            let message = text(error);
            ffi::duckdb_free(error.cast());
            message
        };
        Err(Failure::of(Kind::Io, message))
    }
}

/// Settings that a database is opened with.
struct Config(ffi::duckdb_config);

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: it was created, or is NULL, which is left alone; it is used no more.
        unsafe { ffi::duckdb_destroy_config(&mut self.0) }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: it was opened, and nobody uses it any more.
        unsafe { ffi::duckdb_close(&mut self.0) }
    }
}

/// A connection to it, for one thread at a time; other threads may interrupt it.
#[derive(Debug)]
pub(crate) struct Connection(ffi::duckdb_connection);

// SAFETY: DuckDB's connections may move between threads, and take a lock of their own for each call.
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: it was connected, and nobody uses it any more.
        unsafe { ffi::duckdb_disconnect(&mut self.0) }
    }
}

/// What a statement is given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Parameter {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// Microseconds from 1970-01-01 in UTC.
    Instant(i64),
    /// Values of one kind.
    List(Listed, Vec<Parameter>),
}

/// Of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Bool,
    Int,
    Text,
    Bytes,
    Instant,
}

/// A value as DuckDB has it.
struct Value(ffi::duckdb_value);

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: it was created, and is used no more.
        unsafe { ffi::duckdb_destroy_value(&mut self.0) }
    }
}

/// A type as DuckDB has it.
struct Type(ffi::duckdb_logical_type);

impl Drop for Type {
    fn drop(&mut self) {
        // SAFETY: it was created, and is used no more.
        unsafe { ffi::duckdb_destroy_logical_type(&mut self.0) }
    }
}

impl Type {
    fn of(id: ffi::duckdb_type) -> Type {
        // SAFETY: any number is taken.
        Type(unsafe { ffi::duckdb_create_logical_type(id) })
    }

    fn id(&self) -> ffi::duckdb_type {
        // SAFETY: the type is there.
        unsafe { ffi::duckdb_get_type_id(self.0) }
    }

    /// The type of a vector that Arrow's values of this type are put into.
    fn for_arrow(of: &ArrowType) -> Result<Type> {
        Ok(match of {
            ArrowType::Boolean => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN),
            ArrowType::Int64 => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT),
            // SAFETY: precision and scale are those of an Arrow decimal of 128 bits, which DuckDB's are, too.
            ArrowType::Decimal128(p, s) => Type(unsafe { ffi::duckdb_create_decimal_type(*p, s.unsigned_abs()) }),
            ArrowType::Float64 => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE),
            ArrowType::Utf8 => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR),
            ArrowType::Binary => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB),
            ArrowType::Date32 => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_DATE),
            ArrowType::Time64(TimeUnit::Nanosecond) => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME),
            ArrowType::Timestamp(_, None) => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP),
            ArrowType::Timestamp(_, Some(_)) => Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ),
            other => return Err(Failure::of(Kind::Other, format!("no vector takes values of Arrow's type {other}"))),
        })
    }
}

impl Parameter {
    fn value(&self) -> Result<Value> {
        // SAFETY: pointers are to slices that outlive the call, with their lengths; DuckDB copies what they hold.
        let value = unsafe {
            match self {
                Parameter::Null => ffi::duckdb_create_null_value(),
                Parameter::Bool(value) => ffi::duckdb_create_bool(*value),
                Parameter::Int(value) => ffi::duckdb_create_int64(*value),
                Parameter::Text(text) => ffi::duckdb_create_varchar_length(text.as_ptr().cast(), text.len() as u64),
                Parameter::Bytes(bytes) => ffi::duckdb_create_blob(bytes.as_ptr(), bytes.len() as u64),
                Parameter::Instant(micros) => {
                    ffi::duckdb_create_timestamp_tz(ffi::duckdb_timestamp { micros: *micros })
                }
                Parameter::List(listed, parts) => {
                    let of = Type::of(match listed {
                        Listed::Bool => ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN,
                        Listed::Int => ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT,
                        Listed::Text => ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR,
                        Listed::Bytes => ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB,
                        Listed::Instant => ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ,
                    });
                    let values = parts.iter().map(Parameter::value).collect::<Result<Vec<Value>>>()?;
                    let mut raw: Vec<ffi::duckdb_value> = values.iter().map(|value| value.0).collect();
                    ffi::duckdb_create_list_value(of.0, raw.as_mut_ptr(), raw.len() as u64)
                }
            }
        };
        match value.is_null() {
            true => Err(Failure::of(Kind::Conversion, "DuckDB does not take a value")),
            false => Ok(Value(value)),
        }
    }
}

/// A prepared statement.
struct Statement(ffi::duckdb_prepared_statement);

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: it was prepared, and is used no more.
        unsafe { ffi::duckdb_destroy_prepare(&mut self.0) }
    }
}

impl Connection {
    pub(crate) fn open(database: &Database) -> Result<Connection> {
        let mut connection = ptr::null_mut();
        // SAFETY: the database is open.
        match unsafe { ffi::duckdb_connect(database.0, &mut connection) } {
            ffi::duckdb_state_DuckDBSuccess => Ok(Connection(connection)),
            _ => Err(Failure::of(Kind::Memory, "no connection can be opened")),
        }
    }

    /// Ends the statement that is under way, if there is one. For any thread.
    pub(crate) fn interrupt(&self) {
        // SAFETY: the connection is open as long as this type is there.
        unsafe { ffi::duckdb_interrupt(self.0) }
    }

    /// Statements without parameters, one after the other.
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
        if !streamed {
            // SAFETY: as in `run`.
            let state = unsafe { ffi::duckdb_execute_prepared(statement.0, &mut rows.result) };
            rows.checked(state)?;
        } else {
            let mut pending = ptr::null_mut();
            // SAFETY: what is pending is destroyed on every way out, and the result with `rows`.
            unsafe {
                let mut state = ffi::duckdb_pending_prepared_streaming(statement.0, &mut pending);
                if state == ffi::duckdb_state_DuckDBSuccess {
                    state = ffi::duckdb_execute_pending(pending, &mut rows.result);
                    ffi::duckdb_destroy_pending(&mut pending);
                    rows.checked(state)?;
                } else {
                    let failed = Failure::told(text(ffi::duckdb_pending_error(pending)));
                    ffi::duckdb_destroy_pending(&mut pending);
                    return Err(failed);
                }
            }
        }
        rows.describe()?;
        Ok(rows)
    }

    /// Puts rows into a table: these columns of it, in this order.
    pub(crate) fn appender(
        &self,
        catalog: Option<&str>,
        schema: &str,
        table: &str,
        columns: &[&str],
    ) -> Result<Appender> {
        let catalog = catalog.map(c_string).transpose()?;
        let (schema, table) = (c_string(schema)?, c_string(table)?);
        let mut appender = Appender { raw: ptr::null_mut() };
        let catalog = catalog.as_ref().map_or(ptr::null(), |name| name.as_ptr());
        // SAFETY: the names outlive the calls; the appender is destroyed when it is dropped, also after a failure.
        unsafe {
            let state =
                ffi::duckdb_appender_create_ext(self.0, catalog, schema.as_ptr(), table.as_ptr(), &mut appender.raw);
            appender.checked(state)?;
            for column in columns {
                let name = c_string(column)?;
                let state = ffi::duckdb_appender_add_column(appender.raw, name.as_ptr());
                appender.checked(state)?;
            }
        }
        Ok(appender)
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

/// Rows in DuckDB's own form.
struct Chunk(ffi::duckdb_data_chunk);

impl Drop for Chunk {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it was created, and is used no more.
            unsafe { ffi::duckdb_destroy_data_chunk(&mut self.0) }
        }
    }
}

/// Arrow's type for a column that is read as it is: whole numbers that fit become one type, and so do those with a point.
fn read_as(of: &Type) -> Option<ArrowType> {
    Some(match of.id() {
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN => ArrowType::Boolean,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT | ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => ArrowType::Int64,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DECIMAL => {
            // SAFETY: the type is a decimal.
            let (p, s) = unsafe { (ffi::duckdb_decimal_width(of.0), ffi::duckdb_decimal_scale(of.0)) };
            ArrowType::Decimal128(p, s.cast_signed())
        }
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE => ArrowType::Float64,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR => ArrowType::Utf8,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB => ArrowType::Binary,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_DATE => ArrowType::Date32,
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME => ArrowType::Time64(TimeUnit::Nanosecond),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP => ArrowType::Timestamp(TimeUnit::Microsecond, None),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_NS => ArrowType::Timestamp(TimeUnit::Nanosecond, None),
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        // A statement that gives no rows says so in one column of this type.
        ffi::DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL => ArrowType::Int64,
        _ => return None,
    })
}

/// # Safety
/// The vector is flat, of the type that `of` is read from, and has so many rows.
unsafe fn read(vector: ffi::duckdb_vector, rows: usize, of: &ArrowType) -> Result<ArrayRef> {
    // SAFETY: a mask has a bit for each row; no mask means that no row is NULL.
    let nulls = unsafe {
        let mask = ffi::duckdb_vector_get_validity(vector);
        let valid = |row: usize| *mask.add(row / 64) >> (row % 64) & 1 == 1;
        (!mask.is_null()).then(|| NullBuffer::from_iter((0..rows).map(valid))).filter(|nulls| nulls.null_count() > 0)
    };
    // SAFETY: the vector is there.
    let data = unsafe { ffi::duckdb_vector_get_data(vector) };
    macro_rules! values {
        ($of:ty) => {
            // SAFETY: of a vector that is flat the data are so many values of its type, which each use names; they stay until
            // the chunk is dropped.
            unsafe { slice::from_raw_parts(data.cast::<$of>(), rows) }
        };
    }
    fn numbers<T: ArrowPrimitiveType>(
        values: impl Iterator<Item = T::Native>,
        nulls: Option<NullBuffer>,
    ) -> PrimitiveArray<T> {
        PrimitiveArray::new(values.collect::<Vec<_>>().into(), nulls)
    }
    // SAFETY: the vector is there.
    let id = Type(unsafe { ffi::duckdb_vector_get_column_type(vector) });
    Ok(match of {
        ArrowType::Boolean => Arc::new(BooleanArray::new(values!(u8).iter().map(|value| *value != 0).collect(), nulls)),
        ArrowType::Int64 if id.id() == ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => {
            Arc::new(numbers::<Int64Type>(values!(i64).iter().copied(), nulls))
        }
        ArrowType::Int64 => Arc::new(numbers::<Int64Type>(values!(i32).iter().map(|value| i64::from(*value)), nulls)),
        ArrowType::Decimal128(p, s) => {
            // SAFETY: the type is a decimal.
            let array = match unsafe { ffi::duckdb_decimal_internal_type(id.0) } {
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => {
                    numbers::<Decimal128Type>(values!(i16).iter().map(|value| i128::from(*value)), nulls)
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => {
                    numbers::<Decimal128Type>(values!(i32).iter().map(|value| i128::from(*value)), nulls)
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => {
                    numbers::<Decimal128Type>(values!(i64).iter().map(|value| i128::from(*value)), nulls)
                }
                _ => {
                    let wide = |value: &ffi::duckdb_hugeint| i128::from(value.upper) << 64 | i128::from(value.lower);
                    numbers::<Decimal128Type>(values!(ffi::duckdb_hugeint).iter().map(wide), nulls)
                }
            };
            Arc::new(array.with_data_type(ArrowType::Decimal128(*p, *s)))
        }
        ArrowType::Float64 => Arc::new(numbers::<Float64Type>(values!(f64).iter().copied(), nulls)),
        ArrowType::Date32 => Arc::new(numbers::<Date32Type>(values!(i32).iter().copied(), nulls)),
        ArrowType::Time64(_) => {
            Arc::new(numbers::<Time64NanosecondType>(values!(i64).iter().map(|value| value.wrapping_mul(1000)), nulls))
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            Arc::new(numbers::<TimestampNanosecondType>(values!(i64).iter().copied(), nulls))
        }
        ArrowType::Timestamp(_, zone) => Arc::new(
            numbers::<TimestampMicrosecondType>(values!(i64).iter().copied(), nulls).with_timezone_opt(zone.clone()),
        ),
        ArrowType::Utf8 | ArrowType::Binary => {
            let strings = values!(ffi::duckdb_string_t);
            let there = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
            let bytes = |row: usize| {
                let mut string = strings[row];
                // SAFETY: a string that is not NULL has so many bytes where it says; short ones are inside it, and are
                // copied out of the vector's own, which outlives them.
                unsafe {
                    let length = ffi::duckdb_string_t_length(string) as usize;
                    let start = match ffi::duckdb_string_is_inlined(string) {
                        true => strings.as_ptr().add(row).cast::<c_char>().add(4),
                        false => ffi::duckdb_string_t_data(&mut string),
                    };
                    slice::from_raw_parts(start.cast::<u8>(), length)
                }
            };
            if *of == ArrowType::Binary {
                let mut out = BinaryBuilder::with_capacity(rows, 0);
                (0..rows).for_each(|row| out.append_option(there(&row).then(|| bytes(row))));
                Arc::new(out.finish())
            } else {
                let mut out = StringBuilder::with_capacity(rows, 0);
                for row in 0..rows {
                    let text = there(&row).then(|| std::str::from_utf8(bytes(row))).transpose();
                    out.append_option(
                        text.map_err(|_| Failure::of(Kind::Conversion, "a text of the table is not UTF-8"))?,
                    );
                }
                Arc::new(out.finish())
            }
        }
        other => return Err(Failure::of(Kind::Other, format!("no vector gives values of Arrow's type {other}"))),
    })
}

/// Puts rows into a table. What it was given goes with the transaction; [`Appender::finish`] says that all of it went.
pub(crate) struct Appender {
    raw: ffi::duckdb_appender,
}

impl Drop for Appender {
    fn drop(&mut self) {
        // SAFETY: an appender that failed at its beginning is there as well.
        unsafe {
            if !self.raw.is_null() {
                // Rows that wait are dropped: whoever wanted them asked for the end.
                ffi::duckdb_appender_clear(self.raw);
                ffi::duckdb_appender_destroy(&mut self.raw);
            }
        }
    }
}

impl Appender {
    fn checked(&self, state: ffi::duckdb_state) -> Result<()> {
        if state == ffi::duckdb_state_DuckDBSuccess {
            return Ok(());
        }
        // SAFETY: the appender is there, and says what went wrong with it.
        unsafe {
            let mut data = ffi::duckdb_appender_error_data(self.raw);
            let code = ffi::duckdb_error_data_error_type(data);
            let failure = Failure::new(code, text(ffi::duckdb_error_data_message(data)));
            ffi::duckdb_destroy_error_data(&mut data);
            Err(failure)
        }
    }

    /// Appends rows: the columns that the appender was made for, in their order.
    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        let types =
            batch.schema_ref().fields().iter().map(|f| Type::for_arrow(f.data_type())).collect::<Result<Vec<_>>>()?;
        let mut raw: Vec<ffi::duckdb_logical_type> = types.iter().map(|of| of.0).collect();
        // SAFETY: the types are there; the chunk is destroyed when it is dropped.
        let (chunk, most) = unsafe {
            let chunk = Chunk(ffi::duckdb_create_data_chunk(raw.as_mut_ptr(), raw.len() as u64));
            (chunk, ffi::duckdb_vector_size() as usize)
        };
        let mut at = 0;
        while at < batch.num_rows() {
            let part = batch.slice(at, most.min(batch.num_rows() - at));
            // SAFETY: the chunk has these columns, each with room for as many rows as the part has at most.
            unsafe {
                ffi::duckdb_data_chunk_reset(chunk.0);
                for (column, array) in part.columns().iter().enumerate() {
                    write(ffi::duckdb_data_chunk_get_vector(chunk.0, column as u64), array)?;
                }
                ffi::duckdb_data_chunk_set_size(chunk.0, part.num_rows() as u64);
                let state = ffi::duckdb_append_data_chunk(self.raw, chunk.0);
                self.checked(state)?;
            }
            at += part.num_rows();
        }
        Ok(())
    }

    /// Ends it; an error where some of the rows do not go in.
    pub(crate) fn finish(self) -> Result<()> {
        // SAFETY: the appender is there.
        let state = unsafe { ffi::duckdb_appender_close(self.raw) };
        self.checked(state)
    }
}

/// # Safety
/// The vector is of the type for the array's, and has room for its rows.
unsafe fn write(vector: ffi::duckdb_vector, array: &ArrayRef) -> Result<()> {
    let rows = array.len();
    // SAFETY: the vector is there.
    let data: *mut c_void = unsafe { ffi::duckdb_vector_get_data(vector) };
    macro_rules! put {
        ($of:ty, $values:expr) => {{
            let room = data.cast::<$of>();
            for (row, value) in (0..rows).zip($values) {
                let value: $of = value;
                // SAFETY: there is room for so many values of the vector's type, which each use names. What is there may be
                // anything, and is not looked at.
                unsafe { room.add(row).write(value) }
            }
        }};
    }
    let strings = |bytes: &dyn Fn(usize) -> *const u8, lengths: &dyn Fn(usize) -> usize| {
        for row in (0..rows).filter(|row| array.is_valid(*row)) {
            // SAFETY: the pointer is to so many bytes of the array, which DuckDB copies.
            unsafe {
                ffi::duckdb_vector_assign_string_element_len(
                    vector,
                    row as u64,
                    bytes(row).cast(),
                    lengths(row) as u64,
                );
            }
        }
    };
    match array.data_type() {
        ArrowType::Boolean => put!(u8, array.as_boolean().values().iter().map(u8::from)),
        ArrowType::Int64 => put!(i64, array.as_primitive::<Int64Type>().values().iter().copied()),
        ArrowType::Float64 => put!(f64, array.as_primitive::<Float64Type>().values().iter().map(|value| value + 0.0)),
        ArrowType::Date32 => put!(i32, array.as_primitive::<Date32Type>().values().iter().copied()),
        ArrowType::Time64(_) => {
            put!(i64, array.as_primitive::<Time64NanosecondType>().values().iter().map(|value| value / 1000))
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            put!(
                i64,
                array.as_primitive::<TimestampNanosecondType>().values().iter().map(|value| value.div_euclid(1000))
            )
        }
        ArrowType::Timestamp(_, _) => {
            put!(i64, array.as_primitive::<TimestampMicrosecondType>().values().iter().copied())
        }
        ArrowType::Decimal128(_, _) => {
            let values = array.as_any().downcast_ref::<Decimal128Array>().map(|array| array.values().iter().copied());
            let values = values.ok_or_else(|| Failure::of(Kind::Other, "a decimal that is none"))?;
            // SAFETY: the vector is there, and a decimal.
            let of = unsafe {
                let of = Type(ffi::duckdb_vector_get_column_type(vector));
                ffi::duckdb_decimal_internal_type(of.0)
            };
            // What is NULL may be any number, and is not looked at.
            match of {
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => put!(i16, values.map(|value| value as i16)),
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => put!(i32, values.map(|value| value as i32)),
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => put!(i64, values.map(|value| value as i64)),
                _ => put!(
                    ffi::duckdb_hugeint,
                    values.map(|value| ffi::duckdb_hugeint { lower: value as u64, upper: (value >> 64) as i64 })
                ),
            }
        }
        ArrowType::Utf8 => {
            let texts = array.as_string::<i32>();
            strings(&|row| texts.value(row).as_ptr(), &|row| texts.value(row).len());
        }
        ArrowType::Binary => {
            let values = array.as_binary::<i32>();
            strings(&|row| values.value(row).as_ptr(), &|row| values.value(row).len());
        }
        other => return Err(Failure::of(Kind::Other, format!("no vector takes values of Arrow's type {other}"))),
    }
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        // SAFETY: the mask is made first, and has a bit for each row.
        unsafe {
            ffi::duckdb_vector_ensure_validity_writable(vector);
            let mask = ffi::duckdb_vector_get_validity(vector);
            for row in (0..rows).filter(|row| nulls.is_null(*row)) {
                *mask.add(row / 64) &= !(1 << (row % 64));
            }
        }
    }
    Ok(())
}

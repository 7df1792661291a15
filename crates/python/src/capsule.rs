//! The Arrow C stream interface: batches from and for any library, without a copy.
//! <https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>

use arrow::{
    array::{
        Array, AsArray, GenericStringArray, OffsetSizeTrait, RecordBatch, RecordBatchReader, StringViewArray,
        StructArray, make_array,
    },
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
    ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi},
    ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream},
    record_batch::RecordBatchIterator,
};
use pyo3::{exceptions::PyValueError, ffi, prelude::*, types::PyCapsule};
use std::{ffi::CStr, str::from_utf8};

const STREAM: &CStr = c"arrow_array_stream";
const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// Batches that came from another library, or that one asks for.
pub(crate) type Reader = Box<dyn RecordBatchReader + Send>;

/// Batches of another library, of which it is not known whether their texts are any.
struct Checked<R>(R);

impl<R: RecordBatchReader> Iterator for Checked<R> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.and_then(|batch| texts(&batch).map(|()| batch)))
    }
}

impl<R: RecordBatchReader> RecordBatchReader for Checked<R> {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }
}

/// The batches of an object that has any; `None` where it has no such interface.
pub(crate) fn import(object: &Bound<'_, PyAny>) -> PyResult<Option<Reader>> {
    if let Ok(method) = object.getattr("__arrow_c_stream__") {
        let capsule = method.call0()?;
        return stream(capsule.cast::<PyCapsule>()?).map(Some);
    }
    if let Ok(method) = object.getattr("__arrow_c_array__") {
        let (schema, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) = method.call0()?.extract()?;
        return one(schema.cast()?, array.cast()?).map(Some);
    }
    Ok(None)
}

fn failed(error: ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[expect(unsafe_code, reason = "the interface is made of pointers; the capsule's name says what its own is of")]
fn stream(capsule: &Bound<'_, PyCapsule>) -> PyResult<Reader> {
    let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name holds such a structure as long as it lives. The stream is moved out of it, and what
    // is left in its place is released, as the interface asks of a consumer.
    let reader = unsafe { ArrowArrayStreamReader::from_raw(pointer.as_ptr()) };
    Ok(Box::new(Checked(reader.map_err(failed)?)))
}

#[expect(unsafe_code, reason = "as above")]
fn one(schema: &Bound<'_, PyCapsule>, array: &Bound<'_, PyCapsule>) -> PyResult<Reader> {
    let of = schema.pointer_checked(Some(SCHEMA))?.cast::<FFI_ArrowSchema>();
    let data = array.pointer_checked(Some(ARRAY))?.cast::<FFI_ArrowArray>();
    // SAFETY: capsules of these names hold such structures as long as they live. The array is moved out of its capsule, and
    // what is left there is released; the schema is looked at only.
    let data = unsafe { from_ffi(FFI_ArrowArray::from_raw(data.as_ptr()), of.as_ref()) }.map_err(failed)?;
    let array = make_array(data);
    let Some(rows) = array.as_any().downcast_ref::<StructArray>() else {
        return Err(PyValueError::new_err("an Arrow array that is no table: give it columns, as a record batch has"));
    };
    if rows.null_count() > 0 {
        return Err(PyValueError::new_err("rows that are NULL as a whole: filter them out, or give their columns"));
    }
    let batch = RecordBatch::from(rows);
    texts(&batch).map_err(failed)?;
    let schema = batch.schema();
    Ok(Box::new(RecordBatchIterator::new([Ok(batch)], schema)))
}

/// An error where a text is not UTF-8: Rust takes every text for such, and databases cut or drop what is not.
fn texts(batch: &RecordBatch) -> Result<(), ArrowError> {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let told = |what: String| ArrowError::InvalidArgumentError(format!("column {:?}: {what}", field.name()));
        let wrong = match column.data_type() {
            DataType::Utf8 => column.as_string_opt::<i32>().and_then(wrong),
            DataType::LargeUtf8 => column.as_string_opt::<i64>().and_then(wrong),
            DataType::Utf8View => column.as_string_view_opt().and_then(wrong_view),
            kind if kind.is_nested() || matches!(kind, DataType::Dictionary(..) | DataType::RunEndEncoded(..)) => {
                column.to_data().validate_full().map_err(|error| told(error.to_string()))?;
                None
            }
            _ => None,
        };
        if let Some(row) = wrong {
            return Err(told(format!("the text of its row {} is not UTF-8", row + 1)));
        }
    }
    Ok(())
}

/// The first row of which the text is not UTF-8. What stands where a row is NULL counts for nothing.
fn wrong<O: OffsetSizeTrait>(texts: &GenericStringArray<O>) -> Option<usize> {
    let offsets = texts.value_offsets();
    let (first, last) = (offsets.first()?.as_usize(), offsets.last()?.as_usize());
    let is_text =
        |from: usize, to: usize| texts.value_data().get(from..to).is_some_and(|bytes| from_utf8(bytes).is_ok());
    // All of them at once, if none is cut within a character.
    if let Some(all) = texts.value_data().get(first..last).and_then(|bytes| from_utf8(bytes).ok())
        && offsets.iter().all(|at| at.as_usize().checked_sub(first).is_some_and(|at| all.is_char_boundary(at)))
    {
        return None;
    }
    (0..texts.len()).find(|row| texts.is_valid(*row) && !is_text(offsets[*row].as_usize(), offsets[row + 1].as_usize()))
}

/// The same of texts that lie apart.
fn wrong_view(texts: &StringViewArray) -> Option<usize> {
    let bytes = texts.clone().to_binary_view();
    (0..bytes.len()).find(|row| bytes.is_valid(*row) && from_utf8(bytes.value(*row)).is_err())
}

/// The same for another library.
pub(crate) fn export<'py>(py: Python<'py>, reader: Reader) -> PyResult<Bound<'py, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), STREAM)
}

/// Python, for who asks for the rows of a stream; `None` where there is none any more. Who asks may have given the GIL
/// away, and PyO3 does not look: a thread on which it is at work already (in a load whose source reads) it takes for one
/// that has it.
#[expect(unsafe_code, reason = "PyO3 has no other way to get what it takes for given")]
pub(crate) fn attached<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    struct Held(ffi::PyGILState_STATE);
    impl Drop for Held {
        fn drop(&mut self) {
            // SAFETY: on the thread that asked for it, after all that it was wanted for.
            unsafe { ffi::PyGILState_Release(self.0) }
        }
    }
    // SAFETY: any thread may ask at any time.
    if unsafe { ffi::Py_IsInitialized() } == 0 {
        return None;
    }
    // SAFETY: an interpreter is there; whether this thread has its GIL or not does not matter.
    let _held = Held(unsafe { ffi::PyGILState_Ensure() });
    Python::try_attach(work)
}

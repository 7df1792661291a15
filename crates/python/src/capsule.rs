//! The Arrow C stream interface: batches from and for any library, without a copy.
//! <https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>

use arrow::array::{Array, RecordBatch};
use arrow::{
    array::{RecordBatchReader, StructArray, make_array},
    error::ArrowError,
    ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi},
    ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream},
    record_batch::RecordBatchIterator,
};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyCapsule};
use std::ffi::CStr;

const STREAM: &CStr = c"arrow_array_stream";
const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// Batches that came from another library, or that one asks for.
pub(crate) type Reader = Box<dyn RecordBatchReader + Send>;

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
    Ok(Box::new(reader.map_err(failed)?))
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
    let schema = batch.schema();
    Ok(Box::new(RecordBatchIterator::new([Ok(batch)], schema)))
}

/// The same for another library.
pub(crate) fn export<'py>(py: Python<'py>, reader: Reader) -> PyResult<Bound<'py, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), STREAM)
}

//! Rows on their way into a statement: a table function that gives them as they are handed over by another thread.

use super::{Connection, Failure, Kind, Result, c_string, value::Type, vectors::write};
use arrow::{
    array::RecordBatch,
    datatypes::{DataType as ArrowType, Field},
};
use libduckdb_sys as ffi;
use std::{
    collections::HashMap,
    ffi::c_void,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

/// The function's name. It is given the number of a feed.
const NAME: &str = "_floodmark_rows";

/// Batches that wait.
const AHEAD: usize = 2;

/// Those of a database. Statements name them by number.
#[derive(Debug, Default)]
pub(super) struct Feeds(Mutex<(i64, HashMap<i64, Weak<Feed>>)>);

/// Where a statement reads rows from.
pub(crate) struct Feed {
    number: i64,
    types: Vec<ArrowType>,
    coming: Mutex<Coming>,
    broken_off: AtomicBool,
}

/// Rows that have come, and those that will; nothing (`None`) of either once no more are wanted.
struct Coming {
    receiver: Option<Receiver<Option<RecordBatch>>>,
    batch: Option<RecordBatch>,
}

/// Where these come from. Dropped before its end it breaks the statement off.
pub(crate) struct Feeder(SyncSender<Option<RecordBatch>>);

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("number", &self.number).field("types", &self.types).finish_non_exhaustive()
    }
}

impl Feeds {
    pub(super) fn open(&self, types: Vec<ArrowType>) -> (Arc<Feed>, Feeder) {
        let (sender, receiver) = sync_channel(AHEAD);
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, open) = &mut *guard;
        *last += 1;
        let coming = Mutex::new(Coming { receiver: Some(receiver), batch: None });
        let feed = Arc::new(Feed { number: *last, types, coming, broken_off: AtomicBool::new(false) });
        open.retain(|_, feed| feed.strong_count() > 0);
        open.insert(*last, Arc::downgrade(&feed));
        (feed, Feeder(sender))
    }

    fn get(&self, number: i64) -> Option<Arc<Feed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.get(&number)?.upgrade()
    }

    /// Makes the function known to a database.
    pub(super) fn register(self: &Arc<Self>, connection: &Connection) -> Result<()> {
        let name = c_string(NAME)?;
        let number = Type::of(ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT);
        let own = Arc::into_raw(self.clone()).cast_mut().cast::<c_void>();
        // SAFETY: the function is destroyed after the database has its own copy; what it is given goes with the last of these.
        let state = unsafe {
            let mut function = ffi::duckdb_create_table_function();
            ffi::duckdb_table_function_set_name(function, name.as_ptr());
            ffi::duckdb_table_function_add_parameter(function, number.0);
            ffi::duckdb_table_function_set_extra_info(function, own, Some(forget_feeds));
            ffi::duckdb_table_function_set_bind(function, Some(bind));
            ffi::duckdb_table_function_set_init(function, Some(begin));
            ffi::duckdb_table_function_set_function(function, Some(give));
            let state = ffi::duckdb_register_table_function(connection.0, function);
            ffi::duckdb_destroy_table_function(&mut function);
            state
        };
        match state {
            ffi::duckdb_state_DuckDBSuccess => Ok(()),
            _ => Err(Failure::of(Kind::Other, "the function that gives rows cannot be made known")),
        }
    }
}

impl Feeder {
    /// Hands rows over, and waits where others wait. Whether anybody wants them.
    pub(crate) fn send(&self, batch: &RecordBatch) -> bool {
        self.0.send(Some(batch.clone())).is_ok()
    }

    /// Says that all were handed over. Whether anybody wanted them.
    pub(crate) fn finish(self) -> bool {
        self.0.send(None).is_ok()
    }
}

impl Feed {
    /// Its rows, as a query.
    pub(crate) fn query(&self) -> String {
        format!("SELECT * FROM {NAME}({})", self.number)
    }

    /// Nothing more is read: whoever hands rows over is told.
    pub(crate) fn close(&self) {
        *self.coming() = Coming { receiver: None, batch: None };
    }

    /// Whether its statement failed because whoever handed rows over gave up.
    pub(crate) fn broken_off(&self) -> bool {
        self.broken_off.load(Ordering::Relaxed)
    }

    fn coming(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next rows, at most so many; nothing after the last.
    fn next(&self, most: usize) -> Result<Option<RecordBatch>> {
        let mut coming = self.coming();
        loop {
            if let Some(batch) = coming.batch.take().filter(|batch| batch.num_rows() > 0) {
                let rows = most.min(batch.num_rows());
                coming.batch = Some(batch.slice(rows, batch.num_rows() - rows));
                return Ok(Some(batch.slice(0, rows)));
            }
            match coming.receiver.as_ref().map(Receiver::recv) {
                Some(Ok(Some(batch))) if self.fits(&batch) => coming.batch = Some(batch),
                Some(Ok(Some(_))) => return Err(Failure::of(Kind::Other, "rows of other types than were announced")),
                None | Some(Ok(None)) => return Ok(None),
                Some(Err(_)) => {
                    self.broken_off.store(true, Ordering::Relaxed);
                    return Err(Failure::of(Kind::Other, "the rows broke off"));
                }
            }
        }
    }

    /// Whether a vector of each announced type takes the column that came.
    fn fits(&self, batch: &RecordBatch) -> bool {
        let alike = |(field, of): (&Arc<Field>, &ArrowType)| match (field.data_type(), of) {
            (ArrowType::Timestamp(_, ours), ArrowType::Timestamp(_, its)) => ours.is_some() == its.is_some(),
            (ours, its) => ours == its,
        };
        let fields = batch.schema_ref().fields();
        fields.len() == self.types.len() && fields.iter().zip(&self.types).all(alike)
    }

    /// # Safety
    /// The chunk has columns of the announced types.
    unsafe fn put(&self, chunk: ffi::duckdb_data_chunk) -> Result<()> {
        // SAFETY: a question of a constant.
        let rows = self.next(unsafe { ffi::duckdb_vector_size() } as usize)?;
        let columns = rows.as_ref().map_or(&[][..], |rows| rows.columns());
        // SAFETY: the rows are of these types, and no more than a vector has room for.
        unsafe {
            for (column, array) in columns.iter().enumerate() {
                write(ffi::duckdb_data_chunk_get_vector(chunk, column as u64), array)?;
            }
            ffi::duckdb_data_chunk_set_size(chunk, rows.map_or(0, |rows| rows.num_rows()) as u64);
        }
        Ok(())
    }
}

/// A panic does not pass through DuckDB.
fn guarded(run: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Failure::of(Kind::Other, "a panic while rows were read")))
}

/// # Safety
/// `own` is of [`Feeds::register`].
unsafe extern "C" fn forget_feeds(own: *mut c_void) {
    // SAFETY: it was made of such an `Arc`, and is given back once.
    drop(unsafe { Arc::from_raw(own.cast_const().cast::<Feeds>()) });
}

/// # Safety
/// `own` is of [`bind`].
unsafe extern "C" fn forget_feed(own: *mut c_void) {
    // SAFETY: it was made of such an `Arc`, and is given back once.
    drop(unsafe { Arc::from_raw(own.cast_const().cast::<Feed>()) });
}

/// # Safety
/// DuckDB calls it, for a function that was registered here.
unsafe extern "C" fn bind(info: ffi::duckdb_bind_info) {
    let announce = || {
        // SAFETY: the function has its feeds as long as it is there, and one parameter, which is given back.
        let (feeds, number) = unsafe {
            let feeds = &*ffi::duckdb_bind_get_extra_info(info).cast_const().cast::<Feeds>();
            let mut value = ffi::duckdb_bind_get_parameter(info, 0);
            let number = ffi::duckdb_get_int64(value);
            ffi::duckdb_destroy_value(&mut value);
            (feeds, number)
        };
        let feed =
            feeds.get(number).ok_or_else(|| Failure::of(Kind::Other, format!("no rows have number {number}")))?;
        for (n, of) in feed.types.iter().enumerate() {
            let (name, of) = (c_string(&format!("c{n}"))?, Type::for_arrow(of)?);
            // SAFETY: DuckDB copies both.
            unsafe { ffi::duckdb_bind_add_result_column(info, name.as_ptr(), of.0) }
        }
        // SAFETY: what is bound goes with the statement, which gives it back.
        unsafe { ffi::duckdb_bind_set_bind_data(info, Arc::into_raw(feed).cast_mut().cast(), Some(forget_feed)) }
        Ok(())
    };
    if let Err(failure) = guarded(announce) {
        let message = c_string(&failure.message).unwrap_or_default();
        // SAFETY: DuckDB copies the message.
        unsafe { ffi::duckdb_bind_set_error(info, message.as_ptr()) }
    }
}

/// # Safety
/// DuckDB calls it, for a function that was registered here.
unsafe extern "C" fn begin(info: ffi::duckdb_init_info) {
    // One thread, so that rows stay in their order.
    // SAFETY: a number.
    unsafe { ffi::duckdb_init_set_max_threads(info, 1) }
}

/// # Safety
/// DuckDB calls it, for what was bound here.
unsafe extern "C" fn give(info: ffi::duckdb_function_info, output: ffi::duckdb_data_chunk) {
    // SAFETY: what was bound is there as long as its statement, and the chunk has the columns that were announced.
    let given = guarded(|| unsafe {
        let feed = &*ffi::duckdb_function_get_bind_data(info).cast_const().cast::<Feed>();
        feed.put(output)
    });
    if let Err(failure) = given {
        let message = c_string(&failure.message).unwrap_or_default();
        // SAFETY: DuckDB copies the message.
        unsafe { ffi::duckdb_function_set_error(info, message.as_ptr()) }
    }
}

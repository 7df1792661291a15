//! What a table is at one version. Log entries and checkpoints are read by Delta's own library; what it makes of them is
//! taken as it lies in the log, paths and statistics above all.

use super::{
    actions::{self, Action, Add, MetaData, Protocol, Texts},
    dataset::{self, Manifest},
    fields::{self, Field},
    stats, support,
};
use crate::{
    data::DataFile,
    failure,
    lake::{Kind, Table},
    store::runtime,
};
use arrow::array::{Array, AsArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType as ArrowType, Int64Type};
use deltalake_core::{
    DeltaTableError,
    kernel::{Snapshot as Kernel, engine::arrow_data::ArrowEngineData},
    logstore::{LogStoreRef, StorageConfig, default_logstore},
};
use floodmark_core::{Code, Column, Error, Result, Schema};
use futures::StreamExt;
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};
use url::Url;

/// How often a list is asked for that lacks what is there, and how long is waited in between: each time longer.
const LISTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(300);

/// A version of a table.
pub struct Snapshot {
    /// Counted from zero.
    pub version: u64,
    /// Without columns of types that are not loaded.
    pub schema: Schema,
    /// Columns whose values the log tells, in the order of their folders.
    pub partition_by: Vec<String>,
    /// Columns that the table does not let be NULL.
    pub required: Vec<String>,
    pub(crate) fields: Vec<Field>,
    log: Log,
    table: Table,
    files: OnceLock<Vec<DataFile>>,
}

/// What says which files are the table.
enum Log {
    Delta { kernel: Arc<Kernel>, protocol: Protocol, metadata: Box<MetaData> },
    Dataset(Arc<Manifest>),
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at version {}", self.table.name, self.version)
    }
}

impl Snapshot {
    /// Which table it is, also where another one was made in its place; `None` of a folder.
    pub(crate) fn id(&self) -> Option<&str> {
        match &self.log {
            Log::Delta { metadata, .. } => Some(&metadata.id),
            Log::Dataset(_) => None,
        }
    }

    pub(crate) fn newest(table: &Table) -> Result<Option<Snapshot>> {
        let mut known = None;
        for tries in 1..=LISTS {
            let found = Snapshot::listed(table)?;
            let next = found.as_ref().map_or(0, |found| found.version + 1);
            // A list may be late. What is asked for by its name is not.
            let path = actions::entry(next);
            let late = table.kind == Kind::Delta && table.place.has(&path).map_err(|e| table.read_failed(&path, &e))?;
            // Where writers are quick, a list that has what was there before it is as good as any.
            if !late || known.is_some_and(|known| next > known) {
                if found.is_none() {
                    nothing_else(table)?;
                }
                return Ok(found);
            }
            known = Some(next);
            if tries < LISTS {
                thread::sleep(PAUSE * tries);
            }
        }
        let version = known.unwrap_or_default();
        Err(Error::new(
            Code::DestinationOpen,
            format!("the store's list of the log lacks version {version}, which is there"),
        )
        .in_file(&table.name)
        .help("the store's lists are late, or what stands between gives old ones: run again later"))
    }

    /// As the store's list has it.
    fn listed(table: &Table) -> Result<Option<Snapshot>> {
        if table.kind == Kind::Dataset {
            return match dataset::newest(table)? {
                Some(manifest) => Snapshot::of_dataset(table, Arc::new(manifest)).map(Some),
                None => Ok(None),
            };
        }
        let store = log_store(table)?;
        match runtime()?.block_on(Kernel::try_new(store.as_ref(), None)) {
            Ok(kernel) => Snapshot::of(table, Arc::new(kernel)).map(Some),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(e) => Err(failed(table, e)),
        }
    }

    fn of(table: &Table, kernel: Arc<Kernel>) -> Result<Snapshot> {
        let internal = |e| Error::internal("a table's metadata is not JSON").cause(e);
        let protocol: Protocol =
            serde_json::to_value(kernel.protocol()).and_then(serde_json::from_value).map_err(internal)?;
        let metadata: MetaData =
            serde_json::to_value(kernel.metadata()).and_then(serde_json::from_value).map_err(internal)?;
        support::check_read(&table.name, &protocol, &metadata)?;
        let fields = fields::parse(&table.name, &metadata.schema_string)?;
        let columns = fields.iter().filter_map(|field| Some(Column::new(&field.name, field.column()?)));
        let schema = Schema { columns: columns.collect() };
        let required = fields.iter().filter(|field| !field.nullable).map(|field| field.name.clone()).collect();
        let (version, partition_by) = (kernel.version(), metadata.partition_columns.clone());
        let (table, files) = (table.clone(), OnceLock::new());
        let log = Log::Delta { kernel, protocol, metadata: Box::new(metadata) };
        Ok(Snapshot { version, schema, partition_by, required, fields, log, table, files })
    }

    fn of_dataset(table: &Table, manifest: Arc<Manifest>) -> Result<Snapshot> {
        let fields = fields::merged(&table.name, &[], &manifest.schema)?;
        let (schema, partition_by) = (manifest.schema.clone(), manifest.partition_by.clone());
        let (version, required, files) = (manifest.version, Vec::new(), OnceLock::new());
        let (table, log) = (table.clone(), Log::Dataset(manifest));
        Ok(Snapshot { version, schema, partition_by, required, fields, log, table, files })
    }

    pub(crate) fn protocol(&self) -> Option<&Protocol> {
        if let Log::Delta { protocol, .. } = &self.log { Some(protocol) } else { None }
    }

    pub(crate) fn metadata(&self) -> Option<&MetaData> {
        if let Log::Delta { metadata, .. } = &self.log { Some(metadata) } else { None }
    }

    pub(crate) fn manifest(&self) -> Option<&Arc<Manifest>> {
        if let Log::Dataset(manifest) = &self.log { Some(manifest) } else { None }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The files that are the table. They are asked for once, when they are first needed.
    pub fn files(&self) -> Result<&[DataFile]> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let files = self.list_files()?;
        Ok(self.files.get_or_init(|| files))
    }

    fn list_files(&self) -> Result<Vec<DataFile>> {
        let kernel = match &self.log {
            Log::Delta { kernel, .. } => kernel,
            Log::Dataset(manifest) => {
                let adds = manifest.files.iter().cloned();
                let file = |add| stats::file(&self.table, add, &self.fields, &self.partition_by);
                return adds.map(file).collect();
            }
        };
        let store = log_store(&self.table)?;
        let batches = runtime()?.block_on(async {
            let scan = kernel.scan_builder().build().map_err(|e| failed(&self.table, e))?;
            let mut stream = scan.scan_metadata(store.engine(None));
            let mut batches = Vec::new();
            while let Some(part) = stream.next().await {
                let (data, chosen) = part.map_err(|e| failed(&self.table, e))?.scan_files.into_parts();
                let data = ArrowEngineData::try_from_engine_data(data).map_err(|e| failed(&self.table, e.into()))?;
                batches.push((RecordBatch::from(*data), chosen));
            }
            Ok::<_, Error>(batches)
        })?;
        let mut files = Vec::new();
        for (batch, chosen) in batches {
            for row in 0..batch.num_rows() {
                if chosen.get(row).copied().unwrap_or(true)
                    && let Some(add) = add_of(&batch, row)
                {
                    files.push(stats::file(&self.table, add, &self.fields, &self.partition_by)?);
                }
            }
        }
        Ok(files)
    }

    /// The version that an application's last transaction has.
    pub fn transaction(&self, app: &str) -> Result<Option<i64>> {
        let kernel = match &self.log {
            Log::Delta { kernel, .. } => kernel,
            Log::Dataset(manifest) => return Ok(manifest.transactions.get(app).copied()),
        };
        let store = log_store(&self.table)?;
        runtime()?.block_on(async {
            let scan = kernel.scan_builder().with_skip_stats(true).build().map_err(|e| failed(&self.table, e))?;
            let (snapshot, engine, app) = (Arc::clone(scan.snapshot()), store.engine(None), app.to_owned());
            let read = tokio::task::spawn_blocking(move || snapshot.get_app_id_version(&app, engine.as_ref())).await;
            let read = read.map_err(|e| Error::internal("a log was not read").cause(e))?;
            read.map_err(|e| failed(&self.table, e.into()))
        })
    }

    /// The table as it is now. What is known of its files is kept, and changed by the new entries alone.
    pub fn refresh(self) -> Result<Snapshot> {
        let Log::Delta { kernel, .. } = &self.log else {
            let newest = Snapshot::newest(&self.table)?;
            return newest.ok_or_else(|| failure::unsuited(&self.table.name, "the table is gone"));
        };
        let store = log_store(&self.table)?;
        let updated = runtime()?.block_on(async { Arc::clone(kernel).update(store.engine(None), None).await });
        let updated = updated.map_err(|e| failed(&self.table, e))?;
        if updated.version() == self.version {
            return Ok(self);
        }
        let after = Snapshot::of(&self.table, updated)?;
        let Some(mut files) = self.files.into_inner() else { return Ok(after) };
        let mut gone = HashSet::new();
        let mut added = BTreeMap::new();
        for version in self.version + 1..=after.version {
            let Some(entry) = read_entry(&self.table, version)? else { return Ok(after) };
            for action in entry {
                match action {
                    Action { meta_data: Some(_), .. } => return Ok(after),
                    Action { add: Some(add), .. } => {
                        gone.insert(add.path.clone());
                        added.insert(add.path.clone(), add);
                    }
                    Action { remove: Some(remove), .. } => {
                        added.remove(&remove.path);
                        gone.insert(remove.path);
                    }
                    _ => {}
                }
            }
        }
        files.retain(|file| !gone.contains(&file.path));
        for add in added.into_values() {
            files.push(stats::file(&self.table, add, &after.fields, &after.partition_by)?);
        }
        Ok(Snapshot { files: OnceLock::from(files), ..after })
    }

    /// What columns are in files where that is a narrower type than ours, of those that a schema leaves as they are.
    pub(crate) fn narrow(&self, schema: &Schema) -> Vec<(String, ArrowType)> {
        let kept =
            |field: &&Field| schema.get(&field.name).is_some_and(|column| field.column() == Some(column.data_type));
        self.fields.iter().filter(kept).filter_map(|field| Some((field.name.clone(), field.narrow()?))).collect()
    }

    /// A column by its name; an error for one that is not there, or is of a type that is not loaded.
    pub fn column(&self, name: &str) -> Result<&Column> {
        if let Some(column) = self.schema.get(name) {
            return Ok(column);
        }
        let error = match self.fields.iter().find(|field| field.name == name) {
            Some(field) => Error::new(
                Code::TableShape,
                format!("column {name:?} is of type {}, which is not loaded", field.shown_type()),
            )
            .help("leave the column out, or have the program that writes the table write its parts as columns"),
            None => Error::new(Code::TableShape, format!("the table has no column {name:?}"))
                .help(format!("it has {}", self.schema.names().join(", "))),
        };
        Err(error.in_file(&self.table.name))
    }

    /// Columns of types that are not loaded, and what they are.
    pub fn left_out(&self) -> Vec<(&str, String)> {
        let others = self.fields.iter().filter(|field| field.column().is_none());
        others.map(|field| (field.name.as_str(), field.shown_type())).collect()
    }

    /// An error where the table asks of its writers what is not done; with `removes`, also where it takes new rows alone.
    pub fn check_writable(&self, removes: bool) -> Result<()> {
        match &self.log {
            Log::Delta { protocol, metadata, .. } => {
                support::check_write(&self.table.name, protocol, metadata, &self.fields, removes)
            }
            Log::Dataset(_) => Ok(()),
        }
    }

    /// A property of the table.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.metadata()?.configuration.get(name).map(String::as_str)
    }

    /// Writes down the whole state, so that whoever reads the table need not read every entry.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let Log::Delta { kernel, .. } = &self.log else { return Ok(()) };
        let store = log_store(&self.table)?;
        runtime()?.block_on(async {
            let scan = kernel.scan_builder().with_skip_stats(true).build().map_err(|e| failed(&self.table, e))?;
            let (snapshot, engine) = (Arc::clone(scan.snapshot()), store.engine(None));
            let written =
                tokio::task::spawn_blocking(move || snapshot.checkpoint(engine.as_ref(), None).map(drop)).await;
            let written = written.map_err(|e| Error::internal("a checkpoint was not written").cause(e))?;
            written.map_err(|e| failed(&self.table, e.into()))
        })
    }
}

/// The log as the library sees it. It lists a folder of this machine, whose files come in any order, and so it sorts them.
pub(crate) fn log_store(table: &Table) -> Result<LogStoreRef> {
    let root = Url::parse("file:///").map_err(|e| Error::internal("a root is no URL").cause(e))?;
    let store = || Arc::clone(&table.place.store);
    Ok(default_logstore(store(), store(), &root, &StorageConfig::default()))
}

pub(crate) fn read_entry(table: &Table, version: u64) -> Result<Option<Vec<Action>>> {
    let path = actions::entry(version);
    let bytes = table.place.get(&path).map_err(|e| table.read_failed(&path, &e))?;
    bytes.map(|bytes| actions::parse(&bytes, &format!("{}/{path}", table.name))).transpose()
}

/// What a load left that never came to its commit is nothing; anything else without a log is somebody's.
fn nothing_else(table: &Table) -> Result<()> {
    let folder = object_store::path::Path::default();
    let there = table.place.list(None).map_err(|e| table.read_failed(&folder, &e))?;
    let other = there.iter().find(|file| {
        let name = file.location.filename().unwrap_or_default();
        let data = name.strip_prefix("part-").and_then(|name| name.strip_suffix(".zstd.parquet"));
        // What was to become an entry of the log: see `Place::put_new`.
        let ours = data.or_else(|| name.strip_prefix('.')?.strip_suffix(".tmp"));
        ours.and_then(|id| uuid::Uuid::try_parse(id).ok()).is_none_or(|id| id.get_version_num() != 7)
    });
    let Some(other) = other else { return Ok(()) };
    let has = |log: &[&str]| {
        let log = object_store::path::Path::from_iter(log.iter().copied());
        there.iter().any(|file| file.location.prefix_matches(&log))
    };
    let (is, scheme) = match table.kind {
        Kind::Delta if has(&dataset::FOLDER) => ("a Parquet dataset of Floodmark", "parquet"),
        Kind::Dataset if has(&["_delta_log"]) => ("a Delta table", "delta"),
        Kind::Delta | Kind::Dataset => {
            let what = format!("this folder is not a table: it has {:?} and no log", other.location.as_ref());
            let error = failure::unsuited(&table.name, what);
            return Err(match table.kind {
                Kind::Delta => error.help("name a folder that is a Delta table, or one that is not there yet").help(
                    "Parquet files become a table by `convert to delta` of other programs, or are loaded as files",
                ),
                Kind::Dataset => error
                    .help("name a folder that Floodmark has loaded by parquet:, or one that is not there yet")
                    .help("files that other programs wrote are loaded as files"),
            });
        }
    };
    let lake = table.name.strip_suffix(table.folder.as_ref()).unwrap_or(&table.name).trim_end_matches('/');
    let lake = lake.split_once([':', '+']).map_or(lake, |(format, _)| &lake[format.len()..]);
    Err(failure::unsuited(&table.name, format!("this is {is}")).help(format!("write {scheme}{lake}")))
}

fn failed(table: &Table, error: DeltaTableError) -> Error {
    // Behind the first line the library may write where in itself it was.
    let words = error.to_string();
    let words = floodmark_objects::without_queries(words.lines().next().unwrap_or_default());
    let lower = words.to_lowercase();
    if ["unsupported", "not supported", "feature"].iter().any(|word| lower.contains(word)) {
        return failure::unsuited(&table.name, "the table asks its readers for something that is not done")
            .cause(words)
            .help("have it written anew without it");
    }
    if let Some((what, help)) = floodmark_objects::of_credentials(&words) {
        return Error::new(Code::DestinationOpen, what).in_file(&table.name).help(help).cause(words);
    }
    Error::new(Code::DestinationOpen, "the table's log cannot be read")
        .in_file(&table.name)
        .help("see the cause: a store that fails for a while, or a log of which a part is gone or broken")
        .cause(words)
}

/// A row of what the library tells of files.
fn add_of(batch: &RecordBatch, row: usize) -> Option<Add> {
    let text = |name: &str| -> Option<String> {
        let column: &StringArray = batch.column_by_name(name)?.as_string_opt()?;
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let number = |name: &str| -> Option<i64> {
        let column = batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    };
    let rest = batch.column_by_name("fileConstantValues")?.as_struct_opt()?;
    let vector: Option<&StructArray> = batch.column_by_name("deletionVector").and_then(|c| c.as_struct_opt());
    let vector = vector.is_some_and(|vector| {
        vector.is_valid(row) && vector.column_by_name("storageType").is_some_and(|kind| kind.is_valid(row))
    });
    Some(Add {
        path: text("path")?,
        partition_values: texts(rest, "partitionValues", row).unwrap_or_default(),
        size: u64::try_from(number("size")?).ok()?,
        modification_time: number("modificationTime").unwrap_or_default(),
        data_change: true,
        stats: text("stats"),
        tags: texts(rest, "tags", row),
        deletion_vector: vector.then(|| true.into()),
    })
}

fn texts(from: &StructArray, name: &str, row: usize) -> Option<Texts> {
    let map = from.column_by_name(name)?.as_map_opt()?;
    if map.is_null(row) {
        return None;
    }
    let entries = map.value(row);
    let (keys, values) = (entries.column(0).as_string_opt::<i32>()?, entries.column(1).as_string_opt::<i32>()?);
    let value = |i: usize| values.is_valid(i).then(|| values.value(i).to_owned());
    Some((0..keys.len()).map(|i| (keys.value(i).to_owned(), value(i))).collect())
}

/// How long a property says, of the form `interval 7 days`.
pub(crate) fn interval(text: &str) -> Option<std::time::Duration> {
    let mut words = text.trim().strip_prefix("interval ").unwrap_or(text.trim()).split_whitespace();
    let (count, unit) = (words.next()?.parse::<u64>().ok()?, words.next()?);
    let seconds = match unit.trim_end_matches('s') {
        "week" => 7 * 86_400,
        "day" => 86_400,
        "hour" => 3_600,
        "minute" => 60,
        "second" => 1,
        _ => return None,
    };
    words.next().is_none().then(|| count.checked_mul(seconds))?.map(std::time::Duration::from_secs)
}

//! Files as a source.

use crate::{
    blocks::{Block, Sizes},
    bytes::Bytes,
    columnar,
    csv::check_options,
    find::find,
    open::{self, Hash, HashSlot, Input},
    parallel::{Ordered, Pull, Work},
    partitions::Partitions,
    survey::{Found, Surveyor, Union},
    text::{Converted, Converter, TextFile},
};
use floodmark_connect::{
    BadRow, Batch, Batches, Files, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    source::{Extent, Glance, Glimpse},
    store::Store,
};
use floodmark_core::{
    Code, DataType, Error, Result, Schema,
    pipeline::{FileFormat, FileSource, STDIN},
};
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use xxhash_rust::xxh3::xxh3_128;

/// Large enough that threads seldom meet, small enough that a few of them are little memory.
const BLOCK_BYTES: usize = 1 << 20;

/// A glance looks at this many slices.
const GLANCES: usize = 100;

/// Reads files that match patterns: CSV, JSON Lines, JSON arrays, Parquet and Arrow IPC, packed or not.
pub struct FileSourceReader {
    spec: FileSource,
    sizes: Sizes,
    workers: usize,
    /// Standard input, copied when it is first asked for.
    spooled: Mutex<Option<Arc<tempfile::TempPath>>>,
    /// Where objects are found, if any are named.
    store: Option<Box<dyn Store>>,
    /// JSON: the columns that occur in a slice, as of a survey of the same file.
    occurring: Mutex<HashMap<String, (Slice, Arc<Found>)>>,
}

/// A file whose format is known.
enum Opened {
    Text(Box<TextFile>),
    Columnar(Bytes, FileFormat),
}

impl FileSourceReader {
    /// Checks the settings; looks at no file yet.
    pub fn new(spec: FileSource) -> Result<Self> {
        check_options(&spec.csv)?;
        let sizes = Sizes::new(spec.max_row_bytes, BLOCK_BYTES);
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(FileSourceReader {
            spec,
            sizes,
            workers,
            spooled: Mutex::default(),
            store: None,
            occurring: Mutex::default(),
        })
    }

    /// With a store for the files that are named by URLs.
    #[must_use]
    pub fn with_store(mut self, store: Box<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// With this many threads and blocks of this many bytes; the rows are the same for any.
    #[must_use]
    pub fn tuned(mut self, workers: usize, block_bytes: usize) -> Self {
        self.workers = workers.max(1);
        self.sizes = Sizes::new(self.spec.max_row_bytes, block_bytes);
        self
    }

    /// Where a slice's bytes are. Standard input must have been listed before.
    fn path(&self, slice: &Slice) -> Result<PathBuf> {
        if slice.path.as_os_str() == STDIN { Ok(self.spool()?.to_path_buf()) } else { Ok(slice.path.clone()) }
    }

    /// Standard input, which can be read but once, as a file that can be read again.
    fn spool(&self) -> Result<Arc<tempfile::TempPath>> {
        let mut spooled = self.spooled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*spooled {
            return Ok(Arc::clone(path));
        }
        let copy = || -> io::Result<tempfile::TempPath> {
            let mut file = tempfile::NamedTempFile::new()?;
            io::copy(&mut io::stdin().lock(), &mut file)?;
            Ok(file.into_temp_path())
        };
        let path = Arc::new(copy().map_err(|e| {
            Error::new(Code::SourceRead, "standard input cannot be copied to a temporary file")
                .help("make room in the directory for temporary files, or set TMPDIR to another one")
                .cause(e)
        })?);
        *spooled = Some(Arc::clone(&path));
        Ok(path)
    }

    /// The columns that a slice's path names, where it is asked for them.
    fn partitions(&self, slice: &Slice) -> Result<Partitions> {
        if self.spec.hive_partitions { Partitions::of(&slice.name) } else { Ok(Partitions::default()) }
    }

    fn bytes(&self, slice: &Slice) -> Result<Bytes> {
        Bytes::open(slice, &self.path(slice)?, self.store.as_deref())
    }

    fn open(&self, slice: &Slice, path: &Path, hash: Hash, stop: &Stop) -> Result<Opened> {
        open::unchanged(slice, path)?;
        // A tag stands for the bytes.
        let hash = if slice.tag.is_some() { Hash::Unwanted } else { hash };
        let (mut input, slot) = Input::new(self.bytes(slice)?, &slice.name, hash)?;
        let format = open::format_of(&self.spec, &slice.name, input.peek(512)?)?;
        if matches!(format, FileFormat::Parquet | FileFormat::Arrow) {
            let file = match input.packing() {
                open::Packing::Plain => self.bytes(slice)?,
                _ => Bytes::Local(input.spool(stop)?),
            };
            return Ok(Opened::Columnar(file, format));
        }
        let text = TextFile::open((input, slot), format, &self.spec.csv, self.sizes, &slice.name)?;
        Ok(Opened::Text(Box::new(text)))
    }

    /// Runs over a text file's blocks with as many threads as it is worth.
    fn over<T: Send + 'static>(
        &self,
        slice: &Slice,
        file: TextFile,
        stop: &Stop,
        work: impl Fn() -> Work<T>,
    ) -> Result<Ordered<T>> {
        let TextFile { mut cutter, .. } = file;
        let (stop, slice, path) = (stop.clone(), slice.clone(), self.path(slice)?);
        let workers = if slice.size <= self.sizes.block as u64 { 1 } else { self.workers };
        let pull: Pull = Box::new(move |block: &mut Block| {
            stop.check()?;
            let more = cutter.next(block)?;
            if !more {
                open::unchanged(&slice, &path)?;
            }
            Ok(more)
        });
        Ordered::new(pull, (0..workers).map(|_| work()).collect())
    }

    fn survey_text(&self, slice: &Slice, file: TextFile, stop: &Stop) -> Result<(Found, HashSlot)> {
        let (shape, name, slot) = (file.shape.clone(), slice.name.clone(), Arc::clone(&file.hash));
        let named = !file.context.columns.is_empty();
        let mut whole = Union::default();
        // A file without rows has the columns of its header all the same.
        whole.add(&Found::named(&file.context.columns))?;
        let results = self.over(slice, file, stop, || {
            let mut surveyor = Surveyor::new(&shape, &name);
            Box::new(move |block: &Block| surveyor.survey(block))
        })?;
        for found in results {
            whole.add(&found?).map_err(|e| e.in_file(&slice.name))?;
        }
        Ok((whole.found(named), slot))
    }

    /// The columns that occur in a JSON slice.
    fn occurring(&self, slice: &Slice, stop: &Stop) -> Result<Arc<Found>> {
        let known = self.occurring.lock().unwrap_or_else(PoisonError::into_inner).get(&slice.name).cloned();
        if let Some((as_of, found)) = known
            && as_of == *slice
        {
            return Ok(found);
        }
        let Opened::Text(file) = self.open(slice, &self.path(slice)?, Hash::Unwanted, stop)? else {
            return Err(Error::internal("a text file became a columnar one"));
        };
        let found = self.survey_text(slice, *file, stop)?.0;
        Ok(self.remember(slice, found))
    }

    fn remember(&self, slice: &Slice, found: Found) -> Arc<Found> {
        let found = Arc::new(found);
        let mut occurring = self.occurring.lock().unwrap_or_else(PoisonError::into_inner);
        occurring.insert(slice.name.clone(), (slice.clone(), Arc::clone(&found)));
        found
    }

    /// The columns of a slice's beginning, and whether it can have no others.
    fn glance_slice(&self, slice: &Slice, stop: &Stop) -> Result<(Found, bool)> {
        let mut file = match self.open(slice, &self.path(slice)?, Hash::Unwanted, stop)? {
            Opened::Columnar(file, format) => {
                let (schema, rows) = columnar::glance(file, format, &slice.name)?;
                return Ok((Found::typed(schema, rows), true));
            }
            Opened::Text(file) => file,
        };
        let named = !file.context.columns.is_empty();
        let mut union = Union::default();
        union.add(&Found::named(&file.context.columns))?;
        let mut block = Block::default();
        let more = file.cutter.next(&mut block)?;
        if more {
            union.add(&Surveyor::new(&file.shape, &slice.name).survey(&block)?)?;
        }
        let all = named || !more || !file.cutter.next(&mut block)?;
        Ok((union.found(named), all))
    }

    fn survey_slice(&self, slice: &Slice, stop: &Stop) -> Result<(Arc<Found>, u128)> {
        let path = self.path(slice)?;
        let (found, slot) = match self.open(slice, &path, Hash::Wanted, stop)? {
            Opened::Columnar(file, format) => {
                let (schema, rows) = columnar::survey(file, format, &slice.name, stop)?;
                (Arc::new(Found::typed(schema, rows)), HashSlot::default())
            }
            Opened::Text(file) => {
                let by_row = file.context.columns.is_empty();
                let (found, slot) = self.survey_text(slice, *file, stop)?;
                (if by_row { self.remember(slice, found) } else { Arc::new(found) }, slot)
            }
        };
        // A decoder may stop before the file's end, and columnar files are not read through.
        let hash = match slot.get() {
            Some(hash) => *hash,
            None => self.hash(slice, stop)?,
        };
        Ok((found, hash))
    }
}

impl Files for FileSourceReader {
    fn hash(&self, slice: &Slice, stop: &Stop) -> Result<u128> {
        match &slice.tag {
            Some(tag) => Ok(xxh3_128(tag.as_bytes())),
            None => open::hash(self.bytes(slice)?, &slice.name, None, stop),
        }
    }

    fn hash_prefix(&self, slice: &Slice, bytes: u64, stop: &Stop) -> Result<u128> {
        open::hash(self.bytes(slice)?, &slice.name, Some(bytes), stop)
    }

    fn row_ends_at(&self, slice: &Slice, bytes: u64) -> Result<bool> {
        open::line_ends_at(self.bytes(slice)?, &slice.name, bytes)
    }
}

impl Source for FileSourceReader {
    fn slices(&self, stop: &Stop) -> Result<Vec<Slice>> {
        let (stdin, patterns): (Vec<_>, Vec<_>) = self.spec.patterns.iter().cloned().partition(|p| p == STDIN);
        let mut slices = find(&patterns, &self.spec.base, self.store.as_deref(), stop)
            .map_err(|e| e.state("nothing was written"))?;
        if !stdin.is_empty() {
            let (size, modified) = open::stat(&self.spool()?, STDIN)?;
            slices.insert(0, Slice { name: STDIN.to_owned(), path: STDIN.into(), size, modified, tag: None });
        }
        if slices.is_empty() {
            return Err(Error::new(Code::SourceMissing, "the source names no file").help("give a path or a pattern"));
        }
        Ok(slices)
    }

    /// Rows come as they stand in a file.
    fn sorts(&self) -> bool {
        false
    }

    fn divides(&self, _: &str, _: DataType, _: &Stop) -> Result<bool> {
        Ok(false)
    }

    fn files(&self) -> Option<&dyn Files> {
        Some(self)
    }

    fn extent(&self, _column: &str, _data_type: DataType, _stop: &Stop) -> Result<Option<Extent>> {
        Ok(None)
    }

    fn glance(&self, slices: &[Slice], request: &SurveyRequest, stop: &Stop) -> Result<Glance> {
        let mut union = Union::default();
        let mut glimpses = Vec::new();
        for slice in slices.iter().take(GLANCES) {
            let (found, whole) = self.glance_slice(slice, stop)?;
            let found = self.partitions(slice)?.beside(&found, &request.pinned);
            union.add(&found)?;
            glimpses.push(Glimpse { schema: Arc::new(found.schema(&request.pinned)?), whole, rows: found.rows > 0 });
        }
        let whole = slices.len() <= GLANCES && glimpses.iter().all(|g| g.whole);
        Ok(Glance { schema: union.schema(&request.pinned), whole, slices: glimpses })
    }

    fn first_bad(&self, slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Vec<BadRow>> {
        let mut file = match self.open(slice, &self.path(slice)?, Hash::Unwanted, stop)? {
            Opened::Columnar(file, format) => {
                let first = columnar::read(file, format, &slice.name, plan, &Partitions::default(), stop)?
                    .next()
                    .transpose()?;
                return Ok(first.map_or_else(Vec::new, |batch| batch.bad));
            }
            Opened::Text(file) => file,
        };
        let mut schema = plan.schema.clone();
        if !file.context.columns.is_empty() {
            schema.columns.retain(|c| file.context.columns.contains(&c.name));
        }
        let mut block = Block::default();
        if !file.cutter.next(&mut block)? {
            return Ok(Vec::new());
        }
        let mut bad = Converter::new(&file.shape, &schema, &plan.required, &file.context).convert(&block)?.bad;
        bad.iter_mut().for_each(|b| b.row += 1);
        bad.retain(|b| b.row > plan.skip_rows);
        Ok(bad)
    }

    fn survey(&self, slices: &[Slice], request: &SurveyRequest, stop: &Stop) -> Result<Survey> {
        let mut union = Union::default();
        let mut totals = Vec::with_capacity(slices.len());
        let mut columns: Vec<Arc<Schema>> = Vec::with_capacity(slices.len());
        for slice in slices {
            let (found, hash) = self.survey_slice(slice, stop).map_err(|e| e.state("nothing was written"))?;
            totals.push((found.rows, hash));
            let partitions = self.partitions(slice).map_err(|e| e.state("nothing was written"))?;
            let found =
                if partitions.is_empty() { found } else { Arc::new(partitions.beside(&found, &request.pinned)) };
            union.add(&found)?;
            let own = found.schema(&request.pinned)?;
            // Thousands of files mostly have one shape.
            columns.push(columns.last().filter(|last| ***last == own).cloned().unwrap_or_else(|| Arc::new(own)));
        }
        Ok(Survey {
            schema: union.schema(&request.pinned),
            slices: totals,
            columns,
            table: None,
            horizon: None,
            held: None,
        })
    }

    fn read(&self, slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>> {
        let partitions = self.partitions(slice)?;
        let own: Box<dyn Batches> = match self.open(slice, &self.path(slice)?, Hash::Unwanted, stop)? {
            Opened::Columnar(file, format) => {
                Box::new(columnar::read(file, format, &slice.name, plan, &partitions, stop)?)
            }
            Opened::Text(file) => Box::new(self.read_text(slice, *file, plan, stop)?),
        };
        if partitions.is_empty() { Ok(own) } else { partitions.within(own, &plan.schema, &slice.name) }
    }
}

impl FileSourceReader {
    fn read_text(&self, slice: &Slice, file: TextFile, plan: &ReadPlan, stop: &Stop) -> Result<TextBatches> {
        let has = if file.context.columns.is_empty() {
            self.occurring(slice, stop)?.names.clone()
        } else {
            file.context.columns.clone()
        };
        let has: std::collections::HashSet<&String> = has.iter().collect();
        let columns = plan.schema.columns.iter().filter(|c| has.contains(&c.name)).cloned().collect();
        let schema = Schema { columns };
        let (shape, context, required) = (file.shape.clone(), file.context.clone(), plan.required.clone());
        let converted = self.over(slice, file, stop, || {
            let mut converter = Converter::new(&shape, &schema, &required, &context);
            Box::new(move |block: &Block| converter.convert(block))
        })?;
        Ok(TextBatches { converted, passed: 0, skip: plan.skip_rows })
    }
}

/// Numbers the rows of converted blocks and leaves out the first ones.
struct TextBatches {
    converted: Ordered<Converted>,
    /// Rows before the next block.
    passed: u64,
    skip: u64,
}

impl Iterator for TextBatches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        loop {
            let Converted { mut rows, mut bad, covered } = match self.converted.next()? {
                Ok(converted) => converted,
                Err(error) => return Some(Err(error)),
            };
            let before = self.passed;
            self.passed += covered;
            if covered == 0 || self.passed <= self.skip {
                continue;
            }
            bad.iter_mut().for_each(|b| b.row += before + 1);
            let ahead = self.skip.saturating_sub(before);
            if ahead > 0 {
                let bad_ahead = bad.partition_point(|b| b.row <= self.skip);
                bad.drain(..bad_ahead);
                let good_ahead = ahead as usize - bad_ahead;
                rows = rows.slice(good_ahead, rows.num_rows() - good_ahead);
            }
            return Some(Ok(Batch { rows, bad, first_row: before + ahead + 1, covered: covered - ahead, left_out: 0 }));
        }
    }
}

//! Row groups of a table's files that lie outside of what a run wants are not read.

use super::append;
use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{Field, Schema as ArrowSchema},
};
use async_trait::async_trait;
use floodmark_connect::{ReadPlan, Source, Stop, source::Range};
use floodmark_core::{DataType, Schema, Value, watermark::Bounds};
use floodmark_lake::{Change, DataFile, Lake, LakeSource, Outcome};
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Rows of a row group, and of the file.
const GROUP: usize = 10;
const ROWS: usize = 100;

/// A store that counts the bytes of data files that are asked for.
#[derive(Debug, Default)]
struct Counting {
    inner: InMemory,
    bytes: AtomicU64,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.inner.get_opts(path, options).await?;
        if path.extension() == Some("parquet") {
            self.bytes.fetch_add(got.range.end - got.range.start, Ordering::Relaxed);
        }
        Ok(got)
    }

    /// One by one: what lies between two ranges is not asked for.
    async fn get_ranges(&self, path: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        let get = |range: &std::ops::Range<u64>| self.get_range(path, range.clone());
        let got: Vec<_> = futures::stream::iter(ranges.iter().map(get)).buffered(1).collect().await;
        got.into_iter().collect()
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A table of one file with many row groups, as another program writes it, of which the log says nothing but its rows.
struct Told {
    store: Arc<Counting>,
    source: LakeSource,
    schema: Schema,
    size: u64,
}

impl Told {
    /// The column `at`, and one that tells rows apart and takes most of the room.
    fn of(at: &ArrayRef, data_type: DataType) -> Told {
        let ids = (0..at.len()).map(|n| {
            let noise: String = (0..400u64)
                .map(|i| format!("{:x}", (n as u64 * 401 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
                .collect();
            format!("{n} {noise}")
        });
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values(ids));
        let fields =
            vec![Field::new("id", ids.data_type().clone(), true), Field::new("at", at.data_type().clone(), true)];
        let written = Arc::new(ArrowSchema::new(fields));
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(GROUP)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), written.clone(), Some(properties)).unwrap();
        writer.write(&RecordBatch::try_new(written, vec![ids, Arc::clone(at)]).unwrap()).unwrap();
        let bytes = writer.into_inner().unwrap();

        let store = Arc::new(Counting::default());
        let lake = Lake::in_store(store.clone(), "memory");
        let table = lake.table("t").unwrap();
        let schema = Schema::new([("id", DataType::Text), ("at", data_type)]);
        let path = "theirs.parquet";
        let size = bytes.len() as u64;
        lake.put_new(&Path::from(format!("t/{path}")), bytes).unwrap();
        let file = DataFile {
            path: path.to_owned(),
            location: Path::from(path),
            size,
            modified: 0,
            rows: at.len() as u64,
            columns: BTreeMap::new(),
            partition: Vec::new(),
            numbers: None,
        };
        let added = [file];
        let change = Change { schema: Some(&schema), ..append(&added, "other", 1) };
        assert_eq!(table.commit(None, &change).unwrap(), Outcome::Done(0));
        Told { store, source: LakeSource::of(&lake, "t".to_owned()).unwrap(), schema, size }
    }

    /// The rows that come, each with its number and its value, and how many bytes of the file were asked for.
    fn read(&self, range: Option<Range>) -> (Vec<(String, Value)>, u64) {
        let slices = self.source.slices(&Stop::default()).unwrap();
        self.source.survey(&slices, &Default::default(), &Stop::default()).unwrap();
        let plan = ReadPlan { schema: self.schema.clone(), range, ..ReadPlan::default() };
        let before = self.store.bytes.load(Ordering::Relaxed);
        let mut rows = Vec::new();
        for batch in self.source.read(&slices[0], &plan, &Stop::default()).unwrap() {
            let batch = batch.unwrap();
            for row in 0..batch.rows.num_rows() {
                let cell = |column: usize| {
                    let data_type = self.schema.columns[column].data_type;
                    Value::from_array(batch.rows.column(column), row, data_type).unwrap()
                };
                rows.push((cell(0).to_string().split(' ').next().unwrap().to_owned(), cell(1)));
            }
        }
        (rows, self.store.bytes.load(Ordering::Relaxed) - before)
    }
}

fn range(from: Option<Value>, exclusive: bool, until: Option<Value>, before: Option<Value>, nulls: bool) -> Range {
    Range { column: "at".into(), bounds: Bounds { from, exclusive, until, before }, nulls }
}

fn wanted(value: &Value, range: &Range) -> bool {
    let Bounds { from, exclusive, until, before } = &range.bounds;
    if value.is_null() {
        return range.nulls;
    }
    let order = |bound: &Option<Value>| bound.as_ref().map(|bound| value.compare(bound).unwrap());
    order(from).is_none_or(|o| o.is_gt() || (o.is_eq() && !exclusive))
        && order(until).is_none_or(|o| o.is_le())
        && order(before).is_none_or(|o| o.is_lt())
}

#[test]
fn rows_of_a_range_are_those_there_would_be_with_everything_read() {
    const DAY: i64 = 86_400_000_000;
    let numbers = || (0..ROWS as i64).map(|n| (n / 3 * 7) % 130 - 20);
    let zoned = numbers().map(|n| n * DAY - 1).collect::<Vec<_>>();
    // NaN stands in no footer; neither does which zero it is.
    let doubles = numbers().map(|n| {
        if n % 11 == 0 {
            f64::NAN
        } else if n % 5 == 0 {
            -0.0
        } else {
            n as f64
        }
    });
    let decimals = Decimal128Array::from_iter_values(numbers().map(|n| i128::from(n) * 10_i128.pow(20) + 1));
    let cases: [(ArrayRef, DataType, bool); 8] = [
        (Arc::new(Int64Array::from_iter_values(numbers())), DataType::BigInt, true),
        (Arc::new(Int64Array::from_iter(numbers().map(|n| (n % 9 != 0).then_some(n)))), DataType::BigInt, true),
        (Arc::new(Date32Array::from_iter_values(numbers().map(|n| n as i32))), DataType::Date, true),
        (
            Arc::new(TimestampMicrosecondArray::from_iter_values(numbers().map(|n| n * 100 + 7))),
            DataType::Timestamp { nanos: false },
            true,
        ),
        (
            Arc::new(TimestampMicrosecondArray::from(zoned).with_timezone("UTC")),
            DataType::TimestampTz { nanos: false },
            true,
        ),
        (Arc::new(decimals.with_precision_and_scale(38, 9).unwrap()), DataType::Decimal(38, 9), true),
        // Longer than what statistics keep of a text.
        (
            Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("é{:03}{}", n + 20, "x".repeat(100))))),
            DataType::Text,
            true,
        ),
        (Arc::new(Float64Array::from_iter_values(doubles)), DataType::Double, false),
    ];
    for (at, data_type, prunes) in cases {
        let told = Told::of(&at, data_type);
        let (all, whole) = told.read(None);
        assert_eq!(all.len(), ROWS);
        let mut least = whole;
        for (_, value) in all.iter().step_by(7).filter(|(_, value)| !value.is_null()) {
            let (some, none) = (Some(value.clone()), None);
            for nulls in [false, true] {
                for range in [
                    range(some.clone(), false, none.clone(), none.clone(), nulls),
                    range(some.clone(), true, none.clone(), none.clone(), nulls),
                    range(none.clone(), false, some.clone(), none.clone(), nulls),
                    range(none.clone(), false, none.clone(), some.clone(), nulls),
                    range(some.clone(), false, some.clone(), none.clone(), nulls),
                ] {
                    let (rows, bytes) = told.read(Some(range.clone()));
                    let those = |rows: &[(String, Value)]| -> Vec<String> {
                        rows.iter().filter(|(_, value)| wanted(value, &range)).map(|(id, _)| id.clone()).collect()
                    };
                    assert_eq!(those(&rows), those(&all), "{data_type}: {range:?}");
                    least = least.min(bytes);
                }
            }
        }
        assert_eq!(least < whole, prunes, "{data_type}: {least} of {whole} bytes");
    }
}

#[test]
fn a_run_reads_the_bytes_of_what_came_since_and_not_those_of_the_file() {
    let at: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS as i64));
    let told = Told::of(&at, DataType::BigInt);
    let (_, whole) = told.read(None);
    let (rows, news) = told.read(Some(range(Some(Value::Int(95)), false, None, None, true)));
    assert_eq!(rows.len(), GROUP, "one row group of ten");
    // The end of the file is asked for in any case: its footer lies there.
    let end = 64 << 10;
    assert!(whole >= told.size && news < end + told.size / 8, "{news} of {whole} bytes, file of {}", told.size);
}

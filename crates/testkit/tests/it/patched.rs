//! Files of a lake in which few rows change: rows keep their places, and what does not change stays as it lies there.

use super::backfill::{command, told};
use arrow::{
    array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::Int64Type,
};
use floodmark_testkit::scratch;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::{
        metadata::ParquetMetaData,
        reader::{FileReader, SerializedFileReader},
        serialized_reader::ReadOptionsBuilder,
    },
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

const ROWS: i64 = 1_200_000;

/// What is to be loaded: each row with a name that begins as `said` says of its id, and newer where that says anything.
pub(super) fn source(folder: &Path, ids: impl Iterator<Item = i64>, said: impl Fn(i64) -> &'static str) {
    let ids: Vec<i64> = ids.collect();
    let at = ids.iter().map(|id| if said(*id).is_empty() { *id } else { id + ROWS });
    let half = ids.iter().map(|id| match id {
        7 => Some(f64::NAN),
        id => (id % 3 != 0).then_some((id % 10) as f64 + 0.5),
    });
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("id", Arc::new(Int64Array::from(ids.clone())), true),
        ("at", Arc::new(Int64Array::from_iter_values(at)), true),
        ("half", Arc::new(Float64Array::from_iter(half)), true),
        ("name", Arc::new(StringArray::from_iter_values(ids.iter().map(|id| format!("{}row {id}", said(*id))))), true),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let file = fs::File::create(folder.join("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

pub(super) fn project(folder: &Path, settings: &str, destination: &str) {
    let yaml = format!(
        "version: 1\npipelines:\n  t:\n    source: {{ files: a.parquet }}\n    load: upsert\n    key: id\n    {settings}\n    \
         destination: {{ url: 'delta:///lake', table: t{destination} }}\n"
    );
    fs::write(folder.join("floodmark.yaml"), yaml).unwrap();
}

pub(super) fn run(folder: &Path) -> Value {
    let (exit, run) = told(command(folder, &["run"]).spawn().unwrap());
    assert_eq!(exit, Some(0), "{run:#}");
    run["rows"].clone()
}

/// The files that the newest entries of the log leave, with what each entry says of it.
pub(super) fn files(folder: &Path) -> Vec<(PathBuf, Value)> {
    let table = folder.join("lake/t");
    let mut entries: Vec<PathBuf> =
        fs::read_dir(table.join("_delta_log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.retain(|path| path.extension().is_some_and(|end| end == "json"));
    entries.sort();
    let mut files: Vec<(PathBuf, Value)> = Vec::new();
    for entry in entries {
        for line in fs::read_to_string(entry).unwrap().lines() {
            let action: Value = serde_json::from_str(line).unwrap();
            let path = |action: &Value| table.join(action["path"].as_str().unwrap());
            if let Some(add) = action.get("add") {
                let about = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
                files.push((path(add), about));
            } else if let Some(remove) = action.get("remove") {
                files.retain(|(file, _)| *file != path(remove));
            }
        }
    }
    files
}

fn footer(path: &Path) -> ParquetMetaData {
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let reader = SerializedFileReader::new_with_options(fs::File::open(path).unwrap(), options).unwrap();
    reader.metadata().clone()
}

/// The bytes of each column of each row group.
fn chunks(path: &Path) -> Vec<Vec<Vec<u8>>> {
    let (bytes, about) = (fs::read(path).unwrap(), footer(path));
    let range = |(start, length): (u64, u64)| -> Range<usize> { start as usize..(start + length) as usize };
    let group = |group: &parquet::file::metadata::RowGroupMetaData| {
        group.columns().iter().map(|column| bytes[range(column.byte_range())].to_vec()).collect()
    };
    about.row_groups().iter().map(group).collect()
}

/// What a file holds, in its order: the ids, and names.
pub(super) fn rows(path: &Path) -> Vec<(i64, String)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec();
        let names = batch.column_by_name("name").unwrap().as_string::<i32>().iter();
        rows.extend(ids.into_iter().zip(names.map(|name| name.unwrap().to_owned())));
    }
    rows
}

#[test]
fn rows_keep_their_places_and_columns_that_do_not_change_are_taken_over() {
    let folder = scratch().unwrap();
    let folder = folder.path();
    // Files far above the size up to which they are joined with others when rows of them change.
    project(folder, "version: at\n    commit_every: 2000000", ", file_size: 16MiB");
    source(folder, 0..ROWS, |_| "");
    assert_eq!(run(folder)["inserted"], ROWS);
    // One that takes more than a row group.
    let large = files(folder).into_iter().map(|(path, _)| path).find(|path| chunks(path).len() > 1).unwrap();
    let (before, ids) = (chunks(&large), rows(&large));
    let first = footer(&large).row_group(0).num_rows() as usize;
    // Rows of its first row group change in `at` and `name`, and a new one comes.
    let changed: BTreeSet<i64> = [3, 4, 5, first / 2, first - 1].map(|at| ids[at].0).into();
    source(folder, changed.iter().copied().chain([ROWS]), |_| "changed ");
    let counts = run(folder);
    assert_eq!((&counts["updated"], &counts["inserted"]), (&changed.len().into(), &1.into()));
    let all = files(folder);
    assert!(all.iter().all(|(path, _)| *path != large));
    let (patched, about) = all.iter().find(|(path, _)| rows(path).len() == ids.len()).unwrap();
    let expected = |(id, name): &(i64, String)| {
        let name = if changed.contains(id) { format!("changed row {id}") } else { name.clone() };
        (*id, name)
    };
    assert!(rows(patched).into_iter().eq(ids.iter().map(expected)), "rows are no more where they were");
    let after = chunks(patched);
    assert_eq!(after.len(), before.len());
    assert_eq!(after[1], before[1], "the row group without a changed row");
    let same: Vec<bool> = after[0].iter().zip(&before[0]).map(|(after, before)| after == before).collect();
    assert_eq!(same, [true, false, true, false], "id, at, half and name");
    // What readers go by is told of both kinds of columns: pages, bounds, and that a column has a NaN by having no bounds.
    let footer = footer(patched);
    let (columns, offsets) = (footer.column_index().unwrap(), footer.offset_index().unwrap());
    for group in 0..after.len() {
        assert!(columns[group].iter().all(|index| index.num_pages() > 0));
        for (column, index) in offsets[group].iter().enumerate() {
            let (start, length) = footer.row_group(group).column(column).byte_range();
            let last = index.page_locations().last().unwrap();
            assert!(last.offset as u64 + last.compressed_page_size as u64 <= start + length, "{group} {column}");
            assert!(index.page_locations()[0].offset as u64 >= start, "{group} {column}");
        }
    }
    assert_eq!((&about["minValues"]["id"], &about["maxValues"]["id"]), (&0.into(), &(ids.last().unwrap().0).into()));
    assert_eq!(about["maxValues"]["at"], changed.last().unwrap() + ROWS);
    assert_eq!(about["minValues"].get("half"), None);
    assert_eq!(about["numRecords"], ids.len());
    // Once more: a file that was patched is patched again.
    source(folder, [ids[first].0].into_iter(), |_| "again ");
    assert_eq!(run(folder)["updated"], 1);
    let again = files(folder).into_iter().find(|(path, _)| rows(path).len() == ids.len()).unwrap().0;
    assert_eq!(chunks(&again)[0], after[0]);
    assert_eq!(rows(&again)[first].1, format!("again row {}", ids[first].0));
}

#[test]
fn rows_that_are_gone_leave_the_others_in_their_places() {
    let folder = scratch().unwrap();
    let folder = folder.path();
    project(folder, "absent_rows: delete", ", file_size: 16KiB");
    source(folder, 0..60_000, |_| "");
    run(folder);
    let before: Vec<Vec<(i64, String)>> = files(folder).iter().map(|(path, _)| rows(path)).collect();
    assert!(before.len() > 1, "one file would show less");
    // A whole file is gone, every seventh row of the others, and each that is left and divides by a thousand is another.
    let gone: BTreeSet<i64> = before[0].iter().map(|(id, _)| *id).chain((0..60_000).step_by(7)).collect();
    let changed = |id: i64| if id % 1000 == 0 { "changed " } else { "" };
    source(folder, (0..60_000).filter(|id| !gone.contains(id)), changed);
    let counts = run(folder);
    assert_eq!(counts["removed"], gone.len(), "{counts}");
    let expected = |rows: &Vec<(i64, String)>| -> Vec<(i64, String)> {
        let left = rows.iter().filter(|(id, _)| !gone.contains(id));
        left.map(|(id, name)| (*id, format!("{}{name}", changed(*id)))).collect()
    };
    let mut expected: Vec<Vec<(i64, String)>> = before[1..].iter().map(expected).collect();
    let mut now: Vec<Vec<(i64, String)>> = files(folder).iter().map(|(path, _)| rows(path)).collect();
    expected.sort();
    now.sort();
    assert_eq!(now, expected);
}

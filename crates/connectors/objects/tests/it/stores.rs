//! Buckets of servers that speak the protocols of S3 and of Azure; and Google's, whose XML has the words of S3's as far as objects are
//! listed and read.

use super::{rows, source};
use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use floodmark_connect::{Files, Source, Stop};
use floodmark_core::Code;
use floodmark_files::FileSourceReader;
use floodmark_testkit::objects::{self, Protocol};
use futures::TryStreamExt;
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use std::{io::Write, sync::Arc};
use tempfile::NamedTempFile;

/// A bucket as a source is told of it.
struct Bucket {
    bucket: objects::Bucket,
    /// What says who asks, where it is asked as Google is.
    google: Option<NamedTempFile>,
}

impl Bucket {
    /// One of each kind of store.
    fn each(test: impl Fn(Bucket)) {
        for protocol in Protocol::ALL {
            test(Bucket { bucket: objects::Bucket::make(protocol).unwrap(), google: None });
        }
        // As for other servers of tests: nobody is asked for a token.
        let mut account = NamedTempFile::new().unwrap();
        let nobody = r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#;
        account.write_all(nobody.as_bytes()).unwrap();
        test(Bucket { bucket: objects::Bucket::make(Protocol::S3).unwrap(), google: Some(account) });
    }

    fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        self.bucket.put(key, bytes.as_ref()).unwrap();
    }

    fn delete(&self, key: &str) {
        self.bucket.delete(key).unwrap();
    }

    fn place(&self) -> String {
        let scheme = if self.google.is_some() { "gs" } else { self.bucket.protocol.scheme() };
        format!("{scheme}://{}", self.bucket.name)
    }

    fn url(&self, folder: &str) -> String {
        let Some(account) = &self.google else { return self.bucket.url(folder) };
        let endpoint = std::env::var("FLOODMARK_TEST_S3").unwrap();
        format!("{}/{folder}?endpoint={endpoint}&service_account={}", self.place(), account.path().display())
    }

    fn files(&self, pattern: &str) -> FileSourceReader {
        source(&[&format!("{}/{pattern}", self.place())], Some(&self.url("")))
    }
}

#[test]
fn objects_are_found_by_patterns_in_the_order_of_their_names() {
    Bucket::each(|bucket| {
        for key in ["in/b.csv", "in/a.csv", "in/sub/c.csv", "in/.hidden.csv", "in/d.txt", "other/e.csv", "in/ä +&.csv"]
        {
            bucket.put(key, "id\n1\n");
        }
        let names = |pattern: &str| -> Vec<String> {
            let prefix = format!("{}/", bucket.place());
            let slices = bucket.files(pattern).slices(&Stop::default()).unwrap();
            slices.iter().map(|slice| slice.name.strip_prefix(&prefix).unwrap().to_owned()).collect()
        };
        assert_eq!(names("in/*.csv"), ["in/a.csv", "in/b.csv", "in/ä +&.csv"]);
        assert_eq!(names("in/**/*.csv"), ["in/a.csv", "in/b.csv", "in/sub/c.csv", "in/ä +&.csv"]);
        assert_eq!(names("**/[be].csv"), ["in/b.csv", "other/e.csv"]);
        assert_eq!(names("in/a.csv"), ["in/a.csv"]);
        assert_eq!(rows(&bucket.files("in/ä +&.csv")).unwrap().1, 1);
        for pattern in ["nothing/*.csv", "in/x.csv", "in/x*.csv"] {
            let error = bucket.files(pattern).slices(&Stop::default()).unwrap_err();
            assert_eq!(error.code(), Code::SourceMissing, "{error:?}");
            assert!(!format!("{error:?}").contains(bucket.bucket.protocol.secret()));
        }
        let error = bucket.files("in/x*.csv").slices(&Stop::default()).unwrap_err();
        assert!(error.advice()[0].contains("in/a.csv") && error.advice().len() == 1, "{error:?}");
        // Settings have no place behind a pattern.
        for pattern in ["in/*.csv?region=x", "in/a.csv?region=x"] {
            let error = bucket.files(pattern).slices(&Stop::default()).unwrap_err();
            assert_eq!(error.code(), Code::SourceMissing, "{error:?}");
            assert!(error.advice()[1].contains("a `?` is a wildcard here"), "{error:?}");
        }
    });
}

#[test]
fn rows_are_those_of_the_same_file_here() {
    let dir = tempfile::tempdir().unwrap();
    // Larger than what is asked for at once, with rows across its ends.
    let text: String = (0..400_000).map(|n| format!("{n},\"some, text {n}\"\n")).collect();
    let csv = format!("id,text\n{text}");
    assert!(csv.len() > 9 << 20);
    let json: String = (0..1000).map(|n| format!("{{\"id\":{n},\"text\":\"{}\"}}\n", "x".repeat(n))).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(csv.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let files = [("a.csv", csv.into_bytes()), ("a.jsonl", json.into_bytes()), ("a.csv.gz", packed)];
    let here = files.each_ref().map(|(name, bytes)| {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        rows(&source(&[dir.path().join(name).to_str().unwrap()], None)).unwrap()
    });
    Bucket::each(|bucket| {
        for ((name, bytes), here) in files.iter().zip(&here) {
            bucket.put(name, bytes);
            assert_eq!(rows(&bucket.files(name)).unwrap(), *here, "{name}");
        }
    });
}

fn parquet(rows: i64) -> Vec<u8> {
    let fields = vec![Field::new("id", DataType::Int64, false), Field::new("wide", DataType::Utf8, false)];
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1000)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).unwrap();
    let ids = Int64Array::from_iter_values(0..rows);
    let texts = StringArray::from_iter_values((0..rows).map(|n| format!("{n:x}").repeat(50)));
    writer.write(&RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(texts)]).unwrap()).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn columnar_objects_give_their_rows_from_any_row_on() {
    Bucket::each(|bucket| {
        let dir = tempfile::tempdir().unwrap();
        let bytes = parquet(4500);
        std::fs::write(dir.path().join("a.parquet"), &bytes).unwrap();
        bucket.put("a.parquet", bytes);
        let here = source(&[dir.path().join("a.parquet").to_str().unwrap()], None);
        let there = bucket.files("a.parquet");
        assert_eq!(rows(&here).unwrap(), rows(&there).unwrap());
        let stop = Stop::default();
        let slices = there.slices(&Stop::default()).unwrap();
        let survey = there.survey(&slices, &Default::default(), &stop).unwrap();
        for skip in [0, 1, 999, 1000, 1001, 2500, 4499, 4500, 9999] {
            let plan =
                floodmark_connect::ReadPlan { schema: survey.schema.clone(), skip_rows: skip, ..Default::default() };
            let batches: Vec<_> = there.read(&slices[0], &plan, &stop).unwrap().map(|batch| batch.unwrap()).collect();
            let covered: u64 = batches.iter().map(|batch| batch.covered).sum();
            assert_eq!(covered, 4500u64.saturating_sub(skip), "{skip}");
            assert!(batches.first().is_none_or(|batch| batch.first_row == skip + 1), "{skip}");
        }
    });
}

/// Of two states of an object no rows are mixed: neither between its types and its rows, nor within these.
#[test]
fn an_object_that_is_replaced_or_removed_meanwhile_is_told() {
    Bucket::each(|bucket| {
        for (name, before, after) in
            [("a.csv", b"id\n1\n2\n".to_vec(), b"id\n3\n4\n".to_vec()), ("a.parquet", parquet(2000), parquet(2001))]
        {
            bucket.put(name, before);
            let source = bucket.files(name);
            let stop = Stop::default();
            let slices = source.slices(&Stop::default()).unwrap();
            let survey = source.survey(&slices, &Default::default(), &stop).unwrap();
            let plan = floodmark_connect::ReadPlan { schema: survey.schema, ..Default::default() };
            let read =
                || source.read(&slices[0], &plan, &stop).and_then(|batches| batches.collect::<Result<Vec<_>, _>>());
            assert!(!read().unwrap().is_empty());
            let hash = source.hash(&slices[0], &stop).unwrap();
            bucket.put(name, after);
            let error = read().unwrap_err();
            assert!(error.message().contains("replaced"), "{name}: {error:?}");
            // In the second in which it was written its time may be the same.
            let again = source.slices(&Stop::default()).unwrap();
            assert_ne!(source.hash(&again[0], &stop).unwrap(), hash, "{name}");
            bucket.delete(name);
            let error = source.read(&again[0], &plan, &stop).and_then(|batches| batches.collect::<Result<Vec<_>, _>>());
            let error = error.unwrap_err();
            let told = error.code() == Code::SourceMissing || error.message().contains("removed");
            assert!(told, "{name}: {error:?}");
        }
    });
}

#[test]
fn settings_and_buckets_that_are_wrong_are_named() {
    let of = |url: &str| {
        let place = url.split('?').next().unwrap();
        source(&[&format!("{place}/*.csv")], Some(url)).slices(&Stop::default()).unwrap_err()
    };
    Bucket::each(|bucket| {
        let error = of(&bucket.url("").replace(&bucket.bucket.name, "nothing-here"));
        assert!(error.message().contains("no such bucket"), "{error:?}");
    });
    let error = of("s3://nothing-here?regoin=x");
    assert!(error.advice()[0].contains("region"), "{error:?}");
    let error = of("s3://nothing-here?profile=nobody-has-this");
    assert!(error.message().contains("no AWS profile"), "{error:?}");
    let error = of("az://nothing-here?emulator=true&endpoint=http://127.0.0.1:1");
    assert!(error.message().contains("both an endpoint and an emulator"), "{error:?}");
}

/// As who reads a log asks for what comes after a version.
#[test]
fn a_list_begins_behind_the_name_that_is_given() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Bucket::each(|bucket| {
        for key in ["log/1", "log/2", "log/3"] {
            bucket.put(key, "x");
        }
        let url = floodmark_core::url::ConnectionUrl::parse(&bucket.url("log")).unwrap();
        let (store, folder) = floodmark_objects::open_root(&url).unwrap();
        let listed = store.list_with_offset(Some(&folder), &"log/2".into());
        let listed: Vec<_> = runtime.block_on(listed.map_ok(|meta| meta.location.to_string()).try_collect()).unwrap();
        assert_eq!(listed, ["log/3"], "{:?}", bucket.bucket.protocol);
    });
}

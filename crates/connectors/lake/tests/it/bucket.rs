//! Lakes in buckets of servers that speak the protocols of S3 and of Azure.

use super::{append, columns, ids, made, rows, written};
use floodmark_connect::destination::Tidied;
use floodmark_core::url::ConnectionUrl;
use floodmark_lake::{Change, Lake, Layout, Outcome};
use floodmark_testkit::objects::{Bucket, Protocol};
use std::thread;

/// A lake in each kind of store, of Delta tables or of datasets.
fn each(format: &str, test: impl Fn(Lake, Protocol)) {
    for protocol in Protocol::ALL {
        let url = format!("{format}+{}", Bucket::make(protocol).unwrap().url("a lake"));
        test(Lake::open(&ConnectionUrl::parse(&url).unwrap()).unwrap(), protocol);
    }
}

#[test]
fn a_table_lies_in_a_bucket_as_in_a_folder() {
    each("delta", |lake, protocol| {
        let table = lake.table("sales/Größe").unwrap();
        assert!(!table.name().contains(protocol.secret()) && lake.path().is_none());
        assert!(table.snapshot().unwrap().is_none());
        let first = made(&table, &rows(0..10));
        // Several parts of an upload.
        let layout = Layout { target: 40 << 20, ..Layout::new(columns()) };
        let mut writer = floodmark_lake::Writer::new(&table, layout).unwrap();
        for n in 1..60 {
            writer.write(&rows((1..50_000).map(|i| (n * 50_000 + i) * 7_919 % 1_000_003))).unwrap();
        }
        let files = writer.finish().unwrap();
        assert!(files.iter().any(|file| file.size > 9 << 20), "{files:?}");
        assert_eq!(table.commit(Some(&first), &append(&files, "floodmark:maker", 2)).unwrap(), Outcome::Done(1));
        assert_eq!(ids(&table).len(), 10 + 59 * 49_999);
        assert_eq!(table.optimize(1, None).unwrap(), Tidied::default());
        assert!(lake.put_new(&"_floodmark/a/1.json".into(), "{}").unwrap());
        assert!(!lake.put_new(&"_floodmark/a/1.json".into(), "other").unwrap());
        assert_eq!(lake.get(&"_floodmark/a/1.json".into()).unwrap().unwrap(), "{}");
        assert_eq!(lake.get(&"_floodmark/a/2.json".into()).unwrap(), None);
    });
}

#[test]
fn writers_at_once_lose_nothing_in_a_bucket() {
    for format in ["delta", "parquet"] {
        each(format, |lake, protocol| {
            let table = lake.table("t").unwrap();
            made(&table, &rows(0..1));
            thread::scope(|scope| {
                for writer in 0..16 {
                    let table = &table;
                    scope.spawn(move || {
                        let first = 1 + writer * 10;
                        let files = written(table, Layout::new(columns()), &rows(first..first + 10));
                        let base = table.snapshot().unwrap().unwrap();
                        let app = format!("floodmark:{writer}");
                        let outcome = table.commit(Some(&base), &append(&files, &app, 1)).unwrap();
                        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
                    });
                }
            });
            assert_eq!(ids(&table), (0..=160).collect::<Vec<_>>(), "{format} {protocol:?}");
        });
    }
}

/// A log is read on from where it was, and from its checkpoint; what was taken out goes.
#[test]
fn a_log_in_a_bucket_is_read_on_and_tidied() {
    each("delta", |lake, protocol| {
        let table = lake.table("t").unwrap();
        let mut now = made(&table, &rows(0..1));
        for n in 1..=101 {
            let files = written(&table, Layout::new(columns()), &rows(n..n + 1));
            let done = table.commit(Some(&now), &append(&files, "floodmark:maker", n + 1)).unwrap();
            assert_eq!(done, Outcome::Done(n as u64));
            now = now.refresh().unwrap();
        }
        let checkpoint = "t/_delta_log/00000000000000000100.checkpoint.parquet";
        assert!(lake.get(&checkpoint.into()).unwrap().is_some(), "{protocol:?}");
        assert_eq!(ids(&table), (0..=101).collect::<Vec<_>>(), "{protocol:?}");
        let tidied = table.optimize(128 << 20, None).unwrap();
        assert_eq!((tidied.compacted, tidied.into), (102, 1), "{protocol:?}");
        let now = table.snapshot().unwrap().unwrap();
        let all: Vec<_> = now.files().unwrap().iter().collect();
        let change = Change { remove: &all[..1], ..append(&[], "floodmark:maker", 200) };
        assert_eq!(table.commit(Some(&now), &change).unwrap(), Outcome::Done(103));
        assert_eq!(ids(&table), [0; 0], "{protocol:?}");
    });
}

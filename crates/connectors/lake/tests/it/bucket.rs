//! A lake in a bucket of a server that speaks S3's protocol.

use super::{append, columns, ids, made, rows, written};
use floodmark_connect::destination::Tidied;
use floodmark_core::url::ConnectionUrl;
use floodmark_lake::{Lake, Layout, Outcome};
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

fn lake(folder: &str) -> Lake {
    let endpoint = std::env::var("FLOODMARK_TEST_S3")
        .expect("FLOODMARK_TEST_S3 is not set: `cargo xtask services up` starts a server and says what to set");
    let name = format!("lake{}-{folder}", std::process::id());
    // A bucket is made by an empty PUT of its name.
    let mut server = TcpStream::connect(endpoint.trim_start_matches("http://")).unwrap();
    server.write_all(format!("PUT /{name} HTTP/1.0\r\nHost: s3\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    server.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
    let url = format!(
        "delta+s3://{name}/a lake?endpoint={endpoint}&region=us-east-1&access_key_id=a&secret_access_key=geheim"
    );
    Lake::open(&ConnectionUrl::parse(&url).unwrap()).unwrap()
}

#[test]
fn a_table_lies_in_a_bucket_as_in_a_folder() {
    let lake = lake("one");
    let table = lake.table("sales/Größe").unwrap();
    assert!(!table.name().contains("geheim") && lake.path().is_none());
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
}

#[test]
fn writers_at_once_lose_nothing_in_a_bucket() {
    let table = lake("many").table("t").unwrap();
    made(&table, &rows(0..1));
    thread::scope(|scope| {
        for writer in 0..16 {
            let table = &table;
            scope.spawn(move || {
                let first = 1 + writer * 10;
                let files = written(table, Layout::new(columns()), &rows(first..first + 10));
                let base = table.snapshot().unwrap().unwrap();
                let app = format!("floodmark:{writer}");
                assert!(matches!(table.commit(Some(&base), &append(&files, &app, 1)).unwrap(), Outcome::Done(_)));
            });
        }
    });
    assert_eq!(ids(&table), (0..=160).collect::<Vec<_>>());
}

//! The example of each page in `docs/errors` is what the program prints: every page has a scene here that brings its
//! error about, or a reason why that takes more than a test of the command line.
//!
//! `UPDATE_PAGES=1 cargo test -p floodmark-cli pages` writes the examples anew.

use crate::support::{Ran, Scratch};
use floodmark_core::Code;
use std::{fs, io::Write as _, path::PathBuf, process::Stdio};

/// How an error is brought about: returns what the program said.
type Scene = fn(&Scratch) -> Ran;

/// Pages whose example is written by hand, and why.
const BY_HAND: [(Code, &str); 6] = [
    (Code::SourceRead, "as root, which tests may run as, no file is unreadable"),
    (Code::Fenced, "takes two processes and a lock that is lost between them: the tests of the destination do that"),
    (Code::DestinationBusy, "takes another program's lock for as long as SQLite waits"),
    (Code::Interrupted, "how far a run had come when the signal reached it is not in a test's hand"),
    (Code::Accounting, "a defect that no input brings about"),
    (Code::Internal, "a defect that no input brings about"),
];

const SCENES: [(Code, Scene); 38] = [
    (Code::ConfigRead, |s| s.run(&["run"])),
    (Code::ConfigInvalid, |s| file(s, "key: id\nwatermrk: updated_at", &[])),
    (Code::Reference, |s| file(s, "key: id\nwatermark: ${CURSOR}", &[])),
    (Code::UnknownPipeline, |s| {
        orders(s, "key: id");
        s.run(&["run", "ordrs"])
    }),
    (Code::BadUrl, |s| {
        orders(s, "key: id");
        replace(s, "sqlite:///shop.db", "oracle://app@db.internal/shop");
        s.run(&["run"])
    }),
    (Code::Unsafe, |s| file(s, "load: upsert", &[])),
    (Code::BadArgument, |s| s.run(&["load", "-", "sqlite:///shop.db", "--key", "id"])),
    (Code::SourceMissing, |s| {
        s.write("data/orders-2024-01.csv", "id\n1\n");
        orders(s, "key: id");
        replace(s, "data/*.csv", "data/order-2024-01.csv");
        s.run(&["run"])
    }),
    (Code::SourceEmpty, |s| file(s, "key: id", &[("data/orders.csv", "")])),
    (Code::BadHeader, |s| file(s, "key: id", &[("data/orders.csv", "id,amount,amount\n1,2,3\n")])),
    (Code::BadEncoding, |s| {
        fs::create_dir_all(s.path().join("data")).unwrap();
        fs::write(s.path().join("data/customers.csv"), b"id,city\n1,Paris\n2,K\xf6ln\n").unwrap();
        file(s, "key: id", &[])
    }),
    (Code::OpenQuote, |s| file(s, "key: id", &[("data/products.csv", "id,name\n1,Apple\n2,\"Orange\n3,Grape\n")])),
    (Code::RowTooLarge, |s| {
        orders(s, "key: id");
        replace(s, "'data/*.csv'", "'data/*.csv', max_row_bytes: 64KiB");
        s.write("data/events.csv", &format!("id,note\n1,a\n2,{}\n", "x".repeat(70_000)));
        s.run(&["run"])
    }),
    (Code::BadFormat, |s| {
        orders(s, "key: id");
        replace(s, "*.csv", "*.parquet");
        s.write("data/events.parquet", "id,name\n1,a\n");
        s.run(&["run"])
    }),
    (Code::BadCompression, |s| {
        orders(s, "key: id");
        replace(s, "*.csv", "*.gz");
        let whole = include_bytes!("../../../../examples/shop/data/order_lines.jsonl.gz");
        fs::create_dir_all(s.path().join("data")).unwrap();
        fs::write(s.path().join("data/order_lines.jsonl.gz"), &whole[..whole.len() / 2]).unwrap();
        s.run(&["run"])
    }),
    (Code::ChangedFile, |s| {
        orders(s, "load: append\nchanged_files: fail");
        s.write("data/orders-2024-01.csv", "id\n1\n");
        s.ok(&["run"]);
        s.write("data/orders-2024-01.csv", "id\n1\n2\n");
        s.run(&["run"])
    }),
    (Code::LateRows, |s| {
        orders(s, "load: append\nwatermark: at");
        s.write("data/orders.csv", "id,at\n1,2024-02-14\n");
        s.ok(&["run"]);
        s.write("data/orders-late.csv", "id,at\n2,2024-02-01\n3,2024-02-02\n");
        s.run(&["run"])
    }),
    (Code::EmptyReplace, |s| {
        orders(s, "load: overwrite");
        s.write("data/products.csv", "id\n1\n");
        s.ok(&["run"]);
        s.write("data/products.csv", "id\n");
        s.run(&["run"])
    }),
    (Code::TiedRows, |s| {
        let ties = "CREATE TABLE orders (id INTEGER, status TEXT, updated_at DATETIME);
            INSERT INTO orders VALUES (7, 'open', '2024-02-14 09:00:00'), (7, 'paid', '2024-02-14 09:00:00')";
        rusqlite::Connection::open(s.path().join("erp.db")).unwrap().execute_batch(ties).unwrap();
        orders(s, "key: id\nversion: updated_at");
        replace(s, "{ files: 'data/*.csv' }", "{ connection: 'sqlite:///erp.db', table: orders }");
        s.run(&["run"])
    }),
    (Code::BadValue, |s| {
        file(s, "key: id\ncolumns: { quantity: bigint }", &[("data/orders.csv", "id,quantity\n1,7\n2,12a\n")])
    }),
    (Code::NullKey, |s| file(s, "key: id", &[("data/customers.csv", "id,name\n1,Ada\n,Bob\n")])),
    (Code::NullValue, |s| {
        file(s, "key: id\ncolumns: { amount: { not_null: true } }", &[("data/orders.csv", "id,amount\n1,7\n2,\n")])
    }),
    (Code::NullCursor, |s| {
        file(s, "key: id\nwatermark: updated_at", &[("data/orders.csv", "id,updated_at\n1,2024-01-01\n2,\n3,\n")])
    }),
    (Code::RaggedRow, |s| file(s, "key: id", &[("data/orders.csv", "id,name,amount\n1,Ada,7\n2,Bob, Junior,8\n")])),
    (Code::TooManyRejects, |s| {
        file(
            s,
            "key: id\ncolumns: { amount: bigint }\non_bad_row: reject\nmax_rejects: 1",
            &[("data/orders.csv", "id,amount\n1,7\n2,n/a\n3,n/a\n")],
        )
    }),
    (Code::Unstorable, |s| {
        let transform = "key: id\ntransform: SELECT id, temp / hours AS per_hour FROM source";
        file(s, transform, &[("data/measurements.csv", "id,temp,hours\n1,20.5e0,2e0\n2,0e0,0e0\n")])
    }),
    (Code::DestinationOpen, |s| {
        orders(s, "key: id");
        replace(s, "sqlite:///shop.db", "sqlite:///missing/shop.db");
        s.write("data/orders.csv", "id\n1\n");
        s.run(&["run"])
    }),
    (Code::DestinationWrite, |s| {
        orders(s, "key: id");
        let rows: String = (0..20_000).map(|n| format!("{n},{}\n", "x".repeat(100))).collect();
        s.write("data/orders.csv", &format!("id,note\n{rows}"));
        // The shell's limit on the size of files stands in for a full disk.
        let program = env!("CARGO_BIN_EXE_floodmark");
        let script = format!("trap '' XFSZ; ulimit -f 1000; exec {program} run");
        let mut shell = std::process::Command::new("sh");
        shell.current_dir(s.path()).args(["-c", &script]).env_clear().stdin(Stdio::null());
        s.ran(&shell.output().unwrap())
    }),
    (Code::TableShape, |s| file(s, "key: order_id", &[("data/orders.csv", "oder_id,amount\n1,7\n")])),
    (Code::SchemaFrozen, |s| {
        orders(s, "key: id\nschema: freeze");
        s.write("data/orders-1.csv", "id\n1\n");
        s.ok(&["run"]);
        s.write("data/orders-2.csv", "id,coupon\n2,X\n");
        s.run(&["run"])
    }),
    (Code::SchemaChange, |s| {
        orders(s, "key: id");
        s.write("data/orders-1.csv", "id,amount\n1,7\n");
        s.ok(&["run"]);
        orders(s, "key: id\ncolumns: { amount: text }");
        s.write("data/orders-2.csv", "id,amount\n2,n/a\n");
        s.run(&["run"])
    }),
    (Code::Busy, |s| {
        orders(s, "key: id");
        s.write("data/orders.csv", "id\n1\n");
        s.ok(&["run"]);
        // The lock of a run that goes on, with what such a run writes into it.
        let path = s.path().join("shop.db-floodmark/orders.lock");
        let mut lock = fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap();
        lock.lock().unwrap();
        let holder = "run 0190b8f2-4c6e-7d3a-9a51-2f8e6b1c7d40 (process 4711) since 2024-02-14 17:55:00Z";
        lock.write_all(holder.as_bytes()).unwrap();
        s.run(&["run"])
    }),
    (Code::StateTooNew, |s| {
        s.write("state.json", "{\"floodmark_state\": 2}");
        orders(s, "key: id");
        s.run(&["state", "import", "state.json"])
    }),
    (Code::StateDamaged, |s| {
        s.write("state.json", "{\"pipelines\": []}");
        orders(s, "key: id");
        s.run(&["state", "import", "state.json"])
    }),
    (Code::Transform, |s| {
        file(s, "key: id\ntransform: SELECT id, emial FROM source", &[("data/orders.csv", "id,email\n1,a@b\n")])
    }),
    (Code::Output, |s| {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = s.command(&["schema"]);
        s.ran(&command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap())
    }),
    (Code::Unverified, |s| {
        orders(s, "key: id");
        s.write("data/orders.csv", "id\n1\n");
        s.run(&["verify"])
    }),
    (Code::Listen, |s| {
        orders(s, "key: id");
        // An address for documentation, which no machine has.
        let args = ["serve", "--listen", "192.0.2.1:8765", "--token-env", "TOKEN"];
        s.ran(&s.command(&args).env("TOKEN", "0123456789abcdef").output().unwrap())
    }),
];

/// One pipeline, `orders`, over `data/*.csv`.
fn orders(s: &Scratch, fields: &str) {
    let fields: String = fields.lines().map(|line| format!("    {line}\n")).collect();
    let source = "source: { files: 'data/*.csv' }\n    destination: { url: 'sqlite:///shop.db' }";
    s.write("floodmark.yaml", &format!("version: 1\npipelines:\n  orders:\n    {source}\n{fields}"));
}

fn replace(s: &Scratch, from: &str, to: &str) {
    let text = s.read("floodmark.yaml");
    assert!(text.contains(from), "{from} is not in {text}");
    s.write("floodmark.yaml", &text.replace(from, to));
}

/// A run of `orders` with these fields over these files.
fn file(s: &Scratch, fields: &str, files: &[(&str, &str)]) -> Ran {
    orders(s, fields);
    files.iter().for_each(|(name, text)| s.write(name, text));
    s.run(&["run"])
}

/// The error as printed, without the line that names its page.
fn example(code: Code, ran: &Ran) -> String {
    let number = code.number();
    let start = ran.stderr.find(&format!("error[{number}]"));
    assert!(start.is_some(), "no {number}: {ran:?}");
    let start = start.unwrap_or_default();
    let lines = ran.stderr[start..].lines().take_while(|line| !line.starts_with("  more: "));
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn every_page_shows_what_is_printed() {
    let pages = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors"));
    let mut stale = Vec::new();
    for (code, scene) in SCENES {
        let printed = example(code, &scene(&Scratch::new()));
        let path = pages.join(format!("{}.md", code.number()));
        let page = fs::read_to_string(&path).unwrap();
        let (head, rest) = page.split_once("```text\n").unwrap();
        let (shown, rest) = rest.split_once("```\n").unwrap();
        if shown == printed {
            continue;
        }
        if std::env::var_os("UPDATE_PAGES").is_some() {
            fs::write(&path, format!("{head}```text\n{printed}```\n{rest}")).unwrap();
        } else {
            stale.push(format!("{}\nshows:\n{shown}and is printed as:\n{printed}", code.number()));
        }
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

#[test]
fn every_page_has_a_scene_or_a_reason() {
    for code in Code::ALL {
        let scenes = SCENES.iter().filter(|(c, _)| c == code).count();
        let reasons = BY_HAND.iter().filter(|(c, reason)| c == code && !reason.is_empty()).count();
        assert_eq!(scenes + reasons, 1, "{}", code.number());
    }
}

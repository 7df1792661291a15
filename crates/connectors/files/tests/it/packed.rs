use crate::support::{error_of, files, load, load_text, spec};
use floodmark_connect::{Files as _, Source, Stop};
use floodmark_core::Code;
use floodmark_files::FileSourceReader;
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn csv(rows: usize) -> String {
    let mut text = "id,name\n".to_owned();
    (0..rows).for_each(|i| text.push_str(&format!("{i},name {}\n", i.wrapping_mul(2_654_435_761) % 1_000_003)));
    text
}

#[test]
fn packing_goes_by_content_not_by_name() {
    let plain = load_text("a.csv", csv(20_000)).unwrap();
    for bytes in [gzip(csv(20_000).as_bytes()), zst(csv(20_000).as_bytes())] {
        for name in ["a.csv.gz", "a.csv.zst", "a.csv", "export"] {
            assert_eq!(load_text(name, &bytes).unwrap().rows, plain.rows, "{name}");
        }
    }
}

#[test]
fn members_and_frames_are_read_one_after_the_other() {
    for pack in [gzip, zst] {
        let bytes = [pack(b"a\n1\n"), pack(b"2\n3"), pack(b"4\n")].concat();
        assert_eq!(load_text("a.csv.gz", bytes).unwrap().lines(), ["1", "2", "34"]);
    }
}

#[test]
fn truncated_and_damaged_data_are_errors() {
    for pack in [gzip, zst] {
        let whole = pack(csv(20_000).as_bytes());
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 40].fill(0x55);
        for bytes in [&whole[..whole.len() - 5], &whole[..middle], &damaged, &whole[..12]] {
            let error = error_of("a.csv.gz", bytes);
            assert_eq!(error.code(), Code::BadCompression, "{error:?}");
            assert_eq!(error.place().unwrap().file.as_deref(), Some("a.csv.gz".as_ref()));
        }
    }
    assert_eq!(error_of("a.csv.gz", gzip(b"")).code(), Code::SourceEmpty);
}

#[test]
fn a_file_that_changes_is_noticed() {
    let dir = files(&[("a.csv", csv(10).as_bytes())]);
    let source = FileSourceReader::new(spec(dir.path(), &["a.csv"])).unwrap();
    let slices = source.slices(&Stop::default()).unwrap();
    let before = source.hash(&slices[0], &Stop::default()).unwrap();
    std::fs::write(dir.path().join("a.csv"), csv(11)).unwrap();
    let error = source.survey(&slices, &Default::default(), &Stop::default()).unwrap_err();
    assert_eq!(error.code(), Code::SourceRead);
    // What was appended to is told from what was rewritten by the hash of the part that was there.
    let now = &source.slices(&Stop::default()).unwrap()[0];
    assert_eq!(source.hash_prefix(now, slices[0].size, &Stop::default()).unwrap(), before);
    assert_ne!(source.hash(now, &Stop::default()).unwrap(), before);
    assert_eq!(load(&source, &[]).unwrap().rows.len(), 11);
}

//! A connection on a real server: `cargo xtask services up` starts one and says what to set.

use super::*;
use crate::literal;
use floodmark_core::url::ConnectionUrl;

pub(crate) fn connect() -> Db {
    let url = std::env::var("FLOODMARK_TEST_MYSQL").unwrap_or_else(|_| {
        panic!("FLOODMARK_TEST_MYSQL is not set: `cargo xtask services up` starts a MariaDB and says what to set")
    });
    let address = Address::parse(&ConnectionUrl::parse(&url).unwrap(), &|_| None).unwrap();
    Db::connect(&address, "floodmark tests").unwrap()
}

#[test]
fn texts_are_equal_only_when_they_are_the_same() {
    let db = connect();
    let row = db.query_one("SELECT 'a' = 'A', 'a' = 'a ', 'a' = 'a', 'é' = 'e', '\\' = x'5c'").unwrap();
    let cells: Vec<&str> = (0..5).map(|at| row.text(at).unwrap()).collect();
    assert_eq!(cells, ["0", "0", "1", "0", "1"]);
    let odd = "it's \\ \0 \u{1F980} `";
    let row = db.query_one(&format!("SELECT {}, NULL", literal::text(odd))).unwrap();
    assert_eq!((row.text(0), row.bytes(1)), (Some(odd), None));
}

#[test]
fn rows_larger_than_a_packet_come_back_whole() {
    let db = connect();
    let row = db.query_one("SELECT REPEAT('x', 16777213), REPEAT('y', 16000000), 'z'").unwrap();
    let lengths: Vec<usize> = (0..3).map(|at| row.bytes(at).map_or(0, <[u8]>::len)).collect();
    assert_eq!(lengths, [16_777_213, 16_000_000, 1]);
    assert_eq!(db.query_one("SELECT 1").unwrap().number(0), Some(1));
}

#[test]
fn rows_get_in_as_a_file_and_every_double_is_the_same_afterwards() {
    let db = connect();
    db.execute("CREATE TEMPORARY TABLE t (n bigint, d double, s longtext, b longblob)").unwrap();
    // Every exponent there is, with a mantissa that needs all its digits.
    let doubles = (0..0x7ff_u64).map(|exponent| f64::from_bits(exponent << 52 | 0x000b_adc0_ffee_1234));
    let doubles: Vec<f64> = doubles.chain([0.0, f64::MIN, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1]).collect();
    let sql = "LOAD DATA LOCAL INFILE 'rows' INTO TABLE t CHARACTER SET utf8mb4 FIELDS TERMINATED BY 0x09 ESCAPED BY 0x5c \
               LINES TERMINATED BY 0x0a (n, d, s, @b) SET b = UNHEX(@b)";
    let done = db
        .load_local(sql, |local| {
            for (n, double) in doubles.iter().enumerate() {
                local.buffer.extend(format!("{n}\t{double:e}\ta\\\\b\\\tc\\\nd'\t00FF0A\n").bytes());
                local.passed()?;
            }
            local.buffer.extend(b"\\N\t\\N\t\\N\t\\N\n");
            Ok(())
        })
        .unwrap();
    assert_eq!((done.rows, done.warnings), (doubles.len() as u64 + 1, 0));
    let rows = db.query("SELECT d, s, b FROM t WHERE n IS NOT NULL ORDER BY n").unwrap();
    for (row, double) in rows.iter().zip(&doubles) {
        assert_eq!(row.number::<f64>(0).unwrap().to_bits(), double.to_bits(), "{double:e}");
        assert_eq!((row.text(1), row.bytes(2)), (Some("a\\b\tc\nd'"), Some(&[0, 0xff, 0x0a][..])));
    }
    assert_eq!(db.query_one("SELECT count(*) FROM t WHERE d IS NULL AND s IS NULL").unwrap().number(0), Some(1));
}

#[test]
fn a_file_that_breaks_off_leaves_a_connection_that_can_roll_back() {
    let db = connect();
    db.execute("CREATE TEMPORARY TABLE t (n bigint NOT NULL)").unwrap();
    let step = Step::begin(&db, false).unwrap();
    let fed = db.load_local("LOAD DATA LOCAL INFILE 'rows' INTO TABLE t", |local| {
        local.buffer.extend(b"1\n");
        Err(Error::internal("made to fail"))
    });
    assert_eq!(fed.unwrap_err().message(), "made to fail");
    drop(step);
    assert_eq!(db.query_one("SELECT count(*) FROM t").unwrap().number(0), Some(0));
    let wrong = db.load_local("LOAD DATA LOCAL INFILE 'rows' INTO TABLE t", |local| {
        local.buffer.extend(b"one\n");
        Ok(())
    });
    let error = wrong.unwrap_err();
    assert_eq!(error.code(), Code::Unstorable);
    assert!(format!("{error:?}").contains("Incorrect integer value"), "{error:?}");
}

#[test]
fn rows_that_are_not_read_to_their_end_close_the_connection() {
    let db = connect();
    drop(db.stream("SELECT 1").unwrap());
    assert!(db.is_closed());
    assert!(!connect().is_closed());
}

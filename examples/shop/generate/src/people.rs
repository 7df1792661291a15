//! Customers and their history: an export by a program that writes a byte order mark and CRLF, and never sorts.

use crate::{moment::Moment, random::Random};
use std::fmt::Write;

const FIRST: &[&str] =
    &["Ada", "Björn", "Chloé", "Dmitri", "Esra", "Fatima", "Günther", "Hana", "Ivo", "Jürgen", "Kwame", "Łucja"];
const LAST: &[&str] =
    &["Smith", "Müller", "O'Brien", "Nguyen", "García", "Öztürk", "van den Berg", "Ivanova", "Sørensen", "da Silva"];
const CITIES: &[(&str, &str)] = &[
    ("Boston", "02108"),
    ("Cambridge", "02139"),
    ("Dresden", "01067"),
    ("Leipzig", "04109"),
    ("Köln", "50667"),
    ("Newark", "07102"),
    ("Holtsville", "00501"),
    ("Zürich", "8001"),
    ("Paris", "75001"),
];
const TIERS: &[&str] = &["bronze", "silver", "gold"];

/// How many customers there are; their numbers begin at 1.
pub(crate) const CUSTOMERS: u64 = 4_000;

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// `customers.csv`: several copies of some customers, the newest one anywhere; erased ones marked.
pub(crate) fn customers(random: &mut Random) -> Vec<u8> {
    let mut rows = Vec::new();
    for id in 1..=CUSTOMERS {
        let (first, last) = (random.pick(FIRST), random.pick(LAST));
        let mut at = Moment::month(1).plus(random.below(150 * 86_400));
        let copies = if random.percent(8) { random.between(2, 3) } else { 1 };
        for copy in 0..copies {
            let (city, zip) = random.pick(CITIES);
            let name = if random.percent(10) { quoted(&format!("{last}, {first}")) } else { format!("{first} {last}") };
            let street = match random.below(12) {
                0 => quoted(&format!("{} Main St\nApt {}", random.between(1, 900), random.between(1, 40))),
                1 => quoted(&format!("c/o \"{last} & Sons\", {city}")),
                _ => format!("{} High Street", random.between(1, 900)),
            };
            // No phone known: nothing at all. Customer said they have none: empty text.
            let phone = match random.below(5) {
                0 => String::new(),
                1 => "\"\"".to_owned(),
                _ => format!("0{}", random.between(10_000_000, 99_999_999)),
            };
            let last_copy = copy + 1 == copies;
            let status = if last_copy && random.percent(1) { "erased" } else { "active" };
            rows.push(format!("{id},{name},{street},{zip},{city},{phone},{status},{at}\r\n"));
            at = at.plus(random.between(60, 20 * 86_400));
        }
    }
    random.shuffle(&mut rows);
    let mut out = "\u{feff}customer_id,name,street,zip,city,phone,status,updated_at\r\n".to_owned();
    rows.iter().for_each(|row| out.push_str(row));
    out.into_bytes()
}

/// `customer_tiers.csv`: every change of a customer's tier in the half-year; some "changes" change nothing.
pub(crate) fn tiers(random: &mut Random) -> Vec<u8> {
    let mut rows = Vec::new();
    for id in 1..=CUSTOMERS {
        let mut at = Moment::month(1).plus(random.below(86_400));
        let mut tier = random.pick(TIERS);
        for _ in 0..random.between(1, 3) {
            rows.push((at, id, tier));
            at = at.plus(random.between(5, 60) * 86_400);
            if random.percent(80) {
                tier = random.pick(TIERS);
            }
        }
    }
    rows.sort();
    let mut out = "customer_id,tier,changed_at\n".to_owned();
    rows.iter().for_each(|(at, id, tier)| {
        let _ = writeln!(out, "{id},{tier},{at}");
    });
    out.into_bytes()
}

//! Products, orders, order lines and stock.

use crate::{moment::Moment, people::CUSTOMERS, random::Random};
use flate2::{Compression, GzBuilder};
use std::{fmt::Write as _, io::Write as _};

const PRODUCTS: u64 = 240;
const ORDERS_A_MONTH: u64 = 2_000;
/// Orders are exported for the months before this one.
pub(crate) const MONTHS: usize = 6;

const NOUNS: &[&str] = &["bolt", "nut", "hinge", "lamp", "kettle", "chair", "rope", "drill", "brush", "shelf"];
const LOOKS: &[&str] = &["short", "long", "brass", "steel", "red", "folding", "3/4\"", "heavy; duty"];

/// `products.csv`: semicolons, as spreadsheets of half of Europe write them; a snapshot, so a product that is gone is gone.
pub(crate) fn products(random: &mut Random) -> Vec<u8> {
    let mut out = "sku;name;price;weight_kg;discontinued\n".to_owned();
    for n in 1..=PRODUCTS {
        let name = format!("{}, {}", random.pick(NOUNS), random.pick(LOOKS));
        let name = if name.contains([';', '"']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name };
        let weight =
            if random.percent(15) { String::new() } else { format!("{}.{}", random.below(30), random.below(10)) };
        let cents = random.between(49, 49_999);
        let _ = writeln!(
            out,
            "P-{n:04};{name};{}.{:02};{weight};{}",
            cents / 100,
            cents % 100,
            if random.percent(7) { "true" } else { "false" }
        );
    }
    out.into_bytes()
}

#[derive(Clone)]
struct Order {
    id: u64,
    customer: u64,
    channel: &'static str,
    status: &'static str,
    cents: u64,
    ordered: Moment,
    updated: Moment,
    note: &'static str,
}

impl Order {
    fn write(&self, out: &mut String) {
        let Order { id, customer, channel, status, cents, ordered, updated, note } = self;
        let (whole, part) = (cents / 100, cents % 100);
        let day = ordered.day();
        let _ = writeln!(out, "{id},{customer},{channel},{status},{whole}.{part:02},{day},{note},{updated}");
    }
}

/// `orders-2024-MM.csv`, one a month: what was ordered or changed in it. Changes of earlier orders come late, in no
/// order; a nightly job gives many rows one and the same `updated_at`.
pub(crate) fn orders(random: &mut Random) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<Order> = Vec::new();
    let mut files = Vec::new();
    for month in 1..=MONTHS {
        let start = Moment::month(month);
        let length = Moment::month(month + 1).0 - start.0;
        let nightly = start.plus(length - 3_600);
        let mut changed = Vec::new();
        for order in &mut all {
            if !random.percent(6) {
                continue;
            }
            order.status = random.pick(&["paid", "shipped", "returned", "cancelled"]);
            order.updated = if random.percent(60) { nightly } else { start.plus(random.below(length - 7_200)) };
            changed.push(order.clone());
        }
        for _ in 0..ORDERS_A_MONTH {
            let ordered = start.plus(random.below(length - 7_200));
            let order = Order {
                id: 100_000 + all.len() as u64,
                customer: random.between(1, CUSTOMERS),
                channel: random.pick(&["web", "WEB", "store", "phone"]),
                status: random.pick(&["new", "paid", "paid", "shipped", "returned"]),
                cents: random.between(199, 99_999),
                ordered,
                updated: if random.percent(20) { nightly } else { ordered.plus(random.below(3_600)) },
                note: random.pick(&["", "", "", "\"leave, at door\"", "gift", "\"\""]),
            };
            changed.push(order.clone());
            all.push(order);
        }
        random.shuffle(&mut changed);
        let mut out = "order_id,customer_id,channel,status,total,ordered_on,note,updated_at\n".to_owned();
        changed.iter().for_each(|order| order.write(&mut out));
        files.push((format!("orders-2024-{month:02}.csv"), out.into_bytes()));
    }
    files
}

/// `order_lines.jsonl.gz`, and some lines twice, as a queue delivers them.
pub(crate) fn order_lines(random: &mut Random) -> std::io::Result<Vec<u8>> {
    // No name and no time in the gzip header: equal input, equal bytes.
    let mut out = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    for order in 100_000..100_000 + ORDERS_A_MONTH * MONTHS as u64 {
        for line in 1..=random.between(1, 3) {
            let sku = random.between(1, PRODUCTS);
            let gift = if random.percent(5) { ",\"gift\":{\"wrap\":true,\"text\":\"Happy \\\"day\\\"\"}" } else { "" };
            let row = format!(
                "{{\"order_id\":{order},\"line\":{line},\"sku\":\"P-{sku:04}\",\"quantity\":{},\"price\":{}.{:02}{gift}}}\n",
                random.between(1, 9),
                random.between(0, 499),
                random.below(100),
            );
            out.write_all(row.as_bytes())?;
            if random.percent(1) {
                out.write_all(row.as_bytes())?;
            }
        }
    }
    out.finish()
}

/// `stock-2024-06.csv`: what was on the shelf each evening; a day is always delivered whole.
pub(crate) fn stock(random: &mut Random) -> Vec<u8> {
    let mut out = "day,sku,on_hand\n".to_owned();
    for day in 0..30 {
        let moment = Moment::month(6).plus(day * 86_400);
        for sku in (1..=PRODUCTS).step_by(4) {
            let _ = writeln!(out, "{},P-{sku:04},{}", moment.day(), random.below(500));
        }
    }
    out.into_bytes()
}

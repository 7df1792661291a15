//! P7 and P8 without the model: the same rows in another order, cut into other files and runs, in other formats and chunks,
//! give the same table.

use super::{
    generate,
    history::{History, How, Step},
    merge::is_delete,
    random::Random,
    row::{Content, Format, Row, get},
    settings::{AXIS, Settings},
    trial,
    world::World,
    write,
};
use crate::store::Destination;
use std::time::{Duration, Instant};

/// Which rows come in which file, and which files in which run.
struct Delivery {
    /// By run, by file: places in the list of rows.
    runs: Vec<Vec<(Format, Vec<usize>)>>,
    commit_every: Option<u64>,
    how: How,
}

/// Delivers one set of rows in several ways; the text of two cases where they end differently.
pub(super) fn differ(seed: u64, time: Duration, on: Destination) -> Result<Option<String>, String> {
    let mut random = Random::new(seed);
    let (settings, columns, rows) = generate::unordered(&mut random);
    let mut rows = alone_at_their_version(&settings, rows);
    let one =
        Delivery { runs: vec![vec![(Format::Csv, (0..rows.len()).collect())]], commit_every: None, how: How::Plain };
    let first = |rows: &[Row]| history(&settings, &columns, rows, &one);
    for _ in 0..3 {
        let other = delivery(&mut random, rows.len());
        let second = |rows: &[Row]| history(&settings, &columns, rows, &other);
        if trial::end(&first(&rows), on)? == trial::end(&second(&rows), on)? {
            continue;
        }
        // Rows that are not needed for the difference go; their places stay, so that the deliveries still fit.
        let deadline = Instant::now() + time;
        for place in 0..rows.len() {
            let mut fewer = rows.clone();
            fewer[place].clear();
            if Instant::now() < deadline && trial::end(&first(&fewer), on)? != trial::end(&second(&fewer), on)? {
                rows = fewer;
            }
        }
        let title = format!("The same rows, delivered twice (P7, P8), seed {seed}.");
        return Ok(Some(format!(
            "{}\nbut:\n\n{}",
            write::case(&first(&rows), &title),
            write::case(&second(&rows), "In another order.")
        )));
    }
    Ok(None)
}

/// Two contents of one key and version would be told apart by their order alone.
fn alone_at_their_version(settings: &Settings, rows: Vec<Row>) -> Vec<Row> {
    if settings.key.is_empty() {
        return rows;
    }
    let world = World::new(settings);
    let place = |row: &Row| (world.key(row), get(row, AXIS), is_delete(&world, row));
    let mut out: Vec<Row> = Vec::new();
    for row in rows {
        // The same copy may come again.
        let same = out.iter().find(|other| place(other) == place(&row)).cloned();
        out.push(same.unwrap_or(row));
    }
    out
}

fn delivery(random: &mut Random, rows: usize) -> Delivery {
    let mut order: Vec<usize> = (0..rows).collect();
    random.shuffle(&mut order);
    let mut runs: Vec<Vec<(Format, Vec<usize>)>> = vec![Vec::new()];
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let (file, more) = rest.split_at((1 + random.below(8)).min(rest.len()));
        rest = more;
        if random.percent(60) {
            runs.push(Vec::new());
        }
        let format = *random.pick(&[Format::Csv, Format::Jsonl]);
        if let Some(run) = runs.last_mut() {
            run.push((format, file.to_vec()));
        }
    }
    let commit_every = *random.pick(&[None, Some(1), Some(2), Some(5)]);
    let how = if random.percent(30) { How::OneThread } else { How::Plain };
    Delivery { runs, commit_every, how }
}

fn history(settings: &Settings, columns: &[&'static str], rows: &[Row], delivery: &Delivery) -> History {
    let mut steps = Vec::new();
    let mut number = 0;
    for run in &delivery.runs {
        for (format, places) in run {
            number += 1;
            let rows: Vec<Row> = places.iter().map(|p| rows[*p].clone()).filter(|row| !row.is_empty()).collect();
            let end = if *format == Format::Csv { "csv" } else { "jsonl" };
            if !rows.is_empty() {
                let content = Content { format: *format, columns: columns.to_vec(), rows };
                steps.push(Step::Write(format!("data/{number:02}.{end}"), content));
            }
        }
        if steps.iter().any(|step| matches!(step, Step::Write(..))) {
            steps.push(Step::Run(delivery.how.clone()));
        }
    }
    History { settings: Settings { commit_every: delivery.commit_every, ..settings.clone() }, steps }
}

//! P7 by itself, without the model: a source loaded at once, and the same source by backfills of its parts in any order,
//! beside runs and beside each other, killed and gone on with, loaded once more. The tables must be equal.

use super::{
    fills,
    history::{Fill, Filling, Kill},
    origin::{self, Dialect, Origin},
    parquet,
    process::{self, Report},
    random::Random,
    row::{Content, Format, Row},
    settings::{Load, Settings, Source},
};
use crate::{
    dump::{self, quote},
    play::{self, Style},
    project,
    store::{Destination, Store},
};
use std::{
    collections::VecDeque,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// What happens, drawn before it does, so that it happens again with fewer rows.
struct Script {
    settings: Settings,
    zone: Option<&'static str>,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    parts: Vec<(Fill, After)>,
}

/// What follows a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    Run,
    /// Once more, by force.
    Again,
}

/// Loads the rows of a seed in both ways; what differed, where something did.
pub(super) fn differ(seed: u64, from: Origin, on: Destination, time: Duration) -> Result<Option<String>, String> {
    let mut script = Script::new(seed, from);
    let Some(mut message) = script.play(from, on)? else { return Ok(None) };
    let deadline = Instant::now() + time;
    let mut place = 0;
    while place < script.rows.len() && Instant::now() < deadline {
        let row = script.rows.remove(place);
        match script.play(from, on)? {
            Some(other) => message = other,
            None => {
                script.rows.insert(place, row);
                place += 1;
            }
        }
    }
    Ok(Some(format!("A source loaded at once and in parts (P7), from {from:?}.\n{}\n{message}", script.text())))
}

impl Script {
    fn new(seed: u64, from: Origin) -> Script {
        let mut random = Random::new(seed ^ 0x5011_7000);
        let mut settings = loop {
            let settings = fills::settings(&mut random);
            if !(from.files() && settings.load == Load::Append) {
                break settings;
            }
        };
        settings.source = if from.files() { Source::Files } else { Source::Table };
        settings.typed = from.files();
        let (columns, rows) = fills::rows(&mut random, &settings);
        let zone = random.percent(30).then(|| random.word(&["Europe/Berlin", "America/New_York"]));
        let axis = settings.axis;
        let mut ends = vec![axis.between(0), axis.between(40)];
        for _ in 0..random.below(6) {
            let point = random.below(30);
            ends.push(fills::end(&mut random, axis, point));
        }
        ends.sort();
        ends.dedup();
        let mut parts: Vec<(Fill, After)> = ends
            .windows(2)
            .map(|pair| {
                let how = match random.below(100) {
                    0..25 => Filling::Killed((0..=random.below(2)).map(|_| fills::kill(&mut random)).collect()),
                    25..50 => Filling::Beside,
                    _ => Filling::Plain,
                };
                let after = match random.below(100) {
                    0..20 => After::Run,
                    20..35 => After::Again,
                    _ => After::Nothing,
                };
                let (range, by) = (Some((pair[0].clone(), pair[1].clone())), fills::step(&mut random, axis));
                let jobs = *random.pick(&[1, 1, 3]);
                (Fill { range, by, jobs, force: false, missing: false, how }, after)
            })
            .collect();
        random.shuffle(&mut parts);
        Script { settings, zone, columns, rows, parts }
    }

    /// What differed; the error is the harness's own.
    fn play(&self, from: Origin, on: Destination) -> Result<Option<String>, String> {
        let source = Holder::new(self, from)?;
        let [whole, parted] = [Place::new(self, &source, on, true)?, Place::new(self, &source, on, false)?];
        let loaded = process::run(whole.root.path(), &["run"])?;
        if loaded.exit != Some(0) {
            // Nothing to compare with: an overwrite of nothing, for instance.
            return match self.rows.is_empty() {
                true => Ok(None),
                false => Err(format!("the whole source cannot be loaded\n{}\n{}", self.text(), loaded.said)),
            };
        }
        let wanted = whole.lines()?;
        if let Err(message) = self.load(&parted)? {
            return Ok(Some(message));
        }
        let compare = |when: &str| -> Result<Option<String>, String> {
            let found = parted.lines()?;
            let only = |a: &[String], b: &[String]| {
                let lines: Vec<String> = a.iter().filter(|line| !b.contains(line)).cloned().collect();
                lines.join("\n  ")
            };
            Ok((found != wanted).then(|| {
                format!(
                    "the tables differ {when}: {} rows at once, {} in parts\nat once alone:\n  {}\nin parts alone:\n  {}",
                    wanted.len() - 1,
                    found.len().saturating_sub(1),
                    only(&wanted, &found),
                    only(&found, &wanted)
                )
            }))
        };
        if let Some(found) = compare("after all parts and runs")? {
            return Ok(Some(found));
        }
        let verified = process::run(parted.root.path(), &["verify", "t"])?;
        // What was never loaded, as there is nothing, cannot be verified.
        if verified.exit != Some(0) && !self.rows.is_empty() {
            return Ok(Some(format!("verify ends with {:?}, and all is there\n{}", verified.exit, verified.said)));
        }
        let missing = process::run(parted.root.path(), &["backfill", "t", "--missing"])?;
        if missing.exit != Some(0) {
            return Ok(Some(format!("backfill --missing fails, and nothing is missing\n{}", missing.said)));
        }
        compare("after `--missing`, though nothing was")
    }

    /// All parts and runs.
    fn load(&self, place: &Place) -> Result<Result<(), String>, String> {
        let root = place.root.path();
        let ended = |what: &str, report: &Report| match report.exit {
            Some(0) => Ok(()),
            exit => Err(format!("{what} ended with {exit:?}\n{}", report.said)),
        };
        let run = || -> Result<Result<(), String>, String> { Ok(ended("a run", &process::run(root, &["run"])?)) };
        let mut queue: VecDeque<&(Fill, After)> = self.parts.iter().collect();
        let mut refused = 0;
        while let Some(part) = queue.pop_front() {
            let (fill, after) = part;
            let words = fill.words();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let report = match &fill.how {
                Filling::Beside => {
                    let wait = "--wait=60s";
                    let filling = process::start(root, &[&words[..], &[wait]].concat(), false)?;
                    // Another part at the same time waits for its turn, as a run may.
                    let other = queue
                        .front()
                        .filter(|(fill, _)| fill.how == Filling::Plain && self.settings.load != Load::Append);
                    let beside = match other {
                        Some((fill, _)) => fill.words(),
                        None => vec!["run".to_owned()],
                    };
                    let beside: Vec<&str> = beside.iter().map(String::as_str).collect();
                    let beside = process::finish(process::start(root, &[&beside[..], &[wait]].concat(), false)?)?;
                    let report = process::finish(filling)?;
                    if let Err(message) = ended("what went on beside a backfill", &beside) {
                        return Ok(Err(message));
                    }
                    report
                }
                Filling::Killed(kills) => {
                    kills.iter().try_for_each(|kill: &Kill| process::break_off(root, &words, kill))?;
                    process::run(root, &words)?
                }
                Filling::Plain | Filling::Broken(_) => process::run(root, &words)?,
            };
            // An append ahead of its watermark has no gaps: this part comes later, at last when a run has loaded all of it.
            if self.settings.load == Load::Append && report.object["error"]["code"] == "FM0106" {
                refused += 1;
                if refused > queue.len()
                    && let Err(message) = run()?
                {
                    return Ok(Err(message));
                }
                queue.push_back(part);
                continue;
            }
            refused = 0;
            if let Err(message) = ended("a backfill", &report) {
                return Ok(Err(message));
            }
            let more = match after {
                After::Nothing => Ok(()),
                After::Run => run()?,
                After::Again => {
                    ended("a backfill by force", &process::run(root, &[&words[..], &["--force"]].concat())?)
                }
            };
            if more.is_err() {
                return Ok(more);
            }
        }
        for _ in 0..2 {
            if let Err(message) = run()? {
                return Ok(Err(message));
            }
        }
        Ok(Ok(()))
    }

    fn text(&self) -> String {
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|(fill, after)| format!("{}  ({:?}, then {after:?})", fill.words().join(" "), fill.how))
            .collect();
        let zone = self.zone.map(|zone| format!("timezone: {zone}\n")).unwrap_or_default();
        let sql = origin::statements(Dialect::Sqlite, &self.settings, &self.content()).join(";\n");
        format!("\n-- pipeline\n{}{zone}-- source\n{sql};\n\n{}\n", self.settings.yaml(), parts.join("\n"))
    }

    fn content(&self) -> Content {
        Content { format: Format::Csv, columns: self.columns.clone(), rows: self.rows.clone() }
    }
}

/// The source, where it is a table.
struct Holder {
    folder: TempDir,
    store: Option<Store>,
    url: Option<String>,
    from: Origin,
}

impl Holder {
    fn new(script: &Script, from: Origin) -> Result<Holder, String> {
        let folder = project::memory().map_err(|e| e.to_string())?;
        let store = match from {
            Origin::Sqlite => Some(Store::new(Destination::Sqlite)?),
            #[cfg(feature = "duckdb")]
            Origin::Duckdb => Some(Store::new(Destination::Duckdb)?),
            Origin::Postgres => Some(Store::new(Destination::Postgres)?),
            Origin::Mysql => Some(Store::new(Destination::Mysql)?),
            Origin::Csv | Origin::Parquet => None,
        };
        let mut holder = Holder { folder, store, url: None, from };
        if let Some(store) = &holder.store {
            origin::write(store, holder.folder.path(), &script.settings, &script.content())?;
            let file = format!("sqlite:///{}", holder.folder.path().join("source.db").display());
            holder.url = Some(store.translate(&file));
        }
        Ok(holder)
    }

    /// Puts files into a project.
    fn deliver(&self, script: &Script, root: &Path) -> Result<(), String> {
        let data = root.join("data");
        fs::create_dir_all(&data).map_err(|e| e.to_string())?;
        let size = script.rows.len().div_ceil(3).max(1);
        let parts: Vec<&[Row]> = if script.rows.is_empty() { vec![&[]] } else { script.rows.chunks(size).collect() };
        for (number, rows) in parts.into_iter().enumerate() {
            match self.from {
                Origin::Csv => {
                    let content = Content { rows: rows.to_vec(), ..script.content() };
                    fs::write(data.join(format!("{number}.csv")), content.text()).map_err(|e| e.to_string())?;
                }
                Origin::Parquet => {
                    parquet::write(&data.join(format!("{number}.parquet")), &script.settings, &script.columns, rows)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A project with its destination.
struct Place {
    root: TempDir,
    store: Store,
}

impl Place {
    /// `whole`: without a start, so that one run loads all.
    fn new(script: &Script, source: &Holder, on: Destination, whole: bool) -> Result<Place, String> {
        let place = Place { root: project::memory().map_err(|e| e.to_string())?, store: Store::new(on)? };
        let mut settings = script.settings.clone();
        if whole {
            settings.watermark.iter_mut().for_each(|watermark| watermark.start = None);
        }
        let mut fields = settings.yaml();
        if let Some(zone) = script.zone {
            fields.push_str(&format!("timezone: {zone}\n"));
        }
        let mut text = play::frame("t", &fields, Style::AsWritten);
        text = text.replace("sqlite:///out.db", &place.store.translate("sqlite:///out.db"));
        if let Some(url) = &source.url {
            text = text.replace("sqlite:///source.db", url);
        }
        fs::write(place.root.path().join("floodmark.yaml"), text).map_err(|e| e.to_string())?;
        if source.from.files() {
            source.deliver(script, place.root.path())?;
        }
        Ok(place)
    }

    /// The columns, then the rows, sorted; none where there is no table.
    fn lines(&self) -> Result<Vec<String>, String> {
        let mut columns = self.store.columns(self.root.path(), "t")?;
        columns.sort();
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = columns.iter().map(|column| quote(column)).collect();
        let found: dump::Rows = self.store.query(self.root.path(), &format!("SELECT {} FROM t", names.join(", ")))?;
        let mut lines = vec![columns.join(" | ")];
        lines.extend(found.lines());
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_end_to_end() {
        for seed in 0..50 {
            let script = Script::new(seed, Origin::Sqlite);
            let axis = script.settings.axis;
            let place = |value| axis.place(value).unwrap();
            let mut ranges: Vec<_> =
                script.parts.iter().flat_map(|(fill, _)| &fill.range).map(|(a, b)| (place(a), place(b))).collect();
            ranges.sort_unstable();
            assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ranges:?}");
        }
    }
}

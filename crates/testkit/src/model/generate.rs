//! Histories from a seed: the mess of real deliveries, on few keys and few versions, so that everything meets.

use super::{
    exclusions,
    history::{History, How, Step},
    pipelines,
    random::Random,
    row::{Content, Format, Row, Value},
    settings::{AXIS, Axis, Changed, Deletes, Late, Load, MARK, Nulls, Settings},
    world::World,
};
use std::collections::BTreeMap;

/// The history of a seed: the same on every machine, as long as the generator and the exclusions are the same.
pub(super) fn history(seed: u64, allowed: &[String]) -> History {
    let mut random = Random::new(seed);
    loop {
        let history = Generator::new(&mut random).history();
        if exclusions::excluded(&history, allowed).is_none() {
            return history;
        }
    }
}

/// Rows of which the specification promises that their order does not matter, and a pipeline for them.
pub(super) fn unordered(random: &mut Random) -> (Settings, Vec<&'static str>, Vec<Row>) {
    let settings = loop {
        let s = pipelines::settings(random);
        let late = s.late() == Late::Load;
        let fits = match s.load {
            Load::Append => s.watermark.is_none(),
            Load::Upsert => s.versioned() && !s.absent_delete,
            Load::Scd2 => s.watermark.is_some(),
            _ => false,
        };
        if fits && (late || s.watermark.is_none()) {
            break Settings { typed: true, reject: false, max_rejects: None, ..s };
        }
    };
    let mut generator = Generator::with(random, settings);
    (generator.bad, generator.null_cursors, generator.ordered, generator.new_column) = (0, 0, false, 0);
    let columns = generator.columns();
    let mut rows = Vec::new();
    for _ in 0..5 + generator.random.below(40) {
        generator.round = generator.random.below(6);
        rows.push(generator.row(&columns));
    }
    (generator.settings, columns, rows)
}

const NAMES: &[&str] = &["a", "b", "pear, ripe", "say \"hi\"", "\u{e9}t\u{e9}", "", "two\nlines", "NULL", "x|y"];
const DAYS: &[&str] = &["2024-05-01", "2024-05-02", "2024-05-03"];

struct Generator<'r> {
    random: &'r mut Random,
    settings: Settings,
    keys: usize,
    bad: u64,
    null_cursors: u64,
    /// Large numbers, where a floating point number would lose digits.
    huge: bool,
    /// The column `x` turns up from this round on.
    new_column: usize,
    /// Files have the column `day`, which windows have in any case.
    with_day: bool,
    /// `day` holds moments from this round on, not only dates.
    moments: usize,
    /// Files may lack columns.
    ragged: bool,
    /// `scd2`: versions of a key come in order, and contents may repeat; else each content is used once.
    ordered: bool,
    last: BTreeMap<i64, usize>,
    used: i64,
    round: usize,
    files: usize,
}

impl<'r> Generator<'r> {
    fn new(random: &'r mut Random) -> Self {
        let settings = pipelines::settings(random);
        Generator::with(random, settings)
    }

    fn with(random: &'r mut Random, settings: Settings) -> Self {
        let keyed = !settings.key.is_empty();
        let rejects = settings.reject || (!settings.full_read() && random.percent(8));
        let most_keys = if random.percent(20) { 20 } else { 6 };
        let keys = 2 + random.below(most_keys);
        let cursor_nulls = match settings.watermark.as_ref().map(|w| w.nulls) {
            Some(Nulls::Fail) => random.percent(10),
            Some(_) => true,
            None => settings.load != Load::Scd2 && random.percent(30),
        };
        let ragged = settings.load != Load::Scd2 && random.percent(25);
        let huge = settings.axis == Axis::Int && random.percent(20);
        let new_column = if random.percent(40) { 1 + random.below(4) } else { usize::MAX };
        let widens = !settings.typed && settings.window.is_empty();
        let moments = if widens && random.percent(40) { 1 + random.below(4) } else { usize::MAX };
        Generator {
            keys,
            bad: if rejects && (keyed || settings.typed) { 6 } else { 0 },
            null_cursors: if cursor_nulls { 8 } else { 0 },
            huge,
            new_column,
            moments,
            with_day: moments < usize::MAX || random.percent(20),
            ragged,
            ordered: random.percent(50),
            last: BTreeMap::new(),
            used: 0,
            round: 0,
            files: 0,
            settings,
            random,
        }
    }

    fn history(mut self) -> History {
        let mut world = World::new(&self.settings);
        let mut steps = Vec::new();
        for _ in 0..2 + self.random.below(7) {
            let before = world.disk.clone();
            let mut round = self.files(&world);
            if self.settings.load != Load::Append && self.random.percent(5) {
                round.push(Step::Reset);
            }
            if self.settings.load != Load::Append && self.settings.watermark.is_some() && self.random.percent(5) {
                let point = self.random.below(12);
                round.push(Step::SetMark(self.at(point)));
            }
            if self.random.percent(15) {
                round.push(Step::Chunks(*self.random.pick(&[None, Some(1), Some(2), Some(3), Some(7)])));
            }
            let survives = self.settings.load == Load::Overwrite
                || (self.settings.load == Load::Append && self.settings.watermark.is_none());
            if survives && self.settings.changed == Changed::Reload && self.random.percent(15) {
                round.push(Step::Kill(self.random.below(16_000) as u64));
                for step in &round {
                    world.step(step);
                }
                let more = self.files(&world);
                round.extend(more);
            }
            round.push(Step::Run(self.how()));
            let mut failed = false;
            for step in &round {
                failed |= world.step(step).is_some_and(|expected| expected.fails.is_some());
            }
            steps.extend(round);
            if failed && self.random.percent(90) {
                // Someone puts right what stands in the way, or nothing would happen any more.
                for (name, _) in world.disk.clone() {
                    match before.get(&name) {
                        None => steps.push(Step::Remove(name)),
                        Some(content) => steps.push(Step::Write(name, content.clone())),
                    }
                    if let Some(step) = steps.last() {
                        world.step(step);
                    }
                }
            } else if self.random.percent(25) {
                steps.push(Step::Run(How::Plain));
                world.step(&Step::Run(How::Plain));
            }
            self.round += 1;
        }
        History { settings: self.settings, steps }
    }

    fn how(&mut self) -> How {
        match self.random.below(100) {
            0..12 => How::Killed((0..=self.random.below(3)).map(|_| self.random.below(16_000) as u64).collect()),
            12..18 => How::Several(2 + self.random.below(3)),
            18..26 => How::OneThread,
            26..30 => How::Refresh,
            _ => How::Plain,
        }
    }

    /// What happens to the files before a run.
    fn files(&mut self, world: &World) -> Vec<Step> {
        let known: Vec<&String> = world.disk.keys().collect();
        let mut out = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let old = (!known.is_empty()).then(|| known[self.random.below(known.len())].clone());
            match (self.random.below(100), old) {
                (0..22, Some(name)) => {
                    let mut content = world.disk[&name].clone();
                    let more = self.content(content.format, content.columns.clone());
                    content.rows.extend(more.rows);
                    out.push(Step::Write(name, content));
                }
                (22..34, Some(name)) => {
                    let content = self.edited(&world.disk[&name]);
                    out.push(Step::Write(name, content));
                }
                (34..38, Some(name)) => out.push(Step::Touch(name)),
                (46..51, Some(name)) if self.settings.load == Load::Append => {
                    let content = world.disk[&name].clone();
                    let end = if content.format == Format::Csv { "csv" } else { "jsonl" };
                    self.files += 1;
                    out.push(Step::Remove(name));
                    out.push(Step::Write(format!("data/9{}.{end}", self.files), content));
                }
                (38..46, Some(name)) if world.disk.len() > 1 => {
                    let matters = world.settings.full_read();
                    if matters || self.random.percent(30) {
                        out.push(Step::Remove(name));
                    }
                }
                _ => {
                    let format = *self.random.pick(&[Format::Csv, Format::Csv, Format::Jsonl]);
                    let columns = self.columns();
                    let content = self.content(format, columns);
                    self.files += 1;
                    // Names in an order that is not the order of arrival.
                    let place = self.random.below(9);
                    let end = if format == Format::Csv { "csv" } else { "jsonl" };
                    out.push(Step::Write(format!("data/{place}{}.{end}", self.files), content));
                }
            }
        }
        out
    }

    fn columns(&mut self) -> Vec<&'static str> {
        let s = &self.settings;
        let mut columns = s.key.clone();
        if columns.is_empty() {
            columns.push("id");
        }
        columns.push(AXIS);
        if s.deletes != Deletes::None {
            columns.push(MARK);
        }
        columns.extend(s.window.iter().filter(|c| !s.key.contains(c)));
        let mut more = vec!["name", "n"];
        if s.window.is_empty() && self.with_day {
            more.push("day");
        }
        if self.round >= self.new_column {
            more.push("x");
        }
        for column in more {
            if !(self.ragged && self.random.percent(25)) {
                columns.push(column);
            }
        }
        if self.random.percent(20) {
            self.random.shuffle(&mut columns);
        }
        columns
    }

    fn content(&mut self, format: Format, columns: Vec<&'static str>) -> Content {
        let mut rows: Vec<Row> = Vec::new();
        let most = if self.random.percent(10) { 30 } else { 6 };
        let empty = self.files > 0 && format == Format::Csv && self.random.percent(3);
        for _ in 0..if empty { 0 } else { 1 + self.random.below(most) } {
            if !rows.is_empty() && self.random.percent(12) && !self.ordered {
                let again = self.random.pick(&rows).clone();
                rows.push(again);
                continue;
            }
            let row = self.row(&columns);
            rows.push(row);
        }
        Content { format, columns, rows }
    }

    /// The file with a row changed or gone.
    fn edited(&mut self, content: &Content) -> Content {
        let mut content = content.clone();
        if content.rows.is_empty() {
            return content;
        }
        let place = self.random.below(content.rows.len());
        if content.rows.len() > 1 && self.random.percent(30) {
            content.rows.remove(place);
        } else {
            content.rows[place] = self.row(&content.columns.clone());
        }
        content
    }

    fn row(&mut self, columns: &[&'static str]) -> Row {
        let id = 1 + self.random.below(self.keys) as i64;
        let scd2 = self.settings.load == Load::Scd2;
        let deletes = self.settings.deletes != Deletes::None;
        let delete = deletes && self.random.percent(20);
        let mut point = (self.round * 2 + self.random.below(6)).saturating_sub(2);
        if scd2 {
            if self.ordered {
                point = self.last.get(&id).map_or(point, |last| last + 1 + self.random.below(2));
                self.last.insert(id, point);
            }
            point = point * 2 + usize::from(delete);
        }
        self.used += 1;
        let unique = scd2 && !self.ordered;
        let mut row = Row::new();
        for column in columns {
            let value = match *column {
                "id" if self.bad > 0 && !self.settings.key.is_empty() && self.random.percent(self.bad / 2) => {
                    Value::Null
                }
                "id" => Value::Int(id),
                "part" => Value::text(self.random.word(&["p", "q"])),
                AXIS if self.random.percent(self.null_cursors) => Value::Null,
                AXIS => self.at(point),
                MARK => Value::text(if delete { "D" } else { self.random.word(&["I", "U"]) }),
                "name" if unique => Value::Text(format!("name {}", self.used)),
                "name" if self.random.percent(20) => Value::Null,
                "name" => Value::text(self.random.word(NAMES)),
                "day" if self.random.percent(10) => Value::Null,
                "day" if self.round >= self.moments && self.random.percent(50) => Value::text("2024-05-02 12:30:00"),
                "day" => Value::text(self.random.word(DAYS)),
                "n" if self.random.percent(self.bad) => Value::text("bad"),
                _ if self.random.percent(20) => Value::Null,
                _ => Value::Int(self.random.below(3) as i64),
            };
            row.insert(column, value);
        }
        row
    }

    fn at(&mut self, point: usize) -> Value {
        match self.settings.axis.at(point) {
            Value::Int(point) if self.huge => Value::Int(point + 9_007_199_254_740_990),
            value => value,
        }
    }
}

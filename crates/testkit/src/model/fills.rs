//! Histories with backfills: a source that goes on changing, runs, and ranges in any order, loaded, broken off and loaded
//! again.

use super::{
    exclusions,
    history::{By, Fill, Filling, History, How, Kill, Step},
    random::Random,
    row::{Content, Format, Row, Value, get},
    settings::{AXIS, Axis, Changed, Deletes, Load, MARK, Nulls, Settings, Source, TABLE, Version, Watermark},
};

/// The history of a seed: the same on every machine, as long as the generator and the exclusions are the same.
pub(super) fn history(seed: u64, allowed: &[String]) -> History {
    let mut random = Random::new(seed);
    loop {
        let settings = settings(&mut random);
        let history = Generator::new(&mut random, settings).history();
        if exclusions::excluded(&history, allowed).is_none() {
            return history;
        }
    }
}

/// Rows of a source that is whole, for these settings.
pub(super) fn rows(random: &mut Random, settings: &Settings) -> (Vec<&'static str>, Vec<Row>) {
    let mut generator = Generator::new(random, settings.clone());
    generator.new_column = usize::MAX;
    let columns = generator.columns();
    // A key of its own each, where each may have one row only.
    let own = generator.lone;
    for _ in 0..5 + generator.random.below(40) {
        generator.round = generator.random.below(6);
        let mut row = generator.row(&columns);
        if own {
            row.insert("id", Value::Int(generator.next_key));
        }
        if generator.settings.watermark.as_ref().is_none_or(|w| w.nulls == Nulls::Fail) && row[AXIS] == Value::Null {
            continue;
        }
        let known = generator.rows.iter().any(|other| generator.same_place(other, &row));
        if !known || generator.settings.key.is_empty() {
            generator.rows.push(row);
        }
    }
    (columns, generator.rows)
}

/// Settings of pipelines that can be filled.
pub(super) fn settings(random: &mut Random) -> Settings {
    use Load::{Append, DeleteInsert, InsertOnly, Scd2, Upsert};
    let load = *random.pick(&[
        Upsert,
        Upsert,
        Upsert,
        InsertOnly,
        Append,
        Append,
        DeleteInsert,
        DeleteInsert,
        DeleteInsert,
        Scd2,
        Scd2,
    ]);
    let window = load == DeleteInsert && random.percent(70);
    let source = if load == Append || random.percent(75) { Source::Table } else { Source::Files };
    let key = match load {
        Append => Vec::new(),
        DeleteInsert if window && random.percent(60) => Vec::new(),
        _ if random.percent(15) => vec!["id", "part"],
        _ => vec!["id"],
    };
    let axis = *random.pick(&[Axis::Int, Axis::Date, Axis::Timestamp, Axis::Zoned]);
    let own = !window || random.percent(60);
    let version = match random.below(10) {
        0 if load == Upsert => Version::Off,
        1 if !key.is_empty() => Version::Column,
        _ => Version::Default,
    };
    let deletes = match (load, random.below(10)) {
        (Upsert, 0..2) | (Scd2, 0..3) => Deletes::Hard,
        (Upsert, 2) => Deletes::Soft,
        _ => Deletes::None,
    };
    Settings {
        source,
        watermark: own.then(|| watermark(random, load, axis, window)),
        version,
        window: if window { vec![AXIS] } else { Vec::new() },
        keep: if load == Upsert && random.percent(15) { vec!["name"] } else { Vec::new() },
        deletes,
        absent_delete: false,
        changed: Changed::Reload,
        reject: false,
        max_rejects: None,
        typed: source == Source::Files,
        commit_every: random.percent(60).then(|| *random.pick(&[1, 2, 3, 5])),
        allow_empty: window && random.percent(70),
        transform: random.percent(8),
        load,
        key,
        axis,
    }
}

fn watermark(random: &mut Random, load: Load, axis: Axis, window: bool) -> Watermark {
    Watermark {
        start: random.percent(35).then(|| axis.at(random.below(14))),
        lookback: (axis == Axis::Int && load != Load::Append && random.percent(20)).then(|| random.below(6) as i64),
        exclusive: random.percent(8),
        nulls: match random.below(10) {
            0 if !window && !matches!(load, Load::Append | Load::Scd2) => Nulls::Include,
            1 => Nulls::Exclude,
            _ => Nulls::Fail,
        },
        late: None,
    }
}

/// Whether each key may have one row only: what comes first, or where nothing says which copy is newer.
pub(super) fn lone(settings: &Settings) -> bool {
    !settings.key.is_empty() && (settings.load == Load::InsertOnly || !settings.versioned())
}

/// The crash points that a backfill meets most, and those around its commits.
const POINTS: &[&str] = &[
    "planned",
    "surveyed",
    "mid-extract",
    "mid-chunk",
    "insert",
    "update",
    "sealed",
    "write-position",
    "write-interval",
    "write-run",
    "load-commit:before",
    "load-commit:after",
    "committed",
    "record-commit:after",
    "released",
];

pub(super) fn kill(random: &mut Random) -> Kill {
    if random.percent(40) {
        return Kill::After(random.below(80_000) as u64);
    }
    Kill::At(format!("{}:{}", random.word(POINTS), random.pick(&[1, 1, 2, 4])))
}

/// Where an interval ends: at a value that rows have, or between two.
pub(super) fn end(random: &mut Random, axis: Axis, point: usize) -> Value {
    if random.percent(50) { axis.at(point) } else { axis.between(point) }
}

/// How long intervals are; the default, where it says nothing.
pub(super) fn step(random: &mut Random, axis: Axis) -> Option<By> {
    random.percent(60).then(|| match axis {
        Axis::Int => By::Number(1 + random.below(5) as u32),
        Axis::Date => By::Days(1 + random.below(4) as u32),
        _ if random.percent(30) => By::Hours(6),
        _ => By::Days(1 + random.below(2) as u32),
    })
}

struct Generator<'r> {
    random: &'r mut Random,
    settings: Settings,
    /// The rows that the source holds.
    rows: Vec<Row>,
    keys: usize,
    lone: bool,
    next_key: i64,
    /// `commit_every` may change. By force a large interval of numbers is loaded in parts that keep their own receipts, and how
    /// large they are is the program's business.
    chunks: bool,
    /// The column `x` turns up from this round on.
    new_column: usize,
    round: usize,
    files: usize,
}

impl<'r> Generator<'r> {
    fn new(random: &'r mut Random, settings: Settings) -> Self {
        let lone = lone(&settings) || (!settings.key.is_empty() && random.percent(30));
        let grows = settings.load != Load::Append && random.percent(25);
        let new_column = if grows { 1 + random.below(3) } else { usize::MAX };
        let keys = 3 + random.below(10);
        let chunks = settings.commit_every.is_some();
        Generator {
            random,
            settings,
            rows: Vec::new(),
            keys,
            lone,
            next_key: 0,
            chunks,
            new_column,
            round: 0,
            files: 0,
        }
    }

    fn history(mut self) -> History {
        let mut steps = Vec::new();
        for _ in 0..2 + self.random.below(5) {
            steps.extend(self.changes());
            for _ in 0..1 + self.random.below(3) {
                let step = match self.random.below(100) {
                    0..40 => Step::Run(self.how()),
                    40..44 if self.settings.load != Load::Append => Step::Reset,
                    44..48 if self.chunks => {
                        Step::Chunks(*self.random.pick(&[None, Some(1), Some(2), Some(3), Some(7)]))
                    }
                    48..54 => Step::Verify,
                    _ => Step::Fill(self.fill()),
                };
                let again = matches!(step, Step::Fill(_)) && self.random.percent(15);
                steps.push(step.clone());
                if again {
                    steps.push(step);
                }
            }
            self.round += 1;
        }
        steps.push(Step::Run(How::Plain));
        steps.push(Step::Verify);
        History { settings: self.settings, steps }
    }

    fn how(&mut self) -> How {
        match self.random.below(100) {
            0..10 => How::Killed(vec![self.random.below(40_000) as u64]),
            10..16 => How::Refresh,
            _ => How::Plain,
        }
    }

    fn fill(&mut self) -> Fill {
        let axis = self.settings.axis;
        let by = step(self.random, axis);
        let missing = self.random.percent(15);
        let whole = missing && self.random.percent(60);
        let range = (!whole).then(|| match self.random.below(100) {
            0..20 => (axis.between(0), axis.between(27)),
            20..23 => (axis.at(5), axis.at(5)),
            _ => {
                let points = [self.random.below(24), self.random.below(24)];
                let most = if self.random.percent(3) {
                    points
                } else {
                    [points[0].min(points[1]), points[0].max(points[1]) + 1]
                };
                (self.end(most[0]), self.end(most[1]))
            }
        });
        let how = match self.random.below(100) {
            0..15 => Filling::Killed((0..=self.random.below(2)).map(|_| kill(self.random)).collect()),
            15..27 => Filling::Broken(kill(self.random)),
            27..39 => Filling::Beside,
            _ => Filling::Plain,
        };
        let force = !missing && self.random.percent(20) && (axis.is_time() || !self.chunks);
        Fill { range, by, jobs: *self.random.pick(&[1, 1, 2, 4]), force, missing, how }
    }

    fn end(&mut self, point: usize) -> Value {
        end(self.random, self.settings.axis, point)
    }

    /// What happens to the source between two commands.
    fn changes(&mut self) -> Vec<Step> {
        let columns = self.columns();
        let mut new = Vec::new();
        for _ in 0..1 + self.random.below(5) {
            let row = self.row(&columns);
            // Two contents of one key and version would be told apart by their order, which a table has not.
            let known = self.rows.iter().chain(&new).any(|other| self.same_place(other, &row));
            if !known || self.settings.key.is_empty() {
                new.push(row);
            }
        }
        if self.settings.source == Source::Files {
            self.files += 1;
            self.rows.extend(new.iter().cloned());
            // A file of JSON without a row is taken for one that was not written to its end.
            let format = if new.is_empty() { Format::Csv } else { *self.random.pick(&[Format::Csv, Format::Jsonl]) };
            let end = if format == Format::Csv { "csv" } else { "jsonl" };
            let name = format!("data/{}{}.{end}", self.random.below(9), self.files);
            return vec![Step::Write(name, Content { format, columns, rows: new })];
        }
        for row in new {
            if self.lone {
                self.rows.retain(|other| get(other, "id") != get(&row, "id"));
            }
            self.rows.push(row);
        }
        if self.random.percent(25) && self.rows.len() > 1 {
            let place = self.random.below(self.rows.len());
            self.rows.remove(place);
        }
        if self.random.percent(20) && !self.rows.is_empty() {
            // A change that nobody marked.
            let place = self.random.below(self.rows.len());
            self.rows[place].insert("n", Value::Int(10 + self.random.below(9) as i64));
        }
        vec![Step::Write(TABLE.to_owned(), Content { format: Format::Csv, columns, rows: self.rows.clone() })]
    }

    fn same_place(&self, a: &Row, b: &Row) -> bool {
        let equal = |column: &str| get(a, column) == get(b, column);
        self.settings.key.iter().all(|column| equal(column)) && equal(AXIS)
    }

    fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec!["id", AXIS, "name", "n"];
        if self.settings.key.contains(&"part") {
            columns.push("part");
        }
        if self.settings.deletes != Deletes::None {
            columns.push(MARK);
        }
        if self.round >= self.new_column {
            columns.push("x");
        }
        columns
    }

    fn row(&mut self, columns: &[&'static str]) -> Row {
        self.next_key += 1;
        let id = match (self.lone, self.settings.source) {
            // A row of a file stays there when another one comes.
            (true, Source::Files) => self.next_key,
            _ => 1 + self.random.below(self.keys) as i64,
        };
        let nulls = self.settings.watermark.as_ref().is_some_and(|w| w.nulls != Nulls::Fail);
        let null = self.settings.window.is_empty() && self.random.percent(if nulls { 10 } else { 1 });
        let delete = self.settings.deletes != Deletes::None && self.random.percent(20);
        let point = (self.round * 3 + self.random.below(8)).saturating_sub(3);
        let mut row = Row::new();
        for column in columns {
            let value = match *column {
                "id" => Value::Int(id),
                AXIS if null => Value::Null,
                AXIS => self.settings.axis.at(point),
                MARK => Value::text(if delete { "D" } else { "U" }),
                "part" => Value::text(self.random.word(&["p", "q"])),
                "name" if self.random.percent(80) => {
                    Value::text(self.random.word(&["a", "b", "pear, ripe", "it's", "x|y"]))
                }
                "n" if self.random.percent(80) => Value::Int(self.random.below(3) as i64),
                "x" if self.random.percent(80) => Value::Int(self.random.below(3) as i64),
                _ => Value::Null,
            };
            row.insert(column, value);
        }
        row
    }
}

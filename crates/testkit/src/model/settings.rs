//! The settings of a history's pipeline, as far as the model knows them, and how they are written.

use super::row::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Append,
    Overwrite,
    Upsert,
    InsertOnly,
    DeleteInsert,
    Scd2,
}

/// Where rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// `data/*`.
    Files,
    /// The table `s`; the model keeps its rows as a file of that name.
    Table,
}

/// The type of `v`, the column of versions and of the watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Int,
    Date,
    Timestamp,
    /// A timestamp with a zone, written in UTC.
    Zoned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    Fail,
    Include,
    Exclude,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Load,
    Fail,
    Skip,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watermark {
    pub(super) start: Option<Value>,
    /// On an axis of whole numbers only.
    pub(super) lookback: Option<i64>,
    pub(super) exclusive: bool,
    pub(super) nulls: Nulls,
    pub(super) late: Option<Late>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// The watermark's column, where there is one.
    Default,
    /// `version: none`.
    Off,
    /// `version: v`.
    Column,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletes {
    None,
    Hard,
    Soft,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    Reload,
    Fail,
    Tail,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) source: Source,
    pub(super) load: Load,
    pub(super) key: Vec<&'static str>,
    pub(super) axis: Axis,
    pub(super) watermark: Option<Watermark>,
    pub(super) version: Version,
    /// Of `delete_insert`.
    pub(super) window: Vec<&'static str>,
    /// `on_null: keep` for these columns.
    pub(super) keep: Vec<&'static str>,
    pub(super) deletes: Deletes,
    /// `absent_rows: delete`, where it is not the default already.
    pub(super) absent_delete: bool,
    pub(super) changed: Changed,
    pub(super) reject: bool,
    pub(super) max_rejects: Option<u64>,
    /// Types are declared instead of inferred.
    pub(super) typed: bool,
    pub(super) commit_every: Option<u64>,
    pub(super) allow_empty: bool,
    /// A `transform` that takes every row as it is.
    pub(super) transform: bool,
}

/// `delete_when` is true where this column holds `D`.
pub(super) const MARK: &str = "op";
/// The column of versions and of the watermark.
pub(super) const AXIS: &str = "v";
/// The table that is the source.
pub(super) const TABLE: &str = "s";

impl Settings {
    /// Whether copies of a row are told apart by version.
    pub(super) fn versioned(&self) -> bool {
        match self.version {
            Version::Column => true,
            Version::Off => false,
            Version::Default => self.watermark.is_some() && !self.key.is_empty(),
        }
    }

    pub(super) fn late(&self) -> Late {
        let default = if self.load == Load::Append { Late::Fail } else { Late::Load };
        self.watermark.as_ref().and_then(|w| w.late).unwrap_or(default)
    }

    /// Whether rows that the source holds no longer leave the table.
    pub(super) fn absent_go(&self) -> bool {
        self.absent_delete || self.load == Load::Overwrite
    }

    /// Whether a run reads every file once one of them is new or gone.
    pub(super) fn full_read(&self) -> bool {
        self.watermark.is_none() && (self.absent_go() || self.load == Load::Scd2)
    }

    pub(super) fn type_of(&self, column: &str) -> &'static str {
        match column {
            AXIS => match self.axis {
                Axis::Int => "bigint",
                Axis::Date => "date",
                Axis::Timestamp => "timestamp",
                Axis::Zoned => "timestamptz",
            },
            "day" => "date",
            "name" | "part" | MARK => "text",
            _ => "bigint",
        }
    }

    /// Fields of a pipeline, as `-- pipeline` of a case has them.
    pub(super) fn yaml(&self) -> String {
        let load = match self.load {
            Load::Append => "append",
            Load::Overwrite => "overwrite",
            Load::Upsert => "upsert",
            Load::InsertOnly => "insert_only",
            Load::DeleteInsert => "delete_insert",
            Load::Scd2 => "scd2",
        };
        let mut out = format!("load: {load}\n");
        let mut line = |text: String| out.push_str(&format!("{text}\n"));
        if self.source == Source::Table {
            line(format!("source: {{ url: \"sqlite:///source.db\", table: {TABLE} }}"));
        }
        if !self.key.is_empty() {
            line(format!("key: [{}]", self.key.join(", ")));
        }
        if let Some(watermark) = &self.watermark {
            line(format!("watermark: {{ {} }}", watermark.yaml()));
        }
        match self.version {
            Version::Default => {}
            Version::Off => line("version: none".to_owned()),
            Version::Column => line(format!("version: {AXIS}")),
        }
        if !self.window.is_empty() {
            line(format!("window: [{}]", self.window.join(", ")));
        }
        if self.deletes != Deletes::None {
            line(format!("delete_when: \"{MARK} = 'D'\""));
        }
        if self.deletes == Deletes::Soft {
            line("deletes: soft".to_owned());
        }
        if self.absent_delete {
            line("absent_rows: delete".to_owned());
        }
        match self.changed {
            Changed::Reload => {}
            Changed::Fail => line("changed_files: fail".to_owned()),
            Changed::Tail => line("changed_files: append_tail".to_owned()),
        }
        if self.reject {
            line("on_bad_row: reject".to_owned());
        }
        if let Some(limit) = self.max_rejects {
            line(format!("max_rejects: {limit}"));
        }
        if let Some(rows) = self.commit_every {
            line(format!("commit_every: {rows}"));
        }
        if self.allow_empty {
            line("allow_empty: true".to_owned());
        }
        if self.transform {
            line("transform: SELECT * FROM source".to_owned());
        }
        let columns = self.columns();
        if !columns.is_empty() {
            line(format!("columns: {{ {} }}", columns.join(", ")));
        }
        out
    }

    fn columns(&self) -> Vec<String> {
        let all = ["id", "part", AXIS, MARK, "name", "n", "day", "x"];
        let entry = |column: &&'static str| {
            let typed = self.typed.then(|| format!("type: {}", self.type_of(column)));
            let keep = self.keep.contains(column).then(|| "on_null: keep".to_owned());
            let parts: Vec<String> = typed.into_iter().chain(keep).collect();
            (!parts.is_empty()).then(|| format!("{column}: {{ {} }}", parts.join(", ")))
        };
        all.iter().filter_map(entry).collect()
    }
}

impl Watermark {
    fn yaml(&self) -> String {
        let mut parts = vec![format!("column: {AXIS}")];
        if let Some(start) = &self.start {
            match start {
                Value::Text(text) => parts.push(format!("start: \"{text}\"")),
                other => parts.push(format!("start: {}", other.plain())),
            }
        }
        if let Some(span) = self.lookback {
            parts.push(format!("lookback: {span}"));
        }
        if self.exclusive {
            parts.push("boundary: exclusive".to_owned());
        }
        match self.nulls {
            Nulls::Fail => {}
            Nulls::Include => parts.push("nulls: include".to_owned()),
            Nulls::Exclude => parts.push("nulls: exclude".to_owned()),
        }
        match self.late {
            None => {}
            Some(Late::Load) => parts.push("late_rows: load".to_owned()),
            Some(Late::Fail) => parts.push("late_rows: fail".to_owned()),
            Some(Late::Skip) => parts.push("late_rows: skip".to_owned()),
        }
        parts.join(", ")
    }
}

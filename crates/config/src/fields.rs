//! The one table of everything a pipeline file may say.

use floodmark_core::pipeline::{
    AbsentRows, CatchUp, ChangedFiles, CursorNulls, Deletes, FileFormat, LateRows, Load, OnBadRow, OnNull, SchemaPolicy,
};

/// A field of the pipeline file.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Where it stands: `pipelines.*.watermark.lookback`; `*` is any name.
    pub path: &'static str,
    /// What may be written there.
    pub kind: Kind,
    /// One sentence.
    pub doc: &'static str,
    /// What holds when it is left out, in words or as it would be written; empty where that is nothing at all.
    pub default: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Its flag of `floodmark load`, without the dashes.
    pub flag: Option<&'static str>,
}

/// What may be written in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The version of the file's own format.
    FormatVersion,
    /// Fixed fields; `short` names the field that a plain text in its place stands for.
    Record {
        /// The field a plain text sets.
        short: Option<&'static str>,
    },
    /// Any names, each with what `path.*` says.
    Map,
    /// A name: of a column, a table, a connection.
    Name,
    /// A value of the watermark's column, as text.
    Point,
    /// Text, which may be empty.
    Text,
    /// One name or a list of them.
    List,
    /// A connection URL.
    Url,
    /// An address of the web; what it is read from may be missing.
    WebUrl,
    /// What opens something; what it is read from may be missing.
    Secret,
    /// A program, or a list of it and its words; what they are read from may be missing.
    Command,
    /// SQL.
    Sql,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number from 1.
    Count,
    /// A whole number from 0.
    Number,
    /// A number of bytes, with or without a unit.
    Bytes,
    /// A duration, or a whole number on a numeric column.
    Span,
    /// A duration.
    Duration,
    /// A number of rows or a percentage of them.
    Limit,
    /// One ASCII character, or `tab`.
    Char,
    /// A column type.
    Type,
    /// A cron expression or `@every` and a duration.
    Schedule,
    /// The name of a time zone.
    TimeZone,
    /// The fields of a pipeline but for its source, in place of those of a family; none of them must be there.
    Settings,
}

impl Kind {
    /// What is expected, after "must be".
    pub fn expects(self) -> String {
        let fixed = match self {
            Kind::Choice(words) => return format!("one of {}", words.join(", ")),
            Kind::FormatVersion => "1",
            Kind::Record { short: None } => "a mapping of its fields",
            Kind::Record { short: Some(_) } => "a mapping of its fields, or a name",
            Kind::Map => "a mapping of names",
            Kind::Name => "a name",
            Kind::Point => "a value of the column",
            Kind::Text => "a text",
            Kind::List => "a name or a list of names",
            Kind::Url => "a connection URL",
            Kind::WebUrl => "an address of the web",
            Kind::Secret => "a text, best as `${VAR}`",
            Kind::Command => "a program, or a list of it and its words",
            Kind::Sql => "SQL text",
            Kind::Bool => "true or false",
            Kind::Count => "a whole number from 1",
            Kind::Number => "a whole number from 0",
            Kind::Bytes => "a size such as 64MiB",
            Kind::Span => "a duration such as 15m, or a whole number",
            Kind::Duration => "a duration such as 15m",
            Kind::Limit => "a number of rows such as 100, or a share such as 1%",
            Kind::Char => "one character, or tab",
            Kind::Type => "a column type",
            Kind::Schedule => "a cron expression, or @every with a duration",
            Kind::TimeZone => "a time zone, such as Europe/Berlin",
            Kind::Settings => "a mapping of fields of a pipeline",
        };
        fixed.to_owned()
    }
}

impl Field {
    const fn new(path: &'static str, kind: Kind, doc: &'static str) -> Field {
        Field { path, kind, doc, default: "", required: false, flag: None }
    }

    const fn flag(mut self, flag: &'static str) -> Field {
        self.flag = Some(flag);
        self
    }

    const fn default(mut self, default: &'static str) -> Field {
        self.default = default;
        self
    }

    const fn required(mut self) -> Field {
        self.required = true;
        self
    }

    /// The last part of its path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The words it takes, where it takes fixed ones.
    pub fn choices(&self) -> Option<&'static [&'static str]> {
        match self.kind {
            Kind::Choice(names) => Some(names),
            _ => None,
        }
    }

    /// Whether its flag may be given more than once.
    pub fn repeats(&self) -> bool {
        matches!(self.kind, Kind::List | Kind::Map)
    }

    /// How its flag's value is called in help texts; `None` for a flag that may stand alone.
    pub fn value_name(&self) -> Option<&'static str> {
        Some(match self.kind {
            Kind::Bool => return None,
            Kind::Record { .. } | Kind::Name => "NAME",
            Kind::Map => "NAME=TYPE",
            Kind::List => "NAME[,NAME…]",
            Kind::Sql => "SQL",
            Kind::Choice(_) => "WORD",
            Kind::Count | Kind::Number => "N",
            Kind::Bytes => "SIZE",
            Kind::Span => "DURATION|N",
            Kind::Duration => "DURATION",
            Kind::Limit => "N|N%",
            Kind::Char => "CHAR",
            Kind::Type => "TYPE",
            Kind::Point => "VALUE",
            Kind::Url | Kind::WebUrl => "URL",
            Kind::Secret
            | Kind::Command
            | Kind::Text
            | Kind::Schedule
            | Kind::TimeZone
            | Kind::FormatVersion
            | Kind::Settings => "TEXT",
        })
    }
}

/// The fields directly under a path; `""` is the top of the file.
pub(crate) fn children(path: &str) -> impl Iterator<Item = &'static Field> + use<'_> {
    FIELDS.iter().filter(move |f| match f.path.strip_prefix(path) {
        Some(rest) if path.is_empty() => !rest.contains('.'),
        Some(rest) => rest.strip_prefix('.').is_some_and(|rest| !rest.contains('.')),
        None => false,
    })
}

/// The field with exactly that path.
pub(crate) fn field(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.path == path)
}

/// The flags of `floodmark load`, in the table's order. The source, the URL, `table` and `pipeline` are not among
/// them: they have no field of their own, or stand as arguments.
pub fn load_flags() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(|f| f.flag.is_some())
}

/// The words of a table of choices.
const fn words<T: Copy, const N: usize>(table: &[(&'static str, T)]) -> [&'static str; N] {
    let mut out = [""; N];
    let mut i = 0;
    while i < N {
        out[i] = table[i].0;
        i += 1;
    }
    out
}

macro_rules! choice {
    ($name:ident) => {
        Kind::Choice(&const { words::<$name, { $name::NAMES.len() }>($name::NAMES) })
    };
}

const RECORD: Kind = Kind::Record { short: None };

/// Every field, in the order of the reference page.
pub const FIELDS: &[Field] = &[
    Field::new("version", Kind::FormatVersion, "The version of the file's format; always 1.").required(),
    Field::new("connections", Kind::Map, "Databases, lakes and stores by name, so that a URL is written once."),
    Field::new(
        "connections.*",
        Kind::Url,
        "A connection URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `delta:///lake`. Secrets as `${VAR}` or `${file:PATH}`.",
    ),
    Field::new("pipelines", Kind::Map, "The pipelines by name; state is kept under the name.").required(),
    Field::new("pipelines.*", RECORD, "One source into one table."),
    // The source.
    Field::new("pipelines.*.source", RECORD, "Where rows come from.").required(),
    Field::new(
        "pipelines.*.source.files",
        Kind::List,
        "Glob patterns, relative to the pipeline file, or URLs with them: `s3://bucket/folder/*.csv`; `-` is standard input.",
    ),
    Field::new("pipelines.*.source.format", choice!(FileFormat), "The format of the files.")
        .default("by the name's extension, then by content")
        .flag("file-format"),
    Field::new("pipelines.*.source.delimiter", Kind::Char, "CSV: what stands between fields; `tab` for a tab.")
        .default("by the header line, among `,` `;` tab `|`")
        .flag("delimiter"),
    Field::new("pipelines.*.source.quote", Kind::Char, "CSV: what stands around fields.").default("\"").flag("quote"),
    Field::new("pipelines.*.source.header", Kind::Bool, "CSV: whether the first line names the columns.")
        .default("true")
        .flag("header"),
    Field::new("pipelines.*.source.names", Kind::List, "CSV: column names where there is no header, or in its place.")
        .flag("names"),
    Field::new("pipelines.*.source.null", Kind::Text, "CSV: unquoted text that means NULL, beside nothing at all.")
        .flag("null"),
    Field::new(
        "pipelines.*.source.max_row_bytes",
        Kind::Bytes,
        "The largest row that is read; a larger one is an error.",
    )
    .default("16MiB")
    .flag("max-row-bytes"),
    Field::new(
        "pipelines.*.source.hive_partitions",
        Kind::Bool,
        "Folders `column=value` of a file's path are columns of its rows: text, or as `columns` says.",
    )
    .default("false")
    .flag("hive-partitions"),
    Field::new(
        "pipelines.*.source.connection",
        Kind::Name,
        "Reads a database in place of files, or files below a store: a name from `connections`, or a connection URL.",
    ),
    Field::new("pipelines.*.source.url", Kind::Url, "A connection URL, in place of `connection`."),
    Field::new(
        "pipelines.*.source.table",
        Kind::Name,
        "The table or view to read; `schema.table` where the database has schemas.",
    )
    .flag("source-table"),
    Field::new("pipelines.*.source.query", Kind::Sql, "A SELECT in the database's own SQL, in place of `table`.")
        .flag("query"),
    Field::new(
        "pipelines.*.source.tables",
        Kind::List,
        "Several tables, each a pipeline of its own: patterns with `*` and `?`, such as `public.*`, in place of `table`.",
    )
    .flag("source-tables"),
    Field::new("pipelines.*.source.exclude", Kind::List, "`tables`: patterns of tables that are left out.")
        .flag("source-exclude"),
    Field::new(
        "pipelines.*.source.readers",
        Kind::Count,
        "PostgreSQL: how many sessions at most read a large table, all of them one snapshot.",
    )
    .default("1")
    .flag("source-readers"),
    // The destination.
    Field::new("pipelines.*.destination", RECORD, "Where rows go.").required(),
    Field::new("pipelines.*.destination.connection", Kind::Name, "A name from `connections`, or a connection URL."),
    Field::new("pipelines.*.destination.url", Kind::Url, "A connection URL, in place of `connection`."),
    Field::new(
        "pipelines.*.destination.table",
        Kind::Name,
        "The table; with `source.tables` a name for each, such as `raw_{table}` or `{schema}_{table}`.",
    )
    .default("the pipeline's name; with `source.tables` the source table's"),
    Field::new(
        "pipelines.*.destination.partition_by",
        Kind::List,
        "Lakes: the columns by which the files of a new table are kept apart, each value in a folder of its own.",
    )
    .default("as the table has it; a new one has no partitions")
    .flag("partition-by"),
    Field::new("pipelines.*.destination.file_size", Kind::Bytes, "Lakes: how large files become, about.")
        .default("128MiB")
        .flag("file-size"),
    // How a run loads.
    Field::new("pipelines.*.load", choice!(Load), "The load strategy. Must be given unless there is a key.")
        .default("`upsert` where there is a key; with `source.tables`, `overwrite` for a table without one")
        .flag("load"),
    Field::new(
        "pipelines.*.append",
        Kind::Choice(&["exactly_once", "at_least_once"]),
        "`append`: `at_least_once` adds every row again on every run; the naive behaviour, reported loudly.",
    )
    .default("exactly_once")
    .flag("append"),
    Field::new("pipelines.*.key", Kind::List, "The columns that identify a row.")
        .default("with `source.tables` the primary key")
        .flag("key"),
    Field::new(
        "pipelines.*.watermark",
        Kind::Record { short: Some("column") },
        "Where the last run stopped; a text is the column.",
    ),
    Field::new(
        "pipelines.*.watermark.column",
        Kind::Name,
        "The cursor column (of the transform's output where there is one).",
    )
    .required()
    .flag("watermark"),
    Field::new(
        "pipelines.*.watermark.start",
        Kind::Point,
        "Rows before this are never loaded; read by the column's type. A moment without an offset is in UTC.",
    )
    .flag("start"),
    Field::new("pipelines.*.watermark.lookback", Kind::Span, "Re-read this much before the watermark.")
        .flag("lookback"),
    Field::new("pipelines.*.watermark.settle", Kind::Span, "Leave rows younger than this for the next run.")
        .flag("settle"),
    Field::new(
        "pipelines.*.watermark.boundary",
        Kind::Choice(&["inclusive", "exclusive"]),
        "`inclusive` reads the boundary again and recognises its rows; `exclusive` is the plain `>`, which loses ties.",
    )
    .default("inclusive")
    .flag("boundary"),
    Field::new("pipelines.*.watermark.nulls", choice!(CursorNulls), "What rows without a cursor do.")
        .default("fail")
        .flag("watermark-nulls"),
    Field::new(
        "pipelines.*.watermark.late_rows",
        choice!(LateRows),
        "What rows at or behind the watermark do when they come in a file never seen before.",
    )
    .default("`fail` for `append`, else `load`")
    .flag("late-rows"),
    Field::new(
        "pipelines.*.version",
        Kind::Name,
        "The column that says which of two copies of a row is newer; `none` turns the rule off.",
    )
    .default("the watermark's column where there is a key")
    .flag("version"),
    Field::new("pipelines.*.window", Kind::List, "`delete_insert`, and `overwrite` of parts: the columns whose values a batch replaces.")
        .default("the key")
        .flag("window"),
    Field::new("pipelines.*.on_null", choice!(OnNull), "What an incoming NULL does to an existing value.")
        .default("overwrite")
        .flag("on-null"),
    Field::new("pipelines.*.delete_when", Kind::Sql, "SQL condition that marks a row as a delete.").flag("delete-when"),
    Field::new("pipelines.*.deletes", choice!(Deletes), "Whether deleted rows leave the table or are only marked.")
        .default("hard")
        .flag("deletes"),
    Field::new(
        "pipelines.*.absent_rows",
        choice!(AbsentRows),
        "What happens to rows of the table that a full read no longer holds.",
    )
    .default("`close` for `scd2` without a watermark, `delete` for `overwrite` with a key, else `keep`")
    .flag("absent-rows"),
    // What happens to the rows on the way.
    Field::new("pipelines.*.transform", Kind::Sql, "SQL over the table `source`; its result is loaded.")
        .flag("transform"),
    Field::new("pipelines.*.columns", Kind::Map, "Settings of single columns, by the name in the table.")
        .flag("column"),
    Field::new("pipelines.*.columns.*", Kind::Record { short: Some("type") }, "One column; a text is its type."),
    Field::new("pipelines.*.columns.*.type", Kind::Type, "Its type, in place of the inferred one."),
    Field::new("pipelines.*.columns.*.from", Kind::Name, "Its name in the source, where they differ."),
    Field::new("pipelines.*.columns.*.not_null", Kind::Bool, "Whether NULL makes a row a bad one.").default("false"),
    Field::new("pipelines.*.columns.*.on_null", choice!(OnNull), "In place of the pipeline's `on_null`."),
    Field::new("pipelines.*.schema", choice!(SchemaPolicy), "What may change about the columns.")
        .default("evolve")
        .flag("schema"),
    Field::new("pipelines.*.on_bad_row", choice!(OnBadRow), "What a row that cannot be loaded does.")
        .default("fail")
        .flag("on-bad-row"),
    Field::new(
        "pipelines.*.max_rejects",
        Kind::Limit,
        "`on_bad_row: reject`: past this the run fails and writes nothing.",
    )
    .default("no limit")
    .flag("max-rejects"),
    Field::new("pipelines.*.changed_files", choice!(ChangedFiles), "What a loaded file that changed does.")
        .default("reload")
        .flag("changed-files"),
    Field::new("pipelines.*.allow_empty", Kind::Bool, "Whether an empty source may empty the table.")
        .default("false")
        .flag("allow-empty"),
    Field::new(
        "pipelines.*.adopt",
        Kind::Bool,
        "Whether the first load may take over a table that holds rows already.",
    )
    .default("false")
    .flag("adopt"),
    Field::new(
        "pipelines.*.commit_every",
        Kind::Count,
        "Rows per transaction, where a load may be committed in parts.",
    )
    .default("1000000; into a lake 10000000")
    .flag("commit-every"),
    // What `serve` does with it.
    Field::new("pipelines.*.schedule", Kind::Schedule, "When `floodmark serve` runs it."),
    Field::new(
        "pipelines.*.timezone",
        Kind::TimeZone,
        "Whose clocks `schedule` goes by, and whose days and months `floodmark backfill` counts, by its name in the IANA database.",
    )
    .default("UTC"),
    Field::new(
        "pipelines.*.after",
        Kind::List,
        "`floodmark serve`: pipelines (or families) that come first. Without a `schedule` it runs whenever all of them have been loaded again; with one it waits for those that are being loaded, or have failed.",
    ),
    Field::new(
        "pipelines.*.catch_up",
        choice!(CatchUp),
        "`floodmark serve`: what becomes of times of the schedule at which it could not be run: one run for all of them, one for each, or none.",
    )
    .default("latest"),
    Field::new(
        "pipelines.*.jitter",
        Kind::Duration,
        "`floodmark serve`: each time of the schedule is put off by a part of this, always the same one, so that not all pipelines begin at once.",
    ),
    Field::new("pipelines.*.retries", Kind::Number, "`floodmark serve`: how often a run that failed is tried again.")
        .default("0"),
    Field::new(
        "pipelines.*.retry_delay",
        Kind::Duration,
        "`floodmark serve`: how long after a run failed it is tried again; twice as long each further time, up to an hour.",
    )
    .default("30s"),
    Field::new("pipelines.*.timeout", Kind::Duration, "`floodmark serve`: a run that takes longer is stopped, as a signal would."),
    Field::new(
        "pipelines.*.freshness",
        Kind::Duration,
        "`floodmark serve`: how old the watermark (or, where it is no time, the last good run) may become before the pipeline counts as late.",
    ),
    Field::new(
        "pipelines.*.overrides",
        Kind::Map,
        "`source.tables`: what is otherwise for some of the tables, by name or pattern; of two the later counts.",
    ),
    Field::new(
        "pipelines.*.overrides.*",
        Kind::Settings,
        "Any fields of a pipeline but `source`; `watermark: none` and `version: none` take out the family's.",
    ),
    // Who is told.
    Field::new("alerts", Kind::Map, "`floodmark serve`: who is told of what fails or is late, by any names."),
    Field::new("alerts.*", RECORD, "A webhook or a command."),
    Field::new(
        "alerts.*.webhook",
        Kind::WebUrl,
        "Where an alert is posted, as Slack reads it; a secret, as `${VAR}` or `${file:PATH}`. Where the variable is missing, `serve` says so and all else goes on; where it is empty, the webhook is off.",
    ),
    Field::new("alerts.*.token", Kind::Secret, "`webhook`: sent along as `Authorization: Bearer …`."),
    Field::new(
        "alerts.*.command",
        Kind::Command,
        "In place of `webhook` a program, or a list of it and its words, which no shell reads. It is started in the file's folder, and gets the alert as JSON.",
    ),
    Field::new("alerts.*.on", Kind::List, "What is told: `failed`, `late`. When it is over, that is told as well.")
        .default("`failed` and `late`"),
    Field::new("alerts.*.pipelines", Kind::List, "Pipelines and families that are told of.").default("all"),
    Field::new("alerts.*.remind", Kind::Duration, "What goes on is told again after this time.").default("24h"),
    Field::new(
        "alerts.*.steady",
        Kind::Duration,
        "That something is over is told once it has been over for so long, so that what comes and goes is told once.",
    )
    .default("5m"),
    Field::new("lineage", RECORD, "Who is told of runs, in events of OpenLineage."),
    Field::new(
        "lineage.namespace",
        Kind::Name,
        "What jobs belong to. Pipelines of the same name in two projects with the same one are the same job.",
    )
    .required(),
    Field::new(
        "lineage.url",
        Kind::WebUrl,
        "Where events are posted: the whole address, such as `https://marquez.example.com/api/v1/lineage`. Where its variable is missing or nobody answers, that is said and no load fails; where it is empty, nothing is posted.",
    ),
    Field::new("lineage.token", Kind::Secret, "`url`: sent along as `Authorization: Bearer …`."),
    Field::new("lineage.file", Kind::Name, "A file to which events are added, a line each; relative to this one."),
];

/// Fields of a pipeline that a family has for all of its tables.
pub(crate) const OF_FAMILY: [&str; 2] = ["source", "overrides"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_field_hangs_on_a_parent_that_holds_fields() {
        let paths: HashSet<&str> = FIELDS.iter().map(|f| f.path).collect();
        assert_eq!(paths.len(), FIELDS.len(), "a path is listed twice");
        for f in FIELDS {
            let Some((parent, name)) = f.path.rsplit_once('.') else { continue };
            let parent = field(parent).unwrap_or_else(|| panic!("{} has no parent", f.path));
            match parent.kind {
                Kind::Map => assert_eq!(name, "*"),
                Kind::Record { .. } => assert_ne!(name, "*"),
                other => panic!("{} hangs on {other:?}", f.path),
            }
        }
        let flags: HashSet<&str> = load_flags().filter_map(|f| f.flag).collect();
        assert_eq!(flags.len(), load_flags().count(), "a flag is listed twice");
    }

    #[test]
    fn defaults_of_choices_are_choices() {
        for f in FIELDS {
            let (Some(choices), false) = (f.choices(), f.default.is_empty() || f.default.contains(' ')) else {
                continue;
            };
            assert!(choices.contains(&f.default), "{}", f.path);
        }
    }
}

//! `load`: its flags are the fields of the pipeline file, taken from the same table, so that the two cannot drift.

use super::Wait;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use floodmark_config::{Field, Kind, load_flags};

/// `floodmark load`
#[derive(Debug)]
pub(crate) struct LoadArgs {
    /// Files, patterns or `-`. Several where a shell expanded a pattern.
    pub(crate) sources: Vec<String>,
    /// The destination's URL.
    pub(crate) destination: String,
    /// The table, where one is named.
    pub(crate) table: Option<String>,
    /// The name state is kept under, where one is given.
    pub(crate) pipeline: Option<String>,
    /// Fields given, by flag name, in the order of the table; a flag given twice is here twice.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// What to do while another run holds the pipeline.
    pub(crate) wait: Wait,
    /// Forget the state and the rows first.
    pub(crate) full_refresh: bool,
    /// How many of several tables are loaded at a time.
    pub(crate) jobs: u16,
}

fn fields() -> impl Iterator<Item = (&'static str, &'static Field)> {
    load_flags().filter_map(|field| Some((field.flag?, field)))
}

impl Args for LoadArgs {
    fn augment_args(command: Command) -> Command {
        let command =
            command
                .arg(Arg::new("sources").value_name("SRC").required(true).num_args(1..).help(
                    "Files or patterns to load (quote a pattern to keep the shell away), or `-` for standard input",
                ))
                .arg(Arg::new("destination").value_name("DEST").required(true).help(
                    "The database or lake, for example sqlite:///shop.db, postgres://user@host/shop, delta:///lake",
                ))
                .arg(
                    Arg::new("table")
                        .long("table")
                        .value_name("NAME")
                        .help("The table [default: the file's name up to its first dot; of --source-tables, {table}]"),
                )
                .arg(
                    Arg::new("pipeline")
                        .long("pipeline")
                        .value_name("NAME")
                        .help("The name state is kept under [default: the table's]"),
                )
                .arg(
                    Arg::new("jobs")
                        .short('j')
                        .long("jobs")
                        .value_name("N")
                        .default_value("1")
                        .value_parser(clap::value_parser!(u16).range(1..))
                        .help("How many tables are loaded at a time, with --source-tables"),
                )
                .arg(
                    Arg::new("full_refresh")
                        .long("full-refresh")
                        .action(ArgAction::SetTrue)
                        .help("Forget the state and the rows, and load everything again (asks first)"),
                );
        let command = Wait::augment_args(command).next_help_heading("Pipeline fields");
        fields().fold(command, |command, (flag, field)| command.arg(flag_of(flag, field)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag_of(flag: &'static str, field: &'static Field) -> Arg {
    let mut help = field.doc.trim_end_matches('.').to_owned();
    if let Some(words) = field.choices() {
        help.push_str(&format!(" [{}]", words.join(", ")));
    }
    if !field.default.is_empty() {
        help.push_str(&format!(" [default: {}]", field.default));
    }
    // The path is the id, because ids are shared with the global options and a field may be called as one of them is.
    let arg = Arg::new(field.path).long(flag).help(help);
    match field.value_name() {
        None => arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false"),
        // A delete condition or a null text may well begin with a hyphen.
        Some(name) => {
            let arg =
                arg.value_name(name).allow_hyphen_values(matches!(field.kind, Kind::Text | Kind::Sql | Kind::Char));
            if field.repeats() { arg.action(ArgAction::Append) } else { arg }
        }
    }
}

impl FromArgMatches for LoadArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let texts = |id: &str| -> Vec<String> { matches.get_many(id).into_iter().flatten().cloned().collect() };
        let fields =
            fields().flat_map(|(flag, field)| texts(field.path).into_iter().map(move |value| (flag, value))).collect();
        Ok(LoadArgs {
            sources: texts("sources"),
            destination: texts("destination").concat(),
            table: matches.get_one("table").cloned(),
            pipeline: matches.get_one("pipeline").cloned(),
            fields,
            wait: Wait::from_arg_matches(matches)?,
            full_refresh: matches.get_flag("full_refresh"),
            jobs: matches.get_one("jobs").copied().unwrap_or(1),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

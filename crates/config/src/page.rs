//! The table of fields as a page to read.

use crate::fields::{Field, Kind, children};
use std::fmt::Write;

/// The reference of the pipeline file, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# The pipeline file\n\n\
         `floodmark.yaml`: YAML, one document. Relative paths are relative to the file. In any single value `${VAR}` is \
         an environment variable, `${VAR:-default}` has a default, `${file:PATH}` is a file's text without its last line \
         end, and `$$` is a dollar sign. Values are taken as written: `2024-01-01` and `none` need no quotes.\n\n\
         Where a field has a flag, `floodmark load` takes it. Lists may be given to a flag more than once or split by \
         commas.\n",
    );
    section(&mut out, "", "The file");
    out
}

fn section(out: &mut String, path: &str, title: &str) {
    // Formatting into a `String` cannot fail.
    let _ = write!(out, "\n## {title}\n\n| field | value | default | flag | |\n| --- | --- | --- | --- | --- |\n");
    for f in children(path) {
        let default = match (f.required, f.default) {
            (true, _) => "required".to_owned(),
            (false, "") => String::new(),
            (false, d) if d.contains(' ') || d.contains('`') => d.to_owned(),
            (false, d) => format!("`{d}`"),
        };
        let flag = f.flag.map_or_else(String::new, |flag| format!("`--{flag}`"));
        let name = if f.name() == "*" { "*NAME*".to_owned() } else { format!("`{}`", f.name()) };
        let _ = writeln!(out, "| {name} | {} | {} | {flag} | {} |", value(f), cell(&default), cell(f.doc));
    }
    for f in children(path) {
        let holds = matches!(f.kind, Kind::Record { .. }) || (f.kind == Kind::Map && children(f.path).next().is_some());
        if holds {
            let title = f.path.split('.').map(|p| if p == "*" { "NAME" } else { p }).collect::<Vec<_>>().join(".");
            section(out, f.path, &format!("`{title}`"));
        }
    }
}

fn value(field: &Field) -> String {
    match field.kind {
        Kind::Choice(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
        kind => cell(&kind.expects()),
    }
}

/// Text that is safe inside a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

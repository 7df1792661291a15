//! Mistakes with their places, collected.

pub(crate) use floodmark_core::wording::nearest;
use floodmark_core::{Code, Error, error::Place};
use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// Where something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Bytes of the file, from and to.
    Text(usize, usize),
    /// A flag of `load`.
    Flag(&'static str),
    /// Nowhere in particular.
    Whole,
}

/// One mistake of a pipeline file, or of the flags of `load`.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) spot: Spot,
    /// What stands under the caret.
    pub(crate) label: Option<String>,
    pub(crate) help: Vec<String>,
    /// Another place that has to do with it, and why.
    pub(crate) related: Option<(Spot, &'static str)>,
    line: usize,
    column: usize,
}

impl Diagnostic {
    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, in one sentence without a full stop. Never holds what a `${…}` stands for.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do.
    pub fn advice(&self) -> &[String] {
        &self.help
    }

    /// Line and column from 1, the column in characters; `None` for a mistake of the flags or of the whole file.
    pub fn position(&self) -> Option<(usize, usize)> {
        matches!(self.spot, Spot::Text(..)).then_some((self.line, self.column))
    }

    /// The bytes of the file it is about.
    pub fn span(&self) -> Option<Range<usize>> {
        match self.spot {
            Spot::Text(from, to) => Some(from..to),
            Spot::Flag(_) | Spot::Whole => None,
        }
    }

    /// The flag of `load` it is about, without dashes.
    pub fn flag(&self) -> Option<&'static str> {
        match self.spot {
            Spot::Flag(flag) => Some(flag),
            Spot::Text(..) | Spot::Whole => None,
        }
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help.push(help.into());
        self
    }

    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn related(&mut self, spot: Spot, why: &'static str) -> &mut Self {
        self.related = Some((spot, why));
        self
    }

    /// Names the spelling meant, or else what there is to choose from.
    pub(crate) fn suggest(&mut self, wrong: &str, known: &[&str]) -> &mut Self {
        match nearest(wrong, known.iter().copied()) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => self,
            None => self.help(format!("known here: {}", known.join(", "))),
        }
    }
}

/// Mistakes while they are being found.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Diagnostic>);

impl Findings {
    pub(crate) fn add(&mut self, code: Code, spot: Spot, message: impl Into<String>) -> &mut Diagnostic {
        let code = if code == Code::ConfigInvalid && matches!(spot, Spot::Flag(_)) { Code::BadArgument } else { code };
        self.0.push(Diagnostic {
            code,
            message: message.into(),
            spot,
            label: None,
            help: Vec::new(),
            related: None,
            line: 0,
            column: 0,
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

/// Every mistake of a pipeline file, or of the flags of `load`, in the order of their places. Never empty.
#[derive(Debug)]
pub struct Diagnostics {
    pub(crate) path: PathBuf,
    /// The file's text, with passwords in the clear blotted out.
    pub(crate) text: String,
    pub(crate) list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(crate) fn new(path: &Path, text: &str, findings: Findings) -> Self {
        let mut list = findings.0;
        let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        for d in &mut list {
            let Spot::Text(from, to) = d.spot else { continue };
            let from = floor(text, from);
            d.spot = Spot::Text(from, floor(text, to).max(from));
            d.line = starts.partition_point(|s| *s <= from);
            let start = d.line.checked_sub(1).and_then(|i| starts.get(i)).copied().unwrap_or(0);
            d.column = text[start..from].chars().count() + 1;
        }
        // Stable, so that mistakes of one place stay in the order they were found; those of no place come first.
        list.sort_by_key(|d| d.span().map_or(0, |s| s.start));
        Diagnostics { path: path.to_owned(), text: crate::blot::blot(text), list }
    }

    /// The file, as the user named it; empty for flags.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The mistakes.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// `[{code, message, file, line, column, start, end, flag, help}]`; lines and columns from 1, `start` and `end`
    /// in bytes.
    pub fn to_json(&self) -> serde_json::Value {
        let file = (!self.path.as_os_str().is_empty()).then(|| self.path.display().to_string());
        self.iter()
            .map(|d| {
                let (position, span) = (d.position(), d.span());
                serde_json::json!({
                    "code": d.code.number(),
                    "message": d.message,
                    "file": file,
                    "line": position.map(|p| p.0),
                    "column": position.map(|p| p.1),
                    "start": span.as_ref().map(|s| s.start),
                    "end": span.as_ref().map(|s| s.end),
                    "flag": d.flag(),
                    "help": d.help,
                })
            })
            .collect()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    /// As `render` without colour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostics> for Error {
    /// The first mistake, under its own code, with the number of the others. All of these codes exit with 2.
    fn from(all: Diagnostics) -> Error {
        let Some(first) = all.list.first() else { return Error::internal("a list of mistakes is empty") };
        let file = (!all.path.as_os_str().is_empty()).then(|| all.path.clone());
        let line = first.position().and_then(|(line, _)| u64::try_from(line).ok());
        let mut error = Error::new(first.code, first.message.clone());
        if file.is_some() || line.is_some() {
            error = error.at(Place { file, line, ..Place::default() });
        }
        for help in &first.help {
            error = error.help(help);
        }
        match all.list.len() - 1 {
            0 => {}
            1 => error = error.help("one more mistake was found"),
            more => error = error.help(format!("{more} more mistakes were found")),
        }
        error.state("nothing was read or written")
    }
}

/// Text of the user's own, as quoted in a message: one line, cut short, control characters spelt out.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("`");
    for c in floodmark_core::error::shorten(text).chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out.push('`');
    out
}

fn floor(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

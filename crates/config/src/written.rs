//! A pipeline as the file has it: its lines without a secret, and beside them what is wrong or deserves a thought.

use crate::{
    blot::blot,
    diagnostics::{Diagnostics, Spot},
    interpolate::Env,
    lint::Lint,
    project::{self, Project},
    yaml::{self, Data, Member},
};
use std::{ops::Range, path::Path};

/// The lines of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The number of the first.
    pub first: usize,
    /// All of them, secrets blotted out.
    pub lines: Vec<String>,
    /// What is to be said of them, by line.
    pub notes: Vec<Note>,
}

/// Something about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Which one.
    pub line: usize,
    /// A mistake's code, or a warning's name.
    pub name: String,
    /// Whether the file cannot be read for it.
    pub mistake: bool,
    /// What is so, in a sentence without a full stop. Never holds what a `${…}` stands for.
    pub message: String,
    /// Why it may hurt.
    pub reason: Option<&'static str>,
    /// What to do.
    pub help: Vec<String>,
}

/// A pipeline file as it was read last, for who shows one pipeline after the other: reading it takes as long as it is.
#[derive(Debug, Default)]
pub struct Sheet {
    read: Option<Read>,
}

/// A text, and what was found in it.
#[derive(Debug)]
struct Read {
    text: String,
    /// The same without a secret.
    shown: String,
    /// Below `pipelines:`; `None` where that cannot be told.
    pipelines: Option<Vec<Member>>,
    found: Option<Diagnostics>,
}

impl Sheet {
    /// A pipeline, or the family it is of, as the file has it now; `None` where it has none of that name. `lints`: the
    /// warnings about it.
    pub fn written(&mut self, path: &Path, env: Env<'_>, name: &str, lints: &[Lint]) -> Option<Written> {
        let text = project::read(path).ok()?;
        // Mistakes may be those of a variable or of a file that a secret is in, which may be there by now.
        let is = |read: &&Read| read.text == text && read.found.is_none();
        if self.read.as_ref().filter(is).is_none() {
            let found = Project::parse(path, &text, env).err();
            self.read = Some(Read::new(text, found));
        }
        self.read.as_ref()?.part(name, lints)
    }
}

impl Read {
    fn new(text: String, found: Option<Diagnostics>) -> Read {
        let root = yaml::parse(body(&text), &mut crate::diagnostics::Findings::default());
        let all = |value: Data| if let Data::Map(all) = value { Some(all) } else { None };
        let of = |members: Vec<Member>| members.into_iter().find(|member| member.name == "pipelines");
        let pipelines = root.and_then(|root| all(root.data)).and_then(of).and_then(|member| all(member.value.data));
        Read { shown: blot(body(&text)), pipelines, found, text }
    }

    fn part(&self, name: &str, lints: &[Lint]) -> Option<Written> {
        let text = body(&self.text);
        let of = |member: &Member| if let Data::Map(all) = &member.value.data { Some(all.clone()) } else { None };
        let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let all: Vec<&str> = text.lines().collect();
        let (range, fields) = match &self.pipelines {
            Some(pipelines) => {
                let owner =
                    |member: &&Member| name.strip_prefix(&member.name).is_some_and(|rest| rest.starts_with('.'));
                let exact = pipelines.iter().position(|member| member.name == name);
                let at = exact.or_else(|| pipelines.iter().position(|member| owner(&member)))?;
                let member = &pipelines[at];
                let start = line_of(start(member.at)?);
                let next = pipelines.get(at + 1).and_then(start_of).map(line_of);
                let end = next.unwrap_or_else(|| end(&all, start)).max(start + 1);
                (trimmed(&all, start..end), of(member))
            }
            // What is no YAML has lines all the same.
            None => {
                let start = 1 + all.iter().position(|line| is_key(line, name))?;
                (trimmed(&all, start..end(&all, start)), None)
            }
        };
        let lines = self.shown.lines().skip(range.start - 1).take(range.len()).map(str::to_owned).collect();
        let mut notes: Vec<Note> = Vec::new();
        for mistake in self.found.iter().flatten() {
            let Some((line, _)) = mistake.position().filter(|(line, _)| range.contains(line)) else { continue };
            notes.push(Note {
                line,
                name: mistake.code().number().to_owned(),
                mistake: true,
                message: mistake.message().to_owned(),
                reason: None,
                help: mistake.advice().to_vec(),
            });
        }
        for lint in lints {
            let line = place(fields.as_deref(), lint.field).map_or(range.start, line_of);
            notes.push(Note {
                line,
                name: lint.name.to_owned(),
                mistake: false,
                message: lint.message.clone(),
                reason: Some(lint.reason),
                help: vec![lint.remedy.to_owned()],
            });
        }
        // Those of a line stay in the order they were found.
        notes.sort_by_key(|note| note.line);
        Some(Written { first: range.start, lines, notes })
    }
}

/// As the places of mistakes are counted.
fn body(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn start(spot: Spot) -> Option<usize> {
    if let Spot::Text(from, _) = spot { Some(from) } else { None }
}

fn start_of(member: &Member) -> Option<usize> {
    start(member.at)
}

/// Where a field's name stands, or the next one above it that is written.
fn place(fields: Option<&[Member]>, path: &str) -> Option<usize> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let member = fields?.iter().find(|member| member.name == first)?;
    let deeper = if let Data::Map(all) = &member.value.data { place(Some(all), rest) } else { None };
    deeper.or_else(|| start_of(member))
}

/// The first line behind what stands under a line, by its indentation.
fn end(all: &[&str], start: usize) -> usize {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let own = all.get(start - 1).map_or(0, |line| depth(line));
    let behind = all.iter().enumerate().skip(start);
    let behind = behind.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    behind.into_iter().find(|(_, line)| depth(line) <= own).map_or(all.len() + 1, |(at, _)| at + 1)
}

/// Without empty lines and comments at its end: these belong to what comes behind it.
fn trimmed(all: &[&str], mut range: Range<usize>) -> Range<usize> {
    let is_nothing = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    while range.len() > 1 && all.get(range.end - 2).is_none_or(is_nothing) {
        range.end -= 1;
    }
    range
}

fn is_key(line: &str, name: &str) -> bool {
    let rest = line.trim_start();
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
    let rest = rest.strip_prefix(name).map(|rest| rest.strip_prefix(['"', '\'']).unwrap_or(rest));
    rest.is_some_and(|rest| rest.starts_with(':')) && line.starts_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::lint;

    const FILE: &str = "\
version: 1
connections: { shop: \"sqlite:///shop.db\" }
pipelines:
  # Of the shop.
  orders:
    source: { url: \"postgres://app:hunter2@h/d\", table: orders }
    destination: { connection: shop, table: orders }
    key: id
    watermark:
      column: at
      nulls: include

  # Of nobody.
  refunds:
    source: { url: \"postgres://app:${PW}@h/d\", tables: \"public.*\" }
    destination: { connection: shop }
    key: id
";

    fn told(text: &str, name: &str) -> Option<Written> {
        let env = |name: &str| (name == "PW").then(|| "s3cret".to_owned());
        let project = Project::parse(Path::new("f.yaml"), text, &env);
        let lints =
            project.as_ref().ok().and_then(|project| project.pipelines.iter().find(|p| p.name == name)).map(lint);
        Read::new(text.to_owned(), project.err()).part(name, &lints.unwrap_or_default())
    }

    #[test]
    fn a_pipeline_has_its_lines_with_warnings_at_their_fields_and_no_secret() {
        let orders = told(FILE, "orders").unwrap();
        assert_eq!((orders.first, orders.lines.len()), (5, 7));
        assert!(orders.lines[1].contains("postgres://app:*******@h/d"), "{:?}", orders.lines);
        assert_eq!(orders.lines[6].trim(), "nulls: include");
        let notes: Vec<(usize, &str)> = orders.notes.iter().map(|note| (note.line, note.name.as_str())).collect();
        assert_eq!(notes, [(11, "cursor-nulls")]);
        // The tables of a family are written once.
        let table = told(FILE, "refunds.public.a").unwrap();
        assert_eq!((table.first, table.lines.len()), (14, 4));
        assert!(table.lines[1].contains("${PW}") && !table.lines.concat().contains("s3cret"));
        assert_eq!(told(FILE, "order"), None);
    }

    #[test]
    fn mistakes_stand_beside_their_lines() {
        let torn = FILE.replace("key: id\n    watermark", "kee: id\n    watermark");
        let orders = told(&torn, "orders").unwrap();
        let note = orders.notes.iter().find(|note| note.line == 8).unwrap();
        assert_eq!((note.mistake, note.name.as_str()), (true, "FM0102"));
        assert!(note.help.iter().any(|help| help.contains("key")), "{note:?}");
        // Those of another pipeline do not.
        assert_eq!(told(&torn, "refunds").unwrap().notes, []);
        // What is no YAML at all has its lines, too.
        let broken = FILE.replace("nulls: include", "nulls: [include");
        let orders = told(&broken, "orders").unwrap();
        assert_eq!((orders.first, orders.lines.len()), (5, 7));
        assert!(!orders.lines.concat().contains("hunter2"), "{:?}", orders.lines);
    }

    #[test]
    fn a_file_is_read_anew_when_it_is_another_and_while_it_has_mistakes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.yaml");
        let (looked, set) = (std::cell::Cell::new(0), std::cell::Cell::new(false));
        let env = |name: &str| {
            looked.set(looked.get() + 1);
            (name == "PW" && set.get()).then(|| "s3cret".to_owned())
        };
        let mut sheet = Sheet::default();
        let notes = |sheet: &mut Sheet| sheet.written(&path, &env, "refunds", &[]).unwrap().notes.len();
        std::fs::write(&path, FILE).unwrap();
        assert_eq!(notes(&mut sheet), 1);
        // A variable that is set is no change of the file.
        set.set(true);
        assert_eq!(notes(&mut sheet), 0);
        let parsed = looked.get();
        assert_eq!((notes(&mut sheet), looked.get()), (0, parsed));
        // As long as before, and perhaps within the same tick of the clock that files are stamped by.
        std::fs::write(&path, FILE.replace("Of nobody", "Of no one")).unwrap();
        assert_eq!(notes(&mut sheet), 0);
        assert!(looked.get() > parsed);
    }
}

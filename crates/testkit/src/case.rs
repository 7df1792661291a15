//! The text form of a case: prose, then sections that begin with `-- `.

use crate::outcome;

/// A case as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What stands before the first section.
    pub prose: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line of its heading, from 1.
    pub line: usize,
    /// What to do.
    pub action: Action,
}

/// What a section asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `-- pipeline [NAME]`: fields of one pipeline; its source, destination and frame are filled in by the player.
    Pipeline {
        /// Name of the pipeline and, unless it says otherwise, of its table.
        name: String,
        /// YAML fields, not indented.
        fields: String,
    },
    /// `-- project`: a whole `floodmark.yaml`.
    Project(String),
    /// `-- file PATH [escaped|hex]`: writes a file.
    File {
        /// Path in the project.
        path: String,
        /// Its bytes.
        content: Vec<u8>,
    },
    /// `-- more PATH [escaped|hex]`: adds to a file's end.
    More {
        /// Path in the project.
        path: String,
        /// The bytes to add.
        content: Vec<u8>,
    },
    /// `-- copy FROM TO`: copies a file of the project.
    Copy {
        /// The file.
        from: String,
        /// Where its copy goes.
        to: String,
    },
    /// `-- remove PATH`: a file, or a folder with all in it.
    Remove(String),
    /// `-- touch PATH`: a new modification time, the same bytes.
    Touch(String),
    /// `-- spoil PATH`: other bytes, the same size and modification time: only who opens the file can tell.
    Spoil(String),
    /// `-- sql`: statements run on the destination by hand.
    Sql(String),
    /// `-- source`: statements run on the database that is the source, `sqlite:///source.db`.
    Source(String),
    /// `-- run [ARGUMENT…] [< PATH]`, `-- backfill NAME [ARGUMENT…]` and `-- verify NAME --repair [ARGUMENT…]`: the command of
    /// that name, with the outcome of each pipeline, a line each.
    Run {
        /// Which.
        command: &'static str,
        /// Further arguments.
        arguments: Vec<String>,
        /// The file of the project that is its standard input.
        input: Option<String>,
        /// Outcome lines.
        expected: Vec<String>,
    },
    /// `-- floodmark ARGUMENT…`: any command.
    Floodmark {
        /// What follows the program's name.
        arguments: Vec<String>,
        /// The exit code it must have.
        exit: i32,
        /// Texts that must stand in what it writes, on whichever stream; one after `! ` must not.
        says: Vec<String>,
    },
    /// `-- table NAME`: all columns and rows, in any order.
    Table {
        /// The table.
        name: String,
        /// Header and rows.
        rows: String,
    },
    /// `-- query SQL`: header and rows of a query, in any order.
    Query {
        /// The query.
        sql: String,
        /// Header and rows.
        rows: String,
    },
    /// `-- keep TABLE`: remembers the table as it is.
    Keep(String),
    /// `-- same TABLE`: the table is byte for byte what was remembered.
    Same(String),
    /// `-- forbid TABLE EVENT…`: from now on an `insert`, `update` or `delete` of a row fails.
    Forbid {
        /// The table.
        table: String,
        /// What fails.
        events: Vec<String>,
    },
    /// `-- only DESTINATION,… REASON`: the case is about some destinations, and is played against no other.
    Only {
        /// Their names.
        destinations: Vec<String>,
    },
    /// `-- once REASON`: this case's runs may change the table when repeated, so the player does not repeat them.
    Once(String),
}

/// Reads a case; the error names the line.
pub fn parse(text: &str) -> Result<Case, String> {
    let mut prose = String::new();
    let mut sections: Vec<(usize, &str, String)> = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match (line.strip_prefix("-- "), sections.last_mut()) {
            (Some(heading), _) => sections.push((index + 1, heading.trim(), String::new())),
            (None, Some((_, _, body))) => body.push_str(line),
            (None, None) => prose.push_str(line),
        }
    }
    if sections.is_empty() {
        return Err("no section: a section begins with `-- `".to_owned());
    }
    let steps = sections
        .into_iter()
        .map(|(line, heading, body)| {
            let action = action(heading, &body).map_err(|message| format!("line {line}: {message}"))?;
            Ok(Step { line, action })
        })
        .collect::<Result<_, String>>()?;
    Ok(Case { prose: prose.trim().to_owned(), steps })
}

fn action(heading: &str, body: &str) -> Result<Action, String> {
    let (kind, rest) = heading.split_once(' ').unwrap_or((heading, ""));
    let rest = rest.trim();
    // A blank line before the next heading is for the eye; a file's own blank lines are written `escaped`.
    let trimmed = body.trim_end_matches('\n');
    let one = || if rest.is_empty() { Err(format!("`-- {kind}` needs a name")) } else { Ok(rest.to_owned()) };
    let text = if trimmed.is_empty() { String::new() } else { format!("{trimmed}\n") };
    if !body.trim().is_empty()
        && matches!(kind, "copy" | "remove" | "touch" | "spoil" | "keep" | "same" | "once" | "only" | "forbid")
    {
        return Err(format!("`-- {kind}` has no body"));
    }
    Ok(match kind {
        "pipeline" => {
            Action::Pipeline { name: if rest.is_empty() { "t".to_owned() } else { rest.to_owned() }, fields: text }
        }
        "project" => Action::Project(text),
        "file" | "more" => {
            let path = one()?;
            let (path, content) = match path.rsplit_once(' ') {
                Some((path, "escaped")) => (path.trim().to_owned(), unescape(trimmed)?),
                Some((path, "hex")) => (path.trim().to_owned(), unhex(trimmed)?),
                _ => (path, text.into_bytes()),
            };
            if kind == "file" { Action::File { path, content } } else { Action::More { path, content } }
        }
        "copy" => {
            let (from, to) = rest.split_once(' ').ok_or("`-- copy` needs two paths")?;
            Action::Copy { from: from.to_owned(), to: to.trim().to_owned() }
        }
        "remove" => Action::Remove(one()?),
        "touch" => Action::Touch(one()?),
        "spoil" => Action::Spoil(one()?),
        "sql" => Action::Sql(text),
        "source" => Action::Source(text),
        "run" | "backfill" | "verify" => {
            let command = match kind {
                "run" => "run",
                "backfill" => "backfill",
                _ => "verify",
            };
            let expected: Vec<String> =
                body.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
            if expected.is_empty() {
                return Err(format!("`-- {command}` needs the outcome it must have"));
            }
            let (rest, input) = match rest.split_once("< ") {
                Some((rest, input)) => (rest, Some(input.trim().to_owned())),
                None => (rest, None),
            };
            Action::Run { command, arguments: outcome::words(rest)?, input, expected }
        }
        "floodmark" => {
            let mut lines = body.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned);
            let exit = lines.next().and_then(|l| l.strip_prefix("exit ")?.parse().ok());
            let exit = exit.ok_or("`-- floodmark` needs a line `exit N`, then what it must say")?;
            Action::Floodmark { arguments: outcome::words(&one()?)?, exit, says: lines.collect() }
        }
        "table" => Action::Table { name: one()?, rows: text },
        "query" => Action::Query { sql: one()?, rows: text },
        "keep" => Action::Keep(one()?),
        "same" => Action::Same(one()?),
        "once" => Action::Once(one()?),
        "forbid" => {
            let mut words = rest.split(' ').map(str::to_owned);
            let table = words.next().filter(|t| !t.is_empty()).ok_or("`-- forbid` needs a table")?;
            let events: Vec<String> = words.collect();
            if events.is_empty() || !events.iter().all(|e| ["insert", "update", "delete"].contains(&e.as_str())) {
                return Err("`-- forbid TABLE` needs some of insert, update, delete".to_owned());
            }
            Action::Forbid { table, events }
        }
        "only" => {
            let (destinations, _) = rest.split_once(' ').ok_or("`-- only` needs a destination and a reason")?;
            let destinations: Vec<String> = destinations.split(',').map(str::to_owned).collect();
            if !destinations.iter().all(|d| ["sqlite", "duckdb", "postgres", "mysql", "delta"].contains(&d.as_str())) {
                return Err("`-- only` knows sqlite, duckdb, postgres, mysql and delta, with commas between".to_owned());
            }
            Action::Only { destinations }
        }
        other => return Err(format!("no section is called {other:?}")),
    })
}

/// `\n`, `\r`, `\t`, `\\` and `\xNN`; line ends of the case itself are dropped, so that every byte is said.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => {}
            '\\' => match chars.next() {
                Some('n') => out.push(b'\n'),
                Some('r') => out.push(b'\r'),
                Some('t') => out.push(b'\t'),
                Some('\\') => out.push(b'\\'),
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).collect();
                    out.push(u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits} is no byte"))?);
                }
                other => return Err(format!("no escape \\{}", other.map_or(String::new(), String::from))),
            },
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(out)
}

/// Two hexadecimal digits a byte; blanks and line ends are for the eye.
fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| {
        let pair: String = pair.iter().collect();
        if pair.len() == 2 { u8::from_str_radix(&pair, 16).ok() } else { None }.ok_or(format!("{pair:?} is no byte"))
    };
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keep_their_order_and_lines() {
        let case =
            parse("Why.\n\n-- pipeline\nload: append\n\n-- file data/a.csv\nid\n1\n\n-- run --wait\nok read=1\n")
                .unwrap();
        assert_eq!(case.prose, "Why.");
        assert_eq!(case.steps[0].action, Action::Pipeline { name: "t".into(), fields: "load: append\n".into() });
        assert_eq!(case.steps[1].action, Action::File { path: "data/a.csv".into(), content: b"id\n1\n".to_vec() });
        assert_eq!(case.steps[2].line, 10);
    }

    #[test]
    fn escapes_say_every_byte() {
        let case = parse("-- file a escaped\n\\xef\\xbb\\xbfid\\r\\n\n1\\t\\\\\n").unwrap();
        assert_eq!(
            case.steps[0].action,
            Action::File { path: "a".into(), content: b"\xef\xbb\xbfid\r\n1\t\\".to_vec() }
        );
        assert!(parse("-- file a escaped\n\\q\n").is_err());
        let case = parse("-- file a hex\n1f8b 08\n00\n").unwrap();
        assert_eq!(case.steps[0].action, Action::File { path: "a".into(), content: vec![0x1f, 0x8b, 8, 0] });
        assert!(parse("-- file a hex\n1f8\n").is_err());
        assert!(parse("-- file a hex\nzz\n").is_err());
    }

    #[test]
    fn a_command_has_an_exit_code_and_what_it_says() {
        let case = parse("-- floodmark state set t --watermark \"a b\"\nexit 1\nno watermark\n").unwrap();
        let arguments = ["state", "set", "t", "--watermark", "a b"].map(str::to_owned).to_vec();
        let says = vec!["no watermark".to_owned()];
        assert_eq!(case.steps[0].action, Action::Floodmark { arguments, exit: 1, says });
        let case = parse("-- run t < in.csv\nok\n").unwrap();
        let Action::Run { arguments, input, .. } = &case.steps[0].action else { panic!("{case:?}") };
        assert_eq!((arguments.as_slice(), input.as_deref()), (["t".to_owned()].as_slice(), Some("in.csv")));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "",
            "only prose\n",
            "-- nonsense\n",
            "-- run\n",
            "-- remove\n",
            "-- copy a\n",
            "-- keep t\nx\n",
            "-- floodmark\nexit 0\n",
            "-- floodmark x\nok\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}

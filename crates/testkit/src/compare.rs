//! Rows as a case wants them against rows as a database holds them; what differs is said as a small diff.

use crate::{
    cell::Cell,
    dump::{self, Dump, Rows},
};
use std::collections::BTreeSet;

/// Compares rows in any order; a header's names may come in any order too.
pub(crate) fn rows(expected: &str, found: &Rows) -> Result<(), String> {
    let mut lines = expected.lines().filter(|line| !line.trim().is_empty());
    let header: Vec<&str> = split(lines.next().ok_or("a table needs a header line")?);
    let mut places = Vec::with_capacity(header.len());
    for name in &header {
        let name = name.trim_matches('"');
        let place = found.columns.iter().position(|c| c == name);
        places.push(place.ok_or_else(|| format!("no column {name:?} among {:?}", found.columns))?);
    }
    if header.len() != found.columns.len() {
        return Err(format!("columns are {:?}, expected {header:?}", found.columns));
    }
    let mut left: Vec<Vec<Cell>> =
        found.rows.iter().map(|row| places.iter().map(|&p| row[p].clone()).collect()).collect();
    let mut missing = Vec::new();
    for line in lines {
        let cells: Vec<Cell> = split(line).into_iter().map(Cell::parse).collect::<Result<_, _>>()?;
        if cells.len() != header.len() {
            return Err(format!("{line:?} has {} cells for {} columns", cells.len(), header.len()));
        }
        let matches = |row: &Vec<Cell>| row.iter().zip(&cells).all(|(found, wanted)| wanted.matches(found));
        match left.iter().position(matches) {
            Some(place) => drop(left.swap_remove(place)),
            None => missing.push(dump::join(&cells)),
        }
    }
    if missing.is_empty() && left.is_empty() {
        return Ok(());
    }
    let shown = |sign: char| move |row: String| format!("{sign} {row}");
    let extra = left.iter().map(|row| dump::join(row)).map(shown('+'));
    let lines: Vec<String> = missing.into_iter().map(shown('-')).chain(extra).collect();
    Err(format!("  {}\n{}", header.join(" | "), lines.join("\n")))
}

/// What two bags of lines do not share: `- ` before a line of the first, `+ ` before one of the second.
pub(crate) fn bag(first: &[String], second: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = second.iter().collect();
    let mut out = Vec::new();
    for line in first {
        match left.iter().position(|l| *l == line) {
            Some(place) => drop(left.remove(place)),
            None => out.push(format!("- {line}")),
        }
    }
    out.extend(left.into_iter().map(|line| format!("+ {line}")));
    out
}

/// The tables in which two dumps differ, with the lines that do.
pub(crate) fn tables(before: &Dump, after: &Dump) -> String {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let none = Vec::new();
    let mut out = Vec::new();
    for name in names {
        let lines = bag(before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none));
        if !lines.is_empty() {
            out.push(format!("  table {name}\n{}", lines.join("\n")));
        }
    }
    out.join("\n")
}

/// Cells between bars; a bar inside quotes is part of its cell.
fn split(line: &str) -> Vec<&str> {
    let (mut out, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (place, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '|' if !quoted => {
                out.push(line[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    out.push(line[start..].trim());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Rows {
        let row = |id, name: &str| vec![Cell::Int(id), Cell::Text(name.into())];
        Rows { columns: vec!["id".into(), "name".into()], rows: vec![row(1, "a|b"), row(2, "c"), row(2, "c")] }
    }

    #[test]
    fn rows_compare_as_a_bag() {
        assert_eq!(rows("name | id\nc | 2\n\"a|b\" | 1\nc | 2\n", &found()), Ok(()));
        assert!(rows("id | name\n1 | \"a|b\"\n2 | c\n", &found()).is_err());
        assert!(rows("id | name\n1 | \"a|b\"\n2 | c\n2 | d\n", &found()).is_err());
        assert!(rows("id\n1\n2\n2\n", &found()).is_err());
    }

    #[test]
    fn a_difference_is_shown_by_its_lines_alone() {
        let message = rows("id | name\n1 | \"a|b\"\n2 | c\n2 | d\n", &found()).unwrap_err();
        assert_eq!(message, "  id | name\n- 2 | d\n+ 2 | c");
        let dump = |lines: &[&str]| Dump::from([("t".to_owned(), lines.iter().map(|&l| l.to_owned()).collect())]);
        assert_eq!(tables(&dump(&["id", "1", "1"]), &dump(&["id", "1", "2"])), "  table t\n- 1\n+ 2");
        assert_eq!(tables(&Dump::new(), &dump(&["id"])), "  table t\n+ id");
        assert_eq!(tables(&dump(&["id"]), &dump(&["id"])), "");
    }
}

//! `after:`: every name is one of the file's, and no pipeline waits for itself.

use crate::{
    diagnostics::{Findings, Spot, nearest, quoted},
    family::Family,
    record::{Named, Record, Value},
};
use floodmark_core::Code;

/// What a pipeline (or a family) waits for.
struct Waits<'a> {
    name: &'a str,
    at: Spot,
    /// Names as the file has them, of which a table of a family is the family's.
    for_whom: Vec<&'a str>,
}

/// Looks at all of the file's pipelines and families.
pub(crate) fn check(given: &[Named], families: &[Family], out: &mut Findings) {
    let mut all = Vec::new();
    for named in given {
        let Some(Value::Record(record)) = &named.value else { continue };
        let mut waits =
            Waits { name: &named.name, at: record.get("after").map_or(named.at, |g| g.at), for_whom: Vec::new() };
        let own = record.map("overrides").iter().filter_map(|named| match &named.value {
            Some(Value::Record(settings)) => Some(settings),
            _ => None,
        });
        for record in std::iter::once(record).chain(own) {
            known(record, given, families, &mut waits, out);
        }
        all.push(waits);
    }
    circles(&all, out);
}

fn known<'a>(
    record: &'a Record,
    given: &'a [Named],
    families: &'a [Family],
    waits: &mut Waits<'a>,
    out: &mut Findings,
) {
    for item in record.items("after") {
        if let Some(named) = given.iter().find(|named| named.name == item.text) {
            waits.for_whom.push(&named.name);
        } else if let Some(family) = families.iter().find(|family| family.owns(&item.text)) {
            waits.for_whom.push(&family.name);
        } else {
            let message = format!("there is no pipeline {} to come first", quoted(&item.written));
            let names = || given.iter().map(|named| named.name.as_str());
            let d = out.add(Code::ConfigInvalid, item.at, message);
            match nearest(&item.written, names()) {
                Some(near) => d.help(format!("did you mean `{near}`?")),
                None => d.help(format!("the pipelines are {}", names().collect::<Vec<_>>().join(", "))),
            };
        }
    }
}

/// Pipelines that wait for each other would never run. Each circle is told once, at its first in the file.
fn circles(all: &[Waits<'_>], out: &mut Findings) {
    let mut told: Vec<&str> = Vec::new();
    for start in all {
        if told.contains(&start.name) {
            continue;
        }
        let Some(path) = back_to(all, start) else { continue };
        told.extend(&path);
        let message = match path.as_slice() {
            [only] => format!("{} would wait for itself", quoted(only)),
            _ => format!("these wait for each other: {}", [path.as_slice(), &path[..1]].concat().join(" after ")),
        };
        out.add(Code::ConfigInvalid, start.at, message).help("take one of them out of `after:`");
    }
}

/// A shortest way from a pipeline over those it waits for back to itself.
fn back_to<'a>(all: &[Waits<'a>], start: &Waits<'a>) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start.name]];
    let mut seen: Vec<&str> = Vec::new();
    while let Some(way) = (!ways.is_empty()).then(|| ways.remove(0)) {
        let last = way.last().copied().unwrap_or(start.name);
        let waits = all.iter().find(|waits| waits.name == last);
        for next in waits.iter().flat_map(|waits| &waits.for_whom) {
            if *next == start.name {
                return Some(way);
            }
            if !seen.contains(next) {
                seen.push(next);
                ways.push([way.as_slice(), &[*next]].concat());
            }
        }
    }
    None
}

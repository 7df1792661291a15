//! A family's fields and the tables of its source → a pipeline for each table.

use crate::{
    diagnostics::{Diagnostics, Findings, Spot, nearest, quoted},
    family::{Choice, Family},
    read::Reader,
    record::{Item, Named, Record, Value},
    resolve, rules, template,
    words::Words,
};
use floodmark_core::{
    Code, Error,
    catalog::{Catalog, Listed, Pattern, part},
    pipeline::{Load, Pipeline},
    wording,
};
use std::collections::HashSet;

/// What a family is, over the tables there are.
#[derive(Debug)]
pub struct Members {
    /// In the order of the catalog.
    pub all: Vec<Member>,
    /// What somebody should know of the patterns, a sentence each.
    pub notes: Vec<String>,
}

/// A pipeline of a family.
#[derive(Debug)]
pub struct Member {
    /// Its name, under which state is kept: the family's, a point, and the table's (with its schema, where patterns reach
    /// over several). It does not depend on which other tables there are.
    pub name: String,
    /// The pipeline, or why this table cannot be loaded.
    pub pipeline: Result<Pipeline, Error>,
}

impl Family {
    /// A pipeline for each table that the patterns mean. `remembers`: whether the destination knows a pipeline of that name,
    /// asked only where it matters.
    ///
    /// # Errors
    /// Where no table is meant, or an override is for none; nothing of the family can be loaded then. What is wrong with a
    /// single table is said in its place.
    pub fn members(&self, catalog: &Catalog, remembers: &dyn Fn(&str) -> bool) -> Result<Members, Diagnostics> {
        let mut out = Findings::default();
        let meant = |listed: &&Listed| self.tables.iter().any(|choice| choice.pattern.finds(listed, catalog));
        let meant: Vec<&Listed> = catalog.tables.iter().filter(meant).collect();
        let left_out = |listed: &Listed| self.exclude.iter().any(|choice| choice.pattern.names(listed, catalog));
        let chosen: Vec<&Listed> = meant.iter().copied().filter(|listed| !left_out(listed)).collect();
        let chosen = self.without_its_own(chosen, catalog, &mut out);
        let mut missing: Vec<(&Choice, String)> =
            self.tables.iter().filter_map(|choice| Some((choice, self.missing(choice, catalog)?))).collect();
        let all_missing = missing.len() == self.tables.len();
        let mut named = HashSet::new();
        missing.retain(|(_, name)| named.insert(name.clone()));
        if chosen.is_empty() && !all_missing && out.0.is_empty() {
            self.nothing(catalog, &meant, &mut out);
        }
        for named in &self.overrides {
            let pattern = Pattern::parse(&named.name);
            // With its schema, or by its name alone.
            let written = [pattern.exact(false), pattern.exact(true)];
            let gone = || written.iter().flatten().any(|(_, name)| remembers(&self.member_name(name)));
            if !chosen.iter().any(|listed| pattern.names(listed, catalog)) && !gone() {
                let message = format!("{} is none of the family's tables", quoted(&named.name));
                let names = chosen.iter().flat_map(|t| [t.written(), t.name.clone()]).collect::<Vec<_>>();
                let d = out.add(Code::ConfigInvalid, named.at, message);
                match nearest(&named.name, names.iter().map(String::as_str)) {
                    Some(near) => d.help(format!("did you mean `{near}`?")),
                    None => {
                        let names: Vec<&str> = chosen.iter().map(|t| t.name.as_str()).collect();
                        d.help(wording::listed("its tables are", &names))
                    }
                };
            }
        }
        if !out.0.is_empty() {
            return Err(self.diagnostics(out));
        }
        let mut all: Vec<Member> = chosen.iter().map(|listed| self.member(listed, catalog)).collect();
        self.refuse_shared(&mut all);
        let notes = self.idle(catalog);
        all.extend(
            missing.into_iter().map(|(choice, name)| Member { pipeline: Err(self.not_there(choice, catalog)), name }),
        );
        Ok(Members { all, notes })
    }

    /// Whether a pipeline of that name is, or may have been, one of the family's.
    pub fn owns(&self, pipeline: &str) -> bool {
        pipeline.strip_prefix(self.name.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }

    fn diagnostics(&self, out: Findings) -> Diagnostics {
        Diagnostics::new(&self.origin.path, &self.origin.text, out)
    }

    fn member_name(&self, table: &str) -> String {
        if self.name.is_empty() { table.to_owned() } else { format!("{}.{table}", self.name) }
    }

    /// Whether members are told apart by their schemas, too.
    fn spans(&self) -> bool {
        Pattern::span_schemas(self.tables.iter().map(|choice| &choice.pattern))
    }

    fn name_of(&self, listed: &Listed) -> String {
        self.member_name(&if self.spans() { listed.written() } else { listed.name.clone() })
    }

    /// The name of a table in the destination; `None` where it would be called after a schema that there is not.
    fn target(&self, listed: &Listed, catalog: &Catalog) -> Option<String> {
        let own = self.overrides_of(listed, catalog);
        let own = own.iter().rev().find_map(|settings| settings.record("destination")?.text("table"));
        let of_all = self.record.record("destination").and_then(|destination| destination.text("table"));
        let by_default = if self.spans() && listed.schema.is_some() { "{schema}_{table}" } else { template::TABLE };
        // SQLite's names have no parts.
        template::fill(own.or(of_all).unwrap_or(by_default), listed, self.destination.scheme() == "sqlite")
    }

    /// What the overrides say of a table, in the order of the file.
    fn overrides_of(&self, listed: &Listed, catalog: &Catalog) -> Vec<&Record> {
        let of = |named: &&Named| Pattern::parse(&named.name).names(listed, catalog);
        self.overrides.iter().filter(of).filter_map(settings_of).collect()
    }

    /// Within one database, tables that the family loads are none that it reads.
    fn without_its_own<'a>(&self, chosen: Vec<&'a Listed>, catalog: &Catalog, out: &mut Findings) -> Vec<&'a Listed> {
        if self.source != self.destination {
            return chosen;
        }
        let targets: Vec<(&Listed, String)> =
            chosen.iter().filter_map(|listed| Some((*listed, self.target(listed, catalog)?))).collect();
        if targets.iter().any(|(listed, target)| is(target, listed, catalog)) {
            let at = self.record.get("destination").map_or(self.owner, |given| given.key);
            out.add(
                Code::Unsafe,
                at,
                "each table would be loaded into itself: source and destination are one database",
            )
            .help(match self.words {
                Words::File => "name another database, or another table for each: `table: \"copy_{table}\"`",
                Words::Flags => "name another database, or another table for each: --table 'copy_{table}'",
            });
            return chosen;
        }
        chosen.into_iter().filter(|listed| !targets.iter().any(|(_, target)| is(target, listed, catalog))).collect()
    }

    /// A table named by a pattern that can mean no other, and is not there; the name of its pipeline.
    fn missing(&self, choice: &Choice, catalog: &Catalog) -> Option<String> {
        if choice.pattern.has_wildcard() || catalog.tables.iter().any(|listed| choice.pattern.finds(listed, catalog)) {
            return None;
        }
        let schemas = catalog.tables.iter().any(|listed| listed.schema.is_some());
        let (schema, name) = choice.pattern.exact(schemas)?;
        let listed = Listed { schema, name, bare: false, own: true, key: Vec::new() };
        Some(self.name_of(&listed))
    }

    fn not_there(&self, choice: &Choice, catalog: &Catalog) -> Error {
        let mut out = Findings::default();
        let message = format!("the source has no table or view {}", quoted(&choice.written));
        let names: Vec<String> =
            catalog.tables.iter().flat_map(|listed| [listed.written(), listed.name.clone()]).collect();
        let d = out.add(Code::SourceMissing, choice.at, message);
        match nearest(&choice.written, names.iter().map(String::as_str)) {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None => d.help(catalog.described()),
        };
        Error::from(self.diagnostics(out))
    }

    /// No table is meant at all.
    fn nothing(&self, catalog: &Catalog, meant: &[&Listed], out: &mut Findings) {
        let patterns = self.tables.iter().map(|choice| quoted(&choice.written)).collect::<Vec<_>>().join(", ");
        let at = self.tables.first().map_or(self.owner, |choice| choice.at);
        let many = if self.tables.len() > 1 { "match" } else { "matches" };
        let message = match meant.is_empty() {
            true => format!("no table {many} {patterns}"),
            false => format!("every table that {many} {patterns} is left out again"),
        };
        let d = out.add(Code::SourceMissing, at, message);
        let schemas = catalog.tables.iter().any(|listed| listed.schema.is_some());
        let pointed =
            self.tables.iter().find(|choice| Pattern::span_schemas([&choice.pattern]) || choice.written.contains('.'));
        if let (false, Some(_), false) = (schemas, pointed, catalog.tables.is_empty()) {
            d.help("tables have no schemas here: leave out what stands before the point");
        }
        d.help(catalog.described());
    }

    /// Patterns that mean no table, where others do.
    fn idle(&self, catalog: &Catalog) -> Vec<String> {
        let idle = |choice: &&Choice| {
            choice.pattern.has_wildcard() && !catalog.tables.iter().any(|listed| choice.pattern.finds(listed, catalog))
        };
        self.tables.iter().filter(idle).map(|choice| format!("no table matches {}", quoted(&choice.written))).collect()
    }

    /// What was loaded once and is not any more, of the pipelines that the destination remembers, a sentence each. A table
    /// that is left out on purpose is not told of.
    pub fn gone(&self, catalog: &Catalog, remembered: &[String]) -> Vec<String> {
        let found = |listed: &&Listed| self.tables.iter().any(|choice| choice.pattern.finds(listed, catalog));
        let mut here: Vec<String> = catalog.tables.iter().filter(found).map(|listed| self.name_of(listed)).collect();
        // Their pipelines fail, which says enough.
        here.extend(self.tables.iter().filter_map(|choice| self.missing(choice, catalog)));
        let gone = remembered.iter().filter(|name| self.owns(name) && !here.contains(name));
        gone.map(|name| {
            format!(
                "{name} was loaded before, and its table is not among those that are read now: what it loaded stays, and \
                 `floodmark state reset {name}` forgets it"
            )
        })
        .collect()
    }

    fn member(&self, listed: &Listed, catalog: &Catalog) -> Member {
        let name = self.name_of(listed);
        let mut out = Findings::default();
        let pipeline = self.pipeline(&name, listed, catalog, &mut out);
        let pipeline = match pipeline {
            Some(pipeline) if out.0.is_empty() => Ok(pipeline),
            _ => Err(Error::from(self.diagnostics(out))),
        };
        Member { name, pipeline }
    }

    fn pipeline(&self, name: &str, listed: &Listed, catalog: &Catalog, out: &mut Findings) -> Option<Pipeline> {
        let Some(target) = self.target(listed, catalog) else {
            out.add(
                Code::ConfigInvalid,
                self.owner,
                format!("{} names a schema, and the source has none", template::SCHEMA),
            )
            .help(format!("write {} alone", template::TABLE));
            return None;
        };
        let record = fields(&self.record, &self.overrides_of(listed, catalog), listed, &target);
        if self.keyless(&record, listed, out) {
            return None;
        }
        let mut reader = Reader { source: &self.origin.text, env: &|_| None, base: &self.origin.base, out };
        let pipeline = resolve::pipeline(name, self.owner, &record, &self.connections, &mut reader, self.words)?;
        rules::check(&pipeline, &record, self.owner, self.words, reader.out);
        Some(pipeline)
    }

    /// Tells of a table without a primary key that cannot be loaded as it should be.
    fn keyless(&self, record: &Record, listed: &Listed, out: &mut Findings) -> bool {
        let Some(load) = record.choice("load", Load::NAMES).filter(|_| !record.has("key")) else { return false };
        let needs = match load {
            Load::Upsert | Load::InsertOnly | Load::Scd2 => true,
            Load::DeleteInsert => !record.has("window"),
            Load::Append | Load::Overwrite => false,
        };
        let table = quoted(&listed.written());
        let (at, marked) = (record.get("load").map_or(self.owner, |given| given.at), record.get("watermark"));
        let message = match marked {
            _ if needs => {
                format!("table {table} has no primary key, and {} needs a key", self.words.set("load", load.name()))
            }
            Some(_) if load == Load::Overwrite => format!(
                "table {table} has no primary key, so that it is overwritten as a whole, and a watermark reads only a part \
                 of it"
            ),
            _ => return false,
        };
        let at = if needs { at } else { marked.map_or(at, |given| given.at) };
        let d = out.add(Code::Unsafe, at, message);
        match self.words {
            Words::File => {
                let name = if self.spans() { listed.written() } else { listed.name.clone() };
                let name = in_yaml(&name);
                d.help(format!("name the columns that identify its rows: `overrides: {{{name}: {{key: [id]}}}}`"));
                match marked {
                    Some(_) => d.help(format!("or load what is new: `overrides: {{{name}: {{load: append}}}}`")),
                    None => d.help(format!("or load it as a whole: `overrides: {{{name}: {{load: overwrite}}}}`")),
                };
            }
            Words::Flags => {
                let name = listed.written();
                d.help(format!("leave it out with --source-exclude '{name}'"))
                    .help(format!("and load it by a line of its own: --source-table '{name}' --key id"));
            }
        }
        true
    }

    /// Two tables into one would each take the other's rows for its own: neither is loaded.
    fn refuse_shared(&self, all: &mut [Member]) {
        // Some file systems do not tell the cases of letters apart either.
        let fold = |table: &str| match self.destination.is_file() {
            true => table.to_lowercase(),
            false => table.to_owned(),
        };
        let targets: Vec<Option<String>> =
            all.iter().map(|member| member.pipeline.as_ref().ok().map(|p| fold(&p.destination.table))).collect();
        for at in 0..all.len() {
            let Some(target) = &targets[at] else { continue };
            let others = (0..all.len()).filter(|other| *other != at && targets[*other].as_ref() == Some(target));
            let others: Vec<String> = others.map(|other| all[other].name.clone()).collect();
            if others.is_empty() {
                continue;
            }
            let mut out = Findings::default();
            let message =
                format!("{} and {} would load one table, {}", all[at].name, others.join(", "), quoted(target));
            out.add(Code::Unsafe, self.owner, message).help(match self.words {
                Words::File => "tell them apart, for example with `destination: {table: \"{schema}_{table}\"}`",
                Words::Flags => "tell them apart, for example with --table '{schema}_{table}'",
            });
            all[at].pipeline = Err(Error::from(self.diagnostics(out)));
        }
    }
}

/// The fields of an override; nothing where they were wrong, which is told.
pub(crate) fn settings_of(named: &Named) -> Option<&Record> {
    if let Some(Value::Record(settings)) = &named.value { Some(settings) } else { None }
}

/// Whether the name of a table in the destination is that of a table of the source, in one database.
fn is(target: &str, listed: &Listed, catalog: &Catalog) -> bool {
    let same = |name: &str| target == name || (!catalog.case_sensitive && target.eq_ignore_ascii_case(name));
    match listed.schema {
        Some(_) => same(&listed.written()) || (listed.bare && same(&part(&listed.name))),
        None => same(&listed.name),
    }
}

/// A name as a key of a mapping in braces.
fn in_yaml(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    if plain { name.to_owned() } else { format!("{name:?}") }
}

/// The fields of one table's pipeline: the family's, over them what overrides say, and what the table has of its own.
pub(crate) fn fields(family: &Record, overrides: &[&Record], listed: &Listed, target: &str) -> Record {
    let mut record = family.clone();
    let at = family.record("source").and_then(|source| source.get("tables")).map_or(Spot::Whole, |given| given.at);
    for given in overrides.iter().flat_map(|settings| &settings.fields) {
        if given.field.name() != "destination" {
            record.set(given.clone());
        }
    }
    let own = |name: &str| overrides.iter().any(|settings| settings.has(name));
    let off = |mark: &Record| mark.fields.len() == 1 && mark.text("column") == Some("none");
    if own("watermark") && record.record("watermark").is_some_and(off) {
        record.take("watermark");
    }
    if own("load")
        && let Some(load) = record.choice("load", Load::NAMES)
    {
        without_meaning(load).iter().filter(|name| !own(name)).for_each(|name| record.take(name));
    }
    if !record.has("key") && !listed.key.is_empty() && record.choice("load", Load::NAMES) != Some(Load::Append) {
        let key = key(&record, listed, at);
        record.put("pipelines.*.key", at, key);
    }
    if !record.has("load") && !record.has("key") {
        record.put("pipelines.*.load", at, Value::Text(Load::Overwrite.name().to_owned()));
        // Without a key there are no copies to compare, and what the source lacks goes in any case.
        ["version", "on_null", "absent_rows"].iter().filter(|name| !own(name)).for_each(|name| record.take(name));
    }
    let mut source = family.record("source").cloned().unwrap_or_default();
    source.take("tables");
    source.take("exclude");
    source.put("pipelines.*.source.table", at, Value::Text(listed.written()));
    replace(&mut record, "source", source);
    let mut destination = family.record("destination").cloned().unwrap_or_default();
    let named = overrides.iter().rev().find_map(|settings| settings.record("destination")?.get("table"));
    let at = named.or(destination.get("table")).map_or(at, |given| given.at);
    destination.put("pipelines.*.destination.table", at, Value::Text(target.to_owned()));
    replace(&mut record, "destination", destination);
    record
}

/// Fields of a family that mean nothing to a table which an override loads in another way.
fn without_meaning(load: Load) -> &'static [&'static str] {
    match load {
        Load::Append => &["key", "version", "window", "on_null", "absent_rows"],
        Load::Upsert => &["append", "window", "absent_rows"],
        Load::DeleteInsert => &["append", "on_null", "absent_rows"],
        Load::Overwrite | Load::InsertOnly | Load::Scd2 => &["append", "window", "on_null", "absent_rows"],
    }
}

/// The primary key, under the names its columns have in the table.
fn key(record: &Record, listed: &Listed, at: Spot) -> Value {
    let renamed = |column: &String| {
        let from = |named: &&Named| match &named.value {
            Some(Value::Record(settings)) => settings.text("from") == Some(column),
            _ => false,
        };
        record.map("columns").iter().find(from).map_or(column, |named| &named.name).clone()
    };
    let item = |column| Item { written: String::clone(&column), text: column, at };
    let items = listed.key.iter().map(renamed).map(item).collect();
    Value::List(items)
}

/// Another record in the place of one that was given.
fn replace(record: &mut Record, name: &str, with: Record) {
    if let Some(given) = record.fields.iter_mut().find(|given| given.field.name() == name)
        && given.value.is_some()
    {
        given.value = Some(Value::Record(with));
    }
}

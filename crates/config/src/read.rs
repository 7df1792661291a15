//! The tree → typed values, by the table of fields.

use crate::{
    diagnostics::{Findings, Spot, nearest, quoted},
    fields::{Field, Kind, OF_FAMILY, children},
    interpolate::{Env, interpolate},
    record::{Given, Item, Named, Record, Value},
    values,
    yaml::{Data, Member, Node},
};
use floodmark_core::{
    Code, DataType,
    outlet::{CommandLine, Given as Held, Secret, WebUrl},
    pipeline::Span,
    types::TYPE_NAMES,
    url::{ConnectionUrl, DATABASES, LAKES, holds_tables},
};
use std::path::Path;

/// Reads trees. Mistakes go to the findings; what is right is read all the same.
pub(crate) struct Reader<'a> {
    /// The file's text, to point into scalars; empty for flags.
    pub(crate) source: &'a str,
    pub(crate) env: Env<'a>,
    pub(crate) base: &'a Path,
    pub(crate) out: &'a mut Findings,
}

/// A field as the user knows it: by its flag, or by its name in the file.
pub(crate) fn called(field: &Field, spot: Spot) -> String {
    match (spot, field.flag) {
        (Spot::Text(..), _) if field.name() == "*" => "this".to_owned(),
        (Spot::Text(..), _) | (Spot::Whole, None) => format!("`{}`", field.name()),
        (Spot::Flag(_) | Spot::Whole, Some(flag)) | (Spot::Flag(flag), None) => crate::flags::shown(flag),
    }
}

impl Reader<'_> {
    /// The fields under `path`. `owner` is what a missing one is reported at.
    pub(crate) fn record(&mut self, path: &'static str, members: &[Member], owner: Spot) -> Record {
        let mut record = Record::default();
        for member in members {
            match children(path).find(|f| f.name() == member.name) {
                Some(field) => {
                    let given = self.given(field, member.at, &member.value);
                    record.fields.push(given);
                }
                None => self.unknown(path, member),
            }
        }
        for field in children(path).filter(|f| f.required) {
            if !record.has(field.name()) {
                let name = called(field, owner);
                let d = self.out.add(Code::ConfigInvalid, owner, format!("{name} is missing"));
                d.label("needed here").help(format!("{name}: {}", field.doc));
            }
        }
        record
    }

    /// Fields of a pipeline that stand in place of a family's.
    fn settings(&mut self, members: &[Member]) -> Record {
        let mut record = Record::default();
        for member in members {
            match children("pipelines.*").find(|f| f.name() == member.name) {
                Some(field) if OF_FAMILY.contains(&field.name()) => {
                    let message = format!("{} is the same for all tables of a family", called(field, member.at));
                    self.out
                        .add(Code::ConfigInvalid, member.at, message)
                        .help("leave the table out with `exclude:` under `source:`, and give it a pipeline of its own");
                }
                Some(field) => {
                    let given = self.given(field, member.at, &member.value);
                    record.fields.push(given);
                }
                None => self.unknown("pipelines.*", member),
            }
        }
        record
    }

    fn given(&mut self, field: &'static Field, key: Spot, node: &Node) -> Given {
        let written = if let Data::Scalar { text, .. } = &node.data { text.clone() } else { String::new() };
        Given { field, key, at: node.at, written, value: self.value(field, key, node) }
    }

    fn unknown(&mut self, path: &str, member: &Member) {
        let known: Vec<&str> = children(path).map(Field::name).collect();
        let name = quoted(&member.name);
        let d = self.out.add(Code::ConfigInvalid, member.at, format!("{name} is not a field"));
        d.label("unknown");
        if member.name == "<<" {
            d.help("merge keys are not supported; an alias (*name) may stand for a whole value");
            return;
        }
        let plural = known.iter().find(|k| k.strip_suffix('s') == Some(&member.name));
        if let Some(plural) = plural {
            d.help(format!("did you mean `{plural}`?"));
            return;
        }
        // Right word, wrong place: say where it belongs before guessing at its spelling.
        let homes = crate::fields::FIELDS.iter().filter(|f| f.name() == member.name);
        let homes: Vec<String> = homes
            .filter_map(|f| f.path.rsplit_once('.'))
            .map(|(parent, _)| format!("`{}`", parent.replace(".*", ".NAME")))
            .collect();
        if !homes.is_empty() {
            d.help(format!("it belongs in {}", homes.join(" or ")));
        } else {
            d.suggest(&member.name, &known);
        }
    }

    fn value(&mut self, field: &'static Field, key: Spot, node: &Node) -> Option<Value> {
        match (field.kind, &node.data) {
            (Kind::Record { .. }, Data::Map(members)) => Some(Value::Record(self.record(field.path, members, key))),
            (Kind::Record { short: Some(short) }, Data::Scalar { text, .. }) if !text.is_empty() => {
                let field = children(field.path).find(|f| f.name() == short)?;
                let given = self.given(field, key, node);
                Some(Value::Record(Record { fields: vec![given] }))
            }
            (Kind::WebUrl, Data::Scalar { .. }) => self.web(field, node).map(Value::Web),
            (Kind::Secret, Data::Scalar { .. }) => {
                let text = self.held(field, node)?;
                Some(Value::Secret(matched(text, Secret::new)))
            }
            (Kind::Command, Data::Scalar { .. } | Data::List(_)) => self.command(field, node).map(Value::Command),
            (Kind::Settings, Data::Map(members)) => Some(Value::Record(self.settings(members))),
            (Kind::Map, Data::Map(members)) => {
                let each = children(field.path).next()?;
                let mut named = Vec::with_capacity(members.len());
                for m in members {
                    named.push(Named { name: m.name.clone(), at: m.at, value: self.value(each, m.at, &m.value) });
                }
                Some(Value::Map(named))
            }
            (Kind::List, Data::List(items)) => {
                if items.is_empty() {
                    self.wrong(field, node, format!("{} is an empty list", called(field, node.at)));
                    return None;
                }
                let items: Vec<Option<Item>> = items.iter().map(|item| self.item(field, item)).collect();
                items.into_iter().collect::<Option<Vec<Item>>>().map(Value::List)
            }
            (Kind::List, Data::Scalar { .. }) => self.item(field, node).map(|item| Value::List(vec![item])),
            (Kind::Record { .. } | Kind::Map | Kind::Settings, Data::Scalar { text, plain: true })
                if text.is_empty() =>
            {
                self.wrong(field, node, format!("{} is empty", called(field, key)));
                None
            }
            (Kind::Record { .. } | Kind::Map | Kind::Settings, _) | (_, Data::List(_) | Data::Map(_)) => {
                let message =
                    format!("{} must be {}, and this is {}", called(field, node.at), field.kind.expects(), node.what());
                self.out.add(Code::ConfigInvalid, node.at, message);
                None
            }
            (_, Data::Scalar { .. }) => {
                let (text, written) = self.scalar(field, node)?;
                self.single(field, node.at, text, &written)
            }
        }
    }

    fn item(&mut self, field: &'static Field, node: &Node) -> Option<Item> {
        if !matches!(node.data, Data::Scalar { .. }) {
            let message =
                format!("{} must be {}, and this is {}", called(field, node.at), field.kind.expects(), node.what());
            self.out.add(Code::ConfigInvalid, node.at, message);
            return None;
        }
        let (text, written) = self.scalar(field, node)?;
        Some(Item { text, written, at: node.at })
    }

    /// A scalar's text with references replaced, and as written.
    fn scalar(&mut self, field: &'static Field, node: &Node) -> Option<(String, String)> {
        let Data::Scalar { text: written, plain } = &node.data else { return None };
        let text = match interpolate(written, self.env, self.base) {
            Ok(text) => text,
            Err(wrong) => {
                for w in wrong {
                    let at = self.point(node.at, &w.reference);
                    let name = quoted(&w.reference);
                    self.out.add(Code::Reference, at, format!("{name} {}", w.why)).help(w.help);
                }
                return None;
            }
        };
        if text.is_empty() && (field.kind != Kind::Text || *plain && !matches!(node.at, Spot::Flag(_))) {
            let why = if written.is_empty() { "has no value" } else { "is empty once its references are replaced" };
            self.wrong(field, node, format!("{} {why}", called(field, node.at)));
            return None;
        }
        Some((text, written.clone()))
    }

    /// A scalar's text, where what its references stand for may be missing: nobody runs pipelines any worse without it.
    /// `None` for one that is empty as written.
    fn held(&mut self, field: &'static Field, node: &Node) -> Option<Held<String>> {
        let Data::Scalar { text: written, .. } = &node.data else { return None };
        if written.is_empty() {
            self.wrong(field, node, format!("{} has no value", called(field, node.at)));
            return None;
        }
        Some(match interpolate(written, self.env, self.base) {
            Ok(text) if text.is_empty() => Held::Empty,
            Ok(text) => Held::Is(text),
            Err(wrong) => {
                let wrong: Vec<String> = wrong.iter().map(|w| format!("{} {}", quoted(&w.reference), w.why)).collect();
                Held::Unset(wrong.join(", "))
            }
        })
    }

    /// An address of the web. What a reference stands for is not the file's mistake, and is not shown.
    fn web(&mut self, field: &'static Field, node: &Node) -> Option<Held<WebUrl>> {
        let Data::Scalar { text: written, .. } = &node.data else { return None };
        let text = match self.held(field, node)? {
            Held::Is(text) => text,
            Held::Empty => return Some(Held::Empty),
            Held::Unset(why) => return Some(Held::Unset(why)),
        };
        match WebUrl::parse(text.trim()) {
            Ok(url) => Some(Held::Is(url)),
            Err(_) if written.contains("${") => {
                Some(Held::Unset(format!("what {} stands for is no address of the web", quoted(written))))
            }
            Err(help) => {
                self.out.add(Code::ConfigInvalid, node.at, "this is no address of the web").help(help);
                None
            }
        }
    }

    fn command(&mut self, field: &'static Field, node: &Node) -> Option<Held<CommandLine>> {
        let single = std::slice::from_ref(node);
        let nodes = if let Data::List(items) = &node.data { items.as_slice() } else { single };
        if nodes.is_empty() {
            self.wrong(field, node, format!("{} is an empty list", called(field, node.at)));
            return None;
        }
        if let Data::Scalar { text, .. } = &node.data
            && text.trim().contains(' ')
        {
            let message = format!("{} is read by no shell, and this is more than a program", called(field, node.at));
            let help = "write the program and its words as a list, such as [./page.sh, --team, data]";
            self.out.add(Code::ConfigInvalid, node.at, message).help(help);
            return None;
        }
        let mut words = Vec::new();
        for (place, word) in nodes.iter().enumerate() {
            if !matches!(word.data, Data::Scalar { .. }) {
                let message =
                    format!("{} must be {}, and this is {}", called(field, word.at), field.kind.expects(), word.what());
                self.out.add(Code::ConfigInvalid, word.at, message);
                return None;
            }
            match self.held(field, word)? {
                Held::Is(text) => words.push(text),
                Held::Empty if place == 0 => return Some(Held::Empty),
                Held::Empty => words.push(String::new()),
                Held::Unset(why) => return Some(Held::Unset(why)),
            }
        }
        let program = words.remove(0);
        Some(Held::Is(CommandLine { program, words }))
    }

    fn single(&mut self, field: &'static Field, at: Spot, text: String, written: &str) -> Option<Value> {
        let parsed = match field.kind {
            Kind::FormatVersion if text == "1" => Ok(Value::Number(1)),
            Kind::FormatVersion => Err("this version of Floodmark reads format 1".to_owned()),
            Kind::Choice(words) => {
                if words.contains(&text.as_str()) {
                    return Some(Value::Text(text));
                }
                let message = format!("{} is not a value of {}", quoted(written), called(field, at));
                let d = self.out.add(Code::ConfigInvalid, at, message);
                if let Some(near) = nearest(written, words.iter().copied()) {
                    d.help(format!("did you mean `{near}`?"));
                }
                d.help(format!("it takes {}", words.join(", ")));
                return None;
            }
            Kind::Bool => match text.as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err("write true or false".to_owned()),
            },
            Kind::Count => values::count(&text, field.default).map(Value::Number),
            Kind::Number => values::whole(&text)
                .map(Value::Number)
                .ok_or_else(|| format!("write a whole number from 0, such as {}", field.default)),
            Kind::Bytes => values::bytes(&text).map(|n| Value::Number(n as u64)),
            Kind::Span => values::span(&text).map(Value::Span),
            Kind::Duration => values::some_time(&text).map(|time| Value::Span(Span::Time(time))),
            Kind::Limit => values::limit(&text).map(Value::Limit),
            Kind::Char => values::character(&text).map(Value::Char),
            Kind::Type => DataType::parse(&text).map(Value::Type).ok_or_else(|| type_help(written)),
            Kind::Schedule => values::schedule(&text).map(|()| Value::Text(text)),
            Kind::TimeZone => values::zone(&text).map(|_| Value::Text(text)),
            Kind::Url => return self.url(at, &text, written).map(Value::Url),
            _ => Ok(Value::Text(text)),
        };
        parsed
            .map_err(|help| {
                let message = format!("{} is not {}", quoted(written), noun(field, at));
                self.out.add(Code::ConfigInvalid, at, message).help(help);
            })
            .ok()
    }

    /// A connection URL, its file path resolved against the pipeline file. The message shows nothing of the URL but
    /// its scheme: the rest may be secret, and the snippet shows what was written.
    pub(crate) fn url(&mut self, at: Spot, text: &str, written: &str) -> Option<ConnectionUrl> {
        let url = match ConnectionUrl::parse(text) {
            Ok(url) => url,
            Err(error) => {
                let d = self.out.add(Code::BadUrl, at, "this is not a connection URL");
                error.advice().iter().for_each(|help| {
                    d.help(help);
                });
                return None;
            }
        };
        if url.is_store() {
            return Some(url);
        }
        if !holds_tables(url.scheme()) {
            let d = self.out.add(Code::BadUrl, at, format!("`{}` is no database this version knows", url.scheme()));
            // SQLAlchemy's URLs name a driver behind a plus.
            let bare = url.scheme().split('+').next().unwrap_or_default();
            if let Some(near) = nearest(bare, DATABASES.into_iter().chain(LAKES)) {
                d.help(format!("did you mean `{near}`?"));
            }
            d.help("it knows sqlite:///relative.db, sqlite:////absolute.db, duckdb:///relative.duckdb, postgres://user@host/database, mysql://user@host/database, and lakes as delta:///folder or delta+s3://bucket/folder");
            return None;
        }
        if !url.is_file() {
            return Some(url);
        }
        if let Err(error) = url.file_path() {
            let d = self.out.add(Code::BadUrl, at, "this URL names a host, and a file has none");
            if written.contains("${") {
                d.help("three slashes begin a relative path, four an absolute one");
            } else {
                error.advice().iter().for_each(|help| {
                    d.help(help);
                });
            }
            return None;
        }
        Some(url.resolved(self.base))
    }

    fn wrong(&mut self, field: &Field, node: &Node, message: String) {
        self.out
            .add(Code::ConfigInvalid, node.at, message)
            .help(format!("it must be {}, or left out", field.kind.expects()));
    }

    /// The place of a reference inside a scalar, or the scalar where it cannot be found (a quoted escape).
    fn point(&self, at: Spot, reference: &str) -> Spot {
        let Spot::Text(from, to) = at else { return at };
        match self.source.get(from..to).and_then(|s| s.find(reference)) {
            Some(i) => Spot::Text(from + i, from + i + reference.len()),
            None => at,
        }
    }
}

fn matched<T, U>(held: Held<T>, of: impl FnOnce(T) -> U) -> Held<U> {
    match held {
        Held::Is(value) => Held::Is(of(value)),
        Held::Empty => Held::Empty,
        Held::Unset(why) => Held::Unset(why),
    }
}

/// A kind after "is not"; with the field's name where the noun alone does not say it.
fn noun(field: &Field, at: Spot) -> String {
    let noun = match field.kind {
        Kind::FormatVersion => return "a version of the file's format that is known".to_owned(),
        Kind::Schedule => return "a schedule".to_owned(),
        Kind::TimeZone => return "a time zone".to_owned(),
        Kind::Type => return "a column type".to_owned(),
        Kind::Char => "a character".to_owned(),
        Kind::Span => "a duration or whole number".to_owned(),
        Kind::Duration => "a duration".to_owned(),
        Kind::Limit => "a limit".to_owned(),
        Kind::Bytes => "a size".to_owned(),
        other => other.expects(),
    };
    format!("{noun} for {}", called(field, at))
}

/// The type a wrong one was probably meant to be, or all of them.
fn type_help(wrong: &str) -> String {
    if let Some(digits) = wrong.trim().strip_prefix("decimal(").filter(|rest| !rest.contains(')')) {
        return format!("within braces a comma ends the value: write `type: \"decimal({digits},2)\"`, in quotes");
    }
    match nearest(wrong, TYPE_NAMES.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the types are {}", TYPE_NAMES.join(", ")),
    }
}

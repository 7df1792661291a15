//! The tree → typed values, by the table of fields.

use crate::{
    diagnostics::{Findings, Spot, quoted, type_help},
    fields::{Field, Kind, children},
    interpolate::{Env, interpolate},
    values,
    yaml::{Data, Member, Node},
};
use floodmark_core::{
    Code, DataType,
    pipeline::{RejectLimit, Span},
    url::ConnectionUrl,
};
use std::path::Path;

/// A value of the kind its field asks for.
#[derive(Debug)]
pub(crate) enum Value {
    /// `Name`, `Text`, `Sql`, `Choice`, `Schedule`.
    Text(String),
    Bool(bool),
    /// `Count`, `Bytes`.
    Number(u64),
    List(Vec<Item>),
    Span(Span),
    Limit(RejectLimit),
    Char(u8),
    Type(DataType),
    Url(ConnectionUrl),
    Record(Record),
    Map(Vec<Named>),
}

/// An item of a list.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) text: String,
    /// As written, for messages.
    pub(crate) written: String,
    pub(crate) at: Spot,
}

/// A name of a map with what stands under it; `None` when that was wrong and is reported.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) at: Spot,
    pub(crate) value: Option<Value>,
}

/// A field that was given.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) field: &'static Field,
    /// Where its name stands.
    pub(crate) key: Spot,
    /// Where its value stands.
    pub(crate) at: Spot,
    /// The value as written, references and all; empty for lists and mappings.
    pub(crate) written: String,
    /// `None` when it was wrong and is reported.
    pub(crate) value: Option<Value>,
}

/// The fields given in one place.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) fields: Vec<Given>,
}

impl Record {
    /// A field by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Given> {
        self.fields.iter().find(|g| g.field.name() == name)
    }

    /// Whether a field was given, right or wrong.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether none of these fields was given wrongly.
    pub(crate) fn sound(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.get(name).is_none_or(|g| g.value.is_some()))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.get(name)?.value.as_ref()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        if let Value::Text(text) = self.value(name)? { Some(text) } else { None }
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        if let Value::Bool(value) = self.value(name)? { Some(*value) } else { None }
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        if let Value::Number(value) = self.value(name)? { Some(*value) } else { None }
    }

    pub(crate) fn items(&self, name: &str) -> &[Item] {
        if let Some(Value::List(items)) = self.value(name) { items } else { &[] }
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.items(name).iter().map(|i| i.text.clone()).collect()
    }

    pub(crate) fn span(&self, name: &str) -> Option<Span> {
        if let Value::Span(span) = self.value(name)? { Some(*span) } else { None }
    }

    pub(crate) fn limit(&self, name: &str) -> Option<RejectLimit> {
        if let Value::Limit(limit) = self.value(name)? { Some(*limit) } else { None }
    }

    pub(crate) fn char(&self, name: &str) -> Option<u8> {
        if let Value::Char(byte) = self.value(name)? { Some(*byte) } else { None }
    }

    pub(crate) fn data_type(&self, name: &str) -> Option<DataType> {
        if let Value::Type(data_type) = self.value(name)? { Some(*data_type) } else { None }
    }

    pub(crate) fn url(&self, name: &str) -> Option<&ConnectionUrl> {
        if let Value::Url(url) = self.value(name)? { Some(url) } else { None }
    }

    pub(crate) fn record(&self, name: &str) -> Option<&Record> {
        if let Value::Record(record) = self.value(name)? { Some(record) } else { None }
    }

    pub(crate) fn map(&self, name: &str) -> &[Named] {
        if let Some(Value::Map(named)) = self.value(name) { named } else { &[] }
    }

    /// A choice, by the table of its words.
    pub(crate) fn choice<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }
}

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
        // A field that belongs to a database source makes the missing `files` beside the point.
        let later = record.fields.iter().any(|g| g.field.kind == Kind::Later);
        for field in children(path).filter(|f| f.required && !later) {
            if !record.has(field.name()) {
                let name = called(field, owner);
                let d = self.out.add(Code::ConfigInvalid, owner, format!("{name} is missing"));
                d.label("needed here").help(format!("{name}: {}", field.doc));
            }
        }
        record
    }

    fn given(&mut self, field: &'static Field, key: Spot, node: &Node) -> Given {
        let written = if let Data::Scalar { text, .. } = &node.data { text.clone() } else { String::new() };
        Given { field, key, at: node.at, written, value: self.value(field, key, node) }
    }

    fn unknown(&mut self, path: &str, member: &Member) {
        let known: Vec<&str> = children(path).filter(|f| f.kind != Kind::Later).map(Field::name).collect();
        let name = quoted(&member.name);
        let d = self.out.add(Code::ConfigInvalid, member.at, format!("{name} is not a field"));
        d.label("unknown");
        if member.name == "<<" {
            d.help("merge keys are not supported; an alias (*name) may stand for a whole value");
            return;
        }
        // Right word, wrong place: say where it belongs before guessing at its spelling.
        let home = crate::fields::FIELDS.iter().find(|f| f.name() == member.name && f.kind != Kind::Later);
        if let Some((parent, _)) = home.and_then(|f| f.path.rsplit_once('.')) {
            d.help(format!("it belongs in `{}`", parent.replace(".*", ".NAME")));
        } else {
            d.suggest(&member.name, &known);
        }
    }

    fn value(&mut self, field: &'static Field, key: Spot, node: &Node) -> Option<Value> {
        match (field.kind, &node.data) {
            (Kind::Later, _) => None,
            (Kind::Record { .. }, Data::Map(members)) => Some(Value::Record(self.record(field.path, members, key))),
            (Kind::Record { short: Some(short) }, Data::Scalar { text, .. }) if !text.is_empty() => {
                let field = children(field.path).find(|f| f.name() == short)?;
                let given = self.given(field, key, node);
                Some(Value::Record(Record { fields: vec![given] }))
            }
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
            (Kind::Record { .. } | Kind::Map, Data::Scalar { text, plain: true }) if text.is_empty() => {
                self.wrong(field, node, format!("{} is empty", called(field, key)));
                None
            }
            (Kind::Record { .. } | Kind::Map, _) | (_, Data::List(_) | Data::Map(_)) => {
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
                if let Some(near) = crate::diagnostics::nearest(written, words.iter().copied()) {
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
            Kind::Count => values::count(&text).map(Value::Number),
            Kind::Bytes => values::bytes(&text).map(|n| Value::Number(n as u64)),
            Kind::Span => values::span(&text).map(Value::Span),
            Kind::Limit => values::limit(&text).map(Value::Limit),
            Kind::Char => values::character(&text).map(Value::Char),
            Kind::Type => DataType::parse(&text).map(Value::Type).ok_or_else(|| type_help(written)),
            Kind::Schedule => values::schedule(&text).map(|()| Value::Text(text)),
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
        if !matches!(url.scheme(), "sqlite" | "duckdb" | "delta" | "parquet") {
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

/// A kind after "is not"; with the field's name where the noun alone does not say it.
fn noun(field: &Field, at: Spot) -> String {
    let noun = match field.kind {
        Kind::FormatVersion => return "a version of the file's format that is known".to_owned(),
        Kind::Schedule => return "a schedule".to_owned(),
        Kind::Type => return "a column type".to_owned(),
        Kind::Char => "a character".to_owned(),
        Kind::Span => "a duration or whole number".to_owned(),
        Kind::Limit => "a limit".to_owned(),
        Kind::Bytes => "a size".to_owned(),
        other => other.expects(),
    };
    format!("{noun} for {}", called(field, at))
}

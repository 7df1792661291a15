//! Typed values of the fields that were given, each with its place.

use crate::{
    diagnostics::Spot,
    fields::{Field, field},
};
use floodmark_core::{
    DataType,
    outlet::{CommandLine, Given as Held, Secret, WebUrl},
    pipeline::{RejectLimit, Span},
    url::ConnectionUrl,
};
use std::time::Duration;

/// A value of the kind its field asks for.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// `Name`, `Text`, `Sql`, `Choice`, `Schedule`, `TimeZone`.
    Text(String),
    Bool(bool),
    /// `Count`, `Number`, `Bytes`.
    Number(u64),
    List(Vec<Item>),
    /// `Span`, `Duration`.
    Span(Span),
    Limit(RejectLimit),
    Char(u8),
    Type(DataType),
    Url(ConnectionUrl),
    Web(Held<WebUrl>),
    Secret(Held<Secret>),
    Command(Held<CommandLine>),
    Record(Record),
    Map(Vec<Named>),
}

/// An item of a list.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) text: String,
    /// As written, for messages.
    pub(crate) written: String,
    pub(crate) at: Spot,
}

/// A name of a map with what stands under it; `None` when that was wrong and is reported.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) at: Spot,
    pub(crate) value: Option<Value>,
}

/// A field that was given.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone, Default)]
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

    /// Puts a field in the place of the one of its name.
    pub(crate) fn set(&mut self, given: Given) {
        self.take(given.field.name());
        self.fields.push(given);
    }

    /// Puts a field in that nobody wrote, at the place of what it comes from.
    pub(crate) fn put(&mut self, path: &str, at: Spot, value: Value) {
        let Some(field) = field(path) else { return };
        let written = if let Value::Text(text) = &value { text.clone() } else { String::new() };
        self.set(Given { field, key: at, at, written, value: Some(value) });
    }

    /// Takes a field out.
    pub(crate) fn take(&mut self, name: &str) {
        self.fields.retain(|g| g.field.name() != name);
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

    /// A span that can only be one of time.
    pub(crate) fn time(&self, name: &str) -> Option<Duration> {
        if let Span::Time(time) = self.span(name)? { Some(time) } else { None }
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

    pub(crate) fn web(&self, name: &str) -> Option<&Held<WebUrl>> {
        if let Value::Web(url) = self.value(name)? { Some(url) } else { None }
    }

    pub(crate) fn secret(&self, name: &str) -> Option<&Held<Secret>> {
        if let Value::Secret(secret) = self.value(name)? { Some(secret) } else { None }
    }

    pub(crate) fn command(&self, name: &str) -> Option<&Held<CommandLine>> {
        if let Value::Command(line) = self.value(name)? { Some(line) } else { None }
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

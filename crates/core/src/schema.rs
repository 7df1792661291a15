//! Columns of a table, and what may change about them (`schema: evolve | freeze`).

use crate::types::DataType;
use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// As in the source (or as renamed), never altered.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: DataType,
    /// No value was ever seen, so nothing says its type: it is text until the first value decides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undecided: bool,
}

impl Column {
    /// A column whose type is known.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Column { name: name.into(), data_type, undecided: false }
    }
}

/// The columns of a table in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// In table order.
    pub columns: Vec<Column>,
}

/// One step that brings a table from one schema to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new column at the end.
    Add(Column),
    /// A column whose type becomes wider, without loss.
    Widen {
        /// The column.
        name: String,
        /// What it was.
        from: DataType,
        /// What it becomes.
        to: DataType,
    },
}

impl Schema {
    /// From name and type pairs.
    pub fn new(columns: impl IntoIterator<Item = (impl Into<String>, DataType)>) -> Self {
        Schema { columns: columns.into_iter().map(|(name, data_type)| Column::new(name, data_type)).collect() }
    }

    /// Position of a column.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// A column.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The Arrow schema its batches travel in; every field is nullable.
    pub fn to_arrow(&self) -> SchemaRef {
        Arc::new(ArrowSchema::new(
            self.columns.iter().map(|c| Field::new(&c.name, c.data_type.to_arrow(), true)).collect::<Vec<_>>(),
        ))
    }

    /// The names, for messages.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.name.as_str()).collect()
    }
}

/// What a source's schema asks of the pinned one: the schema after it, and the steps there.
///
/// A column missing from the source is no change. A type that cannot widen without loss stays as pinned, and values that
/// do not fit are bad rows.
pub fn evolve(pinned: &Schema, arriving: &Schema) -> (Schema, Vec<Change>) {
    let mut after = pinned.clone();
    let mut changes = Vec::new();
    for column in &arriving.columns {
        match after.columns.iter_mut().find(|c| c.name == column.name) {
            None => {
                changes.push(Change::Add(column.clone()));
                after.columns.push(column.clone());
            }
            Some(_) if column.undecided => {}
            Some(old) if old.undecided => {
                if old.data_type != column.data_type {
                    let (name, to) = (column.name.clone(), column.data_type);
                    changes.push(Change::Widen { name, from: old.data_type, to });
                }
                *old = column.clone();
            }
            Some(old) => {
                let from = old.data_type;
                if let Some(to) = from.widen(column.data_type).filter(|to| *to != from) {
                    changes.push(Change::Widen { name: column.name.clone(), from, to });
                    old.data_type = to;
                }
            }
        }
    }
    (after, changes)
}

/// How a source's schema differs from the pinned one, for `freeze`. A column that was never given a value is no
/// difference, and neither is its first one.
pub fn differences(pinned: &Schema, arriving: &Schema) -> Vec<Difference> {
    let mut found = Vec::new();
    for column in &arriving.columns {
        let (name, to) = (column.name.clone(), column.data_type);
        match pinned.get(&column.name) {
            None => found.push(Difference::New(column.clone())),
            Some(old) if old.undecided || column.undecided || old.data_type.widen(to) == Some(old.data_type) => {}
            Some(old) => found.push(Difference::Type { name, from: old.data_type, to }),
        }
    }
    let missing = pinned.columns.iter().filter(|c| arriving.get(&c.name).is_none());
    found.extend(missing.map(|c| Difference::Missing(c.name.clone())));
    found
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A column that is not pinned.
    New(Column),
    /// Values that the pinned type does not hold.
    Type {
        /// The column.
        name: String,
        /// Its pinned type.
        from: DataType,
        /// The type that would hold them.
        to: DataType,
    },
    /// A pinned column that does not come.
    Missing(String),
}

impl Difference {
    /// The column.
    pub fn column(&self) -> &str {
        match self {
            Difference::New(column) => &column.name,
            Difference::Type { name, .. } | Difference::Missing(name) => name,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::New(column) => write!(f, "new column {:?} ({})", column.name, column.data_type),
            Difference::Type { name, from, to } => write!(f, "column {name:?} is {from} and would be {to}"),
            Difference::Missing(name) => write!(f, "column {name:?} is missing"),
        }
    }
}

/// Names that a database would take for one: equal but for the case of ASCII letters.
pub fn case_clash<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let mut seen = std::collections::HashMap::new();
    for name in names {
        if let Some(before) = seen.insert(name.to_ascii_lowercase(), name) {
            return Some((before, name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evolve_adds_and_widens_but_never_drops() {
        let pinned = Schema::new([("id", DataType::BigInt), ("day", DataType::Date), ("note", DataType::Text)]);
        let arriving = Schema::new([("id", DataType::Decimal(5, 2)), ("day", DataType::Text), ("new", DataType::Bool)]);
        let (after, changes) = evolve(&pinned, &arriving);
        assert_eq!(
            after,
            Schema::new([
                ("id", DataType::Decimal(21, 2)),
                ("day", DataType::Date),
                ("note", DataType::Text),
                ("new", DataType::Bool)
            ])
        );
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn the_first_value_decides_a_type() {
        let undecided = Column { undecided: true, ..Column::new("n", DataType::Text) };
        let pinned = Schema { columns: vec![undecided.clone()] };
        let numbers = Schema::new([("n", DataType::BigInt)]);
        let (after, changes) = evolve(&pinned, &numbers);
        assert_eq!((&after, changes.len()), (&numbers, 1));
        let nothing = Schema { columns: vec![undecided] };
        assert_eq!(evolve(&after, &nothing), (numbers.clone(), Vec::new()));
        assert_eq!(evolve(&pinned, &nothing), (nothing.clone(), Vec::new()));
        assert_eq!([differences(&pinned, &numbers), differences(&after, &nothing)], [[], []]);
    }

    #[test]
    fn freeze_lists_every_difference() {
        let pinned = Schema::new([("id", DataType::BigInt), ("gone", DataType::Text)]);
        let arriving = Schema::new([("id", DataType::Text), ("new", DataType::Bool)]);
        let told: Vec<String> = differences(&pinned, &arriving).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["column \"id\" is bigint and would be text", "new column \"new\" (boolean)", "column \"gone\" is missing"]
        );
        let narrower = Schema::new([("id", DataType::BigInt), ("gone", DataType::Text)]);
        assert_eq!(
            differences(&Schema::new([("id", DataType::Decimal(21, 2)), ("gone", DataType::Text)]), &narrower),
            []
        );
    }
}

//! How the columns of a table changed since its first load: noted with each load that changed them, oldest first.

use crate::{DataType, Schema, state::Settings};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Beside the settings of a state: the notes, as JSON; none where the table was last changed before they were taken.
pub const RESHAPINGS: &str = "reshapings";

/// Notes that are kept; the oldest go.
const KEPT: usize = 50;
/// Steps of one load that are told one by one.
const TOLD: usize = 100;

/// What one load changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reshaping {
    /// When.
    #[serde(with = "crate::commits::moment")]
    pub at: DateTime<Utc>,
    /// The run that did.
    pub run: String,
    /// What became of which column.
    pub steps: Vec<Step>,
    /// Further ones, of which there were too many.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more: usize,
}

fn is_none(more: &usize) -> bool {
    *more == 0
}

/// What became of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Step {
    /// A new column.
    Added {
        /// Its name.
        column: String,
        /// Its type.
        #[serde(rename = "type")]
        data_type: DataType,
    },
    /// Another type.
    Retyped {
        /// The column.
        column: String,
        /// What it was.
        from: DataType,
        /// What it is.
        to: DataType,
    },
    /// Its first value came, and said what type it has.
    Decided {
        /// The column.
        column: String,
        /// Its type.
        #[serde(rename = "type")]
        data_type: DataType,
    },
    /// It is no column of the table any more.
    Removed {
        /// The column.
        column: String,
    },
}

/// What a state's settings have noted, oldest first. Notes that cannot be read are none: nothing depends on them.
pub fn noted(settings: Option<&Settings>) -> Vec<Reshaping> {
    let text = settings.and_then(|settings| settings.get(RESHAPINGS));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The notes after a load that left these columns, as settings keep them; `None` where there are none. `was` is `None` for a
/// first load.
pub fn note(
    before: Option<&Settings>,
    was: Option<&Schema>,
    is: &Schema,
    run: &str,
    at: DateTime<Utc>,
) -> Option<String> {
    let mut steps = was.map(|was| steps(was, is)).unwrap_or_default();
    if steps.is_empty() {
        return before?.get(RESHAPINGS).cloned();
    }
    let more = steps.len().saturating_sub(TOLD);
    steps.truncate(TOLD);
    let mut all = noted(before);
    all.push(Reshaping { at, run: run.to_owned(), steps, more });
    all.drain(..all.len().saturating_sub(KEPT));
    serde_json::to_string(&all).ok()
}

fn steps(was: &Schema, is: &Schema) -> Vec<Step> {
    let mut out = Vec::new();
    for column in &is.columns {
        let (name, to) = (column.name.clone(), column.data_type);
        match was.get(&column.name) {
            None => out.push(Step::Added { column: name, data_type: to }),
            Some(old) if old.undecided && !column.undecided => out.push(Step::Decided { column: name, data_type: to }),
            Some(old) if old.data_type != to => {
                out.push(Step::Retyped { column: name, from: old.data_type, to });
            }
            Some(_) => {}
        }
    }
    let gone = was.columns.iter().filter(|column| is.get(&column.name).is_none());
    out.extend(gone.map(|column| Step::Removed { column: column.name.clone() }));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Column;

    fn settings(text: String) -> Settings {
        Settings::from([(RESHAPINGS.to_owned(), text)])
    }

    #[test]
    fn each_load_that_changes_columns_is_noted_and_no_other() {
        let at = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let mut one = Schema::new([("id", DataType::BigInt), ("old", DataType::Text)]);
        one.columns.push(Column { name: "late".into(), data_type: DataType::Text, undecided: true });
        assert_eq!(note(None, None, &one, "r1", at), None);
        assert_eq!(note(None, Some(&one), &one, "r2", at), None);
        let two = Schema::new([("id", DataType::Double), ("late", DataType::Text), ("note", DataType::Text)]);
        let first = settings(note(None, Some(&one), &two, "r3", at).unwrap());
        let same = settings(note(Some(&first), Some(&two), &two, "r4", at).unwrap());
        assert_eq!(first, same);
        let second = settings(note(Some(&same), Some(&two), &one, "r5", at).unwrap());
        let told = noted(Some(&second));
        assert_eq!(told.iter().map(|one| one.run.as_str()).collect::<Vec<_>>(), ["r3", "r5"]);
        let expected = [
            Step::Retyped { column: "id".into(), from: DataType::BigInt, to: DataType::Double },
            Step::Decided { column: "late".into(), data_type: DataType::Text },
            Step::Added { column: "note".into(), data_type: DataType::Text },
            Step::Removed { column: "old".into() },
        ];
        assert_eq!(told[0].steps, expected);
        assert_eq!(noted(Some(&settings("no json".into()))), []);
    }

    #[test]
    fn notes_do_not_grow_for_ever() {
        let at = DateTime::UNIX_EPOCH;
        let wide = Schema::new((0..TOLD + 7).map(|n| (format!("c{n}"), DataType::Text)));
        let mut kept = settings(note(None, Some(&Schema::default()), &wide, "wide", at).unwrap());
        assert_eq!((noted(Some(&kept))[0].steps.len(), noted(Some(&kept))[0].more), (TOLD, 7));
        for n in 0..KEPT {
            let one = Schema::new([(format!("c{n}"), DataType::Text)]);
            kept = settings(note(Some(&kept), Some(&Schema::default()), &one, &format!("r{n}"), at).unwrap());
        }
        let told = noted(Some(&kept));
        assert_eq!((told.len(), told[0].run.as_str()), (KEPT, "r0"));
    }
}

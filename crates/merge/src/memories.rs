//! What changes of what is remembered of keys beside the table.
//!
//! Tombstones: key and version of hard-deleted rows, so that an older copy does not raise them (P5). And, for
//! `on_null: keep` with versions, how old a value is that is older than its row: a row which arrives late replaces exactly
//! the values that are older than its own, and every order of arrival ends in the same table (P7).

use crate::slots::{Layout, Slots};
use floodmark_core::Value;

/// What a batch changes of it. Keys and versions are in the form in which they are kept.
#[derive(Debug, Default)]
pub struct Memories {
    /// Keys that are deleted now, with their versions.
    pub buried: Vec<(String, Option<String>)>,
    /// Keys that are not deleted any more.
    pub raised: Vec<String>,
    /// Keys whose values' ages are all written anew.
    pub redated: Vec<String>,
    /// These ages: key, column, version.
    pub dated: Vec<(String, String, Option<String>)>,
}

impl Memories {
    /// What the fold left in the slots.
    pub fn of(layout: &Layout, slots: &Slots) -> Memories {
        let text = |value: &Value| (!value.is_null()).then(|| value.to_string());
        let mut out = Memories::default();
        for (n, slot) in slots.slots.iter().enumerate() {
            if slot.buried {
                let key = slots.key_text(layout, n);
                match &slot.tombstone {
                    Some(version) => out.buried.push((key, text(version))),
                    None => out.raised.push(key),
                }
            }
            if slot.redated {
                let key = slots.key_text(layout, n);
                out.dated.extend(slot.dated.iter().map(|(column, age)| (key.clone(), column.clone(), text(age))));
                out.redated.push(key);
            }
        }
        out
    }
}

//! What a run of the model reads: which files, and which of their rows the watermark lets through.

use super::{
    row::{Content, Row, Value, get, same},
    settings::{AXIS, Changed, Late, Load, Nulls, Source},
    world::{Failure, Kept, World},
};
use std::collections::{BTreeMap, BTreeSet};

/// A file to be read.
pub(super) struct Reading<'a> {
    pub(super) file: &'a str,
    pub(super) rows: &'a [Row],
    /// Seen before, so that rows behind the watermark are known.
    known: bool,
    /// Rows of it were set aside before: those behind the watermark count all the same.
    heals: bool,
}

impl Reading<'_> {
    /// Whether every row of it counts.
    pub(super) fn whole(&self) -> bool {
        !self.known || self.heals
    }
}

impl World {
    /// A file that an append loaded and that is there under another name is still that file.
    pub(super) fn rename(&mut self, disk: &BTreeMap<String, Content>) {
        if self.settings.load != Load::Append || self.settings.watermark.is_some() {
            return;
        }
        for (file, content) in disk.iter().filter(|(_, content)| !content.rows.is_empty()) {
            let was = |(old, loaded): (&String, &Option<Content>)| {
                (!disk.contains_key(old) && loaded.as_ref() == Some(content)).then(|| old.clone())
            };
            if self.ledger.contains_key(file) {
                continue;
            }
            if let Some(old) = self.ledger.iter().find_map(was) {
                let loaded = self.ledger.remove(&old).flatten();
                self.ledger.insert(file.clone(), loaded);
                let rows = self.table.iter_mut().filter(|kept| kept.file == old);
                rows.for_each(|kept| kept.file = file.clone());
            }
        }
    }

    /// Which files are read, in order of their names.
    pub(super) fn plan<'a>(
        &self,
        disk: &'a BTreeMap<String, Content>,
        replaced: &mut BTreeSet<String>,
        tails: &mut bool,
    ) -> Result<Vec<Reading<'a>>, Failure> {
        let mut out = Vec::new();
        if self.settings.source == Source::Table {
            // Without a ledger: what the watermark does not tell is read each time.
            let table = |(file, content): (&'a String, &'a Content)| Reading {
                file,
                rows: &content.rows,
                known: true,
                heals: false,
            };
            return Ok(disk.iter().map(table).collect());
        }
        for (file, content) in disk {
            let whole = Reading { file, rows: &content.rows, known: false, heals: false };
            match self.ledger.get(file) {
                None => out.push(whole),
                Some(Some(loaded)) if loaded == content => {}
                Some(_) if self.settings.watermark.is_some() => {
                    let heals = self.heals() && self.rejected.contains(file);
                    out.push(Reading { known: true, heals, ..whole });
                }
                Some(None) => out.push(whole),
                Some(Some(loaded)) => match self.settings.changed {
                    Changed::Fail => return Err(Failure::ChangedFile),
                    Changed::Reload => {
                        replaced.insert(file.clone());
                        out.push(whole);
                    }
                    Changed::Tail if content.continues(loaded) => {
                        *tails = true;
                        out.push(Reading { rows: &content.rows[loaded.rows.len()..], ..whole });
                    }
                    Changed::Tail => return Err(Failure::ChangedFile),
                },
            }
        }
        let gone = self.ledger.keys().any(|file| !disk.contains_key(file));
        if self.settings.full_read() && (gone || !out.is_empty()) {
            return Ok(disk
                .iter()
                .map(|(file, c)| Reading { file, rows: &c.rows, known: false, heals: false })
                .collect());
        }
        Ok(out)
    }

    /// Whether rows that are loaded may come again and change nothing.
    fn heals(&self) -> bool {
        match self.settings.load {
            Load::InsertOnly => true,
            Load::Upsert | Load::Scd2 => self.settings.versioned(),
            _ => false,
        }
    }

    /// Notes of a file that was read whether rows of it are set aside now.
    pub(super) fn set_aside(&mut self, file: &str, whole: bool, rejected: bool) {
        if rejected {
            self.rejected.insert(file.to_owned());
        } else if whole {
            self.rejected.remove(file);
        }
    }

    /// Whether the watermark lets a row through.
    pub(super) fn passes(
        &self,
        row: &Row,
        from: &Reading<'_>,
        met: &mut Vec<Kept>,
        late: &mut u64,
        nulls: &mut u64,
    ) -> bool {
        let Some(watermark) = &self.settings.watermark else { return true };
        let append = self.settings.load == Load::Append;
        let cursor = get(row, AXIS);
        if cursor == Value::Null {
            *nulls += 1;
            return watermark.nulls != Nulls::Exclude;
        }
        if let Some(start) = &watermark.start
            && (cursor < *start || (watermark.exclusive && cursor == *start))
        {
            return false;
        }
        let Some(mark) = &self.mark else { return true };
        if from.heals {
            return true;
        }
        let mut meet = |any_file: bool| {
            let here = |kept: &Kept| (any_file || kept.file == from.file) && same(&kept.row, row);
            let place = met.iter().position(here);
            place.map(|place| met.remove(place)).is_some()
        };
        if from.known {
            let begin = match (mark, watermark.lookback) {
                (Value::Int(mark), Some(span)) => Value::Int(mark - span),
                _ => mark.clone(),
            };
            if cursor < begin || (cursor == begin && watermark.exclusive && watermark.lookback.is_none()) {
                return false;
            }
            return !(append && cursor == *mark && meet(false));
        }
        if self.settings.late() == Late::Load {
            return true;
        }
        if cursor < *mark || (append && cursor == *mark && meet(true)) {
            *late += 1;
            return false;
        }
        true
    }
}

//! The moments of a history, beside the table: what its rows cannot say (see [`floodmark_core::history`]).

use super::{Job, memory::these};
use crate::{failure::to, literal::text, state::id};
use floodmark_connect::crash::{self, Point};
use floodmark_core::Result;
use floodmark_merge::history;
use hashbrown::HashMap;

/// Whether there are any; saves the look-up for most loads.
pub(super) struct Moments {
    any: bool,
}

impl Moments {
    pub(super) fn new(job: &Job<'_>) -> Result<Self> {
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM _floodmark_moments WHERE pipeline = {})",
            text(&job.plan.target.pipeline.name)
        );
        Ok(Moments { any: job.db.query_one(&sql).map_err(to("read the moments"))?.number(0) == Some(1) })
    }

    /// Those of each key, as they are kept.
    pub(super) fn of(&self, job: &Job<'_>, keys: &[&str]) -> Result<HashMap<String, Vec<(String, bool)>>> {
        let mut out: HashMap<String, Vec<(String, bool)>> = HashMap::new();
        for part in keys.chunks(2000).filter(|_| self.any) {
            let sql = format!(
                "SELECT `key`, `at`, deleted FROM _floodmark_moments WHERE {}",
                these(job, part.iter().copied())
            );
            for row in &job.db.query(&sql).map_err(to("read the moments"))? {
                let (key, at) = (row.text(0).unwrap_or_default(), row.text(1).unwrap_or_default());
                out.entry(key.to_owned()).or_default().push((at.to_owned(), row.number(2) == Some(1)));
            }
        }
        Ok(out)
    }

    /// Writes what changed.
    pub(super) fn write(&mut self, job: &Job<'_>, changes: history::Moments) -> Result<()> {
        let pipeline = text(&job.plan.target.pipeline.name);
        let fail = to("write the moments");
        let history::Moments { gone, new } = changes;
        for part in gone.chunks(1000) {
            let places: Vec<String> = part.iter().map(|(key, at)| format!("({}, {})", id(key), text(at))).collect();
            let sql = format!(
                "DELETE FROM _floodmark_moments WHERE pipeline = {pipeline} AND (id, `at`) IN ({})",
                places.join(", ")
            );
            crash::at(Point::Moment, || job.db.execute(&sql).map_err(&fail))?;
        }
        if !new.is_empty() {
            self.any = true;
            let values = new.iter().map(|(key, at, deleted)| {
                format!("({pipeline}, {}, {}, {}, {})", id(key), text(key), text(at), u8::from(*deleted))
            });
            crash::at(Point::Moment, || {
                job.db.with_values("INSERT INTO _floodmark_moments VALUES ", values, "").map_err(&fail)
            })?;
        }
        Ok(())
    }
}

//! The moments of a history, beside the table: what its rows cannot say (see [`floodmark_core::history`]).

use super::Job;
use crate::{failure::to, link::List, raw::Failure};
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
        let any = job
            .db
            .query_one(
                "SELECT EXISTS (SELECT 1 FROM _floodmark_moments WHERE pipeline = $1)",
                &[&job.plan.target.pipeline.name],
            )
            .and_then(|row| row.try_get(0))
            .map_err(to("read the moments"))?;
        Ok(Moments { any })
    }

    /// Those of each key, as they are kept.
    pub(super) fn of(&self, job: &Job<'_>, keys: &[&str]) -> Result<HashMap<String, Vec<(String, bool)>>> {
        let mut out: HashMap<String, Vec<(String, bool)>> = HashMap::new();
        if !self.any || keys.is_empty() {
            return Ok(out);
        }
        let fail = to("read the moments");
        let rows = job
            .db
            .query(
                "SELECT key, \"at\", deleted FROM _floodmark_moments WHERE pipeline = $1 AND key IN (SELECT unnest($2::text[]))",
                &[&job.plan.target.pipeline.name, &List(keys)],
            )
            .map_err(&fail)?;
        for row in &rows {
            let get = || -> Result<(String, String, bool), Failure> {
                Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
            };
            let (key, text, deleted) = get().map_err(&fail)?;
            out.entry(key).or_default().push((text, deleted));
        }
        Ok(out)
    }

    /// Writes what changed.
    pub(super) fn write(&mut self, job: &Job<'_>, changes: history::Moments) -> Result<()> {
        let pipeline = &job.plan.target.pipeline.name;
        let fail = to("write the moments");
        let history::Moments { gone, new } = changes;
        if !gone.is_empty() {
            let (keys, moments): (Vec<String>, Vec<String>) = gone.into_iter().unzip();
            crash::at(Point::Moment, || {
                job.db
                    .execute(
                        "DELETE FROM _floodmark_moments m USING (SELECT unnest($2::text[]) AS key, unnest($3::text[]) AS moment) g
                         WHERE m.pipeline = $1 AND m.key = g.key AND m.\"at\" = g.moment",
                        &[pipeline, &List(&keys), &List(&moments)],
                    )
                    .map_err(&fail)
            })?;
        }
        if !new.is_empty() {
            self.any = true;
            let keys: Vec<&str> = new.iter().map(|(key, ..)| key.as_str()).collect();
            let moments: Vec<&str> = new.iter().map(|(_, at, _)| at.as_str()).collect();
            let deleted: Vec<bool> = new.iter().map(|(.., deleted)| *deleted).collect();
            crash::at(Point::Moment, || {
                job.db
                    .execute(
                        "INSERT INTO _floodmark_moments SELECT $1, unnest($2::text[]), unnest($3::text[]), unnest($4::boolean[])",
                        &[pipeline, &List(&keys), &List(&moments), &List(&deleted)],
                    )
                    .map_err(&fail)
            })?;
        }
        Ok(())
    }
}

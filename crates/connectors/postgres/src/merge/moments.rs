//! What a history's rows cannot say: unchanged contents seen again, deletes where nothing stood (see
//! [`floodmark_core::history`]).

use super::{Job, history::At};
use crate::failure::to;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Result, history::Moment};
use hashbrown::HashMap;

/// The moments of some keys, and what of them is to be written.
pub(super) struct Moments {
    any: bool,
    gone: (Vec<String>, Vec<String>),
    new: (Vec<String>, Vec<String>, Vec<bool>),
}

impl Moments {
    pub(super) fn new(job: &Job<'_>) -> Result<Self> {
        let any = job
            .db
            .query_one(
                "SELECT EXISTS (SELECT FROM _floodmark_moments WHERE pipeline = $1)",
                &[&job.plan.target.pipeline.name],
            )
            .and_then(|row| row.try_get(0))
            .map_err(to("read the moments"))?;
        Ok(Moments { any, gone: Default::default(), new: Default::default() })
    }

    /// Those of each key, in their order.
    pub(super) fn of(
        &self,
        job: &Job<'_>,
        keys: &[String],
        at: impl Fn(&str) -> Result<At>,
    ) -> Result<HashMap<String, Vec<Moment<At>>>> {
        let mut out: HashMap<String, Vec<Moment<At>>> = HashMap::new();
        if !self.any || keys.is_empty() {
            return Ok(out);
        }
        let fail = to("read the moments");
        let rows = job
            .db
            .query(
                "SELECT key, at, deleted FROM _floodmark_moments WHERE pipeline = $1 AND key = ANY ($2)",
                &[&job.plan.target.pipeline.name, &keys],
            )
            .map_err(&fail)?;
        for row in &rows {
            let get = || -> Result<(String, String, bool), tokio_postgres::Error> {
                Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
            };
            let (key, text, deleted) = get().map_err(&fail)?;
            out.entry(key).or_default().push(Moment { at: at(&text)?, deleted });
        }
        out.values_mut().for_each(|moments| moments.sort());
        Ok(out)
    }

    /// Notes that the key's moments go from `before` to `after`.
    pub(super) fn replace(&mut self, key: &str, before: &[Moment<At>], after: &[Moment<At>]) {
        for gone in before.iter().filter(|m| !after.contains(m)) {
            self.gone.0.push(key.to_owned());
            self.gone.1.push(gone.at.value.to_string());
        }
        for new in after.iter().filter(|m| !before.contains(m)) {
            self.new.0.push(key.to_owned());
            self.new.1.push(new.at.value.to_string());
            self.new.2.push(new.deleted);
        }
    }

    /// Writes what was noted.
    pub(super) fn write(&mut self, job: &Job<'_>) -> Result<()> {
        let pipeline = &job.plan.target.pipeline.name;
        let fail = to("write the moments");
        let (gone, new) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.new));
        if !gone.0.is_empty() {
            crash::at(Point::Moment, || {
                job.db
                    .execute(
                        "DELETE FROM _floodmark_moments m USING unnest($2::text[], $3::text[]) g(key, at)
                         WHERE m.pipeline = $1 AND m.key = g.key AND m.at = g.at",
                        &[pipeline, &gone.0, &gone.1],
                    )
                    .map_err(&fail)
            })?;
        }
        if !new.0.is_empty() {
            self.any = true;
            crash::at(Point::Moment, || {
                job.db
                    .execute(
                        "INSERT INTO _floodmark_moments SELECT $1, * FROM unnest($2::text[], $3::text[], $4::boolean[])",
                        &[pipeline, &new.0, &new.1, &new.2],
                    )
                    .map_err(&fail)
            })?;
        }
        Ok(())
    }
}

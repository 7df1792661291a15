//! A lake of Delta tables, looked at by the protocol's own words.

use super::look::{Database, Destination, Look, settled};
use crate::{dump::quote, lake::Lake};
use std::path::Path;

const FOLDER: &str = "out.lake";

/// A folder of the project.
#[derive(Debug, Clone, Copy)]
pub struct Delta;

impl Destination for Delta {
    fn name(&self) -> &'static str {
        "delta"
    }

    fn make(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(Delta))
    }
}

impl Database for Delta {
    fn url(&self) -> String {
        format!("delta:///{FOLDER}")
    }

    /// It is a folder of the project.
    fn copy(&self) -> Result<Box<dyn Database>, String> {
        Ok(Box::new(Delta))
    }

    fn execute(&self, _: &Path, sql: &str) -> Result<(), String> {
        Err(format!("no statement changes a table of a lake: {sql}"))
    }

    /// A file that the log names and that is not there, or has other columns, is an error.
    fn look(&self, project: &Path) -> Result<Look, String> {
        let lake = Lake::new(FOLDER);
        let mut look = Look::default();
        let copy = lake.copied(project)?;
        for name in copy.tables()? {
            let mut rows = copy.query(&format!("SELECT * FROM {}", quote(&name)))?;
            settled(&mut look, &name, &mut rows);
        }
        for (name, columns) in lake.shapes(project)? {
            look.content.insert(format!("columns of {name}"), columns);
        }
        Ok(look)
    }
}

//! Objects over the wire: of servers that speak the protocols of S3 and of Azure, and of one that does what servers do when they are ill.

#![expect(clippy::unwrap_used, reason = "a helper that panics is a test that fails")]

mod ill;
mod odd;
mod stores;
mod web;

use arrow::util::pretty::pretty_format_batches;
use floodmark_connect::{ReadPlan, Source, Stop, SurveyRequest};
use floodmark_core::{Result, pipeline::FileSource};
use floodmark_files::FileSourceReader;
use floodmark_objects::Objects;

fn source(patterns: &[&str], connection: Option<&str>) -> FileSourceReader {
    let spec = FileSource { patterns: patterns.iter().map(|p| (*p).to_owned()).collect(), ..FileSource::default() };
    let connection = connection.map(|url| floodmark_core::url::ConnectionUrl::parse(url).unwrap());
    FileSourceReader::new(spec).unwrap().with_store(Box::new(Objects::new(connection)))
}

/// The rows of all slices as a table of text, and how many there are.
fn rows(source: &FileSourceReader) -> Result<(String, usize)> {
    let stop = Stop::default();
    let slices = source.slices(&Stop::default())?;
    let survey = source.survey(&slices, &SurveyRequest::default(), &stop)?;
    let plan = ReadPlan { schema: survey.schema, ..ReadPlan::default() };
    let mut batches = Vec::new();
    for slice in &slices {
        for batch in source.read(slice, &plan, &stop)? {
            batches.push(batch?.rows);
        }
    }
    let count = batches.iter().map(|batch| batch.num_rows()).sum();
    Ok((pretty_format_batches(&batches).unwrap().to_string(), count))
}

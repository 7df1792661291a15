//! MySQL and MariaDB as a source.

mod catalog;
mod horizon;
mod names;
mod reading;
mod snapshot;
mod sorted;
mod types;

use floodmark_connect::{BadRow, Batches, Range, ReadPlan, Source, Stop, Survey, SurveyRequest};
use floodmark_core::{DataType, Result, Schema, Value, pipeline::Relation, url::ConnectionUrl};
use floodmark_mysql::MysqlSource;
use floodmark_testkit::Mysql;

/// Everything that was read.
pub(crate) struct All {
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) bad: Vec<BadRow>,
    pub(crate) covered: u64,
}

pub(crate) fn source(url: &str, relation: Relation) -> MysqlSource {
    MysqlSource::new(&ConnectionUrl::parse(url).unwrap(), relation).unwrap()
}

pub(crate) fn table(database: &Mysql, name: &str) -> MysqlSource {
    source(database.url(), Relation::Table(name.to_owned()))
}

pub(crate) fn query(database: &Mysql, sql: &str) -> MysqlSource {
    source(database.url(), Relation::Query(sql.to_owned()))
}

pub(crate) fn survey(source: &MysqlSource, cursor: Option<&str>) -> Result<Survey> {
    let request = SurveyRequest { cursor: cursor.map(str::to_owned), ..SurveyRequest::default() };
    source.survey(&source.slices(&Stop::default())?, &request, &Stop::default())
}

pub(crate) fn open(source: &MysqlSource, schema: &Schema, range: Option<Range>) -> Box<dyn Batches> {
    let plan = ReadPlan { schema: schema.clone(), range, ..ReadPlan::default() };
    source.read(&source.slices(&Stop::default()).unwrap()[0], &plan, &Stop::default()).unwrap()
}

pub(crate) fn drain(batches: impl Iterator<Item = Result<floodmark_connect::Batch>>) -> Result<All> {
    let mut all = All { rows: Vec::new(), bad: Vec::new(), covered: 0 };
    for batch in batches {
        let batch = batch?;
        assert_eq!(batch.first_row, all.covered + 1);
        assert_eq!(batch.covered, (batch.rows.num_rows() + batch.bad.len()) as u64);
        all.covered += batch.covered;
        for row in 0..batch.rows.num_rows() {
            let cell = |array: &arrow::array::ArrayRef| {
                let data_type = DataType::from_arrow(array.data_type()).unwrap();
                Value::from_array(array, row, data_type).unwrap().to_string()
            };
            all.rows.push(batch.rows.columns().iter().map(cell).collect());
        }
        all.bad.extend(batch.bad);
    }
    Ok(all)
}

/// All of a source in its own types.
pub(crate) fn all(source: &MysqlSource) -> All {
    let schema = survey(source, None).unwrap().schema;
    drain(open(source, &schema, None)).unwrap()
}

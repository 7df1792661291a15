//! `delete_when`: a condition that is true, false or NULL for each row.

use crate::{
    overflow::Overflow,
    session::Session,
    unplanned::{Unplanned, caused},
};
use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    datatypes::DataType as Arrow,
};
use datafusion_common::{DFSchema, Result as Planned};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use floodmark_core::{Code, Error, Result, Schema, error::shorten};
use std::sync::Arc;

/// A condition over the columns of the table.
pub struct Condition {
    sql: String,
    expr: Arc<dyn PhysicalExpr>,
}

impl Condition {
    /// Plans `sql`, an expression over the columns of `schema`. An error when it is anything but true or false.
    pub fn new(sql: &str, schema: &Schema) -> Result<Self, Unplanned> {
        let (expr, data_type) = plan(sql, schema).map_err(|e| {
            let error = Error::new(Code::Transform, "`delete_when` is not a condition over the table's columns")
                .state("nothing was written")
                .help("write names that are not all lower-case in double quotes, text in single quotes");
            Unplanned::new(error, e)
        })?;
        if data_type != Arrow::Boolean {
            return Err(Error::new(Code::Transform, format!("`delete_when: {sql}` is {data_type}, not true or false"))
                .state("nothing was written")
                .help("write a comparison, for example op = 'D'")
                .into());
        }
        Ok(Condition { sql: sql.to_owned(), expr })
    }

    /// Which rows it holds for; NULL is no. `batch` has the schema the condition was made for.
    pub fn holds(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let value = self.expr.evaluate(batch).and_then(|v| v.into_array(batch.num_rows()));
        let value = value.map_err(|e| {
            let what = format!("`delete_when: {}` cannot be told of a row", shorten(self.sql.trim()));
            if let Some(overflow) = Overflow::behind(&e) {
                return overflow.told(what);
            }
            let error = Error::new(Code::Transform, what)
                .help("compare a column with values of its own type: one of text with text, op = '3'")
                .help("or where only some of its values are numbers: try_cast(op AS bigint) = 3");
            caused(error, e)
        })?;
        let value = value.as_boolean();
        Ok(match value.nulls() {
            None => value.clone(),
            Some(nulls) => BooleanArray::new(value.values() & nulls.inner(), None),
        })
    }
}

fn plan(sql: &str, schema: &Schema) -> Planned<(Arc<dyn PhysicalExpr>, Arrow)> {
    let session = Session::new(None)?;
    let schema = DFSchema::try_from(schema.to_arrow())?;
    let expr = session.expression(sql, &schema)?;
    let expr = create_physical_expr(&expr, &schema, session.props(), &PhysicalPlanningContext::default())?;
    let data_type = expr.data_type(schema.as_arrow())?;
    Ok((expr, data_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use floodmark_core::DataType;

    #[test]
    fn a_condition_over_null_is_no() {
        let schema = Schema::new([("Email", DataType::Text)]);
        let emails = Arc::new(StringArray::from(vec![Some("A@X"), None]));
        let batch = RecordBatch::try_new(schema.to_arrow(), vec![emails]).unwrap();
        let holds = Condition::new("\"Email\" = 'A@X'", &schema).unwrap().holds(&batch).unwrap();
        assert_eq!(holds, BooleanArray::from(vec![true, false]));
    }

    #[test]
    fn a_condition_is_true_or_false() {
        let schema = Schema::new([("id", DataType::BigInt)]);
        assert!(Condition::new("id + 1", &schema).is_err());
        assert!(Condition::new("nothing = 1", &schema).is_err());
    }
}

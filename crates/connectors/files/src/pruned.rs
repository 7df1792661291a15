//! Row groups of a Parquet file that need not be read: what its footer says of them lies outside of a range.

use crate::{exact, partitions::Partitions};
use arrow::{
    array::{Array, ArrayRef},
    datatypes::Schema as ArrowSchema,
};
use floodmark_connect::{ReadPlan, source::Range};
use floodmark_core::{DataType, Result, Value, watermark::Bounds};
use parquet::{
    arrow::arrow_reader::statistics::StatisticsConverter,
    basic::{ColumnOrder, SortOrder, Type},
    errors::ParquetError,
    file::metadata::{ParquetMetaData, RowGroupMetaData},
    schema::types::SchemaDescriptor,
};
use std::cmp::Ordering;

/// What is told of a Parquet file's row groups without reading them.
#[derive(Clone, Copy)]
pub struct Footer<'f> {
    /// As it stands in the file.
    pub metadata: &'f ParquetMetaData,
    /// The file's columns.
    pub schema: &'f ArrowSchema,
}

impl Footer<'_> {
    /// By row group, whether it may hold a row of a range whose column is planned to be of a type. `None` where nothing can
    /// be told: all of them may.
    #[must_use]
    pub fn may_hold(&self, range: &Range, planned: DataType) -> Option<Vec<bool>> {
        let before = self.edge(range, planned, Edge::Highest, |highest| lies_before(highest, &range.bounds))?;
        let behind = self.edge(range, planned, Edge::Lowest, |lowest| lies_behind(lowest, &range.bounds))?;
        let leaf = self.leaf(&range.column)?;
        let groups = self.metadata.row_groups().iter().zip(before.into_iter().zip(behind));
        let outside = groups
            .map(|(group, (before, behind))| (before || behind) && (!range.nulls || nulls(group, leaf) == Some(0)));
        Some(outside.map(|outside| !outside).collect())
    }

    /// By row group, whether what is known of one end of the column's values says something. It does not where that end is not
    /// known, or not in the planned type.
    fn edge(&self, range: &Range, planned: DataType, edge: Edge, says: impl Fn(&Value) -> bool) -> Option<Vec<bool>> {
        let leaf = self.leaf(&range.column)?;
        let field = self.schema.field_with_name(&range.column).ok()?;
        if !keeps_order(DataType::from_arrow(field.data_type())?, planned) || !self.ordered(leaf) {
            return None;
        }
        let groups = self.metadata.row_groups();
        let converter = StatisticsConverter::try_new(&range.column, self.schema, self.columns()).ok()?;
        let found: Result<ArrayRef, ParquetError> = match edge {
            Edge::Lowest => converter.row_group_mins(groups),
            Edge::Highest => converter.row_group_maxes(groups),
        };
        let (values, lost) = exact::convert(&found.ok()?, planned).ok()?;
        let told = |(n, group): (usize, &RowGroupMetaData)| {
            let known = group.column(leaf).statistics().is_some_and(|s| !s.is_min_max_deprecated());
            if !known || values.is_null(n) || lost.contains(&n) {
                return false;
            }
            Value::from_array(values.as_ref(), n, planned).is_ok_and(|value| says(&value))
        };
        Some(groups.iter().enumerate().map(told).collect())
    }

    fn columns(&self) -> &SchemaDescriptor {
        self.metadata.file_metadata().schema_descr()
    }

    /// Whether the writer's order of values is the one that is defined for the type. Of 96-bit timestamps none is.
    fn ordered(&self, leaf: usize) -> bool {
        let order = self.metadata.file_metadata().column_order(leaf);
        let defined = matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(order) if order != SortOrder::UNDEFINED);
        defined && self.columns().column(leaf).physical_type() != Type::INT96
    }

    /// Where a column that holds single values is kept.
    fn leaf(&self, name: &str) -> Option<usize> {
        StatisticsConverter::try_new(name, self.schema, self.columns()).ok()?.parquet_column_index()
    }
}

#[derive(Clone, Copy)]
enum Edge {
    Lowest,
    Highest,
}

/// By row group, whether it may hold rows that are wanted. `None` where nothing can be told: all of them may.
///
/// One is left out only where every row of it is known to lie before the range, and none of them is known, or may be, to lack
/// a value that makes a row bad: that is to be told wherever it lies.
pub(crate) fn wanted(
    footer: Footer<'_>,
    plan: &ReadPlan,
    partitions: &Partitions,
    name: &str,
) -> Result<Option<Vec<bool>>> {
    let Some((range, planned)) = plan.range.as_ref().and_then(|r| Some((r, plan.schema.get(&r.column)?.data_type)))
    else {
        return Ok(None);
    };
    let before = match partitions.value(&range.column, planned, name)? {
        // One value for all rows, as the file's path has it.
        Some(Value::Null) if range.nulls => return Ok(None),
        Some(value) => {
            let before = value == Value::Null || lies_before(&value, &range.bounds);
            Some(vec![before; footer.metadata.num_row_groups()])
        }
        None => footer.edge(range, planned, Edge::Highest, |highest| lies_before(highest, &range.bounds)),
    };
    Ok(before.and_then(|before| whole(footer, plan, range, before, partitions)))
}

/// Row groups that do not lie before the range, or in which a value may be missing.
fn whole(
    footer: Footer<'_>,
    plan: &ReadPlan,
    range: &Range,
    before: Vec<bool>,
    partitions: &Partitions,
) -> Option<Vec<bool>> {
    let of_file = |name: &str| !partitions.names(name);
    let required = plan.required.iter().map(|(name, _)| name).filter(|name| of_file(name));
    let required = required.map(|name| footer.leaf(name)).collect::<Option<Vec<usize>>>()?;
    let cursor = (range.nulls && of_file(&range.column)).then(|| footer.leaf(&range.column)).into_iter().flatten();
    let whole: Vec<usize> = required.into_iter().chain(cursor).collect();
    let groups = footer.metadata.row_groups().iter().zip(before);
    let left_out = groups.map(|(group, before)| before && whole.iter().all(|leaf| nulls(group, *leaf) == Some(0)));
    Some(left_out.map(|out| !out).collect())
}

fn lies_before(value: &Value, bounds: &Bounds) -> bool {
    match bounds.from.as_ref().and_then(|from| value.compare(from)) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => bounds.exclusive,
        _ => false,
    }
}

fn lies_behind(value: &Value, bounds: &Bounds) -> bool {
    let is = |bound: &Option<Value>| bound.as_ref().and_then(|bound| value.compare(bound));
    is(&bounds.until) == Some(Ordering::Greater)
        || matches!(is(&bounds.before), Some(Ordering::Greater | Ordering::Equal))
}

/// Whether of two values the greater one is not the lesser in the planned type. A double may be NaN, of which statistics say
/// nothing; 9 comes after 10 as text.
fn keeps_order(own: DataType, planned: DataType) -> bool {
    use DataType::{BigInt, Date, Decimal, Double, Timestamp, TimestampTz};
    let alike = matches!(
        (own, planned),
        (BigInt | Decimal(..), BigInt | Decimal(..))
            | (Date | Timestamp { .. }, Date | Timestamp { .. })
            | (TimestampTz { .. }, TimestampTz { .. })
    );
    (own == planned || alike) && own != Double
}

/// How many rows of a group have no value in a column, where that is known.
fn nulls(group: &RowGroupMetaData, leaf: usize) -> Option<u64> {
    let column = group.column(leaf);
    if column.column_descr().max_def_level() == 0 {
        return Some(0);
    }
    column.statistics()?.null_count_opt()
}

//! Row groups of a Parquet file that need not be read: what its footer says of them lies before a range.

use crate::{bytes::Bytes, exact, partitions::Partitions};
use floodmark_connect::{ReadPlan, source::Range};
use floodmark_core::{DataType, Result, Value, watermark::Bounds};
use parquet::{
    arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, statistics::StatisticsConverter},
    basic::{ColumnOrder, SortOrder, Type},
    file::metadata::RowGroupMetaData,
};
use std::cmp::Ordering;

type Builder = ParquetRecordBatchReaderBuilder<Bytes>;

/// By row group, whether it may hold rows that are wanted. `None` where nothing can be told: all of them may.
///
/// One is left out only where every row of it is known to lie before the range, and none of them is known, or may be, to lack
/// a value that makes a row bad: that is to be told wherever it lies.
pub(crate) fn wanted(
    builder: &Builder,
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
            Some(vec![before; builder.metadata().num_row_groups()])
        }
        None => before(builder, range, planned),
    };
    Ok(before.and_then(|before| whole(builder, plan, range, before, partitions)))
}

/// Row groups that do not lie before the range, or in which a value may be missing.
fn whole(
    builder: &Builder,
    plan: &ReadPlan,
    range: &Range,
    before: Vec<bool>,
    partitions: &Partitions,
) -> Option<Vec<bool>> {
    let of_file = |name: &str| !partitions.names(name);
    let required = plan.required.iter().map(|(name, _)| name).filter(|name| of_file(name));
    let required = required.map(|name| leaf(builder, name)).collect::<Option<Vec<usize>>>()?;
    let cursor = (range.nulls && of_file(&range.column)).then(|| leaf(builder, &range.column)).into_iter().flatten();
    let whole: Vec<usize> = required.into_iter().chain(cursor).collect();
    let groups = builder.metadata().row_groups().iter().zip(before);
    let left_out = groups.map(|(group, before)| before && whole.iter().all(|leaf| nulls(group, *leaf) == Some(0)));
    Some(left_out.map(|out| !out).collect())
}

/// By row group, whether all values of the range's column lie before it.
fn before(builder: &Builder, range: &Range, planned: DataType) -> Option<Vec<bool>> {
    let leaf = leaf(builder, &range.column)?;
    let field = builder.schema().field_with_name(&range.column).ok()?;
    if !keeps_order(DataType::from_arrow(field.data_type())?, planned) || !ordered(builder, leaf) {
        return None;
    }
    let groups = builder.metadata().row_groups();
    let converter = StatisticsConverter::try_new(&range.column, builder.schema(), builder.parquet_schema()).ok()?;
    let (highest, lost) = exact::convert(&converter.row_group_maxes(groups).ok()?, planned).ok()?;
    let told = |(n, group): (usize, &RowGroupMetaData)| {
        let known = group.column(leaf).statistics().is_some_and(|s| !s.is_min_max_deprecated());
        if !known || highest.is_null(n) || lost.contains(&n) {
            return false;
        }
        Value::from_array(highest.as_ref(), n, planned).is_ok_and(|highest| lies_before(&highest, &range.bounds))
    };
    Some(groups.iter().enumerate().map(told).collect())
}

fn lies_before(value: &Value, bounds: &Bounds) -> bool {
    match bounds.from.as_ref().and_then(|from| value.compare(from)) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => bounds.exclusive,
        _ => false,
    }
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

/// Whether the writer's order of values is the one that is defined for the type. Of 96-bit timestamps none is.
fn ordered(builder: &Builder, leaf: usize) -> bool {
    let order = builder.metadata().file_metadata().column_order(leaf);
    let defined = matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(order) if order != SortOrder::UNDEFINED);
    defined && builder.parquet_schema().column(leaf).physical_type() != Type::INT96
}

/// Where a column that holds single values is kept.
fn leaf(builder: &Builder, name: &str) -> Option<usize> {
    StatisticsConverter::try_new(name, builder.schema(), builder.parquet_schema()).ok()?.parquet_column_index()
}

/// How many rows of a group have no value in a column, where that is known.
fn nulls(group: &RowGroupMetaData, leaf: usize) -> Option<u64> {
    let column = group.column(leaf);
    if column.column_descr().max_def_level() == 0 {
        return Some(0);
    }
    column.statistics()?.null_count_opt()
}

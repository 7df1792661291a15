//! Joins: by hash where columns are equal, otherwise row by row.

use crate::{
    physical::{Physical, Plan},
    session::SOURCE,
};
use arrow::datatypes::Schema;
use datafusion_common::{
    DFSchema, JoinType, Result,
    tree_node::{TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{Expr, LogicalPlan, logical_plan::Join};
use datafusion_physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode,
    utils::{JoinFilter, JoinOn},
};
use std::{collections::HashMap, sync::Arc};

/// How often `plan` reads the table `source`.
pub(crate) fn times_read(plan: &LogicalPlan) -> Result<usize> {
    let mut times = 0;
    plan.apply(|node| {
        times += usize::from(matches!(node, LogicalPlan::TableScan(scan) if scan.table_name.table() == SOURCE));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(times)
}

impl Physical<'_> {
    pub(crate) fn join(&self, join: &Join) -> Result<Plan> {
        let (left, right) = (self.plan(&join.left)?, self.plan(&join.right)?);
        let (over_left, over_right) = (join.left.schema(), join.right.schema());
        let on = join
            .on
            .iter()
            .map(|(l, r)| Ok((self.expr(l, over_left)?, self.expr(r, over_right)?)))
            .collect::<Result<JoinOn>>()?;
        let filter = match &join.filter {
            Some(filter) => Some(self.join_filter(filter, (over_left, &left), (over_right, &right))?),
            None => None,
        };
        // The left side is held in memory, the right one streams and gives the order of rows: that is to be `source`.
        let turn = !join.null_aware && times_read(&join.left)? > 0 && times_read(&join.right)? == 0;
        if on.is_empty() && filter.is_none() && join.join_type == JoinType::Inner {
            let cross = CrossJoinExec::new(left, right);
            return if turn { cross.swap_inputs() } else { Ok(Arc::new(cross)) };
        }
        if on.is_empty() {
            let nested = NestedLoopJoinExec::try_new(left, right, filter, &join.join_type, None)?;
            return if turn { nested.swap_inputs() } else { Ok(Arc::new(nested)) };
        }
        let hash = HashJoinExec::try_new(
            left,
            right,
            on,
            filter,
            &join.join_type,
            None,
            PartitionMode::CollectLeft,
            join.null_equality,
            join.null_aware,
        )?;
        if turn { hash.swap_inputs(PartitionMode::CollectLeft) } else { Ok(Arc::new(hash)) }
    }

    /// A condition over both sides, as a condition over just the columns that it names.
    fn join_filter(&self, filter: &Expr, left: (&DFSchema, &Plan), right: (&DFSchema, &Plan)) -> Result<JoinFilter> {
        let named = filter.column_refs();
        let used = |schema: &DFSchema| {
            let mut at = named.iter().filter_map(|c| schema.maybe_index_of_column(c)).collect::<Vec<_>>();
            at.sort_unstable();
            at
        };
        let (from_left, from_right) = (used(left.0), used(right.0));
        let (mut logical, mut physical) = (Vec::new(), Vec::new());
        for ((schema, plan), columns) in [(left, &from_left), (right, &from_right)] {
            for &at in columns {
                let (table, field) = schema.qualified_field(at);
                logical.push((table.cloned(), field.clone()));
                physical.push(plan.schema().field(at).clone());
            }
        }
        let expr = self.expr(filter, &DFSchema::new_with_metadata(logical, HashMap::new())?)?;
        let columns = JoinFilter::build_column_indices(from_left, from_right);
        Ok(JoinFilter::new(expr, columns, Arc::new(Schema::new(physical))))
    }
}

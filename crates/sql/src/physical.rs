//! From a logical plan to operators that run on one partition, in the order of their input.

use crate::{
    feed::{Constant, InTurn, reader},
    session::{SOURCE, Session},
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion_common::{DFSchema, DFSchemaRef, Result, ScalarValue, internal_err, not_impl_err, plan_err};
use datafusion_expr::{
    Expr, GroupingSet, LogicalPlan, WindowFrame, WindowFrameBound,
    expr::{NullTreatment, WindowFunction, physical_name},
    logical_plan::{Aggregate, EmptyRelation, FetchType, Limit, Projection, SkipType, Unnest},
    physical_planning_context::PhysicalPlanningContext,
};
use datafusion_physical_expr::{
    LexOrdering, PhysicalExpr, PhysicalSortExpr, aggregate::LoweredAggregateBuilder, create_physical_expr,
    create_physical_exprs, create_physical_sort_exprs, expressions::Literal, window::WindowExpr,
};
use datafusion_physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, InputOrderMode,
    aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy},
    empty::EmptyExec,
    filter::FilterExec,
    limit::GlobalLimitExec,
    placeholder_row::PlaceholderRowExec,
    projection::{ProjectionExec, ProjectionExpr},
    sorts::sort::SortExec,
    streaming::PartitionStream,
    unnest::{ListUnnest, UnnestExec},
    windows::{BoundedWindowAggExec, WindowAggExec, create_window_expr},
};
use std::sync::Arc;

/// A CUBE has as many sets as two to the power of its columns; each row is grouped in all of them.
const MOST_OF_A_CUBE: usize = 12;

/// An operator and what it reads.
pub(crate) type Plan = Arc<dyn ExecutionPlan>;

/// Makes operators of an optimised logical plan.
pub(crate) struct Physical<'a> {
    pub(crate) session: &'a Session,
    /// The rows of the table `source`.
    pub(crate) source: Arc<dyn PartitionStream>,
    /// Nothing in it: subqueries are joins by now.
    context: PhysicalPlanningContext,
}

impl<'a> Physical<'a> {
    pub(crate) fn new(session: &'a Session, source: Arc<dyn PartitionStream>) -> Self {
        Physical { session, source, context: PhysicalPlanningContext::default() }
    }

    /// The operators for `plan`, an output of [`Session::query`].
    pub(crate) fn plan(&self, plan: &LogicalPlan) -> Result<Plan> {
        match plan {
            LogicalPlan::TableScan(scan) if scan.table_name.table() == SOURCE => {
                if !scan.filters.is_empty() {
                    return internal_err!("a filter was left to the table `source`, which gives every row");
                }
                reader(self.source.clone(), scan.projection.as_ref(), scan.fetch)
            }
            LogicalPlan::Values(values) => self.values(&values.values, &values.schema),
            LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema }) => {
                Ok(Arc::new(PlaceholderRowExec::new(schema.inner().clone())))
            }
            LogicalPlan::EmptyRelation(empty) => Ok(Arc::new(EmptyExec::new(empty.schema.inner().clone()))),
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Projection(Projection { expr, input, schema, .. }) => {
                self.project(expr, self.plan(input)?, input.schema(), schema)
            }
            LogicalPlan::Filter(filter) => {
                let predicate = self.expr(&filter.predicate, filter.input.schema())?;
                Ok(Arc::new(FilterExec::try_new(predicate, self.plan(&filter.input)?)?))
            }
            LogicalPlan::Sort(sort) => {
                let keys = self.sort_exprs(&sort.expr, sort.input.schema())?;
                let input = self.plan(&sort.input)?;
                Ok(match LexOrdering::new(keys) {
                    Some(keys) => Arc::new(SortExec::new(keys, input).with_fetch(sort.fetch)),
                    None => input,
                })
            }
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => {
                let input = self.plan(&window.input)?;
                let schema = window.input.schema();
                let exprs = window.window_expr.iter().map(|e| self.window(e, schema)).collect::<Result<Vec<_>>>()?;
                if exprs.iter().all(|e| e.uses_bounded_memory()) {
                    let input = sorted(input, |input| {
                        BoundedWindowAggExec::try_new(exprs.clone(), input, InputOrderMode::Sorted, false)
                    })?;
                    return Ok(Arc::new(BoundedWindowAggExec::try_new(exprs, input, InputOrderMode::Sorted, false)?));
                }
                let input = sorted(input, |input| WindowAggExec::try_new(exprs.clone(), input, false))?;
                Ok(Arc::new(WindowAggExec::try_new(exprs, input, false)?))
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|i| self.plan(i)).collect::<Result<Vec<_>>>()?;
                reader(Arc::new(InTurn::new(union.schema.inner().clone(), inputs)), None, None)
            }
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            other => not_impl_err!("this in a transform: {}", other.display()),
        }
    }

    pub(crate) fn expr(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        create_physical_expr(expr, schema, self.session.props(), &self.context)
    }

    fn exprs(&self, exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        create_physical_exprs(exprs, schema, self.session.props(), &self.context)
    }

    fn sort_exprs(&self, exprs: &[datafusion_expr::SortExpr], schema: &DFSchema) -> Result<Vec<PhysicalSortExpr>> {
        create_physical_sort_exprs(exprs, schema, self.session.props(), &self.context)
    }

    /// VALUES: each cell is worked out now.
    fn values(&self, rows: &[Vec<Expr>], schema: &DFSchemaRef) -> Result<Plan> {
        let empty = DFSchema::empty();
        let nothing = RecordBatch::try_new_with_options(
            empty.inner().clone(),
            vec![],
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        let mut columns = vec![Vec::with_capacity(rows.len()); schema.fields().len()];
        for row in rows {
            for (cell, column) in row.iter().zip(&mut columns) {
                let cell = self.expr(cell, &empty)?.evaluate(&nothing)?.into_array(1)?;
                column.push(ScalarValue::try_from_array(&cell, 0)?);
            }
        }
        let columns = columns.into_iter().map(ScalarValue::iter_to_array).collect::<Result<Vec<_>>>()?;
        let rows = RecordBatch::try_new(schema.inner().clone(), columns)?;
        reader(Arc::new(Constant::new(rows)), None, None)
    }

    /// `exprs` over the rows of `input`, whose logical schema is `over`.
    fn project(&self, exprs: &[Expr], input: Plan, over: &DFSchema, schema: &DFSchema) -> Result<Plan> {
        let exprs = exprs
            .iter()
            .map(|e| {
                // A column keeps the name it came with, which for one worked out below holds no table's name.
                let known = match e {
                    Expr::Column(column) => over.maybe_index_of_column(column),
                    _ => None,
                };
                let alias = match known {
                    Some(at) => input.schema().field(at).name().clone(),
                    None => physical_name(e)?,
                };
                Ok(ProjectionExpr { expr: self.expr(e, over)?, alias })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new_with_schema_metadata(exprs, input, schema.as_arrow())?))
    }

    fn limit(&self, limit: &Limit) -> Result<Plan> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return plan_err!("LIMIT and OFFSET are numbers");
        };
        Ok(Arc::new(GlobalLimitExec::new(self.plan(&limit.input)?, skip, fetch)))
    }

    fn unnest(&self, unnest: &Unnest) -> Result<Plan> {
        let lists = unnest
            .list_type_columns
            .iter()
            .map(|(index, list)| ListUnnest { index_in_input_schema: *index, depth: list.depth })
            .collect();
        Ok(Arc::new(UnnestExec::new(
            self.plan(&unnest.input)?,
            lists,
            unnest.struct_type_columns.clone(),
            unnest.schema.inner().clone(),
            unnest.options.clone(),
        )?))
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<Plan> {
        let input = self.plan(&aggregate.input)?;
        let over = aggregate.input.schema();
        let schema = input.schema();
        let groups = self.groups(&aggregate.group_expr, over, &schema)?;
        let (mut exprs, mut filters) = (Vec::new(), Vec::new());
        for expr in &aggregate.aggr_expr {
            let lowered =
                LoweredAggregateBuilder::new(expr, over, &schema, self.session.props(), &self.context).build()?;
            exprs.push(lowered.aggregate);
            filters.push(lowered.filter);
        }
        let make = |input: Plan| {
            AggregateExec::try_new(
                AggregateMode::Single,
                groups.clone(),
                exprs.clone(),
                filters.clone(),
                input,
                schema.clone(),
            )
        };
        // An aggregate with an ORDER BY of its own wants its rows in that order.
        Ok(Arc::new(make(sorted(input, make)?)?))
    }

    /// GROUP BY. ROLLUP, CUBE and GROUPING SETS are lists of sets; a column that is not in a set is NULL there.
    fn groups(&self, exprs: &[Expr], over: &DFSchema, schema: &SchemaRef) -> Result<PhysicalGroupBy> {
        let named = |e: &Expr| Ok((self.expr(e, over)?, physical_name(e)?));
        let [Expr::GroupingSet(set)] = exprs else {
            if exprs.is_empty() {
                return Ok(PhysicalGroupBy::new(vec![], vec![], vec![], false));
            }
            return Ok(PhysicalGroupBy::new_single(exprs.iter().map(named).collect::<Result<Vec<_>>>()?));
        };
        let (all, sets) = grouping_sets(set)?;
        let present = all.iter().map(|e| named(e)).collect::<Result<Vec<_>>>()?;
        let mut absent = Vec::with_capacity(present.len());
        for (expr, name) in &present {
            let null: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::try_from(&expr.data_type(schema)?)?));
            absent.push((null, name.clone()));
        }
        let masks = sets.iter().map(|set| all.iter().map(|e| !set.contains(e)).collect()).collect();
        Ok(PhysicalGroupBy::new(present, absent, masks, true))
    }

    fn window(&self, expr: &Expr, over: &DFSchema) -> Result<Arc<dyn WindowExpr>> {
        let (name, expr) = match expr {
            Expr::Alias(alias) => (alias.name.clone(), alias.expr.as_ref()),
            other => (other.schema_name().to_string(), other),
        };
        let Expr::WindowFunction(function) = expr else {
            return plan_err!("{expr} is no window function");
        };
        let WindowFunction { fun, params } = function.as_ref();
        if !possible(&params.window_frame) {
            return plan_err!("the window frame of {name} ends before it starts");
        }
        create_window_expr(
            fun,
            name,
            &self.exprs(&params.args, over)?,
            &self.exprs(&params.partition_by, over)?,
            &self.sort_exprs(&params.order_by, over)?,
            Arc::new(params.window_frame.clone()),
            over.inner().clone(),
            params.null_treatment == Some(NullTreatment::IgnoreNulls),
            params.distinct,
            params.filter.as_ref().map(|f| self.expr(f, over)).transpose()?,
        )
    }
}

/// `input`, sorted as the operator that `make` makes of it demands.
fn sorted<O: ExecutionPlan>(input: Plan, make: impl Fn(Plan) -> Result<O>) -> Result<Plan> {
    let demanded = make(input.clone())?.required_input_ordering().into_iter().next().flatten();
    let Some(demanded) = demanded else { return Ok(input) };
    let demanded = demanded.into_single();
    if input.equivalence_properties().ordering_satisfy_requirement(demanded.clone())? {
        return Ok(input);
    }
    Ok(Arc::new(SortExec::new(LexOrdering::from(demanded), input)))
}

/// Whether a frame can hold a row.
fn possible(frame: &WindowFrame) -> bool {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    match (&frame.start_bound, &frame.end_bound) {
        (Following(_), Preceding(_) | CurrentRow) | (CurrentRow, Preceding(_)) => false,
        // NULL is as far as there are rows.
        (Preceding(from), Preceding(to)) => !to.is_null() && (from.is_null() || from >= to),
        (Following(from), Following(to)) => !from.is_null() && (to.is_null() || from <= to),
        _ => true,
    }
}

/// Every expression that is grouped by, once, and the sets of them.
fn grouping_sets(set: &GroupingSet) -> Result<(Vec<&Expr>, Vec<Vec<&Expr>>)> {
    let sets: Vec<Vec<&Expr>> = match set {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|s| s.iter().collect()).collect(),
        GroupingSet::Rollup(exprs) => (0..=exprs.len()).map(|n| exprs[..n].iter().collect()).collect(),
        GroupingSet::Cube(exprs) if exprs.len() > MOST_OF_A_CUBE => {
            return plan_err!("CUBE of more than {MOST_OF_A_CUBE} columns");
        }
        GroupingSet::Cube(exprs) => (0..1usize << exprs.len())
            .map(|bits| exprs.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, e)| e).collect())
            .collect(),
    };
    let mut all = Vec::new();
    for expr in sets.iter().flatten() {
        if !all.contains(expr) {
            all.push(*expr);
        }
    }
    Ok((all, sets))
}

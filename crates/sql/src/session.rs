//! From text to an optimised logical plan, with every function a statement may call.

use crate::{checked::Checking, sum::Sum, unplanned::Refused};
use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, Utc};
use datafusion_common::{
    DFSchema, Result, TableReference, alias::AliasGenerator, config::ConfigOptions, tree_node::TreeNode,
};
use datafusion_execution::{TaskContext, config::SessionConfig};
use datafusion_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableProviderFilterPushDown, TableSource, WindowUDF,
    execution_props::ExecutionProps,
    expr_rewriter::FunctionRewrite,
    planner::{ContextProvider, ExprPlanner},
    registry::{FunctionRegistry, MemoryFunctionRegistry},
    simplify::SimplifyContext,
};
use datafusion_optimizer::{
    Analyzer, Optimizer, OptimizerConfig, analyzer::function_rewrite::ApplyFunctionRewrites,
    simplify_expressions::ExprSimplifier,
};
use datafusion_sql::{
    parser::{DFParserBuilder, Statement},
    planner::{ParserOptions, PlannerContext, SqlToRel},
    sqlparser::{ast, dialect::GenericDialect},
};
use std::{collections::HashMap, sync::Arc};

/// The table a statement reads.
pub(crate) const SOURCE: &str = "source";

/// One planning: its functions, its options, its moment.
pub(crate) struct Session {
    /// The table `source`, where there is one.
    source: Option<SchemaRef>,
    config: SessionConfig,
    props: ExecutionProps,
    started: DateTime<Utc>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    scalar: HashMap<String, Arc<ScalarUDF>>,
    lambda: HashMap<String, Arc<HigherOrderUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
    /// The aggregates once more, as the optimiser asks for them.
    registry: MemoryFunctionRegistry,
}

/// Functions by each name they have.
fn named<F>(functions: Vec<Arc<F>>, names: impl Fn(&F) -> (String, Vec<String>)) -> HashMap<String, Arc<F>> {
    let mut by_name = HashMap::new();
    for function in functions {
        let (name, aliases) = names(&function);
        for name in aliases.into_iter().chain([name]) {
            by_name.insert(name, function.clone());
        }
    }
    by_name
}

impl Session {
    /// A session in which the table `source` has the columns of `source`.
    pub(crate) fn new(source: Option<SchemaRef>) -> Result<Self> {
        // One partition keeps the order of rows: which of two rows came later may decide which one wins.
        let mut config = SessionConfig::new().with_target_partitions(1);
        // A subquery that gives one value becomes a join, which every plan can hold.
        config.options_mut().optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        let started = Utc::now();
        let mut props = ExecutionProps::new().with_query_execution_start_time(started);
        props.config_options = Some(config.options().clone());

        let mut scalar = datafusion_functions::all_default_functions();
        scalar.extend(datafusion_functions_nested::all_default_nested_functions());
        let mut aggregates = datafusion_functions_aggregate::all_default_aggregate_functions();
        let sum = Arc::new(AggregateUDF::from(Sum::default()));
        aggregates.iter_mut().filter(|f| f.name() == sum.name()).for_each(|f| *f = sum.clone());
        let mut registry = MemoryFunctionRegistry::new();
        for aggregate in &aggregates {
            registry.register_udaf(aggregate.clone())?;
        }
        Ok(Session {
            source,
            config,
            props,
            started,
            planners: vec![
                Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
                Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
                Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
                Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
                Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
                Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
                Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
            ],
            scalar: named(scalar, |f| (f.name().to_owned(), f.aliases().to_vec())),
            lambda: named(datafusion_functions_nested::all_default_higher_order_functions(), |f| {
                (f.name().to_owned(), f.aliases().to_vec())
            }),
            aggregate: named(aggregates, |f| (f.name().to_owned(), f.aliases().to_vec())),
            window: named(datafusion_functions_window::all_default_window_functions(), |f| {
                (f.name().to_owned(), f.aliases().to_vec())
            }),
            registry,
        })
    }

    pub(crate) fn config(&self) -> &ConfigOptions {
        self.config.options()
    }

    pub(crate) fn props(&self) -> &ExecutionProps {
        &self.props
    }

    /// What operators run in.
    pub(crate) fn task(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::default().with_session_config(self.config.clone()))
    }

    fn translator(&self) -> SqlToRel<'_, Self> {
        let sql = &self.config().sql_parser;
        let options = ParserOptions {
            parse_float_as_decimal: sql.parse_float_as_decimal,
            enable_ident_normalization: sql.enable_ident_normalization,
            support_varchar_with_length: sql.support_varchar_with_length,
            enable_options_value_normalization: sql.enable_options_value_normalization,
            collect_spans: sql.collect_spans,
            map_string_types_to_utf8view: sql.map_string_types_to_utf8view,
            default_null_ordering: sql.default_null_ordering.as_str().into(),
        };
        SqlToRel::new_with_options(self, options)
    }

    /// The optimised plan of one reading statement.
    pub(crate) fn query(&self, sql: &str) -> Result<LogicalPlan> {
        let mut analyzer = Analyzer::new();
        // Last: only where types match already can it be told which operations are on whole numbers.
        analyzer.rules.push(Arc::new(ApplyFunctionRewrites::new(vec![Arc::new(Checking)])));
        let plan = analyzer.execute_and_check(self.as_written(sql)?, self.config(), |_, _| {})?;
        Optimizer::new().optimize(plan, self, |_, _| {})
    }

    /// The plan of one reading statement with nothing folded away: a transform has no business changing anything.
    pub(crate) fn as_written(&self, sql: &str) -> Result<LogicalPlan> {
        let mut statements = DFParserBuilder::new(sql).with_dialect(&GenericDialect {}).build()?.parse_statements()?;
        let query = match (statements.pop_front(), statements.is_empty()) {
            (Some(Statement::Statement(s)), true) if matches!(*s, ast::Statement::Query(_)) => *s,
            (None, _) => return Err(Refused::because("there is no statement")),
            (_, false) => return Err(Refused::because("there is more than one statement")),
            _ => return Err(Refused::because("the statement is not a SELECT")),
        };
        self.translator().sql_statement_to_plan(query)
    }

    /// An expression over the columns of `schema`, its types made to match.
    pub(crate) fn expression(&self, sql: &str, schema: &DFSchema) -> Result<Expr> {
        let parsed = DFParserBuilder::new(sql).with_dialect(&GenericDialect {}).build()?.parse_into_expr()?;
        let expr = self.translator().sql_to_expr_with_alias(parsed, schema, &mut PlannerContext::new())?;
        let simplify = SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(self.config.options().clone())
            .with_query_execution_start_time(Some(self.started))
            .build();
        let expr = ExprSimplifier::new(simplify).coerce(expr, schema)?;
        Ok(expr.transform_up(|part| Checking.rewrite(part, schema, self.config()))?.data)
    }
}

/// The table `source`: it gives all of its rows, so every filter stays an operator above it.
struct Streamed(SchemaRef);

impl TableSource for Streamed {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }
}

impl ContextProvider for Session {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match &self.source {
            Some(schema) if name.schema().is_none() && name.table() == SOURCE => Ok(Arc::new(Streamed(schema.clone()))),
            _ => Err(Refused::table(&name.to_string())),
        }
    }

    fn get_table_function_source(&self, name: &str, _args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        Err(Refused::because(format!("there is no table function {name:?}")))
    }

    fn create_cte_work_table(&self, _name: &str, _schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Err(Refused::because("WITH RECURSIVE is not supported"))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.lambda.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.window.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.config()
    }

    fn udf_names(&self) -> Vec<String> {
        self.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.lambda.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.window.keys().cloned().collect()
    }
}

impl OptimizerConfig for Session {
    fn query_execution_start_time(&self) -> Option<DateTime<Utc>> {
        Some(self.started)
    }

    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        &self.props.alias_generator
    }

    fn options(&self) -> Arc<ConfigOptions> {
        self.config.options().clone()
    }

    fn function_registry(&self) -> Option<&dyn FunctionRegistry> {
        Some(&self.registry)
    }
}

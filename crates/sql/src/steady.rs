//! What in a statement can make two runs over the same rows end differently.

use crate::session::Session;
use datafusion_common::{
    DFSchema, Result as Planned,
    tree_node::{TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{Expr, LogicalPlan, Volatility, WindowFunctionDefinition};
use floodmark_core::Schema;
use std::collections::BTreeSet;

/// Aggregates that take the first or the last row, or keep all of them in a row.
const BY_ORDER: &[&str] = &["array_agg", "first_value", "last_value", "nth_value", "string_agg"];

/// Parts of a statement, as they would be written: `random()`, `row_number() OVER (…)`. In the order of the alphabet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsteady {
    /// Functions that give something else at another time.
    pub by_time: BTreeSet<String>,
    /// What depends on the order rows arrive in.
    pub by_order: BTreeSet<String>,
    /// What looks at several rows at once, and so at those alone that a run happens to read.
    pub by_company: BTreeSet<String>,
}

impl Unsteady {
    /// Of a transform over a source of these columns. What cannot be planned has nothing to say.
    pub fn transform(sql: &str, source: &Schema) -> Unsteady {
        let mut found = Unsteady::default();
        let planned = Session::new(Some(source.to_arrow())).and_then(|session| session.as_written(sql));
        if let Ok(plan) = planned {
            // Looking fails at nothing.
            drop(found.plan(&plan));
        }
        found
    }

    /// Of a `delete_when` over a table of these columns.
    pub fn condition(sql: &str, table: &Schema) -> Unsteady {
        let mut found = Unsteady::default();
        let columns = DFSchema::try_from(table.to_arrow().as_ref().clone());
        let expr = columns.and_then(|columns| Session::new(None)?.expression(sql, &columns));
        if let Ok(expr) = expr {
            drop(found.expr(&expr));
        }
        found
    }

    /// Takes in what another statement has.
    pub fn extend(&mut self, other: Unsteady) {
        self.by_time.extend(other.by_time);
        self.by_order.extend(other.by_order);
        self.by_company.extend(other.by_company);
    }

    fn plan(&mut self, plan: &LogicalPlan) -> Planned<TreeNodeRecursion> {
        plan.apply_with_subqueries(|node| {
            match node {
                LogicalPlan::Aggregate(_) => self.by_company.insert("GROUP BY or an aggregate".to_owned()),
                LogicalPlan::Distinct(_) => self.by_company.insert("DISTINCT".to_owned()),
                LogicalPlan::Limit(_) => {
                    self.by_company.insert("LIMIT".to_owned());
                    self.by_order.insert("LIMIT".to_owned())
                }
                _ => false,
            };
            node.apply_expressions(|expr| self.expr(expr))
        })
    }

    fn expr(&mut self, expr: &Expr) -> Planned<TreeNodeRecursion> {
        expr.apply(|part| {
            match part {
                Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                    self.by_time.insert(format!("{}()", call.func.name()));
                }
                Expr::AggregateFunction(call) => {
                    let name = call.func.name();
                    if BY_ORDER.contains(&name) && call.params.order_by.is_empty() {
                        self.by_order.insert(format!("{name}(…) without ORDER BY"));
                    }
                }
                Expr::WindowFunction(call) => {
                    let (name, own) = match &call.fun {
                        WindowFunctionDefinition::WindowUDF(function) => (function.name(), true),
                        WindowFunctionDefinition::AggregateUDF(function) => (function.name(), false),
                    };
                    self.by_company.insert(format!("{name}(…) OVER (…)"));
                    if call.params.order_by.is_empty() && (own || BY_ORDER.contains(&name)) {
                        self.by_order.insert(format!("{name}() OVER (…) without ORDER BY"));
                    }
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::DataType;

    fn of(sql: &str) -> [Vec<String>; 3] {
        let source = Schema::new([("id", DataType::BigInt), ("at", DataType::Text)]);
        let Unsteady { by_time, by_order, by_company } = Unsteady::transform(sql, &source);
        [by_time, by_order, by_company].map(|set| set.into_iter().collect())
    }

    #[test]
    fn what_depends_on_more_than_a_row_is_named() {
        assert_eq!(of("SELECT id, upper(at) AS at FROM source WHERE id > 3"), [const { Vec::<String>::new() }; 3]);
        assert_eq!(of("SELECT id, random() AS r, now() AS n FROM source")[0], ["now()", "random()"]);
        assert_eq!(of("SELECT id FROM source WHERE id IN (SELECT CAST(random() AS BIGINT))")[0], ["random()"]);
        assert_eq!(of("SELECT row_number() OVER () AS n FROM source")[1], ["row_number() OVER (…) without ORDER BY"]);
        assert_eq!(of("SELECT row_number() OVER (ORDER BY id) AS n FROM source")[1], Vec::<String>::new());
        assert_eq!(
            of("SELECT at, first_value(id) AS f FROM source GROUP BY at")[1],
            ["first_value(…) without ORDER BY"]
        );
        assert_eq!(of("SELECT at, count(*) AS n FROM source GROUP BY at")[2], ["GROUP BY or an aggregate"]);
    }

    #[test]
    fn a_condition_is_looked_at_too() {
        let table = Schema::new([("until", DataType::Timestamp { nanos: false })]);
        let found = Unsteady::condition("until < now()", &table);
        assert_eq!(found.by_time.into_iter().collect::<Vec<_>>(), ["now()"]);
    }
}

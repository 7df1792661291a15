//! `+`, `-` and `*` on whole numbers, which fail where DataFusion's own begin anew at the other end of the type.
//!
//! They take the operators' place in the plan, before the optimiser: what it folds, and what aggregates, windows and joins
//! work out, is checked by that as well. Their names are the operators', so columns keep theirs.

use crate::overflow::Overflow;
use arrow::{
    array::{ArrayRef, Datum},
    compute::kernels::numeric,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion_common::{
    DFSchema, Result, ScalarValue, config::ConfigOptions, exec_err, internal_err, tree_node::Transformed,
};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, expr_rewriter::FunctionRewrite,
};
use std::sync::{Arc, LazyLock};

/// Puts the checked operations into expressions whose types match already.
#[derive(Debug)]
pub(crate) struct Checking;

impl FunctionRewrite for Checking {
    fn name(&self) -> &str {
        "checked whole numbers"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 4]> = LazyLock::new(|| {
            [Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Negate]
                .map(|operation| Arc::new(ScalarUDF::from(Checked::new(operation))))
        });
        let [add, subtract, multiply, negate] = &*FUNCTIONS;
        let whole = |expr: &Expr| expr.get_type(schema).map(|data_type| data_type.is_integer());
        let (function, operands) = match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let function = match op {
                    Operator::Plus => add,
                    Operator::Minus => subtract,
                    Operator::Multiply => multiply,
                    _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
                };
                if !whole(&left)? || !whole(&right)? {
                    return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
                }
                (function, vec![*left, *right])
            }
            Expr::Negative(operand) if operand.get_type(schema)?.is_signed_integer() => (negate, vec![*operand]),
            other => return Ok(Transformed::no(other)),
        };
        Ok(Transformed::yes(function.call(operands)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

/// An operation as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Self {
        let operands = if operation == Operation::Negate { 1 } else { 2 };
        Checked { operation, signature: Signature::any(operands, Volatility::Immutable) }
    }

    fn sign(&self) -> &'static str {
        match self.operation {
            Operation::Add => "+",
            Operation::Subtract | Operation::Negate => "-",
            Operation::Multiply => "*",
        }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        self.sign()
    }

    /// What the operator is called.
    fn schema_name(&self, operands: &[Expr]) -> Result<String> {
        match operands {
            [operand] => Ok(format!("(- {})", operand.schema_name())),
            [left, right] => Ok(format!("{} {} {}", left.schema_name(), self.sign(), right.schema_name())),
            _ => internal_err!("{} has one operand or two", self.sign()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, operands: &[DataType]) -> Result<DataType> {
        match operands {
            [only] => Ok(only.clone()),
            [left, right] if left == right => Ok(left.clone()),
            _ => exec_err!("{} between {operands:?}", self.sign()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types = args.arg_fields.iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        let nullable = args.arg_fields.iter().any(|f| f.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        use ColumnarValue::{Array, Scalar};
        let kernel = match self.operation {
            Operation::Add => numeric::add,
            Operation::Subtract => numeric::sub,
            Operation::Multiply => numeric::mul,
            Operation::Negate => |operand: &dyn Datum, _: &dyn Datum| numeric::neg(operand.get().0),
        };
        let checked = |left: &dyn Datum, right: &dyn Datum| {
            kernel(left, right).map_err(|e| {
                Overflow::of_operation(e, self.sign(), args.args.len(), args.return_field.data_type().clone())
            })
        };
        let one = |values: ArrayRef| Ok(Scalar(ScalarValue::try_from_array(&values, 0)?));
        match args.args.as_slice() {
            [Array(only)] => Ok(Array(checked(only, only)?)),
            [Array(left), Array(right)] => Ok(Array(checked(left, right)?)),
            [Array(left), Scalar(right)] => Ok(Array(checked(left, &right.to_scalar()?)?)),
            [Scalar(left), Array(right)] => Ok(Array(checked(&left.to_scalar()?, right)?)),
            [Scalar(only)] => one(checked(&only.to_scalar()?, &only.to_scalar()?)?),
            [Scalar(left), Scalar(right)] => one(checked(&left.to_scalar()?, &right.to_scalar()?)?),
            operands => internal_err!("{} has one operand or two, not {}", self.sign(), operands.len()),
        }
    }
}

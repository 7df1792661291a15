//! `sum()` of whole numbers and decimals, exact: an error where the total does not fit its type.
//!
//! DataFusion's begins anew at the other end of the type. This one adds up in 128 bits and looks at the total alone, so the order
//! of rows decides nothing: a sum that passes the bound on its way and comes back is right.

use crate::overflow::Overflow;
use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray},
    datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, DecimalType, FieldRef, Int64Type, UInt64Type},
};
use datafusion_common::{Result, ScalarValue, cast::as_primitive_array, internal_err};
use datafusion_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    function::{AccumulatorArgs, StateFieldsArgs},
    utils::AggregateOrderSensitivity,
};
use std::{collections::HashMap, fmt, marker::PhantomData, sync::Arc};

/// The aggregate: DataFusion's in all but how whole numbers and decimals are added up.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Sum(datafusion_functions_aggregate::sum::Sum);

/// `$make` for the type of a sum, or nothing where doubles and spans of time are summed.
macro_rules! exact {
    ($data_type:expr, $make:expr) => {
        match $data_type {
            DataType::Int64 => Some(Box::new($make(Of::<Int64Type>::new($data_type))) as _),
            DataType::UInt64 => Some(Box::new($make(Of::<UInt64Type>::new($data_type))) as _),
            DataType::Decimal32(..) => Some(Box::new($make(Of::<Decimal32Type>::new($data_type))) as _),
            DataType::Decimal64(..) => Some(Box::new($make(Of::<Decimal64Type>::new($data_type))) as _),
            DataType::Decimal128(..) => Some(Box::new($make(Of::<Decimal128Type>::new($data_type))) as _),
            _ => None,
        }
    };
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.0.return_type(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let seen = args.is_distinct.then(HashMap::new);
        match exact!(args.return_type(), |of| Running { of, total: Total::default(), seen }) {
            Some(running) => Ok(running),
            None => self.0.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let seen = args.is_distinct.then(HashMap::new);
        match exact!(args.return_type(), |of| Running { of, total: Total::default(), seen }) {
            Some(running) => Ok(running),
            None => self.0.create_sliding_accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match exact!(args.return_type(), |of| Groups { of, totals: Vec::new() }) {
            Some(groups) => Ok(groups),
            None => self.0.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.0.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.0.set_monotonicity(data_type)
    }
}

/// The type of a sum, and of what is summed.
#[derive(Debug)]
struct Of<T> {
    /// The sum's: of a decimal's digits it has more.
    data_type: DataType,
    values: PhantomData<fn() -> T>,
}

impl<T: ArrowPrimitiveType> Of<T>
where
    T::Native: Into<i128> + TryFrom<i128>,
{
    fn new(data_type: &DataType) -> Self {
        Of { data_type: data_type.clone(), values: PhantomData }
    }

    fn values<'a>(&self, columns: &'a [ArrayRef]) -> Result<&'a PrimitiveArray<T>> {
        match columns {
            [values] => as_primitive_array(values),
            _ => internal_err!("a sum of {} columns", columns.len()),
        }
    }

    /// `total` as a value of the type, NULL where there was no row.
    fn fit(&self, total: &Total) -> Result<Option<T::Native>> {
        if total.rows == 0 {
            return Ok(None);
        }
        let scale = match self.data_type {
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => scale,
            _ => 0,
        };
        let within = match self.data_type {
            DataType::Decimal32(digits, _) | DataType::Decimal64(digits, _) | DataType::Decimal128(digits, _) => {
                Decimal128Type::is_valid_decimal_precision(total.sum, digits)
            }
            _ => true,
        };
        if total.rounds == 0
            && within
            && let Ok(value) = T::Native::try_from(total.sum)
        {
            return Ok(Some(value));
        }
        // 128 bits are 39 digits.
        let known = (total.rounds == 0).then(|| Decimal128Type::format_decimal(total.sum, 39, scale));
        Err(Overflow::of_sum(known, self.data_type.clone()))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    sum: i128,
    /// How many rows it is the sum of.
    rows: u64,
    /// How often `sum` began anew at the other end, upwards less downwards; only decimals of 38 digits come that far.
    rounds: i32,
}

impl Total {
    fn add(&mut self, value: i128) {
        let (sum, round) = self.sum.overflowing_add(value);
        self.sum = sum;
        self.rows += 1;
        if round {
            self.rounds += if value > 0 { 1 } else { -1 };
        }
    }

    fn take_away(&mut self, value: i128) {
        let (sum, round) = self.sum.overflowing_sub(value);
        self.sum = sum;
        self.rows -= 1;
        if round {
            self.rounds += if value > 0 { -1 } else { 1 };
        }
    }
}

/// One sum, of all rows or of a window's.
#[derive(Debug)]
struct Running<T> {
    of: Of<T>,
    total: Total,
    /// With DISTINCT: how often each value is there.
    seen: Option<HashMap<i128, u64>>,
}

impl<T: ArrowPrimitiveType + fmt::Debug> Accumulator for Running<T>
where
    T::Native: Into<i128> + TryFrom<i128>,
{
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let values = self.of.values(columns)?;
        match &mut self.seen {
            None if values.null_count() == 0 => values.values().iter().for_each(|v| self.total.add((*v).into())),
            None => values.iter().flatten().for_each(|v| self.total.add(v.into())),
            Some(seen) => {
                for value in values.iter().flatten().map(Into::into) {
                    let times = seen.entry(value).or_insert(0);
                    *times += 1;
                    if *times == 1 {
                        self.total.add(value);
                    }
                }
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        for value in self.of.values(columns)?.iter().flatten().map(Into::into) {
            if let Some(seen) = &mut self.seen {
                let times = seen.entry(value).or_insert(0);
                *times = times.saturating_sub(1);
                if *times > 0 {
                    continue;
                }
                seen.remove(&value);
            }
            self.total.take_away(value);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::new_primitive::<T>(self.of.fit(&self.total)?, &self.of.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.seen.as_ref().map_or(0, |s| s.capacity() * size_of::<(i128, u64)>())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        in_parts()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        in_parts()
    }
}

/// A sum for each group.
#[derive(Debug)]
struct Groups<T> {
    of: Of<T>,
    totals: Vec<Total>,
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Groups<T>
where
    T::Native: Into<i128> + TryFrom<i128>,
{
    fn update_batch(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        there_are: usize,
    ) -> Result<()> {
        self.totals.resize(there_are, Total::default());
        let values = self.of.values(columns)?;
        if values.null_count() == 0 && filter.is_none() {
            for (value, group) in values.values().iter().zip(groups) {
                self.totals[*group].add((*value).into());
            }
            return Ok(());
        }
        for (row, (value, group)) in values.iter().zip(groups).enumerate() {
            let counts = filter.is_none_or(|f| f.is_valid(row) && f.value(row));
            if let (Some(value), true) = (value, counts) {
                self.totals[*group].add(value.into());
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let totals = emit.take_needed(&mut self.totals);
        let sums = totals.iter().map(|total| self.of.fit(total)).collect::<Result<PrimitiveArray<T>>>()?;
        Ok(Arc::new(sums.with_data_type(self.of.data_type.clone())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.totals.capacity() * size_of::<Total>()
    }

    fn state(&mut self, _emit: EmitTo) -> Result<Vec<ArrayRef>> {
        in_parts()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef], _groups: &[usize], _there_are: usize) -> Result<()> {
        in_parts()
    }

    fn convert_to_state(&self, _columns: &[ArrayRef], _filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        in_parts()
    }
}

/// Plans have one partition and nothing is put aside on disk, so no sum is made of others.
fn in_parts<N>() -> Result<N> {
    internal_err!("a sum was asked for in parts")
}

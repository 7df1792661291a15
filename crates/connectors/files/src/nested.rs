//! Lists, structs and maps as JSON text, with the digits and texts that `Value` shows.

use crate::exact;
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringBuilder},
    buffer::OffsetBuffer,
    compute::cast,
    datatypes::DataType as Arrow,
};
use floodmark_core::{DataType, Error, Result, Value};

/// An array made ready to be written row by row.
enum Node {
    /// Begin and end of each row's items, and the items.
    List(Vec<Option<(usize, usize)>>, Box<Node>),
    Struct(ArrayRef, Vec<(String, Node)>),
    /// As a list; items are keys and values.
    Map(Vec<Option<(usize, usize)>>, Box<(Node, Node)>),
    Leaf(ArrayRef, DataType),
}

fn spans<O: Copy + TryInto<usize> + arrow::datatypes::ArrowNativeType>(
    array: &dyn Array,
    offsets: &OffsetBuffer<O>,
) -> Vec<Option<(usize, usize)>> {
    (0..array.len()).map(|i| array.is_valid(i).then(|| (offsets[i].as_usize(), offsets[i + 1].as_usize()))).collect()
}

impl Node {
    /// An error for a type that has no text.
    fn new(array: &ArrayRef) -> Result<Node> {
        Ok(match array.data_type() {
            Arrow::List(_) => {
                let list = array.as_list::<i32>();
                Node::List(spans(array, list.offsets()), Box::new(Node::new(list.values())?))
            }
            Arrow::LargeList(_) => {
                let list = array.as_list::<i64>();
                Node::List(spans(array, list.offsets()), Box::new(Node::new(list.values())?))
            }
            Arrow::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list();
                let size = usize::try_from(*size).unwrap_or(0);
                let spans = (0..array.len()).map(|i| array.is_valid(i).then_some((i * size, (i + 1) * size))).collect();
                Node::List(spans, Box::new(Node::new(list.values())?))
            }
            Arrow::Struct(fields) => {
                let columns = array.as_struct().columns();
                let nodes = fields.iter().zip(columns).map(|(f, c)| Ok((f.name().clone(), Node::new(c)?)));
                Node::Struct(array.clone(), nodes.collect::<Result<_>>()?)
            }
            Arrow::Map(..) => {
                let map = array.as_map();
                let nodes = (Node::new(map.keys())?, Node::new(map.values())?);
                Node::Map(spans(array, map.offsets()), Box::new(nodes))
            }
            Arrow::Dictionary(_, value) => Node::new(&cast(array, value)?)?,
            other => {
                let data_type =
                    DataType::from_arrow(other).ok_or_else(|| exact::unsupported(other, "where it is made"))?;
                let (leaf, lost) = exact::cast_exactly(array, &data_type.to_arrow())?;
                if !lost.is_empty() {
                    return Err(Error::internal(format!("{other} inside a nested value is not held by {data_type}")));
                }
                Node::Leaf(leaf, data_type)
            }
        })
    }

    fn write(&self, row: usize, out: &mut String) -> Result<()> {
        match self {
            Node::List(spans, items) => match spans[row] {
                None => out.push_str("null"),
                Some((begin, end)) => {
                    out.push('[');
                    for i in begin..end {
                        separate(i > begin, out);
                        items.write(i, out)?;
                    }
                    out.push(']');
                }
            },
            Node::Struct(array, _) if array.is_null(row) => out.push_str("null"),
            Node::Struct(_, fields) => {
                out.push('{');
                for (i, (name, node)) in fields.iter().enumerate() {
                    separate(i > 0, out);
                    quote(name, out)?;
                    out.push(':');
                    node.write(row, out)?;
                }
                out.push('}');
            }
            Node::Map(spans, nodes) => match spans[row] {
                None => out.push_str("null"),
                Some((begin, end)) => {
                    out.push('{');
                    for i in begin..end {
                        separate(i > begin, out);
                        let mut key = String::new();
                        nodes.0.write(i, &mut key)?;
                        // JSON has text keys only; other keys are shown as their JSON text.
                        if key.starts_with('"') {
                            out.push_str(&key)
                        } else {
                            quote(&key, out)?
                        }
                        out.push(':');
                        nodes.1.write(i, out)?;
                    }
                    out.push('}');
                }
            },
            Node::Leaf(array, data_type) => match Value::from_array(array, row, *data_type)? {
                Value::Null => out.push_str("null"),
                // JSON has no NaN and no infinities; as text they are not lost.
                Value::Double(v) if !v.is_finite() => quote(&v.to_string(), out)?,
                value @ (Value::Bool(_) | Value::Int(_) | Value::Decimal(..) | Value::Double(_)) => {
                    out.push_str(&value.to_string());
                }
                value => quote(&value.to_string(), out)?,
            },
        }
        Ok(())
    }
}

fn separate(needed: bool, out: &mut String) {
    if needed {
        out.push(',');
    }
}

fn quote(text: &str, out: &mut String) -> Result<()> {
    let quoted = serde_json::to_string(text).map_err(|e| Error::internal("text cannot be written as JSON").cause(e))?;
    out.push_str(&quoted);
    Ok(())
}

/// A list, struct or map column as JSON text; NULL stays NULL.
pub(crate) fn to_json(array: &ArrayRef) -> Result<StringArray> {
    let node = Node::new(array)?;
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
        } else {
            text.clear();
            node.write(row, &mut text)?;
            out.append_value(&text);
        }
    }
    Ok(out.finish())
}

/// A row as one JSON object.
pub(crate) fn row_to_json(batch: &RecordBatch, row: usize) -> Result<String> {
    let mut out = String::from("{");
    for (i, (field, column)) in batch.schema().fields().iter().zip(batch.columns()).enumerate() {
        separate(i > 0, &mut out);
        quote(field.name(), &mut out)?;
        out.push(':');
        // One row of it: what other rows hold need not have a text.
        match Node::new(&column.slice(row, 1)) {
            Ok(node) => node.write(0, &mut out)?,
            Err(_) => quote(&format!("({})", column.data_type()), &mut out)?,
        }
    }
    out.push('}');
    Ok(out)
}

//! Which column of the one is held against which of the other.

use super::report::{Misfit, Shape};
use floodmark_connect::digests::Hashed;
use floodmark_core::{Code, Column, DataType, Error, Result, Schema, encoding::Form, wording};

/// A column that both have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    /// What it is called in what is told.
    pub(crate) name: String,
    pub(crate) left: Column,
    pub(crate) right: Column,
    pub(crate) form: Form,
    /// A NULL of the first agrees with any value of the second.
    pub(crate) null_agrees: bool,
}

impl Pair {
    /// How it is asked for on one side.
    pub(crate) fn hashed(&self, left: bool) -> Hashed {
        let column = if left { &self.left } else { &self.right };
        Hashed { name: column.name.clone(), data_type: column.data_type, form: self.form, family: None }
    }
}

/// What is compared.
#[derive(Debug, Clone)]
pub(crate) struct Paired {
    /// The key's columns first.
    pub(crate) pairs: Vec<Pair>,
    /// How many of them are the key's.
    pub(crate) key: usize,
    pub(crate) shape: Shape,
    /// All columns of the first.
    pub(crate) left: Schema,
}

/// What is asked of the columns.
pub(crate) struct Wish<'a> {
    pub(crate) key: &'a [String],
    /// Only these beside the key.
    pub(crate) columns: Option<&'a [String]>,
    /// The first's name of a column of the second's name.
    pub(crate) left_name: &'a dyn Fn(&str) -> String,
    /// Columns of which a NULL in the first says nothing.
    pub(crate) keeps: &'a dyn Fn(&str) -> bool,
    /// Columns, by the second's names, that are read as the text their databases write, because they hold what is no value of
    /// our type.
    pub(crate) as_text: &'a [Misfit],
    /// Columns of neither.
    pub(crate) ignored: &'a [&'a str],
    /// The key's columns and no others.
    pub(crate) keys_only: bool,
    /// The types that columns of the second were made with, where that is known.
    pub(crate) made: Option<&'a Schema>,
}

/// Pairs the columns of two sides. A name that only the case of its letters tells from another is the same where no other
/// is written like it.
pub(crate) fn pair(left: &Schema, right: &Schema, wish: &Wish<'_>) -> Result<Paired> {
    let mut shape = Shape { misfits: wish.as_text.to_vec(), ..Shape::default() };
    let mut found: Vec<Pair> = Vec::new();
    let told = |c: &&Column| !wish.ignored.contains(&c.name.as_str());
    for column in right.columns.iter().filter(told) {
        let wanted = (wish.left_name)(&column.name);
        let Some(of_left) = alike(left, &wanted) else {
            shape.only_right.push(column.name.clone());
            continue;
        };
        if let Some(made) = wish.made.and_then(|made| made.get(&column.name)).filter(|made| is_other(made, column)) {
            shape.retyped.push((column.name.clone(), made.data_type, column.data_type));
        }
        match Form::of(of_left.data_type, column.data_type) {
            None => shape.incomparable.push((column.name.clone(), of_left.data_type, column.data_type)),
            Some(form) => {
                // The other side stays as it is: what is a value has the same text there.
                let written = |side: usize| {
                    form == Form::Text || wish.as_text.iter().any(|m| m.column == column.name && m.sides[side])
                };
                let read = |c: &Column, side: usize| {
                    let as_text = written(side) && c.data_type != DataType::Json;
                    Column::new(&c.name, if as_text { DataType::Text } else { c.data_type })
                };
                found.push(Pair {
                    name: column.name.clone(),
                    left: read(of_left, 0),
                    right: read(column, 1),
                    form,
                    null_agrees: (wish.keeps)(&column.name),
                });
            }
        }
    }
    let paired = |c: &Column| {
        found.iter().any(|p| p.left.name == c.name)
            || shape.incomparable.iter().any(|(n, ..)| (wish.left_name)(n) == c.name)
    };
    shape.only_left = left.columns.iter().filter(told).filter(|c| !paired(c)).map(|c| c.name.clone()).collect();
    let both = [left, right];
    let mut pairs = Vec::new();
    for name in wish.key {
        pairs.push(take(&mut found, name, "the key", &both, &shape)?);
    }
    match wish.columns {
        None if wish.keys_only => {}
        None => pairs.append(&mut found),
        Some(columns) => {
            for name in columns.iter().filter(|name| !wish.key.contains(name)) {
                pairs.push(take(&mut found, name, "--columns", &both, &shape)?);
            }
            // What was not asked for is no difference; where keys alone count, nobody asked for anything.
            if !wish.keys_only {
                shape.retyped.retain(|(name, ..)| pairs.iter().any(|pair| pair.name == *name));
                shape = Shape { misfits: shape.misfits, retyped: shape.retyped, ..Shape::default() };
            }
        }
    }
    if pairs.is_empty() {
        return Err(Error::new(Code::BadArgument, "the two have no column in common")
            .state("nothing was compared")
            .help(format!("the first has {}; the second has {}", left.names().join(", "), right.names().join(", "))));
    }
    Ok(Paired { pairs, key: wish.key.len(), shape, left: left.clone() })
}

/// Whether a column was made as one of another kind: a number became text, say. Values of both may still agree.
fn is_other(made: &Column, column: &Column) -> bool {
    let kind = |data_type| Form::of(data_type, data_type);
    !made.undecided && !column.undecided && kind(made.data_type) != kind(column.data_type)
}

/// A column by its name, or by one that only the case of its letters tells from it.
pub(crate) fn alike<'a>(schema: &'a Schema, name: &str) -> Option<&'a Column> {
    schema.get(name).or_else(|| {
        let mut alike = schema.columns.iter().filter(|c| c.name.eq_ignore_ascii_case(name));
        alike.next().filter(|_| alike.next().is_none())
    })
}

fn take(found: &mut Vec<Pair>, name: &str, what: &str, both: &[&Schema; 2], shape: &Shape) -> Result<Pair> {
    if let Some(at) =
        found.iter().position(|p| p.name == name).or_else(|| found.iter().position(|p| p.left.name == name))
    {
        return Ok(found.remove(at));
    }
    let error = |message: String| Error::new(Code::BadArgument, message).state("nothing was compared");
    if let Some((_, a, b)) = shape.incomparable.iter().find(|(n, ..)| n == name) {
        return Err(error(format!(
            "column {name:?} of {what} is {a} in the first and {b} in the second: no two values of these are equal"
        )));
    }
    let side = match both.map(|schema| alike(schema, name).is_some()) {
        [true, false] => "the second",
        [false, true] => "the first",
        _ => "both",
    };
    let known: Vec<&str> = found.iter().map(|p| p.name.as_str()).collect();
    Err(error(format!("there is no column {name:?}, which {what} names, in {side}")).help(wording::suggest(
        name,
        "both have",
        &known,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{BigInt, Bool, Bytes, Json, Text, TimestampTz};

    fn paired(left: &Schema, right: &Schema, key: &[&str], columns: Option<&[&str]>) -> Result<Paired> {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let (key, columns) = (own(key), columns.map(own));
        let wish = Wish {
            key: &key,
            columns: columns.as_deref(),
            left_name: &|name| name.to_owned(),
            keeps: &|_| false,
            as_text: &[],
            ignored: &[],
            keys_only: false,
            made: None,
        };
        pair(left, right, &wish)
    }

    #[test]
    fn common_columns_are_compared_and_the_others_told() {
        let left = Schema::new([("a", Text), ("id", BigInt), ("z", BigInt), ("raw", Bytes), ("J", Json)]);
        let right = Schema::new([("id", BigInt), ("a", BigInt), ("raw", Text), ("new", Bool), ("j", Text)]);
        let found = paired(&left, &right, &["id"], None).unwrap();
        let names: Vec<&str> = found.pairs.iter().map(|p| p.name.as_str()).collect();
        assert_eq!((names, found.key), (vec!["id", "a", "j"], 1));
        assert_eq!((found.pairs[1].form, found.pairs[1].right.data_type), (Form::Text, Text));
        assert_eq!((found.pairs[2].left.data_type, found.pairs[2].left.name.as_str()), (Json, "J"));
        assert_eq!((found.shape.only_left, found.shape.only_right), (vec!["z".to_owned()], vec!["new".to_owned()]));
        assert_eq!(found.shape.incomparable, [("raw".to_owned(), Bytes, Text)]);
        let found = paired(&left, &right, &["id"], Some(&["a"])).unwrap();
        assert!(!found.shape.differs() && found.pairs.len() == 2);
    }

    #[test]
    fn a_column_that_is_nowhere_is_an_error_that_helps() {
        let left = Schema::new([("id", BigInt), ("at", TimestampTz { nanos: false })]);
        let right = Schema::new([("id", BigInt), ("at", BigInt)]);
        assert!(format!("{:?}", paired(&left, &right, &["idd"], None).unwrap_err()).contains("did you mean \"id\"?"));
        assert!(paired(&left, &right, &["at"], None).unwrap_err().message().contains("no two values"));
        assert!(paired(&Schema::new([("x", Text)]), &right, &[], None).is_err());
    }
}

//! What is stored and read back: values, types, exported state, the `_floodmark_*` tables.
//!
//! The first letter of an input says what the rest is: `v` a type and the text of a value, `b` a type and the bits of
//! one, `t` a type's name, `x` the text of an exported state, `s` the bits of a whole state, `d` texts in the place of
//! what the state tables hold.
#![no_main]

// As they are in the product: both are private there, and neither needs more than these crates.
#[expect(dead_code, reason = "the product uses all of it")]
#[path = "../../crates/connectors/sqlite/src/bind.rs"]
mod bind;
#[expect(dead_code, reason = "the product uses all of it")]
#[path = "../../crates/connectors/sqlite/src/codec.rs"]
mod codec;
#[path = "state/database.rs"]
mod database;
#[path = "state/invent.rs"]
mod invent;
#[path = "../../crates/cli/src/commands/state_file.rs"]
mod state_file;

use arbitrary::Unstructured;
use floodmark_core::{Code, DataType, Value};
use floodmark_fuzz::cells::{identical, reads_back};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((&what, rest)) = data.split_first() else { return Corpus::Reject };
    let text = std::str::from_utf8(rest);
    match (what, text) {
        (b'v', Ok(text)) => value_text(text),
        (b't', Ok(text)) => type_name(text),
        (b'x', Ok(text)) => exported_text(text),
        (b'd', Ok(text)) => database::damaged(text),
        (b'b', _) => drop(value_bits(&mut Unstructured::new(rest))),
        (b's', _) => drop(whole_state(&mut Unstructured::new(rest))),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

/// `TYPE|TEXT`: what a text is read as is read from its own text again.
fn value_text(text: &str) {
    let Some((name, text)) = text.split_once('|') else { return };
    let Some(data_type) = DataType::parse(name) else { return };
    if let Some(value) = Value::parse(text, data_type) {
        assert!(reads_back(&value, data_type), "{text:?} is the {data_type} {value:?}, which does not read back");
    }
}

fn type_name(text: &str) {
    if let Some(data_type) = DataType::parse(text) {
        assert_eq!(DataType::parse(&data_type.to_string()), Some(data_type));
        assert_eq!(codec::from_declared(&codec::declared(data_type)), data_type);
    }
    let _ = codec::from_declared(text);
}

/// Any value of any type through its text, and through what SQLite stores.
fn value_bits(bits: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let data_type = invent::data_type(bits)?;
    let (a, b) = (invent::value(bits, data_type)?, invent::value(bits, data_type)?);
    for value in [&a, &b] {
        assert!(reads_back(value, data_type), "{data_type}: {value:?} does not read back from {:?}", value.to_string());
        // SQLite has no NaN and no negative zero; the loader sees to both.
        if matches!(value, Value::Double(v) if v.is_nan() || *v == 0.0) {
            continue;
        }
        let array = value.to_scalar(data_type).expect("a value of its type").into_inner();
        let cells = bind::Cells::new(&array, data_type).expect("an array of its type");
        let mut scratch = String::new();
        let stored = cells.stored(0, &mut scratch);
        let read = codec::decode(stored, data_type);
        assert!(
            read.as_ref().is_some_and(|read| identical(read, value)),
            "{value:?} is stored as {stored:?}: {read:?}"
        );
        let mut scratch = String::new();
        assert!(cells.same(0, stored, &mut scratch), "{value:?} is not what it is stored as");
    }
    let order = a.compare(&b).expect("two values of a type");
    assert_eq!(b.compare(&a), Some(order.reverse()));
    Ok(())
}

/// What is read of any text is written and read again.
fn exported_text(text: &str) {
    match state_file::read(text) {
        Ok(states) => {
            let again = state_file::write(&states).expect("a state that was read").to_string();
            let read = state_file::read(&again).expect("what was written");
            assert_eq!(format!("{states:?}").len(), format!("{read:?}").len());
            assert_eq!(again, state_file::write(&read).expect("a state that was read").to_string());
        }
        Err(error) => assert!(matches!(error.code(), Code::StateDamaged | Code::StateTooNew), "{error:?}"),
    }
}

/// A whole state through its JSON form and through the tables.
fn whole_state(bits: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let (state, remembered) = invent::state(bits)?;
    let intervals = invent::intervals(bits)?;
    let exported = [state_file::Exported { pipeline: "p".to_owned(), state, remembered, intervals }];
    let text = state_file::write(&exported).expect("a state has a JSON form").to_string();
    let read = state_file::read(&text).unwrap_or_else(|e| panic!("{text} does not read back: {e:?}"));
    assert_eq!(read, exported, "an exported state reads back as another");
    let [state_file::Exported { state, remembered, intervals, .. }] = exported;
    database::round_trip(&state, remembered, intervals);
    Ok(())
}

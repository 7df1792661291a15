//! Web events, as Parquet.

use crate::{moment::Moment, people::CUSTOMERS, random::Random};
use arrow::{
    array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use std::{error::Error, sync::Arc};

const EVENTS: u64 = 15_000;
const HALF_YEAR: u64 = 182 * 86_400;

/// `events.parquet`: times to the microsecond, a visitor who is no customer has no number.
pub(crate) fn events(random: &mut Random) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut times: Vec<i64> =
        (0..EVENTS).map(|_| Moment(random.below(HALF_YEAR)).epoch_micros() + random.below(1_000_000) as i64).collect();
    times.sort_unstable();
    let ids: Vec<String> = times
        .iter()
        .map(|_| {
            let (a, b) = (random.next(), random.next());
            let (time, rest) = (a >> 32, a & 0xffff);
            format!("{time:08x}-{rest:04x}-4{:03x}-a{:03x}-{:012x}", b >> 52, b >> 40 & 0xfff, b & 0xffff_ffff_ffff)
        })
        .collect();
    let customers: Int64Array =
        times.iter().map(|_| (!random.percent(30)).then(|| random.between(1, CUSTOMERS) as i64)).collect();
    let kinds: StringArray = times
        .iter()
        .map(|_| Some(random.pick(&["view", "view", "view", "search", "add_to_cart", "checkout"])))
        .collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("event_id", DataType::Utf8, false),
        Field::new("customer_id", DataType::Int64, true),
        Field::new("kind", DataType::Utf8, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(StringArray::from(ids)),
            Arc::new(customers),
            Arc::new(kinds),
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        ],
    )?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(9)?))
        .set_max_row_group_row_count(Some(5_000))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

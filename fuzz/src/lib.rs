//! What the fuzz targets have in common. A property that does not hold is a panic, which is how libFuzzer hears of it.

pub mod cells;
pub mod reading;
pub mod scratch;

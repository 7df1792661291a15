//! A table of any columns, whose rows are texts.

use super::scene::{Fail, Scene};
use crate::{
    Destination, Session, ShapedBatch,
    cells::{Cell, ColumnBuilder},
    destination::Within,
};
use arrow::array::RecordBatch;
use floodmark_core::{Counts, DataType, Result, Schema, Value, interval::Interval, pipeline::Load};

/// The texts of a row; `None` is NULL.
pub(crate) type Line<'a> = Vec<Option<&'a str>>;

/// A row out of texts, of which `-` is NULL.
pub(crate) fn line<'a>(texts: &[&'a str]) -> Line<'a> {
    texts.iter().map(|text| (*text != "-").then_some(*text)).collect()
}

pub(crate) struct Sheet {
    pub(crate) scene: Scene,
}

impl Sheet {
    /// A pipeline without key and version. Its name is that of its table, too.
    pub(crate) fn new(load: Load, name: &str, columns: &[(&str, DataType)]) -> Sheet {
        let mut scene = Scene::new(load);
        scene.pipeline.name = name.into();
        scene.pipeline.destination.table = format!("table of {name}");
        scene.pipeline.key.clear();
        scene.pipeline.version = None;
        scene.pipeline.absent_rows = floodmark_core::pipeline::AbsentRows::Keep;
        scene.schema = Schema::new(columns.iter().copied());
        Sheet { scene }
    }

    /// A value of a column.
    fn value(&self, column: &str, text: &str) -> Value {
        let data_type = self.scene.schema.get(column).unwrap().data_type;
        Value::parse(text, data_type).unwrap()
    }

    /// What is loaded from now on is all the source holds in that part.
    pub(crate) fn within(&mut self, column: &str, from: &str, until: &str) {
        let interval = Interval::new(self.value(column, from), self.value(column, until)).unwrap();
        self.scene.within = Some(Within { column: column.into(), interval, whole: false });
    }

    pub(crate) fn open(&self, destination: &dyn Destination, beside: bool) -> Box<dyn Session> {
        if beside { self.scene.open_beside(destination) } else { self.scene.open(destination) }
    }

    pub(crate) fn load(&self, session: &mut dyn Session, lines: &[Line<'_>]) -> Result<Counts> {
        // Two rows a batch: how rows are cut into batches must not matter.
        let batches = lines.chunks(2).map(|lines| self.batch(lines)).collect();
        self.scene.load_batches(session, batches, Fail::Never)
    }

    fn batch(&self, lines: &[Line<'_>]) -> ShapedBatch {
        let columns = self.scene.schema.columns.iter().enumerate();
        let arrays = columns.map(|(at, column)| {
            let mut builder = ColumnBuilder::new(column.data_type).unwrap();
            for line in lines {
                let value = line[at].map(|text| Value::parse(text, column.data_type).unwrap());
                let fits = builder.append(match (&value, line[at]) {
                    (Some(Value::Bytes(bytes)), _) => Cell::Bytes(bytes),
                    (Some(Value::Double(double)), _) => Cell::Real(*double),
                    (_, Some(text)) => Cell::Text(text.as_bytes()),
                    _ => Cell::Null,
                });
                assert!(fits, "{:?} is no {}", line[at], column.data_type);
            }
            builder.finish()
        });
        let rows = RecordBatch::try_new(self.scene.schema.to_arrow(), arrays.collect()).unwrap();
        ShapedBatch { rows, delete: None, slice: 0 }
    }

    /// The table holds exactly these rows: compared by fingerprint with one that was only ever loaded once.
    pub(crate) fn expect(&self, destination: &dyn Destination, lines: &[Line<'_>], why: &str) {
        let mut clean = Sheet::new(Load::Append, &format!("clean {}", self.scene.pipeline.name), &[]);
        clean.scene.schema = self.scene.schema.clone();
        clean.scene.forget = true;
        clean.load(clean.open(destination, false).as_mut(), lines).unwrap();
        let print = |sheet: &Sheet| destination.fingerprint(&sheet.scene.pipeline.destination.table).unwrap();
        assert_eq!(print(self), print(&clean), "{why}");
    }
}

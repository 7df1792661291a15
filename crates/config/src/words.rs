//! Settings as messages spell them.

use crate::fields::field;

/// How settings are spelt in messages: as in the file, or as flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    File,
    Flags,
}

impl Words {
    /// A field of a pipeline by its path in it (`source.names`): `` `on_null` `` or `--on-null`.
    pub(crate) fn name(self, name: &str) -> String {
        match self.flag(name) {
            Some(flag) => format!("--{flag}"),
            None => format!("`{}`", last(name)),
        }
    }

    /// A field with its value: `` `load: upsert` `` or `--load upsert`.
    pub(crate) fn set(self, name: &str, value: &str) -> String {
        match self.flag(name) {
            Some(flag) => format!("--{flag} {value}"),
            None => format!("`{}: {value}`", last(name)),
        }
    }

    fn flag(self, name: &str) -> Option<&'static str> {
        let at = if name == "watermark" { "watermark.column" } else { name };
        field(&format!("pipelines.*.{at}")).and_then(|f| f.flag).filter(|_| self == Words::Flags)
    }
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

//! Settings as messages spell them.

use crate::fields::{FIELDS, Field, Kind, field};

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

/// A message or advice that speaks of the pipeline file's fields, told in the flags of `load`: `` `key: [id]` `` becomes
/// `` `--key id` ``. What has no flag stays as it is.
pub fn as_flags(text: &str) -> String {
    let text = text.replace(" under `watermark:`", "");
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('`').peekable();
    let mut quoted = false;
    while let Some(part) = parts.next() {
        // A backtick that is never closed quotes nothing.
        let closed = parts.peek().is_some();
        match (quoted && closed).then(|| flagged(part)).flatten() {
            Some(flag) => out.push_str(&flag),
            None => out.push_str(part),
        }
        if closed {
            out.push('`');
        }
        quoted = !quoted;
    }
    out
}

/// One quoted piece of a message as a flag, where it is a field that has one, or a command that needs one.
fn flagged(code: &str) -> Option<String> {
    const STORED: [&str; 3] = ["floodmark state ", "floodmark runs", "floodmark rejects "];
    if STORED.iter().any(|command| code.starts_with(command)) {
        return (!code.contains("--destination")).then(|| format!("{code} --destination URL"));
    }
    let (name, value) = match code.split_once(':') {
        Some((name, value)) => (name, value.trim()),
        None => (code, ""),
    };
    // On its own it is the strategy that is meant.
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') || (name == "append" && value.is_empty()) {
        return None;
    }
    if name == "columns" && !value.is_empty() {
        return column_flag(value);
    }
    let named = |f: &&Field| f.flag.is_some() && (f.name() == name || f.path == format!("pipelines.*.{name}.column"));
    let field = FIELDS.iter().find(named)?;
    let flag = field.flag?;
    let value = value.trim_start_matches('[').trim_end_matches(']').replace(", ", ",");
    Some(match value.as_str() {
        "" => format!("--{flag}"),
        "true" if field.kind == Kind::Bool => format!("--{flag}"),
        value if field.kind == Kind::Bool => format!("--{flag}={value}"),
        value if value.contains(' ') => format!("--{flag} '{value}'"),
        value => format!("--{flag} {value}"),
    })
}

/// `{zip: {type: text}}` is `--column zip=text`; another name is a transform's work.
fn column_flag(settings: &str) -> Option<String> {
    let (name, rest) = settings.trim_start_matches('{').split_once(':')?;
    let (setting, value) = rest.trim().trim_start_matches('{').trim().split_once(':')?;
    let (name, value) = (name.trim(), value.trim_end_matches(['}', ' ']).trim());
    match setting.trim() {
        "type" => {
            let column = format!("{}={value}", name.trim_matches('"'));
            Some(if column.contains(' ') { format!("--column '{column}'") } else { format!("--column {column}") })
        }
        "from" => {
            let (value, name) = (in_sql(value), in_sql(name));
            Some(format!("--transform 'SELECT {value} AS {name}, … FROM source'"))
        }
        _ => None,
    }
}

/// A column's name as a transform has to write it.
fn in_sql(name: &str) -> String {
    let name = name.trim_matches('"');
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

#[cfg(test)]
mod tests {
    use super::as_flags;

    #[test]
    fn fields_become_flags() {
        for (told, flags) in [
            ("`key` names column \"a\"", "`--key` names column \"a\""),
            ("give it `load: upsert` and `key: [id, region]`", "give it `--load upsert` and `--key id,region`"),
            ("load them: `late_rows: load` under `watermark:`", "load them: `--late-rows load`"),
            ("set `delimiter:` and `nulls: exclude`", "set `--delimiter` and `--watermark-nulls exclude`"),
            ("`adopt: true`, `header: false`", "`--adopt`, `--header=false`"),
            ("the `watermark` is", "the `--watermark` is"),
            ("`columns: {zip: {type: text}}` does", "`--column zip=text` does"),
            ("`columns: { \"a b\": { type: text } }`", "`--column 'a b=text'`"),
            ("`columns: {other: {from: id}}`", "`--transform 'SELECT id AS other, … FROM source'`"),
            ("`columns: {id: {from: Id}}`", "`--transform 'SELECT \"Id\" AS id, … FROM source'`"),
            ("`transform: SELECT … FROM source`", "`--transform 'SELECT … FROM source'`"),
            ("`floodmark state reset t`", "`floodmark state reset t --destination URL`"),
        ] {
            assert_eq!(as_flags(told), flags);
        }
    }

    #[test]
    fn what_is_no_field_stays() {
        for told in
            ["`append` compares no keys", "`iconv -f X`", "an open ` quote: key: id", "`--full-refresh`", "`from`"]
        {
            assert_eq!(as_flags(told), told);
        }
    }
}

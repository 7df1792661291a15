//! What the tables of a family are called in the destination.

use floodmark_core::catalog::{Listed, part};

/// The name of the table in the source.
pub(crate) const TABLE: &str = "{table}";
/// The name of its schema there.
pub(crate) const SCHEMA: &str = "{schema}";

/// Something in braces that stands for nothing.
pub(crate) fn unknown(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        rest = &rest[start..];
        let end = rest.find('}').map_or(rest.len(), |end| end + 1);
        if ![TABLE, SCHEMA].contains(&&rest[..end]) {
            return Some(rest[..end].to_owned());
        }
        rest = &rest[end..];
    }
    None
}

/// The name of a table of the destination. `plain`: a point in it is a letter there, and not what ends a schema.
///
/// `None` where it names the schema of a table that has none.
pub(crate) fn fill(template: &str, table: &Listed, plain: bool) -> Option<String> {
    if template.contains(SCHEMA) && table.schema.is_none() {
        return None;
    }
    let fill = |text: &str| {
        let schema = table.schema.as_deref().unwrap_or_default();
        // Piece by piece, as a name may look like a placeholder.
        let pieces = text.split(TABLE).map(|piece| piece.replace(SCHEMA, schema));
        pieces.collect::<Vec<_>>().join(&table.name)
    };
    // Quotes of the template's own are for who wrote it to place.
    if plain || template.contains('"') {
        return Some(fill(template));
    }
    let parts: Vec<String> = match template.split_once('.') {
        Some((schema, name)) => vec![part(&fill(schema)), part(&fill(name))],
        None => vec![part(&fill(template))],
    };
    Some(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: Option<&str>, name: &str) -> Listed {
        Listed { schema: schema.map(str::to_owned), name: name.into(), bare: true, own: true, key: Vec::new() }
    }

    #[test]
    fn a_name_is_put_in_as_it_is() {
        let orders = table(Some("sales"), "orders");
        assert_eq!(fill("raw_{table}", &orders, false).as_deref(), Some("raw_orders"));
        assert_eq!(fill("raw.{schema}_{table}", &orders, false).as_deref(), Some("raw.sales_orders"));
        assert_eq!(fill("{table}_{table}", &table(None, "{schema}"), true).as_deref(), Some("{schema}_{schema}"));
        assert_eq!(fill("{schema}", &table(None, "a"), true), None);
    }

    #[test]
    fn a_point_in_a_name_ends_no_schema() {
        let odd = table(Some("s"), "a.b");
        assert_eq!(fill("{table}", &odd, false).as_deref(), Some("\"a.b\""));
        assert_eq!(fill("raw.x_{table}", &odd, false).as_deref(), Some("raw.\"x_a.b\""));
        assert_eq!(fill("x_{table}", &odd, true).as_deref(), Some("x_a.b"));
    }

    #[test]
    fn braces_hold_what_is_known() {
        for (text, found) in [("{table}", None), ("a", None), ("{tabel}x", Some("{tabel}")), ("{table}{", Some("{"))] {
            assert_eq!(unknown(text).as_deref(), found, "{text}");
        }
    }
}

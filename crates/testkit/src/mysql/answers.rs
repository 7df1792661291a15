//! What the client says, which is XML.

use crate::cell::Cell;

/// A row as the client tells it: names and cells.
pub(super) type Told = Vec<(String, Option<String>)>;

/// The answers in what the client says, each with its rows.
pub(super) fn answers(xml: &str) -> Vec<Vec<Told>> {
    let plain = |text: &str| {
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        text.replace("&#xD;", "\r").replace("&amp;", "&")
    };
    xml.split("<resultset")
        .skip(1)
        .map(|answer| {
            let rows = answer.split("<row>").skip(1);
            rows.map(|row| {
                let fields = row.split("<field name=\"").skip(1);
                fields
                    .filter_map(|field| {
                        let (name, rest) = field.split_once('"')?;
                        let value = match rest.split_once('>')? {
                            (attributes, _) if attributes.contains("xsi:nil") => None,
                            (_, content) => Some(plain(content.split("</field>").next()?)),
                        };
                        Some((plain(name), value))
                    })
                    .collect()
            })
            .collect()
        })
        .collect()
}

/// A cell by the type of its column, in the form in which cases are written.
pub(super) fn cell(text: Option<String>, of: &str) -> Cell {
    let Some(text) = text else { return Cell::Null };
    let whole = ["int", "tinyint", "smallint", "mediumint", "bigint"];
    let kind = of.split(['(', ' ']).next().unwrap_or_default();
    let short = |text: &str| match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        None => text.to_owned(),
    };
    match kind {
        _ if of.starts_with("tinyint(1)") => Cell::Bool(text == "1"),
        _ if whole.contains(&kind) => text.parse().map_or_else(|_| Cell::Text(text.clone()), Cell::Int),
        "double" | "float" => text.parse().map_or_else(|_| Cell::Text(text.clone()), Cell::Real),
        "datetime" | "time" => Cell::Text(short(&text)),
        "timestamp" => Cell::Text(format!("{}+00:00", short(&text))),
        _ if kind.contains("blob") || kind.contains("binary") => {
            Cell::parse(&format!("x'{text}'")).unwrap_or(Cell::Bytes(Vec::new()))
        }
        _ => Cell::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_is_read() {
        let xml = "<?xml version=\"1.0\"?>\n<resultset statement=\"x\">\n  <row>\n\t<field name=\"a\">1 &lt; 2\n</field>\n\t\
                   <field name=\"b\" xsi:nil=\"true\" />\n  </row>\n</resultset>\n";
        let row = vec![("a".to_owned(), Some("1 < 2\n".to_owned())), ("b".to_owned(), None)];
        assert_eq!(answers(xml), [vec![row]]);
        assert_eq!(
            cell(Some("2024-01-01 00:00:00.500000".into()), "datetime(6)"),
            Cell::Text("2024-01-01 00:00:00.5".into())
        );
        assert_eq!(cell(Some("1".into()), "tinyint(1)"), Cell::Bool(true));
    }
}

//! Names and texts as they stand in a statement of ours, whatever the server's `sql_mode` is.

/// A name in backticks.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text, by its bytes: what a backslash or a double quote means depends on `sql_mode`.
pub(crate) fn text(text: &str) -> String {
    format!("_utf8mb4 {}", bytes(text.as_bytes()))
}

/// Bytes.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(3 + 2 * bytes.len());
    out.push_str("x'");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out.push('\'');
    out
}

/// A table's name as written, with its database's before it where that is said: `db.t`. A name that has a point in it stands
/// in double quotes, as in every source, or in backticks.
pub(crate) fn split(written: &str) -> (Option<String>, String) {
    match part(written) {
        (name, Some(rest)) => (Some(name), part_to_the_end(rest)),
        (name, None) => (None, name),
    }
}

/// The first name, and what follows its point.
fn part(written: &str) -> (String, Option<&str>) {
    if let Some((name, rest)) = quoted(written) {
        match rest.strip_prefix('.') {
            Some(rest) => return (name, Some(rest)),
            None if rest.is_empty() => return (name, None),
            None => {}
        }
    }
    match written.split_once('.') {
        Some((name, rest)) if !name.is_empty() && !rest.is_empty() => (name.to_owned(), Some(rest)),
        _ => (written.to_owned(), None),
    }
}

fn part_to_the_end(written: &str) -> String {
    match quoted(written) {
        Some((name, "")) => name,
        _ => written.to_owned(),
    }
}

/// The name in quotes that a text begins with, and what follows.
fn quoted(written: &str) -> Option<(String, &str)> {
    let quote = written.chars().next().filter(|c| matches!(c, '`' | '"'))?;
    let inner = &written[1..];
    let mut name = String::new();
    let mut characters = inner.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            name.push(c);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            name.push(quote);
        } else {
            return Some((name, &inner[at + 1..]));
        }
    }
    // A quote that is never closed is a part of the name.
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_a_database_before_it() {
        let is = |written: &str, database: Option<&str>, table: &str| {
            assert_eq!(split(written), (database.map(str::to_owned), table.to_owned()), "{written}");
        };
        is("orders", None, "orders");
        is("shop.orders", Some("shop"), "orders");
        is("`a.b`", None, "a.b");
        is("`a.b`.`c``d`", Some("a.b"), "c`d");
        is("shop.`a.b`", Some("shop"), "a.b");
        is("\"a.b\".\"c\"\"d\"", Some("a.b"), "c\"d");
        is("`open", None, "`open");
        is(".x", None, ".x");
        is("a.b.c", Some("a"), "b.c");
    }

    #[test]
    fn hostile_texts_stay_texts() {
        assert_eq!(quote("a`; DROP TABLE t; --"), "`a``; DROP TABLE t; --`");
        assert_eq!(text("it's \\"), "_utf8mb4 x'69742773205c'");
        assert_eq!(bytes(&[]), "x''");
    }
}

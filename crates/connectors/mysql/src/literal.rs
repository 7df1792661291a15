//! Values and names as they stand in a statement. Sessions run with `NO_BACKSLASH_ESCAPES`, so that nothing in a text but
//! its quote means anything.

/// A text.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    put_text(&mut out, text);
    out
}

/// The same, behind what there is.
pub(crate) fn put_text(out: &mut String, text: &str) {
    out.push('\'');
    for (n, part) in text.split('\'').enumerate() {
        if n > 0 {
            out.push_str("''");
        }
        out.push_str(part);
    }
    out.push('\'');
}

/// A text, or NULL.
pub(crate) fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), text)
}

/// Bytes.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len() + 3);
    out.push_str("x'");
    put_hex(&mut out, bytes);
    out.push('\'');
    out
}

/// Bytes in hexadecimal, behind what there is.
pub(crate) fn put_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// A name of a table or column.
pub(crate) fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_quote_is_special() {
        assert_eq!(text(r"it's \n"), r"'it''s \n'");
        assert_eq!(text(""), "''");
        assert_eq!(optional(None), "NULL");
        assert_eq!(bytes(&[0, 0xab]), "x'00AB'");
        assert_eq!(name("a`b"), "`a``b`");
    }
}

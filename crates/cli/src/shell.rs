//! Commands as a shell takes them, for messages that say what to type.

/// An argument, quoted where a shell would make something else of it.
pub(crate) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn arguments_survive_a_shell() {
        assert_eq!(quote("a/b-c"), "a/b-c");
        assert_eq!(quote("sqlite:///shop.db"), "sqlite:///shop.db");
        assert_eq!(quote("it's here"), r"'it'\''s here'");
        assert_eq!(quote(""), "''");
    }
}

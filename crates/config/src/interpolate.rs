//! `${VAR}`, `${VAR:-default}`, `${file:PATH}` and `$$` in a text.

use std::{io::Read, path::Path};

/// A secret or a piece of SQL is never larger.
const MAX_FILE: u64 = 1 << 20;

/// Where variables come from.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is wrong with a reference.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    /// The reference as written: `${SHOP_PASSWORD}`.
    pub(crate) reference: String,
    /// What is wrong with it, after its name.
    pub(crate) why: String,
    /// What to do.
    pub(crate) help: String,
}

/// The text with every reference replaced, or all the references that cannot be. What is put in is not looked at
/// again: a password may hold `${`.
pub(crate) fn interpolate(text: &str, env: Env<'_>, base: &Path) -> Result<String, Vec<Unresolved>> {
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if rest.starts_with("$$") {
            out.push('$');
            rest = &rest[2..];
        } else if rest.starts_with("${") {
            let Some(end) = rest.find('}') else {
                wrong.push(Unresolved {
                    reference: rest.to_owned(),
                    why: "is never closed".to_owned(),
                    help: "close it with }, or write $$ for a plain dollar sign".to_owned(),
                });
                break;
            };
            match lookup(&rest[2..end], env, base) {
                Ok(value) => out.push_str(&value),
                Err((why, help)) => wrong.push(Unresolved { reference: rest[..=end].to_owned(), why, help }),
            }
            rest = &rest[end + 1..];
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    if wrong.is_empty() { Ok(out) } else { Err(wrong) }
}

fn lookup(inner: &str, env: Env<'_>, base: &Path) -> Result<String, (String, String)> {
    if let Some(path) = inner.strip_prefix("file:") {
        return read(&base.join(path)).map_err(|why| {
            (
                format!("cannot be read: {why}"),
                "the path is relative to the pipeline file; check that it is there and readable".to_owned(),
            )
        });
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let first = name.bytes().next();
    if first.is_none_or(|b| b.is_ascii_digit()) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let help = "write ${NAME}, ${NAME:-default} or ${file:PATH}; $$ is a plain dollar sign";
        return Err(("is not the name of a variable".to_owned(), help.to_owned()));
    }
    // As in a shell, `:-` stands in for an empty variable too.
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(("is not set".to_owned(), format!("set {name} in the environment, or write ${{{name}:-default}}")))
        }
    }
}

/// A file's text without the line end that editors add.
fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("it is larger than 1 MiB".to_owned());
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "USER" => Some("app".to_owned()),
            "TRICKY" => Some("a${USER}$$".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn references_are_replaced_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "s3cret\n").unwrap();
        let of = |text: &str| interpolate(text, &env, dir.path()).unwrap();
        assert_eq!(of("${USER}:${file:pw}@db"), "app:s3cret@db");
        assert_eq!(of("${TRICKY}"), "a${USER}$$");
        assert_eq!(of("$${USER} costs 5$ or $5"), "${USER} costs 5$ or $5");
        assert_eq!(of("${NONE:-x}${EMPTY:-y}${EMPTY}${NONE:-}"), "xy");
    }

    #[test]
    fn everything_missing_is_reported_at_once() {
        let wrong = interpolate("${A} ${file:none} ${a b} ${open", &env, Path::new("")).unwrap_err();
        let references: Vec<&str> = wrong.iter().map(|w| w.reference.as_str()).collect();
        assert_eq!(references, ["${A}", "${file:none}", "${a b}", "${open"]);
    }

    proptest! {
        #[test]
        fn text_without_dollars_is_left_alone(text in "[^$]*") {
            prop_assert_eq!(interpolate(&text, &env, Path::new("")), Ok(text));
        }

        #[test]
        fn doubled_dollars_give_any_text(text in "[a${}:]*") {
            prop_assert_eq!(interpolate(&text.replace('$', "$$"), &env, Path::new("")), Ok(text));
        }
    }
}

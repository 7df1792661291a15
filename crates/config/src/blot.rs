//! A text without the secrets that stand in it in the clear, byte for byte as long, so that positions stay right. A reference
//! (`${VAR}`) is no secret and stays readable.

use crate::{
    diagnostics::{Findings, Spot},
    yaml::{self, Data, Node},
};
use std::ops::Range;

/// What stands under these names is a secret, whoever has use for it.
const SECRET: [&str; 9] =
    ["password", "passwd", "pwd", "secret", "token", "api_key", "access_key", "secret_key", "webhook"];

/// The text, of a pipeline file or of what should be one.
pub(crate) fn blot(text: &str) -> String {
    let mut out = urls(text);
    match yaml::parse(text, &mut Findings::default()) {
        Some(root) => values(text, &root, "", &mut out),
        None => text.lines().for_each(|line| named(text, line, &mut out)),
    }
    text.lines().filter(|line| line.trim_start().starts_with('#')).for_each(|line| named(text, line, &mut out));
    // Whole characters alone were taken out.
    String::from_utf8(out).unwrap_or_default()
}

/// Whatever looks like a URL, wherever it stands.
fn urls(text: &str) -> Vec<u8> {
    let mut out = text.as_bytes().to_vec();
    let mut from = 0;
    // Two slashes and not `://`: a URL whose colon was forgotten is refused, and shown with its password.
    while let Some(start) = text[from..].find("//").map(|i| from + i + 2) {
        let rest = &text[start..];
        let end = start + rest.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(rest.len());
        for secret in of_url(&text[start..end]) {
            hide(&mut out, text, start + secret.start..start + secret.end);
        }
        from = end;
    }
    out
}

/// Where the secrets of a URL are, behind its two slashes.
fn of_url(url: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let host = url.find(['/', '?']).unwrap_or(url.len());
    // A password may hold an unescaped slash: then the last @ before a query ends it all the same.
    let at = url[..host].rfind('@').or_else(|| url[..url.find('?').unwrap_or(url.len())].rfind('@'));
    if let Some(at) = at
        && let Some(colon) = url[..at].find(':')
    {
        out.push(colon + 1..at);
    }
    if let Some(question) = url.find('?') {
        let mut at = question + 1;
        for pair in url[question + 1..].split('&') {
            if let Some((name, _)) = pair.split_once('=')
                && ["password", "secret", "token", "key"].iter().any(|s| name.to_ascii_lowercase().contains(s))
            {
                out.push(at + name.len() + 1..at + pair.len());
            }
            at += pair.len() + 1;
        }
    }
    out
}

/// Values whose secret is not seen in the text as it stands: YAML has many ways to write one.
fn values(text: &str, node: &Node, name: &str, out: &mut [u8]) {
    match &node.data {
        Data::List(items) => items.iter().for_each(|item| values(text, item, name, out)),
        Data::Map(members) => {
            for member in members {
                // Columns may be called anything.
                let name = if name == "columns" { "" } else { member.name.as_str() };
                values(text, &member.value, name, out);
            }
        }
        Data::Scalar { text: value, .. } => {
            let Spot::Text(from, to) = node.at else { return };
            let secrets = value.find("//").map(|at| (at + 2, of_url(&value[at + 2..])));
            let secrets =
                secrets.iter().flat_map(|(at, all)| all.iter().map(move |s| &value[at + s.start..at + s.end]));
            let shown = |secret: &str| {
                let left = String::from_utf8_lossy(&out[from..to]);
                !text[from..to].contains(value.as_str()) || left.contains(secret)
            };
            let told = secrets.filter(|secret| !secret.is_empty() && !is_reference(secret)).any(shown);
            let named = SECRET.contains(&name.to_ascii_lowercase().as_str()) && !is_reference(value);
            if told || named {
                conceal(out, text, from..to);
            }
        }
    }
}

/// What stands behind a name for a secret, where nobody can tell what is a value.
fn named(text: &str, line: &str, out: &mut [u8]) {
    let Some((name, value)) = line.split_once(':') else { return };
    let name = name.trim_matches(|c: char| c.is_whitespace() || "#-{\"'".contains(c)).to_ascii_lowercase();
    let name = name.rsplit(|c: char| c.is_whitespace() || "{,".contains(c)).next().unwrap_or_default();
    let trimmed = value.trim();
    if SECRET.contains(&name) && !trimmed.is_empty() && !is_reference(trimmed.trim_matches(['"', '\''])) {
        let from = trimmed.as_ptr() as usize - text.as_ptr() as usize;
        conceal(out, text, from..from + trimmed.len());
    }
}

fn is_reference(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}') && !text[2..text.len() - 1].contains(['{', '}'])
}

fn hide(out: &mut [u8], text: &str, range: Range<usize>) {
    if !is_reference(&text[range.clone()]) {
        conceal(out, text, range);
    }
}

/// Line ends stay, so that lines are those they were.
fn conceal(out: &mut [u8], text: &str, range: Range<usize>) {
    let bytes = text.as_bytes();
    for at in range {
        if !matches!(bytes[at], b'\n' | b'\r') {
            out[at] = b'*';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn passwords_in_the_clear_are_blotted_out_and_references_are_not() {
        let text = "a: postgres://app:hünter2@db/x?sslmode=off&auth_token=abc\nb: pg://u:${PW}@h/d\nc: x://u:a/b@h/d\nd: pg//u:pw@h";
        let shown = blot(text);
        assert_eq!(shown.len(), text.len());
        assert_eq!(
            shown,
            "a: postgres://app:********@db/x?sslmode=off&auth_token=***\nb: pg://u:${PW}@h/d\nc: x://u:***@h/d\nd: pg//u:**@h"
        );
    }

    /// The same password, as YAML lets one write it, and where somebody wrote it by mistake.
    #[test]
    fn no_way_of_writing_shows_a_password() {
        for text in [
            r#"url: "postgres:\/\/app:hunter2@db/x""#,
            "url: \"postgres://app:\\\n  hunter2@db/x\"",
            "url: >-\n  postgres://app:hunter2@db/x\n",
            r#"url: "postgres://app:hunter\x32@db/x""#,
            "url: postgres://app:hunter2\"x@db/x",
            "url: postgres://app:a'hunter2@db/x",
            "# url: postgres://app:hunter2@db/x\na: b",
            "# password: hunter2\na: b",
            "alerts: { ops: { webhook: \"https://hooks.example.com/T0/hunter2\" } }",
            "source:\n  password: hunter2\n",
            "source: { url: a, Password: \"hunter2\" }",
            "source:\n\tpassword: hunter2\n",
            "source: [\n  token: hunter2\n",
            "a: &u postgres://app:hunter2@db/x\nb: *u\n",
            "url: postgres://app:${PW}hunter2@db/x",
        ] {
            let shown = blot(text);
            assert!(!shown.contains("hunter"), "{text}\n{shown}");
            assert_eq!((shown.len(), shown.lines().count()), (text.len(), text.lines().count()), "{text}");
        }
        for text in
            ["password: ${PW}", "# token: ${file:t}\na: b", "columns: { token: text }", "key: id", "url: pg://u:${P}@h"]
        {
            assert_eq!(blot(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_stays_as_long_as_it_is(text in "[a-zé:/@?&=\"'#{}\\[\\] \\\\\n\t$-]{0,60}") {
            prop_assert_eq!(blot(&text).len(), text.len());
        }
    }
}

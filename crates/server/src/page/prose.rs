//! The pages of error codes: the little of Markdown that they are written in.

use askama::{Template, filters::HtmlSafe};
use std::borrow::Cow;

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    Title(String),
    Heading(Vec<Inline>),
    Paragraph(Vec<Inline>),
    List(Vec<Vec<Inline>>),
    Code(String),
}

/// Part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inline {
    Text(String),
    Code(String),
    /// Also what a link says that leads to a file of the repository, which is no page here.
    Strong(String),
    /// The page of an error code.
    Error(String),
}

/// Parts of a line, as they are shown.
#[derive(Template)]
#[template(path = "page/line.html")]
pub(crate) struct Line<'a> {
    parts: Cow<'a, [Inline]>,
}

impl HtmlSafe for Line<'_> {}

/// Parts of a line, to be shown.
pub(crate) fn line(parts: &[Inline]) -> Line<'_> {
    Line { parts: Cow::Borrowed(parts) }
}

/// A sentence of a message, to be shown.
pub(crate) fn told(text: &str) -> Line<'static> {
    Line { parts: Cow::Owned(ticks(text)) }
}

/// In such a sentence only names between backticks are marked.
fn ticks(text: &str) -> Vec<Inline> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((code, after)) = after.split_once('`').filter(|(code, _)| !code.is_empty()) else { break };
        out.push(Inline::Text(before.to_owned()));
        out.push(Inline::Code(code.to_owned()));
        rest = after;
    }
    out.push(Inline::Text(rest.to_owned()));
    out
}

/// Blocks of a page.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut out = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            out.push(Block::Code(code.join("\n")));
        } else if let Some(title) = line.strip_prefix("# ") {
            out.push(Block::Title(title.to_owned()));
        } else if line.starts_with('#') {
            out.push(Block::Heading(inline(line.trim_start_matches('#').trim())));
        } else if let Some(first) = item(line) {
            let mut items = vec![first.to_owned()];
            while let Some(line) = lines.peek().filter(|line| !line.trim().is_empty()) {
                match item(line) {
                    Some(next) => items.push(next.to_owned()),
                    None => {
                        if let Some(last) = items.last_mut() {
                            last.push(' ');
                            last.push_str(line.trim());
                        }
                    }
                }
                lines.next();
            }
            out.push(Block::List(items.iter().map(|item| inline(item)).collect()));
        } else if !line.trim().is_empty() {
            let mut all = line.trim().to_owned();
            let goes_on = |line: &&str| !line.trim().is_empty() && !line.starts_with("```") && item(line).is_none();
            while let Some(line) = lines.peek().copied().filter(|line| goes_on(line)) {
                all.push(' ');
                all.push_str(line.trim());
                lines.next();
            }
            out.push(Block::Paragraph(inline(&all)));
        }
    }
    out
}

/// Paragraphs and items below a heading, as messages are written.
pub(crate) fn section(text: &str, heading: &str) -> Vec<String> {
    let plain = |parts: &[Inline]| -> String {
        let part = |part: &Inline| match part {
            Inline::Code(text) => format!("`{text}`"),
            Inline::Text(text) | Inline::Strong(text) | Inline::Error(text) => text.clone(),
        };
        parts.iter().map(part).collect()
    };
    let mut out = Vec::new();
    let mut inside = false;
    for block in blocks(text) {
        match block {
            Block::Heading(parts) => inside = plain(&parts) == heading,
            Block::Paragraph(parts) if inside => out.push(plain(&parts)),
            Block::List(items) if inside => out.extend(items.iter().map(|parts| plain(parts))),
            _ => {}
        }
    }
    out
}

/// What stands behind the mark of a list.
fn item(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = (digits > 0).then(|| line[digits..].strip_prefix(". ")).flatten();
    line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).or(numbered)
}

fn inline(text: &str) -> Vec<Inline> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let special = rest.find(['`', '[', '*']).unwrap_or(rest.len());
        if special > 0 {
            out.push(Inline::Text(rest[..special].to_owned()));
            rest = &rest[special..];
            continue;
        }
        let between = |open: &str, close: &str| {
            let inner = rest.strip_prefix(open)?;
            let end = inner.find(close)?;
            Some((inner[..end].to_owned(), &inner[end + close.len()..]))
        };
        if let Some((code, after)) = between("`", "`") {
            out.push(Inline::Code(code));
            rest = after;
        } else if let Some((strong, after)) = between("**", "**") {
            out.push(Inline::Strong(strong));
            rest = after;
        } else if let Some((strong, after)) = between("*", "*") {
            out.push(Inline::Strong(strong));
            rest = after;
        } else if let Some(((label, target), after)) = between("[", "](").and_then(|(label, after)| {
            let end = after.find(')')?;
            Some(((label, &after[..end]), &after[end + 1..]))
        }) {
            let code = target.rsplit('/').next().and_then(|file| file.strip_suffix(".md"));
            out.push(match code.filter(|code| super::view::is_code(code)) {
                Some(code) => Inline::Error(code.to_owned()),
                None => Inline::Strong(label.replace('`', "")),
            });
            rest = after;
        } else {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            out.push(Inline::Text(rest[..first].to_owned()));
            rest = &rest[first..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pages_of_errors_are_written_in_is_read() {
        let text = "# FM0101: it cannot\n\n```text\nerror <x>\n```\n\n## What to do\n\nRun `a b`, see\n[FM0102](FM0102.md).\n- one\n  more\n- two\n";
        let read = blocks(text);
        assert_eq!(read.len(), 5, "{read:?}");
        assert_eq!(read[1], Block::Code("error <x>".into()));
        let Block::Paragraph(parts) = &read[3] else { panic!("{read:?}") };
        assert_eq!(parts[1], Inline::Code("a b".into()));
        assert_eq!(parts[3], Inline::Error("FM0102".into()));
        let Block::List(items) = &read[4] else { panic!("{read:?}") };
        assert_eq!(items, &[vec![Inline::Text("one more".into())], vec![Inline::Text("two".into())]]);
        assert_eq!(section(text, "What to do"), ["Run `a b`, see FM0102.", "one more", "two"]);
        assert!(section(text, "What").is_empty());
    }

    #[test]
    fn of_a_message_only_names_are_marked() {
        let code = |text: &str| Inline::Code(text.into());
        let text = |text: &str| Inline::Text(text.into());
        assert_eq!(ticks("no `watermak` in *.csv"), [text("no "), code("watermak"), text(" in *.csv")]);
        assert_eq!(ticks("a ` b"), [text("a ` b")]);
        assert_eq!(ticks("``"), [text("``")]);
    }

    #[test]
    fn what_is_no_mark_is_text() {
        for text in ["a ` b", "[a](b", "* a", "**", "[", "1.5 rows", "ü`"] {
            let told: String = inline(text)
                .iter()
                .map(|part| match part {
                    Inline::Text(text) | Inline::Code(text) | Inline::Strong(text) | Inline::Error(text) => {
                        text.as_str()
                    }
                })
                .collect();
            assert!(!told.is_empty() || text == "**", "{text}: {told}");
        }
    }

    #[test]
    fn every_page_of_an_error_is_read_whole() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        let pages =
            std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let mut n = 0;
        for page in pages {
            let read = blocks(&page);
            assert!(matches!(read[0], Block::Title(_)) && read.len() > 4, "{page}");
            n += 1;
        }
        assert!(n > 40);
    }
}

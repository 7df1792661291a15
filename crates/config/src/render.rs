//! Diagnostics as a person reads them: the line, a caret, and what to do.

use crate::diagnostics::{Diagnostic, Diagnostics, Spot};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::ops::Range;

/// More than this says nothing new.
const SHOWN: usize = 100;

impl Diagnostics {
    /// All of them, one after the other, with an empty line between. Ends without a line feed.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let path = self.path.display().to_string();
        let mut out: Vec<String> =
            self.list.iter().take(SHOWN).map(|d| renderer.render(&[self.group(d, &path)])).collect();
        if let Some(more) = self.list.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            out.push(format!("and {more} more"));
        }
        out.join("\n\n")
    }

    fn group<'a>(&'a self, d: &'a Diagnostic, path: &'a str) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(d.message.as_str()).id(d.code.number()));
        if let Some(span) = d.span() {
            let mut primary = AnnotationKind::Primary.span(self.line_of(span));
            if let Some(label) = &d.label {
                primary = primary.label(label.as_str());
            }
            let mut snippet = Snippet::source(self.text.as_str()).path(path).annotation(primary);
            if let Some((Spot::Text(from, to), why)) = d.related {
                snippet = snippet.annotation(AnnotationKind::Context.span(self.line_of(from..to)).label(why));
            }
            group = group.element(snippet);
        } else if !path.is_empty() {
            group = group.element(Level::NOTE.message(format!("in {path}")));
        }
        for help in &d.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }

    /// A span cut to its first line: a caret under forty lines of SQL shows nothing.
    fn line_of(&self, span: Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let line = text.split(['\n', '\r']).next().unwrap_or_default();
        span.start..span.start + line.len()
    }
}

/// The text with passwords written in the clear blotted out, byte for byte, so that positions stay right. A
/// reference (`${VAR}`) is no secret and stays readable.
pub(crate) fn blot(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut from = 0;
    // Two slashes and not `://`: a URL whose colon was forgotten is refused, and shown with its password.
    while let Some(start) = text[from..].find("//").map(|i| from + i + 2) {
        let rest = &text[start..];
        let end = start + rest.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(rest.len());
        let url = &text[start..end];
        let host = url.find(['/', '?']).unwrap_or(url.len());
        // A password may hold an unescaped slash: then the last @ before a query ends it all the same.
        let at = url[..host].rfind('@').or_else(|| url[..url.find('?').unwrap_or(url.len())].rfind('@'));
        if let Some(at) = at
            && let Some(colon) = url[..at].find(':')
        {
            hide(&mut out, text, start + colon + 1..start + at);
        }
        if let Some(question) = url.find('?') {
            let mut at = start + question + 1;
            for pair in url[question + 1..].split('&') {
                if let Some((name, _)) = pair.split_once('=')
                    && ["password", "secret", "token", "key"].iter().any(|s| name.to_ascii_lowercase().contains(s))
                {
                    hide(&mut out, text, at + name.len() + 1..at + pair.len());
                }
                at += pair.len() + 1;
            }
        }
        from = end;
    }
    String::from_utf8(out).unwrap_or_default()
}

fn hide(out: &mut [u8], text: &str, range: Range<usize>) {
    let secret = &text[range.clone()];
    if !(secret.starts_with("${") && secret.ends_with('}')) {
        out[range].fill(b'*');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

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

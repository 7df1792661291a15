//! YAML text → a tree that knows where everything stands.
//!
//! Built from the parser's events, not its ready-made values: those lose how a scalar was written (`2024-01-01`,
//! `1.10`, `none`), keep one of two equal keys and stop at the first of several mistakes.

use crate::diagnostics::{Findings, Spot, quoted};
use floodmark_core::Code;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use std::collections::HashMap;

/// Nesting beyond this is no pipeline file.
const MAX_DEPTH: usize = 64;
/// Aliases may copy this many nodes in all; a few nested ones could otherwise ask for billions.
const MAX_COPIES: usize = 10_000;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Spot,
    pub(crate) data: Data,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// Text as the file has it; `plain` when it is not quoted.
    Scalar { text: String, plain: bool },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in file order, each key once.
    Map(Vec<Member>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) at: Spot,
    pub(crate) value: Node,
}

impl Node {
    /// What it is, with its article.
    pub(crate) fn what(&self) -> &'static str {
        match self.data {
            Data::Scalar { .. } => "a single value",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    fn size(&self) -> usize {
        1 + match &self.data {
            Data::Scalar { .. } => 0,
            Data::List(items) => items.iter().map(Node::size).sum(),
            Data::Map(members) => members.iter().map(|m| m.value.size()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.data {
            Data::Scalar { .. } => 0,
            Data::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Data::Map(members) => members.iter().map(|m| m.value.depth()).max().unwrap_or(0),
        }
    }
}

/// Reads the one document of a text. `None` when there is no tree to go on with; the findings say why.
pub(crate) fn parse(text: &str, out: &mut Findings) -> Option<Node> {
    // The parser counts characters, everything here bytes.
    let bytes: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
    let byte = |m: Marker| bytes.get(m.index()).copied().unwrap_or(text.len());
    let mut tree = Tree { out, stack: Vec::new(), anchors: HashMap::new(), copies: 0, root: None, documents: 0 };
    for item in Parser::new_from_str(text) {
        let (event, span) = match item {
            Ok(item) => item,
            Err(error) => {
                syntax(text, byte(*error.marker()), error.info(), tree.out);
                return None;
            }
        };
        let at = (byte(span.start), byte(span.end).max(byte(span.start)));
        if !tree.event(event, at) {
            return None;
        }
    }
    let root = tree.root.take();
    if root.is_none() {
        out.add(Code::ConfigInvalid, Spot::Text(0, 0), "the file holds nothing")
            .help("`floodmark init` writes an example");
    }
    root
}

/// A mistake that leaves no tree.
fn syntax(text: &str, at: usize, info: &str, out: &mut Findings) {
    // The parser points somewhere near: often at the line above the tab that is meant.
    let line = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let tab = text[line..].find('\t').map(|i| line + i).filter(|tab| {
        let start = text[..*tab].rfind('\n').map_or(0, |i| i + 1);
        let near = info.contains("tab") || text[at.min(*tab)..*tab].trim().is_empty();
        near && text[start..*tab].trim().is_empty()
    });
    if let Some(tab) = tab {
        out.add(Code::ConfigInvalid, Spot::Text(tab, tab + 1), "a line is indented with a tab")
            .help("indent with spaces: YAML takes no tabs");
    } else {
        out.add(Code::ConfigInvalid, Spot::Text(at, at), format!("not valid YAML: {info}"));
    }
}

struct Tree<'a> {
    out: &'a mut Findings,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    copies: usize,
    root: Option<Node>,
    documents: usize,
}

/// A list or mapping that is not closed yet.
struct Frame {
    from: usize,
    anchor: usize,
    kind: Open,
}

enum Open {
    List(Vec<Node>),
    Map { members: Vec<Member>, seen: HashMap<String, Spot>, key: Option<(Option<String>, Spot)> },
}

impl Tree<'_> {
    /// Takes one event; `false` ends the reading.
    fn event(&mut self, event: Event<'_>, (from, to): (usize, usize)) -> bool {
        let spot = Spot::Text(from, to);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.fault(spot, "a pipeline file holds one document, and here a second one begins");
                    return false;
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(tag) = tag.filter(|t| !t.is_yaml_core_schema()) {
                    self.fault(spot, format!("the tag {} means nothing here", quoted(&tag.to_string())));
                }
                let data = Data::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                return self.close(Node { at: spot, data }, anchor);
            }
            Event::SequenceStart(anchor, _) => return self.open(from, anchor, Open::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                return self.open(from, anchor, Open::Map { members: Vec::new(), seen: HashMap::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.stack.pop() else { return false };
                let data = match frame.kind {
                    Open::List(items) => Data::List(items),
                    Open::Map { members, .. } => Data::Map(members),
                };
                return self.close(Node { at: Spot::Text(frame.from, to), data }, frame.anchor);
            }
            Event::Alias(id) => {
                let Some(mut node) = self.anchors.get(&id).cloned() else {
                    self.fault(spot, "this alias is part of what it stands for");
                    return false;
                };
                self.copies += node.size();
                if self.copies > MAX_COPIES || self.stack.len() + node.depth() > MAX_DEPTH {
                    self.fault(spot, "aliases copy more than a pipeline file can need");
                    return false;
                }
                // A mistake in a copied scalar is shown where it is used; one inside a copied mapping, where it stands.
                node.at = spot;
                return self.close(node, 0);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn open(&mut self, from: usize, anchor: usize, kind: Open) -> bool {
        if self.stack.len() >= MAX_DEPTH {
            self.fault(Spot::Text(from, from), "nested too deeply for a pipeline file");
            return false;
        }
        self.stack.push(Frame { from, anchor, kind });
        true
    }

    fn close(&mut self, node: Node, anchor: usize) -> bool {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return true;
        };
        match &mut frame.kind {
            Open::List(items) => items.push(node),
            Open::Map { members, seen, key } => match key.take() {
                None => {
                    let name = if let Data::Scalar { text, .. } = node.data { Some(text) } else { None };
                    if name.is_none() {
                        self.out.add(
                            Code::ConfigInvalid,
                            node.at,
                            "a name must be text, and this is a list or a mapping",
                        );
                    }
                    *key = Some((name, node.at));
                }
                Some((None, _)) => {}
                Some((Some(name), at)) => match seen.get(&name) {
                    Some(first) => {
                        let message = format!("{} is given twice", quoted(&name));
                        self.out
                            .add(Code::ConfigInvalid, at, message)
                            .related(*first, "first given here")
                            .help("keep one of the two");
                    }
                    None => {
                        seen.insert(name.clone(), at);
                        members.push(Member { name, at, value: node });
                    }
                },
            },
        }
        true
    }

    fn fault(&mut self, spot: Spot, message: impl Into<String>) {
        self.out.add(Code::ConfigInvalid, spot, message);
    }
}

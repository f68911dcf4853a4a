//! YAML text to a tree in which every node knows its place.
//!
//! Scalars stay text: what a value means is decided by the key it stands under, never by how it looks.

use acme_types::{Diagnostic, Place, codes};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashSet;
use std::sync::Arc;

/// Nodes that a document may have once its aliases are expanded: far above any real file, far below a bomb.
const NODES_MAX: usize = 100_000;
/// Nesting that a document may have.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) at: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    /// `~`, `null` or nothing at all.
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) at: Place,
}

impl Node {
    /// What it is, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Scalar(_) => "a single value",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a mapping",
        }
    }
}

/// Reads one document. Syntax errors end it; a key that stands twice is reported and its first value kept.
pub(crate) fn parse(file: &Arc<str>, text: &str, found: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut builder = Builder { file, open: Vec::new(), root: None, anchors: Vec::new(), nodes: 0, found };
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let place = Place {
                    file: file.clone(),
                    line: error.marker().line().max(1),
                    column: error.marker().col() + 1,
                };
                Err(Diagnostic::new(&codes::YAML, format!("not valid YAML: {}", error.info())).at(&place))
            }
        };
        if let Err(diagnostic) = step {
            builder.found.push(diagnostic);
            return None;
        }
    }
    if builder.root.is_none() {
        let start = Place { file: file.clone(), line: 1, column: 1 };
        found.push(
            Diagnostic::new(&codes::YAML, "the file is empty")
                .at(&start)
                .help("start with `name:`, `sources:` and `destinations:`"),
        );
        return None;
    }
    builder.root
}

/// A collection whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    /// In a mapping: the key that waits for its value.
    key: Option<Key>,
    /// In a mapping: the keys so far.
    known: HashSet<String>,
}

struct Builder<'a> {
    file: &'a Arc<str>,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: Vec<(usize, Node, usize)>,
    nodes: usize,
    found: &'a mut Vec<Diagnostic>,
}

impl Builder<'_> {
    fn place(&self, span: Span) -> Place {
        Place { file: self.file.clone(), line: span.start.line(), column: span.start.col() + 1 }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let at = self.place(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    return Err(
                        Diagnostic::new(&codes::YAML, "tags such as `!name` have no meaning here").at(&at)
                    );
                }
                // A key is a word whatever it looks like.
                let key = (self.open.last())
                    .is_some_and(|open| open.key.is_none() && matches!(open.node.kind, NodeKind::Map(_)));
                let null = !key
                    && style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let kind = if null { NodeKind::Null } else { NodeKind::Scalar(text.into_owned()) };
                self.close(Node { kind, at }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(Node { kind: NodeKind::List(Vec::new()), at }, anchor)
            }
            Event::MappingStart(anchor, _) => {
                self.begin(Node { kind: NodeKind::Map(Vec::new()), at }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Err(Diagnostic::new(&codes::YAML, "a collection ends that never began").at(&at));
                };
                self.close(open.node, open.anchor, 1)
            }
            Event::Alias(id) => match self.anchors.iter().rev().find(|(anchor, ..)| *anchor == id) {
                Some((_, node, size)) => {
                    let (node, size) = (node.clone(), *size);
                    self.close(Node { at, ..node }, 0, size)
                }
                None => Err(Diagnostic::new(&codes::YAML, "an alias stands inside its own anchor").at(&at)),
            },
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Diagnostic::new(&codes::YAML, "the file holds more than one document")
                    .at(&at)
                    .help("put each pipeline into a file of its own"))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        if self.open.len() >= DEPTH_MAX {
            return Err(
                Diagnostic::new(&codes::YAML, format!("nested deeper than {DEPTH_MAX} levels")).at(&node.at)
            );
        }
        self.open.push(Open { node, anchor, key: None, known: HashSet::new() });
        Ok(())
    }

    /// A whole node has been read: it goes into the collection around it.
    fn close(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), Diagnostic> {
        self.nodes += size;
        if self.nodes > NODES_MAX {
            return Err(Diagnostic::new(&codes::YAML, format!("more than {NODES_MAX} nodes")).at(&node.at));
        }
        if anchor != 0 {
            // The copy that is kept counts too: anchors may stand inside each other.
            let size = count(&node);
            self.nodes += size;
            self.anchors.push((anchor, node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut parent.node.kind, parent.key.take()) {
            (NodeKind::Map(entries), Some(key)) => {
                if parent.known.insert(key.name.clone()) {
                    entries.push((key, node));
                } else {
                    let message = format!("key \"{}\" stands twice in one mapping", key.name);
                    self.found.push(Diagnostic::new(&codes::DUPLICATE, message).at(&key.at));
                }
            }
            (NodeKind::Map(_), None) => match node.kind {
                NodeKind::Scalar(name) => parent.key = Some(Key { name, at: node.at }),
                NodeKind::Null => parent.key = Some(Key { name: String::new(), at: node.at }),
                _ => return Err(Diagnostic::new(&codes::YAML, "a key must be a single word").at(&node.at)),
            },
            (NodeKind::List(items), _) => items.push(node),
            (NodeKind::Null | NodeKind::Scalar(_), _) => unreachable!("only collections are opened"),
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        NodeKind::Null | NodeKind::Scalar(_) => 0,
        NodeKind::List(items) => items.iter().map(count).sum(),
        NodeKind::Map(entries) => entries.iter().map(|(_, value)| 1 + count(value)).sum(),
    }
}

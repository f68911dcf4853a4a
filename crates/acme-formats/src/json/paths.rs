//! The paths that are wanted, as one tree: what both ways of decoding walk along.

use acme_types::{DocumentPath, PathStep};

/// The paths as a tree. A node is an index; the leaves name slots, which are the indices of the paths.
#[derive(Clone, Debug)]
pub(super) struct PathTree {
    nodes: Vec<Node>,
    /// The node of each path.
    ends: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Slots that take the value found here, whole.
    slots: Vec<usize>,
    children: Vec<(PathStep, usize)>,
}

impl PathTree {
    /// The document itself.
    pub(super) const ROOT: usize = 0;

    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a DocumentPath>) -> Self {
        let mut tree = Self { nodes: vec![Node::default()], ends: Vec::new() };
        for (slot, path) in paths.into_iter().enumerate() {
            let end = path.0.iter().fold(Self::ROOT, |node, step| tree.enter(node, step));
            tree.nodes[end].slots.push(slot);
            tree.ends.push(end);
        }
        tree
    }

    fn enter(&mut self, node: usize, step: &PathStep) -> usize {
        if let Some((_, child)) = self.nodes[node].children.iter().find(|(known, _)| known == step) {
            return *child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[node].children.push((step.clone(), child));
        child
    }

    /// Number of nodes.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node of each path, by slot.
    pub(super) fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The member of this name, if something in it is wanted.
    pub(super) fn key(&self, node: usize, name: &[u8]) -> Option<usize> {
        let is = |step: &PathStep| matches!(step, PathStep::Key(key) if key.as_bytes() == name);
        self.nodes[node].children.iter().find(|(step, _)| is(step)).map(|(_, child)| *child)
    }

    /// The element at this index, if something in it is wanted.
    pub(super) fn index(&self, node: usize, at: usize) -> Option<usize> {
        let children = &self.nodes[node].children;
        children.iter().find(|(step, _)| *step == PathStep::Index(at)).map(|(_, child)| *child)
    }

    /// The slots that take the whole value of a node.
    pub(super) fn slots(&self, node: usize) -> &[usize] {
        &self.nodes[node].slots
    }

    /// Whether nothing inside the node's value is wanted by itself.
    pub(super) fn is_leaf(&self, node: usize) -> bool {
        self.nodes[node].children.is_empty()
    }
}

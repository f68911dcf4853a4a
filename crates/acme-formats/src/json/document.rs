//! The members of one JSON document, found by path, through a JSON library.
//!
//! This is the careful path: slow, and short enough to be believed. It judges the fast one (`scan.rs`), and words every
//! refusal.

use super::paths::PathTree;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Finds the wanted values of one document. Of members with the same name the last counts.
pub(super) fn find<'d>(
    tree: &PathTree,
    document: &'d str,
    slots: &mut [Option<&'d str>],
) -> Result<(), serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(document);
    parser.deserialize_map(Members { tree, node: PathTree::ROOT, slots })?;
    parser.end()
}

struct Members<'t, 's, 'd> {
    tree: &'t PathTree,
    node: usize,
    slots: &'s mut [Option<&'d str>],
}

impl<'d> Members<'_, '_, 'd> {
    /// Takes the value of a child of this node.
    fn take(&mut self, node: usize, value: &'d RawValue) -> Result<(), serde_json::Error> {
        let (tree, text) = (self.tree, value.get());
        for &slot in tree.slots(node) {
            self.slots[slot] = Some(text);
        }
        if tree.is_leaf(node) {
            return Ok(());
        }
        let inside = Members { tree, node, slots: self.slots };
        let mut parser = serde_json::Deserializer::from_str(text);
        match text.as_bytes()[0] {
            b'{' => parser.deserialize_map(inside),
            b'[' => parser.deserialize_seq(inside),
            // The path goes into something that has no members: nothing is there.
            _ => Ok(()),
        }
    }
}

impl<'de> Visitor<'de> for Members<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            match self.tree.key(self.node, name.as_bytes()) {
                Some(child) => {
                    let value = map.next_value::<&'de RawValue>()?;
                    self.take(child, value).map_err(A::Error::custom)?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        let mut at = 0;
        while let Some(value) = sequence.next_element::<&'de RawValue>()? {
            if let Some(child) = self.tree.index(self.node, at) {
                self.take(child, value).map_err(A::Error::custom)?;
            }
            at += 1;
        }
        Ok(())
    }
}

/// The name of a member: borrowed unless it has escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a member")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The top-level members of a document that is known to be valid: name and value, as they are written.
pub(super) fn members(document: &str) -> Result<Vec<(Cow<'_, str>, &str)>, serde_json::Error> {
    struct All;
    impl<'de> Visitor<'de> for All {
        type Value = Vec<(Cow<'de, str>, &'de str)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                members.push((name, value.get()));
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(document).deserialize_map(All)
}

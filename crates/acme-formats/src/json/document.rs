//! The members of one JSON document, found by path, through a JSON library.
//!
//! This is the careful path: any valid document, any order of members, escapes in names. It also judges the fast one.

use acme_types::{DocumentPath, PathStep};
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The paths that are wanted, as a tree; the leaves are indices of `slots`.
#[derive(Clone, Debug, Default)]
pub(super) struct PathTree {
    /// Slots that take the value found here, whole.
    slots: Vec<usize>,
    children: Vec<(PathStep, PathTree)>,
}

impl PathTree {
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a DocumentPath>) -> Self {
        let mut root = Self::default();
        for (slot, path) in paths.into_iter().enumerate() {
            let mut node = &mut root;
            for step in &path.0 {
                let at = node.children.iter().position(|(known, _)| known == step).unwrap_or_else(|| {
                    node.children.push((step.clone(), Self::default()));
                    node.children.len() - 1
                });
                node = &mut node.children[at].1;
            }
            node.slots.push(slot);
        }
        root
    }

    fn key(&self, name: &str) -> Option<&Self> {
        let is = |step: &PathStep| matches!(step, PathStep::Key(key) if key == name);
        self.children.iter().find(|(step, _)| is(step)).map(|(_, child)| child)
    }

    fn index(&self, at: usize) -> Option<&Self> {
        self.children.iter().find(|(step, _)| *step == PathStep::Index(at)).map(|(_, child)| child)
    }

    /// Finds the wanted values of one document. Of members with the same name the last counts.
    pub(super) fn find<'d>(
        &self,
        document: &'d str,
        slots: &mut [Option<&'d str>],
    ) -> Result<(), serde_json::Error> {
        let mut parser = serde_json::Deserializer::from_str(document);
        parser.deserialize_map(Members { tree: self, slots })?;
        parser.end()
    }

    fn take<'d>(&self, value: &'d RawValue, slots: &mut [Option<&'d str>]) -> Result<(), serde_json::Error> {
        let text = value.get();
        for &slot in &self.slots {
            slots[slot] = Some(text);
        }
        if self.children.is_empty() {
            return Ok(());
        }
        let mut parser = serde_json::Deserializer::from_str(text);
        match text.as_bytes()[0] {
            b'{' => parser.deserialize_map(Members { tree: self, slots }),
            b'[' => parser.deserialize_seq(Members { tree: self, slots }),
            // The path goes into something that has no members: nothing is there.
            _ => Ok(()),
        }
    }
}

struct Members<'t, 's, 'd> {
    tree: &'t PathTree,
    slots: &'s mut [Option<&'d str>],
}

impl<'de> Visitor<'de> for Members<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            match self.tree.key(&name) {
                Some(child) => {
                    let value = map.next_value::<&'de RawValue>()?;
                    child.take(value, self.slots).map_err(A::Error::custom)?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let mut at = 0;
        while let Some(value) = sequence.next_element::<&'de RawValue>()? {
            if let Some(child) = self.tree.index(at) {
                child.take(value, self.slots).map_err(A::Error::custom)?;
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

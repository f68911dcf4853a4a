//! The chain of links: who writes, and which checkpoint is the committed one.

use super::format::{self, Kind};
use super::objects::{self, Checkpoint, KEPT, Writer, damaged, io_error};
use super::store::CheckpointStore;
use acme_connect::failpoint;
use acme_types::{Diagnostic, codes};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    writer: Writer,
    /// The committed checkpoint from here on; `None` before the first.
    checkpoint: Option<String>,
}

/// The chain of one task, owned by one writer.
pub struct Chain {
    store: Arc<dyn CheckpointStore>,
    writer: Writer,
    /// The number of the last link that is known.
    last: u64,
    /// The committed checkpoint's name.
    checkpoint: Option<String>,
}

impl Chain {
    /// Takes the chain over: from here on no predecessor can commit. Returns what was committed last.
    ///
    /// Fails with [`codes::STATE`] when the committed checkpoint is missing or damaged.
    pub fn claim(
        store: Arc<dyn CheckpointStore>,
        writer: Writer,
    ) -> Result<(Self, Option<Checkpoint>), Diagnostic> {
        let mut chain = Self { store, writer, last: 0, checkpoint: None };
        loop {
            chain.seek()?;
            chain.has_links()?;
            let claim = Link { writer: chain.writer.clone(), checkpoint: chain.checkpoint.clone() };
            if chain.put(&claim)? {
                break;
            }
            // The predecessor was faster: its link is the last now.
        }
        let read = |name: &String| objects::read(chain.store.as_ref(), name);
        let checkpoint = chain.checkpoint.as_ref().map(read).transpose()?;
        Ok((chain, checkpoint))
    }

    /// What was committed last, for looking only: the chain stays with its owner.
    ///
    /// Fails with [`codes::STATE`] when the committed checkpoint is missing or damaged.
    pub fn peek(store: Arc<dyn CheckpointStore>) -> Result<Option<Checkpoint>, Diagnostic> {
        let mut chain = Self { store, writer: Writer(String::new()), last: 0, checkpoint: None };
        chain.seek()?;
        chain.checkpoint.as_ref().map(|name| objects::read(chain.store.as_ref(), name)).transpose()
    }

    /// Commits an epoch: afterwards a restart begins from it.
    ///
    /// Fails with [`codes::LOST_OWNERSHIP`] when another writer took the chain over; then nothing was committed.
    pub fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Diagnostic> {
        let name = objects::put(self.store.as_ref(), &self.writer, checkpoint)?;
        failpoint("epoch.stored");
        let link = Link { writer: self.writer.clone(), checkpoint: Some(name.clone()) };
        if !self.put(&link)? {
            let message = "another process took over this pipeline while it was running";
            let help = "find it with `acme status`; nothing of the last interval was committed here";
            return Err(Diagnostic::new(&codes::LOST_OWNERSHIP, message).help(help));
        }
        self.checkpoint = Some(name);
        self.tidy();
        Ok(())
    }

    /// Goes to the last link. The listing is a hint; what counts is that the next number is free.
    fn seek(&mut self) -> Result<(), Diagnostic> {
        let names = self.store.list("link-").map_err(|error| io_error("list the state", &error))?;
        let numbers = names.iter().filter_map(|name| name.strip_prefix("link-")?.parse::<u64>().ok());
        let mut number = numbers.max().unwrap_or(0).max(self.last);
        if number > 0 {
            self.follow(number)?
                .ok_or_else(|| damaged(&link_name(number), "it was listed but is not there"))?;
        }
        while self.follow(number + 1)?.is_some() {
            number += 1;
        }
        self.last = number;
        Ok(())
    }

    /// Checkpoints without any link are what is left of a chain: a first start finds neither.
    fn has_links(&self) -> Result<(), Diagnostic> {
        if self.last > 0 {
            return Ok(());
        }
        let left = self.store.list(objects::PREFIX).map_err(|error| io_error("list the state", &error))?;
        match left.first() {
            None => Ok(()),
            Some(name) => Err(damaged(&link_name(1), &format!("no link is there, but {name} is"))),
        }
    }

    fn follow(&mut self, number: u64) -> Result<Option<()>, Diagnostic> {
        let name = link_name(number);
        let bytes = self.store.get(&name).map_err(|error| io_error("read the state", &error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let link: Link = format::read(Kind::Link, &bytes).map_err(|cause| damaged(&name, &cause))?;
        self.checkpoint = link.checkpoint;
        Ok(Some(()))
    }

    /// Puts the next link; `false` where its number is taken by another writer.
    fn put(&mut self, link: &Link) -> Result<bool, Diagnostic> {
        let name = link_name(self.last + 1);
        let bytes = format::write(Kind::Link, link);
        let stored = match self.store.put_if_absent(&name, &bytes) {
            Ok(stored) => stored,
            // After an error the link may be there: what is there decides.
            Err(error) => match self.store.get(&name) {
                Ok(Some(found)) => found == bytes,
                _ => return Err(io_error("store a commit", &error)),
            },
        };
        if stored {
            self.last += 1;
        }
        Ok(stored)
    }

    /// Removes what no restart can need. Only the owner does, and only after a commit. Failing here harms nothing:
    /// what stays is removed after the next commit.
    fn tidy(&self) {
        let Some(oldest) = self.last.checked_sub(KEPT) else { return };
        let old_link = |name: &String| {
            name.strip_prefix("link-")
                .and_then(|number| number.parse::<u64>().ok())
                .is_some_and(|n| n < oldest)
        };
        for name in self.store.list("link-").unwrap_or_default().iter().filter(|name| old_link(name)) {
            let _ = self.store.delete(name);
        }
        if let Some(committed) = &self.checkpoint {
            objects::tidy(self.store.as_ref(), committed);
        }
    }
}

fn link_name(number: u64) -> String {
    format!("link-{number:020}")
}

//! Aggregates by key: what a slice of time holds, or a window that is put together from several.

use crate::aggregate::{Accumulator, Aggregate};
use crate::expr::EvalError;
use crate::keyed::KeyTable;
use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use std::sync::Arc;

/// One group for each key, each with all aggregates.
pub(super) struct Pane {
    keys: KeyTable,
    accumulators: Vec<Box<dyn Accumulator>>,
    /// Groups that have changed since the last snapshot.
    changed: Vec<bool>,
    groups: Vec<usize>,
}

/// Some or all keys of a pane with their partial states, as columns.
pub(super) struct Partial {
    pub(super) hashes: Vec<u64>,
    pub(super) keys: Vec<ArrayRef>,
    /// By aggregate.
    pub(super) states: Vec<Vec<ArrayRef>>,
}

impl Pane {
    pub(super) fn new(types: &[DataType], aggregates: &[Arc<dyn Aggregate>]) -> Self {
        Self {
            keys: KeyTable::new(types),
            accumulators: aggregates.iter().map(|aggregate| aggregate.accumulator()).collect(),
            changed: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Adds rows. `columns` are those of the input, the key's first.
    pub(super) fn update(
        &mut self,
        aggregates: &[Arc<dyn Aggregate>],
        keys: usize,
        columns: &[ArrayRef],
        hashes: &[u64],
    ) -> Result<(), EvalError> {
        self.find(&columns[..keys], hashes);
        for (aggregate, accumulator) in aggregates.iter().zip(&mut self.accumulators) {
            let arguments: Vec<ArrayRef> =
                aggregate.arguments().iter().map(|&at| columns[at].clone()).collect();
            let filter: Option<&BooleanArray> = aggregate.filter().map(|at| columns[at].as_boolean());
            accumulator.update(&arguments, &self.groups, filter, self.keys.len())?;
        }
        Ok(())
    }

    /// Adds partial states.
    pub(super) fn merge(&mut self, part: &Partial) -> Result<(), EvalError> {
        self.find(&part.keys, &part.hashes);
        for (states, accumulator) in part.states.iter().zip(&mut self.accumulators) {
            accumulator.merge(states, &self.groups, self.keys.len())?;
        }
        Ok(())
    }

    /// Adds partial states of keys that are not known yet; those that are known have newer ones.
    pub(super) fn restore(&mut self, part: &Partial) -> Result<(), EvalError> {
        let known = self.keys.len();
        self.find(&part.keys, &part.hashes);
        let new: UInt64Array = (0..)
            .zip(&self.groups)
            .filter(|(_, group)| **group >= known)
            .map(|(row, _): (u64, _)| row)
            .collect();
        let groups: Vec<usize> = new.values().iter().map(|&row| self.groups[index(row)]).collect();
        for (states, accumulator) in part.states.iter().zip(&mut self.accumulators) {
            let states: Vec<ArrayRef> = states.iter().map(|column| pick(column, &new)).collect();
            accumulator.merge(&states, &groups, self.keys.len())?;
        }
        Ok(())
    }

    /// The numbers here of another pane's keys; those that are unknown here are left out.
    pub(super) fn groups_of(&self, other: &Self) -> UInt64Array {
        let groups = self.keys.find_all(&other.keys.columns(), other.keys.hashes());
        groups.into_iter().flatten().map(|group| group as u64).collect()
    }

    fn find(&mut self, keys: &[ArrayRef], hashes: &[u64]) {
        self.keys.groups(keys, hashes, &mut self.groups);
        self.changed.resize(self.keys.len(), false);
        for &group in &self.groups {
            self.changed[group] = true;
        }
    }

    /// All that it holds; it stays.
    pub(super) fn partial(&mut self) -> Result<Partial, EvalError> {
        let states = self.accumulators.iter_mut().map(|accumulator| accumulator.states());
        let states = states.collect::<Result<_, _>>()?;
        Ok(Partial { hashes: self.keys.hashes().to_vec(), keys: self.keys.columns(), states })
    }

    /// What has changed since the last call.
    pub(super) fn changes(&mut self) -> Result<Option<Partial>, EvalError> {
        let changed: UInt64Array = (self.changed.iter().enumerate())
            .filter(|(_, changed)| **changed)
            .map(|(group, _)| group as u64)
            .collect();
        if changed.is_empty() {
            return Ok(None);
        }
        self.changed.fill(false);
        let Partial { hashes, keys, states } = self.partial()?;
        Ok(Some(Partial {
            hashes: changed.values().iter().map(|&group| hashes[index(group)]).collect(),
            keys: keys.iter().map(|column| pick(column, &changed)).collect(),
            states: states
                .iter()
                .map(|states| states.iter().map(|column| pick(column, &changed)).collect())
                .collect(),
        }))
    }

    /// What was read from a snapshot need not be written again.
    pub(super) fn is_saved(&mut self) {
        self.changed.fill(false);
    }

    /// Keys and results; nothing is left.
    pub(super) fn into_results(mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), EvalError> {
        let results = self.accumulators.iter_mut().map(|accumulator| accumulator.take_values());
        Ok((self.keys.columns(), results.collect::<Result<_, _>>()?))
    }

    pub(super) fn rows(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes() + self.accumulators.iter().map(|accumulator| accumulator.bytes()).sum::<usize>()
    }
}

fn pick(column: &ArrayRef, groups: &UInt64Array) -> ArrayRef {
    take(column, groups, None).expect("the groups are the pane's own")
}

fn index(group: u64) -> usize {
    usize::try_from(group).expect("it was one")
}

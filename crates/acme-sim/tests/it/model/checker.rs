//! An explicit-state model checker: it visits every state that a model can reach, each once, nearest first.
//!
//! States are remembered by a 64-bit hash: with ten million states the odds that two share one are below one in three hundred
//! thousand. A path to a state is found again by taking its steps once more.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A system that takes one step at a time.
pub(super) trait Model {
    /// All that there is at one moment.
    type State: Clone + Hash;
    /// What happens between two states.
    type Step: Debug;

    /// What sort of step it is, for counting.
    fn kind(step: &Self::Step) -> &'static str;

    fn start(&self) -> Self::State;

    /// Everything that can happen next.
    fn steps(&self, state: &Self::State) -> Vec<Next<Self::State, Self::Step>>;

    /// The name of the promise that this state breaks.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;

    /// Whether all work is done here.
    fn is_done(&self, state: &Self::State) -> bool;
}

/// A step and the state behind it.
pub(super) struct Next<S, T> {
    pub(super) step: T,
    /// It is no fault: where it stays possible it happens one day.
    pub(super) is_fair: bool,
    pub(super) state: S,
}

/// What a search has found.
pub(super) struct Found {
    pub(super) states: usize,
    pub(super) transitions: usize,
    /// The deepest state, in steps from the start.
    pub(super) depth: u32,
    /// How often each kind of step was taken.
    pub(super) kinds: BTreeMap<&'static str, u64>,
    /// The shortest way to a broken promise.
    pub(super) failure: Option<Failure>,
}

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) promise: &'static str,
    pub(super) path: Vec<String>,
}

/// No fault follows, everything that can happen does, and still the work is never done.
pub(super) const STUCK: &str = "the work comes to its end";

/// The hash of a state is its own hash.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed");
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Where a state was first come from.
struct Origin {
    parent: u32,
    /// Which of the parent's steps led here.
    step: u16,
    depth: u32,
}

struct Search<'a, M: Model> {
    model: &'a M,
    known: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    origins: Vec<Origin>,
    done: Vec<u32>,
    /// Steps that are no faults, as from and to.
    fair: Vec<(u32, u32)>,
    kinds: BTreeMap<&'static str, u64>,
    transitions: usize,
}

/// Visits every state, up to the first that breaks a promise. Where none does, it asks of each state whether the work can still
/// be done without any further fault: under fairness it is done then.
pub(super) fn explore<M: Model>(model: &M) -> Found {
    let mut search = Search {
        model,
        known: HashMap::default(),
        origins: Vec::new(),
        done: Vec::new(),
        fair: Vec::new(),
        kinds: BTreeMap::new(),
        transitions: 0,
    };
    let failure = search.run();
    let Search { kinds, transitions, origins, .. } = search;
    let depth = origins.last().map_or(0, |last| last.depth);
    Found { states: origins.len(), transitions, depth, kinds, failure }
}

impl<M: Model> Search<'_, M> {
    fn run(&mut self) -> Option<Failure> {
        let mut queue = VecDeque::new();
        let start = self.model.start();
        self.visit(&start, Origin { parent: 0, step: 0, depth: 0 });
        queue.push_back((0, start));
        while let Some((from, state)) = queue.pop_front() {
            let depth = self.origins[from as usize].depth + 1;
            for (step, next) in self.model.steps(&state).into_iter().enumerate() {
                self.transitions += 1;
                *self.kinds.entry(M::kind(&next.step)).or_default() += 1;
                let origin = Origin { parent: from, step: u16::try_from(step).expect("it is there"), depth };
                let (to, is_new) = self.visit(&next.state, origin);
                if next.is_fair {
                    self.fair.push((from, to));
                }
                if !is_new {
                    continue;
                }
                if let Some(promise) = self.model.broken(&next.state) {
                    return Some(Failure { promise, path: self.path(to) });
                }
                queue.push_back((to, next.state));
            }
        }
        let stuck = self.stuck()?;
        Some(Failure { promise: STUCK, path: self.path(stuck) })
    }

    fn visit(&mut self, state: &M::State, origin: Origin) -> (u32, bool) {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        let next = u32::try_from(self.origins.len()).expect("it is there");
        match self.known.entry(hasher.finish()) {
            Entry::Occupied(entry) => (*entry.get(), false),
            Entry::Vacant(entry) => {
                entry.insert(next);
                self.origins.push(origin);
                if self.model.is_done(state) {
                    self.done.push(next);
                }
                (next, true)
            }
        }
    }

    /// The nearest state from which no fair step leads to the end any more.
    fn stuck(&mut self) -> Option<u32> {
        // Where each state's incoming steps begin, once they are sorted by their ends.
        self.fair.sort_unstable_by_key(|&(_, to)| to);
        let states = self.origins.len();
        let mut starts = vec![0_usize; states + 1];
        for &(_, to) in &self.fair {
            starts[to as usize + 1] += 1;
        }
        for state in 0..states {
            starts[state + 1] += starts[state];
        }
        let mut reaches = vec![false; states];
        let mut work = std::mem::take(&mut self.done);
        work.iter().for_each(|&state| reaches[state as usize] = true);
        while let Some(to) = work.pop() {
            for &(from, _) in &self.fair[starts[to as usize]..starts[to as usize + 1]] {
                if !std::mem::replace(&mut reaches[from as usize], true) {
                    work.push(from);
                }
            }
        }
        let stuck = reaches.iter().position(|reaches| !reaches);
        stuck.map(|state| u32::try_from(state).expect("it is there"))
    }

    /// The steps to a state, taken again from the start.
    fn path(&self, to: u32) -> Vec<String> {
        let mut choices = Vec::new();
        let mut at = to;
        while at != 0 {
            let origin = &self.origins[at as usize];
            choices.push(usize::from(origin.step));
            at = origin.parent;
        }
        let mut state = self.model.start();
        let taken = choices.into_iter().rev().map(|choice| {
            let next = self.model.steps(&state).swap_remove(choice);
            state = next.state;
            format!("{:?}", next.step)
        });
        taken.collect()
    }
}

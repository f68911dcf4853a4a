//! Who has seen whom: operations in a circle cannot have happened one after the other.

use crate::index::Index;
use crate::{Faults, History, Kind, Log, Outcome, Step, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Edges from an operation to those that must come after it.
type Graph = BTreeMap<usize, BTreeSet<usize>>;

pub(crate) fn check(history: &History, index: &Index, faults: &mut Faults) {
    let graph = graph(history, index);
    for circle in circles(&graph) {
        faults.add(Kind::Cycle, || {
            let names: Vec<String> = circle
                .iter()
                .map(|it| format!("operation {it} of process {}", history.operations[*it].process))
                .collect();
            names.join(", ")
        });
    }
}

/// Write-read: a reader comes after those whose values it has. In a serial history also write-write, along the offsets, and
/// read-write: who has read up to a value comes before the writer of the next.
fn graph(history: &History, index: &Index) -> Graph {
    let mut graph = Graph::new();
    let mut edge = |from: Option<usize>, to: Option<usize>| {
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            graph.entry(from).or_default().insert(to);
        }
    };
    let took_effect = |value: &Value| {
        let sent = index.sent.get(value)?;
        let outcome = history.operations[sent.operation].outcome;
        let seen = index.read_committed.contains(value);
        (outcome == Outcome::Done || (outcome == Outcome::Unknown && seen)).then_some(sent.operation)
    };
    for (number, operation) in history.operations.iter().enumerate() {
        // Of a log the highest offset that was read: the others follow from it.
        let mut highest: BTreeMap<Log, i64> = BTreeMap::new();
        for step in &operation.steps {
            let Step::Poll { log, committed: true, records } = step else { continue };
            for (offset, value) in records {
                edge(took_effect(value), Some(number));
                let highest = highest.entry(*log).or_insert(*offset);
                *highest = (*highest).max(*offset);
            }
        }
        for (log, offset) in highest.into_iter().filter(|_| history.serial) {
            let behind = index.places.range((log, offset + 1)..=(log, i64::MAX));
            let next = behind.map(|(_, value)| value).find_map(took_effect);
            edge(Some(number), next);
        }
    }
    if history.serial {
        let mut last: Option<(Log, usize)> = None;
        for ((log, _), value) in &index.places {
            let Some(writer) = took_effect(value) else { continue };
            if let Some((_, before)) = last.filter(|(it, _)| it == log) {
                edge(Some(before), Some(writer));
            }
            last = Some((*log, writer));
        }
    }
    graph
}

/// What a walk knows of a node.
#[derive(Clone, Copy)]
struct Seen {
    number: usize,
    /// The smallest number that is reached from it.
    low: usize,
    on_stack: bool,
}

/// The strongly connected components of more than one node. Source: Tarjan 1972, without recursion.
fn circles(graph: &Graph) -> Vec<Vec<usize>> {
    let none = BTreeSet::new();
    let (mut seen, mut stack, mut found) = (BTreeMap::<usize, Seen>::new(), Vec::new(), Vec::new());
    for root in graph.keys() {
        if seen.contains_key(root) {
            continue;
        }
        let mut walk = vec![(*root, graph[root].iter())];
        enter(*root, &mut seen, &mut stack);
        while let Some((node, edges)) = walk.last_mut() {
            let node = *node;
            match edges.next() {
                Some(next) => match seen.get(next).copied() {
                    None => {
                        enter(*next, &mut seen, &mut stack);
                        walk.push((*next, graph.get(next).unwrap_or(&none).iter()));
                    }
                    Some(there) if there.on_stack => lower(&mut seen, node, there.number),
                    Some(_) => {}
                },
                None => {
                    walk.pop();
                    let own = seen[&node];
                    if let Some((before, _)) = walk.last() {
                        lower(&mut seen, *before, own.low);
                    }
                    if own.low == own.number {
                        let component = leave(node, &mut seen, &mut stack);
                        found.extend(Some(component).filter(|it| it.len() > 1));
                    }
                }
            }
        }
    }
    found
}

fn enter(node: usize, seen: &mut BTreeMap<usize, Seen>, stack: &mut Vec<usize>) {
    let number = seen.len();
    seen.insert(node, Seen { number, low: number, on_stack: true });
    stack.push(node);
}

fn lower(seen: &mut BTreeMap<usize, Seen>, node: usize, low: usize) {
    let node = seen.get_mut(&node).expect("it was entered");
    node.low = node.low.min(low);
}

/// Takes the component of a node from the stack.
fn leave(node: usize, seen: &mut BTreeMap<usize, Seen>, stack: &mut Vec<usize>) -> Vec<usize> {
    let at = stack.iter().rposition(|it| *it == node).expect("it is on the stack");
    let component = stack.split_off(at);
    for it in &component {
        seen.get_mut(it).expect("it was entered").on_stack = false;
    }
    component
}

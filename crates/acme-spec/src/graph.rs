//! How the steps of a pipeline are connected: a line by default, a graph where `from:` says so.

use crate::check::Checker;
use crate::pipeline::{Item, Reference};
use crate::suggest;
use acme_types::Diagnostic;
use acme_types::codes::{CYCLE, UNKNOWN_NAME, UNUSED};

/// What a step reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// All rows of a source.
    Source(usize),
    /// The rows of a transform; of one of its outputs where it has several.
    Transform(usize, Option<usize>),
}

/// The inputs of every transform and destination, by their index in the file.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Inputs of each transform.
    pub transforms: Vec<Vec<Input>>,
    /// Inputs of each destination; empty for one that only receives rows from `errors.to`.
    pub destinations: Vec<Vec<Input>>,
    /// The destination that `errors.to` names.
    pub dead_letter: Option<usize>,
}

pub(crate) fn connect(
    sources: &[Item],
    transforms: &[Item],
    destinations: &[Item],
    dead_letter: Option<&Reference>,
    checker: &mut Checker<'_>,
) -> Graph {
    let names = Names { sources, transforms };
    let dead_letter = dead_letter.and_then(|to| {
        let index = destinations.iter().position(|item| item.name == to.name);
        if index.is_none() {
            let known: Vec<&str> = destinations.iter().map(|item| &*item.name).collect();
            let message = format!("there is no destination \"{}\"", to.name);
            let help = suggest::help(&to.name, &known, "destinations");
            checker.push(Diagnostic::new(&UNKNOWN_NAME, message).at(&to.at).help(help));
        }
        index
    });
    let all_sources = || (0..sources.len()).map(Input::Source).collect::<Vec<_>>();
    let line = |before: usize| match before {
        0 => all_sources(),
        n => names.last(n - 1),
    };
    let graph = Graph {
        transforms: (transforms.iter().enumerate())
            .map(|(index, item)| names.resolve(&item.from, checker).unwrap_or_else(|| line(index)))
            .collect(),
        destinations: (destinations.iter().enumerate())
            .map(|(index, item)| match names.resolve(&item.from, checker) {
                Some(inputs) => inputs,
                None if dead_letter == Some(index) => Vec::new(),
                None => names.output(&item.name).map_or_else(|| line(transforms.len()), |input| vec![input]),
            })
            .collect(),
        dead_letter,
    };
    // Where a name is wrong, what seems unused is most likely what it meant.
    let names_hold = !checker.found.iter().any(|diagnostic| diagnostic.code == &UNKNOWN_NAME);
    if no_cycles(&graph, transforms, checker) && names_hold {
        report_unused(&graph, sources, transforms, checker);
    }
    graph
}

struct Names<'a> {
    sources: &'a [Item],
    transforms: &'a [Item],
}

impl Names<'_> {
    /// The inputs that are named, or `None` where none are.
    fn resolve(&self, from: &[Reference], checker: &mut Checker<'_>) -> Option<Vec<Input>> {
        if from.is_empty() {
            return None;
        }
        let mut inputs = Vec::new();
        for reference in from {
            match self.find(&reference.name) {
                Some(found) => inputs.extend(found),
                None => {
                    let known: Vec<&str> = self.all().collect();
                    let message = format!("there is no step \"{}\" to read from", reference.name);
                    let help = suggest::help(&reference.name, &known, "steps");
                    checker.push(Diagnostic::new(&UNKNOWN_NAME, message).at(&reference.at).help(help));
                }
            }
        }
        inputs.sort_unstable();
        inputs.dedup();
        Some(inputs)
    }

    fn find(&self, name: &str) -> Option<Vec<Input>> {
        let source = self.sources.iter().position(|item| item.name == name).map(|at| vec![Input::Source(at)]);
        let transform = || self.transforms.iter().position(|item| item.name == name).map(|at| self.last(at));
        source.or_else(transform).or_else(|| self.output(name).map(|input| vec![input]))
    }

    /// The output of a step with this name.
    fn output(&self, name: &str) -> Option<Input> {
        self.transforms.iter().enumerate().find_map(|(index, item)| {
            let output = item.outputs.iter().position(|output| output.name == name)?;
            Some(Input::Transform(index, Some(output)))
        })
    }

    /// Everything that a transform yields.
    fn last(&self, index: usize) -> Vec<Input> {
        let item = &self.transforms[index];
        match item.outputs.len() {
            _ if item.has_main_output() => vec![Input::Transform(index, None)],
            n => (0..n).map(|output| Input::Transform(index, Some(output))).collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let items = self.sources.iter().chain(self.transforms);
        items.flat_map(|item| {
            std::iter::once(&*item.name).chain(item.outputs.iter().map(|output| &*output.name))
        })
    }
}

fn no_cycles(graph: &Graph, transforms: &[Item], checker: &mut Checker<'_>) -> bool {
    // A transform is settled once all that it reads is settled; what never settles stands in a circle.
    let mut settled = vec![false; transforms.len()];
    loop {
        let ready = |input: &Input| match input {
            Input::Source(_) => true,
            Input::Transform(index, _) => settled[*index],
        };
        let next =
            (0..transforms.len()).find(|&index| !settled[index] && graph.transforms[index].iter().all(ready));
        match next {
            Some(index) => settled[index] = true,
            None => break,
        }
    }
    for (item, _) in transforms.iter().zip(&settled).filter(|(_, settled)| !**settled) {
        let message = format!("step \"{}\" reads, directly or through others, its own rows", item.name);
        checker.push(Diagnostic::new(&CYCLE, message).at(&item.at));
    }
    settled.iter().all(|&settled| settled)
}

fn report_unused(graph: &Graph, sources: &[Item], transforms: &[Item], checker: &mut Checker<'_>) {
    let mut live_sources = vec![false; sources.len()];
    // The main output, where there is one, and the others.
    let outputs = |item: &Item| item.outputs.len() + usize::from(item.has_main_output());
    let mut live: Vec<Vec<bool>> = transforms.iter().map(|item| vec![false; outputs(item)]).collect();
    let mut waiting: Vec<Input> = graph.destinations.iter().flatten().copied().collect();
    while let Some(input) = waiting.pop() {
        match input {
            Input::Source(index) => live_sources[index] = true,
            Input::Transform(index, output) => {
                let seen = live[index].iter().any(|&live| live);
                let beside = usize::from(transforms[index].has_main_output());
                live[index][output.map_or(0, |output| output + beside)] = true;
                if !seen {
                    waiting.extend(&graph.transforms[index]);
                }
            }
        }
    }
    let help = "add a destination with `from:` this name, or remove the step";
    let unused = |noun: &str, name: &str| format!("nothing reads the {noun} \"{name}\"");
    for (item, _) in sources.iter().zip(&live_sources).filter(|(_, live)| !**live) {
        checker.push(Diagnostic::new(&UNUSED, unused("source", &item.name)).at(&item.at).help(help));
    }
    for (item, live) in transforms.iter().zip(&live) {
        if !live.contains(&true) {
            checker.push(Diagnostic::new(&UNUSED, unused("transform", &item.name)).at(&item.at).help(help));
        } else {
            let live = &live[usize::from(item.has_main_output())..];
            for (output, _) in item.outputs.iter().zip(live).filter(|(_, live)| !**live) {
                checker
                    .push(Diagnostic::new(&UNUSED, unused("output", &output.name)).at(&output.at).help(help));
            }
        }
    }
}

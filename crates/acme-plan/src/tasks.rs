//! The steps with state: met while the streams that feed them are planned, then planned themselves.

use crate::planner::{DestinationInfo, Planner};
use crate::stream::Stream;
use acme_flow::{Expr, Operator, Program, Step, Target, TaskFactory};
use acme_spec::{Input, PipelineSpec};
use acme_types::Diagnostic;
use acme_types::codes::UNKNOWN_FIELD;
use arrow::datatypes::{FieldRef, SchemaRef};
use std::sync::Arc;

/// A planned step with state.
pub struct TaskPlan {
    /// Its name.
    pub name: Arc<str>,
    /// How its shards are made.
    pub factory: Arc<dyn TaskFactory>,
    /// What happens to the rows of each of its outputs.
    pub programs: Vec<Program>,
    /// What it keeps and until when, for people.
    pub keeps: String,
}

/// All steps with state, as far as they are planned.
#[derive(Default)]
pub(crate) struct Tasks {
    drafts: Vec<Draft>,
}

/// A step with state whose outputs are not planned yet.
pub(crate) struct Draft {
    /// Which transform it is.
    pub(crate) transform: usize,
    pub(crate) factory: Arc<dyn TaskFactory>,
    /// What it is fed with: the same from all sides.
    pub(crate) input: SchemaRef,
    /// The stream of late rows that feeds it, where they have an output.
    pub(crate) late: Option<Stream>,
    /// The rows that it yields under its own name.
    pub(crate) output: Stream,
    /// The columns of them that are computed behind it.
    pub(crate) computed: Vec<(FieldRef, Arc<dyn Expr>)>,
    pub(crate) keeps: String,
}

impl Tasks {
    pub(crate) fn find(&self, transform: usize) -> Option<(usize, &Draft)> {
        self.drafts.iter().enumerate().find(|(_, draft)| draft.transform == transform)
    }

    /// Its index among the steps with state.
    pub(crate) fn add(&mut self, draft: Draft) -> usize {
        self.drafts.push(draft);
        self.drafts.len() - 1
    }

    /// Plans what reads their outputs, which may be further steps with state.
    pub(crate) fn planned(
        mut self,
        spec: &PipelineSpec,
        destinations: &[DestinationInfo],
        found: &mut Vec<Diagnostic>,
    ) -> Vec<TaskPlan> {
        let mut programs = Vec::new();
        while let Some(draft) = self.drafts.get(programs.len()) {
            let (transform, output, late) = (draft.transform, draft.output.clone(), draft.late.clone());
            let computed = draft.computed.clone();
            let mut outputs =
                vec![self.output(spec, destinations, transform, (None, &output), computed, found)];
            if let Some(late) = late {
                outputs.push(self.output(spec, destinations, transform, (Some(0), &late), Vec::new(), found));
            }
            programs.push(outputs);
        }
        let plan = |(draft, programs): (Draft, Vec<Program>)| TaskPlan {
            name: spec.transforms[draft.transform].name.as_str().into(),
            factory: draft.factory,
            programs,
            keeps: draft.keeps,
        };
        self.drafts.into_iter().zip(programs).map(plan).collect()
    }

    fn output(
        &mut self,
        spec: &PipelineSpec,
        destinations: &[DestinationInfo],
        transform: usize,
        (output, stream): (Option<usize>, &Stream),
        computed: Vec<(FieldRef, Arc<dyn Expr>)>,
        found: &mut Vec<Diagnostic>,
    ) -> Program {
        let item = &spec.transforms[transform];
        let mut planner = Planner::new(spec, destinations, self, found);
        let mut targets = planner.readers(Input::Transform(transform, output), stream);
        if !computed.is_empty() {
            let shape = Arc::new(planner.visible(stream, &item.at));
            let (name, operator) = (item.name.as_str().into(), Operator::Map(computed));
            planner.steps.push(Step { name, operator, shape, outputs: vec![targets] });
            targets = vec![Target::Step(planner.steps.len() - 1)];
        }
        let (fields, program) = planner.program(&item.name, targets);
        if let Some(field) = fields.wanted().first() {
            let message = format!(
                "the field \"{}\" of rows behind \"{}\" is not read before it",
                field.path, item.name
            );
            let help = "compute it with a `map` in front of the step";
            found.push(Diagnostic::new(&UNKNOWN_FIELD, message).at(&item.at).help(help));
        }
        program
    }
}

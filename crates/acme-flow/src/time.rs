//! Watermarks: up to when the rows of a step are complete.

use acme_types::{EventTime, SplitId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The watermarks of all that feeds a step, and their minimum.
///
/// Each split of a source has its own: the latest event time seen, less what rows may be out of order. A split that was announced
/// and has shown nothing yet holds everybody up; one that is idle holds up nobody. The minimum never goes back.
#[derive(Debug)]
pub(crate) struct Watermarks {
    origins: BTreeMap<usize, Origin>,
    merged: i64,
}

#[derive(Debug)]
enum Origin {
    Source { delay: i64, time: SourceTime },
    Step(i64),
}

/// What is known of the time of one source; part of the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTime {
    /// By split.
    pub splits: BTreeMap<SplitId, SplitTime>,
    /// It has come to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

/// What is known of the time of one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitTime {
    /// The latest event time seen, microseconds.
    pub latest: Option<i64>,
    /// Nothing is expected from it for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
}

impl Watermarks {
    /// `sources`: their numbers, how far their rows may be out of order (microseconds), and what was known of them; `steps`:
    /// those of shards of other steps.
    pub(crate) fn new(
        sources: impl IntoIterator<Item = (usize, i64, SourceTime)>,
        steps: impl IntoIterator<Item = usize>,
        merged: EventTime,
    ) -> Self {
        let sources =
            sources.into_iter().map(|(origin, delay, time)| (origin, Origin::Source { delay, time }));
        let steps = steps.into_iter().map(|origin| (origin, Origin::Step(i64::MIN)));
        Self { origins: sources.chain(steps).collect(), merged: merged.0 }
    }

    /// Up to when rows are complete: none before it is expected.
    pub(crate) fn merged(&self) -> EventTime {
        EventTime(self.merged)
    }

    /// These splits exist.
    pub(crate) fn announce(&mut self, origin: usize, splits: Vec<SplitId>) {
        for split in splits {
            self.splits(origin).entry(split).or_default();
        }
        self.merge();
    }

    /// Rows of a split, the latest of this time.
    pub(crate) fn saw(&mut self, origin: usize, split: SplitId, latest: EventTime) {
        let known = self.splits(origin).entry(split).or_default();
        known.latest = known.latest.max(Some(latest.0));
        known.idle = false;
        self.merge();
    }

    /// Nothing is expected from a split until rows of it come.
    pub(crate) fn idle(&mut self, origin: usize, split: SplitId) {
        self.splits(origin).entry(split).or_default().idle = true;
        self.merge();
    }

    /// Nothing follows from this source.
    pub(crate) fn end(&mut self, origin: usize) {
        if let Some(Origin::Source { time, .. }) = self.origins.get_mut(&origin) {
            time.ended = true;
        }
        self.merge();
    }

    /// The watermark of a shard of another step.
    pub(crate) fn step(&mut self, origin: usize, watermark: EventTime) {
        if let Some(Origin::Step(known)) = self.origins.get_mut(&origin) {
            *known = (*known).max(watermark.0);
        }
        self.merge();
    }

    /// What is known of each source, for the checkpoint.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (usize, &SourceTime)> {
        self.origins.iter().filter_map(|(number, origin)| match origin {
            Origin::Source { time, .. } => Some((*number, time)),
            Origin::Step(_) => None,
        })
    }

    fn splits(&mut self, origin: usize) -> &mut BTreeMap<SplitId, SplitTime> {
        match self.origins.get_mut(&origin) {
            Some(Origin::Source { time, .. }) => &mut time.splits,
            _ => unreachable!("only sources that feed the step have splits"),
        }
    }

    fn merge(&mut self) {
        // What is idle as a whole says nothing, unless all is: then the time stands still.
        let least = self.origins.values().filter_map(Origin::watermark).min();
        self.merged = self.merged.max(least.unwrap_or(i64::MIN));
    }
}

impl Origin {
    /// `None` where all splits are idle.
    fn watermark(&self) -> Option<i64> {
        match self {
            Self::Step(watermark) => Some(*watermark),
            Self::Source { time, .. } if time.ended => Some(i64::MAX),
            Self::Source { time, .. } if time.splits.is_empty() => Some(i64::MIN),
            Self::Source { delay, time } => {
                let of =
                    |split: &SplitTime| split.latest.map_or(i64::MIN, |latest| latest.saturating_sub(*delay));
                time.splits.values().filter(|split| !split.idle).map(of).min()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str) -> SplitId {
        SplitId(name.to_owned())
    }

    #[test]
    fn the_slowest_split_counts_and_time_never_goes_back() {
        let mut time = Watermarks::new([(0, 10, SourceTime::default())], [], EventTime(i64::MIN));
        time.announce(0, vec![split("a"), split("b")]);
        time.saw(0, split("a"), EventTime(100));
        assert_eq!(time.merged(), EventTime(i64::MIN), "b has shown nothing");
        time.saw(0, split("b"), EventTime(50));
        assert_eq!(time.merged(), EventTime(40));
        time.saw(0, split("b"), EventTime(45));
        time.announce(0, vec![split("c")]);
        assert_eq!(time.merged(), EventTime(40), "neither an older row nor a new split turns it back");
        time.idle(0, split("c"));
        time.idle(0, split("b"));
        assert_eq!(time.merged(), EventTime(90), "only a counts");
        time.saw(0, split("b"), EventTime(60));
        assert_eq!(time.merged(), EventTime(90));
        time.end(0);
        assert_eq!(time.merged(), EventTime(i64::MAX));
    }

    #[test]
    fn all_that_feeds_a_step_counts() {
        let mut time = Watermarks::new(
            [(0, 0, SourceTime::default()), (1, 5, SourceTime::default())],
            [7],
            EventTime(3),
        );
        time.saw(0, split("a"), EventTime(100));
        time.saw(1, split("a"), EventTime(100));
        assert_eq!(time.merged(), EventTime(3), "the other step has said nothing");
        time.step(7, EventTime(80));
        assert_eq!(time.merged(), EventTime(80));
        time.step(7, EventTime(200));
        assert_eq!(time.merged(), EventTime(95));
        time.idle(1, split("a"));
        assert_eq!(time.merged(), EventTime(100), "an idle source holds up nobody");
        time.idle(0, split("a"));
        time.step(7, EventTime(i64::MAX));
        assert_eq!(time.merged(), EventTime(i64::MAX));
    }
}

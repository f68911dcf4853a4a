//! Windows that lie on a fixed grid of time, and the slices that they share.
//!
//! Each event belongs to one *slice*: the longest stretch of time that no window's edge divides. A row is aggregated once, in its
//! slice, and a window is put together from its slices, whatever the overlap (Li et al., "No Pane, No Gain", 2005; with edges
//! instead of the greatest common divisor, as in Carbone et al., "Cutty", 2016).

/// A stretch of event time, microseconds since 1970; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first moment.
    pub start: i64,
    /// The first moment behind it.
    pub end: i64,
}

/// Where windows begin and how long they are, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// A window of `size` begins at each multiple of `hop`, shifted by `offset`. With `hop == size` each moment belongs to one
    /// window, with a smaller hop to several, with a larger one perhaps to none.
    Hopping {
        /// The length of each window.
        size: i64,
        /// From the beginning of one to that of the next.
        hop: i64,
        /// The beginning of one of them.
        offset: i64,
    },
    /// Windows that begin together every `size` and end after one, two, … steps. `step` divides `size`.
    Cumulative {
        /// The length of the longest.
        size: i64,
        /// The length of the shortest, and how much longer each next one is.
        step: i64,
        /// The beginning of one of them.
        offset: i64,
    },
}

impl Grid {
    /// The slice of a moment; `None` between windows that leave gaps.
    #[must_use]
    pub fn slice(&self, time: i64) -> Option<Span> {
        match *self {
            Self::Hopping { size, hop, offset } => {
                let start = floor(time, hop, offset);
                // Some windows end so long after the beginning of another.
                let ends = size % hop;
                let inside = time - start;
                if size < hop && inside >= size {
                    return None;
                }
                Some(if inside < ends {
                    Span { start, end: start + ends }
                } else {
                    Span { start: start + ends, end: start + hop }
                })
            }
            Self::Cumulative { step, offset, .. } => {
                let start = floor(time, step, offset);
                Some(Span { start, end: start + step })
            }
        }
    }

    /// The windows that contain a slice, the first to end first.
    pub fn windows(&self, slice: Span) -> impl Iterator<Item = Span> + use<> {
        let (first, stride, length, fixed) = match *self {
            Self::Hopping { size, hop, offset } => {
                // The earliest window that does not end before the slice does.
                let first = -floor(-(slice.end - size - offset), hop, 0) + offset;
                (first, hop, size, None)
            }
            Self::Cumulative { size, step, offset } => {
                let start = floor(slice.start, size, offset);
                (slice.end, step, start + size, Some(start))
            }
        };
        let mut next = first;
        std::iter::from_fn(move || {
            let window = match fixed {
                None if next <= slice.start => Span { start: next, end: next + length },
                Some(start) if next <= length => Span { start, end: next },
                _ => return None,
            };
            next += stride;
            Some(window)
        })
    }

    /// When the last window that contains a slice ends.
    #[must_use]
    pub fn last_end(&self, slice: Span) -> i64 {
        match *self {
            Self::Hopping { size, hop, offset } => floor(slice.start, hop, offset) + size,
            Self::Cumulative { size, offset, .. } => floor(slice.start, size, offset) + size,
        }
    }
}

/// The largest `offset + k * step` that is not above `time`; times before 1970 are no exception.
fn floor(time: i64, step: i64, offset: i64) -> i64 {
    time - (time - offset).rem_euclid(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All windows that contain a moment, by looking at each.
    fn oracle(grid: Grid, time: i64) -> Vec<Span> {
        let all: Vec<Span> = match grid {
            Grid::Hopping { size, hop, offset } => {
                (-200..200).map(|k| Span { start: k * hop + offset, end: k * hop + offset + size }).collect()
            }
            Grid::Cumulative { size, step, offset } => (-200..200)
                .flat_map(|k| {
                    let start = k * size + offset;
                    (1..=size / step).map(move |n| Span { start, end: start + n * step })
                })
                .collect(),
        };
        all.into_iter().filter(|window| window.start <= time && time < window.end).collect()
    }

    fn grids() -> Vec<Grid> {
        let mut grids = Vec::new();
        for size in 1..13 {
            for hop in 1..13 {
                for offset in [0, 1, -3] {
                    grids.push(Grid::Hopping { size, hop, offset });
                    grids.push(Grid::Cumulative { size: size * hop, step: hop, offset });
                }
            }
        }
        grids
    }

    #[test]
    fn a_moment_is_in_the_windows_of_its_slice() {
        for grid in grids() {
            for time in -40..40 {
                let expected = oracle(grid, time);
                let slice = grid.slice(time);
                let windows: Vec<Span> = slice.into_iter().flat_map(|slice| grid.windows(slice)).collect();
                assert_eq!(windows, expected, "{grid:?} at {time}");
                if let Some(slice) = slice {
                    assert!(slice.start <= time && time < slice.end, "{grid:?} at {time}: {slice:?}");
                    assert_eq!(grid.last_end(slice), expected.last().expect("it has a slice").end);
                    // No edge divides it: all its moments are in the same windows.
                    for other in slice.start..slice.end {
                        assert_eq!(oracle(grid, other), expected, "{grid:?}: {time} and {other}");
                    }
                }
            }
        }
    }

    #[test]
    fn slices_are_as_long_as_the_edges_allow() {
        for grid in grids() {
            for time in -40..40 {
                let (Some(one), Some(next)) = (grid.slice(time), grid.slice(time + 1)) else { continue };
                if oracle(grid, time) == oracle(grid, time + 1) && !matches!(grid, Grid::Cumulative { .. }) {
                    assert_eq!(one, next, "{grid:?} at {time}");
                }
            }
        }
    }
}

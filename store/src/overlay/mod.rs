//! The overlay: groups that are durable in the log but not yet folded into the data file, as sorted
//! runs in memory. Readers look through it; folding empties it.

mod layer;
mod run;

pub(crate) use layer::{Layer, Range};
pub(crate) use run::{Item, Posting, Run, Slot, push, united};

use std::sync::Arc;

/// What lies above the data file at one moment. Never changed once published.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    /// Oldest first.
    pub(crate) runs: Vec<Arc<Run>>,
    /// How many of the first runs are being folded.
    frozen: usize,
    /// Number of the last group whose writes are in the runs or in the data file.
    pub(crate) last: u64,
}

impl Layers {
    /// Nothing but the data file, which holds everything up to group `last`.
    pub(crate) fn none(last: u64) -> Self {
        Self {
            last,
            ..Self::default()
        }
    }

    /// Runs that wait for being folded, as after a start.
    pub(crate) fn frozen(runs: Vec<Arc<Run>>, last: u64) -> Self {
        Self {
            frozen: runs.len(),
            runs,
            last,
        }
    }

    /// One group more: `active` takes the place of all runs that are not frozen.
    pub(crate) fn with_active(&self, active: &[Arc<Run>], last: u64) -> Self {
        let frozen = self.frozen_runs();
        Self {
            runs: frozen.iter().chain(active).cloned().collect(),
            frozen: frozen.len(),
            last,
        }
    }

    /// All runs are to be folded.
    pub(crate) fn freeze(&self) -> Self {
        Self::frozen(self.runs.clone(), self.last)
    }

    /// The frozen runs are in the data file.
    pub(crate) fn without_frozen(&self) -> Self {
        Self {
            runs: self.runs.get(self.frozen..).unwrap_or_default().to_vec(),
            frozen: 0,
            last: self.last,
        }
    }

    pub(crate) fn frozen_runs(&self) -> &[Arc<Run>] {
        self.runs.get(..self.frozen).unwrap_or_default()
    }
}

//! The one door to stored bytes: looks into the overlay first, then into the data file, so that
//! everything above it sees one state. With nothing in the overlay it costs what LMDB costs.

use super::run::{Posting, Run, Slot};
use crate::StoreError;
use crate::catalog::{self, Databases, Tree};
use crate::postings::SpanKey;
use heed::types::Bytes;
use heed::{RoPrefix, RoRange, RoRevRange, RoTxn};
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

/// A key and its value, as they lie in the store.
pub(crate) type Entry<'t> = (&'t [u8], &'t [u8]);

/// A transaction of the data file and the runs that lie above it.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'t> {
    transaction: &'t RoTxn<'t>,
    databases: &'t Databases,
    /// Oldest first.
    runs: &'t [Arc<Run>],
}

impl<'t> Layer<'t> {
    pub(crate) fn new(
        transaction: &'t RoTxn<'t>,
        databases: &'t Databases,
        runs: &'t [Arc<Run>],
    ) -> Self {
        Self {
            transaction,
            databases,
            runs,
        }
    }

    pub(crate) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<&'t [u8]>, StoreError> {
        for run in self.runs.iter().rev() {
            if let Some(item) = run.get(tree, key) {
                return Ok(item.value.as_deref());
            }
        }
        self.databases
            .of(tree)
            .get(self.transaction, key)
            .map_err(|e| StoreError::disk(tree.name(), &e))
    }

    /// A row of `meta`, which is no part of a group.
    pub(crate) fn meta(&self, row: &str) -> Result<Option<&'t [u8]>, StoreError> {
        let found = self.databases.meta.get(self.transaction, row.as_bytes());
        found.map_err(|e| StoreError::disk(catalog::META, &e))
    }

    /// Entries from `start` on, ascending.
    pub(crate) fn range(&self, tree: Tree, start: Bound<&[u8]>) -> Result<Range<'t>, StoreError> {
        let bounds = (start, Bound::<&[u8]>::Unbounded);
        let below = self.databases.of(tree).range(self.transaction, &bounds);
        let below = below.map_err(|e| StoreError::disk(tree.name(), &e))?;
        Ok(Range {
            tree,
            below: Below::Ascending(below),
            peeked: None,
            windows: self.windows(tree, start, None),
        })
    }

    /// Entries from `start` to below `end`, or to the end of the tree, descending.
    pub(crate) fn rev_range(
        &self,
        tree: Tree,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> Result<Range<'t>, StoreError> {
        let bounds = (
            Bound::Included(start),
            end.map_or(Bound::Unbounded, Bound::Excluded),
        );
        let below = self.databases.of(tree).rev_range(self.transaction, &bounds);
        let below = below.map_err(|e| StoreError::disk(tree.name(), &e))?;
        Ok(Range {
            tree,
            below: Below::Descending(below),
            peeked: None,
            windows: self.windows(tree, Bound::Included(start), end),
        })
    }

    fn windows(&self, tree: Tree, start: Bound<&[u8]>, end: Option<&[u8]>) -> Vec<&'t [Slot]> {
        let start = match start {
            Bound::Included(key) => (key, false),
            Bound::Excluded(key) => (key, true),
            Bound::Unbounded => (&[][..], false),
        };
        let windows = self.runs.iter().map(|run| run.window(tree, start, end));
        windows.filter(|window| !window.is_empty()).collect()
    }

    /// What the runs say of a term, oldest run first; empty for most terms.
    pub(crate) fn postings_of(&self, term: &[u8; 16]) -> Vec<&'t [Posting]> {
        let windows = self.runs.iter().map(|run| run.postings_of(term));
        windows.filter(|window| !window.is_empty()).collect()
    }

    /// The first span of the data file with a key at or above `from`, of whatever term.
    pub(crate) fn span_from(&self, from: &SpanKey) -> Result<Option<Entry<'t>>, StoreError> {
        self.databases
            .postings
            .get_greater_than_or_equal_to(self.transaction, from)
            .map_err(|e| StoreError::disk(catalog::POSTINGS, &e))
    }

    /// The spans of a term in the data file, one after the other.
    pub(crate) fn spans_of(
        &self,
        term: &[u8; 16],
    ) -> Result<RoPrefix<'t, Bytes, Bytes>, StoreError> {
        self.databases
            .postings
            .prefix_iter(self.transaction, term)
            .map_err(|e| StoreError::disk(catalog::POSTINGS, &e))
    }

    /// The last span of the data file with a key at or below `to`, of whatever term.
    pub(crate) fn span_to(&self, to: &SpanKey) -> Result<Option<Entry<'t>>, StoreError> {
        self.databases
            .postings
            .get_lower_than_or_equal_to(self.transaction, to)
            .map_err(|e| StoreError::disk(catalog::POSTINGS, &e))
    }
}

enum Below<'t> {
    Ascending(RoRange<'t, Bytes, Bytes>),
    Descending(RoRevRange<'t, Bytes, Bytes>),
}

impl<'t> Below<'t> {
    fn next(&mut self) -> Option<heed::Result<Entry<'t>>> {
        match self {
            Below::Ascending(range) => range.next(),
            Below::Descending(range) => range.next(),
        }
    }
}

/// Entries of one tree in order, the overlay's in place of the data file's.
pub(crate) struct Range<'t> {
    tree: Tree,
    below: Below<'t>,
    /// An entry of the data file that was looked at and not given yet.
    peeked: Option<Entry<'t>>,
    /// What is left of each run, oldest first.
    windows: Vec<&'t [Slot]>,
}

impl<'t> Iterator for Range<'t> {
    type Item = Result<Entry<'t>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let below = match self.peeked.take() {
                Some(entry) => Some(entry),
                None => match self.below.next().transpose() {
                    Ok(entry) => entry,
                    Err(error) => return Some(Err(StoreError::disk(self.tree.name(), &error))),
                },
            };
            let Some(above) = self.next_above() else {
                return below.map(Ok);
            };
            let key: &'t [u8] = &above.item.key;
            match below {
                Some((other, _)) if self.order(other, key) == Ordering::Less => {
                    return below.map(Ok);
                }
                Some((other, _)) if other == key => {}
                other => self.peeked = other,
            }
            self.pass(key);
            if let Some(value) = &above.item.value {
                return Some(Ok((key, value)));
            }
        }
    }
}

impl<'t> Range<'t> {
    /// Which of two keys comes first in the direction of this range.
    fn order(&self, a: &[u8], b: &[u8]) -> Ordering {
        match self.below {
            Below::Ascending(_) => a.cmp(b),
            Below::Descending(_) => b.cmp(a),
        }
    }

    fn end_of(&self, window: &'t [Slot]) -> Option<&'t Slot> {
        match self.below {
            Below::Ascending(_) => window.first(),
            Below::Descending(_) => window.last(),
        }
    }

    /// The next slot of the runs, the youngest where several have the key.
    fn next_above(&self) -> Option<&'t Slot> {
        let ends = self.windows.iter().rev();
        // The first of equal ones is kept, and that is the youngest.
        ends.filter_map(|window| self.end_of(window))
            .min_by(|a, b| self.order(&a.item.key, &b.item.key))
    }

    /// Takes a key out of the front of every run.
    fn pass(&mut self, key: &[u8]) {
        let ascending = matches!(self.below, Below::Ascending(_));
        for window in &mut self.windows {
            let (end, rest) = if ascending {
                (window.first(), window.get(1..))
            } else {
                (window.last(), window.split_last().map(|(_, rest)| rest))
            };
            if end.is_some_and(|slot| *slot.item.key == *key) {
                *window = rest.unwrap_or_default();
            }
        }
    }
}

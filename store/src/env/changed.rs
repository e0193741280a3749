//! When heads changed last, so that whoever keeps something of a resource learns in a few
//! nanoseconds, without a snapshot, that it still holds.

use crate::Rid;
use crate::catalog::Tree;
use crate::codec;
use crate::overlay::Run;
use std::sync::atomic::{AtomicU64, Ordering};

/// A state of the store: everything up to one group of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub(crate) u64);

/// Resources share a place; a change of one counts as a change of all that share it.
const PLACES: usize = 4096;

/// The number of the last group that wrote to a head, by place.
pub(crate) struct Changed {
    groups: Vec<AtomicU64>,
}

impl Default for Changed {
    fn default() -> Self {
        let groups = std::iter::repeat_with(AtomicU64::default);
        Self {
            groups: groups.take(PLACES).collect(),
        }
    }
}

impl Changed {
    /// Takes note of a group before anybody can see it: from then on nothing older holds.
    pub(crate) fn note(&self, run: &Run, group: u64) {
        for slot in run.window(Tree::Heads, (&[], false), None) {
            let rid = codec::number_of_key(&slot.item.key).map(Rid);
            if let Some(place) = rid.and_then(|rid| self.place(rid)) {
                place.store(group, Ordering::SeqCst);
            }
        }
    }

    /// False when the head may have been written to since.
    pub(crate) fn is_unchanged(&self, rid: Rid, since: Moment) -> bool {
        let place = self.place(rid);
        place.is_some_and(|group| group.load(Ordering::SeqCst) <= since.0)
    }

    fn place(&self, rid: Rid) -> Option<&AtomicU64> {
        let number = usize::try_from(rid.0).ok()? % PLACES;
        self.groups.get(number)
    }
}

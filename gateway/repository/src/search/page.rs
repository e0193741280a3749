//! Picks one page from matches: bounded memory, a total order by (sort key, rid), and a next page
//! only when a further match exists.

use super::Cursor;
use fhir_mapping::search::SortKey;
use std::collections::BinaryHeap;
use store::Rid;

/// Sort key (empty in the store's order, else a 1 and the key) and rid.
pub(super) type Place = (Vec<u8>, u64);

/// The smallest `offset + count + 1` matches after the cursor; the one too many proves a next page.
pub(super) struct Picker {
    offset: usize,
    count: usize,
    after: Option<Place>,
    heap: BinaryHeap<Place>,
    pub(super) matched: u64,
}

/// What was picked, in order.
pub(super) struct Picked {
    pub(super) places: Vec<Place>,
    /// There are further matches.
    pub(super) more: bool,
}

impl Picker {
    pub(super) fn new(offset: usize, count: usize, after: Option<&Cursor>) -> Picker {
        Picker {
            offset,
            count,
            after: after.map(|cursor| (cursor.sort_key.clone(), cursor.rid)),
            heap: BinaryHeap::new(),
            matched: 0,
        }
    }

    pub(super) fn offer(&mut self, rid: Rid, key: Option<SortKey>) {
        self.matched += 1;
        let key = key
            .map(|SortKey(key)| [&[1], key.as_slice()].concat())
            .unwrap_or_default();
        let place = (key, rid.0);
        if self.after.as_ref().is_some_and(|after| place <= *after) {
            return;
        }
        self.heap.push(place);
        if self.heap.len() > self.held_max() {
            self.heap.pop();
        }
    }

    /// The last place that may still be part of the page; `None` while anything may.
    pub(super) fn last(&self) -> Option<&Place> {
        self.heap
            .peek()
            .filter(|_| self.heap.len() >= self.held_max())
    }

    /// The sort key of that place.
    pub(super) fn last_key(&self) -> Option<SortKey> {
        self.last().and_then(|(key, _)| sort_key(key))
    }

    /// The sort key that the page begins after.
    pub(super) fn after_key(&self) -> Option<SortKey> {
        self.after.as_ref().and_then(|(key, _)| sort_key(key))
    }

    fn held_max(&self) -> usize {
        self.offset.saturating_add(self.count).saturating_add(1)
    }

    pub(super) fn finish(self) -> Picked {
        let mut places = self.heap.into_sorted_vec();
        let before = self.offset.min(places.len());
        places.drain(..before);
        let more = places.len() > self.count;
        places.truncate(self.count);
        Picked { places, more }
    }
}

fn sort_key(key: &[u8]) -> Option<SortKey> {
    key.split_first().map(|(_, key)| SortKey(key.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of `count` over keys given in rid order, until there is no next.
    fn pages(keys: &[&str], count: usize) -> Vec<Vec<u64>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let mut picker = Picker::new(0, count, after.as_ref());
            for (rid, key) in (1..).map(Rid).zip(keys) {
                let key = (!key.is_empty()).then(|| SortKey(key.as_bytes().to_vec()));
                picker.offer(rid, key);
            }
            let picked = picker.finish();
            pages.push(picked.places.iter().map(|(_, rid)| *rid).collect());
            let Some((sort_key, rid)) = picked.places.last().cloned().filter(|_| picked.more)
            else {
                return pages;
            };
            after = Some(Cursor {
                seq: 1,
                last_rid: 9,
                asked_ms: 0,
                sort_key,
                rid,
                total: None,
            });
        }
    }

    #[test]
    fn pages_tile_the_matches() {
        assert_eq!(
            pages(&["b", "a", "b", "a", "b"], 2),
            [vec![2, 4], vec![1, 3], vec![5]]
        );
        assert_eq!(pages(&["x", "x", "x", "x"], 2), [vec![1, 2], vec![3, 4]]);
        assert_eq!(pages(&["", "", ""], 1), [vec![1], vec![2], vec![3]]);
        assert_eq!(pages(&[], 3), [Vec::<u64>::new()]);
        assert_eq!(pages(&["c", "b", "a"], 9), [vec![3, 2, 1]]);
    }

    #[test]
    fn an_offset_leaves_out_the_first() {
        let picked = |offset, count| {
            let mut picker = Picker::new(offset, count, None);
            (1..=5).for_each(|rid| picker.offer(Rid(rid), None));
            let picked = picker.finish();
            let rids: Vec<u64> = picked.places.iter().map(|(_, rid)| *rid).collect();
            (rids, picked.more)
        };
        assert_eq!(picked(0, 2), (vec![1, 2], true));
        assert_eq!(picked(3, 2), (vec![4, 5], false));
        assert_eq!(picked(9, 2), (vec![], false));
    }
}

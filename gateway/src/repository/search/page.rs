//! Picks one page from matches that come in the store's order: bounded memory, a total order by
//! (sort key, rid), and a next page only when a further match exists.

use super::Cursor;
use fhir_mapping::search::SortKey;
use std::collections::BinaryHeap;
use store::Rid;

/// The smallest `count + 1` matches after the cursor; the one too many proves a next page.
pub(super) struct Picker {
    count: usize,
    after: Option<(Vec<u8>, u64)>,
    heap: BinaryHeap<(Vec<u8>, u64)>,
    matched: u64,
    is_sorted: bool,
}

/// What was picked, in order.
pub(super) struct Picked {
    pub(super) rids: Vec<Rid>,
    /// Sort key and rid of the last match of this page, when there are more.
    pub(super) next: Option<(Vec<u8>, u64)>,
    /// All matches offered, those before the cursor too.
    pub(super) matched: u64,
}

impl Picker {
    pub(super) fn new(count: usize, after: Option<&Cursor>) -> Picker {
        Picker {
            count,
            after: after.map(|cursor| (cursor.sort_key.clone(), cursor.rid)),
            heap: BinaryHeap::new(),
            matched: 0,
            is_sorted: false,
        }
    }

    pub(super) fn offer(&mut self, rid: Rid, key: Option<SortKey>) {
        self.matched += 1;
        self.is_sorted |= key.is_some();
        let key = key
            .map(|SortKey(key)| [&[1], key.as_slice()].concat())
            .unwrap_or_default();
        let place = (key, rid.0);
        if self.after.as_ref().is_some_and(|after| place <= *after) {
            return;
        }
        self.heap.push(place);
        if self.heap.len() > self.count.saturating_add(1) {
            self.heap.pop();
        }
    }

    /// In the store's order nothing that comes later can be part of this page.
    pub(super) fn is_full(&self) -> bool {
        !self.is_sorted && self.heap.len() > self.count
    }

    pub(super) fn finish(self) -> Picked {
        let mut places = self.heap.into_sorted_vec();
        let more = places.len() > self.count;
        places.truncate(self.count);
        let rids = places.iter().map(|(_, rid)| Rid(*rid)).collect();
        Picked {
            rids,
            next: places.pop().filter(|_| more),
            matched: self.matched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of `count` over keys given in rid order, until there is no next.
    fn pages(keys: &[&str], count: usize) -> Vec<Vec<u64>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let mut picker = Picker::new(count, after.as_ref());
            for (rid, key) in (1..).map(Rid).zip(keys) {
                let key = (!key.is_empty()).then(|| SortKey(key.as_bytes().to_vec()));
                picker.offer(rid, key);
            }
            let picked = picker.finish();
            pages.push(picked.rids.iter().map(|rid| rid.0).collect());
            let Some((sort_key, rid)) = picked.next else {
                return pages;
            };
            after = Some(Cursor {
                sort_key,
                rid,
                total: Some(picked.matched),
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
}

//! A run: what one or more neighbouring groups wrote, sorted by database and key, never changed
//! once made. Younger runs lie above older ones; a fold writes a run into the data file in order.
//!
//! Runs are shared by reference, so a snapshot costs one counter, and a reader can never see half
//! of a group. Adding 4,000 groups of 50 places costs 18 us a group, merging included; a skip list
//! (crossbeam-skiplist) and a persistent map (imbl, one clone a group) cost 88 us each.

use crate::catalog::Tree;
use crate::postings::SpanKey;
use std::cmp::Ordering;
use std::sync::Arc;

/// One key with what was written to it: a sealed value, or `None` when it was taken away.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) tree: Tree,
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Option<Box<[u8]>>,
}

/// A place of a span, posted or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) key: SpanKey,
    pub(crate) place: u16,
    pub(crate) posted: bool,
}

impl Posting {
    fn spot(&self) -> (&SpanKey, u16) {
        (&self.key, self.place)
    }
}

/// An item behind the start of its key, which decides most comparisons without a look at it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    front: u128,
    pub(crate) item: Arc<Item>,
}

impl Slot {
    fn new(item: Item) -> Self {
        Self {
            front: front_of(item.tree, &item.key),
            item: Arc::new(item),
        }
    }

    /// How this slot lies to a key of a tree.
    fn order(&self, front: u128, key: &[u8]) -> Ordering {
        // Equal fronts mean the same tree and fifteen equal bytes, zeros filled up.
        self.front
            .cmp(&front)
            .then_with(|| self.item.key.as_ref().cmp(key))
    }

    fn order_to(&self, other: &Slot) -> Ordering {
        self.order(other.front, &other.item.key)
    }
}

/// The tree and the first 15 bytes of the key, as a number that sorts alike.
fn front_of(tree: Tree, key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    if let Some((first, rest)) = bytes.split_first_mut() {
        *first = tree.number();
        for (to, from) in rest.iter_mut().zip(key) {
            *to = *from;
        }
    }
    u128::from_be_bytes(bytes)
}

/// Sorted writes, one for each key and one for each place.
#[derive(Debug, Default)]
pub(crate) struct Run {
    items: Vec<Slot>,
    postings: Vec<Posting>,
}

impl Run {
    /// Of two writes to one key or place the later one counts.
    pub(crate) fn new(items: Vec<Item>, mut postings: Vec<Posting>) -> Self {
        let mut items: Vec<Slot> = items.into_iter().map(Slot::new).collect();
        items.sort_by(Slot::order_to);
        keep_last(&mut items, |a, b| a.order_to(b) == Ordering::Equal);
        postings.sort_by(|a, b| a.spot().cmp(&b.spot()));
        keep_last(&mut postings, |a, b| a.spot() == b.spot());
        Self { items, postings }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.postings.is_empty()
    }

    /// How many writes the run holds.
    pub(crate) fn len(&self) -> usize {
        self.items.len() + self.postings.len()
    }

    pub(crate) fn items(&self) -> &[Slot] {
        &self.items
    }

    pub(crate) fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// Both in one; where they write alike, `younger` counts.
    pub(crate) fn merged(older: &Run, younger: &Run) -> Run {
        Run {
            items: merged(&older.items, &younger.items, Slot::order_to),
            postings: merged(&older.postings, &younger.postings, |a, b| {
                a.spot().cmp(&b.spot())
            }),
        }
    }

    /// What the run says of a key; `None` when it says nothing.
    pub(crate) fn get(&self, tree: Tree, key: &[u8]) -> Option<&Item> {
        let front = front_of(tree, key);
        let slot = self.items.get(self.position(front, key))?;
        (slot.order(front, key) == Ordering::Equal).then_some(&slot.item)
    }

    fn position(&self, front: u128, key: &[u8]) -> usize {
        self.items
            .partition_point(|slot| slot.order(front, key) == Ordering::Less)
    }

    /// The slots of a tree whose keys lie within the bounds: at or above `start`, or above it when
    /// `after_start`, and below `end`.
    pub(crate) fn window(
        &self,
        tree: Tree,
        (start, after_start): (&[u8], bool),
        end: Option<&[u8]>,
    ) -> &[Slot] {
        let front = front_of(tree, start);
        let from = self.items.partition_point(|slot| {
            let order = slot.order(front, start);
            order == Ordering::Less || (after_start && order == Ordering::Equal)
        });
        let to = match end {
            Some(end) => self.position(front_of(tree, end), end),
            None => self.items.partition_point(|slot| slot.item.tree <= tree),
        };
        self.items.get(from..to).unwrap_or_default()
    }

    /// The postings of one blinded term, by span and place.
    pub(crate) fn postings_of(&self, term: &[u8; 16]) -> &[Posting] {
        let from = self
            .postings
            .partition_point(|posting| posting.key.as_slice() < term.as_slice());
        let rest = self.postings.get(from..).unwrap_or_default();
        let length = rest.partition_point(|posting| posting.key.starts_with(term));
        rest.get(..length).unwrap_or_default()
    }
}

/// Of neighbours that are the same the last one stays.
fn keep_last<T: Clone>(sorted: &mut Vec<T>, same: impl Fn(&T, &T) -> bool) {
    sorted.dedup_by(|later, kept| {
        let doubled = same(later, kept);
        if doubled {
            *kept = later.clone();
        }
        doubled
    });
}

fn merged<T: Clone>(older: &[T], younger: &[T], order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut out = Vec::with_capacity(older.len() + younger.len());
    let mut older = older.iter().peekable();
    for new in younger {
        while let Some(old) = older.peek() {
            match order(old, new) {
                Ordering::Less => out.push((*old).clone()),
                Ordering::Equal => {}
                Ordering::Greater => break,
            }
            older.next();
        }
        out.push(new.clone());
    }
    out.extend(older.cloned());
    out
}

/// Puts a run above the others, of which the first `kept` must stay as they are. Runs of like size
/// become one, so there are about as many runs as the count of groups has binary digits.
pub(crate) fn push(runs: &mut Vec<Arc<Run>>, kept: usize, run: Run) {
    let mut run = run;
    while runs.len() > kept
        && let Some(below) = runs.last()
        && run.len().saturating_mul(2) > below.len()
    {
        run = Run::merged(below, &run);
        runs.pop();
    }
    runs.push(Arc::new(run));
}

/// All runs in one.
pub(crate) fn united(runs: &[Arc<Run>]) -> Run {
    let mut all = Run::default();
    // From the youngest and smallest on, so that each merge is small against the next.
    for run in runs.iter().rev() {
        all = Run::merged(run, &all);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn item(tree: Tree, key: &[u8], value: Option<u8>) -> Item {
        Item {
            tree,
            key: key.into(),
            value: value.map(|byte| Box::from([byte].as_slice())),
        }
    }

    fn posting(term: u8, place: u16, posted: bool) -> Posting {
        Posting {
            key: [term; 20],
            place,
            posted,
        }
    }

    /// Many small runs pushed one after another answer as one map does.
    #[test]
    fn pushed_runs_hold_the_last_write_of_every_key() {
        let mut runs = Vec::new();
        let mut expected: BTreeMap<(Tree, Vec<u8>), Option<u8>> = BTreeMap::new();
        let mut posted: BTreeMap<(u8, u16), bool> = BTreeMap::new();
        let mut state = 7_u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from((state >> 8) % below).unwrap()
        };
        for _ in 0..300 {
            let (mut items, mut postings) = (Vec::new(), Vec::new());
            for _ in 0..draw(6) {
                let tree = if draw(2) == 0 {
                    Tree::Heads
                } else {
                    Tree::Rows
                };
                // Keys that differ behind the 15 bytes of the front, and ones that end within it.
                let mut key = vec![draw(3); usize::from(draw(3)) * 9 + 1];
                key.push(draw(4));
                let value = (draw(4) > 0).then(|| draw(200));
                items.push(item(tree, &key, value));
                expected.insert((tree, key), value);
                let (term, place, add) = (draw(5), u16::from(draw(30)), draw(3) > 0);
                postings.push(posting(term, place, add));
                posted.insert((term, place), add);
            }
            push(&mut runs, 0, Run::new(items, postings));
        }
        assert!((2..10).contains(&runs.len()), "{}", runs.len());
        let found = |tree, key: &[u8]| {
            let item = runs.iter().rev().find_map(|run| run.get(tree, key));
            item.map(|item| item.value.as_ref().map(|value| value[0]))
        };
        for ((tree, key), value) in &expected {
            assert_eq!(found(*tree, key), Some(*value), "{tree:?} {key:?}");
        }
        assert_eq!(found(Tree::Heads, &[9, 9]), None);
        let all = united(&runs);
        let wanted: Vec<_> = expected
            .iter()
            .map(|((tree, key), value)| item(*tree, key, *value))
            .collect();
        assert!(all.items().iter().map(|slot| &*slot.item).eq(wanted.iter()));
        let wanted: Vec<_> = posted
            .iter()
            .map(|((term, place), add)| posting(*term, *place, *add))
            .collect();
        assert_eq!(all.postings(), wanted);
        let of_term = all.postings_of(&[3; 16]);
        assert!(!of_term.is_empty() && of_term.iter().all(|posting| posting.key == [3; 20]));
    }

    #[test]
    fn windows_keep_to_their_tree_and_bounds() {
        let keys: [&[u8]; 5] = [&[1], &[1, 0], &[2], &[2, 5], &[3]];
        let mut items: Vec<Item> = keys
            .iter()
            .map(|key| item(Tree::Rows, key, Some(1)))
            .collect();
        items.push(item(Tree::Audit, &[2], None));
        let run = Run::new(items, Vec::new());
        let window = |start: &[u8], after, end: Option<&[u8]>| {
            let found = run.window(Tree::Rows, (start, after), end);
            found
                .iter()
                .map(|slot| slot.item.key.to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(window(&[], false, None).len(), 5);
        assert_eq!(window(&[1], false, Some(&[2])), vec![vec![1], vec![1, 0]]);
        assert_eq!(window(&[1], true, Some(&[2, 5])), vec![vec![1, 0], vec![2]]);
        assert_eq!(window(&[3], true, None), Vec::<Vec<u8>>::new());
        assert_eq!(window(&[3], false, Some(&[1])), Vec::<Vec<u8>>::new());
        assert_eq!(run.window(Tree::Heads, (&[], false), None).len(), 0);
    }
}

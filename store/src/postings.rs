//! Posting lists: which resources posted a term. A list is cut into spans of 4096 rids; a span is
//! a row of at most 512 bytes, so adding and removing stay cheap, and a reader can jump.

use crate::catalog;
use crate::overlay::{Layer, Posting};
use crate::{Rid, StoreError};
use std::borrow::Cow;

/// A rid is a span (all higher bits) and a place in it (the lowest 12).
const PLACE_BITS: u32 = 12;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
/// Bytes of a span that is a map of bits; a shorter row is a list of u16.
const MAP_BYTES: usize = 512;
/// From this many on, a map of bits is not longer than a list.
const LIST_LENGTH_MAX: usize = MAP_BYTES / 2 - 1;
/// The highest rid whose span fits into the four bytes of a key.
pub(crate) const RID_MAX: u64 = (1 << (32 + PLACE_BITS)) - 1;
/// Lists of more spans than this are counted by their share of the spans in between.
const SPANS_COUNTED_MAX: usize = 64;

/// Key of `postings`: the blinded term, then the span (u32 BE).
pub(crate) type SpanKey = [u8; 20];

pub(crate) fn span_key(term: &[u8; 16], rid: Rid) -> SpanKey {
    key_of(term, u32::try_from(rid.0 >> PLACE_BITS).unwrap_or(u32::MAX))
}

pub(crate) fn place_of(rid: Rid) -> u16 {
    u16::try_from(rid.0 & PLACE_MASK).unwrap_or(0)
}

fn key_of(term: &[u8; 16], span: u32) -> SpanKey {
    let mut key = [0; 20];
    let (front, back) = key.split_at_mut(16);
    front.copy_from_slice(term);
    back.copy_from_slice(&span.to_be_bytes());
    key
}

/// The row after places were posted (`true`) or taken away; empty when none is left.
pub(crate) fn changed_span(row: &[u8], changes: &[(u16, bool)]) -> Vec<u8> {
    if let [(place, true)] = changes
        && row.len() < 2 * LIST_LENGTH_MAX
    {
        return with_place(row, *place);
    }
    let mut map = as_map(row);
    for (place, posted) in changes {
        let at = usize::from(*place >> 3);
        if let Some(byte) = map.get_mut(at) {
            let bit = 1_u8 << (*place & 7);
            *byte = if *posted { *byte | bit } else { *byte & !bit };
        }
    }
    as_row(&map)
}

/// A list with one more place: most changes are this.
fn with_place(row: &[u8], place: u16) -> Vec<u8> {
    let (places, _) = row.as_chunks::<2>();
    let at = places.partition_point(|other| u16::from_be_bytes(*other) < place);
    let mut out = Vec::with_capacity(row.len() + 2);
    let (before, after) = places.split_at(at);
    out.extend_from_slice(before.as_flattened());
    out.extend_from_slice(&place.to_be_bytes());
    let known = after
        .first()
        .is_some_and(|other| u16::from_be_bytes(*other) == place);
    let after = after.get(usize::from(known)..).unwrap_or_default();
    out.extend_from_slice(after.as_flattened());
    out
}

fn as_map(row: &[u8]) -> [u8; MAP_BYTES] {
    if let Ok(map) = row.try_into() {
        return map;
    }
    let mut map = [0_u8; MAP_BYTES];
    for place in row.as_chunks::<2>().0 {
        let place = u16::from_be_bytes(*place);
        if let Some(byte) = map.get_mut(usize::from(place >> 3)) {
            *byte |= 1 << (place & 7);
        }
    }
    map
}

fn as_row(map: &[u8; MAP_BYTES]) -> Vec<u8> {
    if count_of(map) > LIST_LENGTH_MAX {
        return map.to_vec();
    }
    let mut out = Vec::new();
    each_place(map, |place| out.extend_from_slice(&place.to_be_bytes()));
    out
}

/// Could this program have written such a row?
pub(crate) fn is_row(key: &[u8], row: &[u8]) -> bool {
    let (places, rest) = row.as_chunks::<2>();
    let is_list = || {
        let places = places.iter().map(|place| u16::from_be_bytes(*place));
        places.clone().is_sorted_by(|a, b| a < b)
            && places.clone().all(|place| u64::from(place) <= PLACE_MASK)
    };
    key.len() == size_of::<SpanKey>()
        && match row.len() {
            MAP_BYTES => count_of(row) > LIST_LENGTH_MAX,
            length => length > 0 && length < MAP_BYTES && rest.is_empty() && is_list(),
        }
}

/// The term of a row's key, and the first rid of its span.
pub(crate) fn span_of_key(key: &[u8]) -> Option<([u8; 16], u64)> {
    let (term, span) = key.split_first_chunk::<16>()?;
    let span = u32::from_be_bytes(span.try_into().ok()?);
    Some((*term, u64::from(span) << PLACE_BITS))
}

/// Tells of every place of a row, ascending.
pub(crate) fn each_place(row: &[u8], mut each: impl FnMut(u16)) {
    if row.len() != MAP_BYTES {
        let places = row.as_chunks::<2>().0.iter();
        return places.for_each(|place| each(u16::from_be_bytes(*place)));
    }
    for (at, byte) in (0_u16..).zip(row) {
        for bit in (0..8_u16).filter(|bit| byte & (1 << bit) != 0) {
            each(at * 8 + bit);
        }
    }
}

/// How many places a row holds.
fn count_of(row: &[u8]) -> usize {
    if row.len() == MAP_BYTES {
        // By words: counting all resources of a type reads every map there is.
        let (words, _) = row.as_chunks::<8>();
        let ones = words
            .iter()
            .map(|word| u64::from_ne_bytes(*word).count_ones());
        return usize::try_from(ones.sum::<u32>()).unwrap_or(0);
    }
    row.len() / 2
}

/// The first place at or after `at`.
fn first_place(row: &[u8], at: u16) -> Option<u16> {
    if row.len() == MAP_BYTES {
        return first_bit(row, at);
    }
    let (places, _) = row.as_chunks::<2>();
    let index = places.partition_point(|place| u16::from_be_bytes(*place) < at);
    places.get(index).map(|place| u16::from_be_bytes(*place))
}

fn first_bit(map: &[u8], at: u16) -> Option<u16> {
    let start = usize::from(at >> 3);
    let first = map.get(start)? & (0xff_u8 << (at & 7));
    let rest = map.get(start + 1..).unwrap_or_default();
    let (index, byte) = std::iter::once(&first)
        .chain(rest)
        .enumerate()
        .find(|(_, byte)| **byte != 0)?;
    let bit = u16::try_from(byte.trailing_zeros()).ok()?;
    Some(u16::try_from(start + index).ok()? * 8 + bit)
}

/// A walk over the posting list of one term, ascending, with jumps.
pub struct Postings<'t> {
    layer: Layer<'t>,
    term: [u8; 16],
    /// What the overlay changes in this list, oldest first; for most terms nothing.
    changes: Vec<&'t [Posting]>,
    /// The span last read, so that neighbours cost no look-up.
    span: Option<Span<'t>>,
    next: Rid,
}

type Counts<'p> = Box<dyn Iterator<Item = Result<(u32, u64), StoreError>> + 'p>;

/// A span and its row, which the overlay may have changed.
type Span<'t> = (u32, Cow<'t, [u8]>);

impl<'t> Postings<'t> {
    pub(crate) fn new(layer: Layer<'t>, term: [u8; 16]) -> Self {
        Self {
            layer,
            term,
            changes: layer.postings_of(&term),
            span: None,
            next: Rid(0),
        }
    }

    /// How many resources posted the term: exact for lists over at most 64 spans (262,144 rids);
    /// for longer ones an estimate from the first 64 spans. Good for picking the shortest list.
    pub fn count(&self) -> u64 {
        let mut counted = 0_u64;
        let mut last_span = 0;
        // A fault shows again when the list is read.
        let counts = self.counts().into_iter().flatten().map_while(Result::ok);
        for (index, (span, count)) in counts.enumerate() {
            if index == SPANS_COUNTED_MAX {
                return self.estimate(counted, last_span, span);
            }
            counted += count;
            last_span = span;
        }
        counted
    }

    /// How many resources posted the term, exactly: reads every span of the list.
    pub fn count_exactly(&self) -> Result<u64, StoreError> {
        self.counts()?
            .try_fold(0_u64, |counted, count| Ok(counted + count?.1))
    }

    /// Each span with its count.
    fn counts(&self) -> Result<Counts<'_>, StoreError> {
        let counted = |row: &[u8]| u64::try_from(count_of(row)).unwrap_or(0);
        let like = key_of(&self.term, 0);
        if self.changes.is_empty() {
            let fault = |e: heed::Error| StoreError::disk(catalog::POSTINGS, &e);
            let rows = self.layer.spans_of(&self.term)?;
            return Ok(Box::new(rows.map(move |row| {
                let (key, row) = row.map_err(fault)?;
                Ok((span_of(key, &like).unwrap_or(0), counted(row)))
            })));
        }
        let mut at = Some(0);
        Ok(Box::new(std::iter::from_fn(move || {
            let read = self.row_from(at.take()?).transpose()?;
            Some(read.map(|(span, row)| {
                at = span.checked_add(1);
                (span, counted(&row))
            }))
        })))
    }

    fn estimate(&self, counted: u64, last_counted: u32, next: u32) -> u64 {
        let beyond = key_of(&self.term, u32::MAX);
        let below = self.layer.span_to(&beyond).ok().flatten();
        let below = below.and_then(|(key, _)| span_of(key, &beyond));
        let above = self.changes.iter().filter_map(|changes| changes.last());
        let above = above.filter_map(|change| span_of(&change.key, &beyond));
        let last = above.chain(below).max().unwrap_or(next);
        let share = u64::from(last) + 1;
        (counted.saturating_mul(share) / (u64::from(last_counted) + 1)).max(counted)
    }

    /// The first rid greater than or equal to `at`, which may lie before the place reached.
    pub fn seek(&mut self, at: Rid) -> Result<Option<Rid>, StoreError> {
        let mut at = at;
        loop {
            let Some((span, row)) = self.span_from(at)? else {
                return Ok(None);
            };
            let start = u64::from(*span) << PLACE_BITS;
            let place = if start > at.0 { 0 } else { place_of(at) };
            if let Some(place) = first_place(row, place) {
                let found = Rid(start + u64::from(place));
                self.next = Rid(found.0 + 1);
                return Ok(Some(found));
            }
            at = Rid(start + PLACE_MASK + 1);
        }
    }

    /// The next rid in ascending order.
    #[allow(
        clippy::should_implement_trait,
        reason = "reading may fail, an iterator may not"
    )]
    pub fn next(&mut self) -> Result<Option<Rid>, StoreError> {
        self.seek(self.next)
    }

    /// The span that holds `at`, or the next one after it.
    fn span_from(&mut self, at: Rid) -> Result<Option<&Span<'t>>, StoreError> {
        let Ok(wanted) = u32::try_from(at.0 >> PLACE_BITS) else {
            return Ok(None);
        };
        let read = self.span.as_ref().is_some_and(|(span, _)| *span == wanted);
        if !read {
            self.span = self.row_from(wanted)?;
        }
        Ok(self.span.as_ref())
    }

    /// The first row at or after a span that is not empty.
    fn row_from(&self, span: u32) -> Result<Option<Span<'t>>, StoreError> {
        let mut from = key_of(&self.term, span);
        loop {
            let below = self.layer.span_from(&from)?;
            let below = below.and_then(|(key, row)| Some((span_of(key, &from)?, row)));
            let Some(above) = self.changed_from(&from) else {
                return Ok(below.map(|(span, row)| (span, Cow::Borrowed(row))));
            };
            let row = match below {
                Some((span, row)) if span < above => return Ok(Some((span, Cow::Borrowed(row)))),
                Some((span, row)) if span == above => row,
                _ => &[],
            };
            from = key_of(&self.term, above);
            let row = changed_span(row, &self.changes_of(&from));
            if !row.is_empty() {
                return Ok(Some((above, Cow::Owned(row))));
            }
            let Some(next) = above.checked_add(1) else {
                return Ok(None);
            };
            from = key_of(&self.term, next);
        }
    }

    /// The first span at or after a key that the overlay changes.
    fn changed_from(&self, from: &SpanKey) -> Option<u32> {
        let first = |changes: &&[Posting]| {
            let at = changes.partition_point(|change| change.key < *from);
            span_of(&changes.get(at)?.key, from)
        };
        self.changes.iter().filter_map(first).min()
    }

    /// What the overlay changes in one span, the oldest change first.
    fn changes_of(&self, key: &SpanKey) -> Vec<(u16, bool)> {
        let of_span = |changes: &&'t [Posting]| {
            let from = changes.partition_point(|change| change.key < *key);
            let rest = changes.get(from..).unwrap_or_default();
            let same = rest.iter().take_while(|change| change.key == *key);
            same.map(|change| (change.place, change.posted))
                .collect::<Vec<_>>()
        };
        self.changes.iter().flat_map(of_span).collect()
    }
}

/// The span of a key, when it is one of the same term.
fn span_of(key: &[u8], like: &SpanKey) -> Option<u32> {
    let (term, span) = key.split_at_checked(16)?;
    (term == like.get(..16)?).then_some(())?;
    Some(u32::from_be_bytes(span.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn places(row: &[u8]) -> BTreeSet<u16> {
        let mut found = BTreeSet::new();
        let mut at = 0;
        while let Some(place) = first_place(row, at) {
            found.insert(place);
            at = place + 1;
        }
        found
    }

    /// Posts and takes away in a mixed order and compares with a set after every step.
    #[test]
    fn spans_hold_what_was_posted() {
        let mut row = Vec::new();
        let mut expected = BTreeSet::new();
        let mut state = 1_u32;
        for step in 0..3000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let place = u16::try_from((state >> 12) & 0xfff).unwrap();
            let posted = if step < 1200 {
                !state.is_multiple_of(7)
            } else {
                state.is_multiple_of(5)
            };
            row = changed_span(&row, &[(place, posted)]);
            if posted {
                expected.insert(place);
            } else {
                expected.remove(&place);
            }
            assert!(row.len() <= MAP_BYTES);
            assert_eq!(count_of(&row), expected.len());
            if step % 50 == 0 {
                assert_eq!(places(&row), expected);
            }
        }
        assert_eq!(places(&row), expected);
    }

    #[test]
    fn rows_have_one_form_for_each_set() {
        let all: Vec<(u16, bool)> = (0..4096).map(|place| (place, true)).collect();
        let full = changed_span(&[], &all);
        assert_eq!(full, vec![0xff; 512]);
        let none: Vec<(u16, bool)> = (0..4096).map(|place| (place, false)).collect();
        assert_eq!(changed_span(&full, &none), Vec::<u8>::new());
        let one_by_one = (0..255).fold(Vec::new(), |row, place| {
            changed_span(&row, &[(place, true)])
        });
        assert_eq!(one_by_one, changed_span(&[], &all[..255]));
        assert_eq!(one_by_one.len(), 510);
        let map = changed_span(&one_by_one, &[(255, true)]);
        assert_eq!(map.len(), 512);
        assert_eq!(changed_span(&map, &[(255, false)]), one_by_one);
        // Of two changes to one place the later one counts.
        assert_eq!(
            changed_span(&[], &[(7, true), (7, false)]),
            Vec::<u8>::new()
        );
        assert_eq!(changed_span(&[0, 7], &[(7, false), (7, true)]), vec![0, 7]);
    }

    #[test]
    fn keys_sort_by_span() {
        let term = [9; 16];
        assert!(span_key(&term, Rid(4095)) < span_key(&term, Rid(4096)));
        assert!(span_key(&term, Rid(1 << 30)) < span_key(&term, Rid(RID_MAX)));
        assert_eq!(
            span_of(&span_key(&term, Rid(9 << 12)), &span_key(&term, Rid(0))),
            Some(9)
        );
        assert_eq!(
            span_of(&span_key(&[8; 16], Rid(0)), &span_key(&term, Rid(0))),
            None
        );
    }
}

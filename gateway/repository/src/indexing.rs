//! Carries search values and terms from the mapping to a write set.

use fhir_mapping::model::{Limits, parse};
use fhir_mapping::search::{SearchValues, Zone, extract};
use std::cmp::Ordering;
use store::{Head, Rid, StoreError, Term, View};

/// Search values of a head, `None` when it is deleted. Values of an older format are extracted
/// anew from the body, so a search stays right while a reindex is due.
pub(super) fn values_of(
    view: &View<'_>,
    rid: Rid,
    zone: &Zone,
) -> Result<Option<SearchValues>, StoreError> {
    let Some(bytes) = view.values(rid)? else {
        return Ok(None);
    };
    if let Some(values) = SearchValues::decode(&bytes) {
        return Ok(Some(values));
    }
    let Some(head) = view.head_of(rid)? else {
        return Ok(None);
    };
    let stored = view.version(rid, head.version)?;
    let tree = stored.and_then(|stored| parse(&stored.body, Limits::default()).ok());
    Ok(tree.map(|tree| extract(&tree, zone)))
}

/// Terms that the head has posted; none when there is no live head.
pub(super) fn posted_terms(
    view: &View<'_>,
    head: Option<&Head>,
    zone: &Zone,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let Some(head) = head.filter(|head| !head.deleted) else {
        return Ok(Vec::new());
    };
    let values = values_of(view, head.rid, zone)?;
    Ok(values.map(|values| values.terms()).unwrap_or_default())
}

/// What to post and what to take away to get from `old` to `new`; both are sorted without repeats.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TermDiff {
    pub(super) added: Vec<Term>,
    pub(super) removed: Vec<Term>,
}

pub(super) fn diff(old: Vec<Vec<u8>>, new: Vec<Vec<u8>>) -> TermDiff {
    let mut diff = TermDiff::default();
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return diff,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(b),
        };
        match order {
            Ordering::Less => diff.removed.extend(old.next().map(Term)),
            Ordering::Greater => diff.added.extend(new.next().map(Term)),
            Ordering::Equal => {
                old.next();
                new.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_of_sorted_terms() {
        let terms = |text: &str| -> Vec<Vec<u8>> {
            text.split_terminator(' ')
                .map(|t| t.as_bytes().to_vec())
                .collect()
        };
        let show = |terms: Vec<Term>| -> String {
            let texts: Vec<_> = terms
                .into_iter()
                .map(|t| String::from_utf8(t.0).unwrap())
                .collect();
            texts.join(" ")
        };
        for (old, new, added, removed) in [
            ("", "a b", "a b", ""),
            ("a b", "", "", "a b"),
            ("a c d", "b c e", "b e", "a d"),
            ("a b", "a b", "", ""),
        ] {
            let diff = diff(terms(old), terms(new));
            assert_eq!(
                (show(diff.added), show(diff.removed)),
                (added.to_owned(), removed.to_owned())
            );
        }
    }
}

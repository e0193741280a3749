//! Carries search values and terms from the mapping to a write set.

#[cfg(test)]
mod older;
pub(super) mod own;
pub(super) mod reindex;
pub(super) mod standing;

use fhir_mapping::model::{Limits, parse};
use fhir_mapping::search::{Looks, SearchValues, Zone, extract};
use std::cmp::Ordering;
use store::{Head, Rid, StoreError, Term, View};

/// Search values of a resource, as far as they are kept.
pub(crate) enum Kept {
    /// Of the present rules.
    Values(SearchValues),
    /// Of other rules: the body is to be looked at.
    Stale,
    /// The resource is not there or deleted.
    Gone,
}

/// With `looks`, those of these parameters only, as [`SearchValues::decode_some`] says.
pub(crate) fn kept(
    view: &View<'_>,
    rid: Rid,
    (zone, looks): (&Zone, Option<&Looks>),
) -> Result<Kept, StoreError> {
    let Some(bytes) = view.values(rid)? else {
        return Ok(Kept::Gone);
    };
    let values = match looks {
        Some(looks) => SearchValues::decode_some(&bytes, zone, looks),
        None => SearchValues::decode(&bytes, zone),
    };
    let values = values.filter(|values| values.is_of(zone));
    Ok(values.map_or(Kept::Stale, Kept::Values))
}

/// Search values of a head, `None` when it is deleted. Values of other rules are extracted anew
/// from the body, so a search stays right while a reindex is due.
pub(crate) fn values_of(
    view: &View<'_>,
    rid: Rid,
    zone: &Zone,
) -> Result<Option<SearchValues>, StoreError> {
    match kept(view, rid, (zone, None))? {
        Kept::Values(values) => Ok(Some(values)),
        Kept::Gone => Ok(None),
        Kept::Stale => extracted(view, rid, zone),
    }
}

/// Search values as the present rules make them of a head's body.
pub(crate) fn extracted(
    view: &View<'_>,
    rid: Rid,
    zone: &Zone,
) -> Result<Option<SearchValues>, StoreError> {
    let Some(head) = view.head_of(rid)?.filter(|head| !head.deleted) else {
        return Ok(None);
    };
    let stored = view.version(rid, head.version)?;
    let tree = stored.and_then(|stored| parse(&stored.body, Limits::default()).ok());
    Ok(tree.map(|tree| extract(&tree, zone)))
}

/// For a look over the store: the terms that stored search values have posted.
pub fn terms_of(store: &store::Store) -> store::TermsOf {
    // What values mean depends on the site's own parameters, not on its zone.
    let zone = Zone::of(jiff::tz::TimeZone::UTC);
    own::begin(store, &zone);
    std::sync::Arc::new(move |bytes| {
        SearchValues::decode(bytes, &zone).map(|values| values.terms())
    })
}

/// Terms that a head has posted.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    /// Sorted, without repeats.
    terms: Vec<Vec<u8>>,
    /// False: other rules made the values, and these terms are what the present ones would post.
    is_guess: bool,
}

impl Posted {
    pub(crate) fn certain(terms: Vec<Vec<u8>>) -> Posted {
        let is_guess = false;
        Posted { terms, is_guess }
    }

    /// What to post and what to take away to get to `new`. After a guess all is posted that is new;
    /// a term that only other rules posted stays: it proposes a candidate too many.
    pub(crate) fn diff(self, new: Vec<Vec<u8>>) -> TermDiff {
        if !self.is_guess {
            return diff(self.terms, new);
        }
        TermDiff {
            added: new.iter().cloned().map(Term).collect(),
            removed: diff(self.terms, new).removed,
        }
    }
}

/// Terms that the head has posted; none when there is no live head.
pub(crate) fn posted(
    view: &View<'_>,
    head: Option<&Head>,
    zone: &Zone,
) -> Result<Posted, StoreError> {
    let Some(head) = head.filter(|head| !head.deleted) else {
        return Ok(Posted::default());
    };
    let values = view.values(head.rid)?;
    if let Some(values) = values.and_then(|bytes| SearchValues::decode_former(&bytes, zone)) {
        return Ok(Posted::certain(values.terms()));
    }
    let guessed = extracted(view, head.rid, zone)?;
    Ok(Posted {
        terms: guessed.map(|values| values.terms()).unwrap_or_default(),
        is_guess: true,
    })
}

/// What to post and what to take away to get from `old` to `new`; both are sorted without repeats.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct TermDiff {
    pub(crate) added: Vec<Term>,
    pub(crate) removed: Vec<Term>,
}

pub(crate) fn diff(old: Vec<Vec<u8>>, new: Vec<Vec<u8>>) -> TermDiff {
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

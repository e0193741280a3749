//! Candidates of a query: posting lists intersected by leapfrog, the shortest leading.

use fhir_mapping::search::Query;
use store::{Postings, Rid, StoreError, Term, View};

/// Resources that hold a term of every group, ascending. Never misses a match; may propose more.
pub(super) struct Intersection<'v> {
    /// Shortest first.
    unions: Vec<Union<'v>>,
}

impl<'v> Intersection<'v> {
    pub(super) fn of(view: &'v View<'_>, query: &Query) -> Result<Intersection<'v>, StoreError> {
        let groups = query.candidates().all_of.into_iter();
        let unions: Result<Vec<_>, _> = groups.map(|terms| Union::of(view, terms)).collect();
        let mut unions = unions?;
        unions.sort_by_key(|union| union.count);
        Ok(Intersection { unions })
    }

    /// No more candidates than this.
    pub(super) fn count_max(&self) -> u64 {
        self.unions.first().map_or(0, |union| union.count)
    }

    /// The first candidate greater than or equal to `at`; call with ascending `at` only.
    pub(super) fn seek(&mut self, at: Rid) -> Result<Option<Rid>, StoreError> {
        let Some((lead, others)) = self.unions.split_first_mut() else {
            return Ok(None);
        };
        let mut next = lead.seek(at)?;
        'leap: while let Some(candidate) = next {
            for other in others.iter_mut() {
                match other.seek(candidate)? {
                    None => return Ok(None),
                    Some(found) if found > candidate => {
                        next = lead.seek(found)?;
                        continue 'leap;
                    }
                    Some(_) => {}
                }
            }
            return Ok(Some(candidate));
        }
        Ok(None)
    }
}

/// Resources that hold any of a group's terms.
struct Union<'v> {
    lists: Vec<List<'v>>,
    count: u64,
}

struct List<'v> {
    postings: Postings<'v>,
    /// Where it stands; `None` at its end.
    at: Option<Rid>,
}

impl<'v> Union<'v> {
    fn of(view: &'v View<'_>, terms: Vec<Vec<u8>>) -> Result<Union<'v>, StoreError> {
        let mut union = Union {
            lists: Vec::with_capacity(terms.len()),
            count: 0,
        };
        for term in terms {
            let mut postings = view.postings(&Term(term))?;
            union.count = union.count.saturating_add(postings.count());
            let at = postings.seek(Rid(0))?;
            union.lists.push(List { postings, at });
        }
        Ok(union)
    }

    fn seek(&mut self, at: Rid) -> Result<Option<Rid>, StoreError> {
        let mut first: Option<Rid> = None;
        for list in &mut self.lists {
            if list.at.is_some_and(|stands| stands < at) {
                list.at = list.postings.seek(at)?;
            }
            first = match (first, list.at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        Ok(first)
    }
}

//! Candidates of a query: posting lists and lists of rids, intersected by leapfrog, the shortest
//! leading.

use super::ground::Ground;
use gateway_ground::failure::Failure;
use store::{Postings, Rid, StoreError, Term};

/// Resources of which every match is one.
#[derive(Clone, Debug)]
pub(super) enum Group {
    /// Those that posted any of these terms.
    Terms(Vec<Vec<u8>>),
    /// These; ascending, without repeats.
    Rids(Vec<Rid>),
}

/// Resources that are in every group, ascending. Never misses a match; may propose more.
pub(super) struct Intersection<'t> {
    /// Shortest first.
    unions: Vec<Union<'t>>,
    /// Candidates of the shortest that the others were asked about.
    leaps: u64,
}

/// A union of more posting lists is read into one list of rids.
const LISTS_MAX: usize = 8;
/// Rids read from a posting list that cost as much as a row.
const RIDS_PER_ROW: u64 = 16;
/// Leaps from one list to another that cost as much as a row.
const LEAPS_PER_ROW: u64 = 16;

impl<'t> Intersection<'t> {
    pub(super) fn of(ground: &Ground<'t>, groups: Vec<Group>) -> Result<Self, Failure> {
        let unions: Result<Vec<_>, _> = groups
            .into_iter()
            .map(|group| Union::of(ground, group))
            .collect();
        let mut intersection = Intersection {
            unions: unions?,
            leaps: 0,
        };
        intersection.order();
        Ok(intersection)
    }

    pub(super) fn add(&mut self, ground: &Ground<'t>, group: Group) -> Result<(), Failure> {
        self.unions.push(Union::of(ground, group)?);
        self.order();
        Ok(())
    }

    fn order(&mut self) {
        self.unions.sort_by_key(|union| union.count);
    }

    /// No more candidates than this.
    pub(super) fn count_max(&self) -> u64 {
        self.unions.first().map_or(0, |union| union.count)
    }

    /// The first candidate greater than or equal to `at`; call with ascending `at` only.
    pub(super) fn seek(&mut self, ground: &Ground, at: Rid) -> Result<Option<Rid>, Failure> {
        let Some((lead, others)) = self.unions.split_first_mut() else {
            return Ok(None);
        };
        let mut next = lead.seek(at)?;
        'leap: while let Some(candidate) = next {
            self.leaps += 1;
            if self.leaps.is_multiple_of(LEAPS_PER_ROW) {
                ground.spend(1)?;
            }
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

/// Resources that are in any list of a group.
struct Union<'t> {
    lists: Vec<List<'t>>,
    count: u64,
}

enum List<'t> {
    Posted {
        postings: Postings<'t>,
        /// Where it stands; `None` at its end.
        at: Option<Rid>,
    },
    Known(Vec<Rid>),
}

impl<'t> Union<'t> {
    fn of(ground: &Ground<'t>, group: Group) -> Result<Union<'t>, Failure> {
        let terms = match group {
            Group::Rids(rids) => return Ok(Union::known(rids)),
            Group::Terms(terms) => ground.trust()?.terms(terms),
        };
        let mut lists = Vec::with_capacity(terms.len());
        let mut count = 0_u64;
        for term in terms {
            let postings = ground.view.postings(&Term(term))?;
            count = count.saturating_add(postings.count());
            lists.push(postings);
        }
        if lists.len() > LISTS_MAX {
            ground.spend(count / RIDS_PER_ROW)?;
            return Ok(Union::known(merged(lists)?));
        }
        let lists: Result<Vec<List>, StoreError> = lists
            .into_iter()
            .map(|mut postings| {
                let at = postings.seek(Rid(0))?;
                Ok(List::Posted { postings, at })
            })
            .collect();
        Ok(Union {
            lists: lists?,
            count,
        })
    }

    fn known(rids: Vec<Rid>) -> Union<'t> {
        Union {
            count: u64::try_from(rids.len()).unwrap_or(u64::MAX),
            lists: vec![List::Known(rids)],
        }
    }

    fn seek(&mut self, at: Rid) -> Result<Option<Rid>, StoreError> {
        let mut first: Option<Rid> = None;
        for list in &mut self.lists {
            first = match (first, list.seek(at)?) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        Ok(first)
    }
}

impl List<'_> {
    fn seek(&mut self, at: Rid) -> Result<Option<Rid>, StoreError> {
        match self {
            List::Known(rids) => {
                let next = rids.partition_point(|rid| *rid < at);
                Ok(rids.get(next).copied())
            }
            List::Posted {
                postings,
                at: stands,
            } => {
                if stands.is_some_and(|stands| stands < at) {
                    *stands = postings.seek(at)?;
                }
                Ok(*stands)
            }
        }
    }
}

fn merged(lists: Vec<Postings<'_>>) -> Result<Vec<Rid>, StoreError> {
    let mut rids = Vec::new();
    for mut postings in lists {
        let mut at = Rid(0);
        while let Some(rid) = postings.seek(at)? {
            rids.push(rid);
            at = Rid(rid.0.saturating_add(1));
        }
    }
    rids.sort_unstable();
    rids.dedup();
    Ok(rids)
}

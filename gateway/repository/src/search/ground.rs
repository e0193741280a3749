//! What one search stands on: the values of resources as they were when its first page was made,
//! read within a budget.
//!
//! A page after the first judges every resource by the version that was its head at the seq of the
//! first page: versions are never thrown away, so the pages together are the answer of that moment,
//! whatever was written since. When more changed since than [`CHANGES_MAX`], resources are judged
//! as they are now and new ones are left out: each still comes at most once in the store's order.

use crate::indexing::{self, Kept, standing::Trust};
use fhir_mapping::model::{IssueCode, Json, Limits, parse};
use fhir_mapping::search::{SearchValues, Zone, extract};
use gateway_ground::failure::{Category, Failure};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use store::{ResourceKey, Rid, Seq, StoreError, StoredVersion, View};

/// Rows that a search may read; a resource's values are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget(pub(super) u64);

impl Budget {
    /// A short search: some tens of milliseconds.
    pub(super) const BRIEF: Budget = Budget(20_000);
    /// Inside a writing transaction, which others wait for.
    pub(super) const WRITING: Budget = Budget(100_000);
    /// The longest: some seconds.
    pub(super) const WHOLE: Budget = Budget(2_000_000);
}

/// When the first page was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) seq: Seq,
    pub(super) last_rid: Rid,
}

pub(super) struct Ground<'t> {
    pub(super) view: View<'t>,
    zone: &'t Zone,
    past: Past,
    left: Cell<u64>,
    trust: OnceCell<Trust>,
}

enum Past {
    /// The first page: as it is.
    Now,
    Exact {
        seq: Seq,
        /// Ascending.
        changed: Vec<Rid>,
        known: RefCell<HashMap<Rid, Option<Rc<SearchValues>>>>,
    },
    Loose {
        last_rid: Rid,
    },
}

/// More changes since the first page are not looked through.
const CHANGES_MAX: usize = 2_000;
/// Versions looked through to find the one of that moment.
const VERSIONS_MAX: usize = 1_000;
/// A body that is read and parsed counts as so many rows.
const BODY_ROWS: u64 = 30;
/// Number of the refusal, by which a brief search is told from a long one.
pub(super) const TOO_COSTLY: &str = "E-SCAN-1";

impl<'t> Ground<'t> {
    pub(super) fn now(view: View<'t>, zone: &'t Zone, budget: Budget) -> Ground<'t> {
        Ground {
            view,
            zone,
            past: Past::Now,
            left: Cell::new(budget.0),
            trust: OnceCell::new(),
        }
    }

    pub(super) fn at(
        (view, zone): (View<'t>, &'t Zone),
        moment: Moment,
        budget: Budget,
    ) -> Result<Ground<'t>, StoreError> {
        let changes = view.changes(moment.seq, CHANGES_MAX.saturating_add(1))?;
        let past = if changes.is_empty() {
            Past::Now
        } else if changes.len() > CHANGES_MAX {
            Past::Loose {
                last_rid: moment.last_rid,
            }
        } else {
            let mut changed: Vec<Rid> = changes.iter().map(|change| change.rid).collect();
            changed.sort_unstable();
            changed.dedup();
            Past::Exact {
                seq: moment.seq,
                changed,
                known: RefCell::default(),
            }
        };
        Ok(Ground {
            past,
            ..Ground::now(view, zone, budget)
        })
    }

    /// Known beforehand: postings are the whole truth.
    pub(super) fn trusting(self, is_whole: bool) -> Ground<'t> {
        match is_whole {
            true => Ground {
                trust: OnceCell::from(Trust::Whole),
                ..self
            },
            false => self,
        }
    }

    pub(super) fn moment(&self) -> Result<Moment, StoreError> {
        Ok(Moment {
            seq: self.view.last_seq()?,
            last_rid: self.view.last_rid()?,
        })
    }

    pub(super) fn zone(&self) -> &'t Zone {
        self.zone
    }

    /// Which postings are the whole truth for this view.
    pub(super) fn trust(&self) -> Result<&Trust, StoreError> {
        match self.trust.get() {
            Some(trust) => Ok(trust),
            None => {
                let trust = Trust::of(&self.view, self.zone)?;
                Ok(self.trust.get_or_init(|| trust))
            }
        }
    }

    /// Is this the moment of the first page? Not when something changed since.
    pub(super) fn is_now(&self) -> bool {
        matches!(self.past, Past::Now)
    }

    /// Resources that postings may not propose: they changed since.
    pub(super) fn changed(&self) -> &[Rid] {
        match &self.past {
            Past::Exact { changed, .. } => changed,
            Past::Now | Past::Loose { .. } => &[],
        }
    }

    /// Refuses when the search has read too much.
    pub(super) fn spend(&self, rows: u64) -> Result<(), Failure> {
        match self.left.get().checked_sub(rows) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(too_costly()),
        }
    }

    /// `None` for what is not there or deleted.
    pub(super) fn values(&self, rid: Rid) -> Result<Option<Rc<SearchValues>>, Failure> {
        self.spend(1)?;
        match &self.past {
            Past::Loose { last_rid } if rid > *last_rid => return Ok(None),
            Past::Exact { changed, known, .. } if changed.binary_search(&rid).is_ok() => {
                if let Some(found) = known.borrow().get(&rid) {
                    return Ok(found.clone());
                }
                let found = self.former_values(rid)?.map(Rc::new);
                known.borrow_mut().insert(rid, found.clone());
                return Ok(found);
            }
            _ => {}
        }
        let values = match indexing::kept(&self.view, rid, self.zone)? {
            Kept::Values(values) => Some(values),
            Kept::Gone => None,
            Kept::Stale => {
                self.spend(BODY_ROWS)?;
                indexing::extracted(&self.view, rid, self.zone)?
            }
        };
        Ok(values.map(Rc::new))
    }

    fn former_values(&self, rid: Rid) -> Result<Option<SearchValues>, Failure> {
        let stored = self.stored(rid)?;
        let tree = stored.and_then(|stored| parse(&stored.body, Limits::default()).ok());
        Ok(tree.map(|tree| extract(&tree, self.zone)))
    }

    /// The live version of a resource.
    pub(super) fn stored(&self, rid: Rid) -> Result<Option<StoredVersion>, Failure> {
        if let Past::Exact { seq, changed, .. } = &self.past
            && changed.binary_search(&rid).is_ok()
        {
            return self.former_head(rid, *seq);
        }
        let Some(head) = self.view.head_of(rid)?.filter(|head| !head.deleted) else {
            return Ok(None);
        };
        Ok(self.view.version(rid, head.version)?)
    }

    /// The version that was the head at that seq.
    fn former_head(&self, rid: Rid, seq: Seq) -> Result<Option<StoredVersion>, Failure> {
        for (version, written) in self.view.history(rid, None, VERSIONS_MAX)? {
            self.spend(1)?;
            if written > seq {
                continue;
            }
            let stored = self.view.version(rid, version)?;
            if let Some(stored) = stored.filter(|stored| stored.was_head) {
                return Ok(Some(stored).filter(|stored| !stored.deleted));
            }
        }
        Ok(None)
    }

    /// The live version's tree.
    pub(super) fn tree(&self, rid: Rid) -> Result<Option<Json>, Failure> {
        self.spend(BODY_ROWS)?;
        let stored = self.stored(rid)?;
        Ok(stored.and_then(|stored| parse(&stored.body, Limits::default()).ok()))
    }

    /// Deleted resources have a rid too: their values tell.
    pub(super) fn rid_of(&self, resource_type: &str, id: &str) -> Result<Option<Rid>, Failure> {
        self.spend(1)?;
        let key = ResourceKey {
            resource_type: resource_type.to_owned(),
            id: id.to_owned(),
        };
        Ok(self.view.head(&key)?.map(|head| head.rid))
    }
}

fn too_costly() -> Failure {
    let text =
        "this search would read too many resources: narrow it with a criterion that selects fewer";
    Failure::new(
        Category::Unprocessable,
        TOO_COSTLY,
        IssueCode::TooCostly,
        text,
    )
}

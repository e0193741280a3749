//! What one search stands on: the values of resources as they were when its first page was made,
//! read within a budget.
//!
//! A page after the first judges every resource by the version that was its head at the seq of the
//! first page: versions are never thrown away, so the pages together are the answer of that moment,
//! whatever and however much was written since.

use super::counted::Counted;
use super::pending::Pending;
use super::since::Since;
use crate::indexing::{self, Kept, standing::Trust};
use fhir_mapping::model::{IssueCode, Json, Limits, parse};
use fhir_mapping::search::{Looks, SearchValues, Zone, extract};
use gateway_ground::failure::{Category, Failure};
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use store::{ResourceKey, Rid, Seq, StoreError, StoredVersion, Term, View};

/// Rows that a search may read; a resource's values are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget(pub(super) u64);

impl Budget {
    /// What is searched at once, where it was asked for: some two milliseconds.
    pub(super) const TINY: Budget = Budget(400);
    /// A short search: some tens of milliseconds.
    pub(super) const BRIEF: Budget = Budget(20_000);
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
    stands: Stands<'t>,
    left: Cell<u64>,
    trust: OnceCell<Trust>,
    counted: Option<(&'t Counted, store::Moment)>,
}

/// Which state of resources counts.
#[derive(Clone, Copy)]
enum Stands<'t> {
    /// That of the store, and so do its postings.
    Now,
    /// That of an earlier moment.
    Then(&'t Since),
    /// That which a transaction is about to make.
    Soon(&'t Pending),
}

/// Versions of one resource read at once.
const VERSIONS_STEP: usize = 64;
/// A body that is read and parsed counts as so many rows.
const BODY_ROWS: u64 = 30;
/// Bytes of a body that is only read which count as a row.
const BYTES_PER_ROW: usize = 4 << 10;
/// Number of the refusal, by which a brief search is told from a long one.
pub(super) const TOO_COSTLY: &str = "E-SCAN-1";

impl<'t> Ground<'t> {
    pub(super) fn now(view: View<'t>, zone: &'t Zone, budget: Budget) -> Ground<'t> {
        Ground {
            view,
            zone,
            stands: Stands::Now,
            left: Cell::new(budget.0),
            trust: OnceCell::new(),
            counted: None,
        }
    }

    /// The same at that moment, within what is left of the budget.
    pub(super) fn at<'u>(&self, since: &'u Since) -> Ground<'u>
    where
        't: 'u,
    {
        let stands = match since.is_now() {
            true => Stands::Now,
            false => Stands::Then(since),
        };
        Ground {
            view: self.view,
            zone: self.zone,
            stands,
            left: self.left.clone(),
            trust: self.trust.clone(),
            counted: self.counted,
        }
    }

    /// With what a transaction is about to write in place of what is stored.
    pub(super) fn after(
        (view, zone): (View<'t>, &'t Zone),
        pending: &'t Pending,
        budget: Budget,
    ) -> Ground<'t> {
        Ground {
            stands: Stands::Soon(pending),
            ..Ground::now(view, zone, budget)
        }
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

    /// What is counted is remembered for that moment of the store, which the view shows.
    pub(super) fn remembering(self, counted: &'t Counted, moment: store::Moment) -> Ground<'t> {
        Ground {
            counted: Some((counted, moment)),
            ..self
        }
    }

    /// How many live resources a type has in the store.
    pub(super) fn count_of(&self, resource_type: &str) -> Result<u64, Failure> {
        let count = || {
            let term = Term(resource_type.as_bytes().to_vec());
            Ok(self.view.postings(&term)?.count_exactly()?)
        };
        match self.counted {
            Some((counted, moment)) => counted.of(resource_type, moment, count),
            None => count(),
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
        matches!(self.stands, Stands::Now)
    }

    /// Resources of a type that postings may not propose, ascending: their state that counts is
    /// another than the stored one.
    pub(super) fn changed_of(&self, resource_type: &str) -> &[Rid] {
        match self.stands {
            Stands::Now => &[],
            Stands::Then(since) => since.changed_of(resource_type),
            Stands::Soon(pending) => pending.changed_of(resource_type),
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
        self.values_in(rid, None)
    }

    /// The same; of what is not looked at nothing need be there.
    pub(super) fn values_in(
        &self,
        rid: Rid,
        looks: Option<&Looks>,
    ) -> Result<Option<Rc<SearchValues>>, Failure> {
        self.spend(1)?;
        match self.stands {
            Stands::Then(since) if since.is_newer(rid) => return Ok(None),
            Stands::Then(since) if since.has_changed(rid) => return self.former(since, rid),
            Stands::Soon(pending) => {
                if let Some(values) = pending.values(rid) {
                    return Ok(values);
                }
            }
            _ => {}
        }
        let values = match indexing::kept(&self.view, rid, (self.zone, looks))? {
            Kept::Values(values) => Some(values),
            Kept::Gone => None,
            Kept::Stale => {
                self.spend(BODY_ROWS)?;
                indexing::extracted(&self.view, rid, self.zone)?
            }
        };
        Ok(values.map(Rc::new))
    }

    fn former(&self, since: &Since, rid: Rid) -> Result<Option<Rc<SearchValues>>, Failure> {
        if let Some(known) = since.known(rid, self.zone) {
            return Ok(known.map(Rc::new));
        }
        self.spend(BODY_ROWS)?;
        let stored = self.stored(rid)?;
        let tree = stored.and_then(|stored| parse(&stored.body, Limits::default()).ok());
        let values = tree.map(|tree| extract(&tree, self.zone));
        since.learn(rid, values.as_ref());
        Ok(values.map(Rc::new))
    }

    /// The live version of a resource, for the answer.
    pub(super) fn shown(&self, rid: Rid) -> Result<Option<StoredVersion>, Failure> {
        let stored = self.stored(rid)?;
        let bytes = stored.as_ref().map_or(0, |stored| stored.body.len());
        let rows = u64::try_from(bytes / BYTES_PER_ROW).unwrap_or(u64::MAX);
        self.spend(rows.saturating_add(1))?;
        Ok(stored)
    }

    /// The live version of a resource.
    pub(super) fn stored(&self, rid: Rid) -> Result<Option<StoredVersion>, Failure> {
        match self.stands {
            Stands::Then(since) if since.is_newer(rid) => return Ok(None),
            Stands::Then(since) if since.has_changed(rid) => {
                return self.former_head(rid, since.moment().seq);
            }
            _ => {}
        }
        let Some(head) = self.view.head_of(rid)?.filter(|head| !head.deleted) else {
            return Ok(None);
        };
        Ok(self.view.version(rid, head.version)?)
    }

    /// The version that was the head at that seq.
    fn former_head(&self, rid: Rid, seq: Seq) -> Result<Option<StoredVersion>, Failure> {
        let mut before = None;
        loop {
            let items = self.view.history(rid, before, VERSIONS_STEP)?;
            for (version, written) in &items {
                self.spend(1)?;
                if *written > seq {
                    continue;
                }
                let stored = self.view.version(rid, *version)?;
                if let Some(stored) = stored.filter(|stored| stored.was_head) {
                    return Ok(Some(stored).filter(|stored| !stored.deleted));
                }
            }
            match items.last() {
                Some((version, _)) if items.len() == VERSIONS_STEP => before = Some(*version),
                _ => return Ok(None),
            }
        }
    }

    /// The live version's tree.
    pub(super) fn tree(&self, rid: Rid) -> Result<Option<Json>, Failure> {
        self.spend(BODY_ROWS)?;
        let body = match self.stands {
            Stands::Soon(pending) if pending.has(rid) => pending.body(rid),
            _ => self.stored(rid)?.map(|stored| stored.body),
        };
        Ok(body.and_then(|body| parse(&body, Limits::default()).ok()))
    }

    /// Deleted resources have a rid too: their values tell.
    pub(super) fn rid_of(&self, resource_type: &str, id: &str) -> Result<Option<Rid>, Failure> {
        self.spend(1)?;
        let key = ResourceKey {
            resource_type: resource_type.to_owned(),
            id: id.to_owned(),
        };
        if let Stands::Soon(pending) = self.stands
            && let Some(rid) = pending.rid_of(&key)
        {
            return Ok(Some(rid));
        }
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

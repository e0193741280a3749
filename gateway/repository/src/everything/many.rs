//! Everything of all patients, one after the other: `Patient/$everything`. A resource of several
//! patients comes with the first of them.

use super::{EverythingPage, EverythingRequest, PAGE_BYTES_MAX, Place};
use crate::{Repository, indexing};
use fhir_mapping::compartment;
use gateway_ground::failure::{Category, Failure};
use std::collections::HashSet;
use store::{ResourceKey, Rid, StoredVersion, Term, View};

/// Where the next page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManyPlace {
    /// The patient that is under way, or the last that is done.
    pub focus: Rid,
    /// Inside its record; `None` when it is done.
    pub inside: Option<Place>,
    /// Resources above this one were not there when the first page was made.
    pub rid_max: Rid,
}

#[derive(Clone, Debug, Default)]
pub struct ManyPage {
    pub page: EverythingPage,
    pub next: Option<ManyPlace>,
}

/// Patients looked at for one page, which may then hold few resources or none.
const PATIENTS_MAX: usize = 1_000;

impl Repository {
    /// One page; the id of `request.focus` and `request.after` mean nothing. CPU bound: for a
    /// blocking thread.
    pub fn everything_of_all(
        &self,
        request: &EverythingRequest,
        after: Option<ManyPlace>,
    ) -> Result<ManyPage, Failure> {
        let rid_max = match after {
            Some(after) => after.rid_max,
            None => self.store().snapshot()?.view().last_rid()?,
        };
        let mut many = Many {
            repository: self,
            request,
            rid_max,
            left: request.count,
            is_full: false,
            bytes: 0,
            seen: HashSet::new(),
            out: ManyPage::default(),
        };
        many.run(after)?;
        let mut out = many.out;
        if after.is_none() && out.next.is_none() {
            let count = out.page.matches.len() + out.page.included.len();
            out.page.total = u64::try_from(count).ok();
        }
        Ok(out)
    }

    /// The first live resource of a type at or above a rid.
    fn next_of_type(&self, name: &str, at: Rid) -> Result<Option<Named>, Failure> {
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let mut postings = view.postings(&Term(name.as_bytes().to_vec()))?;
        let mut at = at;
        while let Some(rid) = postings.seek(at)? {
            let head = view.head_of(rid)?.filter(|head| !head.deleted);
            let stored = head.map(|head| view.version(rid, head.version));
            match stored.transpose()?.flatten() {
                Some(stored) if stored.key.resource_type == name => {
                    return Ok(Some((rid, stored.key)));
                }
                _ => at = Rid(rid.0.saturating_add(1)),
            }
        }
        Ok(None)
    }
}

struct Many<'a> {
    repository: &'a Repository,
    request: &'a EverythingRequest,
    rid_max: Rid,
    left: usize,
    /// What is found now is for the next page.
    is_full: bool,
    bytes: usize,
    seen: HashSet<Rid>,
    out: ManyPage,
}

impl Many<'_> {
    fn run(&mut self, after: Option<ManyPlace>) -> Result<(), Failure> {
        let mut inside = after.and_then(|after| after.inside);
        let mut at = match after {
            Some(after) if after.inside.is_some() => after.focus,
            Some(after) => Rid(after.focus.0.saturating_add(1)),
            None => Rid(0),
        };
        for _ in 0..PATIENTS_MAX {
            let name = &self.request.focus.resource_type;
            let found = self.repository.next_of_type(name, at)?;
            let Some((focus, key)) = found.filter(|(rid, _)| *rid <= self.rid_max) else {
                // Nothing follows, not even what a full page was left for.
                self.out.next = None;
                return Ok(());
            };
            // Another one than that which was under way: it was deleted meanwhile.
            let from = inside.take().filter(|_| focus == at);
            inside = self.patient((focus, key), from)?;
            if !self.is_full {
                self.out.next = Some(ManyPlace {
                    focus,
                    inside,
                    rid_max: self.rid_max,
                });
            } else if self.left == 0 {
                return Ok(());
            }
            if !self.is_full && (self.left == 0 || self.bytes >= PAGE_BYTES_MAX) {
                // A full page has a next one only if something is found for it.
                (self.is_full, self.left) = (true, 1);
            }
            at = match inside {
                Some(_) => focus,
                None => Rid(focus.0.saturating_add(1)),
            };
        }
        Ok(())
    }

    /// Adds of one patient's record; gives the place where it is cut.
    fn patient(
        &mut self,
        (rid, focus): (Rid, ResourceKey),
        inside: Option<Place>,
    ) -> Result<Option<Place>, Failure> {
        let request = EverythingRequest {
            focus,
            count: self.left,
            after: inside,
            rid_max: Some(self.rid_max),
            ..self.request.clone()
        };
        let page = match self.repository.everything(&request) {
            Ok(page) => page,
            Err(failure) if matches!(failure.category, Category::Gone | Category::NotFound) => {
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let snapshot = self.repository.store().snapshot()?;
        let view = snapshot.view();
        for stored in page.matches {
            if stored.rid == rid || !self.is_of_earlier(&view, (rid, &stored))? {
                self.push(stored, false);
            }
        }
        for stored in page.included {
            // Another patient that is mentioned has its own turn.
            if stored.key.resource_type != request.focus.resource_type {
                self.push(stored, true);
            }
        }
        Ok(page.next)
    }

    fn push(&mut self, stored: StoredVersion, is_included: bool) {
        if self.is_full {
            self.left = 0;
            return;
        }
        if !self.seen.insert(stored.rid) {
            return;
        }
        self.left = self.left.saturating_sub(1);
        self.bytes += stored.body.len();
        match is_included {
            true => self.out.page.included.push(stored),
            false => self.out.page.matches.push(stored),
        }
    }

    /// Did it come with another patient, or will it come as one?
    fn is_of_earlier(
        &self,
        view: &View<'_>,
        (rid, stored): (Rid, &StoredVersion),
    ) -> Result<bool, Failure> {
        let kind = &self.request.focus.resource_type;
        let name = stored.key.resource_type.as_str();
        if name == kind {
            return Ok(true);
        }
        let parameters = compartment::parameters(kind, name).unwrap_or_default();
        let values = indexing::values_of(view, stored.rid, self.repository.zone())?;
        let Some(values) = values else {
            return Ok(false);
        };
        let targets = parameters.iter().flat_map(|one| values.references(one));
        for (resource_type, id) in targets.filter(|(of_type, _)| of_type == kind) {
            let head = view.head(&ResourceKey { resource_type, id })?;
            if head.is_some_and(|head| !head.deleted && head.rid < rid) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A resource by number and by name.
type Named = (Rid, ResourceKey);

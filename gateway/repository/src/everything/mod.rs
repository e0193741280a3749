//! Everything of a patient or an encounter: the resource itself, its compartment, and what those
//! refer to, in pages that are not disturbed by what others write meanwhile.
//! <https://hl7.org/fhir/R4/patient-operation-everything.html>

mod many;
mod members;
mod mentions;

use super::Repository;
use fhir_mapping::model::IssueCode;
use fhir_mapping::search::Zone;
use gateway_ground::failure::{Category, Failure};
pub use many::{ManyPage, ManyPlace};
use members::{Member, Members};
use std::collections::{BTreeMap, HashSet};
use store::{Head, ResourceKey, Rid, StoreError, StoredVersion, View};

/// What is asked.
#[derive(Clone, Debug)]
pub struct EverythingRequest {
    /// A Patient or an Encounter.
    pub focus: ResourceKey,
    /// Types to answer with; empty means all.
    pub types: HashSet<String>,
    /// Only what was written after this time (milliseconds since 1970-01-01T00:00:00Z).
    pub since_ms: Option<i64>,
    /// First and last day of care, as FHIR dates.
    pub start: Option<String>,
    pub end: Option<String>,
    pub count: usize,
    pub after: Option<Place>,
    /// Resources above this one are left out of the first page too.
    pub rid_max: Option<Rid>,
}

/// Where the next page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub part: Part,
    pub rid: Rid,
    /// Resources above this one were not there when the first page was made.
    pub rid_max: Rid,
}

/// The parts of the answer, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Focus,
    Compartment,
    Mentioned,
}

#[derive(Clone, Debug, Default)]
pub struct EverythingPage {
    /// The focus and its compartment.
    pub matches: Vec<StoredVersion>,
    /// What those refer to.
    pub included: Vec<StoredVersion>,
    /// Of all pages, when this is the only one.
    pub total: Option<u64>,
    pub next: Option<Place>,
}

/// A page ends before its bodies grow beyond this.
const PAGE_BYTES_MAX: usize = 8 << 20;

impl Repository {
    /// One page. 404 or 410 when the focus is not there. CPU bound: for a blocking thread.
    pub fn everything(&self, request: &EverythingRequest) -> Result<EverythingPage, Failure> {
        let focus = self.read(&request.focus)?;
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let rid_max = match request.after {
            Some(after) => after.rid_max,
            None => match request.rid_max {
                Some(rid_max) => rid_max,
                None => view.last_rid()?,
            },
        };
        let members = Members::of(&view, self.zone(), request)?;
        let mut walk = Walk {
            view: &view,
            request,
            rid_max,
            page: EverythingPage::default(),
            bytes: 0,
            seen: HashSet::from([focus.rid]),
            mentions: HashSet::new(),
        };
        walk.run(focus, members)?;
        let mut page = walk.page;
        if request.after.is_none() && page.next.is_none() {
            let count = page.matches.len() + page.included.len();
            page.total = u64::try_from(count).ok();
        }
        Ok(page)
    }
}

/// All live resources of a compartment, ascending; the focus itself may be deleted.
pub(super) fn compartment_rids(
    view: &View<'_>,
    zone: &Zone,
    focus: &ResourceKey,
) -> Result<Vec<Rid>, Failure> {
    let request = EverythingRequest {
        focus: focus.clone(),
        types: HashSet::new(),
        since_ms: None,
        start: None,
        end: None,
        count: usize::MAX,
        after: None,
        rid_max: None,
    };
    let members = Members::of(view, zone, &request)?;
    let rids = members.map(|member| Ok(member?.rid));
    rids.collect()
}

struct Walk<'v, 't> {
    view: &'v View<'t>,
    request: &'v EverythingRequest,
    rid_max: Rid,
    page: EverythingPage,
    bytes: usize,
    /// The focus and its compartment.
    seen: HashSet<Rid>,
    mentions: HashSet<ResourceKey>,
}

/// Does the page go on?
#[derive(PartialEq)]
enum Goes {
    On,
    Full,
}

impl Walk<'_, '_> {
    fn run(&mut self, focus: StoredVersion, mut members: Members<'_, '_>) -> Result<(), Failure> {
        let is_first = self.request.after.is_none();
        self.mention(&focus);
        if is_first && self.wants_type(&focus.key.resource_type) && self.is_recent(focus.time_ms) {
            self.push(Part::Focus, focus);
        }
        // What is mentioned comes last, so members before this page are looked through for it only
        // when the page reaches that far.
        let mut skipped = Vec::new();
        for member in members.by_ref() {
            let member = member?;
            if member.rid > self.rid_max || !self.seen.insert(member.rid) {
                continue;
            }
            if !self.is_after(Part::Compartment, member.rid) {
                skipped.push(member);
            } else if self.member(&member)? == Goes::Full {
                return Ok(());
            }
        }
        for member in skipped {
            if let Some(stored) = self.view.version(member.rid, member.head.version)? {
                self.mention(&stored);
            }
        }
        self.mentioned()
    }

    fn member(&mut self, member: &Member) -> Result<Goes, Failure> {
        let Some(stored) = self.view.version(member.rid, member.head.version)? else {
            return Ok(Goes::On);
        };
        let is_wanted = member.is_in_period
            && self.wants_type(&stored.key.resource_type)
            && self.is_recent(stored.time_ms);
        self.mention(&stored);
        match is_wanted {
            true => Ok(self.push(Part::Compartment, stored)),
            false => Ok(Goes::On),
        }
    }

    fn mentioned(&mut self) -> Result<(), Failure> {
        for (rid, head) in self.mentioned_heads()? {
            let Some(stored) = self.view.version(rid, head.version)? else {
                continue;
            };
            let is_wanted = self.wants_type(&stored.key.resource_type);
            if is_wanted && self.push(Part::Mentioned, stored) == Goes::Full {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Live resources that are mentioned, not of the compartment, and not on an earlier page.
    fn mentioned_heads(&self) -> Result<BTreeMap<Rid, Head>, StoreError> {
        let mut heads = BTreeMap::new();
        for key in &self.mentions {
            let head = self.view.head(key)?.filter(|head| !head.deleted);
            heads.extend(head.map(|head| (head.rid, head)));
        }
        heads.retain(|rid, head| {
            let is_new = *rid <= self.rid_max && !self.seen.contains(rid);
            is_new && self.is_after(Part::Mentioned, *rid) && self.is_recent(head.time_ms)
        });
        Ok(heads)
    }

    /// Adds to the page; what does not fit becomes the start of the next one.
    fn push(&mut self, part: Part, stored: StoredVersion) -> Goes {
        let count = self.page.matches.len() + self.page.included.len();
        let is_full = count >= self.request.count || self.bytes >= PAGE_BYTES_MAX;
        if is_full && count > 0 {
            let last = self.page.included.last().or(self.page.matches.last());
            self.page.next = last.map(|last| Place {
                part: match (self.page.included.is_empty(), count) {
                    (false, _) => Part::Mentioned,
                    (true, 1) if last.key == self.request.focus => Part::Focus,
                    (true, _) => Part::Compartment,
                },
                rid: last.rid,
                rid_max: self.rid_max,
            });
            return Goes::Full;
        }
        self.bytes += stored.body.len();
        match part {
            Part::Focus | Part::Compartment => self.page.matches.push(stored),
            Part::Mentioned => self.page.included.push(stored),
        }
        Goes::On
    }

    fn mention(&mut self, stored: &StoredVersion) {
        let found = mentions::of(&self.request.focus, stored);
        self.mentions.extend(found);
    }

    fn is_after(&self, part: Part, rid: Rid) -> bool {
        let after = self.request.after;
        after.is_none_or(|after| match after.part {
            Part::Focus => true,
            known => (part, rid) > (known, after.rid),
        })
    }

    fn wants_type(&self, name: &str) -> bool {
        self.request.types.is_empty() || self.request.types.contains(name)
    }

    fn is_recent(&self, time_ms: i64) -> bool {
        self.request.since_ms.is_none_or(|since| time_ms > since)
    }
}

fn too_many(limit: usize) -> Failure {
    let text = format!("more than {limit} resources belong to it; ask by type, with a search");
    let code = IssueCode::TooCostly;
    Failure::new(Category::Unprocessable, "E-EVERYTHING-1", code, text)
}

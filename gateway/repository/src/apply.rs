//! Applying an incoming change from a target: three-way merge inside the writing transaction.

use super::plan::{Placement, Plan, Stamped, commit_failure};
use super::review::{
    Case, Ending, Made, ReviewKind, ReviewSide, Row, audit, carried, end, open, provenance, rank,
    resource_of, tagged, task_id, untagged, version_of,
};
use super::stamp::Unstamped;
use super::{Actor, Repository};
use fhir_mapping::conflict::{MergeNote, Outcome, Times, is_same_content, resolve};
use fhir_mapping::model::{IssueCode, Json};
use gateway_ground::failure::{Category, Failure};
use store::{Head, Origin, OriginKind, ResourceKey, RowWrite, VersionId, View, WriteSet};

/// In place of a target's number: a client of this site, whose change came too late.
pub(super) const CLIENTS: u16 = u16::MAX;

/// A change that a target sent.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Number of the target (its place in the configuration).
    pub target: u16,
    /// Which life of it; known to `shadow_row` alone.
    pub life: u32,
    pub target_name: String,
    /// Our key of the resource.
    pub key: ResourceKey,
    /// `None` is a deletion.
    pub resource: Option<Json>,
    /// Version that both sides last agreed on, if any.
    pub base: Option<VersionId>,
    /// Hybrid time of the incoming change (from `meta.lastUpdated` when the target has none).
    pub hlc: u64,
    /// Rows (shadow, checkpoint) to write in the same commit. `{version}` of the shadow is given by
    /// `shadow_row`, called with the version that holds the incoming content.
    pub rows: Vec<RowWrite>,
    pub shadow_row: Option<fn(&Incoming, VersionId) -> RowWrite>,
    /// Remote version, for the shadow.
    pub remote_version: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// Nothing new in it.
    AlreadyHave,
    /// It is the new head.
    Taken(VersionId),
    /// Kept aside; local is the head.
    KeptLocal(VersionId),
    /// Merged by policy into a new head.
    Merged {
        incoming: VersionId,
        head: VersionId,
    },
    /// A person must decide; the Task's id.
    Asked {
        incoming: VersionId,
        head: VersionId,
        task: String,
    },
}

impl Repository {
    /// Applies one incoming change: the incoming version is kept in every case, and a question to a
    /// person opens (or renews) its review Task in the same commit.
    pub async fn apply(&self, incoming: Incoming) -> Result<Applied, Failure> {
        self.arrive(incoming, false).await
    }

    /// The same; with `asks_only` nothing is written unless a person must be asked.
    pub(super) async fn arrive(
        &self,
        incoming: Incoming,
        asks_only: bool,
    ) -> Result<Applied, Failure> {
        let incoming = incoming.prepared()?;
        let repository = self.clone();
        let plan = move |view: &View<'_>| {
            let actor = Actor {
                name: incoming.target_name.clone(),
                origin: incoming.origin(),
            };
            let mut arrival = Arrival {
                plan: Plan::new(&repository, view, &actor),
                incoming: &incoming,
                asks_only,
                audits: Vec::new(),
            };
            let (applied, holds) = arrival.place()?;
            Ok(arrival.finish(applied, holds))
        };
        let committed = self.submit(plan).await;
        committed
            .map(|(_, applied)| applied)
            .map_err(commit_failure)
    }
}

impl Incoming {
    /// With our id, and without the mark of somebody's open review.
    fn prepared(mut self) -> Result<Incoming, Failure> {
        if let Some(resource) = &self.resource {
            if resource.resource_type() != Some(self.key.resource_type.as_str()) {
                let text = "an incoming resource is of another type than its key";
                let code = IssueCode::Value;
                return Err(Failure::new(Category::Incorrect, "E-APPLY-1", code, text));
            }
            let mut resource = untagged(resource);
            if let Some(object) = resource.as_object_mut() {
                object.set_at(1, "id", self.key.id.as_str().into());
            }
            self.resource = Some(resource);
        }
        Ok(self)
    }

    fn origin(&self) -> Origin {
        match self.target {
            CLIENTS => Origin {
                kind: OriginKind::Client,
                number: 0,
            },
            number => Origin {
                kind: OriginKind::Target,
                number,
            },
        }
    }

    /// Each target speaks for itself; clients are many.
    fn is_from_sender_of(&self, row: &Row) -> bool {
        row.target == self.target && self.target != CLIENTS
    }
}

/// What an incoming change comes to, before versions are numbered.
enum Verdict {
    /// A version here holds this content already.
    Known(VersionId),
    KeepLocal,
    Take,
    Merge(Json, Vec<MergeNote>),
    /// In force meanwhile; `None` never: a deletion that is asked about does not hide the resource.
    Ask {
        shown: Json,
        notes: Vec<MergeNote>,
    },
}

/// The versions that an incoming change meets.
struct Ground {
    head: Head,
    base: Option<ReviewSide>,
    local: ReviewSide,
    /// The open review, if any.
    open: Option<Row>,
}

/// One incoming change in the writing transaction.
struct Arrival<'a, 'p, 't> {
    plan: Plan<'p, 't>,
    incoming: &'a Incoming,
    asks_only: bool,
    audits: Vec<Vec<u8>>,
}

impl Arrival<'_, '_, '_> {
    /// Adds all versions; gives the outcome, and the version that holds the incoming content.
    fn place(&mut self) -> Result<(Applied, Option<VersionId>), Failure> {
        let incoming = self.incoming;
        let Some(head) = self.plan.head(&incoming.key)? else {
            return self.first();
        };
        let ground = self.ground(head)?;
        if let Some(version) = self.repeated(&ground)? {
            return Ok((Applied::AlreadyHave, Some(version)));
        }
        match (verdict(&ground, incoming), &ground.open) {
            (Verdict::Ask { shown, notes }, _) => self.ask(&ground, &shown, &notes),
            _ if self.asks_only => Ok((Applied::AlreadyHave, None)),
            (Verdict::Known(version), None) => Ok((Applied::AlreadyHave, Some(version))),
            (Verdict::KeepLocal, None) => {
                let kept = self.keep_aside()?;
                Ok((Applied::KeptLocal(kept), Some(kept)))
            }
            (Verdict::Take, None) => {
                let taken = self.add(incoming.resource.as_ref(), self.taken())?;
                Ok((Applied::Taken(taken.version), Some(taken.version)))
            }
            (Verdict::Merge(resource, notes), None) => self.merge(&ground, &resource, &notes),
            (settled, Some(row)) => self.dissolve(&ground, row, settled),
        }
    }

    /// A resource that was never seen here. The deletion of one is nothing to keep.
    fn first(&mut self) -> Result<(Applied, Option<VersionId>), Failure> {
        let Some(resource) = &self.incoming.resource else {
            return Ok((Applied::AlreadyHave, None));
        };
        let taken = self.add(Some(resource), self.taken())?;
        Ok((Applied::Taken(taken.version), Some(taken.version)))
    }

    fn ground(&self, head: Head) -> Result<Ground, Failure> {
        let view = self.plan.view;
        let read = |version| ReviewSide::read(view, head.rid, version).map(|(_, side)| side);
        let open = match head.review_open {
            true => Row::read(view, head.rid)?,
            false => None,
        };
        let (mut local, mut base) = (read(head.version)?, self.incoming.base);
        if let Some(row) = &open {
            let (shown, before) = (read(VersionId(row.shown))?, read(VersionId(row.local))?);
            local = match head.version == shown.version {
                true => before,
                false => carried(&shown, &before, &local),
            };
            if self.incoming.is_from_sender_of(row) {
                base = row.base.map(VersionId);
            }
        }
        // A base that was purged here since is none.
        let base = match base {
            Some(base) if view.version(head.rid, base)?.is_some() => Some(read(base)?),
            _ => None,
        };
        Ok(Ground {
            head,
            base,
            local,
            open,
        })
    }

    /// The version that the open review already holds this content in.
    fn repeated(&self, ground: &Ground) -> Result<Option<VersionId>, Failure> {
        let Some(row) = &ground.open else {
            return Ok(None);
        };
        let version = VersionId(row.incoming);
        let (_, side) = ReviewSide::read(self.plan.view, ground.head.rid, version)?;
        Ok(is_same(&side.resource, &self.incoming.resource).then_some(version))
    }

    fn merge(
        &mut self,
        ground: &Ground,
        resource: &Json,
        notes: &[MergeNote],
    ) -> Result<(Applied, Option<VersionId>), Failure> {
        let incoming = self.keep_aside()?;
        let head = self.add(Some(resource), Placement::head("apply"))?;
        self.explain(ground, &head, (incoming, notes))?;
        let head = head.version;
        Ok((Applied::Merged { incoming, head }, Some(incoming)))
    }

    /// Opens a review, or renews the open one.
    fn ask(
        &mut self,
        ground: &Ground,
        shown: &Json,
        notes: &[MergeNote],
    ) -> Result<(Applied, Option<VersionId>), Failure> {
        let incoming = self.keep_aside()?;
        let placement = Placement {
            review_open: Some(true),
            ..Placement::head("apply")
        };
        let content = Unstamped::new(&tagged(shown), self.plan.zone());
        let urgency = rank(content.urgency());
        let head = self
            .plan
            .add(&self.incoming.key, Some(&content), placement)?;
        let deletes = ground.local.resource.is_none() || self.incoming.resource.is_none();
        let row = Row {
            task: task_id(
                &self.incoming.key,
                ground.local.resource.as_ref(),
                self.incoming.resource.as_ref(),
            ),
            target: self.incoming.target,
            target_name: self.incoming.target_name.clone(),
            kind: match deletes {
                true => ReviewKind::DeleteUpdate,
                false => ReviewKind::EditEdit,
            },
            base: ground.base.as_ref().map(|side| side.version.0),
            local: self.local_version(ground)?.0,
            incoming: incoming.0,
            shown: head.version.0,
            others: self.others(ground),
            opened_ms: head.time_ms,
            urgency,
        };
        self.write_task(ground, &row, shown)?;
        self.plan.row(row.put(ground.head.rid)?);
        self.explain(ground, &head, (incoming, notes))?;
        let applied = Applied::Asked {
            incoming,
            head: head.version,
            task: row.task,
        };
        Ok((applied, Some(incoming)))
    }

    /// The version that holds the local side: kept aside first when it is in no version as such
    /// (a write made while a review was open, without the review's provisional values).
    fn local_version(&mut self, ground: &Ground) -> Result<VersionId, Failure> {
        let Some(row) = &ground.open else {
            return Ok(ground.local.version);
        };
        if ground.head.version.0 == row.shown {
            return Ok(VersionId(row.local));
        }
        let placement = Placement {
            becomes_head: false,
            ..Placement::head("apply")
        };
        let kept = self.add(ground.local.resource.as_ref(), placement)?;
        Ok(kept.version)
    }

    /// Incoming versions of other targets that wait already.
    fn others(&self, ground: &Ground) -> Vec<u64> {
        let Some(row) = &ground.open else {
            return Vec::new();
        };
        let mut others = row.others.clone();
        if !self.incoming.is_from_sender_of(row) {
            others.push(row.incoming);
        }
        others
    }

    fn write_task(&mut self, ground: &Ground, row: &Row, shown: &Json) -> Result<(), Failure> {
        if let Some(old) = ground.open.as_ref().filter(|old| old.task != row.task) {
            let why = std::format!("superseded by Task/{}", row.task);
            self.cancel(old, &why, None)?;
        }
        let local = ground.local.clone();
        let case = Case::of(&self.incoming.key, ground.base.clone(), local, self.side());
        let conflicts = case.conflicts();
        let paths: Vec<String> = conflicts.into_iter().map(|c| c.path).collect();
        let task = open(row, &self.incoming.key, (shown, &paths));
        self.write_other(&task_key(&row.task), &task)
    }

    /// A later change leaves nothing to ask: the review ends without a person.
    fn dissolve(
        &mut self,
        ground: &Ground,
        row: &Row,
        settled: Verdict,
    ) -> Result<(Applied, Option<VersionId>), Failure> {
        let incoming = self.keep_aside()?;
        let (resource, notes) = match settled {
            Verdict::Take => (self.incoming.resource.clone(), Vec::new()),
            Verdict::Merge(resource, notes) => (Some(resource), notes),
            Verdict::Known(_) | Verdict::KeepLocal | Verdict::Ask { .. } => {
                (ground.local.resource.clone(), Vec::new())
            }
        };
        let placement = Placement {
            review_open: Some(false),
            ..Placement::head("apply")
        };
        let head = self.add(resource.as_ref(), placement)?;
        let result = version_of(&self.incoming.key, head.version);
        self.cancel(row, "a later change left nothing to decide", Some(result))?;
        self.plan.row(Row::take_away(ground.head.rid));
        self.explain(ground, &head, (incoming, &notes))?;
        let head = head.version;
        Ok((Applied::Merged { incoming, head }, Some(incoming)))
    }

    fn cancel(&mut self, row: &Row, why: &str, result: Option<String>) -> Result<(), Failure> {
        let key = task_key(&row.task);
        let Some(head) = self.plan.head(&key)? else {
            return Ok(());
        };
        let stored = self.plan.view.version(head.rid, head.version)?;
        let Some(task) = stored
            .map(|stored| resource_of(&stored))
            .transpose()?
            .flatten()
        else {
            return Ok(());
        };
        let ending = Ending {
            status: "cancelled",
            who: &self.incoming.target_name,
            time_ms: self.plan.now_ms(),
            rationale: "",
            choice: why,
            result,
        };
        self.write_other(&key, &end(&task, &ending))
    }

    /// Provenance and audit of a version made of both sides.
    fn explain(
        &mut self,
        ground: &Ground,
        head: &Stamped,
        (incoming, notes): (VersionId, &[MergeNote]),
    ) -> Result<(), Failure> {
        let key = &self.incoming.key;
        let made = Made {
            key,
            version: head.version,
            sources: vec![ground.local.version, incoming],
            base: ground.base.as_ref().map(|side| side.version),
            time_ms: head.time_ms,
            who: "conflict policy",
            activity: "conflict-merge",
            rationale: "",
            notes,
        };
        self.audits.push(audit(&made));
        let (key, provenance) = provenance(&made);
        self.write_other(&key, &provenance)
    }

    fn write_other(&mut self, key: &ResourceKey, resource: &Json) -> Result<(), Failure> {
        let content = Unstamped::new(resource, self.plan.zone());
        self.plan
            .add(key, Some(&content), Placement::head("apply"))?;
        Ok(())
    }

    fn keep_aside(&mut self) -> Result<VersionId, Failure> {
        let placement = Placement {
            becomes_head: false,
            ..self.taken()
        };
        let kept = self.add(self.incoming.resource.as_ref(), placement)?;
        Ok(kept.version)
    }

    fn add(&mut self, resource: Option<&Json>, placement: Placement) -> Result<Stamped, Failure> {
        let content = resource.map(|resource| Unstamped::new(resource, self.plan.zone()));
        Ok(self
            .plan
            .add(&self.incoming.key, content.as_ref(), placement)?)
    }

    /// Authored by the target, at its own time.
    fn taken(&self) -> Placement {
        Placement {
            hlc: Some(self.incoming.hlc),
            ..Placement::head("apply")
        }
    }

    /// The incoming side before it has a version.
    fn side(&self) -> ReviewSide {
        ReviewSide {
            version: VersionId(0),
            resource: self.incoming.resource.clone(),
            time_ms: 0,
            hlc: self.incoming.hlc,
            origin: self.incoming.origin(),
        }
    }

    fn finish(mut self, applied: Applied, holds: Option<VersionId>) -> (WriteSet, Applied) {
        for row in &self.incoming.rows {
            self.plan.row(row.clone());
        }
        if let (Some(version), Some(shadow)) = (holds, self.incoming.shadow_row) {
            self.plan.row(shadow(self.incoming, version));
        }
        let mut set = self.plan.finish();
        set.audit.append(&mut self.audits);
        (set, applied)
    }
}

fn verdict(ground: &Ground, incoming: &Incoming) -> Verdict {
    let base = ground.base.as_ref().and_then(|side| side.resource.as_ref());
    let has_base = ground.base.is_some();
    let is_base = |resource: &Option<Json>| has_base && is_same(&base.cloned(), resource);
    if is_same(&ground.local.resource, &incoming.resource) {
        return Verdict::Known(ground.local.version);
    }
    if is_base(&incoming.resource) {
        let base = ground.base.as_ref().map(|side| side.version);
        return Verdict::Known(base.unwrap_or(ground.local.version));
    }
    if is_base(&ground.local.resource) {
        return Verdict::Take;
    }
    let times = Times {
        local_hlc: ground.local.hlc,
        incoming_hlc: incoming.hlc,
    };
    match (&ground.local.resource, &incoming.resource) {
        (Some(local), Some(incoming)) => match resolve(base, local, incoming, times) {
            Outcome::KeepLocal => Verdict::KeepLocal,
            Outcome::TakeIncoming => Verdict::Take,
            Outcome::Merged { resource, notes } => Verdict::Merge(resource, notes),
            Outcome::Ask {
                provisional, notes, ..
            } => Verdict::Ask {
                shown: provisional,
                notes,
            },
        },
        // A deletion against a change: what is there stays there until a person says otherwise.
        (Some(kept), None) | (None, Some(kept)) => Verdict::Ask {
            shown: kept.clone(),
            notes: Vec::new(),
        },
        (None, None) => Verdict::Known(ground.local.version),
    }
}

/// The same content, or both deleted.
fn is_same(a: &Option<Json>, b: &Option<Json>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => is_same_content(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn task_key(id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: "Task".to_owned(),
        id: id.to_owned(),
    }
}

//! One review as it stands now: its three versions, and what a decision would make of them.

use super::row::{ReviewKind, Row, missing};
use super::task;
use fhir_mapping::conflict::{self, Decision, ElementConflict, Outcome, Pick, Times};
use fhir_mapping::model::{IssueCode, Json, Limits, parse};
use gateway_ground::failure::{Category, Failure};
use store::{Head, Origin, ResourceKey, Rid, StoredVersion, VersionId, View};

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewSide {
    pub version: VersionId,
    /// `None` when this version is a deletion. The mark of the open review is left out.
    pub resource: Option<Json>,
    pub time_ms: i64,
    pub hlc: u64,
    pub origin: Origin,
}

/// The three versions, and what is in force.
pub(crate) struct Case {
    pub(super) key: ResourceKey,
    pub(super) kind: ReviewKind,
    pub(super) base: Option<ReviewSide>,
    pub(super) local: ReviewSide,
    pub(super) incoming: ReviewSide,
    pub(super) in_force: ReviewSide,
}

impl ReviewSide {
    /// One version, opened.
    pub(crate) fn read(
        view: &View<'_>,
        rid: Rid,
        version: VersionId,
    ) -> Result<(ResourceKey, ReviewSide), Failure> {
        let stored = view.version(rid, version)?.ok_or_else(missing)?;
        let resource = resource_of(&stored)?;
        let side = ReviewSide {
            version,
            resource: resource.map(|resource| task::untagged(&resource)),
            time_ms: stored.time_ms,
            hlc: stored.hlc,
            origin: stored.origin,
        };
        Ok((stored.key, side))
    }
}

/// The content of a stored version; `None` for a deletion.
pub(crate) fn resource_of(stored: &StoredVersion) -> Result<Option<Json>, Failure> {
    if stored.deleted {
        return Ok(None);
    }
    let tree = parse(&stored.body, Limits::default());
    tree.map(Some)
        .map_err(|issue| Failure::of(Category::Fault, vec![issue]))
}

impl Case {
    /// The review of `row`; what was written since it opened counts as local.
    pub(crate) fn load(view: &View<'_>, head: &Head, row: &Row) -> Result<Case, Failure> {
        let read = |version| ReviewSide::read(view, head.rid, version);
        let (key, in_force) = read(head.version)?;
        let base = row.base().map(read).transpose()?.map(|(_, side)| side);
        let (_, mut local) = read(VersionId(row.local))?;
        let (_, incoming) = read(VersionId(row.incoming))?;
        if head.version.0 != row.shown {
            let (_, shown) = read(VersionId(row.shown))?;
            local = carried(&shown, &local, &in_force);
        }
        Ok(Case {
            key,
            kind: row.kind,
            base,
            local,
            incoming,
            in_force,
        })
    }

    /// A review that is about to open.
    pub(crate) fn of(
        key: &ResourceKey,
        base: Option<ReviewSide>,
        local: ReviewSide,
        incoming: ReviewSide,
    ) -> Case {
        Case {
            key: key.clone(),
            kind: ReviewKind::EditEdit,
            base,
            in_force: local.clone(),
            local,
            incoming,
        }
    }

    /// What a person must decide; one conflict over the whole resource when one side is a deletion.
    pub(crate) fn conflicts(&self) -> Vec<ElementConflict> {
        let base = self.base.as_ref().and_then(|side| side.resource.as_ref());
        let (Some(local), Some(incoming)) = (&self.local.resource, &self.incoming.resource) else {
            return vec![ElementConflict {
                path: self.key.resource_type.clone(),
                base: base.cloned(),
                local: self.local.resource.clone(),
                incoming: self.incoming.resource.clone(),
                rule: "any.deletion",
            }];
        };
        match conflict::resolve(base, local, incoming, self.times()) {
            Outcome::Ask { conflicts, .. } => conflicts,
            _ => Vec::new(),
        }
    }

    /// What the decision makes of it; `None` is a deletion.
    pub(super) fn decide(&self, decision: &Decision) -> Result<Option<Json>, Failure> {
        let base = self.base.as_ref().and_then(|side| side.resource.as_ref());
        self.check_picks(decision)?;
        if let Decision::Edited(resource) = decision {
            return Ok(Some(task::untagged(resource)));
        }
        let (Some(local), Some(incoming)) = (&self.local.resource, &self.incoming.resource) else {
            return match decision {
                Decision::Local => Ok(self.local.resource.clone()),
                Decision::Incoming => Ok(self.incoming.resource.clone()),
                Decision::Picks(picks) => match picks.first() {
                    Some((_, Pick::Local)) => Ok(self.local.resource.clone()),
                    Some((_, Pick::Incoming)) => Ok(self.incoming.resource.clone()),
                    None => Err(undecided(std::slice::from_ref(&self.key.resource_type))),
                },
                Decision::Edited(resource) => Ok(Some(resource.clone())),
            };
        };
        conflict::decide(decision, base, local, incoming, self.times())
            .map(Some)
            .map_err(|paths| undecided(&paths))
    }

    /// Each pick must name something that waits, once.
    fn check_picks(&self, decision: &Decision) -> Result<(), Failure> {
        let Decision::Picks(picks) = decision else {
            return Ok(());
        };
        let conflicts = self.conflicts();
        for (index, (path, _)) in picks.iter().enumerate() {
            let is_known = conflicts.iter().any(|conflict| conflict.path == *path);
            let is_first = picks.iter().take(index).all(|(other, _)| other != path);
            if !(is_known && is_first) {
                let open: Vec<&str> = conflicts.iter().map(|c| c.path.as_str()).collect();
                let text = format!(
                    "a pick names what is not (or no longer) in conflict, or twice; to pick: {}",
                    open.join(", ")
                );
                let code = IssueCode::Value;
                return Err(Failure::new(
                    Category::Unprocessable,
                    "E-REVIEW-2",
                    code,
                    text,
                ));
            }
        }
        Ok(())
    }

    pub(super) fn times(&self) -> Times {
        Times {
            local_hlc: self.local.hlc,
            incoming_hlc: self.incoming.hlc,
        }
    }
}

/// The local side with what was written on the shown version since.
pub(crate) fn carried(shown: &ReviewSide, local: &ReviewSide, in_force: &ReviewSide) -> ReviewSide {
    let resource = match (&shown.resource, &local.resource, &in_force.resource) {
        (Some(shown), Some(local), Some(later)) => Some(conflict::carry(shown, local, later)),
        (_, _, later) => later.clone(),
    };
    ReviewSide {
        resource,
        ..in_force.clone()
    }
}

fn undecided(paths: &[String]) -> Failure {
    let text = format!("the decision leaves open: {}", paths.join(", "));
    Failure::new(
        Category::Unprocessable,
        "E-REVIEW-3",
        IssueCode::Required,
        text,
    )
}

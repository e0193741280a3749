//! Reviews: conflicts that wait for a person. Each is a FHIR Task and a row that binds it.

mod case;
mod decide;
mod row;
mod task;
#[cfg(test)]
mod tests;

pub use case::ReviewSide;
pub(super) use case::{Case, carried, resource_of};
pub use decide::ReviewDecision;
pub use row::ReviewKind;
pub(super) use row::{Row, rank};
pub(super) use task::{
    Ending, Made, audit, end, is_tagged, open, provenance, tagged, task_id, untagged, version_of,
};

use super::Repository;
use super::stamp::Unstamped;
use fhir_mapping::conflict::ElementConflict;
use fhir_mapping::model::{IssueCode, Json, Limits, Reference, parse};
use fhir_mapping::search::Zone;
use gateway_ground::failure::{Category, Failure};
use store::{Head, ResourceKey, RowWrite, VersionId, View};

/// Most open reviews looked at to find the most pressing ones.
const SCAN_MAX: usize = 10_000;

/// One open or closed review with all that a person needs to see.
#[derive(Clone, Debug)]
pub struct ReviewView {
    pub task_id: String,
    pub task_version: VersionId,
    pub focus: ResourceKey,
    pub kind: ReviewKind,
    /// `None` when both sides made the resource independently.
    pub base: Option<ReviewSide>,
    pub local: ReviewSide,
    pub incoming: ReviewSide,
    /// The head: what clients read now.
    pub in_force: ReviewSide,
    pub conflicts: Vec<ElementConflict>,
    /// The patient whom it is about, if known here.
    pub patient: Option<Json>,
    pub target_name: String,
    /// `Task.priority`: stat, asap, urgent, routine.
    pub priority: String,
    pub opened_ms: i64,
    pub is_open: bool,
    /// How a closed one ended.
    pub ended: Option<Ended>,
}

/// What a closed review's Task says of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub choice: String,
    pub rationale: String,
    pub reviewer: String,
    /// `Type/id/_history/n`
    pub result: String,
}

impl Repository {
    /// Open reviews, most urgent first, then oldest; at most `limit`.
    pub fn reviews(&self, limit: usize) -> Result<Vec<ReviewView>, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let mut rows = Row::scan(&view, SCAN_MAX)?;
        rows.sort_by_key(|(rid, row)| (row.urgency, row.opened_ms, *rid));
        let mut reviews = Vec::with_capacity(rows.len().min(limit));
        for (_, row) in rows.iter().take(limit) {
            reviews.push(read(&view, &row.task)?);
        }
        Ok(reviews)
    }

    /// 404 when no such review is known.
    pub fn review(&self, task_id: &str) -> Result<ReviewView, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        read(&snapshot.view(), task_id)
    }
}

/// A client's content with the tag, for a resource whose review is open: a write must not hide that.
pub(super) fn marked(content: &Unstamped, zone: &Zone) -> Option<Unstamped> {
    let tree = parse(&content.body(VersionId(1), 0), Limits::default()).ok()?;
    Some(Unstamped::new(&tagged(&tree), zone))
}

/// A review Task with its version, and the head it is about.
struct Found {
    task: Json,
    task_version: VersionId,
    focus: ResourceKey,
    head: Head,
    /// Only while it is open.
    row: Option<Row>,
}

impl Found {
    fn load(view: &View<'_>, task_id: &str) -> Result<Found, Failure> {
        let key = ResourceKey {
            resource_type: "Task".to_owned(),
            id: task_id.to_owned(),
        };
        let task_head = view.head(&key)?.ok_or_else(unknown)?;
        let stored = view.version(task_head.rid, task_head.version)?;
        let task = stored.map(|stored| resource_of(&stored)).transpose()?;
        let task = task.flatten().ok_or_else(unknown)?;
        let code = task.str_at(&["code", "coding", "code"]);
        if code != Some("conflict-review") {
            return Err(unknown());
        }
        let focus = task.str_at(&["focus", "reference"]).and_then(key_of);
        let focus = focus.ok_or_else(unknown)?;
        let head = view.head(&focus)?.ok_or_else(unknown)?;
        let row = match head.review_open {
            true => Row::read(view, head.rid)?,
            false => None,
        };
        Ok(Found {
            task,
            task_version: task_head.version,
            focus,
            head,
            row: row.filter(|row| row.task == task_id),
        })
    }

    /// The versions that a closed review's Task names.
    fn past_row(&self) -> Result<Row, Failure> {
        let version = |name| task::said(&self.task, "input", name).and_then(task::version_in);
        let (Some(local), Some(incoming)) = (version("local"), version("incoming")) else {
            return Err(unknown());
        };
        let status = self.task.str_at(&["businessStatus", "coding", "code"]);
        Ok(Row {
            task: self.task.id().unwrap_or_default().to_owned(),
            target: 0,
            target_name: self.said("input", "target"),
            kind: match status {
                Some("delete-update") => ReviewKind::DeleteUpdate,
                _ => ReviewKind::EditEdit,
            },
            base: version("base").map(|version| version.0),
            local: local.0,
            incoming: incoming.0,
            shown: self.head.version.0,
            others: Vec::new(),
            opened_ms: instant_ms(self.task.str_at(&["authoredOn"]).unwrap_or_default()),
            urgency: 0,
        })
    }

    fn said(&self, list: &str, code: &str) -> String {
        let said = task::said(&self.task, list, code);
        said.unwrap_or_default().to_owned()
    }

    fn ended(&self) -> Ended {
        Ended {
            choice: self.said("output", "choice"),
            rationale: self.said("output", "rationale"),
            reviewer: self.said("output", "reviewer"),
            result: self.said("output", "resulting-version"),
        }
    }
}

/// The row of the review that a Task tells of, as the Task has it: there while it is requested, gone when it
/// has ended. `None` for a Task of something else.
pub(super) fn row_of_task(view: &View<'_>, task_id: &str) -> Result<Option<RowWrite>, Failure> {
    let Ok(found) = Found::load(view, task_id) else {
        return Ok(None);
    };
    let rid = found.head.rid;
    match found.task.str_at(&["status"]) {
        Some("requested") if found.row.is_some() => Ok(None),
        Some("requested") => Ok(Some(found.past_row()?.put(rid)?)),
        _ => Ok(Some(Row::take_away(rid))),
    }
}

fn read(view: &View<'_>, task_id: &str) -> Result<ReviewView, Failure> {
    let found = Found::load(view, task_id)?;
    let is_open = found.row.is_some();
    let row = match &found.row {
        Some(row) => row.clone(),
        None => found.past_row()?,
    };
    let case = Case::load(view, &found.head, &row)?;
    Ok(ReviewView {
        conflicts: case.conflicts(),
        task_id: task_id.to_owned(),
        task_version: found.task_version,
        kind: case.kind,
        base: case.base,
        local: case.local,
        incoming: case.incoming,
        in_force: case.in_force,
        patient: patient(view, &found.task)?,
        target_name: row.target_name,
        priority: found
            .task
            .str_at(&["priority"])
            .unwrap_or("routine")
            .to_owned(),
        opened_ms: row.opened_ms,
        is_open,
        ended: (!is_open).then(|| found.ended()),
        focus: found.focus,
    })
}

fn patient(view: &View<'_>, task: &Json) -> Result<Option<Json>, Failure> {
    let key = task.str_at(&["for", "reference"]).and_then(key_of);
    let head = key.map(|key| view.head(&key)).transpose()?.flatten();
    let stored = head
        .map(|head| view.version(head.rid, head.version))
        .transpose()?;
    let resource = stored
        .flatten()
        .map(|stored| resource_of(&stored))
        .transpose()?;
    Ok(resource.flatten())
}

fn key_of(reference: &str) -> Option<ResourceKey> {
    match Reference::parse(reference) {
        Reference::Literal {
            resource_type, id, ..
        } => Some(ResourceKey {
            resource_type: resource_type.to_owned(),
            id: id.to_owned(),
        }),
        _ => None,
    }
}

fn instant_ms(text: &str) -> i64 {
    let time = text.parse::<jiff::Timestamp>();
    time.map_or(0, jiff::Timestamp::as_millisecond)
}

fn unknown() -> Failure {
    let text = "no review Task has this id";
    Failure::new(Category::NotFound, "E-REVIEW-4", IssueCode::NotFound, text)
}

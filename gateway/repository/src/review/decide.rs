//! A reviewer's decision: one commit writes the decided version, closes the review and says why.

use super::super::plan::{Placement, Plan, commit_failure};
use super::super::stamp::Unstamped;
use super::super::{Actor, Repository};
use super::{Case, Ending, Found, Made, Row, audit, end, provenance, version_of};
use fhir_mapping::conflict::Decision;
use fhir_mapping::model::{Issue, IssueCode, Json, Severity};
use fhir_mapping::validate::structure;
use gateway_ground::failure::{Category, Failure};
use store::{ResourceKey, Urgency, VersionId, View, WriteSet};

/// Longest rationale, in bytes.
const RATIONALE_BYTES_MAX: usize = 4_000;

/// What a reviewer says.
#[derive(Clone, Debug)]
pub struct ReviewDecision {
    pub decision: Decision,
    pub rationale: String,
    /// Version of the Task the reviewer saw; stale answers 412.
    pub if_match: VersionId,
}

impl Repository {
    /// Writes the decided version, completes the Task, records Provenance and audit, all in one
    /// commit. Gives the decided resource's version. 412 when somebody decided before, or the review
    /// was renewed; 422 when the decision is incomplete or its resource unsound.
    pub async fn decide(
        &self,
        actor: &Actor,
        task_id: &str,
        decision: ReviewDecision,
    ) -> Result<VersionId, Failure> {
        check_rationale(&decision.rationale)?;
        let (repository, actor, task_id) = (self.clone(), actor.clone(), task_id.to_owned());
        let plan = move |view: &View<'_>| {
            let found = Found::load(view, &task_id)?;
            let row = found
                .row
                .as_ref()
                .filter(|_| found.task_version == decision.if_match);
            let Some(row) = row else {
                return Err(stale(&found));
            };
            let case = Case::load(view, &found.head, row)?;
            let resource = case.decide(&decision.decision)?;
            check_resource(&decision.decision, resource.as_ref(), &found.focus)?;
            let closing = Closing {
                plan: Plan::new(&repository, view, &actor),
                actor: &actor,
                decision: &decision,
                found: &found,
            };
            closing.write(&case, row, resource.as_ref())
        };
        let committed = self.submit(plan).await;
        committed
            .map(|(_, version)| version)
            .map_err(commit_failure)
    }
}

/// A decision being written.
struct Closing<'c, 'p, 't> {
    plan: Plan<'p, 't>,
    actor: &'c Actor,
    decision: &'c ReviewDecision,
    found: &'c Found,
}

impl Closing<'_, '_, '_> {
    fn write(
        mut self,
        case: &Case,
        row: &Row,
        resource: Option<&Json>,
    ) -> Result<(WriteSet, VersionId), Failure> {
        let key = &self.found.focus;
        let placement = Placement {
            review_open: Some(false),
            ..Placement::head("decide")
        };
        let content = resource.map(|resource| Unstamped::new(resource, self.plan.zone()));
        let decided = self.plan.add(key, content.as_ref(), placement)?;
        let made = Made {
            key,
            version: decided.version,
            sources: [case.local.version, case.incoming.version]
                .into_iter()
                .chain(row.others.iter().copied().map(VersionId))
                .collect(),
            base: case.base.as_ref().map(|side| side.version),
            time_ms: decided.time_ms,
            who: &self.actor.name,
            activity: "conflict-decision",
            rationale: &self.decision.rationale,
            notes: &[],
        };
        let ending = Ending {
            status: "completed",
            who: &self.actor.name,
            time_ms: decided.time_ms,
            rationale: &self.decision.rationale,
            choice: choice(&self.decision.decision),
            result: Some(version_of(key, decided.version)),
        };
        let task = end(&self.found.task, &ending);
        let (provenance_key, provenance) = provenance(&made);
        let entry = audit(&made);
        self.add_other(&task_key(&row.task), &task)?;
        self.add_other(&provenance_key, &provenance)?;
        self.plan.row(Row::take_away(self.found.head.rid));
        let mut set = self.plan.finish();
        set.audit.push(entry);
        // A decision is what everybody waits for.
        for version in set
            .versions
            .iter_mut()
            .filter(|version| version.key == *key)
        {
            version.urgency = Urgency::Urgent;
        }
        Ok((set, decided.version))
    }

    fn add_other(&mut self, key: &ResourceKey, resource: &Json) -> Result<(), Failure> {
        let content = Unstamped::new(resource, self.plan.zone());
        self.plan
            .add(key, Some(&content), Placement::head("decide"))?;
        Ok(())
    }
}

fn choice(decision: &Decision) -> &'static str {
    match decision {
        Decision::Local => "local",
        Decision::Incoming => "incoming",
        Decision::Picks(_) => "picks",
        Decision::Edited(_) => "edited",
    }
}

fn task_key(id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: "Task".to_owned(),
        id: id.to_owned(),
    }
}

fn check_rationale(rationale: &str) -> Result<(), Failure> {
    let length = rationale.trim().len();
    if (1..=RATIONALE_BYTES_MAX).contains(&length) {
        return Ok(());
    }
    let text = format!("a decision needs a rationale of 1 to {RATIONALE_BYTES_MAX} bytes");
    let code = IssueCode::Required;
    Err(Failure::new(
        Category::Unprocessable,
        "E-REVIEW-5",
        code,
        text,
    ))
}

/// What a reviewer wrote or put together must be sound; whole sides were stored as they are before.
fn check_resource(
    decision: &Decision,
    resource: Option<&Json>,
    focus: &ResourceKey,
) -> Result<(), Failure> {
    let (Decision::Edited(_) | Decision::Picks(_), Some(resource)) = (decision, resource) else {
        return Ok(());
    };
    let is_focus = resource.resource_type() == Some(focus.resource_type.as_str())
        && resource.id() == Some(focus.id.as_str());
    if !is_focus {
        let text = format!(
            "the edited resource must be {} with the same id",
            focus.resource_type
        );
        let code = IssueCode::Value;
        return Err(Failure::new(
            Category::Unprocessable,
            "E-REVIEW-6",
            code,
            text,
        ));
    }
    let issues: Vec<Issue> = structure(resource)
        .into_iter()
        .filter(|issue| issue.severity >= Severity::Error)
        .collect();
    if issues.is_empty() {
        return Ok(());
    }
    Err(Failure::of(Category::Unprocessable, issues))
}

/// Somebody was faster: says where the review stands now.
fn stale(found: &Found) -> Failure {
    let (number, now) = (found.task_version.0, &found.ended());
    let status = found.task.str_at(&["status"]).unwrap_or("unknown");
    let text = match status {
        "completed" => format!(
            "the review was decided before by {} ({}, {}); its Task is at version {number}",
            now.reviewer, now.choice, now.result
        ),
        "cancelled" => format!(
            "the review is void: {}; its Task is at version {number}",
            now.choice
        ),
        _ => format!("the review has changed; its Task is at version {number}: read it again"),
    };
    let code = IssueCode::Conflict;
    Failure::new(Category::PreconditionFailed, "E-REVIEW-7", code, text)
}

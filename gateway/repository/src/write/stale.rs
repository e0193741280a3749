//! A patch that names an older version is refused (412), but not lost: where the conflict policy has
//! a question about what it would have made, that is kept as an incoming version and waits in a
//! review, like a change from elsewhere. Base is the version named, incoming the patch applied to
//! it: a position in a list means what it meant to the sender. Where the policy has no question the
//! sender is told to repeat it, since nobody else may know whether it still wants to.

use super::super::Repository;
use super::super::apply::{Applied, CLIENTS, Incoming};
use super::super::review::{ReviewSide, Row};
use super::asked::{Actor, Check, Which, Write};
use super::resolution::patched;
use fhir_mapping::conflict::is_same_content;
use fhir_mapping::model::{Issue, IssueCode, Json, Severity};
use fhir_mapping::patch::Patch;
use gateway_ground::failure::{Category, Failure};
use store::{ResourceKey, VersionId};

/// A patch by id with the version it names.
struct Stale {
    key: ResourceKey,
    patch: Patch,
    check: Check,
    base: VersionId,
}

impl Repository {
    /// The refusal, with what became of the change added to it.
    pub(super) async fn keep_stale(
        &self,
        actor: &Actor,
        write: Option<&Write>,
        mut refusal: Failure,
    ) -> Failure {
        let Some(Write::Patch {
            which: Which::Key(key),
            patch,
            check,
            if_match: Some(base),
        }) = write
        else {
            return refusal;
        };
        if refusal.category != Category::PreconditionFailed {
            return refusal;
        }
        let stale = Stale {
            key: key.clone(),
            patch: patch.clone(),
            check: check.clone(),
            base: *base,
        };
        let repository = self.clone();
        let incoming = tokio::task::spawn_blocking(move || repository.incoming_of(&stale)).await;
        // What does not fit the version it names leaves nothing to keep.
        let Ok(Ok(Some(incoming))) = incoming else {
            return refusal;
        };
        match self.ask_about(actor, key, (incoming, *base)).await {
            Ok(Some(task)) => refusal.issues.push(kept(&task)),
            Ok(None) => {}
            Err(failure) => refusal.issues.extend(failure.issues),
        }
        refusal
    }

    /// What the sender wanted: the patch applied to the version it names.
    fn incoming_of(&self, stale: &Stale) -> Result<Option<Json>, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let Some(head) = view.head(&stale.key)?.filter(|head| !head.deleted) else {
            return Ok(None);
        };
        let stored = view.version(head.rid, stale.base)?;
        let Some(stored) = stored.filter(|stored| !stored.deleted) else {
            return Ok(None);
        };
        patched(&stored.body, &stale.patch, &stale.check).map(Some)
    }

    /// The Task that waits with it, when there is a question.
    async fn ask_about(
        &self,
        actor: &Actor,
        key: &ResourceKey,
        (resource, base): (Json, VersionId),
    ) -> Result<Option<String>, Failure> {
        let wanted = resource.clone();
        let incoming = Incoming {
            target: CLIENTS,
            life: 0,
            target_name: actor.name.clone(),
            key: key.clone(),
            resource: Some(resource),
            base: Some(base),
            hlc: self.inner.clock.next_hlc(),
            rows: Vec::new(),
            shadow_row: None,
            remote_version: String::new(),
        };
        match self.arrive(incoming, true).await? {
            Applied::Asked { task, .. } => Ok(Some(task)),
            // Sent again: it waits already.
            Applied::AlreadyHave => self.waiting_task(key, &wanted),
            _ => Ok(None),
        }
    }

    /// The Task of the open review whose incoming side this is.
    fn waiting_task(&self, key: &ResourceKey, wanted: &Json) -> Result<Option<String>, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let Some(head) = view.head(key)?.filter(|head| head.review_open) else {
            return Ok(None);
        };
        let Some(row) = Row::read(&view, head.rid)? else {
            return Ok(None);
        };
        let (_, side) = ReviewSide::read(&view, head.rid, VersionId(row.incoming))?;
        let is_it = side
            .resource
            .is_some_and(|side| is_same_content(&side, wanted));
        Ok(is_it.then_some(row.task))
    }
}

fn kept(task: &str) -> Issue {
    Issue {
        severity: Severity::Information,
        code: IssueCode::Informational,
        expression: String::new(),
        number: "I-WRITE-1",
        text: format!("the change is kept and waits for a person in Task/{task}"),
    }
}

//! Search parameters of the site's own: SearchParameter resources that are active. A change of them
//! is a change of the rules by which values and terms are made, so a reindex follows; until it is
//! through, searches do not trust their postings, and nobody is told of them.

use super::standing::{self, Standing};
use crate::Repository;
use crate::plan::commit_failure;
use fhir_mapping::model::{Issue, IssueCode, Json, Limits, parse};
use fhir_mapping::search::{OwnParameter, Zone, own_parameters};
use gateway_ground::failure::{Category, Failure};
use std::sync::atomic::Ordering;
use store::{Rid, StoreError, Term, View, WriteSet};

const TYPE: &str = "SearchParameter";
/// SearchParameters that are looked at, and parameters of types that they may define together: each
/// is read from every resource that is written.
const HEADS_MAX: usize = 2_000;
const PARAMETERS_MAX: usize = 1_000;

/// Does a change of this type change the rules?
pub(crate) fn is_ruling(resource_type: &str) -> bool {
    resource_type == TYPE
}

/// What is in force by the resources of this view, the oldest resource first; those that cannot be
/// read, which others wrote than clients at our door, define nothing.
pub(crate) fn in_force(view: &View<'_>) -> Result<Vec<OwnParameter>, StoreError> {
    let mut postings = view.postings(&Term(TYPE.as_bytes().to_vec()))?;
    let (mut own, mut at) = (Vec::new(), Rid(0));
    for _ in 0..HEADS_MAX {
        let Some(rid) = postings.seek(at)? else { break };
        at = Rid(rid.0.saturating_add(1));
        let Some(head) = view.head_of(rid)?.filter(|head| !head.deleted) else {
            continue;
        };
        let stored = view.version(rid, head.version)?;
        let tree = stored.and_then(|stored| parse(&stored.body, Limits::default()).ok());
        let defined = tree.and_then(|tree| own_parameters(&tree).ok());
        own.extend(defined.unwrap_or_default());
    }
    own.truncate(PARAMETERS_MAX);
    Ok(own)
}

/// Refuses a SearchParameter that would be in force but cannot be. `others` are those that are.
pub(crate) fn check(resource: &Json, others: &[OwnParameter]) -> Result<(), Failure> {
    if resource.resource_type() != Some(TYPE) {
        return Ok(());
    }
    let refused = |issues| Failure::of(Category::Unprocessable, issues);
    let defined = own_parameters(resource).map_err(refused)?;
    let url = resource.str_at(&["url"]).unwrap_or_default();
    let is_taken = |one: &&OwnParameter| {
        let same = |other: &&OwnParameter| {
            (other.resource_type(), other.name()) == (one.resource_type(), one.name())
        };
        others
            .iter()
            .any(|other| same(&other) && other.url() != url)
    };
    if let Some(taken) = defined.iter().find(is_taken) {
        let text = format!(
            "code: another SearchParameter of this site defines it for {}; retire that one first",
            taken.resource_type()
        );
        let place = "SearchParameter.code";
        let issue = Issue::error("E-INDEX-2", IssueCode::Duplicate, place, text);
        return Err(refused(vec![issue]));
    }
    if others.len() + defined.len() > PARAMETERS_MAX {
        let text = format!(
            "base: a site may have {PARAMETERS_MAX} search parameters of its own, counted for each type"
        );
        let place = "SearchParameter.base";
        let issue = Issue::error("E-INDEX-3", IssueCode::TooCostly, place, text);
        return Err(refused(vec![issue]));
    }
    Ok(())
}

/// At a start, before anything is read or written: what the store defines is in force. What cannot
/// be read now is left to the next look.
pub(crate) fn begin(store: &store::Store, zone: &Zone) {
    if let Ok(snapshot) = store.snapshot()
        && let Ok(own) = in_force(&snapshot.view())
    {
        zone.adopt(&own);
    }
}

impl Repository {
    /// Brings into force what SearchParameters were written to, and notes that the index is to be
    /// made by them; false when there is nothing new.
    pub async fn adopt_parameters(&self) -> Result<bool, Failure> {
        if !self
            .inner
            .are_parameters_changed
            .swap(false, Ordering::SeqCst)
        {
            return Ok(false);
        }
        let adopted = self.adopt_changed().await;
        if adopted.is_err() {
            let changed = &self.inner.are_parameters_changed;
            changed.store(true, Ordering::SeqCst);
        }
        adopted
    }

    async fn adopt_changed(&self) -> Result<bool, Failure> {
        // No batch of the former rules notes how far it is meanwhile.
        let _alone = self.inner.indexing.lock().await;
        let zone = self.zone().clone();
        // On the writer thread, where the change that woke us is done.
        let plan = move |view: &View<'_>| -> Result<_, Failure> {
            let own = in_force(view)?;
            if own == zone.own() {
                return Ok((WriteSet::default(), None));
            }
            let standing = Standing::Upto {
                rid: Rid(0),
                posts_all: false,
            };
            let set = WriteSet {
                rows: standing::rows(view, &zone.with(&own), standing)?,
                ..WriteSet::default()
            };
            Ok((set, Some(own)))
        };
        let (_, own) = self.submit(plan).await.map_err(commit_failure)?;
        let Some(own) = own else { return Ok(false) };
        self.inner.is_index_whole.store(false, Ordering::SeqCst);
        self.zone().adopt(&own);
        // Whatever the writer began by the former rules is committed when this is: the reindex sees it.
        let nothing = |_: &View<'_>| -> Result<_, Failure> { Ok((WriteSet::default(), ())) };
        self.submit(nothing).await.map_err(commit_failure)?;
        Ok(true)
    }
}

impl crate::Inner {
    /// A SearchParameter is being written: the next look finds out what that means.
    pub(crate) fn note_ruling(&self) {
        self.are_parameters_changed.store(true, Ordering::SeqCst);
        self.reindex_asked.notify_one();
    }
}

//! From the change log to notices: each change is read once and asked about for every Subscription.

use super::channel::Channel;
use super::subscription::{Subscription, reason};
use fhir_mapping::model::{self, Limits};
use fhir_mapping::search::{SearchValues, extract};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Notice, Repository};
use std::sync::Arc;
use store::{Change, Rid, Seq, View};

/// Changes looked at in one step.
const CHANGES_MAX: usize = 64;

/// Who is asked about, and since when.
pub(super) struct Asking {
    pub(super) subscription: Arc<Subscription>,
    /// The first change that it wants told lies after this.
    pub(super) since: u64,
}

/// What a part of the log came to.
#[derive(Default)]
pub(super) struct Matched {
    /// To be queued, for those with an endpoint.
    pub(super) notices: Vec<Notice>,
    /// One for each match, whatever the channel.
    pub(super) events: Vec<Rid>,
    /// Those whose criteria cannot be judged, and why.
    pub(super) hopeless: Vec<(Rid, String)>,
    /// How far the log was read.
    pub(super) last: Option<Seq>,
    pub(super) has_more: bool,
}

/// Reads the next part of the log after `after`, no further than `up_to`. Criteria on other
/// resources are judged by these as they are now: for a thread that may block.
pub(super) fn next(
    repository: &Repository,
    asking: &[Asking],
    (after, up_to): (Seq, Seq),
) -> Result<Matched, Failure> {
    let snapshot = repository.store().snapshot()?;
    let view = snapshot.view();
    let mut changes = view.changes(after, CHANGES_MAX)?;
    changes.retain(|change| change.seq <= up_to);
    let mut matched = Matched {
        last: changes.last().map(|change| change.seq),
        has_more: changes.len() == CHANGES_MAX,
        ..Matched::default()
    };
    for change in &changes {
        // R4 tells of what was created or updated; versions kept aside are not yet that.
        if !change.deleted && change.became_head {
            look_at((repository, &view), asking, (change, &mut matched))?;
        }
    }
    Ok(matched)
}

fn look_at(
    (repository, view): (&Repository, &View<'_>),
    asking: &[Asking],
    (change, matched): (&Change, &mut Matched),
) -> Result<(), Failure> {
    let Some(stored) = view.version(change.rid, change.version)? else {
        return Ok(());
    };
    let resource_type = &stored.key.resource_type;
    let mut concerned = asking
        .iter()
        .filter(|asking| asking.subscription.resource_type == *resource_type)
        .filter(|asking| asking.since < change.seq.0)
        .peekable();
    if concerned.peek().is_none() {
        return Ok(());
    }
    let resource = model::parse(&stored.body, Limits::default());
    let resource = resource.map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
    let values = extract(&resource, repository.zone());
    for Asking { subscription, .. } in concerned {
        let rid = subscription.rid;
        if matched
            .hopeless
            .iter()
            .any(|(hopeless, _)| *hopeless == rid)
        {
            continue;
        }
        match holds((repository, view), subscription, (change.rid, &values)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(failure) if failure.category == Category::Fault => return Err(failure),
            Err(failure) => {
                matched.hopeless.push((rid, reason(&failure)));
                continue;
            }
        }
        matched.events.push(rid);
        if matches!(subscription.channel, Channel::Hook(_)) {
            matched.notices.push(Notice {
                subscription: rid,
                seq: change.seq,
                rid: change.rid,
                version: change.version,
            });
        }
    }
    Ok(())
}

/// Does this version meet the criteria?
fn holds(
    (repository, view): (&Repository, &View<'_>),
    subscription: &Subscription,
    (rid, values): (Rid, &SearchValues),
) -> Result<bool, Failure> {
    let fresh = match subscription.is_lasting {
        true => None,
        false => Some(subscription.read_anew(repository)?),
    };
    let query = fresh.as_ref().unwrap_or(&subscription.query);
    if !query.matches(values) {
        return Ok(false);
    }
    repository.holds(view, query, (rid, values))
}

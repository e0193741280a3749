//! From the change log to notices: each change is read once and asked about for every Subscription.

use super::channel::Channel;
use super::roster::Roster;
use fhir_mapping::model::{self, Limits};
use fhir_mapping::search::{Zone, extract};
use gateway_ground::failure::{Category, Failure};
use gateway_repository::Notice;
use store::{Change, Rid, Seq, View};

/// Changes looked at in one step.
const CHANGES_MAX: usize = 64;

/// What a part of the log came to.
#[derive(Default)]
pub(super) struct Matched {
    /// To be queued, for those with an endpoint.
    pub(super) notices: Vec<Notice>,
    /// One for each match, whatever the channel.
    pub(super) events: Vec<Rid>,
    /// How far the log was read.
    pub(super) last: Option<Seq>,
    pub(super) has_more: bool,
}

/// Reads the next part of the log after `after`, no further than `up_to`.
pub(super) fn next(
    view: &View<'_>,
    (roster, zone): (&Roster, &Zone),
    (after, up_to): (Seq, Seq),
) -> Result<Matched, Failure> {
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
            look_at(view, (roster, zone), (change, &mut matched))?;
        }
    }
    Ok(matched)
}

fn look_at(
    view: &View<'_>,
    (roster, zone): (&Roster, &Zone),
    (change, matched): (&Change, &mut Matched),
) -> Result<(), Failure> {
    let Some(stored) = view.version(change.rid, change.version)? else {
        return Ok(());
    };
    let resource_type = &stored.key.resource_type;
    let mut concerned = roster
        .iter()
        .filter(|(_, served)| served.subscription.resource_type == *resource_type)
        .filter(|(_, served)| served.standing.since < change.seq.0)
        .peekable();
    if concerned.peek().is_none() {
        return Ok(());
    }
    let resource = model::parse(&stored.body, Limits::default());
    let resource = resource.map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
    let values = extract(&resource, zone);
    for (rid, served) in concerned {
        if !served.subscription.query.matches(&values) {
            continue;
        }
        matched.events.push(rid);
        if matches!(served.subscription.channel, Channel::Hook(_)) {
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

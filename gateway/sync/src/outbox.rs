//! Reads the deliveries that may leave now, with everything a sending needs. Looks only; writes
//! are the loop's.

use super::TargetSettings;
use super::delivery::{self, Delivery, DeliveryKey, URGENCIES};
use super::lives::There;
use super::outbound::Ours;
use super::priority::{self, Candidate};
use super::shadow::{self, Shadow};
use super::takeover;
use super::target::{Expects, Sending};
use fhir_mapping::model::{self, Json, Limits, Reference};
use gateway_ground::link::retry;
use std::collections::{HashMap, HashSet};
use store::{ResourceKey, Rid, StoreError, StoredVersion, Table, VersionId, View};

/// Sendings between two looks at the log: an urgent change waits for no more than these.
const GROUP_MAX: usize = 32;

/// Most deliveries that a group may grow to by what its members need.
const CLOSURE_MAX: usize = 256;

/// Rows looked at in one step while skipping those whose time has not come.
const SCAN_STEP: usize = 128;

/// A delivery, its head and what is known of it at the target.
pub(super) struct Item {
    pub(super) at: DeliveryKey,
    pub(super) delivery: Delivery,
    pub(super) stored: StoredVersion,
    pub(super) shadow: Option<Shadow>,
    /// Resources it refers to that the target does not have yet.
    pub(super) needs: Vec<Rid>,
}

/// What may leave now, in order.
#[derive(Default)]
pub(super) struct Group {
    pub(super) send: Vec<Item>,
    /// Wait for something they refer to.
    pub(super) blocked: Vec<Item>,
    /// Wait for a person's decision.
    pub(super) held: Vec<Item>,
    /// More was needed than a group may hold: the blocked ones may be so for that alone.
    is_cut: bool,
    /// Deliveries of resources that the store no longer knows, or that were purged: to be dropped.
    pub(super) void: Vec<(DeliveryKey, Rid)>,
    /// When the next delivery is due, if none is now.
    pub(super) next_due_ms: Option<i64>,
}

impl Item {
    pub(super) fn sending(&self) -> Sending {
        let expects = match &self.shadow {
            None => Expects::Absent,
            Some(shadow) if shadow.deleted || shadow.remote_version.is_empty() => Expects::Anything,
            Some(shadow) => Expects::Version(shadow.remote_version.clone()),
        };
        Sending {
            key: self.stored.key.clone(),
            version: self.stored.version,
            body: (!self.stored.deleted).then(|| self.stored.body.clone()),
            // A deletion of something that was never agreed on has nothing to match.
            expects: match expects {
                Expects::Absent if self.stored.deleted => Expects::Anything,
                other => other,
            },
        }
    }
}

/// The next group of one target.
pub(super) fn next_group(
    view: &View<'_>,
    settings: &TargetSettings,
    now_ms: i64,
) -> Result<Group, StoreError> {
    let mut group = Group::default();
    let mut due: Vec<Vec<(DeliveryKey, Delivery)>> = Vec::new();
    for urgency in URGENCIES {
        let prefix = delivery::prefix(settings.number, urgency);
        due.push(scan_due(view, settings, &prefix, (now_ms, &mut group))?);
    }
    let waiting = |place: usize| due.get(place).map_or(0, Vec::len);
    let shares = priority::shares([waiting(0), waiting(1), waiting(2), waiting(3)], GROUP_MAX);
    let chosen = due
        .into_iter()
        .zip(shares)
        .flat_map(|(rows, n)| rows.into_iter().take(n));
    let mut items = Vec::new();
    for (at, delivery) in chosen.collect::<Vec<_>>() {
        add(view, settings, (at, delivery), (&mut items, &mut group))?;
    }
    close_over_needs(view, settings, now_ms, (&mut items, &mut group))?;
    arrange(items, &mut group);
    Ok(group)
}

/// Up to a group of due rows of one urgency, oldest first.
fn scan_due(
    view: &View<'_>,
    settings: &TargetSettings,
    prefix: &[u8],
    (now_ms, group): (i64, &mut Group),
) -> Result<Vec<(DeliveryKey, Delivery)>, StoreError> {
    let mut due = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = view.rows(Table::Deliveries, prefix, after.as_deref(), SCAN_STEP)?;
        let Some((last, _)) = rows.last() else {
            return Ok(due);
        };
        after = Some(last.clone());
        for (key, row) in &rows {
            let parsed: Option<Delivery> = serde_json::from_slice(row).ok();
            let Some((at, delivery)) = DeliveryKey::decode(key).zip(parsed) else {
                continue;
            };
            if delivery.parked {
                continue;
            }
            if is_due(&delivery, now_ms, settings) {
                due.push((at, delivery));
            } else {
                let next = group.next_due_ms.get_or_insert(delivery.next_try_ms);
                *next = delivery.next_try_ms.min(*next);
            }
            if due.len() == GROUP_MAX {
                return Ok(due);
            }
        }
    }
}

fn is_due(delivery: &Delivery, now_ms: i64, settings: &TargetSettings) -> bool {
    retry::is_over(delivery.next_try_ms, now_ms, settings.retry_cap_ms)
}

/// Loads a delivery's head; a held one and a void one go where they belong.
fn add(
    view: &View<'_>,
    settings: &TargetSettings,
    (at, delivery): (DeliveryKey, Delivery),
    (items, group): (&mut Vec<Item>, &mut Group),
) -> Result<(), StoreError> {
    let rid = delivery.rid();
    let head = view.head_of(rid)?;
    // What was purged is gone here alone: nobody else is told to delete it.
    let stored = match head {
        Some(head) if !view.is_purged(&head)? => view.version(rid, head.version)?,
        _ => None,
    };
    let Some((head, stored)) = head.zip(stored) else {
        group.void.push((at, rid));
        return Ok(());
    };
    let item = Item {
        at,
        delivery,
        shadow: shadow::read(view, settings.there(), &stored.key)?,
        needs: needs(view, settings.there(), &stored)?,
        stored,
    };
    if takeover::is_held(&head) {
        group.held.push(item);
    } else {
        items.push(item);
    }
    Ok(())
}

/// Referenced resources that the target has not seen and that wait for it, as this one does.
fn needs(view: &View<'_>, there: There, stored: &StoredVersion) -> Result<Vec<Rid>, StoreError> {
    let Ok(resource) = model::parse(&stored.body, Limits::default()) else {
        return Ok(Vec::new());
    };
    let mut keys: Vec<ResourceKey> = Vec::new();
    model::walk_references(&resource, &mut |text| {
        if let Reference::Literal {
            base: None,
            resource_type,
            id,
            ..
        } = Reference::parse(text)
        {
            keys.push(ResourceKey {
                resource_type: resource_type.to_owned(),
                id: id.to_owned(),
            });
        }
    });
    keys.sort();
    keys.dedup();
    let mut needs = Vec::new();
    for key in keys {
        let Some(head) = view.head(&key)? else {
            continue;
        };
        let row = delivery::by_resource(there.target, head.rid);
        if head.rid != stored.rid
            && shadow::read(view, there, &key)?.is_none()
            && view.row(Table::DeliveryByResource, &row)?.is_some()
        {
            needs.push(head.rid);
        }
    }
    Ok(needs)
}

/// Draws what the items need into the group, whatever its own urgency, as far as it may leave now.
/// Depth first: when the group is full, what was drawn last needs nothing more, so that something
/// can leave however wide and deep the net of references is.
fn close_over_needs(
    view: &View<'_>,
    settings: &TargetSettings,
    now_ms: i64,
    (items, group): (&mut Vec<Item>, &mut Group),
) -> Result<(), StoreError> {
    let mut seen: HashSet<Rid> = items.iter().map(|item| item.stored.rid).collect();
    let mut open: Vec<Rid> = items
        .iter()
        .rev()
        .flat_map(|item| item.needs.clone())
        .collect();
    while let Some(need) = open.pop() {
        if !seen.insert(need) {
            continue;
        }
        if items.len() >= CLOSURE_MAX {
            group.is_cut = true;
            return Ok(());
        }
        let row = takeover::read_by_resource(view, settings.number, need)?;
        let may_leave = |d: &Delivery| !d.parked && (d.blocked || is_due(d, now_ms, settings));
        if let Some((at, delivery)) = row.filter(|(_, d)| may_leave(d)) {
            let before = items.len();
            add(view, settings, (at, delivery), (items, group))?;
            open.extend(
                items
                    .iter()
                    .skip(before)
                    .flat_map(|item| item.needs.clone()),
            );
        }
    }
    Ok(())
}

/// Puts the items in their order.
fn arrange(items: Vec<Item>, group: &mut Group) {
    let candidates: Vec<Candidate> = items
        .iter()
        .map(|item| Candidate {
            rid: item.stored.rid,
            needs: item.needs.clone(),
        })
        .collect();
    let order = priority::order(&candidates);
    let mut by_rid: HashMap<Rid, Item> = items
        .into_iter()
        .map(|item| (item.stored.rid, item))
        .collect();
    group.send = order
        .send
        .iter()
        .filter_map(|rid| by_rid.remove(rid))
        .collect();
    // What is blocked by the group's size alone is left as it is: its turn comes at once.
    if !group.is_cut || group.send.is_empty() {
        let blocked = order.blocked.iter();
        group.blocked = blocked.filter_map(|rid| by_rid.remove(rid)).collect();
    }
}

/// Versions of ours that a target might answer with: the head, and what may have been sent.
pub(super) fn ours(
    view: &View<'_>,
    there: There,
    head: &StoredVersion,
) -> Result<Ours, StoreError> {
    let delivery = takeover::read_by_resource(view, there.target, head.rid)?;
    let sent = delivery
        .map(|(_, delivery)| delivery.sent)
        .unwrap_or_default();
    let mut ours = Ours {
        sending: json(head),
        sent: former(view, there, head)?,
    };
    for version in sent
        .into_iter()
        .map(VersionId)
        .filter(|v| *v != head.version)
    {
        let stored = view.version(head.rid, version)?;
        if let Some(json) = stored.as_ref().and_then(json) {
            ours.sent.push((version, json));
        }
    }
    Ok(ours)
}

/// What a target that was restored may hold of us: any version of before, oldest first. Only until there
/// is an agreement with its present life.
fn former(
    view: &View<'_>,
    there: There,
    head: &StoredVersion,
) -> Result<Vec<(VersionId, Json)>, StoreError> {
    let mut found = Vec::new();
    if there.life == 0 || shadow::read(view, there, &head.key)?.is_some() {
        return Ok(found);
    }
    for (version, _) in view.history(head.rid, Some(head.version), FORMER_MAX)? {
        let stored = view.version(head.rid, version)?;
        found.extend(stored.as_ref().and_then(json).map(|json| (version, json)));
    }
    found.reverse();
    Ok(found)
}

/// Versions of one resource that a restored target is compared with.
const FORMER_MAX: usize = 50;

fn json(stored: &StoredVersion) -> Option<Json> {
    let body = (!stored.deleted).then_some(&stored.body)?;
    model::parse(body, Limits::default()).ok()
}

/// What is known of an arriving resource: our head, the agreement, and what may have been sent.
pub(super) struct Known {
    pub(super) head: StoredVersion,
    pub(super) ours: Ours,
}

/// `None` when we never had the resource.
pub(super) fn known(
    view: &View<'_>,
    there: There,
    key: &ResourceKey,
) -> Result<Option<Known>, StoreError> {
    let Some(head) = view.head(key)? else {
        return Ok(None);
    };
    let Some(head) = view.version(head.rid, head.version)? else {
        return Ok(None);
    };
    let ours = ours(view, there, &head)?;
    Ok(Some(Known { head, ours }))
}

/// Deliveries that are not settled, parked ones included; counts no further than `limit`.
pub(super) fn backlog(view: &View<'_>, target: u16, limit: usize) -> Result<usize, StoreError> {
    view.count_rows(Table::Deliveries, &target.to_be_bytes(), limit)
}

/// Parked deliveries among the first `PARKED_SCAN_MAX`.
pub(super) fn parked(view: &View<'_>, target: u16) -> Result<usize, StoreError> {
    let prefix = target.to_be_bytes();
    let rows = view.rows(Table::Deliveries, &prefix, None, PARKED_SCAN_MAX)?;
    let deliveries = rows
        .iter()
        .filter_map(|(_, row)| serde_json::from_slice(row).ok());
    Ok(deliveries
        .filter(|delivery: &Delivery| delivery.parked)
        .count())
}

/// A scrape of the metrics looks at no more rows than this.
const PARKED_SCAN_MAX: usize = 10_000;

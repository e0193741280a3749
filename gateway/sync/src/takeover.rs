//! From the change log to deliveries: the log is the outbox, and this takes its new part over. Many
//! changes of one resource become one delivery; what a target has already becomes none.

use super::TargetSettings;
use super::delivery::{self, Delivery, DeliveryKey};
use super::shadow;
use fhir_mapping::model::{self, Json, Limits};
use std::collections::BTreeMap;
use store::{Change, Head, Rid, RowWrite, Seq, StoreError, StoredVersion, Table, Urgency, View};

/// Changes taken over in one commit.
const CHANGES_MAX: usize = 256;

/// Rows to commit together, and whether the log has more.
pub(super) struct TakeOver {
    pub(super) rows: Vec<RowWrite>,
    pub(super) has_more: bool,
}

/// The next part of the log. Empty rows mean that nothing is new.
pub(super) fn take_over(
    view: &View<'_>,
    settings: &TargetSettings,
) -> Result<TakeOver, StoreError> {
    let checkpoint = checkpoint_key(settings.number);
    let taken = view.row(Table::Checkpoints, &checkpoint)?;
    let taken = taken.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    let changes = view.changes(Seq(taken.unwrap_or(0)), CHANGES_MAX)?;
    let Some(last) = changes.last() else {
        return Ok(TakeOver {
            rows: Vec::new(),
            has_more: false,
        });
    };
    let mut rows = vec![RowWrite {
        table: Table::Checkpoints,
        key: checkpoint,
        value: Some(last.seq.0.to_be_bytes().to_vec()),
    }];
    for (rid, (seq, urgency)) in by_resource(&changes) {
        let at = DeliveryKey {
            target: settings.number,
            urgency,
            seq,
        };
        rows.extend(delivery_rows(view, settings, at, rid)?);
    }
    Ok(TakeOver {
        rows,
        has_more: changes.len() == CHANGES_MAX,
    })
}

/// The first seq and the highest urgency of each changed resource.
fn by_resource(changes: &[Change]) -> BTreeMap<Rid, (Seq, Urgency)> {
    let mut resources = BTreeMap::new();
    for change in changes {
        let known = resources.entry(change.rid);
        known
            .and_modify(|(_, urgency): &mut (Seq, Urgency)| *urgency = change.urgency.min(*urgency))
            .or_insert((change.seq, change.urgency));
    }
    resources
}

/// Rows that bring one resource's delivery up to its head.
fn delivery_rows(
    view: &View<'_>,
    settings: &TargetSettings,
    fresh: DeliveryKey,
    rid: Rid,
) -> Result<Vec<RowWrite>, StoreError> {
    let Some(head) = view.head_of(rid)? else {
        return Ok(Vec::new());
    };
    let Some(stored) = view.version(rid, head.version)? else {
        return Ok(Vec::new());
    };
    let known = read_by_resource(view, settings.number, rid)?;
    let mut rows = Vec::new();
    if let Some((at, _)) = &known {
        rows.extend(delivery::take_away(*at, rid));
    }
    let shadow = shadow::read(view, settings.there(), &stored.key)?;
    let has_it = shadow.as_ref().is_some_and(|s| s.agreed == head.version.0);
    let was_sent = known.as_ref().is_some_and(|(_, d)| !d.sent.is_empty());
    // A target that lives again may hold what we deleted since.
    let is_first_life = settings.life == 0;
    let never_left = head.deleted && shadow.is_none() && !was_sent && is_first_life;
    let stays = never_left || view.is_purged(&head)? || !leaves(settings, &stored);
    if has_it || stays {
        return Ok(rows);
    }
    let (at, delivery) = match known {
        Some((at, mut delivery)) => {
            delivery.renew();
            let urgency = at.urgency.min(fresh.urgency);
            (DeliveryKey { urgency, ..at }, delivery)
        }
        None => (fresh, Delivery::new(rid)),
    };
    rows.extend(delivery::put(at, &delivery));
    Ok(rows)
}

/// The one live delivery of a resource.
pub(super) fn read_by_resource(
    view: &View<'_>,
    target: u16,
    rid: Rid,
) -> Result<Option<(DeliveryKey, Delivery)>, StoreError> {
    let key = delivery::by_resource(target, rid);
    let Some(at) = view.row(Table::DeliveryByResource, &key)? else {
        return Ok(None);
    };
    let Some(row) = view.row(Table::Deliveries, &at)? else {
        return Ok(None);
    };
    let delivery = serde_json::from_slice(&row).ok();
    Ok(DeliveryKey::decode(&at).zip(delivery))
}

/// Is this resource one that the target is to get?
fn leaves(settings: &TargetSettings, stored: &StoredVersion) -> bool {
    let resource_type = stored.key.resource_type.as_str();
    let is_selected =
        settings.types.is_empty() || settings.types.iter().any(|name| name == resource_type);
    is_selected && !is_bookkeeping(resource_type, &stored.body)
}

/// This site's own books: its audit, the Tasks of its reviews, and what tells how a version came out
/// of a conflict (it names version numbers that only this site knows).
pub(super) fn is_bookkeeping(resource_type: &str, body: &[u8]) -> bool {
    let is = |check: fn(&Json) -> bool| {
        model::parse(body, Limits::default()).is_ok_and(|resource| check(&resource))
    };
    match resource_type {
        "AuditEvent" => true,
        "Task" => is(is_review),
        "Provenance" => is(is_of_conflict),
        _ => false,
    }
}

fn is_of_conflict(provenance: &Json) -> bool {
    let code = provenance.str_at(&["activity", "coding", "code"]);
    matches!(code, Some("conflict-merge" | "conflict-decision"))
}

fn is_review(task: &Json) -> bool {
    let code = task.get("code");
    let codings = code.map(|code| code.items("coding")).unwrap_or_default();
    codings
        .iter()
        .any(|coding| coding.str_at(&["code"]) == Some("conflict-review"))
}

/// How far the log was taken over: target (u16 BE), `taken` -> seq (u64 BE).
fn checkpoint_key(target: u16) -> Vec<u8> {
    let mut key = target.to_be_bytes().to_vec();
    key.extend(b"taken");
    key
}

/// True when a resource's head may leave now: an open review holds it back.
pub(super) fn is_held(head: &Head) -> bool {
    head.review_open
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Origin, OriginKind, VersionId};

    #[test]
    fn changes_of_one_resource_become_one_delivery() {
        let change = |seq, rid, urgency| Change {
            seq: Seq(seq),
            rid: Rid(rid),
            version: VersionId(1),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
            hlc: 0,
            urgency,
            deleted: false,
            became_head: true,
        };
        let changes = [
            change(1, 7, Urgency::Routine),
            change(2, 8, Urgency::Bulk),
            change(3, 7, Urgency::Urgent),
            change(4, 7, Urgency::Bulk),
        ];
        let expected = [
            (Rid(7), (Seq(1), Urgency::Urgent)),
            (Rid(8), (Seq(2), Urgency::Bulk)),
        ];
        assert_eq!(by_resource(&changes), BTreeMap::from(expected));
    }

    #[test]
    fn the_books_stay_here() {
        let review = r#"{"resourceType":"Task","code":{"coding":[{"code":"conflict-review"}]}}"#;
        let errand = r#"{"resourceType":"Task","code":{"coding":[{"code":"fulfill"}]}}"#;
        let cases = [
            ("AuditEvent", "{}", true),
            ("Task", review, true),
            ("Task", errand, false),
            ("Task", "", false),
            ("Patient", review, false),
        ];
        for (resource_type, body, expected) in cases {
            assert_eq!(
                is_bookkeeping(resource_type, body.as_bytes()),
                expected,
                "{body}"
            );
        }
    }
}

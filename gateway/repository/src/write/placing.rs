//! One write in the writing transaction, as the answers to its conditions have it.

use super::super::plan::{Placement, Plan, Stamped, stale};
use super::super::review;
use super::super::stamp::Unstamped;
use super::asked::{NOTHING, Write, Written, WrittenKind, key_of};
use super::reserved;
use super::resolution::Resolution;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use store::{Head, Making, ResourceKey, StoreError, StoredVersion, VersionId, View};

/// One write, as the answers have it.
pub(super) fn place(
    plan: &mut Plan<'_, '_>,
    write: &Write,
    (content, resolution, index): (Option<&Unstamped>, &Resolution, usize),
) -> Result<Written, Failure> {
    let found = resolution
        .existing
        .get(&index)
        .map_or(&[][..], Vec::as_slice);
    match (write, content, found) {
        (Write::Create { .. }, _, [existing, ..]) => existed(plan.view, existing),
        (Write::Create { id, resource, .. }, Some(content), []) => {
            create(plan, key_of(resource, id), content)
        }
        (
            Write::Update {
                id,
                resource,
                if_match,
            },
            Some(content),
            _,
        ) => update(plan, &key_of(resource, id), content, (*if_match, None)),
        (Write::UpdateWhere { if_match, .. }, Some(content), [existing, ..]) => {
            update(plan, existing, content, (*if_match, None))
        }
        (
            Write::UpdateWhere {
                id,
                is_id_given,
                resource,
                if_match,
                ..
            },
            Some(content),
            [],
        ) => {
            let key = key_of(resource, id);
            if plan.head(&key)?.is_some_and(|head| !head.deleted) {
                return Err(not_the_one(&key));
            }
            let making = (!is_id_given).then_some(Making::Posted);
            update(plan, &key, content, (*if_match, making))
        }
        (Write::Delete { key, if_match }, ..) => delete(plan, key, *if_match),
        (
            Write::DeleteWhere {
                resource_type,
                if_match,
                ..
            },
            _,
            keys,
        ) => delete_all(plan, resource_type, (keys, *if_match)),
        (Write::Patch { .. }, Some(content), _) => match resolution.bases.get(&index) {
            Some(base) => update(plan, &base.key, content, (None, Some(Making::Patched))),
            None => Err(StoreError::Invalid("a patch of nothing".to_owned()).into()),
        },
        (_, None, _) => Err(StoreError::Invalid("no content".to_owned()).into()),
    }
}

fn existed(view: &View<'_>, key: &ResourceKey) -> Result<Written, Failure> {
    let head = view.head(key)?;
    let stored = head
        .map(|head| view.version(head.rid, head.version))
        .transpose()?
        .flatten();
    let stored = stored.ok_or_else(|| StoreError::Invalid("a match without a head".to_owned()))?;
    Ok(kept(WrittenKind::Existed, stored))
}

fn create(
    plan: &mut Plan<'_, '_>,
    key: ResourceKey,
    content: &Unstamped,
) -> Result<Written, Failure> {
    if plan.head(&key)?.is_some() {
        let text = format!("{} with this id exists already; use PUT", key.resource_type);
        return Err(Failure::new(
            Category::Conflict,
            "E-WRITE-6",
            IssueCode::Duplicate,
            text,
        ));
    }
    let placement = Placement {
        making: Some(Making::Posted),
        ..Placement::head("create")
    };
    let stamped = plan.add(&key, Some(content), placement)?;
    Ok(made(WrittenKind::Created, key, stamped))
}

fn update(
    plan: &mut Plan<'_, '_>,
    key: &ResourceKey,
    content: &Unstamped,
    (if_match, making): (Option<VersionId>, Option<Making>),
) -> Result<Written, Failure> {
    let placement = Placement {
        making,
        ..Placement::head("update")
    };
    let Some(head) = matched_head(plan, key, if_match)? else {
        let stamped = plan.add(key, Some(content), placement)?;
        return Ok(made(WrittenKind::Created, key.clone(), stamped));
    };
    let marked = match head.review_open {
        true => review::marked(content, plan.zone()),
        false => None,
    };
    let content = marked.as_ref().unwrap_or(content);
    if let Some(stored) = plan.view.version(head.rid, head.version)? {
        reserved::check_change(&stored)?;
        if stored.body == content.body(head.version, stored.time_ms) {
            return Ok(kept(WrittenKind::Unchanged, stored));
        }
    }
    let stamped = plan.add(key, Some(content), placement)?;
    Ok(made(WrittenKind::Updated, key.clone(), stamped))
}

fn delete(
    plan: &mut Plan<'_, '_>,
    key: &ResourceKey,
    if_match: Option<VersionId>,
) -> Result<Written, Failure> {
    let Some(head) = matched_head(plan, key, if_match)? else {
        let gone = plan.head(key)?;
        let stamped = Stamped {
            version: gone.map_or(VersionId(0), |head| head.version),
            time_ms: gone.map_or(0, |head| head.time_ms),
            body: Vec::new(),
        };
        return Ok(made(WrittenKind::Unchanged, key.clone(), stamped));
    };
    if reserved::may_be(key)
        && let Some(stored) = plan.view.version(head.rid, head.version)?
    {
        reserved::check_change(&stored)?;
    }
    let stamped = plan.add(key, None, Placement::head("delete"))?;
    Ok(made(WrittenKind::Deleted, key.clone(), stamped))
}

/// The outcome is that of the first one.
fn delete_all(
    plan: &mut Plan<'_, '_>,
    resource_type: &str,
    (keys, if_match): (&[ResourceKey], Option<VersionId>),
) -> Result<Written, Failure> {
    if keys.is_empty()
        && let Some(expected) = if_match
    {
        return Err(stale(expected, None));
    }
    let mut first = None;
    for key in keys {
        let deleted = delete(plan, key, if_match)?;
        first.get_or_insert(deleted);
    }
    Ok(first.unwrap_or_else(|| Written {
        kind: WrittenKind::Unchanged,
        key: ResourceKey {
            resource_type: resource_type.to_owned(),
            id: String::new(),
        },
        version: VersionId(0),
        time_ms: 0,
        body: Vec::new(),
    }))
}

/// The live head, if any; refuses when If-Match names another version.
fn matched_head(
    plan: &Plan<'_, '_>,
    key: &ResourceKey,
    if_match: Option<VersionId>,
) -> Result<Option<Head>, Failure> {
    let head = plan.head(key)?.filter(|head| !head.deleted);
    let found = head.map(|head| head.version);
    match if_match {
        Some(NOTHING) => match found {
            Some(found) => Err(is_there(found)),
            None => Ok(None),
        },
        Some(expected) if found != Some(expected) => Err(stale(expected, found)),
        _ => Ok(head),
    }
}

fn made(kind: WrittenKind, key: ResourceKey, stamped: Stamped) -> Written {
    Written {
        kind,
        key,
        version: stamped.version,
        time_ms: stamped.time_ms,
        body: stamped.body,
    }
}

fn kept(kind: WrittenKind, stored: StoredVersion) -> Written {
    Written {
        kind,
        key: stored.key,
        version: stored.version,
        time_ms: stored.time_ms,
        body: stored.body,
    }
}

/// The answer to `If-None-Match: *`.
fn is_there(found: VersionId) -> Failure {
    let text = format!(
        "If-None-Match wants that nothing is there, but version {} is; nothing was changed",
        found.0
    );
    Failure::new(
        Category::PreconditionFailed,
        "E-WRITE-16",
        IssueCode::Conflict,
        text,
    )
}

/// No match, but the id that the content brings belongs to a resource that does not match.
fn not_the_one(key: &ResourceKey) -> Failure {
    let text = "a resource with this id exists, but the criteria do not match it";
    Failure::new(Category::Conflict, "E-WRITE-15", IssueCode::Conflict, text)
        .at(&format!("{}.id", key.resource_type))
}

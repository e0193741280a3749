//! One resource: its head, its versions and its search values open and agree.

use super::{Damage, VerifyReport};
use crate::{Head, Rid, StoreError, VersionId, View, catalog};

/// What is stored of a resource's search values.
pub(super) enum Found {
    Values(Vec<u8>),
    /// The resource is deleted.
    None,
    /// Nobody knows.
    Damaged,
}

/// Looks at the resource of a rid; bodies are opened when asked for.
pub(super) fn check(
    view: &View<'_>,
    rid: Rid,
    with_bodies: bool,
    report: &mut VerifyReport,
) -> Result<Found, StoreError> {
    let about = Damage::Head(rid);
    let Some(row) = report.opened(about, view.head_row(rid))? else {
        return Ok(Found::Damaged);
    };
    let Some(row) = row else {
        // Told as a gap.
        return Ok(Found::Damaged);
    };
    report.heads += 1;
    let about = Damage::Key(rid);
    if report.opened(about, view.head_row_of_key(&row.blinded_key))? == Some(None) {
        let text = format!("no key leads to resource {}", rid.0);
        report.find(catalog::KEYS, about, text);
    }
    if with_bodies {
        versions(view, (&row.head, &row.blinded_key), report)?;
    }
    values(view, &row.head, report)
}

fn values(view: &View<'_>, head: &Head, report: &mut VerifyReport) -> Result<Found, StoreError> {
    let about = Damage::Values(head.rid);
    match report.opened(about, view.values(head.rid))? {
        Some(values) if values.is_some() == head.deleted => {
            let number = head.rid.0;
            let text = format!("search values and head of resource {number} disagree");
            report.find(catalog::VALUES, about, text);
            Ok(Found::Damaged)
        }
        Some(Some(values)) => {
            report.values += 1;
            Ok(Found::Values(values))
        }
        Some(None) => Ok(Found::None),
        None => Ok(Found::Damaged),
    }
}

fn versions(
    view: &View<'_>,
    (head, blinded_key): (&Head, &[u8; 16]),
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let mut is_missing = false;
    for number in 1..=head.newest.0 {
        let about = Damage::Version(head.rid, VersionId(number));
        let read = view.version(head.rid, VersionId(number));
        let Some(version) = report.opened(about, read)? else {
            is_missing = false;
            continue;
        };
        let name = format!("version {number} of resource {}", head.rid.0);
        let Some(version) = version else {
            is_missing = true;
            continue;
        };
        // A purge leaves a gap below a deletion, and nothing else leaves one.
        if is_missing && !version.deleted {
            let text = format!("versions before {name} are missing");
            report.find(catalog::VERSIONS, about, text);
        }
        is_missing = false;
        report.versions += 1;
        if view.blinded(&version.key) != *blinded_key {
            let text = format!("{name} belongs to another resource");
            report.find(catalog::VERSIONS, about, text);
        }
        let is_head = version.version == head.version;
        let agrees = (version.seq, version.deleted) == (head.seq, head.deleted);
        if is_head && !(agrees && version.was_head) {
            let text = format!("{name} and its head disagree");
            report.find(catalog::HEADS, Damage::Head(head.rid), text);
        }
    }
    if is_missing {
        let text = format!("the newest versions of resource {} are missing", head.rid.0);
        let about = Damage::Version(head.rid, head.newest);
        report.find(catalog::VERSIONS, about, text);
    }
    Ok(())
}

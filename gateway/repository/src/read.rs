//! Reading by key.

use super::Repository;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use store::{Head, Making, Moment, ResourceKey, Rid, StoredVersion, VersionId, View};
use uuid::{Builder, Uuid, Version};

/// What history and bundles say of a version besides its body.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionInfo {
    pub stored: StoredVersion,
    /// DELETE, POST under an id of ours, PATCH, or PUT.
    pub method: &'static str,
    /// 204, 201 where nothing was or nothing any more, or 200.
    pub status: &'static str,
}

/// A page of an instance's history, newest first. Versions kept aside are part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    pub versions: Vec<VersionInfo>,
    pub total: u64,
    /// Continue before this version.
    pub next: Option<VersionId>,
}

impl Repository {
    /// The head. 404 when unknown, 410 when deleted.
    pub fn read(&self, key: &ResourceKey) -> Result<StoredVersion, Failure> {
        self.read_at(key).map(|(stored, _)| stored)
    }

    /// The head as [`Repository::read`] gives it, and the moment of which it tells.
    pub fn read_at(&self, key: &ResourceKey) -> Result<(StoredVersion, Moment), Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let head = live_head(&view, key)?;
        let stored = self.inner.opened.version(&view, head.rid, head.version)?;
        let stored = stored.ok_or_else(|| unknown(key))?;
        Ok((stored, snapshot.moment()))
    }

    /// True while what was read of a head at that moment still holds.
    pub fn is_unchanged(&self, rid: Rid, since: Moment) -> bool {
        self.inner.store.is_unchanged(rid, since)
    }

    /// One version, kept-aside ones included. 404 or 410 (a deletion).
    pub fn vread(&self, key: &ResourceKey, version: VersionId) -> Result<StoredVersion, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let head = known_head(&view, key)?;
        if version < head.version && view.is_purged(&head)? {
            return Err(purged(key));
        }
        match self.inner.opened.version(&view, head.rid, version)? {
            Some(stored) if stored.deleted => Err(gone(key, version)),
            Some(stored) => Ok(stored),
            None => Err(unknown_version(key, version)),
        }
    }

    /// 404 when the key was never written.
    pub fn history(
        &self,
        key: &ResourceKey,
        before: Option<VersionId>,
        count: usize,
    ) -> Result<HistoryPage, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let head = known_head(&view, key)?;
        let items = view.history(head.rid, before, count.saturating_add(1))?;
        let mut versions = Vec::with_capacity(items.len().min(count));
        for (version, _) in items.iter().take(count) {
            if let Some(stored) = view.version(head.rid, *version)? {
                versions.push(VersionInfo::of(stored));
            }
        }
        let more = items.len() > count;
        // After a purge the numbers do not start at 1.
        let total = match view.history(head.rid, Some(VersionId(2)), 1)?.is_empty() {
            false => head.newest.0,
            true => {
                let all = view.history(head.rid, None, usize::MAX)?;
                u64::try_from(all.len()).unwrap_or(u64::MAX)
            }
        };
        let next = versions
            .last()
            .map(|last| last.stored.version)
            .filter(|_| more);
        Ok(HistoryPage {
            versions,
            total,
            next,
        })
    }
}

impl VersionInfo {
    /// Of a version that does not say how it was made: a first version under an id of ours was
    /// posted; under any other id it was put there, and whoever replays the history must put it
    /// there too.
    pub(super) fn of(stored: StoredVersion) -> VersionInfo {
        let is_first = stored.version == VersionId(1);
        let (method, status) = match stored.making {
            _ if stored.deleted => ("DELETE", "204"),
            Making::Untold if is_first && is_own_id(&stored.key.id) => ("POST", "201"),
            Making::Untold if is_first => ("PUT", "201"),
            Making::Posted => ("POST", "201"),
            Making::Put => ("PUT", "201"),
            Making::Patched => ("PATCH", "200"),
            Making::Untold | Making::Replaced => ("PUT", "200"),
        };
        VersionInfo {
            stored,
            method,
            status,
        }
    }
}

/// An id for a resource that is posted without one: a random UUID of version 8 (RFC 9562 5.8), a
/// version that clients' libraries do not give, so that ids of ours are told from theirs.
pub fn own_id() -> String {
    let random = Builder::from_bytes(*Uuid::new_v4().as_bytes());
    random.with_version(Version::Custom).into_uuid().to_string()
}

fn is_own_id(id: &str) -> bool {
    Uuid::try_parse(id).is_ok_and(|id| id.get_version() == Some(Version::Custom))
}

/// 404 when the key was never written, 410 when its resource is deleted.
pub(super) fn live_head(view: &View<'_>, key: &ResourceKey) -> Result<Head, Failure> {
    let head = known_head(view, key)?;
    match head.deleted {
        true if view.is_purged(&head)? => Err(purged(key)),
        true => Err(gone(key, head.version)),
        false => Ok(head),
    }
}

/// 410 for what a purge took away.
pub(super) fn purged(key: &ResourceKey) -> Failure {
    let (type_, id) = (&key.resource_type, &key.id);
    let text = std::format!("{type_}/{id} was purged for good; the audit says when and by whom");
    Failure::new(Category::Gone, "E-READ-5", IssueCode::Deleted, text)
}

/// 404 when the key was never written.
pub(super) fn known_head(view: &View<'_>, key: &ResourceKey) -> Result<Head, Failure> {
    view.head(key)?.ok_or_else(|| unknown(key))
}

fn unknown(key: &ResourceKey) -> Failure {
    let text = std::format!("no {}/{} is known here", key.resource_type, key.id);
    Failure::new(Category::NotFound, "E-READ-1", IssueCode::NotFound, text)
}

fn unknown_version(key: &ResourceKey, version: VersionId) -> Failure {
    let (type_, id) = (&key.resource_type, &key.id);
    let text = std::format!("{type_}/{id} has no version {}", version.0);
    Failure::new(Category::NotFound, "E-READ-2", IssueCode::NotFound, text)
}

fn gone(key: &ResourceKey, version: VersionId) -> Failure {
    let (type_, id) = (&key.resource_type, &key.id);
    let text = std::format!("{type_}/{id} was deleted by version {}", version.0);
    Failure::new(Category::Gone, "E-READ-3", IssueCode::Deleted, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Origin, OriginKind, Seq};

    /// Versions of stores that did not say it yet go on telling what can be known.
    #[test]
    fn how_versions_were_made() {
        let check = |(id, version): (&str, u64), making, expected: &str| {
            let key = ResourceKey {
                resource_type: "Patient".to_owned(),
                id: id.to_owned(),
            };
            let origin = Origin {
                kind: OriginKind::Client,
                number: 0,
            };
            let told = VersionInfo::of(StoredVersion {
                key,
                rid: Rid(1),
                version: VersionId(version),
                seq: Seq(1),
                deleted: false,
                was_head: true,
                making,
                time_ms: 0,
                hlc: 0,
                origin,
                body: Vec::new(),
            });
            let told = std::format!("{} {}", told.method, told.status);
            assert_eq!(told, expected, "{id} {version} {making:?}");
        };
        let own = own_id();
        check(("a", 1), Making::Untold, "PUT 201");
        check((&own, 1), Making::Untold, "POST 201");
        check((&own, 2), Making::Untold, "PUT 200");
        check((&own, 1), Making::Put, "PUT 201");
        check(("a", 1), Making::Posted, "POST 201");
        check(("a", 3), Making::Put, "PUT 201");
        check(("a", 3), Making::Replaced, "PUT 200");
        check(("a", 3), Making::Patched, "PATCH 200");
    }
}

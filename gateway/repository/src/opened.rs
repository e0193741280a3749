//! Versions read lately, unsealed and unpacked. A version never changes, so nothing here goes
//! stale but by a purge, which says so.

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;
use store::{Rid, StoreError, StoredVersion, VersionId, View};

/// What the kept bodies may take together.
const BYTES_MAX: u64 = 8 << 20;
/// A version that would crowd out many others is not kept.
const BODY_BYTES_MAX: usize = 64 << 10;
/// About how many are kept: what rooms for them are made at the start.
const VERSIONS_EXPECTED: usize = 4096;

/// A bounded cache beside the store, shared by all readers.
pub(super) struct Opened {
    kept: Cache<(Rid, VersionId), Arc<StoredVersion>, Bytes>,
}

impl Default for Opened {
    fn default() -> Opened {
        Opened {
            kept: Cache::with_weighter(VERSIONS_EXPECTED, BYTES_MAX, Bytes),
        }
    }
}

impl Opened {
    /// The version, from memory or through the view; `None` when there is none.
    pub(super) fn version(
        &self,
        view: &View<'_>,
        rid: Rid,
        version: VersionId,
    ) -> Result<Option<StoredVersion>, StoreError> {
        if let Some(kept) = self.kept.get(&(rid, version)) {
            return Ok(Some(StoredVersion::clone(&kept)));
        }
        let stored = view.version(rid, version)?;
        if let Some(stored) = &stored
            && stored.body.len() <= BODY_BYTES_MAX
        {
            self.kept.insert((rid, version), Arc::new(stored.clone()));
        }
        Ok(stored)
    }

    /// Versions that were purged, up to this one.
    pub(super) fn forget(&self, rid: Rid, newest: VersionId) {
        for number in 1..=newest.0 {
            self.kept.remove(&(rid, VersionId(number)));
        }
    }
}

/// Bytes that a kept version takes, its key and its place in the cache included.
#[derive(Clone)]
struct Bytes;

const OVERHEAD_BYTES: usize = 256;

impl Weighter<(Rid, VersionId), Arc<StoredVersion>> for Bytes {
    fn weight(&self, _: &(Rid, VersionId), kept: &Arc<StoredVersion>) -> u64 {
        let bytes = kept.body.capacity() + OVERHEAD_BYTES;
        u64::try_from(bytes).unwrap_or(BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Origin, OriginKind, ResourceKey, Seq};

    fn version(rid: u64, size: usize) -> Arc<StoredVersion> {
        let key = ResourceKey {
            resource_type: "Patient".to_owned(),
            id: rid.to_string(),
        };
        let origin = Origin {
            kind: OriginKind::Client,
            number: 1,
        };
        Arc::new(StoredVersion {
            key,
            rid: Rid(rid),
            version: VersionId(1),
            seq: Seq(rid),
            deleted: false,
            was_head: true,
            making: store::Making::Untold,
            time_ms: 0,
            hlc: 0,
            origin,
            body: vec![b' '; size],
        })
    }

    #[test]
    fn memory_stays_bounded_however_much_is_read() {
        let opened = Opened::default();
        for rid in 0..2000 {
            let kept = version(rid, BODY_BYTES_MAX);
            opened.kept.insert((kept.rid, kept.version), kept);
        }
        assert!(opened.kept.weight() <= BYTES_MAX);
        assert!(!opened.kept.is_empty());
    }
}

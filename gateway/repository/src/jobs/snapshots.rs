//! A resource as it stood at a position of the change log: every version is kept, so no copy and
//! no long-lived snapshot is needed for a consistent view of the past.

use store::{Rid, Seq, StoreError, StoredVersion, VersionId, View};

/// Versions looked at in one step back.
const STEP: usize = 16;

/// The version that was head at `seq`; `None` when there was none or it was deleted. The flag says
/// that it is the head still.
pub(super) fn at(
    view: &View<'_>,
    rid: Rid,
    seq: Seq,
) -> Result<Option<(StoredVersion, bool)>, StoreError> {
    Ok(stand(view, rid, seq)?.filter(|(stored, _)| !stored.deleted))
}

/// The same, a deletion included.
pub(super) fn stand(
    view: &View<'_>,
    rid: Rid,
    seq: Seq,
) -> Result<Option<(StoredVersion, bool)>, StoreError> {
    let Some(head) = view.head_of(rid)? else {
        return Ok(None);
    };
    if head.seq <= seq {
        let stored = view.version(rid, head.version)?;
        return Ok(stored.map(|stored| (stored, true)));
    }
    let found = back(view, (rid, None, seq), |stored| stored.was_head)?;
    Ok(found.map(|stored| (stored, false)))
}

/// What a deletion took: the last version with content before it that was head. `None` when it was
/// purged.
pub(super) fn before(
    view: &View<'_>,
    deletion: &StoredVersion,
) -> Result<Option<StoredVersion>, StoreError> {
    let from = (deletion.rid, Some(deletion.version), deletion.seq);
    back(view, from, |stored| stored.was_head && !stored.deleted)
}

/// Going back from `before`, the first version written no later than `seq` that is the one.
fn back(
    view: &View<'_>,
    (rid, mut before, seq): (Rid, Option<VersionId>, Seq),
    is_it: impl Fn(&StoredVersion) -> bool,
) -> Result<Option<StoredVersion>, StoreError> {
    loop {
        let items = view.history(rid, before, STEP)?;
        let Some((last, _)) = items.last() else {
            return Ok(None);
        };
        before = Some(*last);
        for (version, _) in items.iter().filter(|(_, written)| *written <= seq) {
            let stored = view.version(rid, *version)?;
            if let Some(stored) = stored.filter(&is_it) {
                return Ok(Some(stored));
            }
        }
    }
}

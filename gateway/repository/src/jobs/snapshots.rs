//! A resource as it stood at a position of the change log: every version is kept, so no copy and
//! no long-lived snapshot is needed for a consistent view of the past.

use store::{Rid, Seq, StoreError, StoredVersion, View};

/// Versions looked at in one step back.
const STEP: usize = 16;

/// The version that was head at `seq`; `None` when there was none or it was deleted. The flag says
/// that it is the head still.
pub(super) fn at(
    view: &View<'_>,
    rid: Rid,
    seq: Seq,
) -> Result<Option<(StoredVersion, bool)>, StoreError> {
    let Some(head) = view.head_of(rid)? else {
        return Ok(None);
    };
    if head.seq <= seq {
        let stored = view.version(rid, head.version)?;
        return Ok(stored
            .filter(|stored| !stored.deleted)
            .map(|stored| (stored, true)));
    }
    let mut before = None;
    loop {
        let items = view.history(rid, before, STEP)?;
        let Some((last, _)) = items.last() else {
            return Ok(None);
        };
        before = Some(*last);
        for (version, _) in items.iter().filter(|(_, written)| *written <= seq) {
            let stored = view
                .version(rid, *version)?
                .filter(|stored| stored.was_head);
            if let Some(stored) = stored {
                return Ok((!stored.deleted).then_some((stored, false)));
            }
        }
    }
}

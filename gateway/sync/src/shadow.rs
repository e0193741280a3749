//! What is known of a resource at a target: its version there, and the version of ours that holds
//! the same content (the base of the next merge). One row for each target and resource.

use super::lives::There;
use gateway_repository::Incoming;
use serde::{Deserialize, Serialize};
use store::{ResourceKey, RowWrite, StoreError, Table, VersionId, View};

/// Both sides held the same content when this was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shadow {
    /// `meta.versionId` at the target; empty when the target gives none.
    pub(super) remote_version: String,
    /// Our version with that content.
    pub(super) agreed: u64,
    /// Both sides had deleted it.
    #[serde(default)]
    pub(super) deleted: bool,
}

impl Shadow {
    /// The base of a merge: none when the agreement was a deletion.
    pub(super) fn base(&self) -> Option<VersionId> {
        (!self.deleted).then_some(VersionId(self.agreed))
    }
}

/// `None` when the target and we never agreed on this resource.
pub(super) fn read(
    view: &View<'_>,
    there: There,
    key: &ResourceKey,
) -> Result<Option<Shadow>, StoreError> {
    let row = view.row(Table::Shadows, &row_key(there, key))?;
    // An unreadable row is as good as none: the next exchange compares contents and writes it anew.
    Ok(row.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// The row that records an agreement.
pub(super) fn row(there: There, key: &ResourceKey, shadow: &Shadow) -> RowWrite {
    RowWrite {
        table: Table::Shadows,
        key: row_key(there, key),
        value: Some(serde_json::to_vec(shadow).unwrap_or_default()),
    }
}

/// The row that forgets an agreement: the target no longer knows the resource.
pub(super) fn forget(there: There, key: &ResourceKey) -> RowWrite {
    RowWrite {
        table: Table::Shadows,
        key: row_key(there, key),
        value: None,
    }
}

/// The agreement that applying an incoming change makes; `version` holds the incoming content.
pub(super) fn row_of_incoming(incoming: &Incoming, version: VersionId) -> RowWrite {
    let shadow = Shadow {
        remote_version: incoming.remote_version.clone(),
        agreed: version.0,
        deleted: incoming.resource.is_none(),
    };
    let there = There {
        target: incoming.target,
        life: incoming.life,
    };
    row(there, &incoming.key, &shadow)
}

/// Target (u16 BE), then `Type/id`; the store blinds it. Known before the store has numbered the
/// resource, so that an incoming one gets its row in the commit that stores it.
///
/// Behind the first life of a target stand a zero, which no type begins with, and the number of the life
/// (u32 BE).
fn row_key(there: There, key: &ResourceKey) -> Vec<u8> {
    let mut row_key = there.target.to_be_bytes().to_vec();
    if there.life > 0 {
        row_key.push(0);
        row_key.extend(there.life.to_be_bytes());
    }
    row_key.extend(format!("{}/{}", key.resource_type, key.id).into_bytes());
    row_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_targets_types_and_ids_apart() {
        let key = |resource_type: &str, id: &str| ResourceKey {
            resource_type: resource_type.to_owned(),
            id: id.to_owned(),
        };
        let there = |target, life| There { target, life };
        let keys = [
            row_key(there(1, 0), &key("Patient", "a")),
            row_key(there(2, 0), &key("Patient", "a")),
            row_key(there(1, 0), &key("Patient", "b")),
            row_key(there(1, 0), &key("Person", "a")),
            row_key(there(1, 1), &key("Patient", "a")),
            row_key(there(1, 2), &key("Patient", "a")),
        ];
        for (i, one) in keys.iter().enumerate() {
            assert!(keys.iter().skip(i + 1).all(|other| other != one));
        }
    }

    #[test]
    fn a_deletion_is_no_base() {
        let shadow = |deleted| Shadow {
            remote_version: "3".to_owned(),
            agreed: 7,
            deleted,
        };
        assert_eq!(shadow(false).base(), Some(VersionId(7)));
        assert_eq!(shadow(true).base(), None);
    }
}

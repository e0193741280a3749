//! Which life of a target we deal with. A target that was restored from a backup has lost what it took since,
//! and gives version numbers again to other contents: what we agreed on with its former life is no longer true.
//! So its shadows are left behind, it is pulled from the start, and everything is offered again; what it
//! holds already is settled by its content.

use serde::{Deserialize, Serialize};
use store::{RowWrite, StoreError, Table, View};

/// What is known of the lives of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    /// As the target tells it; `None` while it never told any.
    #[serde(default)]
    pub(super) id: Option<String>,
    /// How many there were before it that we dealt with; part of the keys of shadows.
    #[serde(default)]
    pub(super) number: u32,
}

/// Where a shadow is of: a target, and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct There {
    pub(super) target: u16,
    pub(super) life: u32,
}

/// Checkpoints of one target that are looked through; one for each type that is pulled, and a few more.
const CHECKPOINTS_MAX: usize = 1_000;

pub(super) fn read(view: &View<'_>, target: u16) -> Result<Life, StoreError> {
    let row = view.row(Table::Checkpoints, &key(target))?;
    // A row that cannot be read is as good as none: the target is taken for what it tells next.
    Ok(row
        .and_then(|row| serde_json::from_slice(&row).ok())
        .unwrap_or_default())
}

/// The life that a target tells of now, and the rows that note it. The first one told changes nothing else;
/// another one makes all checkpoints begin anew.
pub(super) fn turned(
    view: &View<'_>,
    target: u16,
    told: &str,
) -> Result<(Life, Vec<RowWrite>), StoreError> {
    let before = read(view, target)?;
    let is_another = before.id.as_deref().is_some_and(|id| id != told);
    let life = Life {
        id: Some(told.to_owned()),
        number: before.number + u32::from(is_another),
    };
    let mut rows = Vec::new();
    if is_another {
        let prefix = target.to_be_bytes();
        let known = view.rows(Table::Checkpoints, &prefix, None, CHECKPOINTS_MAX)?;
        rows.extend(known.into_iter().map(|(key, _)| RowWrite {
            table: Table::Checkpoints,
            key,
            value: None,
        }));
        rows.retain(|row| row.key != key(target));
    }
    rows.push(RowWrite {
        table: Table::Checkpoints,
        key: key(target),
        value: Some(serde_json::to_vec(&life).unwrap_or_default()),
    });
    Ok((life, rows))
}

/// Target (u16 BE), `life`.
fn key(target: u16) -> Vec<u8> {
    [&target.to_be_bytes()[..], b"life"].concat()
}

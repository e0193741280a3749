//! The row that binds an open review to its resource: which versions stand against each other.

use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use serde::{Deserialize, Serialize};
use store::{Rid, RowWrite, StoreError, Table, Urgency, VersionId, View};

/// What kind of conflict waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewKind {
    /// Both sides changed the same element.
    EditEdit,
    /// One side deleted what the other changed.
    DeleteUpdate,
}

impl ReviewKind {
    /// The code in `Task.businessStatus`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EditEdit => "edit-edit",
            Self::DeleteUpdate => "delete-update",
        }
    }
}

/// An open review. Version numbers are those of the resource in conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) task: String,
    pub(crate) target: u16,
    pub(crate) target_name: String,
    pub(crate) kind: ReviewKind,
    pub(crate) base: Option<u64>,
    pub(crate) local: u64,
    pub(crate) incoming: u64,
    /// The version that this review put in force; a newer head was written by somebody since.
    pub(crate) shown: u64,
    /// Incoming versions of other targets that wait in the same review.
    #[serde(default)]
    pub(crate) others: Vec<u64>,
    pub(crate) opened_ms: i64,
    /// 0 is the most pressing.
    pub(crate) urgency: u8,
}

impl Row {
    /// The open review of a resource.
    pub(crate) fn read(view: &View<'_>, rid: Rid) -> Result<Option<Row>, Failure> {
        let bytes = view.row(Table::Reviews, &rid.0.to_be_bytes())?;
        bytes.map(|bytes| Row::decode(&bytes)).transpose()
    }

    /// Open reviews with the resource they are about, at most `limit`.
    pub(super) fn scan(view: &View<'_>, limit: usize) -> Result<Vec<(Rid, Row)>, Failure> {
        let rows = view.rows(Table::Reviews, &[], None, limit)?;
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let rid = key.try_into().map(u64::from_be_bytes);
            let rid = rid.map_err(|_other_length| damaged())?;
            Ok((Rid(rid), Row::decode(&value)?))
        };
        rows.into_iter().map(read).collect()
    }

    pub(crate) fn put(&self, rid: Rid) -> Result<RowWrite, Failure> {
        let value = serde_json::to_vec(self).map_err(|_unwritable| damaged())?;
        Ok(RowWrite {
            table: Table::Reviews,
            key: rid.0.to_be_bytes().to_vec(),
            value: Some(value),
        })
    }

    pub(crate) fn take_away(rid: Rid) -> RowWrite {
        RowWrite {
            table: Table::Reviews,
            key: rid.0.to_be_bytes().to_vec(),
            value: None,
        }
    }

    pub(super) fn base(&self) -> Option<VersionId> {
        self.base.map(VersionId)
    }

    fn decode(bytes: &[u8]) -> Result<Row, Failure> {
        serde_json::from_slice(bytes).map_err(|_unreadable| damaged())
    }
}

/// The number of an urgency in a row, for sorting.
pub(crate) fn rank(urgency: Urgency) -> u8 {
    match urgency {
        Urgency::Urgent => 0,
        Urgency::Clinical => 1,
        Urgency::Routine => 2,
        Urgency::Bulk => 3,
    }
}

/// `Task.priority` of that number.
pub(super) fn priority(rank: u8) -> &'static str {
    match rank {
        0 => "stat",
        1 => "asap",
        2 => "urgent",
        _ => "routine",
    }
}

fn damaged() -> Failure {
    let text = "the row of a review cannot be read; run `wayside verify`";
    Failure::new(Category::Fault, "E-REVIEW-1", IssueCode::Exception, text)
}

/// For callers whose plan fails on a missing version.
pub(crate) fn missing() -> StoreError {
    StoreError::Invalid("a review names a version that is not there".to_owned())
}

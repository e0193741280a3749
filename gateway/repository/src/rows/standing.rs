//! How it stands with a Subscription: since when it is served, what it was told, what waits.

use crate::Repository;
use gateway_ground::failure::Failure;
use serde::{Deserialize, Serialize};
use store::{Rid, RowWrite, Seq, StoreError, Table, VersionId, View};

/// State of one Subscription; its row is there while it is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Changes after this seq are told.
    pub since: u64,
    /// Changes that matched so far.
    pub events: u64,
    /// Failures in a row.
    #[serde(default)]
    pub tries: u32,
    /// Milliseconds since 1970; 0 is at once.
    #[serde(default)]
    pub next_try_ms: i64,
}

/// One change that waits to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Of the Subscription.
    pub subscription: Rid,
    pub seq: Seq,
    pub rid: Rid,
    pub version: VersionId,
}

impl Standing {
    pub fn read(view: &View<'_>, subscription: Rid) -> Result<Option<Standing>, StoreError> {
        let row = view.row(Table::Subscriptions, &subscription.0.to_be_bytes())?;
        Ok(row.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub fn row(&self, subscription: Rid) -> RowWrite {
        RowWrite {
            table: Table::Subscriptions,
            key: subscription.0.to_be_bytes().to_vec(),
            value: serde_json::to_vec(self).ok(),
        }
    }

    /// Takes the row away: nothing is served any more.
    pub fn ended(subscription: Rid) -> RowWrite {
        RowWrite {
            table: Table::Subscriptions,
            key: subscription.0.to_be_bytes().to_vec(),
            value: None,
        }
    }
}

impl Notice {
    /// The oldest ones that wait for a Subscription.
    pub fn waiting(
        view: &View<'_>,
        subscription: Rid,
        limit: usize,
    ) -> Result<Vec<Notice>, StoreError> {
        let rows = view.rows(Table::Notices, &subscription.0.to_be_bytes(), None, limit)?;
        let read = |(key, value): &(Vec<u8>, Vec<u8>)| Notice::decode(key, value);
        Ok(rows.iter().filter_map(read).collect())
    }

    pub fn row(self) -> RowWrite {
        let mut value = self.rid.0.to_be_bytes().to_vec();
        value.extend(self.version.0.to_be_bytes());
        RowWrite {
            table: Table::Notices,
            key: self.key(),
            value: Some(value),
        }
    }

    /// Takes the row away: it was told, or is not to be told any more.
    pub fn settled(self) -> RowWrite {
        RowWrite {
            table: Table::Notices,
            key: self.key(),
            value: None,
        }
    }

    fn key(self) -> Vec<u8> {
        let mut key = self.subscription.0.to_be_bytes().to_vec();
        key.extend(self.seq.0.to_be_bytes());
        key
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Notice> {
        let (subscription, seq) = pair(key)?;
        let (rid, version) = pair(value)?;
        Some(Notice {
            subscription: Rid(subscription),
            seq: Seq(seq),
            rid: Rid(rid),
            version: VersionId(version),
        })
    }
}

fn pair(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    let second = rest.try_into().ok()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(second)))
}

impl Repository {
    /// The standing of a Subscription and how many changes wait for it, counted up to `limit`;
    /// `None` while it is not served.
    pub fn standing(
        &self,
        subscription: Rid,
        limit: usize,
    ) -> Result<Option<(Standing, usize)>, Failure> {
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        let Some(standing) = Standing::read(&view, subscription)? else {
            return Ok(None);
        };
        let prefix = subscription.0.to_be_bytes();
        let waiting = view.count_rows(Table::Notices, &prefix, limit)?;
        Ok(Some((standing, waiting)))
    }
}

//! Patches that take long to judge and keep losing to each other stand in line: each then races
//! only with those that do not judge, and those are quick.

use super::asked::Transaction;
use std::hash::{DefaultHasher, Hash, Hasher};
use tokio::sync::{Mutex, MutexGuard};

/// One line for many resources: their hash tells which.
#[derive(Default)]
pub(crate) struct Lanes([Mutex<()>; LANES]);

const LANES: usize = 32;

impl Lanes {
    /// Waits for the line of the first patch; `None` when the transaction has none that is long.
    pub(super) async fn enter(&self, transaction: &Transaction) -> Option<MutexGuard<'_, ()>> {
        let patch = transaction.writes.iter().find(|write| write.is_long())?;
        let mut hasher = DefaultHasher::new();
        match patch.key() {
            Some(key) => key.hash(&mut hasher),
            None => 0.hash(&mut hasher),
        }
        let lanes = u64::try_from(LANES).unwrap_or(1);
        let at = usize::try_from(hasher.finish() % lanes).unwrap_or(0);
        Some(self.0.get(at)?.lock().await)
    }
}

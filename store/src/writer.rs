//! The one writer thread: it wakes for a submitted plan, for a change of map size, and for closing.
//! It takes all plans that wait (bounded in number and bytes), runs each in a nested transaction,
//! commits once with one sync, and only then answers them.

use crate::{CommitError, Committed, Seq, Snapshot, StoreError, View, WriteSet};
use std::path::PathBuf;

/// The key-encryption key that opens a store; zeroized on drop.
pub struct Keys {
    pub key_encryption_key: [u8; 32],
}

/// How to open a store.
pub struct OpenOptions {
    /// The folder of the data file; created (and synced) when absent.
    pub folder: PathBuf,
    /// Address space reserved at first, grown in steps without a restart.
    pub map_size_bytes: usize,
    /// Most plans that may wait; one more is answered `Busy`.
    pub queue_length_max: usize,
    /// Fills a buffer with random bytes (nonces, keys).
    pub random: fn(&mut [u8]),
}

/// A store, cheap to clone; the last clone dropped closes it.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens or creates the store. Refuses (changing nothing) what it cannot read.
    pub fn open(_options: OpenOptions, _keys: Keys) -> Result<Store, StoreError> {
        unimplemented!()
    }

    /// A consistent read view; hold it for one request, never across requests.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        unimplemented!()
    }

    /// Queues a plan. `done` runs on the writer thread once the outcome is durable (or refused).
    /// The plan must be pure but for the view, and quick: everyone waits for it.
    pub fn submit<T, E>(
        &self,
        _plan: impl FnOnce(&View<'_>) -> Result<(WriteSet, T), E> + Send + 'static,
        _done: impl FnOnce(Result<(Committed, T), CommitError<E>>) + Send + 'static,
    ) -> Result<(), StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        unimplemented!()
    }

    /// `submit` and wait, for callers that are not async.
    pub fn commit<T, E>(
        &self,
        _plan: impl FnOnce(&View<'_>) -> Result<(WriteSet, T), E> + Send + 'static,
    ) -> Result<(Committed, T), CommitError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        unimplemented!()
    }

    /// Calls `listener` on the writer thread after every commit that wrote versions, with the last seq.
    pub fn on_commit(&self, _listener: impl Fn(Seq) + Send + Sync + 'static) {
        unimplemented!()
    }

    /// Finishes the queue, stops the writer and closes the environment.
    pub fn close(self) {
        unimplemented!()
    }
}

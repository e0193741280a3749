//! Reading. A [`View`] looks through any transaction: a snapshot's, or the writer's own.

use crate::{
    AuditEntry, Change, Head, HistoryItem, ResourceKey, Rid, Seq, StoreError, StoredVersion, Table,
    Term, VersionId,
};

/// An owned read transaction with everything needed to open what it reads.
pub struct Snapshot {}

impl Snapshot {
    pub fn view(&self) -> View<'_> {
        unimplemented!()
    }
}

/// The reading vocabulary. Absence is `Option`; errors are faults of disk or seal.
pub struct View<'t> {
    _transaction: std::marker::PhantomData<&'t ()>,
}

impl View<'_> {
    /// The head by (type, id); `None` when that key was never written.
    pub fn head(&self, _key: &ResourceKey) -> Result<Option<Head>, StoreError> {
        unimplemented!()
    }
    pub fn head_of(&self, _rid: Rid) -> Result<Option<Head>, StoreError> {
        unimplemented!()
    }
    pub fn version(
        &self,
        _rid: Rid,
        _version: VersionId,
    ) -> Result<Option<StoredVersion>, StoreError> {
        unimplemented!()
    }
    /// Versions older than `before` (all when `None`), newest first, at most `limit`.
    pub fn history(
        &self,
        _rid: Rid,
        _before: Option<VersionId>,
        _limit: usize,
    ) -> Result<Vec<HistoryItem>, StoreError> {
        unimplemented!()
    }
    /// Encoded search values of the head; `None` when deleted or unknown.
    pub fn values(&self, _rid: Rid) -> Result<Option<Vec<u8>>, StoreError> {
        unimplemented!()
    }
    /// Resources that posted the term, ascending.
    pub fn postings(&self, _term: &Term) -> Result<Postings<'_>, StoreError> {
        unimplemented!()
    }
    pub fn last_seq(&self) -> Result<Seq, StoreError> {
        unimplemented!()
    }
    /// Changes after `after`, ascending, at most `limit`.
    pub fn changes(&self, _after: Seq, _limit: usize) -> Result<Vec<Change>, StoreError> {
        unimplemented!()
    }
    pub fn row(&self, _table: Table, _key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        unimplemented!()
    }
    /// Rows whose key starts with `prefix` and is greater than `after` (if given), ascending, at most `limit`.
    pub fn rows(
        &self,
        _table: Table,
        _prefix: &[u8],
        _after: Option<&[u8]>,
        _limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        unimplemented!()
    }
    /// The last row whose key starts with `prefix`.
    pub fn last_row(
        &self,
        _table: Table,
        _prefix: &[u8],
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, StoreError> {
        unimplemented!()
    }
    /// How many rows have that prefix, counting at most `limit`.
    pub fn count_rows(
        &self,
        _table: Table,
        _prefix: &[u8],
        _limit: usize,
    ) -> Result<usize, StoreError> {
        unimplemented!()
    }
    /// Audit entries after `after`, ascending, at most `limit`; 0 starts at the first.
    pub fn audit(&self, _after: u64, _limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        unimplemented!()
    }
}

/// A cursor over the posting list of one term.
pub struct Postings<'t> {
    _transaction: std::marker::PhantomData<&'t ()>,
}

impl Postings<'_> {
    /// How many resources posted the term.
    pub fn count(&self) -> u64 {
        unimplemented!()
    }
    /// The first rid greater than or equal to `at`.
    pub fn seek(&mut self, _at: Rid) -> Result<Option<Rid>, StoreError> {
        unimplemented!()
    }
    /// The next rid in ascending order.
    pub fn next(&mut self) -> Result<Option<Rid>, StoreError> {
        unimplemented!()
    }
}

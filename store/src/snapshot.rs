//! Reading. A [`View`] looks through any transaction: a snapshot's, or the writer's own.

use crate::catalog::{self, Tree};
use crate::codec::{self, HeadRow, Start};
use crate::env::{Engine, Moment, Reading};
use crate::overlay::{Layer, Layers, Range};
use crate::packing::Known;
use crate::seal::Place;
use crate::{
    AuditEntry, Change, Head, HistoryItem, Postings, ResourceKey, Rid, Row, Seq, StoreError,
    StoredVersion, Table, Term, VersionId,
};
use std::ops::Bound;
use std::sync::Arc;

/// An owned read transaction with everything needed to open what it reads. Hold it briefly: old
/// pages are kept for it, the map cannot grow under it, and a thread that holds one and waits for
/// a commit may wait for itself.
pub struct Snapshot {
    reading: Reading,
}

impl Snapshot {
    pub(crate) fn begin(engine: &Arc<Engine>) -> Result<Self, StoreError> {
        let reading = engine.read()?;
        Ok(Self { reading })
    }

    pub fn view(&self) -> View<'_> {
        self.reading.view(&self.reading.layers)
    }

    /// The state that this shows, for [`crate::Store::is_unchanged`].
    pub fn moment(&self) -> Moment {
        Moment(self.reading.layers.last)
    }
}

impl Reading {
    /// What the transaction shows below these layers.
    pub(crate) fn view<'t>(&'t self, layers: &'t Layers) -> View<'t> {
        let engine = &*self.pass.0;
        View {
            layer: Layer::new(&self.transaction, &engine.databases, &layers.runs),
            engine,
        }
    }
}

/// The reading vocabulary. Absence is `Option`; errors are faults of disk or seal.
#[derive(Clone, Copy)]
pub struct View<'t> {
    layer: Layer<'t>,
    engine: &'t Engine,
}

impl<'t> View<'t> {
    /// The head by (type, id); `None` when that key was never written.
    pub fn head(&self, key: &ResourceKey) -> Result<Option<Head>, StoreError> {
        let row = self.head_row_of_key(&self.engine.blinder.key(key))?;
        Ok(row.map(|row| row.head))
    }

    pub fn head_of(&self, rid: Rid) -> Result<Option<Head>, StoreError> {
        Ok(self.head_row(rid)?.map(|row| row.head))
    }

    /// Heads of all resources with a rid above `after`, ascending, at most `limit`.
    pub fn scan_heads(&self, after: Option<Rid>, limit: usize) -> Result<Vec<Head>, StoreError> {
        let rows = self.numbered(Tree::Heads, after.map_or(0, |rid| rid.0))?;
        rows.take(limit)
            .map(|entry| {
                let (key, sealed) = entry?;
                self.open_head(key, sealed).map(|row| row.head)
            })
            .collect()
    }

    pub fn version(
        &self,
        rid: Rid,
        version: VersionId,
    ) -> Result<Option<StoredVersion>, StoreError> {
        let key = codec::version_key(rid, version);
        let found = self.get(Tree::Versions, &key)?;
        found
            .map(|sealed| self.open_version(&key, sealed, true))
            .transpose()
    }

    /// Was the resource purged, in whole or so far: is a version missing before its deletion?
    pub fn is_purged(&self, head: &Head) -> Result<bool, StoreError> {
        if !head.deleted || head.version.0 < 2 {
            return Ok(false);
        }
        let before = codec::version_key(head.rid, VersionId(head.version.0 - 1));
        Ok(self.get(Tree::Versions, &before)?.is_none())
    }

    /// Versions older than `before` (all when `None`), newest first, at most `limit`.
    pub fn history(
        &self,
        rid: Rid,
        before: Option<VersionId>,
        limit: usize,
    ) -> Result<Vec<HistoryItem>, StoreError> {
        let start = codec::version_key(rid, VersionId(0));
        let end = codec::version_key(rid, before.unwrap_or(VersionId(u64::MAX)));
        let rows = self.layer.rev_range(Tree::Versions, &start, Some(&end))?;
        rows.take(limit)
            .map(|entry| {
                let (key, sealed) = entry?;
                let version = self.open_version(key, sealed, false)?;
                Ok((version.version, version.seq))
            })
            .collect()
    }

    /// Encoded search values of the head; `None` when deleted or unknown.
    pub fn values(&self, rid: Rid) -> Result<Option<Vec<u8>>, StoreError> {
        let key = codec::number_key(rid.0);
        self.body(Tree::Values, &key)
    }

    /// Resources that posted the term, ascending.
    pub fn postings(&self, term: &Term) -> Result<Postings<'t>, StoreError> {
        let term = self.engine.blinder.term(term);
        Ok(Postings::new(self.layer, term))
    }

    pub(crate) fn postings_of_blinded(&self, term: [u8; 16]) -> Postings<'t> {
        Postings::new(self.layer, term)
    }

    /// The blinded form of a term, as in [`crate::Damage::Stray`].
    pub fn blinded_term(&self, term: &Term) -> [u8; 16] {
        self.engine.blinder.term(term)
    }

    pub(crate) fn blinded(&self, key: &ResourceKey) -> [u8; 16] {
        self.engine.blinder.key(key)
    }

    /// Seq of the newest change; `Seq(0)` before the first.
    pub fn last_seq(&self) -> Result<Seq, StoreError> {
        Ok(Seq(self.last_number(Tree::Changes)?))
    }

    /// Changes after `after`, ascending, at most `limit`.
    pub fn changes(&self, after: Seq, limit: usize) -> Result<Vec<Change>, StoreError> {
        let rows = self.numbered(Tree::Changes, after.0)?;
        rows.take(limit)
            .map(|entry| {
                let (key, sealed) = entry?;
                let place = Place {
                    database: catalog::CHANGES,
                    key,
                };
                let opened = self.engine.seal.open(place, sealed)?;
                codec::number_of_key(key)
                    .and_then(|seq| codec::decode_change(Seq(seq), &opened.content))
                    .ok_or_else(|| place.damaged())
            })
            .collect()
    }

    pub fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.body(Tree::Rows, &row_key(self.engine, table, key))
    }

    /// Rows whose key starts with `prefix` and is greater than `after` (if given), ascending, at most `limit`.
    pub fn rows(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let prefix = row_key(self.engine, table, prefix);
        let after = after
            .map(|after| row_key(self.engine, table, after))
            .filter(|after| *after >= prefix);
        let start = after
            .as_deref()
            .map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
        let mut found = Vec::new();
        for entry in self.layer.range(Tree::Rows, start)?.take(limit) {
            let (key, sealed) = entry?;
            if !key.starts_with(&prefix) {
                break;
            }
            found.push(self.open_row(key, sealed)?);
        }
        Ok(found)
    }

    /// The last row whose key starts with `prefix`.
    pub fn last_row(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, StoreError> {
        let prefix = row_key(self.engine, table, prefix);
        let end = after_prefix(&prefix);
        let mut rows = self.layer.rev_range(Tree::Rows, &prefix, end.as_deref())?;
        let last = rows.next().transpose()?;
        last.map(|(key, sealed)| self.open_row(key, sealed))
            .transpose()
    }

    /// How many rows have that prefix, counting at most `limit`.
    pub fn count_rows(
        &self,
        table: Table,
        prefix: &[u8],
        limit: usize,
    ) -> Result<usize, StoreError> {
        let prefix = row_key(self.engine, table, prefix);
        let rows = self.layer.range(Tree::Rows, Bound::Included(&prefix))?;
        let mut count = 0;
        for entry in rows.take(limit) {
            if !entry?.0.starts_with(&prefix) {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Audit entries after `after`, ascending, at most `limit`; 0 starts at the first.
    pub fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = self.numbered(Tree::Audit, after)?;
        rows.take(limit)
            .map(|entry| {
                let (key, sealed) = entry?;
                self.open_audit(key, sealed)
            })
            .collect()
    }

    /// Opens at most `limit` rows of all tables after the raw key `after`, each for itself; answers
    /// the raw key of the last one and what became of each.
    pub(crate) fn try_rows(
        &self,
        after: &[u8],
        limit: usize,
    ) -> Result<Option<TriedRows>, StoreError> {
        let rows = self.layer.range(Tree::Rows, Bound::Excluded(after))?;
        let mut last = Vec::new();
        let mut opened = Vec::new();
        for entry in rows.take(limit) {
            let (key, sealed) = entry?;
            opened.push(self.open_row(key, sealed));
            last = key.to_vec();
        }
        Ok((!opened.is_empty()).then_some((last, opened)))
    }

    pub(crate) fn meta(&self, row: &str) -> Result<Option<&'t [u8]>, StoreError> {
        self.layer.meta(row)
    }

    /// The first number above `after` that a tree has a row for, whether that opens or not.
    pub(crate) fn number_above(&self, tree: Tree, after: u64) -> Result<Option<u64>, StoreError> {
        let next = self.numbered(tree, after)?.next().transpose()?;
        Ok(next.and_then(|(key, _)| codec::number_of_key(key)))
    }

    pub(crate) fn last_audit_number(&self) -> Result<u64, StoreError> {
        self.last_number(Tree::Audit)
    }

    /// The newest resource's number; `Rid(0)` before the first.
    pub fn last_rid(&self) -> Result<Rid, StoreError> {
        Ok(Rid(self.last_number(Tree::Heads)?))
    }

    pub(crate) fn head_row_of_key(
        &self,
        blinded: &[u8; 16],
    ) -> Result<Option<HeadRow>, StoreError> {
        let Some(found) = self.get(Tree::Keys, blinded)? else {
            return Ok(None);
        };
        let rid = codec::number_of_key(found).map(Rid);
        let row = rid.map(|rid| self.head_row(rid)).transpose()?.flatten();
        // A damaged rid would lead to somebody else's head.
        match row {
            Some(row) if row.blinded_key == *blinded => Ok(Some(row)),
            _ => Err(Place {
                database: catalog::KEYS,
                key: blinded,
            }
            .damaged()),
        }
    }

    pub(crate) fn head_row(&self, rid: Rid) -> Result<Option<HeadRow>, StoreError> {
        let key = codec::number_key(rid.0);
        let found = self.get(Tree::Heads, &key)?;
        found.map(|sealed| self.open_head(&key, sealed)).transpose()
    }

    fn open_head(&self, key: &[u8], sealed: &[u8]) -> Result<HeadRow, StoreError> {
        let place = Place {
            database: catalog::HEADS,
            key,
        };
        let opened = self.engine.seal.open(place, sealed)?;
        codec::number_of_key(key)
            .and_then(|rid| codec::decode_head(Rid(rid), &opened.content, opened.is_short))
            .ok_or_else(|| place.damaged())
    }

    fn open_version(
        &self,
        key: &[u8],
        sealed: &[u8],
        with_body: bool,
    ) -> Result<StoredVersion, StoreError> {
        let place = Place {
            database: catalog::VERSIONS,
            key,
        };
        let opened = self.engine.seal.open(place, sealed)?;
        let decoded = codec::version_of_key(key)
            .and_then(|place| codec::decode_version(place, &opened.content, opened.is_short));
        let (mut version, body_at) = decoded.ok_or_else(|| place.damaged())?;
        if with_body {
            let start = Start::of(&version);
            let body = opened.into_body(body_at, &start.known());
            version.body = body.ok_or_else(|| place.damaged())?;
        }
        Ok(version)
    }

    fn open_audit(&self, key: &[u8], sealed: &[u8]) -> Result<AuditEntry, StoreError> {
        let place = Place {
            database: catalog::AUDIT,
            key,
        };
        let opened = self.engine.seal.open(place, sealed)?;
        let chain = opened.content.first_chunk::<32>().copied();
        let number = codec::number_of_key(key);
        let body = opened.into_body(32, &Known::default());
        match (number, chain, body) {
            (Some(number), Some(chain), Some(body)) => Ok(AuditEntry {
                number,
                chain,
                body,
            }),
            _ => Err(place.damaged()),
        }
    }

    fn open_row(&self, key: &[u8], sealed: &[u8]) -> Result<Row, StoreError> {
        let place = Place {
            database: catalog::ROWS,
            key,
        };
        let body = self
            .engine
            .seal
            .open(place, sealed)?
            .into_body(0, &Known::default());
        let given = key.get(1..).unwrap_or_default().to_vec();
        Ok((given, body.ok_or_else(|| place.damaged())?))
    }

    fn body(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(sealed) = self.get(tree, key)? else {
            return Ok(None);
        };
        let place = Place {
            database: tree.name(),
            key,
        };
        let body = self
            .engine
            .seal
            .open(place, sealed)?
            .into_body(0, &Known::default());
        body.ok_or_else(|| place.damaged()).map(Some)
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<&'t [u8]>, StoreError> {
        // LMDB knows neither empty keys nor keys above its limit: nothing is there.
        if key.is_empty() || key.len() > ROW_KEY_BYTES_MAX + 1 {
            return Ok(None);
        }
        self.layer.get(tree, key)
    }

    /// The entries of a tree keyed by number, above `after`.
    fn numbered(&self, tree: Tree, after: u64) -> Result<Range<'t>, StoreError> {
        let after = codec::number_key(after);
        self.layer.range(tree, Bound::Excluded(&after))
    }

    fn last_number(&self, tree: Tree) -> Result<u64, StoreError> {
        let last = self.layer.rev_range(tree, &[0], None)?.next().transpose()?;
        let Some((key, _)) = last else { return Ok(0) };
        codec::number_of_key(key).ok_or_else(|| {
            Place {
                database: tree.name(),
                key,
            }
            .damaged()
        })
    }
}

/// The first key behind all that start with `prefix`; `None` when there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// A raw key, and what became of opening each of the rows up to it.
pub(crate) type TriedRows = (Vec<u8>, Vec<Result<Row, StoreError>>);

/// The longest key of a row, without the byte of its table.
pub(crate) const ROW_KEY_BYTES_MAX: usize = 480;

pub(crate) fn row_key(engine: &Engine, table: Table, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(catalog::table_byte(table));
    if table.is_blinded() {
        out.extend_from_slice(&engine.blinder.row(key));
    } else {
        out.extend_from_slice(key);
    }
    out
}

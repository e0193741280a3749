//! Folding: what the overlay holds goes into the data file in sorted, bounded, synced transactions.
//! Each slice shows a reader nothing new, for the overlay lies above it until all are committed, and
//! a crash between two slices is mended by the log, which is written over only after the last one.

use crate::StoreError;
use crate::catalog::{Database, Tree};
use crate::codec;
use crate::datafile;
use crate::env::Engine;
use crate::formats;
use crate::inspect::ends;
use crate::log::Mark;
use crate::overlay::{Posting, Run, Slot, united};
use crate::postings;
use heed::{MdbError, PutFlags, RwTxn};
use std::io::ErrorKind;
use std::sync::Arc;

/// Rows of `meta`.
pub(crate) const LOG_ROW: &str = "log";
pub(crate) const FOLDED_ROW: &str = "folded";
pub(crate) const REACHED_ROW: &str = "reached";

/// Writes in one transaction. Each may dirty a page of its own, which LMDB keeps in memory until the
/// commit and whose predecessor it can use again only after the next one.
const SLICE_WRITES: usize = 4096;
/// With less than this free on the disk nothing is written: room to delete, compact and log.
pub(crate) const FREE_BYTES_MIN: u64 = 16 << 20;
/// How often one transaction may ask for a larger map.
const GROWTHS_MAX: usize = 16;

/// Where a test makes the disk fail.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailurePoint {
    /// The disk has less than the reserve before a group starts.
    ReserveGone,
    /// A group finds no space in the log, after some of it was written.
    LogFull,
    /// The log's sync fails.
    LogSync,
    /// A transaction of the data file commits; the points below are for those after it.
    CommitGood,
    /// A transaction of the data file finds no space when it commits.
    CommitFull,
    /// Its sync fails on a disk with room.
    CommitSync,
}

/// Why writing into the data file stopped.
enum Fault {
    /// The map is too small: grow it and write the slice again.
    MapFull,
    Lmdb(heed::Error),
}

impl From<heed::Error> for Fault {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Mdb(MdbError::MapFull) => Self::MapFull,
            other => Self::Lmdb(other),
        }
    }
}

/// Folds runs, the oldest first, that hold all groups up to `through` which are not folded yet.
pub(crate) fn fold(engine: &Engine, runs: &[Arc<Run>], through: u64) -> Result<(), StoreError> {
    let run = united(runs);
    if run.len() <= SLICE_WRITES {
        return fold_whole(engine, &run, through);
    }
    engine.may_reach(through);
    let reached = codec::number_key(through);
    let items = run.items().chunks(SLICE_WRITES);
    let postings = run.postings().chunks(SLICE_WRITES);
    let slices = items.map(|items| (items, &[][..]));
    let slices = slices.chain(postings.map(|postings| (&[][..], postings)));
    for (items, postings) in slices {
        transact(engine, |transaction| {
            let meta = engine.databases.meta;
            meta.put(transaction, REACHED_ROW.as_bytes(), &reached)?;
            put_items(engine, transaction, items)?;
            put_postings(engine, transaction, postings)
        })?;
    }
    transact(engine, |transaction| finish(engine, transaction, through))
}

/// Writes in one transaction what is not in the data file up to group `number`.
pub(crate) fn fold_whole(engine: &Engine, run: &Run, number: u64) -> Result<(), StoreError> {
    engine.may_reach(number);
    transact(engine, |transaction| {
        put_items(engine, transaction, run.items())?;
        put_postings(engine, transaction, run.postings())?;
        finish(engine, transaction, number)
    })
}

fn finish(engine: &Engine, transaction: &mut RwTxn<'_>, through: u64) -> Result<(), Fault> {
    for row in [REACHED_ROW, FOLDED_ROW] {
        let number = codec::number_key(through);
        engine
            .databases
            .meta
            .put(transaction, row.as_bytes(), &number)?;
    }
    if let Some(ends) = ends::of(&engine.databases, transaction, &engine.blinder)? {
        let meta = engine.databases.meta;
        meta.put(transaction, ends::ROW.as_bytes(), &ends)?;
    }
    Ok(())
}

/// Says in the data file which log belongs to it, and whether that may hold more than it does. From
/// then on an older program must not open the data file, for it may not know what the log brings: its
/// format rises.
pub(crate) fn mark_log(engine: &Engine, mark: Mark) -> Result<(), StoreError> {
    let meta = engine.databases.meta;
    transact(engine, |transaction| {
        meta.put(transaction, LOG_ROW.as_bytes(), &mark.encode())?;
        Ok(formats::raise(engine, transaction)?)
    })
}

/// Writes rows of `meta`, all or none.
pub(crate) fn put_meta(engine: &Engine, rows: &[(&str, Vec<u8>)]) -> Result<(), StoreError> {
    let meta = engine.databases.meta;
    transact(engine, |transaction| {
        for (name, value) in rows {
            meta.put(transaction, name.as_bytes(), value)?;
        }
        Ok(())
    })
}

/// One transaction, with a larger map as often as LMDB asks for one.
fn transact(
    engine: &Engine,
    mut write: impl FnMut(&mut RwTxn<'_>) -> Result<(), Fault>,
) -> Result<(), StoreError> {
    for _ in 0..GROWTHS_MAX {
        match attempt(engine, &mut write) {
            Ok(()) => return Ok(()),
            Err(Fault::MapFull) => engine.grow()?,
            Err(Fault::Lmdb(error)) => return Err(failure(engine, &error)),
        }
    }
    Err(StoreError::Full)
}

fn attempt(
    engine: &Engine,
    write: &mut impl FnMut(&mut RwTxn<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut transaction = engine.env.write_txn()?;
    write(&mut transaction)?;
    #[cfg(test)]
    fail_commit(engine)?;
    transaction.commit()?;
    // The commit is durable; a failure to lengthen the file only costs a check at the next start.
    engine.fill_last_page().unwrap_or_default();
    Ok(())
}

/// What an error of LMDB means: no room, or a disk that can no longer be trusted. LMDB reports
/// a short write on a full disk as EIO.
fn failure(engine: &Engine, error: &heed::Error) -> StoreError {
    let full = match error {
        heed::Error::Io(e) if e.kind() == ErrorKind::StorageFull => true,
        heed::Error::Io(e) if e.kind() == ErrorKind::QuotaExceeded => true,
        heed::Error::Io(_) => {
            datafile::free_bytes(&engine.folder).is_ok_and(|free| free < FREE_BYTES_MIN)
        }
        heed::Error::Mdb(MdbError::Panic) => false,
        other => return StoreError::disk("writing", other),
    };
    if full {
        return engine
            .trim_after_failure()
            .err()
            .unwrap_or(StoreError::Full);
    }
    StoreError::Poisoned(error.to_string())
}

#[cfg(test)]
fn fail_commit(engine: &Engine) -> Result<(), Fault> {
    if engine.fails(FailurePoint::CommitGood) {
        return Ok(());
    }
    let full = engine
        .fails(FailurePoint::CommitFull)
        .then_some(ErrorKind::StorageFull);
    let sync = engine
        .fails(FailurePoint::CommitSync)
        .then_some(ErrorKind::Other);
    match full.or(sync) {
        Some(kind) => Err(Fault::Lmdb(heed::Error::Io(kind.into()))),
        None => Ok(()),
    }
}

fn put_items(engine: &Engine, transaction: &mut RwTxn<'_>, items: &[Slot]) -> Result<(), Fault> {
    for same_tree in items.chunk_by(|a, b| a.item.tree == b.item.tree) {
        if let Some(first) = same_tree.first() {
            put_sorted(engine, transaction, (first.item.tree, same_tree))?;
        }
    }
    Ok(())
}

/// Puts into one tree. A key above all others is appended, which fills pages whole instead of by
/// half; what follows a key above all others is above all others too.
fn put_sorted(
    engine: &Engine,
    transaction: &mut RwTxn<'_>,
    (tree, items): (Tree, &[Slot]),
) -> Result<(), Fault> {
    let database = engine.databases.of(tree);
    let last = database.last(transaction)?.map(|(key, _)| key.to_vec());
    for slot in items {
        let item = &slot.item;
        let Some(value) = &item.value else {
            database.delete(transaction, &item.key)?;
            continue;
        };
        let above_all = last.as_deref().is_none_or(|last| &*item.key > last);
        let flags = if above_all {
            PutFlags::APPEND
        } else {
            PutFlags::empty()
        };
        database.put_with_flags(transaction, flags, &item.key, value)?;
    }
    Ok(())
}

/// Each span is read and written once for all its places.
fn put_postings(
    engine: &Engine,
    transaction: &mut RwTxn<'_>,
    postings: &[Posting],
) -> Result<(), Fault> {
    let mut places = Vec::new();
    for same_span in postings.chunk_by(|a, b| a.key == b.key) {
        places.clear();
        places.extend(same_span.iter().map(|one| (one.place, one.posted)));
        if let Some(first) = same_span.first() {
            change_span(
                engine.databases.postings,
                transaction,
                (&first.key, &places),
            )?;
        }
    }
    Ok(())
}

fn change_span(
    database: Database,
    transaction: &mut RwTxn<'_>,
    (key, places): (&postings::SpanKey, &[(u16, bool)]),
) -> Result<(), Fault> {
    let first_row;
    let before = if let [(place, true)] = places {
        // Most terms are new, and their first row takes one search of the tree instead of two.
        first_row = place.to_be_bytes();
        match database.get_or_put(transaction, key, &first_row)? {
            None => return Ok(()),
            Some(before) => before,
        }
    } else {
        database.get(transaction, key)?.unwrap_or_default()
    };
    let after = postings::changed_span(before, places);
    if after == before {
        return Ok(());
    }
    if after.is_empty() {
        database.delete(transaction, key)?;
    } else {
        database.put(transaction, key, &after)?;
    }
    Ok(())
}

//! The shape of the data file below what the seals protect: keys ascend, each is found from the
//! root, none is missing from the count that LMDB keeps, posting rows are well formed. So damage to
//! keys, to pages and to what is not sealed shows too. Also says what the room goes for.

use crate::StoreError;
use crate::catalog::{self, Database, NAMES};
use crate::env::Engine;
use crate::postings;
use heed::{RoTxn, WithoutTls};
use std::ops::Bound;
use std::sync::Arc;

/// Rows looked at in one transaction.
const ROWS_A_TRANSACTION: usize = 4096;

/// What one database takes in the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Name of the database; `free` for pages that wait to be used again.
    pub database: &'static str,
    pub rows: u64,
    /// Whole pages.
    pub bytes: u64,
}

/// What each database takes, and what is free.
pub(crate) fn space(engine: &Arc<Engine>) -> Result<Vec<Space>, StoreError> {
    let reading = engine.read()?;
    let transaction = &reading.transaction;
    let mut all = Vec::new();
    let mut used = 0;
    for (database, tree) in NAMES.into_iter().zip(engine.databases.all()) {
        let stat = tree
            .stat(transaction)
            .map_err(|e| StoreError::disk(database, &e))?;
        let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let bytes = wide(pages).saturating_mul(u64::from(stat.page_size));
        used += bytes;
        all.push(Space {
            database,
            rows: wide(stat.entries),
            bytes,
        });
    }
    all.push(Space {
        database: "free",
        rows: 0,
        bytes: engine.end_of_pages().saturating_sub(used),
    });
    Ok(all)
}

/// How far the walk over one tree is.
#[derive(Default)]
pub(super) struct Walk {
    last: Vec<u8>,
    seen: u64,
    began: Option<usize>,
}

/// Tells `find` of everything that is out of shape in the next rows of a tree; true at its end.
pub(super) fn step(
    engine: &Arc<Engine>,
    tree: usize,
    walk: &mut Walk,
    mut find: impl FnMut(&'static str, String),
) -> Result<bool, StoreError> {
    let mut trees = NAMES.into_iter().zip(engine.databases.all());
    let Some((name, tree)) = trees.nth(tree) else {
        return Ok(true);
    };
    match step_of(engine, (name, tree), walk, &mut find) {
        Err(StoreError::Corrupt { .. }) => {
            find(name, "its pages are damaged".to_owned());
            Ok(true)
        }
        other => other,
    }
}

fn step_of(
    engine: &Arc<Engine>,
    (name, tree): (&'static str, Database),
    walk: &mut Walk,
    find: &mut impl FnMut(&'static str, String),
) -> Result<bool, StoreError> {
    let fault = |e: heed::Error| StoreError::disk(name, &e);
    let reading = engine.read()?;
    let transaction = &reading.transaction;
    let moment = transaction.id();
    walk.began.get_or_insert(moment);
    let slice = Slice {
        name,
        tree,
        transaction,
    };
    let rows = slice.check(&mut walk.last, find).map_err(fault)?;
    walk.seen += u64::try_from(rows).unwrap_or(0);
    if rows == ROWS_A_TRANSACTION {
        return Ok(false);
    }
    let (expected, seen) = (tree.len(transaction).map_err(fault)?, walk.seen);
    // Only while nothing was folded meanwhile do the two mean the same moment.
    if walk.began == Some(moment) && expected != seen {
        let text = format!("{expected} rows were put and {seen} are found");
        find(name, text);
    }
    Ok(true)
}

struct Slice<'a> {
    name: &'static str,
    tree: Database,
    transaction: &'a RoTxn<'a, WithoutTls>,
}

impl Slice<'_> {
    /// Looks at rows above `last` and moves it; how many they were.
    fn check(
        &self,
        last: &mut Vec<u8>,
        find: &mut impl FnMut(&'static str, String),
    ) -> Result<usize, heed::Error> {
        let from = match last.is_empty() {
            true => Bound::Unbounded,
            false => Bound::Excluded(last.as_slice()),
        };
        let range = (from, Bound::<&[u8]>::Unbounded);
        let rows = self.tree.range(self.transaction, &range)?;
        let (mut count, mut before) = (0, last.clone());
        for row in rows.take(ROWS_A_TRANSACTION) {
            let (key, value) = row?;
            count += 1;
            if !before.is_empty() && key <= before.as_slice() {
                find(self.name, "a key is out of order".to_owned());
                // From here the walk cannot be taken up again by key.
                return Ok(0);
            }
            let found = self.tree.get(self.transaction, key)?;
            if found.is_none_or(|found| !std::ptr::eq(found, value)) {
                find(self.name, "a row is not found by its key".to_owned());
            }
            if self.name == catalog::POSTINGS && !postings::is_row(key, value) {
                find(self.name, "a list is malformed".to_owned());
            }
            before.clear();
            before.extend_from_slice(key);
        }
        *last = before;
        Ok(count)
    }
}

//! The format of a data file: which ones this program reads, and the steps from each to the next. A
//! store becomes one of the newest format with its first commit, in one transaction; a program that
//! does not know that format then refuses it. One file for each step.

mod to_2;
mod to_3;

use crate::StoreError;
use crate::datafile;
use crate::env::Engine;
use heed::RwTxn;

/// Row of `meta`: eight letters and the format version (u32 BE).
pub(crate) const ROW: &str = "format";
const LETTERS: &[u8; 8] = b"WAYSIDE\0";
const FIRST: u32 = 1;
/// What this program writes.
pub(crate) const NEWEST: u32 = 3;

type Step = fn(&Engine, &mut RwTxn<'_>) -> Result<(), heed::Error>;

/// From format 1 on, each step leads to the next.
const STEPS: [Step; 2] = [to_2::raise, to_3::raise];

pub(crate) fn row(version: u32) -> Vec<u8> {
    [LETTERS.as_slice(), &version.to_be_bytes()].concat()
}

/// Refuses what is no store, and what a newer program wrote.
pub(crate) fn accept(row: Option<&[u8]>) -> Result<(), StoreError> {
    match row.and_then(version_of) {
        None => Err(datafile::foreign("the data file is not that of a store")),
        Some(FIRST..=NEWEST) => Ok(()),
        Some(other) => Err(StoreError::Foreign(format!(
            "the store has format {other}, this program reads up to {NEWEST}: use the program that wrote it"
        ))),
    }
}

fn version_of(row: &[u8]) -> Option<u32> {
    let version = row.strip_prefix(LETTERS)?;
    Some(u32::from_be_bytes(version.try_into().ok()?))
}

/// Takes every step that is left and says so, within the transaction of a first commit.
pub(crate) fn raise(engine: &Engine, transaction: &mut RwTxn<'_>) -> Result<(), heed::Error> {
    let meta = engine.databases.meta;
    let version = meta.get(transaction, ROW.as_bytes())?.and_then(version_of);
    let taken = version.unwrap_or(NEWEST).saturating_sub(FIRST);
    for step in STEPS
        .iter()
        .skip(usize::try_from(taken).unwrap_or(STEPS.len()))
    {
        step(engine, transaction)?;
    }
    meta.put(transaction, ROW.as_bytes(), &row(NEWEST))
}

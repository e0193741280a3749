//! The files of a store on the disk: what a folder holds is examined before LMDB may touch it,
//! and new files are synced together with their folder.

use crate::StoreError;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// LMDB's name for its data file.
pub(crate) const DATA_FILE: &str = "data.mdb";
/// A store is made here and moved up when whole, so a data file is never half made.
pub(crate) const UNFINISHED_FOLDER: &str = "unfinished";
/// Held locked while a store is open.
const LOCK_FILE: &str = "store.lock";

const LMDB_MAGIC: u32 = 0xBEEF_C0DE;
const LMDB_VERSION: u32 = 1;
/// Offsets in a meta page of LMDB on a 64-bit machine: page head 16, then `MDB_meta`.
const PAGE_HEAD_BYTES: usize = 16;
const PAGE_SIZE_AT: usize = 24;
const LAST_PAGE_AT: usize = 120;
const TRANSACTION_AT: usize = 128;
const META_BYTES: usize = 136;

/// What a folder holds in the place of the data file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// Looks like a data file; shorter than its last page when `missing_bytes` is not 0.
    DataFile {
        length: u64,
        missing_bytes: u64,
    },
}

/// Looks at the data file without changing anything.
pub(crate) fn examine(folder: &Path) -> Result<Found, StoreError> {
    let fault = |e: std::io::Error| StoreError::file("reading the data file", &e);
    let mut file = match File::open(folder.join(DATA_FILE)) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(fault(e)),
    };
    let about = file.metadata().map_err(fault)?;
    if !about.is_file() {
        return Err(foreign("data.mdb is not a file"));
    }
    let length = about.len();
    let mut start = Vec::new();
    Read::by_ref(&mut file)
        .take(2 * 65_536)
        .read_to_end(&mut start)
        .map_err(fault)?;
    let end = end_of_pages(&start)?;
    Ok(Found::DataFile {
        length,
        missing_bytes: end.saturating_sub(length),
    })
}

/// Where the last page ends, according to the newer of the two meta pages.
fn end_of_pages(start: &[u8]) -> Result<u64, StoreError> {
    let first = Meta::read(start, 0).ok_or_else(|| foreign("data.mdb is not a data file"))?;
    let page_size = usize::try_from(first.page_size).unwrap_or(0);
    if !(512..=65_536).contains(&page_size) || !page_size.is_power_of_two() {
        return Err(foreign("data.mdb is damaged in its first page"));
    }
    let second = Meta::read(start, page_size)
        .ok_or_else(|| foreign("data.mdb is cut short or damaged in its second page"))?;
    if first.version != LMDB_VERSION || second.version != LMDB_VERSION {
        return Err(foreign("data.mdb was written by another version of LMDB"));
    }
    let newer = if second.transaction > first.transaction {
        second
    } else {
        first
    };
    Ok(newer
        .last_page
        .saturating_add(1)
        .saturating_mul(u64::from(newer.page_size)))
}

struct Meta {
    version: u32,
    page_size: u32,
    last_page: u64,
    transaction: u64,
}

impl Meta {
    /// `None` when the page is not there or does not start as a meta page does.
    fn read(start: &[u8], page_at: usize) -> Option<Self> {
        let page = start
            .get(page_at..)?
            .get(PAGE_HEAD_BYTES..PAGE_HEAD_BYTES + META_BYTES)?;
        (u32_at(page, 0)? == LMDB_MAGIC).then_some(())?;
        Some(Self {
            version: u32_at(page, 4)?,
            page_size: u32_at(page, PAGE_SIZE_AT)?,
            last_page: u64_at(page, LAST_PAGE_AT)?,
            transaction: u64_at(page, TRANSACTION_AT)?,
        })
    }
}

/// LMDB writes its numbers in the order of the machine.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

pub(crate) fn foreign(why: &str) -> StoreError {
    StoreError::Foreign(format!(
        "{why}: give another folder, or restore this one from a backup"
    ))
}

/// Makes the folder if it is not there, on the disk and not only in memory.
pub(crate) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let fault = |e: std::io::Error| StoreError::file("making the folder", &e);
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(fault)?;
    let folder = folder.canonicalize().map_err(fault)?;
    // Every folder above may be new: a name is safe once the folder that holds it is synced.
    folder
        .ancestors()
        .skip(1)
        .take(8)
        .try_for_each(|above| match sync_folder(above) {
            Err(StoreError::Io { .. }) if above != folder.parent().unwrap_or(above) => Ok(()),
            other => other,
        })
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| StoreError::file("syncing the folder", &e))
}

/// Holds the folder for this process until the file is dropped.
pub(crate) fn lock(folder: &Path) -> Result<File, StoreError> {
    let fault = |e: std::io::Error| StoreError::file("locking the folder", &e);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(LOCK_FILE))
        .map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
        Err(TryLockError::Error(e)) => Err(fault(e)),
    }
}

/// An empty folder to make a new store in; what a crash left there goes.
pub(crate) fn start_unfinished(folder: &Path) -> Result<std::path::PathBuf, StoreError> {
    let fault = |e: std::io::Error| StoreError::file("making the store", &e);
    let unfinished = folder.join(UNFINISHED_FOLDER);
    match fs::remove_dir_all(&unfinished) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(fault(e)),
        _ => {}
    }
    fs::create_dir(&unfinished).map_err(fault)?;
    Ok(unfinished)
}

/// Syncs the finished data file and moves it to its place.
pub(crate) fn finish(folder: &Path) -> Result<(), StoreError> {
    let fault = |e: std::io::Error| StoreError::file("making the store", &e);
    let unfinished = folder.join(UNFINISHED_FOLDER);
    let made = unfinished.join(DATA_FILE);
    File::open(&made)
        .and_then(|file| file.sync_all())
        .map_err(fault)?;
    fs::rename(&made, folder.join(DATA_FILE)).map_err(fault)?;
    sync_folder(folder)?;
    fs::remove_dir_all(&unfinished).map_err(fault)
}

/// Bytes that an ordinary process may still write on the disk of `folder`.
pub(crate) fn free_bytes(folder: &Path) -> Result<u64, StoreError> {
    let about = rustix::fs::statvfs(folder)
        .map_err(|e| StoreError::file("asking for free space", &std::io::Error::from(e)))?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

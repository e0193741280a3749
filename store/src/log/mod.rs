//! The write log beside the data file: two files written front to back in turn. A group is durable,
//! and only then visible and answered, once its blocks are synced here. While one file's groups are
//! folded into the data file the other takes the new ones; a folded file is written over from its
//! start, so it keeps its room on the disk and a sync has no file length to write.

mod group;
mod replay;

pub(crate) use group::{BLOCK_BYTES, LogId, encode, seal};
pub(crate) use replay::{Mark, Marks, replay, salvage};

use crate::seal::{NONCE_BYTES, Seal, TAG_BYTES};
use crate::{StoreError, datafile};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Names of the two files, by half.
pub(crate) const FILES: [&str; 2] = ["log.0", "log.1"];
/// A half is never longer: what a fold may find, and about what the overlay may take in memory twice.
pub(crate) const HALF_BYTES_MAX: usize = (8 << 20) + BLOCK_BYTES;
/// A half starts with this and doubles when it is full.
const HALF_BYTES_MIN: usize = (64 << 10) + BLOCK_BYTES;

/// First block of a file: letters, format (u32 BE), half, id of the log; a nonce and a tag over them.
const LETTERS: &[u8; 12] = b"WAYSIDE LOG\0";
const FORMAT: [u8; 4] = [0, 0, 0, 1];
const CLEAR_BYTES: usize = 12 + 4 + 1 + 16;

/// Both files, open for writing.
pub(crate) struct Log {
    pub(crate) id: LogId,
    /// Takes the next group.
    active: Half,
    /// Is folded, or waits for its turn.
    resting: Half,
}

struct Half {
    file: File,
    /// Bytes that are on the disk, written or filled with zeros.
    length: usize,
    /// Where the next group goes.
    at: usize,
}

/// Why a group is not durable.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Not all of it was written: it is torn, and the next one takes its place.
    Write(io::Error),
    /// It was written, and nobody knows how much of it is on the disk.
    Sync(io::Error),
}

impl Log {
    /// Makes both files beside their place, synced, then moves them there. Older ones go.
    pub(crate) fn create(
        folder: &Path,
        sealing: &Seal,
        random: fn(&mut [u8]),
    ) -> Result<Self, StoreError> {
        let mut id = [0; 16];
        random(&mut id);
        let unfinished = datafile::start_unfinished(folder)?;
        for (half, name) in (0_u8..).zip(FILES) {
            let mut nonce = [0; NONCE_BYTES];
            random(&mut nonce);
            let mut bytes = head(sealing, (half, &id), nonce)?;
            bytes.resize(HALF_BYTES_MIN, 0);
            let file = File::create_new(unfinished.join(name)).map_err(fault)?;
            file.write_all_at(&bytes, 0).map_err(fault)?;
            file.sync_all().map_err(fault)?;
        }
        for name in FILES {
            fs::rename(unfinished.join(name), folder.join(name)).map_err(fault)?;
        }
        datafile::sync_folder(folder)?;
        fs::remove_dir_all(&unfinished).map_err(fault)?;
        Self::open(folder, id)
    }

    /// Opens files that were looked through and hold nothing that is not in the data file.
    pub(crate) fn open(folder: &Path, id: LogId) -> Result<Self, StoreError> {
        let [active, resting] = FILES.map(|name| Half::open(&folder.join(name)));
        let (active, resting) = (active.map_err(open_fault)?, resting.map_err(open_fault)?);
        Ok(Self {
            id,
            active,
            resting,
        })
    }

    /// Does a group of so many bytes fit into the active half?
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.active.at + bytes <= HALF_BYTES_MAX
    }

    /// Writes and syncs a group; after an error the place is as free as before.
    pub(crate) fn append(&mut self, blocks: &[u8]) -> Result<(), Broken> {
        let half = &mut self.active;
        let end = half.at + blocks.len();
        if end > half.length {
            half.lengthen(end).map_err(Broken::Write)?;
        }
        half.file
            .write_all_at(blocks, offset(half.at))
            .map_err(Broken::Write)?;
        half.file.sync_data().map_err(Broken::Sync)?;
        half.at = end;
        Ok(())
    }

    /// Keeps copies of both files, as they are, beside them.
    pub(crate) fn set_aside(folder: &Path) -> Result<(), StoreError> {
        let fault = |e: io::Error| StoreError::file("setting the damaged log aside", &e);
        for name in FILES {
            let (from, to) = (folder.join(name), folder.join(format!("{name}.damaged")));
            if from.exists() {
                fs::copy(&from, &to).map_err(fault)?;
                File::open(&to)
                    .and_then(|file| file.sync_all())
                    .map_err(fault)?;
            }
        }
        datafile::sync_folder(folder)
    }

    /// A write that stops within the group.
    #[cfg(test)]
    pub(crate) fn tear(&mut self, blocks: &[u8]) {
        let half = &mut self.active;
        let written = &blocks[..100];
        half.file.write_all_at(written, offset(half.at)).unwrap();
    }

    /// The other half, whose groups are all folded, takes over from its start.
    pub(crate) fn turn(&mut self) {
        std::mem::swap(&mut self.active, &mut self.resting);
        self.active.at = BLOCK_BYTES;
    }
}

impl Half {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(BLOCK_BYTES);
        Ok(Self {
            file,
            length,
            at: BLOCK_BYTES,
        })
    }

    /// Fills up with zeros, not with a hole: a sync that gives blocks to a file costs three times one
    /// that writes over them. The sync of the group covers the new length too.
    fn lengthen(&mut self, end: usize) -> io::Result<()> {
        let doubled = (2 * self.length).min(HALF_BYTES_MAX);
        let length = doubled.max(end).next_multiple_of(BLOCK_BYTES);
        let zeros = vec![0; length - self.length];
        match self.file.write_all_at(&zeros, offset(self.length)) {
            Ok(()) => {
                self.length = length;
                Ok(())
            }
            Err(error) => {
                // What was gained on a full disk is given back; nothing lies there.
                self.file.set_len(offset(self.length)).unwrap_or_default();
                Err(error)
            }
        }
    }
}

fn offset(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

fn fault(error: io::Error) -> StoreError {
    if is_full(&error) {
        StoreError::Full
    } else {
        StoreError::file("making the log", &error)
    }
}

fn open_fault(error: io::Error) -> StoreError {
    StoreError::file("opening the log", &error)
}

/// Did the disk have no room?
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The first block of a file.
pub(crate) fn head(
    sealing: &Seal,
    (half, id): (u8, &LogId),
    nonce: [u8; NONCE_BYTES],
) -> Result<Vec<u8>, StoreError> {
    let clear = [LETTERS.as_slice(), &FORMAT, &[half], id].concat();
    let tag = sealing.lock(&clear, nonce, &mut [])?;
    let mut out = [clear.as_slice(), &nonce, &tag].concat();
    out.resize(BLOCK_BYTES, 0);
    Ok(out)
}

/// The log that a file's first block names; `None` when this store did not write it there.
fn id_of(sealing: &Seal, half: u8, bytes: &[u8]) -> Option<LogId> {
    let (clear, rest) = bytes.split_at_checked(CLEAR_BYTES)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let tag = rest.first_chunk::<TAG_BYTES>()?;
    let expected = [LETTERS.as_slice(), &FORMAT, &[half]].concat();
    let id = clear.strip_prefix(expected.as_slice())?;
    sealing.unlock(clear, *nonce, (&mut [], *tag))?;
    id.try_into().ok()
}

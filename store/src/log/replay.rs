//! What the log holds beyond the data file, looked through at every start before anything is
//! changed. A torn last group was never acknowledged and does not count; anything else that does not
//! fit is refused, for acknowledged writes would be lost without a word.

use super::group::{self, BLOCK_BYTES, Front, LogId, Opened};
use super::{FILES, HALF_BYTES_MAX, id_of};
use crate::overlay::Run;
use crate::seal::Seal;
use crate::{StoreError, datafile};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What the data file says of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) id: LogId,
    /// Groups may be in the log that are not in the data file.
    pub(crate) in_use: bool,
}

impl Mark {
    /// Row `log` of `meta`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.id.as_slice(), &[u8::from(self.in_use)]].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (id, state) = bytes.split_first_chunk::<16>()?;
        let in_use = match state {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        Some(Self { id: *id, in_use })
    }
}

/// How far the data file has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) log: Option<Mark>,
    /// All groups up to this one are in the data file.
    pub(crate) folded: u64,
    /// Parts of groups up to this one may be there.
    pub(crate) reached: u64,
}

/// What a start finds in the log.
pub(crate) struct Replayed {
    /// The log to go on with, when its files are there and belong to the data file.
    pub(crate) id: Option<LogId>,
    /// The groups beyond the data file, without a gap unless some were given up.
    pub(crate) groups: Vec<Run>,
    /// Number of the last group, there or given up.
    pub(crate) last: u64,
    /// How many groups were given up.
    pub(crate) lost: u64,
}

/// Looks through both files; changes nothing.
pub(crate) fn replay(folder: &Path, sealing: &Seal, marks: &Marks) -> Result<Replayed, StoreError> {
    let Looked { found, ids } = Looked::at(folder, sealing, marks)?;
    let known = marks.log.map(|mark| mark.id);
    let complete = ids.len() == FILES.len() && ids.iter().all(|id| Some(*id) == known);
    let in_use = marks.log.is_some_and(|mark| mark.in_use);
    if in_use && !complete {
        return Err(datafile::foreign(
            "the write log of the data file is missing or another one: put log.0 and log.1 back",
        ));
    }
    if !found.is_empty() && ids.iter().any(|id| Some(*id) != known) {
        return Err(datafile::foreign(
            "the write log holds writes that belong to another data file",
        ));
    }
    let mut last = marks.folded;
    for (number, _) in &found {
        if *number != last + 1 {
            return Err(gap(last + 1));
        }
        last = *number;
    }
    if last < marks.reached {
        return Err(gap(last + 1));
    }
    Ok(Replayed {
        id: known.filter(|_| complete),
        groups: found.into_iter().map(|(_, run)| run).collect(),
        last,
        lost: 0,
    })
}

/// What can be had of a log that [`replay`] refuses: all groups up to the first one that is gone, and
/// behind it those whose writes may be in the data file in part. Changes nothing.
pub(crate) fn salvage(
    folder: &Path,
    sealing: &Seal,
    marks: &Marks,
) -> Result<Replayed, StoreError> {
    let Looked { found, ids } = Looked::at(folder, sealing, marks)?;
    if ids
        .iter()
        .any(|id| Some(*id) != marks.log.map(|mark| mark.id))
    {
        return Err(datafile::foreign(
            "the write log belongs to another data file: take it out of the folder",
        ));
    }
    let last = found
        .last()
        .map_or(0, |(number, _)| *number)
        .max(marks.reached)
        .max(marks.folded);
    let mut groups = Vec::new();
    let mut kept_to = marks.folded;
    for (number, run) in found {
        if number == kept_to + 1 {
            kept_to = number;
        } else if number > marks.reached {
            break;
        }
        groups.push(run);
    }
    let kept = u64::try_from(groups.len()).unwrap_or(0);
    Ok(Replayed {
        id: None,
        groups,
        last,
        lost: (last - marks.folded).saturating_sub(kept),
    })
}

/// What lies in the two files.
struct Looked {
    /// Whole groups beyond the data file, by number.
    found: Vec<(u64, Run)>,
    /// The log that each file belongs to.
    ids: Vec<LogId>,
}

impl Looked {
    fn at(folder: &Path, sealing: &Seal, marks: &Marks) -> Result<Self, StoreError> {
        let (mut found, mut ids) = (Vec::new(), Vec::new());
        for (half, name) in (0_u8..).zip(FILES) {
            let Some(bytes) = read(&folder.join(name))? else {
                continue;
            };
            let id = id_of(sealing, half, &bytes).ok_or_else(|| {
                datafile::foreign(&format!("{name} is not a write log of this store"))
            })?;
            ids.push(id);
            scan(&bytes, (sealing, &id), marks.folded, &mut found)?;
        }
        found.sort_by_key(|(number, _)| *number);
        Ok(Self { found, ids })
    }
}

fn gap(number: u64) -> StoreError {
    datafile::foreign(&format!(
        "the write log is damaged or older than the data file (group {number} is not there); `wayside repair` gives up what is lost"
    ))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let fault = |e: io::Error| StoreError::file("reading the log", &e);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fault(e)),
    };
    // A killed program may have left a group that is written and not synced: readers will see it,
    // so it must be on the disk first.
    file.sync_data().map_err(fault)?;
    let limit = u64::try_from(HALF_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(fault)?;
    Ok(Some(bytes))
}

/// Every whole group of a file with a number above `folded`, wherever it starts: behind a damaged
/// one others may follow, and they tell damage from a torn end.
fn scan(
    bytes: &[u8],
    (sealing, log): (&Seal, &LogId),
    folded: u64,
    found: &mut Vec<(u64, Run)>,
) -> Result<(), StoreError> {
    let mut at = BLOCK_BYTES;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        at += BLOCK_BYTES;
        let Some(front) = Front::read(rest).filter(|front| front.number > folded) else {
            continue;
        };
        match group::open(sealing, log, &front, rest) {
            Opened::Group(run) => {
                found.push((front.number, run));
                at += front.blocks() - BLOCK_BYTES;
            }
            Opened::Damaged => {}
            Opened::Unknown => {
                let why = "the write log was written by a newer program: use that one";
                return Err(StoreError::Foreign(why.to_owned()));
            }
        }
    }
    Ok(())
}

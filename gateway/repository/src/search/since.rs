//! What happened since a moment: which resources changed, and what they were. A search's later pages
//! need it each, so the last few are kept in memory; what is not kept is read from the log anew, so
//! that links outlive a restart.

use super::ground::{Ground, Moment};
use crate::indexing;
use fhir_mapping::search::{SearchValues, Zone};
use gateway_ground::failure::Failure;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use store::{Rid, Seq};

/// The changes since a moment.
pub(in crate::search) struct Since {
    moment: Moment,
    /// The log was read so far.
    read_to: Seq,
    changed: HashSet<Rid>,
    /// The same, ascending. Only what was there at the moment.
    by_type: HashMap<String, Vec<Rid>>,
    former: RefCell<Former>,
}

/// Encoded search values as of the moment; `None` for what was deleted.
#[derive(Default)]
struct Former {
    values: HashMap<Rid, Option<Vec<u8>>>,
    bytes: usize,
}

/// Changes read from the log at once.
const STEP: usize = 1_024;
/// Changes that cost as much to read as a row.
const CHANGES_PER_ROW: usize = 4;
/// More bytes of former values are not kept for one moment, but made anew.
const FORMER_BYTES_MAX: usize = 16 << 20;
/// About what a changed resource takes in memory.
const CHANGED_BYTES: usize = 64;
/// Moments kept, and bytes of them.
const KEPT_MAX: usize = 8;
const KEPT_BYTES_MAX: usize = 64 << 20;

impl Since {
    pub(super) fn new(moment: Moment) -> Since {
        Since {
            moment,
            read_to: moment.seq,
            changed: HashSet::new(),
            by_type: HashMap::new(),
            former: RefCell::default(),
        }
    }

    pub(super) fn moment(&self) -> Moment {
        self.moment
    }

    /// Nothing was written since.
    pub(super) fn is_now(&self) -> bool {
        self.read_to == self.moment.seq
    }

    /// Was it made after the moment?
    pub(super) fn is_newer(&self, rid: Rid) -> bool {
        rid > self.moment.last_rid
    }

    pub(super) fn has_changed(&self, rid: Rid) -> bool {
        self.changed.contains(&rid)
    }

    pub(super) fn changed_of(&self, resource_type: &str) -> &[Rid] {
        self.by_type.get(resource_type).map_or(&[], Vec::as_slice)
    }

    /// Reads the log to its end. What was read stays read when the budget ends before.
    pub(super) fn read_on(&mut self, ground: &Ground<'_>) -> Result<(), Failure> {
        let read = self.read(ground);
        self.by_type
            .values_mut()
            .for_each(|rids| rids.sort_unstable());
        read
    }

    fn read(&mut self, ground: &Ground<'_>) -> Result<(), Failure> {
        loop {
            let changes = ground.view.changes(self.read_to, STEP)?;
            ground.spend(u64::try_from(changes.len() / CHANGES_PER_ROW).unwrap_or(u64::MAX))?;
            for change in &changes {
                if !self.is_newer(change.rid) && !self.changed.contains(&change.rid) {
                    ground.spend(1)?;
                    if let Some(name) = type_of(ground, change.rid)? {
                        self.by_type.entry(name).or_default().push(change.rid);
                    }
                    self.changed.insert(change.rid);
                }
                self.read_to = change.seq;
            }
            if changes.len() < STEP {
                return Ok(());
            }
        }
    }

    /// What was learnt of a resource; `None` when nothing was.
    pub(super) fn known(&self, rid: Rid, zone: &Zone) -> Option<Option<SearchValues>> {
        let former = self.former.borrow();
        match former.values.get(&rid)? {
            None => Some(None),
            Some(bytes) => SearchValues::decode(bytes, zone).map(Some),
        }
    }

    pub(super) fn learn(&self, rid: Rid, values: Option<&SearchValues>) {
        let mut former = self.former.borrow_mut();
        let bytes = values.map(SearchValues::encode);
        let length = bytes.as_ref().map_or(0, Vec::len) + CHANGED_BYTES;
        if former.bytes + length <= FORMER_BYTES_MAX {
            former.bytes += length;
            former.values.insert(rid, bytes);
        }
    }

    fn bytes(&self) -> usize {
        self.former.borrow().bytes + self.changed.len() * CHANGED_BYTES
    }
}

/// The type of a resource, deleted or not.
fn type_of(ground: &Ground<'_>, rid: Rid) -> Result<Option<String>, Failure> {
    let values = indexing::values_of(&ground.view, rid, ground.zone())?;
    if let Some(values) = values {
        return Ok(Some(values.key().0.to_owned()));
    }
    let Some(head) = ground.view.head_of(rid)? else {
        return Ok(None);
    };
    let stored = ground.view.version(rid, head.version)?;
    Ok(stored.map(|stored| stored.key.resource_type))
}

/// The moments that pages were asked for last, oldest first.
#[derive(Default)]
pub(crate) struct Kept(Mutex<VecDeque<Since>>);

impl Kept {
    pub(super) fn take(&self, moment: Moment) -> Since {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|since| since.moment == moment);
        let found = found.and_then(|at| kept.remove(at));
        found.unwrap_or_else(|| Since::new(moment))
    }

    pub(super) fn put(&self, since: Since) {
        if since.is_now() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Two pages of one moment at once: one of them is enough.
        kept.retain(|other| other.moment != since.moment);
        kept.push_back(since);
        let total = |kept: &VecDeque<Since>| kept.iter().map(Since::bytes).sum::<usize>();
        while kept.len() > KEPT_MAX || (kept.len() > 1 && total(&kept) > KEPT_BYTES_MAX) {
            kept.pop_front();
        }
    }
}

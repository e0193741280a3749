//! One group after another on the writer thread: run every waiting plan on one transaction, check
//! and write what it wants, commit once, answer all.
//!
//! A plan only reads, and its write set is checked before anything of it is written, so a refusal
//! leaves the others alone without a nested transaction for each (which cost 15 us and a copy of
//! every page it touched).

use crate::apply::{self, Applier, Ends, Fault};
use crate::datafile;
use crate::env::Engine;
use crate::seal::Nonces;
use crate::snapshot::View;
use crate::writer::Shared;
use crate::{Committed, StoreError, WriteSet};
use heed::{MdbError, RwTxn};
use std::io::ErrorKind;
use std::sync::Arc;

/// Most plans in one commit.
const GROUP_PLANS_MAX: usize = 1024;
/// No plan is added to a group that already writes this much.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// With less than this free on the disk nothing is written: room to delete, compact and log.
const FREE_BYTES_MIN: u64 = 16 << 20;
/// How often one group may ask for a larger map.
const GROWTHS_MAX: usize = 16;

pub(crate) type Outcome = Result<Committed, StoreError>;

/// What a plan came to.
pub(crate) enum Planned {
    Write(WriteSet),
    Refused,
    Panicked,
}

/// A waiting plan without its types.
pub(crate) trait Job: Send {
    /// Runs the plan, once.
    fn plan(&mut self, view: &View<'_>) -> Planned;
    /// Gives the outcome to whoever waits; a refusal is answered as such when `outcome` is good.
    fn answer(self: Box<Self>, outcome: Outcome);
}

/// A plan that has run, its outcome if the commit succeeds, and what it writes.
struct Member {
    job: Box<dyn Job>,
    outcome: Outcome,
    set: Option<WriteSet>,
}

/// What the writer thread owns.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    engine: Arc<Engine>,
    nonces: Nonces,
    /// Why there are no more writes, after a failed sync.
    poisoned: Option<StoreError>,
    #[cfg(test)]
    pub(crate) failures: Vec<FailurePoint>,
}

/// Where a test makes the disk fail.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailurePoint {
    /// The disk has less than the reserve before a group starts.
    ReserveGone,
    /// The commit finds no space.
    CommitFull,
    /// The commit's sync fails on a disk with room.
    CommitSync,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, engine: Arc<Engine>, random: fn(&mut [u8])) -> Self {
        Self {
            shared,
            engine,
            nonces: Nonces::new(random),
            poisoned: None,
            #[cfg(test)]
            failures: Vec::new(),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Groups until the store closes.
    pub(crate) fn run(&mut self) {
        while let Some(job) = self.shared.wait_for_job() {
            self.run_group(job);
        }
    }

    /// Commits the first plan and all that wait behind it, and answers them.
    pub(crate) fn run_group(&mut self, first: Box<dyn Job>) {
        let mut members = Vec::new();
        let mut next = Some(first);
        let committed = match self.readiness() {
            Ok(()) => self.commit_group(&mut next, &mut members),
            Err(error) => Err(error),
        };
        if let Err(error) = committed {
            for job in next
                .into_iter()
                .chain(members.into_iter().map(|member| member.job))
            {
                job.answer(Err(error.clone()));
            }
            return;
        }
        let wrote = |outcome: &Outcome| outcome.as_ref().ok()?.seqs.last().copied();
        let last = members
            .iter()
            .filter_map(|member| wrote(&member.outcome))
            .max();
        for member in members {
            member.job.answer(member.outcome);
        }
        if let Some(last) = last {
            self.shared.tell_listeners(last);
        }
    }

    /// Whether writing makes sense at all.
    fn readiness(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.poisoned {
            return Err(error.clone());
        }
        #[cfg(test)]
        if self.fails(FailurePoint::ReserveGone) {
            return Err(StoreError::Full);
        }
        if datafile::free_bytes(&self.engine.folder)? < FREE_BYTES_MIN {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// Runs and commits the group, with a larger map as often as LMDB asks for one.
    fn commit_group(
        &mut self,
        next: &mut Option<Box<dyn Job>>,
        members: &mut Vec<Member>,
    ) -> Result<(), StoreError> {
        for _ in 0..GROWTHS_MAX {
            match self.attempt(next, members) {
                Ok(()) => return Ok(()),
                Err(Fault::MapFull) => self.engine.grow()?,
                Err(Fault::Store(error)) => return Err(error),
                Err(Fault::Lmdb(error)) => return Err(self.failure(&error)),
            }
        }
        Err(StoreError::Full)
    }

    /// One transaction: what earlier attempts wrote, then more plans, then the commit.
    fn attempt(
        &mut self,
        next: &mut Option<Box<dyn Job>>,
        members: &mut Vec<Member>,
    ) -> Result<(), Fault> {
        let engine = Arc::clone(&self.engine);
        let mut transaction = engine.env.write_txn()?;
        let mut ends = Ends::read(&View::new(&transaction, &engine))?;
        let mut size_bytes = 0;
        for member in members.iter_mut() {
            if let Some(set) = &member.set {
                size_bytes += size_of(set);
                member.outcome = self.write(&mut transaction, &mut ends, set)?;
            }
        }
        while members.len() < GROUP_PLANS_MAX && size_bytes < GROUP_BYTES_MAX {
            let Some(mut job) = next.take().or_else(|| self.shared.next_job()) else {
                break;
            };
            let planned = job.plan(&View::new(&transaction, &engine));
            let (outcome, set) = match planned {
                Planned::Write(set) => (Ok(Committed { seqs: Vec::new() }), Some(set)),
                Planned::Refused => (Ok(Committed { seqs: Vec::new() }), None),
                Planned::Panicked => (
                    Err(StoreError::Invalid("the plan panicked".to_owned())),
                    None,
                ),
            };
            members.push(Member { job, outcome, set });
            let Some(member) = members.last_mut() else {
                break;
            };
            if let Some(set) = &member.set {
                size_bytes += size_of(set);
                member.outcome = self.write(&mut transaction, &mut ends, set)?;
            }
        }
        if members.iter().all(|member| member.set.is_none()) {
            transaction.abort();
            return Ok(());
        }
        self.commit(transaction)
    }

    /// Checks and writes one set. The inner error is the set's own, the outer one the group's.
    fn write(
        &mut self,
        transaction: &mut RwTxn<'_>,
        ends: &mut Ends,
        set: &WriteSet,
    ) -> Result<Outcome, Fault> {
        let engine = &*self.engine;
        match apply::check(&View::new(transaction, engine), engine, ends, set) {
            Ok(steps) => {
                let mut applier = Applier {
                    engine,
                    transaction,
                    nonces: &mut self.nonces,
                };
                applier.apply(ends, set, &steps).map(Ok)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn commit(&mut self, transaction: RwTxn<'_>) -> Result<(), Fault> {
        #[cfg(test)]
        self.fail_commit()?;
        transaction.commit()?;
        // The commit is durable; a failure to lengthen the file only costs a check at the next start.
        self.engine.fill_last_page().unwrap_or_default();
        Ok(())
    }

    /// What an error of LMDB means: no room, or a disk that can no longer be trusted. LMDB reports
    /// a short write on a full disk as EIO.
    fn failure(&mut self, error: &heed::Error) -> StoreError {
        let full = match error {
            heed::Error::Io(e) if e.kind() == ErrorKind::StorageFull => true,
            heed::Error::Io(e) if e.kind() == ErrorKind::QuotaExceeded => true,
            heed::Error::Io(_) => {
                datafile::free_bytes(&self.engine.folder).is_ok_and(|free| free < FREE_BYTES_MIN)
            }
            heed::Error::Mdb(MdbError::Panic) => false,
            other => return StoreError::disk("writing", other),
        };
        if full {
            return StoreError::Full;
        }
        let poisoned = StoreError::Poisoned(error.to_string());
        self.poisoned = Some(poisoned.clone());
        poisoned
    }

    #[cfg(test)]
    fn fails(&mut self, point: FailurePoint) -> bool {
        let at = self.failures.iter().position(|planned| *planned == point);
        at.map(|at| self.failures.remove(at)).is_some()
    }

    #[cfg(test)]
    fn fail_commit(&mut self) -> Result<(), Fault> {
        let full = self
            .fails(FailurePoint::CommitFull)
            .then_some(ErrorKind::StorageFull);
        let sync = self
            .fails(FailurePoint::CommitSync)
            .then_some(ErrorKind::Other);
        match full.or(sync) {
            Some(kind) => Err(Fault::Lmdb(heed::Error::Io(kind.into()))),
            None => Ok(()),
        }
    }
}

/// About how much a set writes.
fn size_of(set: &WriteSet) -> usize {
    let versions = set.versions.iter().map(|new| {
        let terms = new.terms_added.len() + new.terms_removed.len();
        new.body.len() + new.values.len() + 64 * terms + 512
    });
    let rows = set
        .rows
        .iter()
        .map(|row| row.key.len() + row.value.as_ref().map_or(0, Vec::len));
    let audit = set.audit.iter().map(|body| body.len() + 128);
    versions.sum::<usize>() + rows.sum::<usize>() + audit.sum::<usize>()
}

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
        let mut plans = 1;
        while let Some(job) = self.shared.wait_for_job() {
            if plans > 1 {
                self.shared.gather(plans - 1);
            }
            plans = self.run_group(job);
        }
    }

    /// Commits the first plan and all that wait behind it, and answers them; how many they were.
    pub(crate) fn run_group(&mut self, first: Box<dyn Job>) -> usize {
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
            return 1;
        }
        let plans = members.len();
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
        plans
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
            return self
                .engine
                .trim_after_failure()
                .err()
                .unwrap_or(StoreError::Full);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Keys, OpenOptions, Origin, OriginKind, ResourceKey, Urgency, VersionId};
    use std::sync::Mutex;

    type Answers = Arc<Mutex<Vec<(u8, Outcome)>>>;

    /// A plan that writes version 1 of resource `name`, or what `planned` says.
    struct Plan {
        name: u8,
        planned: fn(u8) -> Planned,
        answers: Answers,
    }

    impl Job for Plan {
        fn plan(&mut self, _view: &View<'_>) -> Planned {
            (self.planned)(self.name)
        }

        fn answer(self: Box<Self>, outcome: Outcome) {
            self.answers.lock().unwrap().push((self.name, outcome));
        }
    }

    fn version(name: u8) -> crate::NewVersion {
        crate::NewVersion {
            key: ResourceKey {
                resource_type: "Patient".into(),
                id: name.to_string(),
            },
            version: VersionId(1),
            body: vec![b'{'; 3000],
            deleted: false,
            becomes_head: true,
            review_open: None,
            terms_added: Vec::new(),
            terms_removed: Vec::new(),
            values: Vec::new(),
            origin: Origin {
                kind: OriginKind::Client,
                number: 0,
            },
            urgency: Urgency::Routine,
            time_ms: 0,
            hlc: 0,
        }
    }

    fn writes(name: u8) -> Planned {
        Planned::Write(WriteSet {
            versions: vec![version(name)],
            ..WriteSet::default()
        })
    }

    struct Bench {
        writer: Writer,
        answers: Answers,
        _folder: tempfile::TempDir,
    }

    impl Bench {
        fn new(map_size_bytes: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let random: fn(&mut [u8]) = |buffer| buffer.fill(3);
            let options = OpenOptions {
                folder: folder.path().to_owned(),
                map_size_bytes,
                queue_length_max: 100,
                random,
            };
            let engine = Engine::open(
                &options,
                &Keys {
                    key_encryption_key: [1; 32],
                },
            )
            .unwrap();
            let writer = Writer::new(Arc::new(Shared::new(100)), Arc::new(engine), random);
            Self {
                writer,
                answers: Answers::default(),
                _folder: folder,
            }
        }

        fn run(&mut self, name: u8, planned: fn(u8) -> Planned) -> Outcome {
            self.writer.run_group(Box::new(Plan {
                name,
                planned,
                answers: self.answers.clone(),
            }));
            self.answers.lock().unwrap().pop().unwrap().1
        }

        fn resources(&self) -> u64 {
            let transaction = self.writer.engine.env.read_txn().unwrap();
            self.writer
                .engine
                .databases
                .heads
                .len(&transaction)
                .unwrap()
        }
    }

    #[test]
    fn a_full_disk_is_answered_and_writing_resumes() {
        let mut bench = Bench::new(1 << 24);
        for point in [FailurePoint::ReserveGone, FailurePoint::CommitFull] {
            bench.writer.failures.push(point);
            let before = bench.resources();
            assert!(
                matches!(bench.run(1, writes), Err(StoreError::Full)),
                "{point:?}"
            );
            assert_eq!(bench.resources(), before);
        }
        assert!(bench.run(1, writes).is_ok());
        assert_eq!(bench.resources(), 1);
    }

    #[test]
    fn a_failed_sync_stops_writing() {
        let mut bench = Bench::new(1 << 24);
        assert!(bench.run(1, writes).is_ok());
        bench.writer.failures.push(FailurePoint::CommitSync);
        assert!(matches!(bench.run(2, writes), Err(StoreError::Poisoned(_))));
        assert!(matches!(bench.run(3, writes), Err(StoreError::Poisoned(_))));
        assert_eq!(bench.resources(), 1);
    }

    #[test]
    fn a_panic_is_answered_to_its_plan_alone() {
        let mut bench = Bench::new(1 << 24);
        let outcome = bench.run(1, |_| Planned::Panicked);
        assert!(matches!(outcome, Err(StoreError::Invalid(_))));
        assert!(bench.run(1, |_| Planned::Refused).unwrap().seqs.is_empty());
        assert!(bench.run(1, writes).is_ok());
    }

    fn audits(_name: u8) -> Planned {
        Planned::Write(WriteSet {
            audit: vec![b"entry".to_vec()],
            ..WriteSet::default()
        })
    }

    #[test]
    fn a_damaged_last_audit_entry_does_not_end_all_writing() {
        let mut bench = Bench::new(1 << 24);
        assert!(bench.run(1, audits).is_ok());
        let engine = Arc::clone(&bench.writer.engine);
        let mut transaction = engine.env.write_txn().unwrap();
        let key = crate::codec::number_key(1);
        engine
            .databases
            .audit
            .put(&mut transaction, &key, b"damage")
            .unwrap();
        transaction.commit().unwrap();
        assert!(bench.run(2, audits).is_ok());
        let transaction = engine.env.read_txn().unwrap();
        let found = View::new(&transaction, &engine).audit(1, 9).unwrap();
        assert_eq!((found.len(), found[0].number), (1, 2));
    }

    #[test]
    fn a_small_map_grows_as_often_as_needed() {
        let mut bench = Bench::new(1 << 16);
        for name in 0..=255 {
            assert!(bench.run(name, writes).is_ok(), "{name}");
        }
        assert_eq!(bench.resources(), 256);
        assert!(bench.writer.engine.env.info().map_size > 1 << 24);
    }
}

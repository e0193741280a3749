//! Groups on a writer without a thread, with a disk that fails where the test says so.

use super::durable::TICKS_BETWEEN_TRIES;
use super::*;
use crate::fold::FailurePoint;
use crate::log::Log;
use crate::{Keys, OpenOptions, Origin, OriginKind, ResourceKey, Seq, Urgency, VersionId};
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
        making: crate::Making::Untold,
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
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(map_size_bytes: usize) -> Self {
        Self::open(tempfile::tempdir().unwrap(), map_size_bytes)
    }

    fn open(folder: tempfile::TempDir, map_size_bytes: usize) -> Self {
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
            crate::env::Log::Whole,
        )
        .unwrap();
        let writer = Writer::new(Arc::new(Shared::new(100)), Arc::new(engine), random);
        Self {
            writer,
            answers: Answers::default(),
            folder,
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

    fn fail(&self, points: &[FailurePoint]) {
        self.writer.engine.failures.lock().unwrap().extend(points);
    }

    fn view<T>(&self, look: impl FnOnce(View<'_>) -> T) -> T {
        let reading = self.writer.engine.read().unwrap();
        look(reading.view(&reading.layers))
    }

    fn resources(&self) -> u64 {
        self.view(|view| view.last_rid().unwrap().0)
    }

    /// Opens the folder anew, as after a crash: nothing was folded or marked at the end.
    fn crash(self) -> Self {
        let Self { writer, folder, .. } = self;
        drop(writer);
        Self::open(folder, 1 << 24)
    }
}

#[test]
fn a_full_disk_is_answered_and_writing_resumes() {
    let mut bench = Bench::new(1 << 24);
    // The first group marks the log in the data file, so it meets a full data file too.
    for point in [
        FailurePoint::ReserveGone,
        FailurePoint::CommitFull,
        FailurePoint::LogFull,
    ] {
        bench.fail(&[point]);
        let outcome = bench.run(1, writes);
        assert!(matches!(outcome, Err(StoreError::Full)), "{point:?}");
        assert_eq!(bench.resources(), 0);
    }
    assert!(bench.run(1, writes).is_ok());
    assert_eq!(bench.resources(), 1);
    // Half of a group that was answered `Full` is no group after a crash.
    bench.fail(&[FailurePoint::LogFull]);
    assert!(matches!(bench.run(2, writes), Err(StoreError::Full)));
    let mut bench = bench.crash();
    assert_eq!(bench.resources(), 1);
    assert!(bench.run(2, writes).is_ok());
    assert_eq!(bench.crash().resources(), 2);
}

#[test]
fn a_fold_that_finds_no_room_loses_nothing_and_is_tried_again() {
    let mut bench = Bench::new(1 << 24);
    assert!(bench.run(1, writes).is_ok());
    // Both the fold begun and the one tried at once when it is waited for.
    bench.fail(&[FailurePoint::CommitFull; 2]);
    let folded = bench.writer.durable.fold_all();
    assert!(matches!(folded, Err(StoreError::Full)), "{folded:?}");
    assert_eq!(bench.resources(), 1);
    assert!(bench.run(2, writes).is_ok(), "there is room in the log");
    for _ in 0..TICKS_BETWEEN_TRIES {
        bench.writer.durable.rest(TICKS_BETWEEN_TRIES);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    bench.writer.durable.fold_all().unwrap();
    assert_eq!(bench.writer.engine.layers().runs.len(), 0);
    assert_eq!(bench.resources(), 2);
}

#[test]
fn a_failed_sync_stops_writing() {
    for point in [FailurePoint::LogSync, FailurePoint::CommitSync] {
        let mut bench = Bench::new(1 << 24);
        assert!(bench.run(1, writes).is_ok());
        bench.fail(&[point]);
        let outcome = if point == FailurePoint::LogSync {
            bench.run(2, writes)
        } else {
            bench.run(2, writes_much)
        };
        assert!(
            matches!(outcome, Err(StoreError::Poisoned(_))),
            "{outcome:?}"
        );
        let outcome = bench.run(3, writes);
        assert!(
            matches!(outcome, Err(StoreError::Poisoned(_))),
            "{outcome:?}"
        );
        assert_eq!(bench.resources(), 1);
        // What was acknowledged is there after a restart; the group that failed may be.
        assert!((1..=2).contains(&bench.crash().resources()));
    }
}

/// A version with 900 terms, so that few make several slices.
fn writes_terms(name: u8) -> Planned {
    let mut new = version(name);
    let terms = (0..900_u16).map(|term| [[name, 0].as_slice(), &term.to_be_bytes()].concat());
    new.terms_added = terms.map(crate::Term).collect();
    new.terms_added.push(crate::Term(b"all".to_vec()));
    Planned::Write(WriteSet {
        versions: vec![new],
        ..WriteSet::default()
    })
}

/// Nothing half shows, to a reader or after a crash, whichever slice was the last.
#[test]
fn a_fold_that_ends_after_any_slice_loses_nothing() {
    for good in 0..5 {
        let mut bench = Bench::new(1 << 24);
        for name in 0..16 {
            assert!(bench.run(name, writes_terms).is_ok());
        }
        bench.fail(&vec![FailurePoint::CommitGood; good]);
        bench.fail(&[FailurePoint::CommitSync]);
        let folded = bench.writer.durable.fold_all();
        assert!(
            matches!(folded, Err(StoreError::Poisoned(_))),
            "{good}: {folded:?}"
        );
        let all = |bench: &Bench| {
            bench.view(|view| {
                let term = |term: &[u8]| view.postings(&crate::Term(term.to_vec())).unwrap();
                assert_eq!(term(b"all").count(), 16);
                for name in 0..16_u8 {
                    let found = term(&[name, 0, 3, 1]).next().unwrap();
                    assert_eq!(found, Some(crate::Rid(u64::from(name) + 1)));
                }
                assert_eq!(view.changes(Seq(0), 99).unwrap().len(), 16);
            });
        };
        all(&bench);
        let bench = bench.crash();
        all(&bench);
        assert_eq!(bench.resources(), 16);
    }
}

/// More than the log takes.
fn writes_much(name: u8) -> Planned {
    let mut new = version(name);
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    };
    new.values = (0..5 << 20).map(|_| noise()).collect();
    Planned::Write(WriteSet {
        versions: vec![new],
        ..WriteSet::default()
    })
}

#[test]
fn a_large_group_goes_past_the_log_and_what_was_logged_before_it() {
    let mut bench = Bench::new(1 << 24);
    assert!(bench.run(1, writes).is_ok());
    assert!(bench.run(2, writes_much).is_ok());
    assert_eq!(bench.writer.engine.layers().runs.len(), 0);
    assert!(bench.run(3, writes).is_ok());
    // A failed one is not there, and readers do not wait for it.
    bench.fail(&[FailurePoint::CommitFull; 3]);
    assert!(matches!(bench.run(4, writes_much), Err(StoreError::Full)));
    bench.writer.engine.failures.lock().unwrap().clear();
    assert_eq!(bench.resources(), 3);
    assert!(bench.run(4, writes_much).is_ok());
    let bench = bench.crash();
    assert_eq!(bench.resources(), 4);
    bench.view(|view| {
        assert_eq!(view.last_seq().unwrap(), Seq(4));
        assert_eq!(view.changes(Seq(0), 9).unwrap().len(), 4);
    });
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
    bench.writer.durable.fold_all().unwrap();
    let engine = Arc::clone(&bench.writer.engine);
    let mut transaction = engine.env.write_txn().unwrap();
    let key = crate::codec::number_key(1);
    let audit = engine.databases.audit;
    audit.put(&mut transaction, &key, b"damage").unwrap();
    transaction.commit().unwrap();
    drop(engine);
    let mut bench = bench.crash();
    assert!(bench.run(2, audits).is_ok());
    let found = bench.view(|view| view.audit(1, 9).unwrap());
    assert_eq!((found.len(), found[0].number), (1, 2));
}

/// Format 1 had no log: what it wrote stays, and the first commit raises it.
#[test]
fn a_data_file_of_the_format_before_is_read_and_raised() {
    let mut bench = Bench::new(1 << 24);
    assert!(bench.run(1, writes).is_ok());
    bench.writer.durable.close();
    let engine = Arc::clone(&bench.writer.engine);
    let meta = engine.databases.meta;
    let mut transaction = engine.env.write_txn().unwrap();
    for row in ["log", "folded", "reached"] {
        assert!(
            meta.delete(&mut transaction, row.as_bytes()).unwrap(),
            "{row}"
        );
    }
    let before = b"WAYSIDE\0\0\0\0\x01";
    meta.put(&mut transaction, b"format", before).unwrap();
    transaction.commit().unwrap();
    drop(engine);
    for name in ["log.0", "log.1"] {
        std::fs::remove_file(bench.folder.path().join(name)).unwrap();
    }
    let mut bench = bench.crash();
    assert_eq!(bench.resources(), 1);
    let format = |bench: &Bench| {
        let reading = bench.writer.engine.read().unwrap();
        let meta = bench.writer.engine.databases.meta;
        let row = meta.get(&reading.transaction, b"format").unwrap();
        row.unwrap().to_vec()
    };
    assert_eq!(format(&bench), before);
    assert!(bench.run(2, writes).is_ok());
    assert_eq!(format(&bench), b"WAYSIDE\0\0\0\0\x03");
    assert_eq!(bench.crash().resources(), 2);
}

/// Files that a crash left while the log was made are made anew.
#[test]
fn a_log_that_was_made_and_never_used_is_no_hindrance() {
    let bench = Bench::new(1 << 24);
    let random: fn(&mut [u8]) = |buffer| buffer.fill(8);
    Log::create(bench.folder.path(), &bench.writer.engine.seal, random).unwrap();
    let mut bench = bench.crash();
    assert!(bench.run(1, writes).is_ok());
    assert_eq!(bench.crash().resources(), 1);
}

#[test]
fn a_small_map_grows_as_often_as_needed() {
    let mut bench = Bench::new(1 << 16);
    for name in 0..=255 {
        assert!(bench.run(name, writes).is_ok(), "{name}");
    }
    bench.writer.durable.fold_all().unwrap();
    assert_eq!(bench.resources(), 256);
    assert!(bench.writer.engine.env.info().map_size > 1 << 24);
}

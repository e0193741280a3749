//! Every system call that changes a file fails once, and once for good: no success is reported
//! falsely, nothing is damaged, and the store opens again with all that was acknowledged.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it did"
)]

mod support;
#[path = "support/disk.rs"]
mod disk;

use disk::Failure;
use rustix::io::Errno;
use std::path::Path;
use store::{CommitError, OpenOptions, Store, StoreError, WriteSet};

/// Two resources and an audit entry in one write set, so that a half would show.
fn pair(number: usize, length: usize) -> WriteSet {
    let mut noise = vec![0; length];
    support::random(&mut noise);
    let noise: String = noise.iter().map(|b| char::from(b'a' + b % 26)).collect();
    let versions = ["a", "b"].map(|side| support::version(&name(side, number), 1, &noise));
    WriteSet {
        versions: versions.to_vec(),
        rows: Vec::new(),
        audit: vec![number.to_be_bytes().to_vec()],
    }
}

fn name(side: &str, number: usize) -> String {
    format!("{side}{number}")
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        // Small, so that it must grow.
        map_size_bytes: 1 << 20,
        ..support::options(folder)
    }
}

/// First start, small groups, a fold, a log that is lengthened, a group too large for it, a clean
/// stop, a second start. Answers which writes were acknowledged.
fn script(folder: &Path) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    let lengths = [[100, 100, 3000].as_slice(), &[90_000, 2_500_000], &[100]];
    let mut number = 0;
    for lengths in lengths {
        let Ok(store) = Store::open(options(folder), support::keys()) else {
            // As an operator does: once more.
            continue;
        };
        for length in lengths {
            if write(&store, number, *length) {
                acknowledged.push(number);
            }
            number += 1;
        }
        // Whether it can be folded now is not the question.
        store.fold().unwrap_or_default();
        store.close();
    }
    acknowledged
}

fn write(store: &Store, number: usize, length: usize) -> bool {
    let set = pair(number, length);
    match store.commit(move |_| Ok::<_, ()>((set, ()))) {
        Ok(_) => true,
        Err(CommitError::Store(StoreError::Invalid(why))) => panic!("{why}"),
        Err(_) => false,
    }
}

fn check(folder: &Path, acknowledged: &[usize], case: &str) {
    let store = Store::open(options(folder), support::keys())
        .unwrap_or_else(|error| panic!("{case}: the store does not open: {error}"));
    let report = store.verify(None).unwrap();
    assert_eq!(report.findings, vec![], "{case}");
    assert_eq!(report.heads, 2 * report.audit_entries, "{case}");
    let snapshot = store.snapshot().unwrap();
    for number in acknowledged {
        for side in ["a", "b"] {
            let head = snapshot.view().head(&support::key(&name(side, *number)));
            assert!(head.unwrap().is_some(), "{case}: {side}{number} is lost");
        }
    }
    drop(snapshot);
    assert!(write(&store, 1_000_000, 100), "{case}: writing goes on");
    store.close();
}

/// In memory where there is such a folder: the failures are what matters, not the disk.
fn place() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = memory.is_dir().then(|| tempfile::tempdir_in(memory));
    place
        .and_then(Result::ok)
        .unwrap_or_else(|| tempfile::tempdir().unwrap())
}

#[test]
fn a_failing_call_is_never_taken_for_a_success() {
    let folder = place();
    let mut total = 0;
    for (errno, lasting) in [(Errno::IO, false), (Errno::NOSPC, false), (Errno::IO, true)] {
        for n in 1.. {
            let failure = Failure { errno, lasting };
            let case = format!("call {n} of {total} fails with {errno:?}, lasting: {lasting}");
            let data = folder.path().join("store");
            disk::watch(folder.path(), Some((n, failure)));
            let acknowledged = script(&data);
            let (calls, _) = disk::end();
            check(&data, &acknowledged, &case);
            std::fs::remove_dir_all(&data).unwrap();
            if calls < n {
                assert_eq!(acknowledged.len(), 6);
                total = calls;
                break;
            }
        }
    }
    println!("{total} calls, each failed in three ways");
    assert!(total > 50, "the calls were seen: {total}");
}

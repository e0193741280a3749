//! Every system call that changes a file fails, once or for good: no success is reported
//! falsely, nothing is damaged, and the store opens again with all that was acknowledged.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it did"
)]

#[path = "support/disk.rs"]
mod disk;
mod support;

use disk::Failure;
use rustix::io::Errno;
use std::path::Path;
use std::sync::LazyLock;
use store::{CommitError, OpenOptions, Store, StoreError, WriteSet};

/// What zstd cannot make much shorter.
static NOISE: LazyLock<String> = LazyLock::new(|| {
    let mut noise = vec![0; 400_000];
    support::random(&mut noise);
    let letters = noise.chunks(2).map(|two| char::from(b'!' + two[0] % 90));
    letters.collect()
});

/// Two resources and an audit entry in one write set, so that a half would show.
fn pair(number: usize, length: usize) -> WriteSet {
    let versions =
        ["a", "b"].map(|side| support::version(&name(side, number), 1, &NOISE[..length]));
    WriteSet {
        versions: versions.to_vec(),
        audit: vec![number.to_be_bytes().to_vec()],
        ..WriteSet::default()
    }
}

fn name(side: &str, number: usize) -> String {
    format!("{side}{number}")
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        // Small, so that it must grow.
        map_size_bytes: 1 << 18,
        ..support::options(folder)
    }
}

/// First start, small groups, a fold, a log that is lengthened, a map that
/// must grow, a clean stop, a second start. Answers which writes were acknowledged.
fn script(folder: &Path) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    let lengths = [[100, 100, 3000].as_slice(), &[90_000, 200_000], &[100]];
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
    // All ways at every call take minutes: every fourth call and the ways by turns are for every day.
    let ways = [(Errno::IO, false), (Errno::NOSPC, false), (Errno::IO, true)];
    let thorough = std::env::var("WAYSIDE_TEST_EVERY_WAY").is_ok();
    let mut total = 0;
    for n in (1..).step_by(if thorough { 1 } else { 4 }) {
        let turn = usize::try_from(n).unwrap() % ways.len();
        let mut reached = false;
        for (errno, lasting) in ways[if thorough {
            0..ways.len()
        } else {
            turn..turn + 1
        }]
        .iter()
        .copied()
        {
            let case = format!("call {n} fails with {errno:?}, lasting: {lasting}");
            let data = folder.path().join("store");
            disk::watch(folder.path(), Some((n, Failure { errno, lasting })));
            let acknowledged = script(&data);
            let (calls, _) = disk::end();
            check(&data, &acknowledged, &case);
            std::fs::remove_dir_all(&data).unwrap();
            reached |= calls >= n;
            total = calls;
        }
        if !reached {
            break;
        }
    }
    println!("{total} calls, each failed once");
    assert!(total > 50, "the calls were seen: {total}");
}

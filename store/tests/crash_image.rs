//! Copies of the data file taken at any moment are what a crash leaves: each must open, hold every
//! acknowledged write from before the copy, and nothing half.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use store::{Seq, WriteSet};

/// Each write set holds two resources and an audit entry, so that a half would show.
fn pair(number: u64) -> WriteSet {
    let body = format!("{{\"n\":{number}}}").repeat(60);
    let versions = ["a", "b"]
        .map(|side| support::version(&format!("{side}{number}"), 1, &body))
        .to_vec();
    WriteSet {
        versions,
        rows: Vec::new(),
        audit: vec![number.to_be_bytes().to_vec()],
    }
}

fn check_image(image: &Path, acknowledged: u64) {
    let store = support::open(image);
    let report = store.verify(None).unwrap();
    assert_eq!(report.findings, vec![]);
    assert!(
        report.audit_entries >= acknowledged,
        "{report:?} after {acknowledged}"
    );
    assert_eq!(report.heads, 2 * report.audit_entries);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(
        snapshot.view().last_seq().unwrap(),
        Seq(2 * report.audit_entries)
    );
    // Writing goes on where the image stopped.
    support::write(&store, pair(1_000_000));
    assert_eq!(
        store.stats().unwrap().audit_entries,
        report.audit_entries + 1
    );
}

/// Copies pages in the order a crash could have kept them: the meta pages first, as they were when
/// the copy began, then the rest.
#[test]
fn an_image_between_commits_holds_all_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(&folder.path().join("live"));
    let mut written = 0;
    for image in 0..12 {
        for _ in 0..=image {
            support::write(&store, pair(written));
            written += 1;
        }
        let copy = folder.path().join(format!("image{image}"));
        fs::create_dir(&copy).unwrap();
        fs::copy(folder.path().join("live/data.mdb"), copy.join("data.mdb")).unwrap();
        check_image(&copy, written);
    }
}

/// While a writer is at work, a copy read front to back holds the older meta page and, behind it,
/// pages that a later commit may have reused, so only the copy of one moment is an image: the test
/// holds a snapshot, which keeps the pages of its moment from reuse.
#[test]
fn an_image_taken_while_writing_opens_and_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(&folder.path().join("live"));
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                support::write(&store, pair(number));
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        });
        for image in 0..6 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let before = acknowledged.load(Ordering::SeqCst);
            let _snapshot = store.snapshot().unwrap();
            let copy = folder.path().join(format!("image{image}"));
            fs::create_dir(&copy).unwrap();
            fs::copy(folder.path().join("live/data.mdb"), copy.join("data.mdb")).unwrap();
            check_image(&copy, before);
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(acknowledged.into_inner() > 0);
}

/// A commit whose meta page was torn or never written leaves the state before it.
#[test]
fn a_commit_without_its_meta_page_did_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let store = support::open(&live);
    for number in 0..5 {
        support::write(&store, pair(number));
    }
    let before = fs::read(live.join("data.mdb")).unwrap();
    support::write(&store, pair(5));
    let mut after = fs::read(live.join("data.mdb")).unwrap();
    after[..8192].copy_from_slice(&before[..8192]);
    let copy = folder.path().join("image");
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("data.mdb"), after).unwrap();
    let image = support::open(&copy);
    assert_eq!(image.verify(None).unwrap().findings, vec![]);
    assert_eq!(image.stats().unwrap().audit_entries, 5);
}

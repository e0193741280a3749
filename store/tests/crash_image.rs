//! Copies of data file and log taken at any moment are what a crash leaves: each must open, hold every
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
        audit: vec![number.to_be_bytes().to_vec()],
        ..WriteSet::default()
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
        if image % 4 == 2 {
            store.fold().unwrap();
        }
        let copy = folder.path().join(format!("image{image}"));
        support::copy(&folder.path().join("live"), &copy);
        check_image(&copy, written);
    }
}

/// Ends a thread when the test is over, however it ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// While a writer is at work the log ends in a group that may be half copied. A snapshot keeps the
/// pages of the data file that the copy begins with from being used again.
#[test]
fn an_image_taken_while_writing_opens_and_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let store = support::open(&live);
    support::write(&store, pair(0));
    let (acknowledged, stop) = (AtomicU64::new(1), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Fewer than would begin a third fold.
            for number in 1..3000 {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                support::write(&store, pair(number));
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        });
        let _stop = Stop(&stop);
        for image in 0..6 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let before = acknowledged.load(Ordering::SeqCst);
            let _snapshot = store.snapshot().unwrap();
            let copy = folder.path().join(format!("image{image}"));
            support::copy(&live, &copy);
            check_image(&copy, before);
        }
    });
    assert!(acknowledged.into_inner() > 1);
}

/// A fold whose meta page was torn or never written leaves the state before it, and the log.
#[test]
fn a_fold_without_its_meta_page_did_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let store = support::open(&live);
    for number in 0..5 {
        support::write(&store, pair(number));
    }
    store.fold().unwrap();
    support::write(&store, pair(5));
    let before = fs::read(live.join("data.mdb")).unwrap();
    store.fold().unwrap();
    let after = fs::read(live.join("data.mdb")).unwrap();
    for meta_pages in [0..4096, 4096..8192, 0..8192] {
        let mut torn = after.clone();
        torn[meta_pages.clone()].copy_from_slice(&before[meta_pages.clone()]);
        let image = folder
            .path()
            .join(format!("image{}", meta_pages.start + meta_pages.end));
        support::copy(&live, &image);
        fs::write(image.join("data.mdb"), torn).unwrap();
        check_image(&image, 6);
    }
}

/// The last group of a log, written in whatever order a disk writes its sectors and cut off at
/// whatever moment, is there as a whole or not at all; what was before it is there.
#[test]
fn a_torn_end_of_the_log_is_no_group_and_costs_none() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let store = support::open(&live);
    for number in 0..3 {
        support::write(&store, pair(number));
    }
    store.fold().unwrap();
    support::write(&store, pair(3));
    let image = folder.path().join("image");
    support::copy(&live, &image);
    support::write(&store, pair(4));
    let name = ["log.0", "log.1"]
        .into_iter()
        .find(|name| fs::read(image.join(name)).unwrap() != fs::read(live.join(name)).unwrap());
    let name = name.unwrap();
    let before = fs::read(image.join(name)).unwrap();
    let after = fs::read(live.join(name)).unwrap();
    let changed: Vec<usize> = (0..after.len() / 512)
        .map(|sector| sector * 512)
        .filter(|at| after[*at..*at + 512] != before[*at..*at + 512])
        .collect();
    assert!(changed.len() >= 2, "{changed:?}");
    let subsets = 0..1_usize << changed.len().min(4);
    for (number, subset) in subsets.enumerate() {
        let mut torn = before.clone();
        // The last of the lowest four bits stands for all sectors from the fourth on.
        for (at, sector) in changed.iter().enumerate() {
            if subset >> at.min(3) & 1 == 1 {
                torn[*sector..*sector + 512].copy_from_slice(&after[*sector..*sector + 512]);
            }
        }
        let whole = torn == after;
        let case = folder.path().join(format!("case{number}"));
        support::copy(&image, &case);
        fs::write(case.join(name), torn).unwrap();
        let opened = support::open(&case);
        let entries = opened.stats().unwrap().audit_entries;
        assert_eq!(entries, if whole { 5 } else { 4 }, "{subset:b}");
        drop(opened);
        check_image(&case, entries);
    }
}

/// Halves are written over and over: what an earlier round left behind the end is no group.
#[test]
fn what_an_earlier_round_left_in_the_log_is_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let store = support::open(&live);
    let mut written = 0;
    for round in 0..5 {
        for _ in 0..6 - round {
            support::write(&store, pair(written));
            written += 1;
        }
        let image = folder.path().join(format!("image{round}"));
        support::copy(&live, &image);
        check_image(&image, written);
        store.fold().unwrap();
        let image = folder.path().join(format!("folded{round}"));
        support::copy(&live, &image);
        check_image(&image, written);
    }
    store.close();
    // Closed, the data file stands for itself.
    let image = folder.path().join("alone");
    fs::create_dir(&image).unwrap();
    fs::copy(live.join("data.mdb"), image.join("data.mdb")).unwrap();
    check_image(&image, written);
}

/// A purge is one commit: after a crash the resource is as it was, or gone with all its versions.
#[test]
fn a_purge_is_whole_or_did_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let store = support::open(&live);
    for number in 1..=5 {
        support::write(
            &store,
            support::set_of(vec![support::version("p", number, "{}")]),
        );
    }
    let mut deletion = support::version("p", 6, "");
    deletion.terms_removed = std::mem::take(&mut deletion.terms_added);
    let set = WriteSet {
        versions: vec![deletion],
        purges: vec![store::Purge {
            rid: store::Rid(1),
            from: store::VersionId(1),
            to: store::VersionId(5),
        }],
        ..WriteSet::default()
    };
    for is_folded in [false, true] {
        if is_folded {
            store.fold().unwrap();
        }
        let image = folder.path().join(format!("before{is_folded}"));
        support::copy(&live, &image);
        check_purged(&image, false);
    }
    support::write(&store, set);
    for is_folded in [false, true] {
        if is_folded {
            store.fold().unwrap();
        }
        let image = folder.path().join(format!("after{is_folded}"));
        support::copy(&live, &image);
        check_purged(&image, true);
    }
}

fn check_purged(image: &Path, is_purged: bool) {
    let store = support::open(image);
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    let snapshot = store.snapshot().unwrap();
    let view = snapshot.view();
    let head = view.head(&support::key("p")).unwrap().unwrap();
    assert_eq!(view.is_purged(&head).unwrap(), is_purged);
    let kept: Vec<u64> = (1..=6)
        .filter(|number| {
            let number = store::VersionId(*number);
            view.version(head.rid, number).unwrap().is_some()
        })
        .collect();
    let (expected, posts) = match is_purged {
        true => (vec![6], 0),
        false => (vec![1, 2, 3, 4, 5], 1),
    };
    assert_eq!(kept, expected);
    assert_eq!(view.postings(&support::term("p")).unwrap().count(), posts);
    assert_eq!(view.last_seq().unwrap().0, if is_purged { 6 } else { 5 });
}

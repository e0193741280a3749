//! Damage to the log after it was acknowledged: found at the next start and refused, and what an
//! operator can do then.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Seq, Store, StoreError};

/// Longer than the writer waits before it ends a group, shorter than until it folds.
const QUIET: Duration = Duration::from_millis(800);

/// A copy of a store that is not stopped: two groups folded, three in the log.
fn image(folder: &Path, quiet: Duration) -> PathBuf {
    let store = support::open(&folder.join("live"));
    for number in 0..5 {
        if number == 2 {
            store.fold().unwrap();
        }
        let id = format!("r{number}");
        support::write(
            &store,
            support::set_of(vec![support::version(&id, 1, "{}")]),
        );
    }
    std::thread::sleep(quiet);
    let image = folder.join("image");
    support::copy(&folder.join("live"), &image);
    image
}

/// Where in which file group `number` starts.
fn group(image: &Path, number: u64) -> (PathBuf, usize) {
    for name in ["log.0", "log.1"] {
        let bytes = fs::read(image.join(name)).unwrap();
        let starts = (4096..bytes.len()).step_by(4096);
        let mut found = starts.filter(|at| {
            bytes[*at..].starts_with(b"WAYG") && bytes[at + 8..at + 16] == number.to_be_bytes()
        });
        if let Some(at) = found.next() {
            return (image.join(name), at);
        }
    }
    panic!("there is no group {number}");
}

fn damage(image: &Path, number: u64, byte: usize) {
    let (file, at) = group(image, number);
    let mut bytes = fs::read(&file).unwrap();
    bytes[at + byte] ^= 4;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_last_group_is_told_from_a_torn_end() {
    for byte in [0, 9, 20, 60] {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), QUIET);
        support::copy(&image, &folder.path().join("whole"));
        assert!(support::try_open(&folder.path().join("whole")).is_ok());
        damage(&image, 5, byte);
        let before = fs::read(image.join("data.mdb")).unwrap();
        let refused = support::try_open(&image).map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
        assert!(refused.to_string().contains("wayside repair"), "{refused}");
        assert!(fs::read(image.join("data.mdb")).unwrap() == before);
    }
}

#[test]
fn the_operator_gives_up_what_is_lost_and_keeps_the_rest() {
    // (the damaged group of 3, 4, 5 and the empty 6; resources kept; groups lost)
    for (number, kept, lost) in [(3, 2, 4), (4, 3, 3), (5, 4, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path(), QUIET);
        damage(&image, number, 60);
        let damaged = fs::read(group(&image, 6).0).unwrap();
        assert!(support::try_open(&image).is_err());
        let answered = Store::repair_log(support::options(&image), support::keys());
        assert_eq!(answered.unwrap(), lost);
        let kept_aside = ["log.0.damaged", "log.1.damaged"].map(|name| fs::read(image.join(name)));
        assert!(kept_aside.into_iter().any(|file| file.unwrap() == damaged));
        let store = support::open(&image);
        assert_eq!(store.verify(None).unwrap().findings, vec![]);
        assert_eq!(store.stats().unwrap().last_seq, Seq(kept));
        support::write(
            &store,
            support::set_of(vec![support::version("new", 1, "{}")]),
        );
        store.close();
        let store = support::open(&image);
        assert_eq!(store.stats().unwrap().last_seq, Seq(kept + 1));
    }
}

#[test]
fn a_log_that_went_away_can_be_given_up_too() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), QUIET);
    for name in ["log.0", "log.1"] {
        fs::remove_file(image.join(name)).unwrap();
    }
    assert!(support::try_open(&image).is_err());
    Store::repair_log(support::options(&image), support::keys()).unwrap();
    let store = support::open(&image);
    assert_eq!(store.stats().unwrap().last_seq, Seq(2));
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
}

#[test]
fn a_store_open_for_reading_reads_its_log_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), Duration::ZERO);
    let files = || ["data.mdb", "log.0", "log.1"].map(|name| fs::read(image.join(name)).unwrap());
    let before = files();
    let why = "too many starts".to_owned();
    let store = Store::open_read_only(support::options(&image), support::keys(), why).unwrap();
    let set = support::set_of(vec![support::version("new", 1, "{}")]);
    let refused = store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap_err();
    assert_eq!(
        format!("{refused:?}"),
        r#"Store(ReadOnly("too many starts"))"#
    );
    assert_eq!(store.stats().unwrap().last_seq, Seq(5));
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    store.close();
    assert!(files() == before);
    assert_eq!(support::open(&image).stats().unwrap().last_seq, Seq(5));
}

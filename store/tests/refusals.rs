//! What a store refuses to open, and that it changes nothing while refusing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use store::{Keys, Store, StoreError};

fn made(folder: &Path) -> Vec<u8> {
    let store = support::open(folder);
    let body = "{\"resourceType\":\"Patient\"}".repeat(20);
    for number in 0..50 {
        let new = support::version(&format!("p{number}"), 1, &body);
        support::write(&store, support::set_of(vec![new]));
    }
    store.close();
    fs::read(folder.join("data.mdb")).unwrap()
}

/// Opening must be answered with this error number and leave the data file as it is.
fn check(folder: &Path, expected: &str) {
    let before = fs::read(folder.join("data.mdb")).unwrap();
    let error = support::try_open(folder)
        .err()
        .map(|error| error.to_string());
    let error = error.unwrap_or_else(|| panic!("opened, {expected} expected"));
    assert!(error.starts_with(expected), "{error}");
    assert!(
        fs::read(folder.join("data.mdb")).unwrap() == before,
        "the data file changed"
    );
}

#[test]
fn another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let before = made(folder.path());
    let other = Keys {
        key_encryption_key: [8; 32],
    };
    let error = Store::open(support::options(folder.path()), other).err();
    assert!(matches!(error, Some(StoreError::WrongKey)));
    assert!(fs::read(folder.path().join("data.mdb")).unwrap() == before);
    assert_eq!(support::open(folder.path()).stats().unwrap().resources, 50);
}

#[test]
fn a_second_opener_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    assert!(matches!(
        support::try_open(folder.path()).err(),
        Some(StoreError::Locked)
    ));
    store.close();
    assert!(support::try_open(folder.path()).is_ok());
}

#[test]
fn a_snapshot_keeps_a_closed_store_locked() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    support::write(
        &store,
        support::set_of(vec![support::version("p", 1, "{}")]),
    );
    let snapshot = store.snapshot().unwrap();
    store.close();
    assert!(matches!(
        support::try_open(folder.path()).err(),
        Some(StoreError::Locked)
    ));
    assert!(snapshot.view().head(&support::key("p")).unwrap().is_some());
    drop(snapshot);
    assert!(support::try_open(folder.path()).is_ok());
}

#[test]
fn foreign_and_damaged_files_are_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let good = made(folder.path());
    let file = folder.path().join("data.mdb");
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("text", b"not a store at all".repeat(2000)),
        ("one page", good[..4096].to_vec()),
        ("a page and a half", good[..6000].to_vec()),
        ("first page damaged", with(16, b"????")),
        ("second page damaged", with(4096 + 16, b"????")),
        ("another version of LMDB", with(20, &7_u32.to_ne_bytes())),
        ("absurd page size", with(40, &12_345_u32.to_ne_bytes())),
    ];
    for (name, bytes) in cases {
        fs::write(&file, bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(folder.path(), "E-STORE-8");
    }
    fs::write(&file, &good).unwrap();
    assert_eq!(support::open(folder.path()).stats().unwrap().resources, 50);
}

/// The end of the file may be pages that nothing uses: then nothing is missing.
#[test]
fn a_cut_file_is_refused_unchanged_or_whole_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let good = made(folder.path());
    let file = folder.path().join("data.mdb");
    let mut refused = 0;
    let lengths = (8192..good.len()).step_by(2048).chain([good.len() - 1]);
    for length in lengths {
        // A log that went on would put back what the case before wrote.
        for name in ["log.0", "log.1"] {
            fs::remove_file(folder.path().join(name)).unwrap_or_default();
        }
        fs::write(&file, &good[..length]).unwrap();
        match support::try_open(folder.path()) {
            Ok(store) => {
                let report = store.verify(None).unwrap();
                assert_eq!(
                    (report.findings_total, report.versions),
                    (0, 50),
                    "cut to {length}"
                );
                let set = support::set_of(vec![support::version("after", 1, "{}")]);
                support::write(&store, set);
            }
            Err(error) => {
                assert!(error.to_string().starts_with("E-STORE-8"), "{error}");
                let after = fs::read(&file).unwrap();
                assert!(
                    after == good[..length],
                    "the data file changed, cut to {length}"
                );
                refused += 1;
            }
        }
    }
    assert!(
        refused > good.len() / 4096,
        "{refused} of {} pages",
        good.len() / 4096
    );
}

#[test]
fn a_newer_format_and_another_lmdb_store_are_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut newer = made(folder.path());
    let letters = b"WAYSIDE\0\0\0\0\x03";
    let places: Vec<usize> = (0..newer.len() - 12)
        .filter(|at| &newer[*at..*at + 12] == letters)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        newer[at + 11] = 9;
    }
    fs::write(folder.path().join("data.mdb"), newer).unwrap();
    check(folder.path(), "E-STORE-8: the store has format 9");
}

/// A store that was not closed: 20 pairs folded, 5 groups in the log alone.
fn crashed(folder: &Path, image: &Path) {
    let store = support::open(folder);
    let write = |number: u32| {
        let new = support::version(&format!("p{number}"), 1, "{}");
        support::write(&store, support::set_of(vec![new]));
    };
    (0..20).for_each(write);
    store.fold().unwrap();
    (20..25).for_each(write);
    support::copy(folder, image);
}

/// Where a log has its groups: the blocks that start with the letters of one.
fn groups(log: &[u8]) -> Vec<usize> {
    let blocks = (4096..log.len()).step_by(4096);
    blocks
        .filter(|at| log[*at..].starts_with(b"WAYG"))
        .collect()
}

type Change = fn(&Path, &Path);

#[test]
fn a_log_that_lost_acknowledged_writes_or_is_another_ones_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (live, image) = (folder.path().join("live"), folder.path().join("image"));
    crashed(&live, &image);
    let other = folder.path().join("other");
    crashed(&folder.path().join("other-live"), &other);
    fn flip(path: &Path, at: usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 0x08;
        fs::write(path, bytes).unwrap();
    }
    // The groups beyond the data file are in the second half, for the fold freed the first.
    let cases: [(&str, Change); 9] = [
        ("no log", |at, _| {
            fs::remove_file(at.join("log.0")).unwrap();
            fs::remove_file(at.join("log.1")).unwrap();
        }),
        ("no first half", |at, _| {
            fs::remove_file(at.join("log.0")).unwrap()
        }),
        ("no second half", |at, _| {
            fs::remove_file(at.join("log.1")).unwrap()
        }),
        ("halves changed places", |at, _| {
            fs::rename(at.join("log.0"), at.join("x")).unwrap();
            fs::rename(at.join("log.1"), at.join("log.0")).unwrap();
            fs::rename(at.join("x"), at.join("log.1")).unwrap();
        }),
        ("another store's log", |at, other| {
            fs::copy(other.join("log.0"), at.join("log.0")).unwrap();
            fs::copy(other.join("log.1"), at.join("log.1")).unwrap();
        }),
        ("head damaged", |at, _| flip(&at.join("log.1"), 20)),
        ("emptied", |at, _| fs::write(at.join("log.1"), b"").unwrap()),
        ("a group damaged before others", |at, _| {
            let second = groups(&fs::read(at.join("log.1")).unwrap())[1];
            flip(&at.join("log.1"), second + 60);
        }),
        ("a number damaged before others", |at, _| {
            let first = groups(&fs::read(at.join("log.1")).unwrap())[0];
            flip(&at.join("log.1"), first + 15);
        }),
    ];
    for (name, change) in cases {
        let case = folder.path().join(name);
        support::copy(&image, &case);
        change(&case, &other);
        let before = fs::read(case.join("log.1")).ok();
        check(&case, "E-STORE-8");
        assert!(
            fs::read(case.join("log.1")).ok() == before,
            "{name}: the log changed"
        );
    }
    let found = groups(&fs::read(image.join("log.1")).unwrap()).len();
    assert_eq!(found, 5);
    assert_eq!(support::open(&image).stats().unwrap().resources, 25);
}

/// A data file from a backup beside a log that went on: replayed when nothing between is missing,
/// else refused.
#[test]
fn an_older_data_file_beside_a_newer_log_is_never_half_right() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let store = support::open(&live);
    let mut images = Vec::new();
    for number in 0..12 {
        let new = support::version(&format!("p{number}"), 1, "{}");
        support::write(&store, support::set_of(vec![new]));
        let image = folder.path().join(format!("image{number}"));
        support::copy(&live, &image);
        images.push(image);
        if number % 3 == 2 {
            store.fold().unwrap();
        }
    }
    store.close();
    for (number, image) in images.iter().enumerate() {
        for name in ["log.0", "log.1"] {
            fs::copy(live.join(name), image.join(name)).unwrap();
        }
        match support::try_open(image) {
            Ok(store) => assert_eq!(store.stats().unwrap().resources, 12, "{number}"),
            Err(error) => {
                assert!(
                    error.to_string().starts_with("E-STORE-8"),
                    "{number} {error}"
                );
                assert!(number < 9, "{number}");
            }
        }
    }
}

#[test]
fn what_a_crash_left_while_making_a_store_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("unfinished");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("data.mdb"), b"half").unwrap();
    let store = support::open(folder.path());
    support::write(
        &store,
        support::set_of(vec![support::version("p", 1, "{}")]),
    );
    assert!(!unfinished.exists());
}

#[test]
fn invalid_write_sets_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    support::write(
        &store,
        support::set_of(vec![support::version("p", 1, "{}")]),
    );
    let check = |change: fn(&mut store::NewVersion), part: &str| {
        let mut new = support::version("p", 2, "{}");
        change(&mut new);
        let first = support::version("q", 1, "{}");
        let set = support::set_of(vec![first, new]);
        match store.commit(move |_| Ok::<_, ()>((set, ()))) {
            Err(store::CommitError::Store(StoreError::Invalid(why))) => {
                assert!(why.contains(part), "{why}");
            }
            other => panic!("{part}: {other:?}"),
        }
        assert_eq!(store.snapshot().unwrap().view().last_seq().unwrap().0, 1);
    };
    check(|new| new.version.0 = 3, "does not follow");
    check(|new| new.version.0 = 1, "does not follow");
    check(|new| new.body.clear(), "deletion");
    check(|new| new.deleted = true, "deletion");
    check(|new| new.key.id = String::new(), "1 to 255");
    check(|new| new.key.id = "x".repeat(256), "1 to 255");
    check(|new| new.key.resource_type = "a\0b".into(), "1 to 255");
    check(
        |new| {
            new.key.id = "new".into();
            new.version.0 = 1;
            new.becomes_head = false;
        },
        "must become its head",
    );
    let row = |key: Vec<u8>| store::RowWrite {
        table: store::Table::Site,
        key,
        value: None,
    };
    for key in [vec![], vec![1; 481]] {
        let set = store::WriteSet {
            rows: vec![row(key)],
            ..Default::default()
        };
        assert!(store.commit(move |_| Ok::<_, ()>((set, ()))).is_err());
    }
}

#[test]
fn only_what_is_deleted_is_purged_and_from_the_newest_down() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    let live = [1, 2].map(|number| support::version("live", number, "{}"));
    let mut gone = [1, 2, 3].map(|number| support::version("gone", number, "{}"));
    gone[2] = support::version("gone", 3, "");
    support::write(
        &store,
        support::set_of(live.into_iter().chain(gone).collect()),
    );
    let purge = |rid, from, to| {
        let set = store::WriteSet {
            purges: vec![store::Purge {
                rid: store::Rid(rid),
                from: store::VersionId(from),
                to: store::VersionId(to),
            }],
            ..Default::default()
        };
        store.commit(move |_| Ok::<_, ()>((set, ())))
    };
    for (rid, from, to) in [
        (1, 1, 1),
        (2, 1, 1),
        (2, 1, 3),
        (2, 0, 2),
        (2, 2, 1),
        (3, 1, 1),
    ] {
        let refused = matches!(
            purge(rid, from, to),
            Err(store::CommitError::Store(StoreError::Invalid(_)))
        );
        assert!(refused, "{rid} {from} {to}");
    }
    purge(2, 2, 2).unwrap();
    purge(2, 1, 1).unwrap();
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
}

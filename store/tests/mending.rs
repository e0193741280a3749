//! A damaged row is put right from what is known elsewhere, and only then: nothing that opens is
//! ever replaced. Tails that are cut off are told.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use store::{
    AuditEntry, Change, CommitError, Damage, Head, Mend, ResourceKey, Rid, Seq, Store, StoreError,
    StoredVersion, VersionId, WriteSet,
};

fn make(folder: &Path) -> Store {
    let store = support::open(folder);
    for number in 1..=3 {
        for id in ["a", "b"] {
            let mut set = support::set_of(vec![support::version(id, number, "{\"body\":1}")]);
            set.audit = vec![format!("{id} {number}").into_bytes()];
            support::write(&store, set);
        }
    }
    store
}

fn mend(store: &Store, mend: Mend) -> Result<(), StoreError> {
    let set = WriteSet {
        mends: vec![mend],
        ..WriteSet::default()
    };
    match store.commit(move |_| Ok::<_, ()>((set, ()))) {
        Ok(_) => Ok(()),
        Err(CommitError::Store(error)) => Err(error),
        Err(CommitError::Refused(())) => unreachable!(),
    }
}

/// What the store holds of resource a (rid 1) and its last version.
struct Known {
    version: StoredVersion,
    head: (ResourceKey, Head),
    change: Change,
    audit: AuditEntry,
}

fn known(store: &Store) -> Known {
    let snapshot = store.snapshot().unwrap();
    let view = snapshot.view();
    let version = view.version(Rid(1), VersionId(3)).unwrap().unwrap();
    let change = view.changes(Seq(version.seq.0 - 1), 1).unwrap().remove(0);
    Known {
        head: (version.key.clone(), view.head_of(Rid(1)).unwrap().unwrap()),
        change,
        audit: view.audit(4, 1).unwrap().remove(0),
        version,
    }
}

/// The raw row of a database and key: where it lies in the file, in every copy.
fn flip(folder: &Path, (number, key): (u8, &[u8])) {
    let store = support::open(folder);
    let image = store.image().unwrap();
    let mut value = Vec::new();
    image
        .each_row(|(database, found, sealed)| {
            if (database, found) == (number, key) {
                value = sealed.to_vec();
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    drop(image);
    store.close();
    let file = folder.join("data.mdb");
    let mut bytes = fs::read(&file).unwrap();
    let all = 0..bytes.len() - value.len();
    let places: Vec<usize> = all.filter(|at| bytes[*at..].starts_with(&value)).collect();
    assert!(!value.is_empty() && !places.is_empty());
    for at in places {
        bytes[at + 20] ^= 4;
    }
    fs::write(&file, bytes).unwrap();
}

#[track_caller]
fn check(row: (u8, Vec<u8>), about: Damage, mended: impl Fn(&Known) -> Mend) {
    let folder = tempfile::tempdir().unwrap();
    let store = make(folder.path());
    let before = known(&store);
    let refused = mend(&store, mended(&before)).unwrap_err();
    assert!(refused.to_string().contains("is whole"), "{refused}");
    store.close();
    flip(folder.path(), (row.0, &row.1));
    let store = support::open(folder.path());
    let found = store.verify(None).unwrap().findings;
    assert!(found.iter().any(|found| found.about == about), "{found:?}");
    mend(&store, mended(&before)).unwrap();
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    let after = known(&store);
    assert_eq!(after.version, before.version);
    assert_eq!(after.head, before.head);
    assert_eq!(after.change, before.change);
    assert_eq!(after.audit, before.audit);
    store.close();
    let store = support::open(folder.path());
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    store.close();
}

fn number(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

#[test]
fn a_damaged_version_is_put_back() {
    let key = [number(1), number(3)].concat();
    let about = Damage::Version(Rid(1), VersionId(3));
    check((3, key), about, |known| {
        Mend::Version(known.version.clone())
    });
}

#[test]
fn a_damaged_head_is_made_of_its_versions() {
    check((2, number(1)), Damage::Head(Rid(1)), |known| {
        Mend::Head(known.head.0.clone(), known.head.1)
    });
}

#[test]
fn a_damaged_change_is_put_back() {
    check((6, number(5)), Damage::Change(Seq(5)), |known| {
        Mend::Change(known.change)
    });
}

#[test]
fn a_damaged_audit_entry_is_put_back() {
    check((7, number(5)), Damage::Audit(5), |known| {
        Mend::Audit(known.audit.clone())
    });
}

/// A name whose key was damaged in the file leads to its resource again.
#[test]
fn a_lost_key_is_put_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = make(folder.path());
    let known = known(&store);
    let whole = mend(&store, Mend::Key(known.head.0.clone(), Rid(1)));
    assert!(whole.unwrap_err().to_string().contains("is whole"));
    store.close();
    let keys: Vec<Vec<u8>> = {
        let store = support::open(folder.path());
        let image = store.image().unwrap();
        let mut rows = Vec::new();
        image
            .each_row(|(database, key, rid)| {
                if database == 1 && rid == 1_u64.to_be_bytes() {
                    rows.push(key.to_vec());
                }
                Ok::<_, StoreError>(())
            })
            .unwrap();
        drop(image);
        store.close();
        rows
    };
    let file = folder.path().join("data.mdb");
    let mut bytes = fs::read(&file).unwrap();
    // The last byte, so that the order of keys stays as it is.
    let places = (0..bytes.len() - 24).filter(|at| bytes[*at..].starts_with(&keys[0]));
    for at in places.collect::<Vec<_>>() {
        bytes[at + 15] ^= 1;
    }
    fs::write(&file, bytes).unwrap();
    let store = support::open(folder.path());
    let found = store.verify(None).unwrap().findings;
    assert_eq!(found[0].about, Damage::Key(Rid(1)));
    let other = mend(&store, Mend::Key(support::key("b"), Rid(1)));
    assert!(other.is_err());
    mend(&store, Mend::Key(known.head.0.clone(), Rid(1))).unwrap();
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    let head = store.snapshot().unwrap().view().head(&support::key("a"));
    assert_eq!(head.unwrap(), Some(known.head.1));
    store.close();
}

/// Another version, entry or owner is refused, though the row does not open.
#[test]
fn what_was_not_there_is_never_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = make(folder.path());
    let known = known(&store);
    store.close();
    flip(folder.path(), (3, &[number(1), number(3)].concat()));
    flip(folder.path(), (7, &number(5)));
    let store = support::open(folder.path());
    let version = |change: fn(&mut StoredVersion)| {
        let mut version = known.version.clone();
        change(&mut version);
        Mend::Version(version)
    };
    let mut audit = known.audit.clone();
    audit.body.push(b'x');
    let wrong = [
        version(|version| version.key = support::key("b")),
        version(|version| version.hlc += 1),
        version(|version| version.seq = Seq(4)),
        version(|version| version.deleted = true),
        version(|version| version.version = VersionId(4)),
        Mend::Audit(audit),
        Mend::Change(known.change),
        Mend::Head(known.head.0.clone(), known.head.1),
    ];
    for wrong in wrong {
        let refused = mend(&store, wrong.clone());
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("cannot be mended"), "{wrong:?}: {text}");
    }
    mend(&store, Mend::Version(known.version.clone())).unwrap();
    mend(&store, Mend::Audit(known.audit.clone())).unwrap();
    assert_eq!(store.verify(None).unwrap().findings, vec![]);
    store.close();
}

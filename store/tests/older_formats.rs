//! Stores that older builds wrote are opened, read and written on. The folders under `fixtures` are
//! each what the last build of a format left: three patients and four observations, one patient
//! changed, one observation deleted; format 2 was killed, so its log is not folded.
#![allow(clippy::unwrap_used, clippy::expect_used)] // panics are a test's answers

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use store::{Rid, Store, StoreError, Table, VersionId};
use support::{open, set_of, term, try_open, version, write};
use tempfile::TempDir;

/// What every fixture holds, oldest first: key, head version, and whether it is deleted.
const HELD: [(&str, &str, u64, bool); 7] = [
    ("Patient", "p1", 1, false),
    ("Patient", "p2", 2, false),
    ("Patient", "p3", 1, false),
    ("Observation", "o1", 1, false),
    ("Observation", "o2", 1, false),
    ("Observation", "o3", 1, false),
    ("Observation", "o4", 2, true),
];

fn fixture(format: &str, to: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::create_dir(to).unwrap();
    for name in ["data.mdb", "log.0", "log.1"] {
        let packed = from.join(format).join(format!("{name}.zst"));
        if packed.exists() {
            let bytes = zstd::decode_all(fs::File::open(packed).unwrap()).unwrap();
            fs::write(to.join(name), bytes).unwrap();
        }
    }
    to.to_owned()
}

fn holds_all(store: &Store) {
    let snapshot = store.snapshot().unwrap();
    let view = snapshot.view();
    for (number, (resource_type, id, head, deleted)) in (1_u64..).zip(HELD) {
        let key = store::ResourceKey {
            resource_type: resource_type.to_owned(),
            id: id.to_owned(),
        };
        let found = view.head(&key).unwrap().unwrap();
        assert_eq!(
            (found.rid, found.version, found.deleted),
            (Rid(number), VersionId(head), deleted),
            "{id}"
        );
        for version in 1..=head {
            let stored = view.version(found.rid, VersionId(version)).unwrap();
            let stored = stored.unwrap();
            let text = String::from_utf8(stored.body).unwrap();
            let start = format!(
                r#"{{"resourceType":"{resource_type}","id":"{id}","meta":{{"versionId":"{version}""#
            );
            let is_gone = deleted && version == head;
            assert!(
                text.starts_with(&start) != is_gone,
                "{id}/{version}: {text}"
            );
            assert_eq!(text.is_empty(), is_gone, "{id}/{version}");
        }
        assert_eq!(view.values(found.rid).unwrap().is_some(), !deleted, "{id}");
    }
    let of = |text: &str| view.postings(&term(text)).unwrap().count_exactly().unwrap();
    let counts = ["Patient", "Observation", "Patient/gender=female"].map(of);
    assert_eq!(counts, [3, 3, 2]);
    assert_eq!(view.last_seq().unwrap().0, 9);
    let row = view.row(Table::Site, b"fixture").unwrap();
    assert_eq!(row.as_deref(), Some(&b"kept"[..]));
}

#[track_caller]
fn check(format: &str) {
    let folder = TempDir::new().unwrap();
    let data = fixture(format, &folder.path().join("data"));
    let store = open(&data);
    holds_all(&store);
    let report = store.verify(None).unwrap();
    assert_eq!((report.findings_total, report.audit_entries), (0, 9));
    write(&store, set_of(vec![version("new", 1, "{}")]));
    store.close();
    let store = open(&data);
    let snapshot = store.snapshot().unwrap();
    assert!(
        snapshot
            .view()
            .head(&support::key("new"))
            .unwrap()
            .is_some()
    );
    drop(snapshot);
    let report = store.verify(None).unwrap();
    assert_eq!((report.findings_total, report.heads), (0, 8));
}

#[test]
fn stores_of_older_builds_read_equal_and_are_written_on() {
    check("format-1");
    check("format-2");
    check("format-2-folded");
}

/// Opening changes no byte of an older store: who only looked can go back to the older program.
#[test]
fn looking_leaves_an_older_store_as_it_was() {
    let folder = TempDir::new().unwrap();
    let data = fixture("format-1", &folder.path().join("data"));
    let before = fs::read(data.join("data.mdb")).unwrap();
    let store = open(&data);
    holds_all(&store);
    store.close();
    assert!(fs::read(data.join("data.mdb")).unwrap() == before);
    assert!(!data.join("log.0").exists());
}

/// A store of a newer build: the version of its format is raised where it stands.
#[test]
fn a_newer_format_is_refused_and_not_touched() {
    let folder = TempDir::new().unwrap();
    let data = fixture("format-1", &folder.path().join("data"));
    let mut bytes = fs::read(data.join("data.mdb")).unwrap();
    let letters = b"WAYSIDE\0\0\0\0\x01";
    let places: Vec<usize> = (0..bytes.len() - letters.len())
        .filter(|at| bytes.get(*at..*at + letters.len()) == Some(letters.as_slice()))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        if let Some(last) = bytes.get_mut(at + letters.len() - 1) {
            *last = 200;
        }
    }
    fs::write(data.join("data.mdb"), &bytes).unwrap();
    let refused = try_open(&data);
    let Err(StoreError::Foreign(text)) = refused else {
        panic!("it was opened");
    };
    assert!(text.contains("format 200"), "{text}");
    assert!(fs::read(data.join("data.mdb")).unwrap() == bytes);
    assert!(!data.join("log.0").exists());
}

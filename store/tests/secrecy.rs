//! What a stolen or damaged disk shows: no name, id or term in clear, and no flipped bit unnoticed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use store::{RowWrite, Store, StoreError, Table, VersionId, WriteSet};

const SECRETS: [&str; 7] = [
    "Okonkwo-Unmistakable",
    "id-7316-3717-9344",
    "secret-term-sodium",
    "secret-values-of-head",
    "MSH|secret|ORU",
    "audit-who-did-what",
    "Patient/key-of-a-blinded-row",
];

fn written(folder: &Path) -> Store {
    let store = support::open(folder);
    for number in 0..40 {
        let body = format!("{{\"family\":\"{}\",\"n\":{number}}}", SECRETS[0]);
        let mut new = support::version(&format!("{}-{number}", SECRETS[1]), 1, &body);
        new.terms_added.push(support::term(SECRETS[2]));
        new.values = SECRETS[3].as_bytes().to_vec();
        let row = RowWrite {
            table: Table::Intake,
            key: vec![number],
            value: Some(SECRETS[4].as_bytes().to_vec()),
        };
        let blinded = RowWrite {
            table: Table::Shadows,
            key: format!("{}{number}", SECRETS[6]).into_bytes(),
            value: Some(vec![number]),
        };
        let audit = vec![SECRETS[5].as_bytes().to_vec()];
        support::write(
            &store,
            WriteSet {
                versions: vec![new],
                rows: vec![row, blinded],
                audit,
                ..WriteSet::default()
            },
        );
    }
    store
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

#[test]
fn nothing_personal_is_readable_in_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = written(folder.path());
    let key = format!("{}7", SECRETS[6]).into_bytes();
    let found = store.snapshot().unwrap().view().row(Table::Shadows, &key);
    assert_eq!(found.unwrap(), Some(vec![7]));
    store.close();
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        for secret in SECRETS {
            assert!(!holds(&bytes, secret), "{secret} is on the disk");
        }
    }
    assert_eq!(files, 5, "data.mdb, lock.mdb, store.lock, log.0, log.1");
    // The groups are still in the log: no secret was found among them, sealed whole.
    assert!(holds(
        &fs::read(folder.path().join("log.0")).unwrap(),
        "WAYG"
    ));
    // The search itself works: the names of databases are in clear.
    assert!(holds(
        &fs::read(folder.path().join("data.mdb")).unwrap(),
        "postings"
    ));
}

/// Flips one bit in about a quarter of all sealed values, whatever database they are in; how many.
fn flip_inside_values(folder: &Path) -> usize {
    let file = folder.join("data.mdb");
    let mut bytes = fs::read(&file).unwrap();
    // A sealed value starts with format, key epoch 1 and how it is packed.
    let is_packing = |byte: u8| matches!(byte & 0x7f, 0 | 1 | 0x11 | 0x12 | 0x13);
    let starts: Vec<usize> = (8192..bytes.len() - 64)
        .filter(|at| bytes[*at..].starts_with(&[2, 0, 1]) && is_packing(bytes[*at + 3]))
        .enumerate()
        .filter(|(index, _)| index * index % 11 < 3)
        .map(|(_, at)| at)
        .collect();
    for at in &starts {
        bytes[at + 16] ^= 0x04;
    }
    fs::write(&file, bytes).unwrap();
    starts.len()
}

#[test]
fn flipped_bits_are_noticed_and_the_rest_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path()).close();
    let flipped = flip_inside_values(folder.path());
    assert!(flipped > 20, "{flipped}");
    let store = support::open(folder.path());
    let report = store.verify(None).unwrap();
    let in_database = |name: &str| report.findings.iter().any(|found| found.database == name);
    for name in ["heads", "versions", "values", "changes", "audit", "rows"] {
        assert!(in_database(name), "{name} {report:?}");
    }
    let snapshot = store.snapshot().unwrap();
    let (mut damaged, mut good) = (0, 0);
    for number in 0..40 {
        let key = support::key(&format!("{}-{number}", SECRETS[1]));
        let read = snapshot
            .view()
            .head(&key)
            .and_then(|head| snapshot.view().version(head.unwrap().rid, VersionId(1)));
        match read {
            Ok(Some(version)) => {
                assert_eq!(version.key, key);
                assert!(
                    version
                        .body
                        .ends_with(format!("\"n\":{number}}}").as_bytes())
                );
                good += 1;
            }
            Err(StoreError::Corrupt { .. }) => damaged += 1,
            other => panic!("{number}: {other:?} {report:?}"),
        }
    }
    assert!(damaged > 0 && good > 0, "{damaged} damaged, {good} good");
}

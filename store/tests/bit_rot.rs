//! Random damage to the data file: what is read is right or refused, and a check of the whole store
//! finds every damaged live value. The trees' own pages are left alone here, for LMDB may end the
//! process on them; the report of the whole gateway damages everything.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use store::{Store, StoreError, VersionId};

const RESOURCES: u64 = 60;

fn body(number: u64) -> String {
    format!("{{\"n\":{number}}} ").repeat(20)
}

/// All that is read is as it was written, or refused as damaged; how many were refused.
fn read_all(store: &Store, case: u64) -> u64 {
    let mut refused = 0;
    let snapshot = store.snapshot().unwrap();
    let view = snapshot.view();
    for number in 0..RESOURCES {
        let key = support::key(&format!("r{number}"));
        let read = view.head(&key).and_then(|head| match head {
            Some(head) => view.version(head.rid, VersionId(1)),
            None => Ok(None),
        });
        match read {
            Ok(Some(version)) => assert_eq!(version.body, body(number).into_bytes(), "{case}"),
            Ok(None) => panic!("{case}: r{number} is hidden"),
            Err(StoreError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("{case}: {other}"),
        }
    }
    refused
}

/// Where sealed values lie in the file: behind the format and key epoch of a seal, and a packing.
fn seals(bytes: &[u8]) -> Vec<usize> {
    let starts = 8192..bytes.len() - 24;
    let is_packing = |byte: u8| matches!(byte & 0x7f, 0 | 1 | 0x11 | 0x12 | 0x13);
    starts
        .filter(|at| bytes[*at..].starts_with(&[2, 0, 1]) && is_packing(bytes[*at + 3]))
        .collect()
}

fn make(folder: &Path) {
    let store = support::open(folder);
    for number in 0..RESOURCES {
        let new = support::version(&format!("r{number}"), 1, &body(number));
        support::write(&store, support::set_of(vec![new]));
    }
    store.close();
}

#[test]
fn every_damaged_live_value_is_found_and_none_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    make(&live);
    let whole = fs::read(live.join("data.mdb")).unwrap();
    let seals = seals(&whole);
    // Of each resource a head, a version, search values and a change.
    assert!(seals.len() >= 4 * usize::try_from(RESOURCES).unwrap());
    let (mut found, mut dead) = (0, 0);
    for case in 0..120_u64 {
        let mut random = [0; 16];
        support::random(&mut random);
        let number = |part: usize| usize::from(random[part]) << 8 | usize::from(random[part + 1]);
        let at = seals[number(0) % seals.len()] + number(4) % 24;
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (random[9] % 8);
        fs::write(live.join("data.mdb"), &damaged).unwrap();
        let store = Store::open(support::options(&live), support::keys()).unwrap();
        let refused = read_all(&store, case);
        let report = store.verify(None).unwrap();
        store.close();
        // A page that nothing uses any more may hold old seals: then nothing may be found.
        match report.findings_total {
            0 => {
                assert_eq!(refused, 0, "{case}: what is refused is found");
                dead += 1;
            }
            _ => found += 1,
        }
        fs::write(live.join("data.mdb"), &whole).unwrap();
    }
    assert!(found > dead, "{found} found, {dead} in dead pages");
}

#[test]
fn a_damaged_key_or_list_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    make(&live);
    let whole = fs::read(live.join("data.mdb")).unwrap();
    let store = support::open(&live);
    let space = store.space().unwrap();
    store.close();
    let pages: u64 = space.iter().map(|space| space.bytes).sum();
    assert!(pages <= u64::try_from(whole.len()).unwrap());
    // A rid of `keys`, and a place beyond its span in a list of one.
    let rid = 7_u64.to_be_bytes();
    let place = 7_u16.to_be_bytes();
    let ends = |from: &[u8], length: usize| -> Vec<usize> {
        let all = 8192..whole.len() - length;
        all.filter(|at| whole[*at..].starts_with(from)).collect()
    };
    let mut found = [0, 0];
    for at in ends(&rid, 8) {
        let mut damaged = whole.clone();
        damaged[at + 7] ^= 1;
        found[0] += usize::from(findings(&live, &damaged) > 0);
    }
    for at in ends(&[&[0, 0, 0, 0][..], &place].concat(), 6) {
        let mut damaged = whole.clone();
        damaged[at + 4] ^= 0x40;
        found[1] += usize::from(findings(&live, &damaged) > 0);
    }
    assert!(found[0] > 0 && found[1] > 0, "{found:?}");
}

fn findings(live: &Path, damaged: &[u8]) -> u64 {
    fs::write(live.join("data.mdb"), damaged).unwrap();
    let Ok(store) = support::try_open(live) else {
        return 1;
    };
    let found = store.verify(None).map_or(1, |report| report.findings_total);
    store.close();
    found
}

//! Random damage to the data file: what is read is right or refused, and a check of the whole store
//! finds every damaged live value. The trees' own pages are left alone here, for LMDB may end the
//! process on them; the report of the whole gateway damages everything.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use store::{LookOptions, Store, StoreError, VersionId};

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

/// Every row as it lies, with the number of its database.
fn rows_of(live: &Path) -> Vec<(u8, Vec<u8>)> {
    let store = support::open(live);
    let image = store.image().unwrap();
    let mut rows = Vec::new();
    image
        .each_row(|(number, key, value)| {
            rows.push((number, [key, value].concat()));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    drop(image);
    store.close();
    rows
}

/// Damage to a live row, whatever its database: a key, a sealed value, a list. Each is found, and nothing
/// that is read is wrong, though a damaged key hides a resource until a look finds it. A thousand with
/// `WAYSIDE_TEST_FLIPS=1000`.
#[test]
fn every_flip_in_a_live_row_is_found() {
    let flips = std::env::var("WAYSIDE_TEST_FLIPS").ok();
    let flips: usize = flips.map_or(60, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    make(&live);
    let rows = rows_of(&live);
    let whole = fs::read(live.join("data.mdb")).unwrap();
    let names = [
        "", "keys", "heads", "versions", "values", "postings", "changes", "audit",
    ];
    let (mut by_table, mut hidden) = (BTreeMap::<&str, usize>::new(), 0);
    for case in 0..flips {
        let mut random = [0; 16];
        support::random(&mut random);
        let number = |part: usize| usize::from(random[part]) << 8 | usize::from(random[part + 1]);
        let (table, row) = &rows[number(0) % rows.len()];
        let (at, bit) = (number(4) % row.len(), random[9] % 8);
        let mut damaged = whole.clone();
        // In every copy, so that the live one is among them.
        let places = (8192..whole.len() - row.len()).filter(|from| whole[*from..].starts_with(row));
        for from in places {
            damaged[from + at] ^= 1 << bit;
        }
        fs::write(live.join("data.mdb"), &damaged).unwrap();
        let name = names[usize::from(*table)];
        let case = format!("case {case}: bit {bit} of byte {at} of a row of {name}");
        let store = support::open(&live);
        hidden += read_or_hidden(&store, &case);
        let mut look = store
            .look(LookOptions {
                terms_of: Some(Arc::new(|values| {
                    let id = values.strip_prefix(b"values of ")?;
                    Some(vec![id.to_vec()])
                })),
                ..LookOptions::default()
            })
            .unwrap();
        while !look.step().unwrap() {}
        assert!(look.report().findings_total > 0, "{case} is not found");
        drop(look);
        store.close();
        *by_table.entry(name).or_default() += 1;
    }
    println!("{flips} flips in live rows, all found: {by_table:?}");
    println!("reads of resources whose key was damaged, not found until then: {hidden}");
    assert!(by_table.len() >= 5, "{by_table:?}");
}

/// A flip in the key of the very last row of a tree makes it the number of a row beyond all counting: a
/// look must not count up to it.
#[test]
fn a_number_beyond_all_counting_ends_no_look() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    make(&live);
    let rows = rows_of(&live);
    let whole = fs::read(live.join("data.mdb")).unwrap();
    for table in [2, 3, 6] {
        let last = rows.iter().rfind(|(number, _)| *number == table).unwrap();
        let row = &last.1;
        let mut damaged = whole.clone();
        let places = (8192..whole.len() - row.len()).filter(|from| whole[*from..].starts_with(row));
        for from in places {
            damaged[from] ^= 0x40;
        }
        let found = findings(&live, &damaged);
        assert!((1..100).contains(&found), "{table}: {found}");
    }
}

/// All that is read is as it was written, refused, or not found; how many were not found.
fn read_or_hidden(store: &Store, case: &str) -> usize {
    let snapshot = store.snapshot().unwrap();
    let view = snapshot.view();
    let mut hidden = 0;
    for number in 0..RESOURCES {
        let key = support::key(&format!("r{number}"));
        let read = view.head(&key).and_then(|head| match head {
            Some(head) => view.version(head.rid, VersionId(1)),
            None => Ok(None),
        });
        match read {
            Ok(Some(version)) => assert_eq!(version.body, body(number).into_bytes(), "{case}"),
            Ok(None) => hidden += 1,
            Err(StoreError::Corrupt { .. }) => {}
            Err(other) => panic!("{case}: {other}"),
        }
    }
    hidden
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

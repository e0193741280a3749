//! Posting lists are not sealed: a look with terms finds every place that is missing or too many,
//! while others write too, and goes on where another one stopped.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use store::{
    Damage, LookOptions, NewIndex, Reached, Rid, Store, StoreError, TermsOf, VerifyReport, WriteSet,
};

const RESOURCES: u64 = 50;

/// Terms of a resource: its own, one of five, and everybody's; its values are these.
fn terms(number: u64) -> Vec<String> {
    vec![
        "all".to_owned(),
        format!("fifth {}", number % 5),
        format!("own {number}"),
    ]
}

fn terms_of() -> TermsOf {
    Arc::new(|values| {
        let text = String::from_utf8(values.to_vec()).unwrap();
        Some(text.lines().map(|line| line.as_bytes().to_vec()).collect())
    })
}

fn write(store: &Store, number: u64) {
    let mut new = support::version(&format!("r{number}"), 1, "{}");
    let terms = terms(number);
    new.terms_added = terms.iter().map(|text| support::term(text)).collect();
    new.values = terms.join("\n").into_bytes();
    support::write(store, support::set_of(vec![new]));
}

fn looked(store: &Store, from: Option<Reached>) -> Result<VerifyReport, StoreError> {
    let mut look = store.look(LookOptions {
        terms_of: Some(terms_of()),
        from,
        ..LookOptions::default()
    })?;
    while !look.step()? {}
    Ok(look.into_report())
}

fn index(rid: u64, added: &[&str], removed: &[&str], values: Vec<String>) -> WriteSet {
    let terms = |texts: &[&str]| texts.iter().map(|text| support::term(text)).collect();
    WriteSet {
        indexes: vec![NewIndex {
            rid: Rid(rid),
            terms_added: terms(added),
            terms_removed: terms(removed),
            values: values.join("\n").into_bytes(),
        }],
        ..WriteSet::default()
    }
}

#[test]
fn places_missing_and_too_many_are_told_by_resource() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    (0..RESOURCES).for_each(|number| write(&store, number));
    let sound = looked(&store, None).unwrap();
    assert_eq!(sound.findings, vec![]);
    assert_eq!(sound.postings, 3 * RESOURCES);
    // Rid 8 is r7: it loses one term and gets one that its values do not have.
    support::write(&store, index(8, &["fifth 0"], &["own 7"], terms(7)));
    let mut found: Vec<Damage> = Vec::new();
    for finding in looked(&store, None).unwrap().findings {
        assert_eq!(finding.database, "postings");
        found.push(finding.about);
    }
    assert_eq!(found[0], Damage::Unlisted(Rid(8)));
    assert!(matches!(found[1], Damage::Stray(Rid(8), _)), "{found:?}");
    assert_eq!(found.len(), 2);
    // Who looks on from behind the resources does not look at lists.
    let later = Reached {
        stage: 1,
        after: vec![0; 8],
    };
    assert_eq!(looked(&store, Some(later)).unwrap().findings, vec![]);
    store.close();
}

/// What is written while a look is under way is no damage.
#[test]
fn writing_goes_on_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = support::open(folder.path());
    (0..RESOURCES).for_each(|number| write(&store, number));
    let options = LookOptions {
        terms_of: Some(terms_of()),
        ..LookOptions::default()
    };
    let mut look = store.look(options).unwrap();
    let mut steps = 0;
    loop {
        let is_done = look.step().unwrap();
        let number = RESOURCES + steps;
        write(&store, number);
        let body = format!("{{\"step\":{steps}}}");
        let mut second = support::version("r3", 2 + steps, &body);
        let values = ["all".to_owned(), format!("moved {steps}")];
        second.terms_added = vec![support::term(&values[1])];
        second.terms_removed = vec!["fifth 3".to_owned(), "own 3".to_owned()]
            .into_iter()
            .chain(steps.checked_sub(1).map(|before| format!("moved {before}")))
            .map(|text| support::term(&text))
            .collect();
        second.values = values.join("\n").into_bytes();
        support::write(&store, support::set_of(vec![second]));
        steps += 1;
        if is_done {
            break;
        }
    }
    assert_eq!(look.report().findings, vec![]);
    assert!(steps > 5, "{steps}");
    assert_eq!(looked(&store, None).unwrap().findings, vec![]);
    store.close();
}

/// Where each row of the lists lies in the file, in every copy, and its length.
fn rows_in(live: &Path, whole: &[u8]) -> Vec<(Vec<usize>, usize)> {
    let store = support::open(live);
    let mut rows = Vec::new();
    let image = store.image().unwrap();
    image
        .each_row(|(number, key, value)| {
            if number == 5 {
                rows.push([key, value].concat());
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    drop(image);
    store.close();
    let places = |row: &Vec<u8>| -> Vec<usize> {
        let all = 0..whole.len() - row.len();
        all.filter(|at| whole[*at..].starts_with(row)).collect()
    };
    rows.iter().map(|row| (places(row), row.len())).collect()
}

#[test]
fn every_flipped_bit_of_a_list_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    let store = support::open(&live);
    (0..RESOURCES).for_each(|number| write(&store, number));
    store.close();
    let whole = fs::read(live.join("data.mdb")).unwrap();
    let rows = rows_in(&live, &whole);
    assert_eq!(rows.len(), 56, "own, fifths, all");
    for (row, (places, length)) in rows.iter().enumerate() {
        assert!(!places.is_empty());
        // Another byte of each row, so that keys and places of all lengths have their turn.
        let (at, bit) = (row * 5 % length, row % 8);
        let mut damaged = whole.clone();
        for place in places {
            damaged[place + at] ^= 1 << bit;
        }
        fs::write(live.join("data.mdb"), &damaged).unwrap();
        let found = match support::try_open(&live) {
            Ok(store) => {
                let report = looked(&store, None).unwrap();
                store.close();
                report.findings_total
            }
            Err(_refused) => 1,
        };
        assert!(found > 0, "bit {bit} of byte {at} of row {row}");
    }
}

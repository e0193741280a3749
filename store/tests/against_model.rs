//! Random histories written to a store and to plain maps, with folds, restarts and crashes in
//! between and snapshots held across them: both must answer alike.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use store::{
    NewVersion, Rid, RowWrite, Seq, Snapshot, Store, StoreError, Table, Term, VersionId, WriteSet,
};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Versions of these resources: which, kind of write, terms.
    Write(Vec<(u8, Kind, Vec<u8>)>),
    /// A resource is deleted, and at most so many of its versions are taken away, in the same commit
    /// or by itself when it is deleted already.
    Purge(u8, u64),
    Row(Table, Vec<u8>, Option<Vec<u8>>),
    Audit(Vec<u8>),
    /// The log goes into the data file.
    Fold,
    /// A snapshot is taken, and must show this moment whatever comes later.
    Hold,
    Restart,
    /// What lies on the disk is opened, nothing having been closed.
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Put,
    Delete,
    KeptAside,
    /// A version number that does not follow: refused, changing nothing.
    WrongNumber,
}

#[derive(Clone, Default)]
struct ModelResource {
    rid: u64,
    head: u64,
    /// By version: (seq, deleted, was head, body).
    versions: BTreeMap<u64, (u64, bool, bool, Vec<u8>)>,
    terms: BTreeSet<u8>,
    values: Option<Vec<u8>>,
    review_open: bool,
}

#[derive(Clone, Default)]
struct Model {
    resources: BTreeMap<u8, ModelResource>,
    changes: Vec<(u64, u64)>,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    audit: Vec<Vec<u8>>,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        6 => Just(Kind::Put), 2 => Just(Kind::Delete), 2 => Just(Kind::KeptAside),
        1 => Just(Kind::WrongNumber)];
    let write = (0_u8..12, kind, proptest::collection::vec(0_u8..8, 0..5));
    let table = prop_oneof![
        Just(Table::Intake),
        Just(Table::Deliveries),
        Just(Table::Site)
    ];
    let row_key = proptest::collection::vec(0_u8..3, 1..4);
    let row = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
    prop_oneof![
        8 => proptest::collection::vec(write, 1..6).prop_map(Step::Write),
        3 => (0_u8..12, 1_u64..6).prop_map(|(resource, most)| Step::Purge(resource, most)),
        3 => (table, row_key, row).prop_map(|(table, key, value)| Step::Row(table, key, value)),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Step::Audit),
        2 => Just(Step::Fold),
        2 => Just(Step::Hold),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

fn name(resource: u8) -> String {
    format!("r{resource}")
}

fn term(number: u8) -> Term {
    Term(vec![b't', number])
}

/// The versions of a write step, and the model after it; `None` when the store must refuse.
fn plan_write(model: &Model, writes: &[(u8, Kind, Vec<u8>)]) -> (Vec<NewVersion>, Option<Model>) {
    let mut after = model.clone();
    let mut valid = true;
    let mut versions = Vec::new();
    for (resource, kind, terms) in writes {
        let next_rid = u64::try_from(after.resources.len()).unwrap() + 1;
        let known = after.resources.contains_key(resource);
        let entry = after
            .resources
            .entry(*resource)
            .or_insert_with(|| ModelResource {
                rid: next_rid,
                ..Default::default()
            });
        let newest = entry.versions.keys().last().copied().unwrap_or(0);
        let number = newest + if *kind == Kind::WrongNumber { 2 } else { 1 };
        valid &= *kind != Kind::WrongNumber && (known || *kind != Kind::KeptAside);
        let deleted = *kind == Kind::Delete;
        let becomes_head = *kind != Kind::KeptAside;
        let body = if deleted {
            String::new()
        } else {
            format!("{{\"v\":{number}}}").repeat(40)
        };
        let mut new = support::version(&name(*resource), number, &body);
        new.becomes_head = becomes_head;
        new.review_open = (!becomes_head).then_some(true);
        let wanted: BTreeSet<u8> = if deleted {
            BTreeSet::new()
        } else {
            terms.iter().copied().collect()
        };
        new.terms_added = Vec::new();
        if becomes_head {
            new.terms_added = wanted.difference(&entry.terms).map(|t| term(*t)).collect();
            new.terms_removed = entry.terms.difference(&wanted).map(|t| term(*t)).collect();
            entry.terms = wanted;
            entry.values = (!deleted).then(|| new.values.clone());
            entry.head = number;
        } else {
            entry.review_open = true;
        }
        after.changes.push((entry.rid, number));
        let seq = u64::try_from(after.changes.len()).unwrap();
        entry
            .versions
            .insert(number, (seq, deleted, becomes_head, body.into_bytes()));
        versions.push(new);
    }
    (versions, valid.then_some(after))
}

/// Deletes the resource unless it is deleted, and purges; `None` when it was never written or waits
/// for a review.
fn purge(model: &mut Model, resource: u8, most: u64) -> Option<WriteSet> {
    let known = model.resources.get(&resource)?;
    if known.review_open {
        return None;
    }
    let newest = *known.versions.keys().last()?;
    let is_gone = known.versions[&known.head].1 && known.head == newest;
    let mut versions = Vec::new();
    if !is_gone {
        let after;
        (versions, after) = plan_write(model, &[(resource, Kind::Delete, Vec::new())]);
        *model = after?;
    }
    let known = model.resources.get_mut(&resource)?;
    let below = known.versions.range(..known.head);
    let taken: Vec<u64> = below.rev().map(|(number, _)| *number).collect();
    // From the newest down, without a gap: what lies below an older purge has its own turn.
    let taken: Vec<u64> = taken
        .iter()
        .zip(0..most)
        .take_while(|(number, back)| **number == taken[0] - back)
        .map(|(number, _)| *number)
        .collect();
    for number in &taken {
        known.versions.remove(number);
    }
    let purges = taken.last().map(|from| store::Purge {
        rid: Rid(known.rid),
        from: VersionId(*from),
        to: VersionId(taken[0]),
    });
    Some(WriteSet {
        versions,
        purges: purges.into_iter().collect(),
        ..WriteSet::default()
    })
}

fn play(store: &Store, model: &mut Model, step: &Step) {
    let set = match step {
        Step::Write(writes) => {
            let (versions, after) = plan_write(model, writes);
            let outcome =
                store.commit(move |_| Ok::<_, ()>((support::set_of(versions.clone()), ())));
            match after {
                Some(after) => {
                    let first = u64::try_from(model.changes.len()).unwrap();
                    let seqs: Vec<Seq> = (1..=writes.len())
                        .map(|n| Seq(first + u64::try_from(n).unwrap()))
                        .collect();
                    assert_eq!(outcome.unwrap().0.seqs, seqs);
                    *model = after;
                }
                None => assert!(matches!(
                    outcome,
                    Err(store::CommitError::Store(StoreError::Invalid(_)))
                )),
            }
            return;
        }
        Step::Purge(resource, most) => match purge(model, *resource, *most) {
            Some(set) => set,
            None => return,
        },
        Step::Row(table, key, value) => {
            match value {
                Some(value) => model.rows.insert((*table, key.clone()), value.clone()),
                None => model.rows.remove(&(*table, key.clone())),
            };
            let row = RowWrite {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            };
            WriteSet {
                rows: vec![row],
                ..WriteSet::default()
            }
        }
        Step::Audit(body) => {
            model.audit.push(body.clone());
            WriteSet {
                audit: vec![body.clone()],
                ..WriteSet::default()
            }
        }
        Step::Fold | Step::Hold | Step::Restart | Step::Crash => return,
    };
    support::write(store, set);
}

fn compare(snapshot: &Snapshot, model: &Model) {
    let view = snapshot.view();
    for (resource, expected) in &model.resources {
        let head = view.head(&support::key(&name(*resource))).unwrap().unwrap();
        let newest = *expected.versions.keys().last().unwrap();
        assert_eq!(
            (head.rid, head.version.0),
            (Rid(expected.rid), expected.head)
        );
        assert_eq!(
            (head.newest.0, head.review_open),
            (newest, expected.review_open)
        );
        assert_eq!(head.seq.0, expected.versions[&expected.head].0);
        assert_eq!(view.head_of(head.rid).unwrap(), Some(head));
        assert_eq!(view.values(head.rid).unwrap(), expected.values);
        let is_purged = head.deleted
            && expected.head > 1
            && !expected.versions.contains_key(&(expected.head - 1));
        assert_eq!(view.is_purged(&head).unwrap(), is_purged);
        for number in 1..=newest {
            let is_there = view.version(head.rid, VersionId(number)).unwrap().is_some();
            assert_eq!(
                is_there,
                expected.versions.contains_key(&number),
                "{number}"
            );
        }
        for (number, (seq, deleted, was_head, body)) in &expected.versions {
            let found = view.version(head.rid, VersionId(*number)).unwrap().unwrap();
            assert_eq!((found.seq.0, found.deleted), (*seq, *deleted));
            assert_eq!((found.was_head, &found.body), (*was_head, body));
        }
        compare_history(view, &head, expected);
    }
    assert_eq!(view.head(&support::key("unknown")).unwrap(), None);
    for number in 0..8 {
        let wanted: BTreeSet<u64> = model
            .resources
            .values()
            .filter(|resource| resource.terms.contains(&number))
            .map(|resource| resource.rid)
            .collect();
        let mut postings = view.postings(&term(number)).unwrap();
        assert_eq!(postings.count(), u64::try_from(wanted.len()).unwrap());
        assert_eq!(postings.count_exactly().unwrap(), postings.count());
        let mut found = BTreeSet::new();
        while let Some(rid) = postings.next().unwrap() {
            found.insert(rid.0);
        }
        assert_eq!(found, wanted);
    }
    let changes = view.changes(Seq(0), usize::MAX).unwrap();
    let found: Vec<_> = changes
        .iter()
        .map(|change| (change.rid.0, change.version.0))
        .collect();
    assert_eq!(found, model.changes);
    let audit: Vec<_> = view
        .audit(0, usize::MAX)
        .unwrap()
        .into_iter()
        .map(|entry| entry.body)
        .collect();
    assert_eq!(audit, model.audit);
    compare_rows(view, model);
}

fn compare_history(view: store::View<'_>, head: &store::Head, expected: &ModelResource) {
    let history: Vec<_> = expected.versions.iter().rev().collect();
    let found = view.history(head.rid, Some(head.newest), 2).unwrap();
    let wanted: Vec<_> = history
        .iter()
        .skip(1)
        .take(2)
        .map(|(number, version)| (VersionId(**number), Seq(version.0)))
        .collect();
    assert_eq!(found, wanted);
}

fn compare_rows(view: store::View<'_>, model: &Model) {
    for table in Table::ALL {
        for prefix in [vec![], vec![1], vec![1, 2]] {
            let wanted: Vec<_> = model
                .rows
                .iter()
                .filter(|((of, key), _)| *of == table && key.starts_with(&prefix))
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(view.rows(table, &prefix, None, usize::MAX).unwrap(), wanted);
            assert_eq!(
                view.last_row(table, &prefix).unwrap(),
                wanted.last().cloned()
            );
            assert_eq!(
                view.count_rows(table, &prefix, 3).unwrap(),
                wanted.len().min(3)
            );
            if let Some((first, value)) = wanted.first() {
                let rest = view.rows(table, &prefix, Some(first), 2).unwrap();
                let end = wanted.len().min(3);
                assert_eq!(rest, wanted[1..end].to_vec());
                assert_eq!(view.row(table, first).unwrap().as_ref(), Some(value));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20),
        ..ProptestConfig::default()
    })]

    #[test]
    fn store_answers_as_the_model_does(steps in proptest::collection::vec(step(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut place = folder.path().join("0");
        let mut store = support::open(&place);
        let mut model = Model::default();
        let mut held: Vec<(Snapshot, Model)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            match step {
                Step::Fold => store.fold().unwrap(),
                Step::Hold => held.push((store.snapshot().unwrap(), model.clone())),
                Step::Restart | Step::Crash => {
                    for (snapshot, model) in held.drain(..) {
                        compare(&snapshot, &model);
                    }
                    if matches!(step, Step::Crash) {
                        let image = folder.path().join((number + 1).to_string());
                        support::copy(&place, &image);
                        place = image;
                    }
                    store.close();
                    store = support::open(&place);
                }
                _ => {}
            }
            play(&store, &mut model, step);
        }
        for (snapshot, model) in &held {
            compare(snapshot, model);
        }
        let snapshot = store.snapshot().unwrap();
        compare(&snapshot, &model);
        store.fold().unwrap();
        compare(&snapshot, &model);
        compare(&store.snapshot().unwrap(), &model);
        let report = store.verify(None).unwrap();
        prop_assert_eq!(report.findings, vec![]);
        prop_assert_eq!(report.changes, u64::try_from(model.changes.len()).unwrap());
        let kept: usize = model.resources.values().map(|r| r.versions.len()).sum();
        prop_assert_eq!(report.versions, u64::try_from(kept).unwrap());
    }
}

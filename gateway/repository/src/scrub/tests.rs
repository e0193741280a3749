use super::*;
use crate::fresh;
use crate::{Actor, Transaction, Write};
use fhir_mapping::model::{Limits, parse};
use gateway_ground::clock::Clock;
use std::path::Path;
use store::{
    Damage, NewIndex, Origin, OriginKind, Rid, Store, StoreError, Term, VersionId, WriteSet,
};

const PATIENTS: u64 = 12;

fn over(store: Store) -> Repository {
    let zone = fhir_mapping::search::Zone::of(jiff::tz::TimeZone::UTC);
    Repository::new(store, Clock::system(0), zone)
}

async fn patients(repository: &Repository) {
    for number in 0..PATIENTS {
        let id = format!("p{number}");
        let text = format!(
            r#"{{"resourceType":"Patient","id":"{id}","gender":"female","birthDate":"1980-01-01"}}"#
        );
        let resource = parse(text.as_bytes(), Limits::default()).unwrap();
        let transaction = Transaction {
            actor: Actor {
                name: "test".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            writes: vec![Write::Update {
                id,
                resource,
                if_match: None,
            }],
            rows: Vec::new(),
            resolve_conditional_references: false,
        };
        repository.write(transaction).await.unwrap();
    }
}

/// A round to its end.
async fn round(repository: &Repository) -> Round {
    let mut scrub = repository.scrub().unwrap();
    loop {
        if let Some(round) = scrub.step().await.unwrap().ended {
            return round;
        }
    }
}

fn commit(store: &Store, set: WriteSet) {
    store.commit(move |_| Ok::<_, ()>((set, ()))).unwrap();
}

/// Takes a posting away, and adds one, as damage to a list would.
fn damage_lists(store: &Store, rid: u64) {
    let values = store.snapshot().unwrap().view().values(Rid(rid)).unwrap();
    let term = |text: &str| vec![Term(text.as_bytes().to_vec())];
    let index = NewIndex {
        rid: Rid(rid),
        terms_added: term("Patient/gender=unknown"),
        terms_removed: term("Patient/gender=female"),
        values: values.unwrap(),
    };
    let set = WriteSet {
        indexes: vec![index],
        ..WriteSet::default()
    };
    commit(store, set);
}

fn posted(repository: &Repository, term: &str) -> u64 {
    let snapshot = repository.store().snapshot().unwrap();
    let term = Term(term.as_bytes().to_vec());
    let postings = snapshot.view().postings(&term).unwrap();
    postings.count_exactly().unwrap()
}

/// A search that misses a patient because the disk lost a posting, unseen for ever.
#[tokio::test]
async fn damaged_lists_are_found_and_put_right() {
    let (repository, _folder) = fresh::repository(Clock::system(0));
    patients(&repository).await;
    let sound = round(&repository).await;
    assert_eq!((sound.findings, sound.named), (0, vec![]));
    assert_eq!(sound.resources, PATIENTS);
    assert!(sound.postings > PATIENTS && sound.audit_entries == PATIENTS);
    damage_lists(repository.store(), 3);
    assert_eq!(posted(&repository, "Patient/gender=female"), PATIENTS - 1);
    let found = round(&repository).await;
    assert_eq!((found.findings, found.mended), (2, 2), "{found:?}");
    assert_eq!(found.named[0].resource.as_deref(), Some("Patient/p2"));
    assert_eq!(posted(&repository, "Patient/gender=female"), PATIENTS);
    assert_eq!(posted(&repository, "Patient/gender=unknown"), 0);
    assert_eq!(round(&repository).await.findings, 0);
    let state = repository.scrub_state().unwrap();
    assert_eq!((state.open(), state.under_way), (0, None));
}

#[tokio::test]
async fn a_round_that_was_cut_off_goes_on() {
    let (repository, _folder) = fresh::repository(Clock::system(0));
    patients(&repository).await;
    damage_lists(repository.store(), 5);
    let mut scrub = repository.scrub().unwrap();
    while scrub.step().await.unwrap().found.is_empty() {}
    drop(scrub);
    let cut = repository.scrub_state().unwrap();
    let under_way = cut.under_way.unwrap();
    assert!(under_way.findings > 0 && cut.last.is_none());
    let whole = round(&repository).await;
    assert_eq!(whole.started_ms, under_way.started_ms);
    assert_eq!((whole.findings, whole.mended), (2, 2), "{whole:?}");
}

/// Flips a bit in every copy of a row that lies in the data file.
fn flip(folder: &Path, (number, key): (u8, Vec<u8>)) {
    let store = fresh::store(folder);
    let image = store.image().unwrap();
    let mut value = Vec::new();
    image
        .each_row(|(database, found, sealed)| {
            if (database, found) == (number, &key[..]) {
                value = sealed.to_vec();
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    drop(image);
    store.close();
    let file = folder.join("data.mdb");
    let mut bytes = std::fs::read(&file).unwrap();
    let all = 0..bytes.len() - value.len();
    let places: Vec<usize> = all.filter(|at| bytes[*at..].starts_with(&value)).collect();
    assert!(!value.is_empty() && !places.is_empty());
    for at in places {
        bytes[at + 25] ^= 1;
    }
    std::fs::write(&file, bytes).unwrap();
}

/// Heads and search values are made anew of the versions; a version comes back from a backup, and no new
/// one is made.
#[tokio::test]
async fn what_is_damaged_is_put_right_without_a_new_version() {
    let folder = tempfile::TempDir::new().unwrap();
    let (live, kept) = (folder.path().join("live"), folder.path().join("kept"));
    let repository = over(fresh::store(&live));
    patients(&repository).await;
    repository.store().clone().close();
    drop(repository);
    std::fs::create_dir(&kept).unwrap();
    for name in ["data.mdb", "log.0", "log.1"] {
        std::fs::copy(live.join(name), kept.join(name)).unwrap();
    }
    let number = |number: u64| number.to_be_bytes().to_vec();
    flip(&live, (2, number(4)));
    flip(&live, (4, number(6)));
    flip(&live, (3, [number(8), number(1)].concat()));

    let repository = over(fresh::store(&live));
    let found = round(&repository).await;
    assert_eq!((found.findings, found.open()), (3, 1), "{found:?}");
    let state = repository.scrub_state().unwrap();
    assert_eq!(state.open(), 1);
    let key = store::ResourceKey {
        resource_type: "Patient".to_owned(),
        id: "p7".to_owned(),
    };
    let refused = repository.read(&key).unwrap_err();
    assert_eq!(refused.issues[0].number, "E-STORE-3");

    let backup = over(fresh::store(&kept));
    let about = Damage::Version(Rid(8), VersionId(1));
    assert!(!repository.mend(about).await.unwrap());
    assert!(repository.mend_from(&backup, about).await.unwrap());
    let (ours, theirs) = (repository.read(&key), backup.read(&key));
    assert_eq!(ours.unwrap(), theirs.unwrap());
    assert_eq!(round(&repository).await.findings, 0);
    assert_eq!(repository.scrub_state().unwrap().open(), 0);
    assert!(!repository.mend_from(&backup, about).await.unwrap());
}

/// The first broken entry is named with the time it was written.
#[tokio::test]
async fn broken_logs_name_their_first_entry() {
    let folder = tempfile::TempDir::new().unwrap();
    let live = folder.path().join("live");
    let repository = over(fresh::store(&live));
    patients(&repository).await;
    let whole = repository.look_at_chains(None, 100).unwrap();
    assert_eq!((whole.changes, whole.audit_entries), (PATIENTS, PATIENTS));
    assert_eq!((whole.broken, whole.next), (vec![], None));
    let first = repository.look_at_chains(None, 1).unwrap();
    assert_eq!(first.next.map(|next| next.stage), Some(2));
    repository.store().clone().close();
    drop(repository);
    flip(&live, (7, 5_u64.to_be_bytes().to_vec()));
    flip(&live, (6, 9_u64.to_be_bytes().to_vec()));
    let repository = over(fresh::store(&live));
    let broken = repository.look_at_chains(None, 100).unwrap().broken;
    let named: Vec<(&str, u64)> = broken.iter().map(|one| (&*one.log, one.number)).collect();
    assert_eq!(named, [("changes", 9), ("audit", 5)]);
    assert!(broken.iter().all(|one| one.time.is_some()), "{broken:?}");
}

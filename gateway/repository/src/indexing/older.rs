//! Stores that older builds wrote, with the search values and postings of their rules: everything is
//! found in them, before, while and after they are reindexed.

use crate::Repository;
use crate::search::Finder;
use fhir_mapping::search::{Handling, Query, Zone};
use gateway_ground::clock::Clock;
use std::fs::{self, File};
use std::path::Path;

fn repository(format: &str, folder: &Path) -> Repository {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../store/tests/fixtures");
    fs::create_dir(folder).unwrap();
    for name in ["data.mdb", "log.0", "log.1"] {
        let packed = Path::new(fixtures).join(format).join(format!("{name}.zst"));
        if packed.exists() {
            let bytes = zstd::decode_all(File::open(packed).unwrap()).unwrap();
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let store = crate::fresh::store(folder);
    let zone = Zone::of(jiff::tz::TimeZone::UTC);
    Repository::new(store, Clock::system(0), zone)
}

#[track_caller]
fn check(repository: &Repository, asked: &str, expected: &str) {
    let (resource_type, pairs) = asked.split_once('?').unwrap();
    let pairs: Vec<(String, String)> = pairs
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let zone = repository.zone();
    let query = Query::parse(resource_type, &pairs, Handling::Strict, zone).unwrap();
    let snapshot = repository.store().snapshot().unwrap();
    let finder = Finder::new((snapshot.view(), zone), 1);
    let found = finder.keys(&query, 100).unwrap();
    let found: Vec<String> = found.into_iter().map(|key| key.id).collect();
    assert_eq!(found.join(" "), expected, "{asked}");
}

fn finds_all(repository: &Repository) {
    check(repository, "Patient?gender=female", "p1 p2");
    check(repository, "Patient?family=juma", "p1 p3");
    check(repository, "Patient?identifier=urn:clinic|003", "p3");
    check(repository, "Patient?identifier=urn:clinic|002", "");
    check(repository, "Patient?birthdate=1982", "p2");
    check(repository, "Observation?subject=Patient/p1", "o1 o2 o3");
    check(repository, "Observation?code=718-7&date=2026-01-02", "o2");
    check(repository, "Observation?value-quantity=gt12", "o2 o3");
}

#[tokio::test]
async fn stores_of_older_builds_are_searched_and_reindexed() {
    for format in ["format-1", "format-2", "format-2-folded"] {
        let folder = tempfile::TempDir::new().unwrap();
        let repository = repository(format, &folder.path().join("data"));
        assert!(!repository.index_state().unwrap().is_whole, "{format}");
        finds_all(&repository);
        while !repository.reindex_batch().await.unwrap() {
            finds_all(&repository);
        }
        assert!(repository.index_state().unwrap().is_whole, "{format}");
        finds_all(&repository);
    }
}

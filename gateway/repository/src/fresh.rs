//! For unit tests: a repository over a store of its own, in a folder that cleans itself up.
#![allow(clippy::unwrap_used)] // a unit test that has no store has failed

use crate::Repository;
use fhir_mapping::search::Zone;
use gateway_ground::clock::Clock;
use gateway_ground::keys;
use std::path::Path;
use store::{Keys, OpenOptions, Store};
use tempfile::TempDir;

/// A new, empty site in UTC.
pub fn repository(clock: Clock) -> (Repository, TempDir) {
    let folder = TempDir::new().unwrap();
    let store = store(&folder.path().join("data"));
    let zone = Zone::of(jiff::tz::TimeZone::UTC);
    (Repository::new(store, clock, zone), folder)
}

/// A new, empty store in this folder.
pub fn store(folder: &Path) -> Store {
    let options = OpenOptions {
        folder: folder.to_owned(),
        map_size_bytes: 1 << 28,
        queue_length_max: 1024,
        random: keys::random,
    };
    let keys = Keys {
        key_encryption_key: [7; 32],
    };
    Store::open(options, keys).unwrap()
}

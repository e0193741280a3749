//! For unit tests: a repository over a store of its own, in a folder that cleans itself up.

use crate::clock::Clock;
use crate::keys;
use crate::repository::Repository;
use fhir_mapping::search::Zone;
use std::path::Path;
use store::{Keys, OpenOptions, Store};
use tempfile::TempDir;

/// A new, empty site in UTC.
pub(crate) fn repository(clock: Clock) -> (Repository, TempDir) {
    let folder = TempDir::new().unwrap();
    let store = store(&folder.path().join("data"));
    let zone = Zone(jiff::tz::TimeZone::UTC);
    (Repository::new(store, clock, zone), folder)
}

/// A new, empty store in this folder.
pub(crate) fn store(folder: &Path) -> Store {
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
